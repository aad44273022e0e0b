"""What must hold for any bytes at all: the one function that the fuzzer calls, and the tests too.

What lives here: the properties, each asked of the engine and, where there are two opinions to be
had, of the oracle. What must not: the fuzzer itself (`__main__`), and inputs.

An input is what somebody might send: a document, or lines. Since a changed byte spoils a signature,
each event is merged as it came, and once more sealed anew by the test key that it names, so that
what lies behind the signatures is reached as well.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import oracle
import signing
from pithgraph.audit import audit_bytes
from pithgraph.canonical import decode, encode, read
from pithgraph.entries import MAX_ALIAS_LENGTH, AliasEntry, EventEntry, RefusedEntry, entries_of
from pithgraph.errors import DECODE_REASONS, REFUSAL_REASONS, DecodeError, Refused
from pithgraph.events import Event
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.merge import PaperAlias, merge_events
from pithgraph.replaying import replay
from pithgraph.sources import Limits, Lines, Piece, Unreadable, read_stream
from pithgraph.validation import ASSURANCES, verdict_of
from signing import Json

Events = list[Event]
Aliases = list[AliasEntry]

KEYRING_VALUE = signing.keyring_value()
KEYRING = Keyring.from_value(KEYRING_VALUE)
KEYS = {key.key_id: key for key in (*signing.ENTRIES, signing.STRANGER)}
# Bombs are for `test_door`; here they would only be slow.
LIMITS = Limits(line=1 << 16, document=1 << 20)
MOST_LINES = 8
_REASONS = DECODE_REASONS.keys() | REFUSAL_REASONS.keys()
# Where the system keeps files in memory: no log is synced to a disk then.
_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def check(data: bytes) -> None:
    """Raises, of whatever kind, where one of the properties does not hold for these bytes."""
    decoding(data)
    auditing(data)
    merging(data)
    ingesting(data)


def decoding(data: bytes) -> None:
    """Accepted by engine and oracle alike, with the same value; else refused with a reason."""
    refused = None
    try:
        value = decode(data)
    except DecodeError as error:
        refused = error
    assert (refused is None) == _accepted_by_oracle(data)
    if refused is not None:
        assert refused.reason in DECODE_REASONS
        assert min(refused.line, refused.column) >= 1
        return
    canonical = oracle.canonical(oracle.decode(data))
    assert encode(value) == canonical
    reading = read(data)
    assert reading.encode(reading.value) == canonical
    assert reading.canonical in (None, canonical)
    assert decode(canonical) == value


def auditing(data: bytes) -> None:
    """Findings that a terminal can show, or a refusal with a reason."""
    try:
        findings = audit_bytes(data, KEYRING).findings
    except (DecodeError, Refused) as error:
        findings = ()
        assert error.reason in _REASONS  # noqa: PT017 - any other exception is a find
    for check_, status, detail in findings:
        assert status in ("pass", "fail", "unconfirmed", "skipped")
        assert (check_ + detail).isprintable()
        assert len(detail) <= 1000


def merging(data: bytes) -> None:
    """The verdicts and states that the oracle gives, under both assurances, in either order."""
    lines = data.split(b"\n")[:MOST_LINES] + _sealed_lines(data)
    events, aliases, _ = _parts(Piece("fuzz", 1, line) for line in lines)
    their_events, their_aliases = _theirs(lines)
    assert [event.canonical for event in events] == list(map(oracle.canonical, their_events))
    assert aliases == their_aliases
    for assurance in ASSURANCES:
        for event, theirs in zip(events, their_events, strict=True):
            verdict = verdict_of(event, KEYRING, assurance)
            assert (verdict.reason, verdict.stated) == oracle.verdict(
                theirs, KEYRING_VALUE, assurance
            )
        states = oracle.merge(their_events, their_aliases, KEYRING_VALUE, assurance)
        for paper, state in states.items():
            for order in (events, events[::-1]):
                rows = _rows_of(paper, aliases)
                ours = merge_events(paper, order, rows, KEYRING, assurance)
                assert ours.canonical == oracle.canonical(state)
                assert ours.core_sha256 == oracle.core_sha256(state)


def ingesting(data: bytes) -> None:
    """Everything that was read is counted once, and the log replays to the state of what was in it;
    a second ingest changes nothing."""
    data = b"\n".join([data, *_sealed_lines(data)])
    pieces = list(read_stream("fuzz", io.BufferedReader(io.BytesIO(data)), LIMITS))
    events, aliases, refused = _parts(pieces)
    with (
        tempfile.TemporaryDirectory(prefix="pithgraph-fuzz-", dir=_MEMORY) as folder,
        LogWriter.open(folder, map_bytes=1 << 20) as log,
    ):
        done = ingest_pieces(log, pieces, keyring=KEYRING)
        assert done.read == done.appended + done.duplicates + done.refused
        assert (done.read, done.refused) == (len(events) + refused, refused)
        assert done.position == done.appended == len({event.sha256 for event in events})
        assert {one.reason for one in done.refusals} <= _REASONS
        again = ingest_pieces(log, pieces, keyring=KEYRING)
        assert (again.read, again.appended, again.aliases) == (done.read, 0, 0)
        for assurance in ASSURANCES:
            for state in replay(log, keyring=KEYRING, assurance=assurance):
                rows = _rows_of(state.pith_number, aliases)
                merged = merge_events(state.pith_number, events, rows, KEYRING, assurance)
                assert state.canonical == merged.canonical


# --- the two readers ---------------------------------------------------------------------------


def _accepted_by_oracle(data: bytes) -> bool:
    try:
        oracle.decode(data)
    except ValueError:
        return False
    return True


def _parts(pieces: Iterable[Piece | Lines | Unreadable]) -> tuple[Events, Aliases, int]:
    """What pieces bring, and how much of them is refused."""
    events: Events = []
    aliases: Aliases = []
    refused = 0
    for piece in pieces:
        if isinstance(piece, Unreadable):
            refused += 1
            continue
        for one in piece.pieces() if isinstance(piece, Lines) else [piece] if piece.data else []:
            try:
                entries = list(entries_of(*read(one.data), keyring=KEYRING))
            except DecodeError:
                refused += 1
                continue
            events += [entry.event for entry in entries if isinstance(entry, EventEntry)]
            aliases += [entry for entry in entries if isinstance(entry, AliasEntry)]
            refused += sum(isinstance(entry, RefusedEntry) for entry in entries)
    return events, aliases, refused


def _theirs(lines: Iterable[bytes]) -> tuple[list[Json], list[oracle.AliasRow]]:
    """What lines bring by the oracle, which knows no limit for an alias row."""
    events: list[Json] = []
    aliases: list[oracle.AliasRow] = []
    for line in lines:
        # By itself: of several lines the oracle would try to make one document first.
        more_events, more_aliases = oracle.read_input("", line, KEYRING_VALUE)
        events += more_events
        aliases += [row for row in more_aliases if sum(map(len, row[1:])) <= MAX_ALIAS_LENGTH]
    return events, aliases


def _rows_of(paper: str, aliases: Aliases) -> list[PaperAlias]:
    return [PaperAlias(*alias[1:]) for alias in aliases if alias.pith_number == paper]


def _sealed_lines(data: bytes) -> list[bytes]:
    """Of the first lines those that are events of a test key and not sealed by it, sealed."""
    sealed = []
    for line in data.split(b"\n")[:MOST_LINES]:
        try:
            event: Any = oracle.decode(line)
            key = KEYS[event["signer"]["key_id"]]
        except (ValueError, TypeError, KeyError):
            continue
        if (anew := signing.sealed(event, key)) != event:
            sealed.append(signing.canonical(anew))
    return sealed
