"""`pithgraph prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from pithgraph.authoring import load_private_key
from pithgraph.canonical import encode
from pithgraph.checkpointing import (
    find_event,
    load_checkpoint,
    make_checkpoint,
    prove_consistency,
    prove_inclusion,
)
from pithgraph.checkpoints import read_checkpoint
from pithgraph.cli import FINE, options
from pithgraph.cli.output import deliver, say
from pithgraph.log import Log, Snapshot

# Where C2SP `tlog-tiles` has the newest checkpoint of a log, too.
_IN_FOLDER: Final = "checkpoint"


@click.command("prove")
@options.log_folder
@click.argument("event", required=False, metavar="[EVENT|POSITION]")
@click.option(
    "--from",
    "old_path",
    type=click.Path(dir_okay=False),
    metavar="OLD-CHECKPOINT",
    help="Prove that the log still begins with what this earlier checkpoint says.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Prove against the first N events: a checkpoint that is given must be of so many.",
)
@click.option(
    "--checkpoint",
    "checkpoint_path",
    type=click.Path(dir_okay=False),
    help="The signed checkpoint to prove against.  [default: the file `checkpoint` of the log's "
    "folder]",
)
@options.signing(required=False)
@options.output
@options.json_lines
def command(
    log_path: str,
    event: str | None,
    old_path: str | None,
    size: int | None,
    checkpoint_path: str | None,
    origin: str | None,
    key_path: str | None,
    output: str | None,
    as_json: bool,
) -> int:
    """Prove that a log holds an event, or that it still begins with an earlier checkpoint.

    EVENT is an event_sha256 or an event_id (`sha256:...`; these are looked for in the whole log,
    event by event), POSITION counts from 0. A proof carries the signed checkpoint that it leads to:
    that of --checkpoint, or one that is signed for it with --origin and --key. Anybody verifies it
    offline with `pithgraph audit --vkey`. Exit 1 says that the log does not begin with a
    checkpoint: it was rewritten or rolled back.

    \b
    pithgraph prove --log my-log 17 --checkpoint last.note -o 17.tlog-proof
    pithgraph prove --log my-log --from old.note --checkpoint last.note -o consistency.json
    """
    if (event is None) == (old_path is None):
        raise click.UsageError("give an event or --from, and not both")
    if (origin is None) != (key_path is None):
        raise click.UsageError("give --origin and --key together")
    if key_path is not None and checkpoint_path is not None:
        raise click.UsageError("give --checkpoint, or --origin and --key, and not both")
    with Log.open(log_path) as log, log.snapshot() as snapshot:
        if origin is not None and key_path is not None:
            note = make_checkpoint(snapshot, origin, load_private_key(key_path), size=size)
        else:
            note = _checkpoint(checkpoint_path, log_path, size)
            _check_order(old_path, note)
        proof, shown, row = _prove(snapshot, event, old_path, note)
    deliver(proof, output, described=row if as_json else None)
    if not as_json:
        say(shown)
    return FINE


def _checkpoint(path: str | None, log_path: str, size: int | None) -> bytes:
    if path is None:
        path = str(Path(log_path) / _IN_FOLDER)
        if not Path(path).exists():
            raise click.UsageError(
                "a proof carries a signed checkpoint: give --checkpoint, or --origin and --key to"
                f" sign one, or keep the newest as {path}"
            )
    note = load_checkpoint(path)
    found = read_checkpoint(note).size
    if size not in (None, found):
        raise click.UsageError(
            f"{path} is a checkpoint of {found} events, not of {size}: give one of so many, or"
            " --origin and --key to sign one"
        )
    return note


def _check_order(old_path: str | None, note: bytes) -> None:
    """That the earlier checkpoint is not the later one: else nobody rolled anything back."""
    if old_path is None:
        return
    old, new = read_checkpoint(load_checkpoint(old_path)), read_checkpoint(note)
    if old.size > new.size:
        raise click.UsageError(
            f"--from {old_path} is of {old.size} events, the checkpoint that the proof leads to of "
            f"{new.size}: exchange them"
        )


def _prove(
    snapshot: Snapshot, event: str | None, old_path: str | None, note: bytes
) -> tuple[bytes, str, dict[str, Any]]:
    """A proof as it is written, and what it shows: in a line, and as JSON."""
    checkpoint = read_checkpoint(note)
    row: dict[str, Any] = {"origin": checkpoint.origin, "size": checkpoint.size}
    whole = f"the {checkpoint.size} events of {checkpoint.origin}"
    if old_path is not None:
        old = load_checkpoint(old_path)
        document = prove_consistency(snapshot, old, note)
        row["old_size"] = read_checkpoint(old).size
        return encode(document) + b"\n", f"{whole} begin with those of {old_path}", row
    assert event is not None
    stored = find_event(snapshot, event)
    where = f"event {stored.event.sha256.hex()} at position {stored.position} of {whole}"
    row |= {"position": stored.position, "event_sha256": stored.event.sha256.hex()}
    return prove_inclusion(snapshot, stored.position, note), where, row
