"""The benchmarks' corpus: the same bytes for a seed, and all in it that its shape promises."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pithgraph
from benchmarks import corpus
from benchmarks.__main__ import main
from benchmarks.corpus import PLAIN, Shape

SEED = 7
# Everything often, so that little is needed to see it.
BUSY = Shape(duplicates=0.05, late=0.1, invalid=0.2, equivocations=0.2, attested=0.5, attestors=60)
PAPERS = 150


@functools.cache
def keyring(shape: Shape) -> pithgraph.Keyring:
    return pithgraph.Keyring.from_value(corpus.keyring(SEED, shape))


def reasons(lines: list[bytes], shape: Shape) -> Counter[str | None]:
    keys = keyring(shape)
    events = map(pithgraph.Event.from_bytes, lines)
    return Counter(pithgraph.verdict_of(event, keys).reason for event in events)


def states(lines: list[bytes], shape: Shape) -> list[pithgraph.State]:
    papers: dict[str, list[pithgraph.Event]] = {}
    for event in map(pithgraph.Event.from_bytes, lines):
        papers.setdefault(event.subject, []).append(event)
    keys = keyring(shape)
    return [pithgraph.merge_events(paper, events, [], keys) for paper, events in papers.items()]


@pytest.fixture(scope="module")
def busy() -> list[bytes]:
    return list(corpus.lines(PAPERS, SEED, BUSY))


def sha256(lines: Any) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_a_seed_gives_the_same_bytes_everywhere(busy: list[bytes]) -> None:
    assert sha256(busy) == "88199eb363adf86e3b0df55f882d64806d076c11fce9b6fbb920027011fa20a1"
    assert (
        sha256(corpus.lines(40, SEED))
        == "ae2557757335a9055c9647acdc2fc0f1b9b3dfa18c9da1b989907cc9e3d4070f"
    )
    assert (
        sha256(corpus.hot_paper(50, SEED))
        == "bb50aed2f1eea842bdaef97b3f1595871dbec7287f7d8b2975a5d1ac7a4a91cb"
    )
    document = json.dumps(corpus.keyring(SEED)).encode()
    assert sha256([document]) == "8542f32d44f88f631af2b67f51aca595c61332ad9556e05730b1addf74a72cd1"


def test_another_seed_gives_other_papers_under_other_keys() -> None:
    def papers(seed: int) -> set[str]:
        return {json.loads(line)["subject_pith_number"] for line in corpus.lines(5, seed, PLAIN)}

    assert papers(1).isdisjoint(papers(2))
    first, second = ({key["public_key_b64"] for key in corpus.keyring(s)["keys"]} for s in (1, 2))
    assert first.isdisjoint(second)


def test_a_plain_corpus_is_two_valid_events_a_paper_in_order() -> None:
    lines = list(corpus.lines(30, SEED, PLAIN))
    assert len(set(lines)) == len(lines) == 60
    assert reasons(lines, PLAIN) == reasons(lines, BUSY) == {None: 60}
    values = [json.loads(line) for line in lines]
    for created, snapshot in zip(values[::2], values[1::2], strict=True):
        assert (created["event_type"], snapshot["event_type"]) == (
            "record_created",
            "graph_snapshot",
        )
        assert created["subject_pith_number"] == snapshot["subject_pith_number"]
    assert len({value["subject_pith_number"] for value in values}) == 30
    assert len({value["payload"]["source_id"] for value in values[::2]}) == 30
    times = [value["created_at"] for value in values]
    assert times == sorted(times)


def test_each_fault_gives_the_verdict_it_is_named_after(busy: list[bytes]) -> None:
    found = reasons(busy, BUSY)
    assert found.keys() == {None, *corpus.FAULTS}
    share = sum(found[reason] for reason in corpus.FAULTS) / found[None]
    assert share == pytest.approx(BUSY.invalid, rel=0.3)


def test_papers_are_attested_and_equivocated_about_as_often_as_said(busy: list[bytes]) -> None:
    merged = states(busy, BUSY)
    rules = Counter(row.rule for state in merged for row in state.equivocations)
    assert rules.keys() == set(corpus.EQUIVOCATIONS)
    assert rules.total() / PAPERS == pytest.approx(BUSY.equivocations, rel=0.5)
    counts = [state.valid_event_count for state in merged]
    assert len(counts) == PAPERS
    assert sum(count > 2 for count in counts) / PAPERS == pytest.approx(0.6, abs=0.15)
    assert max(counts) > 10


def test_every_kind_and_type_of_signer_occurs(busy: list[bytes]) -> None:
    values = [json.loads(line) for line in busy]
    assert len({value["event_type"] for value in values}) == 9
    signers = Counter(value["signer"]["signer_id"] for value in values)
    assert {value["signer"]["signer_type"] for value in values} == {
        *("author", "mirror", "pith_registry", "reader")
    }
    # By Zipf's law: the first of the attestors says much more than the twentieth.
    assert signers["author-0@example.org"] > 5 * signers["reader-19@example.org"]


def test_lines_repeat_and_come_late(busy: list[bytes]) -> None:
    repeated = len(busy) - len(set(busy))
    assert repeated / len(busy) == pytest.approx(BUSY.duplicates, rel=0.5)

    in_order = list(corpus.lines(PAPERS, SEED, BUSY._replace(duplicates=0, late=0)))
    assert sorted(in_order) == sorted(set(busy))
    place = {line: number for number, line in enumerate(in_order)}
    arrived = [place[line] for line in corpus.lines(PAPERS, SEED, BUSY._replace(duplicates=0))]
    furthest = -1
    late = 0
    for number in arrived:
        late += number < furthest
        furthest = max(furthest, number)
    assert late / len(arrived) == pytest.approx(BUSY.late, rel=0.5)


def members_of(value: Any) -> list[list[str]]:
    """The names of every object in a value, each in its order."""
    if isinstance(value, list):
        return [names for item in value for names in members_of(item)]
    if not isinstance(value, dict):
        return []
    return [list(value), *(names for item in value.values() for names in members_of(item))]


def test_lines_look_as_published_and_are_not_canonical(busy: list[bytes]) -> None:
    for line in busy:
        value = pithgraph.decode(line)
        assert pithgraph.encode(value) != line
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        assert text.encode() == line
        assert list(value)[:3] == ["event_type", "subject_pith_number", "event_id"]
        for names in members_of(value)[1:]:
            assert names == sorted(names, key=lambda name: (len(name), name))
    everything = b"".join(busy)
    assert not everything.isascii()
    assert rb"$\\alpha$" in everything
    assert rb"\"" in everything


def test_sizes_are_near_the_published_ones(published: Path) -> None:
    sizes: dict[str, list[int]] = {"record_created": [], "graph_snapshot": []}
    bare, with_references = [], 0
    for line in corpus.lines(200, SEED, PLAIN):
        event = pithgraph.Event.from_bytes(line)
        value = event.value
        sizes[value["event_type"]].append(len(event.canonical))
        if value["event_type"] == "graph_snapshot":
            snapshot = value["payload"]["graph_snapshot"]
            assert len(snapshot["paper"]["abstract_excerpt"]) <= 600
            if snapshot["references"]["count"]:
                with_references += 1
            else:
                bare.append(len(pithgraph.encode(snapshot)))
    assert sum(sizes["record_created"]) / 200 == pytest.approx(1900, rel=0.05)
    assert sum(sizes["graph_snapshot"]) / 200 == pytest.approx(2900, rel=0.1)
    assert with_references / 200 == pytest.approx(0.45, abs=0.1)
    of_records = [
        len(pithgraph.encode(json.loads(path.read_bytes())["graph_snapshot"]))
        for path in sorted(published.glob("record-*.json"))
    ]
    assert sum(bare) / len(bare) == pytest.approx(sum(of_records) / len(of_records), rel=0.05)


def test_the_first_lines_of_a_large_corpus_come_at_once() -> None:
    first = list(islice(corpus.lines(10**9, SEED), 20))
    assert first == list(islice(corpus.lines(10**6, SEED), 20))


def test_a_hot_paper_is_one_paper_with_nothing_wrong() -> None:
    lines = list(corpus.hot_paper(300, SEED))
    (state,) = states(lines, Shape())
    assert state.valid_event_count == len(lines) == 300
    assert not state.equivocations
    values = [json.loads(line) for line in lines]
    assert [value["event_type"] for value in values[:2]] == ["record_created", "graph_snapshot"]
    times = [value["created_at"] for value in values[2:]]
    assert len(set(times)) == 298
    assert times != sorted(times)
    assert len({value["event_type"] for value in values}) == 9
    plain = corpus.lines(20, SEED, PLAIN)
    assert state.pith_number not in {json.loads(line)["subject_pith_number"] for line in plain}


def test_generate_writes_the_lines_and_the_keyring(tmp_path: Path) -> None:
    plain, packed, keys = tmp_path / "c.jsonl", tmp_path / "c.jsonl.gz", tmp_path / "keys.json"
    expected = b"".join(line + b"\n" for line in corpus.lines(5, SEED))

    def generate(*arguments: str) -> Any:
        given = ["generate", "--papers", "5", "--seed", str(SEED), *arguments]
        return CliRunner().invoke(main, given, catch_exceptions=False)

    done = generate("--out", str(plain))
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{expected.count(10)} lines, {len(expected)} bytes")
    assert plain.read_bytes() == expected
    assert json.loads((tmp_path / "c.jsonl.keyring.json").read_bytes()) == corpus.keyring(SEED)

    assert generate("--out", str(packed), "--keyring", str(keys)).exit_code == 0
    data = packed.read_bytes()
    assert gzip.decompress(data) == expected
    assert data[4:8] == bytes(4)
    assert json.loads(keys.read_bytes()) == corpus.keyring(SEED)

    assert generate("--out", "-", "--keyring", str(keys)).stdout_bytes == expected
    assert generate("--out", "-").exit_code == 2


def test_the_verbs_are_listed_without_loading_them() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    assert all(verb in done.stdout for verb in ("generate", "run", "peers"))
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2
