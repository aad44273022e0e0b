"""Record documents into a log and out of it (SPEC §4): the published ones, and those of papers
about which more is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import signing
from pithgraph.audit import audit_value
from pithgraph.entries import EventEntry, entries_of
from pithgraph.errors import HandingError
from pithgraph.events import Event
from pithgraph.handing import make_record
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import LogWriter
from pithgraph.outgoing import Known, record_document
from pithgraph.replaying import replay
from pithgraph.sources import load_keyring
from pithgraph.validation import Assurance, Judged, establish, judge
from signing import PAPER, Json, at, canonical, signed_event

RECORDS = ("2OWFFTWG", "4TWPD7WB", "6BE5URHH", "VDA6XFVV")
REGISTRY = load_keyring()


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


# --- in --------------------------------------------------------------------------------------


def test_published_records_count_as_stated_only(published: Path, tmp_path: Path) -> None:
    with LogWriter.open(tmp_path / "log") as log:
        done = ingest(log, [published / f"record-{name}.json" for name in RECORDS])
        assert (done.appended, done.invalid, done.refused, done.aliases) == (8, 8, 0, 24)
        for state in replay(log):
            assert {row.reason for row in state.invalid_events} == {"missing_signature"}
        stated = list(replay(log, assurance="stated"))
    assert [state.applied_as_stated for state in stated] == [2] * 4
    for state, name in zip(stated, RECORDS, strict=True):
        record, current = load(published / f"record-{name}.json"), state.document["current"]
        assert state.pith_number == record["pith_number"]
        assert current["canonical_record"] == record["canonical_record"]
        assert current["record_created"]["payload"]["receipt"] == record["receipt"]
        (row,) = current["graph_snapshots"]
        assert row["payload"]["graph_snapshot"] == record["graph_snapshot"]
        assert len(current["source_aliases"]) == len(record["aliases"])


def test_a_record_gives_the_rows_of_the_state_but_for_their_ids(published: Path) -> None:
    """What the service published of one paper as a state, written as the record that it publishes
    of others, gives the same events: the ids alone follow a rule that is not public."""
    state = load(published / "state-N7NXYVEE.json")
    created = state["current"]["record_created"]["payload"]
    (snapshot,) = (row["payload"] for row in state["current"]["graph_snapshots"])
    record = {
        "record_type": "pith_number_record",
        "pith_number": state["pith_number"],
        "canonical_sha256": created["canonical_sha256"],
        "source": {
            "kind": created["source_kind"],
            "id": created["source_id"],
            "version": created["source_version"],
        },
        "attestation_state": created["attestation_state"],
        "canonical_record": created["canonical_record"],
        "receipt": created["receipt"],
        "graph_snapshot": snapshot["graph_snapshot"],
        "aliases": state["current"]["source_aliases"],
        "events": [],
    }
    found = []
    for document in (state, record):
        entries = list(entries_of(document, keyring=REGISTRY))
        events = [entry.event.value for entry in entries if isinstance(entry, EventEntry)]
        ids = {event.pop("event_id") for event in events}
        found.append((events, [e for e in entries if not isinstance(e, EventEntry)]))
        assert len(ids) == 2
    assert found[0] == found[1]


# --- out -------------------------------------------------------------------------------------

KEYRING = Keyring.from_value(signing.keyring_value())
EMPTY = "258153158e38e3291e3d48162225fcdb2d5a3ed65a07baac614ab91432fd4f57"
ABOUT = {
    "title": "A Title",
    "license": PAPER.record["metadata"]["license"],
    "primary_cat": "cs.DL",
    "submitted_at": PAPER.record["metadata"]["submitted_at"],
    "cross_cats": ["cs.LG"],
    "abstract_excerpt": "An abstract",
}
SNAPSHOT = signed_event(
    "graph_snapshot",
    created_at=at(2),
    **{
        "payload.graph_snapshot": {
            "paper": ABOUT,
            "source": PAPER.source,
            "references": {"count": 1, "resolved_work": 1, "snapshot_sha256": "0" * 64},
            "formal_canon": {"evidence_count": 1, "snapshot_sha256": "1" * 64},
            "claims": {"count": 0, "items": [], "snapshot_sha256": EMPTY},
        }
    },
)
NINE = [
    SNAPSHOT if kind == "graph_snapshot" else signed_event(kind, created_at=at(index))
    for index, kind in enumerate(KINDS, 1)
]
CREATED = NINE[0]


def record_from(
    folder: Path, *events: Json, assurance: Assurance = "verified", **options: Any
) -> Any:
    source = folder / "source.jsonl"
    source.write_bytes(b"".join(canonical(event) + b"\n" for event in events))
    with LogWriter.open(folder / "log") as log:
        ingest(log, [source], keyring=KEYRING)
        paper = parse_pith_number(PAPER.number)
        return make_record(log, paper, keyring=KEYRING, assurance=assurance, **options)


@pytest.mark.parametrize("name", RECORDS)
def test_published_records_come_out_as_they_went_in(
    name: str, run: Any, published: Path, tmp_path: Path
) -> None:
    """All members of these four: what no event or alias gives is empty in them."""
    document = published / f"record-{name}.json"
    assert run("ingest", "--log", tmp_path / "log", document).code == 0
    done = run("record", "--log", tmp_path / "log", name, "--assurance", "stated")
    assert done.code == 0
    assert "assurance stated" in done.err
    assert json.loads(done.out) == load(document)


def test_what_stands_for_what_no_event_gives(tmp_path: Path) -> None:
    """Where more is known than of the published four, these are ours."""
    record = record_from(tmp_path, *NINE)
    others = [event["event_type"] for event in record["events"]]
    assert others == [kind for kind in KINDS if kind not in ("record_created", "graph_snapshot")]
    assert record["events"] == NINE[2:]
    assert record["event_summary"] == dict.fromkeys(others, 1)
    assert record["inbound_citations"] == {"count": 1, "internal_anchor_count": 0, "sample": []}
    assert record["formal_canon"] == {"evidence_count": 1, "sample": [], "anchors": []}
    assert record["paper_claims"] == []
    assert (record["created_at"], record["updated_at"]) == (at(1), at(9))


def test_a_record_of_all_kinds_passes_the_audit_and_gives_its_events_again(tmp_path: Path) -> None:
    record = record_from(tmp_path, *NINE)
    audited = audit_value(record, KEYRING)
    failed = [found for found in audited.findings if found.status == "fail"]
    assert failed == []
    checks = {found.check for found in audited.findings if found.status == "pass"}
    assert checks >= {"receipt", "graph_snapshot.paper", "events[6]", "links.graph_json"}
    assert checks >= {f"verification_status.{field}" for field in record["verification_status"]}
    entries = list(entries_of(record, keyring=KEYRING))
    events = [entry.event.value for entry in entries if isinstance(entry, EventEntry)]
    assert events[2:] == NINE[2:]
    assert events[0]["payload"] == CREATED["payload"]


def test_without_a_snapshot_the_paper_is_what_the_canonical_record_says(tmp_path: Path) -> None:
    record = record_from(tmp_path, CREATED)
    texts = ("title", "abstract_excerpt")
    assert record["paper"] == {name: ABOUT[name] for name in ABOUT if name not in texts}
    assert record["graph_snapshot"] is None
    assert record["formal_canon"]["evidence_count"] == 0
    assert not any(found.status == "fail" for found in audit_value(record, KEYRING).findings)


def test_the_newest_snapshot_that_counts_is_shown(tmp_path: Path) -> None:
    later = signed_event("graph_snapshot", created_at=at(5))
    retraction = signed_event(
        "correction",
        signing.REGISTRY,
        created_at=at(6),
        target=later["event_id"],
        payload={"action": "retract", "reason": "wrong", "event_id": later["event_id"]},
    )
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    shown = record_from(first, CREATED, SNAPSHOT, later)
    assert shown["graph_snapshot"] == later["payload"]["graph_snapshot"]
    shown = record_from(second, CREATED, SNAPSHOT, later, retraction)
    assert shown["graph_snapshot"] == SNAPSHOT["payload"]["graph_snapshot"]
    assert not any(found.status == "fail" for found in audit_value(shown, KEYRING).findings)


def test_links_begin_with_the_origin_and_need_an_arxiv_id(tmp_path: Path) -> None:
    record = record_from(tmp_path, CREATED, origin="https://mirror.example")
    assert record["links"]["html"] == f"https://mirror.example/pith/{PAPER.suffix}"
    query = "/api/pith-number/resolve?arxiv=2401.00001&json=true"
    assert record["agent_actions"]["resolve_alias"] == f"https://mirror.example{query}"
    other = signing.Paper("x/1", source_kind="elsewhere")
    event = Event.from_value(signed_event("record_created", paper=other))
    judged = [Judged(event, judge(event, establish(event, KEYRING), KEYRING, "verified"))]
    known = Known.of(other.number, judged, [], KEYRING.sha256, "verified")
    links = record_document(known, parse_pith_number(other.number), static=True)
    assert links["agent_actions"].keys() == {
        *("view_html", "download_json", "fetch_graph", "fetch_events")
    }
    assert "paper" not in links["links"]


def test_where_nothing_counts_there_is_no_record(tmp_path: Path) -> None:
    unsigned = {name: CREATED[name] for name in CREATED if name != "signature"}
    with pytest.raises(HandingError, match="under --assurance stated only"):
        record_from(tmp_path, unsigned)
    record = record_from(tmp_path, unsigned, assurance="stated")
    assert record["receipt"] == CREATED["payload"]["receipt"]


def test_of_a_registry_that_said_two_things_there_is_no_record(tmp_path: Path) -> None:
    twin = signed_event(
        "record_created", created_at=at(1), **{"payload.attestation_state": "another"}
    )
    with pytest.raises(HandingError, match="two things at once"):
        record_from(tmp_path, CREATED, twin)


def test_a_signed_event_goes_before_its_unsigned_copy(tmp_path: Path) -> None:
    attestation = NINE[2]
    copy = {name: attestation[name] for name in attestation if name != "signature"}
    record = record_from(tmp_path, copy, CREATED, attestation, assurance="stated")
    assert record["events"] == [attestation]


def test_the_verb(run: Any, published: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "record.json"
    assert run("ingest", "--log", log, published / "state-N7NXYVEE.json").code == 0
    stated = ("record", "--log", log, "N7NXYVEE", "--assurance", "stated")
    assert run(*stated, "-o", out).code == 0
    assert run(*stated).out.encode() == out.read_bytes()
    assert run("audit", out).code == 0
    assert run(*stated, "-o", out).code == 3  # is there already
    done = run("record", "--log", log, "N7NXYVEE")
    assert (done.code, done.out) == (3, "")
    assert "--assurance stated" in done.err
    assert run("record", "--log", log, "AAAAAAAA").code == 2
    assert run("record", "--log", tmp_path / "none", "N7NXYVEE").code == 4
    (described,) = run(*stated, "--json").rows
    assert json.loads(str(described.pop("text"))) == load(out)
    assert described == {
        "pith_number": "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7",
        "keyring_sha256": "312f365b99e56d69e97b7b5e6b0203072a71d77cee0fbbd18790bda939acfb32",
        "assurance": "stated",
    }
