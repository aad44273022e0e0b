"""Reading: files, folders, standard input and `.gz` as documents and lines; keyring files.

What lives here: how bytes are found and cut into pieces. What must not: decoding beyond asking
whether a line is JSON by itself, and anything about events. Nothing that can go wrong with a file
stops the rest: it becomes an `Unreadable`, with its place.

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
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from pithgraph.canonical import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, decode
from pithgraph.errors import DecodeError, KeyringError
from pithgraph.keyring import Keyring

STANDARD_INPUT: Final = "-"
# In a folder, only files of these names are read; a file that is named itself always is.
SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BLANK: Final = b" \t\r\n"
_CONTINUES: Final = (b"]", b"}", b",")
_LINES_ASKED: Final = 100
_BYTES_ASKED: Final = 16 * 1024 * 1024


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


class Unreadable(NamedTuple):
    """A source, or one line of it, that could not be read."""

    source: str
    line: int | None
    reason: str
    detail: str


def load_keyring(path: str | os.PathLike[str] | None = None) -> Keyring:
    """The keyring in a file, or the one that ships with pithgraph, which holds the registry's key.

    Raises KeyringError naming the file.
    """
    if path is None:
        data = resources.files("pithgraph").joinpath("data/keyring.json").read_bytes()
        return Keyring.from_bytes(data)
    try:
        return Keyring.from_bytes(Path(path).read_bytes())
    except OSError as error:
        raise KeyringError(f"{path}: {error.strerror}") from None
    except (DecodeError, KeyringError) as error:
        raise KeyringError(f"{path}: {error}") from None


def read_sources(
    paths: Iterable[str | os.PathLike[str]], limits: Limits | None = None
) -> Iterator[Piece | Unreadable]:
    """The pieces of files, of folders (recursively, in the order of names) and of `-`."""
    limits = limits or Limits()
    for path in paths:
        name = os.fspath(path)
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                yield Unreadable("<standard input>", None, "unreadable", "it is closed")
            else:
                stdin = cast(io.BufferedReader, sys.stdin.buffer)
                yield from read_stream("<standard input>", stdin, limits)
            continue
        for found in _files(name):
            if isinstance(found, Unreadable):
                yield found
                continue
            try:
                stream = open(found, "rb")  # noqa: SIM115 - closed below, after it was walked
            except OSError as error:
                yield _unreadable(found, error)
                continue
            with closing(stream):
                yield from read_stream(shown_path(found), stream, limits)


def read_stream(
    name: str, stream: io.BufferedReader, limits: Limits
) -> Iterator[Piece | Unreadable]:
    """The pieces of one open file, which may be compressed with gzip (asked of its content)."""
    line = 0
    try:
        head = stream.read(2)  # not `peek`, which may give less of a pipe than there will be
        whole: BinaryIO = io.BufferedReader(_Joined(head, stream), 1 << 16)
        if head == _GZIP_MAGIC:
            whole = cast(BinaryIO, gzip.GzipFile(fileobj=whole))
        for piece in _pieces(name, _Lines(whole, limits.line), limits):
            line = piece.line or line
            yield piece
    except (OSError, EOFError, zlib.error) as error:
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        after = f" (after line {line})" if line else ""
        yield Unreadable(name, None, "unreadable", detail + after)
    except MemoryError:
        yield Unreadable(name, None, "unreadable", "it does not fit into memory")


class _Joined(io.RawIOBase):
    """A stream with the bytes put back that were read to see what it is."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._rest.read1(len(buffer))
        self._head = data[len(buffer) :]
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        return count


def shown_path(path: str) -> str:
    """A path as text that can be stored and printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# --- files -----------------------------------------------------------------------------------


def _unreadable(path: str, error: OSError) -> Unreadable:
    return Unreadable(shown_path(path), None, "unreadable", error.strerror or str(error))


def _files(name: str) -> Iterator[str | Unreadable]:
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        yield _unreadable(name, error)
        return
    if not stat.S_ISDIR(mode):
        # A pipe may be named (`<(command)`), though none is opened that a folder holds.
        yield name
        return

    problems: list[OSError] = []
    for folder, folders, files in os.walk(name, onerror=problems.append):
        folders.sort()
        for link in folders:
            if os.path.islink(os.path.join(folder, link)):
                path = shown_path(os.path.join(folder, link))
                yield Unreadable(path, None, "unreadable", "a link to a folder is not followed")
        for file in sorted(files):
            if file.endswith(SUFFIXES):
                path = os.path.join(folder, file)
                if os.path.isfile(path):
                    yield path
                else:
                    yield Unreadable(shown_path(path), None, "unreadable", "not a regular file")
        while problems:
            problem = problems.pop()
            yield _unreadable(problem.filename or name, problem)


# --- lines and documents ---------------------------------------------------------------------


class _Line(NamedTuple):
    number: int
    data: bytes
    too_long: bool


class _Lines:
    """The lines of a stream that are not blank, each cut at the limit, with one put back."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._number = 0

    def next(self) -> _Line | None:
        """The next line, without its newline; of one that is too long, its beginning."""
        while True:
            data = self._stream.readline(self._limit + 1)
            if not data:
                return None
            self._number += 1
            number = self._number
            if data.endswith(b"\n"):
                data = data[:-1]
            elif len(data) > self._limit:
                return _Line(number, data, too_long=True)
            if data.strip(_BLANK):
                return _Line(number, data, too_long=False)

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


