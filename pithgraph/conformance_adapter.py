"""pithgraph itself, by the protocol of SPEC §12: `python -m pithgraph.conformance_adapter`.

What lives here: one case's folder to the states of its papers, through a log, as a user would. What
must not: what is expected, which this program is not shown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pithgraph.canonical import decode
from pithgraph.errors import PithgraphError
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import ingest
from pithgraph.log import LogWriter
from pithgraph.merge import State
from pithgraph.replaying import replay
from pithgraph.sources import load_keyring

_NO_INPUT = ("case.json", "keyring.json")


def states_of_case(case: Path) -> Iterator[State]:
    """The states of all papers in a case's folder. Raises PithgraphError, OSError."""
    assurance = decode((case / "case.json").read_bytes())["assurance"]
    keyring = load_keyring(case / "keyring.json")
    inputs = [path for path in case.iterdir() if path.is_file() and path.name not in _NO_INPUT]
    with (
        tempfile.TemporaryDirectory(prefix="pithgraph-") as folder,
        LogWriter.open(folder) as log,
    ):
        ingest(log, sorted(inputs), keyring=keyring)
        yield from replay(log, keyring=keyring, assurance=assurance)


def main(arguments: Sequence[str]) -> int:
    """Write the states of the case in the first folder into the second; the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m pithgraph.conformance_adapter CASE OUTPUT\n")
        return 2
    case, output = map(Path, arguments)
    try:
        for state in states_of_case(case):
            paper = parse_pith_number(state.pith_number)
            name = f"{paper.year}-{paper.suffix}.json"
            (output / name).write_bytes(state.canonical + b"\n")
    except (PithgraphError, OSError) as error:
        sys.stderr.write(f"{case}: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
