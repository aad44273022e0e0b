"""Making events: keys in files, building and signing (SPEC §5).

What lives here: private key files, and a signed event from its parts. What must not: judging;
whoever signs asks `validation` or the log whether the event will count.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.canonical import encode
from pithgraph.errors import PrivateKeyError
from pithgraph.events import Event, computed_event_id, id_bytes
from pithgraph.identifiers import fingerprint_of
from pithgraph.keys import private_key_from_pem, private_key_to_pem, public_bytes, sign

_OWNER_ONLY: Final = 0o600
_MAX_KEY_BYTES: Final = 1 << 16


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
        with os.fdopen(file, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise PrivateKeyError(f"{path}: the file exists; keys are not overwritten") from None
    except OSError as error:
        raise PrivateKeyError(f"{path}: {error.strerror}") from None


def load_private_key(
    path: str | os.PathLike[str], passphrase: bytes | None = None
) -> Ed25519PrivateKey:
    """Read a private key file. Raises PrivateKeyError naming the file, never its content."""
    try:
        with open(path, "rb") as file:
            pem = file.read(_MAX_KEY_BYTES + 1)
        if len(pem) > _MAX_KEY_BYTES:
            raise PrivateKeyError(f"longer than {_MAX_KEY_BYTES} bytes, which no key is")
        return private_key_from_pem(pem, passphrase)
    except OSError as error:
        raise PrivateKeyError(f"{path}: {error.strerror}") from None
    except PrivateKeyError as error:
        raise PrivateKeyError(f"{path}: {error}") from None


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
    public_key = public_bytes(private_key)
    return {
        "key_id": key_id,
        "algorithm": "ed25519",
        "public_key_b64": base64.b64encode(public_key).decode("ascii"),
        "public_key_fingerprint": fingerprint_of(public_key),
        "signer_id": signer_id,
        "signer_type": signer_type,
    }
