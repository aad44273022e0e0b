"""Checkpoints of a log, and proofs that lead to their roots (SPEC §10, C2SP `tlog-checkpoint`).

What lives here: the text of a checkpoint, signing and opening one, and the files of inclusion and
consistency proofs. What must not: the tree (`merkle`), the form of a signature (`notes`), and
where a log keeps either.

An inclusion proof is a file of C2SP `tlog-proof`, so that the field's tools verify it too; its
first line tells it apart from every JSON document. Ours: its extra data, where there is any, is the
32-byte digest of the event, which is the leaf's data. For consistency the field has no file; ours
is a JSON document as our other proof is. Both carry their checkpoints as they were signed, and with
verifier keys they are verified offline.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph import documents
from pithgraph.canonical import decode
from pithgraph.documents import CONSISTENCY_PROOF, ConsistencyDocument, view
from pithgraph.errors import CheckpointError, KeyringError, ProofError, Refused
from pithgraph.keys import decode_base64
from pithgraph.merkle import HASH_BYTES, leaf_hash, verify_consistency, verify_inclusion
from pithgraph.notes import MAX_NOTE_BYTES, VerifierKey, parse_note, sign_note, verify_note

INCLUSION_PROOF: Final = "c2sp.org/tlog-proof@v1"
"""The first line of an inclusion proof."""

CONSISTENCY_VERSION: Final = "1.0"
CONSISTENCY_NOTES: Final = ("old_checkpoint", "new_checkpoint")
"""The members of a consistency proof that are signed checkpoints."""

MAX_SIZE: Final = 2**63 - 1
"""The largest number of leaves that is read (ours): what the field's 64-bit programs can count."""

_BEFORE_SIGNATURES: Final = b"\n\n"
_SIGNATURE: Final = "— ".encode()
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """A log's name, its number of leaves and its root (32 bytes) then. `extensions` are opaque."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def text_document(data: bytes) -> str | None:
    """What a text is meant as: `documents.CHECKPOINT`, `documents.INCLUSION`, or None.

    Asked before JSON is tried, of the first line and of the last lines: no JSON, and no line of
    JSON Lines, has an em dash outside of a string. Whether the form holds is another question.
    """
    if len(data) > MAX_NOTE_BYTES:
        return None
    if data.startswith(INCLUSION_PROOF.encode("ascii") + b"\n"):
        return documents.INCLUSION
    _, empty, tail = data.rpartition(_BEFORE_SIGNATURES)
    return documents.CHECKPOINT if empty and tail.startswith(_SIGNATURE) else None


# --- checkpoints (C2SP tlog-checkpoint) ------------------------------------------------------


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """The text of a checkpoint, as it is signed. Raises CheckpointError for what has no such text:
    an empty line, a newline in a line, a size that is none, a root of another length."""
    root = base64.b64encode(checkpoint.root).decode("ascii")
    lines = (checkpoint.origin, str(checkpoint.size), root, *checkpoint.extensions)
    text = "".join(line + "\n" for line in lines)
    if parse_checkpoint(text) != checkpoint:
        raise CheckpointError("a line of a checkpoint cannot have a newline")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint of a note's text. Raises CheckpointError naming the line at fault."""
    lines = text.split("\n")
    if lines.pop():
        raise CheckpointError("the text of a checkpoint ends in a newline")
    if len(lines) < 3:
        raise CheckpointError("a checkpoint has three lines: its origin, its size and its root")
    if "" in lines:
        raise CheckpointError(f"line {lines.index('') + 1}: empty, inside a checkpoint")
    size = _decimal(lines[1])
    if size is None:
        raise CheckpointError(f"line 2: {lines[1][:100]!r} is no number of leaves")
    try:
        root = decode_base64(lines[2], HASH_BYTES)
    except KeyringError as error:
        raise CheckpointError(f"line 3: the root: {error}") from None
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))


