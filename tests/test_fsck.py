"""fsck names every damage: each byte flipped, each row dropped, added, swapped, cut (promise 2).

First in the tables of a small log that holds something of everything, then in LMDB's pages, at last
on the command line. A check that is taken out must be missed by one of these.
"""

import functools
import inspect
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import msgspec
import pytest

import pithgraph.fsck
from damage import OTHER_RING, RING, Damage, Patient, build
from pithgraph import checking, stored
from pithgraph.checking import Check
from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.fsck import PAGES, Fsck
from pithgraph.log import Log, LogWriter, layout
from pithgraph.log.snapshot import Snapshot
from pithgraph.ordinary import EventClass
from pithgraph.stored import Finding
from pithgraph.validation import Facts, ReceiptTrial, Trial
from planting import Fault, plant
from signing import keyring_value

# What a damage of a table is found in: the table, or what depends on it.
FOUND_IN = {
    b"meta": {"meta", "events"},
    b"classes": {"classes", "events"},
    b"events": {"events", "by_digest", "by_paper", "tiles"},
    b"tiles": {"tiles"},
    b"by_digest": {"by_digest"},
    b"by_paper": {"by_paper", "papers"},
    b"papers": {"papers", "meta"},
    b"aliases": {"aliases", "papers"},
    b"refused": {"refused", "meta"},
    b"states": {"states"},
}
# How a check words the key of a row, where that does not begin with a paper's.
PLACES: dict[bytes, Callable[[bytes], str]] = {
    b"meta": lambda name: name.decode("ascii", "replace"),
    b"classes": lambda key: str(int.from_bytes(key)),
    b"events": bytes.hex,
    b"tiles": bytes.hex,
    b"by_digest": bytes.hex,
    b"refused": bytes.hex,
}
NOTHING = layout.PaperCounters()


@pytest.fixture(
    scope="module", params=[pytest.param("plain", marks=pytest.mark.longer), "compressed"]
)
def patient(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Patient]:
    folder = tmp_path_factory.mktemp(request.param)
    build(folder, compressed=request.param == "compressed")
    patient = Patient(folder)
    yield patient
    patient.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    folder = tmp_path_factory.mktemp("plain")
    build(folder)
    patient = Patient(folder)
    yield patient
    patient.close()


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs most of a check is pure, and nearly always asked again."""
    monkeypatch.setattr(Event, "from_bytes", functools.lru_cache(None)(Event.from_bytes))
    cuts: dict[tuple[bytes, EventClass], Any] = {}

    def cut(event: Event, event_class: EventClass, right: Any = checking.cut) -> Any:
        key = event.canonical, event_class
        if key not in cuts:
            cuts[key] = right(event, event_class)
        return cuts[key]

    monkeypatch.setattr(checking, "cut", cut)


def first_finding(patient: Patient, *damages: Damage, deep: bool = False) -> Finding | None:
    """What a check says first. Of no row that is damaged a LogError is to come: what a check can
    not go on without, it names, too."""
    with patient.damaged(*damages) as snapshot:
        return next(iter(Check(snapshot, RING, deep=deep)), None)


def check_it_is_named(patient: Patient, damage: Damage) -> bool:
    """That a check names the row that is damaged, beside whatever else it says. False where it says
    nothing at all."""
    names = names_of(patient, damage)
    found = []
    with patient.damaged(damage) as snapshot:
        for finding in Check(snapshot, RING):
            assert finding.where, (damage.what, finding)
            assert finding.detail, (damage.what, finding)
            if damage.table == b"events" and finding.where.startswith("position "):
                assert finding[:2] in names, (damage.what, finding)
            found.append(finding)
            if (finding.table, finding.where) in names:
                break
        else:
            assert not found, (damage.what, found)
            return False
    assert found[0].table in FOUND_IN[damage.table], (damage.what, found)
    return True


def names_of(patient: Patient, damage: Damage) -> set[tuple[str, str]]:
    """Each table and place that tells a reader of findings which row was changed: the row itself,
    or, of one that is gone and that nothing repeats, what counts it."""
    table = damage.table.decode()
    names: set[tuple[str, str]] = set()
    for key, value in damage.changes:
        names.add((table, PLACES.get(damage.table, spoken)(key)))
        if damage.table == b"tiles" and len(key) == 9:  # one that is to be there
            names.add((table, f"level {key[0]}, number {int.from_bytes(key[1:])}"))
        if damage.table == b"meta":  # one that pithgraph has not
            names.add((table, repr(key)))
        if damage.table == b"papers" and value == layout.counters_value(key, NOTHING):
            names.add(("meta", "papers"))
    if [value for _, value in damage.changes] == [None]:
        ((key, _),) = damage.changes
        if damage.table == b"aliases":
            names.add(("papers", spoken(key[: layout.PAPER_BYTES])))
        if damage.table == b"refused":
            names.add(("meta", "refused"))
        if key == b"dictionary":  # a log without one may be sound, but for its events
            names.add(("meta", "compression"))
    if damage.table == b"events":
        names |= names_of_events(patient, damage)
    return names


def names_of_events(patient: Patient, damage: Damage) -> set[tuple[str, str]]:
    """The names of blocks, and of those events in them that are others than before, or gone."""
    changed = changed_positions(patient, damage)
    names = {("events", f"block of position {int.from_bytes(key)}") for key, _ in damage.changes}
    names |= {("events", f"position {n}") for n in changed}
    for sha256, value in patient.rows[b"by_digest"]:
        if int.from_bytes(value) in changed:
            names.add(("by_digest", sha256.hex()))
    for key, _ in patient.rows[b"by_paper"]:
        if layout.position_of_index(key) in changed:
            names.add(("by_paper", spoken(key)))
    return names


def changed_positions(patient: Patient, damage: Damage) -> set[int]:
    """Where the blocks have no event that they had, another, or a further one."""
    before = dict(patient.rows[b"events"])
    after = contents_by_position(before | dict(damage.changes))
    was = contents_by_position(before)
    return {n for n in was.keys() | after.keys() if was.get(n) != after.get(n)}


def contents_by_position(blocks: dict[bytes, Any]) -> dict[int, bytes]:
    """The header and the content of each event, as far as the blocks' headers lead."""
    contents = {}
    for key, block in blocks.items():
        first = int.from_bytes(key)
        with suppress(struct.error):
            for n, at in enumerate(layout.locations_in_block(block or b"", first), first):
                start = at.offset - layout.HEADER_BYTES
                contents[n] = bytes(block[start : at.offset + at.length])
    return contents


