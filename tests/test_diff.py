"""`diff` finds what two states of a paper differ in, and nothing where they are equal."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Done
from histories import KEYRING, History, histories
from pithgraph.diffing import Difference, Only, Side, differences
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.merge import PaperAlias, State, core_of_state, merge_events
from pithgraph.validation import ASSURANCES, Assurance
from signing import OTHER_PAPER, PAPER, at, canonical, keyring_value, signed_event

RING = Keyring.from_value(KEYRING)
Run = Callable[..., Done]


def state_of(history: History, assurance: Assurance = "verified") -> State:
    aliases = [PaperAlias(*row[1:]) for row in history.aliases if row[0] == PAPER.number]
    events = [Event.from_value(event) for event in history.events]
    return merge_events(PAPER.number, events, aliases, RING, assurance)


def side_of(state: State) -> Side:
    return Side(state.document, None)


def is_empty(found: Difference) -> bool:
    parts = (found.applied, found.invalid, found.equivocations, found.aliases)
    return all(part == Only((), ()) for part in parts) and not found.fields


@pytest.mark.longer
@settings(max_examples=60)
@given(histories(), histories(), st.sampled_from(ASSURANCES))
def test_states_differ_where_something_is_named(
    one: History, other: History, assurance: Assurance
) -> None:
    a, b = state_of(one, assurance), state_of(other, assurance)
    found = differences(side_of(a), side_of(b))
    assert is_empty(found) == (a.state_sha256 == b.state_sha256)
    assert found.core_sha256 == (a.core_sha256, b.core_sha256)
    assert found.state_sha256 == (a.state_sha256, b.state_sha256)
    turned = differences(side_of(b), side_of(a))
    assert turned.applied == Only(found.applied.b, found.applied.a)
    assert len(turned.fields) == len(found.fields)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a document has something that is no container."""
    if isinstance(value, dict):
        return [place for key in value for place in places(value[key], (*path, key))]
    if isinstance(value, list):
        return [place for key, item in enumerate(value) for place in places(item, (*path, key))]
    return [path]


@pytest.mark.parametrize("name", ["state-N7NXYVEE.json"])
def test_each_changed_value_of_a_document_is_named(published: Path, name: str) -> None:
    document = json.loads((published / name).read_bytes())
    for place in places(document):
        changed = copy.deepcopy(document)
        inside = changed
        for key in place[:-1]:
            inside = inside[key]
        old = inside[place[-1]]
        inside[place[-1]] = f"{old}x" if isinstance(old, str) else [old, "x"]
        found = differences(Side(document, None), Side(changed, None))
        assert is_empty(found) == (place == ("state_sha256",)), place


def test_rows_in_another_order_are_named(published: Path) -> None:
    document = json.loads((published / "state-N7NXYVEE.json").read_bytes())
    turned = copy.deepcopy(document)
    turned["applied_event_ids"].reverse()
    (field,) = differences(Side(document, None), Side(turned, None)).fields
    assert field.path == "applied_event_ids"


def test_a_decoded_document_has_the_core_of_its_state() -> None:
    state = state_of(History([signed_event()], [], None))
    assert core_of_state(state.document) == state.core_sha256


# --- the command


@pytest.fixture
def ring(tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "ring.json").write_bytes(canonical(keyring_value()))
    return "--keyring", tmp_path / "ring.json"


EVENTS = [
    signed_event("record_created"),
    signed_event("graph_snapshot", created_at=at(1)),
    signed_event("graph_snapshot", created_at=at(1), **{"payload.n": 2}),
    signed_event("record_created", paper=OTHER_PAPER),
]


def lines(path: Path, *events: Any) -> Path:
    path.write_bytes(b"\n".join(map(canonical, events)) + b"\n")
    return path