def _decimal(text: str) -> int | None:
    """A count in ASCII digits without leading zeros, up to MAX_SIZE; None for any other text."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        return None
    return int(text)


def sign_checkpoint(checkpoint: Checkpoint, private_key: Ed25519PrivateKey) -> bytes:
    """The signed note of a checkpoint, by the log's key: its name is the origin.

    Raises CheckpointError, also for an origin that cannot be a key's name.
    """
    return sign_note(format_checkpoint(checkpoint), checkpoint.origin, private_key)


def open_checkpoint(note: bytes, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a signed note, verified (`notes.verify_note`).

    Ours: one of the keys that signed has the origin as its name, so that a key trusted for one log
    vouches for no other. Raises CheckpointError.
    """
    read = parse_note(note)
    signers = verify_note(read, keys)
    checkpoint = parse_checkpoint(read.text)
    if checkpoint.origin not in {key.name for key in signers}:
        raise CheckpointError(
            f"line 1: the origin {checkpoint.origin[:100]!r} is not the name of a key that signed:"
            f" {', '.join(map(str, signers))}"
        )
    return checkpoint


def read_checkpoint(note: bytes) -> Checkpoint:
    """What a note says, whoever signed it. Raises CheckpointError for its form."""
    return parse_checkpoint(parse_note(note).text)


Opener = Callable[[bytes], Checkpoint]


def _opened(keys: Iterable[VerifierKey]) -> Opener:
    keys = tuple(keys)
    return lambda note: open_checkpoint(note, keys)


def _open(name: str, note: bytes, opener: Opener) -> Checkpoint:
    try:
        return opener(note)
    except CheckpointError as error:
        raise ProofError(f"{name}: {error}") from None


# --- inclusion proofs (C2SP tlog-proof) ------------------------------------------------------


class VerifiedInclusion(NamedTuple):
    """What an inclusion proof shows: an event, by digest, stands at an index of the log."""

    event_sha256: bytes
    leaf_index: int
    checkpoint: Checkpoint


class Inclusion(NamedTuple):
    """An inclusion proof as received: nobody has verified it. `extra` is the digest of its event,
    None where it names none; `note` the signed checkpoint."""

    extra: bytes | None
    leaf_index: int
    path: list[bytes]
    note: bytes


def build_inclusion_proof(
    event_sha256: bytes, index: int, path: Sequence[bytes], note: bytes
) -> bytes:
    """The proof file that the event of this digest stands at `index` of a checkpoint's tree.

    `path` as `merkle.inclusion_path` gives it, `note` the signed checkpoint. Raises ProofError
    where the path does not lead to its root; whose the signature is, is not asked.
    """
    head = [INCLUSION_PROOF, f"extra {_base64(event_sha256)}", f"index {index}"]
    proof = "\n".join([*head, *map(_base64, path), "", ""]).encode("ascii") + note
    check_inclusion(parse_inclusion_proof(proof), event_sha256)
    return proof


def verify_inclusion_file(
    proof: bytes, event_sha256: bytes | None, keys: Iterable[VerifierKey]
) -> VerifiedInclusion:
    """Verify an inclusion proof file offline.

    Asked are its form, its checkpoint by the verifier keys, and that the path leads from the event
    of this digest to the root (RFC 9162 §2.1.3.2). Without a digest the proof's own is taken.
    Raises ProofError naming the first thing that does not hold.
    """
    return _check_inclusion(parse_inclusion_proof(proof), event_sha256, _opened(keys))


def check_inclusion(proof: Inclusion, event_sha256: bytes | None) -> VerifiedInclusion:
    """As `verify_inclusion_file`, whoever signed: what the proof shows if the checkpoint is good.
    Raises ProofError."""
    return _check_inclusion(proof, event_sha256, read_checkpoint)


def _check_inclusion(
    proof: Inclusion, event_sha256: bytes | None, opener: Opener
) -> VerifiedInclusion:
    digest = proof.extra if event_sha256 is None else event_sha256
    if digest is None:
        raise ProofError("the proof does not name its event: give the event, or its digest")
    if proof.extra not in (None, digest):
        raise ProofError(f"the proof is of event {proof.extra.hex()}, not of {digest.hex()}")
    checkpoint = _open("checkpoint", proof.note, opener)
    verify_inclusion(
        leaf_hash(digest), proof.leaf_index, checkpoint.size, proof.path, checkpoint.root
    )
    return VerifiedInclusion(digest, proof.leaf_index, checkpoint)


