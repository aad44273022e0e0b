"""The audit of a `pith_number_record` (SPEC §4, §9).

What lives here: which member of a record is held against what. What must not: the rules
themselves (`paper`, `links`, `judging`, `views`).

| check | what it asks |
|---|---|
| shape | the members that a record has, and their types; without them nothing else is asked |
| schema_url, schema_version | the published constants |
| canonical_sha256, pith_number | recomputed from canonical_record |
| short_pith_number | the first 8 characters |
| canonical_record | exactly its three members; not what all else speaks against |
| receipt | good under the keyring; receipt.canonical_sha256 and receipt.public_key_fingerprint |
| source, paper.MEMBER | equal to what canonical_record says; cross_cats in order |
| title_canon_sha256, abstract_canon_sha256 | recomputed from paper, where whole |
| graph_snapshot.paper, graph_snapshot.source | equal to paper and to canonical_record.source |
| graph_snapshot.PART.snapshot_sha256 | of an empty list; else unconfirmed |
| formal_canon.evidence_count | equal to the snapshot's |
| aliases.KIND, aliases[N] | the derivable aliases; the form of a row |
| links.NAME, agent_actions.NAME, agent_actions.actions.NAME | by pattern, of one origin |
| events[N], equivocations | the events, where the record shows any |
| verification_status.FIELD | by SPEC §9 |

`record_type` is what makes a document a record, so no check asks it. `created_at`, `updated_at`,
the receipt's dates and versions, authors_text, headline, abstract_excerpt beyond its hash: nothing
signs or hashes them; what paper and graph_snapshot.paper both say must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pithgraph import documents
from pithgraph.audit import links, paper
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
from pithgraph.audit.judging import equivocation_parts, event_outcome, judge_value
from pithgraph.canonical import digest, encode
from pithgraph.documents import Receipt, view
from pithgraph.errors import Refused
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber
from pithgraph.keyring import Keyring
from pithgraph.merge import merge_events
from pithgraph.validation import STATED, receipt_fault
from pithgraph.views import EVENT_FIELDS, verification_status

SCHEMA_URL: Final = "https://pith.science/schemas/pith-number/v1.json"
SCHEMA_VERSION: Final = "1.0"


class _Case(NamedTuple):
    """A record of the right shape, and the number that most of its statements give."""

    value: dict[str, Any]
    record: dict[str, Any]
    number: PithNumber
    keyring: Keyring


def audit_record(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about a `pith_number_record`."""
    try:
        view(value, documents.Record)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    record = value["canonical_record"]
    stated = value["canonical_sha256"], at(value, "receipt", "canonical_sha256")
    number = paper.paper_number(value["pith_number"], record, *stated)
    assert number is not None  # the record itself gives one
    yield from walk(CHECKS, _Case(value, record, number, keyring))


def _schema_url(case: _Case) -> Outcome:
    return agree(at(case.value, "schema_url"), SCHEMA_URL, "the published one is")


def _schema_version(case: _Case) -> Outcome:
    return agree(case.value["schema_version"], SCHEMA_VERSION, "the published one is")


def _canonical_sha256(case: _Case) -> Outcome:
    return paper.canonical_sha256(case.value["canonical_sha256"], case.record)


def _pith_number(case: _Case) -> Outcome:
    return paper.pith_number(case.value["pith_number"], case.record)


def _short_pith_number(case: _Case) -> Outcome:
    return paper.short_pith_number(case.value["short_pith_number"], case.number)


def _canonical_record(case: _Case) -> Outcome:
    return paper.canonical_record(case.record, case.number)


def _receipt(case: _Case) -> Iterator[Part]:
    stated = case.value["receipt"]
    yield "", paper.receipt(stated, case.record, case.keyring)
    yield ".canonical_sha256", paper.receipt_digest(stated, case.record)
    yield ".public_key_fingerprint", paper.receipt_fingerprint(stated, case.keyring)


def _source(case: _Case) -> Outcome:
    return paper.source(case.value["source"], case.record)


def _paper(case: _Case) -> Iterator[Part]:
    return paper.paper_parts(case.value["paper"], case.record)


def _title(case: _Case) -> Outcome:
    return paper.title_hash(at(case.value, "paper", "title"), case.record)


def _abstract(case: _Case) -> Outcome:
    return paper.abstract_hash(at(case.value, "paper", "abstract_excerpt"), case.record)


