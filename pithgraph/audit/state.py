"""The audit of a `pith_open_graph_state`: what it says of itself (SPEC §7).

What lives here: the hash, the counts, the orders and the rows of a state document, each asked on
its own. What must not: merging the rows again (`replay`), and what other documents say of a paper
too (`paper`).

| check | what it asks |
|---|---|
| shape | the members that a state has, and their types; without them nothing else is asked |
| state_version, merge_version | the constants |
| state_sha256 | recomputed from all other members as received |
| pith_number | recomputed from current.canonical_record |
| current.canonical_record | equal to the one of the record_created row |
| canonical_sha256, receipt | of the record_created row, for current.canonical_record |
| event_count and the other three counts | against the rows, and against each other |
| applied_event_ids | exactly the rows' event_ids, and none that is withheld |
| order.LIST | each list ascends by the key that SPEC §7 sorts it by, without repeats |
| current.BUCKET[N], current.record_created | the row as an event, under assurance `stated` |
| current.graph_snapshots[N].MEMBER | what a snapshot repeats of the record; hashes of empty parts |
| current.source_aliases.KIND | nothing but derivable aliases |
| equivocations[N], invalid_events[N] | the form of a row |
| replay.current, replay.applied_event_ids, replay.state_sha256 | the rows, merged again |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

from pithgraph import documents
from pithgraph.audit import paper
from pithgraph.audit.findings import (
    ABSENT,
    Checks,
    Finding,
    Outcome,
    Part,
    agree,
    at,
    failed,
    finding,
    listed,
    passed,
    shown,
    skipped,
    unconfirmed,
    walk,
)
from pithgraph.audit.replay import Row, StateCase, replay_parts, rows_of
from pithgraph.canonical import encode
from pithgraph.documents import EquivocationRow, InvalidEventRow, view
from pithgraph.errors import VERDICT_REASONS, Refused
from pithgraph.keyring import Keyring
from pithgraph.kinds import LIST_BUCKETS
from pithgraph.merge import MERGE_VERSION, STATE_VERSION, digest_of_state
from pithgraph.proofs import SLOT_MEMBERS

_ROW: Final = frozenset({"event_id", "target", "created_at", "signer", "payload"})


def audit_state(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about a `pith_open_graph_state`."""
    try:
        view(value, documents.StateDocument)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    current = value["current"]
    stated = at(current, "record_created", "payload", "canonical_sha256")
    number = paper.paper_number(value["pith_number"], current["canonical_record"], stated)
    case = StateCase(value, keyring, number, rows_of(value, keyring))
    yield from walk(CHECKS, case)


def _state_version(case: StateCase) -> Outcome:
    return agree(case.value["state_version"], STATE_VERSION, "this version is")


def _merge_version(case: StateCase) -> Outcome:
    return agree(case.value["merge_version"], MERGE_VERSION, "this version is")


def _state_sha256(case: StateCase) -> Outcome:
    return agree(case.value["state_sha256"], digest_of_state(case.value), "the other members give")


def _pith_number(case: StateCase) -> Outcome:
    if case.record is None:
        return skipped("there is no canonical_record to give it")
    return paper.pith_number(case.value["pith_number"], case.record)


def _canonical_record(case: StateCase) -> Outcome:
    row = case.value["current"]["record_created"]
    if row is None and case.record is not None:
        return skipped("no record_created row, as when that event is withheld")
    known = None if row is None else at(row, "payload", "canonical_record")
    return agree(case.record, known, "the record_created row has")


def _canonical_sha256(case: StateCase) -> Outcome:
    stated = at(case.value, "current", "record_created", "payload", "canonical_sha256")
    if case.record is None or stated is ABSENT:
        return skipped("no canonical_record, or no record_created row")
    return paper.canonical_sha256(stated, case.record)


def _receipt(case: StateCase) -> Iterator[Part]:
    stated = at(case.value, "current", "record_created", "payload", "receipt")
    if case.record is None or stated is ABSENT:
        yield "", skipped("no canonical_record, or no record_created row")
        return
    yield "", paper.receipt(stated, case.record, case.keyring)
    yield ".canonical_sha256", paper.receipt_digest(stated, case.record)
    yield ".public_key_fingerprint", paper.receipt_fingerprint(stated, case.keyring)


