"""The log: append-only, atomic batches, readers beside one writer, a map that grows, a cache."""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest

import signing
from pithgraph import ingestion
from pithgraph.errors import IdentifierError, LogError
from pithgraph.events import Event
from pithgraph.identifiers import parse_pith_number, parse_reference
from pithgraph.ingestion import Ingested, ingest_pieces, new_rows
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, batch, layout
from pithgraph.log.batch import QUOTA, REFUSED_ROWS, New, folded
from pithgraph.merge import PaperAlias, merge_events
from pithgraph.merkle import HASH_BYTES, Tile
from pithgraph.preparing import Preparer
from pithgraph.proofs import build_proof, verify_proof
from pithgraph.repairing import repair
from pithgraph.replaying import current_state, proofs_of, replay
from pithgraph.sources import Piece
from signing import PAPER, REGISTRY, STRANGER, at, canonical, signed_event

KEYRING = Keyring.from_value(signing.keyring_value())


def pieces(*values: object) -> list[Piece]:
    return [Piece("test", n, canonical(value)) for n, value in enumerate(values, 1)]


def rows(*values: object) -> list[New]:
    return list(new_rows(pieces(*values), KEYRING))


def put(log: LogWriter, *values: object) -> Ingested:
    return ingest_pieces(log, pieces(*values), keyring=KEYRING)


def snapshots(count: int, size: int = 0) -> list[dict[str, object]]:
    """That many valid events of one paper, each with `size` bytes of ballast."""
    return [
        signed_event(
            "replication_record",
            target=f"replication:{n}",
            **{"payload.ballast": "x" * size},
        )
        for n in range(count)
    ]


