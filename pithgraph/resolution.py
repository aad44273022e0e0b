"""Which events of a paper count: deduplication, equivocations, the applied order (SPEC §7).

What lives here: rules 1 to 3 and 6 of the merge. What must not: verdicts (`validation`), and the
document that is made of the events (`merge`).

1. One valid event per event_id, one invalid event per digest.
2. Who says two things in one slot at once has said neither; forks are reported.
3. The applied events stand in the order (created_at, event_id).
Nothing depends on the order in which events arrive: every choice is by a key of the event itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from pithgraph.canonical import encode
from pithgraph.documents import EventView
from pithgraph.events import Event
from pithgraph.validation import Judged, Verdict

SAME_SLOT: Final = "same_slot"
FORK: Final = "fork"

# What becomes of an event, in the words of views and explanations.
APPLIED: Final = "applied"
WITHHELD: Final = "withheld"
GAVE_WAY: Final = "gave_way"
REPEATED: Final = "repeated"
INVALID: Final = "invalid"


class Equivocation(NamedTuple):
    """One row of `equivocations`: a key that said two things at once (SPEC §7, 2)."""

    rule: str
    public_key_fingerprint: str
    slot: dict[str, str]
    event_ids: tuple[str, ...]

    @property
    def canonical(self) -> bytes:
        """The row's canonical bytes, by which rows are sorted."""
        return encode({**self._asdict(), "event_ids": list(self.event_ids)})


class Valid(NamedTuple):
    """A valid event, and what is asked of it often."""

    event: Event
    view: EventView
    event_id: str
    fingerprint: str
    stated: bool


class Resolution(NamedTuple):
    """What a paper's events come to: the valid ones by event_id, the invalid ones by digest with
    their verdicts, the equivocations sorted, those that are applied in their order, and the
    event_ids that an equivocation withholds. What is valid, not withheld and not applied is stated
    by nobody's signature, in a slot in which a verified event stands."""

    valid: dict[str, Valid]
    invalid: dict[bytes, tuple[Event, Verdict]]
    equivocations: list[Equivocation]
    applied: list[Valid]
    withheld: set[str]


def resolve(judged: Iterable[Judged]) -> Resolution:
    """Which events count, in whatever order they come, however often (SPEC §7, 1 to 3)."""
    valid, invalid = _deduplicate(judged)
    verified = [one for one in valid.values() if not one.stated]
    equivocations, withheld = _equivocations(verified)
    taken = {_slot(one) for one in verified}
    applied = sorted(
        (
            one
            for one in valid.values()
            if (_slot(one) not in taken if one.stated else one.event_id not in withheld)
        ),
        key=lambda one: (one.view.created_at, one.event_id),
    )
    return Resolution(valid, invalid, equivocations, applied, withheld)


_Slot = tuple[str, str, str, str]


def _slot(one: Valid) -> _Slot:
    """Where a key may say one thing: its fingerprint, event_type, target and created_at."""
    return one.fingerprint, one.view.event_type, one.view.target, one.view.created_at


def _deduplicate(
    judged: Iterable[Judged],
) -> tuple[dict[str, Valid], dict[bytes, tuple[Event, Verdict]]]:
    """SPEC §7, 1: valid events by event_id, invalid ones by digest."""
    valid: dict[str, Valid] = {}
    invalid: dict[bytes, tuple[Event, Verdict]] = {}
    for event, verdict in judged:
        if verdict.reason is not None:
            invalid[event.sha256] = event, verdict
            continue
        view = event.view
        assert view is not None  # a malformed event is never valid
        fingerprint = event.signer.public_key_fingerprint
        one = Valid(event, view, view.event_id, fingerprint, verdict.stated)
        other = valid.get(one.event_id)
        if other is None or _rank(one) < _rank(other):
            valid[one.event_id] = one
    return valid, invalid


def _rank(one: Valid) -> tuple[bool, bytes]:
    """Of two valid events with one event_id, the lesser stays."""
    return one.stated, one.event.sha256


def _equivocations(verified: Iterable[Valid]) -> tuple[list[Equivocation], set[str]]:
    """SPEC §7, 2 and 6: the rows, sorted, and the event_ids that are withheld."""
    slots: defaultdict[_Slot, list[str]] = defaultdict(list)
    forks: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in verified:
        slots[_slot(one)].append(one.event_id)
        if one.view.previous_event_id is not None:
            forks[one.fingerprint, one.view.previous_event_id].append(one.event_id)
    rows: list[Equivocation] = []
    withheld: set[str] = set()
    for (fingerprint, event_type, target, created_at), ids in slots.items():
        if len(ids) > 1:
            slot = {"event_type": event_type, "target": target, "created_at": created_at}
            rows.append(Equivocation(SAME_SLOT, fingerprint, slot, tuple(sorted(ids))))
            withheld.update(ids)
    for (fingerprint, previous), ids in forks.items():
        if len(ids) > 1:
            slot = {"previous_event_id": previous}
            rows.append(Equivocation(FORK, fingerprint, slot, tuple(sorted(ids))))
    return sorted(rows, key=lambda row: row.canonical), withheld
