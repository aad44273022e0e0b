"""A repair makes a sound log of a damaged one, keeps every event that is sound, and sets aside the
rest with its bytes."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from damage import RING, Damage, Patient, build
from pithgraph import repairing
from pithgraph.checking import Check
from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.fsck import Fsck
from pithgraph.ingestion import ingest_pieces
from pithgraph.log import Log, LogWriter, layout
from pithgraph.log.batch import NewEvent
from pithgraph.ordinary import class_of
from pithgraph.repairing import Repaired, repair
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import ASSURANCES, VERIFIED, establish, judge
from signing import at, canonical, signed_event

DERIVED = (b"by_digest", b"by_paper", b"papers", b"tiles", b"states")


class Said:
    """What a log says: its events, the facts of each, its rows, its states."""

    def __init__(self, folder: Path) -> None:
        with Log.open(folder) as log:
            with log.snapshot() as snapshot:
                assert list(Check(snapshot, RING)) == []
                stored = [snapshot.event_at(n) for n in range(snapshot.size)]
                self.events = [one.event.canonical for one in stored]
                self.facts = [one.facts for one in stored]
                self.aliases = list(snapshot.rows(b"aliases"))
                self.refused = list(snapshot.rows(b"refused"))
                self.papers = list(snapshot.rows(b"papers"))
                self.root = snapshot.root()
            self.states = [
                [state.canonical for state in replay(log, keyring=RING, assurance=assurance)]
                for assurance in ASSURANCES
            ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Said) and vars(self) == vars(other)


@pytest.fixture(
    scope="module", params=[pytest.param("plain", marks=pytest.mark.longer), "compressed"]
)
def sound(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param)
    build(folder, compressed=request.param == "compressed")
    return folder


def damaged(sound: Path, folder: Path, *damages: Damage) -> Path:
    shutil.copytree(sound, folder)
    patient = Patient(folder)
    patient.keep(*damages)
    patient.close()
    return folder


def replay_of(folder: Path) -> list[bytes]:
    with Log.open(folder) as log:
        return [state.canonical for state in replay(log, keyring=RING)]


def sample(sound: Path, table: bytes, count: int) -> list[Damage]:
    patient = Patient(sound)
    damages = [*patient.flips(table), *patient.edits(table), *patient.resealed()]
    patient.close()
    damages = [damage for damage in damages if damage.table == table]
    return random.Random(table).sample(damages, min(count, len(damages)))


def set_aside(done: Repaired) -> list[dict[str, Any]]:
    if done.aside is None:
        assert done.set_aside == 0
        return []
    rows = [json.loads(line) for line in done.aside.read_text().splitlines()]
    assert len(rows) == done.set_aside
    return rows


def test_a_sound_log_stays_what_it_is(sound: Path, tmp_path: Path) -> None:
    folder = damaged(sound, tmp_path / "log")
    (folder / "data.mdb").chmod(0o640)
    done = repair(folder, keyring=RING)
    assert (done.set_aside, done.aside, done.moved, done.established) == (0, None, None, 0)
    assert (folder / "data.mdb").stat().st_mode & 0o777 == 0o640
    assert Said(folder) == Said(sound)
    assert sorted(os.listdir(folder)) == ["data.mdb", "lock.mdb", "writer.lock"]


def test_lost_rows_and_last_events_are_counted(sound: Path, tmp_path: Path) -> None:
    patient = Patient(sound)
    rows = {table: list(patient.rows[table]) for table in patient.rows}
    patient.close()
    (name, block) = rows[b"events"][-1]
    gone = [
        Damage(b"aliases", tuple((key, None) for key, _ in rows[b"aliases"][:2]), "two aliases"),
        Damage(b"tiles", tuple((key, None) for key, _ in rows[b"tiles"]), "the tree"),
        Damage(b"events", ((name, block[: len(block) // 2]),), "half of the last block"),
    ]
    first_refused = next(
        key for key, value in rows[b"refused"] if layout.read_refused_value(key, value).number == 0
    )
    before = Said(sound)
    done = repair(damaged(sound, tmp_path / "aliases", gone[0]), keyring=RING)
    assert (done.lost_aliases, done.lost_refused, done.lost, done.moved) == (2, 0, 0, None)
    refusal = Damage(b"refused", ((first_refused, None),), "a refused row")
    done = repair(damaged(sound, tmp_path / "refused", refusal), keyring=RING)
    assert (done.lost_aliases, done.lost_refused, done.lost, done.moved) == (0, 1, 0, None)
    assert done.kept is not None
    # Without the tree nothing but the counters tells that there were more.
    folder = damaged(sound, tmp_path / "events", *gone[1:])
    done = repair(folder, keyring=RING)
    assert done.lost == len(before.events) - len(Said(folder).events) > 0
    assert done.moved is not None
    stray = Damage(b"by_digest", ((b"\0" * 32, rows[b"by_digest"][0][1]),), "a row too many")
    done = repair(damaged(sound, tmp_path / "stray", stray), keyring=RING)
    assert (done.lost, done.moved) == (0, None)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(name.decode(), marks=pytest.mark.longer if name == b"states" else [])
        for name in layout.TABLES
    ],
)
def test_each_of_a_sample_of_damages_is_repaired(sound: Path, tmp_path: Path, table: str) -> None:
    name = table.encode()
    before = Said(sound)
    for number, damage in enumerate(sample(sound, name, 8)):
        folder = damaged(sound, tmp_path / str(number), damage)
        if damage.changes[0][0] == b"dictionary":
            with pytest.raises(LogError, match="dictionary"):
                repair(folder, keyring=RING)
            continue
        done = repair(folder, keyring=RING)
        after = Said(folder)
        rows = set_aside(done)
        if name in DERIVED or name in (b"classes", b"meta"):
            assert (done.moved, done.lost, done.lost_refused) == (None, 0, 0), damage.what
            assert after.events == before.events, damage.what
            assert after.root == before.root
            assert after.states == before.states
            assert {row["table"] for row in rows} <= {name.decode()}
        elif name == b"events":
            kept = iter(before.events)
            assert all(event in kept for event in after.events), damage.what
            assert done.lost == len(before.events) - len(after.events)
            assert after.events, damage.what
            if after.events != before.events:
                assert done.moved is not None, damage.what
                assert before.events[: done.moved] == after.events[: done.moved]
                assert after.root != before.root
        else:
            assert after.events == before.events
            lost = {key for key, _ in getattr(before, table)} - {
                key for key, _ in getattr(after, table)
            }
            assert len(lost) <= 2
            said = done.lost_aliases if name == b"aliases" else done.lost_refused
            assert said == len(lost), damage.what
            assert (done.kept is None) == (not lost)
        shutil.rmtree(folder)


def blocks(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        yield from snapshot.rows(b"events")


def rows_that_name(sound: Path, *names: bytes) -> Iterator[Damage]:
    """Each byte of these rows changed, and each row dropped."""
    patient = Patient(sound)
    patient.rows = {b"meta": [row for row in patient.rows[b"meta"] if row[0] in names]}
    patient.close()
    yield from patient.flips(b"meta", masks=(1,))
    yield from (Damage(b"meta", ((name, None),), f"{name!r} dropped") for name in names)


def test_what_names_format_and_compression_is_made_anew(sound: Path, tmp_path: Path) -> None:
    """fsck names the row, and a repair that takes all else over whole writes it again."""
    before = Said(sound)
    for number, damage in enumerate(rows_that_name(sound, b"format", b"compression")):
        folder = damaged(sound, tmp_path / str(number), damage)
        with pytest.raises(LogError, match=rf"^{re.escape(str(folder))}: .*(fsck|compression)"):
            replay_of(folder)
        (finding,) = Fsck(folder, keyring=RING)
        assert finding.table == "meta", damage.what
        done = repair(folder, keyring=RING)
        assert (done.lost, done.lost_aliases, done.established, done.moved) == (0, 0, 0, None)
        gone = {row["key"] for row in set_aside(done)}
        assert gone == {key.hex() for key, value in damage.changes if value is not None}
        assert Said(folder) == before, damage.what
        shutil.rmtree(folder)


def test_a_log_that_says_the_wrong_of_its_compression_is_read_as_it_is(
    sound: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other = {"plain": b"zstd", "compressed": b"none"}[request.node.callspec.params["sound"]]
    folder = damaged(sound, tmp_path / "log", Damage(b"meta", ((b"compression", other),), ""))
    named = {finding.where for finding in Fsck(folder, keyring=RING) if finding.table == "meta"}
    assert named == {"compression"}
    done = repair(folder, keyring=RING)
    assert (done.lost, done.established, done.moved, done.set_aside) == (0, 0, None, 1)
    assert Said(folder) == Said(sound)


def test_a_log_of_which_no_event_can_be_read_stays_as_it_is(sound: Path, tmp_path: Path) -> None:
    with Log.open(sound) as log, log.snapshot() as snapshot:
        has_dictionary = snapshot.raw(b"meta", b"dictionary") is not None
        blocks = [key for key, _ in snapshot.rows(b"events")]
    damages = [Damage(b"events", tuple((key, None) for key in blocks), "no block")]
    if has_dictionary:
        damages.append(Damage(b"meta", ((b"dictionary", None),), "no dictionary"))
    for number, damage in enumerate(damages):
        folder = damaged(sound, tmp_path / str(number), damage)
        data = (folder / "data.mdb").read_bytes()
        if damage.what == "no dictionary":
            named = [found for found in Fsck(folder, keyring=RING) if found.table == "meta"]
            assert [found.where for found in named] == ["compression"]
            assert "without a dictionary" in named[0].detail
        with pytest.raises(LogError, match="no event can be read"):
            repair(folder, keyring=RING)
        assert (folder / "data.mdb").read_bytes() == data


def test_a_log_that_may_be_of_another_format_is_repaired_whole_or_not(
    sound: Path, tmp_path: Path
) -> None:
    stated = Damage(b"meta", ((b"format", b"4"),), "another format")
    patient = Patient(sound)
    (key, block), *_ = patient.rows[b"events"]
    alias, _ = patient.rows[b"aliases"][0]
    patient.close()
    for number, more in enumerate(
        [
            Damage(b"events", ((key, block[:-1]),), "an event is damaged"),
            Damage(b"aliases", ((alias, None),), "an alias row is gone"),
            Damage(b"meta", ((b"further", b"1"),), "a row that pithgraph has not"),
        ]
    ):
        folder = damaged(sound, tmp_path / str(number), stated, more)
        data = (folder / "data.mdb").read_bytes()
        with pytest.raises(LogError, match="states format b'4'"):
            repair(folder, keyring=RING)
        assert (folder / "data.mdb").read_bytes() == data
    folder = damaged(sound, tmp_path / "table", stated)
    with lmdb.open(os.fspath(folder), max_dbs=20) as environment:
        environment.open_db(b"further")
    with pytest.raises(LogError, match="states format b'4'"):
        repair(folder, keyring=RING)


def root_pages(folder: Path) -> dict[bytes, int]:
    """The page at which LMDB begins to look for a table's rows (`mdb_db.md_root`)."""
    with (
        lmdb.open(os.fspath(folder), max_dbs=20, readonly=True) as environment,
        environment.begin() as transaction,
        transaction.cursor() as cursor,
    ):
        return {bytes(name): int.from_bytes(record[40:48], "little") for name, record in cursor}


