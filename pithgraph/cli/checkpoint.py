"""`pithgraph checkpoint`."""

from __future__ import annotations

import click

from pithgraph.authoring import load_private_key
from pithgraph.checkpointing import load_checkpoint, make_checkpoint
from pithgraph.checkpoints import read_checkpoint
from pithgraph.cli import FINE, options
from pithgraph.cli.output import deliver, say
from pithgraph.keys import public_bytes
from pithgraph.log import Log
from pithgraph.notes import verifier_key


@click.command("checkpoint")
@options.log_folder
@options.signing(required=True)
@click.option(
    "--last",
    "last_path",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="An earlier checkpoint, kept outside of the log: refuse to sign where the log does not "
    "begin with it.",
)
@options.output
@options.json_lines
def command(
    log_path: str,
    origin: str,
    key_path: str,
    last_path: str | None,
    output: str | None,
    as_json: bool,
) -> int:
    """Sign what a log holds: its name, its number of events, and the root of its Merkle tree.

    Keep it outside of the log, and name it by --last the next time; the first has no --last.
    Exit 1 says that the log was rewritten or rolled back since the checkpoint of --last, or that
    this is by another name or key; nothing is written then. The verifier key is printed on
    standard error: publish it, for `pithgraph audit --vkey`.

    \b
    pithgraph checkpoint --log my-log --origin example.org/log --key key.pem \\
        --last last.note -o last.note
    """
    with Log.open(log_path) as log:
        key = load_private_key(key_path)
        last = None if last_path is None else load_checkpoint(last_path)
        with log.snapshot() as snapshot:
            note = make_checkpoint(snapshot, origin, key, last=last)
    checkpoint = read_checkpoint(note)
    vkey = str(verifier_key(origin, public_bytes(key)))
    row = {"origin": origin, "size": checkpoint.size, "root": checkpoint.root.hex(), "vkey": vkey}
    deliver(note, output, replaces=last_path, described=row if as_json else None)
    if not as_json:
        say(f"{checkpoint.size} events, root {checkpoint.root.hex()}")
        say(f"vkey {vkey}")
    return FINE
