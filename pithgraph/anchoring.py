"""OpenTimestamps proofs, offline: made of calendars' answers, read, held against block headers.

What lives here: what the library of the extra `ots` does, in our words and errors. What must not:
the network, and whether an event counts; a proof stands inside a timestamp_anchor's payload, and no
verdict asks for it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, NamedTuple

from pithgraph.errors import AnchorError

MAX_PROOF_BYTES: Final = 1 << 20
METHOD: Final = "opentimestamps"
PENDING: Final = "pending"
BITCOIN: Final = "bitcoin"
UNKNOWN: Final = "unknown"
_HEADER_BYTES: Final = 80
# A calendar's address stands in a proof, and so comes from anybody.
_HOST: Final = re.compile(r"https?://([a-z0-9.-]{1,253})(?:/|\Z)")


# More blocks than there will be; a proof may state any number, an event may not (SPEC §1).
_MAX_HEIGHT: Final = 2**32


class Attestation(NamedTuple):
    """What stands at an end of a proof: that a calendar promises (`pending`, with its address), or
    that a Bitcoin block of this height has `commitment` as its Merkle root (`bitcoin`). The
    commitment is what the digest comes to on the way there."""

    kind: str
    commitment: bytes
    calendar: str | None
    height: int | None


class Anchor(NamedTuple):
    """A proof for a SHA-256 digest of 32 bytes, and its ends, those in blocks first."""

    digest: bytes
    attestations: tuple[Attestation, ...]


class Header(NamedTuple):
    """A Bitcoin block header: its hash and Merkle root as block explorers show them (hex, turned
    round), and its time in seconds since 1970."""

    block_hash: str
    merkle_root: str
    time: int


def read_proof(data: bytes) -> Anchor:
    """Read a detached proof, as in a file `.ots`. Raises AnchorError."""
    proof = _read(_ots("timestamp").DetachedTimestampFile.deserialize, data)
    if type(proof.file_hash_op).__name__ != "OpSHA256":
        raise AnchorError("the proof is for a digest by another rule than SHA-256")
    ends = [_attestation(*end) for end in proof.timestamp.all_attestations()]
    order = (BITCOIN, PENDING, UNKNOWN)
    ends.sort(key=lambda end: (order.index(end.kind), end.height or 0, end.calendar or ""))
    return Anchor(bytes(proof.file_digest), tuple(ends))


def make_proof(digest: bytes, responses: Iterable[bytes]) -> bytes:
    """A detached proof for a digest (32 bytes), of what calendars answered when it was posted to
    them. Raises AnchorError for an answer that is none."""
    ots = _ots("timestamp")
    whole = ots.Timestamp(digest)
    for response in responses:
        whole.merge(_read(lambda context: ots.Timestamp.deserialize(context, digest), response))
    context = _ots("serialize").BytesSerializationContext()
    try:
        ots.DetachedTimestampFile(_ots("op").OpSHA256(), whole).serialize(context)
    except ValueError:
        raise AnchorError("a proof of nothing: give a calendar's answer") from None
    return bytes(context.getbytes())


def payload_of(proof: bytes) -> dict[str, Any]:
    """The payload of a timestamp_anchor with this proof (SPEC §5): confirmed by the lowest block
    that it names, else pending. Raises AnchorError."""
    anchor = read_proof(proof)
    payload: dict[str, Any] = {
        "anchored_sha256": anchor.digest.hex(),
        "method": METHOD,
        "status": "pending",
        "proof_b64": base64.b64encode(proof).decode("ascii"),
    }
    heights = [end.height for end in anchor.attestations if end.kind == BITCOIN]
    if heights:
        payload |= {"status": "confirmed", "block_height": heights[0]}
    return payload


def target_for(proof: bytes) -> str:
    """A target for an anchor with this proof (SPEC §5): of the chain, or of its first calendar.
    Raises AnchorError."""
    ends = read_proof(proof).attestations
    if any(end.kind == BITCOIN for end in ends):
        return "anchor:bitcoin"
    found = (_HOST.match(end.calendar) for end in ends if end.calendar)
    return f"anchor:{next((host[1] for host in found if host), METHOD)}"


def read_header(text: str) -> Header:
    """A block header in hex, as `bitcoin-cli getblockheader HASH false` prints it. Raises
    AnchorError for what is none, or whose hash is not below the target that it states."""
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        raw = b""
    if len(raw) != _HEADER_BYTES:
        raise AnchorError(f"{text.strip()[:80]!r} is no block header: give its 80 bytes in hex")
    block_hash = hashlib.sha256(hashlib.sha256(raw).digest()).digest()
    bits = int.from_bytes(raw[72:76], "little")
    target = (bits & 0x7FFFFF) << (8 * ((bits >> 24) - 3)) if 3 <= bits >> 24 <= 32 else 0
    if int.from_bytes(block_hash, "little") > target:
        raise AnchorError("the block header's hash is not below its own target: no block has it")
    time = int.from_bytes(raw[68:72], "little")
    return Header(block_hash[::-1].hex(), raw[36:68][::-1].hex(), time)


def in_block(attestation: Attestation, header: Header) -> bool:
    """Whether a block of this header has the commitment as its Merkle root."""
    return attestation.commitment[::-1].hex() == header.merkle_root


def _attestation(commitment: bytes, found: Any) -> Attestation:
    name = type(found).__name__
    if name == "BitcoinBlockHeaderAttestation":
        if found.height > _MAX_HEIGHT:
            raise AnchorError("the proof names a block of a height that no block will have")
        return Attestation(BITCOIN, bytes(commitment), None, int(found.height))
    if name == "PendingAttestation":
        return Attestation(PENDING, bytes(commitment), str(found.uri), None)
    return Attestation(UNKNOWN, bytes(commitment), None, None)


def check_library() -> None:
    """Raise AnchorError where the library of the extra `ots` is not there."""
    _ots("timestamp")


def _ots(part: str) -> Any:
    """A module of the library, which has no types."""
    try:
        return import_module(f"opentimestamps.core.{part}")
    except ImportError:
        raise AnchorError(
            "timestamps need the package opentimestamps, which comes with pithgraph's extra "
            "`ots`: pip install opentimestamps"
        ) from None


def _read(read: Callable[[Any], Any], data: bytes) -> Any:
    serialize = _ots("serialize")
    if len(data) > MAX_PROOF_BYTES:
        raise AnchorError(f"longer than {MAX_PROOF_BYTES} bytes, which no proof is")
    context = serialize.StreamDeserializationContext(io.BytesIO(data))
    try:
        found = read(context)
        context.assert_eof()
    except (serialize.DeserializationError, ValueError, OverflowError, MemoryError) as error:
        raise AnchorError(f"no OpenTimestamps proof: {error}") from None
    return found
