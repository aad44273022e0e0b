"""Worker processes: parcels of pieces in, rows for the log out, in the same order.

What lives here: how much is handed to a worker at a time, starting and ending workers, and how much
may be under way. What must not: what is done to a piece (`preparing`), and writing.

At most two parcels a worker are under way, so that memory stays bounded however long the input is,
and the writer waits for none but the next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import Final

from pithgraph import keys
from pithgraph.cutting import SPAN_BYTES
from pithgraph.errors import WorkerError
from pithgraph.keyring import Keyring
from pithgraph.log.batch import New
from pithgraph.preparing import Admit, Preparer
from pithgraph.sources import Lines, Piece, Unreadable

Parcel = list[Piece | Lines | Unreadable]

_PARCEL_PIECES: Final = 1000
# Verifying so much takes about as long as starting a process.
_WORTH_WORKERS: Final = 4 * SPAN_BYTES
_UNDER_WAY: Final = 2


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
    workers: int, parcels: Iterator[Parcel], keyring: Keyring, admit: Admit
) -> Iterator[Iterable[New]]:
    """What the parcels bring, prepared by so many worker processes, or by this one. Raises
    WorkerError."""
    first: list[Parcel] = []
    size = 0
    while workers and size < _WORTH_WORKERS and (parcel := next(parcels, None)) is not None:
        first.append(parcel)
        size += sum(map(_size, parcel))
    if size < _WORTH_WORKERS:
        preparer = Preparer(keyring, admit)
        yield from map(preparer.rows, chain(first, parcels))
        return
    try:
        yield from _by_processes(workers, chain(first, parcels), keyring, admit)
    except BrokenProcessPool:
        raise WorkerError(
            "a worker process ended before its work was done, perhaps for want of memory; every "
            "finished batch is in the log, ingest again to go on"
        ) from None


def _by_processes(
    workers: int, parcels: Iterable[Parcel], keyring: Keyring, admit: Admit
) -> Iterator[list[New]]:
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),  # LMDB's environments do not survive a fork
        initializer=_start,
        initargs=(keyring, admit, keys.backend()),
    )
    under_way: deque[Future[list[New]]] = deque()
    try:
        for parcel in parcels:
            # Processes start while this is done, and inherit it: an interrupt from the keyboard is
            # for the writer, which ends them.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                under_way.append(pool.submit(_prepare, parcel))
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            if len(under_way) > _UNDER_WAY * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _size(piece: Piece | Lines | Unreadable) -> int:
    return 0 if isinstance(piece, Unreadable) else len(piece.data)


# --- in a worker -----------------------------------------------------------------------------

_preparer: Preparer


def _start(keyring: Keyring, admit: Admit, backend: str) -> None:
    global _preparer
    keys.use_backend(backend)
    _preparer = Preparer(keyring, admit)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A writer that is killed takes its workers with it, which would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _prepare(parcel: Parcel) -> list[New]:
    return list(_preparer.rows(parcel))
