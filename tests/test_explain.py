"""`explain` says what the merge did: over random histories, and on the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import oracle
from conftest import Done
from histories import KEYRING, History, fixed_histories, histories
from pithgraph.errors import VERDICT_REASONS
from pithgraph.events import Event
from pithgraph.explaining import (
    APPLIED,
    FAILED,
    GAVE_WAY,
    INVALID,
    NOT_ASKED,
    PASSED,
    REPEATED,
    TOLERATED,
    WITHHELD,
    checks_made,
    explain,
)
from pithgraph.keyring import Keyring
from pithgraph.kinds import LIST_BUCKETS
from pithgraph.merge import PaperAlias
from pithgraph.validation import ASSURANCES, Assurance, Judged, establish, judge
from signing import PAPER, canonical, keyring_value, signed_event

RING = Keyring.from_value(KEYRING)
Run = Callable[..., Done]


def check_explanations(history: History, assurance: Assurance) -> Counter[str]:
    """Each explanation is compared with the oracle's documents; how often each fate was met."""
    seen: Counter[str] = Counter()
    events = [Event.from_value(event) for event in history.events]
    documents = oracle.merge(history.events, history.aliases, KEYRING, assurance, None)
    for paper, document in documents.items():
        judged = [
            Judged(event, judge(event, establish(event, RING), RING, assurance))
            for event in events
            if event.subject == paper
        ]
        aliases = [PaperAlias(*row[1:]) for row in history.aliases if row[0] == paper]
        found = explain(paper, judged, aliases)
        by_outcome = {
            outcome: [fate.event.event_id for fate in found.fates if fate.outcome == outcome]
            for outcome in (APPLIED, WITHHELD, GAVE_WAY, REPEATED, INVALID)
        }
        assert by_outcome[APPLIED] == document["applied_event_ids"]
        slots = [row for row in document["equivocations"] if row["rule"] == "same_slot"]
        assert {*by_outcome[WITHHELD]} == {one for row in slots for one in row["event_ids"]}
        digests = [row["event_sha256"] for row in document["invalid_events"]]
        assert digests == sorted(
            fate.event.sha256.hex() for fate in found.fates if fate.outcome == INVALID
        )
        forks = {
            one for row in document["equivocations"] if row["rule"] == "fork"
            for one in row["event_ids"]
        }  # fmt: skip
        assert forks == {fate.event.event_id for fate in found.fates if fate.forks}
        check_fields(found.fields, document)
        shown = {(one.alias.kind, one.alias.value): one for one in found.aliases if one.shown}
        stated = {(row["alias_kind"], row["alias_value"]) for row in
                  document["current"]["source_aliases"]}  # fmt: skip
        assert shown.keys() == stated
        assert all(one.shown != bool(one.why) for one in found.aliases)
        seen.update(fate.outcome for fate in found.fates)
        seen["forks"] += len(forks)
        for event, verdict in judged:
            check_checks(event, verdict, assurance)
    return seen


def check_fields(fields: Any, document: dict[str, Any]) -> None:
    current = document["current"]
    supplied = {supply.field: [*supply.event_ids] for supply in fields}
    for bucket in LIST_BUCKETS:
        assert supplied.get(bucket, []) == [row["event_id"] for row in current[bucket]]
    record = current["record_created"]
    assert supplied["record_created"] == ([] if record is None else [record["event_id"]])
    assert bool(supplied["canonical_record"]) == (current["canonical_record"] is not None)
    for supply in fields:
        assert not {*supply.event_ids} & {
            event_id for event_id, rule in supply.lost if rule != REPEATED
        }


def check_checks(event: Event, verdict: Any, assurance: Assurance) -> None:
    checks = checks_made(event, establish(event, RING), RING, assurance)
    assert [check.reason for check in checks] == [*VERDICT_REASONS]
    failed = [check for check in checks if check.outcome == FAILED]
    assert [check.reason for check in failed] == ([verdict.reason] if verdict.reason else [])
    if failed:
        assert verdict.detail in failed[0].compared
        place = checks.index(failed[0])
        assert {check.outcome for check in checks[place + 1 :]} <= {NOT_ASKED}
        checks = checks[:place]
    assert {check.outcome for check in checks} <= {PASSED, TOLERATED}
    assert all(check.compared for check in checks)
    if verdict.reason is None:
        assert any(check.outcome == TOLERATED for check in checks) == verdict.stated


@settings(max_examples=60)
@given(histories())
def test_what_is_explained_is_what_the_merge_did(history: History) -> None:
    for assurance in ASSURANCES:
        check_explanations(history, assurance)


def test_every_fate_is_met() -> None:
    seen: Counter[str] = Counter()
    for history in fixed_histories(120):
        for assurance in ASSURANCES:
            seen += check_explanations(history, assurance)
    assert all(seen[name] for name in (APPLIED, WITHHELD, GAVE_WAY, REPEATED, INVALID, "forks")), (
        seen
    )


@pytest.fixture
def log(tmp_path: Path, run: Run) -> tuple[object, ...]:
    two = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    events = [signed_event("record_created"), *two, signed_event("mirror_hint", event_type=7)]
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(map(canonical, events)))
    (tmp_path / "ring.json").write_bytes(canonical(keyring_value()))
    options = ("--log", tmp_path / "log", "--keyring", tmp_path / "ring.json")
    assert run("ingest", *options, tmp_path / "e.jsonl").code == 0
    return options


def test_an_event_on_the_command_line(run: Run, log: tuple[object, ...]) -> None:
    (row,) = run("explain", "1", *log, "--json").rows
    assert (row["position"], row["outcome"]) == (1, WITHHELD)
    assert row["why"].startswith("its key also signed, in the same slot, sha256:")  # type: ignore[attr-defined]
    assert {check["outcome"] for check in row["checks"]} == {PASSED}  # type: ignore[attr-defined]
    for name in (row["event_id"], row["event_sha256"]):
        assert run("explain", name, *log, "--json").rows == [row]
    text = run("explain", "3", *log).out
    assert "fail" in text
    assert "so it is invalid" in text
    assert run("explain", "4", *log).code == 2
    # Without the keyring its key is unknown: a fact of the keyring, not of the event.
    (row,) = run("explain", "1", *log[:2], "--json").rows
    assert row["why"].startswith("unknown_key: ")  # type: ignore[attr-defined]


def test_a_paper_on_the_command_line(run: Run, log: tuple[object, ...]) -> None:
    (row,) = run("explain", PAPER.number, *log, "--json").rows
    assert [one["outcome"] for one in row["events"]].count(WITHHELD) == 2  # type: ignore[attr-defined]
    fields = {one["field"]: one for one in row["fields"]}  # type: ignore[attr-defined]
    assert fields["graph_snapshots"]["event_ids"] == []
    assert [one["rule"] for one in fields["graph_snapshots"]["lost"]] == [WITHHELD, WITHHELD]
    text = run("explain", PAPER.suffix[:8], *log).out
    assert f"  current.record_created from {fields['record_created']['event_ids'][0]}\n" in text
    assert json.dumps(row)
    done = run("explain", "AAAAAAAA", *log)
    assert (done.code, "the log holds no paper" in done.err) == (2, True)
