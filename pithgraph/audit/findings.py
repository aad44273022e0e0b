"""Findings: what one check of an audit says, and how two values are shown where they differ.

What lives here: the words of an audit, comparing by canonical bytes, and walking a table of checks.
What must not: any rule that a check holds a document against.

A check is a row of a table: its name, and a function from the case to an outcome, or to several,
each with what its name has beyond the row's. A row's name and the case's own names (of links, of
rows) make the check's; whoever reads findings can rely on them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeVar

from pithgraph.canonical import encode

Status = Literal["pass", "fail", "unconfirmed", "skipped"]

_WORST_FIRST: Final[tuple[Status, ...]] = ("fail", "unconfirmed", "skipped", "pass")
MOST_FINDINGS: Final = 100_000  # of a document
_SHOWN: Final = 120  # characters of a value
_LEAD: Final = 24  # of them before the place where two values part
_DETAIL: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Finding(NamedTuple):
    """One line of an audit.

    `status` is `pass`; `fail`: the document contradicts itself or the rules; `unconfirmed`: it may
    be true, but nothing at hand shows it; `skipped`: it does not hold what the check takes. `check`
    is a stable name; `detail` is one line, safe to print on a terminal.
    """

    check: str
    status: Status
    detail: str


class Audited(NamedTuple):
    """A document's type, as `documents.classify` names it, and the findings about it in order."""

    document: str
    findings: tuple[Finding, ...]


class Outcome(NamedTuple):
    """What a check found; with the check's name it is a Finding."""

    status: Status
    detail: str


Part = tuple[str, Outcome]
Case = TypeVar("Case")
Checks = tuple[tuple[str, Callable[[Case], Outcome | Iterable[Part]]], ...]


def walk(checks: Checks[Case], case: Case) -> Iterator[Finding]:
    """The findings of a table of checks, in its order."""
    for name, check in checks:
        result = check(case)
        parts = [("", result)] if isinstance(result, Outcome) else result
        for part, outcome in parts:
            yield finding(name + part, outcome)


def bounded(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """The findings; of a document with more than 100,000 the first ones, and `more`, which has the
    worst status of the others and counts them. A few bytes of junk make a finding of hundreds."""
    first = [*islice(findings, MOST_FINDINGS)]
    others = Counter(one.status for one in findings)
    if others:
        worst = next(status for status in _WORST_FIRST if others[status])
        counts = ", ".join(f"{status} {others[status]}" for status in _WORST_FIRST)
        first.append(Finding("more", worst, f"further checks, of which no line is kept: {counts}"))
    return tuple(first)


def finding(check: str, outcome: Outcome) -> Finding:
    """A Finding whose text is safe for terminals, however hostile the document."""
    detail = plain(outcome.detail)
    return Finding(
        plain(check),
        outcome.status,
        detail if len(detail) <= _DETAIL else detail[: _DETAIL - 3] + "...",
    )


def passed(detail: str = "") -> Outcome:
    """The document says what it must."""
    return Outcome("pass", detail)


def failed(detail: str) -> Outcome:
    """The document contradicts itself or the rules."""
    return Outcome("fail", detail)


def unconfirmed(detail: str) -> Outcome:
    """It may be true, but nothing at hand shows it."""
    return Outcome("unconfirmed", detail)


def skipped(detail: str) -> Outcome:
    """The document does not hold what the check takes."""
    return Outcome("skipped", detail)


# --- values ----------------------------------------------------------------------------------


class _Absent:
    """The value of a member that is not there; null is a value."""


ABSENT: Final = _Absent()


def at(value: Any, *path: str) -> Any:
    """The member at a path of names, or ABSENT."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values have the same canonical bytes: 1, 1.0 and true are three values."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return encode(one) == encode(other)


def agree(stated: Any, known: Any, source: str) -> Outcome:
    """Pass where the values are the same; else fail with the first place at which they differ and
    both values there. `source` says where `known` comes from, as in "the record gives"."""
    if same(stated, known):
        return passed()
    where, one, other = _difference("", stated, known)
    first, second = _pair(one, other)
    place = f"at {where}: " if where else ""
    return failed(f"{place}stated {first}, {source} {second}")


def shown(value: Any) -> str:
    """A value for a detail: canonical JSON, cut where it is long."""
    return _cut(_text(value), 0)


def listed(texts: Iterable[str], most: int = 4) -> str:
    """A few texts, and how many more there are."""
    all_texts = list(texts)
    more = len(all_texts) - most
    return ", ".join(all_texts[:most]) + (f" and {more} more" if more > 0 else "")


def named(member: str) -> str:
    """What a document's own name for a member adds to a check's name: `.html` or `["\\u202e"]`."""
    return f".{member}" if _NAME.fullmatch(member) else f"[{_cut(_text(member), 0)}]"


def _difference(where: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """The first place at which two different values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            inside = at(one, name), at(other, name)
            if not same(*inside):
                return _difference(where + named(name), *inside)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, inside in enumerate(zip(one, other, strict=True)):
            if not same(*inside):
                return _difference(f"{where}[{index}]", *inside)
    return where.removeprefix("."), one, other


def _text(value: Any) -> str:
    return "absent" if value is ABSENT else encode(value).decode("utf-8")


def _pair(one: Any, other: Any) -> tuple[str, str]:
    """Two different values, cut so that the place where they part is seen."""
    first, second = _text(one), _text(other)
    if len(first) <= _SHOWN and len(second) <= _SHOWN:
        return first, second
    parted = 0
    while parted < min(len(first), len(second)) and first[parted] == second[parted]:
        parted += 1
    start = max(0, parted - _LEAD)
    return _cut(first, start), _cut(second, start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")


def plain(text: str) -> str:
    """Controls, line ends and marks that turn the direction of writing, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
