"""`pithgraph backup`."""

from __future__ import annotations

from functools import partial

import click

from pithgraph.backup import backup
from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.log import Log
from pithgraph.sources import load_keyring


@click.command("backup")
@options.log_folder
@click.argument("destination", metavar="DEST")
@click.option("--compact", is_flag=True, help="Leave out free pages.")
@options.keyring
@options.json_lines
def command(
    log_path: str, destination: str, compact: bool, keyring_path: str | None, as_json: bool
) -> int:
    """Copy a log to the new folder DEST, also while it is written.

    The copy is checked as by `pithgraph fsck` before it gets its name; where it does not hold,
    there is no DEST.

    \b
    pithgraph backup --log my-log backups/my-log-2026-06-01
    """
    with Log.open(log_path) as log, Bar("backup", partial(_events, log), EVENTS) as bar:
        made = backup(
            log,
            destination,
            compact=compact,
            keyring=load_keyring(keyring_path),
            progress=lambda checked: bar.update(checked, checked),
        )
    if as_json:
        out_json(made._asdict() | {"root": made.root.hex(), "path": destination})
        return FINE
    out(f"{destination}: {made.events} events, papers: {made.papers}, {made.file_bytes} bytes")
    out(f"Merkle root {made.root.hex()}")
    return FINE


def _events(log: Log) -> int:
    with log.snapshot() as snapshot:
        return snapshot.size
