"""What pieces of sources bring to a log: the heavy half of an ingest, which any process can do.

What lives here: decoding, taking apart, establishing, judging, the door (`--admit`), and what
counts against the quota. What must not: reading files (`sources`), the log, the rules (core).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple

from pithgraph.canonical import read
from pithgraph.entries import AliasEntry, EventEntry, RefusedEntry, entries_of
from pithgraph.errors import DecodeError
from pithgraph.events import Event
from pithgraph.identifiers import parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.log.batch import New, NewAlias, NewEvent, folded
from pithgraph.log.layout import RefusedRow, packed_class
from pithgraph.ordinary import EventClass, class_of
from pithgraph.sources import Lines, Piece, Unreadable
from pithgraph.validation import (
    VERIFIED,
    Facts,
    Verify,
    establish,
    is_authentic,
    is_judged_like_its_class,
    judge,
    why_not_authentic,
)

Admit = Literal["all", "authentic", "export"]
# `export` is for what a log has admitted before: nothing is held back, so that positions are kept.
ADMITS: Final[tuple[Admit, ...]] = ("all", "authentic", "export")

_EXCERPT_BYTES: Final = 256
_CLASSES_KEPT: Final = 4096
_ASKED_OF: Final = 64


class _EventAt(NamedTuple):
    """An event, and the piece that it stands in."""

    piece: Piece
    entry: EventEntry


class _Doubt(NamedTuple):
    """A row that is right if these trials succeed."""

    row: int
    trials: slice
    found: _EventAt


class Deferred(NamedTuple):
    """Rows prepared as if every signature verified, and the trials, as `keys.verify` takes them, by
    which that is known."""

    rows: list[New]
    trials: list[tuple[bytes, bytes, bytes]]
    doubts: list[_Doubt]


class Preparer:
    """Prepares rows for a log, under one keyring and door.

    `has` says whether the log holds an event of this event_sha256. Whoever ingests the same again,
    or goes on after an interrupt, waits for no verification then.
    """

    def __init__(
        self,
        keyring: Keyring,
        admit: Admit = "all",
        has: Callable[[bytes], bool] | None = None,
    ) -> None:
        if admit not in ADMITS:
            raise ValueError(f"{admit!r} is no door: one of {', '.join(ADMITS)}")
        self._keyring = keyring
        self._admit = admit
        # What `authentic` refuses may be in the log all the same.
        self._has = None if admit == "authentic" else has
        self._had_last = False
        self._events = 0
        # Packed, the classes whose events were judged valid, by a key without a window.
        self._valid_classes: dict[EventClass, bytes] = {}

    def rows(self, pieces: Iterable[Piece | Lines | Unreadable]) -> Iterator[New]:
        """What the pieces bring, in their order."""
        for found in _entries(pieces, self._keyring):
            yield self._of_event(found) if isinstance(found, _EventAt) else found

    def deferred(self, pieces: Iterable[Piece | Lines | Unreadable]) -> Deferred:
        """The same, as if every signature verified; `settle` comes when that is known."""
        rows: list[New] = []
        trials: list[tuple[bytes, bytes, bytes]] = []
        doubts: list[_Doubt] = []

        def note(public_key: bytes, signature: bytes, message: bytes) -> bool:
            trials.append((public_key, signature, message))
            return True

        for found in folded(_entries(pieces, self._keyring)):
            if isinstance(found, _EventAt):
                first = len(trials)
                row = self._of_event(found, note)
                doubts.append(_Doubt(len(rows), slice(first, len(trials)), found))
                rows.append(row)
            else:
                rows.append(found)
        return Deferred(rows, trials, doubts)

    def settle(self, deferred: Deferred, verified: bytes) -> list[New]:
        """The rows, made anew where a signature did not verify. `verified` has one byte a trial,
        and that is not 0 where the trial succeeded."""
        if not all(verified):
            for row, trials, found in deferred.doubts:
                if not all(verified[trials]):
                    deferred.rows[row] = self._of_event(found)
        return deferred.rows

    def _of_event(self, found: _EventAt, verify_by: Verify | None = None) -> New:
        piece, entry = found
        event = entry.event
        if self._is_there(event):
            return NewEvent.known(event)
        facts = establish(event, self._keyring, verify_by=verify_by)
        unauthentic, quota = False, None
        if not is_authentic(event, facts):
            where = event.event_id or ""
            if self._admit == "authentic":
                verdict = why_not_authentic(event, facts, self._keyring)
                assert verdict.reason is not None
                return _refused_row(piece, where, verdict.reason, verdict.detail, event.canonical)
            unauthentic = not entry.unsigned_row
            if unauthentic and self._admit != "export":
                detail = f"about {event.subject}"
                quota = _refused_row(piece, where, "quota", detail, event.canonical)
        valid, event_class, packed = self._judge(event, facts)
        return NewEvent.of(
            event, facts, event_class, packed, valid=valid, unauthentic=unauthentic, quota=quota
        )

    def _is_there(self, event: Event) -> bool:
        """Whether the log has the event. Asked of those that follow one that it has, and of some
        others: of a few that are missed it will be found by the log itself."""
        if self._has is None:
            return False
        self._events += 1
        if not self._had_last and self._events % _ASKED_OF != 1:
            return False
        self._had_last = self._has(event.sha256)
        return self._had_last

    def _judge(self, event: Event, facts: Facts) -> tuple[bool, EventClass | None, bytes]:
        """Whether the event is valid under `verified`, and if it is, its class, and this packed."""
        event_class = class_of(event, facts)
        if event_class is not None:
            packed = self._valid_classes.get(event_class)
            if packed is not None and is_judged_like_its_class(event):
                return True, event_class, packed
        if judge(event, facts, self._keyring, VERIFIED).reason is not None:
            return False, None, b""
        if event_class is None:
            return True, None, b""
        packed = packed_class(event_class)
        key = self._keyring.by_fingerprint(event.signer.public_key_fingerprint)
        if key is not None and key.valid_from is None and key.valid_until is None:
            if len(self._valid_classes) >= _CLASSES_KEPT:
                self._valid_classes.clear()
            self._valid_classes[event_class] = packed
        return True, event_class, packed


def _entries(
    pieces: Iterable[Piece | Lines | Unreadable], keyring: Keyring
) -> Iterator[_EventAt | NewAlias | RefusedRow]:
    """What the pieces hold, in their order."""
    for piece in pieces:
        if isinstance(piece, Lines):
            for line in piece.pieces():
                yield from _of_piece(line, keyring)
        elif isinstance(piece, Unreadable):
            yield _refused_row(piece, "", piece.reason, piece.detail, b"")
        elif piece.data:  # an empty source: no lines are no fault
            yield from _of_piece(piece, keyring)


def _of_piece(piece: Piece, keyring: Keyring) -> Iterator[_EventAt | NewAlias | RefusedRow]:
    try:
        text = read(piece.data, max_bytes=len(piece.data))
    except DecodeError as error:
        if piece.line is None:
            piece = piece._replace(line=error.line)
        detail = f"column {error.column}: {error.detail}"
        yield _refused_row(piece, "", error.reason, detail, piece.data)
        return
    for entry in entries_of(*text, keyring=keyring):
        if isinstance(entry, EventEntry):
            yield _EventAt(piece, entry)
        elif isinstance(entry, RefusedEntry):
            yield _refused_row(piece, entry.where, entry.reason, entry.detail, entry.text)
        else:
            yield _of_alias(entry)


def _of_alias(entry: AliasEntry) -> NewAlias:
    paper = parse_pith_number(entry.pith_number)
    return NewAlias(paper, entry.kind, entry.value, entry.created_at)


def _refused_row(
    piece: Piece | Unreadable, where: str, reason: str, detail: str, text: bytes
) -> RefusedRow:
    return RefusedRow(
        number=0,  # the writer knows
        source=piece.source,
        line=piece.line,
        where=where,
        reason=reason,
        detail=detail[:1000],
        size=len(text),
        sha256=hashlib.sha256(text).hexdigest(),
        excerpt=text[:_EXCERPT_BYTES],
    )
