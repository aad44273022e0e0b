"""Every conformance case of `fixtures/cases` gives its expected states, byte for byte.

By all ways: merged from values; through the log all at once, one row at a time, in random batches,
in any permutation, duplicated, reopened at every border of a batch, and however the log is kept;
and by the oracle, which shares no code with the engine.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

import oracle
from pithgraph import keys
from pithgraph.canonical import decode
from pithgraph.entries import AliasEntry, EventEntry, entries_of
from pithgraph.errors import DecodeError
from pithgraph.ingestion import new_rows
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, layout
from pithgraph.log.batch import New
from pithgraph.merge import PaperAlias, merge_events
from pithgraph.replaying import replay
from pithgraph.sources import Piece, read_sources

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())


class Case:
    """One folder of `fixtures/cases`, as its README describes it."""

    def __init__(self, name: str) -> None:
        self.folder = CASES / name
        head = json.loads((self.folder / "case.json").read_bytes())
        self.assurance = head["assurance"]
        self.papers = head["papers"]
        self.keyring = Keyring.from_bytes((self.folder / "keyring.json").read_bytes())
        self.inputs = [
            str(path)
            for path in sorted(self.folder.iterdir())
            if path.is_file() and path.name not in ("case.json", "keyring.json")
        ]
        self.expected = {
            _pith_number(path): path.read_bytes() for path in self.folder.glob("expected/*.json")
        }

    def rows(self) -> list[New]:
        return list(new_rows(read_sources(self.inputs), self.keyring))

    def states_of(self, log: Log) -> dict[str, bytes]:
        states = replay(log, keyring=self.keyring, assurance=self.assurance)
        return {state.pith_number: state.canonical + b"\n" for state in states}


def _pith_number(path: Path) -> str:
    year, suffix = path.stem.split("-")
    return f"pith:{year}:{suffix}"


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_there_are_cases_and_each_lists_its_papers() -> None:
    assert len(NAMES) >= 60
    for name in NAMES:
        case = Case(name)
        assert sorted(case.expected) == case.papers, name
        assert case.inputs, name


@pytest.mark.longer
def test_the_maker_makes_these_very_cases() -> None:
    maker = [sys.executable, str(CASES.parent / "make_cases.py"), "--check"]
    done = subprocess.run(maker, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(NAMES)} cases, 0 files differ\n"


def test_merged_from_values(case: Case) -> None:
    events, aliases = [], []
    for piece in read_sources(case.inputs):
        assert isinstance(piece, Piece)
        try:
            entries = list(entries_of(decode(piece.data), keyring=case.keyring))
        except DecodeError:
            continue
        events += [entry.event for entry in entries if isinstance(entry, EventEntry)]
        aliases += [entry for entry in entries if isinstance(entry, AliasEntry)]
    papers = {event.subject for event in events} | {alias.pith_number for alias in aliases}
    assert sorted(papers) == case.papers
    for paper in papers:
        state = merge_events(
            paper,
            events,
            [PaperAlias(*alias[1:]) for alias in aliases if alias.pith_number == paper],
            case.keyring,
            case.assurance,
        )
        assert state.canonical + b"\n" == case.expected[paper]


def test_by_the_oracle(case: Case) -> None:
    states = oracle.run_case(case.folder)
    assert {
        name: oracle.canonical(state) + b"\n" for name, state in states.items()
    } == case.expected


Batches = Callable[[list[New], random.Random], Iterable[list[New]]]


def _all_at_once(rows: list[New], _: random.Random) -> Iterable[list[New]]:
    yield rows


def _one_at_a_time(rows: list[New], _: random.Random) -> Iterable[list[New]]:
    return ([row] for row in rows)


def _random_batches(rows: list[New], chance: random.Random) -> Iterable[list[New]]:
    start = 0
    while start < len(rows):
        end = start + chance.randint(1, 7)
        yield rows[start:end]
        start = end


def _permuted(rows: list[New], chance: random.Random) -> Iterable[list[New]]:
    return _random_batches(chance.sample(rows, len(rows)), chance)


def _duplicated(rows: list[New], chance: random.Random) -> Iterable[list[New]]:
    more = rows + chance.sample(rows, len(rows)) + rows[:1] * 3
    return _random_batches(more, chance)


LONGER_WAYS: list[Batches] = [_all_at_once, _random_batches, _duplicated]


@pytest.mark.parametrize(
    "way",
    [
        _one_at_a_time,
        _permuted,
        *(pytest.param(way, marks=pytest.mark.longer) for way in LONGER_WAYS),
    ],
    ids=lambda way: way.__name__.strip("_"),
)
def test_through_the_log(case: Case, way: Batches, tmp_path: Path) -> None:
    chance = random.Random(case.folder.name)
    with LogWriter.open(tmp_path / "log") as log:
        for batch in way(case.rows(), chance):
            log.append(batch)
        assert case.states_of(log) == case.expected


class Kept(NamedTuple):
    """How a log is kept: the library that verifies, and what is constant otherwise."""

    backend: str
    compress: bool
    constants: dict[str, int]


NO_ID = len("sha256:")
KEPT = {
    "small blocks": Kept("cryptography", False, {"BLOCK_BYTES": 600, "_SHORT_ID": NO_ID}),
    "compressed": Kept("cryptography", True, {"BLOCK_BYTES": 3000, "MAX_CLASSES": 1}),
    "no classes": Kept(list(keys.BACKENDS)[-1], False, {"MAX_CLASSES": 0}),
}


@pytest.mark.longer
@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_through_the_log_however_it_is_kept(
    case: Case, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept.compress:
        pytest.importorskip("zstandard")
    for name, value in kept.constants.items():
        monkeypatch.setattr(layout, name, value)
    chance = random.Random(case.folder.name)
    keys.use_backend(kept.backend)
    try:
        for batch in _random_batches(case.rows(), chance):
            with LogWriter.open(tmp_path / "log", compress=kept.compress) as log:
                log.append(batch)
        with Log.open(tmp_path / "log") as log:
            assert case.states_of(log) == case.expected
    finally:
        keys.use_backend()


@pytest.mark.longer
def test_through_the_log_reopened_at_every_border(case: Case, tmp_path: Path) -> None:
    chance = random.Random(case.folder.name)
    for batch in _permuted(case.rows(), chance):
        with LogWriter.open(tmp_path / "log") as log:
            log.append(batch)
    with LogWriter.open(tmp_path / "log") as log:
        assert case.states_of(log) == case.expected
