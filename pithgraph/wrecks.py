"""A damaged log, read as far as LMDB gives it: for a repair.

What lives here: views that go on behind an error. What must not: which rows are believed
(`salvaging`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import lmdb

from pithgraph.log import Log, layout
from pithgraph.merkle import Tile


class OldLog:
    """What LMDB still gives of a damaged log that nobody writes to.

    A row on a page that LMDB cannot read is not there, nor are those behind it in its table; what
    other tables have is there all the same. A damaged row is as it is stored."""

    def __init__(self, log: Log, compression: str) -> None:
        self._log = log
        self._view = ExitStack()
        self._renew()
        self.compression = compression
        self.codec = self._snapshot.codec_by(compression)

    def __enter__(self) -> OldLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()

    def _renew(self) -> None:
        """Begin another view: in that in which an error came, nothing can be read any more."""
        self._view.close()
        self._snapshot = self._view.enter_context(self._log.snapshot())

    def rows(self, table: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a table, in the order of their keys."""
        last: bytes | None = None
        while True:
            view = self._snapshot
            try:
                for last, value in view.rows(table, last):  # noqa: B020 - goes on behind it
                    yield last, value
                return
            except lmdb.Error:
                if view is self._snapshot:
                    self._renew()
                    return
                # Another table could not be read meanwhile: on in the new view.

    def raw(self, table: bytes, key: bytes) -> bytes | None:
        """What a table has under a key."""
        try:
            return self._snapshot.raw(table, key)
        except lmdb.Error:
            self._renew()
            return None

    def value_of(self, table: bytes, key: bytes) -> bytes:
        """What stands under a key that `rows` gave. A damaged key hides others from look-ups."""
        found = self.raw(table, key)
        if found is None:
            found = next((value for one, value in self.rows(table) if one == key), b"")
        return found

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile of the Merkle tree; b"" for one that is not there."""
        try:
            return self._snapshot.tile(tile)
        except lmdb.Error:
            self._renew()
            return b""

    def entries(self, table: bytes) -> int:
        """How many rows a table has, or had."""
        return self._snapshot.entries(table)

    def tables(self) -> list[bytes]:
        """The names of the tables that are there."""
        return self._snapshot.tables()


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
