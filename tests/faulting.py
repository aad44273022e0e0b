"""Faults beneath an ingest: the system calls that it makes, and what happens where one fails.

What lives here: an ingest in a process of its own (the victim), tracing it, failing or killing it
at one call, and the disks that a power loss may leave of what it wrote. What must not: what must
hold afterwards; that stands in the tests.

The victim is the command line, with small batches and a small first map, so that a short input goes
through everything: making, appending, growing. It first ingests into another log, so that Python
loads nothing more afterwards, and then says "begin".
"""

from __future__ import annotations

import functools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from pithgraph.log.making import NEW_FILE
from pithgraph.log.reader import DATA_FILE, READER_FILE

BATCH_ROWS: Final = 12
MAP_BYTES: Final = 128 * 1024
# Of a disk a power loss leaves each sector as it was before a write, or as it is after.
SECTOR: Final = 512
META_BYTES: Final = 2 * 4096  # LMDB's two meta pages begin the file

_VICTIM: Final = """
import sys
from pithgraph import cli, ingestion
from pithgraph.cli import ingest
from pithgraph.cli.output import out
from pithgraph.log import LogWriter

ingestion._BATCH_ROWS = {rows}
LogWriter.open.__func__.__kwdefaults__["map_bytes"] = {map_bytes}
ingest.Bar.update = lambda bar, read, rows: out(f"reported {{rows}}")
log, warm, *further = sys.argv[1:]
{change}
if warm:
    cli._run(["ingest", "--log", warm, *further])
out("begin")
cli.main(["ingest", "--log", log, *further])
"""


def victim(
    log: Path,
    warm: Path | str,
    *further: object,
    change: str = "",
    rows: int = BATCH_ROWS,
    map_bytes: int = MAP_BYTES,
) -> list[str]:
    """The command that ingests into `log` after having done so into `warm`, if that is not empty;
    `change` is Python that plants a fault before."""
    program = _VICTIM.format(rows=rows, map_bytes=map_bytes, change=change)
    return [sys.executable, "-c", program, *map(str, (log, warm, *further))]


class Run(NamedTuple):
    """How a victim ended: its exit code (negative: the signal), whether it came as far as to begin,
    how many rows it had reported, what it said, and strace's lines about it."""

    code: int
    begun: bool
    reported: int
    error: str
    trace: list[str]


@functools.cache
def why_no_strace() -> str:
    """Why calls cannot be traced here, or nothing."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"strace may not trace: {done.stderr.strip()}"


def strace(command: Sequence[str], *options: str) -> Run:
    """Run a victim under strace. Skips the test where that cannot be."""
    if reason := why_no_strace():
        pytest.skip(reason)
    with tempfile.NamedTemporaryFile("r", errors="replace") as trace:
        done = subprocess.run(
            ["strace", "-f", "-o", trace.name, *options, *command],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        )
        lines = trace.read().splitlines()
    return as_run(done.returncode, done.stdout, done.stderr, lines)


def as_run(code: int, output: str, error: str, trace: list[str] | None = None) -> Run:
    _, begin, rest = output.partition("begin\n")
    reported = re.findall(r"^reported (\d+)$", rest, re.MULTILINE)
    return Run(code, bool(begin), int(reported[-1]) if reported else 0, error, trace or [])


# --- a fault at one call ---------------------------------------------------------------------

FILE_CALLS: Final = "%file,%desc"
_CALL: Final = re.compile(r"^\d+ +(\w+)\((.*)$")


class Call(NamedTuple):
    """The `number`-th call of this name that the process makes; of `mmap`, that it makes on the
    log's files, since the interpreter asks for memory once more or once less in another run."""

    name: str
    number: int
    text: str


def calls_of(trace: Sequence[str]) -> list[Call]:
    """The file system calls of a victim since it began. Of memory and of its own output there are
    none among them."""
    counts: Counter[str] = Counter()
    begun = False
    found = []
    for line in trace:
        if not (match := _CALL.match(line)):
            continue
        name, rest = match.groups()
        if name == "mmap" and (not begun or "MAP_ANONYMOUS" in rest):
            continue
        counts[name] += 1
        if begun:
            found.append(Call(name, counts[name], rest))
        begun = begun or rest.startswith('1, "begin')
    return found


