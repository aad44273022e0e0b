"""LMDB's file as such: each bit of its own records flipped, the file cut, the file left short.

The log is `damage`'s, with something of everything in it. What a flip may do without being found is
stated here, and tried: the log says the same and takes more.
"""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from damage import RING, build
from pithgraph.errors import LogError
from pithgraph.fsck import Fsck
from pithgraph.ingestion import ingest_pieces
from pithgraph.log import Log, LogWriter, layout, pages
from pithgraph.log.pages import is_short, page_faults
from pithgraph.sources import Piece
from signing import canonical, signed_event

PAGE = 4096
HEADER = 16
META_BYTES = 136
TABLE_BYTES = 48
# In MDB_meta: an address for a kind of map that pithgraph has not, and the size of the map that the
# last writer had, which LMDB takes as a least.
UNUSED = range(8, 24)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "log"
    build(folder)
    return folder


@pytest.fixture
def log(whole: Path, tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    shutil.copy(whole / "data.mdb", tmp_path / "log" / "data.mdb")
    return tmp_path / "log"


def content(folder: Path) -> Any:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return {table: list(snapshot.rows(table)) for table in layout.TABLES}


def takes_more(folder: Path) -> None:
    """Somebody writes to the log, and it is sound afterwards."""
    more = [Piece("more", n, canonical(signed_event(**{"payload.more": n}))) for n in range(9)]
    with LogWriter.open(folder) as log:
        assert ingest_pieces(log, more, keyring=RING).appended == len(more)
    assert list(Fsck(folder, keyring=RING)) == []


def records(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Where LMDB keeps what it knows of the file: a name, from, to."""
    for number in range(2):
        yield f"meta {number}", number * PAGE, number * PAGE + HEADER + META_BYTES
    newest = max(range(2), key=lambda n: transaction_of(data, n))
    (root,) = struct.unpack_from("=Q", data, newest * PAGE + HEADER + 24 + 2 * TABLE_BYTES - 8)
    for name in layout.TABLES:
        at = data.index(name, root * PAGE, (root + 1) * PAGE) + len(name)
        yield name.decode(), at, at + TABLE_BYTES


def transaction_of(data: bytes, meta: int) -> int:
    (number,) = struct.unpack_from("=Q", data, meta * PAGE + HEADER + META_BYTES - 8)
    return int(number)


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def may_pass(data: bytes, changed: bytes, at: int) -> bool:
    """What only somebody outside can know: a file that says it is of the commit before."""
    meta = at // PAGE
    if meta > 1:
        return False
    place = at % PAGE - HEADER
    numbers = sorted(transaction_of(changed, n) for n in range(2))
    rolled_back = transaction_of(data, meta) != transaction_of(changed, meta) and (
        numbers[1] - numbers[0] == 1
    )
    return place < 0 or place in UNUSED or rolled_back


@pytest.mark.longer
def test_each_bit_of_what_lmdb_keeps_about_itself(log: Path) -> None:
    path = log / "data.mdb"
    data = path.read_bytes()
    before = content(log)
    passed = found = 0
    for name, start, end in records(data):
        for at in range(start, end):
            for bit in (0, 2, 5, 7):
                changed = flipped(data, at, bit)
                path.write_bytes(changed)
                if page_faults(path):
                    found += 1
                    continue
                # The record of the commit before is nobody's to read but where it is the last.
                old = name.startswith("meta") and at // PAGE != newest_of(data)
                assert old or may_pass(data, changed, at), f"{name}, byte {at - start}, bit {bit}"
                passed += 1
                if not old and at % PAGE - HEADER < 0:
                    (log / "lock.mdb").unlink(missing_ok=True)
                    assert content(log) == before
    assert found > 1500
    assert passed > 0
    path.write_bytes(data)
    takes_more(log)


def newest_of(data: bytes) -> int:
    return max(range(2), key=lambda n: transaction_of(data, n))


def test_a_transaction_that_is_gone_is_found(log: Path) -> None:
    """The newest commit's number was lowered: all that it brought would be gone without a word."""
    path = log / "data.mdb"
    data = path.read_bytes()
    newest = newest_of(data)
    place = newest * PAGE + HEADER + META_BYTES - 8
    number = transaction_of(data, newest)
    path.write_bytes(data[:place] + struct.pack("=Q", number - 4) + data[place + 8 :])
    assert any("do not follow each other" in one.detail for one in Fsck(log, keyring=RING))


@pytest.mark.parametrize("flag", [0x04, 0x24])
def test_flags_of_a_table_are_found(log: Path, flag: int) -> None:
    path = log / "data.mdb"
    data = path.read_bytes()
    _, start, _ = next(one for one in records(data) if one[0] == "by_digest")
    path.write_bytes(data[: start + 4] + bytes([flag]) + data[start + 5 :])
    findings = [one.detail for one in Fsck(log, keyring=RING)]
    assert f"the table by_digest has the flags {flag:#x} and pad 0" in findings


# --- cut


VERBS = (
    ("replay", "--log", "LOG"),
    ("state", "--log", "LOG", "N7NXYVEE"),
    ("export", "--log", "LOG"),
    ("backup", "--log", "LOG", "COPY"),
    ("ingest", "--log", "LOG", "-"),
    ("fsck", "--log", "LOG"),
)


def program(folder: Path, verb: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    names = {"LOG": folder, "COPY": folder.with_name("copy")}
    arguments = [os.fspath(names.get(word, word)) for word in verb]
    return subprocess.run(
        [sys.executable, "-m", "pithgraph", *arguments], capture_output=True, input=b"", timeout=60
    )


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_each_verb_says_that_a_log_was_cut(log: Path, verb: tuple[str, ...]) -> None:
    check_verb(log, verb, [(log / "data.mdb").stat().st_size // 2 & -PAGE])


@pytest.mark.longer
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_each_verb_says_that_a_log_was_cut_elsewhere(log: Path, verb: tuple[str, ...]) -> None:
    check_verb(log, verb, [(log / "data.mdb").stat().st_size - 1, 3 * PAGE, PAGE, 0])


def check_verb(log: Path, verb: tuple[str, ...], ends: list[int]) -> None:
    path = log / "data.mdb"
    for end in ends:
        shutil.copy(path, log.with_name("kept"))
        os.truncate(path, end)
        done = program(log, verb)
        assert done.returncode == 4, (end, done)
        assert b"Traceback" not in done.stderr
        shutil.copy(log.with_name("kept"), path)


def test_an_empty_file_stays_what_it_is(log: Path) -> None:
    """LMDB would make a log of its own in it, and hide that one was there."""
    (log / "data.mdb").write_bytes(b"")
    for opener in (Log.open, LogWriter.open):
        with pytest.raises(LogError, match="is empty: restore the log"):
            opener(log)
    assert any("is empty" in finding.detail for finding in Fsck(log))
    assert (log / "data.mdb").read_bytes() == b""


def test_a_log_cut_anywhere_ends_no_process(log: Path) -> None:
    """Opened and read to its end, or refused; never read beyond its end, which would kill us."""
    path = log / "data.mdb"
    data = path.read_bytes()
    before = content(log)
    refused = 0
    for end in range(0, len(data), PAGE // 2):
        path.write_bytes(data[:end])
        try:
            assert content(log) == before
        except LogError:
            refused += 1
    assert refused >= len(data) // PAGE - 2


def test_a_value_of_several_pages_that_is_cut_is_found(tmp_path: Path) -> None:
    """The verifier looks at the first of its pages alone."""
    path = tmp_path / "data.mdb"
    with lmdb.open(os.fspath(path), subdir=False, lock=False) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"long", bytes(5 * PAGE))
        last = environment.info()["last_pgno"]
    data = path.read_bytes()
    place = next(n for n in range(2, last) if data[n * PAGE + 10] == 4)
    assert page_faults(path) == []
    os.truncate(path, (place + 2) * PAGE)
    assert any("the file ends before its last" in fault for fault in page_faults(path))


# --- short, and whole


def shorten(log: Path) -> int:
    """Free the last pages of a log's file and cut them off: what a writer that was killed may
    leave. How many bytes are gone."""
    with lmdb.open(os.fspath(log), max_dbs=20) as environment:
        for _ in range(3):  # so that nothing but free pages lies at the end
            with environment.begin(write=True) as transaction:
                table = environment.open_db(b"states", transaction, create=False)
                transaction.put(b"long", bytes(20 * PAGE), db=table)
                transaction.delete(b"long", db=table)
        # A page that was made and freed by one commit is never written.
        size = (environment.info()["last_pgno"] + 1) * PAGE
    return size - (log / "data.mdb").stat().st_size


def test_a_short_file_that_is_whole_is_read_and_made_long(log: Path) -> None:
    before = content(log)
    assert shorten(log) > 0
    assert page_faults(log / "data.mdb") == []
    assert content(log) == before
    assert list(Fsck(log, keyring=RING)) == []
    takes_more(log)
    with lmdb.open(os.fspath(log), readonly=True) as environment:
        assert not is_short(log / "data.mdb", environment)


def test_a_writer_leaves_no_short_file(tmp_path: Path) -> None:
    """It never needs the walk over the pages, which takes long where there are many."""
    with LogWriter.open(tmp_path) as log:
        for number in range(60):
            piece = Piece("x", number, canonical(signed_event(**{"payload.n": number})))
            ingest_pieces(log, [piece], keyring=RING)
            assert not is_short(tmp_path / "data.mdb", log._environment)


def test_a_file_is_made_long_only_where_it_is_too_short(log: Path) -> None:
    size = (log / "data.mdb").stat().st_size
    with lmdb.open(os.fspath(log), readonly=True) as environment:
        pages.lengthen(log / "data.mdb", environment)
        assert (log / "data.mdb").stat().st_size == size
        os.truncate(log / "data.mdb", size - PAGE)
        pages.lengthen(log / "data.mdb", environment)
        assert (log / "data.mdb").stat().st_size == size
