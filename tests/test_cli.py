"""The command line: exit codes and their precedence, JSON shapes, and errors for people."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import signing
from conftest import Done
from pithgraph.cli import options
from pithgraph.ingestion import Ingested, ingest
from pithgraph.log import Log, LogWriter
from pithgraph.log.compression import PLAIN
from signing import PAPER, canonical, keyring_value, signed_event

STATE = "state-N7NXYVEE.json"
STATE_SHA256 = "9bbb9e468ac2ea4d75a2513b96f5ee6172e9fee242a930f52aa8d687f6d567e9"
PITH = "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7"


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    path.write_bytes(canonical(keyring_value()))
    return path


def jsonl(path: Path, *values: object) -> Path:
    path.write_bytes(b"".join(canonical(value) + b"\n" for value in values))
    return path


# --- replay ----------------------------------------------------------------------------------


def test_replay_gives_the_published_hash(run, published: Path) -> None:  # type: ignore[no-untyped-def]
    state = published / STATE
    done = run("replay", state, "--assurance", "stated", "--expect", state, "--json")
    assert done.code == 0
    assert done.rows == [
        {
            "pith_number": PITH,
            "state_sha256": STATE_SHA256,
            "core_sha256": "425389f6fd828af9ede376a67f0774a2b2937dd244502fa96fb84a7c67d0927b",
            "keyring_sha256": "312f365b99e56d69e97b7b5e6b0203072a71d77cee0fbbd18790bda939acfb32",
            "assurance": "stated",
            "event_count": 2,
            "valid_event_count": 2,
            "invalid_event_count": 0,
            "equivocation_count": 0,
            "applied_as_stated": 2,
            "expected_sha256": STATE_SHA256,
            "matches": True,
        }
    ]
    assert "applied as stated: 2 events, which authenticates nothing" in done.err


def test_replay_as_verified_finds_the_rows_unsigned_and_differs(run, published: Path) -> None:  # type: ignore[no-untyped-def]
    state = published / STATE
    done = run("replay", state, "--assurance", "verified", "--expect", state)
    assert done.code == 1
    assert done.out.count(": missing_signature: ") == 2
    assert "differs: the replay gives 99aa417e" in done.out
    assert "count under --assurance stated only" in done.err
    (row,) = run("replay", state, "--expect", state, "--json").rows
    assert (row["matches"], row["invalid_event_count"]) == (False, 2)
    assert row["expected_sha256"] == STATE_SHA256 != row["state_sha256"]


def test_replay_of_a_log_and_of_its_past(run, tmp_path: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    first = signed_event("record_created", created_at=signing.at(1))
    second = signed_event("graph_snapshot", created_at=signing.at(2))
    other = signed_event("graph_snapshot", paper=signing.OTHER_PAPER, created_at=signing.at(3))
    log = tmp_path / "log"
    events = jsonl(tmp_path / "e.jsonl", first, second, other)
    assert run("ingest", "--log", log, events, "--keyring", keyring).code == 0

    def counts(*more: object) -> dict[object, object]:
        done = run("replay", "--log", log, "--keyring", keyring, "--json", *more)
        assert done.code == 0, done.err
        return {row["pith_number"]: row["event_count"] for row in done.rows}

    both = {PAPER.number: 2, signing.OTHER_PAPER.number: 1}
    assert counts() == both == counts("--at", 3) == counts("--as-of", signing.at(3))
    assert counts("--at", 1) == {PAPER.number: 1} == counts("--as-of", signing.at(1))
    assert counts("--at", 0) == {}
    assert counts("--paper", PAPER.suffix[:8].lower()) == {PAPER.number: 2}
    assert counts("--paper", PAPER.number, "--at", 0) == {PAPER.number: 0}
    for more, says in (
        (("--at", 4), "no position 4"),
        (("--as-of", "yesterday"), "no time of the form"),
        (("--paper", "AAAAAAAA"), "no paper 'AAAAAAAA'"),
        (("--paper", "AA"), "names no paper"),
    ):
        done = run("replay", "--log", log, "--keyring", keyring, *more)
        assert (done.code, done.out) == (2, "")
        assert says in done.err


def test_expectations_of_absent_papers_and_false_documents(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, published: Path
) -> None:
    state = json.loads((published / STATE).read_bytes())
    folder = tmp_path / "expect"
    folder.mkdir()
    (folder / "a.json").write_bytes(canonical(state | {"event_count": 3}))
    (folder / "record.json").write_bytes((published / "record-2OWFFTWG.json").read_bytes())
    arguments = ("replay", published / STATE, "--assurance", "stated", "--expect")
    done = run(*arguments, folder)
    assert done.code == 1
    assert "the expected document's own hash is" in done.out
    other = {name: state[name] for name in state if name != "state_sha256"}
    other["pith_number"] = PAPER.number
    absent = jsonl(tmp_path / "absent.json", other | {"state_sha256": signing.sha256_hex(other)})
    done = run(*arguments, absent, "--expect", published / STATE, "--json")
    assert done.code == 1
    assert {row["pith_number"]: row["matches"] for row in done.rows} == {
        PITH: True,
        PAPER.number: False,
    }
    assert "of those, 1 have no event here" in done.err
    assert "differs: there is no event of this paper here" in run(*arguments, absent).out
    past = run(*arguments, published / STATE, "--as-of", "2020-01-01T00:00:00Z", "--json")
    assert [(row["event_count"], row["matches"]) for row in past.rows] == [(0, False)]
    done = run(*arguments, published / "record-2OWFFTWG.json")
    assert done.code == 3
    assert "no state document" in done.err


def test_every_expected_document_is_compared(run, tmp_path: Path, published: Path) -> None:  # type: ignore[no-untyped-def]
    state = json.loads((published / STATE).read_bytes())
    false = jsonl(tmp_path / "false.json", state | {"event_count": 3})
    arguments = ("replay", published / STATE, "--assurance", "stated")
    for order in ((false, published / STATE), (published / STATE, false)):
        done = run(*arguments, "--expect", order[0], "--expect", order[1], "--json")
        assert done.code == 1
        assert sorted(row["matches"] for row in done.rows) == [False, True]
    other = jsonl(tmp_path / "other.json", state | {"pith_number": PAPER.number})
    done = run(*arguments, "--paper", PITH, "--expect", other)
    assert done.code == 1
    assert "nothing was compared" in done.err


def test_replay_takes_paths_or_a_log(run, published: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run("replay").code == 2
    assert run("replay", published / STATE, "--log", tmp_path).code == 2


# --- ingest ----------------------------------------------------------------------------------


def test_ingest_refuses_the_bad_and_takes_the_rest(run, tmp_path: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    good = canonical(signed_event())
    path = tmp_path / "mixed.jsonl"
    bad = [
        b'{"a":1,"a":2}',
        b"\xff",
        b"[NaN]",
        b"7",
        b'{"subject_pith_number":"pith:2018:short"}',
        good.replace(b'"target"', b'"targ\\ud800et"'),
    ]
    path.write_bytes(b"\n".join([good, *bad, good]) + b"\n")
    done = run("ingest", "--log", tmp_path / "log", path, "--keyring", keyring, "--json")
    assert done.code == 3
    assert done.rows == [
        {
            "read": 8,
            "appended": 1,
            "duplicates": 1,
            "invalid": 0,
            "refused": 6,
            "papers": 1,
            "position": 1,
        }
    ]
    for line, reason in enumerate(
        ("duplicate_name", "invalid_utf8", "non_finite_number", "not_an_object", "no_subject",
         "lone_surrogate"),
        2,
    ):  # fmt: skip
        assert f"refused {path}:{line}: {reason}" in done.err


def test_ingest_of_nothing_readable_names_it(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    absent = tmp_path / "absent.json"
    done = run("ingest", "--log", tmp_path / "log", absent)
    assert done.code == 2
    assert f"nothing can be found by {absent}; no log was made" in done.err
    assert not (tmp_path / "log").exists()
    # Where there is a log, or something else to read, it is refused like all that cannot be read.
    event = jsonl(tmp_path / "e.jsonl", signed_event())
    for paths in ((absent, event), (absent,)):
        done = run("ingest", "--log", tmp_path / "log", *paths)
        assert done.code == 3
        assert "absent.json: unreadable: No such file" in done.err


def test_ingest_honours_its_limits(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    events = jsonl(tmp_path / "e.jsonl", signed_event(), signed_event())
    done = run("ingest", "--log", tmp_path / "log", "--max-line", 100, events)
    assert done.code == 3
    assert done.err.count("too_large: the limit for a line is 100 bytes") == 2


def test_a_log_is_compressed_from_its_first_day_or_never(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, keyring: Path
) -> None:
    pytest.importorskip("zstandard")
    events = jsonl(tmp_path / "e.jsonl", signed_event("record_created"))
    more = jsonl(tmp_path / "more.jsonl", signed_event("graph_snapshot"))

    def into(log: Path, path: Path, *flags: str) -> Done:
        return run("ingest", "--log", log, path, "--keyring", keyring, "--json", *flags)

    def is_plain(log: Path) -> bool:
        with Log.open(log) as opened, opened.snapshot() as snapshot:
            return snapshot.codec is PLAIN

    plain, compressed = tmp_path / "plain", tmp_path / "compressed"
    assert into(plain, events).code == into(compressed, events, "--compress").code == 0
    assert (is_plain(plain), is_plain(compressed)) == (True, False)
    done = into(plain, more, "--compress")
    assert (done.code, done.out) == (2, "")
    assert f"{plain}: the log was made without compression and stays so" in done.err
    assert into(plain, more).rows[0]["appended"] == 1
    assert into(compressed, more).rows[0]["appended"] == 1
    assert into(compressed, more, "--compress").rows[0]["duplicates"] == 1
    assert (is_plain(plain), is_plain(compressed)) == (True, False)
    replayed = [
        run("replay", "--log", log, "--keyring", keyring).out for log in (plain, compressed)
    ]
    assert replayed[0] == replayed[1] != ""


def test_compression_that_is_not_installed_is_named(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    log = tmp_path / "log"
    done = run("ingest", "--log", log, published / STATE, "--compress")
    assert done.code == 4
    assert "pip install zstandard" in done.err
    assert not log.exists()
    assert run("ingest", "--log", log, published / STATE).code == 0


def test_as_many_workers_as_processors_unless_told(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def recording(*arguments: Any, workers: int, **named: Any) -> Ingested:
        asked.append(workers)
        return ingest(*arguments, workers=workers, **named)

    for verb in ("ingest", "replay"):
        monkeypatch.setattr(import_module(f"pithgraph.cli.{verb}"), "ingest", recording)
    verb = ("ingest", "--log", tmp_path / "log", published / STATE)
    assert run(*verb).code == run(*verb, "--workers", 7).code == 0
    assert run("replay", published / STATE).code == 0
    assert asked == [options.cpus(), 7, options.cpus()]
    for wrong in ("-1", "many", "0.5"):
        done = run(*verb, "--workers", wrong)
        assert (done.code, done.out) == (2, "")
        assert "--workers" in done.err
    assert len(asked) == 3
    assert options.cpus() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert options.cpus() == os.cpu_count()


def test_ingest_from_standard_input_at_the_authentic_door(tmp_path: Path, keyring: Path) -> None:
    text = canonical(signed_event()) + b"\n" + canonical(signed_event() | {"signature": None})
    log = str(tmp_path / "log")
    options = ["--log", log, "--admit", "authentic", "--keyring", str(keyring), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "pithgraph", "ingest", *options, "-"],
        input=text,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 3
    assert json.loads(done.stdout)["appended"] == 1
    assert b"refused <standard input>:2 sha256:" in done.stderr
    assert b": missing_signature: " in done.stderr


# --- state, audit, proof ---------------------------------------------------------------------


def test_state_prints_canonical_bytes_and_a_newline(run, tmp_path: Path, published: Path) -> None:  # type: ignore[no-untyped-def]
    log = tmp_path / "log"
    assert run("ingest", "--log", log, published / STATE).code == 0
    done = run("state", "--log", log, "pith:n7nxyvee", "--assurance", "stated")
    assert done.code == 0
    assert done.out.encode() == canonical(json.loads((published / STATE).read_bytes())) + b"\n"
    assert f"state_sha256 {STATE_SHA256}, keyring 312f365b" in done.err
    pretty = run("state", "--log", log, PITH, "--assurance", "stated", "--pretty")
    assert json.loads(pretty.out) == json.loads(done.out)
    assert pretty.out.count("\n") > 100
    past = run("state", "--log", log, PITH, "--at", 0)
    assert json.loads(past.out)["event_count"] == 0
    done = run("state", "--log", log, "N7NXYVEA")
    assert done.code == 2
    assert f"nearest: {PITH}" in done.err


def test_audit_of_the_published_documents(run, published: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("audit", published, "--json")
    assert done.code == 0
    assert {row["status"] for row in done.rows} == {"pass", "skipped"}
    skipped = {(row["check"], row["detail"]) for row in done.rows if row["status"] == "skipped"}
    assert skipped
    assert all("abstract" in str(check) for check, _ in skipped)
    assert len({row["path"] for row in done.rows}) == 5
    assert list(done.rows[0]) == ["path", "document", "check", "status", "detail"]


def test_audit_names_what_fails_and_what_cannot_be_read(
    run, published: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    text = (published / "record-2OWFFTWG.json").read_text()
    false = tmp_path / "false.json"
    false.write_text(text.replace("Parallelizing", "parallelizing!", 1))
    broken = tmp_path / "broken.json"
    broken.write_text(text[:100])
    done = run("audit", false)
    assert done.code == 1
    assert any(line.startswith("  fail ") and "title" in line for line in done.out.splitlines())
    assert run("audit", broken).code == 3
    done = run("audit", broken, false, published)
    assert done.code == 1
    assert "broken.json: unreadable" in done.out


def test_an_audit_of_nothing_is_no_pass(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("audit", tmp_path)
    assert (done.code, done.out) == (3, "")
    empty = tmp_path / "empty.json"
    empty.write_bytes(b"\n")
    for path in (empty, tmp_path):
        done = run("audit", path, "--json")
        assert done.code == 3
        assert [(row["document"], row["status"]) for row in done.rows] == [("unreadable", "fail")]
        assert "no_value" in str(done.rows[0]["detail"])
    assert run("ingest", "--log", tmp_path / "log", empty).code == 0  # no lines are no fault


def test_proofs_are_built_verified_and_ingested(run, tmp_path: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    two = [signed_event("graph_snapshot", **{"payload.n": n}) for n in (1, 2)]
    log = tmp_path / "log"
    run("ingest", "--log", log, jsonl(tmp_path / "e.jsonl", *two), "--keyring", keyring)
    done = run("proof", "build", "--log", log, PAPER.number, "--keyring", keyring, "--out",
               tmp_path / "proofs")  # fmt: skip
    assert done.code == 0
    (path,) = done.out.split()
    assert run("proof", "verify", path, "--keyring", keyring).code == 0
    (row,) = run("proof", "verify", path, "--json").rows
    assert (row["status"], row["rule"], row["in_keyring"]) == ("pass", "same_slot", False)
    done = run("ingest", "--log", tmp_path / "other", path, "--keyring", keyring, "--json")
    assert done.rows[0]["appended"] == 2
    (row,) = run("replay", "--log", tmp_path / "other", "--keyring", keyring, "--json").rows
    assert row["equivocation_count"] == 1
    text = run("replay", "--log", tmp_path / "other", "--keyring", keyring).out
    assert f"  equivocation  same_slot of key {signing.REGISTRY.fingerprint}: sha256:" in text
    proof = json.loads(Path(path).read_bytes())
    proof["events"][0]["payload"]["n"] = 3
    false = jsonl(tmp_path / "false.json", proof)
    broken = tmp_path / "broken.json"
    broken.write_bytes(b"{")
    assert run("proof", "verify", false).code == 1
    assert run("proof", "verify", broken).code == 3
    assert run("proof", "verify", broken, false).code == run("proof", "verify", false, broken).code
    assert run("proof", "verify", false, broken).code == 1


# --- failures --------------------------------------------------------------------------------


def test_a_log_that_is_not_there_or_locked(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for arguments in (
        ("replay", "--log", tmp_path / "no"),
        ("state", "--log", tmp_path / "no", PITH),
        ("proof", "build", "--log", tmp_path / "no", PITH),
    ):
        done = run(*arguments)
        assert done.code == 4
        assert "there is no log" in done.err
    for verb in (("stat",), ("ingest", jsonl(tmp_path / "e.jsonl", signed_event()))):
        done = run(verb[0], "--log", "a name too long " * 20, *verb[1:])
        assert done.code == 4
        assert "File name too long" in done.err
    with LogWriter.open(tmp_path / "log"):
        done = run("ingest", "--log", tmp_path / "log", "-")
    assert done.code == 4
    assert f"process {os.getpid()} is writing" in done.err


def test_of_several_failures_the_graver_decides(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    log = ("--log", tmp_path / "no")
    keyring = ("--keyring", tmp_path / "no.json")
    assert run("replay", *log, "--as-of", "now", *keyring).code == 2
    assert run("state", *log, PITH, "--as-of", "now", *keyring).code == 2
    assert run("replay", *log, *keyring).code == 4
    assert run("state", *log, PITH, *keyring).code == 4
    assert run("proof", "build", *log, PITH, *keyring).code == 4
    for verb in (
        ("replay", *log, "--paper", ""),
        ("state", *log, "!"),
        ("proof", "build", *log, "!"),
    ):
        assert run(*verb).code == 2
    assert run("audit", "--max-line", 2**80, tmp_path).code == 2
    with LogWriter.open(tmp_path / "log"):
        assert run("ingest", "--log", tmp_path / "log", "-", *keyring).code == 4
    log = ("--log", tmp_path / "log")
    assert run("state", *log, PITH, *keyring).code == 2
    assert run("replay", *log, "--at", 1, *keyring).code == 2
    assert run("replay", *log, *keyring).code == 3


def test_a_bad_keyring_is_named(run, tmp_path: Path, published: Path) -> None:  # type: ignore[no-untyped-def]
    bad = jsonl(tmp_path / "k.json", {"keys": [signing.REGISTRY.entry(algorithm="rsa")]})
    done = run("replay", published / STATE, "--keyring", bad)
    assert done.code == 3
    assert "k.json: the keyring is refused: Invalid enum value 'rsa'" in done.err
    assert run("replay", published / STATE, "--keyring", tmp_path / "none.json").code == 3


def test_unknown_words_are_wrong_usage(run) -> None:  # type: ignore[no-untyped-def]
    assert run("frobnicate").code == 2
    done = run("adit", "x")
    assert (done.code, "did you mean audit?" in done.err) == (2, True)
    assert run("replay", "--frobnicate").code == 2
    assert run("ingest", "x.json").code == 2


def test_control_characters_are_shown_escaped(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a\x1b[31m.json"
    path.write_bytes(b'{"subject_pith_number":"\\u001b[2J\\u009b"}')
    done = run("ingest", "--log", tmp_path / "log", path)
    assert done.code == 3
    assert "\x1b" not in done.err + done.out
    assert "\x9b" not in done.err + done.out
    assert r"a\x1b[31m.json" in done.err


@pytest.mark.longer
def test_a_state_cannot_steer_a_terminal(run, tmp_path: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    event = signed_event(**{"payload.x": "\x9b2J\x7f\u202e\U000e0001"})
    log = tmp_path / "log"
    run("ingest", "--log", log, jsonl(tmp_path / "e.jsonl", event), "--keyring", keyring)
    verb = ("state", "--log", log, PAPER.number, "--keyring", keyring)
    exact = run(*verb).out
    assert exact.encode() == canonical(json.loads(exact)) + b"\n"
    assert "\x9b" in exact
    for text in (run(*verb, "--pretty").out, on_terminal(*verb)):
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == json.loads(exact)
    exported = on_terminal("export", "--log", log)
    assert exported.replace("\n", "").isprintable()
    assert json.loads(exported) == event


def on_terminal(*verb: object) -> str:
    """What a command draws on a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "pithgraph", *map(str, verb)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, stdout=follower, stderr=subprocess.PIPE, env=environment, check=True)
    os.close(follower)
    drawn = b""
    with contextlib.suppress(OSError):  # how the other end tells that it was closed
        while part := os.read(leader, 4096):
            drawn += part
    os.close(leader)
    return drawn.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("verb", [(), ("proof",)])
