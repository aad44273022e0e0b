"""The usual shape of an event: where its members stand in its canonical bytes.

What lives here: finding that an event has this shape, and where its parts are. What must not:
whether an event of any other shape is well-formed (`events`), and whether one counts.

Of the usual shape is a signed event with the members that SPEC §5 names and no others. Its
canonical bytes are then `{"created_at":…,"event_id":…,"event_type":…,"payload":…` to the end of the
payload, perhaps `,"previous_event_id":…`, then `,"signature":…,"signer":…,"subject_pith_number":…,
"target":…}`. So what stands before the payload and behind it is made of the members, and compared:
where both are found, so is every member, and nothing has to be decoded a second time.
"""

from __future__ import annotations

import binascii
import functools
import re
from typing import Any, Final, NamedTuple

from msgspec import Raw

from pithgraph.canonical import encode_string
from pithgraph.documents import EventView, Signature, Signer

EVENT_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")
# Where `"event_id":…,` begins behind a timestamp, and where it ends.
_ID_START: Final = 37
_ID_END: Final = 122
_TIME_BYTES: Final = 20
_SIGNATURE_BYTES: Final = 64


class Outline(NamedTuple):
    """An event of the usual shape: its view, its signer, the 64 bytes of its signature, and where
    in its canonical bytes the payload's value and the members of signature and subject stand, each
    of these with the comma before it."""

    view: EventView
    signer: Signer
    signature: bytes
    payload_start: int
    payload_end: int
    seal_start: int
    seal_end: int
    subject_start: int
    subject_end: int

    def hashed(self, canonical: bytes) -> bytes:
        """What the event_id is the digest of (SPEC §5): all but `event_id` and `signature`."""
        return b"".join(
            (
                canonical[:_ID_START],
                canonical[_ID_END : self.seal_start],
                canonical[self.seal_end :],
            )
        )

    def row(self, canonical: bytes) -> bytes:
        """The event's row in a state (SPEC §7, 3)."""
        return b"".join(
            (
                canonical[:_ID_END],
                canonical[self.payload_start - len(_PAYLOAD) : self.payload_end],
                canonical[self.seal_end : self.subject_start],
                canonical[self.subject_end :],
            )
        )


_PAYLOAD: Final = b'"payload":'
_BEFORE: Final = b'{"created_at":"%b","event_id":"%b","event_type":%b,"payload":'
_PREVIOUS: Final = b',"previous_event_id":"%b"'
_SEAL: Final = b',"signature":{"algorithm":"ed25519","key_id":%b,"signature_b64":"'
_SEAL_END: Final = b'","signed_message":"event_sha256_bytes"}'
_SUBJECT: Final = b',"subject_pith_number":"%b"'
_TARGET: Final = b',"target":%b}'


def outline(value: dict[str, Any], canonical: bytes) -> Outline | None:
    """The outline of an event with this value and these canonical bytes, which names a subject of
    the right form; None where it has another shape than the usual one."""
    try:
        created_at, event_id, event_type = (
            value["created_at"],
            value["event_id"],
            value["event_type"],
        )
        subject, target, payload = value["subject_pith_number"], value["target"], value["payload"]
        signature, previous_id = value["signature"], value.get("previous_event_id")
        signature_b64 = signature["signature_b64"]
        signer, signer_member, signer_raw = _signer(**value["signer"])
        key_id, key_member = _key_id(signature["key_id"])
        encoded_signature = signature_b64.encode()
        raw = binascii.a2b_base64(encoded_signature)
        time = created_at.encode()
        before = _BEFORE % (time, event_id.encode(), encode_string(event_type))
        seal = key_member + encoded_signature + _SEAL_END
        naming = _SUBJECT % subject.encode()
        tail = b"".join((seal, signer_member, naming, _TARGET % encode_string(target)))
        previous = b""
        if previous_id is not None:
            previous = _PREVIOUS % previous_id.encode()
            tail = previous + tail
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    payload_start, payload_end = len(before), len(canonical) - len(tail)
    if (
        len(value) != (8 if previous_id is None else 9)
        or len(time) != _TIME_BYTES
        or not type(event_type) is type(target) is str
        or type(payload) is not dict
        or len(raw) != _SIGNATURE_BYTES
        or binascii.b2a_base64(raw, newline=False) != encoded_signature
        or EVENT_ID.fullmatch(event_id) is None
        or (previous_id is not None and EVENT_ID.fullmatch(previous_id) is None)
        or not canonical.startswith(before)
        or not canonical.endswith(tail)
    ):
        return None
    seal_start = payload_end + len(previous)
    seal_end = seal_start + len(seal)
    subject_start = seal_end + len(signer_member)
    view = EventView(
        event_id,
        event_type,
        subject,
        target,
        created_at,
        Raw(canonical[payload_start:payload_end]),
        signer_raw,
        Signature("ed25519", key_id, "event_sha256_bytes", signature_b64),
        previous_id,
    )
    return Outline(
        view,
        signer,
        raw,
        payload_start,
        payload_end,
        seal_start,
        seal_end,
        subject_start,
        subject_start + len(naming),
    )


@functools.lru_cache(maxsize=4096)
def _signer(
    *, key_id: str, public_key_fingerprint: str, signer_id: str, signer_type: str
) -> tuple[Signer, bytes, Raw]:
    """A signer, its member in canonical bytes, and its value. A log repeats few signers often; long
    ones are left out, since a stranger chooses their length. Raises TypeError, ValueError."""
    members = key_id, public_key_fingerprint, signer_id, signer_type
    if len("".join(members)) > _SIGNER_LENGTH:
        raise ValueError("too long to be kept")
    value = b'{"key_id":%b,"public_key_fingerprint":%b,"signer_id":%b,"signer_type":%b}' % tuple(
        map(encode_string, members)
    )
    return Signer(*members), b',"signer":%b' % value, Raw(value)


@functools.lru_cache(maxsize=4096)
def _key_id(key_id: str) -> tuple[str, bytes]:
    """A signature's key_id, and its member as far as the signature itself. Raises TypeError,
    ValueError."""
    if len("".join((key_id,))) > _SIGNER_LENGTH:
        raise ValueError("too long to be kept")
    return key_id, _SEAL % encode_string(key_id)


_SIGNER_LENGTH: Final = 1024
