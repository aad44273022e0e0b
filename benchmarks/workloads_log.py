"""What is measured of logs: filling one, replaying it, one hot paper, re-verifying, its bytes.

What lives here: how each of these lines is measured. What must not: which lines there are
(`workloads`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import lmdb

from benchmarks import corpus
from benchmarks.corpus import PLAIN
from benchmarks.measure import Run, Sample
from benchmarks.workloads_given import (
    SEED,
    Given,
    canonical_of,
    expect,
    keyring_of,
    log_of,
    make_log,
    per_event,
    seconds_of,
    source_of,
    states_digest,
    verifying_with,
    write_source,
)
from pithgraph.ingestion import ingest
from pithgraph.log import Log, LogWriter
from pithgraph.log.layout import tile_key
from pithgraph.log.reader import DATA_FILE
from pithgraph.merge import State
from pithgraph.merkle import extend, read_edge
from pithgraph.replaying import replay
from pithgraph.validation import establish

# So many events an ingest appends in one transaction, where they are small.
_BATCH_ROWS: Final = 5_000
# Appends are measured one by one, and a line is the median of so many.
_APPENDS: Final = 50

# --- ingest ----------------------------------------------------------------------------------


def fill(given: Given, *, shape: str, workers: int, backend: str, compress: bool = False) -> Run:
    """A corpus in a file into a new log: from before it is opened until after it is closed."""
    source = given.once(source_of, shape)
    keyring = given.once(keyring_of)

    def run() -> Sample:
        with given.empty_folder() as folder, verifying_with(backend):
            start = perf_counter()
            with LogWriter.open(folder, compress=compress) as log:
                done = ingest(log, [source.path], keyring=keyring, workers=workers)
            seconds = perf_counter() - start
            found = (done.appended, done.duplicates, done.refused)
            expect("ingested", found, (source.distinct, source.lines - source.distinct, 0))
            given.agree(f"states of the {shape} corpus", states_digest(folder, keyring))
        return per_event(seconds, source.lines)

    return run


# --- the Merkle tree --------------------------------------------------------------------------


def _tree_of(given: Given, shape: str) -> tuple[list[bytes], bytes]:
    """The leaves of a log's tree, and its root."""
    leaves = [hashlib.sha256(text).digest() for text in given.once(canonical_of, shape)]
    with Log.open(given.once(log_of, shape)) as log, log.snapshot() as snapshot:
        return leaves, snapshot.root()


def tree(given: Given, *, shape: str) -> Run:
    """What a log's Merkle tree alone costs an ingest of it: for each batch the right edge read, the
    leaves hashed, and the tiles that have changed laid out and put. Nothing is synced, since a
    batch is forced to disk as a whole."""
    leaves, root = given.once(_tree_of, shape)

    def run() -> Sample:
        with (
            given.empty_folder() as folder,
            lmdb.open(str(folder), map_size=1 << 30, max_dbs=1, sync=False) as environment,
        ):
            table = environment.open_db(b"tiles")
            start = perf_counter()
            for first in range(0, len(leaves), _BATCH_ROWS):
                with environment.begin(table, write=True) as transaction:
                    edge = read_edge(first, lambda tile, get=transaction.get: get(tile_key(tile)))
                    _, changed = extend(edge, leaves[first : first + _BATCH_ROWS])
                    rows = sorted((tile_key(tile), hashes) for tile, hashes in changed.items())
                    with transaction.cursor() as cursor:
                        cursor.putmulti(rows)
            seconds = perf_counter() - start
            with environment.begin(table) as transaction:
                found = read_edge(len(leaves), lambda tile: transaction.get(tile_key(tile))).root()
        expect("the tree's root", found, root)
        return per_event(seconds, len(leaves))

    return run


# --- replay ----------------------------------------------------------------------------------


def _papers_of(given: Given, shape: str) -> int:
    return len(
        {json.loads(text)["subject_pith_number"] for text in given.once(canonical_of, shape)}
    )


def replay_all(given: Given, *, shape: str, compress: bool = False, core: bool = False) -> Run:
    """The hashes of all papers' states, from the closed log on."""
    path = given.once(log_of, shape, compress)
    keyring = given.once(keyring_of)
    papers = given.once(_papers_of, shape)
    events = given.once(source_of, shape).distinct

    def hashes() -> Iterator[str]:
        with Log.open(path) as log:
            for state in replay(log, keyring=keyring):
                if core:
                    assert state.core_sha256
                yield state.state_sha256

    def run() -> Sample:
        start = perf_counter()
        found = list(hashes())
        seconds = perf_counter() - start
        expect("states", len(found), papers)
        joined = hashlib.sha256("".join(found).encode()).hexdigest()
        given.agree(f"states of the {shape} corpus", joined)
        return per_event(seconds, events)

    return run


def json_loads(given: Given, *, shape: str) -> Run:
    """Python's json decodes the canonical bytes of every event, which are in memory."""
    return _for_each(given.once(canonical_of, shape), json.loads)


