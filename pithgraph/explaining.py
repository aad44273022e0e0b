"""Why a state is as it is: each check that an event met, and what became of it (SPEC §6, §7).

What lives here: the values that a verdict compared, and which event supplies or lost each field of
a state. What must not: any rule; verdicts come from `validation`, the choice among events from
`resolution`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from pithgraph.canonical import decode
from pithgraph.events import Event
from pithgraph.identifiers import Alias, alias_time, derive_aliases, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS, RECORD_CREATED
from pithgraph.merge import PaperAlias, canonical_record_of
from pithgraph.resolution import (
    APPLIED,
    FORK,
    GAVE_WAY,
    INVALID,
    REPEATED,
    SAME_SLOT,
    WITHHELD,
    Equivocation,
    Resolution,
    resolve,
)
from pithgraph.validation import (
    CHECKS,
    STATED,
    TOLERATED_AS_STATED,
    Assurance,
    Case,
    Facts,
    Judged,
    Verdict,
    case_of,
)

PASSED: Final = "pass"
FAILED: Final = "fail"
TOLERATED: Final = "tolerated"
NOT_ASKED: Final = "not_asked"


class CheckMade(NamedTuple):
    """One check of SPEC §6, by the reason that it gives: how it ended, and the values compared."""

    reason: str
    outcome: str
    compared: str


class Fate(NamedTuple):
    """What the merge made of an event: `applied`, `withheld` by an equivocation, `gave_way`
    (stated, in a slot where a verified event stands), `repeated` by another event of its event_id,
    or `invalid`; and why. `forks` says which other events follow the event that it follows."""

    event: Event
    verdict: Verdict
    outcome: str
    why: str
    forks: tuple[str, ...]


class Supply(NamedTuple):
    """A field of `current`: the event_ids that supply it, in their order, and what lost, each with
    the rule by which it did."""

    field: str
    event_ids: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]


class AliasFate(NamedTuple):
    """An alias row: whether `source_aliases` shows it, and why not."""

    alias: PaperAlias
    shown: bool
    why: str


class Explanation(NamedTuple):
    """All of a paper: its events in merge order, then those without a timestamp; the fields of its
    state; its alias rows."""

    fates: tuple[Fate, ...]
    fields: tuple[Supply, ...]
    aliases: tuple[AliasFate, ...]


def checks_made(
    event: Event, facts: Facts, keyring: Keyring, assurance: Assurance
) -> list[CheckMade]:
    """Each check in its order (SPEC §6). `facts` are as `validation.judge` takes them."""
    if event.view is None:
        first = CheckMade("malformed", FAILED, event.malformed or "")
        return [first, *(CheckMade(reason, NOT_ASKED, "") for reason, _ in CHECKS)]
    made = [CheckMade("malformed", PASSED, "each member that an event needs is there, in its form")]
    case = case_of(event.view, event.signer, facts, keyring)
    failed = False
    for reason, check in CHECKS:
        if failed:
            made.append(CheckMade(reason, NOT_ASKED, ""))
            continue
        fault = check(case)
        if fault is None:
            made.append(CheckMade(reason, PASSED, _COMPARED[reason](event, case)))
        elif assurance == STATED and reason in TOLERATED_AS_STATED:
            made.append(CheckMade(reason, TOLERATED, fault))
        else:
            failed = True
            made.append(CheckMade(reason, FAILED, f"{fault}; {_COMPARED[reason](event, case)}"))
    return made


def explain(
    pith_number: str, judged: Iterable[Judged], aliases: Iterable[PaperAlias]
) -> Explanation:
    """What became of each event and alias row of a paper, and where each field is from."""
    judged = [*judged]
    resolution = resolve(judged)
    fates = _fates(judged, resolution)
    return Explanation(
        tuple(sorted(fates, key=_merge_order)),
        tuple(_fields(resolution, fates)),
        tuple(_alias_fates(pith_number, canonical_record_of(resolution.valid.values()), aliases)),
    )


def _merge_order(fate: Fate) -> tuple[str, str, bytes]:
    event = fate.event
    return event.timestamp or "~", event.event_id or "", event.sha256


def _fates(judged: Iterable[Judged], resolution: Resolution) -> list[Fate]:
    applied = {one.event_id for one in resolution.applied}
    slots = _others(resolution.equivocations, SAME_SLOT)
    forks = _others(resolution.equivocations, FORK)
    fates: dict[bytes, Fate] = {}
    for event, verdict in judged:
        ids = forks.get(event.event_id or "", ())
        outcome, why = _outcome(event, verdict, resolution, applied, slots)
        fates[event.sha256] = Fate(event, verdict, outcome, why, ids if outcome != INVALID else ())
    return [*fates.values()]


def _outcome(
    event: Event,
    verdict: Verdict,
    resolution: Resolution,
    applied: set[str],
    slots: dict[str, tuple[str, ...]],
) -> tuple[str, str]:
    if verdict.reason is not None:
        return INVALID, f"{verdict.reason}: {verdict.detail}"
    event_id = event.event_id or ""
    stays = resolution.valid[event_id]
    if stays.event.sha256 != event.sha256:
        rule = "is verified" if verdict.stated and not stays.stated else "has the lesser digest"
        return REPEATED, f"event {stays.event.sha256.hex()} has the same event_id and {rule}"
    if event_id in resolution.withheld:
        return WITHHELD, f"its key also signed, in the same slot, {', '.join(slots[event_id])}"
    if event_id not in applied:
        return GAVE_WAY, "nobody's signature stands for it, and a verified event is in its slot"
    return APPLIED, "stated, and not verified" if verdict.stated else ""


def _others(rows: Iterable[Equivocation], rule: str) -> dict[str, tuple[str, ...]]:
    """For each event of an equivocation of this rule, the others of it."""
    others: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if row.rule == rule:
            for event_id in row.event_ids:
                others[event_id] = tuple(one for one in row.event_ids if one != event_id)
    return others


def _fields(resolution: Resolution, fates: Iterable[Fate]) -> list[Supply]:
    """The fields of `current` that events supply (SPEC §7, 3), sorted by name."""
    by_bucket: dict[str, list[str]] = {}
    for one in resolution.applied:
        by_bucket.setdefault(KINDS[one.view.event_type].bucket, []).append(one.event_id)
    lost: dict[str, list[tuple[str, str]]] = {}
    for fate in fates:
        if fate.outcome not in (APPLIED, INVALID) and fate.event.view is not None:
            bucket = KINDS[fate.event.view.event_type].bucket
            lost.setdefault(bucket, []).append((fate.event.event_id or "", fate.outcome))
    records = by_bucket.get(RECORD_CREATED, [])
    lost.setdefault(RECORD_CREATED, []).extend(
        (event_id, "later in the applied order") for event_id in records[1:]
    )
    by_bucket[RECORD_CREATED] = records[:1]
    valid = sorted(
        one.event_id for one in resolution.valid.values() if one.view.event_type == RECORD_CREATED
    )
    supplies = [
        Supply(name, tuple(by_bucket.get(name, ())), tuple(sorted(lost.get(name, ()))))
        for name in sorted({*by_bucket, *lost})
    ]
    # Of any valid one, also one that is not applied: all of them hash to the paper's number.
    return [Supply("canonical_record", tuple(valid), ()), *supplies]


def _alias_fates(
    pith_number: str, record: bytes | None, aliases: Iterable[PaperAlias]
) -> list[AliasFate]:
    """SPEC §7, 4."""
    value: Any = None if record is None else decode(record)
    derivable = {*derive_aliases(parse_pith_number(pith_number), value)}
    rows = sorted(set(aliases), key=lambda row: (row.kind, row.value, row.created_at))
    earliest: dict[Alias, str] = {}
    for row in rows:
        time = alias_time(row.created_at)
        alias = Alias(row.kind, row.value)
        if time is not None and time < earliest.get(alias, "~"):
            earliest[alias] = time
    fates = []
    for row in rows:
        alias = Alias(row.kind, row.value)
        time = alias_time(row.created_at)
        if alias not in derivable:
            why = "not derivable from the paper's number or canonical record"
        elif time is None:
            why = "created_at is no timestamp"
        elif time != earliest[alias]:
            why = f"another row of it is of {earliest[alias]}"
        else:
            why = ""
        fates.append(AliasFate(row, not why, why))
    return fates


# --- the values that each check looks at -----------------------------------------------------


def _target(event: Event, case: Case) -> str:
    form = case.kind.target.pattern if case.kind else "none"
    return f"target {case.view.target!r}, the kind's form is {form}"


def _signature_there(event: Event, case: Case) -> str:
    signature = case.view.signature
    return "signature is absent" if signature is None else f"signature by {signature.key_id!r}"


def _id(event: Event, case: Case) -> str:
    return f"event_id {case.view.event_id}, computed {event.computed_id}"


def _key(event: Event, case: Case) -> str:
    fingerprint = case.signer.public_key_fingerprint
    key = f"the keyring's {case.key.key_id!r}" if case.key else "no key of the keyring"
    return f"fingerprint {fingerprint!r}: {key}"


def _signer(event: Event, case: Case) -> str:
    names = ("key_id", "signer_id", "signer_type")
    stated = {name: getattr(case.signer, name) for name in names}
    known = {name: getattr(case.key, name) for name in names} if case.key else {}
    return f"the event says {stated}, the keyring {known}"


def _window(event: Event, case: Case) -> str:
    if case.key is None:
        return ""
    since, until = case.key.valid_from or "ever", case.key.valid_until or "ever"
    revoked = "revoked" if case.key.revoked else "not revoked"
    return f"created_at {case.view.created_at}, the key's window is {since} to {until}, {revoked}"


def _signature(event: Event, case: Case) -> str:
    if case.view.signature is None:
        return "there is none"
    verifies = "verifies" if case.signed else "does not verify"
    return f"signature_b64 {verifies} over event_id under {case.signer.public_key_fingerprint}"


def _types(event: Event, case: Case) -> str:
    types = case.kind.signer_types if case.kind else None
    allowed = "anybody" if types is None else " or ".join(sorted(types))
    return f"signer_type {case.signer.signer_type!r}, the kind allows {allowed}"


def _payload(event: Event, case: Case) -> str:
    receipt = case.facts.receipt
    if receipt is None:
        return f"the payload's rules of {case.view.event_type}"
    return f"the payload's rules of {case.view.event_type}, and a receipt by {receipt.key_id!r}"


_COMPARED: Final[dict[str, Callable[[Event, Case], str]]] = {
    "unknown_event_type": lambda event, case: f"event_type {case.view.event_type!r}",
    "invalid_timestamp": lambda event, case: f"created_at {case.view.created_at!r}",
    "target_mismatch": _target,
    "missing_signature": _signature_there,
    "event_id_unverifiable": _id,
    "event_id_mismatch": _id,
    "unknown_key": _key,
    "signer_mismatch": _signer,
    "key_not_valid": _window,
    "bad_signature": _signature,
    "unauthorized_signer": _types,
    "invalid_payload": _payload,
}
