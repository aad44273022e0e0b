"""Checking a log: every row, index entry, counter, tile and page (SPEC §10, layout).

What lives here: what must hold of a log's tables for them to be those that were written. What must
not: mending (`repairing`), and any rule about whether an event counts: facts are compared with what
establishing gives anew, cached states with what merging does.

An event is known by its event_sha256: its row gives it, by_digest repeats it, and the tiles hold
it hashed. What depends on events is made anew and compared. What nothing else can give carries its
own digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from pithgraph.canonical import digest
from pithgraph.events import Event
from pithgraph.identifiers import alias_time, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.log import layout
from pithgraph.log.compression import KNOWN
from pithgraph.log.layout import PAPER_BYTES, POSITION_BYTES
from pithgraph.log.snapshot import COMPRESSION, DICTIONARY, Snapshot
from pithgraph.merge import State
from pithgraph.merging import Merging
from pithgraph.merkle import EMPTY_EDGE, Edge, extend
from pithgraph.ordinary import Cut, EventClass, cut
from pithgraph.stored import BAD_ROW, Finding, StoredRow, place, stored_rows
from pithgraph.validation import Facts, ReceiptTrial, Trial, establish, is_judged_like_its_class

_LEAVES_AT_ONCE: Final = 4096
_COUNTERS: Final = (b"events", b"papers", b"refused")
_META: Final = frozenset({b"format", COMPRESSION, DICTIONARY, *_COUNTERS})


class Sums(NamedTuple):
    """What was read. `untried` counts events whose facts rest on a key that the keyring has not."""

    events: int
    papers: int
    aliases: int
    refused: int
    states: int
    untried: int


class Check:
    """A check of one snapshot. Iterate over it for the findings; `sums` is right afterwards.

    Cached states that were computed under this keyring are merged anew. With `deep`, ids, payloads
    and signatures are established anew, and compared with what is stored. `progress` is told how
    many events were read. Iterating raises LogError where the library of the log's compression is
    not installed: then no event can be read.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        keyring: Keyring,
        *,
        deep: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._keyring = keyring
        self._deep = deep
        self._progress = progress
        self._used: set[int] = set()
        self._named: set[tuple[int, int]] = set()  # tiles
        self._edge: Edge = EMPTY_EDGE
        self._counted = dict.fromkeys(("events", "papers", "aliases", "refused", "states"), 0)
        self._untried = 0

    @property
    def sums(self) -> Sums:
        """What was read so far."""
        return Sums(**self._counted, untried=self._untried)

    def __iter__(self) -> Iterator[Finding]:
        if unreadable := self._unreadable():
            yield unreadable
            return
        sound = True
        for check in (self._events, self._papers):
            for finding in check():
                sound = False
                yield finding
        sizes = self._snapshot.entries
        if not sound or {sizes(b"by_digest"), sizes(b"by_paper")} != {self._counted["events"]}:
            yield from self._strays()
        yield from self._classes()
        yield from self._aliases()
        yield from self._refused()
        yield from self._states()
        yield from self._meta()

    def _unreadable(self) -> Finding | None:
        """The first row, if any, without which no other can be read."""
        stated = self._snapshot.raw(b"meta", b"format")
        if stated != layout.FORMAT_VALUE:
            detail = f"it is {stated!r}, not {layout.FORMAT}: damaged, or by another pithgraph"
            return Finding("meta", "format", detail)
        compression = self._snapshot.compression
        if compression not in KNOWN:
            detail = f"it is {compression!r}, not {' or '.join(KNOWN)}"
            return Finding("meta", "compression", detail)
        try:
            _ = self._snapshot.codec
        except layout.BrokenSeal:
            detail = "the dictionary is not what was written; without it no event can be read"
            return Finding("meta", "dictionary", detail)
        return None

    # --- events, and what is made of them ---

    def _events(self) -> Iterator[Finding]:
        leaves: list[bytes] = []
        damaged = 0
        for row in stored_rows(self._snapshot):
            if isinstance(row, Finding):
                yield row
                continue
            self._counted["events"] += 1
            self._used.add(row.location.class_number)
            if row.event is None or row.facts is None:
                damaged += 1
                yield Finding("events", f"position {row.position}", row.fault)
                leaves.append(b"")  # no digest; the tiles will differ here
            else:
                yield from self._event(row, row.event)
                if self._deep:
                    yield from self._facts(row.position, row.event, row.facts)
                leaves.append(row.event.sha256)
            if len(leaves) >= _LEAVES_AT_ONCE:
                yield from self._tiles(leaves)
                leaves = []
                if self._progress is not None:
                    self._progress(self._counted["events"])
        yield from self._tiles(leaves)
        yield from self._further_tiles()
        if 1 < damaged == self._counted["events"]:
            # Rather than each of them, it will be what says how to read them.
            compression = self._snapshot.compression
            trained = self._snapshot.raw(b"meta", DICTIONARY) is not None
            detail = f"no event can be read as {compression!r} with{'' if trained else 'out'} a "
            yield Finding("meta", "compression", f"{detail}dictionary: is this what was written?")

    def _event(self, row: StoredRow, event: Event) -> Iterator[Finding]:
        where = f"position {row.position}"
        snapshot = self._snapshot
        position = layout.position_key(row.position)
        if (found := snapshot.raw(b"by_digest", event.sha256)) != position:
            yield Finding("by_digest", event.sha256.hex(), _other(f"the event at {where}", found))
        event_class = snapshot.class_of(row.location.class_number)
        parts = None
        if event_class is not None:
            parts = _parts(event, event_class)
            if parts is None or layout.ordinary_content(parts) != row.content:
                yield Finding("events", where, "the row is not the one that its event is cut to")
            elif not is_judged_like_its_class(event):
                # A replay asks its class alone.
                yield Finding("events", where, "the row is that of a valid event, and it is none")
        link = layout.NO_LINK if parts is None else layout.link_of(parts)
        key = layout.paper_key(parse_pith_number(event.subject))
        key += layout.merge_order(event) + position
        if (found := snapshot.raw(b"by_paper", key)) != layout.index_value(row.location, link):
            yield Finding("by_paper", place(key), _other(f"the event at {where}", found))

    def _facts(self, position: int, event: Event, stored: Facts) -> Iterator[Finding]:
        fresh = establish(event, self._keyring)
        # Nothing is established about a malformed event, and no receipt where there is none: what
        # was stored of them is never asked.
        asked = event.view is not None and (stored.receipt is None) == (fresh.receipt is None)
        again = establish(event, self._keyring, stored) if asked else stored
        if again.payload_fault is not None and fresh.payload_fault is not None:
            # Its words are those of the version that took the event in; that there is one counts.
            again = msgspec.structs.replace(again, payload_fault=fresh.payload_fault)
        if again == fresh:
            return
        if _without_foreign_trials(again, self._keyring) == fresh:
            self._untried += 1
            return
        facts = (
            (name, getattr(again, name), getattr(fresh, name)) for name in Facts.__struct_fields__
        )
        detail = "; ".join(
            f"{name} is stored as {_shown(told)}, and is {_shown(right)}"
            for name, told, right in facts
            if told != right
        )
        yield Finding("events", f"position {position}", detail)

    def _tiles(self, leaves: list[bytes]) -> Iterator[Finding]:
        self._edge, tiles = extend(self._edge, leaves)
        for name, hashes in tiles.items():
            found = self._snapshot.tile(name)
            # A partial tile may have grown since: what follows comes with the next leaves.
            if found[: len(hashes)] != hashes and (name.level, name.number) not in self._named:
                self._named.add((name.level, name.number))
                where = f"level {name.level}, number {name.number}"
                yield Finding("tiles", where, "the hashes are not those of the events")

    def _further_tiles(self) -> Iterator[Finding]:
        """Tiles, or parts of tiles, that belong to no event."""
        sizes = {}
        hashes, level = self._edge.size, 0
        while hashes:
            for number in range(-(-hashes // 256)):
                width = min(256, hashes - 256 * number)
                sizes[bytes([level]) + number.to_bytes(8, "big")] = 32 * width
            hashes, level = hashes // 256, level + 1
        for key, value in self._snapshot.rows(b"tiles"):
            if len(value) != sizes.get(key):
                yield Finding("tiles", key.hex(), "it has other hashes than the events give")

    def _papers(self) -> Iterator[Finding]:
        """Counters, beside the events and alias rows that the indexes have of each paper."""
        indexes = [_PaperRows(self._snapshot, table) for table in ("by_paper", "aliases")]
        for paper, value in self._snapshot.rows(b"papers"):
            self._counted["papers"] += 1
            counts = []
            for index in indexes:
                yield from index.before(paper)
                counts.append(index.count(paper))
            try:
                layout.unsealed(paper, value)
                counters = layout.read_counters(value)
                parse_pith_number(layout.name_of(paper))
            except BAD_ROW as error:
                yield Finding("papers", place(paper), f"the row is damaged: {error}")
                continue
            if [counters.events, counters.aliases] != counts:
                detail = (
                    f"{counters.events} events and {counters.aliases} alias rows are counted, the "
                    f"indexes have {counts[0]} and {counts[1]}"
                )
                yield Finding("papers", place(paper), detail)
            elif not any(counts):
                yield Finding("papers", place(paper), "no event and no alias row is of this paper")
            elif counters.unauthentic > counters.events:
                more = f"{counters.unauthentic} of {counters.events} events count as unauthentic"
                yield Finding("papers", place(paper), more)
        for index in indexes:
            yield from index.before(None)

    def _strays(self) -> Iterator[Finding]:
        """Entries of indexes that lead to no event, or to another."""
        snapshot = self._snapshot
        size = self._counted["events"]
        for sha256, value in snapshot.rows(b"by_digest"):
            position = int.from_bytes(value, "big")
            if len(value) != POSITION_BYTES or position >= size:
                yield Finding("by_digest", sha256.hex(), "it leads to no event")
            elif (event := _event_at(snapshot, position)) is None or event.sha256 != sha256:
                yield Finding("by_digest", sha256.hex(), f"position {position} has another event")
        for key, _ in snapshot.rows(b"by_paper"):
            position = layout.position_of_index(key)
            event = _event_at(snapshot, position) if position < size else None
            if event is None or key[:-POSITION_BYTES] != _place_of(event):
                yield Finding("by_paper", place(key), "it leads to no event, or to another")

    # --- what nothing else can give ---

    def _classes(self) -> Iterator[Finding]:
        numbers = set()
        known: dict[bytes, int] = {}
        for key, value in self._snapshot.rows(b"classes"):
            number = int.from_bytes(key, "big")
            numbers.add(number)
            try:
                packed = layout.unsealed(key, value)
                layout.read_packed_class(packed)
            except BAD_ROW as error:
                yield Finding("classes", str(number), str(error))
                continue
            if (same := known.setdefault(packed, number)) != number:
                yield Finding("classes", str(number), f"it is that of number {same}, too")
        for number in sorted(numbers ^ (self._used - {layout.NO_CLASS})):
            what = "no event has it" if number in numbers else "it is missing"
            yield Finding("classes", str(number), what)
        if (last := max(numbers, default=0)) != len(numbers):
            detail = f"there are {len(numbers)}: the number of the next is taken already"
            yield Finding("classes", str(last), detail)

    def _aliases(self) -> Iterator[Finding]:
        for key, value in self._snapshot.rows(b"aliases"):
            self._counted["aliases"] += 1
            try:
                alias = layout.read_alias_value(key, value)
                paper = layout.paper_of(key)
                parse_pith_number(str(paper))
            except BAD_ROW as error:
                yield Finding("aliases", place(key), str(error))
                continue
            right = layout.alias_key(paper, alias.kind, alias.value, alias.created_at)
            late = alias.position > self._counted["events"]
            if key != right or late or alias_time(alias.created_at) is None:
                yield Finding("aliases", place(key), f"it cannot be what was written: {alias}")

    def _refused(self) -> Iterator[Finding]:
        numbers = set()
        for key, value in self._snapshot.rows(b"refused"):
            self._counted["refused"] += 1
            try:
                row = layout.read_refused_value(key, value)
            except BAD_ROW as error:
                yield Finding("refused", key.hex(), str(error))
                continue
            if layout.refused_key(row) != key or row.number in numbers:
                yield Finding("refused", key.hex(), f"it cannot be what was written: {row}")
            numbers.add(row.number)

    def _states(self) -> Iterator[Finding]:
        for key, value in self._snapshot.rows(b"states"):
            self._counted["states"] += 1
            try:
                state = layout.read_state_value(key, value)
                paper = parse_pith_number(state.pith_number)
            except BAD_ROW as error:
                yield Finding("states", place(key), str(error))
                continue
            right = layout.state_key(paper, state.keyring_sha256, state.assurance)
            if key != right or state.state_sha256 != digest(state.hashed):
                yield Finding("states", place(key), "it cannot be what was written")
            elif state.keyring_sha256 == self._keyring.sha256:
                yield from self._state(key, state)

    def _state(self, key: bytes, state: State) -> Iterator[Finding]:
        paper = parse_pith_number(state.pith_number)
        try:
            merged = Merging(self._snapshot, self._keyring, state.assurance).state(paper)
        except (*BAD_ROW, AssertionError) as error:  # facts that no event has are against all rules
            yield Finding("states", place(key), f"it cannot be merged again: {error}")
            return
        if merged != state:
            yield Finding("states", place(key), "the events of its paper merge to another state")

    def _meta(self) -> Iterator[Finding]:
        for name in sorted(set(self._snapshot.tables()) ^ set(layout.TABLES)):
            yield Finding("meta", repr(name), "a table is missing, or pithgraph has none such")
        for name, _ in self._snapshot.rows(b"meta"):
            if name not in _META:
                yield Finding("meta", repr(name), "pithgraph has no such row")
        for name in _COUNTERS:
            counted = self._counted[name.decode()]
            stored = self._snapshot.raw(b"meta", name)
            if (stored or b"0") != b"%d" % counted:
                detail = f"{stored!r} is stored, there are {counted}"
                yield Finding("meta", name.decode(), detail)


class _PaperRows:
    """How many rows a table has of each paper; asked in the order of papers."""

    def __init__(self, snapshot: Snapshot, table: str) -> None:
        rows = snapshot.rows(table.encode())
        self._groups = groupby(rows, key=lambda row: row[0][:PAPER_BYTES])
        self._table = table
        self._paper: bytes | None = None
        self._count = 0
        self._advance()

    def _advance(self) -> None:
        following = next(self._groups, None)
        self._paper = None if following is None else following[0]
        self._count = 0 if following is None else sum(1 for _ in following[1])

    def before(self, paper: bytes | None) -> Iterator[Finding]:
        """Pass over the papers that come before one; without one, all that are left."""
        while self._paper is not None and (paper is None or self._paper < paper):
            detail = f"it has no counters, but rows in {self._table}: {self._count}"
            yield Finding("papers", place(self._paper), detail)
            self._advance()

    def count(self, paper: bytes) -> int:
        """How many rows the next paper has, if it is this one."""
        if self._paper != paper:
            return 0
        count = self._count
        self._advance()
        return count


def _event_at(snapshot: Snapshot, position: int) -> Event | None:
    """The event of a row, if it is one."""
    try:
        return Event.from_bytes(snapshot.event_at(position).event.canonical)
    except BAD_ROW:
        return None


def _parts(event: Event, event_class: EventClass) -> Cut | None:
    """An event cut, if it can be: of a damaged row it may be any event."""
    if event.view is None or event.view.signature is None:
        return None
    try:
        return cut(event, event_class)
    except BAD_ROW:
        return None


def _place_of(event: Event) -> bytes:
    return layout.paper_key(parse_pith_number(event.subject)) + layout.merge_order(event)


def _other(what: str, found: bytes | None) -> str:
    return f"{what} has no entry" if found is None else f"the entry is not that of {what}"


def _shown(fact: object) -> str:
    """A fact for a person: keys by the beginning of their digests, as hex."""
    if isinstance(fact, Trial):
        verdict = "verified" if fact.verified else "not verified"
        return f"{verdict} under key {fact.key_sha256.hex()[:32]}"
    if isinstance(fact, ReceiptTrial):
        return f"of key {fact.key_id!r}, {_shown(fact.trial)}"
    return "nothing" if fact is None else repr(fact)


def _without_foreign_trials(facts: Facts, keyring: Keyring) -> Facts:
    """The facts without trials under keys that the keyring has not."""
    known = {key.sha256 for key in keyring.keys}
    signature, receipt = facts.signature, facts.receipt
    if signature is not None and signature.key_sha256 not in known:
        signature = None
    if receipt is not None and receipt.trial and receipt.trial.key_sha256 not in known:
        receipt = msgspec.structs.replace(receipt, trial=None)
    return msgspec.structs.replace(facts, signature=signature, receipt=receipt)
