"""The arena: attacks on a log of two honest papers, made by the public API.

What lives here: bringing an attack into a log and out again, and asking whether it changed anything
or how it was found out. What must not: the attacks, and the rules that stop them.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pithgraph
from pithgraph import Event, Keyring, State
from pithgraph.errors import PithgraphError
from signing import (
    ALICE,
    OTHER_PAPER,
    PAPER,
    REGISTRY_B,
    WINDOWED,
    Json,
    Key,
    at,
    b64,
    canonical,
    changed,
    keyring_value,
    signed_event,
)

ASSURANCES: Sequence[Any] = ("verified", "stated")
DOORS: Sequence[Any] = ("all", "authentic")
RING = Keyring.from_value(keyring_value())

# What the door `authentic` asks (SPEC §6); whatever else is wrong is let in, and found invalid.
DOOR_REASONS = {
    *("malformed", "missing_signature", "event_id_unverifiable", "event_id_mismatch"),
    *("unknown_key", "bad_signature"),
}

RECORD = signed_event("record_created")
SNAPSHOT = signed_event("graph_snapshot", created_at=at(2))
ATTESTATION = signed_event("author_attestation", created_at=at(3))
CORRECTION = signed_event("correction", created_at=at(4), previous_event_id=ATTESTATION["event_id"])
ANCHOR = signed_event("timestamp_anchor", created_at=at(5))
WINDOW_SNAPSHOT = signed_event("graph_snapshot", WINDOWED, created_at=at(1))
OTHER_RECORD = signed_event("record_created", paper=OTHER_PAPER)
OTHER_CORRECTION = signed_event("correction", ALICE, paper=OTHER_PAPER, created_at=at(6))
HONEST: list[Json] = [
    *(RECORD, SNAPSHOT, ATTESTATION, CORRECTION, ANCHOR, WINDOW_SNAPSHOT),
    *(OTHER_RECORD, OTHER_CORRECTION),
]
"""Two papers, and all of what four keys have said about them."""


class Mirror(NamedTuple):
    """What a log made of its input: the states by assurance and paper, and the reason for each
    thing refused, by its digest."""

    states: dict[str, dict[str, State]]
    refused: dict[str, str]

    def cores(self, assurance: str) -> dict[str, str]:
        return {name: state.core_sha256 for name, state in self.states[assurance].items()}

    def applied(self, assurance: str) -> dict[str, list[str]]:
        states = self.states[assurance].items()
        return {name: state.document["applied_event_ids"] for name, state in states}

    def applied_ids(self, assurance: str) -> set[str]:
        """What is applied of the paper that most attacks are about."""
        return set(self.applied(assurance)[PAPER.number])

    def invalid(self, assurance: str) -> dict[str, str]:
        """The reason for each invalid event, by its digest."""
        rows = (row for state in self.states[assurance].values() for row in state.invalid_events)
        return {row.event_sha256: row.reason for row in rows}


def line(value: Json | bytes) -> bytes:
    return value if isinstance(value, bytes) else canonical(value)


def sha256(value: Json | bytes) -> str:
    return hashlib.sha256(line(value)).hexdigest()


def mirror(
    lines: Iterable[Json | bytes],
    ring: Keyring = RING,
    admit: Any = "all",
    *,
    documents: Iterable[Json] = (),
    replayed: Keyring | None = None,
    workers: int = 0,
) -> Mirror:
    """Ingest lines, and documents in files of their own, into a new log under one keyring; replay
    it under that or another. Every state has the bytes that `merge_events` gives for what the door
    let in, judged from scratch."""
    replayed = replayed or ring
    lines = list(lines)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, "0.jsonl")]
        paths[0].write_bytes(b"".join(line(one) + b"\n" for one in lines))
        for number, document in enumerate(documents, 1):
            paths.append(Path(folder, f"{number}.json"))
            paths[-1].write_text(json.dumps(document, indent=1))
        with pithgraph.LogWriter.open(Path(folder, "log")) as log:
            done = pithgraph.ingest(log, paths, keyring=ring, admit=admit, workers=workers)
            with log.snapshot() as snapshot:
                refused = {row.sha256: row.reason for row in snapshot.refused()}
                stored = [snapshot.event_at(n).event.canonical for n in range(snapshot.size)]
            states = {
                assurance: {
                    state.pith_number: state
                    for state in pithgraph.replay(log, keyring=replayed, assurance=assurance)
                }
                for assurance in ASSURANCES
            }
            if replayed is not ring:
                check_cache(log, states, ring, replayed)
    kept = {hashlib.sha256(one).hexdigest() for one in stored} | refused.keys()
    assert all(sha256(one) in kept for one in lines if not isinstance(one, bytes))
    if replayed is ring:
        counts = [state.invalid_event_count for state in states["verified"].values()]
        assert done.invalid == sum(counts)
    events = [Event.from_bytes(one) for one in stored]
    for assurance, found in states.items():
        assert found.keys() == {event.subject for event in events}
        for paper, state in found.items():
            merged = pithgraph.merge_events(paper, events, [], replayed, assurance)  # type: ignore[arg-type]
            assert state.canonical == merged.canonical
    return Mirror(states, refused)


def check_cache(
    log: pithgraph.LogWriter, states: dict[str, dict[str, State]], before: Keyring, now: Keyring
) -> None:
    """That what was cached under one keyring is not given under another."""
    for assurance, found in states.items():
        for name, state in found.items():
            paper = pithgraph.parse_pith_number(name)
            for ring in (before, now, now):
                last = pithgraph.current_state(log, paper, keyring=ring, assurance=assurance)  # type: ignore[arg-type]
            assert last == state


def check_in_vain(
    *attack: Json,
    reason: str,
    door: str | None = None,
    ring: Keyring = RING,
    honest: Sequence[Json] = HONEST,
) -> None:
    """That an attack leaves the honest papers alone, and each of its events has this reason, under
    either assurance, before the honest events and after them. The door `authentic` refuses the
    attack for the reason `door`, or for `reason` where that is one it asks for."""
    door = door or (reason if reason in DOOR_REASONS else None)
    before = honest_mirror(honest, ring)
    found = {sha256(event): reason for event in attack}
    for admit in DOORS:
        for lines in ([*attack, *honest], [*honest, *attack]):
            after = mirror(lines, ring, admit)
            is_refused = admit == "authentic" and door is not None
            assert after.refused == (
                {sha256(event): door for event in attack} if is_refused else {}
            )
            for assurance in ASSURANCES:
                assert after.invalid(assurance) == ({} if is_refused else found)
                check_untouched(before, after, assurance)


def check_tolerated(
    *attack: Json, reason: str, gives_way: bool, honest: Sequence[Json] = HONEST
) -> None:
    """The same of what only assurance `stated` tolerates. There it is applied as stated, unless it
    gives way to what is verified; what is verified it never displaces."""
    before = honest_mirror(honest, RING)
    found = {sha256(event): reason for event in attack}
    for lines in ([*attack, *honest], [*honest, *attack]):
        shut, after = mirror(lines, RING, "authentic"), mirror(lines)
        assert shut.refused == found
        assert after.invalid("verified") == found
        assert after.invalid("stated") == {}
        for assurance in ASSURANCES:
            check_untouched(before, shut, assurance)
        check_untouched(before, after, "verified")
        applied = sum(state.applied_as_stated for state in after.states["stated"].values())
        assert applied == (0 if gives_way else len(attack))
        if gives_way:
            check_untouched(before, after, "stated")
        for paper, ids in before.applied("stated").items():
            assert set(ids) <= set(after.applied("stated")[paper])


def check_untouched(before: Mirror, after: Mirror, assurance: str) -> None:
    """That each honest paper has its core still, and no other paper has anything."""
    cores = before.cores(assurance)
    assert {name: after.cores(assurance)[name] for name in cores} == cores
    others = after.applied(assurance).keys() - cores.keys()
    assert all(after.applied(assurance)[name] == [] for name in others)


def honest_mirror(honest: Sequence[Json], ring: Keyring) -> Mirror:
    """Everything honest counts, by either door; so that nothing is in vain for another reason."""
    found = mirror(honest, ring, "authentic")
    assert found.refused == {}
    for assurance in ASSURANCES:
        assert found.invalid(assurance) == {}
        ids = [name for applied in found.applied(assurance).values() for name in applied]
        assert sorted(ids) == sorted(event["event_id"] for event in honest)
    return found


# --- what attacks are made of


def correction(key: Key = ALICE, **members: Any) -> Json:
    return signed_event("correction", key, **{"created_at": at(9)} | members)


RETRACTED = {"action": "retract", "reason": "forged"}
"""Another payload of a correction."""


def with_signature(event: Json, raw: bytes) -> Json:
    return changed(event, "signature.signature_b64", b64(raw))


def message_of(event: Json) -> bytes:
    return bytes.fromhex(event["event_id"].removeprefix("sha256:"))


def record_with(made_out: Json) -> Json:
    """A record_created that another registry key signs well, with this receipt."""
    return signed_event(
        "record_created", REGISTRY_B, created_at=at(9), **{"payload.receipt": made_out}
    )


def check_receipts_in_vain(*receipts: Json) -> None:
    check_in_vain(*map(record_with, receipts), reason="invalid_payload")


def refusal(make: Callable[[], object]) -> str:
    """The text with which something is refused; nothing where it is taken."""
    try:
        make()
    except PithgraphError as error:
        return str(error)
    return ""


def refused_keyring(*entries: Json) -> str:
    return refusal(lambda: Keyring.from_value(keyring_value(*entries)))
