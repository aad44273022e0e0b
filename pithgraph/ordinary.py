"""Ordinary events: cut into the row that a state shows, and a seal; and put together again.

What lives here: which events can be cut, the cut, and the canonical bytes of the parts. What must
not: storage, and any rule about whether an event counts.

Of nearly all events of a log, one differs from another in its row of the state document (SPEC §7,
3), in its signature, and in the previous event that it names. Everything else it shares with many:
its class. So a log stores of such an event its class, the row and the seal, and a replay takes the
row as it is, without decoding it.

An event is ordinary when it is valid under `verified` and of the usual shape (`outline`), and its
parts give its canonical bytes back; that is tried with each. For all events of one class judging
decides alike, as long as the key has no window: their timestamps, the forms of their targets and
their ids were found good, the signer's members, the facts and the type are those of the class, and
nothing else is judged (`validation`).
"""

from __future__ import annotations

import base64
import functools
import struct
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from pithgraph.canonical import encode_string
from pithgraph.events import EVENT_ID_PREFIX, Event, id_bytes, signer_of
from pithgraph.kinds import RECORD_CREATED
from pithgraph.validation import Facts

Buffer = bytes | memoryview


class EventClass(Struct, frozen=True, array_like=True):
    """What the events of a class share. `signer` is in canonical bytes; `follows` holds for those
    that name a previous event."""

    event_type: str
    signer: bytes
    facts: Facts
    follows: bool


class Cut(NamedTuple):
    """An ordinary event. `row` is its row of the state document, in canonical bytes. `seal` is its
    64-byte signature, the 31 characters of its subject behind `pith:`, the 32 bytes of
    previous_event_id where its class says so, and of a record_created where in the row the
    canonical record begins and ends (4 bytes each)."""

    event_class: EventClass
    row: bytes
    seal: bytes


# Where things stand in a row: `{"created_at":"…","event_id":"…","payload":`, all of one length. The
# id stands with its quotation marks.
ROW_EVENT_ID: Final = slice(48, 121)
ID_START: Final = b'"sha256:'
_ROW_PAYLOAD: Final = 122
_SIGNATURE: Final = slice(0, 64)
_SUBJECT: Final = slice(64, 95)
PREVIOUS: Final = slice(95, 127)  # in the seal of an event whose class says that it follows
_RECORD_SPAN: Final = struct.Struct(">II")


def state_row(event: Event) -> bytes:
    """The row of a valid event in its bucket (SPEC §7, 3), in canonical bytes."""
    if event.outline is not None:
        return event.outline.row(event.canonical)
    view = event.view
    assert view is not None  # a malformed event is never valid
    # A timestamp and an id need no escapes.
    return b'{"created_at":"%b","event_id":"%b","payload":%b,"signer":%b,"target":%b}' % (
        view.created_at.encode(),
        view.event_id.encode(),
        bytes(view.payload),
        bytes(view.signer),
        encode_string(view.target),
    )


def class_of(event: Event, facts: Facts) -> EventClass | None:
    """The class of an event of the usual shape with these facts."""
    view = event.view
    if event.outline is None or view is None:
        return None
    follows = view.previous_event_id is not None
    return EventClass(view.event_type, bytes(view.signer), facts, follows)


def cut(event: Event, event_class: EventClass) -> Cut | None:
    """An event of this class that is valid under `verified`, cut; None where the parts would not
    give it back."""
    view, signature = event.view, event.signature
    assert view is not None  # since it has a class
    assert signature is not None
    row = state_row(event)
    seal = signature + view.subject_pith_number.removeprefix("pith:").encode()
    if view.previous_event_id is not None:
        seal += id_bytes(view.previous_event_id)
    if view.event_type == RECORD_CREATED:
        if event.record is None:  # it was not established by this process
            event.record = msgspec.json.decode(view.payload, type=_RecordPayload).canonical_record
        record = bytes(event.record)
        start = row.index(record)
        seal += _RECORD_SPAN.pack(start, start + len(record))
    parts = Cut(event_class, row, seal)
    return parts if join(parts) == event.canonical else None


def join(parts: Cut) -> bytes:
    """The canonical bytes of the event that was cut."""
    event_class, row, seal = parts
    head, before_seal, after_seal, signer = _shared(event_class.event_type, event_class.signer)
    # A quotation mark inside the target stands escaped, so the last such member is the signer.
    payload_end = row.rindex(signer)
    signer_end = payload_end + len(signer)
    previous = b""
    if event_class.follows:
        stated = EVENT_ID_PREFIX + seal[PREVIOUS].hex()
        previous = b',"previous_event_id":"%b"' % stated.encode()
    return b"".join(
        (
            row[:_ROW_PAYLOAD],
            head,
            row[_ROW_PAYLOAD:payload_end],
            previous,
            before_seal,
            base64.b64encode(seal[_SIGNATURE]),
            after_seal,
            signer,
            b',"subject_pith_number":"pith:%b"' % seal[_SUBJECT],
            row[signer_end:],
        )
    )


def seal_length(event_class: EventClass) -> int:
    """How many bytes the seals of a class have."""
    length = _SUBJECT.stop
    if event_class.follows:
        length = PREVIOUS.stop
    if event_class.event_type == RECORD_CREATED:
        length += _RECORD_SPAN.size
    return length


def slot_of(row: bytes) -> bytes:
    """The signer and the target of a row: what tells slots of one time and bucket apart. The signer
    of a valid event is written as its key's entry says, so that it stands for the key."""
    return row[row.rindex(b',"signer":') :]


def record_of(row: Buffer, seal: Buffer) -> bytes:
    """The canonical record in the row of a record_created. Of the seal only the end is needed."""
    start, end = _RECORD_SPAN.unpack_from(seal, len(seal) - _RECORD_SPAN.size)
    return bytes(row[start:end])


@functools.lru_cache(maxsize=4096)
def _shared(event_type: str, signer: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The parts of canonical bytes that the events of a class share."""
    key_id = signer_of(signer).key_id
    return (
        b'"event_type":%b,' % encode_string(event_type),
        b',"signature":{"algorithm":"ed25519","key_id":%b,"signature_b64":"'
        % encode_string(key_id),
        b'","signed_message":"event_sha256_bytes"}',
        b',"signer":%b' % signer,
    )


class _RecordPayload(Struct):
    canonical_record: Raw
