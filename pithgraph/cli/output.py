"""What the command line writes: results to standard output or a file, words to standard error.

What lives here: how a result and a notice are written, and what is escaped in them. What must not:
what they say.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from pithgraph.errors import OutputError

if TYPE_CHECKING:
    from pithgraph.merge import State


class OutputClosed(Exception):
    """Nothing more can be printed. Without a text, whoever read our output has gone, and there is
    nobody to tell."""

    @classmethod
    def by(cls, error: OSError) -> OutputClosed:
        """What a failed write to standard output means."""
        return cls() if isinstance(error, BrokenPipeError) else cls(error.strerror)


def out(text: str, colour: str | None = None) -> None:
    """One line of a result, on standard output; on a terminal in a colour, unless NO_COLOR is set
    (no-color.org)."""
    out_lines(shown_line(text, colour if in_colour() else None))


def in_colour() -> bool:
    """Whether results are shown in colours: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def shown_line(text: str, colour: str | None = None) -> str:
    """A line for `out_lines`, with everything escaped that could steer a terminal."""
    line = printable(text)
    return line if colour is None else click.style(line, fg=colour)


def out_lines(lines: str) -> None:
    """Lines that `shown_line` made, on standard output in one piece."""
    try:
        click.echo(lines)
    except OSError as error:
        raise OutputClosed.by(error) from None


def out_json(value: dict[str, Any]) -> None:
    """One line of JSON Lines, on standard output."""
    out(json.dumps(value))


def out_bytes(data: bytes) -> None:
    """A result that is bytes, exactly as they are; on a terminal with everything escaped that could
    steer it. Whole lines, which are text."""
    if sys.stdout.isatty():
        data = printable_json(data.decode("utf-8", "backslashreplace")).encode("utf-8")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputClosed.by(error) from None


@contextmanager
def result(path: str | None, *, replaces: str | None = None) -> Iterator[Callable[[bytes], object]]:
    """Where the bytes of a result go: into a new file where one is named, else to standard output.

    The file gets its name when it is whole and on disk, and where this fails there is none. Of
    files that are there only the one that `replaces` names is replaced, by whatever name: another
    may be somebody's key. Raises OutputError.
    """
    if path is None:
        yield out_bytes
        return
    try:
        place = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
        if place.is_symlink():
            raise OutputError(f"{path}: {os.strerror(errno.ELOOP)}")  # it resolves to none
        if place.exists() and not place.is_file():  # a device, or somebody's pipe
            with place.open("wb") as file:
                yield file.write
            return
        there = place.exists()
        if there and not (replaces is not None and place.samefile(replaces)):
            raise OutputError(f"{path} is there already, and is not replaced: name a new file")
        # Not by the process's number, which another machine's or container's has too.
        beside = place.with_name(f".{place.name[:40]}.{uuid.uuid4().hex[:12]}.partial")
        try:
            with beside.open("xb") as file:
                yield file.write
                file.flush()
                os.fsync(file.fileno())
            if there:
                shutil.copymode(place, beside)
                os.replace(beside, place)
            else:
                _name(beside, place)
        finally:
            with suppress(OSError):  # it fails no result that is there
                beside.unlink()
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from None


def _name(beside: Path, place: Path) -> None:
    """Give a file its name, if nobody else has taken it meanwhile. Raises OSError."""
    try:
        os.link(beside, place)
    except FileExistsError:
        raise OutputError(f"{place} was made meanwhile, and is not replaced") from None
    except OSError:  # a file system without hard links
        if place.exists():
            raise OutputError(f"{place} was made meanwhile, and is not replaced") from None
        os.replace(beside, place)


def deliver(
    data: bytes,
    path: str | None,
    *,
    replaces: str | None = None,
    described: dict[str, Any] | None = None,
) -> None:
    """A result that is a text, in one piece; the rest as in `result`. With `described`, these words
    about it are printed as JSON, and its own text stands among them where no file is named."""
    if described is None or path is not None:
        with result(path, replaces=replaces) as write:
            write(data)
    if described is not None:
        where = {"text": data.decode("utf-8")} if path is None else {"path": path}
        out_json({**described, **where})


def say(text: str, *, start: str = "", end: str = "\n") -> None:
    """One line for a person, on standard error. Where nobody can read it, nothing else changes."""
    try:
        click.echo(start + printable(text) + end, nl=False, err=True)
    except OSError:
        to_nowhere(sys.stderr)


def unknown_keys(state: State) -> int:
    """How many events of a state are invalid for want of a key in the keyring."""
    return sum(row.reason == "unknown_key" for row in state.invalid_events)


def say_unknown(events: int) -> None:
    """What to do about events of unknown keys."""
    if events:
        say(
            f"{events} events are of keys that the keyring does not hold: name one that does by "
            "--keyring (`pithgraph keyring add` adds keys to a file)"
        )


def printable_json(text: str) -> str:
    """JSON text with the same value, where in strings everything is escaped that could steer a
    terminal: JSON itself asks for that below U+0020 alone."""
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )


def printable(text: str) -> str:
    """The text with everything escaped that could steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def shortened(text: str | None) -> str:
    """A text that a stranger wrote, and may have made of any length, as it stands in a line of
    several; `-` for None."""
    if text is None:
        return "-"
    return text if len(text) <= _TEXT_LENGTH else f"{text[: _TEXT_LENGTH - 1]}…"


_TEXT_LENGTH = 60


def to_nowhere(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go where it cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
