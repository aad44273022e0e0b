"""A log to the documents about one paper: the bundle, and the record (SPEC §4).

What lives here: what is read of a log for them. What must not: their members (`outgoing`), and
where they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from pithgraph.canonical import encode
from pithgraph.errors import HandingError, LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber, alias_time, check_time
from pithgraph.keyring import Keyring
from pithgraph.log import Log, Snapshot
from pithgraph.log.layout import POSITION_BYTES
from pithgraph.log.snapshot import IndexRow
from pithgraph.merge import PaperAlias
from pithgraph.merging import aliases_of, judged_of
from pithgraph.outgoing import ORIGIN, Known, alias_rows, bundle, record_document, record_of
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED, Assurance, check_assurance


class Bundled(NamedTuple):
    """What a bundle holds: events, and alias rows."""

    events: int
    aliases: int


def write_bundle(
    log: Log, paper: PithNumber, write: Callable[[bytes], object], *, as_of: str | None = None
) -> Bundled:
    """Write a paper's bundle, piece by piece: its canonical bytes.

    All of the paper's events are in it, as they are, valid or not, for any keyring to judge: in the
    order of created_at, event_id and event_sha256. `as_of` is a §5 timestamp: what was created
    later is left out, and what has no timestamp. Raises HandingError where no event brings the
    paper's canonical record, IdentifierError, LogError.
    """
    if as_of is not None:
        check_time(as_of)
    with log.snapshot() as snapshot:
        record = _record_of(snapshot, paper, as_of)
        if record is None:
            by_then = "" if as_of is None else f" as of {as_of}"
            raise HandingError(
                f"the log holds no canonical record of {paper}{by_then}, so there is no bundle of "
                "it: ingest its record, state or bundle first, or hand on an export"
            )
        return _write_bundle(snapshot, paper, record, write, as_of)


def bundle_of(snapshot: Snapshot, paper: PithNumber, write: Callable[[bytes], object]) -> None:
    """Write the bundle of a paper that has a canonical record."""
    _write_bundle(snapshot, paper, _record_of(snapshot, paper, None), write, None)


def _write_bundle(
    snapshot: Snapshot,
    paper: PithNumber,
    record: Any,
    write: Callable[[bytes], object],
    as_of: str | None,
) -> Bundled:
    aliases = [row for row in aliases_of(snapshot, paper) if _is_by(row, as_of)]
    count = 0

    def counted() -> Iterator[Event]:
        nonlocal count
        for event in _events_of(snapshot, paper, as_of):
            count += 1
            yield event

    for piece in bundle(paper, record, aliases, counted()):
        write(piece)
    return Bundled(count, len(alias_rows(paper, record, aliases)))


def known_of(
    snapshot: Snapshot, paper: PithNumber, keyring: Keyring, assurance: Assurance
) -> Known:
    """What a log knows of a paper, under this keyring and assurance."""
    judged = judged_of(snapshot, snapshot.index_of(paper), keyring, assurance)
    aliases = aliases_of(snapshot, paper)
    return Known.of(str(paper), judged, aliases, keyring.sha256, assurance)


def make_record(
    log: Log,
    paper: PithNumber,
    *,
    keyring: Keyring | None = None,
    assurance: Assurance = VERIFIED,
    origin: str = ORIGIN,
) -> dict[str, Any]:
    """A paper's record document, as a decoded value, with links that begin with `origin`.

    Raises HandingError where no record_created is applied under this keyring and assurance.
    """
    check_assurance(assurance)
    keyring = keyring or load_keyring()
    with log.snapshot() as snapshot:
        known = known_of(snapshot, paper, keyring, assurance)
    if known.has_record:
        return record_document(known, paper, origin=origin)
    if known.document["current"]["canonical_record"] is not None:
        raise HandingError(
            f"the registry's key said two things at once about {paper}, so no record_created "
            "counts and there is no record: see `pithgraph proof build`"
        )
    stated = "" if assurance != VERIFIED else "; unsigned rows count under --assurance stated only"
    raise HandingError(
        f"no record_created about {paper} counts under this keyring, assurance {assurance}, so "
        f"there is no record{stated}. A keyring of your own needs the registry's key, too: "
        "`pithgraph keyring add FILE --shipped`"
    )


def document_bytes(document: dict[str, Any]) -> bytes:
    """A document as it is handed on: its canonical bytes and a newline."""
    return encode(document) + b"\n"


def _record_of(snapshot: Snapshot, paper: PithNumber, as_of: str | None) -> Any:
    for event in _events_of(snapshot, paper, as_of):
        if (found := record_of(event, paper)) is not None:
            return found
    return None


def _events_of(snapshot: Snapshot, paper: PithNumber, as_of: str | None) -> Iterator[Event]:
    """A paper's events by created_at (those without a timestamp last), event_id (those without one
    first) and event_sha256: the index knows the beginning of the id alone, and then the position,
    at which other logs have other events."""
    for _, rows in groupby(snapshot.index_of(paper), key=lambda row: row[0][:-POSITION_BYTES]):
        events = [_known(snapshot, row) for row in rows]
        events.sort(key=lambda event: (event.event_id or "", event.sha256))
        for event in events:
            if as_of is None or ((at := event.timestamp) is not None and at <= as_of):
                yield event


def _known(snapshot: Snapshot, row: IndexRow) -> Event:
    """The event of a row of the index. Raises LogError for one that the log does not know by its
    digest: it was damaged, into another or into no JSON at all."""
    stored = snapshot.event_of(row)
    if snapshot.position_of(stored.event.sha256) != stored.position:
        raise LogError(
            f"the event at position {stored.position} is not one that the log knows: see "
            "`pithgraph fsck`, or restore the log from a backup"
        )
    return stored.event


def _is_by(alias: PaperAlias, as_of: str | None) -> bool:
    time = alias_time(alias.created_at)
    return as_of is None or (time is not None and time <= as_of)