def _snapshot(case: _Case) -> Iterator[Part]:
    snapshot = case.value["graph_snapshot"]
    if snapshot is None:
        yield "", skipped("the record has none")
        return
    yield ".paper", agree(at(snapshot, "paper"), case.value["paper"], "the record's paper is")
    yield ".source", paper.source(at(snapshot, "source"), case.record)
    yield from paper.snapshot_parts(snapshot)


def _evidence_count(case: _Case) -> Outcome:
    stated = at(case.value, "formal_canon", "evidence_count")
    known = at(case.value, "graph_snapshot", "formal_canon", "evidence_count")
    if stated is ABSENT or known is ABSENT:
        return skipped("the record or its snapshot has none")
    return agree(stated, known, "graph_snapshot.formal_canon.evidence_count is")


def _aliases(case: _Case) -> Iterator[Part]:
    return paper.alias_parts(case.value["aliases"], case.number, case.record)


def _links(case: _Case) -> Iterator[Part]:
    kind, identifier = at(case.record, "source", "kind"), at(case.record, "source", "id")
    arxiv = identifier if kind == "arxiv" and isinstance(identifier, str) else None
    return links.link_parts(case.value, case.number, arxiv)


def _events(case: _Case) -> Iterator[Part]:
    judged = []
    for index, event in enumerate(case.value["events"]):
        if at(event, "subject_pith_number") is ABSENT:
            yield f"events[{index}]", unconfirmed("it has not the shape of an event")
            continue
        one = judge_value(event, case.keyring)
        judged.append(one)
        yield f"events[{index}]", event_outcome(one, case.value["pith_number"])
    for part, outcome in equivocation_parts(judged, case.keyring):
        yield f"equivocations{part}", outcome


def _verification_status(case: _Case) -> Iterator[Part]:
    stated = case.value["verification_status"]
    buckets, gap = _buckets_of_events(case)
    known = verification_status(
        buckets,
        content_addressed=_is_content_addressed(case),
        pith_receipt=_has_good_receipt(case),
        snapshot=case.value["graph_snapshot"],
    )
    for field, value in known.items():
        if field not in stated:
            yield f".{field}", skipped("absent")
        elif gap and field in EVENT_FIELDS:
            yield f".{field}", unconfirmed(f"stated {shown(stated[field])}; {gap}")
        else:
            yield f".{field}", agree(stated[field], value, "the rules give")
    further = sorted(stated.keys() - known.keys())
    if further:
        yield "", unconfirmed(f"no rule for {listed(map(shown, further))}")


CHECKS: Final[Checks[_Case]] = (
    ("schema_url", _schema_url),
    ("schema_version", _schema_version),
    ("canonical_sha256", _canonical_sha256),
    ("pith_number", _pith_number),
    ("short_pith_number", _short_pith_number),
    ("canonical_record", _canonical_record),
    ("receipt", _receipt),
    ("source", _source),
    ("paper", _paper),
    ("title_canon_sha256", _title),
    ("abstract_canon_sha256", _abstract),
    ("graph_snapshot", _snapshot),
    ("formal_canon.evidence_count", _evidence_count),
    ("aliases", _aliases),
    ("", _links),
    ("", _events),
    ("verification_status", _verification_status),
)


# --- what the verification status comes from -------------------------------------------------


def _is_content_addressed(case: _Case) -> bool:
    return _canonical_sha256(case).status == "pass" and _pith_number(case).status == "pass"


def _has_good_receipt(case: _Case) -> bool:
    try:
        receipt = view(case.value["receipt"], Receipt)
    except Refused:
        return False
    return receipt_fault(receipt, digest(encode(case.record)), case.keyring) is None


def _buckets_of_events(case: _Case) -> tuple[dict[str, Any], str]:
    """The buckets that the record's events merge into, as stated: how the service shows events in
    a record is not published. Else why they do not show all that counts."""
    number = case.value["pith_number"]
    events = []
    for index, value in enumerate(case.value["events"]):
        try:
            event = Event.from_value(value)
        except Refused as error:
            return {}, f"events[{index}] cannot be read as an event: {error}"
        if event.subject != number:
            return {}, f"events[{index}] is about another paper"
        events.append(event)
    if not events:
        return {}, ""
    state = merge_events(number, events, (), case.keyring, STATED)
    if state.invalid_events:
        return {}, f"{state.invalid_event_count} of the events are not valid under this keyring"
    buckets: dict[str, Any] = state.document["current"]
    return buckets, ""
