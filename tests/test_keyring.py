"""The keyring (SPEC §6): every refusal of a keyring file, its digest, windows, and the default that
is shipped."""

import copy
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from curve import NEGATIVE_ZERO, UNREDUCED, moved
from pithgraph._curve import SMALL_ORDER_ENCODINGS
from pithgraph.errors import DecodeError, KeyringError
from pithgraph.keyring import Key, Keyring
from signing import ALICE, BOB, DROP, MIRROR, REGISTRY, Json, b64, changed, keyring_value

NAMED = [
    "key_id",
    "algorithm",
    "public_key_b64",
    "public_key_fingerprint",
    "signer_id",
    "signer_type",
]
OPTIONAL = ("valid_from", "valid_until", "revoked")

# --- what is read


def test_keys_are_found_by_fingerprint_and_by_key_id() -> None:
    ring = Keyring.from_value(keyring_value())
    assert len(ring.keys) == 8
    key = ring.by_fingerprint(ALICE.fingerprint)
    assert key is not None
    assert key is ring.by_key_id(ALICE.key_id)
    assert key.public_key == ALICE.public
    assert (key.signer_id, key.signer_type) == (ALICE.signer_id, "author")
    assert (key.valid_from, key.valid_until, key.revoked) == (None, None, False)
    assert ring.by_fingerprint(ALICE.key_id) is None
    assert ring.by_key_id(ALICE.fingerprint) is None


def test_a_keyring_may_be_empty() -> None:
    ring = Keyring.from_value({"keys": []})
    assert ring.keys == ()
    assert ring.by_fingerprint(ALICE.fingerprint) is None


def test_bytes_are_decoded_strictly() -> None:
    text = json.dumps(keyring_value()).encode()
    assert Keyring.from_bytes(text).sha256 == Keyring.from_value(keyring_value()).sha256
    with pytest.raises(DecodeError, match="duplicate_name"):
        Keyring.from_bytes(b'{"keys":[],"keys":[]}')
    with pytest.raises(DecodeError, match="byte_order_mark"):
        Keyring.from_bytes(b"\xef\xbb\xbf" + text)


def entry_with(**changes: Any) -> Key:
    (key,) = Keyring.from_value(keyring_value(ALICE.entry(**changes))).keys
    return key


@pytest.mark.parametrize("signer_type", ["author", "pith_registry", "", "anything at all"])
def test_signer_type_is_any_string(signer_type: str) -> None:
    assert entry_with(signer_type=signer_type).signer_type == signer_type


FROM, UNTIL = "2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("entry", "created_at", "fault"),
    [
        ({}, "0001-01-01T00:00:00Z", None),
        ({"revoked": False}, "9999-12-31T23:59:59Z", None),
        ({"revoked": True}, "2026-06-01T00:00:00Z", "revoked"),
        ({"valid_from": FROM}, "2025-12-31T23:59:59Z", "before valid_from"),
        ({"valid_from": FROM}, FROM, None),
        ({"valid_until": UNTIL}, UNTIL, None),
        ({"valid_until": UNTIL}, "2027-01-01T00:00:00Z", "after valid_until"),
        ({"valid_from": FROM, "valid_until": UNTIL}, "2026-06-01T00:00:00Z", None),
        ({"valid_from": FROM, "valid_until": FROM}, FROM, None),
        ({"valid_from": UNTIL, "valid_until": FROM}, "2026-06-01T00:00:00Z", "before valid_from"),
    ],
)
def test_windows_include_their_ends(entry: Json, created_at: str, fault: str | None) -> None:
    found = entry_with(**entry).invalid_at(created_at)
    assert found is None if fault is None else fault in (found or "")


# --- what is refused


def ring_with(**changes: Any) -> Json:
    """A keyring of three in which the second row, Bob's, is changed."""
    row = BOB.entry()
    for name, value in changes.items():
        row = changed(row, name, value)
    return keyring_value(ALICE.entry(), row, REGISTRY.entry())


