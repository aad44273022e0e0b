"""How a log lies on disk: blocks, classes, compression, and what becomes of them over its life."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import lmdb
import pytest

import signing
from benchmarks import corpus
from pithgraph.errors import LogError
from pithgraph.events import MAX_EVENT_BYTES, Event
from pithgraph.ingestion import Ingested, ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, compression, layout
from pithgraph.log import batch as log_batch
from pithgraph.log.batch import NewEvent
from pithgraph.log.compression import TRAINING_EVENTS
from pithgraph.merge import State, merge_events
from pithgraph.preparing import Preparer
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import establish
from signing import PAPER, REGISTRY, Json, at, canonical, signed_event

RING = Keyring.from_value(signing.keyring_value())


def pieces(events: Sequence[Json]) -> list[Piece]:
    return [Piece("test", number, canonical(event)) for number, event in enumerate(events, 1)]


def put(log: LogWriter, events: Sequence[Json]) -> Ingested:
    return ingest_pieces(log, pieces(events), keyring=RING)


def replications(count: int, size: int = 0, start: int = 0) -> list[Json]:
    """That many ordinary events of one class, each with `size` bytes of ballast."""
    payload = signing.payload_of("replication_record")
    return [
        signed_event(
            "replication_record",
            target=f"replication:{number}",
            payload=payload | {"ballast": f"{number}" + "x" * size},
        )
        for number in range(start, start + count)
    ]


def of_many_classes() -> list[Json]:
    """Events of seven classes, twice each, and of none."""
    events = []
    for second in (1, 2):
        follows: Json = {"previous_event_id": signing.some_id(f"before {second}")}
        kinds: list[tuple[str, Json]] = [
            ("record_created", {}),
            ("graph_snapshot", {}),
            ("graph_snapshot", follows),
            ("author_attestation", {}),
            ("timestamp_anchor", {}),
            ("replication_record", {}),
            ("mirror_hint", {}),
        ]
        for kind, members in kinds:
            # What follows shares no slot with what does not.
            when = at(second + 10 * len(members))
            events.append(signed_event(kind, created_at=when, **members))
    return [*events, signed_event(created_at=at(3), more=1), signed_event() | {"signature": None}]


def table(folder: Path, name: bytes) -> list[tuple[bytes, bytes]]:
    with lmdb.open(os.fspath(folder), readonly=True, max_dbs=20) as environment:
        found = environment.open_db(name, create=False)
        with environment.begin(db=found) as transaction:
            return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def held(folder: Path) -> list[Json]:
    """Every event of a log, by its position."""
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return [snapshot.event_at(position).event.value for position in range(snapshot.size)]


def scratch(events: Sequence[Json]) -> State:
    return merge_events(PAPER.number, [Event.from_value(event) for event in events], (), RING)


def positions_of_blocks(folder: Path) -> list[range]:
    """The positions that are in each block; that they follow one another is asserted."""
    found: list[range] = []
    for key, block in table(folder, b"events"):
        first = int.from_bytes(key, "big")
        assert first == (found[-1].stop if found else 0)
        locations = list(layout.locations_in_block(block, first))
        assert locations[-1].offset + locations[-1].length == len(block)
        found.append(range(first, first + len(locations)))
    return found


# --- blocks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_events_that_come_one_at_a_time_share_blocks(tmp_path: Path, compress: bool) -> None:
    if compress:
        pytest.importorskip("zstandard")
    events = replications(60, 3000)
    for start in (0, 30):
        with LogWriter.open(tmp_path, compress=compress) as log:
            for event in events[start : start + 30]:
                assert put(log, [event]).appended == 1
    assert held(tmp_path) == events
    sizes = [len(block) for _, block in table(tmp_path, b"events")]
    assert all(size > layout.BLOCK_BYTES // 2 for size in sizes[:-1])
    assert all(size <= layout.BLOCK_BYTES for size in sizes)
    assert sum(map(len, positions_of_blocks(tmp_path))) == 60
    assert len(sizes) <= (2 if compress else 8)
    with Log.open(tmp_path) as log:
        assert list(replay(log, keyring=RING)) == [scratch(events)]


@pytest.mark.longer
@pytest.mark.parametrize("size", [1, 1000, 5000, 64 * 1024])
def test_blocks_end_anywhere(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK_BYTES", size)
    events = [event for n in range(30) for event in replications(1, n * 97 % 4000, n)]
    for batch in (events[:1], events[1:4], events[4:20], events[20:]):
        with LogWriter.open(tmp_path) as log:
            put(log, batch)
    assert held(tmp_path) == events
    for positions, (_, block) in zip(
        positions_of_blocks(tmp_path), table(tmp_path, b"events"), strict=True
    ):
        assert len(block) <= size or len(positions) == 1
    with Log.open(tmp_path) as log:
        assert list(replay(log, keyring=RING)) == [scratch(events)]


@pytest.mark.parametrize("apart", [False, True], ids=["one batch", "batches of one"])
def test_a_large_event_has_a_block_of_its_own(tmp_path: Path, apart: bool) -> None:
    (empty,) = replications(1)
    large = replications(1, 1024 * 1024 - len(canonical(empty)))
    events = [*replications(3, start=1), *large, *replications(3, start=4)]
    assert len(canonical(large[0])) == 1024 * 1024
    with LogWriter.open(tmp_path) as log:
        for batch in [[event] for event in events] if apart else [events]:
            assert put(log, batch).refused == 0
    assert held(tmp_path) == events
    assert positions_of_blocks(tmp_path) == [range(3), range(3, 4), range(4, 7)]


def test_a_batch_of_duplicates_leaves_the_last_block_as_it_is(tmp_path: Path) -> None:
    events = replications(3)
    with LogWriter.open(tmp_path) as log:
        put(log, events)
        before = log_bytes(log)
        assert put(log, events * 2).duplicates == 6
        assert log_bytes(log) == before
        assert put(log, [*events, *replications(1, start=3)]).appended == 1
    assert positions_of_blocks(tmp_path) == [range(4)]


def log_bytes(log: LogWriter) -> bytes:
    with log.snapshot() as snapshot:
        return bytes(snapshot.block(layout.position_key(0)))


# --- classes ---------------------------------------------------------------------------------


CLASSES = 7


def classes(folder: Path) -> list[bytes]:
    """The stored classes, of which none is there twice, by their numbers."""
    rows = table(folder, b"classes")
    assert [key for key, _ in rows] == [layout.class_key(n + 1) for n in range(len(rows))]
    assert len({value for _, value in rows}) == len(rows)
    return [value for _, value in rows]


def check_facts(log: Log) -> None:
    """That every event of a log comes with the facts that were established about it."""
    with log.snapshot() as snapshot:
        for position in range(snapshot.size):
            stored = snapshot.event_at(position)
            assert stored.facts == establish(stored.event, RING)


@pytest.mark.parametrize("most", [0, 1, 2, CLASSES - 1, CLASSES])
def test_beyond_the_last_number_events_have_no_class(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are stored whole, to the same states; until there are more numbers."""
    events = of_many_classes()
    monkeypatch.setattr(layout, "MAX_CLASSES", most)
    for batch in (events[:5], events[5:9]):
        with LogWriter.open(tmp_path) as log:
            put(log, batch)
    first = classes(tmp_path)
    assert len(first) == most
    monkeypatch.undo()
    with LogWriter.open(tmp_path) as log:
        assert put(log, events).duplicates == 9
        assert list(replay(log, keyring=RING)) == [scratch(events)]
        check_facts(log)
    assert held(tmp_path) == events
    assert classes(tmp_path)[:most] == first
    assert len(classes(tmp_path)) > most or most == CLASSES


