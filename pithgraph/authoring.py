"""Making events: keys in files, building and signing (SPEC §5).

What lives here: files of keys and payloads, and a signed event from its parts. What must not:
judging; whoever signs asks `appending` whether the event will count.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.canonical import MAX_LINE_BYTES, decode, encode
from pithgraph.errors import DecodeError, KeyringError, PrivateKeyError, Refused
from pithgraph.events import Event, computed_event_id, id_bytes
from pithgraph.identifiers import fingerprint_of
from pithgraph.keyring_edits import new_entry
from pithgraph.keys import (
    PUBLIC_KEY_BYTES,
    decode_base64,
    private_key_from_pem,
    private_key_to_pem,
    public_bytes,
    public_key_from_pem,
    sign,
)
from pithgraph.sources import STANDARD_INPUT, opened

_OWNER_ONLY: Final = 0o600
_MAX_KEY_BYTES: Final = 1 << 16
_MAX_PASSPHRASE_BYTES: Final = 1023  # OpenSSL's own limit

BASE64: Final = "base64"
PUBLIC_PEM: Final = "public_pem"
PRIVATE_PEM: Final = "private_pem"


class PublicKey(NamedTuple):
    """32 bytes that stand as a public key, not checked, and in which form they came."""

    raw: bytes
    form: str


def generate_private_key() -> Ed25519PrivateKey:
    """A new Ed25519 private key from the system's random source."""
    return Ed25519PrivateKey.generate()


def save_private_key(
    private_key: Ed25519PrivateKey,
    path: str | os.PathLike[str],
    passphrase: bytes | None = None,
) -> None:
    """Write a private key as PKCS#8 PEM to a new file that only its owner may read (0600).

    Raises PrivateKeyError; an existing file is never overwritten.
    """
    pem = private_key_to_pem(private_key, passphrase)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            os.unlink(path)  # half a key would be in the way of a whole one
            raise
    except FileExistsError:
        raise PrivateKeyError(f"{path}: the file exists; keys are not overwritten") from None
    except OSError as error:
        raise PrivateKeyError(f"{path}: {error.strerror}") from None


def load_private_key(
    path: str | os.PathLike[str], passphrase: bytes | None = None
) -> Ed25519PrivateKey:
    """Read a private key file. Raises PrivateKeyError naming the file, never its content."""
    try:
        return private_key_from_pem(_read(path), passphrase)
    except PrivateKeyError as error:
        raise PrivateKeyError(f"{path}: {error}") from None


def load_passphrase(path: str | os.PathLike[str]) -> bytes:
    """The passphrase in a file, without the line end behind it. Raises PrivateKeyError."""
    try:
        passphrase = _read(path).removesuffix(b"\n").removesuffix(b"\r")
        if not 0 < len(passphrase) <= _MAX_PASSPHRASE_BYTES:
            raise PrivateKeyError(f"a passphrase has 1 to {_MAX_PASSPHRASE_BYTES} bytes")
    except PrivateKeyError as error:
        raise PrivateKeyError(f"{path}: {error}") from None
    return passphrase


def read_public_key(text: str, passphrase: bytes | None = None) -> PublicKey:
    """The public key that a user names: a file (PEM of a public or a private key, or base64), else
    base64 itself. Whether it is acceptable, `keys.check_public_key` says.

    Raises KeyringError or PrivateKeyError; neither quotes a file, which may hold a secret.
    """
    if text != STANDARD_INPUT and not os.path.exists(text):
        try:
            return PublicKey(decode_base64(text, PUBLIC_KEY_BYTES), BASE64)
        except KeyringError as error:
            raise KeyringError(f"no file, and no public key in base64: {error}") from None
    try:
        content = _read(text)
        if b"PRIVATE KEY-----" in content:
            return PublicKey(public_bytes(private_key_from_pem(content, passphrase)), PRIVATE_PEM)
        if content.lstrip().startswith(b"-----BEGIN "):
            return PublicKey(public_key_from_pem(content), PUBLIC_PEM)
    except PrivateKeyError as error:
        raise PrivateKeyError(f"{text}: {error}") from None
    except KeyringError as error:
        raise KeyringError(f"{text}: {error}") from None
    try:
        return PublicKey(decode_base64(content.decode("ascii").strip(), PUBLIC_KEY_BYTES), BASE64)
    except (KeyringError, UnicodeDecodeError):
        raise KeyringError(
            f"{text}: neither PEM nor the {PUBLIC_KEY_BYTES} bytes of a public key in base64"
        ) from None


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        with opened(path) as file:
            content = file.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        raise PrivateKeyError(error.strerror) from None
    if len(content) > _MAX_KEY_BYTES:
        raise PrivateKeyError(f"longer than {_MAX_KEY_BYTES} bytes, which no key is")
    return content


