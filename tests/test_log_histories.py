"""Random histories through the log give the oracle's states, byte for byte, however it is kept.

One at a time, in batches, repeated, reopened at every border of a batch, now, as of a time and at
every position; with the keyring of the ingest and with others; by each library that verifies, as
each number of workers prepares, compressed or not, in blocks that end everywhere. One generator
forces ties, equivocations of both rules and every reason (`histories`); the other, here, makes
histories that a replay may take the short way, and those that differ from such in one thing.

At last, faults are planted in what decides which way is taken, and each is caught.
"""

from __future__ import annotations

import functools
import importlib.util
import pickle
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import signing
from histories import (
    FAULTY,
    KEYRING,
    PREVIOUS,
    TIMES,
    USUAL,
    AliasRow,
    Choose,
    History,
    Recipe,
    build,
    choosing,
    derivable,
    fixed_histories,
    histories,
)
from pithgraph import keys, merging, preparing
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Appended, Log, LogWriter, layout
from pithgraph.log import batch as log_batch
from pithgraph.log.batch import New, NewEvent
from pithgraph.log.compression import TRAINING_EVENTS
from pithgraph.merging import Merging
from pithgraph.preparing import Preparer
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import ASSURANCES, VERIFIED, Assurance
from planting import Fault, plant
from signing import (
    ALICE,
    BOB,
    DROP,
    ENTRIES,
    OTHER_PAPER,
    PAPER,
    READER,
    REGISTRY,
    REGISTRY_B,
    REVOKED,
    WINDOWED,
    Json,
    Paper,
    at,
    canonical,
    keyring_value,
)

# --- keyrings

SOMETIMES = {"valid_from": at(5), "valid_until": at(30)}
RINGS: dict[str, Json] = {
    "usual": KEYRING,
    "open": keyring_value(*(key.entry() for key in ENTRIES)),
    "none": {"keys": []},
    "beginnings": keyring_value(*(key.entry(valid_from=at(6)) for key in ENTRIES)),
    "ends": keyring_value(*(key.entry(valid_until=at(33)) for key in ENTRIES)),
    "windows": keyring_value(*(key.entry(**SOMETIMES) for key in ENTRIES)),
    "revoked": keyring_value(
        REGISTRY.entry(),
        REGISTRY_B.entry(revoked=True),
        ALICE.entry(revoked=True, **SOMETIMES),
        BOB.entry(),
        READER.entry(),
    ),
    "described otherwise": keyring_value(
        REGISTRY.entry(key_id="test-another"),
        REGISTRY_B.entry(key_id=REGISTRY.key_id),
        ALICE.entry(signer_id="another.example"),
        BOB.entry(signer_type="pith_registry"),
        READER.entry(),
    ),
}
"""`open` counts every key at all times; the others each make some events of it invalid."""


@functools.cache
def keyring(name: str) -> Keyring:
    return Keyring.from_value(RINGS[name])


# --- histories of mostly ordinary events

MOMENTS = [at(second) for second in range(40)]
FREE_TARGETS: dict[str, list[str | None]] = {
    "replication_record": ["replication:one", "replication:two", "replication:\n"],
    "timestamp_anchor": ["anchor:one", "anchor:two", 'anchor:,"signer":'],
    "correction": ["record", "graph"],
}
MEETINGS = [
    *("slot", "slot", "fork", "fork across kinds", "crowd", "crowd", "crowd", "signed again"),
    *("fault", "unsigned", "further", "window", "window", "revoked", "payload", "form"),
    *("neighbour", "neighbour"),
]
FORMS = [
    *("target of no kind", "target empty", "created_at a date", "created_at not real"),
    "signature key_id of another",
]


def choose_plain(choose: Choose, paper: Paper) -> Recipe:
    """A valid event, most likely alone in its slot."""
    kind = choose(sorted(USUAL))
    target = choose(FREE_TARGETS.get(kind, [None]))
    when = choose(MOMENTS)
    return Recipe(kind, choose(USUAL[kind]), paper, when, target, 0, DROP, 0, "none")