def parse_inclusion_proof(proof: bytes) -> Inclusion:
    """An inclusion proof as received. Raises ProofError naming the line at fault."""
    if len(proof) > MAX_NOTE_BYTES:
        raise ProofError(f"a proof of {len(proof)} bytes: at most {MAX_NOTE_BYTES} are read")
    head, empty, note = proof.partition(b"\n\n")
    if not empty:
        raise ProofError("there is no empty line between a proof and its checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ProofError("a proof is ASCII up to its checkpoint") from None
    if first != INCLUSION_PROOF:
        raise ProofError(f"line 1: this is no {INCLUSION_PROOF}, but {first[:100]!r}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _hash("line 2: the event's digest", lines.pop(0).removeprefix("extra "))
    number = 2 if extra is None else 3
    stated = lines.pop(0) if lines else ""
    index = _decimal(stated.removeprefix("index ")) if stated.startswith("index ") else None
    if index is None:
        raise ProofError(f"line {number}: {stated[:100]!r} is not 'index' and a number")
    path = [_hash(f"line {at}", line) for at, line in enumerate(lines, start=number + 1)]
    return Inclusion(extra, index, path, note)


# --- consistency proofs ----------------------------------------------------------------------


class VerifiedConsistency(NamedTuple):
    """What a consistency proof shows: the log of `old` is the beginning of that of `new`."""

    old: Checkpoint
    new: Checkpoint


def build_consistency_proof(old_note: bytes, note: bytes, path: Sequence[bytes]) -> dict[str, Any]:
    """The proof document that the tree of one signed checkpoint begins that of another.

    `path` as `merkle.consistency_path` gives it. Raises ProofError where it does not lead to their
    roots; whose the signatures are, is not asked.
    """
    proof = {
        "proof_type": CONSISTENCY_PROOF,
        "proof_version": CONSISTENCY_VERSION,
        "old_checkpoint": _text("old_checkpoint", old_note),
        "new_checkpoint": _text("new_checkpoint", note),
        "hashes": [_base64(node) for node in path],
    }
    check_consistency(proof)
    return proof


def verify_consistency_file(proof: bytes | Any, keys: Iterable[VerifierKey]) -> VerifiedConsistency:
    """Verify a consistency proof, given as received bytes or as a decoded value, offline.

    Asked are its form, both checkpoints by the verifier keys, one origin, and the path (RFC 9162
    §2.1.4.2). Raises DecodeError where the bytes are no JSON, and ProofError naming the first thing
    that does not hold.
    """
    value = decode(proof) if isinstance(proof, bytes) else proof
    return _check_consistency(value, _opened(keys))


def check_consistency(value: Any) -> VerifiedConsistency:
    """As `verify_consistency_file` of a decoded value, whoever signed: what the proof shows if both
    checkpoints are good. Raises ProofError."""
    return _check_consistency(value, read_checkpoint)


def _check_consistency(value: Any, opener: Opener) -> VerifiedConsistency:
    try:
        document = view(value, ConsistencyDocument)
    except Refused as error:
        raise ProofError(f"this is no {CONSISTENCY_PROOF}: {error.detail}") from None
    old, new = (
        _open(name, note_bytes(getattr(document, name)), opener) for name in CONSISTENCY_NOTES
    )
    if old.origin != new.origin:
        raise ProofError(f"two logs: {old.origin[:100]!r} and {new.origin[:100]!r}")
    path = [_hash(f"hashes[{at}]", text) for at, text in enumerate(document.hashes)]
    verify_consistency(old.size, new.size, path, old.root, new.root)
    return VerifiedConsistency(old, new)


def note_bytes(text: str) -> bytes:
    """The note that a consistency proof holds as a string. A lone surrogate, which strict decoding
    refuses, becomes bytes that are refused as not UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _text(name: str, note: bytes) -> str:
    try:
        return note.decode("utf-8")
    except UnicodeDecodeError:
        raise ProofError(f"{name}: not UTF-8") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(where: str, text: str) -> bytes:
    try:
        return decode_base64(text, HASH_BYTES)
    except KeyringError as error:
        raise ProofError(f"{where}: {error}") from None
