"""`pithgraph conformance`: pithgraph conforms to its own cases, and each lie is named as what it
is."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pithgraph import conformance, conformance_adapter, watching
from pithgraph.comparing import difference
from signing import canonical, sha256_hex

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())
ADAPTER = shlex.join([sys.executable, "-m", "pithgraph.conformance_adapter"])
ONE = "alias-all-six"
TWO = "paper-two-mixed"
STATE = "2024-ZNA4DUBKEYEYZG4LXBIR3YE6JN.json"
OTHER_STATE = "2024-46TC6PPV3BEMBNVBEJQZUTC4LU.json"

# What an honest program would do, were it to know the states: $1 is the case, $2 the output.
HONEST = f'cp "{CASES}/$(basename "$1")/expected/"* "$2/"'

Check = Callable[..., Any]


@pytest.fixture
def check(run, tmp_path: Path) -> Check:  # type: ignore[no-untyped-def]
    """Run a shell script as the program on a case; the exit code and the rows of --json."""

    def check(script: str, *more: object, case: str = ONE) -> tuple[int, list[dict[str, Any]]]:
        path = tmp_path / "program.sh"
        path.write_text(script)
        program = shlex.join(["sh", str(path)])
        done = run("conformance", "--command", program, "--json", *more, case)
        return done.code, done.rows

    return check


def failures(done: tuple[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The failures of the one case, which must have failed the run."""
    code, (row, sums) = done
    assert (code, row["status"], sums["fail"]) == (1, "fail", 1)
    assert row["failures"]
    found: list[dict[str, Any]] = row["failures"]
    assert {one["reason"] for one in found} <= conformance.REASONS.keys()
    return found


# --- pithgraph itself ------------------------------------------------------------------------


def test_pithgraph_conforms_on_a_sample(run) -> None:  # type: ignore[no-untyped-def]
    done = run("conformance", "--command", ADAPTER, TWO, "stated-published-state")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"pass  {TWO}\npass  stated-published-state\ncases: 2; pass: 2\n"


@pytest.mark.longer
def test_pithgraph_conforms(run) -> None:  # type: ignore[no-untyped-def]
    done = run("conformance", "--command", ADAPTER, "--json")
    assert done.code == 0
    *rows, sums = done.rows
    assert [row["case"] for row in rows] == NAMES
    assert all(row == {**row, "status": "pass", "failures": []} for row in rows)
    count = len(NAMES)
    assert sums == {
        "cases": count,
        "pass": count,
        "fail": 0,
        "expected_failure": 0,
        "unexpected_pass": 0,
    }


@pytest.mark.parametrize("name", NAMES[::12])
def test_the_adapter_writes_the_states(name: str, tmp_path: Path) -> None:
    assert conformance_adapter.main([str(CASES / name), str(tmp_path)]) == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {
        path.name: path.read_bytes() for path in (CASES / name / "expected").iterdir()
    }


def test_the_adapter_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance_adapter.main([]) == 2
    assert conformance_adapter.main([str(tmp_path), str(tmp_path)]) == 3
    (tmp_path / "case.json").write_bytes(b"{")
    assert conformance_adapter.main([str(tmp_path), str(tmp_path)]) == 3
    usage, absent, broken = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ")
    assert "No such file" in absent
    assert "syntax at line 1" in broken


# --- what a program is given -----------------------------------------------------------------


def test_a_program_is_given_inputs_without_answers_and_an_empty_folder(check: Check) -> None:
    code, (row, _) = check('ls "$1" "$2" >&2; basename "$1" >&2; cat >&2; echo "$#" >&2')
    assert code == 1
    first, *given, last, second, name, count = [line for line in row["stderr"].splitlines() if line]
    assert given == ["aliases.json", "case.json", "events.jsonl"]
    assert (last, name, count) == ("keyring.json", ONE, "2")
    assert Path(first.rstrip(":")).name == ONE
    assert not Path(second.rstrip(":")).exists()  # nothing stays behind


def test_words_of_the_command_are_split_without_a_shell(run) -> None:  # type: ignore[no-untyped-def]
    program = """sh -c 'printf "%s\\n" "$@" >&2' x '$HOME' ';' "a b" """
    done = run("conformance", "--command", program, ONE, "--json")
    assert done.rows[0]["stderr"].splitlines()[:3] == ["$HOME", ";", "a b"]


def test_honest_output_passes_whatever_is_printed(check: Check) -> None:
    code, (row, sums) = check(f"{HONEST}; echo all is well; echo warning >&2", case=TWO)
    assert (code, row["status"], sums["pass"]) == (0, "pass", 1)
    assert row == {"case": TWO, "status": "pass", "failures": [], "stderr": "warning\n"}


# --- lies ------------------------------------------------------------------------------------


def test_a_wrong_byte_is_named_with_its_place(check: Check) -> None:
    text = (CASES / ONE / "expected" / STATE).read_bytes()
    change = 's/"event_count":1,/"event_count":2,/'
    (found,) = failures(check(f"{HONEST}; sed -i '{change}' \"$2/{STATE}\""))
    assert found["reason"] == "differs"
    assert found["file"] == STATE
    assert found["offset"] == text.index(b'"event_count":1,') + len('"event_count":')
    assert "at event_count: stated 2, the case expects 1" in found["detail"]
    assert found["state_sha256_recomputes"] is False


