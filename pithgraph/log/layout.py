"""How a log lies on disk: the tables, their keys and values. Format 1.

What lives here: encoding and decoding of keys and values. What must not: transactions.

| table     | key                                        | value                                |
|-----------|--------------------------------------------|--------------------------------------|
| meta      | name                                       | decimal text                         |
| events    | position (8 bytes)                         | length of facts (4), facts, event    |
| by_digest | event_sha256 (32)                          | position (8)                         |
| by_paper  | paper (30), time (5), id (8), position (8) | empty                                |
| papers    | paper (30)                                 | three counters (8 each)              |
| aliases   | paper (30), digest of the row (16)         | position, kind, value, created_at    |
| refused   | digest (16)                                | a `RefusedRow`                       |
| states    | paper (30), digest of circumstances (16)   | digest of the state (32), a `State`  |

Numbers are big-endian, so that keys sort by value. A position counts events from 0. An event is
stored once, in its canonical bytes, beside the facts that were established about it (msgpack). A
paper is its SUFFIX, then its YEAR, so that a short form is a prefix of its key. The key of
by_paper is almost the merge order; the merge sorts anyway. What has no fixed length, such as an
alias, or a created_at that is no timestamp, stands in keys by digest, or not at all: LMDB's keys
end at 511 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from pithgraph.events import Event, id_bytes
from pithgraph.identifiers import PithNumber, parse_pith_number
from pithgraph.merge import MERGE_VERSION, State
from pithgraph.validation import Facts

FORMAT: Final = 1
TABLES: Final = (
    b"meta",
    b"events",
    b"by_digest",
    b"by_paper",
    b"papers",
    b"aliases",
    b"refused",
    b"states",
)

PAPER_BYTES: Final = 30
POSITION_BYTES: Final = 8
_NO_TIME: Final = b"\xff" * 5
_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)
_FACTS_LENGTH: Final = struct.Struct(">I")
_COUNTERS: Final = struct.Struct(">QQQ")
_FACTS_DECODER: Final = msgspec.msgpack.Decoder(Facts)


class PaperCounters(NamedTuple):
    """What the log holds of a paper; `unauthentic` events count against its quota."""

    events: int = 0
    aliases: int = 0
    unauthentic: int = 0


class StoredAlias(NamedTuple):
    """An alias row, and how many events the log held when it came."""

    position: int
    kind: str
    value: str
    created_at: str


class RefusedRow(NamedTuple):
    """Something that was not admitted. `size` and `sha256` are those of the refused bytes, of
    which `excerpt` holds the first; `number` counts refusals from 0."""

    number: int
    source: str
    line: int | None
    where: str
    reason: str
    detail: str
    size: int
    sha256: str
    excerpt: bytes


def position_key(position: int) -> bytes:
    return position.to_bytes(POSITION_BYTES, "big")


def paper_key(paper: PithNumber) -> bytes:
    return f"{paper.suffix}{paper.year}".encode("ascii")


def paper_of(key: bytes) -> PithNumber:
    text = key[:PAPER_BYTES].decode("ascii")
    return PithNumber(text[26:], text[:26])


def index_key(event: Event, position: int) -> bytes:
    """The key of by_paper: the paper, created_at in seconds, the beginning of the id."""
    timestamp = event.timestamp
    time = _NO_TIME
    if timestamp is not None:
        seconds = int((datetime.fromisoformat(timestamp) - _EPOCH).total_seconds())
        time = seconds.to_bytes(5, "big")
    event_id = event.event_id
    beginning = id_bytes(event_id)[:8] if event_id else bytes(8)
    paper = paper_key(parse_pith_number(event.subject))
    return paper + time + beginning + position_key(position)


def position_of_index(key: bytes) -> int:
    return int.from_bytes(key[-POSITION_BYTES:], "big")


def event_value(event: Event, facts: Facts) -> bytes:
    packed = msgspec.msgpack.encode(facts)
    return _FACTS_LENGTH.pack(len(packed)) + packed + event.canonical


def read_event_value(value: bytes) -> tuple[bytes, Facts]:
    """The event's canonical bytes and its facts. Raises msgspec.DecodeError, struct.error."""
    (length,) = _FACTS_LENGTH.unpack_from(value)
    end = _FACTS_LENGTH.size + length
    return value[end:], _FACTS_DECODER.decode(value[_FACTS_LENGTH.size : end])


def counters_value(counters: PaperCounters) -> bytes:
    return _COUNTERS.pack(*counters)


def read_counters(value: bytes | None) -> PaperCounters:
    return PaperCounters(*_COUNTERS.unpack(value)) if value else PaperCounters()


def alias_key(paper: PithNumber, kind: str, value: str, created_at: str) -> bytes:
    row = msgspec.msgpack.encode((kind, value, created_at))
    return paper_key(paper) + hashlib.sha256(row).digest()[:16]


def alias_value(alias: StoredAlias) -> bytes:
    return msgspec.msgpack.encode(alias)


def read_alias_value(value: bytes) -> StoredAlias:
    return msgspec.msgpack.decode(value, type=StoredAlias)


def refused_key(row: RefusedRow) -> bytes:
    """The same refusal met again has the same key, so that it is kept once."""
    what = (row.source, row.line, row.where, row.reason, row.sha256)
    return hashlib.sha256(msgspec.msgpack.encode(what)).digest()[:16]


def refused_value(row: RefusedRow) -> bytes:
    return msgspec.msgpack.encode(row)


def read_refused_value(value: bytes) -> RefusedRow:
    return msgspec.msgpack.decode(value, type=RefusedRow)


def state_key(paper: PithNumber, keyring_sha256: str, assurance: str) -> bytes:
    circumstances = f"{MERGE_VERSION} {assurance} {keyring_sha256}".encode()
    return paper_key(paper) + hashlib.sha256(circumstances).digest()[:16]


def state_value(state: State) -> bytes:
    packed = msgspec.msgpack.encode(state)
    return hashlib.sha256(packed).digest() + packed


def read_state_value(value: bytes) -> State | None:
    """A cached state, or None where its bytes are not those that were cached."""
    if hashlib.sha256(value[32:]).digest() != value[:32]:
        return None
    return msgspec.msgpack.decode(value[32:], type=State)
