"""Sources to the log: decode, take apart, establish, append in batches (SPEC §4, §6).

What lives here: the door (`--admit`), what counts against the quota, the sums that ingest reports.
What must not: reading files (`sources`), taking documents apart (`entries`), the rules (core).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from pithgraph.canonical import read
from pithgraph.entries import AliasEntry, Entry, EventEntry, RefusedEntry, entries_of
from pithgraph.errors import DecodeError
from pithgraph.identifiers import parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.log import Appended, LogWriter
from pithgraph.log.batch import New, NewAlias, NewEvent
from pithgraph.log.layout import RefusedRow
from pithgraph.sources import Limits, Piece, Unreadable, load_keyring, read_sources
from pithgraph.validation import (
    VERIFIED,
    establish,
    is_authentic,
    judge,
    why_not_authentic,
)

Admit = Literal["all", "authentic"]
ADMITS: Final[tuple[Admit, ...]] = ("all", "authentic")

_BATCH_ROWS: Final = 10_000
_BATCH_BYTES: Final = 32 * 1024 * 1024
_EXCERPT_BYTES: Final = 256
_SMALL_ROW_BYTES: Final = 1024


class Refusal(NamedTuple):
    """What was refused and where, for a person: `place` is source, line and member."""

    place: str
    reason: str
    detail: str


class Ingested(NamedTuple):
    """The sums of an ingest (SPEC §11).

    `read` = `appended` + `duplicates` + `refused`: events, and whatever was refused. `invalid`
    counts the appended events that are invalid under `verified` with the keyring given. `papers`
    and `position` are the log's afterwards: papers in it, and events. `aliases` counts new rows.
    `refused` = `over_quota` + `unlisted` + the length of `refusals`.
    """

    read: int
    appended: int
    duplicates: int
    invalid: int
    refused: int
    papers: int
    position: int
    aliases: int
    over_quota: int
    refusals: tuple[Refusal, ...]
    unlisted: int


def ingest(
    log: LogWriter,
    paths: Iterable[str | os.PathLike[str]],
    *,
    keyring: Keyring | None = None,
    admit: Admit = "all",
    limits: Limits | None = None,
) -> Ingested:
    """Read files, folders and `-` (standard input) into a log.

    What cannot be read or may not come in is refused, kept in the log's refused table and counted;
    the rest goes in. Ingesting the same again changes nothing. Raises LogError. An interrupt keeps
    every finished batch.
    """
    return ingest_pieces(log, read_sources(paths, limits), keyring=keyring, admit=admit)


def ingest_pieces(
    log: LogWriter,
    pieces: Iterable[Piece | Unreadable],
    *,
    keyring: Keyring | None = None,
    admit: Admit = "all",
) -> Ingested:
    """Like `ingest`, for pieces that `sources` has cut already."""
    if admit not in ADMITS:
        raise ValueError(f"{admit!r} is no door: {' or '.join(ADMITS)}")
    keyring = keyring or load_keyring()
    total = Appended()
    refused = 0
    shown: list[Refusal] = []
    for batch in _batches(new_rows(pieces, keyring, admit)):
        for row in batch:
            if isinstance(row, RefusedRow):
                refused += 1
                if len(shown) < REFUSALS_SHOWN:
                    shown.append(_shown(row))
        appended = log.append(batch)
        total += appended
    with log.snapshot() as snapshot:
        papers, position = snapshot.paper_count, snapshot.size
    return Ingested(
        read=total.events + total.duplicates + refused + total.over_quota,
        appended=total.events,
        duplicates=total.duplicates,
        invalid=total.invalid,
        refused=refused + total.over_quota,
        papers=papers,
        position=position,
        aliases=total.aliases,
        over_quota=total.over_quota,
        refusals=tuple(shown),
        unlisted=refused - len(shown),
    )


REFUSALS_SHOWN: Final = 100


def new_rows(
    pieces: Iterable[Piece | Unreadable], keyring: Keyring, admit: Admit = "all"
) -> Iterator[New]:
    """What the pieces bring to a log, in their order: the heavy half of an ingest, and pure."""
    for piece in pieces:
        if isinstance(piece, Unreadable):
            yield _refused_row(piece.source, piece.line, "", piece.reason, piece.detail, b"")
            continue
        if not piece.data:
            continue  # an empty source: no lines are no fault
        try:
            text = read(piece.data, max_bytes=len(piece.data))
        except DecodeError as error:
            line = error.line if piece.line is None else piece.line
            detail = f"column {error.column}: {error.detail}"
            yield _refused_row(piece.source, line, "", error.reason, detail, piece.data)
            continue
        for entry in entries_of(*text):
            yield _row(piece, entry, keyring, admit)


def _row(piece: Piece, entry: Entry, keyring: Keyring, admit: Admit) -> New:
    if isinstance(entry, RefusedEntry):
        return _refused_row(
            piece.source, piece.line, entry.where, entry.reason, entry.detail, entry.text
        )
    if isinstance(entry, AliasEntry):
        return NewAlias(
            parse_pith_number(entry.pith_number), entry.kind, entry.value, entry.created_at
        )
    return _event_row(piece, entry, keyring, admit)


def _event_row(piece: Piece, entry: EventEntry, keyring: Keyring, admit: Admit) -> New:
    event = entry.event
    facts = establish(event, keyring)
    authentic = is_authentic(event, facts)
    where = event.event_id or ""
    if admit == "authentic" and not authentic:
        verdict = why_not_authentic(event, facts, keyring)
        assert verdict.reason is not None
        return _refused_row(
            piece.source, piece.line, where, verdict.reason, verdict.detail, event.canonical
        )
    quota = None
    if not authentic and not entry.unsigned_row:
        detail = f"about {event.subject}"
        quota = _refused_row(piece.source, piece.line, where, "quota", detail, event.canonical)
    valid = judge(event, facts, keyring, VERIFIED).reason is None
    return NewEvent.of(event, facts, valid=valid, quota=quota)


def _refused_row(
    source: str, line: int | None, where: str, reason: str, detail: str, text: bytes
) -> RefusedRow:
    return RefusedRow(
        number=0,  # the writer knows
        source=source,
        line=line,
        where=where,
        reason=reason,
        detail=detail[:1000],
        size=len(text),
        sha256=hashlib.sha256(text).hexdigest(),
        excerpt=text[:_EXCERPT_BYTES],
    )


def _shown(row: RefusedRow) -> Refusal:
    place = row.source
    if row.line is not None:
        place += f":{row.line}"
    if row.where:
        place += f" {row.where}"
    return Refusal(place, row.reason, row.detail)


def _batches(rows: Iterable[New]) -> Iterator[list[New]]:
    batch: list[New] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.content) if isinstance(row, NewEvent) else _SMALL_ROW_BYTES
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
