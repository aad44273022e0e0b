"""An export, ingested into an empty log, gives the same log: positions, root and states."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories import KEYRING, History, fixed_histories, histories
from pithgraph import cutting, exporting, workers
from pithgraph.errors import IdentifierError, LogError
from pithgraph.exporting import Exported, export
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import Ingested, ingest, ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, batch, layout
from pithgraph.merkle import EMPTY_ROOT
from pithgraph.preparing import Preparer
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import ASSURANCES
from signing import PAPER, Json, at, canonical, signed_event

RING = Keyring.from_value(KEYRING)
# So few events of a paper that cannot be authenticated come in by the usual door.
LOW_QUOTA = 2


def alias_line(pith_number: str, kind: str, value: str, created_at: str) -> Json:
    row = {"alias_kind": kind, "alias_value": value, "created_at": created_at}
    return {"alias": {"pith_number": pith_number, **row}}


def shuffled(history: History, seed: int) -> list[Json]:
    """Events in their order, alias rows anywhere between them, and what is refused."""
    chance = random.Random(seed)
    values: list[Any] = [*history.events]
    for value in (*(alias_line(*row) for row in history.aliases), {"no": "event"}, 5):
        values.insert(chance.randrange(len(values) + 1), value)
    return values


def fill(folder: Path, values: Sequence[Json], *, compress: bool = False) -> None:
    pieces = [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]
    with LogWriter.open(folder, compress=compress) as log:
        ingest_pieces(log, pieces, keyring=RING)


def exported(folder: Path, to: Path, start: int = 0) -> Exported:
    with Log.open(folder) as log, open(to, "wb") as file:
        return export(log, file.write, start=start)


def again(folder: Path, *paths: Path, workers: int = 0, compress: bool = False) -> Ingested:
    with LogWriter.open(folder, compress=compress) as log:
        return ingest(log, paths, keyring=RING, admit="export", workers=workers)


def held(folder: Path) -> dict[str, Any]:
    """All that an export is to carry over."""
    with Log.open(folder) as log:
        with log.snapshot() as snapshot:
            found: dict[str, Any] = {
                "events": [stored.event.canonical for stored in snapshot.events_from(0)],
                "root": snapshot.root(),
                "by_digest": list(snapshot.rows(b"by_digest")),
                "tiles": list(snapshot.rows(b"tiles")),
                "aliases": list(snapshot.rows(b"aliases")),
            }
            half = snapshot.size // 2
        for assurance in ASSURANCES:
            for position in (None, half):
                states = replay(log, keyring=RING, assurance=assurance, at=position)
                found[f"{assurance} {position}"] = [state.canonical for state in states]
    return found


def check(history: History, seed: int, *, compress: bool, count: int, cut: float) -> None:
    """That the log of a history comes back from its export, whole and in two parts."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(exporting, "_BYTES_AT_ONCE", 3000)
        patch.setattr(batch, "QUOTA", 10**6)
        fill(folder / "log", shuffled(history, seed), compress=compress)
        # What comes in by this door is more than any other lets in.
        patch.setattr(batch, "QUOTA", 0)
        patch.setattr(workers, "_WORTH_WORKERS", 1)
        patch.setattr(workers, "SPAN_BYTES", 2000)
        patch.setattr(cutting, "SPAN_BYTES", 2000)
        whole = exported(folder / "log", folder / "whole.jsonl")
        before = held(folder / "log")
        size = whole.position
        assert whole == (size, len(before["aliases"]), size, before["root"])
        assert len((folder / "whole.jsonl").read_bytes().splitlines()) == size + whole.aliases
        done = again(folder / "copy", folder / "whole.jsonl", workers=count, compress=not compress)
        assert (done.appended, done.aliases, done.refused) == (size, whole.aliases, 0)
        assert done.duplicates == 0
        assert held(folder / "copy") == before
        # In two parts: the first is that of an older log.
        start = round(cut * size)
        lines = (folder / "whole.jsonl").read_bytes().splitlines(keepends=True)
        events = [number for number, line in enumerate(lines) if b'{"alias":' not in line[:9]]
        end = events[start] if start < size else len(lines)
        (folder / "first.jsonl").write_bytes(b"".join(lines[:end]))
        exported(folder / "log", folder / "second.jsonl", start)
        again(folder / "parts", folder / "first.jsonl", folder / "second.jsonl")
        assert held(folder / "parts") == before


