"""A copy of a log that others may be writing, verified before it gets its name (SPEC §10).

What lives here: the order of copying, checking and renaming. What must not: what is checked of rows
and pages (`checking`, `fsck`).

The copy is made in a folder beside the destination, and renamed once it holds and is on disk: what
has the destination's name is a whole log, at every moment. Where that fails, or is interrupted, the
folder is removed; a killed process leaves it, under a name that begins with a point.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pithgraph.checking import Check
from pithgraph.errors import BackupError, LogError, MerkleError
from pithgraph.fsck import check_pages
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.reader import DATA_FILE
from pithgraph.sources import load_keyring
from pithgraph.stored import Finding


class Backup(NamedTuple):
    """What a backup holds: so many events and papers, in a file of so many bytes, under this root
    of the Merkle tree (32 bytes)."""

    events: int
    papers: int
    file_bytes: int
    root: bytes


def backup(
    log: Log,
    destination: str | os.PathLike[str],
    *,
    compact: bool = False,
    keyring: Keyring | None = None,
    progress: Callable[[int], None] | None = None,
) -> Backup:
    """Copy a log to a new folder, while it is written or not. With `compact`, without the pages
    that are free.

    Of the copy everything is checked that `fsck` checks, and that its Merkle tree begins the log's
    own; cached states that were computed under this keyring are merged anew. `progress` is told how
    many events were checked.

    Raises BackupError where the destination exists or cannot be written, LogError where the copy
    does not hold, as that of a damaged log; then there is no destination, unless the error says so.
    """
    folder = Path(os.path.abspath(destination))
    if os.path.lexists(folder):
        raise BackupError(f"{destination} is there already: name a folder that is not")
    try:
        with _folder_beside(folder) as copy:
            _copy(log, copy / DATA_FILE, compact)
            made = _check(log, copy, keyring or load_keyring(), progress)
            shutil.copymode(log.path, copy)
            _sync(copy)
            os.rename(copy, folder)
    except OSError as error:
        raise BackupError(f"{destination}: {error.strerror}") from None
    try:
        _sync(folder.parent)
    except OSError as error:
        raise BackupError(
            f"{destination} is there, and holds, but its folder's entry could not be synced "
            f"({error.strerror}): after a power loss it may be gone"
        ) from None
    return made


@contextmanager
def _folder_beside(destination: Path) -> Iterator[Path]:
    """A new folder in the same file system, which is gone afterwards, if only by its name."""
    name = tempfile.mkdtemp(".partial", f".{destination.name[:40]}.", destination.parent)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _copy(log: Log, to: Path, compact: bool) -> None:
    with open(to, "xb") as file:
        log.copy_to(file.fileno(), compact=compact)
        os.fsync(file.fileno())
    shutil.copymode(log.path / DATA_FILE, to)


def _check(
    log: Log, copy: Path, keyring: Keyring, progress: Callable[[int], None] | None
) -> Backup:
    # LMDB trusts the pages of its file, so these come first.
    for finding in check_pages(copy):
        raise _does_not_hold(log, finding)
    with Log.open(copy) as copied, copied.snapshot() as snapshot:
        for finding in Check(snapshot, keyring, progress=progress):
            raise _does_not_hold(log, finding)
        size = (copy / DATA_FILE).stat().st_size
        made = Backup(snapshot.size, snapshot.paper_count, size, snapshot.root())
    with log.snapshot() as snapshot:
        try:
            root = snapshot.root(made.events)
        except MerkleError:
            root = b""
    if root != made.root:
        raise LogError(
            f"{log.path}: at {made.events} events the log has another Merkle root than its copy; "
            "see `pithgraph fsck`"
        )
    for name in os.listdir(copy):
        if name != DATA_FILE:  # what opening it has made
            os.unlink(copy / name)
    return made


def _does_not_hold(log: Log, finding: Finding) -> LogError:
    return LogError(
        f"{log.path}: the copy does not hold, and was not kept: {' '.join(finding)}; see "
        "`pithgraph fsck`"
    )


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
