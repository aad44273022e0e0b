"""How a log lies on disk: the tables, their keys and values. Format 3.

What lives here: encoding and decoding of keys and values. What must not: transactions.

| table     | key                                        | value                                |
|-----------|--------------------------------------------|--------------------------------------|
| meta      | name                                       | text; `dictionary`: of zstd, sealed  |
| classes   | number from 1 (2)                          | an `EventClass`, sealed              |
| events    | position of the first event (8)            | a block: events one behind the other |
| tiles     | level (1), number (8)                      | up to 256 hashes of 32 bytes         |
| by_digest | event_sha256 (32)                          | position (8)                         |
| by_paper  | paper (30), time (5), id (8), position (8) | a `Location` (18), link (8)          |
| papers    | paper (30)                                 | three counters (8 each), sealed      |
| aliases   | paper (30), digest of the row (16)         | a `StoredAlias`, sealed              |
| refused   | digest (16)                                | a `RefusedRow`, sealed               |
| states    | paper (30), digest of circumstances (16)   | a `State`, sealed                    |

Numbers are big-endian, so that keys sort by value. A position counts events from 0. An event is
stored once, in a block with those that came with it: LMDB gives whole pages of 4 KB to a value of
more than 2 KB. In its block stand the number of its class (2), the length of what follows (4), and
the content: of an ordinary event (`ordinary`) the row and the seal, for the class says the rest; of
any other, whose class is 0, its facts, sealed, with their length (4) before them, and its canonical
bytes. A compressed log holds each content compressed with zstd. `tiles` hold the Merkle tree over
the events' event_sha256 (`merkle`).

What nothing else in a log can give again is sealed: 16 bytes of a digest over key and value stand
before it. An event is sealed by its event_sha256, which by_digest and the tiles repeat.

A link is the beginning of the id that an ordinary event names as its previous one, or zeros: so a
replay finds forks without looking at each event's seal.

A paper is its SUFFIX, then its YEAR, so that a short form is a prefix of its key. The order of
by_paper is that of the merge as far as 8 bytes of an id can tell. What has no fixed length, such as
an alias, or a created_at that is no timestamp, stands in keys by digest, or not at all: LMDB's keys
end at 511 bytes.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from pithgraph.errors import LogError
from pithgraph.events import EVENT_ID_PREFIX, Event, id_bytes
from pithgraph.identifiers import PithNumber, seconds_of
from pithgraph.merge import MERGE_VERSION, State
from pithgraph.merkle import Tile
from pithgraph.ordinary import PREVIOUS, Cut, EventClass, join, seal_length
from pithgraph.validation import Facts

FORMAT: Final = 3
FORMAT_VALUE: Final = b"%d" % FORMAT  # as meta has it
TABLES: Final = (
    b"meta",
    b"classes",
    b"events",
    b"tiles",
    b"by_digest",
    b"by_paper",
    b"papers",
    b"aliases",
    b"refused",
    b"states",
)

PAPER_BYTES: Final = 30
POSITION_BYTES: Final = 8
# A block takes whole pages. Large ones waste little of the last, small ones are quick to fill up.
BLOCK_BYTES: Final = 64 * 1024
MAX_CLASSES: Final = 2**16 - 1
NO_CLASS: Final = 0
# Of a `Location`: the key of the block.
BLOCK_KEY: Final = slice(2, 10)
# Of a key of by_paper: the time of the event.
INDEX_TIME: Final = slice(30, 35)
_SHORT_ID: Final = len(EVENT_ID_PREFIX) + 16
_NO_TIME: Final = b"\xff" * 5
_FACTS_LENGTH: Final = struct.Struct(">I")
_SEAL_BYTES: Final = 16
_COUNTERS: Final = struct.Struct(">QQQ")
_SEALED_COUNTERS: Final = struct.Struct(">16xQQQ")
_HEADER: Final = struct.Struct(">HI")
_LOCATION: Final = struct.Struct(">HQII")
_INDEX_VALUE: Final = struct.Struct(">HQII8s")
NO_LINK: Final = bytes(8)
_LINK_OF_ZEROS: Final = bytes(7) + b"\x01"
_FACTS_DECODER: Final = msgspec.msgpack.Decoder(Facts)


class PaperCounters(NamedTuple):
    """What the log holds of a paper; `unauthentic` events count against its quota."""

    events: int = 0
    aliases: int = 0
    unauthentic: int = 0


class Location(NamedTuple):
    """Where an event's content is: its class, the key of its block, and the place in the block."""

    class_number: int
    block: int
    offset: int
    length: int


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


