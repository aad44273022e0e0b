"""Ed25519 (SPEC §5): which public keys and which signatures are accepted, and private keys as PEM.

Whatever verifies is asked of each library in turn. Second opinions: the rules of SPEC §5 in plain
arithmetic, libsodium itself, RFC 8032, Wycheproof and ed25519-speccheck.
"""

import base64
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError, UnavailableError

from curve import (
    IDENTITY,
    NEGATIVE_ZERO,
    UNREDUCED,
    P,
    Point,
    add,
    decoded,
    encoded,
    lift,
    moved,
    times,
    torsion,
)
from pithgraph import keys
from pithgraph._curve import SMALL_ORDER_ENCODINGS, L, may_verify, public_key_fault
from pithgraph.errors import KeyringError, PrivateKeyError
from pithgraph.keys import (
    check_public_key,
    decode_base64,
    private_key_from_pem,
    private_key_to_pem,
    public_bytes,
    sign,
    verify,
)
from signing import ALICE, BOB, ORDER, REGISTRY, b64
from vectors import vectors

each_backend = pytest.mark.usefixtures("backend")


# --- public keys


def test_small_order_encodings_are_the_eight_points() -> None:
    assert {encoded(point) for point in torsion()} == SMALL_ORDER_ENCODINGS
    assert len(SMALL_ORDER_ENCODINGS) == 8
    assert L == ORDER


def sodium_takes_key(key: bytes) -> bool:
    return bool(bindings.crypto_core_ed25519_is_valid_point(key))


def is_taken(key: bytes) -> bool:
    try:
        check_public_key(key)
    except KeyringError:
        return False
    return True


@each_backend
@settings(max_examples=150)
@given(st.binary(min_size=32, max_size=32))
def test_keys_are_taken_as_libsodium_takes_points(key: bytes) -> None:
    assert (public_key_fault(key) is None) == sodium_takes_key(key) == is_taken(key)


@pytest.mark.longer
@each_backend
@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 7))
def test_keys_of_prime_and_mixed_order(seed: bytes, index: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert public_key_fault(key) is None
    mixed = moved(key, index)
    assert (public_key_fault(mixed) is None) == sodium_takes_key(mixed) == (index == 0)
    assert is_taken(mixed) == (index == 0)


@each_backend
@settings(max_examples=60)
@given(st.integers(1, ORDER - 1))
def test_multiples_of_the_base_point_are_taken(scalar: int) -> None:
    key = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))
    assert public_key_fault(key) is None
    check_public_key(key)


@each_backend
@pytest.mark.parametrize(
    ("refused", "fault"),
    [
        (UNREDUCED, "not the canonical encoding"),
        (NEGATIVE_ZERO, "not the canonical encoding"),
        (sorted(SMALL_ORDER_ENCODINGS), "small order"),
        ([moved(ALICE.public, index) for index in range(1, 8)], "outside the subgroup"),
        ([(2).to_bytes(32, "little")], "not the canonical encoding"),  # no x for this y
        ([b"", ALICE.public[:31], ALICE.public + b"\0"], "32 bytes"),
    ],
)
def test_refused_keys(refused: list[bytes], fault: str) -> None:
    for key in refused:
        assert fault in (public_key_fault(key) or "accepted")
        with pytest.raises(KeyringError, match=fault):
            check_public_key(key)
        if len(key) == 32:
            assert not sodium_takes_key(key)


def test_may_verify_refuses_small_order_and_unreduced_keys_alone() -> None:
    for key in (*UNREDUCED, *NEGATIVE_ZERO, *SMALL_ORDER_ENCODINGS):
        assert not may_verify(key)
    assert all(may_verify(moved(ALICE.public, index)) for index in range(8))


# --- signatures

MESSAGE = hashlib.sha256(b"a message").digest()


def sodium_verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        return bool(bindings.crypto_sign_open(signature + message, key) == message)
    except BadSignatureError:
        return False


def with_s(signature: bytes, s: int) -> bytes:
    return signature[:32] + s.to_bytes(32, "little")


def s_of(signature: bytes) -> int:
    return int.from_bytes(signature[32:], "little")


