"""Events that a document holds: the verdict on each, and what their signers said twice.

What lives here: one event's finding, for bundles, records, lists and single events alike. What
must not: the rules of verdicts (`validation`) and of equivocation (`merge`).

Offline, some verdicts say more about what the auditor has than about the event: a key that his
keyring lacks, an id that only the service can recompute, a signature that was not published. These
are `unconfirmed`. The others contradict the rules, whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pithgraph.audit.findings import Outcome, Part, failed, passed, shown, unconfirmed
from pithgraph.errors import Refused
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.merge import merge
from pithgraph.validation import VERIFIED, Judged, establish, judge

UNCONFIRMED_REASONS: Final = frozenset(
    {"missing_signature", "event_id_unverifiable", "unknown_key"}
)


def judge_value(value: Any, keyring: Keyring) -> Judged | Refused:
    """An event of a document under assurance `verified`, or why it is no event."""
    try:
        event = Event.from_value(value)
    except Refused as error:
        return error
    return Judged(event, judge(event, establish(event, keyring), keyring, VERIFIED))


def event_outcome(judged: Judged | Refused, subject: str | None = None) -> Outcome:
    """What is found about one event; `subject` is the paper that the document is about."""
    if isinstance(judged, Refused):
        return failed(f"refused, {judged}")
    event, verdict = judged
    name = f"{event.view.event_type} {event.view.event_id}" if event.view else "event"
    if subject is not None and event.subject != subject:
        return failed(f"{name} is about another paper: {event.subject}, not {subject}")
    if verdict.reason is None:
        return passed(name)
    say = unconfirmed if verdict.reason in UNCONFIRMED_REASONS else failed
    return say(f"{name}: {verdict.reason}: {verdict.detail}")


def equivocation_parts(judged: Iterable[Judged | Refused], keyring: Keyring) -> Iterator[Part]:
    """Every slot in which a key of the keyring said two things (SPEC §7, 2). That is a fact about
    the signer, and the document that shows it may be all right: `unconfirmed`."""
    papers: dict[str, list[Judged]] = {}
    for one in judged:
        if isinstance(one, Judged) and one.verdict.reason is None:
            papers.setdefault(one.event.subject, []).append(one)
    rows = [
        row
        for paper, events in papers.items()
        for row in merge(paper, events, (), keyring.sha256, VERIFIED).equivocations
    ]
    for index, row in enumerate(rows):
        yield (
            f"[{index}]",
            unconfirmed(
                f"{row.rule} by key {row.public_key_fingerprint}, slot {shown(row.slot)}: "
                + ", ".join(row.event_ids)
            ),
        )
    if not rows:
        yield "", passed(f"none among {sum(map(len, papers.values()))} valid events")