def test_logs_and_files(run: Run, tmp_path: Path, ring: tuple[object, ...]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    some = lines(tmp_path / "some.jsonl", *EVENTS[:2])
    whole = lines(tmp_path / "all.jsonl", *EVENTS)
    run("ingest", "--log", one, whole, *ring)
    run("ingest", "--log", other, some, *ring)
    for a, b in ((one, whole), (whole, one), (other, some), (whole, whole)):
        done = run("diff", a, b, *ring)
        assert (done.code, done.out) == (0, "")
    by_logs = run("diff", one, other, *ring, "--json")
    assert by_logs.code == 1
    assert run("diff", whole, some, *ring, "--json").out == by_logs.out
    rows = {row["pith_number"]: row for row in by_logs.rows}
    assert rows[OTHER_PAPER.number] == {"pith_number": OTHER_PAPER.number, "only": "a"}
    row: Any = rows[PAPER.number]
    assert row["core_agrees"] is False
    assert len(row["events"]["only_a"]) == 1
    assert row["events"]["only_b"] == []
    assert row["applied"] == {"only_a": [], "only_b": [EVENTS[1]["event_id"]]}
    assert len(row["equivocations"]["only_a"]) == 1
    only = run("diff", one, other, PAPER.suffix[:8], *ring, "--json")
    assert only.rows == [row]
    text = run("diff", one, other, *ring)
    assert f"{OTHER_PAPER.number}: only in A\n" in text.out
    assert f"  + applied {EVENTS[1]['event_id']}\n" in text.out
    assert "papers compared: 2, differing: 2" in text.err


def test_a_state_document_is_taken_as_it_stands(run: Run, tmp_path: Path, published: Path) -> None:
    path = published / "state-N7NXYVEE.json"
    log = tmp_path / "log"
    run("ingest", "--log", log, path)
    assert run("diff", log, path, "--assurance", "stated").code == 0
    done = run("diff", path, log, "--json")
    assert done.code == 1
    row: Any = done.rows[0]
    assert len(row["applied"]["only_a"]) == len(row["invalid"]["only_b"]) == 2
    assert row["events"] is None  # a state document does not give them
    document = json.loads(path.read_bytes())
    document["current"]["source_aliases"][0]["created_at"] = "2001-01-01T00:00:00Z"
    edited = tmp_path / "edited.json"
    edited.write_bytes(canonical(document))
    done = run("diff", path, edited)
    assert done.code == 1
    assert "core_sha256 agrees" in done.out
    assert done.out.count("  - alias ") == done.out.count("  + alias ") == 1
    assert "its bytes give" in done.err


def test_standard_input(
    run: Run, tmp_path: Path, published: Path, ring: tuple[object, ...]
) -> None:
    whole = lines(tmp_path / "all.jsonl", *EVENTS)
    state = published / "state-N7NXYVEE.json"
    for path, more in ((whole, ring), (state, ())):
        done = subprocess.run(
            [sys.executable, "-m", "pithgraph", "diff", "-", path, *more],
            stdin=path.open("rb"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "")
        assert "differing: 0" in done.stderr
        assert "papers compared: 0" not in done.stderr


def test_what_cannot_be_compared(run: Run, tmp_path: Path, ring: tuple[object, ...]) -> None:
    whole = lines(tmp_path / "all.jsonl", *EVENTS)
    (tmp_path / "empty").mkdir()
    done = run("diff", tmp_path / "empty", tmp_path / "empty", *ring)
    assert (done.code, "are one folder" in done.err) == (2, True)
    empty = lines(tmp_path / "empty.jsonl")
    done = run("diff", empty, empty, *ring)
    assert (done.code, "nothing was compared" in done.err) == (1, True)
    assert run("diff", whole, tmp_path / "nothing", *ring).code == 1  # its papers are only in A
    assert run("diff", whole, whole, "AAAAAAAA", *ring).code == 2
    assert run("diff", whole, whole, "no paper", *ring).code == 2
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(whole.read_bytes() + b"{\n")
    done = run("diff", whole, bad, *ring)
    assert (done.code, "refused" in done.err) == (3, True)
