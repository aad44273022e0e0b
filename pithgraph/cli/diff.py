"""`pithgraph diff`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import click

from pithgraph.cli import FAILED, FINE, REFUSED, options
from pithgraph.cli.ingest import say_refusals
from pithgraph.cli.output import out, out_json, say
from pithgraph.cli.replay import temporary_log
from pithgraph.diffing import Difference, Side, differences
from pithgraph.documents import STATE, StateDocument, classify, view
from pithgraph.errors import DecodeError, IdentifierError, Refused
from pithgraph.identifiers import PithNumber, parse_pith_number, parse_reference
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.reader import DATA_FILE
from pithgraph.merge import State, digest_of_state
from pithgraph.replaying import find_paper, replay
from pithgraph.sources import STANDARD_INPUT, Limits, Unreadable, load_keyring, read_sources
from pithgraph.validation import Assurance


class _Paper(NamedTuple):
    """A paper of one side: by what it is sorted, its hash, and all of it when it is asked for."""

    key: tuple[str, str]
    state_sha256: str
    side: Callable[[], Side]


@click.command("diff")
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@click.argument("pith", metavar="[PITH]", required=False)
@options.assurance
@options.keyring
@options.limits
@options.json_lines
def command(
    a: str,
    b: str,
    pith: str | None,
    assurance: Assurance,
    keyring_path: str | None,
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Compare two logs, bundles, files of events or state documents: in states, and in what they
    are made of.

    A and B are each a log's folder, a file, or - for standard input. A state document is taken as
    it stands; whatever else is merged under the keyring and assurance. Of two logs all papers are
    compared, or the one that PITH names; against a file, the file's papers. For each paper that
    differs: events only in A or only in B, equivocations, aliases, fields, and whether core_sha256
    agrees, which is what mirrors with other junk and other alias dates agree in. Exit 1 where
    something differs.

    \b
    pithgraph diff my-log other-log
    pithgraph diff my-log state-N7NXYVEE.json --assurance stated
    """
    if pith is not None:
        parse_reference(pith)
    if os.path.isdir(a) and os.path.isdir(b) and os.path.samefile(a, b):
        raise click.UsageError(f"{a} and {b} are one folder: name two logs, or a log and a file")
    keyring = load_keyring(keyring_path)
    limits = Limits(max_line, max_document)
    with ExitStack() as open_things:
        sides = [
            _Source(path, open_things, keyring, assurance, limits, pith is not None)
            for path in (a, b)
        ]
        code = REFUSED if any(side.refused for side in sides) else FINE
        only = _only(sides, pith)
        told = _Told(as_json)
        for ours, theirs in _pairs(*(side.papers(only) for side in sides)):
            told.add(ours, theirs)
    told.say()
    say(f"under keyring {keyring.sha256}, assurance {assurance}")
    if told.papers == 0 and code == FINE:
        say("nothing was compared: neither side has a paper of the other's, or of that name")
        return FAILED
    return FAILED if told.differing else code


class _Source:
    """One of the two things that are compared."""

    def __init__(
        self,
        path: str,
        open_things: ExitStack,
        keyring: Keyring,
        assurance: Assurance,
        limits: Limits,
        one_paper: bool,
    ) -> None:
        self._keyring = keyring
        self._assurance = assurance
        self.refused = False
        if path == STANDARD_INPUT:  # which is read twice
            path = open_things.enter_context(_kept(sys.stdin.buffer))
        self.is_log = os.path.isdir(path) and os.path.exists(os.path.join(path, DATA_FILE))
        self.log: Log | None = None
        self._documents: list[_Paper] = []
        if self.is_log:
            self.log = open_things.enter_context(Log.open(path))
        elif (documents := _state_documents(path, limits)) is not None:
            self._documents = documents
        else:
            log = open_things.enter_context(temporary_log())
            done = ingest(log, [path], keyring=keyring, limits=limits)
            say_refusals(done)
            self.refused = done.refused > 0
            self.log = log

    def find(self, pith: str) -> PithNumber:
        """The paper that a user's text names. Raises IdentifierError."""
        if self.log is not None:
            return find_paper(self.log, pith)
        reference = parse_reference(pith)
        for paper in self._documents:
            suffix, year = paper.key
            if suffix.startswith(reference.prefix) and reference.year in (None, year):
                return PithNumber(year, suffix)
        raise IdentifierError(f"no state document here is of a paper {pith!r}")

    def names(self) -> list[PithNumber]:
        """The papers of a file."""
        if self.log is None:
            return [PithNumber(year, suffix) for (suffix, year), *_ in self._documents]
        with self.log.snapshot() as snapshot:
            return [*snapshot.papers()]

    def papers(self, only: list[PithNumber] | None) -> Iterator[_Paper]:
        """In the order of their keys, those alone that are named, or all."""
        if self.log is None:
            wanted = None if only is None else {(paper.suffix, paper.year) for paper in only}
            yield from (one for one in self._documents if wanted is None or one.key in wanted)
            return
        log = self.log
        names = only if only is None else [paper for paper in only if _holds(log, paper)]
        for state in replay(log, names, keyring=self._keyring, assurance=self._assurance):
            paper = parse_pith_number(state.pith_number)
            side = partial(_side, log, state)
            yield _Paper((paper.suffix, paper.year), state.state_sha256, side)


