"""Reading: files, folders, standard input and `.gz` as documents and lines; keyring files.

What lives here: how bytes are found and read. What must not: how they are cut into pieces
(`cutting`), and anything about events. Nothing that can go wrong with a file stops the rest: it
becomes an `Unreadable`, with its place.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from importlib import resources
from typing import Any, BinaryIO, Final, cast

from pithgraph.checkpoints import text_document
from pithgraph.cutting import (
    BLOCK_BYTES,
    FAILURES,
    Buffered,
    Limits,
    Lines,
    Piece,
    Unreadable,
    cut,
)
from pithgraph.errors import DecodeError, KeyringError
from pithgraph.keyring import Keyring
from pithgraph.notes import MAX_NOTE_BYTES

__all__ = [
    "STANDARD_INPUT",
    "SUFFIXES",
    "Limits",
    "Lines",
    "Piece",
    "Unreadable",
    "load_keyring",
    "opened",
    "read_keyring",
    "read_sources",
    "read_spans",
    "read_stream",
    "shown_path",
    "total_bytes",
]

STANDARD_INPUT: Final = "-"
# In a folder, only files of these names are read; a file that is named itself always is.
SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")

_MAX_KEYRING_BYTES: Final = 1 << 26  # above 100,000 keys
_GZIP_MAGIC: Final = b"\x1f\x8b"


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to read, or standard input for `-`, which is not closed. Raises OSError."""
    if path != STANDARD_INPUT:
        with open(path, "rb") as file:
            yield file
    elif sys.stdin is not None:
        yield sys.stdin.buffer
    else:
        raise OSError(errno.EBADF, "standard input is closed")


def load_keyring(path: str | os.PathLike[str] | None = None) -> Keyring:
    """The keyring in a file, or the one that ships with pithgraph, which holds the registry's key.

    Raises KeyringError naming the file.

    >>> import pithgraph
    >>> [key.key_id for key in pithgraph.load_keyring().keys]
    ['pith-v1-2026-05']
    """
    data = read_keyring(path)
    try:
        return Keyring.from_bytes(data)
    except (DecodeError, KeyringError) as error:
        raise KeyringError(f"the keyring {path}: {error}") from None


def read_keyring(path: str | os.PathLike[str] | None = None) -> bytes:
    """The bytes of a keyring file, or of the shipped one. Raises KeyringError naming the file where
    it cannot be read, or is longer than any keyring."""
    if path is None:
        return resources.files("pithgraph").joinpath("data/keyring.json").read_bytes()
    try:
        data = bytearray()
        with opened(path) as file:
            while block := file.read(BLOCK_BYTES):
                data += block
                if len(data) > _MAX_KEYRING_BYTES:
                    raise KeyringError(
                        f"the keyring {path}: longer than {_MAX_KEYRING_BYTES} bytes: no keyring is"
                    )
        return bytes(data)
    except OSError as error:
        raise KeyringError(f"the keyring {path}: {error.strerror}") from None


def read_sources(
    paths: Iterable[str | os.PathLike[str]], limits: Limits | None = None
) -> Iterator[Piece | Unreadable]:
    """Like `read_spans`, with each line as a piece."""
    for found in read_spans(paths, limits):
        if isinstance(found, Lines):
            yield from found.pieces()
        else:
            yield found


def read_spans(
    paths: Iterable[str | os.PathLike[str]],
    limits: Limits | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    texts: bool = False,
) -> Iterator[Piece | Lines | Unreadable]:
    """The documents and runs of lines of files, of folders (recursively, in the order of names) and
    of `-`. `progress` is told how many bytes were read since it was told last, as they stand in
    the files, before each piece and at the end of each source. With `texts`, a source that is a
    signed checkpoint or an inclusion proof (SPEC §10) is one piece, whatever its lines look like.
    """
    limits = limits or Limits()
    for path in paths:
        name = os.fspath(path)
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                yield Unreadable("<standard input>", None, "unreadable", "it is closed")
            else:
                stdin = cast(io.BufferedReader, sys.stdin.buffer)
                yield from read_stream("<standard input>", stdin, limits, progress, texts)
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
                most = _most_of(stream, limits)
                yield from read_stream(shown_path(found), stream, limits, progress, texts, most)


def total_bytes(paths: Iterable[str | os.PathLike[str]]) -> int | None:
    """The sizes of all files that `read_spans` would read, for its `progress`. None where one has
    no size, such as standard input or a pipe; what cannot be read counts nothing."""
    total = 0
    for path in paths:
        name = os.fspath(path)
        if name == STANDARD_INPUT:
            return None
        for found in _files(name):
            if isinstance(found, Unreadable):
                continue
            try:
                status = os.stat(found)
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode):
                return None
            total += status.st_size
    return total