def choose_meeting(choose: Choose, of: list[Recipe]) -> Recipe:
    """An event that meets one of these, or that is not ordinary."""
    recipe = choose(of)
    meeting = choose(MEETINGS)
    if meeting == "slot":
        if recipe.kind == "timestamp_anchor" or choose([True, False]):
            return recipe._replace(previous=choose(PREVIOUS))
        return recipe._replace(variant=1)
    if meeting == "fork":
        return recipe._replace(previous=_previous(choose, recipe), created_at=choose(MOMENTS))
    if meeting == "fork across kinds":
        kinds = [kind for kind in sorted(USUAL) if recipe.key in USUAL[kind]]
        kind = choose(kinds or [recipe.kind])
        followed = _previous(choose, recipe)
        when = choose(MOMENTS)
        return recipe._replace(kind=kind, target=None, previous=followed, created_at=when)
    if meeting == "crowd":
        plain = choose_plain(choose, recipe.paper)
        return plain._replace(created_at=recipe.created_at)
    if meeting == "neighbour":
        return recipe._replace(target=choose(FREE_TARGETS.get(recipe.kind, [None])))
    if meeting == "form":
        return recipe._replace(mutation=choose(FORMS), created_at=choose(MOMENTS))
    if meeting == "signed again":
        return recipe._replace(mutation="signed again")
    if meeting == "fault":
        return recipe._replace(mutation=choose(FAULTY), created_at=choose(MOMENTS))
    if meeting == "unsigned":
        return recipe._replace(mutation="unsigned")
    if meeting == "further":
        return recipe._replace(further=1, created_at=choose(MOMENTS))
    if meeting == "payload":
        return recipe._replace(variant=choose([1, 2]), created_at=choose(MOMENTS))
    key = WINDOWED if meeting == "window" else REVOKED
    when = choose(TIMES if meeting == "window" else MOMENTS)
    return Recipe("graph_snapshot", key, recipe.paper, when, None, 0, DROP, 0, "none")


def _previous(choose: Choose, recipe: Recipe) -> Any:
    return choose(PREVIOUS) if recipe.previous in (DROP, None) else recipe.previous


def choose_alias(choose: Choose, paper: Paper) -> AliasRow:
    kind, value = choose(derivable(paper))
    return paper.number, kind, value, choose(MOMENTS)


def choose_ordinary(choose: Choose, papers: Sequence[Paper]) -> History:
    """Events about each of these papers."""
    arrived: list[Recipe] = []
    aliases = []
    for paper in papers:
        found: list[Recipe] = []
        for _ in range(choose(range(1, 6))):
            plain = choose_plain(choose, paper)
            if choose([False, True]) and found:
                plain = plain._replace(previous=build(found[-1])["event_id"])
            found.append(plain)
        for _ in range(choose([0, 0, 0, 1, 1, 2, 3, 5])):
            found.append(choose_meeting(choose, found))
        for recipe in found:
            arrived.insert(choose(range(len(arrived) + 1)), recipe)
        aliases += [choose_alias(choose, paper) for _ in range(choose([0, 0, 1, 2]))]
    return History([build(recipe) for recipe in arrived], aliases, choose([None, at(10), at(30)]))


def choose_crowd(choose: Choose, paper: Paper) -> History:
    """Events of one time, of few kinds and keys and with few targets."""
    kinds = ["timestamp_anchor", "replication_record"]
    return History(
        [
            build(
                choose_plain(choose, paper)._replace(
                    kind=(kind := choose(kinds)),
                    key=choose(USUAL[kind]),
                    created_at=at(choose([10, 10, 10, 11])),
                    target=choose(FREE_TARGETS[kind]),
                    previous=choose([DROP, *PREVIOUS, *map(signing.some_id, "abcdefgh")]),
                )
            )
            for _ in range(choose(range(2, 7)))
        ],
        [],
        None,
    )


@st.composite
def ordinary_histories(draw: st.DrawFn) -> History:
    return choose_ordinary(choosing(draw), [PAPER, OTHER_PAPER])


# --- ways to keep a log

HAS_ZSTANDARD = importlib.util.find_spec("zstandard") is not None


class Way(NamedTuple):
    """How a log is filled and kept. A batch is so many rows, and the name of the keyring that they
    come in with; what is left comes as the last one says."""

    batches: list[tuple[int, str]]
    workers: int = 0
    backend: str = "cryptography"
    compress: bool = False
    trained_on: int = TRAINING_EVENTS  # so many events make a dictionary
    block_bytes: int = 64 * 1024
    id_bytes: int = 8  # of an id in the index: with few, what comes first stands first
    classes: int = layout.MAX_CLASSES


