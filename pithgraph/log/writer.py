"""Writing a log: one writer at a time, one transaction a batch.

What lives here: the writer's lock, appending, growing the map. What must not: making a new log
(`making`), and judging events; their facts come with them.

A batch is one transaction: its rows, its indexes and the counters are there together or not at
all, and once `append` has returned they are on disk (LMDB syncs at every commit).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import lmdb

from pithgraph.errors import LogError
from pithgraph.identifiers import parse_pith_number
from pithgraph.log import layout
from pithgraph.log.batch import Appended, Batch, New
from pithgraph.log.compression import NONE, ZSTD, codec_of
from pithgraph.log.making import NEW_FILE, make_log, sync_folder
from pithgraph.log.pages import lengthen
from pithgraph.log.reader import (
    DATA_FILE,
    MAX_READERS,
    READER_FILE,
    Log,
    check_files,
    check_last,
    check_whole,
    identity,
    lmdb_errors,
    missing_table,
)
from pithgraph.merge import State

LOCK_FILE: Final = "writer.lock"
# Where a repair makes the new log; what a killed one left, the next removes.
REPAIR_FOLDER: Final = "repair.tmp"
_FIRST_MAP_BYTES: Final = 64 * 1024 * 1024
_READER_TABLE_BYTES: Final = 64 * (MAX_READERS + 2)  # a header, and a line of cache for each


Result = TypeVar("Result")


class LogWriter(Log):
    """A log that is open for reading and appending. One at a time, in all processes."""

    _lock: int = -1
    _refused_rows: Counter[str]
    _numbers: dict[bytes, int]

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        compress: bool = False,
        map_bytes: int = _FIRST_MAP_BYTES,
    ) -> Self:
        """Open a log for appending; make it if there is none. Raises LogError.

        `compress` says whether a new log is compressed, which needs zstandard; a log that is there
        stays as it was made. `map_bytes` is the size of the first map; it doubles whenever it is
        full.
        """
        folder = Path(path)
        try:
            new = not (folder / DATA_FILE).exists()
            if not new and not (folder / DATA_FILE).is_file():
                raise LogError(f"{folder}: {DATA_FILE} is no regular file")
            if new:
                codec_of(ZSTD if compress else NONE, None)  # that it is installed
            folder.mkdir(parents=True, exist_ok=True)
            if new and any(name not in _OWN_FILES for name in os.listdir(folder)):
                raise LogError(f"{folder}: the folder is not empty and holds no log")
            lock = _take_lock(folder)
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}") from None
        try:
            size = _prepare(folder, ZSTD if compress else NONE)
            with lmdb_errors(folder):
                environment = lmdb.open(
                    os.fsencode(folder),
                    map_size=max(map_bytes, size),
                    max_dbs=len(layout.TABLES),
                    max_readers=MAX_READERS,
                    meminit=False,
                )
                readers = identity(folder / READER_FILE)
                try:
                    check_whole(folder, environment)
                    environment.reader_check()
                    check_last(folder, environment)
                    tables = _open_tables(folder, environment)
                    log = cls(folder, environment, tables)
                    log._check_format()
                    log._check_counters()
                    with log.snapshot() as snapshot:
                        log._numbers = snapshot.class_numbers()
                        snapshot.check_edge()  # what is appended would be put on it
                except BaseException:
                    environment.close()
                    raise
        except BaseException:
            _give_back(lock)
            raise
        log._lock, log._readers = lock, readers
        log._file = identity(folder / DATA_FILE)
        log._refused_rows = Counter()
        return log

    def close(self) -> None:
        """Close the log and let another writer in."""
        super().close()
        if self._lock >= 0:
            _give_back(self._lock)
            self._lock = -1

    def forked(self) -> None:
        """A child holds no writer's lock: it would keep others out for as long as it lives."""
        super().forked()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def append(self, batch: Sequence[New]) -> Appended:
        """Append a batch in one transaction, synced to disk; a row that is there already changes
        nothing. Raises LogError; then nothing of the batch is stored, or, where it says that the
        log was moved meanwhile, it is stored where the log went."""

        def append(
            transaction: lmdb.Transaction,
        ) -> tuple[Appended, Counter[str], dict[bytes, int]]:
            # Copies, since the batch may be done again.
            refused_rows, numbers = self._refused_rows.copy(), self._numbers.copy()
            done = Batch(transaction, self._tables, refused_rows, numbers).append(batch)
            return done, refused_rows, numbers

        appended, self._refused_rows, self._numbers = self._write(append)
        if self.has_moved():
            raise LogError(f"{self.path}: the log was moved, removed or replaced while it was open")
        return appended

    def cache_state(self, state: State, snapshot_id: int) -> None:
        """Keep a state until its paper gets another row. `snapshot_id` is that of the snapshot that
        the state was computed from: if anything was written since, nothing is kept."""
        paper = parse_pith_number(state.pith_number)
        key = layout.state_key(paper, state.keyring_sha256, state.assurance)

        def put(transaction: lmdb.Transaction) -> None:
            if transaction.id() == snapshot_id + 1:
                transaction.put(key, layout.state_value(key, state), db=self._tables[b"states"])

        self._write(put)

    def _write(self, work: Callable[[lmdb.Transaction], Result]) -> Result:
        self._check_process()
        self._check_lock()
        self._check_readers()
        with lmdb_errors(self.path):
            while True:
                try:
                    with self._environment.begin(write=True) as transaction:
                        done = work(transaction)
                    self._lengthen()
                    return done
                except lmdb.MapFullError:
                    # The transaction is lost, the batch is not: grow, then do it again.
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def _check_lock(self) -> None:
        """Raise LogError where another writer may have come in, since the lock is another file."""
        status = os.fstat(self._lock)
        held = status.st_dev, status.st_ino
        if identity(self.path / LOCK_FILE) != held and not self.has_moved():
            raise LogError(
                f"{self.path}: {LOCK_FILE} was removed or replaced while the log was open, so "
                "another process may be writing: see that there is none, then run it again; "
                "nothing of this batch was stored"
            )

    def _lengthen(self) -> None:
        """So that a file which is too short was cut. What is stored is stored, also where this
        fails, or the log has gone elsewhere."""
        if not self.has_moved():
            with suppress(OSError):
                lengthen(self.path / DATA_FILE, self._environment)


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Within, nobody writes to the log. Raises LogError where somebody does, or it is not there."""
    try:
        lock = _take_lock(folder)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from None
    try:
        yield
    finally:
        _give_back(lock)


# A data file that was not there a moment ago is another writer's, which the lock will name.
_OWN_FILES: Final = frozenset({LOCK_FILE, READER_FILE, DATA_FILE, NEW_FILE, REPAIR_FOLDER})


def _take_lock(folder: Path) -> int:
    """The writer's lock, held by whoever has it open, so that a killed writer leaves none."""
    # Not through a link, whose target would be overwritten.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(folder / LOCK_FILE, flags, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            raise LogError(
                f"{folder}: process {holder} is writing to this log; wait until it has finished"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        _give_back(lock)
        raise
    return lock


