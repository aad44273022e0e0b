"""The nine kinds of events, one row a kind (SPEC §5).

What lives here: for each event_type its bucket, the form of its target, who may sign it, the
shape of its payload, and what must agree. What must not: signatures, keys and the order of
checks (`validation`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pithgraph.documents import EventView, FullPithNumber, Receipt, Sha256, Signer, told
from pithgraph.identifiers import is_suffix_of, parse_pith_number, suffix_of, year_of
from pithgraph.keyring import REGISTRY

AUTHOR: Final = "author"
MIRROR: Final = "mirror"
RECORD_CREATED: Final = "record_created"
GRAPH_SNAPSHOT: Final = "graph_snapshot"

# --- payloads: the members that a kind requires, more are allowed ----------------------------


class Metadata(Struct, frozen=True):
    submitted_at: Any = None


class Source(Struct, frozen=True):
    kind: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    version: Raw | UnsetType = UNSET


class CanonicalRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly these three members; nothing of `metadata` but the year is judged."""

    metadata: Metadata
    schema_version: Raw
    source: Source


class RecordCreated(Struct, frozen=True):
    canonical_record: Raw
    canonical_sha256: Sha256
    receipt: Receipt
    source_kind: Raw
    source_id: Raw
    source_version: Raw
    attestation_state: str


class GraphSnapshot(Struct, frozen=True):
    graph_snapshot: Raw
    verdict_id: str | None


class Author(Struct, frozen=True):
    name: str
    orcid: str | UnsetType = UNSET


class AuthorAttestation(Struct, frozen=True):
    author: Author
    method: str
    strength: Literal["weak", "strong"]
    statement: str


class TimestampAnchor(Struct, frozen=True):
    anchored_sha256: Sha256
    method: str
    status: Literal["pending", "confirmed"]
    proof_b64: str
    block_height: Raw | UnsetType = UNSET


class StorageAttestation(Struct, frozen=True):
    uri: str
    archive: str
    archived_at: str
    content_sha256: Sha256 | UnsetType = UNSET


class CitationSignature(Struct, frozen=True):
    citing_pith_number: FullPithNumber
    relation: Literal[
        "supports",
        "refutes",
        "extends",
        "uses_method",
        "depends_on",
        "replaces",
        "compares",
        "cites",
    ]


class ReplicationRecord(Struct, frozen=True):
    kind: Literal["replication", "formal_bridge", "falsification"]
    outcome: Literal["succeeded", "failed", "partial"]
    uri: str
    evidence_sha256: Sha256 | UnsetType = UNSET


class Correction(Struct, frozen=True):
    action: Literal["amend", "retract"]
    reason: str
    event_id: Raw | UnsetType = UNSET


class MirrorHint(Struct, frozen=True):
    base_url: str
    bundle_pattern: str
    state_pattern: str


# --- what must agree: a sentence where it does not -------------------------------------------


def _record_created(payload: RecordCreated, event: EventView, _: Signer) -> str | None:
    record = bytes(payload.canonical_record)
    try:
        parts = _RECORD.decode(record)
    except msgspec.ValidationError as error:
        return f"canonical_record: {told(error)}"
    # The payload is canonical, so its members are: no bytes are made again.
    computed = hashlib.sha256(record)
    if computed.hexdigest() != payload.canonical_sha256:
        return f"canonical_sha256: the record's is {computed.hexdigest()}"
    subject = event.subject_pith_number.removeprefix("pith:")
    if not is_suffix_of(subject[5:], computed.digest()):
        return "canonical_sha256: it gives another Pith Number than the subject"
    if year_of({"metadata": {"submitted_at": parts.metadata.submitted_at}}) != subject[:4]:
        return "canonical_record: metadata.submitted_at gives another year than the subject"
    for name, inside, outside in (
        ("kind", parts.source.kind, payload.source_kind),
        ("id", parts.source.id, payload.source_id),
        ("version", parts.source.version, payload.source_version),
    ):
        if isinstance(inside, UnsetType) or bytes(inside) != bytes(outside):
            return f"source_{name}: differs from canonical_record.source.{name}"
    if payload.receipt.canonical_sha256 != payload.canonical_sha256:
        return "receipt: its canonical_sha256 is another"
    return None


def _graph_snapshot(payload: GraphSnapshot, _: EventView, __: Signer) -> str | None:
    if bytes(payload.graph_snapshot)[:1] != b"{":
        return "graph_snapshot: Expected `object`"
    return None


def _author_attestation(_: Any, event: EventView, signer: Signer) -> str | None:
    if signer.signer_type == AUTHOR and event.target != f"author:{signer.signer_id}":
        return f"target: an author attests as author:{signer.signer_id}"
    return None


