"""A damaged log, read without LMDB: for a repair.

What lives here: the way from LMDB's last commit to the rows that can be reached. What must not:
which rows are believed (`salvaging`), and LMDB's layout (`log.pages`).

LMDB trusts the pages of its file: of a damaged one it gives nothing, and nothing of those behind
it, and some end the process. Here a page that is none, or that the file or the disk has not, is
passed over alone; what lay below it is looked for among the pages to which no table leads. Those of
an earlier commit are among them, and do no harm: of the tables in question no row is ever changed
or removed, only blocks grow.
"""

from __future__ import annotations

import functools
import os
import struct
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pithgraph.errors import LogError
from pithgraph.log import layout
from pithgraph.log.compression import Codec, codec_of
from pithgraph.log.pages import (
    BRANCH,
    HEADER,
    IS_ELSEWHERE,
    IS_TABLE,
    LEAF,
    NODE,
    OVERFLOW,
    Table,
    last_commit,
    table_of,
)
from pithgraph.log.reader import DATA_FILE
from pithgraph.log.snapshot import COMPRESSION, DICTIONARY
from pithgraph.merkle import Tile
from pithgraph.stored import BAD_ROW

_PAGES_KEPT: Final = 4096
_MOST_LEVELS: Final = 32  # as LMDB has it
_NO_ROOT: Final = 2**64 - 1  # of an empty table
_MOST_EVENTS: Final = 2**48
_MOST_DOUBTED: Final = 2**26
_KEY_OF_NONE: Final = b"page "


class _Page(NamedTuple):
    """A page in memory with the number that it bears, and where its nodes are, in the order of
    their keys."""

    number: int
    flags: int
    data: bytes
    nodes: tuple[int, ...]


class _Node(NamedTuple):
    """Of a branch page, `number` is that of the page below; of a leaf, the bytes of the value."""

    key: bytes
    flags: int
    number: int
    start: int


_NO_PAGE: Final = _Page(0, 0, b"", ())


