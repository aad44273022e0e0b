"""A paper's rows in a log to its state, by the shortest way that is provably that of the rules.

What lives here: feeding the merge from one snapshot of a log. What must not: any rule of the merge.

Most papers hold nothing but ordinary events (`ordinary`) whose class is judged valid, each alone in
its slot. Their rows go into the state as they are stored, in the order of the index. Whatever is
not provably so is decoded, judged and merged as `validation` and `merge` say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final, NamedTuple

from pithgraph.errors import DecodeError, LogError
from pithgraph.identifiers import PithNumber, alias_time
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS, RECORD_CREATED
from pithgraph.log import Snapshot
from pithgraph.log.compression import PLAIN
from pithgraph.log.layout import (
    BLOCK_KEY,
    name_of,
    paper_key,
    paper_of,
    position_of_index,
    read_location,
)
from pithgraph.log.reader import IndexRow
from pithgraph.merge import PaperAlias, State, merge, merge_ordinary
from pithgraph.ordinary import (
    PREVIOUS,
    ROW_EVENT_ID,
    ROW_HEAD,
    ROW_TIME,
    record_of,
    row_time,
    seal_length,
    slot_of,
)
from pithgraph.validation import Assurance, Judged, establish, judge


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
        try:
            return self._state_of(paper, alias_count, rows)
        except (DecodeError, ValueError) as error:
            raise LogError(
                f"a stored row of paper {name_of(paper)} is damaged: {error}. Restore the log from "
                "a backup."
            ) from None

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
    ) -> tuple[list[bytes], dict[str, list[bytes]], bytes | None] | None:
        """The ids of a paper's events and their rows by bucket, both in the applied order, and the
        canonical record. None where that takes the rules."""
        snapshot, known = self._snapshot, self._known
        compressed, decompress = snapshot.codec is not PLAIN, snapshot.codec.decompress
        ids: list[bytes] = []
        by_bucket: dict[str, list[bytes]] = {}
        record: bytes | None = None
        followed: set[tuple[str, bytes]] = set()
        block_of = snapshot.block
        blocks: dict[int, Any] = {}
        # Of the events before, back to another time.
        head, time, buckets = b"", b"-", [""]
        slots: dict[str, set[bytes]] = {}
        for index_row in rows:
            value = index_row[1]
            number, first, offset, length = read_location(value)
            if (shared := known.get(number)) is None:
                if number not in known:
                    known[number] = shared = self._learn(index_row, number)
                if shared is None:
                    return None
            bucket, seal_bytes, is_record, window, follower = shared
            if (block := blocks.get(first)) is None:
                block = blocks[first] = block_of(value[BLOCK_KEY])
            content = block[offset : offset + length]
            if compressed:
                content = decompress(bytes(content))
            row = bytes(content[:-seal_bytes])
            # Time and id stand at the head of a row; the index knows only the beginning of an id.
            before, head = head, row[ROW_HEAD]
            if head <= before:
                return None
            if not row.startswith(time):
                time, buckets, slots = row[ROW_TIME], [bucket], {}
            elif bucket not in buckets:
                buckets.append(bucket)  # of one time, but of another kind: no common slot
            else:
                if bucket not in slots:
                    slots[bucket] = {slot_of(one) for one in _of_time(time, by_bucket[bucket])}
                if (slot := slot_of(row)) in slots[bucket]:
                    return None
                slots[bucket].add(slot)
            if window and not window[0] <= time <= window[1]:
                return None
            if follower is not None:
                link = follower, bytes(content[-seal_bytes:][PREVIOUS])
                if link in followed:
                    return None
                followed.add(link)
            if is_record and record is None:
                record = record_of(row, content)
            ids.append(row[ROW_EVENT_ID])
            if bucket in by_bucket:
                by_bucket[bucket].append(row)
            else:
                by_bucket[bucket] = [row]
        return ids, by_bucket, record

    def _learn(self, row: IndexRow, number: int) -> _Known | None:
        """What holds for all events of this one's class; None where each must be judged."""
        event_class = self._snapshot.class_of(number)
        if event_class is None:
            return None
        event = self._snapshot.event_of(row).event
        facts = establish(event, self._keyring, event_class.facts)
        if facts is not event_class.facts:
            return None  # the keyring gives another key: each signature must be tried
        verdict = judge(event, facts, self._keyring, self._assurance)
        key = self._keyring.by_fingerprint(event.signer.public_key_fingerprint)
        if verdict.reason is not None or key is None:
            return None
        window = None
        if key.valid_from is not None or key.valid_until is not None:
            window = row_time(key.valid_from or ""), row_time(key.valid_until or "~")
        return _Known(
            KINDS[event_class.event_type].bucket,
            seal_length(event_class),
            event_class.event_type == RECORD_CREATED,
            window,
            key.fingerprint if event_class.follows else None,
        )


_NO_ALIASES: Final[list[PaperAlias]] = []


class _Known(NamedTuple):
    """What is known of all events of a class that is judged valid. `window` is that of the key, as
    rows begin; `follower` the key's fingerprint where the events follow others."""

    bucket: str
    seal_bytes: int
    is_record: bool
    window: tuple[bytes, bytes] | None
    follower: str | None


def judged_of(
    snapshot: Snapshot, rows: Iterable[IndexRow], keyring: Keyring, assurance: Assurance
) -> list[Judged]:
    """Events of the index as the merge takes them."""
    return [
        Judged(event, judge(event, establish(event, keyring, facts), keyring, assurance))
        for _, event, facts in map(snapshot.event_of, rows)
    ]


def _of_time(time: bytes, rows: list[bytes]) -> Iterator[bytes]:
    """The last of the rows, as long as they have this time."""
    return takewhile(lambda row: row.startswith(time), reversed(rows))


def aliases_of(snapshot: Snapshot, paper: PithNumber, at: int | None = None) -> list[PaperAlias]:
    """A paper's alias rows as the merge takes them."""
    return [PaperAlias(*alias[1:]) for alias in snapshot.aliases_of(paper, at)]


def _by(as_of: str, aliases: Iterable[PaperAlias]) -> bool:
    times = (alias_time(alias.created_at) for alias in aliases)
    return any(time is not None and time <= as_of for time in times)