def _pieces(name: str, lines: _Lines, limits: Limits) -> Iterator[Piece | Unreadable]:
    first = lines.next()
    if first is None:
        yield Piece(name, None, b"")
        return
    if first.too_long:
        rest, whole = lines.rest_of_line(max(limits.document - len(first.data), 0) + 1)
        first = first._replace(data=first.data + rest.removesuffix(b"\n"))
        if not whole or len(first.data) > limits.document:
            lines.skip_line()
            yield _too_large(name, None, limits.document)
            return
    second = lines.next()
    if second is None:
        # The blank lines before it are put back, so that faults are found at their line.
        yield _document(name, b"\n" * (first.number - 1) + first.data, limits)
        return
    if first.too_long:
        yield _too_large(name, first.number, limits.line)
        yield from _json_lines(name, [second], lines, limits)
        return
    fault = _fault(first.data)
    if fault is None:
        yield from _json_lines(name, [first, second], lines, limits)
        return
    if _breaks_off(first.data, fault):
        yield from _document_or_lines(name, first, second, lines, limits)
        return
    # A document could not decode beyond this fault either.
    asked, are_lines = _ask_lines([first, second], lines, _LINES_ASKED, _BYTES_ASKED)
    if are_lines:
        yield from _json_lines(name, asked, lines, limits)
    else:
        text = b"\n".join(line.data for line in asked)
        yield _document(name, b"\n" * (first.number - 1) + text, limits)


def _json_lines(
    name: str, asked: Iterable[_Line], lines: _Lines, limits: Limits
) -> Iterator[Piece | Unreadable]:
    for line in asked:
        yield from _one_line(name, line, lines, limits)
    while (line_or_none := lines.next()) is not None:
        yield from _one_line(name, line_or_none, lines, limits)


def _one_line(
    name: str, line: _Line, lines: _Lines, limits: Limits
) -> Iterator[Piece | Unreadable]:
    if line.too_long:
        lines.skip_line()
        yield _too_large(name, line.number, limits.line)
    else:
        yield Piece(name, line.number, line.data)


def _document_or_lines(
    name: str, first: _Line, second: _Line, lines: _Lines, limits: Limits
) -> Iterator[Piece | Unreadable]:
    """The first line breaks off where a document may go on: most likely printed on many lines."""
    head = b"\n" * (first.number - 1) + first.data
    head += b"\n" * (second.number - first.number) + second.data
    if not second.too_long:
        head += b"\n"
    data = head + lines.read(max(limits.document - len(head), 0) + 1)
    if len(data) > limits.document:
        yield _too_large(name, None, limits.document)
        return
    if _fault(data) is not None:
        whole = _Lines(io.BytesIO(data), limits.line)
        if _ask_lines([], whole, sys.maxsize, sys.maxsize)[1]:
            yield from _json_lines(name, [], _Lines(io.BytesIO(data), limits.line), limits)
            return
    yield Piece(name, None, data)


def _ask_lines(
    asked: list[_Line], lines: _Lines, most: int, most_bytes: int
) -> tuple[list[_Line], bool]:
    """A few lines more, and whether they are JSON Lines for all their faults. The stream is left in
    the middle of the last line asked where that one is too long."""
    size = sum(len(line.data) for line in asked)
    before = _is_object(asked[-1]) if asked else False
    while len(asked) < most and size < most_bytes:
        if asked and asked[-1].too_long:
            if most_bytes < sys.maxsize:
                return asked, True
            lines.skip_line()
        line = lines.next()
        if line is None:
            return asked, before
        asked.append(line)
        if before and not line.data.lstrip(_BLANK).startswith(_CONTINUES):
            return asked, True
        size += len(line.data)
        before = _is_object(line)
    line = lines.next()
    if line is None:
        return asked, before
    return [*asked, line], True


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


def _document(name: str, data: bytes, limits: Limits) -> Piece | Unreadable:
    if len(data.strip(_BLANK)) > limits.document:
        return _too_large(name, None, limits.document)
    return Piece(name, None, data)


def _too_large(name: str, line: int | None, limit: int) -> Unreadable:
    what = "line" if line is not None else "document"
    return Unreadable(
        name, line, "too_large", f"the limit for a {what} is {limit} bytes; an option raises it"
    )
