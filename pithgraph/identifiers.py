"""Names of things: Pith Numbers, aliases, fingerprints, timestamps, text hashes (SPEC §2, §5).

What lives here: how each name is written, read and derived. What must not: documents, keys
and their trust, and anything that looks a name up.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from datetime import date
from typing import Any, Final, NamedTuple

from pithgraph.canonical import digest, encode
from pithgraph.errors import IdentifierError

SUFFIX_LENGTH: Final = 26
SHORT_LENGTHS: Final = (8, 12, 16)
EXCERPT_LENGTH: Final = 600

_PITH_NUMBER: Final = re.compile(r"pith:([0-9]{4}):([A-Z2-7]{26})")
_REFERENCE: Final = re.compile(r"(?:PITH:)?([A-Z2-7]+)")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)
_TIMESTAMP_LENGTH: Final = 20
FIRST_TIMESTAMP: Final = "0001-01-01T00:00:00Z"
LAST_TIMESTAMP: Final = "9999-12-31T23:59:59Z"
_ALIAS_TIME: Final = re.compile(r"(.{19})(?:\.[0-9]+)?(?:Z|\+00:00)", re.ASCII)
_YEAR: Final = re.compile(r"[0-9]{4}")


_BASE32_DIGITS: Final = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHIJKLMNOPQRSTUV"
)


class PithNumber(NamedTuple):
    """A paper's content address: four digits and 26 base32 characters (SPEC §2)."""

    year: str
    suffix: str

    def __str__(self) -> str:
        return f"pith:{self.year}:{self.suffix}"

    @property
    def short(self) -> str:
        """The `short_pith_number` of documents: `pith:` and 8 characters."""
        return f"pith:{self.suffix[:8]}"


class Reference(NamedTuple):
    """What a user typed to name a paper: a suffix or its beginning, and a year if it had one."""

    year: str | None
    prefix: str


class Alias(NamedTuple):
    """One other name of a paper."""

    kind: str
    value: str


def parse_pith_number(text: str) -> PithNumber:
    """A full Pith Number as documents write it: upper case (SPEC §2). Raises IdentifierError.

    >>> import pithgraph
    >>> paper = pithgraph.parse_pith_number("pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7")
    >>> paper.year, paper.short
    ('2018', 'pith:N7NXYVEE')
    """
    found = _PITH_NUMBER.fullmatch(text)
    if found is None:
        raise IdentifierError(f"{text!r} is no full Pith Number (pith:YEAR:26 characters)")
    return PithNumber(*found.groups())


def parse_reference(text: str) -> Reference:
    """What a user typed: a full Pith Number, or 26, 16, 12 or 8 characters with or without
    `pith:`, in any case (SPEC §2). Raises IdentifierError."""
    # Outside ASCII `upper` makes other letters: two of one, or A to Z of what is neither.
    typed = text.strip()
    typed = typed.upper() if typed.isascii() else typed
    if full := _PITH_NUMBER.fullmatch(typed.replace("PITH:", "pith:", 1)):
        return Reference(*full.groups())
    part = _REFERENCE.fullmatch(typed)
    if part is None or len(part.group(1)) not in (*SHORT_LENGTHS, SUFFIX_LENGTH):
        raise IdentifierError(
            f"{text!r} names no paper: give pith:YEAR:SUFFIX, or the first 8, 12, 16 or all 26 "
            "characters of SUFFIX; other names, such as an arXiv id, `pithgraph resolve` looks up"
        )
    return Reference(None, part.group(1))


def suffix_of(canonical_sha256: bytes) -> str:
    """SUFFIX for the 32 bytes of a canonical record's digest (SPEC §2, RFC 4648 base32)."""
    # 26 characters are 130 bits; the padding of whole groups of 5 bytes costs time.
    return base64.b32encode(canonical_sha256[:20]).decode("ascii")[:SUFFIX_LENGTH]


def is_suffix_of(suffix: str, canonical_sha256: bytes) -> bool:
    """Whether `suffix_of` would give this SUFFIX, which is one by its form; quicker, since Python
    reads numbers of base 32, with other digits, by itself."""
    number = int(suffix.translate(_BASE32_DIGITS), 32)
    return number == int.from_bytes(canonical_sha256[:17], "big") >> 6  # 26 characters: 130 bits


