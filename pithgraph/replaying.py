"""The log to states: all papers or one, now, as of a time or at a position (SPEC §7).

What lives here: feeding the merge from a snapshot of the log. What must not: any rule of the
merge. A replay always merges from the event rows; only `current_state` looks into the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pithgraph.errors import IdentifierError
from pithgraph.identifiers import (
    PithNumber,
    alias_time,
    check_time,
    parse_pith_number,
    parse_reference,
)
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, Snapshot
from pithgraph.merge import PaperAlias, State, merge
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
        for name in snapshot.papers() if papers is None else papers:
            paper = parse_pith_number(name) if isinstance(name, str) else name
            state = _state(snapshot, paper, keyring, assurance, as_of, at)
            if state is not None or papers is not None:
                yield state or merge(str(paper), (), (), keyring.sha256, assurance)


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
        judged, aliases = _judged(snapshot, paper, keyring, VERIFIED, None)
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
        state = _state(snapshot, paper, keyring, assurance, None, None)
        snapshot_id = snapshot.id
    state = state or merge(str(paper), (), (), keyring.sha256, assurance)
    if isinstance(log, LogWriter):
        log.cache_state(state, snapshot_id)
    return state


def _state(
    snapshot: Snapshot,
    paper: PithNumber,
    keyring: Keyring,
    assurance: Assurance,
    as_of: str | None,
    at: int | None,
) -> State | None:
    judged, aliases = _judged(snapshot, paper, keyring, assurance, at)
    if not judged and not aliases:
        return None
    state = merge(str(paper), judged, aliases, keyring.sha256, assurance, as_of)
    if as_of is not None and state.event_count == 0 and not _by(as_of, aliases):
        return None
    return state


def _judged(
    snapshot: Snapshot,
    paper: PithNumber,
    keyring: Keyring,
    assurance: Assurance,
    at: int | None,
) -> tuple[list[Judged], list[PaperAlias]]:
    """What the merge takes of a paper, by that position."""
    judged = [
        Judged(event, judge(event, establish(event, keyring, facts), keyring, assurance))
        for _, event, facts in snapshot.events_of(paper, at)
    ]
    return judged, [PaperAlias(*alias[1:]) for alias in snapshot.aliases_of(paper, at)]


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