# --- counts ----------------------------------------------------------------------------------


def _event_count(case: StateCase) -> Outcome:
    known = case.value["valid_event_count"] + case.value["invalid_event_count"]
    return agree(case.value["event_count"], known, "valid and invalid ones are")


def _valid_event_count(case: StateCase) -> Outcome:
    """Applied and withheld events are shown; a stated one beside a verified one is only counted."""
    stated, seen = case.value["valid_event_count"], case.shown_valid_events
    if stated > seen:
        return unconfirmed(f"stated {shown(stated)}, the document shows {seen} of them")
    return agree(stated, seen, "the document shows")


def _invalid_event_count(case: StateCase) -> Outcome:
    known = len(case.value["invalid_events"])
    return agree(case.value["invalid_event_count"], known, "its rows are")


def _equivocation_count(case: StateCase) -> Outcome:
    known = len(case.value["equivocations"])
    return agree(case.value["equivocation_count"], known, "its rows are")


# --- what is applied, and the orders ---------------------------------------------------------


def _applied_event_ids(case: StateCase) -> Outcome:
    applied: list[str] = case.value["applied_event_ids"]
    among = set(applied)
    if len(among) != len(applied):
        return failed("an event_id stands twice")
    for row in case.rows:
        event_id = at(row.value, "event_id")
        if not isinstance(event_id, str) or event_id not in among:
            return failed(f"the event_id of {row.where}, {shown(event_id)}, is not among them")
    withheld = case.withheld & among
    if withheld:
        return failed(f"withheld for equivocation, yet applied: {listed(sorted(withheld))}")
    hidden = case.applied_without_row
    if not hidden:
        return passed()
    missing = f"no row in any bucket: {listed(map(shown, hidden))}"
    created = at(case.value, "current", "record_created", "event_id")
    # Of several record_created only the first has a row (SPEC §7, 3); no other kind may lack one.
    if not isinstance(created, str):
        return failed(missing)
    if applied.index(hidden[0]) < applied.index(created):
        return failed(f"{missing}; it stands before the record_created row's")
    return unconfirmed(f"{missing}; a further record_created would have none")


def _time_and_id(row: Any) -> Any:
    return at(row, "created_at"), at(row, "event_id")


def _kind_and_value(row: Any) -> Any:
    return at(row, "alias_kind"), at(row, "alias_value")


def _event_sha256(row: Any) -> Any:
    return (at(row, "event_sha256"),)


def _orders(case: StateCase) -> Iterator[Part]:
    """Each list by its key (SPEC §7, 3 to 6). Equal neighbours are repeats."""
    current = case.value["current"]
    times = case.times
    with_row = [i for i in case.value["applied_event_ids"] if i in times]
    yield ".applied_event_ids", _ascending(with_row, lambda i: (times[i], i))
    for bucket in LIST_BUCKETS:
        yield f".current.{bucket}", _ascending(current[bucket], _time_and_id)
    yield ".current.source_aliases", _ascending(current["source_aliases"], _kind_and_value)
    yield ".invalid_events", _ascending(case.value["invalid_events"], _event_sha256)
    yield ".equivocations", _ascending(case.value["equivocations"], lambda row: (encode(row),))


def _ascending(rows: list[Any], key: Callable[[Any], Any]) -> Outcome:
    keys = [key(row) for row in rows]
    for index, (one, other) in enumerate(pairwise(keys)):
        if any(not isinstance(part, (str, bytes)) for part in (*one, *other)):
            return skipped("a row lacks what it is sorted by")
        if one >= other:
            how = "repeats" if one == other else "belongs before"
            return failed(f"[{index + 1}] {how} [{index}]: {_said(other)} after {_said(one)}")
    return passed()


def _said(key: Any) -> str:
    return " ".join(part.decode() if isinstance(part, bytes) else part for part in key)[:200]


