"""One event (SPEC §1, §5, §6): its limits, its id, its bytes, and its verdict, held against the
oracle's: every way to be malformed, every reason, and which of two reasons comes first."""

import base64
import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from histories import FOREIGN_IDS, KEYRING, fixed_histories
from pithgraph.canonical import depth_of
from pithgraph.documents import Receipt, view
from pithgraph.errors import VERDICT_REASONS, DecodeError, Refused
from pithgraph.events import Event, computed_event_id, id_bytes
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.validation import (
    ASSURANCES,
    STATED,
    TOLERATED_AS_STATED,
    VERIFIED,
    Assurance,
    Verdict,
    establish,
    is_authentic,
    judge,
    receipt_fault,
    why_not_authentic,
)
from signing import (
    ALICE,
    CORRECTED,
    DROP,
    OTHER_PAPER,
    PAPER,
    READER,
    REGISTRY,
    REGISTRY_B,
    REVOKED,
    SIGNERS,
    STRANGER,
    WINDOWED,
    Json,
    Key,
    b64,
    canonical,
    changed,
    event_id_of,
    keyring_value,
    payload_of,
    receipt,
    sealed,
    sha256_hex,
    signature,
    signed_event,
    some_id,
)

RING = Keyring.from_value(KEYRING)


def event_with(members: Json, kind: str = "graph_snapshot", key: Key | None = None) -> Json:
    """A signed event with members set by their paths, before it is sealed."""
    return signed_event(kind, key, **members)


def verdict(event: Json, keyring: Json = KEYRING, assurance: Assurance = VERIFIED) -> Verdict:
    """The engine's verdict, which must be the oracle's."""
    ring = RING if keyring is KEYRING else Keyring.from_value(keyring)
    read = Event.from_value(event)
    found = judge(read, establish(read, ring), ring, assurance)
    assert (found.reason, found.stated) == oracle.verdict(event, keyring, assurance)
    assert bool(found.detail) == (found.reason is not None)
    return found


# --- limits


