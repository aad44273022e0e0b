"""What follows from a state without being part of it: no hash covers a view (SPEC §9).

What lives here: the verification status, the inbound citations, and what the merge made of each
event. What must not: judging, merging, and where a state or a document came from.

One rule, one implementation, two sources: a merged state and a record document both come down to
buckets of rows that are valid, and to two facts about the record itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pithgraph.kinds import LIST_BUCKETS
from pithgraph.resolution import APPLIED, INVALID, REPEATED, WITHHELD, resolve
from pithgraph.validation import Judged

Row = Mapping[str, Any]
Buckets = Mapping[str, Iterable[Row]]


def verification_status(
    buckets: Buckets,
    *,
    content_addressed: bool,
    pith_receipt: bool,
    snapshot: Mapping[str, Any] | None = None,
) -> dict[str, bool | int]:
    """The verification status, field by field (SPEC §9).

    `buckets` are those of a state: rows of valid events in the applied order; a bucket that is
    absent is empty. `content_addressed` says whether the record's digest recomputes and gives the
    Pith Number, `pith_receipt` whether its receipt is good. `snapshot` is the one that a record
    document itself carries; it is newer than any row.
    """
    counting = counting_rows(buckets)
    if snapshot is None and counting["graph_snapshots"]:
        snapshot = counting["graph_snapshots"][-1]["payload"]["graph_snapshot"]
    seen = _Seen(content_addressed, pith_receipt, counting, snapshot)
    return {field: rule(seen) for field, rule in _FIELDS}


def status_of_state(document: Mapping[str, Any]) -> dict[str, bool | int]:
    """The verification status of a paper, from its merged state's document (SPEC §9).

    A state has a canonical_record exactly when a valid record_created brought one, and such an
    event is valid only where the digest gives the subject and the receipt is good.

    >>> import pithgraph
    >>> from pithgraph.testing import World
    >>> world = World()
    >>> events = [world.sign("record_created"), world.sign("author_attestation")]
    >>> state = pithgraph.merge_events(world.paper.number, events, [], world.keyring)
    >>> status = pithgraph.status_of_state(state.document)
    >>> status["content_addressed"], status["weak_author_claims"]
    (True, 1)
    """
    current = document["current"]
    has_record = current["canonical_record"] is not None
    return verification_status(current, content_addressed=has_record, pith_receipt=has_record)


def inbound_citations(document: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The citations of a paper that count, by the paper that cites it, from its merged state's
    document (SPEC §9): the full Pith Numbers sorted, the rows of each in the applied order.

    The paper that is cited is the one that the events are about; that which cites it is named in
    the payload, by whoever signed, and need not exist.
    """
    citing: dict[str, list[Row]] = {}
    for row in counting_rows(document["current"])["citation_signatures"]:
        citing.setdefault(row["payload"]["citing_pith_number"], []).append(row)
    return dict(sorted(citing.items()))


class Outcome(NamedTuple):
    """What the merge made of one event: one of `OUTCOMES`; and the rules of the equivocations that
    it stands in, sorted."""

    merged: str
    rules: tuple[str, ...]


OUTCOMES: Final = (APPLIED, WITHHELD, REPEATED, INVALID)


def outcomes(judged: Sequence[Judged]) -> Iterator[tuple[Judged, Outcome]]:
    """What the merge made of each event of a paper, judged as `verified` (SPEC §7, 1 and 2).

    `judged` are all events of the paper. Of several valid events of one event_id one counts, and
    the others are `repeated`.
    """
    resolution = resolve(judged)
    rules: dict[str, set[str]] = {}
    for row in resolution.equivocations:
        for event_id in row.event_ids:
            rules.setdefault(event_id, set()).add(row.rule)
    for one in judged:
        event, verdict = one
        if verdict.reason is not None or event.event_id is None:
            yield one, Outcome(INVALID, ())
            continue
        merged = WITHHELD if event.event_id in resolution.withheld else APPLIED
        if resolution.valid[event.event_id].event.sha256 != event.sha256:
            merged = REPEATED
        yield one, Outcome(merged, tuple(sorted(rules.get(event.event_id, ()))))


class _Seen(NamedTuple):
    """What the rules look at; `rows` are those that count, by bucket."""

    content_addressed: bool
    pith_receipt: bool
    rows: dict[str, list[Row]]
    snapshot: Mapping[str, Any] | None


def counting_rows(buckets: Buckets) -> dict[str, list[Row]]:
    """The rows that count, by bucket: those that no retraction by their own signer takes away."""
    retracted = {
        (row["target"], row["signer"]["signer_id"])
        for row in buckets.get("corrections", ())
        if row["payload"]["action"] == "retract"
    }
    return {
        bucket: [
            row
            for row in buckets.get(bucket, ())
            if (row["event_id"], row["signer"]["signer_id"]) not in retracted
        ]
        for bucket in LIST_BUCKETS
    }


def _claims(seen: _Seen, strength: str) -> int:
    rows = seen.rows["author_attestations"]
    return sum(row["payload"]["strength"] == strength for row in rows)


def _confirmed(seen: _Seen) -> bool:
    rows = seen.rows["timestamp_anchors"]
    return any(row["payload"]["status"] == "confirmed" for row in rows)


def _count(seen: _Seen, part: str, member: str) -> int:
    """A count in the newest snapshot; 0 where it has none. Nothing asks its form of a snapshot."""
    inside = seen.snapshot.get(part) if seen.snapshot is not None else None
    count = inside.get(member) if isinstance(inside, Mapping) else None
    return count if type(count) is int else 0


def _references_resolved(seen: _Seen) -> bool:
    count = _count(seen, "references", "count")
    return count > 0 and count == _count(seen, "references", "resolved_work")


# The fields in the order of the published documents.
_FIELDS: Final[tuple[tuple[str, Callable[[_Seen], bool | int]], ...]] = (
    ("content_addressed", lambda seen: seen.content_addressed),
    ("pith_receipt", lambda seen: seen.pith_receipt),
    ("author_attested", lambda seen: bool(seen.rows["author_attestations"])),
    ("weak_author_claims", lambda seen: _claims(seen, "weak")),
    ("strong_author_claims", lambda seen: _claims(seen, "strong")),
    ("externally_anchored", _confirmed),
    ("storage_verified", lambda seen: bool(seen.rows["storage_attestations"])),
    ("citation_signatures", lambda seen: len(seen.rows["citation_signatures"])),
    ("replication_records", lambda seen: len(seen.rows["replication_records"])),
    ("graph_snapshot", lambda seen: seen.snapshot is not None),
    ("references_resolved", _references_resolved),
    ("formal_links_present", lambda seen: _count(seen, "formal_canon", "evidence_count") > 0),
)

# The fields that a record document's own members do not decide: they count its events.
EVENT_FIELDS: Final = frozenset(
    {
        "author_attested",
        "weak_author_claims",
        "strong_author_claims",
        "externally_anchored",
        "storage_verified",
        "citation_signatures",
        "replication_records",
    }
)