def test_without_a_verb_the_help_is_shown_line_by_line(run, verb: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    done = run(*verb)
    assert (done.code, done.out) == (2, "")
    assert done.err == run(*verb, "--help").out


def test_events_of_unknown_keys_are_pointed_out(run, tmp_path: Path, keyring: Path) -> None:  # type: ignore[no-untyped-def]
    """Who forgets --keyring sees states that hold nothing."""
    log = tmp_path / "log"
    run("ingest", "--log", log, jsonl(tmp_path / "e.jsonl", signed_event()), "--keyring", keyring)
    for verb in (("replay", "--log", log), ("state", "--log", log, PAPER.number)):
        said = (
            "1 events are of keys that the keyring does not hold: name one that does by --keyring"
        )
        assert said in run(*verb).err
        assert said not in run(*verb, "--keyring", keyring).err


def test_a_keyring_and_a_key_without_an_end_are_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("ingest", "--log", tmp_path / "log", os.devnull)
    done = run("replay", "--log", tmp_path / "log", "--keyring", "/dev/zero")
    assert (done.code, ": no keyring is" in done.err) == (3, True)
    done = run(
        "checkpoint", "--log", tmp_path / "log", "--origin", "a.example", "--key", "/dev/zero"
    )
    assert (done.code, "no key is" in done.err) == (3, True)


def test_a_log_on_a_read_only_mount_is_warned_of(
    run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    run("ingest", "--log", tmp_path / "log", os.devnull)
    real = os.statvfs(tmp_path)
    flags = real.f_flag | os.ST_RDONLY
    seen = os.statvfs_result([*real[:8], flags, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _: seen)
    done = run("replay", "--log", tmp_path / "log")
    assert done.code == 0
    assert "mounted read-only" in done.err


def test_an_interrupt_exits_130_and_keeps_what_is_done(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pithgraph", "ingest", "--log", str(tmp_path / "log"), "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(canonical(signed_event()) + b"\n" + canonical(signed_event()) + b"\n")
        process.stdin.flush()
        while not (tmp_path / "log" / "writer.lock").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        error = process.stderr.read().decode()
        assert process.wait() == 130
    assert "interrupted" in error
    assert "Traceback" not in error


def test_a_closed_pipe_is_no_traceback(published: Path) -> None:
    command = f"{sys.executable} -m pithgraph audit {published} {published} {published} | head -1"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.longer
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("audit - <&-", 3),
        ("audit {published} >&-", 0),
        ("audit {published} 2>&-", 0),
        ("audit {published} 2>/dev/full", 0),
        ("audit {published} >/dev/full", 3),
        ("audit {published} 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", 0),
        ("ingest --log $'{tmp}/L\\xff' {published}/" + STATE, 0),
    ],
)
def test_streams_that_are_closed_or_full(
    command: str, code: int, published: Path, tmp_path: Path
) -> None:
    text = command.replace("{published}", str(published)).replace("{tmp}", str(tmp_path))
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pithgraph {text}"],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == code


def test_a_terminated_replay_leaves_no_temporary_log(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pithgraph", "replay", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"TMPDIR": str(tmp_path)},
    )
    with process:
        while not list(tmp_path.glob("pithgraph-*/data.mdb")):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
    assert list(tmp_path.iterdir()) == []


def test_every_verb_explains_itself(run) -> None:  # type: ignore[no-untyped-def]
    for verb in (["audit"], ["backup"], ["cited-by"], ["export"], ["ingest"], ["log"], ["replay"],
                 ["resolve"], ["stat"], ["state"], ["proof", "build"],
                 ["proof", "verify"]):  # fmt: skip
        done = run(*verb, "--help")
        assert done.code == 0
        assert f"pithgraph {' '.join(verb)} " in done.out  # an example
    assert run("--version").out == "pithgraph 0.1.0\n"


def test_a_keyring_that_is_refused_makes_no_log(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    events = jsonl(tmp_path / "e.jsonl", signed_event())
    done = run("ingest", "--log", tmp_path / "log", events, "--keyring", events)
    assert done.code == 3
    assert not (tmp_path / "log").exists()


def test_output_that_finds_no_room_is_told(published: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pithgraph", "audit", published],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 3
    assert done.stderr == "error: standard output: No space left on device\n"


def test_a_log_among_the_paths_is_pointed_out(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Who forgets --log would see a run of nothing that went well."""
    log = tmp_path / "log"
    run("ingest", "--log", log, os.devnull)
    for verb in (("replay", log), ("audit", log), ("ingest", "--log", tmp_path / "other", log)):
        done = run(*verb)
        assert (done.code, "the folder is a log, which --log names" in done.out + done.err) == (
            3,
            True,
        )
