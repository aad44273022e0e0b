"""Ed25519: strict verification, signing, private keys as PEM (SPEC §3, §5).

What lives here: the one place that decides whether a signature verifies. What must not: whose
key it is and whether it counts (`keyring`, `validation`), and files (`authoring`).

The verdict is libsodium's and dalek's `verify_strict`: cofactorless, S < L, canonical encodings,
neither A nor R of small order. Two libraries give it, and never disagree:

* `cryptography`, always there. OpenSSL, below it, compares R's bytes with the canonical ones it
  computes, so a non-canonical R never verifies, and refuses S >= L; it accepts an R or an A of
  small order, which are refused here.
* PyNaCl, about twice as fast, where the extra `fast` brought it. libsodium, below it, asks all of
  this itself, for inputs of the right lengths.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pithgraph._curve import SMALL_ORDER_ENCODINGS, may_verify, public_key_fault
from pithgraph.errors import KeyringError, PrivateKeyError

try:
    from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
    from nacl.exceptions import BadSignatureError, UnavailableError
except ImportError:
    _HAS_PYNACL = False
else:
    _HAS_PYNACL = True

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is `public_key`'s (32 raw bytes) over `message` (SPEC §5).

    Anything of another length is no signature. A key of mixed order can verify here; no keyring
    holds one (see `check_public_key`).
    """
    return _verify(public_key, signature, message)


def _verify_with_cryptography(public_key: bytes, signature: bytes, message: bytes) -> bool:
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


def _verify_with_pynacl(public_key: bytes, signature: bytes, message: bytes) -> bool:
    # The binding asks for neither length: of a shorter key, libsodium would read past the end.
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


# The base point moved by the point of order two, so a key of mixed order, and a signature by it of
# the empty message that holds only times the cofactor: R is the base point, and S = 1 + k.
_MIXED_KEY: Final = bytes.fromhex("95" + "99" * 31)
_COFACTORED_SIGNATURE: Final = bytes.fromhex(
    "58" + "66" * 31 + "cef0f3607d542811b092203c0d897695770bc835da2fdf20e7fd516b24898903"
)


def _pynacl_decides_alike() -> bool:
    """Whether PyNaCl is here and its libsodium refuses what libsodiums are known to differ on.

    Asked of the library, since PyNaCl's version does not tell: it may be built on the system's
    libsodium. Before 1.0.20-stable of December 2025, which PyNaCl 1.6.2 brings, the point check
    took some keys of mixed order (CVE-2025-69277); ports of its unreleased code have a cofactor.
    """
    try:
        return (
            _HAS_PYNACL
            and not crypto_core_ed25519_is_valid_point(_MIXED_KEY)
            and not _verify_with_pynacl(_MIXED_KEY, _COFACTORED_SIGNATURE, b"")
        )
    except UnavailableError:  # a minimal build of libsodium has no point check
        return False


BACKENDS: Final[dict[str, Callable[[bytes, bytes, bytes], bool]]] = {
    "cryptography": _verify_with_cryptography
}
"""What can verify here, the fastest last: each a function like `verify`, of the same verdicts."""

if _pynacl_decides_alike():
    BACKENDS["pynacl"] = _verify_with_pynacl

_backend, _verify = list(BACKENDS.items())[-1]


def use_backend(name: str | None = None) -> None:
    """Verify with this one of BACKENDS from now on, in this process; None is the fastest.

    Raises ValueError for one that is not there.
    """
    global _backend, _verify
    if name is None:
        name = list(BACKENDS)[-1]
    if name not in BACKENDS:
        if name == "pynacl":
            raise ValueError("PyNaCl is not installed, or too old: pip install pynacl")
        raise ValueError(f"{name!r} is none of the libraries that verify: {', '.join(BACKENDS)}")
    _backend, _verify = name, BACKENDS[name]


def backend() -> str:
    """The name of the library that verifies in this process."""
    return _backend


def check_public_key(public_key: bytes) -> None:
    """Raise KeyringError unless SPEC §5 accepts the key: canonical, of prime order."""
    # libsodium answers just so, thirty times as fast, but names no fault.
    if (
        _backend == "pynacl"
        and len(public_key) == PUBLIC_KEY_BYTES
        and crypto_core_ed25519_is_valid_point(public_key)
    ):
        return
    fault = public_key_fault(public_key)
    if fault is not None:
        raise KeyringError(f"the public key is refused: {fault}")


def decode_base64(text: str, length: int) -> bytes:
    """Standard padded base64 with its unused bits zero, of exactly `length` bytes (SPEC §5).

    Raises KeyringError for any other form.
    """
    data = decode_any_base64(text)
    if len(data) != length:
        raise KeyringError(f"{text[:100]!r} holds {len(data)} bytes, not {length}")
    return data


def decode_any_base64(text: str) -> bytes:
    """As `decode_base64`, of any length. Raises KeyringError."""
    try:
        if not _BASE64.fullmatch(text):
            raise ValueError("not standard base64")
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KeyringError(f"{text[:100]!r} is not standard padded base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise KeyringError(f"{text[:100]!r} is base64 whose unused bits are not zero")
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
            "the private key is encrypted: give its passphrase (--passphrase-file, where the verb "
            "has it), or write it to another file without one, as by `openssl pkey -in KEY -out "
            "OTHER`"
            if passphrase is None
            else "the private key is not encrypted: give no passphrase"
        ) from None
    except (ValueError, UnsupportedAlgorithm, InternalError):  # the last for keys too short
        raise PrivateKeyError("no PKCS#8 PEM private key, or a wrong passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PrivateKeyError("the private key is not an Ed25519 key")
    return key


def public_key_from_pem(pem: bytes) -> bytes:
    """The 32 raw bytes of the Ed25519 public key of a SubjectPublicKeyInfo PEM text. Whether it is
    acceptable, `check_public_key` says. Raises KeyringError."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise KeyringError("no PEM public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyringError("the public key is not an Ed25519 key")
    return key.public_bytes_raw()
