"""`pithgraph record`."""

from __future__ import annotations

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import deliver, say
from pithgraph.handing import document_bytes, make_record
from pithgraph.identifiers import parse_reference
from pithgraph.log import Log
from pithgraph.replaying import find_paper
from pithgraph.sources import load_keyring
from pithgraph.validation import Assurance


@click.command("record")
@options.log_folder
@click.argument("pith", metavar="PITH")
@options.output
@options.assurance
@options.keyring
@options.json_lines
def command(
    log_path: str,
    pith: str,
    output: str | None,
    assurance: Assurance,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Write one paper's record: what counts about it now, as the registry publishes it.

    What was ingested from published records and states is unsigned, and counts under
    --assurance stated only. The links are those of pith.science; `pithgraph publish` makes others.

    \b
    pithgraph record --log my-log 2OWFFTWG --assurance stated -o 2OWFFTWG.json
    """
    parse_reference(pith)
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        keyring = load_keyring(keyring_path)
        document = make_record(log, paper, keyring=keyring, assurance=assurance)
    under = {"keyring_sha256": keyring.sha256, "assurance": assurance}
    described = {"pith_number": str(paper), **under} if as_json else None
    deliver(document_bytes(document), output, described=described)
    if not as_json:
        say(f"{paper}: computed with keyring {keyring.sha256}, assurance {assurance}")
    return FINE