class OldLog:
    """What can be reached of a damaged log that nobody writes to.

    A row on a page that is none is not there; all others are, but for those of derived tables below
    such a page. A damaged row is as it is stored.
    Raises LogError where the file is no log, or nothing says where its tables are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._file = open(folder / DATA_FILE, "rb")  # noqa: SIM115 - closed at the end
        except OSError as error:
            raise LogError(f"{folder}: {error.strerror}") from None
        try:
            commit = last_commit(self._file)
            self._page_bytes = max(commit.free.pad, HEADER.size)
            self._file_bytes = os.fstat(self._file.fileno()).st_size
            self._page = functools.lru_cache(_PAGES_KEPT)(self._read_page)
            self._tables = dict(self._read_tables(commit.main))
            if not self._tables:
                raise ValueError("no table can be reached from its first pages")
        except (OSError, ValueError) as error:
            self._file.close()
            raise LogError(
                f"{folder}: the log cannot be read: {error}. Restore it from a backup."
            ) from None

    def __enter__(self) -> OldLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def compression(self) -> str:
        """The name by which the log knows how its contents are stored; "" where it has none."""
        return (self.raw(b"meta", COMPRESSION) or b"").decode("ascii", "replace")

    def codec_by(self, compression: str) -> Codec:
        """How contents are stored if this is what the log has. Raises LogError, also where the
        dictionary is not what was written."""
        dictionary = self.raw(b"meta", DICTIONARY)
        try:
            if dictionary is not None:
                dictionary = layout.unsealed(DICTIONARY, dictionary)
        except layout.BrokenSeal:
            raise LogError(
                f"{self._folder}: the dictionary is damaged, and without it no event can be read. "
                "Restore the log from a backup."
            ) from None
        return codec_of(compression, dictionary)

    def rows(self, table: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a table, in the order of their keys; behind them those that are found where
        no table leads."""
        strays = self._strays.get(table, {})
        there = set()
        if table in self._tables:
            for page, node in self._leaf_nodes(self._tables[table].root):
                if strays:
                    there.add(node.key)
                yield node.key, self._value(page, node)
        for key in strays:
            if key not in there:
                yield key, self._stray(table, key) or b""

    def raw(self, table: bytes, key: bytes) -> bytes | None:
        """What a table has under a key, found by the order of keys."""
        if table not in self._tables:
            return self._stray(table, key)
        number = self._tables[table].root
        for _ in range(_MOST_LEVELS):
            page = self._page(number)
            key_of = functools.partial(_key_of, page.data)
            if page.flags & BRANCH and page.nodes:
                # The first one's key is empty, whatever comes before the second.
                below = bisect_right(page.nodes, key, 1, key=key_of) - 1
                node = _node(page.data, page.nodes[below])
                number = 0 if node is None else node.number
            elif page.flags & LEAF:
                place = bisect_left(page.nodes, key, key=key_of)
                node = _node(page.data, page.nodes[place]) if place < len(page.nodes) else None
                return None if node is None or node.key != key else self._value(page, node)
            else:
                return self._stray(table, key)
        return None

    def value_of(self, table: bytes, key: bytes) -> bytes:
        """What stands under a key that `rows` gave. A damaged key hides others from look-ups."""
        found = self.raw(table, key)
        if found is None:
            found = self._stray(table, key)
        if found is None:
            found = next((value for one, value in self.rows(table) if one == key), b"")
        return found

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile of the Merkle tree; b"" for one that is not there."""
        return self.raw(b"tiles", layout.tile_key(tile)) or b""

    def entries(self, table: bytes) -> int:
        """How many rows a table has, or had."""
        return self._tables[table].entries if table in self._tables else 0

    def tables(self) -> list[bytes]:
        """The names of the tables that are there."""
        return [*self._tables]

    # --- pages ---

    def _read_tables(self, main: Table) -> Iterator[tuple[bytes, Table]]:
        for page, node in self._leaf_nodes(main.root):
            if node.flags & IS_TABLE:
                with suppress(struct.error):
                    yield node.key, table_of(self._value(page, node))

    def _leaf_nodes(self, root: int) -> Iterator[tuple[_Page, _Node]]:
        for _, page in self._walk(root):
            if not page.flags & BRANCH:
                yield from ((page, node) for node in _nodes(page))

    def _walk(self, root: int) -> Iterator[tuple[int, _Page]]:
        """The pages of a table with their numbers, also those that are none."""
        waiting, seen = [] if root == _NO_ROOT else [root], set()
        while waiting:
            number = waiting.pop()
            if number in seen:  # a damaged page may lead to any other
                continue
            seen.add(number)
            page = self._page(number)
            yield number, page
            if page.flags & BRANCH:
                waiting.extend(reversed([node.number for node in _nodes(page)]))

    # --- rows to which no table leads any more ---

    @functools.cached_property
    def _reached(self) -> tuple[bytearray, list[bytes]]:
        """For each page whether a table leads to it; and the tables that lack pages."""
        reached = bytearray(-(-self._file_bytes // self._page_bytes))
        torn = [name for name in layout.TABLES if name not in self._tables]
        for name, table in self._tables.items():
            whole = True
            for number, page in self._walk(table.root):
                whole = whole and page.number == number and _is_sound(page)
                reached[number : number + 1] = b"\1" * len(reached[number : number + 1])
                if page.flags & LEAF:
                    for node in _nodes(page):
                        self._mark_value(reached, page, node)
            if not whole:
                torn.append(name)
        return reached, torn

    def _mark_value(self, reached: bytearray, page: _Page, node: _Node) -> None:
        if node.flags & IS_ELSEWHERE:
            first = _page_of_value(page, node)
            behind = first + -(-(HEADER.size + node.number) // self._page_bytes)
            reached[first:behind] = b"\1" * len(reached[first:behind])

    @functools.cached_property
    def _strays(self) -> dict[bytes, dict[bytes, tuple[int, int, int]]]:
        """Of each table that lacks pages, and of whose rows each says what it is: the rows on pages
        to which no table leads, by key: how many bytes the value has, the page, the place there.
        Blocks of events are found also where their keys are gone."""
        reached, torn = self._reached
        found: dict[bytes, dict[bytes, tuple[int, int, int]]]
        found = {name: {} for name in torn if name in _SAYS_ITS_TABLE}
        nothing = (-1, 0, 0)
        for number in range(2, len(reached)) if found else ():
            page = _NO_PAGE if reached[number] else self._read_page(number)
            if page.number != number:
                continue
            if page.flags & OVERFLOW and b"events" in found:
                key = _KEY_OF_NONE + number.to_bytes(8, "big")
                found[b"events"][key] = 0, number, 0
            for place in page.nodes if page.flags & LEAF else ():
                node = _node(page.data, place)
                value = b"" if node is None else self._value(page, node)
                for name, rows in found.items():
                    if node is not None and _is_row_of(name, node.key, value):
                        rows[node.key] = max(
                            rows.get(node.key, nothing), (len(value), number, place)
                        )
        return found

    def _stray(self, table: bytes, key: bytes) -> bytes | None:
        found = self._strays.get(table, {}).get(key)
        if found is None:
            return None
        _, number, place = found
        page = self._page(number)
        if page.flags & OVERFLOW:
            _, _, _, count = HEADER.unpack_from(page.data)
            return self._bytes_at(number, HEADER.size, count * self._page_bytes - HEADER.size)
        node = _node(page.data, place)
        return None if node is None else self._value(page, node)

    # --- bytes ---

    def _read_page(self, number: int) -> _Page:
        data = self._bytes_at(number, 0, self._page_bytes)
        if len(data) < self._page_bytes:
            return _NO_PAGE
        own, _, flags, bounds = HEADER.unpack_from(data)
        end = bounds & 0xFFFF
        if flags & OVERFLOW or not HEADER.size <= end <= len(data):
            return _Page(own, flags & OVERFLOW, data, ())
        nodes = struct.unpack_from(f"={(end - HEADER.size) // 2}H", data, HEADER.size)
        return _Page(own, flags, data, nodes)

    def _value(self, page: _Page, node: _Node) -> bytes:
        value = page.data[node.start : node.start + node.number]
        if not node.flags & IS_ELSEWHERE:
            return value
        first = _page_of_value(page, node)
        header = self._bytes_at(first, 0, HEADER.size).ljust(HEADER.size, b"\0")
        own, _, flags, count = HEADER.unpack(header)
        pages = count * self._page_bytes if own == first and flags & OVERFLOW else 0
        # Of two lengths one may be damaged: then too much is better, but not all of the file.
        return self._bytes_at(first, HEADER.size, min(node.number, max(pages, _MOST_DOUBTED)))

    def _bytes_at(self, page: int, offset: int, size: int) -> bytes:
        """Bytes from a place in a page on; fewer where the file has no more, none where the disk
        fails."""
        start = page * self._page_bytes + offset
        if start >= self._file_bytes:
            return b""
        try:
            return os.pread(self._file.fileno(), min(size, self._file_bytes - start), start)
        except OSError:
            return b""


def _is_sound(page: _Page) -> bool:
    """Whether a page can be what LMDB wrote."""
    if not page.data:
        return False
    _, _, _, bounds = HEADER.unpack_from(page.data)
    lower, upper = bounds & 0xFFFF, bounds >> 16
    return (
        page.flags & (BRANCH | LEAF) in (BRANCH, LEAF)
        and lower <= upper <= min(page.nodes, default=upper)
        and sum(1 for _ in _nodes(page)) == len(page.nodes)
    )


def _nodes(page: _Page) -> Iterator[_Node]:
    return filter(None, (_node(page.data, place) for place in page.nodes))


def _page_of_value(page: _Page, node: _Node) -> int:
    return int.from_bytes(page.data[node.start : node.start + 8], sys.byteorder)


def _node(page: bytes, place: int) -> _Node | None:
    """The node at a place of a page, if one can be there."""
    if place + NODE.size > len(page):
        return None
    low, high, flags, key_bytes = NODE.unpack_from(page, place)
    start = place + NODE.size + key_bytes
    if start > len(page):
        return None
    number = low | high << 16
    if HEADER.unpack_from(page)[2] & BRANCH:
        number |= flags << 32
    return _Node(page[place + NODE.size : start], flags, number, start)


def _key_of(page: bytes, place: int) -> bytes:
    node = _node(page, place)
    return b"" if node is None else node.key


def _read_block(key: bytes, block: bytes) -> None:
    if len(key) != layout.POSITION_BYTES or int.from_bytes(key, "big") >= _MOST_EVENTS:
        raise ValueError("no key of a block")
    if not any(True for _ in spans_of(block)):
        raise ValueError("no block")


def _read_dictionary(key: bytes, value: bytes) -> None:
    if key != DICTIONARY:
        raise ValueError("another row")
    layout.unsealed(key, value)


# The tables of which no row is ever changed or removed, and how to tell a row of theirs.
_SAYS_ITS_TABLE: Final[dict[bytes, Callable[[bytes, bytes], object]]] = {
    b"events": _read_block,
    b"meta": _read_dictionary,
    b"classes": lambda key, value: layout.read_packed_class(layout.unsealed(key, value)),
    b"aliases": layout.read_alias_value,
    b"refused": layout.read_refused_value,
}


def _is_row_of(table: bytes, key: bytes, value: bytes) -> bool:
    try:
        _SAYS_ITS_TABLE[table](key, value)
    except BAD_ROW:
        return False
    return True


def spans_of(block: bytes) -> Iterator[tuple[int, int, int]]:
    """The class of each event of a block, and where its content begins and ends; up to the first
    that cannot be."""
    offset = 0
    while offset + layout.HEADER_BYTES <= len(block):
        number, length = layout.read_header(block, offset)
        start = offset + layout.HEADER_BYTES
        if start + length > len(block):
            return
        yield number, start, start + length
        offset = start + length
