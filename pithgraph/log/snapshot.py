"""One consistent view of a log.

What lives here: what a log held at one moment, by position, by paper, by digest, row by row. What
must not: opening and locking (`reader`), and any change.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import lmdb

from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber, Reference
from pithgraph.log import layout
from pithgraph.log.compression import Codec, codec_of
from pithgraph.log.forks import Lost, never_end, watch
from pithgraph.log.layout import BrokenSeal
from pithgraph.merge import State
from pithgraph.merkle import Tile, check_edge, root
from pithgraph.ordinary import EventClass
from pithgraph.validation import Facts

COMPRESSION: Final = b"compression"
DICTIONARY: Final = b"dictionary"
RESTORE: Final = (
    "Restore the log from a backup; without one, `pithgraph fsck --repair` takes over what can be "
    "read of it"
)


class StoredEvent(NamedTuple):
    """An event as the log holds it. `position` counts from 0."""

    position: int
    event: Event
    facts: Facts


# A row of by_paper, key and value, as `layout` describes them.
IndexRow = tuple[bytes, bytes]


class Snapshot:
    """A log as it was at one moment.

    `blocks` is a read transaction that hands out views into the map, which end with it or when the
    map grows: they are used at once, and copied.
    """

    def __init__(
        self,
        transaction: lmdb.Transaction,
        blocks: lmdb.Transaction,
        path: Path,
        tables: dict[bytes, Any],
        classes: dict[int, EventClass],
    ) -> None:
        self._transaction = transaction
        self._blocks = blocks
        self._path = path
        self._tables = tables
        self._block_table = tables.get(b"events")
        self._known_classes = classes
        watch(self)

    def forked(self) -> None:
        """In a child nothing can be read from its parent's view."""
        never_end(self._transaction)
        never_end(self._blocks)
        self._transaction = self._blocks = cast(lmdb.Transaction, Lost(self._path))

    @property
    def id(self) -> int:
        """LMDB's number of the last transaction that this view shows."""
        return self._transaction.id()

    def meta(self, name: bytes) -> int:
        """A counter of the log as a whole; 0 where it was never set."""
        return layout.read_meta(name, self._get(b"meta", name))

    @property
    def size(self) -> int:
        """How many events the log holds: the position of the next one."""
        return self.meta(b"events")

    @property
    def paper_count(self) -> int:
        """How many papers have an event or an alias row."""
        return self.meta(b"papers")

    def papers(self, prefix: str = "") -> Iterator[PithNumber]:
        """The papers whose SUFFIX begins with `prefix`, sorted by SUFFIX."""
        start = prefix.encode("ascii")
        for key, _ in self._rows(b"papers", start):
            yield layout.paper_of(key)

    def find(self, reference: Reference) -> list[PithNumber]:
        """The papers that a reference may mean: none, one, or several."""
        return [
            paper
            for paper in self.papers(reference.prefix)
            if reference.year is None or paper.year == reference.year
        ]

    def counters_of(self, paper: PithNumber) -> layout.PaperCounters:
        """How much the log holds of a paper."""
        return layout.read_counters(self._get(b"papers", layout.paper_key(paper)))

    def events_of(self, paper: PithNumber) -> Iterator[StoredEvent]:
        """A paper's events, about in merge order."""
        return map(self.event_of, self.index_of(paper))

    def event_of(self, row: IndexRow) -> StoredEvent:
        """The event that a row of the index is about. Raises LogError where it is not there."""
        key, value = row
        return self._stored(layout.position_of_index(key), layout.location_of_index(value))

    def event_at(self, position: int) -> StoredEvent:
        """The event at a position. Raises LogError where there is none."""
        if not 0 <= position < self.size:
            raise LogError(f"the log holds no event at position {position}")
        (location,) = self._locations_from(position, 1)
        return self._stored(position, location)

    def events_from(self, position: int) -> Iterator[StoredEvent]:
        """The events at a position and after it, in the order of positions. Raises LogError where
        one is not there."""
        size = self.size
        while position < size:
            for location in self._locations_from(position):
                yield self._stored(position, location)
                position += 1

    def _locations_from(self, position: int, most: int | None = None) -> list[layout.Location]:
        """Where the event at a position is, and those behind it in its block, `most` at most.
        Raises LogError where it is not there."""
        with self._blocks.cursor(self._tables[b"events"]) as cursor:
            # The last block that begins at the position or before it.
            found = cursor.set_range(layout.position_key(position + 1))
            found = cursor.prev() if found else cursor.last()
            first = int.from_bytes(cursor.key(), "big")
            start = position - first
            rest: list[layout.Location] = []
            if found and start >= 0:  # a key that was damaged may be any number
                locations = layout.locations_in_block(cursor.value(), first)
                rest = list(islice(locations, start, None if most is None else start + most))
        if not rest:
            raise LogError(f"{self._path}: the block of position {position} is missing")
        return rest

    def papers_indexed(self) -> Iterator[tuple[bytes, int, list[IndexRow]]]:
        """The key of every paper, sorted by SUFFIX, with the number of its alias rows, and its
        events in the index."""
        with (
            self._transaction.cursor(self._tables[b"papers"]) as papers,
            self._transaction.cursor(self._tables[b"by_paper"]) as index,
        ):
            # `lmdb` types its answers as bytes or views, whichever the transaction gives.
            rows = cast(Iterator[IndexRow], index.iternext())
            for paper, value in cast(Iterator[IndexRow], papers.iternext()):
                events, aliases, _ = layout.unpack_counters(value)
                yield paper, aliases, _index_rows(paper, rows, events)

    def index_of(self, paper: PithNumber) -> list[IndexRow]:
        """A paper's events in the index, about in merge order."""
        key = layout.paper_key(paper)
        with self._transaction.cursor(self._tables[b"by_paper"]) as cursor:
            if not cursor.set_range(key):
                return []
            rows = cast(Iterator[IndexRow], cursor.iternext())
            return _index_rows(key, rows, self.counters_of(paper).events)

    def block(self, key: bytes) -> Any:
        """The block of this key: a view, to be used at once. Raises LogError."""
        value = self._blocks.get(key, None, self._block_table)
        if value is None:
            first = int.from_bytes(key, "big")
            raise LogError(f"{self._path}: the block of position {first} is missing")
        return value

    @property
    def compression(self) -> str:
        """The name by which the log knows how its contents are stored; "" where it has none."""
        kind = self._get(b"meta", COMPRESSION)
        return "" if kind is None else kind.decode("ascii", "replace")

    @functools.cached_property
    def codec(self) -> Codec:
        """How contents are stored. Raises LogError, layout.BrokenSeal."""
        return self.codec_by(self.compression)

    def codec_by(self, compression: str) -> Codec:
        """How contents are stored if this is what the log has. Raises LogError, layout.BrokenSeal,
        for a dictionary that was changed."""
        stored = self._get(b"meta", DICTIONARY)
        dictionary = None if stored is None else layout.unsealed(DICTIONARY, stored)
        try:
            return codec_of(compression, dictionary)
        except LogError as error:
            raise LogError(f"{self._path}: {error}") from None

    def has(self, sha256: bytes) -> bool:
        """Whether the log holds an event of this event_sha256."""
        return self._get(b"by_digest", sha256) is not None

    def position_of(self, sha256: bytes) -> int | None:
        """Where the event of this event_sha256 stands, if the log holds it."""
        value = self._get(b"by_digest", sha256)
        return None if value is None else int.from_bytes(value, "big")

    def class_numbers(self) -> dict[bytes, int]:
        """The number of every class, by its packed form. Raises LogError where they do not count
        the classes: the next number would be one that is taken."""
        numbers = {
            layout.unsealed(key, value): int.from_bytes(key, "big")
            for key, value in self._rows(b"classes", b"")
        }
        if max(numbers.values(), default=0) != len(numbers):
            detail = "its classes are not numbered in turn"
            raise LogError(f"{self._path}: damaged: {detail}. {RESTORE}")
        return numbers

    def class_of(self, number: int) -> EventClass | None:
        """The class of this number; None for 0, which is that of events without one. Raises
        LogError."""
        if number == layout.NO_CLASS:
            return None
        known = self._known_classes
        if number not in known:
            key = layout.class_key(number)
            value = self._get(b"classes", key)
            if value is None:
                raise LogError(f"{self._path}: the class {number} is missing")
            known[number] = layout.read_packed_class(layout.unsealed(key, value))
        return known[number]

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile of the log's Merkle tree; b"" for one that is not there."""
        return self._get(b"tiles", layout.tile_key(tile)) or b""

    def root(self, size: int | None = None) -> bytes:
        """The root of the log's Merkle tree when it held `size` events; without, of what it holds.
        Raises MerkleError where the stored tree is damaged, or never was so large."""
        return root(self.size if size is None else size, self.tile)

    def check_edge(self, size: int | None = None) -> None:
        """Raise MerkleError where the hashes that this root is computed from, and the tree grows
        on, are not those of the events and tiles below them."""
        size = self.size if size is None else size
        check_edge(size, self.tile, lambda index: self.event_at(index).event.sha256)

    def aliases_of(self, paper: PithNumber, at: int | None = None) -> Iterator[layout.StoredAlias]:
        """A paper's alias rows; with `at`, those that came when the log held so many events. Raises
        LogError where there are not so many as were counted."""
        rows = list(self._rows(b"aliases", layout.paper_key(paper)))
        if len(rows) != self.counters_of(paper).aliases:
            raise LogError(f"{self._path}: the alias rows of paper {paper} are damaged. {RESTORE}")
        for key, value in rows:
            alias = layout.read_alias_value(key, value)
            if at is None or alias.position <= at:
                yield alias

    def refused(self) -> list[layout.RefusedRow]:
        """What was not admitted, in the order in which it came."""
        rows = (layout.read_refused_value(*row) for row in self._rows(b"refused", b""))
        return sorted(rows, key=lambda row: row.number)

    def cached_state(self, paper: PithNumber, keyring_sha256: str, assurance: str) -> State | None:
        """A state computed since the paper's last row, if somebody cached it."""
        key = layout.state_key(paper, keyring_sha256, assurance)
        value = self._get(b"states", key)
        try:
            return layout.read_state_value(key, value) if value is not None else None
        except BrokenSeal:
            return None

    # --- for those who check or copy a log ---

    def tables(self) -> list[bytes]:
        """The names of the tables that are there."""
        with self._transaction.cursor() as cursor:
            return [bytes(name) for name in cursor.iternext(values=False)]

    def entries(self, table: bytes) -> int:
        """How many rows a table has."""
        return int(self._transaction.stat(self._tables[table])["entries"])

    def rows(self, table: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every row of a table as it is stored (`layout`), in the order of the keys."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            yield from cast(Iterator[tuple[bytes, bytes]], cursor.iternext())

    def raw(self, table: bytes, key: bytes) -> bytes | None:
        """What a table has under a key, as it is stored."""
        return self._get(table, key)

    def _stored(self, position: int, location: layout.Location) -> StoredEvent:
        start, end = location.offset, location.offset + location.length
        event_class = self.class_of(location.class_number)
        try:
            block = self.block(layout.position_key(location.block))
            content = self.codec.decompress(bytes(block[start:end]))
            canonical, facts = layout.read_content(content, event_class)
        except ValueError as error:
            raise LogError(
                f"{self._path}: the row of position {position} is damaged: {error}. Restore "
                "the log from a backup."
            ) from None
        return StoredEvent(position, Event(canonical), facts)

    def _get(self, table: bytes, key: bytes) -> bytes | None:
        value = self._transaction.get(key, db=self._tables[table])
        return None if value is None else bytes(value)

    def _rows(self, table: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows whose keys begin with `prefix`, in the order of their keys."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(prefix)
            while found and (key := bytes(cursor.key())).startswith(prefix):
                yield key, bytes(cursor.value())
                found = cursor.next()


def _index_rows(paper: bytes, rows: Iterator[IndexRow], count: int) -> list[IndexRow]:
    """The next `count` rows of the index, which are a paper's. Raises LogError."""
    try:
        found = list(islice(rows, count))
    except ValueError:  # more than there can be
        found = []
    if len(found) == count and (
        not count or (found[0][0].startswith(paper) and found[-1][0].startswith(paper))
    ):
        return found
    raise LogError(f"the index of paper {layout.name_of(paper)} is damaged")
