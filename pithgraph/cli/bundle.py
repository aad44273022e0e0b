"""`pithgraph bundle`."""

from __future__ import annotations

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out_json, result, say
from pithgraph.handing import write_bundle
from pithgraph.identifiers import check_time, parse_reference
from pithgraph.log import Log
from pithgraph.replaying import find_paper, replay
from pithgraph.sources import load_keyring


@click.command("bundle")
@options.log_folder
@click.argument("pith", metavar="PITH")
@options.output
@options.as_of
@options.keyring
@options.json_lines
def command(
    log_path: str,
    pith: str,
    output: str | None,
    as_of: str | None,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Write one paper's bundle: all its events and its aliases, for others to ingest.

    The events go as they are, valid or not: whoever takes them judges them by a keyring of their
    own. Only the hash that is told on standard error depends on --keyring: that of the state which
    these events and aliases have.

    \b
    pithgraph bundle --log my-log N7NXYVEE -o N7NXYVEE.json
    """
    if as_json and output is None:
        raise click.UsageError("the bundle itself is JSON: with --json give -o, too")
    parse_reference(pith)
    if as_of is not None:
        check_time(as_of)
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        keyring = load_keyring(keyring_path)
        with result(output) as write:
            done = write_bundle(log, paper, write, as_of=as_of)
            write(b"\n")
        (state,) = replay(log, [paper], keyring=keyring, as_of=as_of)
    if as_json:
        row = {"pith_number": str(paper), **done._asdict(), "state_sha256": state.state_sha256}
        row |= {"keyring_sha256": keyring.sha256, "assurance": state.assurance, "path": output}
        out_json(row)
        return FINE
    say(f"{paper}: {done.events} events, {done.aliases} aliases")
    say(f"state_sha256 {state.state_sha256}, keyring {keyring.sha256}, assurance {state.assurance}")
    return FINE
