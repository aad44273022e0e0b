"""fsck names every damage: each byte flipped, each row dropped, added, swapped, cut (promise 2).

First in the tables of a small log that holds something of everything, then in LMDB's pages, at last
on the command line. A check that is taken out must be missed by one of these.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from damage import OTHER_RING, RING, Damage, Patient, build
from pithgraph import checking
from pithgraph.checking import Check, Finding
from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.log import layout
from pithgraph.log.reader import Snapshot
from pithgraph.ordinary import EventClass
from pithgraph.validation import Facts, Trial
from planting import Fault, plant

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


@pytest.fixture(scope="module", params=["plain", "compressed"])
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
    """What a check says first; a LogError as a finding of meta, from which alone it may come."""
    with patient.damaged(*damages) as snapshot:
        try:
            return next(iter(Check(snapshot, RING, deep=deep)), None)
        except LogError as error:
            return Finding("meta", "", str(error))


def content(snapshot: Snapshot) -> list[Any]:
    """What the events' blocks come to, however they are compressed."""
    return [
        (row.position, row.location.class_number, row.content, row.fault)
        if isinstance(row, checking.StoredRow)
        else row
        for row in checking.stored_rows(snapshot)
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
            found = first_finding(patient, damage)
            if found is None:
                assert is_harmless(patient, damage), damage.what
                harmless += 1
            else:
                assert found.table in FOUND_IN[table], (damage.what, found)
                assert found.detail
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
        found = first_finding(patient, damage)
        assert found is not None, damage.what
        assert found.table in FOUND_IN[damage.table]


def test_each_of_a_sample_of_damages_is_found(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=151, states_step=1511)


@pytest.mark.slow
def test_a_larger_sample_of_damages(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=13, states_step=131)


@pytest.mark.slow
def test_each_byte_of_each_row(patient: Patient, remembered: None) -> None:
    check_each_is_found(patient, step=1, states_step=1)


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
    (b"papers", COUNTERS),
    (b"meta", COUNTERS),
    (b"meta", Fault(Check, "_meta", "name not in _META", "False")),
    (b"meta", Fault(Check, "_meta", 'stated != b"%d" % layout.FORMAT', "False")),
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
        Fault(checking, "stored_rows", "len(key) != POSITION_BYTES or first != expected", "False"),
    ),
]


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
