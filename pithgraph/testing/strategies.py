"""Hypothesis strategies: events, and histories of a paper in which the rare things happen.

What lives here: what is drawn. What must not: how an event is made (`world`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from pithgraph.errors import VERDICT_REASONS
from pithgraph.events import Event
from pithgraph.identifiers import derive_aliases, parse_pith_number
from pithgraph.kinds import KINDS
from pithgraph.merge import PaperAlias
from pithgraph.testing.world import Paper, World

# Few, so that events meet; their order as texts is that of time.
TIMES: Final = ("2026-06-01T12:00:00Z", "2026-06-01T12:00:01Z", "2026-06-02T00:00:00Z")
_PREVIOUS: Final = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
_WORLD: Final = World()


class History(NamedTuple):
    """Events and alias rows about one paper, in an order of arrival. `merge_events` takes all three
    as they are."""

    paper: str
    events: list[Event]
    aliases: list[PaperAlias]


@st.composite
def events(
    draw: st.DrawFn,
    world: World = _WORLD,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    paper: Paper | None = None,
    times: Sequence[str] = TIMES,
) -> Event:
    """Valid events, by any key of the world that may make them, of few times."""
    kind = draw(st.sampled_from(kinds))
    members: dict[str, Any] = {}
    if draw(st.booleans()):
        members["previous_event_id"] = draw(st.sampled_from([None, *_PREVIOUS]))
    return world.sign(
        kind,
        by=draw(st.sampled_from(world.signers(kind))),
        paper=paper,
        created_at=draw(st.sampled_from(times)),
        payload={"note": draw(st.integers(0, 3))},
        **members,
    )


@st.composite
def _ties(draw: st.DrawFn, world: World, event: Event, paper: Paper) -> Event:
    """Another event of the same second, of another kind."""
    assert event.view is not None
    kinds = [kind for kind in KINDS if kind != event.view.event_type]
    return draw(events(world, kinds=kinds, paper=paper, times=[event.view.created_at]))


@st.composite
def _equivocations(draw: st.DrawFn, world: World, paper: Paper) -> list[Event]:
    """Two or three valid events that one key must not have signed together (SPEC §7, 2)."""
    count = draw(st.integers(2, 3))
    kind = draw(st.sampled_from(tuple(KINDS)))
    by = draw(st.sampled_from(world.signers(kind)))
    notes = draw(st.permutations(range(4)))[:count]
    if draw(st.booleans()):  # a slot that is taken twice
        when = draw(st.sampled_from(TIMES))
        return [
            world.sign(kind, by=by, paper=paper, created_at=when, payload={"note": note})
            for note in notes
        ]
    previous = draw(st.sampled_from(_PREVIOUS))  # a fork
    return [
        world.sign(
            kind,
            by=by,
            paper=paper,
            created_at=draw(st.sampled_from(TIMES)),
            payload={"note": note},
            previous_event_id=previous,
        )
        for note in notes
    ]


@st.composite
def histories(
    draw: st.DrawFn,
    world: World = _WORLD,
    *,
    paper: Paper | None = None,
    equivocations: bool = True,
    invalid: bool = True,
) -> History:
    """Histories of one paper, each with at least two events of one second, and, unless switched
    off, an equivocation and an invalid event. Arrival is in any order; events may arrive twice.

    Without `equivocations` none is added; drawn events may still happen to make one.
    """
    paper = paper or world.paper
    arrived = draw(st.lists(events(world, paper=paper), min_size=1, max_size=5))
    arrived.append(draw(_ties(world, arrived[0], paper)))
    if equivocations:
        arrived += draw(_equivocations(world, paper))
    if invalid:
        reasons = st.lists(st.sampled_from(tuple(VERDICT_REASONS)), min_size=1, max_size=3)
        times = st.sampled_from(TIMES)
        arrived += [
            world.invalid(reason, paper=paper, created_at=draw(times)) for reason in draw(reasons)
        ]
    if draw(st.booleans()):
        arrived.append(draw(st.sampled_from(arrived)))
    return History(paper.number, draw(st.permutations(arrived)), draw(_alias_rows(paper)))


def _alias_rows(paper: Paper) -> st.SearchStrategy[list[PaperAlias]]:
    """Rows of derivable aliases, some of them with several dates."""
    derivable = derive_aliases(parse_pith_number(paper.number), paper.record)
    rows = st.builds(
        lambda alias, date: PaperAlias(alias.kind, alias.value, date),
        st.sampled_from(derivable),
        st.sampled_from(TIMES),
    )
    return st.lists(rows, max_size=4)
