"""Sources to the log: read, prepared here or by worker processes, appended in batches (SPEC §4).

What lives here: the order of things, and the sums that ingest reports. What must not: reading files
(`sources`), what a piece brings (`preparing`), what a batch changes (`log`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from pithgraph.keyring import Keyring
from pithgraph.log import Appended, LogWriter
from pithgraph.log.batch import MoreRefused, New, NewEvent
from pithgraph.log.layout import RefusedRow
from pithgraph.preparing import Admit, Preparer
from pithgraph.sources import Limits, Lines, Piece, Unreadable, load_keyring, read_spans
from pithgraph.workers import parcels_of, prepared_by

REFUSALS_SHOWN: Final = 100
# What a batch holds in memory, twice over: as rows, and as the pages that they change.
_BATCH_ROWS: Final = 5_000
_BATCH_BYTES: Final = 16 * 1024 * 1024
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


class Progress(NamedTuple):
    """How far an ingest is: bytes of its sources that were read, rows that were appended."""

    bytes_read: int
    rows: int


def ingest(
    log: LogWriter,
    paths: Iterable[str | os.PathLike[str]],
    *,
    keyring: Keyring | None = None,
    admit: Admit = "all",
    limits: Limits | None = None,
    workers: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Read files, folders and `-` (standard input) into a log.

    What cannot be read or may not come in is refused, kept in the log's refused table and counted;
    the rest goes in. Ingesting the same again changes nothing. An interrupt keeps every finished
    batch. `progress` is called after each.

    With `workers`, that many processes decode and verify, and this one writes; the log is the same,
    byte for byte in what it holds. They are started by `multiprocessing`'s way `spawn`, so a script
    that asks for them keeps its own work under `if __name__ == "__main__":`. An input of few
    megabytes is not worth starting them.

    Raises LogError, and WorkerError where a worker died.
    """
    read = 0

    def count(more: int) -> None:
        nonlocal read
        read += more

    pieces = read_spans(paths, limits, progress=count)
    done = _Sums()
    keyring = keyring or load_keyring()
    for rows in _batches(prepared_by(workers, parcels_of(pieces), keyring, admit, log)):
        done.append(log, rows)
        if progress is not None:
            progress(Progress(read, done.rows))
    return done.ingested(log)


def ingest_pieces(
    log: LogWriter,
    pieces: Iterable[Piece | Lines | Unreadable],
    *,
    keyring: Keyring | None = None,
    admit: Admit = "all",
) -> Ingested:
    """Like `ingest`, for pieces that `sources` has cut already."""
    done = _Sums()
    preparer = Preparer(keyring or load_keyring(), admit, log.has)
    for rows in _batches([preparer.rows(pieces)]):
        done.append(log, rows)
    return done.ingested(log)


def new_rows(
    pieces: Iterable[Piece | Lines | Unreadable], keyring: Keyring, admit: Admit = "all"
) -> Iterator[New]:
    """What the pieces bring to a log, in their order."""
    return Preparer(keyring, admit).rows(pieces)


class _Sums:
    """What an ingest has done so far."""

    def __init__(self) -> None:
        self._total = Appended()
        self._refused = 0
        self._shown: list[Refusal] = []

    @property
    def rows(self) -> int:
        total = self._total
        return total.events + total.duplicates + total.over_quota + total.aliases + self._refused

    def append(self, log: LogWriter, rows: list[New]) -> None:
        """Append a batch to the log, and count it."""
        for row in rows:
            if isinstance(row, RefusedRow):
                self._refused += 1
                if len(self._shown) < REFUSALS_SHOWN:
                    self._shown.append(_shown(row))
            elif isinstance(row, MoreRefused):
                self._refused += row.more
        self._total += log.append(rows)

    def ingested(self, log: LogWriter) -> Ingested:
        """The sums, with what the log holds now."""
        total = self._total
        with log.snapshot() as snapshot:
            papers, position = snapshot.paper_count, snapshot.size
        refused = self._refused + total.over_quota
        return Ingested(
            read=total.events + total.duplicates + refused,
            appended=total.events,
            duplicates=total.duplicates,
            invalid=total.invalid,
            refused=refused,
            papers=papers,
            position=position,
            aliases=total.aliases,
            over_quota=total.over_quota,
            refusals=tuple(self._shown),
            unlisted=self._refused - len(self._shown),
        )


def _shown(row: RefusedRow) -> Refusal:
    place = row.source
    if row.line is not None:
        place += f":{row.line}"
    if row.where:
        place += f" {row.where}"
    return Refusal(place, row.reason, row.detail)


def _batches(prepared: Iterable[Iterable[New]]) -> Iterator[list[New]]:
    batch: list[New] = []
    size = 0
    for rows in prepared:
        for row in rows:
            batch.append(row)
            size += len(row.content) if isinstance(row, NewEvent) else _SMALL_ROW_BYTES
            if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
