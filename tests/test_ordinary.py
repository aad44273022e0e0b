"""Events of the usual shape are cut to the very parts that decoding them would give.

Whatever a stranger makes an event of, `outline` either leaves it alone or says what the event's
canonical bytes say; and what a log stores of an ordinary event gives these bytes back.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from histories import KEYRING, before_sealing, build, fixed_histories, recipes
from pithgraph.events import Event, computed_event_id
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.ordinary import (
    PREVIOUS,
    ROW_EVENT_ID,
    class_of,
    cut,
    join,
    record_of,
    seal_length,
    state_row,
)
from pithgraph.validation import (
    ASSURANCES,
    ReceiptTrial,
    Trial,
    class_is_valid,
    establish,
    is_authentic,
    is_judged_like_its_class,
    judge,
)
from signing import (
    ALICE,
    DROP,
    PAPER,
    REGISTRY,
    SIGNERS,
    Json,
    Key,
    b64,
    canonical,
    changed,
    signed_event,
    some_id,
)

RING = Keyring.from_value(KEYRING)
REGISTRY_SHA256 = hashlib.sha256(REGISTRY.public).digest()
ROW_MEMBERS = ("created_at", "event_id", "payload", "signer", "target")


def check(value: Json) -> Event:
    """That an event is the same whether its outline was found or its bytes were decoded."""
    event, slow = Event.from_value(value), Event(canonical(value))
    assert slow.outline is None
    printed = Event.from_bytes(json.dumps(value, indent=1).encode())
    for other in (slow, printed):
        for name in ("canonical", "sha256", "subject", "malformed", "view", "event_id"):
            assert getattr(event, name) == getattr(other, name), name
        assert event.timestamp == other.timestamp
        if event.view is not None:
            for name in ("signer", "signature", "computed_id"):
                assert getattr(event, name) == getattr(other, name), name
    facts = establish(event, RING)
    assert facts == establish(slow, RING)
    assert is_authentic(event, facts) == is_authentic(slow, facts)
    for assurance in ASSURANCES:
        verdict = judge(event, facts, RING, assurance)
        assert verdict == judge(slow, facts, RING, assurance)
    if event.outline is not None:
        assert event.view is not None
        assert computed_event_id(event.canonical) == event.computed_id
        if event.view.event_type in KINDS:
            assert is_judged_like_its_class(event) == is_judged_like_its_class(slow)
        check_parts(event, value)
    return event


def check_parts(event: Event, value: Json) -> None:
    """That the row is the state's, and that row and seal give the event back."""
    facts = establish(event, RING)
    row = canonical({name: value[name] for name in ROW_MEMBERS})
    assert state_row(event) == state_row(Event(event.canonical)) == row
    if judge(event, facts, RING, "verified").reason is not None:
        return
    event_class = class_of(event, facts)
    assert event_class is not None
    assert class_of(Event(event.canonical), facts) is None
    parts = cut(event, event_class)
    assert parts is not None
    assert parts.row == row
    assert join(parts) == event.canonical
    assert len(parts.seal) == seal_length(event_class)
    assert parts.row[ROW_EVENT_ID] == canonical(value["event_id"])
    assert event_class.follows == ("previous_event_id" in value)
    if event_class.follows:
        assert "sha256:" + parts.seal[PREVIOUS].hex() == value["previous_event_id"]
    if event_class.event_type == "record_created":
        record = record_of(parts.row, parts.seal)
        assert record == canonical(value["payload"]["canonical_record"])


# --- the usual shape -------------------------------------------------------------------------


