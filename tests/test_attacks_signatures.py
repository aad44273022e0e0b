"""Attacks with signatures: a good one in the place of another, one that is nearly good, one that
only some libraries take. Each test makes one attack, and is named after it.

Every attack is made on both libraries that verify. At last the engine is weakened where it stops
the attack, and the test sees the attack succeed.
"""

import functools
import hashlib
from typing import Annotated

import pytest
from msgspec import Meta, Struct, json

from arena import (
    SNAPSHOT,
    check_in_vain,
    check_receipts_in_vain,
    check_tolerated,
    correction,
    message_of,
    refused_keyring,
    sha256,
    with_signature,
)
from curve import IDENTITY, NEGATIVE_ZERO, UNREDUCED, add, decoded, encoded, moved, times
from pithgraph import events, keyring, keys, kinds, merge
from pithgraph._curve import SMALL_ORDER_ENCODINGS
from pithgraph.documents import EventView, KeyEntry
from pithgraph.kinds import RecordCreated
from planting import (
    Attack,
    Weakening,
    any_id_recomputes,
    anything_verifies,
    check_each_is_weakened,
    check_it_is_seen,
    verifying,
    weakened,
)
from signing import (
    ALICE,
    BOB,
    ORDER,
    PAPER,
    REGISTRY,
    at,
    b64,
    canonical,
    changed,
    receipt,
    signed_event,
    times_base,
)

pytestmark = pytest.mark.usefixtures("backend")

# --- what is signed, and how


def test_another_algorithm() -> None:
    names = ("none", "Ed25519", "ed25519ph", "rsa", "", "hmac")
    forged = [changed(correction(), "signature.algorithm", name) for name in names]
    check_in_vain(*forged, reason="malformed")


def test_another_message_than_is_signed() -> None:
    texts = ("canonical_sha256_bytes", "event_sha256_hex")
    forged = [changed(correction(), "signature.signed_message", text) for text in texts]
    check_in_vain(*forged, reason="malformed")


def test_another_algorithm_of_a_receipt() -> None:
    names = ("none", "Ed25519", "ed25519ph", "rsa", "")
    check_receipts_in_vain(*(receipt(algorithm=name) for name in names))


def test_a_receipt_over_another_message() -> None:
    check_receipts_in_vain(receipt(signed_message="event_sha256_bytes"))


def test_another_algorithm_in_the_keyring() -> None:
    for algorithm in ("none", "Ed25519", "rsa"):
        assert "algorithm" in refused_keyring(ALICE.entry(algorithm=algorithm))


def test_a_receipts_signature_is_no_events_signature() -> None:
    """Under an event_id of its own, and under the digest that the receipt signs, which `stated`
    tolerates as it does any signed id that does not recompute."""
    event = signed_event(created_at=at(9), **{"payload.graph_snapshot": {"nodes": ["forged"]}})
    taken = receipt()["signature_b64"]
    event = changed(event, "signature.signature_b64", taken)
    check_in_vain(event, reason="bad_signature")
    event |= {"event_id": "sha256:" + PAPER.canonical_sha256}
    check_tolerated(event, reason="event_id_unverifiable", gives_way=False)


def test_an_events_signature_is_no_receipts_signature() -> None:
    taken = SNAPSHOT["signature"]["signature_b64"]
    check_receipts_in_vain(receipt(signature_b64=taken))


def test_a_signature_over_another_message() -> None:
    """Over the id's hex or its text, over what the id is the digest of, or over another digest."""
    event = correction()
    raw, text = message_of(event), event["event_id"]
    content = {name: event[name] for name in event if name not in ("event_id", "signature")}
    messages = raw.hex().encode(), text.encode(), canonical(content), bytes.fromhex(sha256(raw))
    forged = [with_signature(event, ALICE.sign(message)) for message in messages]
    check_in_vain(*forged, reason="bad_signature")


def test_a_receipts_signature_over_hex() -> None:
    signed = REGISTRY.sign(PAPER.canonical_sha256.encode())
    check_receipts_in_vain(receipt(signature_b64=b64(signed)))


def test_an_s_that_is_not_reduced() -> None:
    """Who may sign nothing makes another signature out of a good one."""
    event = correction()
    raw = ALICE.sign(message_of(event))
    s = int.from_bytes(raw[32:], "little") + ORDER
    check_in_vain(
        with_signature(event, raw[:32] + s.to_bytes(32, "little")), reason="bad_signature"
    )
    raw = REGISTRY.sign(bytes.fromhex(PAPER.canonical_sha256))
    s = int.from_bytes(raw[32:], "little") + ORDER
    check_receipts_in_vain(receipt(signature_b64=b64(raw[:32] + s.to_bytes(32, "little"))))


def test_a_commitment_of_small_order() -> None:
    """A signature of which some libraries, and so some mirrors, say that it is good."""
    event = correction()
    forged = [
        with_signature(event, ALICE.complete(small, 0, message_of(event)))
        for small in (encoded(IDENTITY), *sorted(SMALL_ORDER_ENCODINGS)[:2], *NEGATIVE_ZERO[:1])
    ]
    check_in_vain(*{sha256(one): one for one in forged}.values(), reason="bad_signature")