# --- rows ------------------------------------------------------------------------------------


def _rows(case: StateCase) -> Iterator[Part]:
    for row in case.rows:
        yield row.where, _row(row)
        snapshot = at(row.value, "payload", "graph_snapshot")
        if row.event_type == "graph_snapshot" and isinstance(snapshot, dict):
            yield from _snapshot(row.where, snapshot, case.record)


def _row(row: Row) -> Outcome:
    if isinstance(row.judged, Refused):
        return failed(f"refused, {row.judged}")
    verdict = row.judged.verdict
    if verdict.reason is not None:
        say = unconfirmed if verdict.reason == "unknown_key" else failed
        return say(f"{verdict.reason}: {verdict.detail}")
    further = sorted(row.value.keys() - _ROW)
    if further:
        return failed(f"a row of a state has no {listed(map(shown, further))}")
    return passed("valid as stated" if verdict.stated else "valid")


def _snapshot(where: str, snapshot: dict[str, Any], record: Any) -> Iterator[Part]:
    """What a published snapshot repeats; a member that it has not is not asked for."""
    parts = [
        (".title_canon_sha256", paper.title_hash(at(snapshot, "paper", "title"), record)),
        (".abstract_canon_sha256", _abstract(snapshot, record)),
        *((f".paper{name}", one) for name, one in paper.paper_parts(snapshot.get("paper"), record)),
        *paper.snapshot_parts(snapshot),
    ]
    if "source" in snapshot and record is not None:
        parts.append((".source", paper.source(snapshot["source"], record)))
    for name, outcome in parts:
        asked = name == ".abstract_canon_sha256" and "paper" in snapshot
        if outcome.status != "skipped" or asked:
            yield where + name, outcome


def _abstract(snapshot: dict[str, Any], record: Any) -> Outcome:
    return paper.abstract_hash(at(snapshot, "paper", "abstract_excerpt"), record)


def _aliases(case: StateCase) -> Iterator[Part]:
    if case.number is None:
        yield "", skipped("nothing gives the paper's number")
        return
    rows = case.value["current"]["source_aliases"]
    yield from paper.alias_parts(rows, case.number, case.record, derived=True)


def _equivocations(case: StateCase) -> Iterator[Part]:
    for index, row in enumerate(case.value["equivocations"]):
        yield f"[{index}]", _equivocation(row)


def _equivocation(row: Any) -> Outcome:
    try:
        seen = view(row, EquivocationRow)
    except Refused as error:
        return failed(error.detail)
    members = SLOT_MEMBERS[seen.rule]
    if seen.slot.keys() != set(members):
        return failed(f"the slot of {seen.rule} has exactly {listed(members)}")
    if any(one >= other for one, other in pairwise(seen.event_ids)):
        return failed("event_ids do not ascend")
    return passed()


def _invalid_events(case: StateCase) -> Iterator[Part]:
    for index, row in enumerate(case.value["invalid_events"]):
        yield f"[{index}]", _invalid_event(row)


def _invalid_event(row: Any) -> Outcome:
    try:
        reason = view(row, InvalidEventRow).reason
    except Refused as error:
        return failed(error.detail)
    return passed() if reason in VERDICT_REASONS else failed(f"unknown reason {shown(reason)}")


CHECKS: Final[Checks[StateCase]] = (
    ("state_version", _state_version),
    ("merge_version", _merge_version),
    ("state_sha256", _state_sha256),
    ("pith_number", _pith_number),
    ("current.canonical_record", _canonical_record),
    ("canonical_sha256", _canonical_sha256),
    ("receipt", _receipt),
    ("event_count", _event_count),
    ("valid_event_count", _valid_event_count),
    ("invalid_event_count", _invalid_event_count),
    ("equivocation_count", _equivocation_count),
    ("applied_event_ids", _applied_event_ids),
    ("order", _orders),
    ("", _rows),
    ("current.source_aliases", _aliases),
    ("equivocations", _equivocations),
    ("invalid_events", _invalid_events),
    ("replay", replay_parts),
)
