"""`pithgraph state`."""

from __future__ import annotations

import json

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out_bytes, out_json, printable_json, say, say_unknown, unknown_keys
from pithgraph.cli.replay import STATE_MEMBERS
from pithgraph.identifiers import check_time, parse_reference
from pithgraph.log import Log
from pithgraph.replaying import check_position, current_state, find_paper, replay
from pithgraph.sources import load_keyring
from pithgraph.validation import STATED, Assurance


@click.command("state")
@options.log_folder
@click.argument("pith", metavar="PITH")
@click.option(
    "--pretty",
    is_flag=True,
    help="Indent, for people; the hash covers the plain form, without its own member.",
)
@options.assurance
@options.as_of
@options.at
@options.keyring
@options.json_lines
def command(
    log_path: str,
    pith: str,
    pretty: bool,
    assurance: Assurance,
    as_of: str | None,
    at: int | None,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Print one paper's state document: its canonical bytes and a newline.

    On a terminal, and with --pretty, what could steer a terminal is escaped: the value is the same,
    the bytes are not.

    \b
    pithgraph state --log my-log N7NXYVEE
    """
    parse_reference(pith)
    if as_of is not None:
        check_time(as_of)
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        check_position(log, at)
        keyring = load_keyring(keyring_path)
        if as_of is None and at is None:
            state = current_state(log, paper, keyring=keyring, assurance=assurance)
        else:
            (state,) = replay(
                log, [paper], keyring=keyring, assurance=assurance, as_of=as_of, at=at
            )
    document = state.document  # also where its bytes are printed: it may be none, of damaged rows
    if as_json:
        row = {name: getattr(state, name) for name in STATE_MEMBERS}
        out_json({**row, "state": document})
        return FINE
    text = state.canonical
    if pretty:
        indented = json.dumps(document, indent=2, ensure_ascii=False)
        text = printable_json(indented).encode("utf-8")
    out_bytes(text + b"\n")
    note = f"state_sha256 {state.state_sha256}, keyring {keyring.sha256}, assurance {assurance}"
    if assurance == STATED:
        note += f", {state.applied_as_stated} events applied as stated"
    say(note)
    say_unknown(unknown_keys(state))
    return FINE
