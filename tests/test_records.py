"""Record documents into a log and out of it (SPEC §4): the published ones, and those of papers
about which more is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pithgraph.entries import EventEntry, entries_of
from pithgraph.ingestion import ingest
from pithgraph.log import LogWriter
from pithgraph.replaying import replay
from pithgraph.sources import load_keyring

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
