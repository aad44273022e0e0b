"""From what an author gives to an event's payload and target (SPEC §5).

What lives here: for each kind, the fields that options and forms ask for, and the target that
follows from them. What must not: whether the event is valid (`validation`), which is asked of the
event once it is signed, and prompting (`cli`).

The fields are those of the payload's Struct in `kinds`, so that their types, their words and which
may be absent are written once. The tables here add what a Struct does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Struct, UnsetType

from pithgraph.documents import told
from pithgraph.errors import SigningRefused
from pithgraph.kinds import AUTHOR, KINDS, RECORD_CREATED
from pithgraph.outline import EVENT_ID
from pithgraph.vetting import refusal

Form = Literal["text", "integer", "json"]

# What each field is, for people. What is not here is not asked for: a record_created is made by
# the registry's program, and a correction's event_id is its target.
_ABOUT: Final[Mapping[str, Mapping[str, str]]] = {
    RECORD_CREATED: {},
    "graph_snapshot": {
        "graph_snapshot": "The snapshot, a JSON object.",
        "verdict_id": "The id of the verdict that it comes with; null where there is none.",
    },
    "author_attestation": {
        "author.name": "The author's name.",
        "author.orcid": "The author's ORCID.",
        "method": "How the authorship is shown, such as email.",
        "strength": "How strong the claim is.",
        "statement": "What is stated, in words.",
    },
    "timestamp_anchor": {
        "anchored_sha256": "canonical_sha256 of the paper, 64 hex digits.",
        "method": "How it is anchored, such as opentimestamps.",
        "status": "Whether the anchor is confirmed.",
        "proof_b64": "The proof, in base64.",
        "block_height": "The height of the block that holds it.",
    },
    "storage_attestation": {
        "uri": "Where the paper is stored.",
        "archive": "The archive's name.",
        "archived_at": "When it was stored there.",
        "content_sha256": "SHA-256 of what is stored, 64 hex digits.",
    },
    "citation_signature": {
        "citing_pith_number": "The full Pith Number of the paper that cites PITH.",
        "relation": "What the citation does.",
    },
    "replication_record": {
        "kind": "What was done.",
        "outcome": "How it ended.",
        "uri": "Where it is described.",
        "evidence_sha256": "SHA-256 of the evidence, 64 hex digits.",
    },
    "correction": {
        "action": "Whether PITH's record, graph or event is amended or retracted.",
        "reason": "Why, in words.",
    },
    "mirror_hint": {
        "base_url": "The mirror's address.",
        "bundle_pattern": "The path of a bundle, such as /pith/{suffix}/bundle.json.",
        "state_pattern": "The path of a state, such as /pith/{suffix}/state.json.",
    },
}

# Of fields whose Struct takes any JSON.
_FORMS: Final[Mapping[str, Form]] = {"graph_snapshot": "json", "block_height": "integer"}

# A field that stands in the payload exactly when another has this value.
_ONLY_WHEN: Final = {"block_height": ("status", "confirmed")}

# Where the target follows from the kind: a word, or a prefix before a member of the payload.
_TARGETS: Final[Mapping[str, tuple[str, str | None]]] = {
    RECORD_CREATED: ("record", None),
    "graph_snapshot": ("graph", None),
    "storage_attestation": ("storage:", "uri"),
    "citation_signature": ("citation:", "citing_pith_number"),
    "mirror_hint": ("mirror:", "base_url"),
}

TARGETS: Final[Mapping[str, str]] = {
    RECORD_CREATED: "record",
    "graph_snapshot": "graph",
    "author_attestation": "author:ID; an author's own by default",
    "timestamp_anchor": "anchor:CALENDAR-OR-CHAIN",
    "storage_attestation": "storage:URI, by default that of the payload",
    "citation_signature": "citation:PITH, by default the citing one",
    "replication_record": "replication:ID",
    "correction": "record, graph, or the event_id that is corrected",
    "mirror_hint": "mirror:URL, by default the base_url",
}
"""The target of each kind, for people."""


class Field(NamedTuple):
    """One member of a kind's payload that an author gives. `path` is dotted; `choices` is empty
    where any text will do; `required` ones may not be absent, `nullable` ones are null then; `when`
    names the field and its value with which alone this one stands."""

    path: str
    type: Any
    form: Form
    choices: tuple[str, ...]
    required: bool
    nullable: bool
    when: tuple[str, str] | None
    about: str

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the field may stand beside these values, by path."""
        return self.when is None or values.get(self.when[0]) == self.when[1]

    def is_missing(self, values: Mapping[str, Any]) -> bool:
        """Whether the payload of these values, by path, would lack it."""
        must = self.required or self.when is not None
        return must and not self.nullable and self.path not in values and self.applies(values)


def _fields(struct: type[Struct], about: Mapping[str, str], prefix: str = "") -> Iterator[Field]:
    for info in msgspec.structs.fields(struct):
        path = prefix + info.name
        types = [one for one in _members(info.type) if one is not UnsetType]
        if isinstance(types[0], type) and issubclass(types[0], Struct):
            yield from _fields(types[0], about, path + ".")
        elif path in about:
            yield Field(
                path,
                types[0],
                _FORMS.get(path, "text"),
                get_args(types[0]) if get_origin(types[0]) is Literal else (),
                info.required,
                type(None) in types,
                _ONLY_WHEN.get(path),
                about[path],
            )


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    is_union = get_origin(annotation) is Union or isinstance(annotation, UnionType)
    return get_args(annotation) if is_union else (annotation,)


FIELDS: Final[Mapping[str, tuple[Field, ...]]] = {
    name: tuple(_fields(kind.payload, _ABOUT[name])) for name, kind in KINDS.items()
}
"""What is asked of an author, by kind; nothing of a record_created."""


def read_field(field: Field, text: str) -> Any:
    """The value of a field as an author typed it. Raises SigningRefused for one that the kind does
    not take."""
    if field.form == "integer":
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise refusal("invalid_payload", f"{field.path}: {text[:100]!r} is no whole number")
        return int(text)
    try:
        return msgspec.convert(text, field.type)
    except msgspec.ValidationError as error:
        raise refusal("invalid_payload", f"{field.path}: {told(error)}") from None


def payload_of(event_type: str, values: Mapping[str, Any], target: str) -> dict[str, Any]:
    """The payload of these values, which are by path, for an event of this target."""
    payload: dict[str, Any] = {}
    for field in FIELDS[event_type]:
        if field.path in values or field.nullable:
            *parents, name = field.path.split(".")
            place = payload
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = values.get(field.path)
    if event_type == "correction" and EVENT_ID.fullmatch(target):
        payload["event_id"] = target
    return payload


def has_default_target(event_type: str) -> bool:
    """Whether a target follows, for some signers at least, where none is given."""
    return event_type in _TARGETS or event_type == "author_attestation"


def target_of(
    event_type: str, payload: Mapping[str, Any], signer_id: str, signer_type: str
) -> str | None:
    """The target that a kind asks for, or None where its author chooses it. Raises SigningRefused
    where it follows a member of the payload that is no text."""
    if event_type == "author_attestation" and signer_type == AUTHOR:
        return f"author:{signer_id}"
    prefix, member = _TARGETS.get(event_type, (None, None))
    if prefix is None or member is None:
        return prefix
    value = payload.get(member)
    if not isinstance(value, str):
        raise _untold(member)
    return prefix + value


def _untold(member: str) -> SigningRefused:
    return refusal("invalid_payload", f"{member}: missing or no string, and the target follows it")