def tables(folder: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Everything that the log holds, byte for byte."""
    with lmdb.open(os.fspath(folder), readonly=True, max_dbs=20) as environment:
        found = {}
        for name in layout.TABLES:
            table = environment.open_db(name, create=False)
            with environment.begin(db=table) as transaction:
                found[name] = [(bytes(k), bytes(v)) for k, v in transaction.cursor()]
    return found


def elsewhere(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process with the package; it may talk to us over its pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_events_get_positions_in_the_order_in_which_they_come(tmp_path: Path) -> None:
    events = snapshots(5)
    with LogWriter.open(tmp_path) as log:
        done = put(log, *events, events[0])
        assert done[:7] == (6, 5, 1, 0, 0, 1, 5)
        with log.snapshot() as snapshot:
            stored = [snapshot.event_at(position).event.value for position in range(5)]
            assert stored == events
            with pytest.raises(LogError, match="position 5"):
                snapshot.event_at(5)


def test_ingesting_again_changes_no_byte(tmp_path: Path) -> None:
    bundle = {
        "bundle_type": "pith_open_graph_bundle",
        "pith_number": PAPER.number,
        "source_aliases": [
            {"alias_kind": "arxiv", "alias_value": "1", "created_at": at(1)},
            {"alias_kind": "arxiv", "alias_value": "1", "created_at": "never"},
        ],
        "events": [*snapshots(3), {"no": "subject"}, 7],
    }
    with LogWriter.open(tmp_path) as log:
        first = put(log, bundle)
    before = tables(tmp_path)
    assert len(before[b"refused"]) == first.refused == 3
    with LogWriter.open(tmp_path) as log:
        again = put(log, bundle)
    assert tables(tmp_path) == before
    assert (again.appended, again.duplicates, again.aliases, again.refused) == (0, 3, 0, 3)


def test_the_map_grows_in_mid_batch_and_nothing_is_lost(tmp_path: Path) -> None:
    events = snapshots(300, size=5000)
    with LogWriter.open(tmp_path, map_bytes=128 * 1024) as log:
        for start in range(0, 300, 100):
            assert put(log, *events[start : start + 100]).appended == 100
        with log.snapshot() as snapshot:
            assert snapshot.size == 300
            assert [snapshot.event_at(n).event.value for n in range(300)] == events
    with Log.open(tmp_path) as log:
        (state,) = replay(log, keyring=KEYRING)
    assert state.valid_event_count == 300


def test_a_reader_elsewhere_follows_a_writer_that_grows_the_map(tmp_path: Path) -> None:
    events = snapshots(200, size=5000)
    code = """
        import sys
        from pithgraph.log import Log
        with Log.open(sys.argv[1]) as log:
            for line in sys.stdin:
                with log.snapshot() as snapshot:
                    print(snapshot.size, len(list(snapshot.papers())), flush=True)
    """
    with LogWriter.open(tmp_path, map_bytes=128 * 1024) as log:
        put(log, events[0])
        with elsewhere(code, tmp_path) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for expected, batch in (("1 1", []), ("100 1", events[1:100]), ("200 1", events[100:])):
                if batch:
                    put(log, *batch)
                reader.stdin.write("\n")
                reader.stdin.flush()
                assert reader.stdout.readline().strip() == expected
            reader.stdin.close()


def test_a_snapshot_does_not_move(tmp_path: Path) -> None:
    first, second = snapshots(2)
    with LogWriter.open(tmp_path) as log:
        put(log, first)
        with log.snapshot() as snapshot:
            put(log, second)
            assert snapshot.size == 1
            assert len(list(snapshot.events_of(parse_pith_number(PAPER.number)))) == 1
        with log.snapshot() as snapshot:
            assert snapshot.size == 2


HOLD = """
    import sys
    from pithgraph.log import LogWriter
    with LogWriter.open(sys.argv[1]) as log:
        print("open", flush=True)
        sys.stdin.readline()
"""


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    with elsewhere(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(LogError, match=rf"process {holder.pid} is writing"):
            LogWriter.open(tmp_path)
        with Log.open(tmp_path) as log, log.snapshot() as snapshot:
            assert snapshot.size == 0
        holder.stdin.close()
    with LogWriter.open(tmp_path) as log:
        assert put(log, *snapshots(1)).appended == 1


def test_a_killed_writer_leaves_nothing_locked(tmp_path: Path) -> None:
    with elsewhere(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        holder.send_signal(signal.SIGKILL)
    with LogWriter.open(tmp_path) as log:
        assert put(log, *snapshots(1)).appended == 1


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no log"):
        Log.open(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LogError, match="not empty"):
        LogWriter.open(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LogError, match="exists"):
        LogWriter.open(tmp_path / "file")
    other = tmp_path / "other"
    other.mkdir()
    with lmdb.open(os.fspath(other), max_dbs=1) as environment:
        environment.open_db(b"theirs")
    for opener in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match="no pithgraph log"):
            opener(other)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "data.mdb").write_bytes(b"no LMDB file, but long enough" * 1000)
    for opener in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match="cannot be read"):
            opener(damaged)


def test_another_format_is_refused(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
    with lmdb.open(os.fspath(tmp_path), max_dbs=20) as environment:
        meta = environment.open_db(b"meta", create=False)
        with environment.begin(write=True, db=meta) as transaction:
            transaction.put(b"format", b"4")
    before = tables(tmp_path)
    for opener in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match="format 4, this pithgraph reads 3"):
            opener(tmp_path)
    assert tables(tmp_path) == before


Damage = Callable[[bytes], bytes | None]


def damage(path: Path, table: bytes, key: bytes, change: Damage) -> None:
    """Change one stored value behind the log's back; None drops it."""
    with lmdb.open(os.fspath(path), max_dbs=20) as environment:
        database = environment.open_db(table, create=False)
        with environment.begin(write=True, db=database) as transaction:
            value = transaction.get(key)
            assert value is not None
            changed = change(bytes(value))
            transaction.delete(key)
            if changed is not None:
                transaction.put(key, changed)


@pytest.mark.parametrize("keyring", [KEYRING, Keyring.from_value({"keys": []})])
@pytest.mark.parametrize(
    ("table", "key", "change"),
    [
        (b"events", layout.position_key(0), lambda value: None),
        (b"events", layout.position_key(0), lambda value: value[:100]),
        (b"events", layout.position_key(0), lambda value: bytes(len(value))),
        (b"classes", layout.class_key(1), lambda value: None),
        (b"classes", layout.class_key(1), lambda value: b"\xc1"),
        (b"papers", layout.paper_key(parse_pith_number(PAPER.number)), lambda _: b"\xff" * 24),
        (b"papers", layout.paper_key(parse_pith_number(PAPER.number)), lambda _: b"\xff"),
    ],
)
def test_a_damaged_row_is_a_log_error(
    tmp_path: Path, keyring: Keyring, table: bytes, key: bytes, change: Damage
) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
    damage(tmp_path, table, key, change)
    with Log.open(tmp_path) as log, pytest.raises(LogError):
        list(replay(log, keyring=keyring))


def rich(path: Path, *, compress: bool = False) -> None:
    """A log with ordinary events of one time and of several, one that is whole, and alias rows."""
    events = [
        signed_event("record_created"),
        *(signed_event("replication_record", target=f"replication:{n}") for n in range(3)),
        signed_event("correction", created_at=at(2), previous_event_id=signing.some_id("x")),
        signed_event("graph_snapshot", created_at=at(3)),
        signed_event("graph_snapshot", created_at=at(4)) | {"signature": None},
    ]
    aliases = [
        {"pith_number": PAPER.number, "alias_kind": kind, "alias_value": "1", "created_at": at(3)}
        for kind in ("arxiv", "doi")
    ]
    with LogWriter.open(path, compress=compress) as log:
        put(log, *events[:-1], *({"alias": alias} for alias in aliases))
        put(log, signed_event("graph_snapshot", paper=signing.OTHER_PAPER), events[-1])


def uses(path: Path) -> list[Callable[[], object]]:
    """What may be done with a log that is there."""
    cuts: list[dict[str, Any]] = [{}, {"at": 1}, {"as_of": at(3)}, {"assurance": "stated"}]

    def replayed(keyring: Keyring, cut: dict[str, Any]) -> object:
        with Log.open(path) as log:
            return list(replay(log, keyring=keyring, **cut))

    def read() -> object:
        with Log.open(path) as log, log.snapshot() as snapshot:
            papers = list(snapshot.papers())
            stored = [snapshot.event_at(position) for position in range(min(snapshot.size, 100))]
            return papers, stored, snapshot.refused()

    def appended() -> object:
        with LogWriter.open(path) as log:
            return put(log, signed_event("graph_snapshot", created_at=at(9)), signed_event())

    keyrings = (KEYRING, Keyring.from_value({"keys": []}))
    replays = [functools.partial(replayed, keyring, cut) for keyring in keyrings for cut in cuts]
    return [*replays, read, appended]


def log_errors(path: Path) -> int:
    """How many uses of a log end with an error of the package; nothing else may come of it."""
    found = 0
    for use in uses(path):
        try:
            use()
        except LogError:
            found += 1
        except IdentifierError:  # of a position that the log says it has not reached
            found += 1
    return found


def of_first(path: Path, table: bytes) -> bytes:
    return tables(path)[table][0][0]


def without_signer(value: bytes, number: int) -> bytes:
    parts = value.split(b'"signer":')
    return (
        b'"signer":'.join(parts[: number + 1])
        + b'"sIgNer":'
        + b'"signer":'.join(parts[number + 1 :])
    )


NOT_UTF8: dict[str, tuple[bytes, Damage]] = {
    "a target": (b"events", lambda value: value.replace(b"replication:0", b"\xff" * 13)),
    "a record": (b"events", lambda value: value.replace(b"cs.LG", b"\xff" * 5)),
    "a whole event": (b"events", lambda value: value[:-9] + b"\xff" + value[-8:]),
    "a class": (b"classes", lambda value: value.replace(b"test-", b"\xff" * 5)),
    "an event_type": (b"classes", lambda value: value.replace(b"record_", b"\xff" * 7)),
    "an alias": (b"aliases", lambda value: value[:-1] + b"\xff"),
}
WRONG: dict[str, tuple[bytes, Damage]] = {
    "an index row cut": (b"by_paper", lambda value: value[:10]),
    "an index row too long": (b"by_paper", lambda value: value + b"\x00"),
    "an index row dropped": (b"by_paper", lambda value: None),
    "another block": (b"by_paper", lambda value: value[:2] + b"\x01" * 8 + value[10:]),
    "beyond the block": (b"by_paper", lambda value: value[:10] + b"\x7f" * 4 + value[14:]),
    "of no length": (b"by_paper", lambda value: value[:14] + bytes(4)),
    "of the header": (b"by_paper", lambda value: value[:10] + bytes(3) + b"\x02" + value[14:]),
    "another class": (b"by_paper", lambda value: b"\x00\x63" + value[2:]),
    "no class": (b"by_paper", lambda value: b"\x00\x00" + value[2:]),
    "a block dropped": (b"events", lambda value: None),
    "an empty block": (b"events", lambda value: b""),
    "a block cut": (b"events", lambda value: value[:2000]),
    "a block of zeros": (b"events", lambda value: bytes(len(value))),
    "a block of garbage": (b"events", lambda value: b"\xa5" * len(value)),
    "a block moved": (b"events", lambda value: value[1:]),
    "no signers": (b"events", lambda value: value.replace(b'"signer":', b'"sIgNer":')),
    **{
        f"signer {n} is missing": (b"events", functools.partial(without_signer, number=n))
        for n in range(6)
    },
    "a class dropped": (b"classes", lambda value: None),
    "an empty class": (b"classes", lambda value: b""),
    "a class that is a list": (b"classes", lambda value: b"\x90"),
    "an alias cut": (b"aliases", lambda value: value[:-3]),
    "counters cut": (b"papers", lambda value: value[:-3]),
    "other counters": (b"papers", lambda value: value[:23] + b"\x09" + value[24:]),
}


@pytest.mark.parametrize("name", [*WRONG, *NOT_UTF8])
def test_whatever_is_damaged_is_a_log_error(tmp_path: Path, name: str) -> None:
    rich(tmp_path)
    assert log_errors(tmp_path) == 0
    table, change = (WRONG | NOT_UTF8)[name]
    damage(tmp_path, table, of_first(tmp_path, table), change)
    assert log_errors(tmp_path) > 0


def test_a_number_with_a_year_is_found_in_that_year_alone(tmp_path: Path) -> None:
    other = PAPER.number.replace("pith:2024:", "pith:2023:")
    events = [signed_event(), signed_event(subject_pith_number=other)]
    with LogWriter.open(tmp_path) as log:
        pieces = [Piece("a", None, canonical(event)) for event in events]
        assert ingest_pieces(log, pieces).appended == 2
        with log.snapshot() as snapshot:
            for number in (PAPER.number, other):
                assert [str(one) for one in snapshot.find(parse_reference(number))] == [number]
            assert len(snapshot.find(parse_reference(PAPER.suffix))) == 2


def test_a_counter_that_reaches_into_the_next_paper_is_a_log_error(tmp_path: Path) -> None:
    rich(tmp_path)
    first, second = (paper for paper, _ in tables(tmp_path)[b"papers"][:2])
    damage(tmp_path, b"papers", first, counting(first, 1))
    with Log.open(tmp_path) as log, log.snapshot() as snapshot:
        assert snapshot.index_of(layout.paper_of(second))
        with pytest.raises(LogError, match="the index of paper"):
            snapshot.index_of(layout.paper_of(first))
        with pytest.raises(LogError, match="the index of paper"):
            list(snapshot.papers_indexed())


def test_a_counter_that_leaves_an_event_to_the_next_paper_is_a_log_error(tmp_path: Path) -> None:
    rich(tmp_path)
    first = tables(tmp_path)[b"papers"][0][0]
    damage(tmp_path, b"papers", first, counting(first, -1))
    with (
        Log.open(tmp_path) as log,
        log.snapshot() as snapshot,
        pytest.raises(LogError, match="the index of paper"),
    ):
        list(snapshot.papers_indexed())


def counting(paper: bytes, more: int) -> Damage:
    """Another number of a paper's events, under a right seal."""

    def change(value: bytes | None) -> bytes:
        counters = layout.read_counters(value)
        return layout.counters_value(paper, counters._replace(events=counters.events + more))

    return change


@pytest.mark.parametrize(
    ("table", "row", "change"),
    [
        *[(b"meta", name, change) for name in (b"events", b"papers") for change in (-1, 1)],
        (b"meta", b"refused", -1),
        *[(name, None, 0) for name in (b"by_digest", b"by_paper", b"papers", b"refused")],
    ],
)
def test_a_row_that_is_missed_is_missed_by_whoever_opens_the_log(
    tmp_path: Path, table: bytes, row: bytes | None, change: int
) -> None:
    """An event would take another's place, a tree of papers would lose one: nothing is read."""
    rich(tmp_path)
    with LogWriter.open(tmp_path) as log:
        put(log, {"no": "subject"})
    held = tables(tmp_path)
    key = held[table][0][0] if row is None else row
    damage(tmp_path, table, key, lambda value: b"%d" % (int(value) + change) if change else None)
    before = tables(tmp_path)
    for opened in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match=r"damaged: it counts \d+ .*fsck --repair"):
            opened(tmp_path)
    assert tables(tmp_path) == before


