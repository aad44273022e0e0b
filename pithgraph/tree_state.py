"""The file of a published tree's own, STATE_FILE: of which log and circumstances the tree is.

What lives here: its lines, and reading them beside the log's papers. What must not: writing the
tree (`publishing`).

Its first line is a head, then follows a line for each SUFFIX, in their order, with how many events
and alias rows the log held. It is read beside the log's papers, which come in the same order, and
written anew as they pass, so that nothing grows with the log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from pithgraph.identifiers import PithNumber

STATE_FILE: Final = ".pithgraph-published"
TREE_FORMAT: Final = 1

_LINE: Final = re.compile(r"([A-Z2-7]{26}) ([0-9]{1,19}) ([0-9]{1,19}) ([01])\n")


class Line(NamedTuple):
    """What a tree was made of: of all papers of a SUFFIX together, since a URL has no year.
    `aliases` is a number that stands for the rows, 0 for none."""

    suffix: str
    events: int
    aliases: int
    published: bool

    def __str__(self) -> str:
        return f"{self.suffix} {self.events} {self.aliases} {self.published:d}\n"


def side_by_side(
    groups: Iterator[tuple[Line, list[PithNumber]]], before: Iterator[Line]
) -> Iterator[tuple[tuple[Line, list[PithNumber]] | None, Line | None]]:
    """What the log holds beside what the tree was made of, by SUFFIX; None for what is not there
    on one side."""
    line = next(before, None)
    for group in groups:
        suffix = group[0].suffix
        while line is not None and line.suffix < suffix:
            yield None, line
            line = next(before, None)
        if line is not None and line.suffix == suffix:
            yield group, line
            line = next(before, None)
        else:
            yield group, None
    while line is not None:
        yield None, line
        line = next(before, None)


def lines(old: TextIO) -> Iterator[Line]:
    """The lines of an old STATE_FILE as far as they are good, and ascend."""
    last = ""
    for text in iter(partial(old.readline, 100), ""):
        found = _LINE.fullmatch(text)
        if found is None or found[1] <= last:
            return
        last = found[1]
        yield Line(last, int(found[2]), int(found[3]), found[4] == "1")


def opened(state: Path) -> TextIO:
    """An old STATE_FILE; one that is absent is read as an empty one."""
    try:
        return state.open(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return open(os.devnull, encoding="ascii")
