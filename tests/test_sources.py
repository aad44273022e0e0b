"""Reading: documents and JSON Lines told apart by content, and nothing stops the rest."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pithgraph import cutting
from pithgraph.canonical import decode
from pithgraph.errors import DecodeError
from pithgraph.sources import (
    Limits,
    Lines,
    Piece,
    Unreadable,
    read_sources,
    read_spans,
    read_stream,
    total_bytes,
)

EVENT = b'{"subject_pith_number":"x"}'


class Slow(io.RawIOBase):
    """Gives so many bytes at a time, and fails at the end if it is told to."""

    def __init__(self, parts: Iterable[bytes], *, fails: bool = False) -> None:
        self._parts = iter(parts)
        self._fails = fails
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rest or next(self._parts, b"")
        if not part and self._fails:
            raise OSError(5, "it broke")
        count = min(len(part), len(buffer))
        buffer[:count] = part[:count]
        self._rest = part[count:]
        return count


def in_parts(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def spans(
    data: bytes | io.RawIOBase, limits: Limits | None = None
) -> list[Piece | Lines | Unreadable]:
    raw = io.BytesIO(data) if isinstance(data, bytes) else data
    return list(read_stream("s", io.BufferedReader(raw), limits or Limits()))


def cut_up(found: Iterable[Piece | Lines | Unreadable]) -> list[Piece | Unreadable]:
    cut: list[Piece | Unreadable] = []
    for piece in found:
        cut += piece.pieces() if isinstance(piece, Lines) else [piece]
    return cut


def pieces(data: bytes | io.RawIOBase, limits: Limits | None = None) -> list[Piece | Unreadable]:
    return cut_up(spans(data, limits))


def test_one_line_is_a_document() -> None:
    assert pieces(EVENT) == [Piece("s", None, EVENT)]
    assert pieces(b"\n  \n" + EVENT + b"\n\n") == [Piece("s", None, b"\n\n" + EVENT)]
    assert pieces(b"{broken") == [Piece("s", None, b"{broken")]


def test_many_lines_are_json_lines_where_the_first_is_json() -> None:
    data = EVENT + b"\r\n\n \t\n" + b"broken\n" + b"7"
    assert pieces(data) == [
        Piece("s", 1, EVENT + b"\r"),
        Piece("s", 4, b"broken"),
        Piece("s", 5, b"7"),
    ]


def test_a_document_may_be_printed_on_many_lines() -> None:
    for data in (
        b'{\n  "a": 1\n}\n',
        b'\n\n{"a":\n1}',
        b'[\n{"a": 1},\n{"b": 2}\n]\n',  # its last line is an object by itself
        b'{"a": [1,\n2], "b": {\n"c": 3}}',
    ):
        (piece,) = pieces(data)
        assert isinstance(piece, Piece)
        assert (piece.line, piece.data.strip()) == (None, data.strip())


def test_a_broken_document_on_many_lines_is_refused_once() -> None:
    for data in (b'{\n "a": 1,\n "b" 2\n}', b'{"a" 1,\n "b": 2}', b"[\n1,\n2"):
        assert [piece.line for piece in pieces(data)] == [None]


def test_json_lines_with_a_bad_first_line_go_on() -> None:
    for first in (
        b"broken",
        b'{"a":"cut off',
        b'{"a":1,',
        b"{}{}",
        b"\xff",
        b'\xef\xbb\xbf{"a":1}',
    ):
        found = pieces(first + b"\n" + EVENT + b"\n" + EVENT)
        assert found == [Piece("s", 1, first), Piece("s", 2, EVENT), Piece("s", 3, EVENT)]
    assert len(pieces(b"broken\n" + EVENT)) == 2
    assert len(pieces(b"\n".join([b'{"a":1,', EVENT] * 3))) == 6


def test_a_fault_is_found_at_its_line() -> None:
    for data in (b'\n\n{"a" 1,\n"b":2}', b'\n{"a":\n1 2}', b"\n\n{bad"):
        (piece,) = pieces(data)
        assert isinstance(piece, Piece)
        with pytest.raises(DecodeError) as refused:
            decode(piece.data)
        assert refused.value.line == 3


def test_lines_over_the_limit_among_bad_ones_end() -> None:
    limits = Limits(line=20, document=1000)
    for data, numbers in (
        (b"broken\n" + b"x" * 50 + b"\n{}", [1, 2, 3]),
        (b'{"a":\n' + b"x" * 50 + b"\n{}\n{}", [1, 2, 3, 4]),
        (b"broken\nbroken\n" + b"x" * 50, [1, 2, 3]),
    ):
        found = pieces(data, limits)
        assert [piece.line for piece in found] == numbers
        assert sum(isinstance(piece, Unreadable) for piece in found) == 1


def test_many_bad_lines_hide_no_good_one() -> None:
    for bad in (b"broken", b'{"a":1,', b'{"a":"cut off'):
        found = pieces(b"\n".join([bad] * 150 + [EVENT] * 2))
        assert [piece.line for piece in found] == list(range(1, 153))


def test_a_pipe_may_give_one_byte_at_a_time() -> None:
    data = gzip.compress(EVENT + b"\n" + EVENT)
    found = pieces(Slow(in_parts(data + b"\0", 1)))
    assert [piece.line for piece in found][:2] == [1, 2]


def test_a_line_over_the_limit_is_the_last_one_asked() -> None:
    limits = Limits(line=40, document=10_000)
    for before in (1, 98, 99, 100):
        data = b"broken\n" * before + b"x" * 100 + b"\n" + EVENT + b"\n" + EVENT
        found = pieces(data, limits)
        assert [piece.line for piece in found] == list(range(1, before + 4))
        assert [piece.line for piece in found if isinstance(piece, Unreadable)] == [before + 1]


def test_a_line_over_the_limit_is_refused_alone() -> None:
    limits = Limits(line=40, document=1000)
    long = b'{"a":"' + b"x" * 60 + b'"}'
    found = pieces(EVENT + b"\n" + long + b"\n" + EVENT, limits)
    assert [type(piece) for piece in found] == [Piece, Unreadable, Piece]
    assert found[1][1:3] == (2, "too_large")
    found = pieces(long + b"\n" + EVENT, limits)
    assert [piece[1:3] for piece in found] == [(1, "too_large"), (2, EVENT)]
    assert pieces(long, limits) == [Piece("s", None, long)]  # a document has a limit of its own


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b"", b" \t", b"\r", b"{}", b"7\r", b"\0", b"\x0b", b"a\rb", b"]"]),
        st.integers(0, 60).map(lambda size: b"x" * size),
        st.integers(10, 60).map(lambda size: b" " * size),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(
    lines=LINES,
    blank=st.integers(0, 40),
    ended=st.booleans(),
    limit=st.sampled_from([2, 8, 30, 1000]),
    span=st.sampled_from([1, 2, 5, 16, 64, 200, cutting.SPAN_BYTES]),
    part=st.sampled_from([1, 3, 50, None]),
)
def test_spans_hold_the_lines_of_a_source(
    lines: list[bytes], blank: int, ended: bool, limit: int, span: int, part: int | None
) -> None:
    lines = [b"{}"] + [b""] * blank + [b"[]", *lines]
    data = b"\n".join(lines) + b"\n" * ended
    expected = [
        (number, "too_large" if len(line) > limit else line)
        for number, line in enumerate(lines, 1)
        if line.strip(b" \t\r") or len(line) > limit
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "SPAN_BYTES", span)
        found = spans(Slow(in_parts(data, part)) if part else data, Limits(line=limit))
    assert [piece[1:3] for piece in cut_up(found)] == expected
    for piece in found:
        if isinstance(piece, Lines):
            assert 0 < len(piece.data) <= max(span, limit + 1) + min(span, cutting.BLOCK_BYTES)
            whole = b"\n".join([*lines[piece.first_line - 1 :], b""])
            assert whole.startswith(piece.data.removesuffix(b"\n") + b"\n")


def test_a_span_is_of_about_its_size() -> None:
    data = b"".join(b'{"n":%d}\n' % n for n in range(500_000))
    found = spans(data)
    assert b"".join(piece.data for piece in found if isinstance(piece, Lines)) == data
    sizes = [len(piece.data) for piece in found if isinstance(piece, Lines)]
    assert all(0.9 <= size / cutting.SPAN_BYTES <= 1 for size in sizes[:-1])


@pytest.mark.parametrize("span", [100, cutting.SPAN_BYTES])
def test_lines_over_the_limit_stand_in_their_places(
    span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SPAN_BYTES", span)
    long = b"x" * 1000
    data = b"\n".join([long, EVENT, EVENT, long, long, b"a\rb", EVENT, b"x" * 41])
    data += b"\n" + b"y" * 40 + b"\n" + b"z" * 41
    found = spans(data, Limits(line=40, document=2000))
    assert [(type(piece).__name__, piece[1]) for piece in found] == [
        ("Unreadable", 1),
        ("Lines", 2),
        ("Unreadable", 4),
        ("Unreadable", 5),
        ("Lines", 6),
        ("Unreadable", 8),
        ("Lines", 9),
        ("Unreadable", 10),
    ]
    assert {piece.reason for piece in found if isinstance(piece, Unreadable)} == {"too_large"}


def test_a_line_may_be_longer_than_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "SPAN_BYTES", 10)
    data = b"\n".join([EVENT, b"x" * 1000, b"[]", b"y" * 1000])
    assert [piece.data for piece in pieces(data) if isinstance(piece, Piece)] == data.split(b"\n")


def test_a_long_line_takes_little_memory() -> None:
    head = b'{}\n{}\n{"a":"'
    raw = Slow([head, *([b"x" * 8192] * 8192), b'"}\n{}\n'])
    tracemalloc.start()
    try:
        found = spans(raw, Limits(line=1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert [piece[1] for piece in found] == [1, 3, 4]


def test_a_document_over_its_limit_is_refused() -> None:
    limits = Limits(line=40, document=80)
    one_line = b'{"a":"' + b"x" * 90 + b'"}'
    many_lines = b'{"a":\n[' + b"1,\n" * 40 + b"1]}"
    exact = b'{"a":"' + b"x" * 72 + b'"}'
    assert len(exact) == 80
    for data in (one_line, many_lines):
        assert [piece[1:3] for piece in pieces(data, limits)] == [(None, "too_large")]
    assert pieces(exact, limits) == [Piece("s", None, exact)]
    assert pieces(exact + b"\n", limits) == [Piece("s", None, exact)]


def test_gzip_is_told_by_content_and_a_cut_one_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    packed = gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(20_000)))
    path.write_bytes(packed)
    assert len(list(read_sources([path]))) == 20_000
    path.write_bytes(packed[: len(packed) // 2])
    *lines, last = read_sources([path])
    assert len(lines) > 1000
    assert isinstance(last, Unreadable)
    assert last.reason == "unreadable"
    assert f"after line {len(lines)}" in last.detail


def test_what_was_read_before_a_fault_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    detail = "it broke (after line 3)"
    for span in (1, 20, 60, cutting.SPAN_BYTES):
        monkeypatch.setattr(cutting, "SPAN_BYTES", span)
        for rest in (b"", b"\n \n" * 100, b"\n\n" + b"x" * 30, b"x" * 90):
            raw = Slow(in_parts(b"\n".join([EVENT, b"", EVENT, rest]), 25), fails=True)
            *lines, last = pieces(raw, Limits(line=40))
            assert lines == [Piece("s", 1, EVENT), Piece("s", 3, EVENT)]
            assert last == Unreadable("s", None, "unreadable", detail)


def test_a_gzip_bomb_is_refused_within_its_limit() -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000)
    found = pieces(bomb, Limits(line=1000, document=1_000_000))
    assert [piece[1:3] for piece in found] == [(None, "too_large")]


@settings(max_examples=200)
@given(
    before=st.lists(st.sampled_from([b"", b"", b"", b" ", b"\r", b"\t "]), max_size=40),
    between=st.integers(0, 40),
    part=st.sampled_from([1, 3, None]),
    packed=st.booleans(),
)
def test_lines_are_numbered_past_empty_ones(
    before: list[bytes], between: int, part: int | None, packed: bool
) -> None:
    data = b"\n".join([*before, EVENT, *[b""] * between, b"[]", b"", b"7"])
    first = len(before) + 1
    expected = [(first, EVENT), (first + between + 1, b"[]"), (first + between + 3, b"7")]
    data = gzip.compress(data) if packed else data
    assert [p[1:3] for p in pieces(Slow(in_parts(data, part)) if part else data)] == expected


def test_empty_lines_are_passed_over_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    readline = gzip.GzipFile.readline

    def counted(file: gzip.GzipFile, size: Any = -1) -> bytes:
        nonlocal reads
        reads += 1
        return readline(file, size)

    monkeypatch.setattr(gzip.GzipFile, "readline", counted)
    empty = b"\n" * 3_000_000
    found = pieces(gzip.compress(empty + EVENT + empty + b"7" + empty))
    assert [piece.line for piece in found] == [3_000_001, 6_000_001]
    assert 4 <= reads < 5_000
    assert cutting._count_newlines(b"x" * 9000 + empty) == 3_000_000


def test_empty_lines_are_part_of_the_document_that_they_stand_before() -> None:
    limits = Limits(document=100)
    for document in (b"{}", b'{"a":\n1}', b"{bad"):
        fits = b"\n" * (100 - len(document)) + document
        assert pieces(fits, limits) == [Piece("s", None, fits)]
        assert [piece[1:3] for piece in pieces(b"\n" + fits, limits)] == [(None, "too_large")]


def test_a_document_without_end_is_refused_at_its_limit() -> None:
    endless = Slow(itertools.repeat(b"x" * 8192))
    found = pieces(endless, Limits(line=1000, document=100_000))
    assert [piece[1:3] for piece in found] == [(None, "too_large")]


def test_folders_are_read_in_order_and_only_json_in_them(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.jsonl", "a.json", "c.ndjson", "b/1.json.gz", "notes.txt"):
        data = gzip.compress(EVENT) if name.endswith(".gz") else EVENT
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.json")  # opening it would wait for ever
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list(read_sources([tmp_path]))
    names = [Path(piece.source).name for piece in found if isinstance(piece, Piece)]
    assert names == ["a.json", "c.ndjson", "1.json.gz", "2.jsonl"]
    refused = {Path(piece.source).name for piece in found if isinstance(piece, Unreadable)}
    assert refused == {"pipe.json", "gone.json", "loop"}
    assert list(read_sources([tmp_path / "notes.txt"])) == [
        Piece(str(tmp_path / "notes.txt"), None, EVENT)
    ]


def test_a_broken_source_of_as_many_lines_as_are_asked_is_one() -> None:
    for count, expected in ((99, 1), (100, 1), (101, 101)):
        assert len(pieces(b"\n".join([b"broken"] * count))) == expected


def test_the_limit_of_a_document_may_be_below_that_of_a_line() -> None:
    for data in (b'{"a":"1234567"}', b"broken\nbroken", b'{"a":\n1,}'):
        assert [piece[1:3] for piece in pieces(data, Limits(document=5))] == [(None, "too_large")]


def test_what_is_not_there_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(EVENT)
    found = list(read_sources([tmp_path / "nothing.json", tmp_path / "a.json"]))
    assert [type(piece) for piece in found] == [Unreadable, Piece]


def test_names_of_any_bytes_are_shown_as_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.json"
    with open(path, "wb") as file:
        file.write(EVENT)
    (piece,) = read_sources([tmp_path])
    assert piece.source.endswith(r"caf\xe9.json")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(EVENT))))
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(read_sources(["-"])) == [Piece("<standard input>", None, EVENT)]


def test_progress_sums_up_to_the_size_of_what_is_read(tmp_path: Path) -> None:
    lines = b"".join(b'{"n":%d}\n' % n for n in range(300_000))
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.json").write_bytes(EVENT)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(lines)[:-9])
    (tmp_path / "broken.json").write_bytes(b"\x1f\x8b and no more")
    (tmp_path / "empty.json").touch()
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    paths = [tmp_path, tmp_path / "cut.gz", tmp_path / "nothing"]
    names = ("a.jsonl", "b.jsonl.gz", "broken.json", "c.json", "cut.gz")
    told: list[int] = []
    count = sum(1 for _ in read_spans(paths, progress=told.append))
    assert sum(told) == total_bytes(paths) == sum((tmp_path / n).stat().st_size for n in names)
    assert 10 < len(told) <= count + len(names)
    assert min(told) > 0


def test_progress_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(EVENT)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    told: list[int] = []
    assert len(list(read_spans(["-"], progress=told.append))) == 1
    assert sum(told) == len(data)


def test_what_has_no_size_has_no_total(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert total_bytes([tmp_path]) == 0  # it is not read there
    assert total_bytes([tmp_path / "pipe.json"]) is None
    assert total_bytes(["-"]) is None
    assert total_bytes([]) == 0


def test_a_last_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives no files, and nothing comes after it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "e.json").write_bytes(EVENT)
    real = os.scandir

    def refusing(path: Any) -> Any:
        if os.fspath(path).endswith("b"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    first, second = read_sources([tmp_path])
    assert isinstance(first, Piece)
    assert isinstance(second, Unreadable)
    assert second.source == str(tmp_path / "b")
