"""What a program that uses pithgraph reads: docstrings, their examples, and fixtures/examples.

The examples run in a folder that has `fixtures`, as the root of a checkout has.
"""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
import zipfile
from importlib import import_module, resources
from pathlib import Path

import pytest

import pithgraph
import signing
from pithgraph.testing import World

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "fixtures" / "examples"
WORLD = World()
PITH = "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7"
NAMES = [name for name in pithgraph.__all__ if name != "__version__"]
MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace(os.sep, ".").removesuffix(".__init__")
    for path in (ROOT / "pithgraph").rglob("*.py")
    if path.name != "__main__.py"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    return tmp_path


# --- docstrings ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_described_in_a_sentence(name: str) -> None:
    docstring = getattr(pithgraph, name).__doc__
    assert docstring is not None
    first = docstring.splitlines()[0]
    assert first.rstrip(".") != first, f"the first line of {name} is no sentence: {first!r}"
    assert first[0].isupper()
    # What typing and msgspec make of a class without a docstring.
    assert not first.startswith(f"{name}(")


def examples_of(module: str) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [found for found in finder.find(import_module(module)) if found.examples]


def test_what_a_program_begins_with_has_an_example() -> None:
    shown = "".join(
        example.source
        for module in MODULES
        for found in examples_of(module)
        for example in found.examples
    )
    for name in (
        *("LogWriter", "audit_bytes", "audit_value", "build_proof", "decode", "digest", "encode"),
        *("find_paper", "ingest", "load_keyring", "make_checkpoint", "merge_events"),
        *("parse_pith_number", "replay", "sign_event", "status_of_state", "verdict_of"),
        *("verify_inclusion_file", "verify_proof"),
    ):
        assert f"pithgraph.{name}" in shown, name


def test_the_examples_of_docstrings_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    tried = 0
    for module in MODULES:
        for found in examples_of(module):
            said: list[str] = []
            result = doctest.DocTestRunner().run(found, out=said.append)
            assert result.failed == 0, "".join(said)
            tried += result.attempted
    assert tried >= 60


# --- examples --------------------------------------------------------------------------------


def example(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done


def test_each_example_is_tested_here() -> None:
    here = Path(__file__).read_text("utf-8")
    names = [path.stem for path in EXAMPLES.glob("*.py")]
    assert len(names) == 4
    for name in names:
        assert f'example("{name}"' in here or f'example(\n        "{name}"' in here


def test_audit_a_folder(folder: Path) -> None:
    documents = folder / "documents"
    documents.mkdir()
    for path in (ROOT / "fixtures" / "pith").glob("*.json"):
        (documents / path.name).write_bytes(path.read_bytes())
    record = json.loads((documents / "record-2OWFFTWG.json").read_bytes())
    record["canonical_record"]["metadata"]["license"] = "another"
    (documents / "false.json").write_text(json.dumps(record))
    (documents / "broken.json").write_text("{")
    broken, false, *others = example("audit_a_folder", documents, folder=folder).stdout.splitlines()
    assert broken.startswith("broken.json: unreadable: syntax at line 1, column 2: ")
    assert false.startswith("false.json: pith_number_record, failed: ['")
    assert "'canonical_sha256'" in false
    assert others == [
        *(
            f"record-{name}.json: pith_number_record, failed: nothing"
            for name in ("2OWFFTWG", "4TWPD7WB", "6BE5URHH", "VDA6XFVV")
        ),
        "state-N7NXYVEE.json: pith_open_graph_state, failed: nothing",
    ]


def test_follow_a_log(folder: Path) -> None:
    keyring = folder / "keyring.json"
    keyring.write_bytes(pithgraph.encode(WORLD.keyring_value))
    first = [WORLD.sign("record_created"), WORLD.invalid("bad_signature")]
    second = [WORLD.sign("mirror_hint", paper=WORLD.other_paper)]

    def append(*events: pithgraph.Event) -> None:
        lines = folder / "new.jsonl"
        lines.write_bytes(b"".join(event.canonical + b"\n" for event in events))
        with pithgraph.LogWriter.open(folder / "log") as log:
            pithgraph.ingest(log, [lines], keyring=WORLD.keyring)

    def follow(position: int) -> list[str]:
        done = example("follow_a_log", folder / "log", position, keyring, folder=folder)
        return done.stdout.splitlines()

    append(*first)
    number = WORLD.paper.number
    assert follow(0) == [
        f"0 {number} record_created valid",
        f"1 {number} graph_snapshot bad_signature",
        "2",
    ]
    append(*second)
    assert follow(2) == [f"2 {WORLD.other_paper.number} mirror_hint valid", "3"]
    assert follow(3) == ["3"]


def test_build_a_state(folder: Path) -> None:
    done = example("build_a_state", "fixtures/cases/paper-two-mixed", folder=folder)
    hashes = ("18004f29a40ba5a826c6759c42564cac5ae8b6c0a36699a6e4b82435a176f662",)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [
        "pith:2024:46TC6PPV3BEMBNVBEJQZUTC4LU",
        "pith:2024:ZNA4DUBKEYEYZG4LXBIR3YE6JN",
    ]
    assert rows[0][1] == hashes[0]
    assert {row[2] for row in rows} == {"True"}


def test_sign_an_attestation(folder: Path) -> None:
    pithgraph.save_private_key(WORLD.author.private, folder / "key.pem")
    time = "2026-06-01T12:00:00Z"
    done = example("sign_an_attestation", "key.pem", PITH, time, folder=folder)
    keyring = pithgraph.Keyring.from_bytes(done.stderr.encode())
    event = pithgraph.Event.from_bytes(done.stdout.encode())
    assert pithgraph.verdict_of(event, keyring).reason is None
    # The event, made by the suite's own signing world, which shares no code with the package.
    author = signing.Key("author", "alice@example.org", "author")
    body = {
        "created_at": time,
        "event_type": "author_attestation",
        "payload": {
            "author": {"name": "Alice Example"},
            "method": "email",
            "statement": "I wrote this paper.",
            "strength": "weak",
        },
        "signer": author.signer(key_id="alice-2026"),
        "subject_pith_number": PITH,
        "target": "author:alice@example.org",
    }
    event_id = signing.event_id_of(body)
    sealed = body | {
        "event_id": event_id,
        "signature": signing.signature(author, event_id, key_id="alice-2026"),
    }
    assert done.stdout.encode() == signing.canonical(sealed) + b"\n"
    assert json.loads(done.stderr) == {"keys": [author.entry(key_id="alice-2026")]}


# --- what is shipped -------------------------------------------------------------------------


def test_types_and_keyring_are_in_the_package() -> None:
    package = resources.files("pithgraph")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("data/keyring.json").is_file()


WHEEL = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def test_a_wheel_has_types_and_keyring(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    done = subprocess.run(
        [sys.executable, "-c", WHEEL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with zipfile.ZipFile(tmp_path / done.stdout.strip()) as wheel:
        names = set(wheel.namelist())
    assert {f"pithgraph/{name}" for name in ("py.typed", "data/keyring.json")} <= names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pithgraph").rglob("*.py")}
    assert modules <= names
    assert not any(name.startswith(("tests/", "fixtures/")) for name in names)
