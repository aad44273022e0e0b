"""The verification status: each field by its rule, from a state and from a record alike; the
inbound citations; and what the merge made of each event."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import signing
from pithgraph.events import Event
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.merge import merge_events
from pithgraph.replaying import cited_by, find_paper
from pithgraph.sources import Piece
from pithgraph.validation import Judged, verdict_of
from pithgraph.views import (
    EVENT_FIELDS,
    Outcome,
    inbound_citations,
    outcomes,
    status_of_state,
    verification_status,
)
from signing import ALICE, BOB, CITING, PAPER, Json, at, canonical, keyring_value, signed_event

KEYRING = Keyring.from_value(signing.keyring_value())

NOTHING: dict[str, bool | int] = {
    "content_addressed": False,
    "pith_receipt": False,
    "author_attested": False,
    "weak_author_claims": 0,
    "strong_author_claims": 0,
    "externally_anchored": False,
    "storage_verified": False,
    "citation_signatures": 0,
    "replication_records": 0,
    "graph_snapshot": False,
    "references_resolved": False,
    "formal_links_present": False,
}


def status(*events: Json) -> dict[str, bool | int]:
    """What differs from the status of a paper of which nothing is known."""
    state = merge_events(PAPER.number, map(Event.from_value, events), (), KEYRING)
    assert state.invalid_event_count == 0
    found = status_of_state(state.document)
    assert list(found) == list(NOTHING)
    return {field: value for field, value in found.items() if value is not NOTHING[field]}


def payload(kind: str, **members: Any) -> Json:
    return signing.payload_of(kind) | members


def retraction(event: Json, key: signing.Key, created_at: str = at(50), **members: Any) -> Json:
    content = {"action": "retract", "reason": "wrong", "event_id": event["event_id"]} | members
    return signed_event(
        "correction", key, created_at=created_at, target=event["event_id"], payload=content
    )


STRONG = payload("author_attestation", strength="strong")
CONFIRMED = payload("timestamp_anchor", status="confirmed", block_height=1)


def snapshot_event(snapshot: Json, second: int) -> Json:
    content = {"graph_snapshot": snapshot, "verdict_id": None}
    return signed_event("graph_snapshot", created_at=at(second), payload=content)


RESOLVED = {"references": {"count": 2, "resolved_work": 2}, "formal_canon": {"evidence_count": 1}}
UNRESOLVED = {"references": {"count": 2, "resolved_work": 1}, "formal_canon": {}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], {}),
        ([signed_event("record_created")], {"content_addressed": True, "pith_receipt": True}),
        (
            [
                signed_event("record_created"),
                signed_event("record_created", more="the same second, so both are withheld"),
            ],
            {"content_addressed": True, "pith_receipt": True},
        ),
        (
            [signed_event("author_attestation")],
            {"author_attested": True, "weak_author_claims": 1},
        ),
        (
            [
                signed_event("author_attestation"),
                signed_event("author_attestation", signing.BOB, payload=STRONG),
            ],
            {"author_attested": True, "weak_author_claims": 1, "strong_author_claims": 1},
        ),
        ([signed_event("timestamp_anchor")], {}),
        ([signed_event("timestamp_anchor", payload=CONFIRMED)], {"externally_anchored": True}),
        ([signed_event("storage_attestation")], {"storage_verified": True}),
        (
            [signed_event("citation_signature", created_at=at(n)) for n in (1, 2)],
            {"citation_signatures": 2},
        ),
        ([signed_event("replication_record")], {"replication_records": 1}),
        ([snapshot_event({}, 1)], {"graph_snapshot": True}),
        (
            [snapshot_event(UNRESOLVED, 1), snapshot_event(RESOLVED, 2)],
            {"graph_snapshot": True, "references_resolved": True, "formal_links_present": True},
        ),
        ([snapshot_event(RESOLVED, 1), snapshot_event(UNRESOLVED, 2)], {"graph_snapshot": True}),
        (
            [snapshot_event({"references": {"count": 0, "resolved_work": 0}}, 1)],
            {"graph_snapshot": True},
        ),
        (
            [snapshot_event({"references": 5, "formal_canon": {"evidence_count": True}}, 1)],
            {"graph_snapshot": True},
        ),
    ],
)
def test_a_field_follows_from_the_applied_events(events: list[Json], expected: Json) -> None:
    assert status(*events) == expected


CITATION = signed_event("citation_signature", signing.ALICE)
BY_ALICE = retraction(CITATION, signing.ALICE)


@pytest.mark.parametrize(
    ("correction", "counted"),
    [
        (BY_ALICE, 0),
        (retraction(CITATION, signing.ALICE, created_at=at(0)), 0),
        (retraction(CITATION, signing.REGISTRY), 1),
        (retraction(CITATION, signing.ALICE, action="amend"), 1),
        (retraction(signed_event(), signing.ALICE), 1),
    ],
    ids=["after", "before", "by_another", "amended", "of_another"],
)
def test_a_retraction_takes_away_what_its_own_signer_said(correction: Json, counted: int) -> None:
    assert status(CITATION, correction).get("citation_signatures", 0) == counted


def test_a_retraction_cannot_be_retracted() -> None:
    assert status(CITATION, BY_ALICE, retraction(BY_ALICE, signing.ALICE, at(51))) == {}


def test_a_retracted_snapshot_gives_way_to_the_one_before() -> None:
    first, second = snapshot_event(RESOLVED, 1), snapshot_event(UNRESOLVED, 2)
    found = status(first, second, retraction(second, signing.REGISTRY))
    assert found["references_resolved"] is True
    assert "graph_snapshot" not in status(first, retraction(first, signing.REGISTRY))


def test_a_records_own_snapshot_is_the_newest() -> None:
    rows = merge_events(
        PAPER.number, [Event.from_value(snapshot_event(UNRESOLVED, 1))], (), KEYRING
    ).document["current"]
    found = verification_status(rows, content_addressed=True, pith_receipt=False, snapshot=RESOLVED)
    assert found["references_resolved"] is True
    assert (found["content_addressed"], found["pith_receipt"]) == (True, False)
    alone = verification_status({}, content_addressed=False, pith_receipt=False)
    assert alone == NOTHING
    assert alone.keys() > EVENT_FIELDS


# --- inbound citations -------------------------------------------------------------------------

ANOTHER = f"pith:1999:{'ZYXWVUTSRQPONMLKJIHGFEDCBA'}"


def citation(key: signing.Key, second: int, citing: str = CITING, **members: Any) -> Json:
    content = {"citing_pith_number": citing, "relation": "extends"}
    return signed_event(
        "citation_signature",
        key,
        created_at=at(second),
        target=f"citation:{citing}",
        payload=content,
        **members,
    )


RETRACTED = citation(ALICE, 3)
CITATIONS = [
    citation(BOB, 9),
    citation(ALICE, 4),
    citation(BOB, 5, ANOTHER),
    RETRACTED,
    retraction(RETRACTED, ALICE),
    retraction(citation(BOB, 9), ALICE),  # another's: it takes nothing away
    citation(BOB, 7, further=1),
    citation(BOB, 7, further=2),  # in one slot, so that neither counts
    citation(signing.STRANGER, 8),
    citation(BOB, 8, paper=signing.OTHER_PAPER),
    signed_event("citation_signature", paper=signing.Paper("by"), payload={}),
    signed_event(),
]
CITED = {
    ANOTHER: [(CITATIONS[2]["event_id"], at(5))],
    CITING: [(CITATIONS[1]["event_id"], at(4)), (CITATIONS[0]["event_id"], at(9))],
}


def test_a_paper_is_cited_by_whoever_the_counting_events_name() -> None:
    state = merge_events(PAPER.number, map(Event.from_value, CITATIONS), (), KEYRING)
    found = inbound_citations(state.document)
    assert list(found) == list(CITED)
    for citing, rows in found.items():
        assert [(row["event_id"], row["created_at"]) for row in rows] == CITED[citing]
        assert {row["payload"]["citing_pith_number"] for row in rows} == {citing}
    counted = status_of_state(state.document)["citation_signatures"]
    assert counted == sum(map(len, found.values())) == 3
    assert inbound_citations(merge_events(PAPER.number, (), (), KEYRING).document) == {}


def test_who_cites_a_paper_of_a_log(run: Any, tmp_path: Path) -> None:
    pieces = [Piece("test", n, canonical(event)) for n, event in enumerate(CITATIONS, 1)]
    with LogWriter.open(tmp_path / "log") as log:
        ingest_pieces(log, pieces, keyring=KEYRING)
        cited = cited_by(log, find_paper(log, PAPER.suffix[:8]), keyring=KEYRING)
        assert {name: [row["event_id"] for row in rows] for name, rows in cited.items()} == {
            name: [event_id for event_id, _ in rows] for name, rows in CITED.items()
        }
    keyring = tmp_path / "keyring.json"
    keyring.write_bytes(canonical(keyring_value()))
    verb = ("cited-by", "--log", tmp_path / "log")
    done = run(*verb, PAPER.number, "--keyring", keyring, "--json")
    assert done.code == 0
    assert done.rows[0] == {
        "pith_number": PAPER.number,
        "citing_pith_number": ANOTHER,
        "citations": [
            {
                "event_id": CITATIONS[2]["event_id"],
                "relation": "extends",
                "created_at": at(5),
                "signer": BOB.signer(),
            }
        ],
    }
    assert [row["citing_pith_number"] for row in done.rows] == [ANOTHER, CITING]
    text = run(*verb, PAPER.suffix[:8], "--keyring", keyring)
    assert text.out.splitlines()[2:] == [
        CITING,
        f"  extends       {at(4)}  {ALICE.signer_id:20}  {CITATIONS[1]['event_id']}",
        f"  extends       {at(9)}  {BOB.signer_id:20}  {CITATIONS[0]['event_id']}",
    ]
    assert f"{PAPER.number} is cited by 2 papers, in 3 citations; keyring " in text.err
    without = run(*verb, PAPER.number)
    assert (without.code, without.out) == (0, "")
    assert "events are of keys that the keyring does not hold" in without.err
    assert run(*verb, "AAAAAAAA").code == 2
    assert run("cited-by", "--log", tmp_path / "no", "!").code == 2
    assert run("cited-by", "--log", tmp_path / "no", PAPER.number).code == 4


# --- what the merge made of each event ---------------------------------------------------------


def signed_again(event: Json, key: signing.Key) -> Json:
    message = bytes.fromhex(event["event_id"].removeprefix("sha256:"))
    again = signing.b64(key.sign_again(message))
    return signing.changed(event, "signature.signature_b64", again)


def test_of_several_copies_of_a_valid_event_one_is_applied() -> None:
    event = citation(BOB, 1)
    twin = citation(BOB, 2, further=1)
    said = [
        event,
        signed_again(event, BOB),
        event | {"signature": None},
        twin,
        signed_again(twin, BOB),
        citation(BOB, 2),
    ]
    first, again = sorted(said[:2], key=signing.sha256_hex)
    slot = ("same_slot",)
    held, held_again = sorted(said[3:5], key=signing.sha256_hex)
    expected = {
        canonical(first): Outcome("applied", ()),
        canonical(again): Outcome("repeated", ()),
        canonical(said[2]): Outcome("invalid", ()),
        canonical(held): Outcome("withheld", slot),
        canonical(held_again): Outcome("repeated", slot),
        canonical(said[5]): Outcome("withheld", slot),
    }
    events = [Event.from_value(value) for value in said]
    judged = [Judged(event, verdict_of(event, KEYRING)) for event in events]
    for order in list(permutations(judged))[::37]:
        made = {one.event.canonical: outcome for one, outcome in outcomes(order)}
        assert made == expected
