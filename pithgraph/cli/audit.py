"""`pithgraph audit`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Final, NamedTuple

import click

from pithgraph.audit.checkpoint import Views
from pithgraph.audit.findings import Finding
from pithgraph.audit.sightings import Checked
from pithgraph.auditing import UNREADABLE, Auditor, audited_by
from pithgraph.cli import FAILED, FINE, REFUSED, options
from pithgraph.cli.output import in_colour, out_lines, result, say, shown_line
from pithgraph.cli.progress import BYTES, Bar
from pithgraph.keyring import Keyring
from pithgraph.notes import VerifierKey
from pithgraph.report import Report, Sums
from pithgraph.sources import Limits, load_keyring, read_spans, total_bytes

# Where a person has to scroll back for them, the first failures are listed again.
_LONG: Final = 50
_REPEATED: Final = 20


@click.command("audit")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options.keyring
@options.vkeys
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Print only the checks that failed, each in a line with its document.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False),
    metavar="FILE.html",
    help="Write a page about the audit to this new file, failures first. It runs and fetches "
    "nothing; of very many documents it shows the first, and says how many it leaves out.",
)
@options.workers("Audit in N processes beside this one, which reads and prints")
@options.limits
@options.json_lines
def command(
    paths: tuple[str, ...],
    keyring_path: str | None,
    vkeys: tuple[VerifierKey, ...],
    quiet: bool,
    report_path: str | None,
    workers: int,
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Check published documents against themselves and the keyring, offline.

    PATH is a file, a folder (read recursively) or - for standard input: records, states, bundles,
    mirror manifests, keyrings, proofs, events, checkpoints. Of a folder only JSON files are read:
    name checkpoints and inclusion proofs one by one. Each check is one line: pass, fail,
    unconfirmed (it cannot be decided from the document) or skipped (what it needs is not there).
    Members that nothing signs, hashes or repeats have no check.

    \b
    pithgraph audit fixtures/pith
    pithgraph audit --quiet --report audit.html documents/
    pithgraph audit --vkey example.org/log+1a2b3c4d+AQ... event.tlog-proof
    """
    keyring = load_keyring(keyring_path)
    auditor = Auditor(keyring, vkeys, sees=report_path is not None)
    style = _Style(as_json, quiet, in_colour(), report_path is not None)
    done = _Totals()
    report = Report()
    views = Views()
    with ExitStack() as stack:
        write: Callable[[bytes], object] | None = None
        if report_path is not None:  # told first if there is a file already
            write = stack.enter_context(result(report_path))
        bar = stack.enter_context(
            Bar("audit", partial(total_bytes, paths), BYTES, beside_results=True)
        )
        pieces = read_spans(paths, Limits(max_line, max_document), progress=bar.advance, texts=True)
        audited = audited_by(workers, pieces, auditor, partial(_shown, style))
        for shown in stack.enter_context(closing(audited)):
            done.documents += 1
            for one in (shown, *_contradicted(style, views, shown.signed)):
                done.add(one)
                if one.checked is not None:
                    report.add(one.checked)
                if one.lines:
                    out_lines(one.lines)
        if write is not None:
            write(report.html(done.sums(keyring)).encode("utf-8"))
    if not quiet:
        _repeat(done)
    counts = done.counts
    say(
        f"documents: {done.documents}, unreadable: {done.unreadable}; "
        f"checks passed: {counts['pass']}, failed: {counts['fail']}, "
        f"unconfirmed: {counts['unconfirmed']}, skipped: {counts['skipped']}; "
        f"keyring {keyring.sha256[:16]}…"
    )
    if counts["fail"]:
        return FAILED
    # Nothing audited is nothing confirmed: a folder without documents is no pass.
    return REFUSED if done.unreadable or not done.documents else FINE


def _repeat(done: _Totals) -> None:
    """The first failures of a long output, again."""
    if done.documents <= _LONG or not done.failures:
        return
    more = done.failure_count - len(done.failures)
    say("first failures:" if more else "failures:")
    for line in done.failures:
        say(f"  {line}")
    if more:
        say(f"  and {more} more")


# --- one document, wherever it was audited ---------------------------------------------------


class _Style(NamedTuple):
    """How findings are printed, and whether they are wanted for a report too."""

    as_json: bool
    quiet: bool
    in_colour: bool
    for_report: bool


class _Shown(NamedTuple):
    """A document as it is printed, without the last newline, and what is summed up."""

    lines: str
    unreadable: bool
    counts: Counter[str]
    failures: list[str]
    failure_count: int
    checked: Checked | None
    signed: Checked | None  # without its findings, where it has signed checkpoints


class _Totals:
    """What was audited so far."""

    def __init__(self) -> None:
        self.documents = self.unreadable = self.failure_count = 0
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def add(self, shown: _Shown) -> None:
        self.unreadable += shown.unreadable
        self.counts.update(shown.counts)
        self.failure_count += shown.failure_count
        self.failures += shown.failures[: _REPEATED - len(self.failures)]

    def sums(self, keyring: Keyring) -> Sums:
        return Sums(self.documents, self.unreadable, self.counts, keyring.sha256)


def _shown(style: _Style, checked: Checked) -> _Shown:
    failed = checked.failed
    unreadable = checked.document == UNREADABLE
    counts: Counter[str] = Counter()
    if not unreadable:
        counts.update(finding.status for finding in checked.findings)
    return _Shown(
        _lines(style, checked, failed if style.quiet else checked.findings),
        unreadable,
        counts,
        [_failure(checked, finding) for finding in failed[:_REPEATED]],
        len(failed),
        checked if style.for_report else None,
        checked._replace(findings=(), sightings=()) if checked.checkpoints else None,
    )


def _contradicted(style: _Style, views: Views, signed: Checked | None) -> Iterator[_Shown]:
    """What documents before this one say against its checkpoints."""
    if signed is not None:
        for found in views.contradicted(signed.place, signed.checkpoints):
            yield _shown(style, Checked(signed.place, signed.document, (found,)))


def _lines(style: _Style, checked: Checked, findings: list[Finding] | tuple[Finding, ...]) -> str:
    if style.as_json:
        named = {"path": checked.place, "document": checked.document}
        return "\n".join(
            shown_line(json.dumps({**named, **finding._asdict()})) for finding in findings
        )
    if style.quiet:
        red = _COLOURS["fail"] if style.in_colour else None
        return "\n".join(shown_line(_failure(checked, finding), red) for finding in findings)
    lines = [shown_line(f"{checked.place}: {checked.document}")]
    for finding in findings:
        detail = f": {finding.detail}" if finding.detail else ""
        colour = _COLOURS.get(finding.status) if style.in_colour else None
        lines.append(shown_line(f"  {finding.status:11} {finding.check}{detail}", colour))
    return "\n".join(lines)


def _failure(checked: Checked, finding: Finding) -> str:
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{checked.place}: {finding.check}{detail}"


_COLOURS = {"pass": "green", "fail": "red", "unconfirmed": "yellow"}