def _timestamp_anchor(payload: TimestampAnchor, event: EventView, _: Signer) -> str | None:
    suffix = suffix_of(bytes.fromhex(payload.anchored_sha256))
    if suffix != parse_pith_number(event.subject_pith_number).suffix:
        return "anchored_sha256: not the digest that the subject names"
    if payload.status == "pending":
        return None if payload.block_height is UNSET else "block_height: only when confirmed"
    if payload.block_height is UNSET:
        return "block_height: required when confirmed"
    try:
        msgspec.json.decode(payload.block_height, type=Annotated[int, Meta(ge=0)])
    except msgspec.ValidationError as error:
        return f"block_height: {error}"
    return None


def _correction(payload: Correction, event: EventView, _: Signer) -> str | None:
    if event.target in ("record", "graph"):
        return None if payload.event_id is UNSET else "event_id: only when the target is an event"
    if payload.event_id is UNSET or msgspec.json.decode(payload.event_id) != event.target:
        return "event_id: must be the target"
    return None


def _target_follows(prefix: str, member: str) -> Callable[[Any, EventView, Signer], str | None]:
    def agrees(payload: Any, event: EventView, _: Signer) -> str | None:
        if event.target != prefix + getattr(payload, member):
            return f"{member}: differs from the target"
        return None

    return agrees


def _nothing_more(_payload: Any, _event: EventView, _signer: Signer) -> str | None:
    return None


# --- the table -------------------------------------------------------------------------------


class Kind(NamedTuple):
    """One kind of event. `signer_types` is None where anyone of the keyring may sign."""

    bucket: str
    target: re.Pattern[str]
    signer_types: frozenset[str] | None
    payload: type[Struct]
    agrees: Callable[[Any, EventView, Signer], str | None]


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


_REGISTRY = frozenset({REGISTRY})
_AUTHORS = frozenset({AUTHOR, REGISTRY})
_MIRRORS = frozenset({MIRROR, REGISTRY})

KINDS: Final[dict[str, Kind]] = {
    RECORD_CREATED: Kind(
        "record_created", _form("record"), _REGISTRY, RecordCreated, _record_created
    ),
    GRAPH_SNAPSHOT: Kind(
        "graph_snapshots", _form("graph"), _REGISTRY, GraphSnapshot, _graph_snapshot
    ),
    "author_attestation": Kind(
        "author_attestations",
        _form("author:.+"),
        _AUTHORS,
        AuthorAttestation,
        _author_attestation,
    ),
    "timestamp_anchor": Kind(
        "timestamp_anchors", _form("anchor:.+"), None, TimestampAnchor, _timestamp_anchor
    ),
    "storage_attestation": Kind(
        "storage_attestations",
        _form("storage:.+"),
        None,
        StorageAttestation,
        _target_follows("storage:", "uri"),
    ),
    "citation_signature": Kind(
        "citation_signatures",
        _form("citation:.+"),
        None,
        CitationSignature,
        _target_follows("citation:", "citing_pith_number"),
    ),
    "replication_record": Kind(
        "replication_records", _form("replication:.+"), None, ReplicationRecord, _nothing_more
    ),
    "correction": Kind(
        "corrections", _form("record|graph|sha256:[0-9a-f]{64}"), _AUTHORS, Correction, _correction
    ),
    "mirror_hint": Kind(
        "mirror_hints",
        _form("mirror:.+"),
        _MIRRORS,
        MirrorHint,
        _target_follows("mirror:", "base_url"),
    ),
}

EVENT_TYPE_OF_BUCKET: Final = {kind.bucket: name for name, kind in KINDS.items()}
LIST_BUCKETS: Final = tuple(b for b in EVENT_TYPE_OF_BUCKET if b != RECORD_CREATED)


_RECORD: Final = msgspec.json.Decoder(CanonicalRecord)
_DECODERS: Final = {kind.payload: msgspec.json.Decoder(kind.payload) for kind in KINDS.values()}

# A fault may quote what a stranger wrote, and is stored.
_FAULT_LENGTH: Final = 500


def read_payload(kind: Kind, event: EventView, signer: Signer) -> tuple[Any, str | None]:
    """The payload seen as its kind's Struct, and None; or None, and which member is at fault.

    The receipt's signature is not asked here: that takes a keyring (`validation`).
    """
    try:
        payload = _DECODERS[kind.payload].decode(event.payload)
    except msgspec.ValidationError as error:
        return None, told(error)[:_FAULT_LENGTH]
    fault = kind.agrees(payload, event, signer)
    return (None, fault[:_FAULT_LENGTH]) if fault else (payload, None)