def test_a_false_state_with_a_hash_of_its_own_is_told_from_a_broken_one(
    check: Check, tmp_path: Path
) -> None:
    state = json.loads((CASES / ONE / "expected" / STATE).read_bytes())
    del state["state_sha256"]
    state["current"]["source_aliases"].pop()
    false = tmp_path / "false.json"
    false.write_bytes(canonical(state | {"state_sha256": sha256_hex(state)}) + b"\n")
    (found,) = failures(check(f'cp "{false}" "$2/{STATE}"'))
    assert (found["reason"], found["state_sha256_recomputes"]) == ("differs", True)
    assert "at current.source_aliases: " in found["detail"]
    assert "its state_sha256 recomputes" in found["detail"]


@pytest.mark.parametrize(
    ("spell", "says"),
    [
        ("sed -i 's/,/, /'", "its bytes are not canonical: first at byte"),
        ("sed -i 's/^/ /'", "its bytes are not canonical: first at byte 0"),
        ("truncate -s -1", "the newline at the end is missing"),
    ],
)
def test_another_spelling_is_told_from_another_value(check: Check, spell: str, says: str) -> None:
    (found,) = failures(check(f'{HONEST}; {spell} "$2/{STATE}"'))
    assert (found["reason"], found["state_sha256_recomputes"]) == ("not_canonical", True)
    assert says in found["detail"]


def test_what_is_no_json_is_named(check: Check) -> None:
    (found,) = failures(check(f'printf \'{{"a":1,"a":2}}\' > "$2/{STATE}"'))
    assert (found["reason"], found["offset"]) == ("not_json", len('{"a'))
    assert "duplicate_name at line 1" in found["detail"]
    assert failures(check(f': > "$2/{STATE}"'))[0]["reason"] == "not_json"


def test_a_missing_and_an_extra_file_are_named(check: Check) -> None:
    script = f'{HONEST}; mv "$2/{STATE}" "$2/{STATE.lower()}"; touch "$2/.hidden"'
    found = failures(check(script, case=TWO))
    assert [(one["reason"], one["file"]) for one in found] == [
        ("extra", ".hidden"),
        ("missing", STATE),
        ("extra", STATE.lower()),
    ]


def test_links_and_folders_are_no_states(check: Check) -> None:
    expected = CASES / TWO / "expected"
    script = f'ln -s "{expected}/{STATE}" "$2/"; mkdir "$2/{OTHER_STATE}"'
    found = failures(check(script, case=TWO))
    assert {(one["reason"], one["file"]) for one in found} == {
        ("not_a_file", STATE),
        ("not_a_file", OTHER_STATE),
    }
    found = failures(check(f'mkfifo "$2/{STATE}"'))
    assert found[0]["reason"] == "not_a_file"
    found = failures(check(f'rmdir "$2"; ln -s "{CASES / ONE}/expected" "$2"'))
    assert [(one["reason"], one["file"]) for one in found] == [("unreadable", None)]
    assert failures(check('rmdir "$2"'))[0]["reason"] == "unreadable"


def test_a_crash_is_named_with_its_last_words(check: Check, run) -> None:  # type: ignore[no-untyped-def]
    (found,) = failures(check(f"{HONEST}; exit 3"))
    assert (found["reason"], found["detail"]) == ("exit_code", "exit code 3")
    (found,) = failures(check("kill -SEGV $$"))
    assert (found["reason"], found["detail"]) == ("exit_code", "killed by SIGSEGV")
    program = "sh -c 'printf \"first\\nno \\033[31mmemory\\n\" >&2; exit 1'"
    done = run("conformance", "--command", program, ONE)
    line = f"fail  {ONE}: exit_code (exit code 1); it said 'no \\x1b[31mmemory'"
    assert done.out.splitlines()[0] == line


