"""Random histories through the log give the oracle's states, byte for byte.

One at a time, in batches, repeated, reopened at every border of a batch, now, as of a time and at
every position; with the keyring of the ingest and with another. The generator forces ties,
equivocations of both rules and every reason (`histories`).
"""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from histories import KEYRING, History, fixed_histories, histories
from pithgraph.ingestion import new_rows
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.log.batch import New
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from pithgraph.validation import ASSURANCES, Assurance
from signing import canonical

RING = Keyring.from_value(KEYRING)
NO_KEYS = Keyring.from_value({"keys": []})


def rows_of(history: History, at_ingest: Keyring) -> list[New]:
    """Every event and alias row as a line of its own."""
    values: list[Any] = [*history.events]
    for pith_number, kind, value, created_at in history.aliases:
        row = {"alias_kind": kind, "alias_value": value, "created_at": created_at}
        values.append({"alias": {"pith_number": pith_number, **row}})
    return list(new_rows([Piece("test", 1, canonical(v)) for v in values], at_ingest))


def states(log: LogWriter, assurance: Assurance, **cut: Any) -> dict[str, bytes]:
    found = replay(log, keyring=RING, assurance=assurance, **cut)
    return {state.pith_number: state.canonical for state in found}


def documents(events: list[Any], aliases: list[Any], *rest: Any) -> dict[str, bytes]:
    merged = oracle.merge(events, aliases, KEYRING, *rest)
    return {name: oracle.canonical(document) for name, document in merged.items()}


def check(history: History, assurance: Assurance, batches: list[int], at_ingest: Keyring) -> None:
    rows = rows_of(history, at_ingest)
    with tempfile.TemporaryDirectory() as folder:
        start = 0
        for size in [*batches, len(rows)]:
            with LogWriter.open(folder) as log:
                log.append(rows[start : start + size] + rows[:1])
            start += size
        with LogWriter.open(folder) as log:
            whole = documents(history.events, history.aliases, assurance)
            assert states(log, assurance) == whole
            past = documents(history.events, history.aliases, assurance, history.as_of)
            assert states(log, assurance, as_of=history.as_of) == past
            with log.snapshot() as snapshot:
                stored = [snapshot.event_at(n).event.value for n in range(snapshot.size)]
            for position in range(len(stored) + 1):
                aliases = history.aliases if position == len(stored) else []
                cut = documents(stored[:position], aliases, assurance)
                assert states(log, assurance, at=position) == cut


@settings(max_examples=60)
@given(
    histories(),
    st.sampled_from(ASSURANCES),
    st.lists(st.integers(0, 4), max_size=4),
    st.sampled_from([RING, NO_KEYS]),
)
def test_through_the_log(
    history: History, assurance: Assurance, batches: list[int], at_ingest: Keyring
) -> None:
    check(history, assurance, batches, at_ingest)


@pytest.mark.slow
@pytest.mark.parametrize("assurance", ASSURANCES)
def test_sample_of_many_histories_through_the_log(assurance: Assurance) -> None:
    for number, history in enumerate(fixed_histories(600)):
        check(history, assurance, [number % 3, 1, number % 5], (RING, NO_KEYS)[number % 2])
