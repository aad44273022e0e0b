"""The published tree (SPEC §4): its files, what is renewed and withdrawn, and that nothing in a
document decides where a file lies or what a page does."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest

import signing
from pithgraph import publishing
from pithgraph.audit import audit_bytes
from pithgraph.errors import IdentifierError, OutputError
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import LogWriter
from pithgraph.publishing import STATE_FILE, Published, publish
from pithgraph.sources import load_keyring
from pithgraph.validation import Assurance
from signing import OTHER_PAPER, PAPER, Json, Paper, at, canonical, signed_event

ORIGIN = "https://mirror.example"
KEYRING = Keyring.from_value(signing.keyring_value())
RECORD = signed_event("record_created")
OTHER_RECORD = signed_event("record_created", paper=OTHER_PAPER)
SECOND_VERSION = Paper(PAPER.source_id, 3)


def arxiv(paper: Paper = PAPER) -> Json:
    row = {"alias_kind": "arxiv", "alias_value": paper.source_id, "created_at": at(1)}
    return {"alias": {"pith_number": paper.number, **row}}


class World:
    """A log and a tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.runs = 0

    def take(self, *values: object) -> None:
        self.runs += 1
        source = self.folder / f"{self.runs}.jsonl"
        source.write_bytes(b"".join(canonical(value) + b"\n" for value in values))
        with LogWriter.open(self.folder / "log") as log:
            ingest(log, [source], keyring=KEYRING)

    def publish(self, assurance: Assurance = "verified", **options: Any) -> Published:
        """Withdraws what has no record, unless told otherwise."""
        made = {"base_url": ORIGIN, "name": "A mirror", "generated_at": at(0), "keyring": KEYRING}
        made["withdraw"] = True
        with LogWriter.open(self.folder / "log") as log:
            return publish(log, self.out, assurance=assurance, **(made | options))

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Each file of the tree: its inode, another for each writing, and its bytes."""
        return {
            str(path.relative_to(self.out)): (path.stat().st_ino, path.read_bytes())
            for path in sorted(self.out.rglob("*"))
            if path.is_file()
        }

    def load(self, name: str) -> Any:
        return json.loads((self.out / name).read_bytes())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def of_paper(paper: Paper) -> set[str]:
    return {
        f"pith/{paper.suffix}.json",
        *(f"pith/{paper.suffix}/{name}" for name in ("index.html", "bundle.json", "state.json")),
        f".well-known/pith/{paper.suffix}/bundle.json",
        *(f"api/pith-number/{paper.suffix}/{name}.json" for name in ("graph", "events")),
    }


OF_ALL = {STATE_FILE, "pith-mirrors.json", "pith-signing-key.json"}
RESOLVE = f"api/pith-number/resolve/arxiv/{PAPER.source_id}.json"


def rewritten(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


# --- what is there ---------------------------------------------------------------------------


def test_the_tree_of_two_papers(world: World) -> None:
    world.take(RECORD, OTHER_RECORD, arxiv())
    assert world.publish() == Published(2, 2, 0, 0, 2)
    expected = of_paper(PAPER) | of_paper(OTHER_PAPER) | OF_ALL | {RESOLVE}
    assert world.files().keys() == expected
    assert world.load(RESOLVE) == {
        "alias_kind": "arxiv",
        "alias_value": PAPER.source_id,
        "pith_numbers": [PAPER.number],
    }
    bundle = (world.out / f"pith/{PAPER.suffix}/bundle.json").read_bytes()
    assert (world.out / f".well-known/pith/{PAPER.suffix}/bundle.json").read_bytes() == bundle
    assert world.load(f"api/pith-number/{PAPER.suffix}/events.json")["events"] == [RECORD]
    assert world.load(f"api/pith-number/{PAPER.suffix}/graph.json") == {
        "pith_number": PAPER.number,
        "event_id": None,
        "created_at": None,
        "verdict_id": None,
        "graph_snapshot": None,
    }


def test_the_documents_pass_the_audit_and_their_links_lead_to_files(world: World) -> None:
    about = {"title": "A Title", "cross_cats": ["cs.LG"]}
    graph = {"paper": about, "source": PAPER.source}
    others = [signed_event(kind, created_at=at(3)) for kind in KINDS if kind != "graph_snapshot"]
    snapshot = signed_event(payload={"graph_snapshot": graph, "verdict_id": None})
    world.take(*others, snapshot, arxiv())
    world.publish()
    audited = {}
    for name in world.files():
        if name.endswith(".json"):
            found = audit_bytes((world.out / name).read_bytes(), KEYRING)
            assert [one for one in found.findings if one.status == "fail"] == [], name
            audited[name] = found.document
    assert sorted(audited.values()) == [
        "keyring",
        "paper_events",
        "paper_graph",
        "pith_mirror_manifest",
        "pith_number_record",
        *("pith_open_graph_bundle", "pith_open_graph_bundle"),
        "pith_open_graph_state",
        "resolve",
    ]
    record = world.load(f"pith/{PAPER.suffix}.json")
    links = [*record["links"].values(), *record["agent_actions"].values()]
    assert len(links) == 8
    for link in links:
        place = world.out / link.removeprefix(ORIGIN + "/")
        assert (place / "index.html" if place.is_dir() else place).is_file(), link
    (row,) = world.load(f"pith/{PAPER.suffix}/state.json")["current"]["graph_snapshots"]
    graph = world.load(f"api/pith-number/{PAPER.suffix}/graph.json")
    assert graph["event_id"] == row["event_id"]
    assert graph["graph_snapshot"] == row["payload"]["graph_snapshot"]


def test_the_keys_that_are_published_are_a_keyring(world: World) -> None:
    world.take(RECORD)
    world.publish()
    published = load_keyring(world.out / "pith-signing-key.json")
    registries = ["test-registry", "test-registry-b", "test-windowed"]  # and none that is revoked
    assert [key.key_id for key in published.keys] == registries
    assert [key for key in KEYRING.keys if key.key_id in registries] == list(published.keys)
    (mirror,) = world.load("pith-mirrors.json")["mirrors"]
    assert mirror["public_key"]["key_id"] == "test-registry"
    assert (mirror["name"], mirror["base_url"]) == ("A mirror", ORIGIN)
    world.publish(signing_key_ids=["test-mirror", "test-registry-b"])
    published = load_keyring(world.out / "pith-signing-key.json")
    assert [key.key_id for key in published.keys] == ["test-mirror", "test-registry-b"]
    (mirror,) = world.load("pith-mirrors.json")["mirrors"]
    assert mirror["public_key"]["key_id"] == "test-mirror"
    for wrong in ("test-nobody", "test-revoked"):
        with pytest.raises(IdentifierError, match=wrong):
            world.publish(signing_key_ids=[wrong])
    with pytest.raises(IdentifierError, match="no key of a registry"):
        world.publish(keyring=Keyring.from_value(signing.keyring_value(signing.ALICE.entry())))


def test_without_a_canonical_record_nothing_is_published(world: World) -> None:
    junk = signed_event("record_created", signing.STRANGER, paper=OTHER_PAPER)
    world.take(RECORD, junk, arxiv(OTHER_PAPER))
    assert world.publish() == Published(1, 1, 1, 0, 2)
    assert world.files().keys() == of_paper(PAPER) | OF_ALL


def test_of_a_registry_that_said_two_things_all_but_the_record_is_there(world: World) -> None:
    world.take(RECORD)
    world.publish()
    world.take(signed_event("record_created", **{"payload.attestation_state": "another"}))
    assert world.publish().papers == 1
    assert world.files().keys() == of_paper(PAPER) - {f"pith/{PAPER.suffix}.json"} | OF_ALL
    page = (world.out / f"pith/{PAPER.suffix}/index.html").read_text("utf-8")
    assert f"{PAPER.suffix}.json" not in page


# --- what is renewed -------------------------------------------------------------------------


def test_only_what_changed_is_written(world: World) -> None:
    world.take(RECORD, OTHER_RECORD)
    world.publish()
    before = world.files()
    assert world.publish() == Published(2, 0, 0, 0, 2)
    assert rewritten(before, world.files()) == {STATE_FILE}
    before = world.files()
    world.take(signed_event(paper=OTHER_PAPER))
    assert world.publish() == Published(2, 1, 0, 0, 3)
    assert rewritten(before, world.files()) == of_paper(OTHER_PAPER) | OF_ALL
    before = world.files()
    world.take(arxiv())  # a row changes no position
    assert world.publish() == Published(2, 1, 0, 0, 3)
    assert rewritten(before, world.files()) == of_paper(PAPER) | OF_ALL | {RESOLVE}


def test_a_paper_that_has_a_record_later_is_published_then(world: World) -> None:
    world.take(arxiv(), OTHER_RECORD)
    assert world.publish() == Published(1, 1, 1, 0, 1)
    assert world.publish() == Published(1, 0, 1, 0, 1)
    world.take(RECORD)
    assert world.publish() == Published(2, 1, 0, 0, 2)
    assert of_paper(PAPER) | {RESOLVE} <= world.files().keys()


DAMAGES: list[tuple[str, Any, int]] = [
    ("absent", None, 2),
    ("empty", lambda lines: [], 2),
    ("no JSON", lambda lines: ["{\n", *lines[1:]], 2),
    ("deep", lambda lines: ["[" * 100_000 + "\n", *lines[1:]], 2),
    ("another value", lambda lines: ["[]\n", *lines[1:]], 2),
    ("not ASCII", lambda lines: ["\xff\n", *lines[1:]], 2),
    ("a position not reached", lambda lines: [edited(lines[0], position=3), *lines[1:]], 2),
    ("a position that is none", lambda lines: [edited(lines[0], position=True), *lines[1:]], 2),
    ("another root", lambda lines: [edited(lines[0], root="0" * 64), *lines[1:]], 2),
    ("another format", lambda lines: [edited(lines[0], tree_format=0), *lines[1:]], 2),
    ("another keyring", lambda lines: [edited(lines[0], keyring_sha256="0"), *lines[1:]], 2),
    ("cut after the head", lambda lines: lines[:1], 2),
    ("cut in the last line", lambda lines: [*lines[:2], lines[2][:-3]], 1),
    ("not ascending", lambda lines: [lines[0], lines[2], lines[1]], 1),
    ("a longer line", lambda lines: [*lines[:2], "9" * 10**6], 1),
]


def edited(head: str, **members: Any) -> str:
    return json.dumps(json.loads(head) | members) + "\n"


QUICK = ("absent", "deep", "another root", "cut in the last line")


@pytest.mark.parametrize(
    ("edit", "written"),
    [
        pytest.param(edit, written, id=name, marks=() if name in QUICK else pytest.mark.longer)
        for name, edit, written in DAMAGES
    ],
)
def test_where_the_state_file_does_not_say_what_is_there_it_is_written_anew(
    edit: Any, written: int, world: World
) -> None:
    world.take(RECORD, OTHER_RECORD)
    world.publish()
    good, state = world.files(), world.out / STATE_FILE
    lines = state.read_text("ascii").splitlines(keepends=True)
    assert len(lines) == 3
    if edit is None:
        state.write_bytes(b"")
    else:
        state.write_text("".join(edit(lines)), "latin-1")
    for path in world.out.rglob("*.json"):
        path.write_bytes(b"stale")
    done = world.publish()
    assert done.written == written
    assert done.papers == 2
    if written == 2:
        assert {name: data for name, (_, data) in world.files().items()} == {
            name: data for name, (_, data) in good.items()
        }
    assert state.read_text("ascii").splitlines()[1:] == [line.rstrip() for line in lines[1:]]


def test_another_log_takes_the_place_of_the_first(world: World, tmp_path: Path) -> None:
    world.take(RECORD, arxiv())
    world.publish()
    other = World(tmp_path / "other")
    other.folder.mkdir()
    other.take(OTHER_RECORD)
    other.out = world.out
    assert other.publish() == Published(1, 1, 0, 1, 1)
    assert other.files().keys() == of_paper(OTHER_PAPER) | OF_ALL


def test_what_no_longer_counts_is_withdrawn(world: World) -> None:
    unsigned = {name: RECORD[name] for name in RECORD if name != "signature"}
    world.take(unsigned, OTHER_RECORD, arxiv())
    assert world.publish("stated") == Published(2, 2, 0, 0, 2)
    kept = world.out / "pith" / PAPER.suffix / "notes.txt"
    kept.write_text("somebody's own")
    assert world.publish() == Published(1, 1, 1, 1, 2)
    assert world.files().keys() == of_paper(OTHER_PAPER) | OF_ALL | {
        str(kept.relative_to(world.out))
    }
    assert not (world.out / "api/pith-number" / PAPER.suffix).exists()
    assert world.publish() == Published(1, 0, 1, 0, 2)


def test_nothing_is_withdrawn_unless_it_is_asked_for(world: World) -> None:
    """The wrong log, keyring or assurance would empty a mirror, and exit with 0."""
    unsigned = {name: RECORD[name] for name in RECORD if name != "signature"}
    world.take(unsigned, OTHER_RECORD, arxiv())
    world.publish("stated")
    before = {name: data for name, (_, data) in world.files().items() if PAPER.suffix in name}
    empty = World(world.folder / "empty")
    empty.folder.mkdir()
    empty.take()
    empty.out = world.out
    for other, assurance in ((world, "verified"), (empty, "stated")):
        with pytest.raises(OutputError, match="of which this log has no record"):
            other.publish(cast(Assurance, assurance), withdraw=False)
        after = world.files()
        assert {name: after[name][1] for name in before} == before
        assert RESOLVE in after
    assert world.publish("stated", withdraw=False).withdrawn == 0
    assert world.publish().withdrawn == 1


def test_an_arxiv_id_may_mean_several_papers(world: World) -> None:
    second = signed_event("record_created", paper=SECOND_VERSION)
    unsigned = {name: second[name] for name in second if name != "signature"}
    world.take(RECORD, arxiv())
    world.publish("stated")
    world.take(unsigned, arxiv(SECOND_VERSION))
    world.publish("stated")
    both = sorted([PAPER.number, SECOND_VERSION.number])
    assert world.load(RESOLVE)["pith_numbers"] == both
    (world.out / RESOLVE).write_bytes(
        canonical({"pith_numbers": [*both, OTHER_PAPER.number, "pith:2024:../..", 1, [], None]})
    )
    (world.out / STATE_FILE).write_bytes(b"")
    world.publish("stated")
    assert world.load(RESOLVE)["pith_numbers"] == both
    world.publish()
    assert world.load(RESOLVE)["pith_numbers"] == [PAPER.number]


# --- what fails ------------------------------------------------------------------------------


def interrupted_at(count: int) -> Callable[[Any, Any], None]:
    """In the place of `os.replace`: the call of this number is interrupted."""
    left = [count]

    def replace(one: Any, other: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        os.rename(one, other)

    return replace


@pytest.mark.longer
def test_an_interrupt_leaves_whole_files_and_the_next_run_ends_the_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.take(RECORD, OTHER_RECORD)
    world.publish()
    before = world.files()
    world.take(signed_event(), signed_event(paper=OTHER_PAPER))
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted_at(count))
            try:
                world.publish()
                break
            except KeyboardInterrupt:
                pass
        now = world.files()
        assert now.keys() == before.keys()  # nothing half-written beside them
        lines, of_before = (files[STATE_FILE][1].splitlines()[1:] for files in (now, before))
        assert lines == of_before  # behind the head
        for name, (_, data) in now.items():
            if name.endswith(".json"):
                json.loads(data)
    else:
        raise AssertionError("it never ended")
    assert count > 15
    good = {name: data for name, (_, data) in world.files().items()}
    (world.out / STATE_FILE).write_bytes(b"")
    world.publish()
    assert {name: data for name, (_, data) in world.files().items()} == good


@pytest.mark.parametrize("count", [1, 4, 9])
def test_what_a_killed_process_left_is_gone_after_the_next(world: World, count: int) -> None:
    world.take(RECORD, OTHER_RECORD)
    child = os.fork()
    if not child:
        left = [count]

        def replace(one: Any, other: Any) -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            os.rename(one, other)

        os.replace = replace  # type: ignore[assignment]
        try:
            world.publish()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    partial = {name for name in world.files() if name.endswith(".partial")}
    assert partial
    assert world.publish() == Published(2, 2, 0, 0, 2)
    assert world.files().keys() == of_paper(PAPER) | of_paper(OTHER_PAPER) | OF_ALL


def test_what_a_killed_process_left_is_withdrawn_with_its_paper(world: World) -> None:
    unsigned = {name: RECORD[name] for name in RECORD if name != "signature"}
    world.take(unsigned)
    world.publish("stated")
    (world.out / "pith" / PAPER.suffix / ".index.html.partial").write_text("half")
    assert world.publish() == Published(0, 0, 1, 1, 1)
    assert world.files().keys() == OF_ALL


@pytest.mark.parametrize("name", [f"pith/.{PAPER.suffix}.json.partial", f".{STATE_FILE}.partial"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_nothing_is_written_through_a_link_in_place_of_a_file_to_be(
    world: World, name: str, make: Any
) -> None:
    world.take(RECORD)
    precious = world.folder / "precious"
    precious.write_text("mine")
    (world.out / name).parent.mkdir(parents=True, exist_ok=True)
    make(precious, world.out / name)
    (world.out / STATE_FILE).touch()
    world.publish()
    assert precious.read_text() == "mine"
    assert world.files().keys() == of_paper(PAPER) | OF_ALL


@pytest.mark.parametrize("name", [f"pith/.{PAPER.suffix}.json.partial", RESOLVE])
def test_a_pipe_in_the_tree_is_not_waited_for(world: World, name: str) -> None:
    world.take(RECORD, arxiv())
    (world.out / name).parent.mkdir(parents=True)
    os.mkfifo(world.out / name)
    (world.out / STATE_FILE).touch()
    world.publish()
    assert world.files().keys() == of_paper(PAPER) | OF_ALL | {RESOLVE}


def test_a_run_that_broke_off_under_other_circumstances_is_not_taken_as_up_to_date(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of before finds its own circumstances in no head then, and writes all anew."""
    world.take(RECORD, OTHER_RECORD, arxiv())
    world.publish()
    good = {name: data for name, (_, data) in world.files().items()}
    for count in range(1, 12):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted_at(count))
            with pytest.raises(KeyboardInterrupt):
                world.publish("stated", base_url="https://other.example")
        done = world.publish()
        assert done.written in (0, 2)
        assert {name: data for name, (_, data) in world.files().items()} == good


