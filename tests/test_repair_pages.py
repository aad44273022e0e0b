"""A repair where pages are gone: each page alone takes nothing with it but what lay on it.

What lives here: pages overwritten and cut off. What must not: damaged rows (`test_repair`)."""

from __future__ import annotations

import os
import shutil
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb
import pytest

from damage import RING, build
from pithgraph import wrecks
from pithgraph.checking import Check
from pithgraph.errors import LogError
from pithgraph.ingestion import ingest_pieces
from pithgraph.log import Log, LogWriter
from pithgraph.repairing import Repaired, repair
from pithgraph.sources import Piece
from pithgraph.wrecks import OldLog
from signing import PAPER, at, canonical, signed_event

PAGE = 4096
LEAF = 2


class Sound:
    """A log of many pages, and what lies on which."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = (folder / "data.mdb").read_bytes()
        with Log.open(folder) as log, log.snapshot() as snapshot:
            self.events = [snapshot.event_at(n).event.canonical for n in range(snapshot.size)]
            self.aliases = [key for key, _ in snapshot.rows(b"aliases")]
            self.blocks = [value for _, value in snapshot.rows(b"events")]
            self.refused = snapshot.entries(b"refused")

    def flags(self, page: int) -> int:
        own, _, flags = struct.unpack_from("=QHH", self.data, page * PAGE)
        return int(flags) if own == page else 0

    def aliases_on(self, page: int) -> list[bytes]:
        """The alias rows of a leaf page; that of an earlier commit may have some, too."""
        data = self.data[page * PAGE :][:PAGE]
        return [key for key in self.aliases if key in data]

    def blocks_on(self, page: int) -> list[bytes]:
        found = []
        for block in self.blocks:
            start = self.data.find(block)
            if start < (page + 1) * PAGE and start + len(block) > page * PAGE:
                found.append(block)
        return found


@pytest.fixture(scope="module")
def sound(tmp_path_factory: Any) -> Sound:
    folder: Path = tmp_path_factory.mktemp("pages") / "log"
    build(folder, more=60)
    lines: list[Any] = [
        {
            "alias": {
                "pith_number": PAPER.number,
                "alias_kind": "doi",
                "alias_value": f"10.1/{n:0150}",
                "created_at": at(n),
            }
        }
        for n in range(58)
    ]
    with LogWriter.open(folder) as log:
        pieces = [Piece("more", n, canonical(v)) for n, v in enumerate([*lines, *range(40)], 1)]
        ingest_pieces(log, pieces, keyring=RING)
    return Sound(folder)


def copied(sound: Sound, folder: Path, data: bytes | bytearray) -> Path:
    shutil.copytree(sound.folder, folder)
    (folder / "data.mdb").write_bytes(data)
    return folder


def overwritten(sound: Sound, folder: Path, page: int) -> Path:
    data = bytearray(sound.data)
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    return copied(sound, folder, data)


def kept(folder: Path, done: Repaired) -> tuple[list[bytes], set[bytes]]:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        assert list(Check(snapshot, RING)) == []
        assert (snapshot.size, snapshot.entries(b"aliases")) == (done.events, done.aliases)
        events = [snapshot.event_at(n).event.canonical for n in range(snapshot.size)]
        return events, {key for key, _ in snapshot.rows(b"aliases")}


def outcome(sound: Sound, folder: Path, pages: range) -> str:
    """Repairs a log. All events and alias rows must be there, but those that lay on these pages; or
    the log as it was, and why."""
    before = (folder / "data.mdb").read_bytes()
    try:
        done = repair(folder, keyring=RING)
    except LogError as error:
        assert (folder / "data.mdb").read_bytes() == before
        return str(error)
    events, aliases = kept(folder, done)
    gone = {block for page in pages for block in sound.blocks_on(page)}
    lost = [event for event in sound.events if event not in events]
    # Without several pages there may be neither of those by which an event is known.
    assert gone or not lost or len(pages) > 1
    assert [event for event in sound.events if event in events] == events
    assert done.lost == len(lost)
    on_pages = {key for page in pages for key in sound.aliases_on(page)}
    assert aliases >= {*sound.aliases} - on_pages
    assert done.lost_aliases == len(sound.aliases) - len(aliases)
    assert done.lost_refused == sound.refused - done.refused
    assert (done.kept is None) == (done.lost == done.lost_aliases == done.lost_refused == 0)
    if done.kept is not None:
        assert done.kept.read_bytes() == before
    return "repaired"


def test_without_a_page_of_alias_rows_the_others_are_there(sound: Sound, tmp_path: Path) -> None:
    pages = [
        page
        for page in range(2, len(sound.data) // PAGE)
        if sound.flags(page) == LEAF and len(sound.aliases_on(page)) > 3
    ]
    lost = set()
    for page in pages:
        folder = overwritten(sound, tmp_path / str(page), page)
        done = repair(folder, keyring=RING)
        events, aliases = kept(folder, done)
        assert events == sound.events
        assert aliases >= {*sound.aliases} - {*sound.aliases_on(page)}
        lost |= {*sound.aliases} - aliases
    assert len(lost) > 50  # so the pages were those in use


@pytest.mark.longer
def test_each_page_alone(sound: Sound, tmp_path: Path) -> None:
    outcomes = Counter[str]()
    for page in range(len(sound.data) // PAGE):
        folder = overwritten(sound, tmp_path / "log", page)
        said = outcome(sound, folder, range(page, page + 1))
        outcomes[said.removeprefix(f"{folder}: ")] += 1
        shutil.rmtree(folder)
    told = outcomes.keys() - {"repaired"}
    # The first two pages, and that which says where the tables are.
    assert all(why.startswith("the log cannot be read") for why in told), told
    assert sum(outcomes[why] for why in told) == 3


@pytest.mark.longer
def test_a_file_that_ends_too_early(sound: Sound, tmp_path: Path) -> None:
    pages = len(sound.data) // PAGE
    outcomes = []
    for page in range(1, pages):
        folder = copied(sound, tmp_path / "log", sound.data[: page * PAGE - PAGE // 2])
        outcomes.append(outcome(sound, folder, range(page - 1, pages)))
        shutil.rmtree(folder)
    assert outcomes.count("repaired") > pages // 4
    assert outcomes[-5:] == ["repaired"] * 5


@pytest.mark.longer
@pytest.mark.parametrize(
    ("place", "size"), [(0, 8), (10, 2), (12, 2), (14, 2), (16, 2), (24, 2)], ids=str
)
def test_pages_that_lie_end_no_repair(sound: Sound, tmp_path: Path, place: int, size: int) -> None:
    """Its own number, flags, bounds and places of nodes: what follows from them is what the rest
    of the file bears out, or nothing."""
    pages = [page for page in range(2, len(sound.data) // PAGE) if sound.flags(page) in (1, LEAF)]
    assert len(pages) > 15
    for page in pages:
        for value in (0, 0xFFFF):
            data = bytearray(sound.data)
            start = page * PAGE + place
            data[start : start + size] = value.to_bytes(size, "little")
            folder = copied(sound, tmp_path / "log", data)
            said = outcome(sound, folder, range(page, page + 1))
            assert said == "repaired" or "cannot be read" in said or "no event" in said
            shutil.rmtree(folder)


def test_a_value_is_no_shorter_than_one_of_its_lengths_and_not_all_of_the_file(
    sound: Sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that flipped must neither cut a block nor have gigabytes read."""
    with Log.open(sound.folder) as log, log.snapshot() as snapshot:
        key, block = max(snapshot.rows(b"events"), key=lambda row: len(row[1]))
    first = sound.data.find(block) // PAGE
    node = struct.pack("=IHH", len(block), 1, len(key)) + key + first.to_bytes(8, "little")
    assert sound.data.count(node) >= 1
    longer = struct.pack("=IHH", 2**31, 1, len(key)) + node[8:]
    folder = copied(sound, tmp_path / "log", sound.data.replace(node, longer))
    with OldLog(folder) as old:
        value = old.value_of(b"events", key)
        monkeypatch.setattr(wrecks, "_MOST_DOUBTED", 100)
        pages = -(-(16 + len(block)) // PAGE)
        assert value.startswith(block)
        assert old.value_of(b"events", key) == value[: pages * PAGE]
    assert len(value) == len(sound.data) - first * PAGE - 16
    monkeypatch.undo()
    data = bytearray(sound.data)
    data[first * PAGE + 12 : first * PAGE + 16] = bytes(4)  # of how many pages
    with OldLog(copied(sound, tmp_path / "pages", data)) as old:
        assert old.value_of(b"events", key) == block


def test_a_dictionary_is_found_on_the_page_of_the_commit_before(tmp_path: Path) -> None:
    """Which LMDB does not use again before the next commit."""
    build(tmp_path / "log", compressed=True)
    with LogWriter.open(tmp_path / "log") as log:
        more = signed_event("correction", created_at=at(50))
        ingest_pieces(log, [Piece("more", 1, canonical(more))], keyring=RING)
    sound = Sound(tmp_path / "log")
    pages = [
        page
        for page in range(2, len(sound.data) // PAGE)
        if sound.flags(page) == LEAF and b"dictionary" in sound.data[page * PAGE :][:PAGE]
    ]
    assert len(pages) > 1
    for page in pages:
        folder = overwritten(sound, tmp_path / str(page), page)
        assert kept(folder, repair(folder, keyring=RING))[0] == sound.events


@pytest.mark.parametrize("commits", [3, 4])
def test_of_several_old_pages_that_have_a_block_the_fullest_counts(
    tmp_path: Path, commits: int
) -> None:
    """A block that is small lies on the page of its key, which each commit writes elsewhere."""
    for second in range(commits):
        with LogWriter.open(tmp_path / "log", compress=True) as log:
            event = signed_event("correction", created_at=at(second))
            ingest_pieces(log, [Piece("more", 1, canonical(event))], keyring=RING)
    sound = Sound(tmp_path / "log")
    (block,) = sound.blocks
    pages = [
        page
        for page in range(2, len(sound.data) // PAGE)
        if block in sound.data[page * PAGE :][:PAGE] and sound.flags(page) == LEAF
    ]
    assert pages
    for page in pages:
        folder = overwritten(sound, tmp_path / str(page), page)
        events, _ = kept(folder, repair(folder, keyring=RING))
        assert events[: commits - 1] == sound.events[: commits - 1]


def test_what_is_read_without_lmdb_is_what_lmdb_reads(sound: Sound) -> None:
    with Log.open(sound.folder) as log, log.snapshot() as snapshot, OldLog(sound.folder) as old:
        assert sorted(old.tables()) == sorted(snapshot.tables())
        for table in snapshot.tables():
            rows = list(snapshot.rows(table))
            assert list(old.rows(table)) == rows
            assert old.entries(table) == len(rows)
            for key, value in rows:
                assert old.raw(table, key) == value
                assert old.raw(table, key + b"\0") is None
            assert old.raw(table, b"") is None
            assert old.raw(table, b"\xff" * 60) is None


def test_a_table_that_is_gone_is_made_anew(sound: Sound, tmp_path: Path) -> None:
    for name in (b"tiles", b"by_digest", b"papers", b"by_paper", b"states"):
        folder = copied(sound, tmp_path / name.decode(), sound.data)
        with lmdb.open(os.fspath(folder), max_dbs=20) as environment:
            table = environment.open_db(name, create=False)
            with environment.begin(write=True) as transaction:
                transaction.drop(table)
        done = repair(folder, keyring=RING)
        events, aliases = kept(folder, done)
        assert (events, aliases) == (sound.events, {*sound.aliases})
        assert (done.lost, done.moved) == (0, None)
