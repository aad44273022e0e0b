"""The shapes of documents, as msgspec Structs, and telling documents apart (SPEC §4, §5, §8).

What lives here: what each document must have and of which type. What must not: whether what it
says is true. A Struct is a view: nothing is hashed, stored or emitted from one, so that unknown
members are never lost; `Document.value` and canonical bytes keep everything.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pithgraph.errors import Refused

# --- forms of strings ------------------------------------------------------------------------

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
EventId = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
FullPithNumber = Annotated[str, Meta(pattern=r"^pith:[0-9]{4}:[A-Z2-7]{26}\Z")]
# 64 bytes: 85 free characters, one whose four unused bits are zero, two of padding.
SignatureBase64 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{85}[AQgw]==\Z")]

# How msgspec says that a string has another form, and how a person says it.
_FORMS: Final = {
    f"`str` matching regex {get_args(form)[1].pattern!r}": f"`str` of {words}"
    for form, words in (
        (Sha256, "64 hex digits (0-9, a-f)"),
        (EventId, "`sha256:` and 64 hex digits (0-9, a-f)"),
        (FullPithNumber, "a full Pith Number, `pith:`, year, `:` and 26 characters (A-Z, 2-7)"),
        (SignatureBase64, "64 bytes in base64"),
    )
}


def told(error: Exception) -> str:
    """What is wrong with a value of another shape: msgspec's sentence without patterns."""
    text = str(error)
    for pattern, words in _FORMS.items():
        text = text.replace(pattern, words)
    return text


# --- events (SPEC §5) ------------------------------------------------------------------------


class Signer(Struct, frozen=True):
    """Who signed. Further members are kept in the event, and not judged."""

    key_id: str
    public_key_fingerprint: str
    signer_id: str
    signer_type: str


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """An event's signature: exactly these members, since it stands outside the event_id."""

    algorithm: Literal["ed25519"]
    key_id: str
    signed_message: Literal["event_sha256_bytes"]
    signature_b64: SignatureBase64


class EventView(Struct, frozen=True):
    """A well-formed event. What does not decode into this is `malformed` (SPEC §6, 1).

    `payload` and `signer` are the canonical bytes of these members; that the payload is an object,
    and the shape of the signer, are asked where they are read. `metadata`, `schema_version` and
    `source` must be UNSET.
    """

    event_id: EventId
    event_type: str
    subject_pith_number: str
    target: str
    created_at: str
    payload: Raw
    signer: Raw
    signature: Signature | None = None
    previous_event_id: EventId | None = None
    metadata: Raw | UnsetType = UNSET
    schema_version: Raw | UnsetType = UNSET
    source: Raw | UnsetType = UNSET


# --- published documents (SPEC §4) -----------------------------------------------------------


class AliasRow(Struct, frozen=True):
    """One alias of a paper, as a document gives it; `created_at` is kept as it came."""

    alias_kind: str
    alias_value: str
    created_at: str


class Receipt(Struct, frozen=True):
    """What is judged of a receipt (SPEC §3). Its dates and versions are not."""

    key_id: str
    algorithm: Literal["ed25519"]
    signed_message: Literal["canonical_sha256_bytes"]
    signature_b64: SignatureBase64
    canonical_sha256: Sha256
    public_key_fingerprint: str


class ReceiptOrigin(Struct, frozen=True):
    """What a receipt says of who made it, and when."""

    key_id: str
    public_key_fingerprint: str
    first_computed_at: str


class SourceRef(Struct, frozen=True):
    """Where a paper comes from: the members that the `source` of a canonical record has."""

    kind: Any
    id: Any
    version: Any


