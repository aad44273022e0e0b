"""The report of an audit: one page of HTML, in which nothing runs and nothing is fetched.

What lives here: what the page holds, in which order, and how large it may grow. What must not: how
it looks (`style`), escaping (`text`), files. The same audit gives the same bytes: no clock, no name
of a machine.

Documents are taken one by one, as they are audited, and only what the page will hold is kept. The
bounds are of numbers and of characters, so neither a million documents nor a hostile one makes a
page that no browser opens; what was left out is counted and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from pithgraph.audit.findings import Finding
from pithgraph.audit.sightings import Checked, Sighting
from pithgraph.report.graph import cell, graph, links_of, table_head, verdict_cell
from pithgraph.report.style import POLICY, STYLE
from pithgraph.report.text import counted, text

__all__ = ["FAILED_SHOWN", "PASSED_SHOWN", "Report", "Sums"]

FAILED_SHOWN: Final = 500
PASSED_SHOWN: Final = 100
_CHECKS: Final = 200  # of a document, passed or not
_PART_CHARACTERS: Final = 4_000_000  # of all failed documents, and of all others
_OPEN: Final = 20  # of the failed documents, the first
# Papers of the other documents leave room for those of failed ones.
_PAPERS_PASSED: Final = 100
_PAPERS: Final = 300
_EVENTS: Final = 100  # of a paper

_STATUSES: Final = ("fail", "unconfirmed", "skipped", "pass")
_ORDER: Final = {status: rank for rank, status in enumerate(_STATUSES)}


class Sums(NamedTuple):
    """What an audit counted: documents, unreadable ones among them, and checks by status."""

    documents: int
    unreadable: int
    checks: Counter[str]
    keyring_sha256: str


class _Part:
    """Documents of one section, as HTML, up to a number and a size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self.shown: list[str] = []
        self.left_out = 0

    @property
    def is_full(self) -> bool:
        return len(self.shown) >= self._most or self._size >= _PART_CHARACTERS

    def add(self, html: str) -> None:
        """Take a document that `is_full` has not kept out."""
        self._size += len(html)
        self.shown.append(html)


class Report:
    """Collects documents in the order of the input, and gives the page."""

    def __init__(self) -> None:
        self._failed = _Part(FAILED_SHOWN)
        self._others = _Part(PASSED_SHOWN)
        self._papers: dict[str, dict[Sighting, None]] = {}
        self._papers_left_out: bool = False
        self._events_left_out: Counter[str] = Counter()

    def add(self, checked: Checked) -> None:
        """Take one document."""
        failed = bool(checked.failed)
        part = self._failed if failed else self._others
        if part.is_full:
            part.left_out += 1
            return
        part.add(_document(checked, is_open=failed and len(part.shown) < _OPEN))
        for one in checked.sightings:
            self._see(one, _PAPERS if failed else _PAPERS_PASSED)

    def html(self, sums: Sums) -> str:
        """The page."""
        title, verdict = _verdict(sums)
        seen = [one for events in self._papers.values() for one in events]
        sections = [
            _section("failures", "Failures", self._failed, "No document failed a check."),
            _section("others", "Other documents", self._others, "There are none."),
            self._timelines(),
            _signing(seen),
        ]
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"{_header(title, verdict, sums)}\n<main>\n{''.join(sections)}</main>\n"
            "</body>\n</html>\n"
        )

    def _see(self, one: Sighting, most: int) -> None:
        if one.paper not in self._papers:
            if len(self._papers) >= most:
                self._papers_left_out = True
                return
            self._papers[one.paper] = {}
        events = self._papers[one.paper]
        if one in events:  # another document shows it too
            return
        if len(events) >= _EVENTS:
            self._events_left_out[one.paper] += 1
        else:
            events[one] = None

    def _timelines(self) -> str:
        papers = "".join(
            _timeline(paper, self._papers[paper], self._events_left_out[paper])
            for paper in sorted(self._papers)
        )
        notes = ["The events of the documents above, by the time that each states."]
        if self._papers_left_out:
            notes.append(f"Further papers are left out: the page has {len(self._papers)}.")
        if not papers:
            notes = ["The documents above show no events."]
        return (
            '<section id="papers"><h2>Events of each paper</h2>'
            f'<p class="muted">{" ".join(notes)}</p>{papers}</section>\n'
        )


# --- the top ---------------------------------------------------------------------------------


def _verdict(sums: Sums) -> tuple[str, str]:
    """The title, and the status that it is coloured by."""
    failed, unconfirmed = sums.checks["fail"], sums.checks["unconfirmed"]
    if failed:
        return f"Audit: {counted(failed, 'check')} failed", "fail"
    if sums.unreadable:
        return f"Audit: {counted(sums.unreadable, 'document')} could not be read", "fail"
    if not sums.documents:
        return "Audit: there was no document", "fail"
    if unconfirmed:
        return f"Audit: no check failed, {unconfirmed:,} unconfirmed", "unconfirmed"
    return "Audit: no check failed", "pass"


