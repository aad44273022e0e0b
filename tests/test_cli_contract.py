"""What all verbs share: JSON whose names are a contract (SPEC §11), names in the environment,
colours, completion."""

from __future__ import annotations

import base64
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from opentimestamps.core.notary import PendingAttestation  # type: ignore[import-untyped]
from opentimestamps.core.serialize import (  # type: ignore[import-untyped]
    BytesSerializationContext,
)
from opentimestamps.core.timestamp import Timestamp  # type: ignore[import-untyped]

from conftest import Done
from pithgraph.anchoring import make_proof
from pithgraph.authoring import save_private_key
from pithgraph.cli.output import result
from pithgraph.errors import OutputError
from pithgraph.ingestion import ingest
from pithgraph.log import Log, LogWriter
from pithgraph.replaying import find_paper, proofs_of
from pithgraph.sources import load_keyring
from signing import ALICE, OTHER_PAPER, PAPER, at, canonical, keyring_value, signed_event
from test_readme import verbs

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


RING = ("--keyring", "ring.json")
HERE = ("--log", "registry", *RING)
KEY = {"path", "public_key_b64", "public_key_fingerprint"}
EDITED = {"path", "keyring_sha256_before", "keyring_sha256"}
EVENT = {
    *("position", "event_id", "event_sha256", "event_type", "subject_pith_number", "target"),
    *("created_at", "signer", "verdict", "detail"),
}
ATTESTED = {"digest", "path", "attestations"}
SIDES = {
    *("pith_number", "only", "state_sha256", "core_sha256", "core_agrees", "events", "applied"),
    *("invalid", "equivocations", "aliases", "fields"),
}
# Further verbs: what is called, its exit code, and the names that each of its rows has, of which
# every set must be there.
ROWS: list[tuple[tuple[str, ...], int, list[set[str]]]] = [
    (("audit", "e.jsonl", *RING), 0, [{"path", "document", "check", "status", "detail"}]),
    (
        ("ingest", "--log", "new", "e.jsonl", *RING), 0,
        [{"read", "appended", "duplicates", "invalid", "refused", "papers", "position"}],
    ),
    (
        ("fsck", *HERE, "--deep"), 0,
        [{"findings", "pages_checked", "deep", "events", "papers", "aliases", "refused", "states",
          "untried"}],
    ),
    (
        ("explain", *HERE, "0"), 0,
        [{"position", "event_id", "event_sha256", "subject_pith_number", "event_type",
          "created_at", "outcome", "why", "forks", "checks"}],
    ),
    (("explain", *HERE, PAPER.number), 0, [{"pith_number", "events", "fields", "aliases"}]),
    (("diff", "log", "registry", *RING), 1, [SIDES]),
    (("diff", "other", "registry", *RING), 1, [SIDES, {"pith_number", "only"}]),
    (("log", *HERE), 0, [EVENT]),
    (("log", *HERE, PAPER.number, "--order", "merge"), 0, [EVENT | {"merged", "equivocations"}]),
    (
        ("log", *HERE, "--refused"), 0,
        [{"source", "line", "where", "reason", "detail", "size", "sha256"}],
    ),
    (
        ("stat", *HERE), 0,
        [{"papers", "events", "kinds", "verdicts", "signers", "top_signers", "aliases", "refused",
          "states", "file_bytes", "map_bytes", "format", "compression", "last_position", "root",
          "keyring_sha256", "assurance"}],
    ),
    (
        ("resolve", *HERE, PAPER.source_id), 0,
        [{"alias", "pith_number", "standing", "alias_kind", "alias_value", "created_at"}],
    ),
    (
        ("cited-by", *HERE, PAPER.number), 0,
        [{"pith_number", "citing_pith_number", "citations"}],
    ),
    (
        ("bundle", "--log", "registry", PAPER.number, "-o", "bundle.json", *RING), 0,
        [{"pith_number", "events", "aliases", "state_sha256", "keyring_sha256", "assurance",
          "path"}],
    ),
    (
        ("record", *HERE, PAPER.number), 0,
        [{"pith_number", "keyring_sha256", "assurance", "text"}],
    ),
    (
        ("publish", *HERE, "tree", "--base-url", "https://a.example", "--name", "A"), 0,
        [{"papers", "written", "without_record", "withdrawn", "position", "keyring_sha256",
          "assurance", "path"}],
    ),
    (
        ("conformance", "--command", "true", "alias-all-six"), 1,
        [{"case", "status", "failures", "stderr"},
         {"cases", "pass", "fail", "expected_failure", "unexpected_pass"}],
    ),
    (("keys", "generate", "new.pem"), 0, [KEY]),
    (("keys", "show", "key.pem"), 0, [KEY]),
    (("keys", "check", "key.pem"), 0, [KEY | {"form", "status", "detail"}]),
    (
        ("keyring", "list", "ring.json"), 0,
        [{"key_id", "algorithm", "public_key_b64", "public_key_fingerprint", "signer_id",
          "signer_type", "valid_from", "valid_until", "revoked"}, {"keys", "keyring_sha256"}],
    ),
    (
        ("keyring", "check", "ring.json"), 0,
        [{"path", "keys", "keyring_sha256", "status", "detail"}],
    ),
    (("keyring", "add", "new.json", "--shipped"), 0, [EDITED]),
    (("keyring", "retire", "ring.json", ALICE.key_id, "--at", at(9)), 0, [EDITED]),
    (("keyring", "revoke", "ring.json", ALICE.key_id), 0, [EDITED]),
    (
        ("sign", "correction", PAPER.number, "--key", "key.pem", *RING, "--target", "record",
         "--action", "amend", "--reason", "x", "--created-at", at(9)), 0,
        [{"event_id", "event_type", "pith_number", "keyring_sha256", "text"}],
    ),
    (
        ("proof", "verify", "proof.json", *RING), 0,
        [{"path", "status", "detail", "rule", "pith_number", "public_key_fingerprint", "slot",
          "event_ids", "in_keyring", "keyring_sha256"}],
    ),
    (("anchor", "request", *HERE, PAPER.number, "-o", "again"), 0, [{"digest", "path"}]),
    (("anchor", "attach", "request", "answer", "-o", "b.ots"), 0, [ATTESTED]),
    (("anchor", "check", "a.ots"), 0, [{"proof", "status", "detail", "digest", "attestations"}]),
    (
        ("anchor", "payload", "a.ots"), 0,
        [{"anchored_sha256", "method", "status", "proof_b64"}],
    ),
    (("storage", "check", "key.pem"), 0, [{"what", "uri", "sha256", "attested_by"}]),
]  # fmt: skip


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the verbs of `ROWS` are called with."""
    shelf = tmp_path_factory.mktemp("shelf")
    both = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    registry = [
        *(signed_event("record_created"), signed_event("citation_signature")),
        {"alias": {"pith_number": PAPER.number, "alias_kind": "arxiv",
                   "alias_value": PAPER.source_id, "created_at": at(1)}},
        {"no": "document"},
    ]  # fmt: skip
    other = [signed_event(paper=OTHER_PAPER), signed_event()]
    (shelf / "ring.json").write_bytes(canonical(keyring_value()))
    keyring = load_keyring(shelf / "ring.json")
    for name, values in (("log", both), ("registry", registry), ("other", other)):
        path = shelf / ("e.jsonl" if name == "log" else f"{name}.jsonl")
        path.write_bytes(b"\n".join(map(canonical, values)))
        with LogWriter.open(shelf / name) as log:
            ingest(log, [path], keyring=keyring)
    with Log.open(shelf / "log") as log:
        (proof,) = proofs_of(log, find_paper(log, PAPER.number), keyring=keyring)
    (shelf / "proof.json").write_bytes(canonical(proof))
    save_private_key(ALICE.private, shelf / "key.pem")
    digest = bytes.fromhex(PAPER.canonical_sha256)
    stamp = Timestamp(digest)
    stamp.attestations.add(PendingAttestation("https://calendar.example"))
    answer = BytesSerializationContext()
    stamp.serialize(answer)
    (shelf / "request").write_bytes(digest)
    (shelf / "answer").write_bytes(answer.getbytes())
    (shelf / "a.ots").write_bytes(make_proof(digest, [answer.getbytes()]))
    return shelf


@pytest.mark.parametrize(
    ("verb", "code", "expected"), ROWS, ids=[" ".join(verb) for verb, _, _ in ROWS]
)
def test_rows_have_the_names_of_the_contract(
    run: Run,
    shelf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: tuple[str, ...],
    code: int,
    expected: list[set[str]],
) -> None:
    shutil.copytree(shelf, tmp_path / "shelf")
    monkeypatch.chdir(tmp_path / "shelf")
    done = run(*verb, "--json")
    assert done.code == code, done.err
    names = [set(row) for row in done.rows]
    assert all(one in expected for one in names), names
    assert all(one in names for one in expected), names


def test_each_verb_has_its_json_in_the_contract() -> None:
    """And here: `sign` is one for all kinds, `completion` prints a script."""
    called = {" ".join(verb[:count]) for verb, *_ in [*JSON, *ROWS] for count in (1, 2)}
    assert {name for name, _ in verbs()} - called == {"completion"}


def test_an_export_as_json_goes_into_a_file(run: Run, folder: Path) -> None:
    done = run("export", "--log", folder / "log", "--json")
    assert (done.code, done.out, "give -o" in done.err) == (2, "", True)


def test_a_proof_is_written_once_and_over_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    verb = ("proof", "build", "--log", "log", PAPER.number, *RING, "-o", "proofs", "--json")
    (row,) = run(*verb).rows
    path = folder / str(row["path"])
    whole, inode = path.read_bytes(), path.stat().st_ino
    assert run(*verb).code == 0
    assert path.stat().st_ino == inode
    path.write_bytes(b"mine")
    done = run(*verb)
    assert (done.code, path.read_bytes()) == (3, b"mine")
    path.unlink()
    path.symlink_to(folder / "e.jsonl")
    before = (folder / "e.jsonl").read_bytes()
    assert run(*verb).code == 3
    assert (folder / "e.jsonl").read_bytes() == before != whole


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