@pytest.mark.longer
def test_a_program_that_hangs_is_killed_with_what_it_started(check: Check, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    script = f'sleep 60 & echo $! > "{pids}"; trap "" TERM; echo waiting >&2; wait'
    (found,) = failures(check(script, "--time-out", "1"))
    assert (found["reason"], found["detail"]) == ("timed_out", "killed after 1 seconds")
    assert time.monotonic() - began < 20
    assert has_gone(int(pids.read_text()))


def test_what_a_program_leaves_running_is_killed(check: Check, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code, _ = check(f'{HONEST}; sleep 60 & echo $! > "{pids}"')
    assert code == 0
    assert has_gone(int(pids.read_text()))


@pytest.mark.longer
def test_an_interrupt_ends_the_program_too(tmp_path: Path) -> None:
    pids, temporary = tmp_path / "pids", tmp_path / "temporary"
    temporary.mkdir()
    script = shlex.join(["sh", "-c", f'echo $$ > "{pids}"; exec sleep 60'])
    process = subprocess.Popen(
        [sys.executable, "-m", "pithgraph", "conformance", "--command", script, ONE],
        cwd=CASES.parents[1],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(400):
        if pids.exists() and pids.read_text().endswith("\n"):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.strip()) == (130, "interrupted")
    assert has_gone(int(pids.read_text()))
    assert list(temporary.iterdir()) == []


def has_gone(pid: int) -> bool:
    """Whether a process has ended, in a moment or two; perhaps nobody has asked how."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_output_that_is_too_large_is_stopped(check: Check) -> None:
    for script in (
        f'{HONEST}; truncate -s 1T "$2/{STATE}"',
        'mkdir -p "$2/a/b"; truncate -s 1T "$2/a/b/c"; sleep 60',
        f'seq -f "$2/%.0f" {watching.MOST_ENTRIES + 1} | xargs touch; sleep 60',
    ):
        began = time.monotonic()
        (found,) = failures(check(script))
        assert found["reason"] == "too_large"
        assert time.monotonic() - began < 20


def test_of_endless_words_the_last_are_kept(check: Check) -> None:
    code, (row, _) = check(f"{HONEST}; seq 1000000 >&2")
    assert code == 0
    assert len(row["stderr"]) <= watching.STDERR_BYTES
    assert row["stderr"].endswith("999999\n1000000\n")


# --- expected failures, cases, wrong usage ----------------------------------------------------


def test_expected_failures(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    known = tmp_path / "known.txt"
    known.write_text(f"# not yet\n\n  {ONE}   # no aliases\n{TWO}\n{NAMES[-1]}\n")
    arguments = ("conformance", "--expected-failures", known, "--command")
    done = run(*arguments, "true", ONE, TWO)
    assert done.code == 0
    assert f"fail, as expected  {ONE}: missing {STATE}" in done.out
    assert done.out.endswith("cases: 2; fail, as expected: 2\n")
    liar = shlex.join(["sh", "-c", HONEST, "sh"])
    done = run(*arguments, liar, ONE)
    assert done.code == 1
    assert done.out == (
        f"pass, though a failure was expected  {ONE}\n"
        "cases: 1; pass, though a failure was expected: 1\n"
    )
    done = run(*arguments, "true", NAMES[0] if NAMES[0] != ONE else NAMES[1], ONE, "--json")
    assert [row.get("status") for row in done.rows[:-1]] == ["fail", "expected_failure"]
    assert done.code == 1


def test_a_list_of_expected_failures_names_cases(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    known = tmp_path / "known.txt"
    for content, says in (
        (b"# x\nno-such-case\n", f"{known}:2: there is no case 'no-such-case'"),
        (b"\xff", "can't decode"),
    ):
        known.write_bytes(content)
        done = run("conformance", "--expected-failures", known, "--command", "true")
        assert (done.code, done.out) == (3, "")
        assert says in done.err


def test_wrong_usage_is_named(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for arguments, says in (
        ((), "Missing option '--command'"),
        (("--command", "no-such-program"), "there is no program 'no-such-program'"),
        (("--command", "'open"), "No closing quotation"),
        (("--command", " "), "it names no program"),
        (("--command", "true", "no-such-case"), "has no case 'no-such-case'"),
        (("--command", "true", "../cases/" + ONE), "has no case"),
        (("--command", "true", "--time-out", "0"), "'--time-out'"),
        (("--command", "true", "--cases", tmp_path / "absent"), "does not exist"),
    ):
        done = run("conformance", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert says in done.err
    done = run("conformance", "--command", "true", "--cases", tmp_path)
    assert (done.code, done.out) == (3, "")
    assert "holds no conformance case" in done.err
    monkeypatch.setattr("pithgraph.cli.conformance.shipped_cases", lambda: None)
    done = run("conformance", "--command", "true")
    assert done.code == 2
    assert "this installation has no cases: take fixtures/cases" in done.err


def test_a_program_that_cannot_start_is_an_error(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o700)
    done = run("conformance", "--command", str(broken), ONE)
    assert (done.code, done.out) == (3, "")
    assert "Exec format error" in done.err


def test_other_cases_are_taken(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("b", "a"):
        folder = tmp_path / name
        (folder / "expected").mkdir(parents=True)
        (folder / "case.json").write_text("{}")
    (tmp_path / "no-case").mkdir()
    done = run("conformance", "--command", "true", "--cases", tmp_path)
    assert (done.code, done.out) == (0, "pass  a\npass  b\ncases: 2; pass: 2\n")


def test_the_first_differing_byte() -> None:
    expected = canonical({"a": [1, 2, 3]}) + b"\n"
    for index in range(len(expected)):
        found = difference(expected[:index] + b"\x00" + expected[index + 1 :], expected)
        assert found is not None
        assert found.offset == index
        cut = difference(expected[:index], expected)
        assert cut is not None
        assert cut.offset == index
    longer = difference(expected + expected, expected)
    assert longer is not None
    assert (longer.reason, longer.offset) == ("not_json", len(expected))
    assert difference(expected, expected) is None
