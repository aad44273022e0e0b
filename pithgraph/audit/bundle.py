"""The audit of a `pith_open_graph_bundle` (SPEC §4, §5).

What lives here: which member of a bundle is held against what. What must not: the rules themselves
(`paper`, `judging`).

| check | what it asks |
|---|---|
| shape | the members that a bundle has, and their types; without them nothing else is asked |
| bundle_version | the published constant |
| canonical_sha256, pith_number | recomputed from canonical_record |
| short_pith_number | the first 8 characters |
| canonical_record | exactly its three members; not what all else speaks against |
| source | equal to canonical_record.source |
| source_aliases.KIND, source_aliases[N] | the derivable aliases; the form of a row |
| head.MEMBER | canonical_record, canonical_sha256 and source, as record_created says |
| events[N] | the verdict on each event, and that it is about this paper |
| equivocations, equivocations[N] | what a key said twice; never a failure of the bundle |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

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
    passed,
    skipped,
    walk,
)
from pithgraph.audit.judging import equivocation_parts, event_outcome, judge_value
from pithgraph.documents import view
from pithgraph.errors import Refused
from pithgraph.identifiers import PithNumber
from pithgraph.keyring import Keyring
from pithgraph.kinds import RECORD_CREATED
from pithgraph.validation import Judged

BUNDLE_VERSION: Final = "1.0"
_SOURCE: Final = ("kind", "id", "version")


class _Case(NamedTuple):
    """A bundle of the right shape, its events judged, and the payload of its record_created."""

    value: dict[str, Any]
    record: dict[str, Any]
    number: PithNumber
    keyring: Keyring
    judged: list[Judged | Refused]
    created: Any


def audit_bundle(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about a `pith_open_graph_bundle`."""
    try:
        view(value, documents.Bundle)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    record, stated = value["canonical_record"], value["canonical_sha256"]
    number = paper.paper_number(value["pith_number"], record, stated)
    assert number is not None  # the record itself gives one
    judged = [judge_value(event, keyring) for event in value["events"]]
    case = _Case(value, record, number, keyring, judged, _created(value, judged))
    yield from walk(CHECKS, case)


def _created(value: dict[str, Any], judged: list[Judged | Refused]) -> Any:
    """The payload of a record_created of this paper, of a valid one if there is one, or None.
    Whether the event is valid is its own finding."""
    found = [
        (isinstance(one, Judged) and one.verdict.reason is None, at(event, "payload"))
        for event, one in zip(value["events"], judged, strict=True)
        if at(event, "event_type") == RECORD_CREATED
        and at(event, "subject_pith_number") == value["pith_number"]
    ]
    valid = [payload for is_valid, payload in found if is_valid]
    return next(iter(valid + [payload for _, payload in found]), None)


def _bundle_version(case: _Case) -> Outcome:
    return agree(case.value["bundle_version"], BUNDLE_VERSION, "the published one is")


def _canonical_sha256(case: _Case) -> Outcome:
    return paper.canonical_sha256(case.value["canonical_sha256"], case.record)


def _pith_number(case: _Case) -> Outcome:
    return paper.pith_number(case.value["pith_number"], case.record)


def _short_pith_number(case: _Case) -> Outcome:
    return paper.short_pith_number(case.value["short_pith_number"], case.number)


def _canonical_record(case: _Case) -> Outcome:
    return paper.canonical_record(case.record, case.number)


def _source(case: _Case) -> Outcome:
    return paper.source(case.value["source"], case.record)


def _aliases(case: _Case) -> Iterator[Part]:
    return paper.alias_parts(case.value["source_aliases"], case.number, case.record)


def _head(case: _Case) -> Iterator[Part]:
    for member in ("canonical_record", "canonical_sha256", "source"):
        if case.created is None:
            yield f".{member}", skipped("the bundle holds no record_created of this paper")
            continue
        stated, known = case.value[member], at(case.created, member)
        if member == "source":  # the event names these three and no other
            stated = {name: stated[name] for name in _SOURCE if name in stated}
            known = {
                name: said
                for name in _SOURCE
                if (said := at(case.created, f"source_{name}")) is not ABSENT
            }
        yield f".{member}", agree(stated, known, "record_created says")


def _events(case: _Case) -> Iterator[Part]:
    for index, one in enumerate(case.judged):
        yield f"[{index}]", event_outcome(one, case.value["pith_number"])


def _equivocations(case: _Case) -> Iterator[Part]:
    return equivocation_parts(case.judged, case.keyring)


CHECKS: Final[Checks[_Case]] = (
    ("bundle_version", _bundle_version),
    ("canonical_sha256", _canonical_sha256),
    ("pith_number", _pith_number),
    ("short_pith_number", _short_pith_number),
    ("canonical_record", _canonical_record),
    ("source", _source),
    ("source_aliases", _aliases),
    ("head", _head),
    ("events", _events),
    ("equivocations", _equivocations),
)
