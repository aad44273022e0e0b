"""`pithgraph explain`."""

from __future__ import annotations

import re
from typing import Any

import click

from pithgraph.checkpointing import find_event
from pithgraph.cli import FINE, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.errors import LogError
from pithgraph.explaining import (
    FAILED,
    PASSED,
    CheckMade,
    Explanation,
    Fate,
    checks_made,
    explain,
)
from pithgraph.identifiers import PithNumber, parse_pith_number, parse_reference
from pithgraph.keyring import Keyring
from pithgraph.log import Log, Snapshot
from pithgraph.merging import aliases_of, damaged_rows, judged_of
from pithgraph.replaying import find_paper
from pithgraph.resolution import APPLIED, INVALID
from pithgraph.sources import load_keyring
from pithgraph.validation import Assurance, establish

# A position has fewer digits than a short form has characters.
_EVENT = re.compile(r"sha256:.*|[0-9a-fA-F]{64}|[0-9]{1,7}")


@click.command("explain")
@options.log_folder
@click.argument("what", metavar="EVENT|PITH")
@options.assurance
@options.keyring
@options.json_lines
def command(
    log_path: str, what: str, assurance: Assurance, keyring_path: str | None, as_json: bool
) -> int:
    """Say why an event counts or not, or where each field of a paper's state is from.

    EVENT is a position, an event_sha256 or an event_id (`sha256:...`): each check that it met, in
    order, with the values compared, and what the merge made of it. PITH is a paper: what became of
    each of its events and alias rows, and which event supplies each field, which lost, and why.

    \b
    pithgraph explain --log my-log N7NXYVEE
    pithgraph explain --log my-log 17
    """
    is_event = _EVENT.fullmatch(what.strip()) is not None
    if not is_event:
        parse_reference(what)
    with Log.open(log_path) as log:
        paper = None if is_event else find_paper(log, what)
        keyring = load_keyring(keyring_path)
        with log.snapshot() as snapshot:
            if paper is None:
                _explain_event(snapshot, what, keyring, assurance, as_json)
            else:
                found = _explanation(snapshot, paper, keyring, assurance)
                (_print_json if as_json else _print)(paper, found)
    say(f"under keyring {keyring.sha256}, assurance {assurance}")
    return FINE


def _explanation(
    snapshot: Snapshot, paper: PithNumber, keyring: Keyring, assurance: Assurance
) -> Explanation:
    with damaged_rows(str(paper)):
        judged = judged_of(snapshot, snapshot.index_of(paper), keyring, assurance)
        return explain(str(paper), judged, aliases_of(snapshot, paper))


# --- an event --------------------------------------------------------------------------------


def _explain_event(
    snapshot: Snapshot, what: str, keyring: Keyring, assurance: Assurance, as_json: bool
) -> None:
    stored = find_event(snapshot, what)
    event = stored.event
    with damaged_rows(event.subject):
        facts = establish(event, keyring, stored.facts)
        checks = checks_made(event, facts, keyring, assurance)
    found = _explanation(snapshot, parse_pith_number(event.subject), keyring, assurance)
    fate = next((one for one in found.fates if one.event.sha256 == event.sha256), None)
    if fate is None:
        raise LogError(
            f"the index of {event.subject} has not the event at position {stored.position}: the "
            "log is damaged; see `pithgraph fsck`"
        )
    if as_json:
        row = {"position": stored.position, **_row_of(fate)}
        out_json({**row, "checks": [check._asdict() for check in checks]})
        return
    out(f"event {event.event_id or event.sha256.hex()}")
    out(f"  at position {stored.position}, about {event.subject}, digest {event.sha256.hex()}")
    for check in checks:
        _print_check(check)
    _print_outcome(fate)


def _print_check(check: CheckMade) -> None:
    colour = {PASSED: "green", FAILED: "red"}.get(check.outcome)
    text = f": {check.compared}" if check.compared else ""
    out(f"  {check.outcome.replace('_', ' '):10} {check.reason}{text}", colour)


def _print_outcome(fate: Fate) -> None:
    why = f": {fate.why}" if fate.why else ""
    out(f"  so it is {_WORDS.get(fate.outcome, fate.outcome)}{why}")
    if fate.forks:
        out(f"  and forks: its key let {', '.join(fate.forks)} follow the same event, too")


_WORDS = {"gave_way": "left out, as it gives way", INVALID: "invalid, and listed so"}


def _row_of(fate: Fate) -> dict[str, Any]:
    event = fate.event
    return {
        "event_id": event.event_id,
        "event_sha256": event.sha256.hex(),
        "subject_pith_number": event.subject,
        "event_type": event.view.event_type if event.view else None,
        "created_at": event.timestamp,
        "outcome": fate.outcome,
        "why": fate.why,
        "forks": list(fate.forks),
    }


# --- a paper ---------------------------------------------------------------------------------


def _print_json(paper: PithNumber, found: Explanation) -> None:
    """One object for the paper."""
    out_json(
        {
            "pith_number": str(paper),
            "events": [_row_of(fate) for fate in found.fates],
            "fields": [
                {
                    "field": supply.field,
                    "event_ids": list(supply.event_ids),
                    "lost": [{"event_id": one, "rule": rule} for one, rule in supply.lost],
                }
                for supply in found.fields
            ],
            "aliases": [
                {
                    "alias_kind": one.alias.kind,
                    "alias_value": one.alias.value,
                    "created_at": one.alias.created_at,
                    "shown": one.shown,
                    "why": one.why,
                }
                for one in found.aliases
            ],
        }
    )


def _print(paper: PithNumber, found: Explanation) -> None:
    out(f"{paper}: events {len(found.fates)}, alias rows {len(found.aliases)}")
    for fate in found.fates:
        kind = fate.event.view.event_type if fate.event.view else "no event's form"
        name = fate.event.event_id or fate.event.sha256.hex()
        why = f": {fate.why}" if fate.why else ""
        forks = f"; forks with {', '.join(fate.forks)}" if fate.forks else ""
        colour = "green" if fate.outcome == APPLIED else "yellow"
        time = fate.event.timestamp or "without a time"
        out(f"  {fate.outcome:9} {time:20} {kind} {name}{why}{forks}", colour)
    for supply in found.fields:
        by = ", ".join(supply.event_ids) or "no event"
        out(f"  current.{supply.field} from {by}")
        for event_id, rule in supply.lost:
            out(f"    not {event_id}: {rule}")
    for one in found.aliases:
        name = f"{one.alias.kind} {one.alias.value} of {one.alias.created_at}"
        out(f"  alias {name}: {'shown' if one.shown else f'not shown: {one.why}'}")
