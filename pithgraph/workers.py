"""Worker processes: parcels of pieces in, rows for the log out, in the same order.

What lives here: how much is handed to a worker at a time, and which input is worth starting some.
What must not: how they are started and ended (`pool`), what is done to a piece (`preparing`), and
writing.

Several workers prepare, which leaves the writer free; a single one only verifies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

from pithgraph import keys
from pithgraph.cutting import SPAN_BYTES
from pithgraph.errors import LogError
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.batch import New, folded
from pithgraph.pool import UNDER_WAY, Pool
from pithgraph.preparing import Admit, Deferred, Preparer
from pithgraph.sources import Lines, Piece, Unreadable

Parcel = list[Piece | Lines | Unreadable]

_PARCEL_PIECES: Final = 1000
# Verifying so much takes about as long as starting a process.
_WORTH_WORKERS: Final = 4 * SPAN_BYTES
# What a piece holds beside its bytes: files that cannot be read are none, and may be a million.
_PIECE_BYTES: Final = 512
_ADVICE: Final = "every finished batch is in the log, ingest again to go on"


def parcels_of(pieces: Iterable[Piece | Lines | Unreadable]) -> Iterator[Parcel]:
    """Pieces in parcels of about SPAN_BYTES."""
    parcel: Parcel = []
    size = 0
    for piece in pieces:
        parcel.append(piece)
        size += _size(piece)
        if size >= SPAN_BYTES or len(parcel) >= _PARCEL_PIECES:
            yield parcel
            parcel, size = [], 0
    if parcel:
        yield parcel


def prepared_by(
    workers: int, parcels: Iterator[Parcel], keyring: Keyring, admit: Admit, log: Log
) -> Iterator[Iterable[New]]:
    """What the parcels bring to a log, prepared by so many worker processes, or by this one. Raises
    WorkerError."""
    worth, parcels = worth_workers(workers, parcels)
    if not worth:
        preparer = Preparer(keyring, admit, log.has)
        yield from map(preparer.rows, parcels)
        return
    with Pool(workers, _begin, (keyring, admit, log.path), _ADVICE) as pool:
        if workers == 1:
            preparer = Preparer(keyring, admit, log.has)
            yield from _one_verifies(pool, preparer, parcels)
        else:
            yield from pool.map(_prepare, parcels)


def worth_workers(workers: int, parcels: Iterator[Parcel]) -> tuple[bool, Iterator[Parcel]]:
    """Whether there is so much that so many workers are worth starting, and all the parcels."""
    first: list[Parcel] = []
    size = 0
    while workers and size < _WORTH_WORKERS:
        parcel = next(parcels, None)
        if parcel is None:
            return False, iter(first)
        first.append(parcel)
        size += sum(map(_size, parcel)) + _PIECE_BYTES * len(parcel)
    return bool(workers), chain(first, parcels)


def _one_verifies(pool: Pool, preparer: Preparer, parcels: Iterable[Parcel]) -> Iterator[list[New]]:
    """This process prepares what one worker verifies: together they are as quick as verifying
    alone, where two processors are free."""
    waiting: deque[Deferred] = deque()
    for parcel in parcels:
        deferred = preparer.deferred(parcel)
        waiting.append(deferred)
        pool.submit(_verify, deferred.trials)
        if pool.under_way > UNDER_WAY:
            yield preparer.settle(waiting.popleft(), pool.next_answer())
    while waiting:
        yield preparer.settle(waiting.popleft(), pool.next_answer())


def _size(piece: Piece | Lines | Unreadable) -> int:
    return 0 if isinstance(piece, Unreadable) else len(piece.data)


# --- in a worker -----------------------------------------------------------------------------

_preparer: Preparer


def _begin(keyring: Keyring, admit: Admit, log: Path) -> None:
    global _preparer
    has = None
    with suppress(LogError):  # of a log that cannot be read the writer will say why
        has = Log.open(log).has
    _preparer = Preparer(keyring, admit, has)


def _prepare(parcel: Parcel) -> list[New]:
    return list(folded(_preparer.rows(parcel)))


def _verify(trials: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return bytes(keys.verify(*trial) for trial in trials)
