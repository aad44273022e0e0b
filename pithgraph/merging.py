"""A paper's rows in a log to its state, by the shortest way that is provably that of the rules.

What lives here: feeding the merge from one snapshot of a log. What must not: any rule of the merge.

Most papers hold nothing but ordinary events (`ordinary`) whose class is judged valid, each alone in
its slot. Their rows go into the state as they are stored, in the order of the index. Whatever is
not provably so is decoded, judged and merged as `validation` and `merge` say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from pithgraph.errors import DecodeError, LogError
from pithgraph.events import signer_of
from pithgraph.identifiers import FIRST_TIMESTAMP, LAST_TIMESTAMP, PithNumber, alias_time
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS, RECORD_CREATED
from pithgraph.log import Snapshot
from pithgraph.log.compression import PLAIN
from pithgraph.log.layout import (
    BLOCK_KEY,
    INDEX_TIME,
    NO_LINK,
    index_time,
    name_of,
    paper_key,
    paper_of,
    position_of_index,
    read_index_value,
)
from pithgraph.log.snapshot import IndexRow, StoredEvent
from pithgraph.merge import PaperAlias, State, merge, merge_ordinary
from pithgraph.ordinary import (
    ID_START,
    ROW_EVENT_ID,
    Buffer,
    record_of,
    seal_length,
    slot_of,
)
from pithgraph.validation import (
    VERIFIED,
    Assurance,
    Judged,
    class_is_valid,
    establish,
    judge,
)


@contextmanager
def damaged_rows(pith_number: str) -> Iterator[None]:
    """Turn what damaged rows of a paper raise into LogError. Rows are joined and decoded as they
    are stored, and only `fsck` compares them with their digests."""
    try:
        yield
    except (DecodeError, ValueError) as error:
        raise LogError(
            f"a stored row of paper {pith_number} is damaged: {error}. Restore the log from a "
            "backup."
        ) from None


class Merging:
    """Merging papers of one snapshot, under one keyring, assurance, and time or position, which are
    as in `replaying.replay`."""

    def __init__(
        self,
        snapshot: Snapshot,
        keyring: Keyring,
        assurance: Assurance,
        as_of: str | None = None,
        at: int | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._keyring = keyring
        self._assurance = assurance
        self._as_of = as_of
        self._at = at
        self._is_now = as_of is None and at is None
        self._known: dict[int, _Known | None] = {}

    def state(self, paper: PithNumber) -> State | None:
        """The state of a paper, or None where it has nothing by that time or position."""
        aliases = self._snapshot.counters_of(paper).aliases
        return self.state_of(paper_key(paper), aliases, self._snapshot.index_of(paper))

    def state_of(self, paper: bytes, alias_count: int, rows: list[IndexRow]) -> State | None:
        """The same, for a paper with this key, so many alias rows and these events. Raises
        LogError."""
        with damaged_rows(name_of(paper)):
            return self._state_of(paper, alias_count, rows)

    def _state_of(self, paper: bytes, alias_count: int, rows: list[IndexRow]) -> State | None:
        snapshot, keyring, assurance = self._snapshot, self._keyring, self._assurance
        name = name_of(paper)
        aliases = aliases_of(snapshot, paper_of(paper), self._at) if alias_count else _NO_ALIASES
        if self._is_now and (ordinary := self._ordinary(rows)):
            ids, by_bucket, record = ordinary
            return merge_ordinary(name, ids, by_bucket, record, aliases, keyring.sha256, assurance)
        if self._at is not None:
            rows = [row for row in rows if position_of_index(row[0]) < self._at]
        if not rows and not aliases:
            return None
        judged = judged_of(snapshot, rows, keyring, assurance)
        state = merge(name, judged, aliases, keyring.sha256, assurance, self._as_of)
        if self._as_of is not None and state.event_count == 0 and not _by(self._as_of, aliases):
            return None
        return state

    def _ordinary(
        self, rows: Iterable[IndexRow]
    ) -> tuple[list[bytes], dict[str, list[Buffer]], bytes | None] | None:
        """The ids of a paper's events and their rows by bucket, both in the applied order, and the
        canonical record. None where that takes the rules. The rows may be views into the log."""
        known, block_of = self._known, self._snapshot.block
        codec = self._snapshot.codec
        compressed, decompress = codec is not PLAIN, codec.decompress
        ids: list[bytes] = []
        by_bucket: dict[str, list[Buffer]] = {}
        record: bytes | None = None
        blocks: dict[int, Any] = {}
        time = b""
        firsts: dict[str, Buffer] = {}  # of this time, the first row of each bucket
        slots: set[tuple[bytes, str, bytes]] = set()  # but only where a bucket has several
        links: set[bytes] = set()
        for key, value in rows:
            number, first, offset, length, link = read_index_value(value)
            if (shared := known.get(number)) is None:
                if number not in known:
                    known[number] = shared = self._learn(number)
                if shared is None:
                    return None
            bucket, seal_bytes, asks = shared
            if (block := blocks.get(first)) is None:
                block = blocks[first] = block_of(value[BLOCK_KEY])
            content = block[offset : offset + length]
            if len(content) != length:
                raise ValueError("its block ends before it does")
            if compressed:
                content = decompress(bytes(content))
            row = content[:-seal_bytes]
            event_id = bytes(row[ROW_EVENT_ID])
            if not event_id.startswith(ID_START):
                raise ValueError("it is no row of a state")
            if key[INDEX_TIME] != time:
                time, firsts = key[INDEX_TIME], {bucket: row}
            elif event_id <= ids[-1]:
                return None  # the index knows only the beginning of an id
            elif bucket not in firsts:
                firsts[bucket] = row  # of one time, but of another kind: no common slot
            else:
                slots.add((time, bucket, slot_of(bytes(firsts[bucket]))))
                slot = time, bucket, slot_of(bytes(row))
                if slot in slots:
                    return None
                slots.add(slot)
            if link != NO_LINK:
                if link in links:
                    return None  # perhaps a fork
                links.add(link)
            if asks is not None:
                is_record, window = asks
                if window is not None and not window[0] <= time <= window[1]:
                    return None
                if is_record and record is None:
                    record = record_of(row, content)
            ids.append(event_id)
            if bucket in by_bucket:
                by_bucket[bucket].append(row)
            else:
                by_bucket[bucket] = [row]
        return ids, by_bucket, record

    def _learn(self, number: int) -> _Known | None:
        """What holds for all events of a class; None where each must be judged."""
        event_class = self._snapshot.class_of(number)
        if event_class is None:
            return None
        event_type, facts = event_class.event_type, event_class.facts
        signer = signer_of(event_class.signer)
        key = self._keyring.by_fingerprint(signer.public_key_fingerprint)
        if key is None or not class_is_valid(event_type, signer, facts, self._keyring):
            return None
        window = None
        if key.valid_from is not None or key.valid_until is not None:
            first, last = key.valid_from or FIRST_TIMESTAMP, key.valid_until or LAST_TIMESTAMP
            window = index_time(first), index_time(last)
        asks = _Asks(event_type == RECORD_CREATED, window)
        bucket = KINDS[event_type].bucket
        return _Known(bucket, seal_length(event_class), asks if any(asks) else None)


_NO_ALIASES: Final[list[PaperAlias]] = []


class _Asks(NamedTuple):
    """What is asked of each event of a class: the record that it may bring, and the window of its
    key, as times in the index."""

    is_record: bool
    window: tuple[bytes, bytes] | None


class _Known(NamedTuple):
    """What is known of all events of a class that is judged valid."""

    bucket: str
    seal_bytes: int
    asks: _Asks | None


def judged_of(
    snapshot: Snapshot, rows: Iterable[IndexRow], keyring: Keyring, assurance: Assurance
) -> list[Judged]:
    """Events of the index as the merge takes them."""
    return [judged(snapshot.event_of(row), keyring, assurance) for row in rows]


def judged(stored: StoredEvent, keyring: Keyring, assurance: Assurance) -> Judged:
    """A stored event with its verdict, from the facts that are stored with it."""
    _, event, facts = stored
    return Judged(event, judge(event, establish(event, keyring, facts), keyring, assurance))


def judged_of_key(
    snapshot: Snapshot, paper: PithNumber, fingerprint: str, keyring: Keyring
) -> Iterator[Judged]:
    """A paper's well-formed events that name the key of this fingerprint, about in merge order and
    judged as `verified`. One at a time, since a paper may have many."""
    for stored in snapshot.events_of(paper):
        event = stored.event
        if event.view is not None and event.signer.public_key_fingerprint == fingerprint:
            yield judged(stored, keyring, VERIFIED)


def aliases_of(snapshot: Snapshot, paper: PithNumber, at: int | None = None) -> list[PaperAlias]:
    """A paper's alias rows as the merge takes them."""
    return [PaperAlias(*alias[1:]) for alias in snapshot.aliases_of(paper, at)]


def _by(as_of: str, aliases: Iterable[PaperAlias]) -> bool:
    times = (alias_time(alias.created_at) for alias in aliases)
    return any(time is not None and time <= as_of for time in times)