def _header(title: str, verdict: str, sums: Sums) -> str:
    counts = (
        ("Documents", sums.documents, ""),
        ("Unreadable", sums.unreadable, "fail"),
        ("Failed", sums.checks["fail"], "fail"),
        ("Unconfirmed", sums.checks["unconfirmed"], "unconfirmed"),
        ("Skipped", sums.checks["skipped"], ""),
        ("Passed", sums.checks["pass"], "pass"),
    )
    boxes = "".join(
        f'<div><dt>{name}</dt><dd class="{colour if number else ""}">{number:,}</dd></div>'
        for name, number, colour in counts
    )
    links = "".join(
        f'<li><a href="#{name}">{label}</a></li>'
        for name, label in (
            ("failures", "Failures"),
            ("others", "Other documents"),
            ("papers", "Events of each paper"),
            ("signers", "Who signed what"),
        )
    )
    return (
        f'<header class="{verdict}"><h1>{title}</h1>'
        f'<p class="muted">Under the keyring <code>{text(sums.keyring_sha256)}</code>. An audit '
        "says what it checked, and no more: members that nothing signs, hashes or repeats have no "
        "check.</p></header>\n"
        f'<dl class="counts">{boxes}</dl>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    )


# --- documents -------------------------------------------------------------------------------


def _section(name: str, title: str, part: _Part, nothing: str) -> str:
    total = len(part.shown) + part.left_out
    note = "" if total else nothing
    if part.left_out:
        note = (
            f"The first {len(part.shown):,} of {counted(total, 'document')}; "
            f"{part.left_out:,} left out."
        )
    note = f'<p class="muted">{note}</p>' if note else ""
    return f'<section id="{name}"><h2>{title}</h2>{note}{"".join(part.shown)}</section>\n'


def _document(checked: Checked, *, is_open: bool) -> str:
    counts = Counter(finding.status for finding in checked.findings)
    told = ", ".join(
        f'<span class="{status}">{counts[status]:,} {status}</span>'
        for status in _STATUSES
        if counts[status]
    )
    return (
        f"<details{' open' if is_open else ''}><summary><code>{text(checked.place)}</code> "
        f'<span class="n">{text(checked.document)}: {told or "no checks"}</span></summary>'
        f"{_checks(checked.findings)}</details>\n"
    )


def _checks(findings: Iterable[Finding]) -> str:
    """What did not pass, the worst first; then, folded where there is both, what passed."""
    ordered = sorted(findings, key=lambda finding: _ORDER[finding.status])
    notable = [finding for finding in ordered if finding.status != "pass"]
    passed = ordered[len(notable) :]
    if not notable or not passed:
        return _list(ordered)
    folded = f"<summary>{counted(len(passed), 'check')} passed</summary>{_list(passed)}"
    return f"{_list(notable)}<details>{folded}</details>"


def _list(findings: list[Finding]) -> str:
    more = len(findings) - _CHECKS
    checks = "".join(map(_check, findings[:_CHECKS]))
    left = f'<li class="muted">{counted(more, "further check")} left out</li>' if more > 0 else ""
    return f'<ul class="checks">{checks}{left}</ul>'


def _check(finding: Finding) -> str:
    detail = f": {text(finding.detail)}" if finding.detail else ""
    return (
        f'<li><b class="{finding.status}">{finding.status}</b> '
        f'<span class="v">{text(finding.check)}{detail}</span></li>'
    )


# --- events ----------------------------------------------------------------------------------


def _timeline(paper: str, events: Iterable[Sighting], left_out: int) -> str:
    ordered = sorted(events, key=lambda one: (one.created_at, one.event_id, one))
    rows = "".join(
        f'<tr role="row">{cell("Created at", text(one.created_at or "no time"))}'
        f"{cell('Kind', text(one.kind or 'no kind'))}"
        f"{cell('Signer', text(one.signer or 'nobody'))}"
        f"{verdict_cell(one.verdict, text(one.detail))}</tr>"
        for one in ordered
    )
    left = f"; {left_out:,} left out" if left_out else ""
    return (
        f"<details><summary><code>{text(paper or 'no paper')}</code> "
        f'<span class="n">{counted(len(ordered), "event")}{left}</span></summary>'
        f'<table class="events" role="table">'
        f"{table_head('Created at', 'Kind', 'Signer', 'Verdict')}"
        f'<tbody role="rowgroup">{rows}</tbody></table></details>\n'
    )


def _signing(seen: list[Sighting]) -> str:
    body = graph(links_of(seen)) if seen else '<p class="muted">There is nothing to draw.</p>'
    return (
        '<section id="signers"><h2>Who signed what</h2>'
        '<p class="muted">Signers as the documents name them, and the papers that they say '
        f"something about.</p>{body}</section>\n"
    )