def read_meta(name: bytes, value: bytes | memoryview | None) -> int:
    """A number of the log as a whole; 0 where it was never set. Raises LogError."""
    text = bytes(value or b"0")
    if not text.isdigit() or len(text) > 2 * POSITION_BYTES:
        raise LogError(f"the log's counter {name.decode()} is damaged: {text[:40]!r}")
    return int(text)


class BrokenSeal(ValueError):
    """A stored value, or its key, has changed since it was written."""


def sealed(key: bytes, value: bytes) -> bytes:
    """A value with the digest by which a change of it, or of its key, is found."""
    return hashlib.sha256(key + value).digest()[:_SEAL_BYTES] + value


def unsealed(key: bytes, value: bytes | memoryview) -> bytes:
    """The value that was sealed under this key. Raises BrokenSeal where either has changed."""
    inside = bytes(value[_SEAL_BYTES:])
    if sealed(key, inside) != value:
        raise BrokenSeal("it is not what was written")
    return inside


def tile_key(tile: Tile) -> bytes:
    return bytes([tile.level]) + tile.number.to_bytes(8, "big")


def position_key(position: int) -> bytes:
    return position.to_bytes(POSITION_BYTES, "big")


def paper_key(paper: PithNumber) -> bytes:
    return f"{paper.suffix}{paper.year}".encode("ascii")


def paper_of(key: bytes) -> PithNumber:
    text = key[:PAPER_BYTES].decode("ascii")
    return PithNumber(text[26:], text[:26])


def merge_order(event: Event) -> bytes:
    """What stands in by_paper between paper and position: created_at in seconds, and the beginning
    of the id."""
    timestamp = event.timestamp
    time = _NO_TIME if timestamp is None else index_time(timestamp)
    event_id = event.event_id
    return time + (id_bytes(event_id[:_SHORT_ID]) if event_id else bytes(8))


@functools.lru_cache(maxsize=4096)  # the events of a paper often have one time
def index_time(timestamp: str) -> bytes:
    """A §5 timestamp as it stands in by_paper: it sorts as the text does."""
    return seconds_of(timestamp).to_bytes(5, "big")


def position_of_index(key: bytes) -> int:
    return int.from_bytes(key[-POSITION_BYTES:], "big")


def name_of(paper: bytes) -> str:
    """The Pith Number of a paper's key."""
    text = paper.decode("ascii")
    return f"pith:{text[26:]}:{text[:26]}"


def class_key(number: int) -> bytes:
    return number.to_bytes(2, "big")


def packed_class(event_class: EventClass) -> bytes:
    return msgspec.msgpack.encode(event_class)


def read_packed_class(packed: bytes) -> EventClass:
    return msgspec.msgpack.decode(packed, type=EventClass)


def link_of(parts: Cut) -> bytes:
    """The link of an ordinary event, never that of one without: a signer chooses what it names."""
    if not parts.event_class.follows:
        return NO_LINK
    link = parts.seal[PREVIOUS][: len(NO_LINK)]
    return link if link != NO_LINK else _LINK_OF_ZEROS


def ordinary_content(parts: Cut) -> bytes:
    return parts.row + parts.seal


def other_content(canonical: bytes, facts: Facts) -> bytes:
    packed = sealed(canonical, msgspec.msgpack.encode(facts))
    return _FACTS_LENGTH.pack(len(packed)) + packed + canonical


