"""A progress bar on standard error, for a person who watches.

What lives here: when a bar is shown, and how it looks. What must not: counting, which is the
business of whoever does the work.

Not click's own bar, which knows no rate, and draws again however soon it is told something.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple, Self

from pithgraph.cli.output import say

# What is done by then stays quiet.
_QUIET_SECONDS: Final = 0.5
_SECONDS_BETWEEN: Final = 0.1
_BAR_WIDTH: Final = 30
_LEAST_BAR_WIDTH: Final = 5


class Unit(NamedTuple):
    """What is counted, and how many of it make a unit."""

    name: str
    size: float = 1
    digits: int = 0

    def number(self, amount: float) -> str:
        """An amount, without the unit's name."""
        return f"{amount / self.size:,.{self.digits}f}"


BYTES: Final = Unit("MB", 1e6, 1)
# An ingest counts all rows; nearly all are events.
EVENTS: Final = Unit("events")
PAPERS: Final = Unit("papers")
ROWS: Final = Unit("rows")


class Bar:
    """One line, drawn over and over where standard error is a terminal: how much is done, of how
    much, how fast, and how long it will take; where `total` gives None, how long it has taken.
    `counted` is what the rate is of, if not of what is done.

    With `beside_results` it is shown only where standard output goes elsewhere: lines that are
    printed meanwhile would stand in the middle of it. `total` is asked only if it is shown.
    """

    def __init__(
        self,
        verb: str,
        total: Callable[[], int | None],
        unit: Unit,
        counted: Unit | None = None,
        *,
        beside_results: bool = False,
    ) -> None:
        shown = sys.stderr.isatty() and not (beside_results and sys.stdout.isatty())
        self._verb, self._unit, self._counted = verb, unit, counted or unit
        self._total = total() if shown else None
        self._done = self._count = 0
        self._drawn = False
        self._start = monotonic()
        self._next = self._start + _QUIET_SECONDS if shown else math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the line, so that whatever is said next has one of its own."""
        if not self._drawn:
            return
        if kind is None:
            _draw(self._sum(), end="\n")
        elif not issubclass(kind, KeyboardInterrupt):  # click ends the line of a ^C itself
            say("")

    def update(self, done: int, count: int) -> None:
        """So much of the total is done, and so many things that the rate is of."""
        self._done, self._count = done, count
        now = monotonic()
        if now >= self._next:
            self._next = now + _SECONDS_BETWEEN
            self._drawn = True  # even if the drawing is interrupted
            _draw(self._line() if self._total and done else f"{self._sum()} so far")

    def advance(self, more: int) -> None:
        """So much more is done, where the rate is of just that."""
        self.update(self._done + more, self._count + more)

    def _sum(self) -> str:
        elapsed = monotonic() - self._start
        done = f"{self._unit.number(self._done)} {self._unit.name}"
        return f"{self._verb}: {done}, {self._rate(elapsed)}, {_clock(elapsed)}"

    def _line(self) -> str:
        assert self._total
        elapsed = monotonic() - self._start
        share = min(self._done / self._total, 1)  # a file may have grown
        told = (
            f" {int(100 * share):2}%  {self._unit.number(self._done)} of "
            f"{self._unit.number(self._total)} {self._unit.name}, {self._rate(elapsed)}, "
            f"{_clock(elapsed / share - elapsed)} left"
        )
        width = min(_columns() - len(f"{self._verb}: []{told}"), _BAR_WIDTH)
        if width < _LEAST_BAR_WIDTH:
            return f"{self._verb}:{told}"
        return f"{self._verb}: [{'#' * int(share * width):.<{width}}]{told}"

    def _rate(self, elapsed: float) -> str:
        return f"{self._counted.number(self._count / elapsed)} {self._counted.name}/s"


def _draw(line: str, end: str = "") -> None:
    """Write over what stands in the line. No sequences that a terminal would have to know."""
    width = _columns()
    say(f"{line[:width]:{width}}", start="\r", end=end)


def _columns() -> int:
    """How much fits into one line; in the last column a terminal may begin the next."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        columns = 0
    return (columns or 80) - 1


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
