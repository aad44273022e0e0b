"""`pithgraph storage check`."""

from __future__ import annotations

from typing import Any

import click

from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.errors import IdentifierError
from pithgraph.log import Log
from pithgraph.replaying import current_state, find_paper
from pithgraph.sources import load_keyring
from pithgraph.storing import Stored, stored_in


@click.group("storage")
def command() -> None:
    """Hold stored files against what storage attestations say of them."""


@command.command("check")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False))
@click.argument("pith", metavar="[PITH]", required=False)
@options.log_option(required=False, help="The log that has the paper.")
@click.option("--sha256", metavar="HEX", help="The digest to look for, without a log.")
@options.keyring
@options.json_lines
def check(
    path: str,
    pith: str | None,
    log_path: str | None,
    sha256: str | None,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Hash a file, and each record of a WARC, and compare with the attestations of a paper.

    Of a WARC record two digests count: that of its block, and that of its payload, which is the
    block without the HTTP header. Exit 1 where nothing in the file has a digest that is attested.
    With neither --log and PITH nor --sha256 the digests are only printed, to be attested.

    \b
    pithgraph storage check paper.pdf
    pithgraph storage check paper.warc.gz N7NXYVEE --log my-log
    """
    if pith is not None and sha256 is not None:
        raise click.UsageError("give a PITH or --sha256, and not both")
    if pith is not None and log_path is None:
        raise click.UsageError("a PITH is looked for in a log: give --log")
    wanted = _wanted(pith, log_path, sha256, keyring_path)
    matches = 0
    for stored in stored_in(path):
        said = [row for row in wanted or [] if row["sha256"] == stored.sha256]
        matches += bool(said)
        _print(stored, said, as_json)
    if wanted is None:
        return FINE
    say(f"{path}: digests that are attested: {matches}, of {len(wanted)} that are looked for")
    return FINE if matches else FAILED


def _wanted(
    pith: str | None, log_path: str | None, sha256: str | None, keyring_path: str | None
) -> list[dict[str, Any]] | None:
    """The digests to look for, each with the event that attests it; None where there is no ask."""
    if sha256 is not None:
        if len(sha256) != 64 or not all(letter in "0123456789abcdefABCDEF" for letter in sha256):
            raise IdentifierError(f"{sha256[:100]!r} is no SHA-256 in 64 hex digits")
        return [{"sha256": sha256.lower(), "event_id": None, "uri": None}]
    if pith is None or log_path is None:
        return None
    with Log.open(log_path) as log:
        state = current_state(log, find_paper(log, pith), keyring=load_keyring(keyring_path))
    return [
        {
            "sha256": row["payload"]["content_sha256"],
            "event_id": row["event_id"],
            "uri": row["payload"]["uri"],
        }
        for row in state.document["current"]["storage_attestations"]
        if "content_sha256" in row["payload"]
    ]


def _print(stored: Stored, said: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        out_json(stored._asdict() | {"attested_by": [row["event_id"] for row in said]})
        return
    uri = f" of {stored.uri}" if stored.uri else ""
    out(f"{stored.sha256}  {stored.what}{uri}", "green" if said else None)
    for row in said:
        if row["event_id"]:
            out(f"  attested by {row['event_id']} for {row['uri']}")
