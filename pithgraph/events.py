"""One event: its canonical bytes, its limits, its id (SPEC §1, §5).

What lives here: from a decoded value, or from stored canonical bytes, to an `Event`. What must
not: whether the event is valid (`validation`); an `Event` may be malformed in all but the
subject it names. The canonical bytes are the event; everything else is read from them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from pithgraph.canonical import (
    Encode,
    count_brackets,
    decode,
    depth_of,
    digest,
    encode,
    encode_string,
    read,
)
from pithgraph.documents import EventView, Signer, told
from pithgraph.errors import DecodeError, EncodeError, IdentifierError, Refused
from pithgraph.identifiers import is_timestamp, parse_pith_number
from pithgraph.outline import EVENT_ID, Outline, outline

MAX_EVENT_BYTES: Final = 1024 * 1024
MAX_EVENT_DEPTH: Final = 56
MAX_EVENT_INTEGER: Final = 2**53 - 1
EVENT_ID_PREFIX: Final = "sha256:"
# What stands outside the id: the id itself, and the signature over it.
UNHASHED_MEMBERS: Final = frozenset({"event_id", "signature"})
# No byte string may be both an event and a canonical record (SPEC §5).
FORBIDDEN_MEMBERS: Final = ("metadata", "schema_version", "source")

_VIEW: Final = msgspec.json.Decoder(EventView)
_SIGNER: Final = msgspec.json.Decoder(Signer)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
# Digits and minus signs to zeros, what may stand before a number to colons, the rest to spaces: so
# a number of 16 characters or more is found by one search, where a pattern takes ten times as long.
_NUMBERS_SHOWN: Final = bytes(
    ord("0") if chr(byte) in "-0123456789" else ord(":") if chr(byte) in ":,[" else ord(" ")
    for byte in range(256)
)
_LONG_NUMBER: Final = b":" + b"0" * 16


class Event:
    """An event that names a paper. Immutable.

    `canonical`: its canonical bytes. `view`: its typed members, or None where it is malformed,
    and then `malformed` says which member and why. `record`: the canonical record, once the payload
    of a record_created was read and found right.
    """

    __slots__ = ("_sha256", "canonical", "malformed", "outline", "record", "view")

    def __init__(self, canonical: bytes, outline: Outline | None = None) -> None:
        """An event from canonical bytes that `from_value` made, e.g. out of a log."""
        self.canonical = canonical
        self.outline = outline
        self._sha256: bytes | None = None
        self.view: EventView | None = None
        self.malformed: str | None = None
        self.record: Raw | None = None
        if outline is not None:
            self.view = outline.view
            return
        try:
            self.view = _well_formed(canonical)
        except msgspec.ValidationError as error:
            self.malformed = told(error)

    @classmethod
    def from_value(cls, value: Any) -> Event:
        """The event of a Python value. Raises Refused: no subject, or a limit of SPEC §1.

        The value is taken as the JSON that it encodes to, so that a tuple or a name that is no
        string cannot make an event that no other program reads.
        """
        try:
            return cls.from_decoded(decode(encode(value)))
        except (EncodeError, DecodeError) as error:
            raise Refused("wrong_shape", str(error)) from None

    @classmethod
    def from_decoded(
        cls,
        value: Any,
        encode: Encode = encode,
        canonical: bytes | None = None,
        brackets: int | None = None,
    ) -> Event:
        """The event of a value that `canonical.decode` gave. Raises Refused as `from_value`.

        The other arguments are those of a `canonical.Reading` of this value; `encode` may be that
        of a value that it is a part of.
        """
        if not isinstance(value, dict):
            raise Refused("not_an_object", f"found {type(value).__name__}")
        subject = value.get("subject_pith_number")
        try:
            if not isinstance(subject, str):
                raise IdentifierError("subject_pith_number is missing or no string")
            parse_pith_number(subject)
        except IdentifierError as error:
            raise Refused("no_subject", str(error)) from None
        try:
            canonical = canonical or encode(value)
        except EncodeError as error:
            raise Refused("wrong_shape", str(error)) from None
        _check_limits(canonical, value, brackets)
        return cls(canonical, outline(value, canonical))

    @classmethod
    def from_bytes(cls, data: bytes) -> Event:
        """The event of received JSON text. Raises DecodeError or Refused."""
        return cls.from_decoded(*read(data))

    @property
    def sha256(self) -> bytes:
        """`event_sha256`: the 32-byte digest of the canonical bytes, signature included."""
        if self._sha256 is None:
            self._sha256 = hashlib.sha256(self.canonical).digest()
        return self._sha256

    @property
    def value(self) -> dict[str, Any]:
        """The event as a decoded value; a new one at every call."""
        value: dict[str, Any] = decode(self.canonical)
        return value

    @property
    def subject(self) -> str:
        """The Pith Number that the event is about."""
        return self.view.subject_pith_number if self.view else self.value["subject_pith_number"]

    @property
    def event_id(self) -> str | None:
        """The stated event_id, or None where it has not an id's form."""
        if self.view is not None:
            return self.view.event_id
        stated = self.value.get("event_id")
        return stated if isinstance(stated, str) and EVENT_ID.fullmatch(stated) else None

    @property
    def timestamp(self) -> str | None:
        """created_at, or None where it is no §5 timestamp."""
        stated = self.view.created_at if self.view else self.value.get("created_at")
        return stated if isinstance(stated, str) and is_timestamp(stated) else None

    @property
    def computed_id(self) -> str:
        """The event_id that the event ought to have (SPEC §5)."""
        if self.outline is not None:
            return EVENT_ID_PREFIX + digest(self.outline.hashed(self.canonical))
        return computed_event_id(self.canonical)

    @property
    def signature(self) -> bytes | None:
        """The 64 bytes of a well-formed event's signature, or None where it is unsigned."""
        if self.outline is not None:
            return self.outline.signature
        assert self.view is not None
        signature = self.view.signature
        return None if signature is None else base64.b64decode(signature.signature_b64)

    @property
    def signer(self) -> Signer:
        """The signer of a well-formed event."""
        if self.outline is not None:
            return self.outline.signer
        assert self.view is not None
        return signer_of(bytes(self.view.signer))


