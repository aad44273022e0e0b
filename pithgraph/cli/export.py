"""`pithgraph export`."""

from __future__ import annotations

from functools import partial

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out_json, result, say
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.exporting import export
from pithgraph.log import Log
from pithgraph.replaying import check_position


@click.command("export")
@options.log_folder
@click.option(
    "--from",
    "start",
    type=click.IntRange(min=0),
    default=0,
    metavar="POSITION",
    help="Go on where an earlier export ended: leave out the first POSITION events.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to a new file instead of standard output.",
)
@options.json_lines
def command(log_path: str, start: int, output: str | None, as_json: bool) -> int:
    """Write a whole log as JSON Lines: its events and alias rows, in the order in which they came.

    Ingested into an empty log with `--admit export`, they give the same positions, Merkle root and
    states. Exports that follow each other by --from may be ingested one after the other.

    \b
    pithgraph export --log my-log -o my-log.jsonl
    pithgraph export --log my-log --from 1000000 | gzip > later.jsonl.gz
    """
    if as_json and output is None:
        raise click.UsageError("the export itself is JSON Lines: with --json give -o, too")
    with Log.open(log_path) as log:
        check_position(log, start)
        left = partial(_events_from, log, start)
        with (
            result(output) as write,
            Bar("export", left, EVENTS, beside_results=output is None) as bar,
        ):
            done = export(log, write, start=start, progress=lambda made: bar.update(made, made))
    if as_json:
        row = done._asdict() | {"root": done.root.hex(), "path": output}
        out_json(row)
        return FINE
    say(
        f"wrote {done.events} events and {done.aliases} alias rows of a log of {done.position} "
        f"events, Merkle root {done.root.hex()}; to go on later: --from {done.position}"
    )
    return FINE


def _events_from(log: Log, start: int) -> int:
    with log.snapshot() as snapshot:
        return snapshot.size - start