def spoken(key: bytes) -> str:
    """A key that begins with a paper's: the Pith Number, the rest in hex."""
    if match := re.match(rb"([A-Z2-7]{26})([0-9]{4})", key):
        suffix, year = (part.decode() for part in match.groups())
        return f"pith:{year}:{suffix} {key[match.end() :].hex()}".rstrip()
    return key.hex()


def content(snapshot: Snapshot) -> list[Any]:
    """What the events' blocks come to, however they are compressed."""
    return [
        (row.position, row.location.class_number, row.content, row.fault)
        if isinstance(row, stored.StoredRow)
        else row
        for row in stored.stored_rows(snapshot)
    ]


def is_harmless(patient: Patient, damage: Damage) -> bool:
    """Whether the damage changes nothing that the log says: another compressed form of the very
    same bytes, or a cached state that is gone, which is computed when it is asked for."""
    changes = dict(damage.changes)
    if damage.table == b"states":
        return list(changes.values()) == [None]
    if damage.table != b"events" or not changes.keys() <= dict(patient.rows[b"events"]).keys():
        return False
    with patient.damaged() as snapshot:
        before = content(snapshot)
    with patient.damaged(damage) as snapshot:
        return content(snapshot) == before


def check_each_is_found(patient: Patient, step: int, states_step: int) -> None:
    """Try the damages; those that are harmless are few."""
    tried = harmless = 0
    for table in layout.TABLES:
        few = states_step if table == b"states" else step
        for damage in (*patient.flips(table, few), *patient.edits(table)):
            tried += 1
            if not check_it_is_named(patient, damage):
                assert is_harmless(patient, damage), damage.what
                harmless += 1
    assert harmless <= len(patient.rows[b"states"]) + tried / 100
    assert tried > 1000


def test_a_sound_log_has_no_findings(patient: Patient) -> None:
    for deep in (False, True):
        with patient.damaged() as snapshot:
            check = Check(snapshot, RING, deep=deep)
            assert list(check) == []
            sums = check.sums
        assert sums.untried == 0
        tables = (b"by_digest", b"papers", b"aliases", b"refused", b"states")
        assert sums[:5] == tuple(len(patient.rows[table]) for table in tables)
    assert min(len(rows) for rows in patient.rows.values()) > 0
    assert len(patient.rows[b"events"]) > 2
    assert len(patient.rows[b"classes"]) > 8


def test_rows_that_are_false_under_a_right_seal_are_found(patient: Patient) -> None:
    damages = list(patient.resealed())
    assert len(damages) > 20
    for damage in damages:
        assert check_it_is_named(patient, damage), damage.what


def test_each_of_a_sample_of_damages_is_found(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=151, states_step=1511)


@pytest.mark.slow
def test_a_larger_sample_of_damages(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=13, states_step=131)


@pytest.mark.slow
def test_each_byte_of_each_row(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=1, states_step=1)


@pytest.mark.longer
def test_tiles_of_two_levels(tmp_path: Path, remembered: None) -> None:
    build(tmp_path, more=240)
    patient = Patient(tmp_path)
    assert [key[0] for key, _ in patient.rows[b"tiles"]] == [0, 0, 1]
    assert first_finding(patient) is None
    for damage in (*patient.flips(b"tiles", 307), *patient.edits(b"tiles")):
        found = first_finding(patient, damage)
        assert found is not None, damage.what
        assert found.table == "tiles"
    patient.close()


