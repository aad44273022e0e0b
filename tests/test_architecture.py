"""The two halves: the core is pure and never imports the shell, and each of its rooms imports only
rooms that stand before it. Read from the source, so that a late import inside a function counts."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pithgraph"

# The core, lowest first: a room may import those before it. A new file of the core is put here; it
# is not in the core only where SHELL names it.
ROOMS = [
    "errors",
    "canonical",
    "identifiers",
    "naming",
    "merkle",
    "documents",
    "_curve",
    "keys",
    "keyring",
    "keyring_edits",
    "notes",
    "checkpoints",
    "outline",
    "events",
    "kinds",
    "validation",
    "ordinary",
    "resolution",
    "merge",
    "diffing",
    "explaining",
    "vetting",
    "composing",
    "proofs",
    "entries",
    "views",
    "audit",
    "comparing",
    "outgoing",
    "pages",
    "report",
]

SHELL = {
    *(
        "__init__",
        "__main__",
        "anchoring",
        "auditing",
        "appending",
        "authoring",
        "backup",
        "checking",
        "checkpointing",
        "cli",
        "conformance",
        "conformance_adapter",
        "counting",
        "expected",
        "exporting",
        "fsck",
        "handing",
        "ingestion",
        "listing",
        "log",
        "merging",
    ),
    "cutting",
    "stored",
    "pool",
    "preparing",
    "publishing",
    "repairing",
    "replaying",
    "resolving",
    "salvaging",
    "wrecks",
    "sources",
    "storing",
    "testing",
    "tree_state",
    "trees",
    "watching",
    "workers",
}

# Whatever else the core may import: nothing here reads a file, a clock, the network, the
# environment or chance.
ALLOWED = {
    *(
        "__future__",
        "base64",
        "binascii",
        "collections",
        "datetime",
        "functools",
        "hashlib",
        "html",
    ),
    *("itertools", "json", "math", "re", "struct", "types", "typing", "urllib.parse"),
    *("cryptography", "msgspec"),
    "nacl",  # the extra `fast`: keys verifies with it where it is installed, to the same verdicts
}
# Built-ins and methods by which something pure would stop being so.
IMPURE_NAMES = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}
IMPURE_METHODS = {"now", "utcnow", "today", "generate", "urandom"}


def room_of(module: str) -> str:
    """The room of `pithgraph.x.y` is x; that of the package itself is `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module that a source imports, at any depth, with its full name. What comes by
    `from x import y` is x.y where x is a package of ours, else x."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + is_package]
                base = ".".join([*kept, base] if base else kept)
            if base.split(".")[0] == "pithgraph":
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


def faults_of(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a core module does that only the shell may, or a higher room."""
    faults = []
    own = ROOMS.index(room_of(module))
    for name in imports_of(source, module, is_package=is_package):
        if name.split(".")[0] == "pithgraph":
            room = room_of(name)
            if room not in ROOMS:
                faults.append(f"imports {name} of the shell")
            elif ROOMS.index(room) > own:
                faults.append(f"imports {name}, a higher room")
        elif ALLOWED.isdisjoint((name, name.split(".")[0])):
            faults.append(f"imports {name}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in IMPURE_NAMES:
            faults.append(f"uses {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr in IMPURE_METHODS:
            faults.append(f"uses .{node.attr}")
    return faults


def modules() -> dict[str, Path]:
    """Every module of the package by its name, `pithgraph.audit` for `audit/__init__.py`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 2:
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


CORE = {name: path for name, path in modules().items() if room_of(name) not in SHELL}


def test_every_module_of_the_core_has_its_place() -> None:
    assert {room_of(name) for name in CORE} == set(ROOMS)
    assert SHELL.isdisjoint(ROOMS)
    assert {"log", "cli", "sources"} <= {room_of(name) for name in modules()}


@pytest.mark.parametrize("module", CORE)
def test_the_core_is_pure_and_imports_downwards(module: str) -> None:
    path = CORE[module]
    is_package = path.name == "__init__.py"
    assert faults_of(path.read_text("utf-8"), module, is_package=is_package) == []


@pytest.mark.parametrize("module", CORE)
def test_a_core_module_opens_with_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(CORE[module].read_text("utf-8")))


def test_importing_the_core_loads_nothing_of_the_shell() -> None:
    names = ", ".join(CORE)
    program = f"import sys, {names}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    loaded = set(done.stdout.split())
    assert loaded >= set(CORE)
    shell = {f"pithgraph.{room}" for room in SHELL}
    assert loaded & (shell | {"lmdb", "click", "rich"}) == set()


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import lmdb", "imports lmdb"),
        ("import os.path as p", "imports os.path"),
        ("from pathlib import Path", "imports pathlib"),
        ("def f():\n    import click", "imports click"),
        ("try:\n    from time import monotonic\nexcept ImportError:\n    pass", "imports time"),
        ("if TYPE_CHECKING:\n    import threading", "imports threading"),
        *((f"import {name}", f"imports {name}") for name in ("io", "random", "secrets", "socket")),
        *((f"import {name}", f"imports {name}") for name in ("subprocess", "urllib", "asyncio")),
        ("from urllib.request import urlopen", "imports urllib.request"),
        ("from pithgraph.log import Log", "imports pithgraph.log.Log of the shell"),
        ("import pithgraph.sources", "imports pithgraph.sources of the shell"),
        ("from pithgraph import ingestion", "imports pithgraph.ingestion of the shell"),
        ("from . import cli", "imports pithgraph.cli of the shell"),
        ("from .log.writer import New", "imports pithgraph.log.writer.New of the shell"),
        ("import pithgraph", "imports pithgraph of the shell"),
        ("from pithgraph.proofs import build_proof", "imports pithgraph.proofs.build_proof, a"),
        ("from .audit import paper", "imports pithgraph.audit.paper, a higher room"),
        ("text = open('x').read()", "uses open"),
        ("at = datetime.now()", "uses .now"),
        ("key = Ed25519PrivateKey.generate()", "uses .generate"),
    ],
)
def test_a_planted_fault_is_found(source: str, fault: str) -> None:
    (found,) = faults_of(source, "pithgraph.merge")
    assert found.startswith(fault)


def test_what_is_allowed_is_not_found() -> None:
    allowed = "import msgspec, json\nfrom urllib.parse import quote\nfrom pithgraph import kinds\n"
    assert faults_of(allowed + "from .validation import judge", "pithgraph.merge") == []
    assert faults_of("from .findings import Part", "pithgraph.audit", is_package=True) == []
    assert (
        faults_of("from . import paper\nfrom ..merge import State", "pithgraph.audit.state") == []
    )
