"""The events of a log, one by one, with their verdicts (SPEC §6, §7).

What lives here: which events are listed, in which order, and going on as a writer appends. What
must not: what a verdict or an outcome is (`validation`, `views`), and how a line looks (`cli`).

Verdicts are those of assurance `verified`, from the facts that the log holds; nothing is verified
again but what the keyring gives to another key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from pithgraph.documents import Signer
from pithgraph.errors import VERDICT_REASONS, DecodeError, LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber, check_time
from pithgraph.keyring import Keyring
from pithgraph.log import Log, Snapshot, StoredEvent
from pithgraph.log.layout import RefusedRow, name_of, paper_key, position_of_index
from pithgraph.log.layout import read_refused_value as read_refused
from pithgraph.log.snapshot import IndexRow
from pithgraph.merging import judged, judged_of
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED, Verdict
from pithgraph.views import Outcome, outcomes

VALID: Final = "valid"
INVALID: Final = "invalid"
EQUIVOCATION: Final = "equivocation"
VERDICTS: Final = (VALID, INVALID, EQUIVOCATION, *VERDICT_REASONS)
"""What may be asked for: valid or invalid events, those that stand in an equivocation, or those of
one reason."""

Progress = Callable[[int], None]
_PROGRESS_EVENTS: Final = 4096
# So many events a view: one that is held long keeps the log's file growing.
_FOLLOWED_AT_ONCE: Final = 4096
_POLL_SECONDS: Final = 0.5


class Members(NamedTuple):
    """What an event says of itself; None for what is not there, or is no string."""

    event_type: str | None
    subject: str | None
    target: str | None
    created_at: str | None
    signer: dict[str, str | None]


class Listed(NamedTuple):
    """An event of a log. `outcome` says what the merge made of it, where that was asked for."""

    position: int
    event: Event
    members: Members
    verdict: Verdict
    outcome: Outcome | None = None


class Wanted(NamedTuple):
    """Which events are asked for.

    Of this event_type; of this signer_id, key_id or public_key_fingerprint; with a created_at from
    `since` to `until`, both included (one that is no timestamp is never between); of this verdict,
    one of `VERDICTS`. None asks nothing.
    """

    kind: str | None = None
    signer: str | None = None
    since: str | None = None
    until: str | None = None
    verdict: str | None = None

    def check(self) -> None:
        """Raise IdentifierError for a time that is none, ValueError for a verdict that is none."""
        for moment in (self.since, self.until):
            if moment is not None:
                check_time(moment)
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise ValueError(f"{self.verdict!r} is no verdict: {', '.join(VERDICTS)}")

    def says(self, event: Event, members: Members) -> bool:
        """Whether an event is one of these by what it says itself."""
        if self.kind is not None and members.event_type != self.kind:
            return False
        if self.signer is not None and self.signer not in map(members.signer.get, _NAMES_OF_SIGNER):
            return False
        if self.since is None and self.until is None:
            return True
        moment = event.timestamp
        return (
            moment is not None
            and (self.since is None or self.since <= moment)
            and (self.until is None or moment <= self.until)
        )

    def has(self, verdict: Verdict, outcome: Outcome | None) -> bool:
        """Whether this verdict is wanted."""
        if self.verdict is None:
            return True
        if self.verdict == EQUIVOCATION:
            return outcome is not None and bool(outcome.rules)
        if self.verdict == INVALID:
            return verdict.reason is not None
        return (verdict.reason or VALID) == self.verdict


EVERYTHING: Final = Wanted()
_NAMES_OF_SIGNER: Final = ("signer_id", "key_id", "public_key_fingerprint")


def list_events(
    log: Log,
    paper: PithNumber | None = None,
    *,
    keyring: Keyring | None = None,
    wanted: Wanted = EVERYTHING,
    progress: Progress | None = None,
) -> Iterator[Listed]:
    """The events of a log, or of one paper, in the order of positions; all of one moment.

    Where equivocations are wanted, every paper is judged as a whole first, one after the other, and
    the position of each event that stands in one is kept in memory; without, nothing is. `progress`
    is told how many events were read. Raises LogError, and what `Wanted.check` does.
    """
    wanted.check()
    keyring = keyring or load_keyring()
    with log.snapshot() as snapshot:
        if wanted.verdict == EQUIVOCATION:
            found = _equivocating(snapshot, paper, keyring, progress)
            for position in sorted(found):
                one = _listed(snapshot.event_at(position), keyring, wanted, found[position])
                if one is not None:
                    yield one
            return
        if paper is None:
            yield from list_view(snapshot, keyring, wanted=wanted, progress=progress)
        else:
            yield from _wanted(_of_paper(snapshot, paper), keyring, wanted, progress)


def list_view(
    snapshot: Snapshot,
    keyring: Keyring,
    *,
    wanted: Wanted = EVERYTHING,
    progress: Progress | None = None,
) -> Iterator[Listed]:
    """The events of one view of a log in the order of positions, otherwise as `list_events`; no
    equivocations. Raises LogError."""
    yield from _wanted(snapshot.events_from(0), keyring, wanted, progress)


def list_merged(
    log: Log,
    paper: PithNumber,
    *,
    keyring: Keyring | None = None,
    wanted: Wanted = EVERYTHING,
) -> Iterator[Listed]:
    """The events of a paper with what the merge made of each, in the applied order.

    That is by created_at, then event_id, then event_sha256; those whose created_at is no timestamp
    last.

    Raises LogError, and what `Wanted.check` does.
    """
    wanted.check()
    keyring = keyring or load_keyring()
    with log.snapshot() as snapshot:
        rows = snapshot.index_of(paper)
        made = _outcomes(paper_key(paper), rows, snapshot, keyring)
        for position in sorted(made, key=lambda position: made[position].order):
            one = _listed(snapshot.event_at(position), keyring, wanted, made[position].outcome)
            if one is not None:
                yield one


def follow_events(
    log: Log,
    paper: PithNumber | None = None,
    *,
    keyring: Keyring | None = None,
    wanted: Wanted = EVERYTHING,
    wait: Callable[[], object] = lambda: time.sleep(_POLL_SECONDS),
) -> Iterator[Listed]:
    """As `list_events`, and then for ever what a writer appends, each event once.

    `wait` is called whenever nothing more is there. Equivocations cannot be followed: it takes a
    later event to make one of an earlier.

    Raises LogError where the log was replaced or got shorter, since what it holds now need not be
    what was followed. What the old one held is listed before.
    """
    wanted.check()
    if wanted.verdict == EQUIVOCATION:
        raise ValueError("equivocations cannot be followed")
    keyring = keyring or load_keyring()
    position = file_bytes = 0
    name = None if paper is None else str(paper)
    while True:
        # Of a file that was cut the system ends whoever reads on.
        last, (file_bytes, _) = file_bytes, log.sizes()
        if file_bytes < last:
            raise LogError(f"{log.path}: the log's file was cut while it was followed")
        with log.snapshot() as snapshot:
            size = snapshot.size
            if paper is not None and position == 0:
                yield from _wanted(_of_paper(snapshot, paper), keyring, wanted)
                position = size
            more = islice(snapshot.events_from(position), _FOLLOWED_AT_ONCE)
            for stored in more:
                position = stored.position + 1
                one = _listed(stored, keyring, wanted)
                if one is not None and name in (None, one.members.subject):
                    yield one
        if size < position or (size == position and log.has_moved()):
            raise LogError(
                f"{log.path}: the log was replaced, moved or set back while it was followed, after "
                f"{position} events. See that it is there, and begin anew."
            )
        if size == position:
            wait()


def list_refused(log: Log) -> Iterator[RefusedRow]:
    """What the log refused, in the order in which it came. Raises LogError.

    The table has it by digest, so about 100 bytes a row are kept to sort it.
    """
    with log.snapshot() as snapshot:
        places = [(read_refused(*row).number, row[0]) for row in snapshot.rows(b"refused")]
        places.sort()
        for _, key in places:
            value = snapshot.raw(b"refused", key)
            assert value is not None  # of the same snapshot
            yield read_refused(key, value)


# --- one event, and one paper ------------------------------------------------------------------


def _of_paper(snapshot: Snapshot, paper: PithNumber) -> Iterator[StoredEvent]:
    """A paper's events in the order of positions."""
    rows = sorted(snapshot.index_of(paper), key=lambda row: position_of_index(row[0]))
    return map(snapshot.event_of, rows)


