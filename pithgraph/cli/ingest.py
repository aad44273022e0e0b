"""`pithgraph ingest`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import click

from pithgraph.cli import FINE, REFUSED, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.cli.progress import BYTES, EVENTS, Bar
from pithgraph.errors import REFUSAL_REASONS
from pithgraph.ingestion import Ingested, ingest
from pithgraph.log import LogWriter
from pithgraph.log.compression import PLAIN
from pithgraph.preparing import ADMITS, Admit
from pithgraph.sources import STANDARD_INPUT, Limits, load_keyring, shown_path, total_bytes


@click.command("ingest")
@options.log_folder
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--admit",
    type=click.Choice(ADMITS),
    default="all",
    show_default=True,
    help="`authentic` lets in only events whose id recomputes and whose signature verifies; `all` "
    "lets others in too, up to 1,000 for each paper; `export` lets in everything, and is only for "
    "what `pithgraph export` wrote from a log that you trust.",
)
@click.option(
    "--compress",
    is_flag=True,
    help="Compress a new log with zstd; needs pithgraph[fast]. A log that is there stays as it was "
    "made.",
)
@options.workers("Decode and verify in N processes beside this one, which writes")
@options.keyring
@options.limits
@options.json_lines
def command(
    log_path: str,
    paths: tuple[str, ...],
    admit: Admit,
    compress: bool,
    workers: int,
    keyring_path: str | None,
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Append events and alias rows to a log; make the log if there is none.

    PATH is a file, a folder (read recursively: .json, .jsonl, .ndjson, also with .gz) or - for
    standard input. Bundles, events, lists of events, JSON Lines, states, records, alias documents
    and proofs are told apart by content. What cannot come in is refused with its place and reason;
    the rest goes on. Ingesting the same again changes nothing.

    \b
    pithgraph ingest --log my-log bundles/ more-events.jsonl.gz
    """
    limits = Limits(max_line, max_document)
    if not os.path.exists(log_path):
        load_keyring(keyring_path)  # one that is refused makes no log
        _check_there(paths)
    try:
        with LogWriter.open(log_path, compress=compress) as log:
            if compress:
                _check_compressed(log)
            keyring = load_keyring(keyring_path)
            with Bar("ingest", partial(total_bytes, paths), BYTES, EVENTS) as bar:
                done = ingest(
                    log,
                    paths,
                    keyring=keyring,
                    admit=admit,
                    limits=limits,
                    workers=workers,
                    progress=lambda made: bar.update(made.bytes_read, made.rows),
                )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note("every finished batch is in the log, run the ingest again to go on")
        raise
    say_refusals(done)
    if as_json:
        out_json({name: getattr(done, name) for name in _JSON})
    else:
        out(
            f"read {done.read}: appended {done.appended} ({done.invalid} invalid as verified), "
            f"duplicates {done.duplicates}, refused {done.refused}; new alias rows {done.aliases}"
        )
        out(f"the log holds {done.position} events, papers: {done.papers}")
    return REFUSED if done.refused else FINE


def _check_there(paths: Sequence[str]) -> None:
    """That a slip in a name makes no log. In one that is there, it is a refused row."""
    if not any(path == STANDARD_INPUT or os.path.lexists(path) for path in paths):
        raise click.UsageError(
            f"nothing can be found by {', '.join(map(shown_path, paths))}; no log was made"
        )


def _check_compressed(log: LogWriter) -> None:
    with log.snapshot() as snapshot:
        if snapshot.codec is PLAIN:
            raise click.UsageError(
                f"{log.path}: the log was made without compression and stays so: leave out "
                "--compress, or name a new log"
            )


_JSON = ("read", "appended", "duplicates", "invalid", "refused", "papers", "position")


def say_refusals(done: Ingested) -> None:
    """The first refusals on standard error, and how many more there are."""
    for refusal in done.refusals:
        say(f"refused {refusal.place}: {refusal.reason}: {refusal.detail}")
    if done.unlisted:
        say(f"refused {done.unlisted} more")
    if done.over_quota:
        say(f"refused {done.over_quota} events: quota: {REFUSAL_REASONS['quota']}")
