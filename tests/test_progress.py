"""Long runs of the command line: the bar that a person sees, worker processes, and their end."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import pithgraph
from benchmarks import corpus
from pithgraph import ingestion, workers
from pithgraph.cli import progress
from pithgraph.errors import PithgraphError

SEED = 7
# A bar shows itself after half a second; here at once.
AT_ONCE = (
    "from pithgraph.cli import main, progress; progress._QUIET_SECONDS = 0; "
    "__name__ == '__main__' and main()"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
KEPT = "every finished batch is in the log, run the ingest again to go on"


class Corpus(NamedTuple):
    """Valid events, two a paper, in a file."""

    path: Path
    keyring: Path
    lines: list[bytes]

    def states(self, log: Path) -> list[str]:
        keyring = pithgraph.load_keyring(self.keyring)
        with pithgraph.Log.open(log) as opened:
            return [state.state_sha256 for state in pithgraph.replay(opened, keyring=keyring)]


def written(folder: Path, papers: int) -> Corpus:
    made = Corpus(
        folder / "events.jsonl",
        folder / "keyring.json",
        [line + b"\n" for line in corpus.lines(papers, SEED, corpus.PLAIN)],
    )
    made.path.write_bytes(b"".join(made.lines))
    made.keyring.write_text(json.dumps(corpus.keyring(SEED, corpus.PLAIN)))
    return made


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = written(tmp_path_factory.mktemp("large"), 1000)
    assert made.path.stat().st_size > workers._WORTH_WORKERS
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return written(tmp_path_factory.mktemp("small"), 20)


# --- the bar ---------------------------------------------------------------------------------


def on_terminal(
    *arguments: object, feed: bytes = b"", results: bool = False, interrupt_at: bytes = b""
) -> tuple[int, str]:
    """Run the program with standard error, and results if asked, on a terminal, until it ends or
    shows this: its exit code, and all that was shown, each drawing of a line as one."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=slave if results else subprocess.DEVNULL,
        stderr=slave,
        env=ENVIRONMENT,
    )
    os.close(slave)
    limit = threading.Timer(60, process.kill)
    limit.start()
    with process, open(master, "rb", buffering=0) as terminal:
        assert process.stdin is not None
        process.stdin.write(feed)
        if not interrupt_at:
            process.stdin.close()
        shown = b""
        with suppress(OSError):  # how a terminal ends
            while more := terminal.read(1 << 16):
                shown += more
                if interrupt_at and interrupt_at in shown:
                    process.send_signal(signal.SIGINT)
    limit.cancel()
    return process.returncode, shown.decode().replace("\r\n", "\n").replace("\r", "\n")


BAR = r"\[#*\.*\] +\d+%  [\d,.]+ of [\d,.]+"


def test_an_ingest_shows_how_far_it_is(small: Corpus, tmp_path: Path) -> None:
    arguments = ("ingest", "--log", tmp_path / "log", "--keyring", small.keyring)
    code, shown = on_terminal(*arguments, small.path)
    assert code == 0
    first, last = shown.split("\n")[1:3]
    told = rf"ingest: {BAR} MB, [\d,]+ events/s, \d:\d\d left"
    assert re.fullmatch(told, first.rstrip())
    assert re.fullmatch(r"ingest: [\d.]+ MB, [\d,]+ events/s, \d:\d\d", last.rstrip())
    code, shown = on_terminal(*arguments, "-", feed=small.path.read_bytes())
    assert code == 0
    assert re.search(r"\ningest: [\d.]+ MB, [\d,]+ events/s, \d:\d\d so far\s*\n", shown)
    assert "%" not in shown


