"""What is measured: one row a line of the table.

What lives here: data. What must not: how a line is measured (`workloads_*`).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from benchmarks.measure import Against, Line
from benchmarks.workloads_log import (
    audit,
    disk,
    fill,
    hot_append,
    hot_sha256,
    hot_state,
    json_loads,
    replay_all,
    sha256_of_states,
    tree,
)
from benchmarks.workloads_process import memory, open_log, start
from benchmarks.workloads_verify import limit, limit_side_by_side, naive

# The backend, what it needs, and the share of its limit that ingest should reach.
_BACKENDS: Final = (("cryptography", (), 0.90), ("pynacl", ("pynacl",), 0.80))
_HOT: Final = (1_000, 10_000, 100_000)
_BATCH: Final = "each batch"
_EVENT: Final = "each event"

LIMIT: Final = tuple(
    line
    for name, needs, _ in _BACKENDS
    for line in (
        Line(
            "limit",
            name,
            "the bare verifications of the plain corpus, and one SHA-256 an event",
            partial(limit, backend=name),
            needs=needs,
        ),
        Line(
            "limit",
            f"{name}, and the barest ingest",
            "the same; each line decoded, encoded and hashed once more; nothing judged or kept",
            partial(limit, backend=name, barely=True),
            (Against(f"limit: {name}", "<="),),
            needs=needs,
        ),
        Line(
            "limit",
            f"{name}, x2",
            "the same, half of it in each of two processes at once",
            partial(limit_side_by_side, backend=name),
            (Against(f"limit: {name}", ">="),),
            needs=needs,
        ),
    )
)

INGEST: Final = (
    *(
        Line(
            "ingest",
            f"plain, workers={workers}, {name}",
            "a file of two valid events a paper into a new log",
            partial(fill, shape="plain", workers=workers, backend=name),
            against,
            fsync=_BATCH,
            needs=needs,
        )
        for name, needs, share in _BACKENDS
        for workers, against in (
            (0, (Against(f"limit: {name}", ">="),)),
            (1, (Against(f"limit: {name}", ">=", share),)),
            (
                2,
                (
                    Against(f"ingest: plain, workers=1, {name}", ">=", 1.8),
                    Against(f"ingest: plain, workers=0, {name}", ">="),
                    Against(f"limit: {name}, and the barest ingest", ">="),
                    Against(f"limit: {name}, x2", ">="),
                    Against("naive: script", ">=", 10 if name == "pynacl" else None),
                ),
            ),
        )
    ),
    *(
        Line(
            "ingest",
            f"usual, workers={workers}, {name}",
            "a file with late, doubled, invalid and equivocating events into a new log",
            partial(fill, shape="usual", workers=workers, backend=name),
            fsync=_BATCH,
            needs=needs,
        )
        for name, needs, _ in _BACKENDS
        for workers in (1, 2)
    ),
    Line(
        "ingest",
        "plain, workers=2, pynacl, compressed",
        "the plain file into a new log that is compressed",
        partial(fill, shape="plain", workers=2, backend="pynacl", compress=True),
        (Against("ingest: plain, workers=2, pynacl", ">="),),
        fsync=_BATCH,
        needs=("pynacl", "zstandard"),
    ),
    Line(
        "ingest",
        "tree: extend",
        "of the plain file the Merkle tree alone: hashing, and putting tiles batch by batch",
        partial(tree, shape="plain"),
        (Against("limit: cryptography", "<="),),
    ),
)

NAIVE: Final = (
    Line(
        "naive",
        "script",
        "json, hashlib, cryptography and an LMDB transaction an event, 2,000 events at most",
        naive,
        fsync=_EVENT,
    ),
)

REPLAY: Final = (
    Line(
        "replay",
        "json.loads",
        "Python's json over the canonical bytes of the plain log's events",
        partial(json_loads, shape="plain"),
    ),
    Line(
        "replay",
        "sha-256 of states",
        "one SHA-256 over each of the plain log's states",
        partial(sha256_of_states, shape="plain"),
    ),
    Line(
        "replay",
        "plain",
        "every state_sha256 of the plain log",
        partial(replay_all, shape="plain"),
        (Against("replay: json.loads", ">=", 2), Against("replay: sha-256 of states", "<=")),
    ),
    Line(
        "replay",
        "plain + core",
        "every state_sha256 and core_sha256 of it",
        partial(replay_all, shape="plain", core=True),
        (Against("replay: plain", "<="),),
    ),
    Line(
        "replay",
        "plain, compressed",
        "every state_sha256 of the same log, compressed",
        partial(replay_all, shape="plain", compress=True),
        (Against("replay: plain", "<="),),
        needs=("zstandard",),
    ),
    Line(
        "replay",
        "usual",
        "every state_sha256 of a log of the usual corpus",
        partial(replay_all, shape="usual"),
    ),
)

HOT: Final = tuple(
    line
    for events in _HOT
    for line in (
        Line(
            "hot-paper",
            f"append to {events:,}",
            f"one more event about a paper that has {events:,}",
            partial(hot_append, events=events, new_paper=False),
            (Against(f"hot-paper: append beside {events:,}", "<=", 1.2),),
            fsync=_EVENT,
        ),
        Line(
            "hot-paper",
            f"append beside {events:,}",
            "one event about a new paper into the same log",
            partial(hot_append, events=events, new_paper=True),
            fsync=_EVENT,
        ),
        Line(
            "hot-paper",
            f"state of {events:,}",
            "state_sha256 of that paper, merged from its events",
            partial(hot_state, events=events),
            (
                *(
                    (Against(f"hot-paper: state of {_HOT[0]:,}", "<=", 1.3),)
                    if events == _HOT[-1]
                    else ()
                ),
                Against(f"hot-paper: sha-256 of {events:,}", "<=", 3),
            ),
        ),
        Line(
            "hot-paper",
            f"sha-256 of {events:,}",
            "one SHA-256 over that state's bytes",
            partial(hot_sha256, events=events),
        ),
    )
)

AUDIT: Final = tuple(
    Line(
        "audit",
        name,
        "every event of the plain log verified again and compared with the stored facts",
        partial(audit, backend=name),
        (Against(f"limit: {name}", ">="),),
        needs=needs,
    )
    for name, needs, _ in _BACKENDS
)

OPEN: Final = (
    Line("open", "python -c pass", "an interpreter", partial(start, command="nothing"), unit="ms"),
    Line(
        "open",
        "python -c 'import click'",
        "an interpreter with click",
        partial(start, command="click"),
        unit="ms",
    ),
    Line(
        "open",
        "pithgraph --version",
        "the command line",
        partial(start, command="version"),
        (Against("open: python -c 'import click'", "<=", 1.6),),
        unit="ms",
    ),
    Line(
        "open",
        "log",
        "the plain log opened, a snapshot taken, the log closed, in one process",
        open_log,
        unit="ms",
    ),
)

MEMORY: Final = tuple(
    Line(
        "memory",
        f"ingest, workers={workers}",
        "the most anonymous memory of one process while it ingests the usual corpus",
        partial(memory, workers=workers),
        (Against(None, "<=", 200),),
        unit="MB",
        fsync=_BATCH,
        needs=("/proc",),
    )
    for workers in (0, 2)
)

DISK: Final = tuple(
    Line(
        "disk",
        f"{name}, {what}",
        f"the {what} of the log's data file, a byte of the events' canonical bytes",
        partial(disk, compress=compress, length=what == "length"),
        (Against(None, "<=", target),),
        unit="byte/byte",
        fsync=_BATCH,
        needs=needs,
    )
    for name, compress, target, needs in (
        ("plain", False, 1.35, ()),
        ("compressed", True, 0.40, ("zstandard",)),
    )
    for what in ("blocks", "length")
)

LINES: Final[tuple[Line, ...]] = (
    *LIMIT,
    *INGEST,
    *NAIVE,
    *REPLAY,
    *HOT,
    *AUDIT,
    *OPEN,
    *MEMORY,
    *DISK,
)
WORKLOADS: Final = tuple(dict.fromkeys(line.workload for line in LINES))
# What is short is measured more often: so many times a round.
PASSES: Final = {"open": 5}
