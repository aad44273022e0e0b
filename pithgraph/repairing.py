"""Repairing a log: indexes, counters and tree are made anew from the rows of events.

What lives here: the exchange of a damaged log for the new one, in whatever moment it is ended. What
must not: which rows are taken over (`salvaging`), and how they are checked (`checking`).

The new log lies beside the old one until it is complete, checked and synced; one rename puts it in
the old one's place. What is damaged is set aside before that, with its bytes, in a file of the
log's folder.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from pithgraph.checking import BAD_ROW, Check
from pithgraph.errors import LogError, PithgraphError
from pithgraph.fsck import check_pages
from pithgraph.keyring import Keyring
from pithgraph.log import Log, layout
from pithgraph.log.compression import KNOWN, NONE, ZSTD, is_installed
from pithgraph.log.reader import DATA_FILE, READER_FILE
from pithgraph.log.snapshot import DICTIONARY
from pithgraph.log.writer import REPAIR_FOLDER, writer_lock
from pithgraph.salvaging import Aside, NewLog, Taking
from pithgraph.wrecks import OldLog

SET_ASIDE: Final = "set-aside-{}.jsonl"
_ASIDE_FILE: Final = "set-aside.jsonl"


class Repaired(NamedTuple):
    """What a repair did. `events`, `aliases` and `refused` count what the log holds now, `lost` the
    events and `lost_aliases` the alias rows that it held before and does not hold now,
    `established` the events whose facts had to be established anew. `set_aside` counts the rows
    that stand in the file `aside`, None where there are none. `moved` is the first position at
    which the log has another event than before, or none where it had one; None where it has the
    same events at the same positions."""

    events: int
    aliases: int
    refused: int
    lost: int
    lost_aliases: int
    established: int
    set_aside: int
    aside: Path | None
    moved: int | None


def repair(
    log: str | os.PathLike[str],
    *,
    keyring: Keyring,
    progress: Callable[[int], None] | None = None,
) -> Repaired:
    """Make a log anew from what is sound in it, and put it in the old one's place.

    Whenever it ends, by whatever, the folder holds the old log or the new one, whole. A reader that
    has the old one open goes on with that. `progress` is told how many events were taken over.

    Raises LogError: a writer is there, there is no log, its format or compression is not readable,
    reading it ends the process that does so, or the new log does not pass a check; then the old one
    is as it was.
    """
    folder = Path(log)
    if not (folder / DATA_FILE).is_file():
        Log.open(folder)  # which says so
    beside = folder / REPAIR_FOLDER
    with writer_lock(folder):
        shutil.rmtree(beside, ignore_errors=True)
        try:
            rebuild = _rebuild_elsewhere if check_pages(folder) else _rebuild
            repaired = rebuild(folder, beside, keyring, progress)
            _check(beside, keyring)
            _sync(beside / DATA_FILE)
            if repaired.set_aside:
                # Before the old log goes. Two files of it, after a kill between the two, are fine.
                repaired = repaired._replace(aside=_new_path(folder))
                os.replace(beside / _ASIDE_FILE, repaired.aside or "")
                _sync(folder)
            # LMDB's lock file says which transaction was the last. It goes with the log that it is
            # about: who has the old log open keeps both, and whoever opens the new one makes its
            # own. Twice, for one that was made meanwhile.
            _give_alike(folder / DATA_FILE, beside / DATA_FILE)
            readers = folder / READER_FILE
            readers.unlink(missing_ok=True)
            os.replace(beside / DATA_FILE, folder / DATA_FILE)
            readers.unlink(missing_ok=True)
            _sync(folder)
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}; nothing was repaired") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return repaired


def _give_alike(old: Path, new: Path) -> None:
    """Let those read and write the new log who might the old one, where that is ours to say."""
    shutil.copymode(old, new)
    status = old.stat()
    with suppress(PermissionError):
        os.chown(new, status.st_uid, status.st_gid)


def _new_path(folder: Path) -> Path:
    paths = (folder / SET_ASIDE.format(number) for number in count(1))
    return next(path for path in paths if not path.exists())


def _rebuild_elsewhere(
    folder: Path, beside: Path, keyring: Keyring, progress: Callable[[int], None] | None
) -> Repaired:
    """The same in a process of its own: reading damaged pages may end it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, folder, beside, keyring), daemon=True)
    process.start()
    theirs.close()
    try:
        done: Repaired | str = ours.recv()
    except (EOFError, OSError):
        done = "reading its damaged pages ended the process"
    finally:
        ours.close()
        process.kill()
        process.join()
    if isinstance(done, str):
        raise LogError(f"{folder}: {done}. Nothing was repaired: restore the log from a backup.")
    return done


