"""Ed25519: strict verification, signing, private keys as PEM (SPEC §3, §5).

What lives here: the one place that decides whether a signature verifies. What must not: whose
key it is and whether it counts (`keyring`, `validation`), and files (`authoring`).

The verdict is libsodium's and dalek's `verify_strict`: cofactorless, S < L, canonical encodings,
neither A nor R of small order. OpenSSL, below `cryptography`, compares R's bytes with the canonical
ones it computes, so a non-canonical R never verifies, and refuses S >= L; it accepts an R or an A
of small order, which are refused here.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pithgraph._curve import SMALL_ORDER_ENCODINGS, may_verify, public_key_fault
from pithgraph.errors import KeyringError, PrivateKeyError

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is `public_key`'s (32 raw bytes) over `message` (SPEC §5).

    Anything of another length is no signature. A key of mixed order can verify here; no keyring
    holds one (see `check_public_key`).
    """
    if len(signature) != SIGNATURE_BYTES or signature[:32] in SMALL_ORDER_ENCODINGS:
        return False
    key = _public_key(public_key)
    if key is None:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


@functools.lru_cache(maxsize=4096)
def _public_key(public_key: bytes) -> Ed25519PublicKey | None:
    if len(public_key) != PUBLIC_KEY_BYTES or not may_verify(public_key):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return None


def check_public_key(public_key: bytes) -> None:
    """Raise KeyringError unless SPEC §5 accepts the key: canonical, of prime order."""
    fault = public_key_fault(public_key)
    if fault is not None:
        raise KeyringError(f"the public key is refused: {fault}")


def decode_base64(text: str, length: int) -> bytes:
    """Standard padded base64 with its unused bits zero, of exactly `length` bytes (SPEC §5).

    Raises KeyringError for any other form.
    """
    try:
        if not _BASE64.fullmatch(text):
            raise ValueError("not standard base64")
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyringError(f"{text[:100]!r} is not standard padded base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise KeyringError(f"{text[:100]!r} is base64 whose unused bits are not zero")
    if len(data) != length:
        raise KeyringError(f"{text[:100]!r} holds {len(data)} bytes, not {length}")
    return data


def sign(private_key: Ed25519PrivateKey, message: bytes) -> bytes:
    """The 64 bytes of RFC 8032's Ed25519 signature over `message`."""
    return private_key.sign(message)


def public_bytes(private_key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of the public key that belongs to a private key."""
    return private_key.public_key().public_bytes_raw()


def private_key_to_pem(private_key: Ed25519PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted where a passphrase is given. Raises PrivateKeyError for an empty one,
    which would encrypt nothing."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        if not passphrase:
            raise PrivateKeyError("an empty passphrase protects nothing: give one, or none")
        encryption = serialization.BestAvailableEncryption(passphrase)
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def private_key_from_pem(pem: bytes, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The Ed25519 private key of a PKCS#8 PEM text. Raises PrivateKeyError."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError:
        raise PrivateKeyError(
            "the private key is encrypted: give its passphrase"
            if passphrase is None
            else "the private key is not encrypted: give no passphrase"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise PrivateKeyError("no PKCS#8 PEM private key, or a wrong passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PrivateKeyError("the private key is not an Ed25519 key")
    return key
