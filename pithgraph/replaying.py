"""The log to states: all papers or one, now, as of a time or at a position (SPEC §7).

What lives here: which papers, and of which moment. What must not: how a state is made (`merging`).
A replay always merges from the event rows; only `current_state` looks into the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pithgraph.errors import IdentifierError
from pithgraph.identifiers import PithNumber, check_time, parse_pith_number, parse_reference
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, Snapshot
from pithgraph.merge import State, merge
from pithgraph.merging import Merging, aliases_of, damaged_rows, judged_of
from pithgraph.proofs import build_proof
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED, Assurance, check_assurance
from pithgraph.views import inbound_citations


def replay(
    log: Log,
    papers: Iterable[PithNumber | str] | None = None,
    *,
    keyring: Keyring | None = None,
    assurance: Assurance = VERIFIED,
    as_of: str | None = None,
    at: int | None = None,
) -> Iterator[State]:
    """The state of every paper of a log, or of those named, each merged from its events.

    A paper named by a text must be a full Pith Number; `find_paper` resolves short forms. `as_of`
    is a §5 timestamp: what was created later is left out. `at` is a position: only the first `at`
    events count, and the alias rows stored by then. Papers that have nothing by then are passed
    over, unless they are named. All states are of one moment of the log. Raises LogError, and
    IdentifierError for an `as_of` that is no timestamp or an `at` that the log has not reached.

    >>> import pithgraph, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, pithgraph.LogWriter.open(folder) as log:
    ...     done = pithgraph.ingest(log, ["fixtures/pith/state-N7NXYVEE.json"])
    ...     paper = pithgraph.find_paper(log, "n7nxyvee")
    ...     (state,) = pithgraph.replay(log, [paper], assurance="stated")
    >>> state.pith_number, state.state_sha256[:8]
    ('pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7', '9bbb9e46')
    """
    check_assurance(assurance)
    keyring = keyring or load_keyring()
    if as_of is not None:
        check_time(as_of)
    with log.snapshot() as snapshot:
        _check_position(snapshot, at)
        merging = Merging(snapshot, keyring, assurance, as_of, at)
        if papers is None:
            for key, aliases, rows in snapshot.papers_indexed():
                if (state := merging.state_of(key, aliases, rows)) is not None:
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
        near = nearest(snapshot, reference.prefix)
    hint = f"; nearest: {', '.join(map(str, near))}" if near else ""
    raise IdentifierError(f"the log holds no paper {text!r}{hint}")


def proofs_of(log: Log, paper: PithNumber, *, keyring: Keyring) -> list[dict[str, Any]]:
    """A proof document (SPEC §8) for each equivocation about a paper.

    They stand in the order of the state's rows.
    """
    with log.snapshot() as snapshot, damaged_rows(str(paper)):
        judged = judged_of(snapshot, snapshot.index_of(paper), keyring, VERIFIED)
        aliases = aliases_of(snapshot, paper)
        state = merge(str(paper), judged, aliases, keyring.sha256, VERIFIED)
        valid = [event for event, verdict in judged if verdict.reason is None]
        return [build_proof(row, valid, keyring) for row in state.equivocations]


def cited_by(
    log: Log, paper: PithNumber, *, keyring: Keyring | None = None
) -> dict[str, list[Mapping[str, Any]]]:
    """Who cites a paper: its inbound citations as verified, as in `views.inbound_citations`.

    They are events about the cited paper, so that no other paper's are read.
    """
    state = current_state(log, paper, keyring=keyring or load_keyring())
    return inbound_citations(state.document)


def current_state(
    log: Log, paper: PithNumber, *, keyring: Keyring, assurance: Assurance = VERIFIED
) -> State:
    """A paper's state now, out of the cache where it is there.

    A log that is open for writing caches what it computes.
    """
    check_assurance(assurance)
    with log.snapshot() as snapshot:
        cached = snapshot.cached_state(paper, keyring.sha256, assurance)
        if cached is not None:
            return cached
        state = Merging(snapshot, keyring, assurance).state(paper)
        snapshot_id = snapshot.id
    state = state or merge(str(paper), (), (), keyring.sha256, assurance)
    if isinstance(log, LogWriter):
        log.cache_state(state, snapshot_id)
    return state


def nearest(snapshot: Snapshot, prefix: str) -> list[PithNumber]:
    """Papers that share the longest beginning with `prefix`, three at most."""
    for length in range(len(prefix) - 1, 2, -1):
        near = snapshot.papers(prefix[:length])
        if found := [paper for paper, _ in zip(near, range(3), strict=False)]:
            return found
    return []