def test_a_class_has_one_number_however_often_the_log_is_opened(tmp_path: Path) -> None:
    events = of_many_classes()
    for event in events:
        with LogWriter.open(tmp_path) as log:
            put(log, [event])
    with LogWriter.open(tmp_path) as log:
        for second in range(10, 20):
            put(log, [signed_event(created_at=at(second)), signed_event("mirror_hint")])
    assert len(classes(tmp_path)) == CLASSES
    with Log.open(tmp_path) as log:
        check_facts(log)


def test_the_map_grows_in_mid_batch_and_numbers_no_class_twice(tmp_path: Path) -> None:
    """Nor does a batch that fails leave a number behind."""
    events = of_many_classes()
    large = replications(120, 5000)
    with LogWriter.open(tmp_path, map_bytes=128 * 1024) as log:
        put(log, [*events[:3], *large[:60], *events[3:6]])
        unknown = NewEvent.known(Event.from_value(large[60]))
        rows = list(Preparer(RING).rows(pieces(events)))
        with pytest.raises(LogError, match="ingest again"):
            log.append([*rows, unknown])
        put(log, [*large[60:], *events])
        check_facts(log)
        assert list(replay(log, keyring=RING)) == [scratch([*events, *large])]
    assert len(classes(tmp_path)) == CLASSES
    assert held(tmp_path) == [*events[:3], *large[:60], *events[3:6], *large[60:], *events[6:]]