@contextmanager
def _kept(stream: BinaryIO) -> Iterator[str]:
    """A temporary file with what a stream holds."""
    with tempfile.NamedTemporaryFile(prefix="pithgraph-") as file:
        shutil.copyfileobj(stream, file)
        file.flush()
        yield file.name


def _only(sides: list[_Source], pith: str | None) -> list[PithNumber] | None:
    """The papers that are compared; None for all of two logs."""
    if pith is not None:
        errors = []
        for side in sides:
            try:
                return [side.find(pith)]
            except IdentifierError as error:
                errors.append(error)
        raise errors[0]
    of_files = [side.names() for side in sides if not side.is_log]
    if not of_files:
        return None
    return sorted({*of_files[0], *of_files[-1]}, key=lambda paper: (paper.suffix, paper.year))


def _holds(log: Log, paper: PithNumber) -> bool:
    with log.snapshot() as snapshot:
        counters = snapshot.counters_of(paper)
    return counters.events > 0 or counters.aliases > 0


def _side(log: Log, state: State) -> Side:
    with log.snapshot() as snapshot:
        stored = snapshot.events_of(parse_pith_number(state.pith_number))
        return Side(state.document, frozenset(one.event.sha256.hex() for one in stored))


def _state_documents(path: str, limits: Limits) -> list[_Paper] | None:
    """The papers of a file that holds state documents alone, sorted; None for another."""
    papers: dict[tuple[str, str], _Paper] = {}
    for piece in read_sources([path], limits):
        if isinstance(piece, Unreadable):
            return None
        try:
            found = classify(piece.decode())
            if found.type != STATE:
                return None
            view(found.value, StateDocument)
            paper = parse_pith_number(found.value["pith_number"])
        except (DecodeError, Refused, IdentifierError):
            return None
        stated, computed = found.value["state_sha256"], digest_of_state(found.value)
        if stated != computed:
            say(f"{path}: the state document of {paper} states {stated}, its bytes give {computed}")
        key = paper.suffix, paper.year
        papers[key] = _Paper(key, computed, partial(Side, found.value, None))
    return [papers[key] for key in sorted(papers)] or None


def _pairs(
    ours: Iterator[_Paper], theirs: Iterator[_Paper]
) -> Iterator[tuple[_Paper | None, _Paper | None]]:
    """The papers of both, side by side."""
    a, b = next(ours, None), next(theirs, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.key < b.key):
            yield a, None
            a = next(ours, None)
        elif a is None or b.key < a.key:
            yield None, b
            b = next(theirs, None)
        else:
            yield a, b
            a, b = next(ours, None), next(theirs, None)


class _Told:
    """What was compared, and printed of it."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.papers = 0
        self.differing = 0

    def add(self, ours: _Paper | None, theirs: _Paper | None) -> None:
        """Print what two papers differ in; what is equal is counted."""
        self.papers += 1
        if ours is None or theirs is None:
            self._alone(ours, theirs)
        elif ours.state_sha256 != theirs.state_sha256:
            self.differing += 1
            found = differences(ours.side(), theirs.side())
            out_json(_row(found)) if self._as_json else _print(found)

    def _alone(self, ours: _Paper | None, theirs: _Paper | None) -> None:
        self.differing += 1
        paper = ours or theirs
        assert paper is not None
        suffix, year = paper.key
        where = "a" if theirs is None else "b"
        if self._as_json:
            out_json({"pith_number": f"pith:{year}:{suffix}", "only": where})
        else:
            out(f"pith:{year}:{suffix}: only in {where.upper()}", "yellow")

    def say(self) -> None:
        """Sum up for a person."""
        say(f"papers compared: {self.papers}, differing: {self.differing}")


_PARTS = ("events", "applied", "invalid", "equivocations", "aliases")


def _row(found: Difference) -> dict[str, Any]:
    row: dict[str, Any] = {
        "pith_number": found.pith_number,
        "only": None,
        "state_sha256": [*found.state_sha256],
        "core_sha256": [*found.core_sha256],
        "core_agrees": found.core_sha256[0] == found.core_sha256[1],
    }
    for name in _PARTS:
        part = getattr(found, name)
        row[name] = None if part is None else {"only_a": [*part.a], "only_b": [*part.b]}
    row["fields"] = [field._asdict() for field in found.fields]
    return row


def _print(found: Difference) -> None:
    agrees = found.core_sha256[0] == found.core_sha256[1]
    out(f"{found.pith_number}: the states differ; core_sha256 {'agrees' if agrees else 'differs'}")
    for mark, place in (("-", 0), ("+", 1)):
        out(f"  {mark} state_sha256 {found.state_sha256[place]}")
    for name in _PARTS:
        part = getattr(found, name)
        for mark, rows, colour in (("-", part.a, "red"), ("+", part.b, "green")) if part else ():
            for row in rows:
                out(f"  {mark} {_WORDS[name]} {row}", colour)
    for field in found.fields:
        out(f"  - {field.path} {_short(field.a)}", "red")
        out(f"  + {field.path} {_short(field.b)}", "green")


_WORDS = {
    "events": "event",
    "applied": "applied",
    "invalid": "invalid",
    "equivocations": "equivocation",
    "aliases": "alias",
}


def _short(text: str) -> str:
    return text if len(text) <= 500 else f"{text[:500]}… ({len(text)} characters; --json has all)"