class Record(Struct, frozen=True):
    """`pith_number_record`. Without a receipt or a snapshot the member is null."""

    pith_number: str
    short_pith_number: str
    schema_version: str
    canonical_sha256: str
    source: dict[str, Any]
    attestation_state: str
    paper: dict[str, Any]
    verification_status: dict[str, Any]
    canonical_record: dict[str, Any]
    receipt: dict[str, Any] | None
    graph_snapshot: dict[str, Any] | None
    aliases: list[Any]
    events: list[Any]
    formal_canon: dict[str, Any]
    links: dict[str, Any]
    agent_actions: dict[str, Any]


class Current(Struct, frozen=True):
    """`current` of a state: one list a bucket, the rest as named. A row is judged on its own, as
    the event that it stands for, so that a fault of one is named and hides no other."""

    canonical_record: dict[str, Any] | None
    source_aliases: list[Any]
    graph_snapshots: list[Any]
    author_attestations: list[Any]
    timestamp_anchors: list[Any]
    storage_attestations: list[Any]
    citation_signatures: list[Any]
    replication_records: list[Any]
    corrections: list[Any]
    mirror_hints: list[Any]
    record_created: Any


class EquivocationRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a state's `equivocations` (SPEC §7, 6)."""

    rule: Literal["same_slot", "fork"]
    public_key_fingerprint: str
    slot: dict[str, str]
    event_ids: Annotated[list[EventId], Meta(min_length=2)]


class InvalidEventRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a state's `invalid_events` (SPEC §7, 6)."""

    event_id: EventId | None
    event_sha256: Sha256
    reason: str


class StateDocument(Struct, frozen=True):
    """`pith_open_graph_state`."""

    state_version: str
    pith_number: str
    merge_version: str
    event_count: int
    valid_event_count: int
    invalid_event_count: int
    equivocation_count: int
    current: Current
    equivocations: list[Any]
    invalid_events: list[Any]
    applied_event_ids: list[str]
    state_sha256: str


class Bundle(Struct, frozen=True):
    """`pith_open_graph_bundle`."""

    bundle_version: str
    pith_number: str
    short_pith_number: str
    canonical_record: dict[str, Any]
    canonical_sha256: str
    source: dict[str, Any]
    source_aliases: list[Any]
    events: list[Any]


class AliasDocument(Struct, frozen=True):
    """A bare document of a paper's aliases (ours)."""

    pith_number: str
    source_aliases: list[Any]


class EventsDocument(Struct, frozen=True):
    """A paper's applied events in a published tree (ours)."""

    pith_number: str
    merge_version: str
    keyring_sha256: Sha256
    assurance: Literal["verified", "stated"]
    state_sha256: Sha256
    events: list[Any]


class GraphDocument(Struct, frozen=True):
    """A paper's newest graph snapshot in a published tree (ours); all null where there is none."""

    pith_number: str
    event_id: EventId | None
    created_at: str | None
    graph_snapshot: dict[str, Any] | None


class ResolveDocument(Struct, frozen=True):
    """Which papers an arXiv id may mean, in a published tree (ours)."""

    alias_kind: str
    alias_value: str
    pith_numbers: Annotated[list[str], Meta(min_length=1)]


class PublishedKey(Struct, frozen=True):
    """`public_key` of a mirror in a manifest."""

    key_id: str
    algorithm: str
    format: str
    public_key_b64: str
    public_key_hex: str
    fingerprint_sha256_hex: str
    fingerprint_sha256_b32_first128bits: str


class Mirror(Struct, frozen=True):
    """One mirror of a manifest."""

    name: str
    mirror_type: str
    base_url: str
    bundle_pattern: str
    state_pattern: str
    well_known_pattern: str
    public_key: PublishedKey
    status: str


class Manifest(Struct, frozen=True):
    """`pith_mirror_manifest`. Each of the `mirrors` is seen as a `Mirror` on its own."""

    manifest_version: str
    generated_at: str
    merge_version: str
    mirrors: list[Any]


# --- documents of ours (SPEC §6, §8, §10) ----------------------------------------------------