def _send(pipe: Connection, folder: Path, beside: Path, keyring: Keyring) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the other process ends this one
    done: Repaired | str
    try:
        done = _rebuild(folder, beside, keyring, None)
    except (PithgraphError, OSError) as error:
        done = str(error).rstrip(".")
    with suppress(BrokenPipeError):  # then nobody asks any more
        pipe.send(done)


def _check(beside: Path, keyring: Keyring) -> None:
    with Log.open(beside) as log, log.snapshot() as snapshot:
        finding = next(iter(Check(snapshot, keyring)), None)
    if finding is not None:
        raise LogError(
            f"what can be read makes no sound log ({'  '.join(finding)}); the log is as it was. "
            "Restore it from a backup."
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rebuild(
    folder: Path, beside: Path, keyring: Keyring, progress: Callable[[int], None] | None
) -> Repaired:
    for compression in _compressions(folder):
        shutil.rmtree(beside, ignore_errors=True)
        repaired = _rebuild_as(compression, folder, beside, keyring, progress)
        if repaired.events or not repaired.lost:
            return repaired
    raise LogError(
        f"{folder}: no event can be read, compressed or not, with the dictionary that is there. "
        "Restore the log from a backup; it is as it was."
    )


def _compressions(folder: Path) -> list[str]:
    """How contents may be stored: what the log says first, if that is known; what cannot be read
    here, only if the log says so."""
    with Log.open_damaged(folder) as log, log.snapshot() as snapshot:
        stated, dictionary = snapshot.compression, snapshot.raw(b"meta", DICTIONARY)
    likely = ZSTD if dictionary is not None else NONE
    kinds = sorted(KNOWN, key=lambda kind: (kind != stated, kind != likely))
    return [kind for kind in kinds if kind == stated or is_installed(kind)]


def _rebuild_as(
    compression: str,
    folder: Path,
    beside: Path,
    keyring: Keyring,
    progress: Callable[[int], None] | None,
) -> Repaired:
    with ExitStack() as open_things:
        log = open_things.enter_context(Log.open_damaged(folder))
        try:
            old = open_things.enter_context(OldLog(log, compression))
        except layout.BrokenSeal:
            raise LogError(
                f"{folder}: the dictionary is damaged, and without it no event can be read. "
                "Restore the log from a backup."
            ) from None
        new = open_things.enter_context(NewLog.open(beside, compress=old.compression == ZSTD))
        aside = open_things.enter_context(Aside(beside / _ASIDE_FILE))
        if (dictionary := old.raw(b"meta", DICTIONARY)) is not None:
            new.put([(b"meta", DICTIONARY, dictionary)])
        taken = Taking(old, new, aside, keyring, progress)
        taken.all()
        aside.sync()
        with new.snapshot() as made:
            aliases, lost = made.entries(b"aliases"), max(_held(old) - made.size, 0)
            repaired = Repaired(
                made.size,
                aliases,
                made.entries(b"refused"),
                lost,
                max(_held_aliases(old) - aliases, 0),
                taken.established,
                aside.count,
                None,
                made.size if taken.moved is None and lost else taken.moved,
            )
        _check_format(folder, old, repaired)
        return repaired


def _check_format(folder: Path, old: OldLog, repaired: Repaired) -> None:
    """Raise LogError where another format is stated and anything else is amiss: the log may be by
    another pithgraph, of whose rows this one would take some and lose the others."""
    stated = old.raw(b"meta", b"format")
    if stated == layout.FORMAT_VALUE:
        return
    lost = repaired.lost or repaired.lost_aliases or repaired.moved is not None
    others = repaired.set_aside > 1 or set(old.tables()) != {*layout.TABLES}
    if lost or others:
        raise LogError(
            f"{folder}: the log states format {stated!r}, not {layout.FORMAT}, and that is not all "
            "in which it is not as this pithgraph writes it. Use the pithgraph that wrote it, or "
            "restore it from a backup"
        )


def _held(old: OldLog) -> int:
    """How many events a log has held: of the counter and two indexes, what two of them bear out, so
    that one row too many in one of them is no event that was lost."""
    try:
        size = layout.read_meta(b"events", old.raw(b"meta", b"events"))
    except LogError:
        size = 0
    return sorted((size, old.entries(b"by_digest"), old.entries(b"by_paper")))[1]


def _held_aliases(old: OldLog) -> int:
    """How many alias rows a log has held, by those counters of papers that are sound."""
    held = 0
    for paper, value in old.rows(b"papers"):
        try:
            layout.unsealed(paper, value)
            held += layout.read_counters(value).aliases
        except BAD_ROW:
            continue
    return held