def key_row(public_key: bytes) -> Json:
    """Bob's row with another public key and the fingerprint that belongs to it."""
    fingerprint = oracle.digest(public_key)[:32]
    return {"public_key_b64": b64(public_key), "public_key_fingerprint": fingerprint}


UPPER, LONG = BOB.fingerprint.upper(), oracle.digest(BOB.public)
OTHER_TYPES: tuple[Any, ...] = (1, 1.5, True, [], {})
REFUSED: list[tuple[str, Any, str]] = [
    *((f"{name} missing", ring_with(**{name: DROP}), name) for name in NAMED),
    *((f"{name} null", ring_with(**{name: None}), name) for name in (*NAMED, *OPTIONAL)),
    *((f"{name} a number", ring_with(**{name: 7}), name) for name in NAMED),
    *((f"{name} a list", ring_with(**{name: []}), name) for name in NAMED),
    *((f"valid_from {v!r}", ring_with(valid_from=v), "valid_from") for v in OTHER_TYPES),
    *((f"valid_until {v!r}", ring_with(valid_until=v), "valid_until") for v in OTHER_TYPES),
    *((f"revoked {v!r}", ring_with(revoked=v), "revoked") for v in (0, 1, "true", "")),
    ("key_id repeated", ring_with(key_id=ALICE.key_id), "has the key_id of keys[0]"),
    ("public key repeated", ring_with(**key_row(ALICE.public)), "has the fingerprint of keys[0]"),
    ("row repeated", keyring_value(BOB.entry(), BOB.entry()), "of keys[0]"),
    ("fingerprint false", ring_with(public_key_fingerprint="0" * 32), "the key's is"),
    ("fingerprint upper", ring_with(public_key_fingerprint=UPPER), "the key's is"),
    ("fingerprint long", ring_with(public_key_fingerprint=LONG), "the key's is"),
    ("other key", ring_with(public_key_b64=MIRROR.public_b64), "the key's is"),
    ("algorithm Ed25519", ring_with(algorithm="Ed25519"), "algorithm"),
    ("algorithm ed448", ring_with(algorithm="ed448"), "algorithm"),
    ("algorithm empty", ring_with(algorithm=""), "algorithm"),
    ("no base64", ring_with(public_key_b64="?" * 44), "not standard padded base64"),
    ("no padding", ring_with(public_key_b64=BOB.public_b64.rstrip("=")), "padded base64"),
    ("unused bits", ring_with(public_key_b64=BOB.public_b64[:-2] + "B="), "base64"),
    ("short key", ring_with(**key_row(BOB.public[:31])), "holds 31 bytes"),
    ("long key", ring_with(**key_row(BOB.public + b"\0")), "holds 33 bytes"),
    ("off the curve", ring_with(**key_row((2).to_bytes(32, "little"))), "not the canonical"),
    *(
        (f"small {k.hex()[:8]}", ring_with(**key_row(k)), "order")
        for k in sorted(SMALL_ORDER_ENCODINGS)
    ),
    *((f"unreduced {k.hex()[:8]}", ring_with(**key_row(k)), "canonical") for k in UNREDUCED[::9]),
    *((f"-0 {k.hex()[:8]}", ring_with(**key_row(k)), "canonical") for k in NEGATIVE_ZERO),
    *((f"mixed {i}", ring_with(**key_row(moved(BOB.public, i))), "subgroup") for i in range(1, 8)),
    ("window start", ring_with(valid_from="2026-01-01"), "valid_from"),
    ("window with offset", ring_with(valid_from="2026-01-01T00:00:00+00:00"), "valid_from"),
    ("window with fraction", ring_with(valid_until="2026-01-01T00:00:00.5Z"), "valid_until"),
    ("window not real", ring_with(valid_until="2026-02-30T00:00:00Z"), "valid_until"),
    ("window leap second", ring_with(valid_until="2016-12-31T23:59:60Z"), "valid_until"),
    ("window empty", ring_with(valid_until=""), "valid_until"),
    ("keys missing", {"note": 1}, "keys"),
    ("keys null", {"keys": None}, "keys"),
    ("keys an object", {"keys": {}}, "keys"),
    ("row null", {"keys": [None]}, "keys"),
    ("row a string", {"keys": ["x"]}, "keys"),
    ("list", [], "object"),
    ("null", None, "object"),
]