# --- compression -----------------------------------------------------------------------------


def test_of_a_content_no_more_is_read_than_an_event_may_have() -> None:
    """Whatever the first bytes of a frame say: so much is reserved before anything is read."""
    codec = compression.codec_of(compression.ZSTD, None)
    most = 2 * MAX_EVENT_BYTES
    assert codec.decompress(codec.compress(bytes(most))) == bytes(most)
    frame = bytearray(codec.compress(b"an event"))
    assert codec.decompress(bytes(frame)) == b"an event"
    frame[4] = 0xE0  # the size is of eight bytes
    streamed = pytest.importorskip("zstandard").ZstdCompressor().compressobj()
    for damaged in (
        codec.compress(bytes(most + 1)),
        bytes(frame).ljust(32, b"\x7f"),
        streamed.compress(bytes(most)) + streamed.flush(),  # says nothing of its size
    ):
        with pytest.raises(LogError, match="a stored row is damaged: it says that it has"):
            codec.decompress(damaged)


def test_without_zstandard_a_compressed_log_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zstandard")
    with LogWriter.open(tmp_path / "old", compress=True) as log:
        put(log, replications(3))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    needs = pytest.raises(LogError, match=r"pip install zstandard")
    with needs, Log.open(tmp_path / "old") as log:
        list(replay(log, keyring=RING))
    with needs, LogWriter.open(tmp_path / "old") as writer:
        put(writer, replications(4))
    with needs:
        LogWriter.open(tmp_path / "new", compress=True)
    # What was begun there keeps nobody from making one that is not compressed.
    with LogWriter.open(tmp_path / "new") as writer:
        put(writer, replications(3))
    assert held(tmp_path / "new") == replications(3)


