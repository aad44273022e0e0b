"""Repairing a log: indexes, counters and tree are made anew from the rows of events.

What lives here: the exchange of a damaged log for the new one, in whatever moment it is ended. What
must not: which rows are taken over (`salvaging`), and how they are checked (`checking`).

The new log lies beside the old one until it is complete, checked and synced; one rename puts it in
the old one's place. What is damaged is set aside before that, with its bytes, in a file of the
log's folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from pithgraph.checking import Check
from pithgraph.errors import LogError
from pithgraph.keyring import Keyring
from pithgraph.log import Log, layout
from pithgraph.log.compression import KNOWN, NONE, ZSTD, is_installed
from pithgraph.log.pages import continue_numbers, last_commit
from pithgraph.log.reader import DATA_FILE, READER_FILE
from pithgraph.log.snapshot import DICTIONARY
from pithgraph.log.writer import REPAIR_FOLDER, writer_lock
from pithgraph.salvaging import Aside, NewLog, Taking
from pithgraph.stored import BAD_ROW
from pithgraph.wrecks import OldLog

SET_ASIDE: Final = "set-aside-{}.jsonl"
KEPT: Final = "before-repair-{}.mdb"
_ASIDE_FILE: Final = "set-aside.jsonl"
_COMPACT_FILE: Final = "compact.mdb"
_MOST_TRANSACTIONS: Final = 2**62  # a damaged number may be any


class Repaired(NamedTuple):
    """What a repair did. `events`, `aliases` and `refused` count what the log holds now, `lost` the
    events, `lost_aliases` the alias rows and `lost_refused` the refused rows that it held before
    and does not hold now, `established` the events whose facts had to be established anew.
    `set_aside` counts the rows that stand in the file `aside`, None where there are none. `kept` is
    the old log's file under its new name, where something of it was lost; else None. `moved` is the
    first position at which the log has another event than before, or none where it had one; None
    where it has the same events at the same positions."""

    events: int
    aliases: int
    refused: int
    lost: int
    lost_aliases: int
    lost_refused: int
    established: int
    set_aside: int
    aside: Path | None
    kept: Path | None
    moved: int | None

    @property
    def has_lost(self) -> bool:
        """Whether the log holds less than before."""
        return bool(self.lost or self.lost_aliases or self.lost_refused)


def repair(
    log: str | os.PathLike[str],
    *,
    keyring: Keyring,
    progress: Callable[[int], None] | None = None,
) -> Repaired:
    """Make a log anew from what is sound in it, and put it in the old one's place.

    Whenever it ends, by whatever, the folder holds the old log or the new one, whole. Views that
    are open go on with the old one; who has that open is told to open it again, once something is
    appended to the new one. `progress` is told how many events were taken over.

    Raises LogError: a writer is there, there is no log, its format or compression is not readable,
    or the new log does not pass a check; then, unless it says so, the old one is as it was.
    """
    folder = Path(log)
    if not (folder / DATA_FILE).is_file():
        Log.open(folder)  # which says so
    beside = folder / REPAIR_FOLDER
    with writer_lock(folder):
        _remove(beside)
        try:
            repaired = _rebuild(folder, beside, keyring, progress)
            _continue(folder, beside)
            _check(beside, keyring)
            _sync(beside / DATA_FILE)
            if repaired.set_aside:
                # Before the old log goes. Two files of it, after a kill between the two, are fine.
                repaired = repaired._replace(aside=_new_path(folder, SET_ASIDE))
                os.replace(beside / _ASIDE_FILE, repaired.aside or "")
                _sync(folder)
            if repaired.has_lost:
                repaired = repaired._replace(kept=_new_path(folder, KEPT))
                _keep(folder / DATA_FILE, repaired.kept or folder)
            _give_alike(folder / DATA_FILE, beside / DATA_FILE)
            os.replace(beside / DATA_FILE, folder / DATA_FILE)
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}; nothing was repaired") from None
        finally:
            _remove(beside)
        try:
            _sync(folder)
        except OSError as error:
            raise LogError(
                f"{folder}: repaired, but its folder could not be synced ({error.strerror}): after "
                "a power loss the damaged log may be there again"
            ) from None
    return repaired


def _continue(folder: Path, beside: Path) -> None:
    """Number the new log's transactions on from the old one's. LMDB's lock file says which was the
    last; those who have the old log open, or are opening it, share that file with all who open the
    new one."""
    with open(folder / DATA_FILE, "rb") as file:
        last = last_commit(file).transaction
    compact = beside / _COMPACT_FILE
    with Log.open(beside) as log, open(compact, "xb") as file:
        log.copy_to(file.fileno(), compact=True)
    continue_numbers(compact, last if 0 < last < _MOST_TRANSACTIONS else 1)
    os.replace(compact, beside / DATA_FILE)
    (beside / READER_FILE).unlink()


def _give_alike(old: Path, new: Path) -> None:
    """Let those read and write the new log who might the old one, where that is ours to say."""
    shutil.copymode(old, new)
    status = old.stat()
    with suppress(PermissionError):
        os.chown(new, status.st_uid, status.st_gid)


def _keep(old: Path, kept: Path) -> None:
    """Give the old log's file another name, too: somebody may find more in it."""
    try:
        os.link(old, kept)
    except OSError:  # a file system without such links
        shutil.copyfile(old, kept)
        _sync(kept)
    _sync(kept.parent)


