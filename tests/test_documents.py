"""Documents (SPEC §4, §6): what a decoded value is taken for, and the events, alias rows and
refusals that it brings to a log."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import signing
from pithgraph import documents
from pithgraph.documents import classify, view
from pithgraph.entries import AliasEntry, Entry, EventEntry, RefusedEntry, entries_of
from pithgraph.errors import REFUSAL_REASONS, Refused
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from signing import DROP, OTHER_PAPER, PAPER, Json, at, canonical, changed, signed_event, some_id

KEYRING_VALUE = signing.keyring_value()
KEYRING = Keyring.from_value(KEYRING_VALUE)

# --- one of each

EVENT = signed_event()
OTHER_EVENT = signed_event("correction", paper=OTHER_PAPER)
ALIAS_ROW = {"alias_kind": "doi", "alias_value": "10.1/x", "created_at": "2026-06-01T00:00:01.5Z"}
ALIAS_LINE = {"alias": {"pith_number": PAPER.number, **ALIAS_ROW}}
ALIASES = {"pith_number": PAPER.number, "source_aliases": [ALIAS_ROW, ALIAS_ROW]}
BUNDLE = {
    "bundle_type": "pith_open_graph_bundle",
    "pith_number": PAPER.number,
    "events": [EVENT, OTHER_EVENT],
    "source_aliases": [ALIAS_ROW],
}
PROOF = {"proof_type": "pith_equivocation_proof", "events": [EVENT, OTHER_EVENT]}
CONSISTENCY = {"proof_type": "pith_consistency_proof", "hashes": []}
ROW = {name: EVENT[name] for name in ("event_id", "target", "created_at", "signer", "payload")}
BUCKETS = [kind.bucket for name, kind in KINDS.items() if name != "record_created"]
STATE: Json = {
    "state_type": "pith_open_graph_state",
    "pith_number": PAPER.number,
    "current": {
        **{bucket: [ROW, ROW | {"target": bucket}] for bucket in BUCKETS},
        "record_created": ROW,
        "canonical_record": None,
        "source_aliases": [ALIAS_ROW],
    },
}
RECORD: Json = {
    "record_type": "pith_number_record",
    "pith_number": PAPER.number,
    "canonical_sha256": PAPER.canonical_sha256,
    "source": PAPER.source,
    "attestation_state": "computed",
    "canonical_record": PAPER.record,
    "receipt": signing.receipt(),
    "graph_snapshot": {"verdict": {"id": "v1"}},
    "aliases": [ALIAS_ROW],
    "events": [EVENT],
}
MANIFEST = {"manifest_type": "pith_mirror_manifest", "mirrors": []}
KEYS: Json = {"keys": []}
SHOWN_EVENTS: Json = {"pith_number": PAPER.number, "state_sha256": "0" * 64, "events": [EVENT]}
SHOWN_GRAPH: Json = {"pith_number": PAPER.number, "event_id": None, "graph_snapshot": None}
RESOLVED: Json = {"alias_kind": "arxiv", "alias_value": "1", "pith_numbers": [PAPER.number]}

EACH: list[tuple[str, Any]] = [
    ("event", EVENT),
    ("alias", ALIAS_LINE),
    ("aliases", ALIASES),
    ("pith_open_graph_bundle", BUNDLE),
    ("pith_equivocation_proof", PROOF),
    ("pith_consistency_proof", CONSISTENCY),
    ("pith_open_graph_state", STATE),
    ("pith_number_record", RECORD),
    ("pith_mirror_manifest", MANIFEST),
    ("keyring", KEYS),
    ("paper_events", SHOWN_EVENTS),
    ("paper_graph", SHOWN_GRAPH),
    ("resolve", RESOLVED),
    ("list", [EVENT]),
]

# --- telling them apart


@pytest.mark.parametrize(("kind", "value"), EACH)
def test_each_type_is_told(kind: str, value: Any) -> None:
    found = classify(value)
    assert found.type == kind
    assert found.value is value


def test_the_types_are_all_there_are() -> None:
    named = {documents.EVENT, documents.ALIAS, documents.ALIASES, documents.KEYRING, documents.LIST}
    named |= {
        documents.CONSISTENCY_PROOF,
        documents.PROOF,
        documents.BUNDLE,
        documents.STATE,
        documents.RECORD,
        documents.EVENTS,
        documents.GRAPH,
        documents.RESOLVE,
    }
    assert named | {documents.MANIFEST} == {kind for kind, _ in EACH}


ORDER = [
    *(EVENT, PROOF, BUNDLE, STATE, RECORD, MANIFEST, KEYS, ALIASES),
    *(SHOWN_EVENTS, SHOWN_GRAPH, RESOLVED),
]


@pytest.mark.parametrize("index", range(len(ORDER) - 1))
def test_of_two_types_in_one_object_the_earlier_counts(index: int) -> None:
    expected = classify(ORDER[index]).type
    for other in ORDER[index + 1 :]:
        assert classify(other | ORDER[index]).type == expected
        assert (
            classify(ORDER[index] | {n: v for n, v in other.items() if n not in ORDER[index]}).type
            == expected
        )


@pytest.mark.parametrize("subject", [None, 1, "", {}, "pith:2024:x"])
def test_whatever_names_a_subject_is_an_event(subject: Any) -> None:
    assert classify({"subject_pith_number": subject}).type == "event"
    assert classify(BUNDLE | {"subject_pith_number": subject}).type == "event"


def test_an_alias_line_has_one_member() -> None:
    assert classify({"alias": None}).type == "alias"
    assert classify(ALIASES | ALIAS_LINE).type == "aliases"


REFUSED: list[tuple[str, Any]] = [
    *(("not_an_object", value) for value in (None, 1, 1.5, True, "x", "")),
    *(("unknown_document", {}), ("unknown_document", {"a": 1}), ("unknown_document", {"\x1b": 1})),
    ("unknown_document", ALIAS_LINE | {"b": 1}),
    ("unknown_document", {"keys": {}}),
    ("unknown_document", {"pith_number": PAPER.number}),
    ("unknown_document", {"source_aliases": []}),
    ("unknown_document", {"bundle_type": "another", "events": []}),
    ("unknown_document", {"state_type": None, "record_type": 1, "proof_type": []}),
    ("unknown_document", {name * 500: 1 for name in "abcdefghijk"}),
    ("no_subject", {name: EVENT[name] for name in EVENT if name != "subject_pith_number"}),
]


@pytest.mark.parametrize(("reason", "value"), REFUSED)
def test_what_is_no_document(reason: str, value: Any) -> None:
    with pytest.raises(Refused) as caught:
        classify(value)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    (entry,) = entries_of(value)
    assert isinstance(entry, RefusedEntry)
    assert (entry.where, entry.reason, entry.text) == ("", reason, canonical(value))


def test_a_view_names_the_member_at_fault() -> None:
    assert view(ALIAS_ROW | {"further": 1}, documents.AliasRow).alias_kind == "doi"
    for value, named in ((changed(ALIAS_ROW, "created_at", DROP), "created_at"), ([], "object")):
        with pytest.raises(Refused, match=named) as caught:
            view(value, documents.AliasRow)
        assert caught.value.reason == "wrong_shape"


# --- taking them apart


def parts(value: Any) -> tuple[list[Json], list[tuple[str, ...]], list[tuple[str, str]]]:
    """Events, alias rows, and (where, reason) of what is refused."""
    entries = list(entries_of(value, keyring=KEYRING))
    return (
        [entry.event.value for entry in entries if isinstance(entry, EventEntry)],
        [tuple(entry) for entry in entries if isinstance(entry, AliasEntry)],
        [(entry.where, entry.reason) for entry in entries if isinstance(entry, RefusedEntry)],
    )


ALIAS = (PAPER.number, "doi", "10.1/x", "2026-06-01T00:00:01.5Z")


@pytest.mark.parametrize(
    ("value", "events", "aliases"),
    [
        (EVENT, [EVENT], []),
        (ALIAS_LINE, [], [ALIAS]),
        (ALIASES, [], [ALIAS, ALIAS]),
        (BUNDLE, [EVENT, OTHER_EVENT], [ALIAS]),
        (PROOF, [EVENT, OTHER_EVENT], []),
        ([EVENT, ALIAS_LINE, BUNDLE], [EVENT, EVENT, OTHER_EVENT], [ALIAS, ALIAS]),
        ([], [], []),
        (BUNDLE | {"events": [], "source_aliases": []}, [], []),
    ],
)
def test_what_a_document_brings(value: Any, events: list[Json], aliases: list[Any]) -> None:
    assert parts(value) == (events, aliases, [])
    assert not any(e.unsigned_row for e in entries_of(value) if isinstance(e, EventEntry))


def test_a_state_brings_an_unsigned_event_a_row() -> None:
    events, aliases, refused = parts(STATE)
    assert (aliases, refused) == ([ALIAS], [])
    expected = []
    for name, kind in KINDS.items():
        rows = [ROW] if name == "record_created" else STATE["current"][kind.bucket]
        head = {"event_type": name, "subject_pith_number": PAPER.number}
        expected += [row | head for row in rows]
    assert events == expected
    assert all(e.unsigned_row for e in entries_of(STATE) if isinstance(e, EventEntry))


def test_a_row_gives_its_five_members_alone() -> None:
    further = {
        "signature": EVENT["signature"],
        "event_type": "x",
        "subject_pith_number": "x",
        "y": 1,
    }
    for row in (ROW | further, {"target": "graph"}):
        (event,), _, _ = parts(
            changed(STATE, "current", {"corrections": [row], "source_aliases": []})
        )
        kept = {name: row[name] for name in ROW if name in row}
        assert event == kept | {"event_type": "correction", "subject_pith_number": PAPER.number}


# What the record stands for: SPEC §4, written out.
RECORD_HEAD: Json = {
    "subject_pith_number": PAPER.number,
    "created_at": "2026-05-31T10:00:00Z",
    "signer": signing.REGISTRY.signer(),
}
RECORD_CREATED = RECORD_HEAD | {
    "event_type": "record_created",
    "target": "record",
    "payload": signing.payload_of("record_created"),
}
GRAPH_SNAPSHOT = RECORD_HEAD | {
    "event_type": "graph_snapshot",
    "target": "graph",
    "payload": {"graph_snapshot": {"verdict": {"id": "v1"}}, "verdict_id": "v1"},
}


def identified(event: Json) -> Json:
    return event | {"event_id": signing.event_id_of(event)}


def test_a_record_brings_two_unsigned_events_and_its_own() -> None:
    assert parts(RECORD) == (
        [identified(RECORD_CREATED), identified(GRAPH_SNAPSHOT), EVENT],
        [ALIAS],
        [],
    )
    entries = [e for e in entries_of(RECORD, keyring=KEYRING) if isinstance(e, EventEntry)]
    assert [entry.unsigned_row for entry in entries] == [True, True, False]


@pytest.mark.parametrize(
    ("snapshot", "verdict_id"),
    [
        (None, DROP),
        (DROP, DROP),
        ({}, None),
        ({"verdict": None}, None),
        ({"verdict": {"id": None}}, None),
        ({"verdict": {"id": 7}}, 7),
        ([], None),
    ],
)
def test_snapshots_of_records(snapshot: Any, verdict_id: Any) -> None:
    events, _, refused = parts(changed(RECORD, "graph_snapshot", snapshot))
    found = [event["payload"] for event in events if event["target"] == "graph"][:-1]
    expected = {"graph_snapshot": snapshot, "verdict_id": verdict_id}
    assert found == ([] if verdict_id is DROP else [expected])
    assert refused == []


@pytest.mark.parametrize(
    "name", ["attestation_state", "canonical_record", "canonical_sha256", "source"]
)
def test_what_a_record_lacks_its_event_lacks(name: str) -> None:
    events, _, refused = parts(changed(RECORD, name, DROP))
    lacking = {"source_id", "source_kind", "source_version"} if name == "source" else {name}
    assert RECORD_CREATED["payload"].keys() - events[0]["payload"].keys() == lacking
    assert refused == []


@pytest.mark.parametrize(
    ("member", "value", "refused"),
    [
        ("receipt", None, ("receipt", "wrong_shape")),
        ("receipt", DROP, ("receipt", "wrong_shape")),
        ("receipt.first_computed_at", "2026-05-31", ("receipt", "wrong_shape")),
        ("receipt.first_computed_at", DROP, ("receipt", "wrong_shape")),
        ("receipt.key_id", 7, ("receipt", "wrong_shape")),
        ("receipt.key_id", "test-nobody", ("receipt", "unknown_signer")),
        ("receipt.key_id", "test-registry-b", ("receipt", "unknown_signer")),
        ("receipt.public_key_fingerprint", "0" * 32, ("receipt", "unknown_signer")),
        ("canonical_record.metadata", "x" * 2**20, ("canonical_record", "event_too_large")),
        ("graph_snapshot.n", 2**53, ("graph_snapshot", "event_integer_range")),
    ],
)
def test_what_makes_no_event_is_refused_and_the_rest_is_taken(
    member: str, value: Any, refused: tuple[str, str]
) -> None:
    value = changed(RECORD, member, value)
    events, aliases, found = parts(value)
    assert found == [refused]
    assert (events[-1], aliases) == (EVENT, [ALIAS])
    assert len(events) == (1 if refused[0] == "receipt" else 2)
    (entry,) = (e for e in entries_of(value, keyring=KEYRING) if isinstance(e, RefusedEntry))
    assert entry.text == canonical(value.get(entry.where))


def test_without_a_keyring_nobody_is_known_to_sign_a_receipt() -> None:
    found = [entry for entry in entries_of([RECORD]) if isinstance(entry, RefusedEntry)]
    assert [(entry.where, entry.reason) for entry in found] == [("[0].receipt", "unknown_signer")]


def test_a_papers_events_are_taken() -> None:
    assert parts(SHOWN_EVENTS) == ([EVENT], [], [])
    assert parts(SHOWN_EVENTS | {"events": None}) == ([], [], [("events", "wrong_shape")])


@pytest.mark.parametrize("value", [MANIFEST, KEYS, SHOWN_GRAPH, RESOLVED])
def test_what_is_audited_is_not_ingested(value: Json) -> None:
    assert parts(value) == ([], [], [("", "not_ingestible")])
    assert parts([value]) == ([], [], [("[0]", "not_ingestible")])


NO_SUBJECT = changed(EVENT, "subject_pith_number", "pith:2024:short")
DEEP: list[Any] = [[[[]]]]
for _ in range(53):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (NO_SUBJECT, [("", "no_subject")]),
        (
            [EVENT, [EVENT], 1, {}],
            [("[1]", "not_an_object"), ("[2]", "not_an_object"), ("[3]", "unknown_document")],
        ),
        (changed(BUNDLE, "events", DROP), [("events", "wrong_shape")]),
        (changed(BUNDLE, "events", {"0": EVENT}), [("events", "wrong_shape")]),
        (changed(BUNDLE, "source_aliases", DROP), [("source_aliases", "wrong_shape")]),
        (
            BUNDLE | {"events": [EVENT, NO_SUBJECT, None, EVENT]},
            [("events[1]", "no_subject"), ("events[2]", "not_an_object")],
        ),
        (BUNDLE | {"events": [BUNDLE]}, [("events[0]", "no_subject")]),
        (
            [1, PROOF | {"events": [1]}],
            [("[0]", "not_an_object"), ("[1].events[0]", "not_an_object")],
        ),
        (BUNDLE | {"pith_number": "pith:x"}, [("source_aliases[0]", "bad_alias")]),
        (changed(STATE, "current", DROP), [("", "wrong_shape")]),
        (changed(STATE, "current", []), [("", "wrong_shape")]),
        ([changed(STATE, "current", None)], [("[0]", "wrong_shape")]),
        (
            changed(STATE, "current", {"source_aliases": 1}),
            [("current.source_aliases", "wrong_shape")],
        ),
        (
            changed(STATE, "current.corrections", [1, ROW, []]),
            [
                ("current.corrections[0]", "not_an_object"),
                ("current.corrections[2]", "not_an_object"),
            ],
        ),
        (
            changed(STATE, "current.record_created", [ROW]),
            [("current.record_created", "not_an_object")],
        ),
        (signed_event(further=DEEP), [("", "event_too_deep")]),
        (
            PROOF | {"events": [signed_event(further=2**53), signed_event(further="x" * 2**20)]},
            [("events[0]", "event_integer_range"), ("events[1]", "event_too_large")],
        ),
        ({"alias": None}, [("alias", "bad_alias")]),
        ({"alias": []}, [("alias", "bad_alias")]),
        ({"alias": ALIAS_ROW}, [("alias", "bad_alias")]),
    ],
)
def test_what_is_refused_and_where(value: Any, refused: list[tuple[str, str]]) -> None:
    assert parts(value)[2] == refused
    for entry in entries_of(value):
        if isinstance(entry, RefusedEntry):
            assert entry.detail
            assert entry.reason in REFUSAL_REASONS
            assert canonical(_at(value, entry.where)) == entry.text


def _at(value: Any, where: str) -> Any:
    for name in where.replace("[", ".[").split("."):
        if name.startswith("["):
            value = value[int(name[1:-1])]
        elif name:
            value = value.get(name)
    return value


def test_one_refused_part_leaves_the_others() -> None:
    value = BUNDLE | {
        "events": [1, EVENT, NO_SUBJECT, OTHER_EVENT],
        "source_aliases": [1, ALIAS_ROW],
    }
    events, aliases, refused = parts(value)
    assert (events, aliases, len(refused)) == ([EVENT, OTHER_EVENT], [ALIAS], 3)


ALIAS_TIMES = {
    "2026-06-01T00:00:01Z": True,
    "2026-06-01T00:00:01+00:00": True,
    "2026-06-01T00:00:01.0Z": True,
    "2026-06-01T00:00:01.123456789012+00:00": True,
    "2026-06-01T00:00:01.Z": False,
    "2026-06-01T00:00:01": False,
    "2026-06-01T00:00:01-00:00": False,
    "2026-06-01T00:00:01+01:00": False,
    "2026-06-01T00:00:01+0000": False,
    "2026-06-01T00:00:01,5Z": False,
    "2026-06-01 00:00:01Z": False,
    "2026-06-01T00:00:60Z": False,
    "2026-06-31T00:00:01Z": False,
    "2026-06-01T00:00:01Z\n": False,
    "2026-06-01T00:00:01.５Z": False,
    "": False,
}


@pytest.mark.parametrize("created_at", ALIAS_TIMES)
def test_dates_of_alias_rows(created_at: str) -> None:
    row = ALIAS_ROW | {"created_at": created_at}
    _, aliases, refused = parts({"alias": row | {"pith_number": PAPER.number}})
    assert (len(aliases), len(refused)) == ((1, 0) if ALIAS_TIMES[created_at] else (0, 1))
    assert [alias[3] for alias in aliases] == [created_at] * len(aliases)  # as it came


@pytest.mark.parametrize("name", ["pith_number", *ALIAS_ROW])
@pytest.mark.parametrize("value", [DROP, None, 1, [], {}, True])
def test_members_of_alias_rows_are_strings(name: str, value: Any) -> None:
    row = changed(ALIAS_LINE["alias"], name, value)
    assert parts({"alias": row}) == ([], [], [("alias", "bad_alias")])


def test_alias_rows_may_hold_more_and_anything() -> None:
    row = {
        "pith_number": PAPER.number,
        "alias_kind": "",
        "alias_value": "\x00é",
        "created_at": at(1),
    }
    _, aliases, refused = parts({"alias": row | {"further": [None]}})
    assert (aliases, refused) == ([(PAPER.number, "", "\x00é", at(1))], [])


# --- beside the oracle

SMALL: list[Any] = [None, 1, "x", [], {}, PAPER.number, EVENT, ROW, ALIAS_ROW, [EVENT], [ROW, 1]]
MEMBERS: dict[str, list[Any]] = {
    "subject_pith_number": [PAPER.number, None],
    "proof_type": ["pith_equivocation_proof", "x"],
    "bundle_type": ["pith_open_graph_bundle", None],
    "state_type": ["pith_open_graph_state", {}],
    "record_type": ["pith_number_record"],
    "receipt": [RECORD["receipt"], {"first_computed_at": at(1)}],
    "canonical_record": [PAPER.record],
    "source": [PAPER.source],
    "graph_snapshot": [{}, {"verdict": {"id": 1}}, {"verdict": 1}],
    "aliases": [[ALIAS_ROW], [1, ALIAS_ROW]],
    "manifest_type": ["pith_mirror_manifest"],
    "keys": [[], {}],
    "pith_number": [PAPER.number, OTHER_PAPER.number, "pith:x", 1],
    "source_aliases": [[ALIAS_ROW], [ALIAS_ROW, {}], [], None],
    "events": [[EVENT], [OTHER_EVENT, NO_SUBJECT, 1], {}],
    "current": [STATE["current"], {"corrections": [ROW]}, {"record_created": ROW}, []],
    "alias": [ALIAS_LINE["alias"], ALIAS_ROW, None],
    "event_type": ["correction", 1],
    "event_id": [some_id("x")],
}


@st.composite
def odd_documents(draw: st.DrawFn) -> Json:
    names = draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=5, unique=True))
    odd = {name: draw(st.sampled_from(MEMBERS[name] * 3 + SMALL)) for name in names}
    return (RECORD if draw(st.booleans()) and names else {}) | odd


whole = odd_documents() | st.sampled_from([value for _, value in EACH] + SMALL)


@settings(max_examples=300)
@given(whole | st.lists(whole | st.lists(whole, max_size=2), max_size=3))
def test_any_value_brings_what_it_brings_to_the_oracle(value: Any) -> None:
    events, aliases, _ = parts(value)
    assert (events, aliases) == oracle.read_input("", canonical(value), KEYRING_VALUE)


@settings(max_examples=100)
@given(odd_documents())
def test_every_entry_is_one_of_the_three(value: Json) -> None:
    entries: list[Entry] = list(entries_of(value))
    assert all(isinstance(entry, EventEntry | AliasEntry | RefusedEntry) for entry in entries)
    assert all(e.reason in REFUSAL_REASONS for e in entries if isinstance(e, RefusedEntry))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (documents.Sha256, "64 hex digits"),
        (documents.EventId, "`sha256:` and 64 hex digits"),
        (documents.FullPithNumber, "a full Pith Number"),
        (documents.SignatureBase64, "64 bytes in base64"),
    ],
)
def test_a_form_is_told_in_words(form: Any, words: str) -> None:
    """However the library says it: of its words the pattern is taken."""
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert("x", form)
    assert words in documents.told(error.value)
    assert "regex" not in documents.told(error.value)