FAULTS: Final = {
    "killed": "signal=SIGKILL",
    "EIO": "error=EIO",
    "ENOSPC": "error=ENOSPC",
}


def faulted(call: Call, fault: str, command: Sequence[str], log: Path) -> Run:
    """Run a victim with a fault at this call, and only there. The victim's log is `log`."""
    files = (DATA_FILE, NEW_FILE, READER_FILE) if call.name == "mmap" else ()
    run = strace(
        command,
        *(option for name in files for option in ("-P", str(log / name))),
        # Much quicker, but no signals are injected with it.
        *(("--seccomp-bpf",) if fault != "killed" else ()),
        *("-e", f"trace={call.name},write"),
        *("-e", f"inject={call.name}:{FAULTS[fault]}:when={call.number}"),
    )
    begin = ' write(1, "begin'
    # On the log's own files there are no calls before.
    begun = -1 if files else next((n for n, line in enumerate(run.trace) if begin in line), None)
    met = [n for n, line in enumerate(run.trace) if "(INJECTED)" in line or "SIGKILL" in line]
    assert begun is not None, "the fault met the process before it began"
    assert met, "the fault met nothing"
    assert begun < met[0], "the fault met the process before it began"
    return run


# --- what was written, and when it was synced --------------------------------------------------


class Write(NamedTuple):
    """Bytes that went into a file. `synced`: they are on the disk when the call has returned."""

    path: str
    offset: int
    data: bytes
    synced: bool


class Sync(NamedTuple):
    """A file or folder that was put on the disk."""

    path: str


class Rename(NamedTuple):
    """A file that got another name."""

    path: str
    to: str


class Made(NamedTuple):
    """A folder that was made."""

    path: str


class Linked(NamedTuple):
    """A file that got a further name."""

    path: str
    to: str


class Report(NamedTuple):
    """So many rows were reported as appended."""

    rows: int


Act = Write | Sync | Rename | Made | Linked | Report

RECORDED: Final = (
    *("-v", "-xx", "-s", "100000000"),
    "-e",
    "trace=openat,open,close,mkdir,lseek,write,writev,pwritev,pwrite64,msync,ftruncate,fallocate,"
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat",
)
"""strace's options for a trace that `acts_of` reads."""

_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def acts_of(trace: Sequence[str], folder: Path) -> list[Act]:
    """What a victim did to the files in a folder, and to folders, since it began."""
    acts: list[Act] = []
    files: dict[int, tuple[str, str]] = {}  # path and flags
    places: Counter[int] = Counter()
    begun = False
    for line in trace:
        if not (match := _CALL.match(line)):
            continue
        name, rest = match.groups()
        rest, _, answer = rest.rpartition(" = ")
        rest = rest.rstrip(" )")
        if not answer or not answer[0].isdigit():
            continue
        result = int(answer.split()[0])
        strings = [bytes.fromhex(s.replace("\\x", "")) for s in _STRING.findall(rest)]
        names = [os.path.normpath(os.fsdecode(s)) for s in strings]
        number = int(rest.split(",")[0]) if rest[:1].isdigit() else -1
        path, flags = files.get(number, ("", ""))
        inside = begun and Path(path).parent == folder
        if name in ("openat", "open"):
            files[result], places[result] = (names[0], rest), 0
        elif name == "close":
            files.pop(number, None)
        elif name == "lseek":
            places[number] = result
        elif name == "write" and number == 1:
            begun = begun or strings[0] == b"begin\n"
            if begun and strings[0].startswith(b"reported "):
                acts.append(Report(int(strings[0].split()[1])))
        elif name in ("writev", "write", "pwrite64") and inside:
            data = b"".join(strings)
            assert len(data) == result
            offset = places[number]
            if name == "pwrite64":
                offset = int(rest.rpartition(", ")[2])
            else:
                places[number] += result
            acts.append(Write(path, offset, data, "O_DSYNC" in flags))
        elif name in ("fsync", "fdatasync") and begun:
            acts.append(Sync(path))
        elif name == "rename" and begun:
            acts.append(Rename(*names))
        elif name == "mkdir" and begun:
            acts.append(Made(names[0]))
        elif name in ("link", "linkat") and begun:
            acts.append(Linked(*names))
        elif inside and os.path.basename(path).startswith("data.mdb"):
            raise AssertionError(f"{name} of {path}, which nobody has thought of")
    return acts