@st.composite
def trials(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A key, a signature and a message: mostly a good signature with one thing changed."""
    key = draw(st.sampled_from((ALICE, BOB, REGISTRY)))
    message = draw(st.binary(max_size=40) | st.just(MESSAGE))
    signed = draw(st.booleans())
    signature = key.sign(message) if signed else key.sign_again(message, "a trial")
    public = key.public
    change = draw(st.integers(0, 8))
    if change == 1:
        bit = draw(st.integers(0, 511))
        signature = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
    elif change == 2:
        room = (2**256 - 1 - s_of(signature)) // ORDER
        signature = with_s(signature, s_of(signature) + draw(st.integers(1, room)) * ORDER)
    elif change == 3:
        commitments = [*sorted(SMALL_ORDER_ENCODINGS), *UNREDUCED, *NEGATIVE_ZERO]
        signature = draw(st.sampled_from(commitments)) + signature[32:]
    elif change == 4:
        signature = moved(signature[:32], draw(st.integers(1, 7))) + signature[32:]
    elif change == 5:
        public = draw(st.sampled_from((ALICE, BOB, REGISTRY))).public
    elif change == 6:
        public = moved(public, draw(st.integers(1, 7)))
    elif change == 7:
        public = draw(st.sampled_from([*sorted(SMALL_ORDER_ENCODINGS), *UNREDUCED, *NEGATIVE_ZERO]))
    elif change == 8:
        message += b"\0"
    return public, signature, message


@pytest.mark.longer
@each_backend
@settings(max_examples=300)
@given(trials())
@example((ALICE.public, ALICE.sign(MESSAGE), MESSAGE))
def test_signatures_are_taken_as_libsodium_takes_them(trial: tuple[bytes, bytes, bytes]) -> None:
    assert verify(*trial) == sodium_verifies(*trial)


@each_backend
@given(st.binary(min_size=64, max_size=64))
def test_random_signatures_are_refused(signature: bytes) -> None:
    assert not verify(ALICE.public, signature, MESSAGE)
    assert not sodium_verifies(ALICE.public, signature, MESSAGE)


@each_backend
def test_both_signatures_of_one_message_verify() -> None:
    for signature in (ALICE.sign(MESSAGE), ALICE.sign_again(MESSAGE)):
        assert verify(ALICE.public, signature, MESSAGE)
        assert not verify(BOB.public, signature, MESSAGE)
        assert not verify(ALICE.public, signature, MESSAGE + b"\0")


@each_backend
@pytest.mark.parametrize("times_order", range(1, 15))
def test_s_that_is_not_reduced_is_refused(times_order: int) -> None:
    good = ALICE.sign(MESSAGE)
    signature = with_s(good, s_of(good) + times_order * ORDER)
    assert verify(ALICE.public, good, MESSAGE)
    assert not verify(ALICE.public, signature, MESSAGE)


SECRET = hashlib.sha512(ALICE.seed).digest()
SCALAR = int.from_bytes(SECRET[:32], "little") & (2**254 - 8) | 2**254


def challenge(key: bytes, commitment: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + key + message).digest(), "little") % ORDER


def completed(
    commitment: bytes,
    nonce: int,
    key: bytes = ALICE.public,
    scalar: int = SCALAR,
    message: bytes = MESSAGE,
) -> bytes:
    """The signature (R, S) with R = commitment and S = nonce + H(R, A, M)·a. Where R is nonce·B and
    A is a·B up to torsion, SB = R + hA up to torsion."""
    s = (nonce + challenge(key, commitment, message) * scalar) % ORDER
    return with_s(commitment + bytes(32), s)


@each_backend
def test_a_commitment_of_small_order_is_refused() -> None:
    identity = encoded(IDENTITY)
    public = ALICE.private.public_key()
    public.verify(completed(identity, 0), MESSAGE)  # raises where OpenSSL refuses
    for commitment in (*SMALL_ORDER_ENCODINGS, *NEGATIVE_ZERO):
        signature = completed(commitment, 0)
        assert not verify(ALICE.public, signature, MESSAGE)
        assert not sodium_verifies(ALICE.public, signature, MESSAGE)


@each_backend
def test_the_equation_has_no_cofactor() -> None:
    """R with torsion: eight times the equation holds, the equation does not."""
    nonce = 123456789
    plain = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    accepted = [
        verify(ALICE.public, completed(moved(plain, index), nonce), MESSAGE) for index in range(8)
    ]
    assert accepted == [True] + [False] * 7


@each_backend
@pytest.mark.parametrize("length", [0, 31, 63, 65, 128])
def test_other_lengths_are_no_signature(length: int) -> None:
    assert not verify(ALICE.public, (ALICE.sign(MESSAGE) * 2)[:length], MESSAGE)


@each_backend
@pytest.mark.parametrize("key", [b"", ALICE.public[:31], ALICE.public + b"\0"])
def test_other_lengths_are_no_key(key: bytes) -> None:
    assert not verify(key, ALICE.sign(MESSAGE), MESSAGE)


@each_backend
def test_lengths_are_asked_though_the_bytes_would_fit() -> None:
    """A library that is given signature and message in one, or the address of a key, is content."""
    signed = ALICE.sign(MESSAGE) + MESSAGE
    taken = [at for at in (63, 64, 65) if verify(ALICE.public, signed[:at], signed[at:])]
    assert taken == [64]
    seeds = (hashlib.sha256(bytes([a, b])).digest() for a in range(256) for b in range(256))
    private = map(Ed25519PrivateKey.from_private_bytes, seeds)
    key = next(key for key in private if public_bytes(key)[-1] == 0)
    public, signature = public_bytes(key), sign(key, MESSAGE)
    assert verify(public, signature, MESSAGE)
    assert not verify(public[:31], signature, MESSAGE)  # a zero stands after the bytes of an object
    assert not verify(public + b"\0", signature, MESSAGE)


# --- every library decides alike

BASE = decoded(bytes.fromhex("58" + "66" * 31))
ODD_POINTS = [*sorted(SMALL_ORDER_ENCODINGS), *UNREDUCED, *NEGATIVE_ZERO]
Trial = tuple[bytes, bytes, bytes]


def plain_point(encoding: bytes) -> Point | None:
    """The point of an A or R that SPEC §5 takes: canonical, not of small order."""
    y = int.from_bytes(encoding, "little") % 2**255
    if y >= P or lift(y) is None or encoding in NEGATIVE_ZERO:
        return None
    point = decoded(encoding)
    return None if times(8, point) == IDENTITY else point


@functools.cache
def plainly_verifies(key: bytes, signature: bytes, message: bytes, cofactor: int = 1) -> bool:
    """The rules of SPEC §5, one after the other; no library has a part in it."""
    if len(key) != 32 or len(signature) != 64 or s_of(signature) >= ORDER:
        return False
    a, r = plain_point(key), plain_point(signature[:32])
    if a is None or r is None:
        return False
    right = add(r, times(challenge(key, signature[:32], message), a))
    return times(cofactor, times(s_of(signature), BASE)) == times(cofactor, right)


def multiple(nonce: int) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))


@st.composite
def forgeries(draw: st.DrawFn) -> Trial:
    """Signatures that satisfy the equation up to the torsion in R and A, of which either may be of
    small or mixed order or not canonical; often one bit, S or a length is changed as well."""
    message = draw(st.binary(max_size=40))
    key, scalar = moved(ALICE.public, draw(st.integers(0, 7))), SCALAR
    nonce = draw(st.integers(1, ORDER - 1))
    commitment = moved(multiple(nonce), draw(st.integers(0, 7)))
    odd = draw(st.integers(0, 9))
    if odd in (0, 1):
        commitment, nonce = draw(st.sampled_from(ODD_POINTS)), 0
    if odd in (1, 2):
        key, scalar = draw(st.sampled_from(ODD_POINTS)), 0
    signature = completed(commitment, nonce, key, scalar, message)
    change = draw(st.sampled_from((None, None, "s", "bit", "length", "random")))
    if change == "s":
        room = (2**256 - 1 - s_of(signature)) // ORDER
        signature = with_s(signature, s_of(signature) + draw(st.integers(1, room)) * ORDER)
    elif change == "random":
        signature = draw(st.binary(min_size=64, max_size=64))
    elif change is not None:
        parts = [key, signature, message]
        index = draw(st.integers(0, 2))
        if change == "length":
            parts[index] = (parts[index] * 2)[: draw(st.integers(0, 130))]
        elif parts[index]:
            bit = draw(st.integers(0, 8 * len(parts[index]) - 1))
            number = int.from_bytes(parts[index], "little") ^ 1 << bit
            parts[index] = number.to_bytes(len(parts[index]), "little")
        key, signature, message = parts
    return key, signature, message


@pytest.mark.longer
@settings(max_examples=200)
@given(forgeries() | trials())
def test_every_library_decides_alike_and_as_plain_arithmetic_does(trial: Trial) -> None:
    verdicts = {name: check(*trial) for name, check in keys.BACKENDS.items()}
    assert verdicts == dict.fromkeys(("cryptography", "pynacl"), plainly_verifies(*trial))


def known_forgeries() -> Iterator[Trial]:
    """Some of each kind, so that none is left to chance."""
    good, plain = ALICE.sign(MESSAGE), multiple(123456789)
    yield ALICE.public, good, MESSAGE
    yield ALICE.public, with_s(good, s_of(good) + ORDER), MESSAGE
    for i in range(8):
        for j in range(0, 8, 1 + 3 * (i > 0)):
            key, commitment = moved(ALICE.public, j), moved(plain, i)
            yield key, completed(commitment, 123456789, key), MESSAGE
    for odd in ODD_POINTS:
        yield ALICE.public, completed(odd, 0), MESSAGE
        # Torsion of which the challenge is no multiple would fail the equation by itself.
        messages = (bytes([number]) for number in range(256))
        message = next(text for text in messages if challenge(odd, plain, text) % 8 == 0)
        yield odd, completed(plain, 123456789, odd, 0, message), message


KNOWN = list(known_forgeries())


def misjudged(check: Callable[[bytes, bytes, bytes], bool]) -> list[Trial]:
    return [trial for trial in KNOWN if check(*trial) != plainly_verifies(*trial)]


@pytest.mark.longer
@pytest.mark.parametrize("name", ["cryptography", "pynacl"])
def test_known_forgeries_are_judged_as_plain_arithmetic_does(name: str) -> None:
    assert misjudged(keys.BACKENDS[name]) == []
    verdicts = [plainly_verifies(*trial) for trial in KNOWN]
    assert verdicts[:3] == [True, False, True]
    assert any(verdicts[3:])  # a key of mixed order can verify


def opened_with_cofactor(signed: bytes, key: bytes) -> bytes:
    if not plainly_verifies(key, signed[:64], signed[64:], 8):
        raise BadSignatureError
    return signed[64:]


def opened_by_openssl(signed: bytes, key: bytes) -> bytes:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed[:64], signed[64:])
    except InvalidSignature:
        raise BadSignatureError from None
    return signed[64:]


def opened_with_any_s(signed: bytes, key: bytes) -> bytes:
    reduced = with_s(signed[:64], s_of(signed[:64]) % ORDER)
    return bindings.crypto_sign_open(reduced + signed[64:], key)


@pytest.mark.longer
@pytest.mark.parametrize(
    ("name", "part", "faulty"),
    [
        ("cryptography", "SMALL_ORDER_ENCODINGS", frozenset()),
        ("cryptography", "may_verify", lambda key: True),
        ("pynacl", "crypto_sign_open", opened_with_cofactor),
        ("pynacl", "crypto_sign_open", opened_by_openssl),
        ("pynacl", "crypto_sign_open", opened_with_any_s),
    ],
)
def test_a_planted_fault_is_found(
    name: str, part: str, faulty: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_public_key", keys._public_key.__wrapped__)  # keeps no answers
    monkeypatch.setattr(keys, part, faulty)
    assert misjudged(keys.BACKENDS[name])


# --- choosing the library


@pytest.fixture
def choice() -> Iterator[None]:
    """What was chosen before is chosen again."""
    before = keys.backend()
    yield
    keys.use_backend(before)


@pytest.mark.usefixtures("choice")
def test_the_fastest_library_is_the_default() -> None:
    assert list(keys.BACKENDS) == ["cryptography", "pynacl"]
    keys.use_backend("cryptography")
    assert keys.backend() == "cryptography"
    keys.use_backend()
    assert keys.backend() == "pynacl"
    with pytest.raises(ValueError, match=r"'openssl' is none of .*: cryptography, pynacl$"):
        keys.use_backend("openssl")
    assert keys.backend() == "pynacl"


def test_verify_asks_the_chosen_library_alone(
    choice: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = (ALICE.public, ALICE.sign(MESSAGE), MESSAGE)
    for name in keys.BACKENDS:
        monkeypatch.setitem(keys.BACKENDS, name, lambda *trial, name=name: (name, trial))
    for name in keys.BACKENDS:
        keys.use_backend(name)
        assert verify(*trial) == (name, trial)  # type: ignore[comparison-overlap]


def test_all_works_without_pynacl() -> None:
    program = (
        "import sys\n"
        "sys.modules['nacl'] = None\n"
        "from pithgraph import keys\n"
        f"trial = {(ALICE.public, ALICE.sign(MESSAGE), MESSAGE)}\n"
        "keys.check_public_key(trial[0])\n"
        "print(*keys.BACKENDS, keys.backend(), keys.verify(*trial))\n"
        "try:\n    keys.use_backend('pynacl')\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(keys.__file__).parents[1],
    )
    first, second = done.stdout.splitlines()
    assert first == "cryptography cryptography True"
    assert second == "PyNaCl is not installed, or too old: pip install pynacl"


def test_the_probe_of_libsodium_is_what_it_says() -> None:
    key, signature = keys._MIXED_KEY, keys._COFACTORED_SIGNATURE
    assert "outside the subgroup" in (public_key_fault(key) or "accepted")
    assert times(2, decoded(key)) == times(2, BASE) != add(BASE, decoded(key))
    assert plainly_verifies(key, signature, b"", 8)
    assert not plainly_verifies(key, signature, b"")


def unavailable(point: bytes) -> bool:
    raise UnavailableError


@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("_HAS_PYNACL", False),
        ("crypto_core_ed25519_is_valid_point", lambda point: True),
        ("crypto_core_ed25519_is_valid_point", unavailable),
        ("crypto_sign_open", opened_with_cofactor),
    ],
)
def test_a_pynacl_that_decides_otherwise_is_none(
    part: str, odd: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys._pynacl_decides_alike()
    monkeypatch.setattr(keys, part, odd)
    assert not keys._pynacl_decides_alike()


# --- third-party vectors


def cryptography_vector(name: str) -> bytes:
    folder = Path(cryptography_vectors.__file__).parent / "asymmetric" / "Ed25519"
    return (folder / name).read_bytes()


@each_backend
def test_rfc_8032_vectors() -> None:
    lines = cryptography_vector("sign.input").decode().split()
    assert len(lines) == 1024
    for line in lines:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signature = signed[:64]
        assert verify(public, signature, message)
        assert sign(Ed25519PrivateKey.from_private_bytes(secret[:32]), message) == signature
        assert not verify(public, signature, message + b"\0")


@each_backend
def test_keys_of_the_rfc_8032_vectors_are_taken() -> None:
    for line in cryptography_vector("sign.input").decode().split()[::16]:
        check_public_key(bytes.fromhex(line.split(":")[1]))


@each_backend
def test_wycheproof() -> None:
    document = json.loads((vectors("wycheproof-ed25519") / "ed25519_test.json").read_bytes())
    count = 0
    for group in document["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        assert is_taken(public) == (public_key_fault(public) is None) == sodium_takes_key(public)
        for case in group["tests"]:
            signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            expected = {"valid": True, "invalid": False}[case["result"]]
            assert verify(public, signature, message) == expected, case
            count += 1
    assert count == document["numberOfTests"] > 100


@each_backend
def test_speccheck_accepts_case_3_alone() -> None:
    cases = json.loads((vectors("ed25519-speccheck") / "cases.json").read_bytes())
    accepted = []
    for index, case in enumerate(cases):
        public, signature = bytes.fromhex(case["pub_key"]), bytes.fromhex(case["signature"])
        assert is_taken(public) == (public_key_fault(public) is None) == sodium_takes_key(public)
        if verify(public, signature, bytes.fromhex(case["message"])):
            accepted.append(index)
    assert len(cases) == 12
    assert accepted == [3]
    # Its key is of mixed order, so that no keyring can hold it.
    with pytest.raises(KeyringError, match="outside the subgroup"):
        check_public_key(bytes.fromhex(cases[3]["pub_key"]))


# --- base64


@given(st.binary(max_size=70))
def test_base64_of_the_right_length_is_read(data: bytes) -> None:
    assert decode_base64(b64(data), len(data)) == data
    with pytest.raises(KeyringError):
        decode_base64(b64(data), len(data) + 1)


KEY_TEXT = b64(ALICE.public)


@pytest.mark.parametrize(
    "text",
    [
        KEY_TEXT.rstrip("="),
        KEY_TEXT + "=",
        KEY_TEXT + "\n",
        " " + KEY_TEXT,
        KEY_TEXT[:10] + "\n" + KEY_TEXT[10:],
        KEY_TEXT[:-2] + "B=",
        "-_" + KEY_TEXT[2:],
        KEY_TEXT[:4] + "=" + KEY_TEXT[5:],
        "ä" + KEY_TEXT[1:],
        "",
        ALICE.public.hex(),
        b64(ALICE.public + b"\0"),
    ],
)
def test_any_other_form_of_base64_is_refused(text: str) -> None:
    with pytest.raises(KeyringError, match=r"base64|bytes"):
        decode_base64(text, 32)


def test_unused_bits_of_base64_are_zero() -> None:
    taken = []
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for last in alphabet:
        text = KEY_TEXT[:-2] + last + "="
        try:
            decode_base64(text, 32)
        except KeyringError:
            assert base64.b64encode(base64.b64decode(text)).decode() != text
        else:
            taken.append(last)
    assert "".join(taken) == alphabet[::4]


# --- private keys

PASSPHRASE = b"correct horse battery staple"


@each_backend
def test_private_keys_sign_and_show_their_public_half() -> None:
    assert public_bytes(ALICE.private) == ALICE.public
    assert verify(ALICE.public, sign(ALICE.private, MESSAGE), MESSAGE)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_pem_round_trip(passphrase: bytes | None) -> None:
    pem = private_key_to_pem(ALICE.private, passphrase)
    kind = b"PRIVATE KEY" if passphrase is None else b"ENCRYPTED PRIVATE KEY"
    assert pem.startswith(b"-----BEGIN " + kind + b"-----\n")
    key = private_key_from_pem(pem, passphrase)
    assert key.private_bytes_raw() == ALICE.seed
    assert public_bytes(key) == ALICE.public


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(PrivateKeyError, match="protects nothing"):
        private_key_to_pem(ALICE.private, b"")


def test_pem_of_another_maker() -> None:
    plain = private_key_from_pem(cryptography_vector("ed25519-pkcs8.pem"))
    locked = private_key_from_pem(cryptography_vector("ed25519-pkcs8-enc.pem"), b"password")
    assert plain.private_bytes_raw() == locked.private_bytes_raw()


def pem_of(key: object) -> bytes:
    assert isinstance(
        key, ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey | x25519.X25519PrivateKey
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


PLAIN_PEM = private_key_to_pem(ALICE.private)
# The seed has 31 bytes, and the lengths around it say so.
SHORT_PEM = (
    b"-----BEGIN PRIVATE KEY-----\n"
    + base64.b64encode(bytes.fromhex("302d020100300506032b65700421041f") + ALICE.seed[:31])
    + b"\n-----END PRIVATE KEY-----\n"
)
LOCKED_PEM = private_key_to_pem(ALICE.private, PASSPHRASE)


@pytest.mark.parametrize(
    ("pem", "passphrase", "message"),
    [
        (LOCKED_PEM, None, "encrypted: give its passphrase"),
        (LOCKED_PEM, b"tr0ub4dor&3", "wrong passphrase"),
        (PLAIN_PEM, PASSPHRASE, "give no passphrase"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), None, "not an Ed25519 key"),
        (pem_of(ed448.Ed448PrivateKey.generate()), None, "not an Ed25519 key"),
        (pem_of(x25519.X25519PrivateKey.generate()), None, "not an Ed25519 key"),
        (cryptography_vector("ed25519-pub.pem"), None, "no PKCS#8 PEM private key"),
        (PLAIN_PEM[:60], None, "no PKCS#8 PEM private key"),
        (b"", None, "no PKCS#8 PEM private key"),
        (ALICE.seed, None, "no PKCS#8 PEM private key"),
        (SHORT_PEM, None, "no PKCS#8 PEM private key"),
        (LOCKED_PEM[:-40] + b"\n-----END ENCRYPTED PRIVATE KEY-----\n", PASSPHRASE, "PKCS#8"),
    ],
)
def test_private_keys_that_cannot_be_read(
    pem: bytes, passphrase: bytes | None, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PrivateKeyError, match=message) as caught:
        private_key_from_pem(pem, passphrase)
    printed = capfd.readouterr()
    shown = str(caught.value) + repr(caught.value) + printed.out + printed.err
    body = [line for line in pem.decode("latin-1").splitlines() if line and "---" not in line]
    secrets = [*body, ALICE.seed.hex(), b64(ALICE.seed), (passphrase or PASSPHRASE).decode()]
    assert [secret for secret in secrets if secret in shown] == []
    # nor does a traceback show the library's own error
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_does_not_show_its_secret() -> None:
    key = private_key_from_pem(PLAIN_PEM)
    shown = repr(key) + str(key)
    assert ALICE.seed.hex() not in shown
    assert repr(ALICE.seed) not in shown
    assert b64(ALICE.seed) not in shown
    assert ALICE.seed not in LOCKED_PEM
    assert ALICE.seed not in base64.b64decode(b"".join(LOCKED_PEM.splitlines()[1:-1]))