@pytest.mark.longer
def test_replay_and_audit_show_it_beside_results_that_go_elsewhere(
    small: Corpus, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with pithgraph.LogWriter.open(log) as opened:
        pithgraph.ingest(opened, [small.path], keyring=pithgraph.load_keyring(small.keyring))
    replayed = rf"\nreplay: {BAR} papers, [\d,]+ papers/s, \d:\d\d left\s*\n"
    ingested = rf"\ningest: {BAR} MB, [\d,]+ events/s, \d:\d\d left\s*\n"
    audited = rf"\naudit: {BAR} MB, [\d,.]+ MB/s, \d:\d\d left\s*\n"
    for verb, expected in (
        (("replay", "--log", log), [replayed]),
        (("replay", small.path), [ingested, replayed]),
        (("audit", small.path), [audited]),
    ):
        arguments = (*verb, "--keyring", small.keyring)
        code, shown = on_terminal(*arguments)
        assert code == 0
        found = [re.search(told, shown) for told in expected]
        assert None not in found, shown
        code, shown = on_terminal(*arguments, results=True)
        assert code == 0
        assert "/s, " not in shown
        assert len(shown.splitlines()) > 40


def test_nothing_is_drawn_where_no_terminal_is(small: Corpus, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, "ingest", "--log", str(tmp_path / "log"), small.path],
        capture_output=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.longer
def test_an_interrupt_finishes_the_line(tmp_path: Path) -> None:
    junk = (b"7" + b" " * 400 + b"\n") * (4 * ingestion._BATCH_ROWS)
    arguments = ("ingest", "--log", tmp_path / "log", "--workers", 0, "-")
    code, shown = on_terminal(*arguments, feed=junk, interrupt_at=b"so far")
    assert code == 130
    assert re.fullmatch(rf"(\ningest: .* so far *)+\ninterrupted; {KEPT}\n", shown)


class Terminal(io.StringIO):
    """Keeps what is drawn, the width of which it does not say."""

    def isatty(self) -> bool:
        return True

    @property
    def drawn(self) -> list[str]:
        return self.getvalue().split("\r")[1:]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()

    def say(text: str, *, start: str = "", end: str = "\n") -> None:
        made.write(start + text + end)

    # Not sys.stderr itself, which pytest sets back between the fixture and the test.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setattr(progress, "say", say)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Says what time it is from now on."""

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(progress, "monotonic", lambda: seconds)

    set_to(0)
    return set_to


Clock = Callable[[float], None]
papers = partial(progress.Bar, "replay", unit=progress.PAPERS)


def test_it_is_drawn_ten_times_a_second_and_not_for_what_is_quick(
    terminal: Terminal, clock: Clock
) -> None:
    with papers(total=lambda: 10_000_000) as bar:
        for milliseconds in range(4000):
            clock(milliseconds / 1000)
            bar.advance(1000)
            assert bool(terminal.drawn) == (milliseconds >= 500)
        clock(4000)
    *drawn, last = terminal.drawn
    assert 30 <= len(drawn) <= 35
    assert {len(line) for line in drawn} == {79}
    told = "replay:  5%  501,000 of 10,000,000 papers, 1,002,000 papers/s, 0:09 left"
    assert drawn[0].rstrip() == told
    assert last.endswith("\n")
    assert last.rstrip() == "replay: 4,000,000 papers, 1,000 papers/s, 1:06:40"


def test_what_is_quick_leaves_no_line(terminal: Terminal, clock: Clock) -> None:
    with papers(total=lambda: 1) as bar:
        clock(0.4)
        bar.advance(1)
    assert terminal.getvalue() == ""


def test_more_than_the_total_and_a_total_of_nothing(terminal: Terminal, clock: Clock) -> None:
    for total in (2, 0):
        clock(0)
        with papers(total=lambda total=total: total) as bar:
            clock(100)
            bar.advance(0)
            clock(200)
            bar.advance(3)
    lines = [line.rstrip() for line in terminal.drawn]
    assert lines[0] == "replay: 0 papers, 0 papers/s, 1:40 so far"
    assert lines[1].endswith("] 100%  3 of 2 papers, 0 papers/s, 0:00 left")
    assert lines[4] == "replay: 3 papers, 0 papers/s, 3:20 so far"


@pytest.mark.parametrize("width", [0, 1, 20, 55, 300])
def test_a_line_is_never_longer_than_the_terminal(
    width: int, terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((width, 24)))
    with papers(total=lambda: 10) as bar:
        clock(1)
        bar.advance(5)
    assert {len(line.rstrip("\n")) for line in terminal.drawn} == {(width or 80) - 1}
    assert ("[" in terminal.getvalue()) == (width in (0, 300))


def test_an_error_has_a_line_of_its_own(terminal: Terminal, clock: Clock) -> None:
    def fail() -> None:
        with papers(total=lambda: 10) as bar:
            clock(1)
            bar.advance(5)
            raise PithgraphError("x")

    with pytest.raises(PithgraphError):
        fail()
    assert len(terminal.drawn) == 1
    assert terminal.drawn[0].endswith("\n")
    assert terminal.getvalue().count("\n") == 1


# --- worker processes ------------------------------------------------------------------------


def ingest(log: Path, made: Corpus, workers: int) -> dict[str, int]:
    """Run the program to its end; what it prints."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pithgraph", "ingest", "--log", log, made.path, "--json"),
            *("--keyring", made.keyring, "--workers", str(workers)),
        ],
        capture_output=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    result: dict[str, int] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def states(large: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What an undisturbed ingest without workers gives."""
    log = tmp_path_factory.mktemp("states") / "log"
    ingest(log, large, workers=0)
    return large.states(log)


@pytest.mark.longer
@pytest.mark.parametrize("count", [1, 2])
def test_so_many_workers_give_the_same_states(
    count: int, large: Corpus, states: list[str], tmp_path: Path
) -> None:
    done = ingest(tmp_path / "log", large, workers=count)
    assert done["appended"] == len(large.lines)
    assert len(states) == len(large.lines) // 2
    assert large.states(tmp_path / "log") == states


def group_of(leader: int) -> dict[int, str]:
    """The command lines of all living processes of a group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, group = (path / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state != "Z":
                found[int(path.name)] = (path / "cmdline").read_text()
    return found


def workers_of(leader: int) -> list[int]:
    return [number for number, command in group_of(leader).items() if "spawn_main" in command]


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 30 seconds")


def held(log: Path) -> int:
    """How many events another process has put into a log by now."""
    try:
        with pithgraph.Log.open(log) as opened, opened.snapshot() as snapshot:
            return snapshot.size
    except pithgraph.LogError:
        return 0


BATCH_ROWS = 100
SMALL_BATCHES = (
    f"from pithgraph import cli, ingestion; ingestion._BATCH_ROWS = {BATCH_ROWS}; "
    "__name__ == '__main__' and cli.main()"
)


@contextmanager
def under_way(log: Path, made: Corpus) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest with two workers that has finished a batch, and has no end of input."""
    options = ["--log", str(log), "--keyring", str(made.keyring), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL_BATCHES, "ingest", *options, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
        env=ENVIRONMENT,
    )
    with process:
        try:
            assert process.stdin is not None
            # Thrice, since the workers hold back some megabytes while there may be more.
            for line in made.lines * 3:
                process.stdin.write(line)
            process.stdin.flush()
            wait_until(lambda: held(log))
            assert len(workers_of(process.pid)) == 2
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ctrl_c(leader: int) -> None:
    os.killpg(leader, signal.SIGINT)


def impatient_ctrl_c(leader: int) -> None:
    for _ in range(5):
        os.killpg(leader, signal.SIGINT)
        time.sleep(0.01)


def terminate(leader: int) -> None:
    os.kill(leader, signal.SIGTERM)


def kill_a_worker(leader: int) -> None:
    os.kill(workers_of(leader)[0], signal.SIGKILL)


INTERRUPTED = f"\ninterrupted; {KEPT}\n"
BROKEN = (
    "error: a worker process ended before its work was done, perhaps for want of memory; every "
    "finished batch is in the log, ingest again to go on\n"
)


@pytest.mark.longer
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (ctrl_c, 130, INTERRUPTED),
        (impatient_ctrl_c, 130, INTERRUPTED),
        (terminate, 130, INTERRUPTED),
        (kill_a_worker, 3, BROKEN),
    ],
    ids=["ctrl_c", "impatient_ctrl_c", "terminate", "kill_a_worker"],
)
def test_what_was_finished_is_kept_and_nobody_is_left_behind(
    end: Callable[[int], None],
    code: int,
    says: str,
    large: Corpus,
    states: list[str],
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with under_way(log, large) as process:
        end(process.pid)
        _, error = process.communicate(timeout=30)
        wait_until(lambda: not group_of(process.pid))
    assert (process.returncode, error.decode()) == (code, says)
    kept = held(log)
    assert kept > 0
    assert kept % BATCH_ROWS == 0
    done = ingest(log, large, workers=0)
    assert (done["appended"], done["duplicates"]) == (len(large.lines) - kept, kept)
    assert large.states(log) == states