def _wanted(
    stored: Iterable[StoredEvent],
    keyring: Keyring,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Iterator[Listed]:
    for number, one in enumerate(stored, 1):
        listed = _listed(one, keyring, wanted)
        if listed is not None:
            yield listed
        if progress is not None and number % _PROGRESS_EVENTS == 0:
            progress(number)


def _listed(
    stored: StoredEvent, keyring: Keyring, wanted: Wanted, outcome: Outcome | None = None
) -> Listed | None:
    """An event where it is wanted. Raises LogError."""
    try:
        members = members_of(stored.event)
        if not wanted.says(stored.event, members):
            return None
        verdict = judged(stored, keyring, VERIFIED).verdict
    except (DecodeError, ValueError) as error:
        raise LogError(
            f"the row of position {stored.position} is damaged: {error}. Restore the log from a "
            "backup."
        ) from None
    if not wanted.has(verdict, outcome):
        return None
    return Listed(stored.position, stored.event, members, verdict, outcome)


def members_of(event: Event) -> Members:
    """What an event says of itself, also a malformed one. Raises DecodeError or ValueError where
    the bytes are no event's."""
    view = event.view
    if view is not None:
        signer: Any = {name: getattr(event.signer, name) for name in Signer.__struct_fields__}
        return Members(
            view.event_type, view.subject_pith_number, view.target, view.created_at, signer
        )
    value = event.value
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    stated = value.get("signer")
    signer = stated if isinstance(stated, dict) else {}
    return Members(
        _text(value.get("event_type")),
        _text(value.get("subject_pith_number")),
        _text(value.get("target")),
        _text(value.get("created_at")),
        {name: _text(signer.get(name)) for name in Signer.__struct_fields__},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class _Made(NamedTuple):
    """What became of an event, and where it stands among its paper's."""

    order: tuple[bool, str, str, bytes]
    outcome: Outcome


def _outcomes(
    paper: bytes, rows: list[IndexRow], snapshot: Snapshot, keyring: Keyring
) -> dict[int, _Made]:
    """What the merge made of each event of a paper, by position."""
    try:
        events = judged_of(snapshot, rows, keyring, VERIFIED)
        return {
            position_of_index(row[0]): _Made(_order(one.event), outcome)
            for row, (one, outcome) in zip(rows, outcomes(events), strict=True)
        }
    except (DecodeError, ValueError) as error:
        raise LogError(
            f"a stored row of paper {name_of(paper)} is damaged: {error}. Restore the log from a "
            "backup."
        ) from None


def _order(event: Event) -> tuple[bool, str, str, bytes]:
    moment = event.timestamp
    return moment is None, moment or "", event.event_id or "", event.sha256


def _equivocating(
    snapshot: Snapshot, paper: PithNumber | None, keyring: Keyring, progress: Progress | None
) -> dict[int, Outcome]:
    """The positions of the events that stand in an equivocation."""
    papers: Iterable[tuple[bytes, list[IndexRow]]]
    if paper is not None:
        papers = [(paper_key(paper), snapshot.index_of(paper))]
    else:
        papers = ((key, rows) for key, _, rows in snapshot.papers_indexed())
    found: dict[int, Outcome] = {}
    read = 0
    for key, rows in papers:
        read += len(rows)
        if len(rows) > 1:
            made = _outcomes(key, rows, snapshot, keyring)
            found |= {at: one.outcome for at, one in made.items() if one.outcome.rules}
        if progress is not None:
            progress(read)
    return found
