"""`pithgraph log`: every event once, in its order, with its verdict and what the merge made of it;
what was refused; and following a log that is written."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from conftest import Done
from histories import KEYRING, fixed_histories
from pithgraph import listing
from pithgraph.errors import VERDICT_REASONS, IdentifierError, LogError
from pithgraph.events import Event
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.listing import (
    EVERYTHING,
    VERDICTS,
    Listed,
    Wanted,
    follow_events,
    list_events,
    list_merged,
    list_refused,
)
from pithgraph.log import Log, LogWriter
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import verdict_of
from pithgraph.views import OUTCOMES
from signing import ALICE, DROP, OTHER_PAPER, PAPER, REGISTRY, STRANGER, Json, at, canonical
from signing import signed_event as signed

RING = Keyring.from_value(KEYRING)
NUMBER = parse_pith_number(PAPER.number)


def put(log: LogWriter, values: list[Any]) -> None:
    pieces = [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]
    ingest_pieces(log, pieces, keyring=RING)


@contextmanager
def log_of(folder: Path, values: list[Any]) -> Iterator[LogWriter]:
    with LogWriter.open(folder / "log") as log:
        put(log, values)
        yield log


FORKED = signing.some_id("what both follow")
EVENTS: list[Json] = [
    signed("record_created"),
    signed("graph_snapshot", created_at=at(4), previous_event_id=FORKED),
    signed("graph_snapshot", created_at=at(2), **{"payload.n": 1}),
    signed("graph_snapshot", created_at=at(2), **{"payload.n": 2}),
    signed("graph_snapshot", created_at=at(3), previous_event_id=FORKED),
    signed("author_attestation", created_at=at(5)),
    signed("graph_snapshot", STRANGER, created_at=at(6)),
    signed("graph_snapshot", paper=OTHER_PAPER, created_at=at(1)),
    signed("graph_snapshot", created_at="2026-06-31T00:00:00Z"),
    signed("citation_signature", event_type="endorsement", created_at=at(7)),
    signed("mirror_hint", created_at=at(8), **{"signer.signer_type": 7}),
    signed("mirror_hint", event_type=DROP, created_at=5, signer=[1], event_id="x"),
]
# The last two are malformed; `sealed` has given them an id.
VERDICT_OF = dict.fromkeys(range(len(EVENTS)), "valid") | {
    6: "unknown_key",
    8: "invalid_timestamp",
    9: "unknown_event_type",
    10: "malformed",
    11: "malformed",
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ground")
    with log_of(folder, [*EVENTS, EVENTS[0], {"no": "subject"}, 7]):
        pass
    (folder / "keyring.json").write_bytes(canonical(KEYRING))
    return folder


# --- which events, and their verdicts ----------------------------------------------------------


def test_every_event_of_random_histories_once_with_its_verdict(tmp_path: Path) -> None:
    events = [event for history in fixed_histories(80) for event in history.events]
    with log_of(tmp_path, events) as log:
        listed = list(list_events(log, keyring=RING))
    assert [one.position for one in listed] == list(range(len(listed)))
    unique = {canonical(event) for event in events}
    assert len(listed) == len(unique)
    assert {one.event.canonical for one in listed} == unique
    reasons = set()
    for one in listed:
        assert one.verdict == verdict_of(one.event, RING)
        reasons.add(one.verdict.reason)
    assert len(reasons) > 8


def test_what_the_merge_made_is_what_the_state_says(tmp_path: Path) -> None:
    made = set()
    for number, history in enumerate(fixed_histories(40)):
        with log_of(tmp_path / str(number), history.events) as log:
            equivocating = list(list_events(log, keyring=RING, wanted=Wanted(verdict=VERDICTS[2])))
            for state in replay(log, keyring=RING):
                paper = parse_pith_number(state.pith_number)
                listed = list(list_merged(log, paper, keyring=RING))
                by_outcome: dict[str, list[Listed]] = {name: [] for name in OUTCOMES}
                for one in listed:
                    assert one.outcome is not None
                    by_outcome[one.outcome.merged].append(one)
                ids = {name: [one.event.event_id for one in by_outcome[name]] for name in OUTCOMES}
                assert ids["applied"] == state.document["applied_event_ids"]
                withheld = {
                    event_id
                    for row in state.equivocations
                    if row.rule == "same_slot"
                    for event_id in row.event_ids
                }
                assert len(ids["withheld"]) == len(withheld)
                assert set(ids["withheld"]) == withheld
                assert set(ids["repeated"]) <= {*ids["applied"], *withheld}
                assert {
                    one.event.sha256.hex(): one.verdict.reason for one in by_outcome["invalid"]
                } == {row.event_sha256: row.reason for row in state.invalid_events}
                rules = {
                    (event_id, row.rule)
                    for row in state.equivocations
                    for event_id in row.event_ids
                }
                for some in (
                    listed,
                    [one for one in equivocating if one.members.subject == str(paper)],
                ):
                    assert rules == {
                        (one.event.event_id, rule) for one in some for rule in one.outcome.rules
                    }
                whole = list(list_events(log, paper, keyring=RING))
                assert [one.position for one in whole] == sorted(one.position for one in listed)
                made |= {name for name in OUTCOMES if by_outcome[name]}
                made |= {rule for _, rule in rules}
    assert made == {*OUTCOMES, "same_slot", "fork"}


def test_the_merge_order_does_not_depend_on_arrival(tmp_path: Path) -> None:
    orders = set()
    for seed in range(4):
        arrived = random.Random(seed).sample(EVENTS, len(EVENTS))
        with log_of(tmp_path / str(seed), arrived) as log:
            listed = list(list_merged(log, NUMBER, keyring=RING))
            orders.add(tuple((one.event.sha256, one.outcome) for one in listed))
    assert len(orders) == 1
    assert len(orders.pop()) == len(EVENTS) - 1


def test_filters_take_what_each_asks(ground: Path) -> None:
    def positions(wanted: Wanted, paper: Any = None) -> list[int]:
        return [one.position for one in list_events(log, paper, keyring=RING, wanted=wanted)]

    everything = list(range(len(EVENTS)))
    of_registry = [n for n in everything if REGISTRY.signer() == EVENTS[n]["signer"]]
    with Log.open(ground / "log") as log:
        assert positions(EVERYTHING) == everything
        assert positions(EVERYTHING, NUMBER) == [n for n in everything if n != 7]
        for name in (REGISTRY.signer_id, REGISTRY.key_id, REGISTRY.fingerprint):
            assert positions(Wanted(signer=name)) == of_registry
        assert positions(Wanted(signer=REGISTRY.signer_id[:-1])) == []
        assert positions(Wanted(signer="pith_registry")) == []  # a type is no name
        assert positions(Wanted(signer=signing.MIRROR.signer_id)) == [10]
        assert positions(Wanted(kind="graph_snapshot")) == [1, 2, 3, 4, 6, 7, 8]
        assert positions(Wanted(since=at(4))) == [1, 5, 6, 9, 10]
        assert positions(Wanted(until=at(2))) == [0, 2, 3, 7]
        assert positions(Wanted(since=at(2), until=at(3))) == [2, 3, 4]
        assert positions(Wanted(kind="graph_snapshot", verdict="valid"), NUMBER) == [1, 2, 3, 4]
        for name in ("valid", *VERDICT_REASONS):
            expected = [n for n, told in VERDICT_OF.items() if told == name]
            assert positions(Wanted(verdict=name)) == expected
        assert positions(Wanted(verdict="invalid")) == [6, 8, 9, 10, 11]
        for paper in (None, NUMBER):
            assert positions(Wanted(verdict="equivocation"), paper) == [1, 2, 3, 4]
        assert positions(Wanted(verdict="equivocation", until=at(2))) == [2, 3]
        assert (
            positions(Wanted(verdict="equivocation"), parse_pith_number(OTHER_PAPER.number)) == []
        )
        with pytest.raises(IdentifierError, match="no time of the form"):
            positions(Wanted(since="2026"))
        with pytest.raises(ValueError, match="is no verdict"):
            positions(Wanted(verdict="good"))


# --- the program -------------------------------------------------------------------------------


@pytest.fixture
def show(run: Any, ground: Path) -> Callable[..., Done]:
    def show(*arguments: object) -> Done:
        keyring = ground / "keyring.json"
        return run("log", "--log", ground / "log", "--keyring", keyring, *arguments)

    return show


def test_a_row_of_json_has_what_the_event_says(show: Callable[..., Done]) -> None:
    rows = show("--json").rows
    for number, row in enumerate(rows):
        event = EVENTS[number]
        assert row["position"] == number
        assert row["event_sha256"] == signing.sha256_hex(event)
        assert row["verdict"] == VERDICT_OF[number]
        assert row["subject_pith_number"] == event["subject_pith_number"]
        assert bool(row["detail"]) == (row["verdict"] != "valid")
    assert rows[6] == {
        "position": 6,
        "event_id": EVENTS[6]["event_id"],
        "event_sha256": signing.sha256_hex(EVENTS[6]),
        "event_type": "graph_snapshot",
        "subject_pith_number": PAPER.number,
        "target": "graph",
        "created_at": at(6),
        "signer": STRANGER.signer(),
        "verdict": "unknown_key",
        "detail": f"fingerprint {STRANGER.fingerprint!r}",
    }
    assert rows[10]["signer"] == signing.MIRROR.signer(signer_type=None)
    assert rows[11]["signer"] == dict.fromkeys(REGISTRY.signer())
    assert (rows[11]["event_type"], rows[11]["created_at"]) == (None, None)


def test_a_line_names_event_and_verdict(show: Callable[..., Done]) -> None:
    done = show()
    lines = done.out.splitlines()
    assert len(lines) == len(EVENTS)
    assert lines[5].split() == [
        "5",
        at(5),
        "author_attestation",
        "valid",
        f"pith:{PAPER.suffix[:8]}",
        ALICE.signer_id,
        EVENTS[5]["event_id"],
    ]
    assert lines[11].split()[1:6] == ["-", "-", "malformed", f"pith:{PAPER.suffix[:8]}", "-"]
    assert f"events: {len(EVENTS)}; keyring {RING.sha256[:16]}…, assurance verified" in done.err
    assert "1 events are of keys that the keyring does not hold" in done.err


def test_the_merge_order_shows_what_became_of_each(show: Callable[..., Done]) -> None:
    done = show(PAPER.suffix[:8].lower(), "--order", "merge")
    shown = [(line.split()[0], line[52:73].strip()) for line in done.out.splitlines()]
    same_slot = sorted("23", key=lambda n: EVENTS[int(n)]["event_id"])
    assert shown[:7] == [
        ("0", "applied"),
        *((number, "withheld") for number in same_slot),
        ("4", "applied, fork"),
        ("1", "applied, fork"),
        ("5", "applied"),
        ("6", "unknown_key"),
    ]
    assert {number for number, _ in shown[-2:]} == {"8", "11"}  # without a timestamp
    rows = show(PAPER.number, "--order", "merge", "--json", "--verdict", "valid").rows
    assert [(row["merged"], row["equivocations"]) for row in rows] == [
        ("applied", []),
        ("withheld", ["same_slot"]),
        ("withheld", ["same_slot"]),
        ("applied", ["fork"]),
        ("applied", ["fork"]),
        ("applied", []),
    ]


def test_what_was_refused_is_listed_as_the_log_has_it(
    show: Callable[..., Done], ground: Path
) -> None:
    with Log.open(ground / "log") as log:
        listed = list(list_refused(log))
        with log.snapshot() as snapshot:
            assert listed == snapshot.refused()
    rows = show("--refused", "--json").rows
    assert [row["reason"] for row in rows] == ["unknown_document", "not_an_object"]
    assert rows[1] == {
        "source": "test",
        "line": len(EVENTS) + 3,
        "where": "",
        "reason": "not_an_object",
        "detail": "found int",
        "size": 1,
        "sha256": "7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451",
    }
    done = show("--refused")
    assert f"test:{len(EVENTS) + 3}: not_an_object: found int (1 bytes, 7902699b" in done.out
    assert done.err == "refused: 2\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--refused", "--follow"), "--refused lists no events"),
        (("--refused", PAPER.number), "--refused lists no events"),
        (("--refused", "--kind", "correction"), "--refused lists no events"),
        (("--order", "merge"), "name it"),
        ((PAPER.number, "--order", "merge", "--follow"), "--follow goes with"),
        (("--follow", "--verdict", "equivocation"), "--follow goes with"),
        (("--since", "today"), "no time of the form"),
        (("--verdict", "good"), "Invalid value for '--verdict'"),
        (("--kind", "graph"), "Invalid value for '--kind'"),
        (("AA",), "names no paper"),
        (("AAAAAAAA",), "no paper 'AAAAAAAA'"),
    ],
)
def test_wrong_usage_is_named(
    show: Callable[..., Done], arguments: tuple[str, ...], says: str
) -> None:
    done = show(*arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_log_that_is_not_there(run: Any, tmp_path: Path) -> None:
    for more in ((), ("--refused",), ("--follow",)):
        assert run("log", "--log", tmp_path / "no", *more).code == 4
    assert run("log", "--log", tmp_path / "no", "--since", "today").code == 2


def test_hostile_members_make_one_line_each(run: Any, tmp_path: Path) -> None:
    long = "\x1b[2J\n" + "é" * 100_000
    events = [
        signed("graph_snapshot", created_at=long, event_type=long, **{"signer.signer_id": long}),
        signed("graph_snapshot", created_at=[long], target=None),
    ]
    with log_of(tmp_path, events):
        pass
    done = run("log", "--log", tmp_path / "log")
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert all(len(line) < 400 and line.isprintable() for line in done.out.splitlines())
    rows = run("log", "--log", tmp_path / "log", "--json").rows
    assert (rows[0]["created_at"], rows[1]["created_at"]) == (long, None)


# --- following ---------------------------------------------------------------------------------


def some(count: int, start: int = 0) -> list[Json]:
    return [
        signed("replication_record", target=f"replication:{n}", paper=(PAPER, OTHER_PAPER)[n % 2])
        for n in range(start, start + count)
    ]


@settings(max_examples=8)
@given(batches=st.lists(st.integers(0, 7), max_size=5), at_once=st.integers(1, 9))
def test_following_misses_and_repeats_no_event(batches: list[int], at_once: int) -> None:
    """Whatever comes between two looks, and however much a look takes."""
    with pytest.MonkeyPatch.context() as patch, tempfile_folder() as folder:
        patch.setattr(listing, "_FOLLOWED_AT_ONCE", at_once)
        for paper in (None, NUMBER):
            with log_of(folder / str(paper), some(3)) as log:
                waiting = iter(batches)

                def wait(log: LogWriter = log, waiting: Iterator[int] = waiting) -> None:
                    count = next(waiting, None)
                    if count is None:
                        raise KeyboardInterrupt
                    with log.snapshot() as snapshot:
                        start = snapshot.size
                    put(log, some(count, start))

                seen = []
                with suppress(KeyboardInterrupt):
                    for one in follow_events(log, paper, keyring=RING, wait=wait):
                        seen.append(one.position)
                listed = [one.position for one in list_events(log, paper, keyring=RING)]
                assert seen == listed
                assert paper is not None or len(seen) == 3 + sum(batches)


@contextmanager
def tempfile_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_what_comes_while_events_are_printed_is_taken(tmp_path: Path) -> None:
    """A paper's first look goes by its index; what is appended meanwhile stands behind."""
    with log_of(tmp_path, some(4)) as log:
        following = follow_events(log, NUMBER, keyring=RING, wait=lambda: None)
        seen = [next(following).position]
        put(log, some(4, 4))
        seen += [one.position for one in islice(following, 3)]
        assert seen == [0, 2, 4, 6]