def test_two_damages_at_once_are_both_named(patient: Patient) -> None:
    damages = [next(iter(patient.edits(table))) for table in (b"by_digest", b"aliases", b"refused")]
    with patient.damaged(*damages) as snapshot:
        named = {found.table for found in Check(snapshot, RING)}
    assert named >= {"by_digest", "aliases", "refused"} - {"aliases", "refused"} | {
        "papers",
        "meta",
    }


def test_papers_are_named_as_people_name_them(plain: Patient) -> None:
    for table in (b"papers", b"by_paper", b"aliases", b"states"):
        (key, value), *_ = plain.rows[table]
        changes = ((key, value[:-1] + bytes([value[-1] ^ 1])),)
        found = first_finding(plain, Damage(table, changes, ""))
        assert found is not None
        assert found.where.startswith("pith:2024:")


# --- what only `deep` finds


def resealed_facts(patient: Patient, change: Callable[[Facts], Facts]) -> Iterator[Damage]:
    """The facts of each event without a class, changed, under a seal made anew."""
    for key, block in patient.rows[b"events"]:
        offset = 0
        while offset < len(block):
            number, length = layout.read_header(block, offset)
            start = offset + layout.HEADER_BYTES
            if number == layout.NO_CLASS:
                canonical, facts = layout.read_content(block[start : start + length], None)
                made = layout.other_content(canonical, change(facts))
                if len(made) == length:
                    new = block[:start] + made + block[start + length :]
                    if new != block:
                        yield Damage(b"events", ((key, new),), f"facts at {start}")
            offset = start + length


def test_facts_that_no_event_has_are_no_traceback(plain: Patient) -> None:
    """A receipt of a key of the keyring, tried under another, of events that have none."""
    (entry, *_) = RING.keys
    trial = Trial(b"\0" * 32, True)
    receipt = ReceiptTrial(entry.key_id, entry.fingerprint, trial)
    tried = 0
    for key, block in plain.rows[b"events"]:
        offset = 0
        made = bytearray()
        while offset < len(block):
            number, length = layout.read_header(block, offset)
            start = offset + layout.HEADER_BYTES
            content = block[start : start + length]
            if number == layout.NO_CLASS:
                canonical, facts = layout.read_content(content, None)
                facts = msgspec.structs.replace(facts, receipt=receipt)
                content = layout.other_content(canonical, facts)
                tried += 1
            made += layout.block_header(number, content) + content
            offset = start + length
        if made != block:
            with plain.damaged(Damage(b"events", ((key, bytes(made)),), "")) as snapshot:
                found = {(one.table, one.where) for one in Check(snapshot, RING, deep=True)}
            assert any(table == "events" for table, _ in found)
    assert tried > 3


def test_where_a_number_is_taken_already_nothing_is_appended(tmp_path: Path) -> None:
    """A new class would come in the place of another, and with it all events of that one."""
    build(tmp_path)
    patient = Patient(tmp_path)
    (_, value), (again, _), *_ = patient.rows[b"classes"]
    patient.keep(Damage(b"classes", ((again, layout.sealed(again, value[16:])),), ""))
    patient.close()
    with pytest.raises(LogError, match="its classes are not numbered in turn"):
        LogWriter.open(tmp_path)


def test_a_class_of_another_type_is_no_traceback(plain: Patient) -> None:
    """Rows joined by the class of others: they give no event, or one that is malformed."""
    classes = dict(plain.rows[b"classes"])
    for key in classes:
        for value in classes.values():
            packed = layout.sealed(key, value[16:])
            if packed != classes[key]:
                assert first_finding(plain, Damage(b"classes", ((key, packed),), "")) is not None


def verified(facts: Facts) -> Facts:
    signature = facts.signature
    if signature is None or signature.verified:
        return facts
    return msgspec.structs.replace(facts, signature=Trial(signature.key_sha256, True))


def recomputing(facts: Facts) -> Facts:
    return msgspec.structs.replace(facts, id_recomputes=True)


@pytest.mark.parametrize("change", [verified, recomputing])
def test_facts_that_are_sealed_anew_are_found_by_deep_alone(
    plain: Patient, change: Callable[[Facts], Facts]
) -> None:
    """An edit that makes an invalid event a valid one, by someone who knows the layout."""
    damages = list(resealed_facts(plain, change))
    assert damages
    for damage in damages:
        with plain.damaged(damage) as snapshot:
            shallow = {found.table for found in Check(snapshot, RING)}
        assert shallow <= {"states"}  # which the edit makes false, where they are cached
        with plain.damaged(damage) as snapshot:
            deep = [found for found in Check(snapshot, RING, deep=True) if found.table == "events"]
        assert len(deep) == 1
        assert "is stored as" in deep[0].detail


def in_other_words(facts: Facts) -> Facts:
    fault = facts.payload_fault
    return msgspec.structs.replace(facts, payload_fault=fault and "x" * len(fault))


