"""`pithgraph cited-by`."""

from __future__ import annotations

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json, say, say_unknown, shortened, unknown_keys
from pithgraph.identifiers import parse_reference
from pithgraph.log import Log
from pithgraph.replaying import current_state, find_paper
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED
from pithgraph.views import inbound_citations


@click.command("cited-by")
@options.log_folder
@click.argument("pith", metavar="PITH")
@options.keyring
@options.json_lines
def command(log_path: str, pith: str, keyring_path: str | None, as_json: bool) -> int:
    """List the papers that cite a paper, each with the signed citations that count.

    A citation counts where it is applied and its own signer has not retracted it. It is an event
    about the cited paper, by whoever signed it: the citing paper need not be in the log.

    \b
    pithgraph cited-by --log my-log N7NXYVEE
    """
    parse_reference(pith)
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        keyring = load_keyring(keyring_path)
        state = current_state(log, paper, keyring=keyring)
    citing = inbound_citations(state.document)
    for citing_paper, rows in citing.items():
        if as_json:
            citations = [
                {
                    "event_id": row["event_id"],
                    "relation": row["payload"]["relation"],
                    "created_at": row["created_at"],
                    "signer": row["signer"],
                }
                for row in rows
            ]
            cited = {"pith_number": str(paper), "citing_pith_number": citing_paper}
            out_json(cited | {"citations": citations})
            continue
        out(citing_paper)
        for row in rows:
            signer = shortened(row["signer"]["signer_id"])
            out(
                f"  {row['payload']['relation']:12}  {row['created_at']}  {signer:20}  "
                f"{row['event_id']}"
            )
    say(
        f"{paper} is cited by {len(citing)} papers, in {sum(map(len, citing.values()))} citations; "
        f"keyring {keyring.sha256[:16]}…, assurance {VERIFIED}"
    )
    say_unknown(unknown_keys(state))
    return FINE
