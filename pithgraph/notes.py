"""Signed notes and verifier keys: a text, and who signed it (SPEC §10, C2SP `signed-note`).

What lives here: the form of a note, signing one, and verifying it by keys that the caller trusts.
What must not: what a text means (`checkpoints`), where keys come from, and event keyrings, whose
keys are others (`keyring`).

A note is a text that ends in a newline, an empty line, and signature lines: an em dash, the key's
name, and base64 of a 4-byte key hash with a signature. Name and key hash together say which key
it was. The hash is short and easily forged, so it only ever selects a key that is trusted already.
Where this room is stricter than C2SP it says so with "ours".
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.errors import CheckpointError, KeyringError
from pithgraph.keys import (
    PUBLIC_KEY_BYTES,
    check_public_key,
    decode_any_base64,
    public_bytes,
    sign,
    verify,
)

MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 100
"""Far more than the 16 that C2SP asks for, post-quantum ones of 5 kB included."""

KEY_HASH_BYTES: Final = 4
ED25519: Final = 1
"""The signature type of an Ed25519 key, and the only one that is verified here."""

_DASH: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_KEY_HASH: Final = re.compile(r"[0-9a-f]{8}")


class VerifierKey(NamedTuple):
    """A trusted key of a log: its name, and 32 raw bytes of Ed25519.

    Made by `parse_verifier_key` and `verifier_key`, which check both; as a text, NAME+HASH+KEY.
    """

    name: str
    public_key: bytes

    @property
    def key_hash(self) -> bytes:
        """The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)."""
        named = self.name.encode() + b"\n" + bytes([ED25519]) + self.public_key
        return hashlib.sha256(named).digest()[:KEY_HASH_BYTES]

    def __str__(self) -> str:
        """NAME+HASH+KEY, as `parse_verifier_key` reads it."""
        key = base64.b64encode(bytes([ED25519]) + self.public_key).decode("ascii")
        return f"{self.name}+{self.key_hash.hex()}+{key}"


class NoteSignature(NamedTuple):
    """One signature line; `line` counts from 1 in the whole note."""

    name: str
    key_hash: bytes
    signature: bytes
    line: int


class Note(NamedTuple):
    """A note as received: nobody has verified it. `text` ends in a newline."""

    text: str
    signatures: tuple[NoteSignature, ...]


def verifier_key(name: str, public_key: bytes) -> VerifierKey:
    """A verifier key of these. Raises CheckpointError for a name that no key can have, or a public
    key that SPEC §5 refuses."""
    check_key_name(name)
    try:
        check_public_key(public_key)
    except KeyringError as error:
        raise CheckpointError(str(error)) from None
    return VerifierKey(name, public_key)


def parse_verifier_key(text: str) -> VerifierKey:
    """NAME+HASH+KEY: 8 lower-case hex digits of key hash, base64 of 0x01 and the public key.

    Raises CheckpointError saying which part is at fault.

    >>> import pithgraph
    >>> text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    >>> pithgraph.parse_verifier_key(text).name
    'PeterNeumann'
    """
    parts = text.split("+", 2)  # base64 may have a + itself, a name and a hash cannot
    if len(parts) != 3:
        raise CheckpointError(f"{text[:100]!r} is no verifier key: give NAME+HASH+KEY")
    name, key_hash, encoded = parts
    where = f"verifier key {name[:100]!r}"
    if not _KEY_HASH.fullmatch(key_hash):
        raise CheckpointError(f"{where}: {key_hash[:100]!r} is not 8 lower-case hex digits")
    try:
        data = decode_any_base64(encoded)
        if data[:1] != bytes([ED25519]):
            raise CheckpointError(f"not of type 1, Ed25519, but {data[:1].hex() or 'empty'}")
        if len(data) != 1 + PUBLIC_KEY_BYTES:
            raise CheckpointError(f"a key of {len(data) - 1} bytes, not {PUBLIC_KEY_BYTES}")
        key = verifier_key(name, data[1:])
    except (KeyringError, CheckpointError) as error:
        raise CheckpointError(f"{where}: {error}") from None
    if key.key_hash.hex() != key_hash:
        raise CheckpointError(f"{where}: the key hash is {key.key_hash.hex()}, not {key_hash}")
    return key


def check_key_name(name: str) -> None:
    """Raises CheckpointError for a name that no key, and so no log, can have."""
    fault = _name_fault(name)
    if fault:
        raise CheckpointError(fault)


def _name_fault(name: str) -> str | None:
    if not name:
        return "the key's name is empty"
    if _SURROGATE.search(name):  # such as a command line's bytes that are not UTF-8
        return f"the key's name {name[:100]!r} is not Unicode"
    if "+" in name or any(character.isspace() for character in name) or _CONTROL.search(name):
        return f"the key's name {name[:100]!r} has a plus, a space or a control character"
    return None


def parse_note(data: bytes) -> Note:
    """A note as received. Raises CheckpointError naming the line at fault.

    Ours: base64 has its unused bits zero, and a malformed line refuses the note, whoever's it is.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise CheckpointError(f"a note of {len(data)} bytes: at most {MAX_NOTE_BYTES} are read")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"line {line}: not UTF-8") from None
    _refuse_control(whole)
    text, empty, tail = whole.rpartition("\n\n")
    if not empty:
        raise CheckpointError("there is no empty line between a text and its signatures")
    first = whole.count("\n") - tail.count("\n") + 1
    if not tail.endswith("\n"):
        raise CheckpointError(
            f"line {whole.count(chr(10)) + 1}: the note does not end in a newline"
        )
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointError(f"{len(lines)} signatures: at most {MAX_SIGNATURES} are read")
    found = tuple(_signature(line, number) for number, line in enumerate(lines, start=first))
    return Note(text + "\n", found)