def read_stream(
    name: str,
    stream: io.BufferedReader,
    limits: Limits,
    progress: Callable[[int], None] | None = None,
    texts: bool = False,
    most: int | None = None,
) -> Iterator[Piece | Lines | Unreadable]:
    """The document or the runs of lines of one open file, which may be compressed with gzip (asked
    of its content). A stream that gives more than `most` bytes is not read on."""
    raw = _Raw(stream, progress, most)
    found: Piece | Lines | Unreadable | None = None
    try:
        compressed = raw.begins_with(_GZIP_MAGIC)
        whole: Buffered = io.BufferedReader(raw, 1 << 16)
        block_bytes = BLOCK_BYTES
        if compressed:
            whole = gzip.GzipFile(fileobj=whole)
            # A broken one loses the whole block in which it breaks.
            block_bytes = io.DEFAULT_BUFFER_SIZE
        if texts:
            begun = _Begun(whole, MAX_NOTE_BYTES + 1, block_bytes)
            if begun.is_whole and text_document(begun.head) is not None:
                raw.report()
                yield Piece(name, None, begun.head)
                return
            whole = io.BufferedReader(begun, block_bytes)
        for found in cut(name, whole, limits, block_bytes=block_bytes):
            raw.report()
            yield found
    except FAILURES as error:
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(found, Lines):
            *_, found = found.pieces()
        after = f" (after line {found.line})" if found and found.line else ""
        yield Unreadable(name, None, "unreadable", detail + after)
    except MemoryError:
        yield Unreadable(name, None, "unreadable", "it does not fit into memory")
    raw.report()


class _Raw(io.RawIOBase):
    """A stream that can be asked how it begins, that tells how much of it was read, and that fails
    where it gives more than `most` bytes."""

    def __init__(
        self,
        stream: io.BufferedReader,
        progress: Callable[[int], None] | None,
        most: int | None,
    ) -> None:
        self._stream = stream
        self._progress = progress
        self._left = most
        self._head = b""
        self._unreported = 0

    def begins_with(self, magic: bytes) -> bool:
        """To be asked once, before anything is read."""
        # Not `peek`, which may give less of a pipe than there will be.
        self._head = self._stream.read(len(magic))
        return self._head == magic

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._stream.read1(len(buffer))
        self._head = data[len(buffer) :]
        count = min(len(data), len(buffer))
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise OSError("it grows and grows while it is read")
        buffer[:count] = data[:count]
        self._unreported += count
        return count

    def report(self) -> None:
        """Tell how much was read since this was told last."""
        if self._progress is not None and self._unreported:
            self._progress(self._unreported)
            self._unreported = 0


class _Begun(io.RawIOBase):
    """A stream whose beginning was read ahead, in full if `is_whole`. What failed then fails again
    where the beginning ends, so that no line before it is lost."""

    def __init__(self, stream: io.BufferedIOBase, length: int, block_bytes: int) -> None:
        self._stream = stream
        self._failure: Exception | None = None
        self.is_whole = False
        head = bytearray()
        try:
            while len(head) < length:
                block = stream.read1(block_bytes)
                head += block
                if not block:
                    self.is_whole = True
                    break
        except FAILURES as error:
            self._failure = error
        self.head = bytes(head)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.head[self._given : self._given + len(buffer)]
        self._given += len(data)
        if not data:
            if self._failure is not None:
                raise self._failure
            data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def shown_path(path: str) -> str:
    """A path as text that can be stored and printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# --- files -----------------------------------------------------------------------------------


def _unreadable(path: str, error: OSError) -> Unreadable:
    return Unreadable(shown_path(path), None, "unreadable", error.strerror or str(error))


def _most_of(stream: BinaryIO, limits: Limits) -> int | None:
    """How much is read of an open file. Who appends as fast as it is read would never let it end;
    what comes meanwhile in good faith is not so much. Pipes and devices have no size."""
    status = os.fstat(stream.fileno())
    return 2 * status.st_size + limits.document if stat.S_ISREG(status.st_mode) else None


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

    if os.path.isfile(os.path.join(name, "data.mdb")):
        detail = "the folder is a log, which --log names; `pithgraph export` makes a file of it"
        yield Unreadable(shown_path(name), None, "unreadable", detail)
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
        yield from _told(problems, name)
    yield from _told(problems, name)  # of a last folder, which gave nothing


def _told(problems: list[OSError], name: str) -> Iterator[Unreadable]:
    while problems:
        problem = problems.pop()
        yield _unreadable(problem.filename or name, problem)
