"""A pool of worker processes: work and its argument in, answers out, in the same order.

What lives here: starting and ending workers, and how much may be under way. What must not: what
the work is (`workers`, `auditing`).

Few pieces of work are under way, so that memory stays bounded however many there are, and whoever
takes the answers waits for none but the next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pickle import UnpicklingError
from queue import SimpleQueue
from typing import Any, Final, Self

from pithgraph import keys
from pithgraph.errors import WorkerError

UNDER_WAY: Final = 2
_PATIENCE_SECONDS: Final = 5
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Pool:
    """Worker processes, each at the other end of a pipe. Work goes to them in turn, and the answers
    come back in the same order.

    The pipe is all that holds a worker: it ends when the pipe does, whatever became of this
    process; and a worker's end, however it came, is the end of its pipe here. (The pools of the
    standard library share pipes between workers, and may wait for ever for one that was killed.)
    """

    def __init__(
        self, workers: int, begin: Callable[..., None], given: tuple[Any, ...], advice: str
    ) -> None:
        """So many workers, each of which calls `begin(*given)` first. `advice` says what to do
        where one has ended."""
        # They may be long, such as a keyring, so they go through the pipe too.
        self._workers, self._circumstances = workers, (begin, given, keys.backend())
        self._advice = advice
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._turns: deque[Connection] = deque()

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")  # LMDB's environments do not survive a fork
        # The first process started this way starts multiprocessing's tracker too, and lets signals
        # through meanwhile; so that is done before.
        resource_tracker.ensure_running()
        # Workers inherit this: interrupts are for this process, which ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            for _ in range(self._workers):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                process = context.Process(target=_serve, args=(theirs,), daemon=True)
                process.start()
                self._processes.append(process)
                theirs.close()
                ours.send(self._circumstances)
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

    def map(self, work: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """The answer to each argument, in their order. Raises WorkerError, or what the work has
        raised."""
        for argument in arguments:
            self.submit(work, argument)
            if self.under_way > UNDER_WAY * self._workers:
                yield self.next_answer()
        while self.under_way:
            yield self.next_answer()

    def submit(self, work: Callable[[Any], Any], argument: Any) -> None:
        """Give work to the worker whose turn it is. Raises WorkerError."""
        pipe = self._pipes.pop(0)
        self._pipes.append(pipe)
        try:
            pipe.send((work, argument))
        except OSError:
            raise self._ended() from None
        self._turns.append(pipe)

    def next_answer(self) -> Any:
        """The answer to the oldest work. Raises WorkerError, or what the work has raised."""
        try:
            done, answer = self._turns.popleft().recv()
        except (OSError, EOFError, UnpicklingError):
            raise self._ended() from None
        if not done:
            raise answer
        return answer

    def _ended(self) -> WorkerError:
        return WorkerError(
            "a worker process ended before its work was done, perhaps for want of memory; "
            + self._advice
        )


# --- in a worker -----------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Take the circumstances, and then answer until the pipe ends."""
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    try:
        begin, given, backend = pipe.recv()
    except (OSError, EOFError):
        os._exit(0)
    # What comes is taken at once, so that the other side never waits to hand out work while this
    # process waits to hand back an answer.
    inbox: SimpleQueue[tuple[Callable[[Any], Any], Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    keys.use_backend(backend)
    begin(*given)
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
