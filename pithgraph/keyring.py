"""The keyring: which public keys count, whose they are and when (SPEC §6).

What lives here: reading a keyring document, all of its refusals, and look-ups. What must not:
files and the shipped default (`sources`), and verdicts about events (`validation`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pithgraph.canonical import decode, digest, encode
from pithgraph.documents import KeyEntry, KeyringDocument, view
from pithgraph.errors import EncodeError, KeyringError, Refused
from pithgraph.identifiers import fingerprint_of, is_timestamp
from pithgraph.keys import PUBLIC_KEY_BYTES, check_public_key, decode_base64

REGISTRY: Final = "pith_registry"


class Key(NamedTuple):
    """One key of a keyring. `sha256` is the digest of `public_key`, both 32 bytes."""

    key_id: str
    public_key: bytes
    sha256: bytes
    fingerprint: str
    signer_id: str
    signer_type: str
    valid_from: str | None
    valid_until: str | None
    revoked: bool

    def invalid_at(self, created_at: str) -> str | None:
        """Why the key does not count for an event of this time (a §5 timestamp), or None."""
        if self.revoked:
            return "the key is revoked"
        if self.valid_from is not None and created_at < self.valid_from:
            return f"created_at {created_at} is before valid_from {self.valid_from}"
        if self.valid_until is not None and created_at > self.valid_until:
            return f"created_at {created_at} is after valid_until {self.valid_until}"
        return None


class Keyring:
    """The keys that an auditor trusts, and the digest that names this set (SPEC §6)."""

    def __init__(self, keys: Iterable[Key], sha256: str) -> None:
        self.keys = tuple(keys)
        self.sha256 = sha256
        self._by_fingerprint = {key.fingerprint: key for key in self.keys}
        self._by_key_id = {key.key_id: key for key in self.keys}

    @classmethod
    def from_bytes(cls, data: bytes) -> Keyring:
        """Read a keyring file's bytes. Raises DecodeError or KeyringError."""
        return cls.from_value(decode(data))

    @classmethod
    def from_value(cls, value: Any) -> Keyring:
        """Read a decoded keyring document. Raises KeyringError naming the key at fault."""
        try:
            entries = view(value, KeyringDocument).keys
        except Refused as error:
            raise KeyringError(f"the keyring is refused: {error.detail}") from None
        seen: dict[tuple[str, str], int] = {}
        keys = []
        for index, entry in enumerate(entries):
            try:
                key = _key(entry)
            except KeyringError as error:
                raise KeyringError(f"keys[{index}] ({entry.key_id!r}): {error}") from None
            for name, text in (("key_id", key.key_id), ("fingerprint", key.fingerprint)):
                first = seen.setdefault((name, text), index)
                if first != index:
                    raise KeyringError(f"keys[{index}] has the {name} of keys[{first}]: {text!r}")
            keys.append(key)
        try:
            return cls(keys, _digest(value))
        except EncodeError as error:
            raise KeyringError(f"the keyring is refused: {error}") from None

    def by_fingerprint(self, fingerprint: str) -> Key | None:
        """The key of this fingerprint (32 hex characters), if the keyring has it."""
        return self._by_fingerprint.get(fingerprint)

    def by_key_id(self, key_id: str) -> Key | None:
        """The key of this key_id, if the keyring has it."""
        return self._by_key_id.get(key_id)


def _digest(value: dict[str, Any]) -> str:
    """keyring_sha256 (SPEC §6): of the whole file, its keys sorted by fingerprint."""
    keys = sorted(value["keys"], key=lambda entry: str(entry["public_key_fingerprint"]))
    return digest(encode({**value, "keys": keys}))


def _key(entry: KeyEntry) -> Key:
    public_key = decode_base64(entry.public_key_b64, PUBLIC_KEY_BYTES)
    check_public_key(public_key)
    if entry.public_key_fingerprint != fingerprint_of(public_key):
        raise KeyringError(
            f"public_key_fingerprint is {entry.public_key_fingerprint!r}, "
            f"the key's is {fingerprint_of(public_key)!r}"
        )
    window = []
    for name in ("valid_from", "valid_until"):
        bound = getattr(entry, name)
        if isinstance(bound, str) and not is_timestamp(bound):
            raise KeyringError(f"{name} {bound!r} is no YYYY-MM-DDTHH:MM:SSZ")
        window.append(bound if isinstance(bound, str) else None)
    return Key(
        entry.key_id,
        public_key,
        hashlib.sha256(public_key).digest(),
        entry.public_key_fingerprint,
        entry.signer_id,
        entry.signer_type,
        window[0],
        window[1],
        entry.revoked,
    )
