"""Making a log: nobody sees half of one, whenever the power goes.

What lives here: the folder of a new log, its first rows, and their way to the disk. What must not:
the writer's lock, which whoever makes a log holds.

A log is made under another name, synced, and then renamed. So `data.mdb` is a whole log or is not
there, to readers, after a kill and after a power loss. LMDB syncs what is in a file; that the file
stands in its folder, and the folder in its own, is synced here.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Final

import lmdb

from pithgraph.log import layout
from pithgraph.log.reader import DATA_FILE, lmdb_errors
from pithgraph.log.snapshot import COMPRESSION

NEW_FILE: Final = "data.mdb.new"
_MAP_BYTES: Final = 1024 * 1024


def make_log(folder: Path, compression: str) -> None:
    """Make an empty log in a folder that holds none. Raises LogError, OSError."""
    new = folder / NEW_FILE
    new.unlink(missing_ok=True)  # of somebody who was killed
    with lmdb_errors(folder):
        _write_first_rows(new, compression)
    _sync_ancestors(folder)  # before the rename, so that a log that is there has them synced
    os.rename(new, folder / DATA_FILE)


def _write_first_rows(path: Path, compression: str) -> None:
    tables = len(layout.TABLES)
    # Nobody else knows the file, so it needs no locks. LMDB syncs at the commit.
    with (
        lmdb.open(
            os.fsencode(path), subdir=False, lock=False, map_size=_MAP_BYTES, max_dbs=tables
        ) as environment,
        environment.begin(write=True) as transaction,
    ):
        for name in layout.TABLES:
            environment.open_db(name, transaction)
        meta = environment.open_db(b"meta", transaction)
        transaction.put(b"format", layout.FORMAT_VALUE, db=meta)
        transaction.put(COMPRESSION, compression.encode("ascii"), db=meta)


def sync_folder(folder: Path) -> None:
    """Put on disk which files a folder holds. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that have no such thing
            raise
    finally:
        os.close(handle)


def _sync_ancestors(folder: Path) -> None:
    """Put the folder itself on disk, and those in which it may have been made."""
    folder = folder.resolve()
    device = folder.stat().st_dev
    # Across a mount nothing was made.
    for ancestor in takewhile(lambda place: place.stat().st_dev == device, folder.parents):
        with suppress(PermissionError):  # not ours, so not made now
            sync_folder(ancestor)