def without_class(content: bytes, packed: bytes) -> bytes:
    """The content of an ordinary event as that of any other."""
    canonical, facts = read_content(content, read_packed_class(packed))
    return other_content(canonical, facts)


def read_content(content: bytes, event_class: EventClass | None) -> tuple[bytes, Facts]:
    """An event's canonical bytes and its facts. Raises ValueError (BrokenSeal among them),
    msgspec.DecodeError, struct.error."""
    if event_class is not None:
        row_end = len(content) - seal_length(event_class)
        return join(Cut(event_class, content[:row_end], content[row_end:])), event_class.facts
    canonical = canonical_of(content)
    facts = unsealed(canonical, content[_FACTS_LENGTH.size : len(content) - len(canonical)])
    return canonical, _FACTS_DECODER.decode(facts)


def canonical_of(content: bytes) -> bytes:
    """The canonical bytes in the content of an event without a class, whatever became of its facts.
    Raises struct.error."""
    (length,) = _FACTS_LENGTH.unpack_from(content)
    return content[_FACTS_LENGTH.size + length :]


def block_header(class_number: int, content: bytes) -> bytes:
    return _HEADER.pack(class_number, len(content))


def index_value(location: Location, link: bytes) -> bytes:
    return _INDEX_VALUE.pack(*location, link)


def location_of_index(value: bytes) -> Location:
    return Location(*_LOCATION.unpack_from(value))


HEADER_BYTES: Final = _HEADER.size
# The class and the length of the event whose header begins at an offset of a block.
read_header = _HEADER.unpack_from
# A location's four numbers and the link. Called once an event of every replay: no wrapper around.
read_index_value = _INDEX_VALUE.unpack


def locations_in_block(block: bytes | memoryview, first: int) -> Iterator[Location]:
    """Where each event is, in the block whose first position is `first`. Raises struct.error."""
    offset = 0
    while offset < len(block):
        class_number, length = _HEADER.unpack_from(block, offset)
        offset += HEADER_BYTES
        yield Location(class_number, first, offset, length)
        offset += length


def counters_value(paper: bytes, counters: PaperCounters) -> bytes:
    return sealed(paper, _COUNTERS.pack(*counters))


# As PaperCounters, the seal left alone; called once a paper of every replay.
unpack_counters = _SEALED_COUNTERS.unpack


def read_counters(value: bytes | memoryview | None) -> PaperCounters:
    return PaperCounters(*unpack_counters(value)) if value else PaperCounters()


def alias_key(paper: PithNumber, kind: str, value: str, created_at: str) -> bytes:
    row = msgspec.msgpack.encode((kind, value, created_at))
    return paper_key(paper) + hashlib.sha256(row).digest()[:16]


def alias_value(key: bytes, alias: StoredAlias) -> bytes:
    return sealed(key, msgspec.msgpack.encode(alias))


def read_alias_value(key: bytes, value: bytes) -> StoredAlias:
    return msgspec.msgpack.decode(unsealed(key, value), type=StoredAlias)


def refused_key(row: RefusedRow) -> bytes:
    """The same refusal met again has the same key, so that it is kept once."""
    what = (row.source, row.line, row.where, row.reason, row.sha256)
    return hashlib.sha256(msgspec.msgpack.encode(what)).digest()[:16]


def refused_value(key: bytes, row: RefusedRow) -> bytes:
    return sealed(key, msgspec.msgpack.encode(row))


def read_refused_value(key: bytes, value: bytes) -> RefusedRow:
    return msgspec.msgpack.decode(unsealed(key, value), type=RefusedRow)


def state_key(paper: PithNumber, keyring_sha256: str, assurance: str) -> bytes:
    circumstances = f"{MERGE_VERSION} {assurance} {keyring_sha256}".encode()
    return paper_key(paper) + hashlib.sha256(circumstances).digest()[:16]


def state_value(key: bytes, state: State) -> bytes:
    return sealed(key, msgspec.msgpack.encode(state))


def read_state_value(key: bytes, value: bytes) -> State:
    return msgspec.msgpack.decode(unsealed(key, value), type=State)
