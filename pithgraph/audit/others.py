"""The audits of what is ours: keyrings, proofs, alias rows, single events (SPEC §4, §6, §8).

What lives here: one short audit a document type. What must not: the rules (`keyring`, `proofs`,
`paper`, `judging`).

| document | checks |
|---|---|
| keyring | keys[N], each key on its own; keyring, the whole file |
| pith_equivocation_proof | proof, all of SPEC §8; keyring, whether the key is in the auditor's |
| event | event, its verdict |
| aliases | shape; pith_number; source_aliases.KIND, source_aliases[N] |
| alias | alias, its form; alias.KIND, its value, where the number alone gives it |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pithgraph import documents
from pithgraph.audit import paper
from pithgraph.audit.findings import (
    Finding,
    Outcome,
    failed,
    finding,
    named,
    passed,
    shown,
    unconfirmed,
)
from pithgraph.audit.judging import event_outcome, judge_value
from pithgraph.documents import view
from pithgraph.entries import AliasEntry, RefusedEntry, entries_of
from pithgraph.errors import IdentifierError, KeyringError, ProofError, Refused
from pithgraph.identifiers import parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.proofs import verify_proof


def audit_keyring(value: dict[str, Any], _: Keyring) -> Iterator[Finding]:
    """The findings about a keyring file (SPEC §6); it is not held against the auditor's own."""
    for index, entry in enumerate(value["keys"]):
        try:
            (key,) = Keyring.from_value({"keys": [entry]}).keys
            outcome = passed(f"key {shown(key.key_id)}, fingerprint {key.fingerprint}")
        except KeyringError as error:
            outcome = failed(str(error))
        yield finding(f"keys[{index}]", outcome)
    try:
        outcome = passed(f"keyring_sha256 {Keyring.from_value(value).sha256}")
    except KeyringError as error:
        outcome = failed(str(error))
    yield finding("keyring", outcome)


def audit_proof(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about an equivocation proof (SPEC §8)."""
    try:
        proof = verify_proof(value, keyring)
    except ProofError as error:
        yield finding("proof", failed(str(error)))
        return
    fingerprint = proof.public_key_fingerprint
    signed = f"key {fingerprint} signed {' and '.join(proof.event_ids)}"
    yield finding("proof", passed(f"{proof.rule} in slot {shown(proof.slot)}: {signed}"))
    if proof.key is None:
        whose: Outcome = unconfirmed(f"the keyring does not have the key {fingerprint}")
    else:
        whose = passed(f"key {shown(proof.key.key_id)} of {shown(proof.key.signer_id)}")
    yield finding("keyring", whose)


def audit_event(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The finding about a single event."""
    yield finding("event", event_outcome(judge_value(value, keyring)))


def audit_aliases(value: dict[str, Any], _: Keyring) -> Iterator[Finding]:
    """The findings about a bare document of a paper's alias rows (SPEC §4)."""
    try:
        view(value, documents.AliasDocument)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    try:
        number = parse_pith_number(value["pith_number"])
    except IdentifierError as error:
        yield finding("pith_number", failed(str(error)))
        return
    yield finding("pith_number", passed())
    for part, outcome in paper.alias_parts(value["source_aliases"], number, None):
        yield finding("source_aliases" + part, outcome)


def audit_alias(value: dict[str, Any], _: Keyring) -> Iterator[Finding]:
    """The findings about a single alias line (SPEC §4)."""
    for entry in entries_of(value):
        if isinstance(entry, RefusedEntry):
            yield finding("alias", failed(entry.detail))
        elif isinstance(entry, AliasEntry):
            yield finding("alias", passed())
            number = parse_pith_number(entry.pith_number)
            for part, outcome in paper.alias_parts([value["alias"]], number, None):
                # One row stands for itself: which other aliases the paper has is not asked.
                if part == named(entry.kind):
                    yield finding("alias" + part, outcome)
