"""The audit of documents, offline: a decoded document in, findings out (SPEC §2 to §9).

What lives here: telling documents apart, lists of them, and the findings' type. What must not:
files, the network, a log, printing; and no rule that is not in the core: an audit only asks.

Each document type has a module with a table of its checks, by name, at its top. A check passes,
fails, is unconfirmed (nothing at hand shows it) or skipped (the document does not hold what it
takes). Only `fail` is a fault of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pithgraph import documents
from pithgraph.audit.bundle import audit_bundle
from pithgraph.audit.checkpoint import (
    VerifierKeys,
    audit_checkpoint,
    audit_consistency_proof,
    audit_inclusion_proof,
)
from pithgraph.audit.findings import Audited, Finding, Status, bounded, failed, finding
from pithgraph.audit.judging import equivocation_parts, event_outcome, judge_value
from pithgraph.audit.manifest import audit_manifest
from pithgraph.audit.others import (
    audit_alias,
    audit_aliases,
    audit_event,
    audit_keyring,
    audit_proof,
)
from pithgraph.audit.record import audit_record
from pithgraph.audit.state import audit_state
from pithgraph.audit.tree import audit_events, audit_graph, audit_resolve
from pithgraph.canonical import MAX_DOCUMENT_BYTES, decode
from pithgraph.checkpoints import text_document
from pithgraph.documents import Document, classify
from pithgraph.errors import Refused
from pithgraph.keyring import Keyring

__all__ = ["Audited", "Finding", "Status", "audit_bytes", "audit_value"]


def audit_bytes(
    data: bytes,
    keyring: Keyring,
    verifier_keys: VerifierKeys = (),
    *,
    max_bytes: int = MAX_DOCUMENT_BYTES,
) -> Audited:
    """Audit a document as received.

    JSON, a signed checkpoint and an inclusion proof are told by content. Raises DecodeError
    (SPEC §1), and Refused for what is no document that is known here.

    >>> import pathlib, pithgraph
    >>> data = pathlib.Path("fixtures/pith/record-2OWFFTWG.json").read_bytes()
    >>> audited = pithgraph.audit_bytes(data, pithgraph.load_keyring())
    >>> audited.document
    'pith_number_record'
    >>> {finding.status for finding in audited.findings} <= {"pass", "unconfirmed", "skipped"}
    True
    """
    found = text_document(data)
    if found is not None:
        return Audited(found, bounded(_TEXT_AUDITS[found](data, verifier_keys)))
    return audit_value(decode(data, max_bytes=max_bytes), keyring, verifier_keys)


def audit_value(value: Any, keyring: Keyring, verifier_keys: VerifierKeys = ()) -> Audited:
    """Audit a decoded document, as `canonical.decode` gives it, of whatever type it is.

    The verifier keys (`notes.parse_verifier_key`) are those of logs that the auditor trusts to sign
    checkpoints. Raises Refused for what is no document that is known here; every fault of a known
    one is a finding.

    >>> import pithgraph
    >>> from pithgraph.testing import World
    >>> world = World()
    >>> event = world.sign("graph_snapshot").value
    >>> audited = pithgraph.audit_value(event | {"target": "record"}, world.keyring)
    >>> [(finding.check, finding.status) for finding in audited.findings]
    [('event', 'fail')]
    >>> "target_mismatch" in audited.findings[0].detail
    True
    """
    found = classify(value)
    return Audited(found.type, bounded(_audit(found, keyring, verifier_keys)))


def _audit(found: Document, keyring: Keyring, verifier_keys: VerifierKeys) -> Iterator[Finding]:
    if found.type == documents.LIST:
        return _audit_list(found.value, keyring, verifier_keys)
    if found.type == documents.CONSISTENCY_PROOF:
        return audit_consistency_proof(found.value, verifier_keys)
    return _AUDITS[found.type](found.value, keyring)


def _audit_list(
    value: list[Any], keyring: Keyring, verifier_keys: VerifierKeys
) -> Iterator[Finding]:
    """Entries, each on its own, with its index before its checks' names; then what a signer of
    several events said twice. A list inside a list is refused."""
    judged = []
    for index, element in enumerate(value):
        try:
            found = classify(element)
            if found.type == documents.LIST:
                raise Refused("not_an_object", "a list inside a list")
        except Refused as error:
            yield finding(f"[{index}]", failed(f"refused, {error}"))
            continue
        if found.type == documents.EVENT:
            one = judge_value(element, keyring)
            judged.append(one)
            yield finding(f"[{index}]", event_outcome(one))
        else:
            for check, status, detail in _audit(found, keyring, verifier_keys):
                yield Finding(f"[{index}].{check}", status, detail)
    for part, outcome in equivocation_parts(judged, keyring):
        yield finding(f"equivocations{part}", outcome)


_TEXT_AUDITS: Final[dict[str, Callable[[bytes, VerifierKeys], Iterator[Finding]]]] = {
    documents.CHECKPOINT: audit_checkpoint,
    documents.INCLUSION: audit_inclusion_proof,
}

_AUDITS: Final[dict[str, Callable[[Any, Keyring], Iterator[Finding]]]] = {
    documents.RECORD: audit_record,
    documents.STATE: audit_state,
    documents.BUNDLE: audit_bundle,
    documents.MANIFEST: audit_manifest,
    documents.KEYRING: audit_keyring,
    documents.PROOF: audit_proof,
    documents.EVENT: audit_event,
    documents.ALIASES: audit_aliases,
    documents.ALIAS: audit_alias,
    documents.EVENTS: audit_events,
    documents.GRAPH: audit_graph,
    documents.RESOLVE: audit_resolve,
}