@pytest.mark.parametrize("table", layout.TABLES[1:])
def test_a_table_that_is_missing_is_named_and_not_made_anew(tmp_path: Path, table: bytes) -> None:
    rich(tmp_path)
    with lmdb.open(os.fspath(tmp_path), max_dbs=20) as environment:
        opened = environment.open_db(table, create=False)
        with environment.begin(write=True) as transaction:
            transaction.drop(opened)
    for open_log in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match=f"the table {table.decode()} is missing"):
            open_log(tmp_path)


def test_alias_rows_that_are_gone_change_no_state_in_silence(tmp_path: Path) -> None:
    rich(tmp_path)
    paper = parse_pith_number(PAPER.number)
    for _ in range(2):  # one of two, then both
        damage(tmp_path, b"aliases", of_first(tmp_path, b"aliases"), lambda _: None)
        with Log.open(tmp_path) as log, log.snapshot() as snapshot:
            for use in (
                lambda: list(replay(log, keyring=KEYRING)),
                lambda: list(replay(log, keyring=KEYRING, at=5)),
                lambda: current_state(log, paper, keyring=KEYRING),
                lambda: list(snapshot.aliases_of(paper)),
            ):
                with pytest.raises(LogError, match=f"alias rows of paper {paper} are damaged"):
                    use()


