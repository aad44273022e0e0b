"""What two states of one paper differ in (SPEC §7).

What lives here: the comparison of two state documents, and of the events behind them. What must
not: where they come from. A document may be anybody's: nothing is asked of the forms inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pithgraph.canonical import encode
from pithgraph.kinds import LIST_BUCKETS
from pithgraph.merge import core_of_state


class Side(NamedTuple):
    """A state document (decoded, of the shape of a state), and the event_sha256 (hex) of the events
    that it was merged from, or None where nobody has them."""

    document: Mapping[str, Any]
    events: frozenset[str] | None


class Only(NamedTuple):
    """What one side has and the other has not, sorted."""

    a: tuple[str, ...]
    b: tuple[str, ...]


class Field(NamedTuple):
    """A member that both have with other values, each as it stands in canonical JSON; null where a
    side has no such member."""

    path: str
    a: str
    b: str


class Difference(NamedTuple):
    """What two states differ in. `events` are by event_sha256 (None where a side's are not known),
    `applied` by event_id, `invalid` by event_sha256 and reason, `equivocations` and `aliases` by
    their rows."""

    pith_number: str
    state_sha256: tuple[str, str]
    core_sha256: tuple[str, str]
    events: Only | None
    applied: Only
    invalid: Only
    equivocations: Only
    aliases: Only
    fields: tuple[Field, ...]


def differences(a: Side, b: Side) -> Difference:
    """Compare two states of one paper."""
    one, other = a.document, b.document
    events = None
    if a.events is not None and b.events is not None:
        events = _only(a.events, b.events)
    return Difference(
        str(one["pith_number"]),
        (str(one["state_sha256"]), str(other["state_sha256"])),
        (core_of_state(one), core_of_state(other)),
        events,
        _only(map(_text, one["applied_event_ids"]), map(_text, other["applied_event_ids"])),
        _only(map(_invalid, one["invalid_events"]), map(_invalid, other["invalid_events"])),
        _only(map(_text, one["equivocations"]), map(_text, other["equivocations"])),
        _only(_aliases(one), _aliases(other)),
        tuple(_fields(one, other)),
    )


def _only(a: Iterable[str], b: Iterable[str]) -> Only:
    ours, theirs = {*a}, {*b}
    return Only(tuple(sorted(ours - theirs)), tuple(sorted(theirs - ours)))


def _text(value: Any) -> str:
    """A string as it is, anything else in canonical JSON."""
    return value if isinstance(value, str) else encode(value).decode("utf-8")


def _invalid(row: Any) -> str:
    if isinstance(row, dict) and {"event_sha256", "reason"} <= row.keys():
        return f"{_text(row['event_sha256'])} {_text(row['reason'])}"
    return _text(row)


def _aliases(document: Mapping[str, Any]) -> Iterable[str]:
    rows = document["current"].get("source_aliases")
    return map(_text, rows if isinstance(rows, list) else [])


# What is compared row by row above, or follows from the rest.
_TOLD: Final = frozenset(
    {
        *("applied_event_ids", "invalid_events", "equivocations", "current", "state_sha256"),
    }
)


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[Field]:
    for name in ("applied_event_ids", "invalid_events", "equivocations"):
        if a[name] != b[name] and sorted(map(_text, a[name])) == sorted(map(_text, b[name])):
            yield Field(name, "the same rows", "in another order")
    for name in sorted({*a, *b} - _TOLD):
        yield from _field(name, a, b, name)
    ours, theirs = a["current"], b["current"]
    told = {*map(_text, a["applied_event_ids"])} ^ {*map(_text, b["applied_event_ids"])}
    for name in sorted({*ours, *theirs} - {"source_aliases"}):
        if name not in LIST_BUCKETS:
            yield from _field(f"current.{name}", ours, theirs, name)
            continue
        rows, others = _by_id(ours.get(name)), _by_id(theirs.get(name))
        for event_id in sorted((rows.keys() | others.keys()) - told):
            yield from _field(f"current.{name}[{event_id}]", rows, others, event_id)


def _field(path: str, a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> Iterable[Field]:
    ours, theirs = (encode(side.get(name)).decode("utf-8") for side in (a, b))
    if ours != theirs:
        yield Field(path, ours, theirs)


def _by_id(rows: Any) -> dict[str, Any]:
    """A bucket's rows by event_id."""
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {
        _text(row["event_id"]): row for row in rows if isinstance(row, dict) and "event_id" in row
    }
