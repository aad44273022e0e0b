"""Bundles out of a log (SPEC §4): whoever ingests one has the same events and the same state."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import signing
from pithgraph.audit import audit_bytes
from pithgraph.errors import HandingError, LogError
from pithgraph.handing import write_bundle
from pithgraph.identifiers import PithNumber, parse_pith_number
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import Log, LogWriter
from pithgraph.replaying import replay
from signing import OTHER_PAPER, PAPER, Json, at, canonical, changed, signed_event
from test_log import damage

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
KEYRING_VALUE = signing.keyring_value()
KEYRING = Keyring.from_value(KEYRING_VALUE)
RECORD = signed_event("record_created")
NINE = [signed_event(kind, created_at=at(3)) for kind in KINDS]


def alias(kind: str, value: str, created_at: str = at(1), paper: signing.Paper = PAPER) -> Json:
    row = {"alias_kind": kind, "alias_value": value, "created_at": created_at}
    return {"alias": {"pith_number": paper.number, **row}}


ALIASES = [
    alias("arxiv", str(PAPER.source_id), "2026-06-01T00:00:02.5Z"),
    alias("arxiv", str(PAPER.source_id), "2026-06-01T00:00:01.75+00:00"),
    alias("arxiv", str(PAPER.source_id), "2026-06-01T00:00:01.5+00:00"),
    alias("arxiv", "another", at(0)),
    alias("pith_short_8", PAPER.suffix[:8], at(2)),
    alias("nickname", "x"),
]


def log_of(folder: Path, *values: object) -> Path:
    """A log of these lines."""
    source = folder / "source.jsonl"
    source.write_bytes(b"".join(canonical(value) + b"\n" for value in values))
    with LogWriter.open(folder / "log") as log:
        ingest(log, [source], keyring=KEYRING, admit="export")
    return folder / "log"


def bundle_of(log: Log, paper: PithNumber | str, as_of: str | None = None) -> bytes:
    pieces: list[bytes] = []
    paper = parse_pith_number(paper) if isinstance(paper, str) else paper
    write_bundle(log, paper, pieces.append, as_of=as_of)
    return b"".join(pieces)


def bundle_from(folder: Path, *values: object, as_of: str | None = None) -> Any:
    with Log.open(log_of(folder, *values)) as log:
        return json.loads(bundle_of(log, PAPER.number, as_of))


def states(log: Log, papers: Iterable[PithNumber]) -> list[str]:
    papers = list(papers)
    return [
        state.state_sha256
        for assurance in ("verified", "stated")
        for state in replay(log, papers, keyring=KEYRING, assurance=assurance)  # type: ignore[arg-type]
    ]


def events(log: Log, paper: PithNumber) -> list[bytes]:
    with log.snapshot() as snapshot:
        return sorted(stored.event.canonical for stored in snapshot.events_of(paper))


@pytest.fixture(scope="module")
def all_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One log of all that the conformance cases hold."""
    folder = tmp_path_factory.mktemp("cases")
    inputs = [
        path
        for case in sorted(CASES.iterdir())
        for path in sorted(case.iterdir())
        if path.is_file() and path.name not in ("case.json", "keyring.json")
    ]
    with LogWriter.open(folder / "log") as log:
        ingest(log, inputs, keyring=KEYRING, admit="export")
    return folder / "log"


