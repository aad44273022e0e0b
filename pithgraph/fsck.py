"""A whole log checked: its pages, and then its rows, elsewhere if the pages are damaged.

What lives here: which checks are made, in which order and where. What must not: what must hold of
rows (`checking`).

LMDB trusts the pages of its file: a damaged one may end the process that reads it. So the pages are
walked first (`log.pages`), in Python alone. Only where nothing is found there are the rows read
here; otherwise in a process of their own, whose end is a finding.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from pithgraph.checking import Check, Sums
from pithgraph.errors import LogError, PithgraphError
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.log.pages import page_faults
from pithgraph.log.reader import DATA_FILE
from pithgraph.log.writer import writer_lock
from pithgraph.sources import load_keyring
from pithgraph.stored import Finding

PAGES: Final = "pages"


class Fsck:
    """A check of a log. Iterate over it for the findings; then `sums` says what was read (None
    where the rows could not be read to their end), and `pages_skipped` why the pages were not
    walked, or is empty. `deep` and `progress` are as in `Check`.

    Iterating raises LogError where there is no log, or one with other tables.
    """

    def __init__(
        self,
        log: str | Path,
        *,
        keyring: Keyring | None = None,
        deep: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._folder = Path(log)
        self._keyring = keyring or load_keyring()
        self._deep = deep
        self._progress = progress
        self.sums: Sums | None = None
        self.pages_skipped = ""

    def __iter__(self) -> Iterator[Finding]:
        if not (self._folder / DATA_FILE).is_file():
            Log.open(self._folder)  # which says so
        try:
            with writer_lock(self._folder):  # while a writer changes them, pages differ
                pages = check_pages(self._folder)
        except LogError as error:
            self.pages_skipped, pages = str(error), []
        yield from pages
        harmless = not (pages or self.pages_skipped)
        yield from self._rows() if harmless else self._elsewhere()

    def _rows(self) -> Iterator[Finding]:
        with Log.open_damaged(self._folder) as log, log.snapshot() as snapshot:
            check = Check(snapshot, self._keyring, deep=self._deep, progress=self._progress)
            yield from check
            self.sums = check.sums

    def _elsewhere(self) -> Iterator[Finding]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_send_rows, args=(theirs, self._folder, self._keyring, self._deep), daemon=True
        )
        process.start()
        theirs.close()
        ended = False
        try:
            with suppress(EOFError, OSError):
                while not ended:
                    found = ours.recv()
                    if isinstance(found, Finding):
                        yield found
                    else:
                        self.sums, ended = found, True
        finally:
            ours.close()
            process.join(None if ended else 5)
            process.kill()
            process.join()
        if not ended:
            code = process.exitcode or 0
            how = f"signal {-code}" if code < 0 else "an error"
            yield Finding(PAGES, DATA_FILE, f"reading the rows ended the process, by {how}")


def check_pages(folder: Path) -> list[Finding]:
    """What is wrong with the pages of a log that nobody writes to. Raises LogError."""
    try:
        faults = page_faults(folder / DATA_FILE)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from None
    return [Finding(PAGES, DATA_FILE, fault) for fault in faults]


def _send_rows(pipe: Connection, folder: Path, keyring: Keyring, deep: bool) -> None:
    """In a process of its own: findings, and then the sums."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the other process ends this one
    sums: Sums | None = None
    with suppress(BrokenPipeError):  # then nobody asks any more
        try:
            with Log.open_damaged(folder) as log, log.snapshot() as snapshot:
                check = Check(snapshot, keyring, deep=deep)
                for finding in check:
                    pipe.send(finding)
                sums = check.sums
        except PithgraphError as error:
            pipe.send(Finding(PAGES, DATA_FILE, f"the rows cannot be read: {error}"))
        pipe.send(sums)
