"""Opening a log for reading, and taking views of it.

What lives here: LMDB's environment, and what its errors become. What must not: what a view shows
(`snapshot`), and any change of a table.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import lmdb
import msgspec

from pithgraph.errors import BackupError, LogError, MerkleError
from pithgraph.log import layout
from pithgraph.log.forks import never_end, opened_before, watch
from pithgraph.log.layout import BrokenSeal
from pithgraph.log.pages import is_cut, map_bytes
from pithgraph.log.snapshot import RESTORE, Snapshot
from pithgraph.ordinary import EventClass

DATA_FILE: Final = "data.mdb"
READER_FILE: Final = "lock.mdb"  # LMDB's own, with a line for each reader
# Addresses, no memory: more than a log will take. A reader whose map a writer elsewhere outgrows
# must change it, which ends the views that its other threads hold.
_MAP_BYTES: Final = 2**40
_OPENINGS: Final = 10
MAX_READERS: Final = 2048  # two for each view that is open, in all processes

# Of which tables the counters of the log as a whole give the rows.
_COUNTED: Final = {
    b"events": (b"by_digest", b"by_paper"),
    b"papers": (b"papers",),
    b"refused": (b"refused",),
}

_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)

_WRONG_VALUES: Final = (
    msgspec.MsgspecError,
    struct.error,
    UnicodeDecodeError,
    BrokenSeal,
    MerkleError,
)


@contextmanager
def lmdb_errors(path: Path) -> Iterator[None]:
    """Turn what LMDB and damaged values raise into LogError, which says what to do."""
    try:
        yield
    except lmdb.MapFullError:
        raise  # the writer's business: it grows the map and repeats the batch
    except _DAMAGED as error:
        raise LogError(
            f"{path}: the log cannot be read: {error}. Restore it from a backup."
        ) from None
    except lmdb.DiskError:
        raise LogError(
            f"{path}: the disk is full: make room, then run it again; what was stored before is "
            "kept"
        ) from None
    except lmdb.ReadersFullError:
        raise LogError(
            f"{path}: {MAX_READERS // 2} views of the log are open, and no more can be: end "
            "programs that read it, then run it again"
        ) from None
    except lmdb.PanicError:
        raise LogError(
            f"{path}: an earlier write to the disk failed; close the log and open it again"
        ) from None
    except lmdb.Error as error:
        if os.strerror(errno.EIO) in str(error):
            # LMDB says so too where the disk is full after a part of a write.
            raise LogError(
                f"{path}: the disk failed, or the disk is full ({error}): see to it, then run it "
                "again; what was stored before is kept"
            ) from None
        # Such as a log that is closed, or open twice in one process.
        text = str(error).removeprefix(f"{path}: ").rstrip(".")
        if text == os.strerror(errno.EACCES):
            text += (
                f": to be noted, a reader must be able to write {READER_FILE} in the log's folder"
            )
        raise LogError(f"{path}: {text}") from None
    except _WRONG_VALUES as error:
        raise LogError(
            f"{path}: a stored row is damaged: {error}. Restore the log from a backup."
        ) from None


class Log:
    """A log that is open for reading. Use it as a context manager, or `close` it.

    Many processes may read while one writes, with MAX_READERS // 2 views in all. In one process a
    log can be open once.
    """

    def __init__(self, path: Path, environment: lmdb.Environment, tables: dict[bytes, Any]) -> None:
        self.path = path
        self._environment = environment
        self._tables = tables
        self._process = os.getpid()
        self._classes: dict[int, EventClass] = {}  # only added to, so every view may share them
        self._file: tuple[int, int] | None = None
        self._reader_file = os.path.join(path, READER_FILE)
        self._readers: tuple[int, int] | None = None
        watch(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a log for reading. Raises LogError: absent, damaged, of another format."""
        return cls._open(path, damaged=False)

    @classmethod
    def open_damaged(cls, path: str | os.PathLike[str]) -> Self:
        """As `open`, for who looks at what is wrong: also where the log's file lacks its end (the
        system ends a process that reads what is missing, by SIGBUS), and where another format is
        stated."""
        return cls._open(path, damaged=True)

    @classmethod
    def _open(cls, path: str | os.PathLike[str], *, damaged: bool) -> Self:
        for _ in range(_OPENINGS):
            log = cls._open_once(Path(path), damaged=damaged)
            # LMDB opens its lock file after the log's, which may have been replaced between.
            if not log.has_moved():
                break
            log.close()
        return log

    @classmethod
    def _open_once(cls, folder: Path, *, damaged: bool) -> Self:
        try:
            there = (folder / DATA_FILE).is_file()
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}") from None
        if not there:
            raise LogError(f"{folder}: there is no log. `pithgraph ingest --log` makes one.")
        check_files(folder)
        file = identity(folder / DATA_FILE)  # before, so that what replaces it later is noticed
        with lmdb_errors(folder):
            environment = _open_readonly(folder)
            readers = identity(folder / READER_FILE)
            try:
                if not damaged:
                    check_whole(folder, environment)
                environment.reader_check()
                check_last(folder, environment)
                tables: dict[bytes, Any] = {}
                log = cls(folder, environment, tables)
                log._file, log._readers = file, readers
                for name in layout.TABLES:  # meta is the first: it says how to read the others
                    try:
                        tables[name] = environment.open_db(name, create=False)
                    except lmdb.NotFoundError:
                        if tables:
                            log._check_format()  # another may have other tables
                        raise missing_table(folder, name) from None
                    if name == b"meta" and not damaged:
                        log._check_format()
                if not damaged:
                    log._check_counters()
            except BaseException:
                environment.close()
                raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log; what was read from it stays."""
        if not self._is_forked():
            self._environment.close()

    def forked(self) -> None:
        """In a child the environment is its parent's still."""
        never_end(self._environment)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One consistent view of the log, whatever a writer appends meanwhile. A view that is held
        while a writer of the same process outgrows the map ends there: read again."""
        self._check_process()
        self._check_readers()
        with lmdb_errors(self.path):
            try:
                rows, blocks = self._begin_both()
            except lmdb.MapResizedError:
                # Another process has outgrown the map: adopt its size.
                self._environment.set_mapsize(0)
                rows, blocks = self._begin_both()
            try:
                self._check_replaced(rows)
                yield Snapshot(rows, blocks, self.path, self._tables, self._classes)
            finally:
                if not self._is_forked():
                    blocks.abort()
                    rows.abort()

    def copy_to(self, file: int, *, compact: bool = False) -> None:
        """Write the data file, as it is at one moment, into a file that is open for writing, while
        writers go on. With `compact`, without the pages that are free.

        Raises BackupError where the file cannot be written, LogError where the log cannot be read.
        An interrupt is heeded afterwards.
        """
        with self.snapshot():
            pass  # adopts the size of the map, if that has grown
        with lmdb_errors(self.path):
            try:
                self._environment.copyfd(file, compact)
            except _DAMAGED:
                raise
            except lmdb.Error as error:
                raise BackupError(f"{self.path} cannot be copied: {error}") from None

    def _begin_both(self) -> tuple[lmdb.Transaction, lmdb.Transaction]:
        """Two views of one moment: one gives bytes, which is quicker for small rows, the other
        views into the map, which is quicker for blocks."""
        while True:
            rows = self._environment.begin()
            try:
                blocks = self._environment.begin(buffers=True)
            except BaseException:
                rows.abort()
                raise
            if rows.id() == blocks.id():
                return rows, blocks
            # A writer has committed in between.
            rows.abort()
            blocks.abort()

    def _check_replaced(self, transaction: lmdb.Transaction) -> None:
        """Raise LogError where LMDB's lock file, by which it finds the last commit, knows of more
        of them than the file that is open: then it is that of another file, which has its place."""
        if transaction.id() > self._environment.info()["last_txnid"]:
            raise LogError(f"{self.path}: the log was replaced, as by a repair: open it again")

    def has(self, sha256: bytes) -> bool:
        """Whether the log holds an event of this event_sha256."""
        with self.snapshot() as snapshot:
            return snapshot.has(sha256)

    def sizes(self) -> tuple[int, int]:
        """The bytes of the log's file, and of the map into which its last writer took it. Raises
        LogError."""
        path = self.path / DATA_FILE
        with lmdb_errors(self.path):
            try:
                return path.stat().st_size, map_bytes(path)
            except OSError as error:
                raise LogError(f"{path}: {error.strerror}") from None

    def has_moved(self) -> bool:
        """Whether the log's path leads to another file than the one that is open, or to none: what
        is appended there does not come here."""
        return identity(self.path / DATA_FILE) != self._file

    def _check_readers(self) -> None:
        """Raise LogError where LMDB's lock file is another now: neither would writers know of this
        one's views, and write over what they read, nor this one of other readers'."""
        if self._readers is None or identity(self._reader_file) == self._readers:
            return
        if not self.has_moved():
            raise LogError(
                f"{self.path}: {READER_FILE} was removed or replaced while the log was open: open "
                "it again"
            )

    def _check_process(self) -> None:
        if self._is_forked():
            raise opened_before(self.path)

    def _is_forked(self) -> bool:
        return os.getpid() != self._process

    def _check_format(self) -> None:
        with self.snapshot() as snapshot:
            stated = snapshot.raw(b"meta", b"format") or b""
        if stated != layout.FORMAT_VALUE:
            shown = stated[:20].decode("ascii", "backslashreplace") or "of no name"
            raise LogError(
                f"{self.path}: the log has format {shown}, this pithgraph reads "
                f"{layout.FORMAT}. Use the pithgraph that wrote it, or a newer one. Where "
                "none did, that row is damaged: see `pithgraph fsck`."
            )

    def _check_counters(self) -> None:
        """Raise LogError where the log's counters are not what its tables have: a row that is gone
        would be an event, or a paper, that nobody misses."""
        with self.snapshot() as snapshot:
            for counter, counted in _COUNTED.items():
                stated = snapshot.meta(counter)
                for table in counted:
                    entries = snapshot.entries(table)
                    if entries != stated:
                        raise LogError(
                            f"{self.path}: damaged: it counts {stated} {counter.decode()}, the "
                            f"table {table.decode()} has {entries}. {RESTORE}"
                        )


def missing_table(folder: Path, name: bytes) -> LogError:
    """That an LMDB folder is no log, or lacks a part of one."""
    if name == layout.TABLES[0]:
        return LogError(f"{folder}: this LMDB folder holds no pithgraph log")
    return LogError(f"{folder}: damaged: the table {name.decode()} is missing. {RESTORE}")


def identity(path: str | Path) -> tuple[int, int] | None:
    """Which file a path leads to: device and inode."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_files(folder: Path) -> None:
    """Raise LogError where LMDB would write what it should not: another log into a log's file that
    has nothing in it, or its lock file into what a link leads to."""
    if (folder / READER_FILE).is_symlink():
        raise LogError(
            f"{folder}: {READER_FILE} is a link, and what it leads to would be overwritten: remove "
            "it"
        )
    try:
        empty = (folder / DATA_FILE).stat().st_size == 0
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from None
    if empty:
        raise LogError(
            f"{folder}: {DATA_FILE} is empty: restore the log from a backup, or remove that file "
            "to begin a new log"
        )