@settings(max_examples=20)
@given(histories(), st.integers(0, 99), st.booleans(), st.floats(0, 1))
def test_an_export_gives_the_same_log(
    history: History, seed: int, compress: bool, cut: float
) -> None:
    check(history, seed, compress=compress, count=0, cut=cut)


@pytest.mark.parametrize("count", [1, 2])
def test_an_export_gives_the_same_log_with_workers(count: int) -> None:
    events = [event for history in fixed_histories(25) for event in history.events]
    aliases = [row for history in fixed_histories(25) for row in history.aliases]
    check(History(events, aliases, None), 1, compress=True, count=count, cut=0.6)


def junk(count: int) -> list[Json]:
    return [
        signed_event("graph_snapshot", **{"payload.n": n}) | {"signature": None}
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_door_of_exports_has_no_quota_and_still_counts(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "QUOTA", LOW_QUOTA)
    monkeypatch.setattr(workers, "_WORTH_WORKERS", 1)
    (tmp_path / "junk.jsonl").write_bytes(b"".join(canonical(one) + b"\n" for one in junk(5)))
    done = again(tmp_path / "log", tmp_path / "junk.jsonl", workers=count)
    assert (done.appended, done.refused) == (5, 0)
    with LogWriter.open(tmp_path / "log") as log:
        with log.snapshot() as snapshot:
            counters = snapshot.counters_of(parse_pith_number(PAPER.number))
        assert counters == (5, 0, 5)
        # So the usual door lets no more in.
        more = [Piece("test", 1, canonical(junk(6)[5]))]
        assert ingest_pieces(log, more, keyring=RING).refused == 1


def test_what_the_log_has_is_not_asked_again_at_this_door(tmp_path: Path) -> None:
    fill(tmp_path, junk(3))
    with Log.open(tmp_path) as log:
        pieces = [Piece("test", 1, canonical(one)) for one in junk(3)]
        rows = list(Preparer(RING, "export", log.has).rows(pieces))
    assert [getattr(row, "content", None) for row in rows] == [b"", b"", b""]


def test_rows_of_states_come_back_as_events(tmp_path: Path, published: Path) -> None:
    with LogWriter.open(tmp_path / "log") as log:
        ingest(log, [published / "state-N7NXYVEE.json"])
        before = [state.canonical for state in replay(log, assurance="stated")]
    exported(tmp_path / "log", tmp_path / "x.jsonl")
    with LogWriter.open(tmp_path / "copy") as log:
        ingest(log, [tmp_path / "x.jsonl"], admit="export")
        assert [state.canonical for state in replay(log, assurance="stated")] == before


def test_an_export_of_an_empty_log(tmp_path: Path) -> None:
    fill(tmp_path / "log", [])
    assert exported(tmp_path / "log", tmp_path / "x.jsonl") == (0, 0, 0, EMPTY_ROOT)
    assert (tmp_path / "x.jsonl").read_bytes() == b""
    again(tmp_path / "copy", tmp_path / "x.jsonl")
    assert held(tmp_path / "copy") == held(tmp_path / "log")
    with Log.open(tmp_path / "log") as log, pytest.raises(IdentifierError, match="no position 1"):
        export(log, print, start=1)


def test_an_export_is_of_one_moment(tmp_path: Path) -> None:
    fill(tmp_path, junk(3))
    with LogWriter.open(tmp_path) as log:
        written: list[bytes] = []

        def write(data: bytes) -> None:
            pieces = [Piece("test", 1, canonical(one)) for one in junk(9)]
            assert ingest_pieces(log, pieces, keyring=RING).position == 9
            written.append(data)

        assert export(log, write).position == 3
    assert len(b"".join(written).splitlines()) == 3


def test_an_event_that_became_another_is_not_exported(tmp_path: Path) -> None:
    fill(tmp_path, [signed_event("correction", created_at=at(second)) for second in range(3)])
    with lmdb.open(os.fspath(tmp_path), max_dbs=20) as environment:
        table = environment.open_db(b"tiles", create=False)
        with environment.begin(write=True, db=table) as transaction:
            key = layout.position_key(0)
            key = b"\0" + key
            hashes = bytes(transaction.get(key, b""))
            transaction.put(key, hashes[:40] + b"\0" + hashes[41:])
    with Log.open(tmp_path) as log, pytest.raises(LogError, match="at position 1 is not the one"):
        export(log, lambda data: None)


# --- the verb --------------------------------------------------------------------------------


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pithgraph", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        program(*arguments), capture_output=True, env=ENVIRONMENT, check=False, timeout=60
    )


