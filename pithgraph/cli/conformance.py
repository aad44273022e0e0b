"""`pithgraph conformance`."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click

from pithgraph.audit.findings import listed
from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import out, out_json
from pithgraph.conformance import (
    Failure,
    Result,
    Status,
    case_names,
    read_expected_failures,
    run_case,
    shipped_cases,
)

# How a case's line begins, and its colour.
_WORDS: dict[Status, tuple[str, str]] = {
    "pass": ("pass", "green"),
    "fail": ("fail", "red"),
    "expected_failure": ("fail, as expected", "yellow"),
    "unexpected_pass": ("pass, though a failure was expected", "red"),
}
_SAID = 200  # characters of what the program said last


def _split(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None
    if not words:
        raise click.BadParameter("it names no program")
    if shutil.which(words[0]) is None:
        raise click.BadParameter(f"there is no program {words[0]!r}")
    return words


@click.command("conformance")
@click.argument("names", nargs=-1, metavar="[CASE]...")
@click.option(
    "--command",
    "program",
    required=True,
    callback=_split,
    metavar="CMD",
    help="The program and its first arguments, quoted as for a shell, which there is none of.",
)
@click.option(
    "--cases",
    "cases",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the cases, instead of fixtures/cases of this source checkout.",
)
@click.option(
    "--time-out",
    "seconds",
    type=click.IntRange(min=1, max=86400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Kill the program, and what it started, after so long with one case.",
)
@click.option(
    "--expected-failures",
    "expected_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of names of cases, one a line, that are known to fail; # begins a comment.",
)
@options.json_lines
def command(
    names: tuple[str, ...],
    program: list[str],
    cases: Path | None,
    seconds: int,
    expected_path: Path | None,
    as_json: bool,
) -> int:
    """Run the conformance cases against another implementation of the merge.

    For each case, or for those named, the program is run with two more arguments: a folder with the
    case's inputs, and an empty folder, into which it writes the state of each paper, named as in
    the case's expected/. Bytes are compared. Exit 1 says that a case failed that is not expected
    to, or that one passed that is.

    \b
    pithgraph conformance --command "python3 -m pithgraph.conformance_adapter"
    pithgraph conformance --command "./my-merge --states" time-real-dates
    """
    folder = cases or shipped_cases()
    if folder is None:
        raise click.UsageError(
            "this installation has no cases: take fixtures/cases of pithgraph's source, and name "
            "that folder with --cases"
        )
    known = case_names(folder)
    for name in names:
        if name not in known:
            raise click.UsageError(f"{folder} has no case {name!r}")
    expected_failures = (
        frozenset() if expected_path is None else read_expected_failures(expected_path, known)
    )
    sums = Counter[Status]()
    for name in dict.fromkeys(names or known):
        result = run_case(program, folder / name, seconds)
        status = result.status(expected_failures)
        sums[status] += 1
        if as_json:
            out_json(_row(result, status))
        else:
            word, colour = _WORDS[status]
            out(f"{word}  {result.case}{_why(result)}", colour)
    if as_json:
        out_json({"cases": sums.total(), **{status: sums[status] for status in _WORDS}})
    else:
        out(
            f"cases: {sums.total()}; " + "; ".join(f"{_WORDS[one][0]}: {sums[one]}" for one in sums)
        )
    return FAILED if sums["fail"] or sums["unexpected_pass"] else FINE


def _row(result: Result, status: Status) -> dict[str, Any]:
    failures = [
        {
            "reason": one.reason,
            "file": one.file,
            "detail": one.detail,
            "offset": one.offset,
            "state_sha256_recomputes": one.recomputes,
        }
        for one in result.failures
    ]
    return {
        "case": result.case,
        "status": status,
        "failures": failures,
        "stderr": result.stderr,
    }


def _why(result: Result) -> str:
    """What failed, in one line."""
    if not result.failures:
        return ""
    said = result.stderr.strip().rpartition("\n")[2]
    return f": {listed(map(_shown, result.failures))}" + (
        f"; it said {said[-_SAID:]!r}" if said else ""
    )


def _shown(failure: Failure) -> str:
    where = f" {failure.file}" if failure.file is not None else ""
    return f"{failure.reason}{where} ({failure.detail})"
