"""Reading: documents and JSON Lines told apart by content, and nothing stops the rest."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pytest

from pithgraph.canonical import decode
from pithgraph.errors import DecodeError
from pithgraph.sources import Limits, Piece, Unreadable, read_sources, read_stream

EVENT = b'{"subject_pith_number":"x"}'


def pieces(data: bytes, limits: Limits | None = None) -> list[Piece | Unreadable]:
    return list(read_stream("s", io.BufferedReader(io.BytesIO(data)), limits or Limits()))  # type: ignore[arg-type]


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
    class Drip(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = data

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            buffer[: len(self.data[:1])] = self.data[:1]
            self.data = self.data[1:]
            return len(self.data) and 1

    data = gzip.compress(EVENT + b"\n" + EVENT)
    found = list(read_stream("s", io.BufferedReader(Drip(data + b"\0")), Limits()))
    assert [piece.line for piece in found][:2] == [1, 2]


def test_a_line_over_the_limit_is_refused_alone() -> None:
    limits = Limits(line=40, document=1000)
    long = b'{"a":"' + b"x" * 60 + b'"}'
    found = pieces(EVENT + b"\n" + long + b"\n" + EVENT, limits)
    assert [type(piece) for piece in found] == [Piece, Unreadable, Piece]
    assert found[1][1:3] == (2, "too_large")
    found = pieces(long + b"\n" + EVENT, limits)
    assert [piece[1:3] for piece in found] == [(1, "too_large"), (2, EVENT)]
    assert pieces(long, limits) == [Piece("s", None, long)]  # a document has a limit of its own


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


def test_a_gzip_bomb_is_refused_within_its_limit() -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000)
    found = pieces(bomb, Limits(line=1000, document=1_000_000))
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
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(EVENT))))  # type: ignore[arg-type]
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(read_sources(["-"])) == [Piece("<standard input>", None, EVENT)]
