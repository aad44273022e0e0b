"""What a repair sets aside: each damaged row, named, with its bytes.

What lives here: that no byte of a damaged row is lost between the new log and the file of what is
set aside. What must not: what the new log is (`test_repair`), and pages that are gone
(`test_repair_pages`)."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from damage import RING, Damage, Patient, build
from pithgraph.ingestion import ingest_pieces
from pithgraph.log import Log, LogWriter, layout
from pithgraph.repairing import repair
from pithgraph.sources import Piece
from signing import at, canonical, signed_event

Row = tuple[str, str, int | None, bytes]  # table, key, position, bytes


class Span(NamedTuple):
    """Where an event lies in its block, its header before it, and which it is."""

    start: int
    end: int
    event: bytes


class Sound:
    """A log of several blocks, of which the last has one event alone."""

    def __init__(self, folder: Path, *, compressed: bool) -> None:
        self.folder = folder
        build(folder, compressed=compressed)
        with pytest.MonkeyPatch.context() as patch, LogWriter.open(folder) as log:
            patch.setattr(layout, "BLOCK_BYTES", 1)
            value = signed_event("correction", created_at=at(50))
            ingest_pieces(log, [Piece("more", 1, canonical(value))], keyring=RING)
        self.events = events_of(folder)
        patient = Patient(folder)
        self.rows = patient.rows
        patient.close()
        self.blocks = dict(self.rows[b"events"])
        self.spans = {key: [*self._spans(key, block)] for key, block in self.blocks.items()}

    def _spans(self, key: bytes, block: bytes) -> list[Span]:
        first = int.from_bytes(key)
        return [
            Span(place.offset - layout.HEADER_BYTES, place.offset + place.length, event)
            for place, event in zip(
                layout.locations_in_block(block, first), self.events[first:], strict=False
            )
        ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return Sound(tmp_path_factory.mktemp("plain"), compressed=False)


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return Sound(tmp_path_factory.mktemp("compressed"), compressed=True)


def events_of(folder: Path) -> list[bytes]:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return [stored.event.canonical for stored in snapshot.events_from(0)]


def flipped(data: bytes, *offsets: int) -> bytes:
    changed = bytearray(data)
    for offset in offsets:
        changed[offset] ^= 1
    return bytes(changed)


def repaired(sound: Sound, folder: Path, damage: Damage) -> tuple[list[Row], list[str]]:
    """The rows that a repair of a copy sets aside, and why."""
    shutil.copytree(sound.folder, folder)
    patient = Patient(folder)
    patient.keep(damage)
    patient.close()
    done = repair(folder, keyring=RING)
    if done.aside is None:
        assert done.set_aside == 0
        return [], []
    assert done.aside == folder / "set-aside-1.jsonl"
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.aside.read_text().splitlines()]
    assert len(rows) == done.set_aside
    assert {len(row) for row in rows} == {5}
    aside = [
        (row["table"], row["key"], row["position"], base64.b64decode(row["bytes"], validate=True))
        for row in rows
    ]
    return aside, [row["reason"] for row in rows]


# --- blocks of events


def check_block(sound: Sound, folder: Path, key: bytes, block: bytes) -> list[bytes]:
    """That each byte of a block that was damaged is of an event which the new log has, or stands
    aside, under the block's key, with the place at which it stood. The events that are lost."""
    aside, reasons = repaired(sound, folder, Damage(b"events", ((key, block),), ""))
    kept = events_of(folder)
    lost = [event for event in sound.events if event not in kept]
    assert kept == [event for event in sound.events if event not in lost]
    gaps = []
    done = 0
    for span in sound.spans[key]:
        if span.event not in lost:
            if span.start > done:
                gaps.append((done, block[done : span.start]))
            done = span.end
    if done < len(block) or not block:
        gaps.append((done, block[done:]))
    # Classes that only those events had come first.
    unused = reasons.count("no event has it")
    classes = [("classes", number.hex(), None, value) for number, value in sound.rows[b"classes"]]
    assert all(row in classes for row in aside[:unused])
    assert aside[unused:] == [("events", key.hex(), None, data) for _, data in gaps]
    assert [reason.split(",")[0] for reason in reasons[unused:]] == [
        f"from byte {offset} of the block" for offset, _ in gaps
    ]
    shutil.rmtree(folder)
    return lost


def middle(span: Span) -> int:
    return (span.start + layout.HEADER_BYTES + span.end) // 2