@pytest.mark.parametrize("previous", [DROP, some_id("a previous event")], ids=["alone", "follows"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_event_of_each_kind_is_of_the_usual_shape(kind: str, previous: Any) -> None:
    members = {} if previous is DROP else {"previous_event_id": previous}
    assert check(signed_event(kind, **members)).outline is not None


def test_the_events_of_fixed_histories() -> None:
    events = [event for history in fixed_histories(60) for event in history.events]
    outlined = [check(event).outline is not None for event in events]
    assert outlined.count(True) > 100
    assert outlined.count(False) > 100


@settings(max_examples=100)
@given(recipes())
def test_the_events_of_random_histories(recipe: Any) -> None:
    check(build(recipe))


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (None, {}),
        ("event_id_mismatch", {"id_recomputes": False, "signature": None}),
        ("bad_signature", {"signature": None}),
        ("bad_signature", {"signature": Trial(bytes(32), True)}),
        ("bad_signature", {"signature": Trial(REGISTRY_SHA256, False)}),
        ("invalid_payload", {"payload_fault": "a member"}),
        ("invalid_payload", {"receipt": ReceiptTrial("nobody", REGISTRY.fingerprint, None)}),
        ("invalid_payload", {"receipt": ReceiptTrial(REGISTRY.key_id, "0" * 32, None)}),
        *(
            ("invalid_payload", {"receipt": ReceiptTrial(REGISTRY.key_id, REGISTRY.fingerprint, t)})
            for t in (None, Trial(bytes(32), True), Trial(REGISTRY_SHA256, False))
        ),
    ],
)
def test_a_class_is_judged_as_its_events_are(reason: str | None, change: Json) -> None:
    event = Event.from_value(signed_event("record_created"))
    facts = msgspec.structs.replace(establish(event, RING), **change)
    assert judge(event, facts, RING, "verified").reason == reason
    assert class_is_valid("record_created", event.signer, facts, RING) == (reason is None)


# --- what a stranger may write ---------------------------------------------------------------

SIGNER_TEXT = f',"signer":{canonical(REGISTRY.signer()).decode()},"target":"graph"}}'
TEXTS = [
    "",
    SIGNER_TEXT,
    SIGNER_TEXT * 2,
    '","signer":{},"target":"',
    '"\\',
    "\\",
    '\\"',
    "\x00\x1f\x7f\u2028",
    "\n\t\r\b\f/",
    "Ünïcödé \U0001f600",
    "\U0001f600" * 300,
    "x" * 5000,
]
EVERY_TYPE: list[Any] = [
    *(None, True, False, 0, 1, -0.0, 1e16, 2**53 - 1),
    *("", "é", [], ["sha256:"], {}, {"a": {}}),
]
COPIES = {"event_id": "sha256:" + "0" * 64, "target": "graph", "subject_pith_number": PAPER.number}
NAMES = sorted(signed_event(previous_event_id=some_id("a previous event")))
BETWEEN = ["", "a", "created_at ", "created_au", "event_idd", "f", "payloae", "payload0", "pith"]
BETWEEN += ["previous_event_id0", "q", "signature_", "signaturf", "signes", "t", "z", "é", "\x00"]


def resealed(event: Json, path: str, new: Any, key: Key) -> Json:
    """The change as the event's only fault."""
    return before_sealing(path, new)(event, key)


def variants(kind: str, path: str, new: Any) -> Iterator[Json]:
    """An event of this kind, changed before and after it is sealed, alone and in a chain."""
    for previous in (DROP, some_id("a previous event")):
        members = {} if previous is DROP else {"previous_event_id": previous}
        event = signed_event(kind, **members)
        if path in ("event_id",) or path.startswith("signature"):
            yield changed(event, path, new)
        elif new is not DROP or path in event:
            yield resealed(event, path, new, SIGNERS[kind])
            yield changed(event, path, new)


@pytest.mark.longer
@pytest.mark.parametrize("kind", KINDS)
def test_texts_that_look_like_members(kind: str) -> None:
    """In the target, in the payload and in its names, in the id of a signer."""
    prefix = signed_event(kind)["target"].partition(":")[0]
    for text in TEXTS:
        for target in (text, f"{prefix}:{text}"):
            for event in variants(kind, "target", target):
                check(event)
        for path, new in (
            ("payload.note", text),
            (f"payload.{text.replace('.', '')}", text),
            ("payload.uri", text),
            ("payload.reason", text),
            ("signer.signer_id", text),
            ("signer.key_id", text),
            ("signature.key_id", text),
            ("event_type", text),
            ("created_at", text),
        ):
            for event in variants(kind, path, new):
                check(event)


