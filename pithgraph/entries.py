"""What a document brings to a log: events, alias rows, and what is refused (SPEC §4, §6).

What lives here: taking a decoded document apart. What must not: files and lines (`sources`), and
whether an event is valid (`validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from pithgraph import documents
from pithgraph.canonical import Encode, encode
from pithgraph.documents import AliasRow, classify, view
from pithgraph.errors import EncodeError, IdentifierError, Refused
from pithgraph.events import Event
from pithgraph.identifiers import alias_time, parse_pith_number
from pithgraph.kinds import EVENT_TYPE_OF_BUCKET, LIST_BUCKETS


class EventEntry(NamedTuple):
    """An event. `unsigned_row` holds for one that was made of a row of a state document; such an
    event does not count against the quota (SPEC §6)."""

    event: Event
    unsigned_row: bool


class AliasEntry(NamedTuple):
    """An alias row with the paper that it is about; `created_at` as it came."""

    pith_number: str
    kind: str
    value: str
    created_at: str


class RefusedEntry(NamedTuple):
    """A part that enters no state. `where` names it inside its document, as in `events[3]`, and
    is empty for the whole; `text` is what was refused."""

    where: str
    reason: str
    detail: str
    text: bytes


Entry = EventEntry | AliasEntry | RefusedEntry

MAX_ALIAS_LENGTH: Final = 4096  # characters of kind, value and created_at together

# What a state's row gives to its event; the rest comes from the bucket and the document.
_ROW_MEMBERS: Final = ("event_id", "target", "created_at", "signer", "payload")


def entries_of(
    value: Any,
    encode: Encode = encode,
    canonical: bytes | None = None,
    brackets: int | None = None,
) -> Iterable[Entry]:
    """The entries of one decoded line or document, in the order in which they stand there, the
    alias rows of a document after its events. The arguments are those of a `canonical.Reading`."""
    if documents.is_event(value):
        # Most lines are one event: the shortest way for these.
        return (_event("", value, encode, canonical, brackets),)
    return _entries("", value, encode, inside_list=False)


def state_rows(value: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The rows of a state document: (where, the row, its event_type). Buckets that are no list
    are passed over; whoever cares about the shape asks for `documents.StateDocument`."""
    current = value.get("current")
    if not isinstance(current, dict):
        return
    for bucket, event_type in EVENT_TYPE_OF_BUCKET.items():
        rows = current.get(bucket)
        if bucket not in LIST_BUCKETS:
            if rows is not None:
                yield f"current.{bucket}", rows, event_type
        elif isinstance(rows, list):
            for index, row in enumerate(rows):
                yield f"current.{bucket}[{index}]", row, event_type


def event_of_row(row: Any, event_type: str, pith_number: Any, encode: Encode = encode) -> Event:
    """The unsigned event of a state's row (SPEC §4). Raises Refused."""
    if not isinstance(row, dict):
        raise Refused("not_an_object", f"found {type(row).__name__}")
    members = {name: row[name] for name in _ROW_MEMBERS if name in row}
    return Event.from_decoded(
        {**members, "event_type": event_type, "subject_pith_number": pith_number}, encode
    )


def _entries(where: str, value: Any, encode: Encode, *, inside_list: bool) -> Iterator[Entry]:
    try:
        found = classify(value)
        if found.type == documents.EVENT:
            yield _event(where, value, encode)
            return
        if found.type == documents.LIST and inside_list:
            raise Refused("not_an_object", "a list inside a list")
        if found.type not in _TAKE_APART:
            raise Refused("not_ingestible", f"this is a {found.type}: see `pithgraph audit`")
    except Refused as error:
        yield _refused(where, error, value)
        return
    yield from _TAKE_APART[found.type](f"{where}." if where else "", value, encode)


def _list(where: str, value: list[Any], encode: Encode) -> Iterator[Entry]:
    for index, element in enumerate(value):
        yield from _entries(f"{where}[{index}]", element, encode, inside_list=True)