@st.composite
def ways(draw: st.DrawFn) -> Way:
    sizes = st.tuples(st.integers(0, 4), st.sampled_from(sorted(RINGS)))
    return Way(
        batches=draw(st.lists(sizes, min_size=1, max_size=4)),
        workers=draw(st.sampled_from([0, 1, 2])),
        backend=draw(st.sampled_from(list(keys.BACKENDS))),
        compress=draw(st.booleans()) and HAS_ZSTANDARD,
        trained_on=draw(st.sampled_from([1, 3, TRAINING_EVENTS])),
        block_bytes=draw(st.sampled_from([64 * 1024, 600, 2000, 1])),
        id_bytes=draw(st.sampled_from([8, 0, 1])),
        classes=draw(st.sampled_from([layout.MAX_CLASSES, 0, 1, 2])),
    )


@functools.cache
def dictionary() -> bytes:
    """One that was trained on events such as these."""
    import zstandard

    values = [event for history in fixed_histories(100) for event in history.events]
    rows = Preparer(keyring("open")).rows(pieces_of(values))
    contents: list[Any] = [row.content for row in rows if isinstance(row, NewEvent)]
    return bytes(zstandard.train_dictionary(8192, contents).as_bytes())


@contextmanager
def kept(way: Way) -> Iterator[None]:
    """What is constant otherwise, as the way says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_BYTES", way.block_bytes)
        patch.setattr(layout, "MAX_CLASSES", way.classes)
        patch.setattr(layout, "_SHORT_ID", len("sha256:") + 2 * way.id_bytes)
        if way.trained_on < TRAINING_EVENTS:
            # So few events are not enough for zstd to train on.
            patch.setattr(
                log_batch,
                "train",
                lambda contents: dictionary() if len(contents) >= way.trained_on else None,
            )
        keys.use_backend(way.backend)
        try:
            yield
        finally:
            keys.use_backend()


def pieces_of(values: Sequence[Json]) -> list[Piece]:
    """Each as a line of its own."""
    return [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]


def values_of(history: History) -> list[Json]:
    """Every event and alias row as a value of its own."""
    values = [*history.events]
    for pith_number, kind, value, created_at in history.aliases:
        row = {"alias_kind": kind, "alias_value": value, "created_at": created_at}
        values.append({"alias": {"pith_number": pith_number, **row}})
    return values


def prepared(preparer: Preparer, pieces: list[Piece], workers: int) -> list[New]:
    """What so many workers would make of a parcel, without the processes."""
    if workers == 1:
        deferred = preparer.deferred(pieces)
        verified = bytes(keys.verify(*trial) for trial in deferred.trials)
        return preparer.settle(deferred, verified)
    if workers:
        pieces = pickle.loads(pickle.dumps(pieces))
        found: list[New] = pickle.loads(pickle.dumps(list(preparer.rows(pieces))))
        return found
    return list(preparer.rows(pieces))


def fill(folder: str, values: list[Json], way: Way) -> None:
    """A log with these, opened anew for every batch."""
    pieces = pieces_of(values)
    seen: set[bytes] = set()
    start = 0
    for size, ring in [*way.batches, (len(values), way.batches[-1][1])]:
        # The first comes again each time, and is found to be there.
        batch = [0, *range(start, min(start + size, len(values)))] if values else []
        start += size
        with LogWriter.open(folder, compress=way.compress) as log:
            preparer = Preparer(keyring(ring), has=log.has)
            rows = prepared(preparer, [pieces[index] for index in batch], way.workers)
            appended = log.append(rows)
        events = [values[index] for index in batch if "alias" not in values[index]]
        new: dict[bytes, Json] = {}
        for event in events:
            if canonical(event) not in seen:
                new[canonical(event)] = event
        seen |= new.keys()
        verdicts = [oracle.verdict(event, RINGS[ring], VERIFIED)[0] for event in new.values()]
        invalid = len(new) - verdicts.count(None)
        assert appended._replace(aliases=0) == Appended(len(new), len(events) - len(new), invalid)


def states(log: Log, ring: str, assurance: Assurance, **cut: Any) -> dict[str, bytes]:
    found = replay(log, keyring=keyring(ring), assurance=assurance, **cut)
    return {state.pith_number: state.canonical for state in found}


def documents(
    events: list[Json], aliases: list[AliasRow], ring: str, *rest: Any
) -> dict[str, bytes]:
    merged = oracle.merge(events, aliases, RINGS[ring], *rest)
    return {name: oracle.canonical(document) for name, document in merged.items()}


def check(history: History, assurance: Assurance, way: Way, ring: str, *, everywhere: bool) -> None:
    """That a log gives the oracle's states, now under every keyring, and under one as of the
    history's time, and at every position if `everywhere`."""
    values = values_of(history)
    events = list({canonical(event): event for event in history.events}.values())
    with tempfile.TemporaryDirectory() as folder, kept(way):
        fill(folder, values, way)
        with LogWriter.open(folder) as log:
            for other in RINGS:
                whole = documents(history.events, history.aliases, other, assurance)
                assert states(log, other, assurance) == whole, other
            past = documents(history.events, history.aliases, ring, assurance, history.as_of)
            assert states(log, ring, assurance, as_of=history.as_of) == past
            with log.snapshot() as snapshot:
                stored = [snapshot.event_at(n).event.canonical for n in range(snapshot.size)]
                assert stored == [canonical(event) for event in events]
            for position in range(len(stored) + 1) if everywhere else [len(stored) // 2]:
                aliases = history.aliases if position == len(stored) else []
                cut = documents(events[:position], aliases, ring, assurance)
                assert states(log, ring, assurance, at=position) == cut
            again = ingest_pieces(log, pieces_of(values), keyring=keyring(ring))
            assert (again.appended, again.aliases, again.refused) == (0, 0, 0)
            for name, document in documents(
                history.events, history.aliases, ring, assurance
            ).items():
                (state,) = replay(log, [name], keyring=keyring(ring), assurance=assurance)
                assert state.canonical == document


@settings(max_examples=50)
@given(histories(), st.sampled_from(ASSURANCES), ways(), st.sampled_from(sorted(RINGS)))
def test_through_the_log(history: History, assurance: Assurance, way: Way, ring: str) -> None:
    check(history, assurance, way, ring, everywhere=True)


@pytest.mark.longer
@settings(max_examples=50)
@given(ordinary_histories(), st.sampled_from(ASSURANCES), ways(), st.sampled_from(sorted(RINGS)))
def test_ordinary_histories(history: History, assurance: Assurance, way: Way, ring: str) -> None:
    check(history, assurance, way, ring, everywhere=False)


def fixed_ways() -> Iterator[Way]:
    """Ways without end, the same at every run."""
    chance = random.Random("ways")
    names = sorted(RINGS)
    while True:
        yield Way(
            batches=[(chance.randrange(5), chance.choice(names)) for _ in range(3)],
            workers=chance.randrange(3),
            backend=chance.choice(list(keys.BACKENDS)),
            compress=HAS_ZSTANDARD and chance.random() < 0.5,
            trained_on=chance.choice([1, 3, TRAINING_EVENTS]),
            block_bytes=chance.choice([64 * 1024, 600, 2000, 1]),
            id_bytes=chance.choice([8, 0, 1]),
            classes=chance.choice([layout.MAX_CLASSES, 0, 1, 2]),
        )


@pytest.mark.slow
@pytest.mark.parametrize("assurance", ASSURANCES)
def test_sample_of_many_histories_through_the_log(assurance: Assurance) -> None:
    for number, (history, way) in enumerate(zip(fixed_histories(600), fixed_ways(), strict=False)):
        check(history, assurance, way, sorted(RINGS)[number % len(RINGS)], everywhere=True)


@pytest.mark.slow
@pytest.mark.parametrize("assurance", ASSURANCES)
def test_sample_of_many_ordinary_histories(assurance: Assurance) -> None:
    chance = random.Random("ordinary histories")
    for number, way in zip(range(600), fixed_ways(), strict=False):
        history = choose_ordinary(chance.choice, [PAPER, OTHER_PAPER])
        check(history, assurance, way, sorted(RINGS)[number % len(RINGS)], everywhere=False)


# --- many papers in one log

PAPERS = [Paper(f"2402.{number:05}", number % 4) for number in range(200)]
CROWDED = [Paper(f"2403.{number:05}") for number in range(100)]


@functools.cache
def library() -> History:
    """A fixed history of each of many papers, one after the other."""
    chance = random.Random("a library")
    found = [choose_ordinary(chance.choice, [paper]) for paper in PAPERS]
    found += [choose_crowd(chance.choice, paper) for paper in CROWDED]
    events = [event for history in found for event in history.events]
    return History(events, [row for history in found for row in history.aliases], at(20))


@functools.cache
def library_documents(
    ring: str, assurance: Assurance = VERIFIED, as_of: str | None = None
) -> dict[str, bytes]:
    return documents(library().events, library().aliases, ring, assurance, as_of)


def fill_library(folder: Path, **changes: Any) -> int:
    """A log of the library, ingested with the keyring that counts every key, so that as much as can
    be is stored as ordinary. Gives how many events were invalid."""
    way = Way([(0, "open")], **changes)
    values = values_of(library())
    with kept(way), LogWriter.open(folder, compress=way.compress) as log:
        preparer = Preparer(keyring("open"))
        return log.append(prepared(preparer, pieces_of(values), way.workers)).invalid


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The library in two logs: the index of one knows the beginning of every id, that of the other
    nothing of it, so that of one time it has the events in the order in which they came."""
    folder = tmp_path_factory.mktemp("library")
    for id_bytes in (8, 0):
        fill_library(folder / str(id_bytes), id_bytes=id_bytes, block_bytes=5000)
    return [folder / "8", folder / "0"]


@pytest.mark.longer
@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("shelf", [0, 1], ids=["ids", "no ids"])
def test_both_ways_are_taken_often(
    shelves: list[Path], shelf: int, ring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lead to the same end."""
    counted: Counter[bool] = Counter()
    ordinary = Merging._ordinary

    def counting(self: Merging, rows: Any) -> Any:
        found = ordinary(self, rows)
        counted[found is not None] += 1
        return found

    monkeypatch.setattr(Merging, "_ordinary", counting)
    with Log.open(shelves[shelf]) as log:
        for assurance in ASSURANCES:
            assert states(log, ring, assurance) == library_documents(ring, assurance)
    assert sum(counted.values()) == 2 * len(PAPERS + CROWDED)
    assert counted[False] >= 200
    least = {"usual": 200, "open": 200, "revoked": 30, "described otherwise": 10, "none": 0}
    assert counted[True] >= least.get(ring, 50), counted
    with Log.open(shelves[shelf]) as log, log.snapshot() as snapshot:
        # Without the short way it is the same.
        monkeypatch.setattr(Merging, "_ordinary", lambda self, rows: None)
        assert states(log, ring, VERIFIED) == library_documents(ring)
        assert snapshot.size > 1000


@pytest.mark.longer
@pytest.mark.parametrize(
    ("workers", "backend", "compress"),
    [(0, 0, True), (1, -1, False), (2, 0, False), (1, 0, True), (2, -1, True)],
)
def test_a_library_however_it_is_kept(
    tmp_path: Path, workers: int, backend: int, compress: bool
) -> None:
    name = list(keys.BACKENDS)[backend]
    compress = compress and HAS_ZSTANDARD
    invalid = fill_library(tmp_path, workers=workers, backend=name, compress=compress)
    assert invalid == invalid_in_library()
    with Log.open(tmp_path) as log:
        for ring in RINGS:
            assert states(log, ring, VERIFIED) == library_documents(ring)


@functools.cache
def invalid_in_library() -> int:
    events = {canonical(event): event for event in library().events}.values()
    verdicts = [oracle.verdict(event, RINGS["open"], VERIFIED)[0] for event in events]
    return len(verdicts) - verdicts.count(None)


# --- planted faults


_ORDINARY = functools.partial(Fault, Merging, "_ordinary")
_LEARN = functools.partial(Fault, Merging, "_learn")
REPLAY_FAULTS: dict[str, Fault] = {
    "what needs the rules is passed over": _ORDINARY(
        "if shared is None:\n                return None",
        "if shared is None:\n                continue",
    ),
    "the order of the ids is not asked": _ORDINARY("event_id <= ids[-1]:", "False:"),
    "of one time there is one slot a kind, and nobody asks": _ORDINARY(
        "elif bucket not in firsts:", "elif True:"
    ),
    "the kinds of a time are forgotten": _ORDINARY("firsts[bucket] = row", "pass"),
    "the kinds of another time are remembered": _ORDINARY(
        "key[INDEX_TIME], {bucket: row}", "key[INDEX_TIME], firsts"
    ),
    "the first slot of a kind is forgotten": _ORDINARY(
        "slots.add((time, bucket, slot_of(bytes(firsts[bucket]))))", "pass"
    ),
    "slots are forgotten": _ORDINARY("slots.add(slot)", "pass"),
    "a slot may be taken twice": _ORDINARY("if slot in slots:", "if False:"),
    "the window is not asked": _ORDINARY("if window is not None and not", "if False and not"),
    "a window has no beginning": _ORDINARY("window[0] <= time <= window[1]", "time <= window[1]"),
    "a window has no end": _ORDINARY("window[0] <= time <= window[1]", "window[0] <= time"),
    "forks are not asked": _ORDINARY("if link in links:", "if False:"),
    "links are forgotten": _ORDINARY("links.add(link)", "pass"),
    "the record is forgotten": _ORDINARY("if is_record and", "if False and"),
    "the class of what has none": _LEARN("if event_class is None:", "if False:"),
    "the verdict is not asked": _LEARN(
        "not class_is_valid(event_type, signer, facts, self._keyring)", "False"
    ),
    "windows are forgotten": _LEARN("if key.valid_from is not None or key", "if False and key"),
    "windows without an end are forgotten": _LEARN("if key.valid_from is not None or", "if"),
    "windows without a beginning are forgotten": _LEARN(
        "or key.valid_until is not None:", "and True:"
    ),
    "a revoked key is none": Fault(merging, "class_is_valid", "or case.key.revoked", ""),
    "the signer of a class is not asked": Fault(
        merging, "class_is_valid", "_OF_ONE_EVENT", '{*_OF_ONE_EVENT, "signer_mismatch"}'
    ),
    "the past goes the short way": Fault(Merging, "__init__", "as_of is None and at", "at"),
    "every position goes the short way": Fault(
        Merging, "__init__", "as_of is None and at is None", "as_of is None"
    ),
    "every row has a slot of its own": Fault(
        merging, "slot_of", "return row[", "return row or row["
    ),
}
INGEST_FAULTS: dict[str, Fault] = {
    f"{what} of an event is not asked": Fault(preparing, "is_judged_like_its_class", old, new)
    for what, old, new in (
        ("the time", "is_timestamp(view.created_at)", "True"),
        ("the target", "kind.target.fullmatch(view.target) is not None", "True"),
        ("the key_id", "view.signature.key_id == event.signer.key_id", "True"),
    )
}


def faults_shown(log: Log) -> Iterator[str]:
    """Where a log of the library does not give the oracle's bytes."""
    half = len({canonical(event) for event in library().events[: len(library().events) // 2]})
    shown: list[tuple[str, dict[str, Any], Callable[[], dict[str, bytes]]]] = [
        *((ring, {}, functools.partial(library_documents, ring)) for ring in RINGS),
        ("open", {"as_of": at(20)}, lambda: library_documents("open", VERIFIED, at(20))),
        ("open", {"at": half}, half_of_library),
    ]
    for ring, cut, expected in shown:
        try:
            if states(log, ring, VERIFIED, **cut) != expected():
                yield f"{ring} {cut}"
        except (AttributeError, TypeError) as error:
            yield f"{ring} {cut}: {error}"


@functools.cache
def half_of_library() -> dict[str, bytes]:
    return documents(library().events[: len(library().events) // 2], [], "open", VERIFIED)


@pytest.mark.longer
def test_without_a_fault_none_is_shown(shelves: list[Path]) -> None:
    for folder in shelves:
        with Log.open(folder) as log:
            assert list(faults_shown(log)) == []


@pytest.mark.longer
@pytest.mark.parametrize("name", REPLAY_FAULTS)
def test_a_planted_fault_is_caught(
    name: str, shelves: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(REPLAY_FAULTS[name], monkeypatch)
    for folder in shelves:
        with Log.open(folder) as log:
            if next(faults_shown(log), None) is not None:
                return
    pytest.fail("nothing shows the fault")


@pytest.mark.parametrize("begins", ["0" * 16, "0" * 15 + "1", "f" * 16])
def test_a_fork_is_found_whatever_the_id_that_it_is_at(tmp_path: Path, begins: str) -> None:
    """Also where its beginning is what the index has of events that follow none."""
    previous = "sha256:" + begins + "0" * 48
    forked = [
        signing.signed_event("correction", created_at=at(n), previous_event_id=previous)
        for n in (1, 2)
    ]
    with LogWriter.open(tmp_path) as log:
        ingest_pieces(log, pieces_of([signing.signed_event(), *forked]), keyring=keyring("usual"))
        (state,) = replay(log, keyring=keyring("usual"))
    (row,) = state.equivocations
    assert set(row.event_ids) == {event["event_id"] for event in forked}


@pytest.mark.longer
@pytest.mark.parametrize("name", INGEST_FAULTS)
def test_a_fault_planted_in_the_ingest_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(INGEST_FAULTS[name], monkeypatch)
    invalid = fill_library(tmp_path)
    with Log.open(tmp_path) as log:
        assert invalid != invalid_in_library() or list(faults_shown(log))