def test_the_words_of_a_fault_are_those_of_the_version_that_found_it(plain: Patient) -> None:
    """That there is a fault is a fact; how a library says it is none."""
    damages = list(resealed_facts(plain, in_other_words))
    assert damages
    for damage in damages:
        with plain.damaged(damage) as snapshot:
            assert list(Check(snapshot, RING, deep=True)) == []


def test_a_class_that_is_sealed_anew_is_found_by_deep_alone(plain: Patient) -> None:
    for key, value in plain.rows[b"classes"]:
        known = layout.read_packed_class(layout.unsealed(key, value))
        facts = msgspec.structs.replace(known.facts, payload_fault="x")
        packed = layout.packed_class(msgspec.structs.replace(known, facts=facts))
        damage = Damage(b"classes", ((key, layout.sealed(key, packed)),), "")
        with plain.damaged(damage) as snapshot:
            assert {found.table for found in Check(snapshot, RING)} <= {"states"}
        with plain.damaged(damage) as snapshot:
            assert "events" in {found.table for found in Check(snapshot, RING, deep=True)}


def test_a_state_that_is_sealed_anew_is_found_under_its_keyring(plain: Patient) -> None:
    for key, value in plain.rows[b"states"]:
        state = layout.read_state_value(key, value)
        other = msgspec.structs.replace(state, event_count=state.event_count + 1)
        damage = Damage(b"states", ((key, layout.state_value(key, other)),), "")
        for ring in (RING, OTHER_RING):
            with plain.damaged(damage) as snapshot:
                found = [one.table for one in Check(snapshot, ring)]
            assert found == (["states"] if state.keyring_sha256 == ring.sha256 else [])


def test_facts_under_keys_that_the_keyring_has_not_are_counted(plain: Patient) -> None:
    with plain.damaged() as snapshot:
        check = Check(snapshot, OTHER_RING, deep=True)
        assert list(check) == []
        assert 0 < check.sums.untried < check.sums.events


# --- faults that are planted: each check taken out

MERGED_AGAIN = Fault(Check, "_state", "merged != state", "False")
COUNTERS = Fault(Check, "_meta", '(stored or b"0") != b"%d" % counted', "False")
NO_STRAYS = Fault(Check, "__iter__", "yield from self._strays()", "pass")

# A table, and what is taken out together so that a damage of this table is missed: where one check
# is there beside another, both.
FAULTS: list[tuple[bytes, *tuple[Fault, ...]]] = [
    (
        b"by_digest",
        Fault(
            Check,
            "_event",
            '(found := snapshot.raw(b"by_digest", event.sha256)) != position',
            "(found := b'') is None",
        ),
    ),
    (
        b"by_paper",
        Fault(
            Check,
            "_event",
            '(found := snapshot.raw(b"by_paper", key)) != layout.index_value(row.location, link)',
            "(found := b'') is None",
        ),
        MERGED_AGAIN,
    ),
    (b"by_digest", NO_STRAYS),
    (b"tiles", Fault(Check, "_tiles", "found[: len(hashes)] != hashes", "False")),
    (b"tiles", Fault(Check, "_further_tiles", "len(value) != sizes.get(key)", "False")),
    (b"papers", Fault(Check, "_papers", "layout.unsealed(paper, value)", "pass")),
    (
        b"aliases",
        Fault(Check, "_papers", "[counters.events, counters.aliases] != counts", "False"),
        Fault(Snapshot, "aliases_of", "len(rows) != self.counters_of(paper).aliases", "False"),
        MERGED_AGAIN,
    ),
    (
        b"papers",
        Fault(
            checking._PaperRows,
            "before",
            'yield Finding("papers", place(self._paper), detail)',
            "yield from ()",
        ),
        COUNTERS,
        MERGED_AGAIN,
    ),
    (b"papers", COUNTERS, Fault(Check, "_papers", "not any(counts)", "False")),
    (b"meta", COUNTERS),
    (b"meta", Fault(Check, "_meta", "name not in _META", "False")),
    (b"meta", Fault(Check, "_unreadable", "stated != layout.FORMAT_VALUE", "False")),
    (
        b"classes",
        Fault(Check, "_classes", "layout.unsealed(key, value)", "value[16:]"),
        Fault(Snapshot, "class_of", "layout.unsealed(key, value)", "value[16:]"),
        MERGED_AGAIN,
    ),
    (
        b"classes",
        Fault(Check, "_classes", "sorted(numbers ^ (self._used - {layout.NO_CLASS}))", "()"),
    ),
    (
        b"aliases",
        Fault(layout, "read_alias_value", "unsealed(key, value)", "value[16:]"),
        MERGED_AGAIN,
    ),
    (b"aliases", Fault(Check, "_aliases", "key != right", "False"), MERGED_AGAIN),
    (b"refused", Fault(layout, "read_refused_value", "unsealed(key, value)", "value[16:]")),
    (b"refused", Fault(Check, "_refused", "layout.refused_key(row) != key", "False")),
    (
        b"states",
        Fault(
            Check,
            "_states",
            "layout.read_state_value(key, value)",
            "layout.msgspec.msgpack.decode(value[16:], type=State)",
        ),
    ),
    (b"states", Fault(Check, "_states", "key != right", "False")),
    (
        b"events",
        Fault(stored, "stored_rows", "len(key) != POSITION_BYTES or first != expected", "False"),
    ),
]