@pytest.mark.parametrize("more", [[signed_event("correction")], [arxiv()]], ids=["event", "alias"])
def test_what_a_longer_log_left_half_way_is_renewed_by_the_right_one(
    world: World, more: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of the wrong --log, or of a log that was restored from a backup."""
    world.take(RECORD, OTHER_RECORD)
    world.publish()
    good = {name: data for name, (_, data) in world.files().items()}
    right = world.folder / "right"
    shutil.copytree(world.folder / "log", right)
    world.take(*more)
    longer = world.folder / "longer"
    os.rename(world.folder / "log", longer)
    for count in range(2, 9):
        os.rename(longer, world.folder / "log")
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted_at(count))
            with pytest.raises(KeyboardInterrupt):
                world.publish()
        os.rename(world.folder / "log", longer)
        assert {name: data for name, (_, data) in world.files().items()} != good
        os.rename(right, world.folder / "log")
        world.publish()
        os.rename(world.folder / "log", right)
        assert {name: data for name, (_, data) in world.files().items()} == good


def test_a_log_that_grew_goes_on_where_a_run_broke_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.take(RECORD, OTHER_RECORD)
    world.publish()
    world.take(signed_event("correction"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted_at(3))
        with pytest.raises(KeyboardInterrupt):
            world.publish()
    assert world.publish().written == 1  # and not all


def test_a_file_that_cannot_be_written_is_named(world: World) -> None:
    world.take(RECORD)
    (world.out / "pith" / f"{PAPER.suffix}.json" / "x").mkdir(parents=True)
    (world.out / STATE_FILE).touch()
    with pytest.raises(OutputError, match=rf"{PAPER.suffix}\.json"):
        world.publish()
    assert {data for _, data in world.files().values()} == {b"{}\n"}
    world.out = world.folder / "1.jsonl"
    with pytest.raises(OutputError, match=r"1\.jsonl"):
        world.publish()


def test_a_folder_that_holds_something_else_is_left_alone(world: World) -> None:
    """Such as a key, or the log itself, which a web server would show."""
    world.take(RECORD)
    world.out.mkdir()
    (world.out / "key.pem").write_text("mine")
    with pytest.raises(OutputError, match="is not empty, and no tree that was published"):
        world.publish()
    assert [path.name for path in world.out.iterdir()] == ["key.pem"]
    (world.out / "key.pem").unlink()
    os.mkfifo(world.out / STATE_FILE)
    with pytest.raises(OutputError, match="is no regular file"):
        world.publish()


@pytest.mark.parametrize("inside", [f"pith/{PAPER.suffix}", ".well-known", "api"])
def test_nothing_is_written_or_removed_behind_a_link(world: World, inside: str) -> None:
    world.take(RECORD)
    outside = world.folder / "outside"
    outside.mkdir()
    (outside / "state.json").write_text("precious")
    (world.out / inside).parent.mkdir(parents=True, exist_ok=True)
    (world.out / inside).symlink_to(outside)
    (world.out / STATE_FILE).touch()
    with pytest.raises(OutputError, match="is a link"):
        world.publish()
    assert {path.name for path in outside.rglob("*")} == {"state.json"}
    assert (outside / "state.json").read_text() == "precious"


def test_an_alias_row_that_a_restored_log_has_not_resolves_no_more(world: World) -> None:
    world.take(RECORD, arxiv())
    world.publish()
    assert RESOLVE in world.files()
    other = World(world.folder / "other")
    other.folder.mkdir()
    other.take(RECORD)
    other.out = world.out
    assert other.publish() == Published(1, 1, 0, 0, 1)
    assert world.files().keys() == of_paper(PAPER) | OF_ALL


def test_a_log_made_of_the_bundles_of_a_tree_gives_the_same_tree(world: World) -> None:
    """`pithgraph ingest OUT/.well-known`: bundles alone, since records and states would bring
    unsigned rows beside the events."""
    world.take(RECORD, OTHER_RECORD, arxiv(), *(signed_event(created_at=at(n)) for n in (3, 4)))
    world.publish()
    other = World(world.folder / "other")
    other.folder.mkdir()
    with LogWriter.open(other.folder / "log") as log:
        assert ingest(log, [world.out / ".well-known"], keyring=KEYRING).refused == 0
    other.publish()
    expected = {name: data for name, (_, data) in world.files().items() if name != STATE_FILE}
    assert {
        name: data for name, (_, data) in other.files().items() if name != STATE_FILE
    } == expected


def test_other_alias_rows_of_as_many_are_other_rows(world: World) -> None:
    """A log that was restored may have the same events and root, and other dates of aliases."""
    world.take(RECORD, arxiv())
    world.publish()
    before = world.files()
    row = json.loads(json.dumps(arxiv()))
    row["alias"]["created_at"] = "2020-01-01T00:00:00Z"
    other = World(world.folder / "other")
    other.folder.mkdir()
    other.take(RECORD, row)
    other.out = world.out
    assert other.publish().written == 1
    assert world.files() != before


def test_two_do_not_publish_into_one_folder_at_once(world: World) -> None:
    world.take(RECORD)
    world.out.mkdir()
    held = os.open(world.out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(OutputError, match="another process"):
        world.publish()
    assert world.files() == {}
    os.close(held)
    world.publish()


# --- what is hostile -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    [
        *("../../../../escaped", "/etc/passwd", "..", ".", "", "a/b/c", "2401.00001/../../x"),
        *("2401.00001\n", "2401.00001\x00", "hep-th/../9603017", "~", "C:x", "２４01.00001"),
        *("hep-th/9603017/", "HEP-TH/9603017", "math.gt/0101001", "2401.000011"),
    ],
)
def test_an_id_of_another_form_names_no_file(identifier: str, world: World) -> None:
    paper = Paper(identifier)
    world.take(signed_event("record_created", paper=paper), arxiv(paper))
    everything = {path for path in world.folder.rglob("*") if path.is_file()}
    world.publish()
    assert world.files().keys() == of_paper(paper) | OF_ALL
    outside = {p for p in world.folder.rglob("*") if p.is_file() and world.out not in p.parents}
    assert {p for p in outside if "log" not in p.parts} <= everything
    world.publish(base_url="https://b.example")
    assert world.files().keys() == of_paper(paper) | OF_ALL


@pytest.mark.parametrize("identifier", ["hep-th/9603017", "math.GT/0101001", "0704.0001"])
def test_ids_of_both_forms_name_files(identifier: str, world: World) -> None:
    paper = Paper(identifier)
    world.take(signed_event("record_created", paper=paper), arxiv(paper))
    world.publish()
    name = f"api/pith-number/resolve/arxiv/{identifier}.json"
    assert world.files().keys() == of_paper(paper) | OF_ALL | {name}


def test_another_year_before_a_published_suffix_changes_nothing_of_it(world: World) -> None:
    for year in ("0000", "9999"):
        forged = RECORD | {"subject_pith_number": f"pith:{year}:{PAPER.suffix}"}
        world.take(signing.sealed(forged, signing.REGISTRY))
    assert world.publish() == Published(0, 0, 2, 0, 2)
    assert world.files().keys() == OF_ALL
    world.take(RECORD)
    assert world.publish() == Published(1, 1, 2, 0, 3)
    assert world.load(f"pith/{PAPER.suffix}.json")["pith_number"] == PAPER.number


class Seen(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.links += [cast(str, value) for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = (
    "</title><script>alert(1)</script>\"'&lt;{x}{0}%s<!--]]><img src=x onerror=y>\u202eevil\x1b"
)


def test_nothing_in_a_document_is_markup(world: World) -> None:
    about = {
        "title": HOSTILE,
        "abstract_excerpt": HOSTILE * 1000,
        "cross_cats": [HOSTILE, {HOSTILE: [None, 1.5]}],
        HOSTILE: HOSTILE,
        "headline": 10**15,
    }
    snapshot = {"graph_snapshot": {"paper": about}, "verdict_id": None}
    world.take(RECORD, signed_event(payload=snapshot), arxiv())
    world.publish()
    html = (world.out / f"pith/{PAPER.suffix}/index.html").read_text("utf-8")
    seen = Seen(html)
    assert seen.tags == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "bdi", "table"),
        *("tr", "th", "td", "ul", "li", "a"),
    }
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    shown = HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd")
    assert seen.text.count(shown) > 4
    assert len(html) < 40_000
    folder = world.out / "pith" / PAPER.suffix
    assert len(seen.links) == 5
    assert all((folder / link).resolve().is_file() for link in seen.links)


def test_a_title_that_is_none_gives_way_to_the_number(world: World) -> None:
    for index, title in enumerate([" ", 7, None, ["x"]]):
        snapshot = {"graph_snapshot": {"paper": {"title": title}}, "verdict_id": None}
        world.take(RECORD, signed_event(payload=snapshot, created_at=at(index + 2)))
        world.publish()
        html = (world.out / f"pith/{PAPER.suffix}/index.html").read_text("utf-8")
        assert f"<h1><bdi>pith:{PAPER.suffix[:8]}</bdi></h1>" in html


# --- the verb --------------------------------------------------------------------------------


def test_the_verb(run: Any, published: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    assert run("ingest", "--log", log, published).code == 0
    verb = ("publish", "--log", log, out, "--base-url", "https://a.example/", "--name", "A")
    done = run(*verb, "--assurance", "stated")
    assert done.code == 0
    assert done.out == (
        "papers: 5, written: 5, withdrawn: 0, left out without a record that counts: 0\n"
    )
    assert "assurance stated" in done.err
    assert json.loads((out / "pith-mirrors.json").read_bytes())["mirrors"][0]["base_url"] == (
        "https://a.example"
    )
    (row,) = run(*verb, "--assurance", "stated", "--json").rows
    assert row == {
        "papers": 5,
        "written": 0,
        "without_record": 0,
        "withdrawn": 0,
        "position": 10,
        "keyring_sha256": "312f365b99e56d69e97b7b5e6b0203072a71d77cee0fbbd18790bda939acfb32",
        "assurance": "stated",
        "path": str(out),
    }
    for wrong in ("mirror.example", "https://a.example/x", "ftp://a", "https://a b", "https://a?x"):
        assert run(*verb[:5], wrong, *verb[6:]).code == 2, wrong
    assert run(*verb, "--signing-key-id", "nobody").code == 2
    assert run("publish", "--log", tmp_path / "none", *verb[3:]).code == 4
    assert publishing.TREE_FORMAT == 1  # another shape of the tree takes another number
