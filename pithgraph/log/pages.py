"""LMDB's file as such: whether it is what LMDB will trust when it maps it.

What lives here: the walk over pages, what LMDB's verifier leaves out of it, and whether the file
was cut. What must not: what rows say (`checking`).

LMDB asks nothing of a page before it reads it: a damaged one may end the process, and of a file
that was cut the system ends whoever touches what is missing (SIGBUS). A file may end before its
last page and be whole, since LMDB leaves pages at the end unwritten that were freed before their
commit. So a writer makes its file as long as its pages (`lengthen`), and only what a kill left
short is walked.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import lmdb
from lmdb.verify import VerifyError
from lmdb.verify import verify as verify_pages

# Of LMDB 0.9 on 64 bits (mdb.c: MDB_page, MDB_meta, MDB_db), whose verifier has found the layout.
HEADER: Final = struct.Struct("=QHHI")  # its number, pad, flags, and of an overflow how many pages
_META: Final = struct.Struct("=IIQQ48s48sQQ")
_TABLE: Final = struct.Struct("=IHHQQQQQ")
NODE: Final = struct.Struct("=HHHH")
_MARK: Final = (0xBEEFC0DE, 1)  # what a meta page begins with, and its version
BRANCH: Final = 0x01
LEAF: Final = 0x02
OVERFLOW: Final = 0x04
IS_ELSEWHERE: Final = 0x01  # of a node: its value lies on pages of its own
IS_TABLE: Final = 0x02
_PAGE_FLAGS: Final = 0x7F
# Integers as keys; beside it how the environment was opened whose first commit this was.
_FREE_FLAGS: Final = (0x08, 0x4008)


def page_faults(path: Path) -> list[str]:
    """What is wrong with the pages of a data file that nobody writes to. Raises OSError."""
    try:
        faults: list[str] = verify_pages(os.fspath(path), subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return [str(error)]
    with open(path, "rb") as file:
        return faults or [*_meta_faults(file), *_table_faults(file), *_cut_values(file)]


def is_cut(path: Path, environment: lmdb.Environment) -> bool:
    """Whether the file behind an environment lacks pages that are in use. Raises OSError."""
    return is_short(path, environment) and bool(page_faults(path)) and is_short(path, environment)


def is_short(path: Path, environment: lmdb.Environment) -> bool:
    """Whether a file ends before its last page. It only grows, and its pages before their number is
    written. Raises OSError."""
    return _bytes_of_pages(environment) > path.stat().st_size


def lengthen(path: Path, environment: lmdb.Environment) -> None:
    """Make a file that is whole as long as its pages, after a commit. Raises OSError."""
    if is_short(path, environment):
        os.truncate(path, _bytes_of_pages(environment))


def map_bytes(path: Path) -> int:
    """How large the last writer's map was: what the file may grow to before the map grows. That of
    a reader says nothing. Raises OSError, struct.error."""
    with open(path, "rb") as file:
        return _metas(file)[-1].map_bytes


def _bytes_of_pages(environment: lmdb.Environment) -> int:
    return (int(environment.info()["last_pgno"]) + 1) * int(environment.stat()["psize"])


class Table(NamedTuple):
    """MDB_db: what LMDB knows of a table."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


class Meta(NamedTuple):
    """MDB_meta, of which a file has two: that of the last commit and of the one before."""

    marked: bool
    map_bytes: int
    free: Table
    main: Table
    last_page: int
    transaction: int


def _metas(file: BinaryIO) -> list[Meta]:
    """The older one, then the newest."""
    metas = []
    page_bytes = 0
    for number in range(2):
        file.seek(number * page_bytes + HEADER.size)
        *mark, _, map_bytes, free, main, last_page, transaction = _META.unpack(
            file.read(_META.size)
        )
        tables = table_of(free), table_of(main)
        metas.append(Meta((*mark,) == _MARK, map_bytes, *tables, last_page, transaction))
        page_bytes = metas[0].free.pad
    return sorted(metas, key=lambda meta: meta.transaction)


def last_commit(file: BinaryIO) -> Meta:
    """The meta page of the last commit. Raises ValueError where one of the two is none, for then
    nothing says which commit was the last."""
    try:
        metas = _metas(file)
    except struct.error:
        raise ValueError("the file ends before its second page") from None
    if not all(meta.marked for meta in metas):
        raise ValueError("its first two pages are not those of LMDB")
    return metas[-1]


def continue_numbers(path: Path, last: int) -> None:
    """Give the one commit of a compact copy the number of another file's last one, and let both
    meta pages lead to it, as the last commit and the one before: whoever knows of the other file,
    in whose place this one comes, finds what is here. Raises OSError, ValueError."""
    with open(path, "r+b") as file:
        commit = last_commit(file)
        page_bytes = commit.free.pad
        file.seek((commit.transaction & 1) * page_bytes)
        page = bytearray(file.read(page_bytes))
        for number in (last - 1, last):
            struct.pack_into("=Q", page, 0, number & 1)
            struct.pack_into("=Q", page, HEADER.size + _META.size - 8, number)
            file.seek((number & 1) * page_bytes)
            file.write(page)


def table_of(record: bytes) -> Table:
    """A table, as the main one has it. Raises struct.error."""
    return Table._make(_TABLE.unpack(record))


def _meta_faults(file: BinaryIO) -> Iterator[str]:
    older, newest = _metas(file)
    if newest.transaction - older.transaction > 1:
        yield (
            f"the meta pages are of transactions {older.transaction} and {newest.transaction}, "
            "which do not follow each other"
        )
    if older.last_page > newest.last_page:
        yield "the meta page before the last has more pages than the last"
    for meta in (older, newest):
        if meta.free.flags not in _FREE_FLAGS:
            yield f"the table of free pages has the flags {meta.free.flags:#x}"
        if meta.main.flags or meta.main.pad:
            yield f"the main table has the flags {meta.main.flags:#x} and pad {meta.main.pad}"


def _table_faults(file: BinaryIO) -> Iterator[str]:
    """What is wrong with how the tables are noted in the main one. pithgraph's have no flags, by
    which LMDB would take their keys to be in another order, and their values to be several."""
    _, newest = _metas(file)
    if newest.main.depth != 1:  # of so few tables, one page; where there are others, it is no log
        return
    page_bytes = newest.free.pad
    file.seek(newest.main.root * page_bytes)
    page = file.read(page_bytes)
    _, _, flags, bounds = HEADER.unpack_from(page)
    for place in range(HEADER.size, bounds & 0xFFFF, 2) if flags & LEAF else ():
        (node,) = struct.unpack_from("=H", page, place)
        _, _, kind, key_bytes = NODE.unpack_from(page, node)
        if not kind & IS_TABLE:
            continue
        start = node + NODE.size + key_bytes
        name = page[node + NODE.size : start].decode("ascii", "backslashreplace")
        table = table_of(page[start : start + _TABLE.size])
        if table.flags or table.pad:
            yield f"the table {name} has the flags {table.flags:#x} and pad {table.pad}"


def _cut_values(file: BinaryIO) -> Iterator[str]:
    """Values that the end of a file cuts. Of several pages the verifier reads the first."""
    _, newest = _metas(file)
    page_bytes = newest.free.pad
    pages = file.seek(0, os.SEEK_END) // page_bytes
    if pages > newest.last_page:
        return
    for number in range(2, pages):
        file.seek(number * page_bytes)
        own, _, flags, count = HEADER.unpack(file.read(HEADER.size))
        if own == number and flags & _PAGE_FLAGS == OVERFLOW and number + count > pages:
            yield f"the value at page {number} has {count} pages, and the file ends before its last"
