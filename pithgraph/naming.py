"""What a user types to name a paper by any of its names, and which alias rows say the same.

What lives here: reading such a text, and the keys by which it and an alias row meet. What must not:
looking anything up (`resolving`), and how aliases are derived (`identifiers`).

A text and a row mean the same where they have a key in common. Letter case does not count in arXiv
ids and DOIs (a DOI has none, and arXiv's DOIs hold ids); in all other values it does.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote

from pithgraph.errors import IdentifierError
from pithgraph.identifiers import Reference, parse_reference


class Key(NamedTuple):
    """One way in which a text and an alias row may mean the same: a scheme, and a text in it."""

    scheme: str
    text: str


class Name(NamedTuple):
    """A text that names a paper. `reference` is what it says of the Pith Number, or None. `keys`,
    the nearest first, are those of alias rows that name a paper so; `near` those of rows that name
    another version of it, where the text names a version."""

    text: str
    reference: Reference | None
    keys: tuple[Key, ...]
    near: tuple[Key, ...] = ()


ARXIV: Final = "arxiv"
ARXIV_VERSION: Final = "arxiv_version"
DOI: Final = "doi"
EXACT: Final = "exact"
"""The scheme of a value as it stands, in a row of whatever kind."""

_ARXIV_DOI: Final = "10.48550/arxiv."
_PITH_SHORT: Final = "pith_short_"

_VERSIONED: Final = re.compile(r"(.+)v[0-9]+", re.DOTALL)
# arXiv's identifiers since 2007, and before; each perhaps with a version.
_ARXIV_FORM: Final = re.compile(
    r"(?:[0-9]{4}\.[0-9]{4,5}|[a-z-]+(?:\.[a-z]{2})?/[0-9]{7})(?:v[0-9]+)?"
)
_DOI_FORM: Final = re.compile(r"10\.[0-9]{4,9}/.+", re.DOTALL)
_URL: Final = re.compile(
    r"(?:https?://)?(?:www\.|export\.|dx\.)?(arxiv\.org|doi\.org|pith\.science)/"
    r"([^?#]*)(?:\?([^#]*))?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_ARXIV_PATH: Final = re.compile(
    r"(?:abs|pdf|html|format|ps|src|e-print)/(.+?)(?:\.pdf)?/?", re.IGNORECASE | re.DOTALL
)
# The patterns of SPEC §4: a SUFFIX, or its beginning, and what is asked about it.
_PITH_PATH: Final = re.compile(
    r"(?:\.well-known/)?(?:pith|paper|api/pith-number)/([^/]+?)(?:\.json)?(?:/.*)?",
    re.IGNORECASE | re.DOTALL,
)


def parse_name(text: str) -> Name:
    """What a user typed (SPEC §9): a Pith Number or a short form; an arXiv id, with or without
    `arXiv:` and a version; a DOI, with or without `doi:`; an address at arxiv.org, doi.org or
    pith.science; or whatever value an alias row may have. Raises IdentifierError for nothing."""
    typed = text.strip()
    if not typed:
        raise IdentifierError("an empty text names no paper")
    lower = _lower(typed)
    if found := _URL.fullmatch(typed):
        host, path, query = found.groups()
        named = _of_url(text, typed, host.lower(), unquote(path), query or "")
        if named is not None:
            return named
    if lower.startswith("arxiv:") and lower != "arxiv:":
        return _arxiv(text, typed[6:].strip(), typed)
    if lower.startswith("doi:") and lower != "doi:":
        return _doi(text, typed[4:].strip(), typed)
    if _DOI_FORM.fullmatch(lower):
        return _doi(text, typed, typed)
    if _ARXIV_FORM.fullmatch(lower):
        return _arxiv(text, typed, typed)
    exact = (Key(EXACT, typed),)
    try:
        reference = parse_reference(typed)
    except IdentifierError:
        return Name(text, None, exact)
    # With its prefix it can be nothing else, and no row need be looked at.
    return Name(text, reference, () if lower.startswith("pith:") else exact)


def keys_of_row(kind: str, value: str) -> tuple[Key, ...]:
    """The keys of an alias row. Rows of Pith's own short forms have none: what a short form names
    is for the Pith Number itself to say."""
    if kind.startswith(_PITH_SHORT):
        return ()
    exact = Key(EXACT, value)
    lower = _lower(value)
    if kind == ARXIV:
        return Key(ARXIV, lower), exact
    if kind == DOI:
        return Key(DOI, lower), exact
    if kind == ARXIV_VERSION:
        stem = _VERSIONED.fullmatch(lower)
        any_version = (Key(ARXIV, stem[1]),) if stem else ()
        return (Key(ARXIV_VERSION, lower), *any_version, exact)
    return (exact,)


def _arxiv(text: str, identifier: str, typed: str) -> Name:
    lower = _lower(identifier)
    found = _VERSIONED.fullmatch(lower)
    if found is None:
        keys = Key(ARXIV, lower), Key(DOI, _ARXIV_DOI + lower), Key(EXACT, typed)
        return Name(text, None, keys)
    keys = Key(ARXIV_VERSION, lower), Key(ARXIV, lower), Key(EXACT, typed)
    return Name(text, None, keys, (Key(ARXIV, found[1]),))


def _doi(text: str, doi: str, typed: str) -> Name:
    lower = _lower(doi)
    own = Key(DOI, lower)
    identifier = lower.removeprefix(_ARXIV_DOI)
    if identifier in ("", lower):
        return Name(text, None, (own, Key(EXACT, typed)))
    inside = _arxiv(text, identifier, typed)
    return inside._replace(keys=(own, *(key for key in inside.keys if key != own)))


def _of_url(text: str, typed: str, host: str, path: str, query: str) -> Name | None:
    if host == "doi.org":
        return _doi(text, path, typed) if path else None
    if host == "arxiv.org":
        found = _ARXIV_PATH.fullmatch(path)
        return _arxiv(text, found[1], typed) if found else None
    asked = parse_qs(query).get("arxiv", [""])[0]
    if asked and path.lower() == "api/pith-number/resolve":
        return _arxiv(text, asked, typed)
    found = _PITH_PATH.fullmatch(path)
    if found is None:
        return None
    try:
        return Name(text, parse_reference(found[1]), ())
    except IdentifierError:
        return None


def _lower(text: str) -> str:
    """Lower-case, where that is a question of ASCII alone."""
    return text.lower() if text.isascii() else text
