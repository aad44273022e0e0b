"""What is measured of whole processes: how fast one starts, and how much memory one takes.

What lives here: starting processes and watching them. What must not: which lines there are
(`workloads`).
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from benchmarks.measure import Run, Sample
from benchmarks.workloads_given import Given, expect, keyring_file_of, log_of, source_of
from pithgraph.log import Log

_ROOT: Final = Path(__file__).resolve().parents[1]
_EVERY_SECONDS: Final = 0.02

# --- open ------------------------------------------------------------------------------------

COMMANDS: Final = {
    "nothing": ("-c", "pass"),
    "click": ("-c", "import click"),
    "version": ("-m", "pithgraph", "--version"),
}


def start(_: Given, *, command: str) -> Run:
    """A new interpreter, from its start to its end, in milliseconds."""

    def run() -> Sample:
        begun = perf_counter()
        subprocess.run(
            [sys.executable, *COMMANDS[command]], cwd=_ROOT, check=True, stdout=subprocess.DEVNULL
        )
        return Sample((perf_counter() - begun) * 1e3)

    run()  # what is imported is compiled now
    return run


def open_log(given: Given) -> Run:
    """A log opened, a snapshot taken, the log closed, in this process; milliseconds."""
    path = given.once(log_of, "plain")

    def run() -> Sample:
        begun = perf_counter()
        with Log.open(path) as log, log.snapshot() as snapshot:
            size = snapshot.size
        seconds = perf_counter() - begun
        expect("events", size, given.events)
        return Sample(seconds * 1e3, given.events)

    return run


# --- memory ----------------------------------------------------------------------------------

_INGEST: Final = """
import sys
import pithgraph
source, keyring, folder, workers = sys.argv[1:]
with pithgraph.LogWriter.open(folder) as log:
    keys = pithgraph.load_keyring(keyring)
    done = pithgraph.ingest(log, [source], keyring=keys, workers=int(workers))
print(done.appended)
"""


def memory(given: Given, *, workers: int) -> Run:
    """The most anonymous memory that one process of an ingest holds, in megabytes."""
    source = given.once(source_of, "usual")
    keyring = given.once(keyring_file_of)

    def run() -> Sample:
        with given.empty_folder() as folder:
            arguments = [source.path, keyring, folder, workers]
            process = subprocess.Popen(
                [sys.executable, "-c", _INGEST, *map(str, arguments)],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
            )
            most = 0
            while process.poll() is None:
                most = max(most, *map(_anonymous, _family(process.pid)))
                sleep(_EVERY_SECONDS)
            output = process.communicate()[0]
        expect("exit code", process.returncode, 0)
        expect("appended", int(output), source.distinct)
        return Sample(most / 1e6, source.lines)

    return run


def _family(process: int) -> list[int]:
    """A process, and all below it."""
    found = [process]
    for pid in found:  # it grows meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):  # it has ended
                found += map(int, children.read_text("ascii").split())
    return found


def _anonymous(process: int) -> int:
    """The bytes that a process holds beside mapped files, such as a log's map."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0  # it has ended
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
