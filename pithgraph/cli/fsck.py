"""`pithgraph fsck`."""

from __future__ import annotations

import click

from pithgraph.cli import FINE, LOG, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.fsck import Fsck
from pithgraph.repairing import repair
from pithgraph.sources import load_keyring


@click.command("fsck")
@options.log_folder
@click.option(
    "--deep",
    is_flag=True,
    help="Establish ids, payloads and signatures anew, and compare with what is stored. Only this "
    "finds edits of what a replay trusts.",
)
@click.option(
    "--repair",
    "repairs",
    is_flag=True,
    help="Make the log anew from the rows of its events, and put it in the place of the old one. "
    "What is damaged is set aside in a file of the log's folder. Restore a backup where there is "
    "one.",
)
@options.keyring
@options.json_lines
def command(
    log_path: str, deep: bool, repairs: bool, keyring_path: str | None, as_json: bool
) -> int:
    """Check a log: pages, rows, indexes, counters, the Merkle tree, cached states.

    Every row is hashed again and every index entry followed both ways. What is found is named, a
    line each, and the exit code is 4. Without --repair the log is not changed; with it, the log is
    made anew first, and then checked; where something was lost, the exit code is 4 all the same,
    and the old log's file stays beside the new one.

    \b
    pithgraph fsck --log my-log --deep
    """
    found = 0
    lost = repairs and _repair(log_path, keyring_path, as_json)

    with Bar("fsck", lambda: None, EVENTS, beside_results=True) as bar:
        check = Fsck(
            log_path,
            keyring=load_keyring(keyring_path),
            deep=deep,
            progress=lambda read: bar.update(read, read),
        )
        for finding in check:
            found += 1
            if as_json:
                out_json(finding._asdict())
            else:
                out("  ".join(finding), "red")
    if found and not repairs:
        say(
            "restore the log from a backup where there is one (README, `Keep it safe`); otherwise "
            "`pithgraph fsck --repair` makes it anew of what is sound"
        )
    sums = check.sums
    if check.pages_skipped:
        say(f"pages not checked: {check.pages_skipped}")
    if as_json:
        row = {"findings": found, "pages_checked": not check.pages_skipped, "deep": deep}
        out_json(row | ({} if sums is None else sums._asdict()))
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
    return LOG if found or lost else FINE


def _repair(log_path: str, keyring_path: str | None, as_json: bool) -> bool:
    """Whether something was lost."""
    with Bar("repair", lambda: None, EVENTS) as bar:
        done = repair(
            log_path,
            keyring=load_keyring(keyring_path),
            progress=lambda taken: bar.update(taken, taken),
        )
    if as_json:
        paths = {
            name: None if path is None else str(path)
            for name, path in (("aside", done.aside), ("kept", done.kept))
        }
        out_json({"repaired": done._asdict() | paths})
        return done.kept is not None
    out(
        f"repaired: {done.events} events, {done.aliases} alias rows, {done.refused} refused; "
        f"events lost: {done.lost}; alias rows lost: {done.lost_aliases}; "
        f"refused rows lost: {done.lost_refused}; "
        f"facts established anew: {done.established}; set aside: {done.set_aside}"
    )
    if done.aside is not None:
        out(f"what was set aside, with its bytes: {done.aside}")
    if done.moved is None:
        out("every event is at its position: the Merkle tree is that of before")
    else:
        out(
            f"from position {done.moved} on the events are others than before, so the Merkle tree "
            "is another, and checkpoints of more than so many events no longer hold. If there is "
            "a backup, restore it instead."
        )
    if done.kept is not None:
        out(f"the old log's file, of which something was lost: {done.kept}")
    return done.kept is not None
