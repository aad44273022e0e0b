"""Durability: what was reported as appended survives kills, failing calls and power losses.

Every file system call of an ingest is failed in turn, by a kill, by EIO and by ENOSPC: into a new
log, into one that is there, and into a compressed one. Every moment of an ingest into a new log
loses the power. After each the log checks clean, holds what it held and what was reported, takes
the rest, and is the one that an undisturbed ingest makes: the same tree over the same events, the
same states. Of a repair the order of its syncs is held; what it makes of a damaged log stands in
`test_repair`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import faulting
import signing
from damage import Damage, Patient
from faulting import BATCH_ROWS, FAULTS, META_BYTES, SECTOR, Act, Call, Report, Run, Sync, Write
from pithgraph.errors import LogError
from pithgraph.fsck import Fsck
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter
from pithgraph.log.reader import DATA_FILE, READER_FILE
from pithgraph.log.snapshot import COMPRESSION, DICTIONARY
from pithgraph.log.writer import REPAIR_FOLDER
from pithgraph.replaying import replay
from signing import OTHER_PAPER, PAPER, SIGNERS, at, canonical, signed_event

KEYRING = Keyring.from_value(signing.keyring_value())
EVENTS = 4 * BATCH_ROWS
HALF = EVENTS // 2 + 5  # so that some batch brings what is there and what is new
DOCUMENTED = {0, 2, 3, 4}  # SPEC §11, of an ingest that nobody interrupts; 2: no such keyring
# So that a single batch makes a dictionary.
FEW_TRAIN = f"""
from pithgraph.log import compression
compression.TRAINING_EVENTS, compression._DICTIONARY_BYTES = {BATCH_ROWS}, 256
"""


def events(count: int) -> bytes:
    """That many valid events of all kinds and two papers, as JSON Lines, and an alias row."""
    kinds = sorted(SIGNERS)
    lines = [
        canonical(
            signed_event(
                kinds[number % len(kinds)],
                paper=(PAPER, OTHER_PAPER)[number % 2],
                created_at=at(number % 60),
                note=f"{number}",
            )
        )
        for number in range(count)
    ]
    alias = {"pith_number": PAPER.number, "alias_kind": "doi", "alias_value": "10.1/1"}
    lines.append(canonical({"alias": alias | {"created_at": at(1)}}))
    return b"".join(line + b"\n" for line in lines)


class Held(NamedTuple):
    """How many events a log holds, and the root of its tree."""

    size: int
    root: bytes


NOTHING = Held(0, hashlib.sha256(b"").digest())


class Input(NamedTuple):
    """What a victim reads, and what an undisturbed ingest makes of it. `start` is the log that it
    finds, of which each has a copy, and `held` what that holds."""

    path: Path
    keyring: Path
    whole: str
    options: tuple[str, ...] = ()
    change: str = ""
    start: Path | None = None
    held: Held = NOTHING

    def command(
        self, log: Path, warm: Path | str = "", *, workers: int = 0, change: str = "", **how: Any
    ) -> list[str]:
        """A victim that ingests this into a log, and does not lay out what it finds there."""
        further = ("--keyring", self.keyring, "--workers", workers, *self.options, self.path)
        return faulting.victim(log, warm, *further, change=self.change + change, **how)

    def lay_out(self, log: Path) -> None:
        """Put there what a victim finds."""
        if self.start is not None:
            shutil.copytree(self.start, log)


def make_input(folder: Path, count: int) -> Input:
    path, keyring = folder / "events.jsonl", folder / "keyring.json"
    path.write_bytes(events(count))
    keyring.write_bytes(canonical(signing.keyring_value()))
    with LogWriter.open(folder / "undisturbed") as log:
        ingest(log, [path], keyring=KEYRING)
    return Input(path, keyring, summary(folder / "undisturbed"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Input:
    return make_input(tmp_path_factory.mktemp("input"), EVENTS)


@pytest.fixture(scope="module")
def half_full(small: Input, tmp_path_factory: pytest.TempPathFactory) -> Input:
    """Into a log that is there, as a victim leaves it that had less to read."""
    folder = tmp_path_factory.mktemp("half")
    lines = small.path.read_bytes().splitlines(keepends=True)
    (folder / "half.jsonl").write_bytes(b"".join(lines[:HALF]))
    start = folder / "log"
    half = small._replace(path=folder / "half.jsonl")
    subprocess.run(half.command(start), check=True, capture_output=True)
    given = small._replace(start=start, held=held(start))
    assert given.held.size == HALF
    return given


@pytest.fixture(scope="module")
def compressed(small: Input) -> Input:
    """Into a compressed log, of which the first batch makes the dictionary."""
    return small._replace(options=("--compress",), change=FEW_TRAIN)


@pytest.fixture(scope="module", params=["new"])
def given(request: pytest.FixtureRequest) -> Input:
    """Tests are on a new log where they name no other."""
    name = {"new": "small"}.get(request.param, request.param)
    found: Input = request.getfixturevalue(name)
    return found


def held(folder: Path) -> Held:
    """What a log holds, if there is one."""
    if not (folder / DATA_FILE).exists():
        return NOTHING
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return Held(snapshot.size, snapshot.root())


def check_has(folder: Path, before: Held) -> None:
    """That a log begins with the events that it held before."""
    if before == NOTHING:
        return
    assert (folder / DATA_FILE).exists(), "the log is gone"
    with Log.open(folder) as log, log.snapshot() as snapshot:
        assert snapshot.size >= before.size, "events that the log held are gone"
        assert snapshot.root(before.size) == before.root, "events that the log held are others now"


def summary(folder: Path) -> str:
    """A log's size and the root of its tree, and a digest over all states."""
    states = hashlib.sha256()
    with Log.open(folder) as log:
        for state in replay(log, keyring=KEYRING):
            states.update(state.canonical)
        with log.snapshot() as snapshot:
            return f"{snapshot.size} {snapshot.root().hex()} {states.hexdigest()}"


