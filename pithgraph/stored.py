"""The rows of a log as they are stored, however damaged.

What lives here: reading each event's row without trusting it, and how a row is named. What must
not: what must hold of rows (`checking`), and what is done about them (`salvaging`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from pithgraph.errors import PithgraphError
from pithgraph.events import Event
from pithgraph.identifiers import parse_pith_number
from pithgraph.log import layout
from pithgraph.log.layout import PAPER_BYTES, POSITION_BYTES
from pithgraph.log.snapshot import Snapshot
from pithgraph.ordinary import EventClass
from pithgraph.validation import Facts

# What reading a damaged row may raise.
BAD_ROW: Final = (PithgraphError, msgspec.MsgspecError, struct.error, ValueError)


class Finding(NamedTuple):
    """Something that does not hold: in which table, at which row, and what."""

    table: str
    where: str
    detail: str


class StoredRow(NamedTuple):
    """An event's row: where it is, and what it gives, or the fault for which it gives nothing."""

    position: int
    location: layout.Location
    content: bytes
    event: Event | None
    facts: Facts | None
    fault: str


def stored_rows(snapshot: Snapshot) -> Iterator[StoredRow | Finding]:
    """The row of each event in the order of positions, however damaged; and what is wrong with the
    blocks that they lie in."""
    expected = 0
    for key, value in snapshot.rows(b"events"):
        first = int.from_bytes(key, "big")
        if len(key) != POSITION_BYTES or first != expected:
            yield Finding("events", key.hex(), f"expected the block of position {expected}")
            if len(key) != POSITION_BYTES or first < expected:
                continue
        expected = first
        for row in _rows_of_block(snapshot, first, value):
            if isinstance(row, StoredRow):
                expected += 1
            yield row


def _rows_of_block(snapshot: Snapshot, first: int, block: bytes) -> Iterator[StoredRow | Finding]:
    offset, position = 0, first
    while offset < len(block):
        start = offset + layout.HEADER_BYTES
        try:
            number, length = layout.read_header(block, offset)
        except struct.error:
            number, length = 0, len(block)
        if start + length > len(block):
            yield Finding("events", f"block of position {first}", "it ends before its events do")
            return
        location = layout.Location(number, first, start, length)
        yield read_row(snapshot, position, location, block[start : start + length])
        offset, position = start + length, position + 1


def read_row(
    snapshot: Snapshot, position: int, location: layout.Location, stored: bytes
) -> StoredRow:
    """What an event's stored bytes give."""
    content = stored
    number = location.class_number
    try:
        event_class: EventClass | None = snapshot.class_of(number)
    except BAD_ROW as error:
        fault = f"the row is damaged: class {number}: {error}"
        return StoredRow(position, location, content, None, None, fault)
    try:
        content = snapshot.codec.decompress(stored)
        canonical, facts = layout.read_content(content, event_class)
        event = Event.from_bytes(canonical)
        if event.canonical != canonical:
            raise ValueError("the event is not in canonical form")
    except BAD_ROW as error:
        return StoredRow(position, location, content, None, None, f"the row is damaged: {error}")
    return StoredRow(position, location, content, event, facts, "")


def place(key: bytes) -> str:
    """A key for a person: the Pith Number that it begins with, the rest in hex."""
    try:
        name = str(parse_pith_number(layout.name_of(key[:PAPER_BYTES])))
    except BAD_ROW:
        return key.hex()
    return f"{name} {key[PAPER_BYTES:].hex()}".rstrip()
