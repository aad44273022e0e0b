"""The audits of what a published tree holds in shapes of ours (SPEC §13).

What lives here: one short audit a document type. What must not: the rules (`paper`, `judging`), and
reading one file of a tree to confirm another.

| document | checks |
|---|---|
| paper_events | shape; pith_number; merge_version; keyring; events, as in a bundle; state_sha256 |
| paper_graph | shape; pith_number; created_at; graph_snapshot.PART.snapshot_sha256; event |
| resolve | shape; pith_numbers[N]; aliases |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pithgraph import documents
from pithgraph.audit import paper
from pithgraph.audit.findings import (
    Finding,
    Outcome,
    agree,
    failed,
    finding,
    passed,
    shown,
    skipped,
    unconfirmed,
)
from pithgraph.audit.judging import equivocation_parts, event_outcome, judge_value
from pithgraph.documents import view
from pithgraph.errors import IdentifierError, Refused
from pithgraph.identifiers import is_timestamp, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.merge import MERGE_VERSION


def audit_events(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about a paper's `events.json`."""
    try:
        view(value, documents.EventsDocument)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    yield finding("pith_number", _full(value["pith_number"]))
    yield finding("merge_version", agree(value["merge_version"], MERGE_VERSION, "this version is"))
    same = value["keyring_sha256"] == keyring.sha256
    other = unconfirmed(f"it was merged under another keyring than yours, {keyring.sha256}")
    yield finding("keyring", passed() if same else other)
    judged = [judge_value(event, keyring) for event in value["events"]]
    for index, one in enumerate(judged):
        yield finding(f"events[{index}]", event_outcome(one, value["pith_number"]))
    for part, outcome in equivocation_parts(judged, keyring):
        yield finding(f"equivocations{part}", outcome)
    # It covers alias rows and what was not applied as well.
    yield finding("state_sha256", unconfirmed("only the paper's bundle or state can confirm it"))


def audit_graph(value: dict[str, Any], _: Keyring) -> Iterator[Finding]:
    """The findings about a paper's `graph.json`."""
    try:
        view(value, documents.GraphDocument)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    yield finding("pith_number", _full(value["pith_number"]))
    given = [value[name] is not None for name in ("event_id", "created_at", "graph_snapshot")]
    if not any(given):
        yield finding("event", skipped("the paper has no graph snapshot that counts"))
        return
    if not all(given):
        fault = failed("of event_id, created_at and graph_snapshot some are null, and some are not")
        yield finding("event", fault)
        return
    created_at = value["created_at"]
    no_time = failed(f"{shown(created_at)} is no timestamp")
    yield finding("created_at", passed() if is_timestamp(created_at) else no_time)
    for part, outcome in paper.snapshot_parts(value["graph_snapshot"]):
        yield finding("graph_snapshot" + part, outcome)
    yield finding("event", unconfirmed(f"only the event {value['event_id']} can confirm it"))


def audit_resolve(value: dict[str, Any], _: Keyring) -> Iterator[Finding]:
    """The findings about what an arXiv id resolves to."""
    try:
        view(value, documents.ResolveDocument)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    for index, number in enumerate(value["pith_numbers"]):
        yield finding(f"pith_numbers[{index}]", _full(number))
    alias = f"{value['alias_kind']} {shown(value['alias_value'])}"
    yield finding("aliases", unconfirmed(f"only the papers' records can confirm {alias}"))


def _full(number: str) -> Outcome:
    try:
        parse_pith_number(number)
    except IdentifierError as error:
        return failed(str(error))
    return passed()