def check_clean(folder: Path, reported: int) -> int:
    """That a log has no fault and what was reported of it; how many events it has."""
    if not (folder / DATA_FILE).exists():
        assert reported == 0
        return 0
    check = Fsck(folder, keyring=KEYRING)
    assert list(check) == []
    assert check.pages_skipped == ""
    assert check.sums is not None
    # A source that fails in the middle is a refused row.
    assert check.sums.events + check.sums.aliases + check.sums.refused >= reported
    return check.sums.events


def check_goes_on(folder: Path, reported: int, given: Input) -> None:
    """That a log is clean, has what was there and what was reported, and that ingesting again
    completes it."""
    check_clean(folder, reported)
    check_has(folder, given.held)
    with LogWriter.open(folder, compress="--compress" in given.options) as log:
        ingest(log, [given.path], keyring=KEYRING)
    assert summary(folder) == given.whole
    check_clean(folder, reported)


# --- a fault at each call --------------------------------------------------------------------


@pytest.fixture(scope="module")
def calls(given: Input, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The calls of an undisturbed victim."""
    # As deep as those of `check_fault`: each part of a path is asked for.
    folder = tmp_path_factory.mktemp("undisturbed") / "once"
    folder.mkdir()
    log = folder / "log"
    given.lay_out(log)
    run = faulting.strace(given.command(log, folder / "warm"), "-e", f"trace={faulting.FILE_CALLS}")
    assert (run.code, run.reported, run.error) == (0, EVENTS + 1, "")
    assert summary(log) == given.whole
    with Log.open(log) as made, made.snapshot() as snapshot:
        is_trained = snapshot.raw(b"meta", DICTIONARY) is not None
    assert is_trained == ("--compress" in given.options)
    assert (log / DATA_FILE).stat().st_size > faulting.MAP_BYTES  # it has grown the map
    return faulting.calls_of(run.trace)


def check_fault(call: Call, fault: str, given: Input, folder: Path) -> None:
    folder.mkdir()
    log = folder / "log"
    given.lay_out(log)
    run = faulting.faulted(call, fault, given.command(log, folder / "warm"), log)
    if fault == "killed":
        assert run.code == -signal.SIGKILL
    else:
        check_said(run, given, log)
    check_goes_on(log, run.reported, given)
    shutil.rmtree(folder)


def check_said(run: Run, given: Input, log: Path) -> None:
    """That a victim met an error as it should: a documented code, and a sentence with it."""
    assert run.code in DOCUMENTED
    assert "Traceback" not in run.error
    if run.code == 0:
        assert summary(log) == given.whole
    else:
        assert run.error.startswith(("error: ", "refused "))


def check_faults(calls: list[Call], given: Input, folder: Path) -> None:
    failed = []
    for call in calls:
        for fault in FAULTS:
            try:
                check_fault(call, fault, given, folder / f"{call.name}-{call.number}-{fault}")
            except AssertionError as error:
                failed.append(f"{fault} at {call}: {error}")
    assert not failed, "\n\n".join(failed)


def test_the_calls_of_an_ingest_are_those_that_are_failed(calls: list[Call]) -> None:
    """Were the list empty, or without what writes, the tests on it would say nothing."""
    names = {call.name for call in calls}
    assert names >= {"openat", "flock", "ftruncate", "pwrite64", "writev", "fdatasync", "fsync"}
    assert names >= {"mkdir", "rename", "read", "close", "mmap", "fcntl", "write"}
    assert sum(call.name == "fdatasync" for call in calls) >= EVENTS // BATCH_ROWS


@pytest.mark.parametrize(
    ("given", "which"),
    [
        ("new", -1),
        # Were the old events lost, the batches before a later one would have brought them again.
        pytest.param("half_full", 0, marks=pytest.mark.longer),
        # The first batch, which makes the dictionary, is in the log then.
        pytest.param("compressed", 2, marks=pytest.mark.longer),
    ],
    indirect=["given"],
    ids=["new", "half_full", "compressed"],
)
def test_what_was_reported_survives_a_fault_where_it_hurts(
    calls: list[Call], given: Input, which: int, tmp_path: Path
) -> None:
    """Quickly: one sync and one write of a meta page, which commit a batch."""
    for name in ("fdatasync", "pwrite64"):
        call = [call for call in calls if call.name == name][which]
        for fault in FAULTS:
            check_fault(call, fault, given, tmp_path / f"{name}-{fault}")


@pytest.mark.slow
def test_a_sample_of_calls_may_fail(calls: list[Call], given: Input, tmp_path: Path) -> None:
    check_faults(calls[::8], given, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("given", ["new", "half_full", "compressed"], indirect=True)
def test_every_call_may_fail(calls: list[Call], given: Input, tmp_path: Path) -> None:
    check_faults(calls, given, tmp_path)


def test_after_a_failed_write_of_a_meta_page_the_writer_does_not_go_on(
    small: Input, tmp_path: Path
) -> None:
    """LMDB itself cannot tell then what the disk has; only a new opening can."""
    change = """
        open_log = LogWriter.open.__func__
        append = LogWriter.append
        def again(log, batch):
            try:
                return append(log, batch)
            except Exception as error:
                out(f"first: {error}")
            return append(log, batch)
        LogWriter.append = again
    """
    command = small.command(tmp_path / "log", "", change=textwrap.dedent(change))
    traced = faulting.strace(
        small.command(tmp_path / "plain", ""), "-e", f"trace={faulting.FILE_CALLS}"
    )
    last = [call for call in faulting.calls_of(traced.trace) if call.name == "pwrite64"][-1]
    run = faulting.faulted(last, "EIO", command, tmp_path / "log")
    assert run.code == 4
    assert run.reported == EVENTS
    assert "an earlier write to the disk failed; close the log and open it again" in run.error
    check_goes_on(tmp_path / "log", run.reported, small)


# --- the order of syncs and reports ----------------------------------------------------------


def recorded(given: Input, folder: Path, change: str = "") -> list[Act]:
    """What a victim did to the files of `folder`/new/log, and to folders."""
    given.lay_out(folder / "new" / "log")
    command = given.command(folder / "new" / "log", folder / "warm", change=change)
    run = faulting.strace(command, *faulting.RECORDED)
    assert (run.code, run.reported) == (0, EVENTS + 1)
    return faulting.acts_of(run.trace, folder / "new" / "log")


@pytest.fixture(scope="module")
def acts(given: Input, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Act], Path]:
    """What an undisturbed victim did, and where."""
    folder = tmp_path_factory.mktemp("recorded")
    return recorded(given, folder), folder / "new" / "log"


def check_order(acts: list[Act], log: Path, given: Input) -> None:
    """That everything was on the disk before it was reported, or stood in for something."""
    unsynced: set[str] = set()
    # Folders in which something is new. Of a log that is there it may be the log itself: its maker
    # may have been killed between the renaming and the sync.
    entries: set[Path] = {log} if given.start else set()
    written = reports = 0
    for act in acts:
        if isinstance(act, Write) and Path(act.path).name.startswith(DATA_FILE):
            if act.offset < META_BYTES and Path(act.path).name == DATA_FILE:
                assert act.synced, "a meta page is not synced when it is written"
                assert not unsynced, "a meta page is written before what it leads to is synced"
                assert act.offset // SECTOR == (act.offset + len(act.data) - 1) // SECTOR
            if not act.synced:
                unsynced.add(act.path)
            written += 1
        elif isinstance(act, Sync):
            unsynced.discard(act.path)
            entries.discard(Path(act.path))
        elif isinstance(act, faulting.Made):
            entries.add(Path(act.path).parent)
        elif isinstance(act, faulting.Rename):
            assert not unsynced, "the new log is not on the disk"
            assert not entries, "the log's folder is not on the disk"
            entries.add(log)
        elif isinstance(act, Report):
            assert not unsynced, "reported before it was synced"
            assert not entries, "reported before the file's entry was synced"
            # Of what the log has already nothing needs to be written.
            there = reports < given.held.size // BATCH_ROWS
            assert bool(written) != there, "nothing was written before this report"
            written, reports = 0, reports + 1
    assert reports == -(-(EVENTS + 1) // BATCH_ROWS)
    assert not written, "something was written after the last report"


@pytest.mark.parametrize("given", ["new", "half_full"], indirect=True)
def test_a_batch_is_synced_before_it_is_reported(
    acts: tuple[list[Act], Path], given: Input
) -> None:
    check_order(*acts, given)


_OPEN_WITH = """
import lmdb
opened = lmdb.open
lmdb.open = lambda path, **how: opened(path, **(how | {}))
"""
_NO_FOLDERS = """
from pithgraph.log import {room}
{room}.{name} = lambda folder: None
"""
UNSAFE = {
    "no sync": _OPEN_WITH.format({"sync": False}),
    "no sync of meta pages": _OPEN_WITH.format({"metasync": False}),
    "the log's folder is not synced": _NO_FOLDERS.format(room="writer", name="sync_folder"),
    "its parents are not synced": _NO_FOLDERS.format(room="making", name="_sync_ancestors"),
}
SEEN = [
    ("new", "no sync", "the new log is not on the disk"),
    ("new", "no sync of meta pages", "the new log is not on the disk"),
    ("new", "the log's folder is not synced", "reported before the file's entry was synced"),
    ("new", "its parents are not synced", "the log's folder is not on the disk"),
    ("half_full", "no sync", "a meta page is not synced when it is written"),
    ("half_full", "no sync of meta pages", "a meta page is not synced when it is written"),
    ("half_full", "the log's folder is not synced", "reported before the file's entry was synced"),
]


@pytest.mark.longer
@pytest.mark.parametrize(
    ("given", "name", "seen"),
    SEEN,
    indirect=["given"],
    ids=[f"{log}-{name}" for log, name, _ in SEEN],
)
def test_a_log_that_is_not_synced_is_seen(
    given: Input, name: str, seen: str, tmp_path: Path
) -> None:
    unsafe = recorded(given, tmp_path, UNSAFE[name])
    with pytest.raises(AssertionError, match=seen):
        check_order(unsafe, tmp_path / "new" / "log", given)


@pytest.mark.parametrize("given", ["new", "half_full"], indirect=True)
def test_a_batch_that_is_not_synced_is_seen(acts: tuple[list[Act], Path], given: Input) -> None:
    """Each sync of the data file left out, one at a time."""
    made, log = acts
    syncs = [number for number, act in enumerate(made) if act == Sync(str(log / DATA_FILE))]
    assert len(syncs) >= (EVENTS - given.held.size) // BATCH_ROWS
    for number in syncs:
        with pytest.raises(AssertionError, match="before what it leads to is synced"):
            check_order(made[:number] + made[number + 1 :], log, given)


# --- the order of a repair's syncs -----------------------------------------------------------

REPAIR = """
import sys
from pithgraph import cli
from pithgraph.cli.output import out
out("begin")
cli.main(["fsck", "--repair", "--log", *sys.argv[1:]])
"""


def damage_of(rows: dict[bytes, list[tuple[bytes, bytes]]], table: str) -> Damage:
    """In the events one by which bytes are set aside and something is lost; in the rows of meta one
    by which bytes are set aside alone, since the compression can be told from the events; in the
    alias rows one by which something is lost alone."""
    if table == "aliases":
        return Damage(b"aliases", tuple((key, None) for key, _ in rows[b"aliases"]), "none")
    wanted = rows[b"events"][0][0] if table == "events" else COMPRESSION
    ((key, value),) = [row for row in rows[table.encode()] if row[0] == wanted]
    at = len(value) // 2
    value = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    return Damage(table.encode(), ((key, value),), "another byte")


@pytest.fixture(scope="module", params=["events", "meta", "aliases"])
def repaired(
    request: pytest.FixtureRequest, small: Input, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Act], Path, bool, bool]:
    """What a repair did to the new log, and to folders, and where; whether something was set aside,
    and whether something was lost."""
    log = tmp_path_factory.mktemp("repaired") / "log"
    shutil.copytree(small.path.parent / "undisturbed", log)
    patient = Patient(log)
    patient.keep(damage_of(patient.rows, request.param))
    patient.close()
    aside, lost = request.param != "aliases", request.param != "meta"
    command = [sys.executable, "-c", REPAIR, str(log), "--keyring", str(small.keyring)]
    run = faulting.strace(command, *faulting.RECORDED)
    assert (run.code, run.error) == (4 if lost else 0, "")
    check_clean(log, 0)
    # Those of LMDB are left out, so that those of the repair itself are asked for.
    own = [line for line in run.trace if " fdatasync(" not in line]
    return faulting.acts_of(own, log / REPAIR_FOLDER), log, aside, lost


def check_exchange(acts: list[Act], log: Path, aside: bool, lost: bool) -> None:
    """That all of the new log, and of what is kept of the old one, was on the disk before the one
    stood in for the other; and then this, too."""
    unsynced: set[str] = set()
    entries: set[str] = set()  # those of the log's folder
    named = []
    for act in acts:
        if isinstance(act, Write):
            unsynced.add(act.path)
        elif isinstance(act, Sync):
            unsynced.discard(act.path)
            if Path(act.path) == log:
                entries.clear()
        elif isinstance(act, faulting.Linked | faulting.Rename) and Path(act.to).parent == log:
            to = Path(act.to).name
            if to == READER_FILE:  # of running processes alone
                continue
            assert act.path not in unsynced, f"{to} is not on the disk"
            assert to != DATA_FILE or not entries, "what is kept has no entry on the disk"
            entries.add(to)
            named.append(to)
    assert not entries, "the new log has no entry on the disk"
    assert named == ["set-aside-1.jsonl"] * aside + ["before-repair-1.mdb"] * lost + [DATA_FILE]


@pytest.mark.longer
def test_a_repair_is_on_the_disk_before_the_old_log_goes(
    repaired: tuple[list[Act], Path, bool, bool],
) -> None:
    check_exchange(*repaired)


@pytest.mark.longer
def test_a_repair_that_is_not_synced_is_seen(
    repaired: tuple[list[Act], Path, bool, bool],
) -> None:
    """The last sync of each file, and of the folder before and after the exchange, left out."""
    acts, log, aside, lost = repaired
    exchange = next(
        number
        for number, act in enumerate(acts)
        if isinstance(act, faulting.Rename) and act.to == str(log / DATA_FILE)
    )
    syncs = [(number, Path(act.path)) for number, act in enumerate(acts) if isinstance(act, Sync)]
    for path, is_after, seen in [
        (log / REPAIR_FOLDER / DATA_FILE, False, "data.mdb is not on the disk"),
        (log / REPAIR_FOLDER / "set-aside.jsonl", False, "set-aside-1.jsonl is not on the disk"),
        (log, False, "what is kept has no entry on the disk"),
        (log, True, "the new log has no entry on the disk"),
    ]:
        if path.name == "set-aside.jsonl" and not aside:
            continue
        last = [n for n, at in syncs if at == path and (n > exchange) == is_after][-1]
        with pytest.raises(AssertionError, match=seen):
            check_exchange(acts[:last] + acts[last + 1 :], log, aside, lost)


# --- power loss ------------------------------------------------------------------------------


def check_power_losses(acts: list[Act], log: Path, given: Input, folder: Path, seed: int) -> int:
    """That after a loss at any moment the log goes on; how many were tried."""
    tried = set()
    for disk in faulting.disks_after_power_loss(acts, log, seed):
        identity = hashlib.sha256(repr(sorted(disk.files.items())).encode()).digest()
        if identity in tried:
            continue
        tried.add(identity)
        left = folder / f"{seed}-{len(tried)}"
        left.mkdir()
        for name, data in disk.files.items():
            (left / name).write_bytes(data)
        check_goes_on(left, disk.reported, given)
        shutil.rmtree(left)
    return len(tried)


@pytest.mark.longer
def test_a_power_loss_at_any_moment_loses_nothing_that_was_reported(
    acts: tuple[list[Act], Path], small: Input, tmp_path: Path
) -> None:
    """What is assumed of the disk says `faulting.Cache`."""
    assert check_power_losses(*acts, small, tmp_path, seed=0) > 20


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(1, 6), range(6, 60)], ids=["sample", "all"])
def test_power_losses(
    acts: tuple[list[Act], Path], small: Input, tmp_path: Path, seeds: range
) -> None:
    for seed in seeds:
        assert check_power_losses(*acts, small, tmp_path, seed) > 20


@pytest.mark.longer
@pytest.mark.parametrize("name", ["no sync", "the log's folder is not synced"])
def test_a_power_loss_of_a_log_that_is_not_synced_is_seen(
    name: str, small: Input, tmp_path: Path
) -> None:
    log = tmp_path / "new" / "log"
    unsafe = recorded(small, tmp_path, UNSAFE[name])
    with pytest.raises((AssertionError, LogError)):
        assert [check_power_losses(unsafe, log, small, tmp_path, seed) for seed in range(20)] == []


def test_a_reader_meets_no_half_made_log(small: Input, tmp_path: Path) -> None:
    """Killed before the renaming, an ingest leaves no log, and the next one makes it."""
    change = "import os, signal\nos.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    log = tmp_path / "log"
    done = subprocess.run(small.command(log, change=change), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert sorted(os.listdir(log)) == ["data.mdb.new", "writer.lock"]
    with pytest.raises(LogError, match="there is no log"):
        Log.open(log)
    check_goes_on(log, 0, small)
    assert sorted(os.listdir(log)) == ["data.mdb", "lock.mdb", "writer.lock"]


# --- signals ---------------------------------------------------------------------------------

KILL_EVENTS = 600
KILL_ROWS = 10
# So that little is much: workers are started, and some parcels wait for them at every moment.
WITH_WORKERS = """
from pithgraph import cutting, workers
from pithgraph.pool import Pool
workers._WORTH_WORKERS, workers.SPAN_BYTES, cutting.SPAN_BYTES = 1, 20_000, 20_000
started = Pool.__enter__
Pool.__enter__ = lambda pool: (started(pool), out(f"workers {pool._workers}"))[0]
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Input:
    """What comes in many batches, whoever verifies."""
    given = make_input(tmp_path_factory.mktemp("many"), KILL_EVENTS)
    return given._replace(change=WITH_WORKERS)


class Killed(NamedTuple):
    """A victim that was killed, or had ended before, and whether it had started workers."""

    run: Run
    had_workers: bool


def killed(command: list[str], reports: int, seconds: float) -> Killed:
    """Kill a victim so long after it has reported so often."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "begin\n"
        while said.count("reported ") < reports and (line := process.stdout.readline()):
            said += line
        time.sleep(seconds)
        process.kill()
        code = process.wait()
        said += process.stdout.read()
    assert code in (0, -signal.SIGKILL)
    return Killed(faulting.as_run(code, said, ""), "\nworkers " in said)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20, 200], ids=["sample", "all"])
def test_kills_at_random_moments(kills: int, many: Input, tmp_path: Path) -> None:
    """The same log again and again, until it is complete; then another."""
    randomly = random.Random(kills)
    completed, log, before = 0, tmp_path / "0", NOTHING
    hits: Counter[int] = Counter()  # kills amid batches that the log had not, by workers
    for number in range(kills):
        workers = number % 3
        # A quarter of them before anything new comes, or soon after.
        there = randomly.choice((0, 1, 1, 1)) * before.size // KILL_ROWS
        reports = there + randomly.randrange(KILL_EVENTS // KILL_ROWS // 3)
        command = many.command(log, workers=workers, rows=KILL_ROWS)
        run, had_workers = killed(command, reports, randomly.uniform(0, 0.01))
        check_clean(log, run.reported)
        check_has(log, before)
        if before.size < run.reported < KILL_EVENTS:
            assert run.code == -signal.SIGKILL
            assert had_workers == bool(workers)
            hits[workers] += 1
        before = held(log)
        assert run.code or before.size == KILL_EVENTS
        if before.size == KILL_EVENTS:
            completed, before = completed + 1, NOTHING
            check_goes_on(log, run.reported, many)
            log = tmp_path / str(completed)
    check_goes_on(log, 0, many)
    assert completed
    # They would say nothing, were they all too early or too late.
    assert min(hits[workers] for workers in range(3)) >= kills // 8, f"hits by workers: {hits}"


@pytest.mark.longer
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_every_finished_batch(
    number: signal.Signals, small: Input, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    slow = "import time\nreport = ingest.Bar.update\n"
    slow += "ingest.Bar.update = lambda *made: (report(*made), time.sleep(0.1))"
    with subprocess.Popen(
        small.command(log, change=slow, rows=1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = "".join(process.stdout.readline() for _ in range(1 + 5))
        process.send_signal(number)
        error = process.stderr.read()
        code = process.wait()
        run = faulting.as_run(code, said + process.stdout.read(), error)
    assert run.code == 130
    assert run.reported >= 5
    assert run.error.strip() == (
        "interrupted; every finished batch is in the log, run the ingest again to go on"
    )
    check_goes_on(log, run.reported, small)


# --- room ------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; as large as `fill` leaves it."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(
            "that a disk fills up between batches, and has room again, is not tested here, since "
            f"no tmpfs can be mounted: {done.stderr.strip()}"
        )
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path, left: int) -> Path:
    """Leave so many bytes free, by a file."""
    status = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(status.f_bavail * status.f_frsize - left))
    return ballast


@pytest.mark.longer
def test_a_full_disk_loses_nothing_that_was_reported(small: Input, disk: Path) -> None:
    """It is full before the first batch, between batches, and never."""
    log = disk / "log"
    reported = []
    for left in (1024 * kilo for kilo in (0, 60, 140, 180, 220, 260, 300, 340, 500)):
        ballast = fill(disk, left)
        done = subprocess.run(small.command(log), capture_output=True, text=True)
        run = faulting.as_run(done.returncode, done.stdout, done.stderr)
        if run.reported <= EVENTS:
            assert run.code == 4
            assert run.error.startswith(f"error: {log}: ")
            assert re.search("No space left on device|the disk is full", run.error)
        else:
            assert run.code == 0
        reported.append(run.reported)
        ballast.unlink()
        check_goes_on(log, run.reported, small)
        shutil.rmtree(log)
    assert (reported[0], reported[-1]) == (0, EVENTS + 1)
    assert any(0 < rows <= EVENTS for rows in reported), f"never full between batches: {reported}"


# --- a reader beside the writer --------------------------------------------------------------

READER = """
import sys
from pithgraph.log import Log

with Log.open(sys.argv[1]) as log:
    with log.snapshot() as held:
        print(held.size, held.root().hex(), flush=True)
        sys.stdin.readline()
        print(held.size, held.root().hex(), sum(1 for _ in held.papers()), flush=True)
    with log.snapshot() as fresh:
        print(fresh.size, fresh.root().hex(), flush=True)
    sys.stdin.readline()
"""


def test_a_reader_keeps_its_view_while_the_writer_grows_the_file(
    small: Input, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    lines = small.path.read_bytes().splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_bytes(b"".join(lines[:5]))
    with LogWriter.open(log, map_bytes=faulting.MAP_BYTES) as writer:
        ingest(writer, [tmp_path / "few.jsonl"], keyring=KEYRING)
        with subprocess.Popen(
            [sys.executable, "-c", READER, log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            held = reader.stdout.readline().split()
            for line in lines[5:]:  # one a batch, so that many pages become free
                (tmp_path / "one.jsonl").write_bytes(line)
                ingest(writer, [tmp_path / "one.jsonl"], keyring=KEYRING)
            grown = (log / DATA_FILE).stat().st_size
            assert grown > faulting.MAP_BYTES
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == [*held, "2"]
            assert reader.stdout.readline().split() == small.whole.split()[:2]
            # Now that nobody needs them, the pages that became free are used again.
            more = events(3 * EVENTS).splitlines(keepends=True)[EVENTS:]
            for line in more:
                (tmp_path / "one.jsonl").write_bytes(line)
                ingest(writer, [tmp_path / "one.jsonl"], keyring=KEYRING)
            assert (log / DATA_FILE).stat().st_size <= grown
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.wait() == 0
    check_clean(log, 3 * EVENTS)