@pytest.mark.longer
@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_check_that_is_taken_out_is_missed(
    number: int, plain: Patient, remembered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, *faults = FAULTS[number]
    for fault in faults:
        plant(fault, monkeypatch)
    assert first_finding(plain) is None
    step = 1511 if table == b"states" else 17
    damages = (*plain.flips(table, step), *plain.edits(table), *plain.resealed())
    assert any(
        first_finding(plain, damage) is None and not is_harmless(plain, damage)
        for damage in damages
        if damage.table == table
    )


# --- where each kind of finding says that it is


class Case(NamedTuple):
    """A damage, what is found of it, and the place that says so (of `checking`, `stored`): its
    function, and there the arguments of the finding, of which `where` is left empty for a fault."""

    damage: Damage
    found: tuple[str, str, str]  # table, where, a part of the detail
    function: tuple[Any, str]
    said: tuple[str, str]  # the arguments, and where in them
    deep: bool = False


def cases(patient: Patient) -> dict[str, Case]:
    """One of each kind, about a row that is not the first where there are several."""
    rows = patient.rows
    block, content = rows[b"events"][1]
    (position,) = struct.unpack(">Q", block)
    (digest, _) = next(row for row in rows[b"by_digest"] if row[1] == block)
    (index, entry) = next(row for row in rows[b"by_paper"] if row[0].endswith(block))
    (last, cut_off) = rows[b"events"][-1]
    first, second = rows[b"papers"][0][0], rows[b"papers"][1][0]
    tile, hashes = rows[b"tiles"][0]
    class_key, packed = rows[b"classes"][1]
    alias, stored_alias = rows[b"aliases"][1]
    refusal, stored_refusal = rows[b"refused"][1]
    ours = [
        (key, value, layout.read_state_value(key, value))
        for key, value in rows[b"states"]
        if layout.read_state_value(key, value).keyring_sha256 == RING.sha256
    ]
    cached, stored_state, state = ours[1]
    counted = layout.read_counters(rows[b"papers"][1][1])
    strangers = counted._replace(unauthentic=counted.events + 1)
    unknown = b"A" * 26 + second[26:]
    facts = next(resealed_facts(patient, recomputing))

    def put(table: bytes, key: bytes, value: bytes | None) -> Damage:
        return Damage(table, ((key, value),), "")

    def flipped(table: bytes, key: bytes, value: bytes) -> Damage:
        return put(table, key, value[:-1] + bytes([value[-1] ^ 1]))

    def copied(table: bytes, key: bytes, value: bytes) -> Damage:
        other = key[:-1] + bytes([key[-1] ^ 64])
        return put(table, other, layout.sealed(other, value[16:]))

    def key_of(damage: Damage) -> bytes:
        return damage.changes[-1][0]

    stray = copied(b"by_paper", index[:-8] + b"\0" + index[-8:-1], entry)
    alias_copy = copied(b"aliases", alias, stored_alias)
    refusal_copy = copied(b"refused", refusal, stored_refusal)
    state_copy = copied(b"states", cached, stored_state)
    nothing = b"\1" * 32
    broken = content[: layout.HEADER_BYTES] + b"?" + content[layout.HEADER_BYTES + 1 :]
    more = msgspec.structs.replace(state, event_count=state.event_count + 1)
    (of_facts,) = changed_positions(patient, facts)
    no_day = content.replace(b'"created_at":"2026-06-', b'"created_at":"2026-13-', 1)
    assert no_day != content
    no_id = content.replace(b'"sha256:', b'"sia256:', 1)  # of its first event
    return {
        "format": Case(
            put(b"meta", b"format", b"4"),
            ("meta", "format", "it is b'4'"),
            (Check, "_unreadable"),
            ('"meta", "format", detail', '"format"'),
        ),
        "unknown compression": Case(
            put(b"meta", b"compression", b"lz4"),
            ("meta", "compression", "it is 'lz4'"),
            (Check, "_unreadable"),
            ('"meta", "compression", detail', '"compression"'),
        ),
        "dictionary": Case(
            put(b"meta", b"dictionary", nothing),
            ("meta", "dictionary", "not what was written"),
            (Check, "_unreadable"),
            ('"meta", "dictionary", detail', '"dictionary"'),
        ),
        "another compression": Case(
            put(b"meta", b"compression", b"zstd"),
            ("meta", "compression", "no event can be read as 'zstd'"),
            (Check, "_events"),
            ('"meta", "compression", f', '"compression"'),
        ),
        "no such row": Case(
            put(b"meta", b"further", b""),
            ("meta", "b'further'", "no such row"),
            (Check, "_meta"),
            ('"meta", repr(name), "pithgraph has', "repr(name)"),
        ),
        "a counter": Case(
            put(b"meta", b"refused", b"7"),
            ("meta", "refused", "is stored"),
            (Check, "_meta"),
            ('"meta", name.decode(), detail', "name.decode()"),
        ),
        "a row": Case(
            put(b"events", block, broken),
            ("events", f"position {position}", "the row is damaged"),
            (Check, "_events"),
            ('"events", f"position {row.position}", row.fault', 'f"position {row.position}"'),
        ),
        "a row that is cut otherwise": Case(
            put(b"events", block, no_id),
            ("events", f"position {position}", "its event is cut to"),
            (Check, "_event"),
            ('"events", where, "the row is not', "where"),
        ),
        "a row of no valid event": Case(
            put(b"events", block, no_day),
            ("events", f"position {position}", "it is none"),
            (Check, "_event"),
            ('"events", where, "the row is that', "where"),
        ),
        "facts": Case(
            facts,
            ("events", f"position {of_facts}", "id_recomputes is stored as"),
            (Check, "_facts"),
            ('"events", f"position {position}", detail', 'f"position {position}"'),
            deep=True,
        ),
        "a block that is missing": Case(
            put(b"events", block, None),
            ("events", rows[b"events"][2][0].hex(), f"the block of position {position}"),
            (stored, "stored_rows"),
            ('"events", key.hex(), f', "key.hex()"),
        ),
        "a block that is cut": Case(
            put(b"events", last, cut_off[:-1]),
            ("events", f"block of position {int.from_bytes(last)}", "before its events do"),
            (stored, "_rows_of_block"),
            ('"events", f"block of position {first}", ', 'f"block of position {first}"'),
        ),
        "no digest": Case(
            put(b"by_digest", digest, None),
            ("by_digest", digest.hex(), f"the event at position {position} has no entry"),
            (Check, "_event"),
            ('"by_digest", event.sha256.hex(), ', "event.sha256.hex()"),
        ),
        "a digest of no event": Case(
            put(b"by_digest", nothing, layout.position_key(2**40)),
            ("by_digest", nothing.hex(), "it leads to no event"),
            (Check, "_strays"),
            ('"by_digest", sha256.hex(), "it', "sha256.hex()"),
        ),
        "a digest of another event": Case(
            put(b"by_digest", nothing, block),
            ("by_digest", nothing.hex(), f"position {position} has another event"),
            (Check, "_strays"),
            ('"by_digest", sha256.hex(), f', "sha256.hex()"),
        ),
        "an index entry": Case(
            flipped(b"by_paper", index, entry),
            ("by_paper", spoken(index), f"not that of the event at position {position}"),
            (Check, "_event"),
            ('"by_paper", place(key), ', "place(key)"),
        ),
        "an index entry of no event": Case(
            stray,
            ("by_paper", spoken(key_of(stray)), "it leads to no event"),
            (Check, "_strays"),
            ('"by_paper", place(key), ', "place(key)"),
        ),
        "a tile": Case(
            flipped(b"tiles", tile, hashes),
            ("tiles", "level 0, number 0", "not those of the events"),
            (Check, "_tiles"),
            ('"tiles", where, ', "where"),
        ),
        "a longer tile": Case(
            put(b"tiles", tile, hashes + nothing),
            ("tiles", tile.hex(), "other hashes than the events give"),
            (Check, "_further_tiles"),
            ('"tiles", key.hex(), ', "key.hex()"),
        ),
        "counters": Case(
            flipped(b"papers", *rows[b"papers"][1]),
            ("papers", spoken(second), "the row is damaged"),
            (Check, "_papers"),
            ('"papers", place(paper), f', "place(paper)"),
        ),
        "false counters": Case(
            put(b"papers", second, layout.counters_value(second, counted._replace(events=99))),
            ("papers", spoken(second), "99 events and"),
            (Check, "_papers"),
            ('"papers", place(paper), detail', "place(paper)"),
        ),
        "no rows": Case(
            put(b"papers", unknown, layout.counters_value(unknown, NOTHING)),
            ("papers", spoken(unknown), "no event and no alias row"),
            (Check, "_papers"),
            ('"papers", place(paper), "no', "place(paper)"),
        ),
        "too many that count as unauthentic": Case(
            put(b"papers", second, layout.counters_value(second, strangers)),
            ("papers", spoken(second), f"{counted.events + 1} of {counted.events} events"),
            (Check, "_papers"),
            ('"papers", place(paper), more', "place(paper)"),
        ),
        "no counters": Case(
            put(b"papers", first, None),
            ("papers", spoken(first), "it has no counters"),
            (checking._PaperRows, "before"),
            ('"papers", place(self._paper), ', "place(self._paper)"),
        ),
        "a class": Case(
            flipped(b"classes", class_key, packed),
            ("classes", "2", "not what was written"),
            (Check, "_classes"),
            ('"classes", str(number), str', "str(number)"),
        ),
        "no class": Case(
            put(b"classes", class_key, None),
            ("classes", "2", "it is missing"),
            (Check, "_classes"),
            ('"classes", str(number), what', "str(number)"),
        ),
        "a class of two numbers": Case(
            put(b"classes", class_key, layout.sealed(class_key, rows[b"classes"][0][1][16:])),
            ("classes", "2", "it is that of number 1, too"),
            (Check, "_classes"),
            ('"classes", str(number), f', "str(number)"),
        ),
        "a gap in the numbers": Case(
            put(b"classes", class_key, None),
            ("classes", str(len(rows[b"classes"])), "the next is taken already"),
            (Check, "_classes"),
            ('"classes", str(last), detail', "str(last)"),
        ),
        "an alias row": Case(
            flipped(b"aliases", alias, stored_alias),
            ("aliases", spoken(alias), "not what was written"),
            (Check, "_aliases"),
            ('"aliases", place(key), str', "place(key)"),
        ),
        "a false alias row": Case(
            alias_copy,
            ("aliases", spoken(key_of(alias_copy)), "cannot be what was written"),
            (Check, "_aliases"),
            ('"aliases", place(key), f', "place(key)"),
        ),
        "a refused row": Case(
            flipped(b"refused", refusal, stored_refusal),
            ("refused", refusal.hex(), "not what was written"),
            (Check, "_refused"),
            ('"refused", key.hex(), str', "key.hex()"),
        ),
        "a false refused row": Case(
            refusal_copy,
            ("refused", key_of(refusal_copy).hex(), "cannot be what was written"),
            (Check, "_refused"),
            ('"refused", key.hex(), f', "key.hex()"),
        ),
        "a state": Case(
            flipped(b"states", cached, stored_state),
            ("states", spoken(cached), "it is not what was written"),
            (Check, "_states"),
            ('"states", place(key), str', "place(key)"),
        ),
        "a false state": Case(
            state_copy,
            ("states", spoken(key_of(state_copy)), "it cannot be what was written"),
            (Check, "_states"),
            ('"states", place(key), "it', "place(key)"),
        ),
        "a state of what cannot be read": Case(
            put(b"classes", rows[b"classes"][0][0], None),
            ("states", spoken(cached), "it cannot be merged again"),
            (Check, "_state"),
            ('"states", place(key), f', "place(key)"),
        ),
        "a state of other events": Case(
            put(b"states", cached, layout.state_value(cached, more)),
            ("states", spoken(cached), "merge to another state"),
            (Check, "_state"),
            ('"states", place(key), "the', "place(key)"),
        ),
    }


def check_it_says_where(patient: Patient, case: Case) -> None:
    table, where, detail = case.found
    with patient.damaged(case.damage) as snapshot:
        found = list(Check(snapshot, RING, deep=case.deep))
    assert any(one[:2] == (table, where) and detail in one.detail for one in found), found


def test_each_kind_of_finding_says_where_it_is(plain: Patient, remembered: None) -> None:
    made = cases(plain)
    for case in made.values():
        check_it_says_where(plain, case)
    # And the tables that LMDB has, which are no rows.
    said = inspect.getsource(checking) + inspect.getsource(stored)
    assert len(made) == said.count('Finding("') - 1
    assert len({(*case.function, *case.said) for case in made.values()}) == len(made)


@pytest.mark.longer
def test_a_finding_that_does_not_say_where_it_is_is_seen(
    plain: Patient, remembered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = []
    for name, case in cases(plain).items():
        said, where = case.said
        blank = '""'.join(said.rsplit(where, 1))
        with monkeypatch.context() as patch:
            plant(Fault(*case.function, f"Finding({said}", f"Finding({blank}"), patch)
            try:
                check_it_says_where(plain, case)
            except AssertionError:
                continue
            missed.append(name)
    assert missed == []


# --- pages, and the command line


def fsck(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it."""
    ring = folder.parent / "keyring.json"
    ring.write_text(json.dumps(keyring_value()))
    command = [sys.executable, "-m", "pithgraph", "fsck", "--log", os.fspath(folder)]
    return subprocess.run(
        [*command, "--keyring", os.fspath(ring), *options],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    build(tmp_path / "log")
    return tmp_path / "log"


def dump(folder: Path) -> Any:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return {table: list(snapshot.rows(table)) for table in layout.TABLES}


def check_pages_are_checked(folder: Path, changes: list[Callable[[bytes], bytes]]) -> None:
    """Findings, a LogError, or nothing and the very same content; this process stays alive."""
    data = (folder / "data.mdb").read_bytes()
    right = dump(folder)
    found = 0
    for change in changes:
        (folder / "data.mdb").write_bytes(change(data))
        try:
            findings = list(Fsck(folder, keyring=RING))
        except LogError:
            found += 1
            continue
        found += bool(findings)
        if not findings:
            assert dump(folder) == right
    assert found > len(changes) / 20
    (folder / "data.mdb").write_bytes(data)


def flipping(offset: int, mask: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        at = offset % len(data)
        return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]

    return flip


def random_flips(count: int) -> list[Callable[[bytes], bytes]]:
    chance = random.Random(7)
    return [flipping(chance.randrange(2**30), chance.randrange(1, 256)) for _ in range(count)]


@pytest.mark.longer
def test_flipped_bytes_of_the_file_in_a_sample(log: Path) -> None:
    check_pages_are_checked(log, random_flips(60))


@pytest.mark.slow
def test_flipped_bytes_of_the_file_in_a_larger_sample(log: Path) -> None:
    check_pages_are_checked(log, random_flips(1500))


@pytest.mark.longer
def test_a_file_that_is_cut(log: Path) -> None:
    size = (log / "data.mdb").stat().st_size
    cuts = [lambda data, end=end: data[:end] for end in range(0, size, 5 * 4096)]
    check_pages_are_checked(log, cuts)


def test_the_death_of_the_process_that_reads_is_a_finding(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(pipe: Any, *_: object) -> None:
        pipe.send(Finding("events", "position 0", "seen before"))
        os.kill(os.getpid(), signal.SIGKILL)

    real = pithgraph.fsck.multiprocessing.get_context
    monkeypatch.setattr(pithgraph.fsck.multiprocessing, "get_context", lambda _: real("fork"))
    monkeypatch.setattr(pithgraph.fsck, "_send_rows", die)
    monkeypatch.setattr(
        pithgraph.fsck, "check_pages", lambda _: [Finding(PAGES, "data.mdb", "damaged")]
    )
    check = Fsck(log, keyring=RING)
    *_, before, last = check
    assert before.detail == "seen before"
    assert last == Finding(
        PAGES, "data.mdb", f"reading the rows ended the process, by signal {signal.SIGKILL.value}"
    )
    assert check.sums is None


def test_a_pipe_in_place_of_the_data_is_no_log(tmp_path: Path) -> None:
    """Nobody waits for who might write into it, and nothing is made in a folder without a log."""
    (tmp_path / "log").mkdir()
    os.mkfifo(tmp_path / "log" / "data.mdb")
    done = fsck(tmp_path / "log")
    assert (done.returncode, "there is no log" in done.stderr) == (4, True)
    assert os.listdir(tmp_path / "log") == ["data.mdb"]


def test_while_somebody_writes_pages_are_not_checked(log: Path) -> None:
    with LogWriter.open(log):
        done = fsck(log, "--json")
    *findings, sums = map(json.loads, done.stdout.splitlines())
    assert findings == []
    assert sums["pages_checked"] is False
    assert "pages not checked" in done.stderr
    assert done.returncode == 0


def test_a_sound_log_on_the_command_line(log: Path) -> None:
    done = fsck(log, "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("findings: 0\n")


def test_damages_on_the_command_line(log: Path) -> None:
    patient = Patient(log)
    patient.keep(*(next(iter(patient.edits(table))) for table in (b"by_paper", b"refused")))
    patient.close()
    done = fsck(log)
    assert done.returncode == 4
    assert "restore the log from a backup where there is one" in done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("by_paper  pith:2024:") for line in lines)
    assert any(line.startswith("meta  refused  b'2' is stored") for line in lines)
    repaired = fsck(log, "--repair")
    assert repaired.returncode == 0
    assert "the Merkle tree is that of before" in repaired.stdout
    assert fsck(log, "--deep").returncode == 0


def test_a_repair_says_where_the_bytes_are_and_what_no_longer_holds(log: Path) -> None:
    patient = Patient(log)
    (key, block) = patient.rows[b"events"][0]
    patient.keep(Damage(b"events", ((key, block[:100] + b"?" + block[101:]),), ""))
    patient.close()
    damaged = (log / "data.mdb").read_bytes()
    done = fsck(log, "--repair")
    assert done.returncode == 4  # an event is lost
    assert os.fspath(log / "set-aside-1.jsonl") in done.stdout
    assert os.fspath(log / "before-repair-1.mdb") in done.stdout
    assert (log / "before-repair-1.mdb").read_bytes() == damaged
    assert "from position 0 on the events are others than before" in done.stdout
    assert "restore it instead" in done.stdout


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    for options in ((), ("--repair",)):
        done = fsck(tmp_path / "nothing", *options)
        assert done.returncode == 4
        assert "there is no log" in done.stderr


def test_tables_of_lmdb_itself(log: Path, tmp_path: Path) -> None:
    """One that is missing, and one that is none of pithgraph's."""
    for name in layout.TABLES:
        shutil.copytree(log, tmp_path / "copy")
        with lmdb.open(os.fspath(tmp_path / "copy"), max_dbs=20) as environment:
            table = environment.open_db(name, create=False)
            with environment.begin(write=True) as transaction:
                transaction.drop(table, delete=True)
        with pytest.raises(LogError):
            list(Fsck(tmp_path / "copy", keyring=RING))
        shutil.rmtree(tmp_path / "copy")
    with lmdb.open(os.fspath(log), max_dbs=20) as environment:
        environment.open_db(b"events2")
    (found,) = Fsck(log, keyring=RING)
    assert (found.table, found.where) == ("meta", "b'events2'")