@pytest.mark.parametrize("kind", ["graph_snapshot", "mirror_hint"])
def test_payloads_that_repeat_the_event(kind: str) -> None:
    """Whole, in part, nested, and as text."""
    whole = signed_event(kind, previous_event_id=some_id("a previous event"))
    parts = {name: whole[name] for name in ("signature", "signer", "target")}
    for inner in (whole, parts, {**parts, **COPIES}, [whole, parts], canonical(whole).decode()):
        for name in ("note", "signature", "signer", "target", "created_at", "zz"):
            for event in variants(kind, f"payload.{name}", inner):
                assert check(event).outline is not None
            for event in variants(kind, "payload", {name: inner}):
                assert check(event).outline is not None


@pytest.mark.parametrize("kind", ["record_created", "author_attestation", "correction"])
def test_members_of_every_type(kind: str) -> None:
    for path in (
        *NAMES,
        *("signer.key_id", "signer.public_key_fingerprint", "signer.signer_id"),
        *("signer.signer_type", "signer.more", "signature.more", "signature.algorithm"),
        *("signature.key_id", "signature.signature_b64", "signature.signed_message"),
    ):
        if path == "subject_pith_number":
            continue  # without one there is no event
        for new in (*EVERY_TYPE, *([DROP] if path in NAMES else [])):
            for event in variants(kind, path, new):
                check(event)


def test_further_members_that_sort_everywhere() -> None:
    for name in BETWEEN:
        for new in ("", None, signed_event()["signer"]):
            for kind in ("graph_snapshot", "correction"):
                for event in variants(kind, name, new):
                    assert check(event).outline is None
    for name in ("metadata", "schema_version", "source"):
        for event in variants("graph_snapshot", name, None):
            assert check(event).malformed is not None
    two = signed_event(a=1, z=2)
    assert check(two).outline is None
    # As many members as usual, but not these.
    for name in NAMES:
        if name not in ("subject_pith_number", "previous_event_id"):
            assert check(changed(signed_event(zz=1), name, DROP)).outline is None


def test_previous_event_id_null_is_a_member() -> None:
    event = check(signed_event(previous_event_id=None))
    assert event.view is not None
    assert event.view.previous_event_id is None
    assert event.outline is None
    assert b'"previous_event_id":null' in event.canonical


def test_signers_with_further_members_and_long_ones() -> None:
    for more in ({"a": 1}, {"key_ie": "x"}, {"z": None}, {"orcid": "x" * 3000}):
        assert check(signed_event(signer=REGISTRY.signer() | more)).outline is None
    for length in (1, 500, 1000, 1100, 70_000):
        for name in ("signer_id", "key_id", "signer_type"):
            for text in ("x" * length, "é\\" * length):
                check(resealed(signed_event(), f"signer.{name}", text, REGISTRY))
    # Its members in another order, and a dict that is equal but for that.
    backwards = dict(reversed(REGISTRY.signer().items()))
    assert check(signed_event(signer=backwards)).canonical == signed_bytes()
    fewer = {name: text for name, text in REGISTRY.signer().items() if name != "signer_id"}
    assert check(signed_event(signer=fewer)).malformed is not None


def signed_bytes() -> bytes:
    return canonical(signed_event())


def test_what_has_no_class_is_not_judged_like_one() -> None:
    no_view = changed(signed_event(), "payload", DROP)
    for value in (no_view, changed(signed_event(), "signature", DROP)):
        assert not is_judged_like_its_class(Event.from_value(value))


def test_a_signature_in_another_key_s_name() -> None:
    event = signed_event("author_attestation")
    for key_id in ("test-bob", "", "x" * 2000, f"{ALICE.key_id} ", "\\"):
        named = changed(event, "signature.key_id", key_id)
        found = check(named)
        assert not is_judged_like_its_class(found)
        facts = establish(found, RING)
        assert judge(found, facts, RING, "verified").reason == "signer_mismatch"
        # Not even who takes it for one of the class makes of it another event than it is.
        event_class = class_of(Event.from_value(event), facts)
        assert event_class is not None
        assert cut(found, event_class) is None


