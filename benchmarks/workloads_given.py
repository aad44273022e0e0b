"""What the workloads work on: corpora, keyring, logs, each made once a run, when first asked for.

What lives here: making inputs, and asking whether results are right. What must not: measuring.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from benchmarks import corpus
from benchmarks.corpus import PLAIN, USUAL
from benchmarks.measure import Sample
from pithgraph import keys
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter
from pithgraph.replaying import replay

SEED: Final = 1
SHAPES: Final = {"plain": PLAIN, "usual": USUAL}
# How many processes verify where a log is made that others are measured on.
_WORKERS: Final = 2

Made = TypeVar("Made")


class Source(NamedTuple):
    """A corpus in a file: its lines, and how many of them differ."""

    path: Path
    lines: int
    distinct: int


class Given:
    """The inputs of one run, in `folder`, which the caller removes. `repeat` is how often each
    line will be measured; `stack` closes what must be closed."""

    def __init__(self, folder: Path, events: int, repeat: int, stack: ExitStack) -> None:
        self.folder = folder
        self.events = events
        self.repeat = repeat
        self.stack = stack
        self._made: dict[tuple[object, ...], Any] = {}
        self._numbers = count()

    def once(self, make: Callable[..., Made], *arguments: object) -> Made:
        """What `make` gives for these arguments, made when first asked for."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        made: Made = self._made[key]
        return made

    def new_path(self) -> Path:
        return self.folder / f"{next(self._numbers)}"

    @contextmanager
    def empty_folder(self) -> Iterator[Path]:
        """A new folder, removed afterwards."""
        folder = self.new_path()
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def agree(self, what: str, found: object) -> None:
        """Raise unless everybody who reports about `what` found the same."""
        expect(what, found, self._made.setdefault((what,), found))


def expect(what: str, found: object, expected: object) -> None:
    """Raise unless a measured line did what it was measured for."""
    if found != expected:
        raise RuntimeError(f"{what}: found {found!r}, expected {expected!r}")


# --- inputs, for `Given.once` ----------------------------------------------------------------


def keyring_of(_: Given) -> Keyring:
    return Keyring.from_value(corpus.keyring(SEED))


def keyring_file_of(given: Given) -> Path:
    path = given.new_path()
    path.write_text(json.dumps(corpus.keyring(SEED)), "utf-8")
    return path


def source_of(given: Given, shape: str) -> Source:
    """The first `--events` lines of a corpus."""
    path = given.new_path().with_suffix(".jsonl")
    lines = islice(corpus.lines(given.events, SEED, SHAPES[shape]), given.events)
    return write_source(path, lines)


def write_source(path: Path, lines: Iterator[bytes]) -> Source:
    seen = set()
    number = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            seen.add(hashlib.sha256(line).digest())
            number += 1
    return Source(path, number, len(seen))


def log_of(given: Given, shape: str, compress: bool = False) -> Path:
    """A log that has ingested a corpus."""
    return make_log(given, given.once(source_of, shape), compress)


def make_log(given: Given, source: Source, compress: bool = False) -> Path:
    folder = given.new_path()
    with LogWriter.open(folder, compress=compress) as log:
        keyring = given.once(keyring_of)
        done = ingest(log, [source.path], keyring=keyring, workers=_WORKERS)
    expect("appended", done.appended, source.distinct)
    return folder


def canonical_of(given: Given, shape: str) -> list[bytes]:
    """The canonical bytes of every event of a log."""
    with Log.open(given.once(log_of, shape)) as log, log.snapshot() as snapshot:
        return [snapshot.event_at(at).event.canonical for at in range(snapshot.size)]


# --- helpers of workloads --------------------------------------------------------------------


def missing(need: str) -> str | None:
    """Why something that a line needs is not there, or None."""
    if need == "pynacl" and need not in keys.BACKENDS:
        return "PyNaCl is not installed, or too old: pip install 'pithgraph[fast]'"
    if need == "zstandard" and importlib.util.find_spec(need) is None:
        return "zstandard is not installed: pip install 'pithgraph[fast]'"
    if need == "/proc" and not Path("/proc/self/status").exists():
        return "only Linux's /proc tells how much memory of a process is its own"
    return None


@contextmanager
def verifying_with(backend: str) -> Iterator[None]:
    """Within, pithgraph verifies with this backend."""
    keys.use_backend(backend)
    try:
        yield
    finally:
        keys.use_backend()


def seconds_of(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def per_event(seconds: float, events: int) -> Sample:
    return Sample(seconds * 1e6 / events, events)


def states_digest(path: Path, keyring: Keyring) -> str:
    """One digest of all states of a log."""
    with Log.open(path) as log:
        hashes = (state.state_sha256 for state in replay(log, keyring=keyring))
        return hashlib.sha256("".join(hashes).encode()).hexdigest()
