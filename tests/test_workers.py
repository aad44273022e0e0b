"""However many workers prepare, a log is the same, byte for byte in all that it holds; and what
goes wrong in a worker, or beside one, is neither lost nor keeps what was finished from the log."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

import signing
from histories import KEYRING, fixed_histories
from pithgraph import cutting, ingestion, keys, workers
from pithgraph.errors import WorkerError
from pithgraph.ingestion import Ingested, Progress, ingest
from pithgraph.keyring import Key, Keyring
from pithgraph.log import Log, LogWriter, batch, layout
from pithgraph.preparing import Admit
from pithgraph.replaying import replay
from pithgraph.sources import Limits, Lines, Piece, Unreadable, read_spans
from signing import canonical

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
RING = Keyring.from_value(KEYRING)
LIMITS = Limits(line=40_000, document=2_000_000)


@pytest.fixture(autouse=True)
def small_parcels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that little makes many, and workers are started for them. What is patched here does not
    reach a worker."""
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 1)
    monkeypatch.setattr(workers, "SPAN_BYTES", 4000)
    monkeypatch.setattr(cutting, "SPAN_BYTES", 4000)
    monkeypatch.setattr(ingestion, "_BATCH_ROWS", 50)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    for process in multiprocessing.active_children():
        process.join(5)
    assert multiprocessing.active_children() == []


