"""How lines are measured: in turn, round after round, beside a description of the machine.

What lives here: what a line and a result are, the rounds, the sums, the machine. What must not:
what is measured (`workloads`), and how it is shown (`run`).
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import lmdb
from cryptography.hazmat.backends.openssl import backend as openssl

import pithgraph

if TYPE_CHECKING:
    from benchmarks.workloads_given import Given

PER_EVENT: Final = "µs/event"

# --- lines -----------------------------------------------------------------------------------


class Sample(NamedTuple):
    """One measurement: a cost in the line's unit, so less is better, and of how many events."""

    value: float
    events: int | None = None


Run = Callable[[], Sample]
Prepare = Callable[["Given"], Run]


class Against(NamedTuple):
    """What a line is compared with: the line named `reference`, or, where there is none, the
    target alone. `>=` compares speeds, `<=` costs."""

    reference: str | None
    relation: Literal[">=", "<="]
    target: float | None = None


class Line(NamedTuple):
    """One line of the table. `prepare` is not measured and gives what is; `fsync` says when what
    the line writes is forced to disk; without one of `needs` the line is skipped."""

    workload: str
    name: str
    what: str
    prepare: Prepare
    against: tuple[Against, ...] = ()
    unit: str = PER_EVENT
    fsync: str = ""
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.workload}: {self.name}"


# --- results ---------------------------------------------------------------------------------


class Spread(NamedTuple):
    """The median of some numbers, and how far they spread."""

    median: float
    min: float
    max: float


class Comparison(NamedTuple):
    """A line against its reference. `ratio` is None where the reference was not measured."""

    against: Against
    ratio: Spread | None

    @property
    def met(self) -> bool | None:
        target = self.against.target
        if target is None or self.ratio is None:
            return None
        return (
            self.ratio.median >= target
            if self.against.relation == ">="
            else self.ratio.median <= target
        )


class Result(NamedTuple):
    """A line with its numbers: `value` is the spread of `samples`."""

    line: Line
    samples: tuple[float, ...]
    events: int | None
    value: Spread
    comparisons: tuple[Comparison, ...]

    @property
    def events_per_second(self) -> float | None:
        return 1e6 / self.value.median if self.line.unit == PER_EVENT else None


def measure(
    lines: Sequence[Line],
    given: Given,
    repeat: int,
    passes: dict[str, int],
    say: Callable[[str], None],
) -> list[Result]:
    """Prepare every line, then measure each once a round, in turn, so that a noisy minute hits all
    of them. A workload named in `passes` goes through its lines so often a round."""
    runs = []
    for line in lines:
        say(f"preparing {line.title}")
        runs.append((line, line.prepare(given)))
    samples: dict[str, list[Sample]] = {line.title: [] for line in lines}
    gc.collect()
    gc.freeze()  # what was prepared is no burden on what is measured
    try:
        for number in range(1, repeat + 1):
            for workload, group in groupby(runs, lambda pair: pair[0].workload):
                say(f"round {number} of {repeat}: {workload}")
                in_turn = list(group) * passes.get(workload, 1)
                for line, run in in_turn:
                    samples[line.title].append(run())
    finally:
        gc.unfreeze()
    values = {title: tuple(sample.value for sample in taken) for title, taken in samples.items()}
    return [
        Result(
            line,
            values[line.title],
            samples[line.title][-1].events,
            _spread(values[line.title]),
            tuple(Comparison(against, _ratio(line, against, values)) for against in line.against),
        )
        for line in lines
    ]


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def _ratio(line: Line, against: Against, values: dict[str, tuple[float, ...]]) -> Spread | None:
    """Each measurement by the reference's of the same round and pass."""
    mine = values[line.title]
    if against.reference is None:
        return _spread(mine)
    if against.reference not in values:
        return None
    pairs = zip(mine, values[against.reference], strict=True)
    if against.relation == ">=":
        return _spread([its / own for own, its in pairs])
    return _spread([own / its for own, its in pairs])


# --- the machine -----------------------------------------------------------------------------

_PACKAGES: Final = ("msgspec", "cryptography", "pynacl", "lmdb", "zstandard", "click")


def machine(folder: Path) -> dict[str, Any]:
    """Where a run was made; `folder` is where it writes. Of Linux where /proc tells."""
    return {
        "cpu": _first(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory": _first(Path("/proc/meminfo"), "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pithgraph": pithgraph.__version__,
        **{name: _version(name) for name in _PACKAGES},
        "openssl": openssl.openssl_version_text(),
        "liblmdb": ".".join(map(str, lmdb.version())),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _first(path: Path, name: str) -> str | None:
    """What a file of `name: value` lines says first of a name."""
    if not path.exists():
        return None
    for line in path.read_text("utf-8").splitlines():
        found, _, value = line.partition(":")
        if found.strip() == name:
            return value.strip()
    return None


def _filesystem(folder: Path) -> str | None:
    """The type of the filesystem that holds a folder."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    real = folder.resolve()
    found = [
        (len(place), kind)
        for _, place, kind, *_ in map(str.split, mounts.read_text("utf-8").splitlines())
        if real.is_relative_to(place)
    ]
    return max(found, default=(0, None), key=lambda pair: pair[0])[1]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