def test_no_event_is_put_on_a_tree_that_is_not_that_of_the_events(tmp_path: Path) -> None:
    """At the right edge a wrong hash would go into all that follows."""
    with LogWriter.open(tmp_path / "log") as log:
        put(log, *snapshots(256 + 3))
    for name, number in ((0, 1), (1, 0), (0, 0)):
        folder = tmp_path / f"{name} {number}"
        shutil.copytree(tmp_path / "log", folder)
        key = layout.tile_key(Tile(name, number, 1))
        damage(folder, b"tiles", key, lambda value: bytes([value[0] ^ 1]) + value[1:])
        with pytest.raises(LogError, match="is not that of what lies below it"):
            LogWriter.open(folder)
        Log.open(folder).close()


def test_a_tile_that_is_not_there_is_empty(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
        with log.snapshot() as snapshot:
            assert len(snapshot.tile(Tile(0, 0, 1))) == HASH_BYTES
            assert snapshot.tile(Tile(0, 1, 1)) == b""


@pytest.mark.parametrize("name", [b"format", b"events", b"papers", b"compression"])
@pytest.mark.parametrize("value", [b"", b"many", b"\xff", b"-1", b"7"])
def test_a_damaged_counter_is_a_log_error_to_a_writer_too(
    tmp_path: Path, name: bytes, value: bytes
) -> None:
    rich(tmp_path)
    damage(tmp_path, b"meta", name, lambda _: value)
    log_errors(tmp_path)


def damaged_at_random(path: Path, chance: random.Random) -> None:
    """Change one value of a log: drop it, cut it, or put other bytes into it."""
    held = tables(path)
    table = chance.choice([name for name in held if held[name]])
    key, value = chance.choice(held[table])
    start = chance.randrange(len(value) + 1)
    changed: bytes | None = chance.choice(
        [
            None,
            value[:start],
            value[:start] + chance.randbytes(1) + value[start + 1 :],
            value[:start] + chance.randbytes(8) + value[start + chance.randrange(9) :],
            chance.randbytes(len(value)),
        ]
    )
    damage(path, table, key, lambda _: changed)


def check_random_damage(path: Path, count: int, seed: str) -> None:
    chance = random.Random(seed)
    for compress in (False, True) if importlib.util.find_spec("zstandard") else (False,):
        whole = path / f"whole {compress}"
        rich(whole, compress=compress)
        for number in range(count):
            damaged = path / f"{compress} {number}"
            shutil.copytree(whole, damaged)
            damaged_at_random(damaged, chance)
            log_errors(damaged)
            shutil.rmtree(damaged)


def test_random_damage_is_a_log_error_or_nothing(tmp_path: Path) -> None:
    check_random_damage(tmp_path, 15, "damage")


@pytest.mark.slow
def test_sample_of_random_damage(tmp_path: Path) -> None:
    check_random_damage(tmp_path, 1000, "much damage")


# --- the door and the quota (SPEC §6) --------------------------------------------------------


def junk(count: int, start: int = 0) -> list[dict[str, object]]:
    """Events whose signature is another key's: admitted, never authentic."""
    return [
        signed_event("graph_snapshot", REGISTRY, **{"payload.n": n})
        | {"signature": signing.signature(STRANGER, signing.some_id("x"), key_id=REGISTRY.key_id)}
        for n in range(start, start + count)
    ]


def test_the_quota_of_events_that_cannot_be_authenticated(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        assert QUOTA == 1000  # SPEC §6
        done = put(log, *junk(QUOTA + 3))
        assert (done.appended, done.refused) == (QUOTA, 3)
        # A duplicate is not over the quota, an authentic event is not under it, another paper has
        # its own, and the rows of a state stand aside.
        assert put(log, *junk(1)).duplicates == 1
        assert put(log, *snapshots(2)).appended == 2
        other = signed_event("graph_snapshot", paper=signing.OTHER_PAPER) | {"signature": None}
        assert put(log, other).appended == 1
        assert put(log, state_document(2)).appended == 2
        assert put(log, *junk(1, start=QUOTA + 9)).refused == 1
        with log.snapshot() as snapshot:
            refused = snapshot.refused()
            counters = snapshot.counters_of(parse_pith_number(PAPER.number))
    assert [row.reason for row in refused] == ["quota"] * 4
    assert counters == (QUOTA + 4, 0, QUOTA)
    assert [row.number for row in refused] == [0, 1, 2, 3]
    assert refused[0].line == QUOTA + 1


def state_document(count: int) -> dict[str, object]:
    row = {"target": "graph", "created_at": at(5), "signer": REGISTRY.signer(), "payload": {}}
    return {
        "state_type": "pith_open_graph_state",
        "pith_number": PAPER.number,
        "current": {
            "graph_snapshots": [{**row, "event_id": signing.some_id(str(n))} for n in range(count)],
            "source_aliases": [],
        },
    }


def test_the_authentic_door(tmp_path: Path) -> None:
    good = signed_event("graph_snapshot")
    unauthorized = signed_event("graph_snapshot", signing.READER)
    offered: list[tuple[dict[str, object], str | None]] = [
        (good, None),
        (unauthorized, None),  # authentic, though invalid
        (signed_event("graph_snapshot", target="elsewhere"), None),
        (good | {"created_at": 5}, "malformed"),
        (good | {"signature": None}, "missing_signature"),
        (good | {"note": "added"}, "event_id_unverifiable"),
        (good | {"event_id": signing.some_id("x")}, "event_id_mismatch"),
        (signed_event("graph_snapshot", STRANGER), "unknown_key"),
        (junk(1)[0], "bad_signature"),
    ]
    with LogWriter.open(tmp_path) as log:
        done = ingest_pieces(
            log, pieces(*(event for event, _ in offered)), keyring=KEYRING, admit="authentic"
        )
        with log.snapshot() as snapshot:
            reasons = [row.reason for row in snapshot.refused()]
    assert reasons == [reason for _, reason in offered if reason]
    assert (done.appended, done.invalid, done.refused) == (3, 2, 6)


# --- states: cuts, the cache, keyrings -------------------------------------------------------


def test_a_position_cuts_events_and_alias_rows(tmp_path: Path) -> None:
    events = [signed_event("record_created"), *snapshots(3)]
    short = PAPER.suffix[:8]
    line = {
        "alias": {
            "pith_number": PAPER.number,
            "alias_kind": "pith_short_8",
            "alias_value": short,
            "created_at": at(3),
        }
    }
    paper = parse_pith_number(PAPER.number)
    with LogWriter.open(tmp_path) as log:
        put(log, events[0], events[1], line, events[2], events[3])
        for position in range(5):
            (state,) = replay(log, [paper], keyring=KEYRING, at=position)
            aliases = [PaperAlias("pith_short_8", short, at(3))] if position >= 2 else []
            scratch = merge_events(
                PAPER.number,
                [Event.from_value(event) for event in events[:position]],
                aliases,
                KEYRING,
            )
            assert state == scratch
        assert [s.event_count for s in replay(log, keyring=KEYRING, at=0)] == []


def test_the_cache_is_used_dropped_by_a_row_and_never_by_a_replay(tmp_path: Path) -> None:
    paper = parse_pith_number(PAPER.number)
    events = snapshots(3)
    alias = {"alias": {"pith_number": PAPER.number, "alias_kind": "arxiv", "alias_value": "1",
                       "created_at": at(1)}}  # fmt: skip
    other = signed_event("graph_snapshot", paper=signing.OTHER_PAPER)

    def cached(log: Log) -> bool:
        with log.snapshot() as snapshot:
            return snapshot.cached_state(paper, KEYRING.sha256, "verified") is not None

    with LogWriter.open(tmp_path) as log:
        put(log, events[0])
        for more in (events[1], alias, events[2]):
            state = current_state(log, paper, keyring=KEYRING)
            assert cached(log)
            assert current_state(log, paper, keyring=KEYRING) == state
            put(log, other, events[0])  # another paper's row, and a duplicate, drop nothing
            assert cached(log)
            put(log, more)
            assert not cached(log)
        state = current_state(log, paper, keyring=KEYRING)
        false = msgspec.structs.replace(state, state_sha256="0" * 64)
        with log.snapshot() as snapshot:
            log.cache_state(false, snapshot.id)
        assert current_state(log, paper, keyring=KEYRING) == false
        assert next(replay(log, [paper], keyring=KEYRING)) == state


def test_a_state_computed_before_somebody_wrote_is_not_cached(tmp_path: Path) -> None:
    paper = parse_pith_number(PAPER.number)
    first, second = snapshots(2)
    with LogWriter.open(tmp_path) as log:
        put(log, first)
        with log.snapshot() as snapshot:
            snapshot_id = snapshot.id
        (state,) = replay(log, [paper], keyring=KEYRING)
        put(log, second)
        log.cache_state(state, snapshot_id)
        assert current_state(log, paper, keyring=KEYRING).event_count == 2


def test_a_damaged_cached_state_is_computed_anew(tmp_path: Path) -> None:
    paper = parse_pith_number(PAPER.number)
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(2))
        state = current_state(log, paper, keyring=KEYRING)
    with lmdb.open(os.fspath(tmp_path), max_dbs=20) as environment:
        states = environment.open_db(b"states", create=False)
        with environment.begin(write=True, db=states) as transaction:
            ((key, value),) = ((bytes(k), bytes(v)) for k, v in transaction.cursor())
            transaction.put(key, value[:40] + b"?" + value[41:])
    with Log.open(tmp_path) as log:
        assert current_state(log, paper, keyring=KEYRING) == state


def test_another_keyring_than_at_ingest_tries_the_signatures_anew(tmp_path: Path) -> None:
    """An event of an unknown key stays untried until a keyring brings the key; one that verified
    under a key does not count under a keyring without it."""
    events = [signed_event("record_created"), signed_event("author_attestation")]
    small = Keyring.from_value(signing.keyring_value(REGISTRY.entry()))
    renamed = Keyring.from_value(signing.keyring_value(REGISTRY.entry(key_id="other")))
    nothing = Keyring.from_value({"keys": []})
    for at_ingest in (small, KEYRING, renamed, nothing):
        with LogWriter.open(tmp_path / at_ingest.sha256) as log:
            ingest_pieces(log, pieces(*events), keyring=at_ingest)
            for later in (KEYRING, small, renamed, nothing):
                (state,) = replay(log, keyring=later)
                scratch = merge_events(
                    PAPER.number, [Event.from_value(event) for event in events], (), later
                )
                assert state == scratch
                reasons = [row.reason for row in state.invalid_events]
                assert len(reasons) == {KEYRING: 0, small: 1, renamed: 2, nothing: 2}[later]


def test_proofs_are_built_under_a_keyring_that_came_later(tmp_path: Path) -> None:
    two = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    with LogWriter.open(tmp_path) as log:
        ingest_pieces(log, pieces(*two), keyring=Keyring.from_value({"keys": []}))
        (proof,) = proofs_of(log, parse_pith_number(PAPER.number), keyring=KEYRING)
    assert verify_proof(proof, KEYRING).event_ids == tuple(sorted(e["event_id"] for e in two))


def test_a_replay_takes_papers_by_name(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
        paper = parse_pith_number(PAPER.number)
        assert list(replay(log, [PAPER.number])) == list(replay(log, [paper]))
        with pytest.raises(IdentifierError, match="no full Pith Number"):
            list(replay(log, [PAPER.suffix[:8]]))
        with pytest.raises(IdentifierError, match="no time"):
            list(replay(log, as_of="yesterday"))


def test_merge_events_refuses_circumstances_that_are_none() -> None:
    with pytest.raises(IdentifierError, match="no time"):
        merge_events(PAPER.number, [], [], KEYRING, as_of="yesterday")
    with pytest.raises(ValueError, match="'certain' is no assurance"):
        merge_events(PAPER.number, [], [], KEYRING, "certain")  # type: ignore[arg-type]


def test_a_log_that_is_closed_forked_or_open_twice_says_so(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
        with pytest.raises(LogError, match=r"already open in this process$"):
            Log.open(tmp_path)
        child = os.fork()
        if child == 0:
            refused = 0
            for use in (lambda: list(replay(log)), lambda: put(log, *snapshots(2))):
                try:
                    use()
                except LogError as error:
                    refused += "before a fork" in str(error)
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        unfinished = replay(log, keyring=KEYRING)
        next(unfinished)
    for use in (lambda: list(unfinished), lambda: list(replay(log)), lambda: put(log)):
        with pytest.raises(LogError, match="closed"):
            use()


# --- what a stranger may try -----------------------------------------------------------------


def test_an_event_may_hold_long_strings_where_they_are_quoted(tmp_path: Path) -> None:
    long = "x" * 70_000
    record = signed_event("record_created", **{"payload.receipt.key_id": long})
    events = [
        signed_event("author_attestation", **{"payload.strength": long}),
        record,
        signed_event("graph_snapshot", **{"signer.more": long}),
    ]
    with LogWriter.open(tmp_path) as log:
        assert put(log, *events).appended == 3
        (state,) = replay(log, keyring=KEYRING)
    assert [row.reason for row in state.invalid_events] == ["invalid_payload"] * 2
    assert all(len(row.detail) < 600 for row in state.invalid_events if "strength" in row.detail)


def test_junk_that_copies_ids_and_signatures_spoils_no_proof(tmp_path: Path) -> None:
    two = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    # So many that some have a smaller digest than the events they copy.
    junk = [{**event, "payload": {"junk": n}} for n in range(20) for event in two]
    with LogWriter.open(tmp_path) as log:
        put(log, *junk, *two, *({**event, "target": "junk"} for event in two))
        (proof,) = proofs_of(log, parse_pith_number(PAPER.number), keyring=KEYRING)
        (state,) = replay(log, keyring=KEYRING)
    assert verify_proof(proof, KEYRING).rule == "same_slot"
    everything = [Event.from_value(event) for event in (*two, *junk)]
    assert verify_proof(build_proof(state.equivocations[0], everything, KEYRING))


@pytest.mark.longer
def test_of_one_source_so_many_refusals_are_kept(tmp_path: Path) -> None:
    junk = [Piece("junk", n, b"1") for n in range(REFUSED_ROWS + 500)]
    with LogWriter.open(tmp_path) as log:
        done = ingest_pieces(log, [*junk, Piece("other", 1, b"1")], keyring=KEYRING)
        with log.snapshot() as snapshot:
            refused = snapshot.refused()
    assert done.refused == REFUSED_ROWS + 501
    assert [row.reason for row in refused[-3:]] == [
        "not_an_object",
        "more_refused",
        "not_an_object",
    ]
    assert len(refused) == REFUSED_ROWS + 1
    detail = f"of this source only {REFUSED_ROWS - 1} refusals are kept"
    last = layout.RefusedRow(REFUSED_ROWS - 1, "junk", None, "", "more_refused", detail, 0, "", b"")
    assert refused[-2] == last
    before = tables(tmp_path)
    with LogWriter.open(tmp_path) as log:
        ingest_pieces(log, [*junk, Piece("other", 1, b"1")], keyring=KEYRING)
    assert tables(tmp_path) == before


def test_refusals_that_are_folded_are_told_and_stored_like_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "REFUSED_ROWS", 10)
    monkeypatch.setattr(ingestion, "REFUSALS_SHOWN", 5)  # fewer than are kept, as it is
    junk = [Piece("junk", None, b"[" + b"1," * 30 + b"2]"), Piece("other", 1, b"1")]
    junk.append(Piece("events", 1, canonical(signed_event())))
    preparer = Preparer(KEYRING)
    deferred = preparer.deferred(junk)
    settled = preparer.settle(deferred, bytes([1] * len(deferred.trials)))
    assert len(settled) == len([*folded(new_rows(junk, KEYRING))]) == 10 + 1 + 1 + 1
    found = []
    for number, made in enumerate((new_rows(junk, KEYRING), iter(settled))):
        # An ingest of folded rows, as of workers, and one of all.
        with monkeypatch.context() as patch, LogWriter.open(tmp_path / str(number)) as log:
            patch.setattr(Preparer, "rows", lambda *_, made=made: made)
            found.append(ingest_pieces(log, [], keyring=KEYRING))
    assert found[0] == found[1]
    assert (found[0].refused, found[0].appended, len(found[0].refusals)) == (32, 1, 5)
    assert found[0].unlisted == 27
    assert tables(tmp_path / "0") == tables(tmp_path / "1")


@pytest.mark.parametrize(("block_bytes", "blocks"), [(layout.BLOCK_BYTES, 1), (10, 3)])
def test_small_batches_share_a_block_until_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, blocks: int
) -> None:
    monkeypatch.setattr(layout, "BLOCK_BYTES", block_bytes)
    with LogWriter.open(tmp_path) as log:
        for event in snapshots(3):
            put(log, event)
        with log.snapshot() as snapshot:
            assert snapshot.size == 3
            assert snapshot.entries(b"events") == blocks


def test_an_alias_row_is_short(tmp_path: Path) -> None:
    row = {"pith_number": PAPER.number, "alias_kind": "arxiv", "created_at": at(1)}
    lines = [{"alias": row | {"alias_value": "x" * (4096 - 5 - 20 + more)}} for more in (0, 1)]
    with LogWriter.open(tmp_path) as log:
        done = put(log, *lines)
    assert (done.aliases, done.refused) == (1, 1)
    assert done.refusals[0].reason == "bad_alias"


def test_a_log_that_was_replaced_while_it_was_open(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path / "log") as log:
        put(log, *snapshots(1))
        (tmp_path / "log").rename(tmp_path / "elsewhere")
        with pytest.raises(LogError, match="moved, removed or replaced"):
            put(log, *snapshots(2))


@pytest.mark.parametrize("again", [False, True])
def test_a_lock_that_was_removed_lets_nobody_write_twice(tmp_path: Path, again: bool) -> None:
    """A second writer would give classes the numbers that the first gives to others."""
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
        (tmp_path / "writer.lock").unlink()
        if again:
            (tmp_path / "writer.lock").touch()  # as another writer would, from another process
        with pytest.raises(LogError, match=r"writer\.lock was removed or replaced"):
            put(log, *snapshots(2))
    with LogWriter.open(tmp_path) as log:
        assert put(log, *snapshots(2)).appended == 1


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "writer.lock").symlink_to(precious)
    with pytest.raises(LogError):
        LogWriter.open(tmp_path / "log")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("file", ["lock.mdb", "writer.lock"])
