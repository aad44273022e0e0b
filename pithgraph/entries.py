"""What a document brings to a log: events, alias rows, and what is refused (SPEC §4, §6).

What lives here: taking a decoded document apart. What must not: files and lines (`sources`), and
whether an event is valid (`validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from pithgraph import documents
from pithgraph.canonical import Encode, digest, encode
from pithgraph.documents import AliasRow, classify, view
from pithgraph.errors import EncodeError, IdentifierError, Refused
from pithgraph.events import EVENT_ID_PREFIX, Event
from pithgraph.identifiers import alias_time, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.kinds import EVENT_TYPE_OF_BUCKET, GRAPH_SNAPSHOT, LIST_BUCKETS, RECORD_CREATED


class EventEntry(NamedTuple):
    """An event. `unsigned_row` holds for one that was made of a row of a state or of a record; such
    an event does not count against the quota (SPEC §6)."""

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

# What a record says under the names that the payload of a record_created has for it, and what of
# its source, there with `source_` before it.
_RECORD_MEMBERS: Final = ("attestation_state", "canonical_record", "canonical_sha256", "receipt")
_SOURCE_MEMBERS: Final = ("id", "kind", "version")
# Where in a record the events stand that it gives.
_PLACE_IN_RECORD: Final = {RECORD_CREATED: "canonical_record", GRAPH_SNAPSHOT: "graph_snapshot"}


def entries_of(
    value: Any,
    encode: Encode = encode,
    canonical: bytes | None = None,
    brackets: int | None = None,
    *,
    keyring: Keyring | None = None,
) -> Iterable[Entry]:
    """The entries of one decoded line or document, in the order in which they stand there, the
    alias rows of a document after its events. The arguments are those of a `canonical.Reading`;
    `keyring` says who signed the receipt of a record, which names a key alone."""
    if documents.is_event(value):
        # Most lines are one event: the shortest way for these.
        return (_event("", value, encode, canonical, brackets),)
    return _entries("", value, encode, keyring, inside_list=False)


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


def _entries(
    where: str, value: Any, encode: Encode, keyring: Keyring | None, *, inside_list: bool
) -> Iterator[Entry]:
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
    yield from _TAKE_APART[found.type](f"{where}." if where else "", value, encode, keyring)


def _list(where: str, value: list[Any], encode: Encode, keyring: Keyring | None) -> Iterator[Entry]:
    for index, element in enumerate(value):
        yield from _entries(f"{where}[{index}]", element, encode, keyring, inside_list=True)


def _bundle(
    where: str, value: dict[str, Any], encode: Encode, _: Keyring | None
) -> Iterator[Entry]:
    yield from _events(where, value, encode)
    yield from _aliases(f"{where}source_aliases", value.get("source_aliases"), value)


def _state(where: str, value: dict[str, Any], encode: Encode, _: Keyring | None) -> Iterator[Entry]:
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


def _record(
    where: str, value: dict[str, Any], encode: Encode, keyring: Keyring | None
) -> Iterator[Entry]:
    """What the registry says in a record, as the unsigned events that it would have made of it;
    then what others say, and the alias rows."""
    try:
        rows = _rows_of_record(value, keyring)
    except Refused as error:
        yield _refused(f"{where}receipt", error, value.get("receipt"))
        rows = {}
    for event_type, row in rows.items():
        place = _PLACE_IN_RECORD[event_type]
        try:
            row = {"event_id": _own_id(row, event_type, value.get("pith_number"), encode), **row}
            event = event_of_row(row, event_type, value.get("pith_number"), encode)
            yield EventEntry(event, unsigned_row=True)
        except Refused as error:
            yield _refused(where + place, error, value.get(place))
    yield from _events(where, value, encode)
    yield from _aliases(f"{where}aliases", value.get("aliases"), value)


def _rows_of_record(record: dict[str, Any], keyring: Keyring | None) -> dict[str, dict[str, Any]]:
    """The rows that a record stands for, by event_type (SPEC §4). Raises Refused: the receipt does
    not say when it was made, or is of a key that the keyring has not, and so of nobody."""
    receipt = view(record.get("receipt"), documents.ReceiptOrigin)
    created_at = alias_time(receipt.first_computed_at)
    if created_at is None:
        raise Refused("wrong_shape", f"first_computed_at {receipt.first_computed_at!r} is no time")
    key = keyring.by_key_id(receipt.key_id) if keyring is not None else None
    if key is None or key.fingerprint != receipt.public_key_fingerprint:
        raise Refused("unknown_signer", f"key {receipt.key_id!r}: name a keyring that has it")
    signer = {name: getattr(key, name) for name in ("key_id", "signer_id", "signer_type")}
    signer["public_key_fingerprint"] = key.fingerprint
    payload: dict[str, Any] = {name: record[name] for name in _RECORD_MEMBERS if name in record}
    source = record.get("source")
    if isinstance(source, dict):
        payload |= {f"source_{name}": source[name] for name in _SOURCE_MEMBERS if name in source}
    row = {"created_at": created_at, "signer": signer}
    rows = {RECORD_CREATED: {**row, "target": "record", "payload": payload}}
    snapshot = record.get("graph_snapshot")
    if snapshot is not None:
        verdict = snapshot.get("verdict") if isinstance(snapshot, dict) else None
        verdict_id = verdict.get("id") if isinstance(verdict, dict) else None
        payload = {"graph_snapshot": snapshot, "verdict_id": verdict_id}
        rows[GRAPH_SNAPSHOT] = {**row, "target": "graph", "payload": payload}
    return rows


def _own_id(row: dict[str, Any], event_type: str, pith_number: Any, encode: Encode) -> str:
    """The event_id of an unsigned event, by SPEC §5. Raises Refused."""
    members = {**row, "event_type": event_type, "subject_pith_number": pith_number}
    try:
        return EVENT_ID_PREFIX + digest(encode(members))
    except EncodeError as error:
        raise Refused("wrong_shape", str(error)) from None


def _alias_document(
    where: str, value: dict[str, Any], _: Encode, __: Keyring | None
) -> Iterator[Entry]:
    yield from _aliases(f"{where}source_aliases", value["source_aliases"], value)


def _alias_line(
    where: str, value: dict[str, Any], _: Encode, __: Keyring | None
) -> Iterator[Entry]:
    row = value["alias"]
    yield _alias(f"{where}alias", row, row.get("pith_number") if isinstance(row, dict) else None)


def _events_alone(
    where: str, value: dict[str, Any], encode: Encode, _: Keyring | None
) -> Iterator[Entry]:
    yield from _events(where, value, encode)


def _events(where: str, value: dict[str, Any], encode: Encode) -> Iterator[Entry]:
    """The `events` of a document, each on its own."""
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


_TAKE_APART: Final[dict[str, Callable[[str, Any, Encode, Keyring | None], Iterator[Entry]]]] = {
    documents.LIST: _list,
    documents.BUNDLE: _bundle,
    documents.STATE: _state,
    documents.RECORD: _record,
    documents.ALIASES: _alias_document,
    documents.ALIAS: _alias_line,
    documents.PROOF: _events_alone,
    documents.EVENTS: _events_alone,
}
