"""Cutting: an open stream of bytes as one document, or as lines in long runs.

What lives here: how bytes are told apart and cut into pieces. What must not: files and folders
(`sources`), decoding beyond asking whether a line is JSON by itself, and anything about events.

A source is JSON Lines or one document, told apart by content (SPEC §4). One line that is not blank
makes a document. With more, the first line decides where it is JSON by itself: then every line is
taken by itself. Where it is not, the whole is a document if it decodes as one. If it does not
either, it is JSON Lines where one of its lines is a JSON object by itself and no line that begins
with a closing bracket or a comma follows, as one would in a document that is printed on many lines;
else it is a broken document, refused once. Where the first line cannot begin a document, only so
many lines are looked at; with more it is JSON Lines, so that nothing that follows is lost.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from pithgraph.canonical import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, decode
from pithgraph.errors import DecodeError

# About how long a run of lines is: long enough to be handed on at no cost that counts.
SPAN_BYTES: Final = 1024 * 1024
# What a stream may raise where its bytes cannot be had.
FAILURES: Final = (OSError, EOFError, zlib.error)
BLOCK_BYTES: Final = 64 * 1024

_BLANK: Final = b" \t\r\n"
_CONTINUES: Final = (b"]", b"}", b",")
_LINES_ASKED: Final = 100
_BYTES_ASKED: Final = 16 * 1024 * 1024


# Both can be asked what comes next without reading it.
Buffered = io.BufferedReader | gzip.GzipFile


class Limits(NamedTuple):
    """The longest line of JSON Lines, and the longest document, in bytes (SPEC §1)."""

    line: int = MAX_LINE_BYTES
    document: int = MAX_DOCUMENT_BYTES


class Piece(NamedTuple):
    """The bytes of one line (`line` counts from 1) or of one document (`line` is None). A source
    that holds nothing but white space is one piece without bytes."""

    source: str
    line: int | None
    data: bytes

    def decode(self) -> Any:
        """The value of a piece, whose size was judged when it was cut. Raises DecodeError."""
        return decode(self.data, max_bytes=len(self.data))


class Lines(NamedTuple):
    """A run of whole lines of JSON Lines as they stand in the source, none over the limit and at
    least one not blank. `first_line` is the number of the first (from 1); only the last line of a
    source may lack its newline."""

    source: str
    first_line: int
    data: bytes

    def pieces(self) -> Iterator[Piece]:
        """The lines that are not blank, without their newlines."""
        # A stream leaps from newline to newline; `split` looks at each byte, and takes thrice as
        # long where lines have 2 KB.
        for number, line in enumerate(io.BytesIO(self.data), self.first_line):
            data = line.removesuffix(b"\n")
            if data.lstrip(_BLANK):
                yield Piece(self.source, number, data)


class Unreadable(NamedTuple):
    """A source, or one line of it, that could not be read."""

    source: str
    line: int | None
    reason: str
    detail: str


def cut(
    name: str, stream: Buffered, limits: Limits, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[Piece | Lines | Unreadable]:
    """The one document in a stream, or its lines. Lines are read in blocks of so many bytes.

    Raises what the stream raises (`FAILURES`), after the whole lines that were read before.
    """
    reader = _Reader(stream, limits.line, block_bytes)
    first = reader.next()
    if first is None:
        yield Piece(name, None, b"")
        return
    if first.too_long:
        rest, whole = reader.rest_of_line(max(limits.document - len(first.data), 0) + 1)
        first = first._replace(data=first.data + rest.removesuffix(b"\n"))
        if not whole or len(first.data) > limits.document:
            yield _too_large(name, None, limits.document)
            return
    second = reader.next()
    if second is None:
        yield _document(name, first.number, first.data, limits)
        return
    if first.too_long:
        yield _too_large(name, first.number, limits.line)
        yield from _json_lines(name, [second], reader, limits)
        return
    fault = _fault(first.data)
    if fault is None:
        yield from _json_lines(name, [first, second], reader, limits)
        return
    if _breaks_off(first.data, fault):
        yield from _document_or_lines(name, first, second, reader, limits)
        return
    # A document could not decode beyond this fault either.
    asked, are_lines = _ask_lines([first, second], reader, _LINES_ASKED, _BYTES_ASKED)
    if are_lines:
        yield from _json_lines(name, asked, reader, limits)
    else:
        text = b"\n".join(line.data for line in asked)
        yield _document(name, first.number, text, limits)


# --- reading ---------------------------------------------------------------------------------


class _Line(NamedTuple):
    number: int
    data: bytes
    end: bytes  # its newline, if it has one
    too_long: bool


class _Reader:
    """The lines of a stream that are not blank, each cut at the limit, or all that follows."""

    def __init__(self, stream: Buffered, limit: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._limit = limit
        self.block_bytes = min(block_bytes, SPAN_BYTES)
        self._number = 0

    def next(self) -> _Line | None:
        """The next line; of one that is too long, its beginning."""
        while text := self._stream.readline(self._limit + 1):
            self._number += 1
            data = text.removesuffix(b"\n")
            too_long = len(data) > self._limit
            if too_long or data.strip(_BLANK):
                return _Line(self._number, data, text[len(data) :], too_long)
            self._skip_empty_lines()
        return None

    def _skip_empty_lines(self) -> None:
        """Pass over empty lines that follow, many at a time: a few KB of gzip hold millions."""
        while True:
            held = self._stream.peek(1)
            empty = len(held) - len(held.lstrip(b"\n"))
            if not empty:
                return
            self._stream.read(empty)
            self._number += empty

    def rest_of_line(self, limit: int) -> tuple[bytes, bool]:
        """What follows the beginning of a line that was too long, up to `limit` bytes, and whether
        the line ends there."""
        data = self._stream.readline(limit)
        return data, data.endswith(b"\n") or len(data) < limit

    def skip_line(self) -> None:
        """Pass over what follows the beginning of a line that was too long."""
        while data := self._stream.readline(1 << 20):
            if data.endswith(b"\n"):
                break

    def read(self, limit: int) -> bytes:
        """Everything that follows, up to `limit` bytes."""
        # In parts: `read(limit)` sets aside all of the limit, however little there is.
        parts = []
        while limit > 0 and (part := self._stream.read(min(limit, 1 << 20))):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def block(self) -> bytes:
        """Some of what follows, whatever lines it is of; nothing at the end."""
        # `read` would lose what it has where the stream fails midway.
        return self._stream.read1(self.block_bytes)


# --- JSON Lines ------------------------------------------------------------------------------


def _json_lines(
    name: str, asked: Iterable[_Line], reader: _Reader, limits: Limits
) -> Iterator[Lines | Unreadable]:
    """The lines that were asked and all that follow. Of those asked the last may be too long: the
    reader is in its middle then."""
    held = bytearray()
    first = following = 1  # the numbers of the first line held, and of the line after those asked
    for line in asked:
        text = line.data + line.end
        # However many blank lines there are between two, they are not put back.
        if line.number > following or len(held) + len(text) > SPAN_BYTES:
            if held:
                yield Lines(name, first, bytes(held))
                held.clear()
            first = line.number
        held += text
        following = line.number + 1

    size = len(held)
    seen = 0  # so much of what is held has no newline, as was seen before
    while True:
        ended, failure = False, None
        most = max(SPAN_BYTES, size + reader.block_bytes)
        try:
            while not ended and size + reader.block_bytes <= most:
                block = reader.block()
                # What is held never shrinks: to let go of memory and ask for it again costs more
                # than to cut.
                held[size : size + len(block)] = block
                size += len(block)
                ended = not block
        except FAILURES as error:
            failure = error
        whole = size if ended else held.rfind(b"\n", seen, size) + 1
        start = 0
        while start < whole:
            end = _end_within(limits.line, held, start, whole)
            if end > start:
                data = bytes(memoryview(held)[start:end])
                if data.lstrip(_BLANK):
                    yield Lines(name, first, data)
                first += _count_newlines(data)
            else:
                yield _too_large(name, first, limits.line)
                first += 1
                end = held.find(b"\n", start, whole) + 1 or whole
            start = end
        if failure is not None:
            raise failure
        if ended:
            return
        if whole:  # else the line goes on, and stays where it is
            held[: size - whole] = held[whole:size]
            size -= whole
        if size > limits.line:
            reader.skip_line()
            yield _too_large(name, first, limits.line)
            first += 1
            size = 0
        seen = size


def _end_within(limit: int, held: bytearray, start: int, whole: int) -> int:
    """Where the lines end that come before one over the limit."""
    end = start
    while whole - end > limit:
        newline = held.rfind(b"\n", end, end + limit + 1)
        if newline < 0:
            return end
        end = newline + 1
    return whole


def _count_newlines(data: bytes) -> int:
    # `count` looks at each byte, and takes four times as long where lines have 2 KB; a search for
    # each takes a hundred times as long where they are empty.
    count = at = before = 0
    while at := data.find(b"\n", at) + 1:
        count += 1
        if count % _FEW_LINES == 0:
            if at - before < _FEW_LINES * _SHORT_LINE:
                return count + data.count(b"\n", at)
            before = at
    return count


_FEW_LINES: Final = 256
_SHORT_LINE: Final = 64


# --- telling documents and lines apart -------------------------------------------------------


def _document_or_lines(
    name: str, first: _Line, second: _Line, reader: _Reader, limits: Limits
) -> Iterator[Piece | Lines | Unreadable]:
    """The first line breaks off where a document may go on: most likely printed on many lines."""
    if second.number - 1 + len(first.data) + len(second.data) > limits.document:
        yield _too_large(name, None, limits.document)
        return
    head = b"\n" * (first.number - 1) + first.data
    head += b"\n" * (second.number - first.number) + second.data + second.end
    data = head + reader.read(max(limits.document - len(head), 0) + 1)
    if len(data) > limits.document:
        yield _too_large(name, None, limits.document)
        return
    broken = _fault(data) is not None
    if broken and _ask_lines([], _reader_of(data, limits), sys.maxsize, sys.maxsize)[1]:
        yield from _json_lines(name, [], _reader_of(data, limits), limits)
        return
    yield Piece(name, None, data)


def _reader_of(data: bytes, limits: Limits) -> _Reader:
    return _Reader(io.BufferedReader(io.BytesIO(data)), limits.line)


def _ask_lines(
    asked: list[_Line], reader: _Reader, most: int, most_bytes: int
) -> tuple[list[_Line], bool]:
    """A few lines more, and whether they are JSON Lines for all their faults. The stream is left in
    the middle of the last line asked where that one is too long."""
    size = sum(len(line.data) for line in asked)
    before = _is_object(asked[-1]) if asked else False
    while True:
        if asked and asked[-1].too_long:
            if most_bytes < sys.maxsize:
                return asked, True
            reader.skip_line()
        line = reader.next()
        if line is None:
            return asked, before
        asked.append(line)
        if len(asked) > most or size >= most_bytes:
            return asked, True
        if before and not line.data.lstrip(_BLANK).startswith(_CONTINUES):
            return asked, True
        size += len(line.data)
        before = _is_object(line)


def _is_object(line: _Line) -> bool:
    stripped = line.data.lstrip(_BLANK)
    return not line.too_long and stripped.startswith(b"{") and _fault(line.data) is None


def _fault(data: bytes) -> DecodeError | None:
    try:
        decode(data, max_bytes=len(data))
    except DecodeError as error:
        return error
    return None


def _breaks_off(data: bytes, fault: DecodeError) -> bool:
    """Whether the fault is the end of the text itself, between two tokens."""
    return (
        fault.reason == "syntax"
        and fault.line == 1
        and fault.column > len(data.decode("utf-8", "replace").rstrip(" \t\r"))
    )


def _document(name: str, line: int, data: bytes, limits: Limits) -> Piece | Unreadable:
    """The document that begins at this line."""
    blank = line - 1
    if blank + len(data.rstrip(_BLANK)) > limits.document:
        return _too_large(name, None, limits.document)
    # The blank lines before it are put back, so that faults are found at their line.
    return Piece(name, None, b"\n" * blank + data)


def _too_large(name: str, line: int | None, limit: int) -> Unreadable:
    what = "line" if line is not None else "document"
    return Unreadable(
        name, line, "too_large", f"the limit for a {what} is {limit} bytes; an option raises it"
    )
