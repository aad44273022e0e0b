"""What of a damaged log is still what was written, put into a new log row by row.

What lives here: which rows are believed, taking them over, and setting the rest aside with their
bytes. What must not: files in each other's place (`repairing`), how rows are checked (`checking`)
and laid out (`log`).

An event's row is believed where the event that it gives is known by its event_sha256: by_digest has
it at this position, or the Merkle tree has it as this leaf.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from pithgraph.events import Event
from pithgraph.identifiers import alias_time
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import LogWriter, layout
from pithgraph.log.batch import NewAlias, NewEvent
from pithgraph.log.compression import Codec
from pithgraph.log.layout import POSITION_BYTES, Location, RefusedRow
from pithgraph.log.snapshot import COMPRESSION
from pithgraph.merkle import HASH_BYTES, TILE_WIDTH, Tile, leaf_hash
from pithgraph.ordinary import EventClass, class_of
from pithgraph.stored import BAD_ROW, place
from pithgraph.validation import (
    VERIFIED,
    Facts,
    establish,
    is_authentic,
    is_judged_like_its_class,
    judge,
)
from pithgraph.wrecks import OldLog, spans_of

# Where the signer stands in an ordinary event's row.
_SIGNER: Final = b',"signer":'
_TARGET: Final = b',"target":'
_BATCH_ROWS: Final = 5_000
_BATCH_BYTES: Final = 16 * 1024 * 1024


class NewLog(LogWriter):
    """A log that is being made, into which rows may be put as they were."""

    def put(self, rows: list[tuple[bytes, bytes, bytes]]) -> None:
        """Put rows, each a table, a key and a value, in one transaction."""

        def put(transaction: lmdb.Transaction) -> None:
            for table, key, value in rows:
                transaction.put(key, value, db=self._tables[table])

        self._write(put)


class Aside:
    """The file of what is set aside, as JSON Lines; made when there is something."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        self._file: Any = None

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, table: str, key: bytes, data: bytes, reason: str, position: int | None) -> None:
        """Set aside the bytes of a row; `position` where it is known to be that of an event."""
        if self._file is None:
            self._file = open(self._path, "x", encoding="ascii")  # noqa: SIM115 - closed at the end
        row = {
            "table": table,
            "key": key.hex(),
            "position": position,
            "bytes": base64.b64encode(data).decode("ascii"),
            "reason": reason,
        }
        self._file.write(json.dumps(row) + "\n")
        self.count += 1

    def sync(self) -> None:
        """Put it on disk, before the old log goes."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())


class _Found(NamedTuple):
    """An event that was recognised: its position, and where it ends in its block."""

    position: int
    event: Event
    facts: Facts | None
    event_class: EventClass | None
    start: int
    end: int


class Taking:
    """Takes over what is sound from one log into another, and sets aside the rest."""

    def __init__(
        self,
        old: OldLog,
        codec: Codec,
        new: NewLog,
        aside: Aside,
        keyring: Keyring,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._old = old
        self._codec = codec
        self._new = new
        self._aside = aside
        self._keyring = keyring
        self._progress = progress
        self._classes: dict[int, EventClass] = {}  # those that are what was written
        self._batch: list[NewEvent | NewAlias] = []
        self._batch_bytes = 0
        self._fresh: set[bytes] = set()
        self._size = 0
        self._unauthentic: dict[bytes, int] = {}
        self.established = 0
        self.moved: int | None = None

    def all(self) -> None:
        """Every table that cannot be computed from others."""
        self._read_classes()
        aliases = self._aliases()
        waiting = next(aliases, None)
        for found in chain.from_iterable(self._events_of_block(*block) for block in self._blocks()):
            while waiting is not None and waiting[0] <= found.position:
                self._append(waiting[1])
                waiting = next(aliases, None)
            self._take(found)
        while waiting is not None:
            self._append(waiting[1])
            waiting = next(aliases, None)
        self._flush()
        if self.moved is None and self._lost_last():
            self.moved = self._size
        self._refused()
        self._counters()
        self._rows_of_the_log()

    # --- events ---

    def _blocks(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Each block's first position, its key and its bytes, in the order of the positions. A
        block whose key is damaged goes where its events were."""
        firsts = []
        for key, block in self._old.rows(b"events"):
            stated = int.from_bytes(key, "big") if len(key) == POSITION_BYTES else None
            firsts.append((self._first_of(stated, block), key))
        for first, key in sorted(firsts):
            yield first, key, self._old.value_of(b"events", key)

    def _first_of(self, stated: int | None, block: bytes) -> int:
        """The position of a block's first event: what its key says, if an event bears it out."""
        known = None
        for number, (class_number, start, end) in enumerate(spans_of(block)):
            for event, _, _ in self._readings(class_number, block[start:end]):
                if stated is not None and self._is_known(event.sha256, stated + number):
                    return stated
                at = self._old.raw(b"by_digest", event.sha256)
                if known is None and at is not None and len(at) == POSITION_BYTES:
                    known = max(int.from_bytes(at, "big") - number, 0)
        return next((first for first in (known, stated) if first is not None), 0)

    def _events_of_block(self, first: int, key: bytes, block: bytes) -> Iterator[_Found]:
        found, whole = self._by_headers(first, block)
        if not whole:
            found = self._by_index(key, block, found)
        done = 0
        for one in found:
            if one.start - layout.HEADER_BYTES > done:
                gap = block[done : one.start - layout.HEADER_BYTES]
                self._set_block_aside(key, gap, done)
            yield one
            done = one.end
        if done < len(block) or not block:
            self._set_block_aside(key, block[done:], done)

    def _set_block_aside(self, key: bytes, data: bytes, offset: int) -> None:
        reason = f"from byte {offset} of the block, no event that the log's digests know"
        self._aside.put("events", key, data, reason, None)

    def _by_headers(self, first: int, block: bytes) -> tuple[list[_Found], bool]:
        """The events that are recognised, and whether those are all."""
        found, end = [], 0
        spans = list(spans_of(block))
        for number, (class_number, start, end) in enumerate(spans):
            one = self._recognised(class_number, first + number, block, start, end)
            if one is not None:
                found.append(one)
        return found, len(found) == len(spans) and end == len(block)

    def _by_index(self, key: bytes, block: bytes, found: list[_Found]) -> list[_Found]:
        """Further events of a damaged block, at the places that by_paper has them."""
        known = {one.position: one for one in found}
        for index_key, value in self._old.rows(b"by_paper"):
            position = layout.position_of_index(index_key)
            try:
                location: Location = layout.location_of_index(value)
            except BAD_ROW:
                continue
            if layout.position_key(location.block) == key and position not in known:
                start, end = location.offset, location.offset + location.length
                one = self._recognised(location.class_number, position, block, start, end)
                if one is not None:
                    known[position] = one
        return sorted(known.values(), key=lambda one: one.start)

    def _recognised(
        self, number: int, position: int, block: bytes, start: int, end: int
    ) -> _Found | None:
        for event, facts, event_class in self._readings(number, block[start:end]):
            if self._is_known(event.sha256, position):
                return _Found(position, event, facts, event_class, start, end)
        return None

    def _readings(
        self, number: int, stored: bytes
    ) -> Iterator[tuple[Event, Facts | None, EventClass | None]]:
        """The events that stored bytes may give; with the facts, and the class, where these are to
        be trusted. Without its class an event may be any that its row fits."""
        try:
            content = self._codec.decompress(stored)
        except BAD_ROW:
            return
        event_class = self._classes.get(number)
        if number == layout.NO_CLASS or event_class is not None:
            classes = [event_class]
        else:
            classes = [*_possible_classes(content)]
        for one in classes:
            try:
                canonical, facts = _content(content, one)
                event = Event.from_bytes(canonical)
            except BAD_ROW:
                continue
            if event.canonical == canonical:
                known = one if event_class is not None else None
                yield event, facts if known is one else None, known

    def _is_known(self, sha256: bytes, position: int) -> bool:
        if self._old.raw(b"by_digest", sha256) == layout.position_key(position):
            return True
        number, offset = divmod(position, TILE_WIDTH)
        tile = self._old.tile(Tile(0, number, offset + 1))
        return tile[offset * HASH_BYTES :][:HASH_BYTES] == leaf_hash(sha256)

    def _take(self, found: _Found) -> None:
        """Append an event, with the facts that are stored or such as hold under the keyring."""
        event, facts, event_class = found.event, found.facts, found.event_class
        if event.sha256 in self._fresh or self._new.has(event.sha256):
            self._aside.put("events", b"", event.canonical, "the log has it before", found.position)
            return
        if facts is None:
            facts = establish(event, self._keyring)
            self.established += 1
            if judge(event, facts, self._keyring, VERIFIED).reason is None:
                event_class = class_of(event, facts)
        elif not is_judged_like_its_class(event):
            event_class = None  # whoever gave it one, it is judged like no other
        if self.moved is None and found.position != self._size:
            self.moved = self._size
        packed = b"" if event_class is None else layout.packed_class(event_class)
        new = NewEvent.of(event, facts, event_class, packed, valid=True)
        if not is_authentic(event, facts):
            self._unauthentic[new.paper] = self._unauthentic.get(new.paper, 0) + 1
        self._fresh.add(event.sha256)
        self._size += 1
        self._batch_bytes += len(new.content)
        self._append(new)

    def _append(self, new: NewEvent | NewAlias) -> None:
        self._batch.append(new)
        if len(self._batch) >= _BATCH_ROWS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._new.append(self._batch)
        self._batch, self._batch_bytes = [], 0
        self._fresh.clear()
        if self._progress is not None:
            self._progress(self._size)

    def _lost_last(self) -> bool:
        """Whether the old log had an event behind the last that was taken over: the tree has a leaf
        there."""
        number, offset = divmod(self._size, TILE_WIDTH)
        return len(self._old.tile(Tile(0, number, offset + 1))) > offset * HASH_BYTES

    # --- what nothing else can give ---

    def _read_classes(self) -> None:
        used = {
            number for _, block in self._old.rows(b"events") for number, _, _ in spans_of(block)
        }
        for key, value in self._old.rows(b"classes"):
            try:
                known = layout.read_packed_class(layout.unsealed(key, value))
            except BAD_ROW as error:
                self._aside.put("classes", key, value, str(error), None)
                continue
            number = int.from_bytes(key, "big")
            if number in used:
                self._classes[number] = known
            else:
                self._aside.put("classes", key, value, "no event has it", None)

    def _aliases(self) -> Iterator[tuple[int, NewAlias]]:
        """The alias rows, in the order in which they came."""
        rows = []
        for key, value in self._old.rows(b"aliases"):
            try:
                alias = layout.read_alias_value(key, value)
                paper = layout.paper_of(key)
                right = layout.alias_key(paper, alias.kind, alias.value, alias.created_at)
                if right != key or alias_time(alias.created_at) is None:
                    raise ValueError("it cannot be what was written")
            except BAD_ROW as error:
                self._aside.put("aliases", key, value, f"{place(key)}: {error}", None)
                continue
            rows.append((alias.position, key))
        for position, key in sorted(rows):
            alias = layout.read_alias_value(key, self._old.value_of(b"aliases", key))
            yield position, NewAlias(layout.paper_of(key), *alias[1:])

    def _refused(self) -> None:
        """The refused rows, numbered anew, past the limit that an ingest has for a source."""
        rows: list[tuple[RefusedRow, bytes]] = []
        for key, value in self._old.rows(b"refused"):
            try:
                row = layout.read_refused_value(key, value)
                if layout.refused_key(row) != key:
                    raise ValueError("it cannot be what was written")
            except BAD_ROW as error:
                self._aside.put("refused", key, value, str(error), None)
                continue
            rows.append((row, key))
        rows.sort(key=lambda one: one[0].number)
        put = [
            (b"refused", key, layout.refused_value(key, row._replace(number=number)))
            for number, (row, key) in enumerate(rows)
        ]
        if put:
            self._new.put([*put, (b"meta", b"refused", b"%d" % len(put))])

    def _counters(self) -> None:
        """What of the counters no other row gives: how much of a paper's quota is taken. Where the
        counters are damaged, all its events that are not authentic are taken to count."""
        put = []
        with self._new.snapshot() as made:
            for paper, value in made.rows(b"papers"):
                quota = self._unauthentic.get(paper, 0)
                stored = self._old.raw(b"papers", paper)
                try:
                    layout.unsealed(paper, stored or b"")
                    quota = min(quota, layout.read_counters(stored).unauthentic)
                except BAD_ROW:
                    pass
                if quota:
                    counters = layout.read_counters(value)._replace(unauthentic=quota)
                    put.append((b"papers", paper, layout.counters_value(paper, counters)))
        self._new.put(put)

    def _rows_of_the_log(self) -> None:
        """Set aside the rows about the log as a whole that are not what was written; counters are
        made anew from what they count."""
        with self._new.snapshot() as made:
            written = dict(made.rows(b"meta"))
            for name, value in self._old.rows(b"meta"):
                right = written.get(name)
                if right is None:
                    self._aside.put("meta", name, value, "pithgraph has no such row", None)
                elif name in (b"format", COMPRESSION) and value != right:
                    self._aside.put("meta", name, value, "it cannot be what was written", None)


def _content(content: bytes, event_class: EventClass | None) -> tuple[bytes, Facts | None]:
    """Canonical bytes, and the facts where their seal holds. Raises what `layout.read_content`
    does."""
    try:
        return layout.read_content(content, event_class)
    except layout.BrokenSeal:
        return layout.canonical_of(content), None


def _possible_classes(content: bytes) -> Iterator[EventClass]:
    """The classes that an ordinary event may have whose own is lost: its row names the signer, and
    there are few types. The facts are no facts."""
    signer = content[content.rfind(_SIGNER) + len(_SIGNER) : content.rfind(_TARGET)]
    nothing = Facts(False, None, None, None)
    for event_type in KINDS:
        for follows in (False, True):
            yield EventClass(event_type, signer, nothing, follows)