def test_a_log_stays_as_it_was_made(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    for made, opened in ((True, False), (False, True)):
        folder = tmp_path / str(made)
        for compress in (made, opened):
            with LogWriter.open(folder, compress=compress) as log:
                put(log, replications(2 + compress, 5000))
        assert held(folder) == replications(3, 5000)
        assert (sum(len(block) for _, block in table(folder, b"events")) < 15_000) == made


@pytest.mark.longer
def test_rows_from_before_the_dictionary_stay_readable(tmp_path: Path) -> None:
    """And it is made once."""
    pytest.importorskip("zstandard")
    few, many = of_many_classes(), replications(TRAINING_EVENTS + 20, 50)
    dictionaries = []
    batches = (few[:4], few[4:], many[:20], many[20:], replications(30, 0, 5000))
    for batch in batches:
        with LogWriter.open(tmp_path, compress=True) as log:
            put(log, batch)
        dictionaries.append(dict(table(tmp_path, b"meta")).get(b"dictionary"))
    assert dictionaries[:3] == [None, None, None]
    assert dictionaries[3] == dictionaries[4]
    assert dictionaries[3]
    events = [event for batch in batches for event in batch]
    assert held(tmp_path) == events
    with Log.open(tmp_path) as log:
        assert list(replay(log, keyring=RING)) == [scratch(events)]


@pytest.mark.longer
def test_events_that_the_log_has_train_no_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of them is at hand but their digests; and zstd may crash where it has nothing to
    train on."""
    pytest.importorskip("zstandard")

    def checked(contents: Sequence[bytes]) -> bytes | None:
        assert all(contents)
        return compression.train(contents)

    monkeypatch.setattr(log_batch, "train", checked)
    events = replications(TRAINING_EVENTS + 100)
    with LogWriter.open(tmp_path, compress=True) as log:
        put(log, events[:600])
        put(log, events[600:1099])
        assert put(log, events).appended == 1
        assert list(replay(log, keyring=RING)) == [scratch(events)]


@pytest.mark.longer
def test_a_dictionary_is_trained_on_events_that_are_alike_and_of_any_size(tmp_path: Path) -> None:
    """But not on one that comes often."""
    pytest.importorskip("zstandard")
    unsigned = [event | {"signature": None} for event in replications(TRAINING_EVENTS - 1)]
    large = replications(1, 1_000_000, TRAINING_EVENTS)
    with LogWriter.open(tmp_path, compress=True) as log:
        put(log, unsigned[:1] * 2 * TRAINING_EVENTS)
    assert b"dictionary" not in dict(table(tmp_path, b"meta"))
    with LogWriter.open(tmp_path, compress=True) as log:
        rows = list(Preparer(RING).rows(pieces([*unsigned, *large, *replications(1)])))
        assert log.append(rows).events == TRAINING_EVENTS
    assert b"dictionary" in dict(table(tmp_path, b"meta"))
    assert held(tmp_path) == [*unsigned, *large, *replications(1)]


# --- size ------------------------------------------------------------------------------------


@functools.cache
def corpus_lines() -> list[bytes]:
    return list(corpus.lines(1500, 7, corpus.PLAIN))


@pytest.mark.longer
@pytest.mark.parametrize(("compress", "most"), [(False, 1.35), (True, 0.40)])
def test_what_a_log_takes_on_disk(tmp_path: Path, compress: bool, most: float) -> None:
    """For each byte of its events in canonical form, everything included."""
    if compress:
        pytest.importorskip("zstandard")
    keyring = Keyring.from_value(corpus.keyring(7, corpus.PLAIN))
    with LogWriter.open(tmp_path, compress=compress) as log:
        found = [Piece("corpus", number, line) for number, line in enumerate(corpus_lines(), 1)]
        done = ingest_pieces(log, found, keyring=keyring)
        assert (done.appended, done.invalid) == (3000, 0)
        with log.snapshot() as snapshot:
            stored = (snapshot.event_at(position).event for position in range(3000))
            canonical_bytes = sum(len(event.canonical) for event in stored)
    with lmdb.open(os.fspath(tmp_path), readonly=True, max_dbs=20) as environment:
        pages = environment.info()["last_pgno"] + 1
        assert pages * environment.stat()["psize"] <= most * canonical_bytes


# --- a map that grows under a view -----------------------------------------------------------


def test_a_view_that_is_held_while_the_map_grows_ends_there(tmp_path: Path) -> None:
    """In another process, since it would be a crash where it went wrong."""
    payload = signing.payload_of("replication_record") | {"ballast": "x" * 5000}
    events = [
        signed_event("replication_record", paper=paper, target=target, payload=payload)
        for paper in (PAPER, signing.OTHER_PAPER)
        for target in (f"replication:{number}" for number in range(60))
    ]
    lines = tmp_path / "lines"
    lines.write_bytes(b"".join(canonical(event) + b"\n" for event in events))
    (tmp_path / "keyring").write_bytes(canonical(signing.keyring_value(REGISTRY.entry())))
    code = """
        import sys
        from contextlib import suppress
        import lmdb
        from pithgraph.errors import LogError
        from pithgraph.ingestion import ingest_pieces
        from pithgraph.log import LogWriter
        from pithgraph.replaying import replay
        from pithgraph.sources import load_keyring, read_sources
        folder, lines, keyring = sys.argv[1:]
        keyring = load_keyring(keyring)
        pieces = list(read_sources([lines]))
        for compress in sys.stdin.read().split():
            with LogWriter.open(folder + compress, compress=compress == "zstd",
                                map_bytes=384 * 1024) as log:
                ingest_pieces(log, pieces[:5] + pieces[60:65], keyring=keyring)
                replaying = replay(log, keyring=keyring)
                assert next(replaying).event_count == 5
                with suppress(LogError), log.snapshot() as snapshot:
                    rows = snapshot.papers_indexed()
                    next(rows)
                    # Appended without growing: the view stands still.
                    ingest_pieces(log, pieces[5:6], keyring=keyring)
                    assert snapshot.size == 10
                    assert snapshot.event_at(9).position == 9
                    ingest_pieces(log, pieces, keyring=keyring)
                    for use in (lambda: snapshot.size, lambda: snapshot.event_at(0),
                                lambda: list(snapshot.papers()), lambda: next(rows),
                                lambda: snapshot.block(bytes(8))):
                        try:
                            use()
                        except lmdb.Error as error:
                            print(compress, "ended")
                try:
                    next(replaying)
                except LogError:
                    print(compress, "told")
                assert [state.event_count for state in replay(log, keyring=keyring)] == [60, 60]
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, (tmp_path / "log", lines)),
         str(tmp_path / "keyring")],
        input="plain",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.split("\n") == ["plain ended"] * 5 + ["plain told", ""]
