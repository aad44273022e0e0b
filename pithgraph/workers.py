"""Worker processes: parcels of pieces in, rows for the log out, in the same order.

What lives here: how much is handed to a worker at a time, starting and ending workers, and how much
may be under way. What must not: what is done to a piece (`preparing`), and writing.

Several workers prepare, which leaves the writer free; a single one only verifies. Few parcels are
under way, so that memory stays bounded however long the input is, and the writer waits for none but
the next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pithgraph import keys
from pithgraph.cutting import SPAN_BYTES
from pithgraph.errors import LogError, WorkerError
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.batch import New
from pithgraph.preparing import Admit, Deferred, Preparer
from pithgraph.sources import Lines, Piece, Unreadable

Parcel = list[Piece | Lines | Unreadable]
Submit = Callable[[Callable[[Any], Any], Any], Future[Any]]

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
    workers: int, parcels: Iterator[Parcel], keyring: Keyring, admit: Admit, log: Log
) -> Iterator[Iterable[New]]:
    """What the parcels bring to a log, prepared by so many worker processes, or by this one. Raises
    WorkerError."""
    first: list[Parcel] = []
    size = 0
    while workers and size < _WORTH_WORKERS and (parcel := next(parcels, None)) is not None:
        first.append(parcel)
        size += sum(map(_size, parcel))
    if size < _WORTH_WORKERS:
        preparer = Preparer(keyring, admit, log.has)
        yield from map(preparer.rows, chain(first, parcels))
        return
    try:
        with _pool(workers, keyring, admit, log) as submit:
            if workers == 1:
                preparer = Preparer(keyring, admit, log.has)
                yield from _one_verifies(submit, preparer, chain(first, parcels))
            else:
                yield from _all_prepare(submit, workers, chain(first, parcels))
    except BrokenProcessPool:
        raise WorkerError(
            "a worker process ended before its work was done, perhaps for want of memory; every "
            "finished batch is in the log, ingest again to go on"
        ) from None


def _all_prepare(submit: Submit, workers: int, parcels: Iterable[Parcel]) -> Iterator[list[New]]:
    """Parcels go to the workers as they are."""
    under_way: deque[Future[list[New]]] = deque()
    for parcel in parcels:
        under_way.append(submit(_prepare, parcel))
        if len(under_way) > _UNDER_WAY * workers:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _one_verifies(
    submit: Submit, preparer: Preparer, parcels: Iterable[Parcel]
) -> Iterator[list[New]]:
    """This process prepares what one worker verifies: together they are as quick as verifying
    alone, where two processors are free."""
    under_way: deque[tuple[Deferred, Future[bytes]]] = deque()

    def settled() -> list[New]:
        deferred, verified = under_way.popleft()
        return preparer.settle(deferred, verified.result())

    for parcel in parcels:
        deferred = preparer.deferred(parcel)
        under_way.append((deferred, submit(_verify, deferred.trials)))
        if len(under_way) > _UNDER_WAY:
            yield settled()
    while under_way:
        yield settled()


@contextmanager
def _pool(workers: int, keyring: Keyring, admit: Admit, log: Log) -> Iterator[Submit]:
    """Worker processes, ended in any case."""
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),  # LMDB's environments do not survive a fork
        initializer=_start,
        initargs=(keyring, admit, log.path, keys.backend()),
    )

    def submit(work: Callable[[Any], Any], argument: Any) -> Future[Any]:
        # Processes start while this is done, and inherit it: an interrupt from the keyboard is for
        # the writer, which ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(work, argument)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)


def _size(piece: Piece | Lines | Unreadable) -> int:
    return 0 if isinstance(piece, Unreadable) else len(piece.data)


# --- in a worker -----------------------------------------------------------------------------

_preparer: Preparer


def _start(keyring: Keyring, admit: Admit, log: Path, backend: str) -> None:
    global _preparer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keys.use_backend(backend)
    has = None
    with suppress(LogError):  # of a log that cannot be read the writer will say why
        has = Log.open(log).has
    _preparer = Preparer(keyring, admit, has)


def _end_with_parent() -> None:
    """A writer that is killed takes its workers with it, which would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _prepare(parcel: Parcel) -> list[New]:
    return list(_preparer.rows(parcel))


def _verify(trials: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return bytes(keys.verify(*trial) for trial in trials)
