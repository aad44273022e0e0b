"""`pithgraph resolve`."""

from __future__ import annotations

from functools import partial

import click

from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import out, out_json, say, shortened
from pithgraph.cli.progress import ROWS, Bar
from pithgraph.log import Log
from pithgraph.naming import parse_name
from pithgraph.resolving import Candidate, Resolved, resolve
from pithgraph.sources import load_keyring


@click.command("resolve")
@options.log_folder
@click.argument("names", nargs=-1, required=True, metavar="ALIAS...")
@options.keyring
@options.json_lines
def command(log_path: str, names: tuple[str, ...], keyring_path: str | None, as_json: bool) -> int:
    """Find the papers that a name may mean: all candidates of each ALIAS, a line each.

    ALIAS is a Pith Number or a short form, an arXiv id (with or without `arXiv:` and a version), a
    DOI, an address at arxiv.org, doi.org or pith.science, or any other alias that the log knows.
    `derived` says that the paper's own record gives the name, `claimed` that nothing but an alias
    row does, which nobody signs. Exit 1 says that an ALIAS means no paper here.

    All names but Pith Numbers and short forms that begin with `pith:` take one pass over the log's
    alias rows, however many are asked: ask them together.

    \b
    pithgraph resolve --log my-log arXiv:1802.02326 10.48550/arXiv.1802.02326
    """
    for name in names:
        parse_name(name)
    with Log.open(log_path) as log:
        keyring = load_keyring(keyring_path)
        with Bar("resolve", partial(_alias_rows, log), ROWS) as bar:
            found = resolve(
                log, names, keyring=keyring, progress=lambda read: bar.update(read, read)
            )
    for one in found:
        for candidate in one.candidates:
            if as_json:
                out_json(_row(one, candidate))
            else:
                out(_line(one, candidate))
    absent = [one for one in found if not one.candidates]
    for one in absent:
        near = ", ".join(map(str, one.nearest))
        say(f"the log knows no paper {one.name!r}" + (f"; nearest: {near}" if near else ""))
    return FAILED if absent else FINE


def _row(one: Resolved, candidate: Candidate) -> dict[str, str | None]:
    kind, value, created_at = candidate.row or (None, None, None)
    return {
        "alias": one.name,
        "pith_number": str(candidate.paper),
        "standing": candidate.standing,
        "alias_kind": kind,
        "alias_value": value,
        "created_at": created_at,
    }


def _line(one: Resolved, candidate: Candidate) -> str:
    row = candidate.row
    says = "the Pith Number itself"
    if row is not None:
        says = f"{shortened(row.kind)} {shortened(row.value)}  {row.created_at}"
    return f"{shortened(one.name)}  {candidate.paper}  {candidate.standing}  {says}"


def _alias_rows(log: Log) -> int:
    with log.snapshot() as snapshot:
        return snapshot.entries(b"aliases")
