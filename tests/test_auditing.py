"""An audit of many documents: in parallel, in the order of the input, and in few words; and what
goes wrong in a worker, or beside one, leaves no process and no half report behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import signing
from pithgraph import auditing, workers
from pithgraph.audit.sightings import Checked
from pithgraph.auditing import Auditor, audited_by
from pithgraph.errors import WorkerError
from pithgraph.keyring import Keyring
from pithgraph.pool import Pool
from pithgraph.sources import Lines, Piece, read_spans
from test_progress import ENVIRONMENT, group_of, wait_until, workers_of

RING = Keyring.from_value(signing.keyring_value())


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """300 lines, of which every tenth fails and every 60th cannot be read; and a document."""
    folder = tmp_path / "many"
    folder.mkdir()
    good = signing.signed_event("replication_record")
    false = signing.changed(good, "created_at", "2026-13-01T00:00:00Z")
    lines = []
    for number in range(1, 301):
        event = false if number % 10 == 0 else good
        lines.append("{" if number % 60 == 0 else json.dumps(event))
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "b.json").write_text(json.dumps([good, false]))
    return folder


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    path.write_text(json.dumps(signing.keyring_value()))
    return path


@pytest.fixture
def small_parcels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 1)
    monkeypatch.setattr(workers, "SPAN_BYTES", 4000)
    yield
    assert multiprocessing.active_children() == []


def kept(checked: Checked) -> Checked:
    return checked


def place_of(checked: Checked) -> str:
    return checked.place


def audited(many: Path, count: int) -> list[Checked]:
    spans = read_spans([many], texts=True)
    return list(audited_by(count, spans, Auditor(RING, sees=True), kept))


@pytest.mark.usefixtures("small_parcels")
def test_workers_give_the_same_in_the_same_order(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = audited(many, 0)
    assert len(alone) == 301
    assert [one.place for one in alone[:2]] == [f"{many}/a.jsonl:1", f"{many}/a.jsonl:2"]
    assert sum(bool(one.failed) for one in alone) == 31
    monkeypatch.setattr("pithgraph.cutting.SPAN_BYTES", 4000)
    started: list[int] = []
    start = Pool.__enter__

    def entered(pool: Pool) -> Pool:
        started.append(len(multiprocessing.active_children()))
        return start(pool)

    monkeypatch.setattr(Pool, "__enter__", entered)
    assert audited(many, 2) == alone
    assert started == [0]
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 10**12)
    assert audited(many, 2) == alone
    assert started == [0]


def broken(checked: Checked) -> Checked:
    if multiprocessing.parent_process() is not None:
        raise ZeroDivisionError("in a worker")
    return checked


def killed(checked: Checked) -> Checked:
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return checked


@pytest.mark.usefixtures("small_parcels")
@pytest.mark.parametrize(
    ("finish", "raised", "says"),
    [(broken, ZeroDivisionError, "in a worker"), (killed, WorkerError, "audit again")],
)
def test_what_goes_wrong_in_a_worker_is_told(
    finish: Callable[[Checked], Checked], raised: type[Exception], says: str, many: Path
) -> None:
    with pytest.raises(raised, match=says):
        list(audited_by(1, read_spans([many]), Auditor(RING), finish))


def test_parcels_of_short_lines_are_short(tmp_path: Path) -> None:
    """Each line has an answer, a hundred times as long as a line that is a digit."""
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"1\n" * 5 + b"\n2\n" * 12_345 + b'"%b"\n3' % (b"x" * 3_000_000))
    parcels = [*auditing._short_parcels(read_spans([path]))]
    found = [[*_pieces_of(parcel)] for parcel in parcels]
    assert max(map(len, found)) <= auditing.LINES_AT_ONCE
    assert len(found) > 5
    assert [piece for parcel in found for piece in parcel] == [*_pieces_of(read_spans([path]))]


def _pieces_of(parcel: Any) -> Iterator[Any]:
    for part in parcel:
        yield from part.pieces() if isinstance(part, Lines) else (part,)


def test_without_workers_nothing_waits_for_what_comes_after() -> None:
    def pieces() -> Iterator[Any]:
        yield Piece("first", None, b"{}")
        raise AssertionError("asked for the second")

    first = next(audited_by(0, pieces(), Auditor(RING), place_of))
    assert first == "first"


# --- the verb --------------------------------------------------------------------------------


def test_quiet_prints_failures_alone(run, many: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    verb = partial(run, "audit", many, "--keyring", keyring)
    done = verb("--quiet")
    assert done.code == 1
    lines = done.out.splitlines()
    assert len(lines) == 31
    assert lines[0].startswith(f"{many}/a.jsonl:10: event: replication_record sha256:")
    assert "invalid_timestamp" in lines[0]
    assert lines[5].startswith(f"{many}/a.jsonl:60: readable: syntax")
    assert lines[-1].startswith(f"{many}/b.json: [1]: ")
    assert done.err.count("\n") == 1
    assert done.err.startswith("documents: 301, unreadable: 5; checks passed: 272, failed: 26")
    rows = verb("--quiet", "--json").rows
    assert [row["status"] for row in rows] == ["fail"] * 31
    every = verb("--json").rows
    assert [row for row in every if row["status"] == "fail"] == rows
    (many / "a.jsonl").unlink()
    (many / "b.json").write_text(json.dumps(signing.signed_event("replication_record")))
    assert (verb("--quiet").code, verb("-q").out) == (0, "")


def test_a_long_output_ends_with_its_first_failures(  # type: ignore[no-untyped-def]
    run, many: Path, keyring: Path
) -> None:
    done = run("audit", many, "--keyring", keyring)
    told = done.err.splitlines()
    assert told[0] == "first failures:"
    assert told[1].startswith(f"  {many}/a.jsonl:10: event: ")
    assert told[21] == "  and 11 more"
    assert told[22].startswith("documents: 301")
    assert len(told) == 23
    lines = (many / "a.jsonl").read_text().splitlines()
    (many / "b.json").unlink()
    for count, said in ((50, 1), (51, 7)):
        (many / "a.jsonl").write_text("\n".join(lines[:count]))
        assert len(run("audit", many, "--keyring", keyring).err.splitlines()) == said


@pytest.mark.longer
def test_a_report_is_the_same_with_workers_and_replaces_nothing(  # type: ignore[no-untyped-def]
    run, many: Path, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb = partial(run, "audit", many, "--keyring", keyring, "--quiet", "--report")
    one, other = tmp_path / "one.html", tmp_path / "other.html"
    assert verb(one, "--workers", 0).code == 1
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 1)
    assert verb(other, "--workers", 1).code == 1
    assert other.read_bytes() == one.read_bytes()
    assert b"Audit: 26 checks failed" in one.read_bytes()
    done = verb(one)
    assert (done.code, done.out) == (3, "")
    assert "is there already" in done.err
    assert verb(tmp_path / "no" / "folder.html").code == 3
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["one.html", "other.html"]


WORTH = (
    "from pithgraph import cli, workers; workers._WORTH_WORKERS = 1; "
    "__name__ == '__main__' and cli.main()"
)


def ctrl_c(leader: int) -> None:
    os.killpg(leader, signal.SIGINT)


def terminate(leader: int) -> None:
    os.kill(leader, signal.SIGTERM)


def kill_a_worker(leader: int) -> None:
    os.kill(workers_of(leader)[0], signal.SIGKILL)


@pytest.mark.longer
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (ctrl_c, 130, "interrupted\n"),
        (terminate, 130, "interrupted\n"),
        (kill_a_worker, 3, "error: a worker process ended before its work was done"),
    ],
)
def test_its_end_leaves_no_process_and_no_report(
    end: Callable[[int], None], code: int, says: str, tmp_path: Path
) -> None:
    line = json.dumps(signing.signed_event("replication_record")).encode() + b"\n"
    report = tmp_path / "report.html"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", WORTH, "audit", "-", "--workers", "2", "--quiet"),
            *("--report", report),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
        env=ENVIRONMENT,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(line * (3_000_000 // len(line)))
        process.stdin.flush()
        wait_until(lambda: len(workers_of(process.pid)) == 2)
        end(process.pid)
        if end is kill_a_worker:
            with suppress(BrokenPipeError):  # it may have ended by now
                process.stdin.write(line * (3_000_000 // len(line)))
        _, error = process.communicate(timeout=30)
        wait_until(lambda: not group_of(process.pid))
    assert process.returncode == code
    assert says in error.decode()
    assert list(tmp_path.iterdir()) == []
