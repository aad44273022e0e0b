"""Equivocation proofs: two signed events that one key ought not to have signed (SPEC §8).

What lives here: building a proof from a state's equivocation row, and verifying one offline.
What must not: whose key it is - a proof cannot say; the verifier looks into its keyring.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pithgraph.canonical import decode
from pithgraph.documents import PROOF, ProofDocument, classify, view
from pithgraph.errors import KeyringError, ProofError, Refused
from pithgraph.events import Event, computed_event_id, id_bytes
from pithgraph.identifiers import fingerprint_of
from pithgraph.keyring import Key, Keyring
from pithgraph.keys import PUBLIC_KEY_BYTES, check_public_key, decode_base64, verify
from pithgraph.resolution import FORK, SAME_SLOT, Equivocation

PROOF_VERSION: Final = "1.0"

# The members of an event that make its slot, for each rule (SPEC §7, 2).
SLOT_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    SAME_SLOT: ("event_type", "target", "created_at"),
    FORK: ("previous_event_id",),
}


class VerifiedProof(NamedTuple):
    """What a proof shows. `key` is the entry of the verifier's keyring, or None."""

    rule: str
    pith_number: str
    public_key_fingerprint: str
    slot: dict[str, str]
    event_ids: tuple[str, str]
    key: Key | None


def build_proof(
    equivocation: Equivocation, events: Iterable[Event], keyring: Keyring
) -> dict[str, Any]:
    """The proof document of one row of a state's equivocations (SPEC §8).

    `events` are valid events that the state was merged from; of more than two in the row, those
    with the smallest event_ids are taken. Raises ProofError where the key or an event is not there.
    """
    key = keyring.by_fingerprint(equivocation.public_key_fingerprint)
    if key is None:
        raise ProofError(f"no key {equivocation.public_key_fingerprint} in the keyring")
    chosen = equivocation.event_ids[:2]
    # Junk may state the same id. Of several good signatures of one id, any of which proves as much,
    # the one with the smallest digest is taken, whatever the order in which they come.
    by_id = {
        event.event_id: event
        for event in sorted(events, key=lambda event: event.sha256, reverse=True)
        if event.event_id in chosen and _event_fault(event, key.public_key, key.fingerprint) is None
    }
    missing = [event_id for event_id in chosen if event_id not in by_id]
    if missing:
        raise ProofError(f"the events {', '.join(missing)} are not there")
    return {
        "proof_type": PROOF,
        "proof_version": PROOF_VERSION,
        "rule": equivocation.rule,
        "slot": dict(equivocation.slot),
        "public_key_b64": base64.b64encode(key.public_key).decode("ascii"),
        "events": [by_id[event_id].value for event_id in chosen],
    }


def verify_proof(proof: bytes | Any, keyring: Keyring | None = None) -> VerifiedProof:
    """Verify a proof, given as received bytes or as a decoded value, offline (SPEC §8).

    Raises DecodeError where the bytes are no JSON, and ProofError naming the first thing that does
    not hold.

    >>> import pithgraph
    >>> from pithgraph.testing import World
    >>> world = World()
    >>> events = [world.sign("graph_snapshot", payload={"note": note}) for note in (1, 2)]
    >>> state = pithgraph.merge_events(world.paper.number, events, [], world.keyring)
    >>> proof = pithgraph.build_proof(state.equivocations[0], events, world.keyring)
    >>> pithgraph.verify_proof(proof, world.keyring).key.signer_id
    'registry.example'
    """
    value = decode(proof) if isinstance(proof, bytes) else proof
    try:
        found = classify(value)
        if found.type != PROOF:
            raise ProofError(f"this is no {PROOF}, but: {found.type}")
        document = view(value, ProofDocument)
        first, second = (Event.from_value(event) for event in document.events)
        public_key = decode_base64(document.public_key_b64, PUBLIC_KEY_BYTES)
        check_public_key(public_key)
    except (Refused, KeyringError) as error:
        raise ProofError(str(error)) from None
    fingerprint = fingerprint_of(public_key)
    for name, event in (("events[0]", first), ("events[1]", second)):
        fault = _event_fault(event, public_key, fingerprint)
        fault = fault or _slot_fault(event, document.rule, document.slot)
        if fault:
            raise ProofError(f"{name}: {fault}")
    assert first.view is not None  # asked in _event_fault
    assert second.view is not None
    if first.subject != second.subject:
        raise ProofError(f"the events are about {first.subject} and {second.subject}")
    if bytes(first.view.signer) != bytes(second.view.signer):
        raise ProofError("the events have different signers")
    ids = first.view.event_id, second.view.event_id
    if ids[0] == ids[1]:
        raise ProofError("the events are one and the same")
    if ids[0] > ids[1]:
        raise ProofError("the events do not stand in the order of their event_ids")
    key = keyring.by_fingerprint(fingerprint) if keyring else None
    return VerifiedProof(
        document.rule,
        first.subject,
        fingerprint,
        document.slot,
        ids,
        key if key and key.public_key == public_key else None,
    )


def _event_fault(event: Event, public_key: bytes, fingerprint: str) -> str | None:
    if event.view is None:
        return f"malformed: {event.malformed}"
    if event.view.signature is None:
        return "not signed"
    if event.signer.public_key_fingerprint != fingerprint:
        return f"signed by {event.signer.public_key_fingerprint}, the proof's key is {fingerprint}"
    if event.view.signature.key_id != event.signer.key_id:
        return "signature.key_id differs from signer.key_id"
    if computed_event_id(event.canonical) != event.view.event_id:
        return "event_id does not recompute"
    signature = base64.b64decode(event.view.signature.signature_b64)
    if not verify(public_key, signature, id_bytes(event.view.event_id)):
        return "the signature does not verify"
    return None


def _slot_fault(event: Event, rule: str, slot: dict[str, Any]) -> str | None:
    members = SLOT_MEMBERS[rule]
    if slot.keys() != set(members):
        return f"a slot of {rule} has exactly the members {', '.join(members)}"
    for name in members:
        stated = getattr(event.view, name)
        if stated is None or stated != slot[name]:
            return f"{name} is {stated!r}, the slot's is {slot[name]!r}"
    return None