class KeyEntry(Struct, frozen=True):
    """One key of a keyring file. An absent member is UNSET; null is refused."""

    key_id: str
    algorithm: Literal["ed25519"]
    public_key_b64: str
    public_key_fingerprint: str
    signer_id: str
    signer_type: str
    valid_from: str | UnsetType = UNSET
    valid_until: str | UnsetType = UNSET
    revoked: bool = False


class KeyringDocument(Struct, frozen=True):
    """A keyring file."""

    keys: list[KeyEntry]


class ProofDocument(Struct, frozen=True):
    """`pith_equivocation_proof`: two whole signed events, ascending by event_id."""

    proof_version: Literal["1.0"]
    rule: Literal["same_slot", "fork"]
    slot: dict[str, Any]
    public_key_b64: str
    events: tuple[dict[str, Any], dict[str, Any]]


class ConsistencyDocument(Struct, frozen=True):
    """`pith_consistency_proof`: two signed checkpoints of one log, and what leads between them."""

    proof_type: Literal["pith_consistency_proof"]
    proof_version: Literal["1.0"]
    old_checkpoint: str
    new_checkpoint: str
    hashes: list[str]


# --- telling them apart ----------------------------------------------------------------------

# (member, its value, what the document is called) in the order in which they are tried.
_TYPES: Final = (
    ("proof_type", "pith_equivocation_proof"),
    ("proof_type", "pith_consistency_proof"),
    ("bundle_type", "pith_open_graph_bundle"),
    ("state_type", "pith_open_graph_state"),
    ("record_type", "pith_number_record"),
    ("manifest_type", "pith_mirror_manifest"),
)

EVENT: Final = "event"
ALIAS: Final = "alias"
ALIASES: Final = "aliases"
EVENTS: Final = "paper_events"
GRAPH: Final = "paper_graph"
RESOLVE: Final = "resolve"
KEYRING: Final = "keyring"
LIST: Final = "list"
PROOF, CONSISTENCY_PROOF, BUNDLE, STATE, RECORD, MANIFEST = (name for _, name in _TYPES)

# (members that a document has, what it is called): what states no type of its own.
_BY_MEMBERS: Final = (
    (("pith_number", "source_aliases"), ALIASES),
    (("pith_number", "state_sha256", "events"), EVENTS),
    (("pith_number", "event_id", "graph_snapshot"), GRAPH),
    (("alias_kind", "pith_numbers"), RESOLVE),
)

# What is a text and no JSON: `checkpoints.text_document` tells these.
CHECKPOINT: Final = "checkpoint"
INCLUSION: Final = "inclusion_proof"


class Document(NamedTuple):
    """A decoded value and what it is: one of the names above."""

    type: str
    value: Any


def is_event(value: Any) -> bool:
    """Whether a decoded value is taken as an event: whatever names a subject, so that nothing that
    an event carries beside it can make it something else."""
    return isinstance(value, dict) and "subject_pith_number" in value


def classify(value: Any) -> Document:
    """What a decoded value is. Raises Refused."""
    if isinstance(value, list):
        return Document(LIST, value)
    if not isinstance(value, dict):
        raise Refused("not_an_object", f"found {type(value).__name__}")
    if is_event(value):
        return Document(EVENT, value)
    if value.keys() == {"alias"}:
        return Document(ALIAS, value)
    for member, name in _TYPES:
        if value.get(member) == name:
            return Document(name, value)
    if isinstance(value.get("keys"), list):
        return Document(KEYRING, value)
    for members, name in _BY_MEMBERS:
        if all(member in value for member in members):
            return Document(name, value)
    if "event_type" in value:
        raise Refused("no_subject", "the event has no subject_pith_number")
    raise Refused("unknown_document", "members: " + ", ".join(sorted(map(repr, value))[:8])[:200])


Shape = TypeVar("Shape")


def view(value: Any, shape: type[Shape]) -> Shape:
    """A decoded value seen as `shape`. Raises Refused("wrong_shape") naming the member."""
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise Refused("wrong_shape", told(error)) from None
