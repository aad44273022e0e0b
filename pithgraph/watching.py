"""A program of somebody else's, run under watch: its time, and how much it writes.

What lives here: starting it, ending it and all that it started, and why it ended. What must not:
what its output means (`conformance`).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

# What is compared is decoded and walked, which takes seconds a megabyte where somebody means it to.
MOST_BYTES: Final = 8 * 1024 * 1024
MOST_ENTRIES: Final = 1000
STDERR_BYTES: Final = 4000  # of what it says, the last

_STEP_SECONDS: Final = 0.05


class Ended(NamedTuple):
    """How a program ended. `code`: its exit code, negative for the signal that killed it; None
    where it was stopped. `timed_out`, `too_large`: why it was stopped, or what was found at its
    end. `stderr`: the last bytes of what it wrote there."""

    code: int | None
    timed_out: bool
    too_large: bool
    stderr: bytes


def run_watched(command: Sequence[str], folder: Path, seconds: float) -> Ended:
    """Run a program until it ends, until so many seconds are over, or until `folder` holds more
    than MOST_BYTES or MOST_ENTRIES. Then whatever is left of its process group is killed.

    It reads nothing from standard input, and what it prints on standard output goes nowhere. Raises
    OSError where it cannot be started.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    with process.stderr as stream:
        said = _Tail(stream.fileno())
        timed_out = too_large = False
        try:
            while process.poll() is None and not (timed_out or too_large):
                said.read(process)
                too_large = is_too_large(folder)
                timed_out = time.monotonic() >= deadline
        finally:
            stopped = process.returncode is None
            _kill_group(process)
            code = process.wait()
        said.read_what_is_there()
    return Ended(
        None if stopped else code,
        stopped and timed_out,
        too_large or is_too_large(folder),
        bytes(said.tail),
    )


def is_too_large(folder: Path) -> bool:
    """Whether a folder holds more than MOST_BYTES or MOST_ENTRIES, at any depth. Links are not
    followed; what cannot be read counts for nothing."""
    entries = size = 0
    waiting: list[str | Path] = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    with suppress(OSError):
                        size += entry.stat(follow_symlinks=False).st_size
                if entries > MOST_ENTRIES or size > MOST_BYTES:
                    return True
    return False


class _Tail:
    """The end of what a pipe gives, without waiting for it long."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._open = True
        self.tail = bytearray()

    def read(self, process: subprocess.Popen[bytes]) -> None:
        """Wait a step for something to read; where nothing can come any more, for the end."""
        if not self._open:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STEP_SECONDS)
        elif select.select([self._pipe], [], [], _STEP_SECONDS)[0]:
            self._take()

    def read_what_is_there(self) -> None:
        """The rest, but no more than a pipe holds: somebody may still write."""
        for _ in range(16):
            if not (self._open and self._take()):
                return

    def _take(self) -> bool:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return False
        self._open = bool(data)
        self.tail += data
        del self.tail[:-STDERR_BYTES]
        return self._open


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process group. Its number is nobody else's while it has members."""
    # Of a group whose members are all dead, macOS says that it may not.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
