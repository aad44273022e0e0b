"""`pithgraph fsck`."""

from __future__ import annotations

import json

import click

from pithgraph.cli import FINE, LOG, options, out, say
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.fsck import Fsck
from pithgraph.sources import load_keyring


@click.command("fsck")
@options.log_folder
@click.option(
    "--deep",
    is_flag=True,
    help="Establish ids, payloads and signatures anew, and compare with what is stored. Only this "
    "finds edits of what a replay trusts.",
)
@options.keyring
@options.json_lines
def command(log_path: str, deep: bool, keyring_path: str | None, as_json: bool) -> int:
    """Check a log: pages, rows, indexes, counters, the Merkle tree, cached states.

    Every row is hashed again and every index entry followed both ways. What is found is named, a
    line each, and the exit code is 4. The log is not changed.

    \b
    pithgraph fsck --log my-log --deep
    """
    found = 0

    with Bar("fsck", lambda: None, EVENTS, beside_results=True) as bar:
        check = Fsck(
            log_path,
            keyring=load_keyring(keyring_path),
            deep=deep,
            progress=lambda read: bar.update(read, read),
        )
        for finding in check:
            found += 1
            out(json.dumps(finding._asdict()) if as_json else "  ".join(finding))
    sums = check.sums
    if check.pages_skipped:
        say(f"pages not checked: {check.pages_skipped}")
    if as_json:
        row = {"findings": found, "pages_checked": not check.pages_skipped, "deep": deep}
        out(json.dumps(row | ({} if sums is None else sums._asdict())))
    else:
        read = "the rows could not be read to their end"
        if sums is not None:
            read = (
                f"checked {sums.events} events, {sums.papers} papers, {sums.aliases} alias rows, "
                f"{sums.refused} refused, {sums.states} cached states"
            )
        out(f"{read}; findings: {found}")
        if sums is not None and sums.untried:
            say(f"{sums.untried} events rest on keys that this keyring has not: name theirs")
    return LOG if found else FINE