@pytest.mark.longer
def test_the_verb_and_the_door(tmp_path: Path) -> None:
    keyring = tmp_path / "keyring.json"
    keyring.write_bytes(canonical(KEYRING))
    alias = alias_line(PAPER.number, "pith_short_8", PAPER.suffix[:8], at(0))
    fill(tmp_path / "log", [junk(1)[0], alias, *junk(4)[1:]])
    first = run("export", "--log", tmp_path / "log")
    assert (first.returncode, len(first.stdout.splitlines())) == (0, 5)
    assert json.loads(first.stdout.splitlines()[1]) == alias
    with Log.open(tmp_path / "log") as log, log.snapshot() as snapshot:
        root = snapshot.root().hex()
    assert f"wrote 4 events and 1 alias rows of a log of 4 events, Merkle root {root}" in (
        first.stderr.decode()
    )
    assert "--from 4" in first.stderr.decode()
    packed = tmp_path / "x.jsonl.gz"
    packed.write_bytes(gzip.compress(first.stdout, mtime=0))
    done = run(
        *("ingest", "--log", tmp_path / "copy", "--admit", "export", "--json", packed),
        *("--keyring", keyring),
    )
    assert json.loads(done.stdout)["position"] == 4
    assert held(tmp_path / "copy") == held(tmp_path / "log")
    rest = run("export", "--log", tmp_path / "log", "--from", 3, "-o", tmp_path / "rest.jsonl")
    assert (rest.returncode, rest.stdout) == (0, b"")
    assert (tmp_path / "rest.jsonl").read_bytes() == first.stdout.splitlines(keepends=True)[-1]
    assert run("export", "--log", tmp_path / "log", "--from", 5).returncode == 2
    over = run("export", "--log", tmp_path / "log", "-o", packed)
    assert over.returncode == 3
    assert packed.read_bytes() == gzip.compress(first.stdout, mtime=0)
    assert run("export", "--log", tmp_path / "nothing", "-o", tmp_path / "no").returncode == 4
    assert not (tmp_path / "no").exists()


SLOW = """
    import sys, time
    import pithgraph.exporting
    def slowly(*arguments):
        print("there", flush=True)
        time.sleep(60)
    pithgraph.exporting._alias_places = slowly
    from pithgraph.cli import main
    main(sys.argv[1:])
"""


def test_a_killed_export_leaves_no_file_by_that_name(tmp_path: Path) -> None:
    """Half an export looks like a whole one to who ingests it."""
    fill(tmp_path / "log", junk(3))
    command = [sys.executable, "-c", textwrap.dedent(SLOW), "export", "--log", tmp_path / "log"]
    with subprocess.Popen(
        [*command, "-o", tmp_path / "x.jsonl"], stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.kill()
    assert not (tmp_path / "x.jsonl").exists()
    assert run("export", "--log", tmp_path / "log", "-o", tmp_path / "x.jsonl").returncode == 0
    assert len((tmp_path / "x.jsonl").read_bytes().splitlines()) == 3


def test_names_that_are_long_or_lead_nowhere(tmp_path: Path) -> None:
    fill(tmp_path / "log", junk(3))
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    done = run("export", "--log", tmp_path / "log", "-o", tmp_path / "one")
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"Too many levels of symbolic links" in done.stderr
    assert b"Traceback" not in done.stderr
    (tmp_path / "folder").mkdir()
    name = "ü" * 127 + "x"
    assert (
        run("export", "--log", tmp_path / "log", "-o", tmp_path / "folder" / name).returncode == 0
    )
    assert os.listdir(tmp_path / "folder") == [name]


def test_a_file_that_cannot_be_finished_is_not_left(tmp_path: Path) -> None:
    fill(tmp_path / "log", junk(3))
    with lmdb.open(os.fspath(tmp_path / "log"), max_dbs=20) as environment:
        table = environment.open_db(b"tiles", create=False)
        with environment.begin(write=True, db=table) as transaction:
            transaction.drop(table, delete=False)
    done = run("export", "--log", tmp_path / "log", "-o", tmp_path / "x.jsonl")
    assert done.returncode == 4
    assert not (tmp_path / "x.jsonl").exists()


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    fill(tmp_path / "log", [signed_event(**{"payload.x": "x" * 900_000, "payload.n": n})
                            for n in range(3)])  # fmt: skip
    with subprocess.Popen(
        program("export", "--log", tmp_path / "log"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        error = process.stderr.read().decode()
        assert process.wait() == 3
    assert "Traceback" not in error