def test_a_commitment_of_mixed_order() -> None:
    event = correction()
    point = moved(times_base(7), 3)
    forged = with_signature(event, ALICE.complete(point, 7, message_of(event)))
    check_in_vain(forged, reason="bad_signature")


def test_a_key_of_small_or_mixed_order() -> None:
    """Everything would verify under some of these, and for some mirrors alone under others."""
    odd = [*sorted(SMALL_ORDER_ENCODINGS), *UNREDUCED[:2], *NEGATIVE_ZERO]
    for key in (*odd, *(moved(ALICE.public, index) for index in range(1, 8))):
        fingerprint = sha256(key)[:32]
        entry = BOB.entry(public_key_b64=b64(key), public_key_fingerprint=fingerprint)
        assert "the public key is refused" in refused_keyring(ALICE.entry(), entry)


def test_a_signature_in_another_spelling() -> None:
    """Bits that decode to nothing would make copies of an authentic event."""
    event = correction()
    start, last = event["signature"]["signature_b64"][:-3], event["signature"]["signature_b64"][-3]
    unused_bit = chr(ord(last) + 1)
    endings = f"{unused_bit}==", f"{last}=", last, f"{last}== ", f"{last}==\n", f"{last}==="
    forged = [changed(event, "signature.signature_b64", start + ending) for ending in endings]
    check_in_vain(*forged, reason="malformed")


# --- weakened, the engine lets each of these in


class AnySignature(Struct, frozen=True):
    algorithm: str
    key_id: str
    signed_message: str
    signature_b64: str


class AnyEvent(EventView, frozen=True):
    signature: AnySignature | None = None  # type: ignore[assignment]


class UnusedBits(AnySignature, frozen=True):
    signature_b64: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==\Z")]


class UnusedBitsEvent(EventView, frozen=True):
    signature: UnusedBits | None = None  # type: ignore[assignment]


class AnyReceipt(AnySignature, frozen=True):
    canonical_sha256: str
    public_key_fingerprint: str


class AnyRecordCreated(RecordCreated, frozen=True):
    receipt: AnyReceipt  # type: ignore[assignment]


def any_signature(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(events, "_VIEW", json.Decoder(AnyEvent))


def any_spelling(patch: pytest.MonkeyPatch) -> None:
    """Of 64 bytes, as before, but unused bits may be anything."""
    patch.setattr(events, "_VIEW", json.Decoder(UnusedBitsEvent))


def any_receipt(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(kinds._DECODERS, RecordCreated, json.Decoder(AnyRecordCreated))
    patch.setattr(merge, "RecordCreated", AnyRecordCreated)


def any_entry(patch: pytest.MonkeyPatch) -> None:
    class AnyEntry(KeyEntry, frozen=True):
        algorithm: str  # type: ignore[assignment]

    class AnyKeyring(Struct, frozen=True):
        keys: list[AnyEntry]

    patch.setattr(keyring, "KeyringDocument", AnyKeyring)


def with_reduced_s(key: bytes, signature: bytes, message: bytes) -> bool:
    s = int.from_bytes(signature[32:], "little") % ORDER
    return keys.verify(key, signature[:32] + s.to_bytes(32, "little"), message)


@functools.cache
def with_cofactor(key: bytes, signature: bytes, message: bytes) -> bool:
    """8SB = 8R + 8hA."""
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little")
    s = int.from_bytes(signature[32:], "little")
    right = add(decoded(signature[:32]), times(h, decoded(key)))
    return times(8, times(s, decoded(times_base(1)))) == times(8, right)


def openssl_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keys, "SMALL_ORDER_ENCODINGS", frozenset())
    patch.setattr(keys, "_verify", keys._verify_with_cryptography)


the_hex = verifying(lambda key, signed, message: keys.verify(key, signed, message.hex().encode()))

WEAKENED: list[tuple[Attack, Weakening]] = [
    (test_another_algorithm, any_signature),
    (test_another_message_than_is_signed, any_signature),
    (test_another_algorithm_of_a_receipt, any_receipt),
    (test_a_receipt_over_another_message, any_receipt),
    (test_another_algorithm_in_the_keyring, any_entry),
    (test_a_receipts_signature_is_no_events_signature, anything_verifies),
    (
        test_a_receipts_signature_is_no_events_signature,
        any_id_recomputes,
    ),
    (test_an_events_signature_is_no_receipts_signature, anything_verifies),
    (test_a_signature_over_another_message, the_hex),
    (test_a_receipts_signature_over_hex, the_hex),
    (test_an_s_that_is_not_reduced, verifying(with_reduced_s)),
    (test_a_commitment_of_small_order, openssl_alone),
    (test_a_commitment_of_small_order, verifying(with_cofactor)),
    (test_a_commitment_of_mixed_order, verifying(with_cofactor)),
    (
        test_a_key_of_small_or_mixed_order,
        lambda patch: patch.setattr(keyring, "check_public_key", lambda key: None),
    ),
    (test_a_signature_in_another_spelling, any_spelling),
]


@pytest.mark.parametrize(("attack", "weaken"), weakened(WEAKENED))
def test_a_weakened_engine_is_seen(
    attack: Attack, weaken: Weakening, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it_is_seen(attack, weaken, monkeypatch)


def test_every_attack_succeeds_on_some_engine() -> None:
    check_each_is_weakened(globals(), WEAKENED)