def test_following_takes_the_filters(tmp_path: Path) -> None:
    with log_of(tmp_path, some(2)) as log:
        wanted = Wanted(signer=ALICE.key_id, verdict="valid")
        later = [*some(3, 2), signed("author_attestation", at_least="this")]
        following = follow_events(log, keyring=RING, wanted=wanted, wait=lambda: put(log, later))
        assert next(following).event == EventIs(later[-1])
        with pytest.raises(ValueError, match="cannot be followed"):
            next(follow_events(log, wanted=Wanted(verdict="equivocation")))


class EventIs:
    def __init__(self, value: Json) -> None:
        self._canonical = canonical(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and other.canonical == self._canonical

    __hash__ = None  # type: ignore[assignment]


def test_a_log_that_is_cut_is_not_followed_further(tmp_path: Path) -> None:
    """The system would end whoever reads on."""
    with log_of(tmp_path, some(2)):
        pass

    def cut() -> None:
        os.truncate(tmp_path / "log" / "data.mdb", 8192)

    with Log.open(tmp_path / "log") as log, pytest.raises(LogError, match="was cut while"):
        list(follow_events(log, keyring=RING, wait=cut))


def test_a_log_that_is_replaced_is_not_followed_further(tmp_path: Path) -> None:
    with log_of(tmp_path, some(2)):
        pass
    shutil.copytree(tmp_path / "log", tmp_path / "other")

    def replace() -> None:
        os.replace(tmp_path / "other" / "data.mdb", tmp_path / "log" / "data.mdb")

    with Log.open(tmp_path / "log") as log:
        following = follow_events(log, keyring=RING, wait=replace)
        assert [one.position for one in islice(following, 2)] == [0, 1]
        with pytest.raises(LogError, match=r"replaced, moved or set back .* after 2 events"):
            next(following)


@pytest.mark.longer
def test_the_program_follows_until_interrupted(tmp_path: Path) -> None:
    with log_of(tmp_path, some(2)):
        pass
    (tmp_path / "keyring.json").write_bytes(canonical(KEYRING))
    command = [sys.executable, "-m", "pithgraph", "log", "--follow", "--json"]
    command += ["--log", str(tmp_path / "log"), "--keyring", str(tmp_path / "keyring.json")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["position"] for _ in range(2)]
        with LogWriter.open(tmp_path / "log") as log:
            for number in range(2, 6, 2):
                put(log, some(2, number))
                seen += [json.loads(process.stdout.readline())["position"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=20)
    assert seen == list(range(6))
    assert (process.returncode, rest) == (130, "")
    assert error.split() == ["interrupted"]


WRITER = """
import sys
from pathlib import Path
from pithgraph.log import LogWriter
from test_listing import put, some
with LogWriter.open(sys.argv[1], map_bytes=2**17) as log:
    for start in range(0, int(sys.argv[2]), 5):
        put(log, some(5, start))
"""


@pytest.mark.longer
def test_a_busy_writer_of_another_process_is_followed(tmp_path: Path) -> None:
    """Looks begin and end at any moment of its batches, and while it outgrows its map."""
    count = 2000
    with LogWriter.open(tmp_path / "log", map_bytes=2**17):
        pass
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *filter(None, sys.path)])}
    command = [sys.executable, "-c", WRITER, str(tmp_path / "log"), str(count)]
    with subprocess.Popen(command, env=environment) as writer, Log.open(tmp_path / "log") as log:
        following = follow_events(log, keyring=RING, wait=lambda: None)
        seen = [(one.position, one.members.target) for one in islice(following, count)]
        assert writer.wait() == 0
    assert seen == [(n, f"replication:{n}") for n in range(count)]