def _refuse_control(text: str) -> None:
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise CheckpointError(f"line {line}: the control character U+{ord(control[0]):04X}")


def _signature(line: str, number: int) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise CheckpointError(f"line {number}: not an em dash, a name and a signature")
    fault = _name_fault(name)
    if fault:
        raise CheckpointError(f"line {number}: {fault}")
    try:
        data = decode_any_base64(encoded)
    except KeyringError as error:
        raise CheckpointError(f"line {number}: {error}") from None
    if len(data) <= KEY_HASH_BYTES:
        raise CheckpointError(f"line {number}: {len(data)} bytes hold no key hash and signature")
    return NoteSignature(name, data[:KEY_HASH_BYTES], data[KEY_HASH_BYTES:], number)


def sign_note(text: str, name: str, private_key: Ed25519PrivateKey) -> bytes:
    """The note of a text with one signature. Raises CheckpointError for a text that does not end
    in a newline or has control characters, and for a name that no key can have."""
    key = verifier_key(name, public_bytes(private_key))
    if not text.endswith("\n"):
        raise CheckpointError("the text of a note ends in a newline")
    _refuse_control(text)
    signature = sign(private_key, text.encode("utf-8"))
    encoded = base64.b64encode(key.key_hash + signature).decode("ascii")
    return f"{text}\n{_DASH}{name} {encoded}\n".encode()


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The keys, of those given, that signed a note: each once, in the note's order.

    Signatures by other keys are ignored. Raises CheckpointError where one by a key that is given
    does not verify, beside others that do and repeated ones too; where there is none; and where
    two keys that are given have one name and one key hash.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_hash), key) != key:
            raise CheckpointError(
                f"two verifier keys are called {key.name}+{key.key_hash.hex()}: trust only one"
            )
    message = note.text.encode("utf-8")
    signers: dict[VerifierKey, None] = {}
    for name, key_hash, signature, line in note.signatures:
        signer = known.get((name, key_hash))
        if signer is None:
            continue
        if not verify(signer.public_key, signature, message):
            raise CheckpointError(f"line {line}: the signature of {name} does not verify")
        signers[signer] = None
    if not signers:
        said = ", ".join(f"{one.name[:100]}+{one.key_hash.hex()}" for one in note.signatures[:4])
        raise CheckpointError(f"no signature is by a trusted key: they are by {said}")
    return tuple(signers)
