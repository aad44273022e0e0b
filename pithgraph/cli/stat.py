"""`pithgraph stat`."""

from __future__ import annotations

from functools import partial

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json, say, say_unknown, shortened
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.counting import Counts, count
from pithgraph.log import Log
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED


@click.command("stat")
@options.log_folder
@options.keyring
@options.json_lines
def command(log_path: str, keyring_path: str | None, as_json: bool) -> int:
    """Count what a log holds: papers, events by kind and verdict, signers, bytes.

    Every event is read and judged once. Signers are counted as events name them, which anybody may
    do: beside each stands how many of its events are valid.

    \b
    pithgraph stat --log my-log
    """
    with Log.open(log_path) as log:
        keyring = load_keyring(keyring_path)
        with Bar("stat", partial(_events, log), EVENTS) as bar:
            counts = count(log, keyring=keyring, progress=lambda read: bar.update(read, read))
    if as_json:
        signers = [one._asdict() for one in counts.top_signers]
        row = counts._asdict() | {"top_signers": signers, "root": counts.root.hex()}
        out_json(row | {"keyring_sha256": keyring.sha256, "assurance": VERIFIED})
        return FINE
    _print(counts)
    say(f"verdicts with keyring {keyring.sha256[:16]}…, assurance {VERIFIED}")
    say_unknown(counts.verdicts.get("unknown_key", 0))
    return FINE


def _print(counts: Counts) -> None:
    last = "none" if counts.last_position is None else str(counts.last_position)
    rows: list[tuple[str, object]] = [
        ("papers", counts.papers),
        ("events", counts.events),
        *((f"  {kind}", number) for kind, number in counts.kinds.items()),
        ("verdicts", ""),
        *((f"  {verdict}", number) for verdict, number in counts.verdicts.items()),
        ("signers", counts.signers),
    ]
    for name, told in rows:
        out(f"{name:24}{told}".rstrip())
    for one in counts.top_signers:
        signer = shortened(one.signer["signer_id"])
        key = shortened(one.signer["public_key_fingerprint"])
        out(f"  {key:32}  {signer}: {one.events}, of these valid {one.valid}")
    for name, told in (
        ("alias rows", counts.aliases),
        ("refused", counts.refused),
        ("cached states", counts.states),
        ("bytes of the file", counts.file_bytes),
        ("bytes of the map", counts.map_bytes),
        ("format", counts.format),
        ("compression", counts.compression),
        ("last position", last),
        ("Merkle root", counts.root.hex()),
    ):
        out(f"{name:24}{told}")


def _events(log: Log) -> int:
    with log.snapshot() as snapshot:
        return snapshot.size
