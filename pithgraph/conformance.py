"""The conformance cases, run against any program that speaks the protocol of SPEC §12.

What lives here: finding cases, handing one to the program, and reading what it wrote. What must
not: how two documents differ (`comparing`), how a program is stopped (`watching`), and any rule of
the merge: the expected bytes are those in the case's folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from pithgraph.comparing import DIFFERS, NOT_CANONICAL, NOT_JSON, difference
from pithgraph.errors import ConformanceError
from pithgraph.watching import MOST_BYTES, MOST_ENTRIES, Ended, run_watched

Status = Literal["pass", "fail", "expected_failure", "unexpected_pass"]

TIMED_OUT: Final = "timed_out"
TOO_LARGE: Final = "too_large"
EXIT_CODE: Final = "exit_code"
MISSING: Final = "missing"
EXTRA: Final = "extra"
NOT_A_FILE: Final = "not_a_file"
UNREADABLE: Final = "unreadable"

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        TIMED_OUT: "the program ran longer than the time-out, and was killed",
        TOO_LARGE: "the output folder held more than 8 MiB or 1,000 entries",
        EXIT_CODE: "the program ended with another exit code than 0, or by a signal",
        MISSING: "there is no file for an expected state",
        EXTRA: "there is a file that no expected state has the name of",
        NOT_A_FILE: "an entry of the output folder is a link, a folder or a device",
        UNREADABLE: "the output folder or a file in it cannot be read",
        NOT_JSON: "strict decoding refuses the file",
        NOT_CANONICAL: "the file has the right value, and bytes that are not canonical",
        DIFFERS: "the file has another value",
    }
)

_HEAD: Final = "case.json"
_EXPECTED: Final = "expected"


class Failure(NamedTuple):
    """One thing wrong with a case. `reason` is a key of REASONS; `file` is a name in the output
    folder, or None; the last two are as in `comparing.Difference`, None where nothing was compared.
    """

    reason: str
    file: str | None
    detail: str
    offset: int | None = None
    recomputes: bool | None = None


class Result(NamedTuple):
    """What came of a case. `stderr` is the end of what the program wrote there."""

    case: str
    failures: tuple[Failure, ...]
    stderr: str

    def status(self, expected_failures: Iterable[str]) -> Status:
        """`pass` and `fail`, or their opposites in the light of what was expected."""
        if self.case in expected_failures:
            return "expected_failure" if self.failures else "unexpected_pass"
        return "fail" if self.failures else "pass"


def shipped_cases() -> Path | None:
    """`fixtures/cases` beside the package, where a source checkout has it."""
    folder = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
    return folder if folder.is_dir() else None


def case_names(folder: Path) -> list[str]:
    """The cases of a folder, sorted: what has a case.json and expected states. Raises
    ConformanceError where there is none."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_case(Path(entry.path)))
    except OSError as error:
        raise ConformanceError(f"{folder}: {error.strerror}") from None
    if not names:
        raise ConformanceError(
            f"{folder} holds no conformance case: a case is a folder with case.json and expected/, "
            "such as those of fixtures/cases in pithgraph's source"
        )
    return names


def _is_case(folder: Path) -> bool:
    return (folder / _HEAD).is_file() and (folder / _EXPECTED).is_dir()


def read_expected_failures(path: Path, names: Iterable[str]) -> frozenset[str]:
    """The cases that a file lists: a name a line, `#` begins a comment. Raises ConformanceError
    for what is none of `names`."""
    known = set(names)
    listed = set()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConformanceError(f"{path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not (name := line.partition("#")[0].strip()):
            continue
        if name not in known:
            raise ConformanceError(f"{path}:{number}: there is no case {name!r}")
        listed.add(name)
    return frozenset(listed)


def run_case(command: Sequence[str], case: Path, seconds: float) -> Result:
    """Run a program on one case, and hold what it writes against the expected states.

    The program is given a copy of the folder without `expected`, so that nothing it does can pass
    for the merge, and an empty folder for its states. Raises ConformanceError for a case that
    cannot be read, OSError where the program cannot be started.
    """
    with tempfile.TemporaryDirectory(
        prefix="pithgraph-conformance-", ignore_cleanup_errors=True
    ) as place:
        given, output = Path(place, "case", case.name), Path(place, "output")
        given.mkdir(parents=True)
        output.mkdir()
        expected = _hand_over(case, given)
        ended = run_watched([*command, str(given), str(output)], output, seconds)
        failures = _failures_of_program(ended, seconds) or _failures_of_output(output, expected)
    return Result(case.name, tuple(failures), ended.stderr.decode("utf-8", "backslashreplace"))


def _hand_over(case: Path, given: Path) -> dict[str, bytes]:
    """Copy a case's inputs, and give its expected states by file name."""
    try:
        for path in case.iterdir():
            if path.is_file():
                shutil.copyfile(path, given / path.name)
        return {path.name: path.read_bytes() for path in (case / _EXPECTED).iterdir()}
    except OSError as error:
        raise ConformanceError(f"the case {case.name}: {error}") from None


def _failures_of_program(ended: Ended, seconds: float) -> list[Failure]:
    """What went wrong before there was anything to compare."""
    if ended.timed_out:
        return [Failure(TIMED_OUT, None, f"killed after {seconds:g} seconds")]
    if ended.too_large:
        return [_too_large()]
    if ended.code:
        how = f"exit code {ended.code}" if ended.code > 0 else f"killed by {_signal(-ended.code)}"
        return [Failure(EXIT_CODE, None, how)]
    return []


def _too_large() -> Failure:
    most = f"more than {MOST_BYTES} bytes or {MOST_ENTRIES} entries"
    return Failure(TOO_LARGE, None, f"the output folder holds {most}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _failures_of_output(output: Path, expected: Mapping[str, bytes]) -> list[Failure]:
    """What is wrong in the output folder, by file name; it may hold anything."""
    try:
        if not stat.S_ISDIR(output.lstat().st_mode):
            return [Failure(UNREADABLE, None, "the output folder was replaced")]
        found = set(os.listdir(output))
    except OSError as error:
        return [Failure(UNREADABLE, None, f"the output folder: {error.strerror}")]
    failures = []
    for name in sorted(found | expected.keys()):
        if name not in found:
            failures.append(Failure(MISSING, name, "it was not written"))
        elif name not in expected:
            failures.append(Failure(EXTRA, name, "no state of this name is expected"))
        elif (failure := _failure_of_file(output / name, expected[name])) is not None:
            failures.append(failure)
    return failures


def _failure_of_file(path: Path, expected: bytes) -> Failure | None:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return Failure(NOT_A_FILE, path.name, "a regular file is expected")
        found = path.read_bytes()
    except OSError as error:
        return Failure(UNREADABLE, path.name, str(error.strerror))
    differs = difference(found, expected)
    if differs is None:
        return None
    return Failure(differs.reason, path.name, differs.detail, differs.offset, differs.recomputes)