def _for_each(texts: list[bytes], work: object, events: int | None = None) -> Run:
    assert callable(work)

    def loop() -> None:
        for text in texts:
            work(text)

    return lambda: per_event(seconds_of(loop), events or len(texts))


def _state_texts_of(given: Given, shape: str) -> list[bytes]:
    with Log.open(given.once(log_of, shape)) as log:
        return [state.canonical for state in replay(log, keyring=given.once(keyring_of))]


def sha256_of_states(given: Given, *, shape: str) -> Run:
    events = given.once(source_of, shape).distinct
    return _for_each(given.once(_state_texts_of, shape), _sha256, events)


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


# --- a hot paper -----------------------------------------------------------------------------


class Hot(NamedTuple):
    """A log of one paper, a copy to append to, and one-line files: more about that paper, and as
    many about one new paper each."""

    log: Path
    copy: Path
    paper: str
    more: list[Path]
    others: list[Path]


def _hot_of(given: Given, events: int) -> Hot:
    spare = _APPENDS * given.repeat
    folder = given.new_path()
    folder.mkdir()
    lines = corpus.hot_paper(events + spare, SEED)
    source = write_source(folder / "hot.jsonl", islice(lines, events))
    log = make_log(given, source)
    copy = Path(shutil.copytree(log, given.new_path()))
    with Log.open(log) as opened, opened.snapshot() as snapshot:
        (paper,) = snapshot.papers()
    return Hot(
        log,
        copy,
        str(paper),
        _files(folder, "more", lines),
        _files(folder, "other", islice(_attestations(), spare)),
    )


def _attestations() -> Iterator[bytes]:
    """Endlessly, attestations like those of the hot paper, each about another paper."""
    last = None
    for line in corpus.lines(10**9, SEED, PLAIN._replace(attested=1, attestors=500)):
        event = json.loads(line)
        paper, kind = event["subject_pith_number"], event["event_type"]
        if paper != last and kind not in ("record_created", "graph_snapshot"):
            last = paper
            yield line


def _files(folder: Path, name: str, lines: Iterator[bytes]) -> list[Path]:
    paths = []
    for number, line in enumerate(lines):
        paths.append(folder / f"{name}-{number}.json")
        paths[-1].write_bytes(line)
    return paths


def hot_append(given: Given, *, events: int, new_paper: bool) -> Run:
    """One more event, a transaction each, into a log that is open."""
    hot = given.once(_hot_of, events)
    keyring = given.once(keyring_of)
    paths = iter(hot.others if new_paper else hot.more)

    def run() -> Sample:
        seconds = []
        with LogWriter.open(hot.copy) as log:
            for path in islice(paths, _APPENDS):
                start = perf_counter()
                done = ingest(log, [path], keyring=keyring, workers=0)
                seconds.append(perf_counter() - start)
                expect("appended", done.appended, 1)
        return Sample(median(seconds) * 1e6, events)

    return run


def hot_state(given: Given, *, events: int) -> Run:
    """The hash of the hot paper's state, merged from its events."""
    hot = given.once(_hot_of, events)

    def run() -> Sample:
        start = perf_counter()
        state = _state_of(given, hot)
        assert state.state_sha256
        seconds = perf_counter() - start
        expect("valid events", state.valid_event_count, events)
        return per_event(seconds, events)

    return run


def hot_sha256(given: Given, *, events: int) -> Run:
    text = _state_of(given, given.once(_hot_of, events)).canonical
    return _for_each([text], _sha256, events)


def _state_of(given: Given, hot: Hot) -> State:
    with Log.open(hot.log) as log:
        (state,) = replay(log, [hot.paper], keyring=given.once(keyring_of))
        return state


# --- audit -----------------------------------------------------------------------------------


def audit(given: Given, *, backend: str) -> Run:
    """Every event of a log established from scratch, and compared with the facts stored."""
    path = given.once(log_of, "plain")
    keyring = given.once(keyring_of)

    def differing() -> tuple[int, int]:
        with Log.open(path) as log, log.snapshot() as snapshot:
            stored = map(snapshot.event_at, range(snapshot.size))
            return snapshot.size, sum(establish(s.event, keyring) != s.facts for s in stored)

    def run() -> Sample:
        with verifying_with(backend):
            start = perf_counter()
            found = differing()
            seconds = perf_counter() - start
        expect("events, and those whose facts differ", found, (given.events, 0))
        return per_event(seconds, given.events)

    return run


# --- disk ------------------------------------------------------------------------------------


def disk(given: Given, *, compress: bool = False, length: bool = False) -> Run:
    """The bytes of a log's data file, by canonical bytes of its events."""
    status = (given.once(log_of, "plain", compress) / DATA_FILE).stat()
    size = status.st_size if length else status.st_blocks * 512
    texts = given.once(canonical_of, "plain")
    sample = Sample(size / sum(map(len, texts)), len(texts))
    return lambda: sample
