"""Any name of a paper to the Pith Numbers that it may mean (SPEC §9).

What lives here: the look-up in a log. What must not: what names look like, and which of them mean
the same (`naming`).

A log has its alias rows by paper. So a Pith Number or a short form is looked up, and any other name
takes one pass over all alias rows, however many names are asked: one or two microseconds a row, and
about six where more are asked than `_SEARCHED` texts can tell.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from pithgraph.errors import LogError
from pithgraph.identifiers import PithNumber, alias_time
from pithgraph.keyring import Keyring
from pithgraph.log import Log, Snapshot
from pithgraph.log.layout import paper_of, read_alias_value
from pithgraph.merging import Merging
from pithgraph.naming import Key, Name, keys_of_row, parse_name
from pithgraph.replaying import nearest
from pithgraph.sources import load_keyring
from pithgraph.validation import VERIFIED

Standing = Literal["derived", "claimed"]
DERIVED: Final = "derived"
CLAIMED: Final = "claimed"

_PROGRESS_ROWS: Final = 16384
_NEAREST: Final = 3
_SEARCHED: Final = 100


class AliasRow(NamedTuple):
    """An alias row as a state shows it: `created_at` is the earliest of those of this kind and
    value, without its fraction."""

    kind: str
    value: str
    created_at: str


class Candidate(NamedTuple):
    """A paper that a name may mean.

    `derived`: its Pith Number, or the canonical record of its state, says so; `claimed`: nothing
    but an alias row does, which nobody signs. `row` is the row; None where the Pith Number itself
    is the name, and no row repeats it.
    """

    paper: PithNumber
    standing: Standing
    row: AliasRow | None


class Resolved(NamedTuple):
    """A name as it was asked, and the papers that it may mean.

    Derived ones stand first. Where there is none, `near` has some that have a name like it.
    """

    name: str
    candidates: list[Candidate]
    nearest: list[PithNumber]


def resolve(
    log: Log,
    names: Sequence[str],
    *,
    keyring: Keyring | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Resolved]:
    """What each of these names may mean, as `naming.parse_name` reads them; in their order.

    Of a paper that several rows name so, the best row is given. A name is derived where the state,
    as verified under the keyring, shows its row in `source_aliases`. A paper without an alias row
    is found by its Pith Number alone. `progress` is told how many alias rows were read. What is
    found is kept in memory; nothing else is.

    Raises IdentifierError for an empty name, before the log is read; LogError.
    """
    asked = [parse_name(name) for name in names]
    keyring = keyring or load_keyring()
    with log.snapshot() as snapshot:
        found, near = _scan(snapshot, asked, progress)
        derivable = _Derivable(snapshot, keyring)
        return [
            _resolved(snapshot, name, found[number], near[number], derivable)
            for number, name in enumerate(asked)
        ]


# The rows of a kind and value that name a paper, with the earliest created_at.
_Rows = dict[tuple[str, str], str]
_Found = defaultdict[int, dict[bytes, _Rows]]
_Near = defaultdict[int, set[bytes]]


def _scan(
    snapshot: Snapshot, asked: Sequence[Name], progress: Callable[[int], None] | None
) -> tuple[_Found, _Near]:
    """By the number of a name, the papers that alias rows name so, and their rows; and the papers
    that they name almost so."""
    exactly = _numbers(name.keys for name in asked)
    almost = _numbers(name.near for name in asked)
    found: _Found = defaultdict(dict)
    near: _Near = defaultdict(set)
    texts = {key.text for key in (*exactly, *almost)}
    if not texts:
        return found, near
    may_match = _any_of(texts)
    for number, (key, value) in enumerate(snapshot.rows(b"aliases"), 1):
        if progress is not None and number % _PROGRESS_ROWS == 0:
            progress(number)
        # A row whose bytes hold none of the texts has none of the keys.
        if not may_match(value.lower()):
            continue
        row = read_alias_value(key, value)
        paper = key[:-16]
        for meant in keys_of_row(row.kind, row.value):
            for name in exactly.get(meant, ()):
                rows = found[name].setdefault(paper, {})
                time = alias_time(row.created_at) or row.created_at
                known = rows.get((row.kind, row.value), time)
                rows[row.kind, row.value] = min(known, time)
            for name in almost.get(meant, ()):
                if len(near[name]) < _NEAREST:
                    near[name].add(paper)
    return found, near


def _numbers(keys: Iterable[tuple[Key, ...]]) -> dict[Key, list[int]]:
    numbers: dict[Key, list[int]] = {}
    for number, own in enumerate(keys):
        for key in own:
            numbers.setdefault(key, []).append(number)
    return numbers


def _any_of(texts: set[str]) -> Callable[[bytes], object]:
    """Finds one of these texts in bytes whose ASCII letters are lower-case; or says that there may
    be one, where so many are no quicker to look for than a row is to read."""
    if len(texts) > _SEARCHED:
        return lambda _: True
    # In stored rows texts stand as UTF-8, and halves of surrogate pairs in none.
    found = (text.encode("utf-8", "surrogatepass").lower() for text in texts)
    return re.compile(b"|".join(sorted(map(re.escape, found)))).search


class _Derivable:
    """Which alias rows the states of papers show."""

    def __init__(self, snapshot: Snapshot, keyring: Keyring) -> None:
        self._snapshot = snapshot
        self._keyring = keyring
        self._merging = Merging(snapshot, keyring, VERIFIED)

    def of(self, paper: PithNumber) -> set[tuple[str, str]]:
        """The kind and value of each."""
        state = self._snapshot.cached_state(paper, self._keyring.sha256, VERIFIED)
        state = state or self._merging.state(paper)
        if state is None:
            raise LogError(f"the log holds alias rows of {paper}, and no paper: see fsck")
        rows = state.document["current"]["source_aliases"]
        return {(row["alias_kind"], row["alias_value"]) for row in rows}


def _resolved(
    snapshot: Snapshot,
    name: Name,
    found: dict[bytes, _Rows],
    near: set[bytes],
    derivable: _Derivable,
) -> Resolved:
    candidates = {}
    for key, rows in found.items():
        paper = paper_of(key)
        candidates[paper] = _best(name, paper, rows, derivable.of(paper))
    if name.reference is not None:
        for paper in snapshot.find(name.reference):
            row = _short_form(snapshot, paper, name.reference.prefix)
            candidates[paper] = Candidate(paper, DERIVED, row)
    close: list[PithNumber] = []
    if not candidates and name.reference is not None:
        close = nearest(snapshot, name.reference.prefix)
    elif not candidates:
        close = sorted(map(paper_of, near), key=_suffix_first)
    ordered = sorted(
        candidates.values(), key=lambda one: (one.standing != DERIVED, *_suffix_first(one.paper))
    )
    return Resolved(name.text, ordered, close)


def _short_form(snapshot: Snapshot, paper: PithNumber, prefix: str) -> AliasRow | None:
    """The row of a short form, where there is one; the form holds without."""
    name = f"pith_short_{len(prefix)}", prefix
    times = [
        alias_time(row.created_at) or row.created_at
        for row in snapshot.aliases_of(paper)
        if (row.kind, row.value) == name
    ]
    return AliasRow(*name, min(times)) if times else None


def _best(name: Name, paper: PithNumber, rows: _Rows, shown: set[tuple[str, str]]) -> Candidate:
    """The row that says most: one that is derived, then one of the key that is named first."""

    def rank(row: tuple[str, str]) -> tuple[bool, int, tuple[str, str]]:
        keys = keys_of_row(*row)
        return row not in shown, min(name.keys.index(k) for k in keys if k in name.keys), row

    best = min(rows, key=rank)
    standing: Standing = DERIVED if best in shown else CLAIMED
    return Candidate(paper, standing, AliasRow(*best, rows[best]))


def _suffix_first(paper: PithNumber) -> tuple[str, str]:
    return paper.suffix, paper.year