@pytest.mark.parametrize(
    ("value", "names"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_keyring_is_refused(value: Any, names: str) -> None:
    before = copy.deepcopy(value)
    with pytest.raises(KeyringError) as caught:
        Keyring.from_value(value)
    assert names in str(caught.value)
    assert value == before


def test_the_refusal_names_the_row() -> None:
    with pytest.raises(KeyringError, match=r"^keys\[1\] \('test-bob'\): the public key is refused"):
        Keyring.from_value(ring_with(**key_row(moved(BOB.public, 1))))


def test_the_unchanged_keyring_of_the_refusals_is_good() -> None:
    assert len(Keyring.from_value(ring_with()).keys) == 3


# --- its digest

ANYTHING: list[Any] = [None, 0, -0.0, 1e16, "x", [], {"b": 1, "a": None}, True, "é😀"]


@pytest.mark.parametrize("value", ANYTHING)
@pytest.mark.parametrize("put", [lambda v: ring_with(note=v), lambda v: {**ring_with(), "note": v}])
def test_unknown_members_are_kept_and_hashed(put: Callable[[Any], Json], value: Any) -> None:
    ring = Keyring.from_value(put(value))
    assert ring.sha256 == oracle.keyring_sha256(put(value))
    assert ring.sha256 != Keyring.from_value(ring_with()).sha256
    assert len(ring.keys) == 3


def test_every_member_counts_in_the_digest() -> None:
    rings = [
        ring_with(),
        ring_with(revoked=False),
        ring_with(revoked=True),
        ring_with(valid_from=FROM),
        ring_with(valid_until=FROM),
        ring_with(signer_id="another"),
        ring_with(signer_type="another"),
        ring_with(key_id="another"),
        keyring_value(ALICE.entry(), REGISTRY.entry()),
    ]
    assert len({Keyring.from_value(ring).sha256 for ring in rings}) == len(rings)


@settings(max_examples=30)
@given(st.data())
def test_the_digest_does_not_depend_on_any_order(data: st.DataObject) -> None:
    expected = Keyring.from_value(keyring_value(note={"a": 1, "b": 2}))
    rows = data.draw(st.permutations(keyring_value()["keys"]))
    mixed = [dict(data.draw(st.permutations(list(row.items())))) for row in rows]
    ring = Keyring.from_value({"note": {"b": 2, "a": 1}, "keys": mixed})
    same = {"keys": mixed, "note": {"a": 1, "b": 2}}
    assert ring.sha256 == expected.sha256 == oracle.keyring_sha256(same)
    assert ring.by_key_id(BOB.key_id) == expected.by_key_id(BOB.key_id)


# --- the default


def default_bytes() -> bytes:
    return resources.files("pithgraph").joinpath("data/keyring.json").read_bytes()


def test_the_default_keyring_is_the_registry_key() -> None:
    ring = Keyring.from_bytes(default_bytes())
    (key,) = ring.keys
    assert key.key_id == "pith-v1-2026-05"
    assert b64(key.public_key) == "stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM="
    assert key.fingerprint == "8d4b5ee74e4693bcd1df2446408b0d54"
    assert (key.signer_id, key.signer_type) == ("pith.science", "pith_registry")
    assert (key.valid_from, key.valid_until, key.revoked) == (None, None, False)
    assert ring.sha256 == oracle.keyring_sha256(json.loads(default_bytes()))
