"""The log to states: all papers or one, now, as of a time or at a position (SPEC §7).

What lives here: feeding the merge from a snapshot of the log. What must not: any rule of the
merge. A replay always merges from the event rows; only `current_state` looks into the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pithgraph.errors import IdentifierError
from pithgraph.identifiers import (
    PithNumber,
    alias_time,
    check_time,
    parse_pith_number,
    parse_reference,
)
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import Log, LogWriter, Snapshot
from pithgraph.log.compression import PLAIN
from pithgraph.log.layout import (
    ORDER_ID,
    ORDER_TIME,
    PaperCounters,
    name_of,
    paper_key,
    paper_of,
    position_of_index,
    read_location,
    seal_length,
)
from pithgraph.log.reader import IndexRow
from pithgraph.merge import PaperAlias, State, merge, merge_ordinary
from pithgraph.ordinary import PREVIOUS_BYTES, ROW_EVENT_ID, ROW_TIME
from pithgraph.proofs import build_proof
from pithgraph.sources import load_keyring
from pithgraph.validation import (
    VERIFIED,
    Assurance,
    Judged,
    check_assurance,
    establish,
    judge,
)


def replay(
    log: Log,
    papers: Iterable[PithNumber | str] | None = None,
    *,
    keyring: Keyring | None = None,
    assurance: Assurance = VERIFIED,
    as_of: str | None = None,
    at: int | None = None,
) -> Iterator[State]:
    """The state of every paper of a log, or of those named, each merged from its events. A paper
    named by a text must be a full Pith Number; `find_paper` resolves short forms.

    `as_of` is a §5 timestamp: what was created later is left out. `at` is a position: only the
    first `at` events count, and the alias rows stored by then. Papers that have nothing by then are
    passed over, unless they are named. All states are of one moment of the log. Raises LogError,
    and IdentifierError for an `as_of` that is no timestamp or an `at` that the log has not reached.
    """
    check_assurance(assurance)
    keyring = keyring or load_keyring()
    if as_of is not None:
        check_time(as_of)
    with log.snapshot() as snapshot:
        _check_position(snapshot, at)
        merging = _Merging(snapshot, keyring, assurance, as_of, at)
        if papers is None:
            for key, counters, rows in snapshot.papers_indexed():
                if (state := merging.state_of(key, counters, rows)) is not None:
                    yield state
            return
        for name in papers:
            paper = parse_pith_number(name) if isinstance(name, str) else name
            yield merging.state(paper) or merge(str(paper), (), (), keyring.sha256, assurance)


def check_position(log: Log, at: int | None) -> None:
    """Raise IdentifierError for a position that the log has not reached."""
    with log.snapshot() as snapshot:
        _check_position(snapshot, at)


def _check_position(snapshot: Snapshot, at: int | None) -> None:
    if at is not None and not 0 <= at <= snapshot.size:
        raise IdentifierError(f"the log has no position {at}: it holds {snapshot.size} events")


def find_paper(log: Log, text: str) -> PithNumber:
    """The one paper of the log that a user's text names: a full Pith Number or a short form.

    Raises IdentifierError: no such form, no such paper (with the nearest ones), or several.
    """
    reference = parse_reference(text)
    with log.snapshot() as snapshot:
        found = snapshot.find(reference)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(map(str, found[:10]))
            raise IdentifierError(f"{text!r} may mean {len(found)} papers: {names}")
        near = _nearest(snapshot, reference.prefix)
    hint = f"; nearest: {', '.join(map(str, near))}" if near else ""
    raise IdentifierError(f"the log holds no paper {text!r}{hint}")


def proofs_of(log: Log, paper: PithNumber, *, keyring: Keyring) -> list[dict[str, Any]]:
    """A proof document (SPEC §8) for each equivocation about a paper, in the order of the state's
    rows."""
    with log.snapshot() as snapshot:
        judged = _judged(snapshot, snapshot.index_of(paper), keyring, VERIFIED)
        aliases = _aliases(snapshot, paper, None)
    state = merge(str(paper), judged, aliases, keyring.sha256, VERIFIED)
    valid = [event for event, verdict in judged if verdict.reason is None]
    return [build_proof(row, valid, keyring) for row in state.equivocations]


def current_state(
    log: Log, paper: PithNumber, *, keyring: Keyring, assurance: Assurance = VERIFIED
) -> State:
    """A paper's state now, out of the cache where it is there; a log that is open for writing
    caches what it computes."""
    check_assurance(assurance)
    with log.snapshot() as snapshot:
        cached = snapshot.cached_state(paper, keyring.sha256, assurance)
        if cached is not None:
            return cached
        state = _Merging(snapshot, keyring, assurance, None, None).state(paper)
        snapshot_id = snapshot.id
    state = state or merge(str(paper), (), (), keyring.sha256, assurance)
    if isinstance(log, LogWriter):
        log.cache_state(state, snapshot_id)
    return state


class _Known(NamedTuple):
    """What is known of all events of a class that was judged valid: their bucket, how long their
    seals are, the window of the key, and the signer's fingerprint of those that follow an event."""

    bucket: str
    seal: int
    window: tuple[bytes, bytes] | None
    follower: str | None