def _give_back(lock: int) -> None:
    """Let another writer in. The lock goes with its descriptor, whatever closing says."""
    with suppress(OSError):
        os.close(lock)


def _prepare(folder: Path, compression: str) -> int:
    """Make the log if there is none; what its file has in bytes. Raises LogError."""
    try:
        # Asked again, for now the lock is held.
        if not (folder / DATA_FILE).exists():
            make_log(folder, compression)
        # Also of a log that is there: its maker may have been killed before this.
        check_files(folder)
        sync_folder(folder)
        _reserve_reader_table(folder)
        return (folder / DATA_FILE).stat().st_size
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from None


def _reserve_reader_table(folder: Path) -> None:
    """Give LMDB's table of readers its room on the disk. LMDB leaves holes in it and maps it: where
    the disk is full then, the first who touches one is killed by SIGBUS. Raises OSError."""
    path = folder / READER_FILE
    if path.exists() and path.stat().st_size >= _READER_TABLE_BYTES:
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        start = os.fstat(handle).st_size
        room = bytes(_READER_TABLE_BYTES - start)
        if os.pwrite(handle, room, start) < len(room):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)


def _open_tables(folder: Path, environment: lmdb.Environment) -> dict[bytes, Any]:
    with environment.begin(write=True) as transaction:
        tables: dict[bytes, Any] = {}
        for name in layout.TABLES:
            try:
                tables[name] = environment.open_db(name, transaction, create=False)
            except lmdb.NotFoundError:
                raise missing_table(folder, name) from None
            if transaction.get(b"format", db=tables[b"meta"]) != layout.FORMAT_VALUE:
                break  # `_check_format` says so
    return tables
