"""`pithgraph log`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import click

from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json, say, say_unknown, shortened
from pithgraph.cli.progress import EVENTS, Bar
from pithgraph.identifiers import PithNumber, parse_reference
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.listing import (
    EQUIVOCATION,
    VALID,
    VERDICTS,
    Listed,
    Wanted,
    follow_events,
    list_events,
    list_merged,
    list_refused,
)
from pithgraph.log import Log
from pithgraph.log.layout import RefusedRow
from pithgraph.replaying import find_paper
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED


@click.command("log")
@options.log_folder
@click.argument("pith", required=False, metavar="[PITH]")
@click.option(
    "--order",
    type=click.Choice(["log", "merge"]),
    default="log",
    show_default=True,
    help="`merge`, with PITH: the applied order, and what the merge made of each event.",
)
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    metavar="KIND",
    help="Only events of this event_type, one of the nine kinds.",
)
@click.option(
    "--signer",
    metavar="TEXT",
    help="Only events that name exactly this signer_id, key_id or public_key_fingerprint.",
)
@click.option("--since", metavar="TIME", help="Only what was created at TIME or later.")
@click.option("--until", metavar="TIME", help="Only what was created at TIME or earlier.")
@click.option(
    "--verdict",
    type=click.Choice(VERDICTS),
    metavar="VERDICT",
    help="Only valid or invalid events (`valid`, `invalid`), those of one reason, such as "
    "`unknown_key`, or those that stand in an equivocation (`equivocation`).",
)
@click.option("--follow", is_flag=True, help="Go on with what is appended, until interrupted.")
@click.option("--refused", is_flag=True, help="List what the log refused at ingest instead.")
@options.keyring
@options.json_lines
def command(
    log_path: str,
    pith: str | None,
    order: str,
    kind: str | None,
    signer: str | None,
    since: str | None,
    until: str | None,
    verdict: str | None,
    follow: bool,
    refused: bool,
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """List events with their verdicts, a line each: of the whole log, or of one paper.

    A line has position, created_at, event_type, verdict, paper, signer_id and event_id (the
    event_sha256 where there is none). Verdicts are those of assurance verified. Signers and times
    are what an event says itself: only where it is valid did the signer say so.

    \b
    pithgraph log --log my-log --verdict invalid
    pithgraph log --log my-log N7NXYVEE --order merge
    pithgraph log --log my-log --follow --json
    """
    wanted = Wanted(kind, signer, since, until, verdict)
    merged = order == "merge"
    if refused and (any((pith, merged, follow)) or wanted != Wanted()):
        raise click.UsageError("--refused lists no events: give --log and --json beside it alone")
    if merged and pith is None:
        raise click.UsageError("--order merge is of one paper: name it")
    if follow and (merged or verdict == EQUIVOCATION):
        raise click.UsageError(
            "--follow goes with the order of the log, and not with equivocations: a later event "
            "changes what the merge makes of an earlier one"
        )
    wanted.check()
    if pith is not None:
        parse_reference(pith)
    with Log.open(log_path) as log, ExitStack() as drawn:
        if refused:
            return _refused(log, as_json)
        paper = None if pith is None else find_paper(log, pith)
        keyring = load_keyring(keyring_path)
        if follow:
            listed = follow_events(log, paper, keyring=keyring, wanted=wanted)
        elif merged:
            assert paper is not None
            listed = list_merged(log, paper, keyring=keyring, wanted=wanted)
        else:
            size = partial(_events, log, paper)
            bar = drawn.enter_context(Bar("log", size, EVENTS, beside_results=True))
            listed = list_events(
                log,
                paper,
                keyring=keyring,
                wanted=wanted,
                progress=lambda read: bar.update(read, read),
            )
        _print(listed, keyring, as_json)
    return FINE


def _print(listed: Iterator[Listed], keyring: Keyring, as_json: bool) -> None:
    count = unknown = 0
    for one in listed:
        count += 1
        unknown += one.verdict.reason == "unknown_key"
        if as_json:
            out_json(_row(one))
        else:
            out(_line(one))
    say(f"events: {count}; keyring {keyring.sha256[:16]}…, assurance {VERIFIED}")
    say_unknown(unknown)


def _row(one: Listed) -> dict[str, Any]:
    event, members, verdict, outcome = one.event, one.members, one.verdict, one.outcome
    row: dict[str, Any] = {
        "position": one.position,
        "event_id": event.event_id,
        "event_sha256": event.sha256.hex(),
        "event_type": members.event_type,
        "subject_pith_number": members.subject,
        "target": members.target,
        "created_at": members.created_at,
        "signer": members.signer,
        "verdict": verdict.reason or VALID,
        "detail": verdict.detail,
    }
    if outcome is not None:
        row |= {"merged": outcome.merged, "equivocations": list(outcome.rules)}
    return row


def _line(one: Listed) -> str:
    members = one.members
    verdict = one.verdict.reason or VALID
    if one.outcome is not None and one.verdict.reason is None:
        forks = [rule for rule in one.outcome.rules if rule != "same_slot"]
        verdict = ", ".join([one.outcome.merged, *forks])
    event_id = one.event.event_id or one.event.sha256.hex()
    return "  ".join(
        (
            f"{one.position:>7}",
            f"{shortened(members.created_at):20}",
            f"{shortened(members.event_type):19}",
            f"{verdict:21}",
            f"{_short(members.subject):13}",
            f"{shortened(members.signer['signer_id']):20}",
            event_id,
        )
    )


def _short(subject: str | None) -> str:
    # By its form, which was asked at the door; in a damaged row it may be anything.
    return "-" if subject is None else f"pith:{subject[10:18]}"


def _refused(log: Log, as_json: bool) -> int:
    count = 0
    for row in list_refused(log):
        count += 1
        if as_json:
            out_json({name: getattr(row, name) for name in _REFUSED_MEMBERS})
        else:
            out(_refused_line(row))
    say(f"refused: {count}")
    return FINE


def _refused_line(row: RefusedRow) -> str:
    line = "" if row.line is None else f":{row.line}"
    where = f" {row.where}" if row.where else ""
    place = f"{row.source}{line}{where}"
    return f"{place}: {row.reason}: {row.detail[:_DETAIL_LENGTH]} ({row.size} bytes, {row.sha256})"


def _events(log: Log, paper: PithNumber | None) -> int:
    with log.snapshot() as snapshot:
        return snapshot.size if paper is None else snapshot.counters_of(paper).events


_DETAIL_LENGTH = 1000
_REFUSED_MEMBERS = ("source", "line", "where", "reason", "detail", "size", "sha256")