class _Merging:
    """Merging papers of one snapshot, under one keyring, assurance, and time or position.

    Most papers hold nothing but ordinary events whose class is valid, one in a slot: their rows go
    into the state as they are stored, and `merge_ordinary` makes it. Whatever is not provably so is
    decoded, judged and merged by the rules.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        keyring: Keyring,
        assurance: Assurance,
        as_of: str | None,
        at: int | None,
    ) -> None:
        self._snapshot = snapshot
        self._keyring = keyring
        self._assurance = assurance
        self._as_of = as_of
        self._at = at
        self._known: dict[int, _Known | None] = {}

    def state(self, paper: PithNumber) -> State | None:
        """The state of a paper, or None where it has nothing by that time or position."""
        snapshot = self._snapshot
        counters = snapshot.counters_of(paper)
        return self.state_of(paper_key(paper), counters, snapshot.index_of(paper))

    def state_of(self, paper: bytes, counters: PaperCounters, rows: list[IndexRow]) -> State | None:
        """The same, for a paper given by its key, its counters and its events in the index."""
        snapshot, keyring, assurance, at = self._snapshot, self._keyring, self._assurance, self._at
        name = name_of(paper)
        aliases = _aliases(snapshot, paper_of(paper), at) if counters.aliases else []
        if at is None and self._as_of is None and (ordinary := self._ordinary(rows)):
            return merge_ordinary(name, *ordinary, aliases, keyring.sha256, assurance)
        if at is not None:
            rows = [row for row in rows if position_of_index(row[0]) < at]
        if not rows and not aliases:
            return None
        judged = _judged(snapshot, rows, keyring, assurance)
        state = merge(name, judged, aliases, keyring.sha256, assurance, self._as_of)
        if self._as_of is not None and state.event_count == 0 and not _by(self._as_of, aliases):
            return None
        return state

    def _ordinary(
        self, rows: Iterable[IndexRow]
    ) -> tuple[list[bytes], dict[str, list[bytes]]] | None:
        """The ids and the rows by bucket of a paper's events, in the applied order; None where that
        takes the rules."""
        snapshot, known = self._snapshot, self._known
        codec = snapshot.codec
        ids: list[bytes] = []
        by_bucket: dict[str, list[bytes]] = {}
        followed: set[tuple[str, bytes]] = set()
        block: Any = None
        block_first = -1
        time, short_id, buckets = b"-", b"", [""]  # of the events before, back to another time
        for index_key, value in rows:
            number, first, offset, length = read_location(value)
            if number not in known:
                known[number] = self._learn((index_key, value), number)
            if (event_class := known[number]) is None:
                return None
            bucket, seal, window, follower = event_class
            key = bytes(index_key)
            if key.startswith(time):
                # Events of one time: of different buckets they share no slot, and where their ids
                # do not begin alike, the index has them in their order.
                if bucket in buckets or key[ORDER_ID] == short_id:
                    return None
                buckets.append(bucket)
            else:
                time, buckets = key[ORDER_TIME], [bucket]
            short_id = key[ORDER_ID]
            if first != block_first:
                block, block_first = snapshot.block(first), first
            if codec is PLAIN and follower is None:
                row = bytes(block[offset : offset + length - seal])
            else:
                content = codec.decompress(bytes(block[offset : offset + length]))
                row = content[:-seal]
                if follower is not None:
                    link = follower, content[-PREVIOUS_BYTES:]
                    if link in followed:
                        return None
                    followed.add(link)
            if window and not window[0] <= row[ROW_TIME] <= window[1]:
                return None
            ids.append(row[ROW_EVENT_ID])
            if bucket in by_bucket:
                by_bucket[bucket].append(row)
            else:
                by_bucket[bucket] = [row]
        return ids, by_bucket

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
            window = (key.valid_from or "").encode(), (key.valid_until or "~").encode()
        return _Known(
            KINDS[event_class.event_type].bucket,
            seal_length(event_class),
            window,
            key.fingerprint if event_class.follows else None,
        )


def _judged(
    snapshot: Snapshot, rows: Iterable[IndexRow], keyring: Keyring, assurance: Assurance
) -> list[Judged]:
    """Events as the merge takes them."""
    return [
        Judged(event, judge(event, establish(event, keyring, facts), keyring, assurance))
        for _, event, facts in map(snapshot.event_of, rows)
    ]


def _aliases(snapshot: Snapshot, paper: PithNumber, at: int | None) -> list[PaperAlias]:
    return [PaperAlias(*alias[1:]) for alias in snapshot.aliases_of(paper, at)]


def _by(as_of: str, aliases: Iterable[PaperAlias]) -> bool:
    times = (alias_time(alias.created_at) for alias in aliases)
    return any(time is not None and time <= as_of for time in times)


def _nearest(snapshot: Snapshot, prefix: str) -> list[PithNumber]:
    """Papers that share the longest beginning with `prefix`, three at most."""
    for length in range(len(prefix) - 1, 2, -1):
        near = snapshot.papers(prefix[:length])
        if found := [paper for paper, _ in zip(near, range(3), strict=False)]:
            return found
    return []
