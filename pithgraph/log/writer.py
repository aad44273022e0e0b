"""Writing a log: one writer at a time, one transaction a batch.

What lives here: creating a log, the writer's lock, appending, growing the map. What must not:
judging events; their facts come with them.

A batch is one transaction: its rows, its indexes and the counters are there together or not at
all, and once `append` has returned they are on disk (LMDB syncs at every commit).
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import lmdb

from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber, parse_pith_number
from pithgraph.log import layout
from pithgraph.log.reader import DATA_FILE, MAX_READERS, Log, lmdb_errors
from pithgraph.merge import State
from pithgraph.validation import Facts

LOCK_FILE: Final = "writer.lock"
QUOTA: Final = 1000
# A few bytes of junk are refused as a row of hundreds: beyond so many of one source a last row
# says that there were more.
REFUSED_ROWS: Final = 10_000
_FIRST_MAP_BYTES: Final = 64 * 1024 * 1024


class NewEvent(NamedTuple):
    """An event to append. `valid` says what the ingest's keyring makes of it under `verified`;
    with `in_quota`, it is refused where its paper has its quota already."""

    event: Event
    facts: Facts
    valid: bool
    in_quota: bool
    refusal: layout.RefusedRow


class NewAlias(NamedTuple):
    """An alias row to store."""

    paper: PithNumber
    kind: str
    value: str
    created_at: str


Result = TypeVar("Result")
New = NewEvent | NewAlias | layout.RefusedRow


class Appended(NamedTuple):
    """What became of a batch. `invalid` counts among `events`."""

    events: int = 0
    duplicates: int = 0
    invalid: int = 0
    aliases: int = 0
    over_quota: int = 0

    def __add__(self, other: object) -> Appended:
        assert isinstance(other, Appended)
        return Appended(*(mine + its for mine, its in zip(self, other, strict=True)))


class LogWriter(Log):
    """A log that is open for reading and appending. One at a time, in all processes."""

    _lock: int
    _file: tuple[int, int] | None
    _refused_rows: Counter[str]

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, map_bytes: int = _FIRST_MAP_BYTES) -> Self:
        """Open a log for appending; make it if there is none. Raises LogError.

        `map_bytes` is the size of the first map; it doubles whenever it is full.
        """
        folder = Path(path)
        try:
            new = not (folder / DATA_FILE).exists()
            if not new and not (folder / DATA_FILE).is_file():
                raise LogError(f"{folder}: {DATA_FILE} is no regular file")
            folder.mkdir(parents=True, exist_ok=True)
            if new and any(name not in _OWN_FILES for name in os.listdir(folder)):
                raise LogError(f"{folder}: the folder is not empty and holds no log")
            lock = _take_lock(folder)
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}") from None
        try:
            size = (folder / DATA_FILE).stat().st_size if not new else 0
            with lmdb_errors(folder):
                environment = lmdb.open(
                    os.fsencode(folder),
                    map_size=max(map_bytes, size),
                    max_dbs=len(layout.TABLES),
                    max_readers=MAX_READERS,
                    meminit=False,
                )
                try:
                    environment.reader_check()
                    tables = _open_tables(folder, environment)
                    log = cls(folder, environment, tables)
                    log._check_format()
                except BaseException:
                    environment.close()
                    raise
        except BaseException:
            os.close(lock)
            raise
        log._lock = lock
        log._file = _identity(folder)
        log._refused_rows = Counter()
        return log

    def close(self) -> None:
        """Close the log and let another writer in."""
        super().close()
        if self._lock >= 0:
            os.close(self._lock)  # closing gives the lock back
            self._lock = -1

    def append(self, batch: Sequence[New]) -> Appended:
        """Append a batch in one transaction, synced to disk; a row that is there already changes
        nothing. Raises LogError; then nothing of the batch is stored, or, where it says that the
        log was moved meanwhile, it is stored where the log went."""
        refused_rows = self._refused_rows.copy()

        def append(transaction: lmdb.Transaction) -> Appended:
            self._refused_rows = refused_rows.copy()  # the batch may be done again
            return _Batch(transaction, self._tables, self._refused_rows).append(batch)

        appended = self._write(append)
        if _identity(self.path) != self._file:
            raise LogError(f"{self.path}: the log was moved, removed or replaced while it was open")
        return appended

    def cache_state(self, state: State, snapshot_id: int) -> None:
        """Keep a state until its paper gets another row. `snapshot_id` is that of the snapshot that
        the state was computed from: if anything was written since, nothing is kept."""
        paper = parse_pith_number(state.pith_number)
        key = layout.state_key(paper, state.keyring_sha256, state.assurance)

        def put(transaction: lmdb.Transaction) -> None:
            if transaction.id() == snapshot_id + 1:
                transaction.put(key, layout.state_value(state), db=self._tables[b"states"])

        self._write(put)

    def _write(self, work: Callable[[lmdb.Transaction], Result]) -> Result:
        self._check_process()
        with lmdb_errors(self.path):
            while True:
                try:
                    with self._environment.begin(write=True) as transaction:
                        return work(transaction)
                except lmdb.MapFullError:
                    # The transaction is lost, the batch is not: grow, then do it again.
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])


# A data file that was not there a moment ago is another writer's, which the lock will name.
_OWN_FILES: Final = frozenset({LOCK_FILE, "lock.mdb", DATA_FILE})


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which file the log's data are in: device and inode."""
    try:
        status = os.stat(folder / DATA_FILE)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _take_lock(folder: Path) -> int:
    """The writer's lock, held by whoever has it open, so that a killed writer leaves none."""
    # Not through a link, whose target would be overwritten.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(folder / LOCK_FILE, flags, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise LogError(
            f"{folder}: process {holder} is writing to this log; wait until it has finished"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock


