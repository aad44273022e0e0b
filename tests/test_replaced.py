"""A log whose file is replaced while others have it open, or are opening it.

What lives here: what readers and writers see then, by a repair or by somebody's hand. What must
not: what a repair takes over (`test_repair`).

LMDB finds the last commit by a number in its lock file, which stays in its place: by that of
another log it would show an earlier commit, and the next writer would write over the last."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

import signing
from pithgraph import repairing
from pithgraph.errors import LogError
from pithgraph.fsck import Fsck
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, reader
from pithgraph.repairing import repair
from pithgraph.sources import Piece
from signing import canonical, signed_event

RING = Keyring.from_value(signing.keyring_value())
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
READER = """
    import sys
    from pithgraph.errors import LogError
    from pithgraph.log import Log

    with Log.open(sys.argv[1]) as log, log.snapshot() as held:
        print(held.size, flush=True)
        for line in sys.stdin:
            try:
                if line == "held\\n":
                    print(sum(1 for _ in held.events_from(0)), flush=True)
                else:
                    with log.snapshot() as view:
                        print(sum(1 for _ in view.events_from(0)), flush=True)
            except LogError as error:
                print(error, flush=True)
"""


def append(log: Path, *numbers: int) -> None:
    """An event a commit."""
    for number in numbers:
        value = signed_event("replication_record", target=f"replication:{number}")
        with LogWriter.open(log) as writer:
            ingest_pieces(writer, [Piece("test", 1, canonical(value))], keyring=RING)


class Reader:
    """Another process that has a log open, and a view of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, what: str = "") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if what:
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def reading(log: Path) -> Iterator[Reader]:
    command = [sys.executable, "-c", textwrap.dedent(READER), os.fspath(log)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        yield Reader(process)
        process.communicate("")


def last_commits(log: Path) -> list[tuple[int, int]]:
    """The number of each of the two last commits, and where its table of tables begins."""
    data = (log / "data.mdb").read_bytes()
    number = slice(16 + 128, 16 + 136)  # behind the header of the page: MDB_meta.mm_txnid
    root = slice(16 + 112, 16 + 120)
    pages = (data[:4096], data[4096:8192])
    return sorted(
        (int.from_bytes(page[number], "little"), int.from_bytes(page[root], "little"))
        for page in pages
    )


@pytest.mark.parametrize("commits", [8, 9])
def test_a_repair_goes_on_with_the_numbers_of_commits(tmp_path: Path, commits: int) -> None:
    append(tmp_path, *range(commits))
    (_, _), (last, _) = last_commits(tmp_path)
    lock = (tmp_path / "lock.mdb").stat().st_ino
    repair(tmp_path, keyring=RING)
    (before, first), (now, second) = last_commits(tmp_path)
    assert (before, now) == (last - 1, last)
    assert first == second
    assert (tmp_path / "lock.mdb").stat().st_ino == lock
    assert list(Fsck(tmp_path, keyring=RING)) == []


@pytest.mark.parametrize("commits", [8, 9])
def test_who_has_the_old_log_open_shares_its_lock_file_with_the_new_one(
    tmp_path: Path, commits: int
) -> None:
    log = tmp_path / "log"
    append(log, *range(commits))
    with reading(log) as old:
        assert old.ask() == str(commits)
        assert repair(log, keyring=RING).events == commits
        assert old.ask("new") == str(commits)
        with reading(log) as other:
            assert other.ask() == str(commits)
            append(log, *range(100, 105))
            assert other.ask("new") == str(commits + 5)
            assert other.ask("held") == str(commits)
        assert old.ask("held") == str(commits)
        assert "the log was replaced, as by a repair: open it again" in old.ask("new")
    assert list(Fsck(log, keyring=RING)) == []


@pytest.mark.parametrize("commits", [3, 4, 5])
def test_a_lock_file_of_an_older_log_hides_no_commit(tmp_path: Path, commits: int) -> None:
    """As of a process that was held up for long while it opened the old log."""
    log, aside = tmp_path / "log", tmp_path / "newest.mdb"
    append(log, *range(3))
    shutil.copyfile(log / "data.mdb", tmp_path / "old.mdb")
    append(log, *range(3, 3 + commits))
    os.rename(log / "data.mdb", aside)
    os.rename(tmp_path / "old.mdb", log / "data.mdb")
    with reading(log) as old:
        assert old.ask() == "3"
        os.replace(aside, log / "data.mdb")
        before = (log / "data.mdb").read_bytes()
        for opened in (Log.open, LogWriter.open):
            with pytest.raises(LogError, match=r"lock\.mdb is that of another data\.mdb"):
                opened(log)
        assert (log / "data.mdb").read_bytes() == before
    append(log, 50)
    with Log.open(log) as now, now.snapshot() as view:
        assert view.size == 3 + commits + 1


@pytest.mark.parametrize("commits", [4, 5])
def test_a_writer_that_is_killed_while_it_syncs_its_commit_keeps_nobody_out(
    tmp_path: Path, commits: int
) -> None:
    """The commit stands in the log's file then, but not in the lock file that a reader has open."""
    log = tmp_path / "log"
    append(log, *range(commits))
    shutil.copytree(log, tmp_path / "further")
    append(tmp_path / "further", 50)
    with reading(log) as held:
        assert held.ask() == str(commits)
        (log / "data.mdb").write_bytes((tmp_path / "further" / "data.mdb").read_bytes())
        with Log.open(log) as now, now.snapshot() as view:
            assert view.size == commits  # what was not reported need not be there
        append(log, 60, 61)
        assert held.ask("held") == str(commits)
        assert held.ask("new") == str(commits + 2)
    assert list(Fsck(log, keyring=RING)) == []


def test_a_writer_whose_log_was_replaced_writes_nothing(tmp_path: Path) -> None:
    append(tmp_path / "log", *range(3))
    shutil.copytree(tmp_path / "log", tmp_path / "more")
    append(tmp_path / "more", *range(3, 9))
    with LogWriter.open(tmp_path / "log") as writer:
        os.replace(tmp_path / "more" / "data.mdb", tmp_path / "log" / "data.mdb")
        before = (tmp_path / "log" / "data.mdb").read_bytes()
        value = signed_event("correction")
        with pytest.raises(LogError, match="moved, removed or replaced while it was open"):
            ingest_pieces(writer, [Piece("test", 1, canonical(value))], keyring=RING)
        assert (tmp_path / "log" / "data.mdb").read_bytes() == before


def test_what_is_replaced_while_it_is_being_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    append(log, *range(3))
    shutil.copytree(log, tmp_path / "other")
    append(tmp_path / "other", 3)
    opening = reader._open_readonly
    opened = []

    def replaced_meanwhile(folder: Path) -> lmdb.Environment:
        environment = opening(folder)
        if not opened:
            os.replace(tmp_path / "other" / "data.mdb", log / "data.mdb")
        opened.append(folder)
        return environment

    monkeypatch.setattr(reader, "_open_readonly", replaced_meanwhile)
    with Log.open(log) as now, now.snapshot() as view:
        assert view.size == 4
    assert len(opened) == 2


def test_an_exchange_that_fails_leaves_readers_their_protection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next writer would take the pages that they read."""
    log = tmp_path / "log"
    append(log, *range(5))
    with reading(log) as held:
        assert held.ask() == "5"
        renamed: list[Any] = []

        def fail(old: Any, new: Any) -> None:
            if Path(new) == log / "data.mdb":
                raise OSError(5, "Input/output error")
            renamed.append(new)
            os.rename(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fail)
            with pytest.raises(LogError, match="nothing was repaired"):
                repair(log, keyring=RING)
        assert renamed  # what came before the exchange
        append(log, *range(10, 30))
        assert held.ask("held") == "5"
        assert held.ask("new") == "25"


def test_a_repair_whose_last_sync_fails_says_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, *range(3))
    before = (tmp_path / "data.mdb").stat().st_ino
    syncing = repairing._sync

    def fail(path: Path) -> None:
        if path == tmp_path:
            raise OSError(5, "Input/output error")
        syncing(path)

    monkeypatch.setattr(repairing, "_sync", fail)
    with pytest.raises(LogError, match="repaired, but its folder could not be synced"):
        repair(tmp_path, keyring=RING)
    assert (tmp_path / "data.mdb").stat().st_ino != before
    assert list(Fsck(tmp_path, keyring=RING)) == []
