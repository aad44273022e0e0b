"""The files of a published tree: each is replaced as a whole, or stays as it is.

What lives here: writing and reading one file, and who may write. What must not: which files there
are (`publishing`).
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pithgraph.canonical import decode
from pithgraph.errors import DecodeError, OutputError
from pithgraph.handing import document_bytes

# What calls a function with one piece of a file after the other.
Pieces = Callable[[Callable[[bytes], object]], object]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and keep others from publishing into it: of two, neither would know what the
    other has written. Raises OutputError."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{folder}: another process publishes into it: wait for it") from None
        yield
    finally:
        os.close(descriptor)


def write_document(place: Path, document: dict[str, Any]) -> None:
    """Write a document as `document_bytes` gives it."""
    write_pieces([place], each([document_bytes(document)]))


def check_place(folder: Path, place: Path) -> None:
    """Raise OutputError where a folder on the way from the tree's to a file is a link: it leads to
    what is not the tree's."""
    for parent in place.parents:
        if parent == folder:
            return
        if parent.is_symlink():
            raise OutputError(f"{parent} is a link: nothing is written or removed behind it")


def write_pieces(places: Sequence[Path], pieces: Pieces) -> None:
    """Write the same into each of these files, which are replaced when it is whole."""
    beside = [place_beside(place) for place in places]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(created(one)) for one in beside]

            def write(piece: bytes) -> None:
                for file in files:
                    file.write(piece)

            pieces(write)
        for one, place in zip(beside, places, strict=True):
            os.replace(one, place)
    except BaseException:
        for one in beside:
            with suppress(OSError):
                one.unlink(missing_ok=True)
        raise


def created(place: Path) -> BinaryIO:
    """A new file, and its folders where they are not there. What is there by that name, such as a
    killed process left, goes: a link or a pipe is not written through. Raises OSError."""
    try:
        place.unlink()
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
    return place.open("xb")


def place_beside(place: Path) -> Path:
    """Where a file is written before it takes its place. Of a process that was killed the next one,
    which writes what that did not record, writes into the same."""
    return place.with_name(f".{place.name}.partial")


def each(pieces: Iterable[bytes]) -> Pieces:
    """Pieces that are there already, or come one by one."""

    def write_all(write: Callable[[bytes], object]) -> None:
        for piece in pieces:
            write(piece)

    return write_all


def and_newline(pieces: Pieces) -> Pieces:
    """The pieces, and a newline behind the last."""

    def write_all(write: Callable[[bytes], object]) -> None:
        pieces(write)
        write(b"\n")

    return write_all


def is_file(place: Path) -> bool:
    """Whether there is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(place.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_object(place: Path) -> dict[str, Any]:
    """A JSON object of the tree; an empty one where there is none."""
    if not is_file(place):  # a pipe or a device may have no end
        return {}
    try:
        value = decode(place.read_bytes())
    except DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