def test_a_worker_folds_the_refusals_of_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes of a parcel is held whole: of junk, a hundred times its bytes."""
    monkeypatch.setattr(batch, "REFUSED_ROWS", 10)
    monkeypatch.setattr(workers, "_preparer", None, raising=False)
    workers._begin(RING, "all", tmp_path / "no log")
    made = workers._prepare([Piece("junk", None, b"[" + b"1," * 30 + b"2]")])
    assert len(made) == 11
    assert made[-1] == batch.MoreRefused("junk", 21)


def lines_of_histories() -> list[bytes]:
    """Events, alias rows, and lines that are none, all in one order."""
    chance = random.Random("lines")
    lines = []
    for history in fixed_histories(60):
        lines += [canonical(event) for event in history.events]
        for pith_number, kind, value, created_at in history.aliases:
            row = {"alias_kind": kind, "alias_value": value, "created_at": created_at}
            lines.append(canonical({"alias": {"pith_number": pith_number, **row}}))
    bad = [
        *(b"{", b"[1, 2", b"\xff", b"null", b'{"a":1,"a":2}', b'"text"', b"NaN", b"{} {}"),
        *(b'{"subject_pith_number":"pith:1"}', b"[" * 100, b"[[1]]", b'{"event_type":"x"}'),
        *(b"", b"   ", b"\t\r", b"", b"x" * 50_000, b'{"events":5}', lines[0] + b","),
        canonical(list(fixed_histories(60)[1].events)),
    ]
    for _ in range(120):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(bad))
    return lines


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every input of the conformance cases, lines with bad ones among them, and what is no file."""
    folder = tmp_path_factory.mktemp("sources")
    lines = lines_of_histories()
    (folder / "lines.jsonl").write_bytes(b"\n".join(lines))
    with gzip.open(folder / "lines.jsonl.gz", "wb") as packed:
        packed.write(b"\n".join(reversed(lines)) + b"\n")
    (folder / "broken.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines[:90]))[:-20])
    (folder / "empty.json").write_bytes(b" \n")
    cases = [
        str(path)
        for case in sorted(CASES.iterdir())
        if case.is_dir() and case.name != "json-size-of-an-event"
        for path in sorted(case.iterdir())
        if path.is_file() and path.name not in ("case.json", "keyring.json")
    ]
    return [str(folder / "lines.jsonl"), *cases, str(folder), str(folder / "nothing"), *cases[:20]]


def tables(folder: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Everything that a log holds, byte for byte."""
    with lmdb.open(os.fspath(folder), readonly=True, max_dbs=20) as environment:
        found = {}
        for name in layout.TABLES:
            table = environment.open_db(name, create=False)
            with environment.begin(db=table) as transaction:
                found[name] = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
    return found


def filled(folder: Path, sources: list[str], count: int, admit: Admit = "all") -> Ingested:
    with LogWriter.open(folder) as log:
        return ingest(log, sources, keyring=RING, workers=count, limits=LIMITS, admit=admit)


@pytest.fixture(scope="module")
def alone(
    sources: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ingested, dict[bytes, list[tuple[bytes, bytes]]]]:
    """What comes of them without workers and patches."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingestion, "_BATCH_ROWS", 50)
        return filled(folder, sources, 0), tables(folder)


def test_the_sources_hold_what_is_asked_of_them(
    alone: tuple[Ingested, Any],
) -> None:
    done, found = alone
    assert done.appended > 600
    assert done.duplicates > 300
    assert done.aliases > 100
    assert done.invalid > 200
    rows = [layout.read_refused_value(*row) for row in found[b"refused"]]
    lines = lines_of_histories()
    bad = [row for row in rows if row.source.endswith("lines.jsonl") and row.line and not row.where]
    assert len(bad) > 60
    for row in bad:
        assert row.line is not None
        assert row.reason == "too_large" or lines[row.line - 1].startswith(row.excerpt)
    reasons = {row.reason for row in rows}
    assert reasons >= {"syntax", "too_large", "invalid_utf8", "duplicate_name", "no_subject"}
    assert reasons >= {"unreadable", "not_an_object", "not_ingestible", "bad_alias"}


@pytest.mark.longer
@pytest.mark.parametrize("span", [97, 700, 10**9])
def test_no_worker_and_spans_that_end_everywhere(
    span: int,
    sources: list[str],
    alone: tuple[Ingested, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where so little is not worth starting workers that were asked for."""
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 10**12)
    monkeypatch.setattr(workers, "SPAN_BYTES", span)
    monkeypatch.setattr(cutting, "SPAN_BYTES", span)
    assert (filled(tmp_path, sources, span % 2), tables(tmp_path)) == alone


@pytest.mark.longer
@pytest.mark.parametrize(("count", "backend"), [(1, -1), (2, 0)])
def test_so_many_workers_make_the_same_log(
    count: int, backend: int, sources: list[str], alone: tuple[Ingested, Any], tmp_path: Path
) -> None:
    keys.use_backend(list(keys.BACKENDS)[backend])
    try:
        assert (filled(tmp_path, sources, count), tables(tmp_path)) == alone
    finally:
        keys.use_backend()


@pytest.mark.longer
def test_the_door_of_the_authentic_is_the_same_with_workers(
    sources: list[str], tmp_path: Path
) -> None:
    done = filled(tmp_path / "0", sources[:1], 0, "authentic")
    assert done.appended > 200
    assert done.refused > 200
    assert filled(tmp_path / "1", sources[:1], 1, "authentic") == done
    assert tables(tmp_path / "1") == tables(tmp_path / "0")


def test_parcels_hold_all_pieces_in_their_order(
    sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = list(read_spans(sources, LIMITS))
    for size, most in ((1, 1000), (4000, 1000), (10**9, 7), (10**9, 10**9)):
        monkeypatch.setattr(workers, "SPAN_BYTES", size)
        monkeypatch.setattr(workers, "_PARCEL_PIECES", most)
        parcels = list(workers.parcels_of(iter(pieces)))
        assert [piece for parcel in parcels for piece in parcel] == pieces
        assert all(0 < len(parcel) <= most for parcel in parcels)
    assert any(isinstance(piece, Lines) for piece in pieces)
    assert any(isinstance(piece, Unreadable) for piece in pieces)


# --- what goes wrong -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """400 valid events about one paper, in a file."""
    path = tmp_path_factory.mktemp("many") / "events.jsonl"
    events = [
        signing.signed_event("replication_record", target=f"replication:{number}")
        for number in range(400)
    ]
    path.write_bytes(b"".join(canonical(event) + b"\n" for event in events))
    return str(path)


def targets(folder: Path) -> list[str]:
    """What the events of a log are about, in their order."""
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return [snapshot.event_at(n).event.value["target"] for n in range(snapshot.size)]


def finish(folder: Path, many: str) -> None:
    """That finished batches are there and the same ingest goes on from them."""
    before = targets(folder)
    assert before == [f"replication:{number}" for number in range(len(before))]
    assert len(before) % 50 == 0
    with LogWriter.open(folder) as log:
        done = ingest(log, [many], keyring=RING)
        assert (done.duplicates, done.appended) == (len(before), 400 - len(before))
        (state,) = replay(log, keyring=RING)
    assert state.valid_event_count == 400
    assert targets(folder) == [f"replication:{number}" for number in range(400)]


def kill_a_worker(progress: Progress) -> None:
    for child in multiprocessing.active_children()[:1]:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)


def fail(progress: Progress) -> None:
    if progress.rows >= 100:
        raise KeyboardInterrupt


class Fails(Keyring):
    """A keyring that fails in a worker, and there alone."""

    def by_fingerprint(self, fingerprint: str) -> Key | None:
        if multiprocessing.parent_process() is not None:
            time.sleep(0.01)
            raise ZeroDivisionError("in a worker")
        return super().by_fingerprint(fingerprint)


NO_BYTES: Any = 5
BROKEN_KEYS = Keyring([key._replace(public_key=NO_BYTES) for key in RING.keys], RING.sha256)


@pytest.mark.longer
@pytest.mark.parametrize(
    ("count", "keyring", "progress", "raised", "least"),
    [
        (1, RING, kill_a_worker, WorkerError, 50),
        (2, RING, kill_a_worker, WorkerError, 50),
        (1, BROKEN_KEYS, None, TypeError, 0),
        (2, Fails(RING.keys, RING.sha256), None, ZeroDivisionError, 0),
        (2, RING, fail, KeyboardInterrupt, 100),
    ],
    ids=["one dies", "one of two dies", "one fails", "one of two fails", "an interrupt"],
)
def test_what_goes_wrong_is_told_and_what_was_finished_is_kept(
    count: int,
    keyring: Keyring,
    progress: Callable[[Progress], None] | None,
    raised: type[BaseException],
    least: int,
    many: str,
    tmp_path: Path,
) -> None:
    with LogWriter.open(tmp_path) as log, pytest.raises(raised):
        ingest(log, [many], keyring=keyring, workers=count, progress=progress)
    assert least <= len(targets(tmp_path)) < 400
    finish(tmp_path, many)