def of_place(sound: Sound, place: str) -> tuple[bytes, int]:
    """A block, and the number of its event that stands first, in the middle, last or alone."""
    keys = [*sound.blocks]
    if place == "only":
        assert len(sound.spans[keys[-1]]) == 1
        return keys[-1], 0
    count = len(sound.spans[keys[1]])
    assert count > 2
    return keys[1], {"first": 0, "middle": count // 2, "last": count - 1}[place]


PLACES = ["first", "middle", "last", "only"]


@pytest.mark.parametrize("place", PLACES)
def test_an_event_is_set_aside_and_its_neighbours_are_kept(
    sound: Sound, tmp_path: Path, place: str
) -> None:
    key, number = of_place(sound, place)
    span = sound.spans[key][number]
    block = flipped(sound.blocks[key], middle(span))
    assert check_block(sound, tmp_path / "log", key, block) == [span.event]


@pytest.mark.parametrize("place", PLACES)
def test_the_half_of_an_event_before_a_cut_is_set_aside(
    sound: Sound, tmp_path: Path, place: str
) -> None:
    key, number = of_place(sound, place)
    spans = sound.spans[key]
    behind = [span.event for span in spans[number:]]
    block = sound.blocks[key]
    # In its content, in its header, and behind it: of what is gone there is nothing to set aside.
    assert check_block(sound, tmp_path / "a", key, block[: middle(spans[number])]) == behind
    assert check_block(sound, tmp_path / "b", key, block[: spans[number].start + 3]) == behind
    assert check_block(sound, tmp_path / "c", key, block[: spans[number].end]) == behind[1:]


@pytest.mark.parametrize("place", ["first", "only"])
def test_a_block_without_any_bytes_is_named(sound: Sound, tmp_path: Path, place: str) -> None:
    key, _ = of_place(sound, place)
    lost = check_block(sound, tmp_path / "log", key, b"")
    assert lost == [span.event for span in sound.spans[key]]


def test_of_events_side_by_side_and_apart_each_byte_is_set_aside(
    sound: Sound, tmp_path: Path
) -> None:
    key, _ = of_place(sound, "first")
    spans = sound.spans[key]
    broken = [spans[number] for number in (0, 2, 3, len(spans) - 1)]
    block = flipped(sound.blocks[key], *map(middle, broken)) + b"more"
    assert check_block(sound, tmp_path / "log", key, block) == [span.event for span in broken]


@pytest.mark.longer
@pytest.mark.parametrize("kind", ["plain", "compressed"])
@pytest.mark.parametrize("what", ["header", "content", "cut"])
def test_no_byte_of_any_event_is_lost(
    kind: str, what: str, sound: Sound, compressed: Sound, tmp_path: Path
) -> None:
    log = {"plain": sound, "compressed": compressed}[kind]
    lost = tried = 0
    for key, block in log.blocks.items():
        for number, span in enumerate(log.spans[key]):
            # The first byte behind the header, or the last.
            at = (span.start + layout.HEADER_BYTES, span.end - 1)[number % 2]
            if what == "header":
                made = flipped(block, span.start + number % layout.HEADER_BYTES)
            else:
                made = flipped(block, at) if what == "content" else block[:at]
            lost += bool(check_block(log, tmp_path / str(tried), key, made))
            tried += 1
    assert tried == len(log.events)
    if what == "header":  # the index knows where each event is
        assert lost == 0
    else:
        assert lost > tried / 2


def test_an_event_that_is_there_twice_is_set_aside_under_its_position(
    sound: Sound, tmp_path: Path
) -> None:
    key, _ = of_place(sound, "first")
    other = b"\1" + key[1:]
    damage = Damage(b"events", ((other, sound.blocks[key]),), "")
    aside, reasons = repaired(sound, tmp_path / "log", damage)
    first = int.from_bytes(key)
    events = [span.event for span in sound.spans[key]]
    assert aside == [("events", "", n, event) for n, event in enumerate(events, first)]
    assert set(reasons) == {"the log has it before"}
    assert events_of(tmp_path / "log") == sound.events


# --- rows that nothing else can give

DAMAGES: dict[str, Callable[[bytes, bytes], tuple[bytes, bytes]]] = {
    "its seal": lambda key, value: (key, flipped(value, 0)),
    "its middle": lambda key, value: (key, flipped(value, len(value) // 2)),
    "its end": lambda key, value: (key, flipped(value, len(value) - 1)),
    "cut": lambda key, value: (key, value[:-1]),
    "cut in half": lambda key, value: (key, value[: len(value) // 2]),
    "emptied": lambda key, value: (key, b""),
    "longer": lambda key, value: (key, value + b"\0"),
    "its key": lambda key, value: (key[:-1] + b"\xff", value),
    "moved under a right seal": lambda key, value: (
        key[:-1] + b"\xff",
        layout.sealed(key[:-1] + b"\xff", value[16:]),
    ),
}
QUICK = ("its middle", "emptied", "its key", "moved under a right seal")


@pytest.mark.parametrize("table", ["classes", "aliases", "refused"])
@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[] if what in QUICK else pytest.mark.longer) for what in DAMAGES],
)
def test_a_row_that_nothing_else_gives_is_set_aside_whole(
    sound: Sound, tmp_path: Path, table: str, what: str
) -> None:
    """The first row alone, and the last alone: a key of another is not to stand for it."""
    rows = sound.rows[table.encode()]
    for number, (key, value) in enumerate((rows[0], rows[-1])):
        other, made = DAMAGES[what](key, value)
        changes: tuple[tuple[bytes, bytes | None], ...] = ((other, made),)
        if other != key:
            changes = ((key, None), *changes)
        damage = Damage(table.encode(), changes, "")
        aside, reasons = repaired(sound, tmp_path / str(number), damage)
        assert aside == [(table, other.hex(), None, made)]
        assert all(reasons)


def test_rows_about_the_log_that_cannot_be_are_set_aside(sound: Sound, tmp_path: Path) -> None:
    changes = ((b"compression", b"lz4\xff"), (b"further", b"\0 1"))
    aside, _ = repaired(sound, tmp_path / "log", Damage(b"meta", changes, ""))
    assert aside == [("meta", key.hex(), None, value) for key, value in changes]