def overwrite(folder: Path, page: int) -> None:
    with open(folder / "data.mdb", "r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))


@pytest.mark.parametrize("table", [name.decode() for name in DERIVED])
def test_a_table_that_cannot_be_read_is_made_anew_of_the_others(
    sound: Path, tmp_path: Path, table: str
) -> None:
    folder = damaged(sound, tmp_path / "log")
    overwrite(folder, root_pages(folder)[table.encode()])
    before = Said(sound)
    done = repair(folder, keyring=RING)
    assert (done.lost, done.lost_aliases, done.moved, done.set_aside) == (0, 0, None, 0)
    assert Said(folder) == before


def test_a_damaged_key_hides_no_other_row(sound: Path, tmp_path: Path) -> None:
    """LMDB looks for keys by their order: behind one that is out of order it may find none."""
    for table in (b"aliases", b"events"):
        before = Said(sound)
        folder = damaged(sound, tmp_path / table.decode())
        with Log.open(sound) as log, log.snapshot() as snapshot:
            keys = [key for key, _ in snapshot.rows(table)]
        data = bytearray((folder / "data.mdb").read_bytes())
        page = root_pages(folder)[table] * 4096
        at = data.index(keys[len(keys) // 2], page, page + 4096)
        data[at] ^= 0x80
        (folder / "data.mdb").write_bytes(data)
        done = repair(folder, keyring=RING)
        after = Said(folder)
        if table == b"events":
            assert after == before
            assert done.set_aside == 0
        else:
            assert done.set_aside == 1
            assert after.events == before.events
            assert len(after.aliases) == len(before.aliases) - 1


def test_one_event_is_set_aside_with_its_bytes(sound: Path, tmp_path: Path) -> None:
    before = Said(sound)
    (key, block), *_ = blocks(sound)
    _, length = layout.read_header(block)
    at = layout.HEADER_BYTES + length // 2
    broken = block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
    folder = damaged(sound, tmp_path / "log", Damage(b"events", ((key, broken),), ""))
    done = repair(folder, keyring=RING)
    assert done.moved == 0
    assert Said(folder).events == before.events[1:]
    (row,) = set_aside(done)
    assert (row["table"], row["key"]) == ("events", key.hex())
    assert base64.b64decode(row["bytes"]) == broken[: layout.HEADER_BYTES + length]


def test_behind_a_damaged_length_events_are_found_by_the_index(sound: Path, tmp_path: Path) -> None:
    before = Said(sound)
    (key, block), *_ = blocks(sound)
    header = block[:5] + bytes([block[5] ^ 1])
    folder = damaged(sound, tmp_path / "log", Damage(b"events", ((key, header + block[6:]),), ""))
    done = repair(folder, keyring=RING)
    assert Said(folder).events == before.events
    assert done.moved is None


def test_without_any_class_every_event_is_recognised(sound: Path, tmp_path: Path) -> None:
    """Each row names its signer, and the facts are established anew."""
    with Log.open(sound) as log, log.snapshot() as snapshot:
        keys = [key for key, _ in snapshot.rows(b"classes")]
    damage = Damage(b"classes", tuple((key, None) for key in keys), "")
    folder = damaged(sound, tmp_path / "log", damage)
    done = repair(folder, keyring=RING)
    assert done.established > 15
    assert Said(folder) == Said(sound)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"created_at": "2026-02-30T00:00:00Z"}, "invalid_timestamp"),
        ({"target": "nothing:"}, "target_mismatch"),
        ({"event_type": "rumour"}, "unknown_event_type"),
    ],
)
def test_an_event_that_is_stored_as_a_valid_one_is_found_and_judged(
    sound: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """By somebody who knows the layout: its signature verifies, so that its facts are right."""
    folder = tmp_path / "log"
    shutil.copytree(sound, folder)
    event = Event.from_bytes(canonical(signed_event("mirror_hint", **changes)))
    facts = establish(event, RING)
    assert judge(event, facts, RING, VERIFIED).reason == reason
    event_class = class_of(event, facts)
    assert event_class is not None
    packed = layout.packed_class(event_class)
    with LogWriter.open(folder) as log:
        log.append([NewEvent.of(event, facts, event_class, packed, valid=True)])
        with log.snapshot() as snapshot:
            (finding,) = Check(snapshot, RING)
            where = f"position {snapshot.size - 1}"
    assert (finding.table, finding.where) == ("events", where)
    assert "that of a valid event" in finding.detail
    done = repair(folder, keyring=RING)
    assert (done.lost, done.set_aside, done.moved) == (0, 0, None)
    assert Said(folder).events[:-1] == Said(sound).events
    with Log.open(folder) as log:
        states = {state.pith_number: state for state in replay(log, keyring=RING)}
    invalid = {one.event_id: one.reason for one in states[event.subject].invalid_events}
    assert invalid[event.event_id] == reason


def test_a_block_under_a_wrong_key_goes_back_to_its_place(sound: Path, tmp_path: Path) -> None:
    before = Said(sound)
    (key, block), *_ = blocks(sound)
    for number, other in enumerate((b"\x01" + key[1:], key[:-1] + b"\xff", b"\0")):
        damage = Damage(b"events", ((key, None), (other, block)), "")
        folder = damaged(sound, tmp_path / str(number), damage)
        assert repair(folder, keyring=RING).moved is None
        assert Said(folder) == before


class Killed(BaseException):
    """As a signal that nobody catches, but for the finally clauses."""


@pytest.mark.parametrize("where", ["fsync", "replace", "_check", "_sync"])
def test_a_repair_that_breaks_off_leaves_the_log(
    sound: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Said(sound)
    for error in (Killed(), OSError(28, "No space left on device")):
        folder = damaged(sound, tmp_path / type(error).__name__)

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            owner = repairing if where.startswith("_") else os
            patch.setattr(owner, where, fail)
            expected = Killed if isinstance(error, Killed) else LogError
            with pytest.raises(expected):
                repair(folder, keyring=RING)
        assert Said(folder) == before
        assert sorted(os.listdir(folder)) == ["data.mdb", "lock.mdb", "writer.lock"]


def test_what_a_killed_repair_left_is_removed(sound: Path, tmp_path: Path) -> None:
    folder = damaged(sound, tmp_path / "log")
    (folder / "repair.tmp").mkdir()
    (folder / "repair.tmp" / "data.mdb").write_bytes(b"half a log")
    repair(folder, keyring=RING)
    assert not (folder / "repair.tmp").exists()
    assert Said(folder) == Said(sound)


def test_a_log_that_somebody_writes_to_is_not_repaired(sound: Path, tmp_path: Path) -> None:
    folder = damaged(sound, tmp_path / "log")
    with LogWriter.open(folder), pytest.raises(LogError, match="is writing to this log"):
        repair(folder, keyring=RING)
    with pytest.raises(LogError, match="there is no log"):
        repair(tmp_path / "nothing", keyring=RING)


def test_a_link_is_no_folder_of_an_earlier_repair(sound: Path, tmp_path: Path) -> None:
    """It may lead to another log."""
    folder, other = damaged(sound, tmp_path / "log"), damaged(sound, tmp_path / "other")
    before = (other / "data.mdb").read_bytes()
    (folder / "repair.tmp").symlink_to(other)
    (folder / "before-repair-1.mdb").symlink_to(tmp_path / "elsewhere")
    patient = Patient(folder)
    patient.keep(Damage(b"aliases", ((patient.rows[b"aliases"][0][0], None),), ""))
    patient.close()
    done = repair(folder, keyring=RING)
    assert (done.lost_aliases, done.kept) == (1, folder / "before-repair-2.mdb")
    assert (other / "data.mdb").read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()
    assert not (folder / "repair.tmp").is_symlink()


def test_a_reader_goes_on_with_the_old_log(sound: Path, tmp_path: Path) -> None:
    folder = damaged(sound, tmp_path / "log")
    reader = os.open(folder / "data.mdb", os.O_RDONLY)
    before = os.fstat(reader)
    repair(folder, keyring=RING)
    assert os.fstat(reader).st_nlink == 0
    assert os.stat(folder / "data.mdb").st_ino != before.st_ino
    os.close(reader)


@pytest.mark.parametrize("transactions", [8, 9])
def test_a_writer_goes_on_with_the_new_log_beside_readers_of_the_old(
    tmp_path: Path, transactions: int
) -> None:
    """LMDB's lock file, which such a reader keeps open, says that the old log's transactions are
    the last; the new log has fewer, and LMDB keeps two pages in turn that lead to the last."""
    log = tmp_path / "log"
    with LogWriter.open(log) as writer:
        for second in range(transactions):
            value = signed_event("graph_snapshot", created_at=at(second))
            ingest_pieces(writer, [Piece("more", 1, canonical(value))], keyring=RING)
    code = (
        "import sys; from pithgraph.log import Log\n"
        "with Log.open(sys.argv[1]) as log, log.snapshot() as held:\n"
        "    print(held.size, flush=True); sys.stdin.read()\n"
        "    print(sum(1 for _ in held.events_from(0)), flush=True)"
    )
    reading = subprocess.Popen(
        [sys.executable, "-c", code, str(log)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with reading:
        assert reading.stdout is not None
        held = int(reading.stdout.readline())
        assert repair(log, keyring=RING).events == held
        for second in range(5):
            with LogWriter.open(log) as writer:
                value = signed_event("correction", created_at=at(40 + second))
                done = ingest_pieces(writer, [Piece("more", 1, canonical(value))], keyring=RING)
                assert done.position == held + second + 1
        assert list(Fsck(log, keyring=RING)) == []
        out, _ = reading.communicate("")
        assert int(out) == held


@pytest.mark.longer
def test_of_damaged_pages_is_made_what_can_be_read_or_nothing_is_done(
    sound: Path, tmp_path: Path
) -> None:
    data = (sound / "data.mdb").read_bytes()
    events = Said(sound).events
    chance = random.Random(3)
    done = refused = 0
    for number in range(12):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        at = chance.randrange(2 * 4096, len(data) - 64)
        broken = data[:at] + chance.randbytes(64) + data[at + 64 :]
        if number % 4 == 0:
            broken = data[: len(data) // 4096 * number // 24 * 4096]
        (folder / "data.mdb").write_bytes(broken)
        try:
            repair(folder, keyring=RING)
        except LogError:
            refused += 1
            assert (folder / "data.mdb").read_bytes() == broken
        else:
            done += 1
            assert set(Said(folder).events) <= set(events)
    assert done
    assert refused