def _open_tables(folder: Path, environment: lmdb.Environment) -> dict[bytes, Any]:
    with environment.begin(write=True) as transaction:
        if transaction.stat()["entries"] == 0:
            meta = environment.open_db(b"meta", transaction)
            transaction.put(b"format", str(layout.FORMAT).encode("ascii"), db=meta)
        try:
            meta = environment.open_db(b"meta", transaction, create=False)
        except lmdb.NotFoundError:
            raise LogError(f"{folder}: this LMDB folder holds no pithgraph log") from None
        if transaction.get(b"format", db=meta) == str(layout.FORMAT).encode("ascii"):
            return {name: environment.open_db(name, transaction) for name in layout.TABLES}
    return {b"meta": meta}  # of another format: `_check_format` says so


class _Batch:
    """One write transaction, and the counters that change in it."""

    def __init__(
        self,
        transaction: lmdb.Transaction,
        tables: dict[bytes, Any],
        refused_rows: Counter[str],
    ) -> None:
        self._transaction = transaction
        self._tables = tables
        self._refused_rows = refused_rows
        self._events = self._meta(b"events")
        self._papers = self._meta(b"papers")
        self._refused = self._meta(b"refused")
        self._counters: dict[bytes, layout.PaperCounters] = {}
        self._cached_states = transaction.stat(tables[b"states"])["entries"] > 0

    def append(self, batch: Sequence[New]) -> Appended:
        total = Appended()
        for new in batch:
            if isinstance(new, NewEvent):
                total += self._event(new)
            elif isinstance(new, NewAlias):
                total += self._alias(new)
            else:
                self._refuse(new)
        for paper, counters in self._counters.items():
            self._put(b"papers", paper, layout.counters_value(counters))
            self._drop_states(paper)
        for name, count in (
            (b"events", self._events),
            (b"papers", self._papers),
            (b"refused", self._refused),
        ):
            if count != self._meta(name):  # a batch that brings nothing changes no byte
                self._put(b"meta", name, str(count).encode("ascii"))
        return total

    def _event(self, new: NewEvent) -> Appended:
        event = new.event
        if self._transaction.get(event.sha256, db=self._tables[b"by_digest"]) is not None:
            return Appended(duplicates=1)
        paper = layout.paper_key(parse_pith_number(event.subject))
        counters = self._counters_of(paper)
        if new.in_quota and counters.unauthentic >= QUOTA:
            self._refuse(new.refusal)
            return Appended(over_quota=1)
        position = layout.position_key(self._events)
        value = layout.event_value(event, new.facts)
        # LMDB answers False, and raises nothing, where an appended key is not the greatest.
        if not self._transaction.put(position, value, append=True, db=self._tables[b"events"]):
            raise LogError(f"the log already holds an event at position {self._events}")
        self._put(b"by_digest", event.sha256, position)
        self._put(b"by_paper", layout.index_key(event, self._events), b"")
        self._events += 1
        self._count(
            paper,
            counters._replace(
                events=counters.events + 1, unauthentic=counters.unauthentic + new.in_quota
            ),
        )
        return Appended(events=1, invalid=not new.valid)

    def _alias(self, new: NewAlias) -> Appended:
        key = layout.alias_key(*new)
        if self._transaction.get(key, db=self._tables[b"aliases"]) is not None:
            return Appended()
        stored = layout.StoredAlias(self._events, new.kind, new.value, new.created_at)
        self._put(b"aliases", key, layout.alias_value(stored))
        paper = layout.paper_key(new.paper)
        counters = self._counters_of(paper)
        self._count(paper, counters._replace(aliases=counters.aliases + 1))
        return Appended(aliases=1)

    def _refuse(self, row: layout.RefusedRow) -> None:
        self._refused_rows[row.source] += 1
        if self._refused_rows[row.source] > REFUSED_ROWS:
            return
        if self._refused_rows[row.source] == REFUSED_ROWS:
            detail = f"of this source only {REFUSED_ROWS - 1} refusals are kept"
            row = layout.RefusedRow(0, row.source, None, "", "more_refused", detail, 0, "", b"")
        key = layout.refused_key(row)
        if self._transaction.get(key, db=self._tables[b"refused"]) is None:
            self._put(b"refused", key, layout.refused_value(row._replace(number=self._refused)))
            self._refused += 1

    def _counters_of(self, paper: bytes) -> layout.PaperCounters:
        if paper in self._counters:
            return self._counters[paper]
        stored = self._transaction.get(paper, db=self._tables[b"papers"])
        return layout.read_counters(None if stored is None else bytes(stored))

    def _count(self, paper: bytes, counters: layout.PaperCounters) -> None:
        if counters.events + counters.aliases == 1:
            self._papers += 1
        self._counters[paper] = counters

    def _drop_states(self, paper: bytes) -> None:
        if not self._cached_states:
            return
        with self._transaction.cursor(self._tables[b"states"]) as cursor:
            found = cursor.set_range(paper)
            while found and bytes(cursor.key()).startswith(paper):
                found = cursor.delete()

    def _meta(self, name: bytes) -> int:
        return int(self._transaction.get(name, db=self._tables[b"meta"]) or 0)

    def _put(self, table: bytes, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._tables[table])