def test_a_bundle_gives_the_same_events_and_states(all_cases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    with Log.open(all_cases) as log, log.snapshot() as snapshot:
        papers = list(snapshot.papers())
        given = []
        for paper in papers:
            try:
                data = bundle_of(log, paper)
            except HandingError:
                continue
            (folder / f"{paper.suffix}-{paper.year}.json").write_bytes(data)
            assert canonical(json.loads(data)) == data
            given.append(paper)
        assert 10 < len(given) < len(papers)
        expected = states(log, given), [events(log, paper) for paper in given]
    with LogWriter.open(tmp_path / "again") as again:
        ingest(again, [folder], keyring=KEYRING, admit="export")
        assert (states(again, given), [events(again, paper) for paper in given]) == expected


@pytest.mark.longer
@pytest.mark.parametrize("time", [at(1), at(2), at(20)])
def test_a_bundle_as_of_a_time_gives_the_state_of_that_time(
    time: str, all_cases: Path, tmp_path: Path
) -> None:
    with Log.open(all_cases) as log, log.snapshot() as snapshot:
        for paper in snapshot.papers():
            try:
                data = bundle_of(log, paper, time)
            except HandingError:
                continue
            (tmp_path / f"{paper.suffix}-{paper.year}.json").write_bytes(data)
        with LogWriter.open(tmp_path / "again") as again:
            ingest(again, sorted(tmp_path.glob("*.json")), keyring=KEYRING, admit="export")
            found = {s.pith_number: s.state_sha256 for s in replay(again, keyring=KEYRING)}
        then = {s.pith_number: s.state_sha256 for s in replay(log, keyring=KEYRING, as_of=time)}
        now = {s.pith_number: s.state_sha256 for s in replay(log, keyring=KEYRING)}
    assert found.items() <= then.items()
    assert len(found) > 5
    assert not found.items() <= now.items()


def test_all_nine_kinds_pass_the_audit(tmp_path: Path) -> None:
    with Log.open(log_of(tmp_path, *NINE, *ALIASES)) as log:
        audited = audit_bytes(bundle_of(log, PAPER.number), KEYRING)
    assert audited.document == "pith_open_graph_bundle"
    assert {found.status for found in audited.findings} <= {"pass", "skipped"}
    assert sum(found.check.startswith("events[") for found in audited.findings) == len(NINE)


def test_the_order_of_arrival_changes_no_byte(tmp_path: Path) -> None:
    again = signing.sealed(RECORD, signing.REGISTRY)
    assert again == RECORD
    twin = changed(
        RECORD,
        "signature.signature_b64",
        signing.b64(signing.REGISTRY.sign_again(bytes.fromhex(RECORD["event_id"][7:]))),
    )
    late = signed_event("correction", created_at="soon")
    lines = [*NINE, RECORD, twin, late, *ALIASES, signed_event(paper=OTHER_PAPER)]
    found = set()
    for index, order in enumerate((lines, lines[::-1], lines[5:] + lines[:5])):
        folder = tmp_path / str(index)
        folder.mkdir()
        with Log.open(log_of(folder, *order)) as log:
            found.add(bundle_of(log, PAPER.number))
    (one,) = found
    value = json.loads(one)
    assert len(value["events"]) == len(NINE) + 3
    assert value["events"][-1] == late
    assert {event["event_id"] for event in value["events"][:2]} == {RECORD["event_id"]}


def test_members(tmp_path: Path) -> None:
    assert bundle_from(tmp_path, RECORD, *ALIASES) == {
        "bundle_type": "pith_open_graph_bundle",
        "bundle_version": "1.0",
        "pith_number": PAPER.number,
        "short_pith_number": f"pith:{PAPER.suffix[:8]}",
        "canonical_record": PAPER.record,
        "canonical_sha256": PAPER.canonical_sha256,
        "source": PAPER.source,
        "source_aliases": [
            row(ALIASES[2]),
            row(ALIASES[4]),
        ],
        "events": [RECORD],
    }


def row(line: Json) -> Json:
    return {name: line["alias"][name] for name in ("alias_kind", "alias_value", "created_at")}


def test_junk_goes_along_and_gives_no_record(tmp_path: Path) -> None:
    """Whoever says what, the number alone certifies the canonical record."""
    stranger = signing.STRANGER
    junk = [
        signed_event("record_created", stranger, created_at=at(0), payload=payload)
        for payload in (
            {},
            {"canonical_record": None},
            {"canonical_record": []},
            {"canonical_record": OTHER_PAPER.record},
            {"canonical_record": PAPER.record | {"further": 1}},
            {"canonical_record": PAPER.record | {"source": 1}},
            {"canonical_record": PAPER.record | {"metadata": []}},
        )
    ]
    with (
        Log.open(log_of(tmp_path, *junk)) as log,
        pytest.raises(HandingError, match="no canonical record"),
    ):
        bundle_of(log, PAPER.number)
    true = signed_event("record_created", stranger, created_at=at(2))
    value = bundle_from(tmp_path, *junk, true)
    assert value["canonical_record"] == PAPER.record
    assert len(value["events"]) == len(junk) + 1


def test_the_verb(run: Any, published: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "bundle.json"
    assert run("ingest", "--log", log, published / "state-N7NXYVEE.json").code == 0
    done = run("bundle", "--log", log, "n7nxyvee", "-o", out)
    assert (done.code, done.out) == (0, "")
    assert "2 events, 6 aliases\nstate_sha256 99aa417e" in done.err
    piped = run("bundle", "--log", log, "n7nxyvee")
    assert piped.out.encode() == out.read_bytes()
    done = run(
        "replay", out, "--assurance", "stated", "--expect", published / "state-N7NXYVEE.json"
    )
    assert done.code == 0
    assert run("audit", out).code == 0
    assert run("bundle", "--log", log, "n7nxyvee", "-o", out).code == 3  # is there already
    assert run("bundle", "--log", log, "n7nxyvee", "--json").code == 2
    assert run("bundle", "--log", log, "AAAAAAAA").code == 2
    assert run("bundle", "--log", log, "n7nxyvee", "--as-of", "2026").code == 2
    early = run("bundle", "--log", log, "n7nxyvee", "--as-of", "2026-05-18T00:15:35Z")
    assert (early.code, early.out) == (3, "")
    assert "no canonical record of pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7 as of" in early.err
    (described,) = run("bundle", "--log", log, "n7nxyvee", "-o", tmp_path / "b", "--json").rows
    state = described.pop("state_sha256")
    assert isinstance(state, str)
    assert state.startswith("99aa417e")
    assert described == {
        "pith_number": "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7",
        "events": 2,
        "aliases": 6,
        "keyring_sha256": "312f365b99e56d69e97b7b5e6b0203072a71d77cee0fbbd18790bda939acfb32",
        "assurance": "verified",
        "path": str(tmp_path / "b"),
    }


def test_a_damaged_event_is_in_no_bundle(tmp_path: Path) -> None:
    """It is another event then, which nobody has signed, or no JSON."""
    events = [signed_event("record_created"), signed_event("correction")]
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(map(canonical, events)))
    with LogWriter.open(tmp_path / "log") as log:
        ingest(log, [tmp_path / "e.jsonl"], keyring=KEYRING)
    reason = events[1]["payload"]["reason"].encode()

    def damaged(block: bytes | None) -> bytes:
        assert block is not None
        assert block.count(reason) == 1
        return block.replace(reason, b"X" + reason[1:])

    paper = parse_pith_number(PAPER.number)
    damage(tmp_path / "log", b"events", bytes(8), damaged)
    with (
        Log.open(tmp_path / "log") as log,
        pytest.raises(LogError, match="is not one that the log knows"),
    ):
        write_bundle(log, paper, lambda _: None)
