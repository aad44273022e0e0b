"""What all verbs share: JSON whose names are a contract (SPEC §11), names in the environment,
colours, completion."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Done
from pithgraph.authoring import save_private_key
from pithgraph.cli.output import result
from pithgraph.errors import OutputError
from signing import ALICE, PAPER, canonical, keyring_value, signed_event

Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, run: Run) -> Path:
    """A log of two events that exclude each other, its keyring, and a key."""
    events = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(map(canonical, events)))
    (tmp_path / "ring.json").write_bytes(canonical(keyring_value()))
    save_private_key(ALICE.private, tmp_path / "key.pem")
    ring = ("--keyring", tmp_path / "ring.json")
    assert run("ingest", "--log", tmp_path / "log", tmp_path / "e.jsonl", *ring).code == 0
    return tmp_path


MERGED = {
    *("pith_number", "state_sha256", "core_sha256", "keyring_sha256", "assurance"),
    *("event_count", "valid_event_count", "invalid_event_count", "equivocation_count"),
    "applied_as_stated",
}
SIGNED = ("--origin", "a.example", "--key", "key.pem")
JSON: list[tuple[tuple[str, ...], set[str]]] = [
    (("replay", "--log", "log", "--keyring", "ring.json"), MERGED),
    (("state", "--log", "log", PAPER.number, "--keyring", "ring.json"), MERGED | {"state"}),
    (
        ("checkpoint", "--log", "log", *SIGNED),
        {"origin", "size", "root", "vkey", "text"},
    ),
    (
        ("checkpoint", "--log", "log", *SIGNED, "-o", "new.note"),
        {"origin", "size", "root", "vkey", "path"},
    ),
    (
        ("prove", "--log", "log", "1", *SIGNED),
        {"origin", "size", "position", "event_sha256", "text"},
    ),
    (
        ("prove", "--log", "log", "--from", "old.note", *SIGNED),
        {"origin", "size", "old_size", "text"},
    ),
    (
        ("export", "--log", "log", "-o", "export.jsonl"),
        {"events", "aliases", "position", "root", "path"},
    ),
    (("backup", "--log", "log", "copy"), {"events", "papers", "file_bytes", "root", "path"}),
    (
        ("proof", "build", "--log", "log", PAPER.number, "--keyring", "ring.json"),
        {"path", "pith_number", "event_ids", "rule", "slot"},
    ),
]


@pytest.mark.parametrize(("verb", "names"), JSON, ids=[" ".join(verb) for verb, _ in JSON])
def test_json_has_the_names_of_the_contract(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], names: set[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run("checkpoint", "--log", "log", *SIGNED, "-o", "old.note").code == 0
    plain = run(*verb[:-2] if verb[-2] == "-o" else verb)
    if verb[-1] == "copy":
        os.rename("copy", "copy of before")
    done = run(*verb, "--json")
    assert done.code == plain.code == 0
    (row,) = done.rows
    assert row.keys() == names
    if "text" in row:
        assert row["text"] == plain.out
    if "path" in row:
        assert (folder / str(row["path"])).exists()
    if "state" in row:
        assert row["state"] == json.loads(plain.out)


def test_an_export_as_json_goes_into_a_file(run: Run, folder: Path) -> None:
    done = run("export", "--log", folder / "log", "--json")
    assert (done.code, done.out, "give -o" in done.err) == (2, "", True)


def write_while_another_does(path: Path) -> None:
    with result(str(path)) as write:
        write(b"ours")
        path.write_bytes(b"precious")


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Between the first look and the end of a long export somebody may have made the file."""
    path = tmp_path / "x"
    with pytest.raises(OutputError, match="made meanwhile"):
        write_while_another_does(path)
    assert path.read_bytes() == b"precious"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_the_log_and_the_keyring_may_be_named_in_the_environment(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, published: Path
) -> None:
    told = run("replay", "--log", folder / "log", "--keyring", folder / "ring.json", "--json")
    monkeypatch.setenv("PITHGRAPH_LOG", str(folder / "log"))
    monkeypatch.setenv("PITHGRAPH_KEYRING", str(folder / "ring.json"))
    assert run("replay", "--json").out == told.out
    assert run("state", PAPER.number).code == 0
    # What is named on the line goes before.
    other = run("replay", published / "state-N7NXYVEE.json", "--json")
    assert [row["pith_number"] for row in other.rows] == ["pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7"]
    assert run("replay", "--log", folder / "log", published).code == 2


def terminal(*arguments: object, **environment: str) -> str:
    """What a command draws on a terminal."""
    leader, follower = pty.openpty()
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    variables.pop("NO_COLOR", None)
    subprocess.run(
        [sys.executable, "-m", "pithgraph", *map(str, arguments)],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=variables | environment,
        check=False,
    )
    drawn = os.read(leader, 1 << 20).decode()
    os.close(leader)
    os.close(follower)
    return drawn


def test_colours_on_terminals_alone(run: Run, folder: Path) -> None:
    verb = ("audit", folder / "e.jsonl", "--keyring", folder / "ring.json")
    assert "\x1b[32m" in terminal(*verb)
    assert "\x1b" not in terminal(*verb, NO_COLOR="1")
    assert "\x1b[32m" in terminal(*verb, NO_COLOR="")  # as no-color.org has it
    assert "\x1b" not in run(*verb).out
    assert "\x1b" not in terminal(*verb, "--json")


def test_a_failure_is_red(folder: Path) -> None:
    event = signed_event()
    raw = bytearray(base64.b64decode(event["signature"]["signature_b64"]))
    raw[0] ^= 1
    event["signature"]["signature_b64"] = base64.b64encode(raw).decode()
    (folder / "bad.json").write_bytes(canonical(event))
    assert "\x1b[31m" in terminal("audit", folder / "bad.json", "--keyring", folder / "ring.json")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"_PITHGRAPH_COMPLETE={shell}_complete" in done.out.replace('"', "")


def test_bash_completes_verbs_and_options(run: Run, tmp_path: Path) -> None:
    """As bash does it: the script is sourced, its function called."""
    program = tmp_path / "pithgraph"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pithgraph "$@"\n')
    program.chmod(0o755)
    (tmp_path / "complete").write_text(run("completion", "bash").out)
    for words, wanted in (("pithgraph che", "checkpoint"), ("pithgraph state --pre", "--pretty")):
        count = len(words.split()) - 1
        script = (
            f"source {tmp_path}/complete; COMP_WORDS=({words}); COMP_CWORD={count}; "
            f"_pithgraph_completion pithgraph; echo ${{COMPREPLY[@]}}"
        )
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, env=environment, check=False
        )
        assert done.stdout.split() == [wanted], done
