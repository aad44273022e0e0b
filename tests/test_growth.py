"""Work grows with what is given, and not with its square: a thousand events of one paper, and
sixteen times as many.

What lives here: comparing the work of few and of many. What must not: a bound in seconds. Compared
are two spans of this process's own processor time, in one run. `test_door` counts calls, which is
exact, but does not see what an operator does: `in` calls nothing, of a list neither.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import signing
from growing import SHAPES, Shape
from pithgraph.events import Event
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.merge import State, merge
from pithgraph.replaying import replay
from pithgraph.validation import VERIFIED, Judged, Verdict
from planting import anything_verifies
from signing import PAPER

RING = Keyring.from_value(signing.keyring_value())
FEW = 1_000
TIMES = 16
MOST = 64
"""How often the work of FEW may be done for TIMES as many. A square makes 256 of it, n log n some
20, and where a processor's cache holds the few alone, and is shared with others, twice as much."""


def without_key(_: bytes) -> bytes:
    """What stands for a signature where nothing verifies it: signing takes longer than merging."""
    return bytes(64)


def seconds_of(work: Callable[[], object]) -> float:
    """The processor's time that a piece of work takes, in its quietest round."""
    taken = []
    gc.collect()
    gc.disable()  # when it looks at all objects, those of other tests are among them
    try:
        for _ in range(3):
            begun = time.process_time()
            work()
            taken.append(time.process_time() - begun)
    finally:
        gc.enable()
    return min(taken)


def check_merged(state: State, shape: Shape, count: int) -> None:
    assert state.valid_event_count == state.event_count == count
    assert state.equivocation_count == shape.equivocations
    assert len(state.document["applied_event_ids"]) == (count if shape.is_applied else 0)


def seconds_of_merging(shape: Shape, count: int, stated: bool) -> float:
    """Of events as if they had verified, or every second only stated."""
    verdicts = [Verdict(None, "", stated=stated and number % 2 == 1) for number in range(count)]
    events = map(Event.from_bytes, shape.lines(count, without_key))
    judged = list(map(Judged, events, verdicts))
    states: list[State] = []

    def work() -> None:
        states.append(merge(PAPER.number, judged, [], "0" * 64, VERIFIED))

    seconds = seconds_of(work)
    assert states[0].valid_event_count == count
    if not stated:
        check_merged(states[0], shape, count)
    return seconds


@pytest.mark.longer
@pytest.mark.parametrize("stated", [False, True], ids=["signed", "half-stated"])
@pytest.mark.parametrize("shape", SHAPES)
def test_merging_a_slot_or_a_key_is_no_square(shape: str, stated: bool) -> None:
    few, many = (seconds_of_merging(SHAPES[shape], n, stated) for n in (FEW, TIMES * FEW))
    assert many < MOST * few


def seconds_of_replaying(folder: Path, shape: Shape, count: int) -> float:
    """Of a log that has ingested the events."""
    folder.mkdir()
    source = folder / "events.jsonl"
    source.write_bytes(b"\n".join(shape.lines(count, without_key)))
    states: list[State] = []
    with LogWriter.open(folder / "log") as log:
        done = ingest(log, [source], keyring=RING)
        assert (done.appended, done.invalid, done.refused) == (count, 0, 0)
        seconds = seconds_of(lambda: states.extend(replay(log, keyring=RING)))
    check_merged(states[0], shape, count)
    return seconds


@pytest.mark.longer
@pytest.mark.parametrize("shape", SHAPES)
def test_replaying_a_slot_or_a_key_is_no_square(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay merges by the rules only where it must, so it looks itself for what shares a slot,
    or names one previous event."""
    anything_verifies(monkeypatch)
    few = seconds_of_replaying(tmp_path / "few", SHAPES[shape], FEW)
    many = seconds_of_replaying(tmp_path / "many", SHAPES[shape], TIMES * FEW)
    assert many < MOST * few
