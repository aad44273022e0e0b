"""One batch: the rows, indexes and counters that one write transaction brings to a log.

What lives here: what is appended, what is there already, the quota. What must not: transactions
and locks (`writer`), how rows lie on disk (`layout`), and whether an event counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import lmdb

from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber
from pithgraph.log import layout
from pithgraph.log.compression import NONE, PLAIN, Codec, codec_of, train
from pithgraph.log.snapshot import COMPRESSION, DICTIONARY
from pithgraph.merkle import Tile, extend, read_edge
from pithgraph.ordinary import EventClass, cut
from pithgraph.validation import Facts

QUOTA: Final = 1000
# A few bytes of junk are refused as a row of hundreds: beyond so many of one source a last row
# says that there were more.
REFUSED_ROWS: Final = 10_000


class NewEvent(NamedTuple):
    """An event to append, as `layout` lays it out: its event_sha256, the keys of its paper and of
    its order there, its class (packed; empty for none), its link and its content. All plain bytes,
    so that another process can make it at little cost.

    `valid` says what the ingest's keyring makes of it under `verified`. An `unauthentic` one counts
    against the quota of its paper; where that is exhausted, it is refused as the row `quota` says,
    or, without this row, comes in all the same.
    """

    sha256: bytes
    paper: bytes
    order: bytes
    packed_class: bytes
    link: bytes
    content: bytes
    valid: bool
    unauthentic: bool
    quota: layout.RefusedRow | None

    @classmethod
    def known(cls, event: Event) -> NewEvent:
        """An event that the log holds: nothing but its digest is of use, to count it."""
        return cls(event.sha256, b"", b"", b"", b"", b"", False, False, None)

    @classmethod
    def of(
        cls,
        event: Event,
        facts: Facts,
        event_class: EventClass | None,
        packed_class: bytes,
        *,
        valid: bool,
        unauthentic: bool = False,
        quota: layout.RefusedRow | None = None,
    ) -> NewEvent:
        """Lay out an event with what was established about it. Only a valid one has a class."""
        parts = cut(event, event_class) if event_class is not None else None
        subject = event.subject
        return cls(
            event.sha256,
            (subject[10:] + subject[5:9]).encode(),
            layout.merge_order(event),
            packed_class if parts else b"",
            layout.link_of(parts) if parts else layout.NO_LINK,
            layout.ordinary_content(parts)
            if parts
            else layout.other_content(event.canonical, facts),
            valid,
            unauthentic,
            quota,
        )


class NewAlias(NamedTuple):
    """An alias row to store."""

    paper: PithNumber
    kind: str
    value: str
    created_at: str


class MoreRefused(NamedTuple):
    """How many refusals of a source come after those rows of it that a log keeps."""

    source: str
    more: int


New = NewEvent | NewAlias | layout.RefusedRow | MoreRefused
Row = TypeVar("Row")


def folded(rows: Iterable[Row]) -> Iterator[Row | MoreRefused]:
    """The rows, but of a source's refusals only so many as a log keeps, and at the end how many
    more there are: for who holds all rows of a document at once, when a few bytes of junk are
    refused as a row of hundreds."""
    refused: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, layout.RefusedRow):
            refused[row.source] += 1
            if refused[row.source] > REFUSED_ROWS:
                continue
        yield row
    for source, count in refused.items():
        if count > REFUSED_ROWS:
            yield MoreRefused(source, count - REFUSED_ROWS)


class Appended(NamedTuple):
    """What became of a batch. `invalid` counts among `events`."""

    events: int = 0
    duplicates: int = 0
    invalid: int = 0
    aliases: int = 0
    over_quota: int = 0

    def __add__(self, other: object) -> Appended:
        assert isinstance(other, Appended)
        return Appended(*(mine + its for mine, its in zip(self, other, strict=True)))


class Batch:
    """What one write transaction changes. `refused_rows` counts by source, `classes` numbers packed
    classes; both are added to.

    Rows of the indexes are collected and put in the order of their keys, so that LMDB finds its
    pages where it left them.
    """

    def __init__(
        self,
        transaction: lmdb.Transaction,
        tables: dict[bytes, Any],
        refused_rows: Counter[str],
        classes: dict[bytes, int],
    ) -> None:
        self._transaction = transaction
        self._tables = tables
        self._refused_rows = refused_rows
        self._classes = classes
        self._events = self._meta(b"events")
        self._papers = self._meta(b"papers")
        self._refused = self._meta(b"refused")
        self._counters: dict[bytes, layout.PaperCounters] = {}
        self._changed_papers: set[bytes] = set()
        self._digests: dict[bytes, bytes] = {}
        self._index: list[tuple[bytes, bytes]] = []
        self._new_classes: list[tuple[bytes, bytes]] = []
        self._block_first, self._block = self._open_block()
        self._block_is_stored = bool(self._block)

    def append(self, batch: Sequence[New]) -> Appended:
        """Append rows in their order. Raises LogError; then the transaction must not commit."""
        events = [new for new in batch if isinstance(new, NewEvent)]
        there = self._present(b"by_digest", (new.sha256 for new in events))
        codec = self._codec(events, there)
        for paper, value in self._present(b"papers", {new.paper for new in events} - {b""}).items():
            self._counters[paper] = layout.read_counters(value)
        read = duplicates = invalid = aliases = over_quota = 0
        for new in batch:
            if isinstance(new, NewEvent):
                read += 1
                if new.sha256 in there or new.sha256 in self._digests:
                    duplicates += 1
                elif not new.content:
                    raise LogError(
                        "an event that the log seemed to hold is not there; ingest again"
                    )
                elif not self._event(new, codec):
                    over_quota += 1
                elif not new.valid:
                    invalid += 1
            elif isinstance(new, NewAlias):
                aliases += self._alias(new)
            elif isinstance(new, MoreRefused):
                self._refused_rows[new.source] += new.more
            else:
                self._refuse(new)
        self._finish()
        appended = read - duplicates - over_quota
        return Appended(appended, duplicates, invalid, aliases, over_quota)

    def _event(self, new: NewEvent, codec: Codec) -> bool:
        """Append an event that is not there yet, unless it is over the quota."""
        sha256, paper, order, packed_class, link, content, _, is_unauthentic, quota = new
        events, aliases, unauthentic = self._counters_of(paper)
        if is_unauthentic:
            if quota is not None and unauthentic >= QUOTA:
                self._refuse(quota)
                return False
            unauthentic += 1
        number = layout.NO_CLASS
        if packed_class:
            number = self._class_number(packed_class)
            if number == layout.NO_CLASS:
                content = layout.without_class(content, packed_class)
        content = codec.compress(content)
        header = layout.block_header(number, content)
        if self._block and len(self._block) + len(header) + len(content) > layout.BLOCK_BYTES:
            self._store_block()
            self._block_first, self._block_is_stored = self._events, False
        offset = len(self._block) + len(header)
        self._block += header
        self._block += content
        location = layout.Location(number, self._block_first, offset, len(content))
        position = layout.position_key(self._events)
        self._digests[sha256] = position
        self._index.append((paper + order + position, layout.index_value(location, link)))
        self._events += 1
        self._count(paper, layout.PaperCounters(events + 1, aliases, unauthentic))
        return True

    def _alias(self, new: NewAlias) -> bool:
        """Store an alias row that is not there yet."""
        key = layout.alias_key(*new)
        if self._transaction.get(key, db=self._tables[b"aliases"]) is not None:
            return False
        stored = layout.StoredAlias(self._events, new.kind, new.value, new.created_at)
        self._put(b"aliases", key, layout.alias_value(key, stored))
        paper = layout.paper_key(new.paper)
        counters = self._counters_of(paper)
        self._count(paper, counters._replace(aliases=counters.aliases + 1))
        return True

    def _refuse(self, row: layout.RefusedRow) -> None:
        self._refused_rows[row.source] += 1
        if self._refused_rows[row.source] > REFUSED_ROWS:
            return
        if self._refused_rows[row.source] == REFUSED_ROWS:
            detail = f"of this source only {REFUSED_ROWS - 1} refusals are kept"
            row = layout.RefusedRow(0, row.source, None, "", "more_refused", detail, 0, "", b"")
        key = layout.refused_key(row)
        if self._transaction.get(key, db=self._tables[b"refused"]) is None:
            row = row._replace(number=self._refused)
            self._put(b"refused", key, layout.refused_value(key, row))
            self._refused += 1

    def _counters_of(self, paper: bytes) -> layout.PaperCounters:
        if paper not in self._counters:
            stored = self._transaction.get(paper, db=self._tables[b"papers"])
            self._counters[paper] = layout.read_counters(stored)
        return self._counters[paper]

    def _count(self, paper: bytes, counters: layout.PaperCounters) -> None:
        if counters.events + counters.aliases == 1:
            self._papers += 1
        self._counters[paper] = counters
        self._changed_papers.add(paper)

    def _class_number(self, packed: bytes) -> int:
        """The number of a class, a new one where it is new; 0 where there are no more numbers."""
        number = self._classes.get(packed)
        if number is None:
            number = len(self._classes) + 1
            if number > layout.MAX_CLASSES:
                return layout.NO_CLASS
            self._classes[packed] = number
            key = layout.class_key(number)
            self._new_classes.append((key, layout.sealed(key, packed)))
        return number

    def _codec(self, events: Sequence[NewEvent], there: Container[bytes]) -> Codec:
        """How contents are stored. The first batch that is large enough makes the dictionary."""
        named = self._transaction.get(COMPRESSION, b"", self._tables[b"meta"])
        kind = bytes(named).decode("ascii", "replace")
        if kind == NONE:
            return PLAIN
        stored = self._transaction.get(DICTIONARY, db=self._tables[b"meta"])
        dictionary = None if stored is None else layout.unsealed(DICTIONARY, stored)
        if dictionary is None:
            # Of what is new: of an event that is there the content may be missing, and zstd's
            # trainer ends the process if it is given many empty ones.
            contents = {new.sha256: new.content for new in events if new.sha256 not in there}
            dictionary = train(list(contents.values()))
            if dictionary is not None:
                self._put(b"meta", DICTIONARY, layout.sealed(DICTIONARY, dictionary))
        return codec_of(kind, dictionary)

    def _open_block(self) -> tuple[int, bytearray]:
        """The last block, where it has room left, so that small batches do not waste pages."""
        with self._transaction.cursor(self._tables[b"events"]) as cursor:
            if cursor.last() and len(cursor.value()) <= layout.BLOCK_BYTES // 2:
                return int.from_bytes(cursor.key(), "big"), bytearray(cursor.value())
        return self._events, bytearray()

    def _store_block(self) -> None:
        key = layout.position_key(self._block_first)
        table = self._tables[b"events"]
        if not self._transaction.put(
            key, bytes(self._block), overwrite=self._block_is_stored, db=table
        ):
            raise LogError(f"the log already holds an event at position {self._block_first}")
        self._block.clear()

    def _finish(self) -> None:
        if not self._changed_papers and not self._index:
            self._put_counters()  # a batch that brings nothing changes no byte
            return
        if self._index:
            self._store_block()
        counters = [
            (key, layout.counters_value(key, self._counters[key])) for key in self._changed_papers
        ]
        for table, rows in (
            (b"classes", self._new_classes),
            (b"tiles", self._grown_tiles()),
            (b"by_digest", list(self._digests.items())),
            (b"by_paper", self._index),
            (b"papers", counters),
        ):
            with self._transaction.cursor(self._tables[table]) as cursor:
                cursor.putmulti(sorted(rows))
        self._put_counters()
        self._drop_states()

    def _grown_tiles(self) -> list[tuple[bytes, bytes]]:
        """The rows of the Merkle tree that the new events change."""

        def tile(name: Tile) -> bytes:
            found = self._transaction.get(layout.tile_key(name), db=self._tables[b"tiles"])
            return b"" if found is None else bytes(found)

        edge = read_edge(self._events - len(self._digests), tile)
        _, changed = extend(edge, self._digests)
        return [(layout.tile_key(name), hashes) for name, hashes in changed.items()]

    def _put_counters(self) -> None:
        for name, count in (
            (b"events", self._events),
            (b"papers", self._papers),
            (b"refused", self._refused),
        ):
            if count != self._meta(name):
                self._put(b"meta", name, str(count).encode("ascii"))

    def _drop_states(self) -> None:
        if self._transaction.stat(self._tables[b"states"])["entries"] == 0:
            return
        with self._transaction.cursor(self._tables[b"states"]) as cursor:
            for paper in self._changed_papers:
                found = cursor.set_range(paper)
                while found and bytes(cursor.key()).startswith(paper):
                    found = cursor.delete()

    def _present(self, table: bytes, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """What a table holds of these keys."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            return {bytes(key): bytes(value) for key, value in cursor.getmulti(sorted(keys))}

    def _meta(self, name: bytes) -> int:
        return layout.read_meta(name, self._transaction.get(name, db=self._tables[b"meta"]))

    def _put(self, table: bytes, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._tables[table])