def test_what_a_link_in_place_of_a_log_s_file_leads_to_stays(tmp_path: Path, file: str) -> None:
    log, precious = tmp_path / "log", tmp_path / "precious"
    with LogWriter.open(log) as writer:
        put(writer, *snapshots(1))
    precious.write_bytes(b"mine" * 50_000)  # longer than LMDB's own
    (log / file).unlink()
    (log / file).symlink_to(precious)
    opening = (LogWriter.open, Log.open, Log.open_damaged)
    for action in opening if file == "lock.mdb" else (LogWriter.open, repair_of):
        with pytest.raises(LogError):
            action(log)
    if file == "lock.mdb":
        repair_of(log)  # which reads no log by LMDB but the one that it has made
    assert precious.read_bytes() == b"mine" * 50_000


def repair_of(log: Path) -> None:
    repair(log, keyring=KEYRING)


@pytest.mark.parametrize("again", [False, True])
def test_without_lmdb_s_lock_file_nothing_is_read_or_written(tmp_path: Path, again: bool) -> None:
    """Another process would make a new one, and know nothing of this one's views."""
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(2))
    gone = r"lock\.mdb was removed or replaced"
    for opened in (Log.open, LogWriter.open):
        with opened(tmp_path) as log:
            (tmp_path / "lock.mdb").unlink()
            if again:
                (tmp_path / "lock.mdb").touch()
            with pytest.raises(LogError, match=gone), log.snapshot():
                pass
            if isinstance(log, LogWriter):
                with pytest.raises(LogError, match=gone):
                    log.append([])
        with Log.open(tmp_path) as log, log.snapshot() as snapshot:
            assert snapshot.size == 2


