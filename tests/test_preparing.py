"""Preparing rows: what a log has is not verified anew, and rows prepared on trust are settled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import signing
from histories import KEYRING, fixed_histories
from pithgraph import keys, validation
from pithgraph.errors import LogError
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.log.batch import NewEvent
from pithgraph.preparing import Preparer
from pithgraph.sources import Piece
from signing import REGISTRY, STRANGER, WINDOW, WINDOWED, canonical, signed_event

RING = Keyring.from_value(KEYRING)


def pieces(*values: object) -> list[Piece]:
    return [Piece("test", n, canonical(value)) for n, value in enumerate(values, 1)]


def events(count: int) -> list[object]:
    return [
        signed_event("replication_record", target=f"replication:{n}", **{"payload.n": n})
        for n in range(count)
    ]


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    calls: list[object] = []

    def verify(*trial: bytes) -> bool:
        calls.append(trial)
        return keys.verify(*trial)

    monkeypatch.setattr(validation, "verify", verify)
    return calls


def test_what_the_log_has_is_not_verified_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_calls(monkeypatch)
    old, new = events(200), events(300)[200:]
    with LogWriter.open(tmp_path) as log:
        assert ingest_pieces(log, pieces(*old), keyring=RING).appended == 200
        assert len(calls) == 200
        again = ingest_pieces(log, pieces(*old), keyring=RING)
        assert (again.read, again.appended, again.duplicates) == (200, 0, 200)
        assert len(calls) == 200
        both = ingest_pieces(log, pieces(*old, *new), keyring=RING)
        assert (both.appended, both.duplicates, both.position) == (100, 200, 300)
        assert len(calls) == 300


def test_few_look_ups_are_made_where_the_log_has_nothing(tmp_path: Path) -> None:
    asked = []

    def has(sha256: bytes) -> bool:
        asked.append(sha256)
        return False

    rows = list(Preparer(RING, "all", has).rows(pieces(*events(200))))
    assert len(rows) == 200
    assert len(asked) == 4  # of 64 events one


def test_the_door_is_asked_of_what_the_log_has_too(tmp_path: Path) -> None:
    junk = signed_event() | {"signature": signing.signature(STRANGER, signing.some_id("x"))}
    junk["signature"]["key_id"] = REGISTRY.key_id
    with LogWriter.open(tmp_path) as log:
        assert ingest_pieces(log, pieces(junk), keyring=RING).appended == 1
        refused = ingest_pieces(log, pieces(junk), keyring=RING, admit="authentic")
        assert (refused.duplicates, refused.refused) == (0, 1)


def test_an_event_that_only_seemed_to_be_there_is_not_lost_silently(tmp_path: Path) -> None:
    rows = list(Preparer(RING, "all", lambda _: True).rows(pieces(*events(1))))
    with LogWriter.open(tmp_path) as log:
        with pytest.raises(LogError, match="ingest again"):
            log.append(rows)
        with log.snapshot() as snapshot:
            assert snapshot.size == 0


def verdicts(trials: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return bytes(keys.verify(*trial) for trial in trials)


@pytest.mark.parametrize("admit", ["all", "authentic"])
def test_rows_prepared_on_trust_are_the_same_once_settled(admit: object) -> None:
    failed = settled = 0
    for history in fixed_histories(60):
        found = pieces(*history.events)
        preparer = Preparer(RING, admit)  # type: ignore[arg-type]
        deferred = preparer.deferred(found)
        outcome = verdicts(deferred.trials)
        failed += outcome.count(0)
        settled += outcome.count(1)
        assert preparer.settle(deferred, outcome) == list(preparer.rows(found))
    assert failed > 10
    assert settled > 100


def believing(doubted: Callable[..., object]) -> Callable[..., object]:
    def settle(self: Preparer, deferred: object, verified: bytes) -> object:
        return doubted(self, deferred, b"\x01" * len(verified))

    return settle


def test_a_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are believed whatever the trials said."""
    monkeypatch.setattr(Preparer, "settle", believing(Preparer.settle))
    with pytest.raises(AssertionError):
        test_rows_prepared_on_trust_are_the_same_once_settled("all")


def test_an_ordinary_event_is_stored_by_its_class() -> None:
    (row,) = Preparer(RING).rows(pieces(signed_event()))
    assert isinstance(row, NewEvent)
    assert row.packed_class
    assert row.valid


def test_a_keys_window_is_asked_of_each_of_its_events() -> None:
    """Those of one class are judged once, but for what differs between them."""
    ring = Keyring.from_value(signing.keyring_value())
    inside, late = (
        signed_event("graph_snapshot", WINDOWED, created_at=time)
        for time in (WINDOW["valid_until"], "2027-01-01T00:00:00Z")
    )
    for given, valid in (([inside, late], [True, False]), ([late, inside], [False, True])):
        rows = [*Preparer(ring).rows(pieces(*given))]
        assert [row.valid for row in rows if isinstance(row, NewEvent)] == valid
