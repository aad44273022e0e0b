"""A state's rows, merged again, and what a state document cannot show (SPEC §7).

What lives here: the rows of a state as judged events, and the comparison of the document with the
merge of its own rows. What must not: other checks of a state (`state`).

A state shows the events that are applied, but for all record_created after the first. It does not
show withheld or invalid events, nor a stated event that gives way to a verified one; and where the
record_created is withheld, canonical_record stands there without its row. Each such gap blocks the
comparisons that it touches, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pithgraph.audit.findings import Part, agree, at, skipped
from pithgraph.documents import AliasRow, view
from pithgraph.entries import event_of_row, state_rows
from pithgraph.errors import IdentifierError, Refused
from pithgraph.identifiers import PithNumber, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.merge import PaperAlias, merge
from pithgraph.resolution import SAME_SLOT
from pithgraph.validation import STATED, Judged, establish, judge


class Row(NamedTuple):
    """A row of a state, where it stands, and the event that it stands for: judged as stated, or
    refused."""

    where: str
    event_type: str
    value: Any
    judged: Judged | Refused


class StateCase(NamedTuple):
    """A state document of the right shape, and its rows."""

    value: dict[str, Any]
    keyring: Keyring
    number: PithNumber | None
    rows: list[Row]

    @property
    def record(self) -> dict[str, Any] | None:
        """current.canonical_record."""
        record: dict[str, Any] | None = self.value["current"]["canonical_record"]
        return record

    @property
    def applied_without_row(self) -> list[str]:
        """The applied event_ids that no bucket holds."""
        with_row = self.times
        return [i for i in self.value["applied_event_ids"] if i not in with_row]

    @property
    def times(self) -> dict[str, Any]:
        """The created_at of each row by its event_id."""
        return {
            event_id: at(row.value, "created_at")
            for row in self.rows
            if isinstance(event_id := at(row.value, "event_id"), str)
        }

    @property
    def withheld(self) -> set[str]:
        """The event_ids of the equivocations by which both sides are withheld."""
        return {
            event_id
            for row in self.value["equivocations"]
            if at(row, "rule") == SAME_SLOT
            for event_id in _strings(at(row, "event_ids"))
        }

    @property
    def shown_valid_events(self) -> int:
        """How many valid events the document names: applied ones and those of equivocations."""
        named = set(self.value["applied_event_ids"])
        for row in self.value["equivocations"]:
            named.update(_strings(at(row, "event_ids")))
        return len(named)


def rows_of(value: dict[str, Any], keyring: Keyring) -> list[Row]:
    """The rows of a state as unsigned events, judged under assurance `stated` (SPEC §4, §6)."""
    rows = []
    for where, row, event_type in state_rows(value):
        judged: Judged | Refused
        try:
            event = event_of_row(row, event_type, value["pith_number"])
            judged = Judged(event, judge(event, establish(event, keyring), keyring, STATED))
        except Refused as error:
            judged = error
        rows.append(Row(where, event_type, row, judged))
    return rows


def replay_parts(case: StateCase) -> Iterator[Part]:
    """The document against the merge of its rows and aliases, as stated (SPEC §7)."""
    gaps: dict[str, str] = {}
    for blocked, reason in _gaps(case):
        for name in blocked:
            gaps.setdefault(name, reason)
    if gaps.keys() == set(_COMPARED):
        for name in _COMPARED:
            yield f".{name}", skipped(gaps[name])
        return
    judged = [row.judged for row in case.rows if isinstance(row.judged, Judged)]
    number = case.value["pith_number"]
    state = merge(number, judged, _aliases(case), case.keyring.sha256, STATED).document
    for name in _COMPARED:
        if name in gaps:
            yield f".{name}", skipped(gaps[name])
        else:
            yield f".{name}", agree(case.value[name], state[name], "its rows give")


_COMPARED: Final = ("current", "applied_event_ids", "state_sha256")


def _gaps(case: StateCase) -> Iterator[tuple[tuple[str, ...], str]]:
    """What the document does not show: (the comparisons that this blocks, the reason)."""
    value, current = case.value, case.value["current"]
    try:
        parse_pith_number(value["pith_number"])
    except IdentifierError as error:
        yield _COMPARED, str(error)
    for row in case.rows:
        if isinstance(row.judged, Refused) or row.judged.verdict.reason is not None:
            yield _COMPARED, f"{row.where} is not valid under this keyring"
    if current["canonical_record"] is not None and current["record_created"] is None:
        reason = "canonical_record has no row: its record_created is withheld"
        yield ("current", "state_sha256"), reason
    if case.applied_without_row and current["record_created"] is not None:
        reason = "applied events without a row: further record_created"
        yield ("applied_event_ids", "state_sha256"), reason
    if value["equivocations"]:
        yield ("state_sha256",), "the document does not show the events of its equivocations"
    if value["invalid_events"] or value["invalid_event_count"]:
        yield ("state_sha256",), "the document does not show its invalid events"
    if value["valid_event_count"] > case.shown_valid_events:
        reason = "the document does not show all of its valid events"
        yield ("state_sha256",), reason


def _aliases(case: StateCase) -> Iterator[PaperAlias]:
    for row in case.value["current"]["source_aliases"]:
        try:
            alias = view(row, AliasRow)
        except Refused:
            continue  # a finding of its own, and the comparison shows that it is missing
        yield PaperAlias(alias.alias_kind, alias.alias_value, alias.created_at)


def _strings(value: Any) -> list[str]:
    return [i for i in value if isinstance(i, str)] if isinstance(value, list) else []