TIMES = [
    *("2026-06-01T00:00:00Z", "2026-06-31T00:00:00Z", "2026-06-01T00:00:0Z"),
    *("2026-06-01T00:00:000Z", "2026-06-01T00:00:00\n", '2026-06-01T00:00:0"Z'),
    *("2026-06-01T00:00:0\\Z", "2026-06-01T00:00\x0000Z", '","event_id":"sha256'),
    *("x" * 20, " " * 20, '"' * 20, '"' * 10, "\\" * 20, "\\" * 10, "\n" * 20, "\n" * 10),
    *("é" * 20, "é" * 10, "２026-06-01T00:00:00Z", "2026-06-01T00:00:0é", "2026-06-01T00:00:é"),
    *("\U0001f600" * 20, "\U0001f600" * 5),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_created_at_of_twenty_characters(kind: str) -> None:
    """Or of twenty bytes, or of twenty in another spelling: what follows it is found all the
    same."""
    for created_at in TIMES:
        for event in variants(kind, "created_at", created_at):
            check(event)


def spellings(raw: bytes) -> Iterator[str]:
    """Texts that some decoder of base64 takes for these bytes, and some that none does."""
    text = b64(raw)
    plain = text.rstrip("=")
    yield from (plain, f"{plain}=", f"{plain}===", f"{text}=", f"={text}", f"{text}\n", f" {text}")
    yield from (text[:40] + "\n" + text[40:], text[:40] + " " + text[40:], text[:40] + "é")
    yield from (text[:40] + "=" + text[40:], text.replace("=", "%3D"), text[:40] + "-_" + text[42:])
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(plain[-1])
    for bits in range(1, 4 if len(raw) % 3 == 2 else 16):
        yield (
            plain[:-1]
            + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[last ^ bits]
            + "=" * (len(text) - len(plain))
        )
    yield "A" * 86 + "=="
    yield "+/" * 43 + "=="
    yield "_-" * 43 + "=="


@pytest.mark.parametrize("size", [0, 63, 64, 65, 66])
def test_signatures_in_every_spelling(size: int) -> None:
    raw = random.Random(size).randbytes(size)
    for text in (b64(raw), *(spellings(raw) if size else ())):
        for event in variants("graph_snapshot", "signature.signature_b64", text):
            check(event)
    good = signed_event()
    for text in spellings(bytes.fromhex("00" * 60 + "0102030f")):
        check(changed(good, "signature.signature_b64", text))


def test_ids_of_another_form() -> None:
    for event_id in (
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 63 + "\n",
        "sha256:" + "a" * 64 + "\n",
        "sha512:" + "a" * 64,
        "a" * 71,
        "sha256:" + "é" * 64,
        "sha256:" + "\\" * 64,
        "sha256:" + "٠" * 64,
    ):
        for name in ("event_id", "previous_event_id"):
            for event in variants("graph_snapshot", name, event_id):
                assert check(event).malformed is not None


# --- anything, at random ---------------------------------------------------------------------

TEXT = st.one_of(st.sampled_from(TEXTS[:10]), st.text(max_size=25))
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.floats(-1e300, 1e300)
    )
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PATHS = ["created_at", "event_id", "event_type", "payload", "previous_event_id", "signature"]
PATHS += ["signer", "target", "payload.note", "signature.key_id", "signature.signature_b64"]
PATHS += ["signature.more", "signer.key_id", "signer.signer_id", "signer.more"]


@settings(max_examples=100)
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.sampled_from(PATHS) | TEXT, VALUES), min_size=1, max_size=3),
    st.booleans(),
)
def test_random_members(kind: str, changes: list[tuple[str, Any]], seal: bool) -> None:
    event = signed_event(kind)
    for path, new in changes:
        name = path.partition(".")[0]
        if name != "subject_pith_number" and ("." not in path or type(event.get(name)) is dict):
            event = changed(event, path, new)
    if seal:
        event = signing.sealed(event, SIGNERS[kind])
    check(event)