def load_payload(path: str) -> dict[str, Any]:
    """The JSON object in a file, or on standard input for `-`. Raises Refused naming the file."""
    try:
        with opened(path) as file:
            data = file.read(MAX_LINE_BYTES + 1)
        payload = decode(data, max_bytes=MAX_LINE_BYTES)
    except OSError as error:
        raise Refused("unreadable", f"{path}: {error.strerror}") from None
    except DecodeError as error:
        raise Refused("wrong_shape", f"{path}: {error}") from None
    if not isinstance(payload, dict):
        raise Refused("wrong_shape", f"{path}: a payload is a JSON object")
    return payload


def sign_event(
    private_key: Ed25519PrivateKey,
    *,
    event_type: str,
    subject: str,
    target: str,
    payload: Mapping[str, Any],
    created_at: str,
    key_id: str,
    signer_id: str,
    signer_type: str,
    previous_event_id: str | None = None,
) -> Event:
    """A whole signed event (SPEC §5): its id computed, its signature over the id's 32 bytes.

    `subject` is a full Pith Number, `created_at` a §5 timestamp. Raises EncodeError for what JSON
    cannot hold, Refused for what no log admits. Which kinds, targets and payloads there are, who
    may sign them: SPEC §5 lists it. Whether this event is valid, `verdict_of` says.

    >>> import pithgraph
    >>> key = pithgraph.generate_private_key()
    >>> signer = {"key_id": "k1", "signer_id": "a@example.org", "signer_type": "author"}
    >>> event = pithgraph.sign_event(
    ...     key,
    ...     event_type="correction",
    ...     subject="pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7",
    ...     target="record",
    ...     payload={"action": "amend", "reason": "a wrong sign in (3)"},
    ...     created_at="2026-06-01T12:00:00Z",
    ...     **signer,
    ... )
    >>> keyring = pithgraph.Keyring.from_value({"keys": [pithgraph.keyring_entry(key, **signer)]})
    >>> pithgraph.verdict_of(event, keyring).reason is None
    True
    """
    public_key = public_bytes(private_key)
    body: dict[str, Any] = {
        "event_type": event_type,
        "subject_pith_number": subject,
        "target": target,
        "payload": dict(payload),
        "created_at": created_at,
        "signer": {
            "key_id": key_id,
            "public_key_fingerprint": fingerprint_of(public_key),
            "signer_id": signer_id,
            "signer_type": signer_type,
        },
    }
    if previous_event_id is not None:
        body["previous_event_id"] = previous_event_id
    return seal_event(private_key, body, key_id)


def seal_event(private_key: Ed25519PrivateKey, body: Mapping[str, Any], key_id: str) -> Event:
    """An event from all of its members but its id and signature, which belong to whatever stands
    in them. Raises as `sign_event`."""
    event_id = computed_event_id(encode(body))
    signature = {
        "algorithm": "ed25519",
        "key_id": key_id,
        "signed_message": "event_sha256_bytes",
        "signature_b64": base64.b64encode(sign(private_key, id_bytes(event_id))).decode("ascii"),
    }
    return Event.from_value({**body, "event_id": event_id, "signature": signature})


def keyring_entry(
    private_key: Ed25519PrivateKey, *, key_id: str, signer_id: str, signer_type: str
) -> dict[str, Any]:
    """The row of a keyring (SPEC §6) that trusts a key as this signer."""
    return new_entry(
        public_bytes(private_key), key_id=key_id, signer_id=signer_id, signer_type=signer_type
    )