# --- what a power loss may leave ---------------------------------------------------------------


class Disk(NamedTuple):
    """What is on the disk when the power is back: the files of a log's folder by name, and how many
    rows had been reported."""

    files: dict[str, bytes]
    reported: int


class Cache:
    """The data file as the disk has it, and what only the system's cache has of it.

    What is assumed of a disk: what a sync has put there stays; of everything later each sector may
    be there or not, in any order; a sector is never half written.
    """

    def __init__(self) -> None:
        self.disk = bytearray()
        self.pending: list[Write] = []

    def do(self, act: Write | Sync) -> None:
        """Take a write or a sync of this file."""
        if isinstance(act, Sync):
            for write in self.pending:
                _write(self.disk, write.offset, write.data)
            self.pending = []
        elif act.synced:
            _write(self.disk, act.offset, act.data)
        else:
            self.pending.append(act)

    def lost(self, randomly: random.Random, last: Write | None = None) -> bytes:
        """The file after a power loss: before the next act, or within `last`."""
        image = bytearray(self.disk)
        share = randomly.choice((0, 0.1, 0.5, 0.9, 1))
        writes = [*self.pending, *([last] if last else [])]
        sectors = [sector for write in writes for sector in _sectors(write)]
        kept = [sector for sector in sectors if randomly.random() < share]
        randomly.shuffle(kept)
        for offset, data in kept:
            _write(image, offset, data)
        return bytes(image)


def _sectors(write: Write) -> Iterator[tuple[int, bytes]]:
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield start, write.data[start - write.offset : stop - write.offset]
        start = stop


def _write(image: bytearray, offset: int, data: bytes) -> None:
    image.extend(bytes(max(0, offset - len(image))))
    image[offset : offset + len(data)] = data


def disks_after_power_loss(acts: Sequence[Act], folder: Path, seed: int) -> Iterator[Disk]:
    """One disk for each moment of a victim's acts, in which the power may go."""
    randomly = random.Random(seed)
    caches: dict[str, Cache] = {}
    renamed: Rename | None = None  # which the folder's sync has not put on the disk yet
    reported = 0
    for act in acts:
        if isinstance(act, Write | Sync) and Path(act.path).name.startswith("data.mdb"):
            within = act if isinstance(act, Write) else None
            yield _disk(caches, act.path, within, renamed, reported, randomly)
            caches.setdefault(act.path, Cache()).do(act)
        elif isinstance(act, Sync) and Path(act.path) == folder:
            renamed = None
        elif isinstance(act, Rename):
            caches[act.to] = caches.pop(act.path)
            renamed = act
        elif isinstance(act, Report):
            reported = act.rows
        for path in caches:
            yield _disk(caches, path, None, renamed, reported, randomly)


def _disk(
    caches: dict[str, Cache],
    path: str,
    within: Write | None,
    renamed: Rename | None,
    reported: int,
    randomly: random.Random,
) -> Disk:
    files = {}
    # What is in the other files is of this process alone, and never synced.
    for name in ("writer.lock", "lock.mdb"):
        if (left := randomly.choice((None, b"", bytes(8192), bytes(131200)))) is not None:
            files[name] = left
    if (cache := caches.get(path)) is not None:
        if renamed is not None and randomly.random() < 0.5:
            path = renamed.path
        files[Path(path).name] = cache.lost(randomly, within)
    return Disk(files, reported)
