"""The audits of checkpoints and of the proofs that lead to them (SPEC §10).

What lives here: one short audit a document type. What must not: the rules (`checkpoints`).

| document | checks |
|---|---|
| checkpoint | form; signature |
| inclusion_proof | proof, its form and that it leads to the root of its checkpoint; checkpoint |
| pith_consistency_proof | proof, that it leads to both roots; old_checkpoint, new_checkpoint |

`signature`, and a proof's checks of its checkpoints, ask whether one of the auditor's verifier keys
signed. Without any they are unconfirmed. With some, whatever none of them signed fails: a forger
can always sign with a key of his own.

Over all documents of an audit, `split_view` fails for a checkpoint where another has the same log
and size and another root, and both are signed: no proof leads from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pithgraph import documents
from pithgraph.audit.findings import (
    Finding,
    Outcome,
    failed,
    finding,
    listed,
    passed,
    shown,
    skipped,
    unconfirmed,
)
from pithgraph.checkpoints import (
    CONSISTENCY_NOTES,
    Checkpoint,
    check_consistency,
    check_inclusion,
    note_bytes,
    open_checkpoint,
    parse_inclusion_proof,
    read_checkpoint,
)
from pithgraph.errors import CheckpointError, ProofError
from pithgraph.notes import VerifierKey, parse_note

VerifierKeys = tuple[VerifierKey, ...]


def audit_checkpoint(data: bytes, keys: VerifierKeys) -> Iterator[Finding]:
    """The findings about a signed checkpoint, as received."""
    try:
        checkpoint = read_checkpoint(data)
    except CheckpointError as error:
        yield finding("form", failed(str(error)))
        return
    yield finding("form", passed(f"{_shown(checkpoint)}, root {checkpoint.root.hex()}"))
    yield finding("signature", _signature(data, keys))


def audit_inclusion_proof(data: bytes, keys: VerifierKeys) -> Iterator[Finding]:
    """The findings about an inclusion proof file, as received."""
    try:
        proof = parse_inclusion_proof(data)
        read_checkpoint(proof.note)
        outcome = skipped("the proof does not name its event, so that its path begins nowhere")
        if proof.extra is not None:
            holds = check_inclusion(proof, None)
            event = f"event {holds.event_sha256.hex()} at position {holds.leaf_index}"
            outcome = passed(f"{event} of {_shown(holds.checkpoint)}")
    except (ProofError, CheckpointError) as error:
        yield finding("proof", failed(str(error)))
        return
    yield finding("proof", outcome)
    yield finding("checkpoint", _signature(proof.note, keys))


def audit_consistency_proof(value: dict[str, Any], keys: VerifierKeys) -> Iterator[Finding]:
    """The findings about a consistency proof, decoded."""
    try:
        holds = check_consistency(value)
    except ProofError as error:
        yield finding("proof", failed(str(error)))
        return
    yield finding("proof", passed(f"{_shown(holds.new)} begins with the {holds.old.size} before"))
    for name in CONSISTENCY_NOTES:
        yield finding(name, _signature(note_bytes(value[name]), keys))


def signed_checkpoints(
    document: str, found: bytes | dict[str, Any], keys: VerifierKeys
) -> tuple[Checkpoint, ...]:
    """The checkpoints of a document, as received or decoded, that one of the keys signed."""
    opened = []
    for note in _notes(document, found):
        try:
            opened.append(open_checkpoint(note, keys))
        except CheckpointError:
            continue  # which is a finding of its own
    return tuple(opened)


def _notes(document: str, found: bytes | dict[str, Any]) -> Iterator[bytes]:
    """The signed notes of a document, as far as it has the form."""
    if document == documents.CHECKPOINT and isinstance(found, bytes):
        yield found
    elif document == documents.INCLUSION and isinstance(found, bytes):
        try:
            yield parse_inclusion_proof(found).note
        except ProofError:
            return
    elif document == documents.CONSISTENCY_PROOF and isinstance(found, dict):
        texts = (found.get(name) for name in CONSISTENCY_NOTES)
        yield from (note_bytes(text) for text in texts if isinstance(text, str))


class Views:
    """What logs have signed, over many documents."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, int], tuple[bytes, str]] = {}

    def contradicted(self, place: str, checkpoints: Iterable[Checkpoint]) -> Iterator[Finding]:
        """Take in a document's signed checkpoints; a finding for each that another contradicts."""
        for one in checkpoints:
            root, there = self._first.setdefault((one.origin, one.size), (one.root, place))
            if root != one.root:
                detail = f"{_shown(one)} has root {one.root.hex()} here and {root.hex()} in "
                yield finding("split_view", failed(f"{detail}{there}, both signed"))


def _signature(note: bytes, keys: VerifierKeys) -> Outcome:
    """Whether a note of the right form is signed by one of the auditor's keys."""
    if not keys:
        said = {f"{one.name}+{one.key_hash.hex()}" for one in parse_note(note).signatures}
        return unconfirmed(f"give --vkey with the key of {listed(sorted(said))}")
    try:
        checkpoint = open_checkpoint(note, keys)
    except CheckpointError as error:
        return failed(str(error))
    return passed(f"signed by the key of {shown(checkpoint.origin)}")


def _shown(checkpoint: Checkpoint) -> str:
    return f"the log {shown(checkpoint.origin)} of {checkpoint.size} events"