def _remove(beside: Path) -> None:
    """Remove a folder; of a link, which may lead to another log, the link."""
    if beside.is_symlink():
        beside.unlink()
    shutil.rmtree(beside, ignore_errors=True)


def _new_path(folder: Path, name: str) -> Path:
    paths = (folder / name.format(number) for number in count(1))
    return next(path for path in paths if not os.path.lexists(path))


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
    with OldLog(folder) as old:
        for compression in _compressions(old):
            _remove(beside)
            repaired = _rebuild_as(compression, old, beside, keyring, progress)
            if repaired.events or not repaired.lost:
                _check_format(folder, old, repaired)
                return repaired
    raise LogError(
        f"{folder}: no event can be read, compressed or not, with the dictionary that is there. "
        "Restore the log from a backup; it is as it was."
    )


def _compressions(old: OldLog) -> list[str]:
    """How contents may be stored: what the log says first, if that is known; what cannot be read
    here, only if the log says so."""
    stated = old.compression
    likely = NONE if old.raw(b"meta", DICTIONARY) is None else ZSTD
    kinds = sorted(KNOWN, key=lambda kind: (kind != stated, kind != likely))
    return [kind for kind in kinds if kind == stated or is_installed(kind)]


def _rebuild_as(
    compression: str,
    old: OldLog,
    beside: Path,
    keyring: Keyring,
    progress: Callable[[int], None] | None,
) -> Repaired:
    codec = old.codec_by(compression)
    with ExitStack() as open_things:
        new = open_things.enter_context(NewLog.open(beside, compress=compression == ZSTD))
        aside = open_things.enter_context(Aside(beside / _ASIDE_FILE))
        if (dictionary := old.raw(b"meta", DICTIONARY)) is not None:
            new.put([(b"meta", DICTIONARY, dictionary)])
        taken = Taking(old, codec, new, aside, keyring, progress)
        taken.all()
        aside.sync()
        with new.snapshot() as made:
            aliases, refused = made.entries(b"aliases"), made.entries(b"refused")
            lost = max(_held(old) - made.size, 0)
            return Repaired(
                made.size,
                aliases,
                refused,
                lost,
                max(_held_aliases(old) - aliases, 0),
                max(_held_refused(old) - refused, 0),
                taken.established,
                aside.count,
                None,
                None,
                made.size if taken.moved is None and lost else taken.moved,
            )


def _check_format(folder: Path, old: OldLog, repaired: Repaired) -> None:
    """Raise LogError where another format is stated and anything else is amiss: the log may be by
    another pithgraph, of whose rows this one would take some and lose the others."""
    stated = old.raw(b"meta", b"format")
    if stated in (None, layout.FORMAT_VALUE):  # every pithgraph states one
        return
    lost = repaired.has_lost or repaired.moved is not None
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
    size = _counter(old, b"events") or 0
    return sorted((size, old.entries(b"by_digest"), old.entries(b"by_paper")))[1]


def _held_refused(old: OldLog) -> int:
    """How many refused rows a log has held: of the counter, the table and the numbers of the rows,
    what two bear out."""
    counted = _counter(old, b"refused")
    if counted is None:
        return old.entries(b"refused")
    size = 0
    for key, value in old.rows(b"refused"):
        with suppress(*BAD_ROW):
            size = max(size, layout.read_refused_value(key, value).number + 1)
    return sorted((counted, old.entries(b"refused"), size))[1]


def _counter(old: OldLog, name: bytes) -> int | None:
    """A counter of the log as a whole; None where it is damaged, or not there."""
    stored = old.raw(b"meta", name)
    try:
        return None if stored is None else layout.read_meta(name, stored)
    except LogError:
        return None


def _held_aliases(old: OldLog) -> int:
    """How many alias rows a log has held, by the counters of papers, where those are sound."""
    held = papers = 0
    for paper, value in old.rows(b"papers"):
        try:
            layout.unsealed(paper, value)
            held += layout.read_counters(value).aliases
            papers += 1
        except BAD_ROW:
            continue
    return held if papers == old.entries(b"papers") else max(held, old.entries(b"aliases"))