def signer_of(canonical: bytes) -> Signer:
    """A signer's named members, from its canonical bytes."""
    return _common_signer(canonical) if len(canonical) <= 1024 else _SIGNER.decode(canonical)


# A log repeats few signers often. Long ones are left out: a stranger chooses their length.
@functools.lru_cache(maxsize=4096)
def _common_signer(canonical: bytes) -> Signer:
    return _SIGNER.decode(canonical)


def computed_event_id(canonical: bytes) -> str:
    """The event_id that an event ought to have (SPEC §5, ours): the digest of the canonical bytes
    of the event without `event_id` and `signature`.

    The published service's rule is not public; the day it is, it gets a function beside this one.
    """
    members = _MEMBERS.decode(canonical)
    kept = b",".join(
        b"%b:%b" % (encode_string(name), bytes(raw))
        for name, raw in members.items()  # canonical bytes are sorted already
        if name not in UNHASHED_MEMBERS
    )
    return EVENT_ID_PREFIX + digest(b"{%b}" % kept)


def id_bytes(event_id: str) -> bytes:
    """The 32 raw bytes of an event_id: what an event's signature is over."""
    return bytes.fromhex(event_id.removeprefix(EVENT_ID_PREFIX))


def _well_formed(canonical: bytes) -> EventView:
    """SPEC §6, 1. Raises msgspec.ValidationError naming the member."""
    view = _VIEW.decode(canonical)
    for name in FORBIDDEN_MEMBERS:
        if getattr(view, name) is not UNSET:
            raise msgspec.ValidationError(f"An event must not have a member `{name}`")
    if bytes(memoryview(view.payload)[:1]) != b"{":
        raise msgspec.ValidationError("Expected `object` - at `$.payload`")
    try:
        signer_of(bytes(view.signer))
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{error} of `$.signer`") from None
    return view


def _check_limits(canonical: bytes, value: Any, brackets: int | None) -> None:
    if len(canonical) > MAX_EVENT_BYTES:
        raise Refused("event_too_large", f"{len(canonical)} bytes in canonical form")
    # Brackets and digits in the bytes are cheap to find; only a candidate is walked.
    if brackets is None:
        brackets = count_brackets(canonical)
    if brackets > MAX_EVENT_DEPTH:
        depth = depth_of(value)
        if depth > MAX_EVENT_DEPTH:
            raise Refused("event_too_deep", f"{depth} levels")
    if _LONG_NUMBER in canonical.translate(_NUMBERS_SHOWN):
        _check_integers(value)


def _check_integers(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif type(item) is int and abs(item) > MAX_EVENT_INTEGER:
            shown = str(item) if abs(item) < 10**40 else "an integer of more than 40 digits"
            raise Refused("event_integer_range", shown)
