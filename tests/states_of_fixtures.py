"""A program that computes the states of all conformance cases, and prints one digest of them.

What lives here: replaying `fixtures/cases` in one environment, for `test_determinism` and
`.ci/matrix` to run it in many. What must not: what the digests ought to be, and any package but
pithgraph's own run-time ones, since some of those environments have no others.

    python tests/states_of_fixtures.py [WORKERS [BACKEND]]

The first line is the digest of the states of every case, each through a log of its own. The second
is that of the states of one log that holds the inputs of all cases; WORKERS processes prepare it.
A third line says what computed them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest import mock

from pithgraph import keys, workers
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.merge import State
from pithgraph.replaying import replay
from pithgraph.validation import ASSURANCES

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
FOLDERS = sorted(path for path in CASES.iterdir() if path.is_dir())
# The keyring of nearly all cases, and so of the log that holds them all.
KEYRING = CASES / "kind-all-nine-in-one-state" / "keyring.json"


def digest_of(documents: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256, in hex, over the name and the bytes of each document."""
    hashed = hashlib.sha256()
    for name, document in documents:
        hashed.update(b"%b %d\n" % (name.encode(), len(document)))
        hashed.update(document)
    return hashed.hexdigest()


def inputs_of(case: Path) -> list[str]:
    """The inputs of a case, as the README of the fixtures says."""
    files = (path for path in sorted(case.iterdir()) if path.is_file())
    return [str(path) for path in files if path.name not in ("case.json", "keyring.json")]


def states_of_cases(temporary: Path) -> Iterator[tuple[str, bytes]]:
    """The state documents of all cases by their paths in `fixtures/cases`."""
    for case in FOLDERS:
        assurance = json.loads((case / "case.json").read_bytes())["assurance"]
        keyring = Keyring.from_bytes((case / "keyring.json").read_bytes())
        with LogWriter.open(temporary / case.name) as log:
            ingest(log, inputs_of(case), keyring=keyring)
            for state in replay(log, keyring=keyring, assurance=assurance):
                year, suffix = state.pith_number.split(":")[1:]
                yield f"{case.name}/expected/{year}-{suffix}.json", document_of(state)


def states_of_one_log(temporary: Path, worker_count: int) -> Iterator[tuple[str, bytes]]:
    """The state documents of a log that holds the inputs of all cases, under both assurances."""
    keyring = Keyring.from_bytes(KEYRING.read_bytes())
    inputs = [path for case in FOLDERS for path in inputs_of(case)]
    # So that workers are started for so little.
    with (
        mock.patch.object(workers, "_WORTH_WORKERS", 1),
        mock.patch.object(workers, "_PARCEL_PIECES", 20),
        LogWriter.open(temporary / "one log") as log,
    ):
        ingest(log, inputs, keyring=keyring, workers=worker_count)
        for assurance in ASSURANCES:
            for state in replay(log, keyring=keyring, assurance=assurance):
                yield f"{assurance} {state.pith_number}", document_of(state)


def document_of(state: State) -> bytes:
    """A state document as a file holds it."""
    return state.canonical + b"\n"


def main(worker_count: str = "0", backend: str | None = None) -> None:
    """Print the digests."""
    keys.use_backend(backend)
    with tempfile.TemporaryDirectory() as name:
        lines = [
            "cases " + digest_of(states_of_cases(Path(name))),
            "one log " + digest_of(states_of_one_log(Path(name), int(worker_count))),
            f"by {worker_count} workers, {keys.backend()}, optimised: {not __debug__}",
        ]
    sys.stdout.write("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