def test_a_batch_that_brings_nothing_writes_nothing(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(3))
    before = (tmp_path / "data.mdb").read_bytes()
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(3))
    assert (tmp_path / "data.mdb").read_bytes() == before


def test_circumstances_that_are_none_are_refused(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
        with pytest.raises(ValueError, match="'Stated' is no assurance"):
            list(replay(log, assurance="Stated"))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'Authentic' is no door"):
            ingest_pieces(log, [], admit="Authentic")  # type: ignore[arg-type]


def test_a_damaged_counter_is_a_log_error(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, *snapshots(1))
    with lmdb.open(os.fspath(tmp_path), max_dbs=20) as environment:
        meta = environment.open_db(b"meta", create=False)
        with environment.begin(write=True, db=meta) as transaction:
            transaction.put(b"events", b"many")
    with pytest.raises(LogError, match="counter events is damaged"):
        Log.open(tmp_path)


def test_a_pipe_in_place_of_the_data_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.mdb")  # opening it would wait for ever
    with pytest.raises(LogError, match="no regular file"):
        LogWriter.open(tmp_path)
    with pytest.raises(LogError, match="there is no log"):
        Log.open(tmp_path)


def test_more_readers_than_lmdb_provides_for(tmp_path: Path) -> None:
    """LMDB's own limit is 126 views of all processes together."""
    with LogWriter.open(tmp_path) as log, ExitStack() as views:
        for _ in range(200):
            views.enter_context(log.snapshot())
        assert put(log, *snapshots(1)).appended == 1