def check_whole(folder: Path, environment: lmdb.Environment) -> None:
    """Raise LogError where a log's file was cut, before anything is read of it."""
    try:
        cut = is_cut(folder / DATA_FILE, environment)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from None
    if cut:
        raise LogError(f"{folder}: {DATA_FILE} was cut: it lacks pages that are in use. {RESTORE}")


def check_last(folder: Path, environment: lmdb.Environment) -> None:
    """Raise LogError where LMDB's lock file knows of fewer commits than the log's file, for then it
    is that of another file: LMDB would show an earlier commit, and write over the last. One commit
    fewer is that of a writer which is at it, or was killed, and had not reported it."""
    last = environment.info()["last_txnid"]
    with environment.begin() as transaction:
        if transaction.id() >= last - 1:
            return
    raise LogError(
        f"{folder}: {READER_FILE} is that of another {DATA_FILE}, which was replaced, and "
        "which some process has open still: end that process, then run it again"
    )


def _open_readonly(folder: Path) -> lmdb.Environment:
    options: dict[str, Any] = {
        "readonly": True,
        "create": False,
        "max_dbs": len(layout.TABLES),
        "max_readers": MAX_READERS,
    }
    with suppress(lmdb.MemoryError):  # where addresses are limited, as by `ulimit -v`
        return lmdb.open(os.fsencode(folder), map_size=_MAP_BYTES, **options)
    return lmdb.open(os.fsencode(folder), **options)