def year_of(canonical_record: Any) -> str | None:
    """The first four characters of `metadata.submitted_at`, if they are digits (SPEC §2)."""
    metadata = canonical_record.get("metadata") if isinstance(canonical_record, dict) else None
    submitted = metadata.get("submitted_at") if isinstance(metadata, dict) else None
    if not isinstance(submitted, str) or not _YEAR.match(submitted):
        return None
    return submitted[:4]


def derive_pith_number(canonical_record: Any) -> PithNumber:
    """The Pith Number of a canonical record (SPEC §2). Raises IdentifierError without a year."""
    year = year_of(canonical_record)
    if year is None:
        raise IdentifierError("metadata.submitted_at does not begin with a year")
    return PithNumber(year, suffix_of(hashlib.sha256(encode(canonical_record)).digest()))


def derive_aliases(paper: PithNumber, canonical_record: Any) -> list[Alias]:
    """The derivable aliases of a paper (SPEC §2), sorted.

    `canonical_record` is the record's value, or None where it is not known; without one, or
    with a source that is not arXiv's, only the three short forms can be derived.
    """
    aliases = [Alias(f"pith_short_{n}", paper.suffix[:n]) for n in SHORT_LENGTHS]
    source = canonical_record.get("source") if isinstance(canonical_record, dict) else None
    if isinstance(source, dict) and source.get("kind") == "arxiv":
        identifier, version = source.get("id"), source.get("version")
        if isinstance(identifier, str) and type(version) is int:
            aliases += [
                Alias("arxiv", identifier),
                Alias("arxiv_version", f"{identifier}v{version}"),
                Alias("doi", f"10.48550/arxiv.{identifier}"),
            ]
    return sorted(aliases)


def text_sha256(text: str) -> str:
    """`title_canon_sha256` or `abstract_canon_sha256` of a text (SPEC §2): lower-cased, runs of
    white space made one space, ends trimmed."""
    return digest(encode_text(" ".join(text.lower().split())))


def snapshot_sha256(items: list[Any]) -> str:
    """`snapshot_sha256` of a part of a graph snapshot (SPEC §2): known for an empty list, and
    otherwise our reading, which no published document confirms."""
    return digest(encode({"payload": items}))


EMPTY_SNAPSHOT_SHA256: Final = snapshot_sha256([])


def encode_text(text: str) -> bytes:
    """UTF-8. Strict decoding has kept lone surrogates out; from elsewhere they raise."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise IdentifierError("the text holds half of a surrogate pair") from None


def fingerprint_of(public_key: bytes) -> str:
    """First 16 bytes of SHA-256 of the raw 32-byte public key, in hex (SPEC §2)."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def fingerprint_base32_of(public_key: bytes) -> str:
    """First 26 characters of base32 of SHA-256 of the raw public key (SPEC §2)."""
    return base64.b32encode(hashlib.sha256(public_key).digest()).decode("ascii")[:26]


def is_timestamp(text: str) -> bool:
    """Whether the text is a SPEC §5 timestamp: `YYYY-MM-DDTHH:MM:SSZ`, a real time."""
    return len(text) == _TIMESTAMP_LENGTH and _is_time(text)


@functools.lru_cache(maxsize=4096)  # the events of a paper often have one time
def _is_time(text: str) -> bool:
    return _TIMESTAMP.fullmatch(text) is not None and _day(text[:10]) is not None


def seconds_of(timestamp: str) -> int:
    """The seconds from the beginning of year 1 to a §5 timestamp."""
    day = _day(timestamp[:10])
    assert day is not None
    hours, minutes, seconds = timestamp[11:13], timestamp[14:16], timestamp[17:19]
    return ((day * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)


@functools.lru_cache(maxsize=4096)  # a log holds many events of few days
def _day(text: str) -> int | None:
    """The number of days from the beginning of year 1 to `YYYY-MM-DD`; None for no real date."""
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:])).toordinal() - 1
    except ValueError:
        return None


def check_time(text: str) -> None:
    """Raise IdentifierError unless the text is a SPEC §5 timestamp."""
    if not is_timestamp(text):
        raise IdentifierError(f"{text!r} is no time of the form 2026-05-18T00:15:36Z")


def alias_time(text: str) -> str | None:
    """An alias row's created_at without its fraction, with `Z` (SPEC §4), or None if it is not
    a §5 timestamp with an optional fraction before `Z` or `+00:00`."""
    found = _ALIAS_TIME.fullmatch(text)
    if found is None:
        return None
    time = found.group(1) + "Z"
    return time if is_timestamp(time) else None
