"""Sightings: which events a document shows, who it says signed them, and what the audit found.

What lives here: where each type of document keeps its events, and the finding that judges each.
What must not: judging. A sighting has the verdict of the finding about it, so that a report and the
audit can never differ.

Everything but the verdict is what the document says. Where nothing signs a row, as in a state, a
check that passed says `stated`: the row is as the rules want it, and nobody's signature was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from pithgraph import documents
from pithgraph.audit.findings import ABSENT, Audited, Finding, at, plain
from pithgraph.checkpoints import Checkpoint
from pithgraph.documents import classify
from pithgraph.entries import state_rows
from pithgraph.errors import Refused

Verdict = Literal["pass", "stated", "unconfirmed", "fail"]

# Of one document, and characters of one text. Both bound what a report holds.
_MOST: Final = 1000
_SHOWN: Final = 80
_RECEIPT: Final = "receipt"


class Sighting(NamedTuple):
    """One event in one document. Texts are safe to print, and cut; `key` is the fingerprint, and
    what is missing or no string is an empty text. A record's receipt counts as an event of the kind
    `receipt`, made when it was signed."""

    paper: str
    created_at: str
    kind: str
    signer: str
    key: str
    event_id: str
    verdict: Verdict
    detail: str


class Checked(NamedTuple):
    """A document at its place, such as a file or `FILE:LINE`: its type, or `unreadable`; what was
    found about it; the events that it shows, where somebody asked for them; and the checkpoints in
    it that one of the auditor's verifier keys signed."""

    place: str
    document: str
    findings: tuple[Finding, ...]
    sightings: tuple[Sighting, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()

    @property
    def failed(self) -> list[Finding]:
        """The findings that failed. What is unreadable has one."""
        return [finding for finding in self.findings if finding.status == "fail"]


class _Place(NamedTuple):
    """Where an event stands: the check that judges it, and its members."""

    check: str
    paper: Any
    created_at: Any
    kind: Any
    signer: Any
    key: Any
    event_id: Any
    signed: bool = True


def sightings(value: Any, audited: Audited) -> tuple[Sighting, ...]:
    """The events that a decoded document shows, at most 1,000, in the order in which they stand.
    `audited` is what its audit gave."""
    found = {finding.check: finding for finding in audited.findings}
    places = islice(_places(audited.document, value), _MOST)
    return tuple(_sighting(place, found[place.check]) for place in places if place.check in found)


def _sighting(place: _Place, finding: Finding) -> Sighting:
    verdict: Verdict = "unconfirmed"
    if finding.status == "fail":
        verdict = "fail"
    elif finding.status == "pass":
        verdict = "pass" if place.signed else "stated"
    return Sighting(
        _shown(place.paper),
        _shown(place.created_at),
        _shown(place.kind),
        _shown(place.signer),
        _shown(place.key),
        _shown(place.event_id),
        verdict,
        finding.detail if verdict in ("fail", "unconfirmed") else "",
    )


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    text = plain(value[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _places(document: str, value: Any) -> Iterator[_Place]:
    places = _PLACES.get(document)
    return iter(()) if places is None else places(value)


def _event(check: str, value: Any) -> _Place:
    return _Place(
        check,
        at(value, "subject_pith_number"),
        at(value, "created_at"),
        at(value, "event_type"),
        at(value, "signer", "signer_id"),
        at(value, "signer", "public_key_fingerprint"),
        at(value, "event_id"),
    )


def _events(value: Any) -> Iterator[_Place]:
    events = at(value, "events")
    for index, event in enumerate(events if isinstance(events, list) else ()):
        yield _event(f"events[{index}]", event)


def _record(value: Any) -> Iterator[_Place]:
    receipt = at(value, "receipt")
    if receipt not in (ABSENT, None):
        yield _Place(
            _RECEIPT,
            at(value, "pith_number"),
            at(receipt, "signed_at"),
            _RECEIPT,
            at(receipt, "key_id"),
            at(receipt, "public_key_fingerprint"),
            "",
        )
    yield from _events(value)


def _state(value: Any) -> Iterator[_Place]:
    for where, row, event_type in state_rows(value):
        place = _event(where, row)
        yield place._replace(paper=value.get("pith_number"), kind=event_type, signed=False)


def _proof(value: Any) -> Iterator[_Place]:
    """Both events hold if the proof does."""
    for place in _events(value):
        yield place._replace(check="proof")


def _list(value: Any) -> Iterator[_Place]:
    for index, element in enumerate(value):
        try:
            found = classify(element)
        except Refused:
            continue
        if found.type == documents.EVENT:
            yield _event(f"[{index}]", element)
        elif found.type != documents.LIST:
            for place in _places(found.type, element):
                yield place._replace(check=f"[{index}].{place.check}")


_PLACES: Final[Mapping[str, Callable[[Any], Iterator[_Place]]]] = {
    documents.LIST: _list,
    documents.EVENT: lambda value: iter((_event("event", value),)),
    documents.BUNDLE: _events,
    documents.EVENTS: _events,
    documents.PROOF: _proof,
    documents.RECORD: _record,
    documents.STATE: _state,
}