def refusal(value: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        Event.from_value(value)
    assert caught.value.detail
    assert len(str(caught.value)) < 300
    return caught.value


def reason_of(value: Any) -> str:
    return refusal(value).reason


def nested(levels: int) -> Any:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def test_an_event_nests_56_levels() -> None:
    deepest, deeper = signed_event(further=nested(55)), signed_event(further=nested(56))
    assert (depth_of(deepest), depth_of(deeper)) == (56, 57)
    assert verdict(deepest).reason is None
    assert reason_of(deeper) == "event_too_deep"
    # so does what stands in its named members, and the signature counts
    assert verdict(signed_event("graph_snapshot", payload={"n": nested(54)})).reason is not None
    assert reason_of(signed_event(payload={"n": nested(55)})) == "event_too_deep"
    assert reason_of(changed(signed_event(), "signature", nested(56))) == "event_too_deep"
    # many brackets are not deep
    assert verdict(signed_event(further=[[]] * 1000)).reason is None


def of_size(size: int, filler: str) -> Json:
    """A signed event whose canonical form has this many bytes."""
    room = size - len(canonical(signed_event(further="")))
    width = len(canonical(filler)) - 2
    event = signed_event(further=filler * (room // width) + "x" * (room % width))
    assert len(canonical(event)) == size
    return event


@pytest.mark.parametrize("filler", ["x", "é", "😀"])
def test_an_event_has_one_mebibyte(filler: str) -> None:
    assert verdict(of_size(2**20, filler)).reason is None
    assert reason_of(of_size(2**20 + 1, filler)) == "event_too_large"


def test_the_size_is_that_of_the_canonical_form() -> None:
    event = of_size(2**20, "\n")  # two bytes a line feed, escaped as \n
    assert verdict(event).reason is None
    spaced = canonical(event).replace(b'":', b'" :   ', 20)
    assert Event.from_bytes(spaced).canonical == canonical(event)


LARGEST = 2**53 - 1


@pytest.mark.parametrize("number", [LARGEST, -LARGEST, 0, 10**15])
@pytest.mark.parametrize("place", ["further", "payload.further", "signer.further"])
def test_integers_within_the_range(number: int, place: str) -> None:
    for value in (number, [[{"a": number}]], float(number)):
        assert verdict(event_with({place: value})).reason is None


@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 1, 10**16, -(10**400), 2**64])
@pytest.mark.parametrize("place", ["further", "payload.further", "signer.further", "target"])
def test_integers_beyond_the_range(number: int, place: str) -> None:
    for value in (number, [1, [{"a": [2.5, number]}]]):
        assert reason_of(event_with({place: value})) == "event_integer_range"


def test_digits_that_are_no_integer_are_not_limited() -> None:
    further = {"9" * 30: "9" * 30, "float": 1e300, "digits": 1234567890.1234567}
    assert verdict(signed_event(further=further)).reason is None


@pytest.mark.parametrize("value", [None, [], "event", 1, 1.5, True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert reason_of(value) == "not_an_object"


SUFFIX = PAPER.suffix


@pytest.mark.parametrize(
    "subject",
    [
        *(DROP, None, 1, [], {}, "", SUFFIX, f"pith:{SUFFIX}", f"pith:{SUFFIX[:8]}"),
        *(f"pith:2024:{SUFFIX.lower()}", f"PITH:2024:{SUFFIX}", f"pith:24:{SUFFIX}"),
        *(f"pith:2024:{SUFFIX}\n", f" pith:2024:{SUFFIX}", f"pith:2024:{SUFFIX[:25]}"),
        *(f"pith:2024:{SUFFIX}A", f"pith:2024:{SUFFIX[:25]}1", f"pith:２０２４:{SUFFIX}"),
    ],
)
def test_an_event_names_a_full_pith_number(subject: Any) -> None:
    event = signed_event(subject_pith_number=subject)
    assert reason_of(event) == "no_subject"
    assert oracle.read_input("", canonical(event)) == ([], [])


def test_bytes_are_decoded_strictly() -> None:
    event = signed_event()
    assert Event.from_bytes(canonical(event)).canonical == canonical(event)
    with pytest.raises(DecodeError, match="duplicate_name"):
        Event.from_bytes(canonical(event)[:-1] + b',"target":"graph"}')


# --- bytes and id

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
NAMED = {*signed_event(), "previous_event_id", "metadata", "schema_version", "source"}
further_members = st.dictionaries(
    names.filter(lambda name: name not in NAMED), anything, max_size=4
)


@settings(max_examples=150)
@given(further_members, further_members, further_members)
def test_unknown_members_survive_and_are_part_of_the_id(
    further: Json, in_payload: Json, in_signer: Json
) -> None:
    event = signed_event() | further
    event["payload"] = in_payload | event["payload"]
    event["signer"] = in_signer | event["signer"]
    event = event | {"event_id": event_id_of(event)}
    read = Event.from_value(event)
    assert read.canonical == canonical(event)
    assert canonical(read.value) == canonical(event)
    assert read.sha256 == hashlib.sha256(canonical(event)).digest()
    assert computed_event_id(read.canonical) == event_id_of(event) == read.event_id
    assert id_bytes(event["event_id"]).hex() == event["event_id"][7:]


@given(further_members)
def test_id_and_signature_stand_outside_the_id(further: Json) -> None:
    event = signed_event() | further
    for event_id, signed in itertools.product(("", None, some_id("x")), (None, {"x": [1]}, "")):
        other = event | {"event_id": event_id, "signature": signed}
        assert computed_event_id(canonical(other)) == event_id_of(event)
    without = {name: event[name] for name in event if name not in ("event_id", "signature")}
    assert computed_event_id(canonical(without)) == event_id_of(event)


def test_every_other_member_counts_in_the_id() -> None:
    event = signed_event()
    others = [changed(event, name, "x") for name in event if name not in ("event_id", "signature")]
    others += [event | {"previous_event_id": previous} for previous in (None, some_id("x"))]
    ids = {computed_event_id(canonical(other)) for other in (event, *others)}
    assert len(ids) == len(others) + 1


def test_an_event_out_of_its_canonical_bytes_is_the_same() -> None:
    event = Event.from_value(signed_event())
    again = Event(event.canonical)
    assert (again.view, again.sha256, again.value) == (event.view, event.sha256, event.value)


def test_the_value_is_a_new_one_at_every_call() -> None:
    event = Event.from_value(signed_event())
    event.value["payload"].clear()
    assert event.value == signed_event()


def test_what_is_read_of_a_well_formed_event() -> None:
    value = signed_event("correction")
    event = Event.from_value(value)
    assert event.malformed is None
    assert (event.subject, event.event_id) == (PAPER.number, value["event_id"])
    assert event.timestamp == value["created_at"]
    assert event.signer.signer_id == ALICE.signer_id
    assert Event.from_value(signed_event(created_at="2026-02-30T00:00:00Z")).timestamp is None


# --- malformed (SPEC §6, 1)


def resealed(name: str, value: Any) -> Json:
    return sealed(changed(signed_event(), name, value), REGISTRY)


OTHER_THAN_STRING: tuple[Any, ...] = (None, 1, 1.5, True, [], {})
GOOD_B64 = signed_event()["signature"]["signature_b64"]
BAD_B64 = [
    "",
    GOOD_B64.rstrip("="),
    GOOD_B64 + "=",
    GOOD_B64 + "\n",
    " " + GOOD_B64,
    GOOD_B64[:40] + "\n" + GOOD_B64[40:],
    GOOD_B64[:85] + "B==",  # an unused bit is set
    GOOD_B64[:85] + "/==",
    "-_" + GOOD_B64[2:],
    "é" + GOOD_B64[1:],
    GOOD_B64[:10] + "=" + GOOD_B64[11:],
    b64(bytes(63)),
    b64(bytes(65)),
    base64.b16encode(bytes(64)).decode(),
]
BAD_SIGNERS: list[Any] = [DROP, None, 1, True, "x", [], {}]
BAD_PAYLOADS: list[Any] = [DROP, None, 1, True, "{}", [], [{}]]
BAD_SIGNATURES: list[Any] = [1, True, "x", [], {}]
ANY_VALUE: list[Any] = [None, {}, "1.0", []]
BAD_IDS: list[Any] = [
    *OTHER_THAN_STRING,
    *("", "0" * 64, "sha256:", "sha256:" + "0" * 63, "sha256:" + "0" * 65),
    *("sha256:" + "A" * 64, "SHA256:" + "0" * 64, "sha512:" + "0" * 64, "sha256:" + "０" * 64),
    *(some_id("x") + "\n", " " + some_id("x"), "sha256:" + "g" * 64),
]
MALFORMED: list[tuple[str, Json]] = [
    *(
        (name, resealed(name, value))
        for name in ("event_type", "target", "created_at")
        for value in (DROP, *OTHER_THAN_STRING)
    ),
    *(("signer", resealed("signer", value)) for value in BAD_SIGNERS),
    *(
        ("signer", resealed(f"signer.{name}", value))
        for name in REGISTRY.signer()
        for value in (DROP, *OTHER_THAN_STRING)
    ),
    *(("payload", resealed("payload", value)) for value in BAD_PAYLOADS),
    *(("event_id", changed(signed_event(), "event_id", value)) for value in (DROP, *BAD_IDS)),
    *(
        ("previous_event_id", resealed("previous_event_id", value))
        for value in BAD_IDS
        if value is not None
    ),
    *(("signature", changed(signed_event(), "signature", value)) for value in BAD_SIGNATURES),
    *(
        ("signature", changed(signed_event(), f"signature.{name}", value))
        for name in signed_event()["signature"]
        for value in (DROP, *OTHER_THAN_STRING)
    ),
    *(
        ("signature", changed(signed_event(), "signature.algorithm", value))
        for value in ("", "Ed25519", "ed25519ph", "ed448")
    ),
    *(
        ("signature", changed(signed_event(), "signature.signed_message", value))
        for value in ("", "canonical_sha256_bytes", "event_id")
    ),
    *(("signature", changed(signed_event(), "signature.signature_b64", v)) for v in BAD_B64),
    ("signature", changed(signed_event(), "signature.note", None)),
    ("signature", signed_event() | {"signature": signed_event()["signature"] | {"": 1}}),
    *(
        (name, resealed(name, value))
        for name in ("metadata", "schema_version", "source")
        for value in ANY_VALUE
    ),
]


@pytest.mark.parametrize(("member", "event"), MALFORMED)
def test_malformed(member: str, event: Json) -> None:
    read = Event.from_value(event)
    assert read.view is None
    assert member in (read.malformed or "")
    for assurance in ASSURANCES:
        found = verdict(event, assurance=assurance)
        assert (found.reason, found.detail) == ("malformed", read.malformed)
    # What such an event still says of itself.
    assert read.subject == PAPER.number
    assert read.event_id == (
        event["event_id"] if oracle.is_event_id(event.get("event_id")) else None
    )
    assert read.timestamp == (event["created_at"] if member != "created_at" else None)
    assert read.canonical == canonical(event)


NOT_MALFORMED: list[Json] = [
    signed_event(),
    signed_event(previous_event_id=None),
    signed_event(previous_event_id=some_id("x")),
    event_with({"signer.further": {"any": [None]}}),
    event_with({"further": None, "": 1, "é": [], "Metadata": {}, "signature_b64": 1}),
    event_with({"payload.source": {}, "payload.metadata": {}, "payload.event_id": 1}),
    changed(signed_event(), "signature", DROP),
    changed(signed_event(), "signature", None),
    changed(signed_event(), "signature.key_id", ""),
    changed(signed_event(), "event_id", some_id("x")),
    signed_event(event_type="", target="", created_at="", payload={}),
    signed_event(signer=dict.fromkeys(REGISTRY.signer(), "")),
    changed(signed_event(), "signature.signature_b64", b64(bytes(64))),
]


@pytest.mark.parametrize("event", NOT_MALFORMED)
def test_not_malformed(event: Json) -> None:
    read = Event.from_value(event)
    assert read.view is not None
    assert read.malformed is None
    for assurance in ASSURANCES:
        assert verdict(event, assurance=assurance).reason != "malformed"


# --- every reason, and which of two comes first

REASONS = list(VERDICT_REASONS)
# An id that is signed over belongs to a known key and a good signature.
IMPOSSIBLE = {
    frozenset({"event_id_unverifiable", other})
    for other in ("event_id_mismatch", "unknown_key", "bad_signature")
}


def faulty(faults: Iterable[str]) -> tuple[Json, Json]:
    """An event with each of these faults, and the keyring that it is judged under."""
    faults = set(faults)
    key = READER if "unauthorized_signer" in faults else REGISTRY
    entries: dict[Key, Json] = {key: key.entry(), ALICE: ALICE.entry()}
    if "key_not_valid" in faults:
        entries[key]["revoked"] = True
    if "unknown_key" in faults:
        del entries[key]
    members: dict[str, Json] = {
        "malformed": {"schema_version": "1.0"},
        "unknown_event_type": {"event_type": "endorsement"},
        "invalid_timestamp": {"created_at": "2026-06-01T00:00:60Z"},
        "target_mismatch": {"target": "graphs"},
        "signer_mismatch": {"signer.signer_id": "another.example"},
        "invalid_payload": {"payload": {}},
    }
    changes = {
        name: value for fault in members.keys() & faults for name, value in members[fault].items()
    }
    event = signed_event("graph_snapshot", key, **changes)
    if faults & {"event_id_mismatch", "event_id_unverifiable"}:
        event["event_id"] = FOREIGN_IDS[0]
    secret = STRANGER if faults & {"event_id_mismatch", "bad_signature"} else key
    event["signature"] = signature(secret, event["event_id"], key_id=key.key_id)
    if "missing_signature" in faults:
        del event["signature"]
    return event, keyring_value(*entries.values())


def test_without_a_fault_the_event_is_valid() -> None:
    assert verdict(*faulty([])) == Verdict(None, "", False)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason(reason: str) -> None:
    event, ring = faulty([reason])
    assert verdict(event, ring).reason == reason
    tolerated = reason in TOLERATED_AS_STATED
    found = verdict(event, ring, STATED)
    assert (found.reason, found.stated) == ((None, True) if tolerated else (reason, False))


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in itertools.combinations(REASONS, 2) if frozenset(pair) not in IMPOSSIBLE],
)
def test_which_of_two_reasons_comes_first(first: str, second: str) -> None:
    event, ring = faulty([first, second])
    assert verdict(event, ring).reason == first
    verdict(event, ring, STATED)  # compares with the oracle


@settings(max_examples=150)
@given(st.sets(st.sampled_from(REASONS)), st.sampled_from(ASSURANCES))
def test_any_faults_together(faults: set[str], assurance: Assurance) -> None:
    found = verdict(*faulty(faults), assurance)
    if assurance == VERIFIED and not any(pair <= faults for pair in IMPOSSIBLE):
        assert found.reason == next((name for name in REASONS if name in faults), None)


WINDOW = {"valid_from": "2026-06-01T00:00:01Z", "valid_until": "2026-06-01T00:00:02Z"}


@pytest.mark.parametrize(
    ("second", "reason"),
    [(0, "key_not_valid"), (1, None), (2, None), (3, "key_not_valid")],
)
def test_windows_bind_created_at(second: int, reason: str | None) -> None:
    ring = keyring_value(REGISTRY.entry(**WINDOW))
    event = signed_event(created_at=f"2026-06-01T00:00:0{second}Z")
    assert verdict(event, ring).reason == reason


def test_a_key_id_that_the_signature_does_not_share() -> None:
    event = signed_event()
    assert verdict(changed(event, "signature.key_id", "x")).reason == "signer_mismatch"


# --- kinds


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_valid_event_of_each_kind(kind: str) -> None:
    assert verdict(signed_event(kind)).reason is None
    assert verdict(event_with({"payload.further": {"any": [None]}}, kind)).reason is None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_who_may_sign_each_kind(kind: str) -> None:
    allowed = {
        "author_attestation": {"author", "pith_registry"},
        "correction": {"author", "pith_registry"},
        "mirror_hint": {"mirror", "pith_registry"},
        "record_created": {"pith_registry"},
        "graph_snapshot": {"pith_registry"},
    }.get(kind)
    for signer_type in ("author", "pith_registry", "mirror", "reader", "", "Author"):
        ring = keyring_value(ALICE.entry(signer_type=signer_type), REGISTRY.entry())
        event = event_with({"signer.signer_type": signer_type}, kind, ALICE)
        expected = None if allowed is None or signer_type in allowed else "unauthorized_signer"
        assert verdict(event, ring).reason == expected


POOL: list[Any] = [
    *(DROP, None, True, False, 0, 1, -1, 1.0, -0.0, "", "x", [], {}, ["x"]),
    *("a" * 64, "A" * 64, "weak", "confirmed", "pending", "retract", "cites", CORRECTED),
    *(PAPER.number, PAPER.number.lower(), PAPER.canonical_sha256, "2024", "20", LARGEST),
]
TARGET_POOL = [
    *("record", "graph", "", "record ", "author:", "author:\n", "anchor:", "anchor:x", "storage:"),
    *("citation:", "replication:", "mirror:", CORRECTED, CORRECTED.upper(), CORRECTED + "\n"),
    *(f"author:{ALICE.signer_id}", f"citation:{PAPER.number}", "storage:x", "mirror:x", "graph\n"),
]


@st.composite
def payload_changes(draw: st.DrawFn) -> Json:
    """An event with a member or two of its payload, or its target, changed before sealing."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    payload = payload_of(kind)
    paths = [*payload, "further", "block_height", "content_sha256", "evidence_sha256", "event_id"]
    paths += ["orcid"]
    for name, value in payload.items():
        if isinstance(value, dict):
            paths += [f"{name}.{inner}" for inner in (*value, "further", "orcid")]
    if kind == "record_created":
        paths += [f"canonical_record.source.{name}" for name in PAPER.source]
        paths += ["canonical_record.metadata.submitted_at"] * 3
    for path in draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True)):
        try:
            payload = changed(payload, path, draw(st.sampled_from(POOL)))
        except (KeyError, TypeError, ValueError):
            continue  # a change before it took its place away
    changes: Json = {"payload": payload}
    if kind == "record_created" and draw(st.booleans()) and "canonical_record" in payload:
        # the digest, the subject and the receipt follow the changed record
        digest = sha256_hex(payload["canonical_record"])
        suffix = base64.b32encode(bytes.fromhex(digest)).decode()[:26]
        changes["subject_pith_number"] = f"pith:2024:{suffix}"
        signed = b64(REGISTRY.sign(bytes.fromhex(digest)))
        for path in ("canonical_sha256", "receipt.canonical_sha256"):
            payload = _changed_if_there(payload, path, digest)
        changes["payload"] = _changed_if_there(payload, "receipt.signature_b64", signed)
    if draw(st.integers(0, 3)) == 0:
        changes["target"] = draw(st.sampled_from(TARGET_POOL))
    key = draw(st.sampled_from((SIGNERS[kind], REGISTRY)))
    return signed_event(kind, key, **changes)


def _changed_if_there(payload: Json, path: str, new: Any) -> Json:
    name, _, rest = path.partition(".")
    if name not in payload or (rest and not isinstance(payload[name], dict)):
        return payload
    return changed(payload, path, new)


@settings(max_examples=600)
@given(payload_changes())
def test_payloads_and_targets_are_judged_as_the_oracle_judges(event: Json) -> None:
    verdict(event)  # compares


# --- receipts (SPEC §3)

RECEIPTS: list[tuple[str, Json, str | None]] = [
    ("as it is", {}, None),
    ("by the other registry", receipt(key=REGISTRY_B), None),
    ("of any dates", dict.fromkeys(("signed_at", "last_reissued_at", "first_computed_at")), None),
    ("of a key whose window is past", receipt(key=WINDOWED), None),
    ("of a revoked key", receipt(key=REVOKED), "is revoked"),
    ("of a stranger", receipt(key=STRANGER), "in the keyring"),
    ("of an author", receipt(key=ALICE), "of type 'author'"),
    ("under another fingerprint", {"public_key_fingerprint": "0" * 32}, "public_key_fingerprint"),
    ("under the other's key_id", {"key_id": REGISTRY_B.key_id}, "public_key_fingerprint"),
    ("of another record", receipt(OTHER_PAPER), "canonical_sha256"),
    (
        "signed over another",
        receipt(OTHER_PAPER, canonical_sha256=PAPER.canonical_sha256),
        "verify",
    ),
]


@pytest.mark.parametrize(
    ("changes", "fault"), [pytest.param(*row, id=what) for what, *row in RECEIPTS]
)
def test_a_receipt(changes: Json, fault: str | None) -> None:
    value = receipt() | changes
    alone = receipt_fault(view(value, Receipt), PAPER.canonical_sha256, RING)
    assert alone is None if fault is None else fault in (alone or "")
    event = event_with({"payload.receipt": value}, "record_created")
    for assurance in ASSURANCES:
        found = verdict(event, assurance=assurance)
        assert found.reason == (None if fault is None else "invalid_payload")
        assert fault is None or fault in found.detail


# --- the door


DOOR = {
    *("malformed", "missing_signature", "event_id_unverifiable", "event_id_mismatch"),
    *("unknown_key", "bad_signature"),
}


def test_authentic_is_id_and_signature_whatever_else_is_wrong() -> None:
    seen = set()
    for event in (event for history in fixed_histories(150) for event in history.events):
        read = Event.from_value(event)
        facts = establish(read, RING)
        entry = None
        if oracle._is_well_formed(event) and event.get("signature"):
            fingerprint = event["signer"]["public_key_fingerprint"]
            entry = oracle.entry_with(KEYRING, "public_key_fingerprint", fingerprint)
        expected = (
            entry is not None
            and event["event_id"] == event_id_of(event)
            and oracle.signed_by(entry, event["signature"]["signature_b64"], event["event_id"][7:])
        )
        assert is_authentic(read, facts) == expected
        if expected:
            with pytest.raises(AssertionError, match="asked of an authentic event"):
                why_not_authentic(read, facts, RING)
        else:
            found = why_not_authentic(read, facts, RING)
            seen.add(found.reason)
            reason, _ = oracle.verdict(event, KEYRING, VERIFIED)
            if reason in DOOR:
                assert found == judge(read, facts, RING, VERIFIED)
                assert found.reason == reason
    assert seen == DOOR


def test_a_value_that_json_reads_otherwise_is_what_json_reads() -> None:
    """Tuples are lists and names are strings, in the limits too."""
    event = signed_event("graph_snapshot")
    deep: Any = 1
    for _ in range(60):
        deep = (deep,)
    for value, reason in ((deep, "event_too_deep"), ((2**70,), "event_integer_range")):
        with pytest.raises(Refused) as refused:
            Event.from_value({**event, "more": value})
        assert refused.value.reason == reason
    read = Event.from_value({**event, "more": {10: 1, 2: 1}})
    assert read.canonical == Event.from_value(read.value).canonical
