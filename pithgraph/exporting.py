"""A log to JSON Lines, from which `ingest --admit export` makes the same log (SPEC §10).

What lives here: the order of the lines. What must not: where they are written.

An event's line is its canonical bytes. An alias row stands before the event at whose position it
came, so that it gets the same position again. What is only of this log does not go along: what it
refused, and the states that it cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from pithgraph.canonical import encode
from pithgraph.errors import LogError
from pithgraph.log import Log, Snapshot, StoredEvent
from pithgraph.log.layout import POSITION_BYTES, paper_of, position_key, read_alias_value
from pithgraph.merkle import HASH_BYTES, TILE_WIDTH, Tile, leaf_hash
from pithgraph.replaying import check_position

_BYTES_AT_ONCE: Final = 256 * 1024


class Exported(NamedTuple):
    """What was written, and of which log: the `position` that it had reached, which is where the
    next export goes on, and the `root` of its Merkle tree (32 bytes)."""

    events: int
    aliases: int
    position: int
    root: bytes


def export(
    log: Log,
    write: Callable[[bytes], object],
    *,
    start: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Write the events from a position on, and the alias rows that came then or later, as JSON
    Lines in the order of the log.

    All of it is of one moment of the log. The rows that came at `start` itself may stand at the end
    of the export before too: they are the same rows, and are taken once. `progress` is told how
    many events were written. Keeps in memory about 100 bytes for each alias row.

    Raises IdentifierError for a start that the log has not reached; LogError for a damaged log,
    also where an event is not the one that the Merkle tree has at its position.
    """
    check_position(log, start)
    with log.snapshot() as snapshot:
        lines = _Lines(snapshot, start)
        chunk: list[bytes] = []
        size = 0
        for line in lines:
            chunk += (line, b"\n")
            size += len(line)
            if size >= _BYTES_AT_ONCE:
                write(b"".join(chunk))
                chunk, size = [], 0
                if progress is not None:
                    progress(lines.events)
        write(b"".join(chunk))
        return Exported(lines.events, lines.aliases, snapshot.size, snapshot.root())


class _Lines:
    """The lines of one snapshot, counted."""

    def __init__(self, snapshot: Snapshot, start: int) -> None:
        self._snapshot = snapshot
        self._start = start
        self.events = 0
        self.aliases = 0

    def __iter__(self) -> Iterator[bytes]:
        places = _alias_places(self._snapshot, self._start)
        place = next(places, None)
        for stored in chain(_checked_events(self._snapshot, self._start), (None,)):
            # Behind the last event come all that are left.
            while place is not None and (stored is None or place[0] <= stored.position):
                yield _alias_line(self._snapshot, place[1])
                self.aliases += 1
                place = next(places, None)
            if stored is not None:
                yield stored.event.canonical
                self.events += 1


def _checked_events(snapshot: Snapshot, start: int) -> Iterator[StoredEvent]:
    """The events from a position on, each compared with the Merkle tree: an event that was damaged
    into another one would not be found where it is ingested."""
    hashes = b""
    for stored in snapshot.events_from(start):
        number, place = divmod(stored.position, TILE_WIDTH)
        if not place or not hashes:
            hashes = snapshot.tile(Tile(0, number, TILE_WIDTH))
        leaf = hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]
        if leaf != leaf_hash(stored.event.sha256):
            raise LogError(
                f"the event at position {stored.position} is not the one that the log's Merkle "
                "tree has there: see `pithgraph fsck`, or restore the log from a backup"
            )
        yield stored


def _alias_places(snapshot: Snapshot, start: int) -> Iterator[tuple[int, bytes]]:
    """The position and key of each alias row that came at a position or later, in the order of
    positions. The table has them by paper, so they are sorted here."""
    places = []
    for key, value in snapshot.rows(b"aliases"):
        position = read_alias_value(key, value).position
        if position >= start:
            places.append(position_key(position) + key)
    places.sort()
    for place in places:
        yield int.from_bytes(place[:POSITION_BYTES], "big"), place[POSITION_BYTES:]


def _alias_line(snapshot: Snapshot, key: bytes) -> bytes:
    value = snapshot.raw(b"aliases", key)
    assert value is not None  # of the same snapshot
    alias = read_alias_value(key, value)
    row = {
        "pith_number": str(paper_of(key)),
        "alias_kind": alias.kind,
        "alias_value": alias.value,
        "created_at": alias.created_at,
    }
    return encode({"alias": row})