def _bundle(where: str, value: dict[str, Any], encode: Encode) -> Iterator[Entry]:
    yield from _events(where, value, encode)
    yield from _aliases(f"{where}source_aliases", value.get("source_aliases"), value)


def _state(where: str, value: dict[str, Any], encode: Encode) -> Iterator[Entry]:
    current = value.get("current")
    if not isinstance(current, dict):
        fault = Refused("wrong_shape", "current is no object")
        yield _refused(where.removesuffix("."), fault, value)
        return
    for place, row, event_type in state_rows(value):
        try:
            event = event_of_row(row, event_type, value.get("pith_number"), encode)
            yield EventEntry(event, unsigned_row=True)
        except Refused as error:
            yield _refused(where + place, error, row)
    yield from _aliases(f"{where}current.source_aliases", current.get("source_aliases"), value)


def _alias_document(where: str, value: dict[str, Any], _: Encode) -> Iterator[Entry]:
    yield from _aliases(f"{where}source_aliases", value["source_aliases"], value)


def _alias_line(where: str, value: dict[str, Any], _: Encode) -> Iterator[Entry]:
    row = value["alias"]
    yield _alias(f"{where}alias", row, row.get("pith_number") if isinstance(row, dict) else None)


def _proof(where: str, value: dict[str, Any], encode: Encode) -> Iterator[Entry]:
    yield from _events(where, value, encode)


def _events(where: str, value: dict[str, Any], encode: Encode) -> Iterator[Entry]:
    """The `events` of a bundle or a proof, each on its own."""
    events = value.get("events")
    if not isinstance(events, list):
        yield _refused(f"{where}events", Refused("wrong_shape", "events is no list"), events)
        return
    for index, event in enumerate(events):
        yield _event(f"{where}events[{index}]", event, encode)


def _event(
    where: str,
    value: Any,
    encode: Encode,
    canonical: bytes | None = None,
    brackets: int | None = None,
) -> Entry:
    try:
        event = Event.from_decoded(value, encode, canonical, brackets)
    except Refused as error:
        return _refused(where, error, value)
    return EventEntry(event, unsigned_row=False)


def _aliases(where: str, rows: Any, document: dict[str, Any]) -> Iterator[Entry]:
    if not isinstance(rows, list):
        yield _refused(where, Refused("wrong_shape", "the alias rows are no list"), rows)
        return
    for index, row in enumerate(rows):
        yield _alias(f"{where}[{index}]", row, document.get("pith_number"))


def _alias(where: str, row: Any, pith_number: Any) -> Entry:
    try:
        parsed = view(row, AliasRow)
        if not isinstance(pith_number, str):
            raise Refused("bad_alias", "pith_number is missing or no string")
        parse_pith_number(pith_number)
        length = len(parsed.alias_kind) + len(parsed.alias_value) + len(parsed.created_at)
        if length > MAX_ALIAS_LENGTH:
            raise Refused("bad_alias", f"{length} characters, the limit is {MAX_ALIAS_LENGTH}")
        if alias_time(parsed.created_at) is None:
            raise Refused("bad_alias", f"created_at {parsed.created_at!r} is no timestamp")
    except (Refused, IdentifierError) as error:
        detail = error.detail if isinstance(error, Refused) else str(error)
        return _refused(where, Refused("bad_alias", detail), row)
    return AliasEntry(pith_number, parsed.alias_kind, parsed.alias_value, parsed.created_at)


def _refused(where: str, error: Refused, value: Any) -> RefusedEntry:
    try:
        text = encode(value)
    except EncodeError:
        text = b""
    return RefusedEntry(where, error.reason, error.detail, text)


_TAKE_APART: Final[dict[str, Callable[[str, Any, Encode], Iterator[Entry]]]] = {
    documents.LIST: _list,
    documents.BUNDLE: _bundle,
    documents.STATE: _state,
    documents.ALIASES: _alias_document,
    documents.ALIAS: _alias_line,
    documents.PROOF: _proof,
}
