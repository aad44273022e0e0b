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
from contextlib import suppress
from itertools import chain
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pickle import UnpicklingError
from queue import SimpleQueue
from typing import Any, Final, Self

from pithgraph import keys
from pithgraph.cutting import SPAN_BYTES
from pithgraph.errors import LogError, WorkerError
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.batch import New
from pithgraph.preparing import Admit, Deferred, Preparer
from pithgraph.sources import Lines, Piece, Unreadable

Parcel = list[Piece | Lines | Unreadable]

_PARCEL_PIECES: Final = 1000
# Verifying so much takes about as long as starting a process.
_WORTH_WORKERS: Final = 4 * SPAN_BYTES
_UNDER_WAY: Final = 2
_PATIENCE_SECONDS: Final = 5
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    with _Pool(workers, keyring, admit, log) as pool:
        if workers == 1:
            preparer = Preparer(keyring, admit, log.has)
            yield from _one_verifies(pool, preparer, chain(first, parcels))
        else:
            yield from _all_prepare(pool, workers, chain(first, parcels))


def _all_prepare(pool: _Pool, workers: int, parcels: Iterable[Parcel]) -> Iterator[list[New]]:
    """Parcels go to the workers as they are."""
    for parcel in parcels:
        pool.submit(_prepare, parcel)
        if pool.under_way > _UNDER_WAY * workers:
            yield pool.next_answer()
    while pool.under_way:
        yield pool.next_answer()


def _one_verifies(
    pool: _Pool, preparer: Preparer, parcels: Iterable[Parcel]
) -> Iterator[list[New]]:
    """This process prepares what one worker verifies: together they are as quick as verifying
    alone, where two processors are free."""
    waiting: deque[Deferred] = deque()
    for parcel in parcels:
        deferred = preparer.deferred(parcel)
        waiting.append(deferred)
        pool.submit(_verify, deferred.trials)
        if pool.under_way > _UNDER_WAY:
            yield preparer.settle(waiting.popleft(), pool.next_answer())
    while waiting:
        yield preparer.settle(waiting.popleft(), pool.next_answer())


class _Pool:
    """Worker processes, each at the other end of a pipe. Work goes to them in turn, and the answers
    come back in the same order.

    The pipe is all that holds a worker: it ends when the pipe does, whatever became of this
    process; and a worker's end, however it came, is the end of its pipe here. (The pools of the
    standard library share pipes between workers, and may wait for ever for one that was killed.)
    """

    def __init__(self, workers: int, keyring: Keyring, admit: Admit, log: Log) -> None:
        # They may be long, such as a keyring, so they go through the pipe too.
        self._given = workers, (keyring, admit, log.path, keys.backend())
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._turns: deque[Connection] = deque()

    def __enter__(self) -> Self:
        workers, circumstances = self._given
        context = multiprocessing.get_context("spawn")  # LMDB's environments do not survive a fork
        # The first process started this way starts multiprocessing's tracker too, and lets signals
        # through meanwhile; so that is done before.
        resource_tracker.ensure_running()
        # Workers inherit this: interrupts are for the writer, which ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            for _ in range(workers):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                process = context.Process(target=_serve, args=(theirs,), daemon=True)
                process.start()
                self._processes.append(process)
                theirs.close()
                ours.send(circumstances)
        except OSError as error:
            self.__exit__()
            raise WorkerError(
                f"worker processes cannot be started: {error}; without any (--workers 0) this one "
                "does everything"
            ) from None
        except BaseException:
            self.__exit__()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_PATIENCE_SECONDS)
            process.kill()
            process.join()

    @property
    def under_way(self) -> int:
        """How many answers have not been taken."""
        return len(self._turns)

    def submit(self, work: Callable[[Any], Any], argument: Any) -> None:
        """Give work to the worker whose turn it is. Raises WorkerError."""
        pipe = self._pipes.pop(0)
        self._pipes.append(pipe)
        try:
            pipe.send((work, argument))
        except OSError:
            raise _ended() from None
        self._turns.append(pipe)

    def next_answer(self) -> Any:
        """The answer to the oldest work. Raises WorkerError, or what the work has raised."""
        try:
            done, answer = self._turns.popleft().recv()
        except (OSError, EOFError, UnpicklingError):
            raise _ended() from None
        if not done:
            raise answer
        return answer


def _ended() -> WorkerError:
    return WorkerError(
        "a worker process ended before its work was done, perhaps for want of memory; every "
        "finished batch is in the log, ingest again to go on"
    )


def _size(piece: Piece | Lines | Unreadable) -> int:
    return 0 if isinstance(piece, Unreadable) else len(piece.data)


# --- in a worker -----------------------------------------------------------------------------

_preparer: Preparer


def _serve(pipe: Connection) -> None:
    """Take the circumstances, and then answer until the pipe ends."""
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    try:
        keyring, admit, log, backend = pipe.recv()
    except (OSError, EOFError):
        os._exit(0)
    # What comes is taken at once, so that the writer never waits to hand out work while this
    # process waits to hand back an answer.
    inbox: SimpleQueue[tuple[Callable[[Any], Any], Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    global _preparer
    keys.use_backend(backend)
    has = None
    with suppress(LogError):  # of a log that cannot be read the writer will say why
        has = Log.open(log).has
    _preparer = Preparer(keyring, admit, has)
    while True:
        work, argument = inbox.get()
        answer: tuple[bool, Any]
        try:
            answer = True, work(argument)
        except Exception as error:  # noqa: BLE001 - it is raised where the work came from
            answer = False, error
        try:
            pipe.send(answer)
        except OSError:
            os._exit(1)


def _receive(pipe: Connection, inbox: SimpleQueue[tuple[Callable[[Any], Any], Any]]) -> None:
    try:
        while True:
            inbox.put(pipe.recv())
    finally:
        os._exit(0)  # whatever is being done, nobody waits for it


def _prepare(parcel: Parcel) -> list[New]:
    return list(_preparer.rows(parcel))


def _verify(trials: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return bytes(keys.verify(*trial) for trial in trials)
