"""What a fork leaves of a log that is open: nothing, in the child.

What lives here: who is told that it is in a child. What must not: what it does about that.

LMDB's environments, and the views taken from them, belong to the process that made them. A child
that went on reading its parent's views would see pages change under it, once the parent has ended
them; and one that ended them would end them for its parent too, whose pages a writer then reuses.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final, NoReturn, Protocol
from weakref import WeakSet

from pithgraph.errors import LogError


class Forked(Protocol):
    """Something that a fork spoils in the child."""

    def forked(self) -> None:
        """Called in the child, before anything else runs there."""


_WATCHED: Final[WeakSet[Forked]] = WeakSet()


def watch(thing: Forked) -> None:
    """Tell a thing of every fork, in the child, for as long as it exists."""
    _WATCHED.add(thing)


def never_end(thing: object) -> None:
    """Keep a thing for good: that its last reference goes, if only as the interpreter ends, would
    end it in the parent."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def opened_before(path: Path) -> LogError:
    """What a child is told that uses its parent's log."""
    return LogError(
        f"{path}: the log was opened before a fork, which it does not survive: open it only after "
        "forking, or start processes by multiprocessing's spawn"
    )


class Lost:
    """Stands in a child where its parent has a transaction: every use raises LogError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> NoReturn:
        raise opened_before(self._path)


def _tell() -> None:
    for thing in list(_WATCHED):
        thing.forked()


os.register_at_fork(after_in_child=_tell)
