"""The README says what is true: its examples run, and print what it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import pithgraph
from pithgraph import cli
from pithgraph.notes import verifier_key

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


EXPECTED_OF_PYTHON = [
    "2 events appended, 0 refused\npith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7 "
    "9bbb9e468ac2ea4d75a2513b96f5ee6172e9fee242a930f52aa8d687f6d567e9\n",
    "1 valid; invalid: {'bad_signature'}\n",
    "".join(
        f"record-{name}.json pith_number_record failed: 0\n"
        for name in ("2OWFFTWG", "4TWPD7WB", "6BE5URHH", "VDA6XFVV")
    ),
    "[None, None]\nsame_slot proven: True\n",
    "2 valid; invalid: ['bad_signature']\n",
]


def test_the_python_examples_run(folder: Path) -> None:
    found = blocks("python")
    assert len(found) == len(EXPECTED_OF_PYTHON)
    for code, expected in zip(found, EXPECTED_OF_PYTHON, strict=True):
        done = run(["-c", code], folder)
        assert done.stderr == ""
        assert done.stdout == expected


@pytest.mark.longer
def test_the_commands_print_what_is_shown(folder: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    vkey = verifier_key("example.org/log", key.public_key().public_bytes_raw())
    count = 0
    for block in blocks("console"):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            program, *arguments = shlex.split(
                command.replace("NAME+HASH+KEY", str(vkey)).replace("python3", sys.executable)
            )
            assert program == "pithgraph"
            done = run(["-m", "pithgraph", *arguments], folder)
            assert done.returncode == 0, done.stderr
            if arguments[:2] == ["keys", "generate"]:
                (folder / arguments[2]).unlink()
                pithgraph.save_private_key(key, folder / arguments[2])
            pattern = re.escape(shown).replace("…\\\n", r"(?:.*\n)*")
            assert re.fullmatch(pattern, done.stdout), done.stdout
            count += 1
    assert count >= 20


def test_the_first_command_gives_the_published_hash(folder: Path) -> None:
    first, second = blocks("sh")
    arguments = shlex.split(first.split(".venv/bin/pithgraph ")[1])
    done = run(["-m", "pithgraph", *arguments], folder)
    assert done.returncode == 0
    state_hash = "9bbb9e468ac2ea4d75a2513b96f5ee6172e9fee242a930f52aa8d687f6d567e9"
    assert f"  state_sha256  {state_hash}\n" in done.stdout
    assert f"  expected      {state_hash}  matches\n" in done.stdout
    assert second.strip().endswith(".venv/bin/pytest -q -n auto --dist worksteal")


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Each verb, those of a group too, by its whole name."""
    for name in cli._VERBS:
        command = import_module(f"pithgraph.cli.{name.replace('-', '_')}").command
        if isinstance(command, click.Group) and name != "sign":  # which has a command a kind
            for part, inside in command.commands.items():
                yield f"{name} {part}", inside
        else:
            yield name, command


def test_the_verbs_of_the_readme_are_the_programs() -> None:
    """A line each, with what the program's own help says first."""
    firsts = {name: str(command.help).split("\n\n")[0] for name, command in verbs()}
    table = "".join(f"| `{name}` | {' '.join(first.split())} |\n" for name, first in firsts.items())
    assert table in README, table


def test_each_verb_has_help_with_an_example_and_json() -> None:
    for name, command in verbs():
        text = command.get_help(click.Context(command, info_name=name))
        assert f"pithgraph {name}" in text.split("Options:")[0].split("\n", 1)[1], name
        assert all(option.help for option in command.params if isinstance(option, click.Option))
        if name not in ("completion", "sign"):  # `sign` has a command a kind
            assert "--json" in text, name


def test_what_is_exported_is_there() -> None:
    assert sorted(set(pithgraph.__all__)) == sorted(pithgraph.__all__)
    assert set(pithgraph.__all__) == {"__version__", *pithgraph._ROOM_OF}
    for name in pithgraph.__all__:
        assert getattr(pithgraph, name) is not None
        assert name == "__version__" or getattr(pithgraph, name).__doc__
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = pithgraph.nothing_such
