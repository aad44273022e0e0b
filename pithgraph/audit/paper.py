"""What several documents say about a paper, checked in one place (SPEC §2, §3, §4).

What lives here: the Pith Number and its short forms, the receipt, the texts' hashes, the empty
snapshots, the members that repeat the canonical record, the alias rows. What must not: which
document holds what where (`record`, `state`, `bundle`, `others`).

Two things follow from the paper's number alone: the short forms and the links. They are held
against the suffix that most of the document's own statements give, so that one wrong character in
one of them is found there, and not once more in every link.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pithgraph.audit.findings import (
    ABSENT,
    Outcome,
    Part,
    agree,
    at,
    failed,
    listed,
    named,
    passed,
    same,
    shown,
    skipped,
    unconfirmed,
)
from pithgraph.canonical import digest, encode
from pithgraph.documents import AliasRow, Receipt, SourceRef, view
from pithgraph.errors import IdentifierError, Refused
from pithgraph.identifiers import (
    EMPTY_SNAPSHOT_SHA256,
    EXCERPT_LENGTH,
    SHORT_LENGTHS,
    PithNumber,
    alias_time,
    derive_aliases,
    derive_pith_number,
    is_timestamp,
    parse_pith_number,
    suffix_of,
    text_sha256,
)
from pithgraph.keyring import Keyring
from pithgraph.validation import receipt_fault

SHORT_KINDS: Final = tuple(f"pith_short_{length}" for length in SHORT_LENGTHS)
ARXIV_KINDS: Final = ("arxiv", "arxiv_version", "doi")

# (member of `paper`, member of `canonical_record.metadata` that repeats it)
PAPER_MEMBERS: Final = (
    ("license", "license"),
    ("primary_cat", "primary_cat"),
    ("submitted_at", "submitted_at"),
    ("cross_cats", "cross_cats_sorted"),
)

# (part of a graph snapshot, the member that counts it, the member that lists some of it)
SNAPSHOT_PARTS: Final = (
    ("claims", "count", "items"),
    ("references", "count", "sample"),
    ("formal_canon", "evidence_count", "sample"),
    ("author_claims", "count", "items"),
)


# --- the number and the digest ---------------------------------------------------------------


def paper_number(pith_number: Any, record: Any, *digests: Any) -> PithNumber | None:
    """The Pith Number with the suffix that most of these give: the stated number, the record, the
    stated digests. None where none gives one."""
    stated = _parsed(pith_number)
    suffixes = [stated.suffix] if stated else []
    year = stated.year if stated else "0000"
    if isinstance(record, dict):
        suffixes.append(suffix_of(bytes.fromhex(digest(encode(record)))))
    suffixes += [suffix for text in digests if (suffix := _suffix_of_hex(text)) is not None]
    if not suffixes:
        return None
    return PithNumber(year, Counter(suffixes).most_common(1)[0][0])


def canonical_sha256(stated: Any, record: Any) -> Outcome:
    """The stated digest against that of the canonical record (SPEC §2)."""
    return agree(stated, digest(encode(record)), "canonical_record gives")


def pith_number(stated: Any, record: Any) -> Outcome:
    """The stated number against the one that the canonical record gives (SPEC §2)."""
    if not isinstance(stated, str) or _parsed(stated) is None:
        return failed(f"{shown(stated)} is no full Pith Number")
    try:
        return agree(stated, str(derive_pith_number(record)), "canonical_record gives")
    except IdentifierError as error:
        return failed(f"stated {shown(stated)}, canonical_record gives none: {error}")


def short_pith_number(stated: Any, paper: PithNumber) -> Outcome:
    """`pith:` and 8 characters (SPEC §4)."""
    return agree(stated, paper.short, "the Pith Number gives")


def canonical_record(record: dict[str, Any], paper: PithNumber) -> Outcome:
    """Exactly metadata, schema_version and source, with the members of a source (SPEC §5); and
    not the one that stands alone against number, digest and receipt."""
    if record.keys() != {"metadata", "schema_version", "source"}:
        names = listed(map(shown, sorted(record)))
        return failed(f"it has {names}, not exactly metadata, schema_version and source")
    try:
        view(record["source"], SourceRef)
    except Refused as error:
        return failed(f"source: {error.detail}")
    suffix = suffix_of(bytes.fromhex(digest(encode(record))))
    if suffix != paper.suffix:
        return failed(
            f"its digest gives {suffix}, but most of the document says {paper.suffix}: a member of "
            "it was changed; if no other line names it, abstract_canon_sha256 or schema_version"
        )
    return passed()


# --- the receipt (SPEC §3) -------------------------------------------------------------------


def receipt(value: Any, record: Any, keyring: Keyring) -> Outcome:
    """Whether the receipt is good for the canonical record (SPEC §3)."""
    if value is ABSENT or value is None:
        return unconfirmed("there is no receipt")
    try:
        seen = view(value, Receipt)
    except Refused as error:
        return failed(error.detail)
    fault = receipt_fault(seen, digest(encode(record)), keyring)
    return failed(fault) if fault else passed(f"signed by key {shown(seen.key_id)}")


def receipt_digest(value: Any, record: Any) -> Outcome:
    """The receipt's canonical_sha256 against that of the canonical record."""
    if not isinstance(value, dict):
        return skipped("there is no receipt")
    return canonical_sha256(at(value, "canonical_sha256"), record)


def receipt_fingerprint(value: Any, keyring: Keyring) -> Outcome:
    """The receipt's fingerprint against that of the keyring's key of its key_id."""
    if not isinstance(value, dict):
        return skipped("there is no receipt")
    key_id = at(value, "key_id")
    key = keyring.by_key_id(key_id) if isinstance(key_id, str) else None
    if key is None:
        return skipped(f"no key {shown(key_id)} in the keyring")
    stated = at(value, "public_key_fingerprint")
    return agree(stated, key.fingerprint, "the keyring's key has")


# --- the texts (SPEC §2) ---------------------------------------------------------------------


def title_hash(title: Any, record: Any) -> Outcome:
    """A title against the canonical record's title_canon_sha256 (SPEC §2)."""
    return _text_hash(title, record, "title_canon_sha256")


def abstract_hash(excerpt: Any, record: Any) -> Outcome:
    """An abstract's excerpt against abstract_canon_sha256, where it is the whole (SPEC §2)."""
    if isinstance(excerpt, str) and len(excerpt) >= EXCERPT_LENGTH:
        return skipped(
            f"abstract_excerpt has {len(excerpt)} characters, so the abstract may be longer"
        )
    return _text_hash(excerpt, record, "abstract_canon_sha256")


def _text_hash(text: Any, record: Any, member: str) -> Outcome:
    stated = at(record, "metadata", member)
    if stated is ABSENT:
        return skipped(f"canonical_record.metadata has no {member}")
    if not isinstance(text, str):
        return skipped(f"there is no text: {shown(text)}")
    return agree(stated, text_sha256(text), "the text gives")


# --- what repeats the canonical record -------------------------------------------------------


def paper_parts(paper: Any, record: Any) -> Iterator[Part]:
    """The members of a `paper` that repeat the record's metadata."""
    for member, original in PAPER_MEMBERS:
        stated, known = at(paper, member), at(record, "metadata", original)
        if stated is ABSENT:
            yield f".{member}", skipped("absent")
            continue
        if member == "cross_cats" and _all_strings(stated):
            stated = sorted(stated)
        yield f".{member}", agree(stated, known, f"canonical_record.metadata.{original} is")


def source(stated: Any, record: Any) -> Outcome:
    """A `source` against the canonical record's."""
    return agree(stated, at(record, "source"), "canonical_record.source is")


def snapshot_parts(snapshot: Any) -> Iterator[Part]:
    """The `snapshot_sha256` of each part of a graph snapshot (SPEC §2): the hash of an empty list
    is known; of others no rule is published, so they are unconfirmed and never fail."""
    for part, counter, items in SNAPSHOT_PARTS:
        stated = at(snapshot, part, "snapshot_sha256")
        count, shown_items = at(snapshot, part, counter), at(snapshot, part, items)
        if stated is ABSENT:
            outcome = skipped("absent")
        elif not same(count, 0):
            outcome = unconfirmed(
                f"{counter} is {shown(count)}; only the hash of an empty list is known"
            )
        elif shown_items not in (ABSENT, []):
            outcome = failed(f"{counter} is 0, but {items} is {shown(shown_items)}")
        else:
            outcome = agree(stated, EMPTY_SNAPSHOT_SHA256, "the empty list gives")
        yield f".{part}.snapshot_sha256", outcome


# --- aliases (SPEC §2, §4) -------------------------------------------------------------------


def alias_parts(
    rows: list[Any], paper: PithNumber, record: Any, *, derived: bool = False
) -> Iterator[Part]:
    """Alias rows: the form of each, then each kind of which there is a row or could be.

    `record` is the canonical record, or None where it is not known. `derived` rows are those of a
    state: nothing but derivable aliases, with plain timestamps (SPEC §7, 4).
    """
    by_kind: dict[str, list[str]] = {}
    for index, row in enumerate(rows):
        try:
            alias = view(row, AliasRow)
        except Refused as error:
            yield f"[{index}]", failed(error.detail)
            continue
        good = is_timestamp if derived else alias_time
        if not good(alias.created_at):
            yield f"[{index}].created_at", failed(f"{shown(alias.created_at)} is no timestamp")
        by_kind.setdefault(alias.alias_kind, []).append(alias.alias_value)
    expected = dict(derive_aliases(paper, record))
    for kind in (*ARXIV_KINDS, *SHORT_KINDS):
        if kind in expected:
            yield f".{kind}", _derivable(kind, expected[kind], by_kind)
        elif kind in by_kind and record is None and not derived:
            yield f".{kind}", unconfirmed("only the canonical record can confirm it")
        elif kind not in by_kind:
            yield f".{kind}", skipped("the paper has none that could be derived")
    for kind in by_kind:
        if kind not in expected and not (record is None and kind in ARXIV_KINDS and not derived):
            say = failed if derived else unconfirmed
            yield named(kind), say(f"{shown(by_kind[kind])}: no alias of this kind is derivable")


def _derivable(kind: str, value: str, by_kind: dict[str, list[str]]) -> Outcome:
    wrong = [stated for stated in by_kind.get(kind, ()) if stated != value]
    if wrong:
        return agree(wrong[0], value, "the paper's is")
    if kind in by_kind:
        return passed()
    # Nobody has to hand out an alias; but under another kind's name it is one that was altered.
    misnamed = [other for other in by_kind if value in by_kind[other]]
    if misnamed:
        return failed(f"{shown(value)} stands under the kind {listed(map(shown, misnamed))}")
    return skipped(f"no row; it would be {shown(value)}")


# --- forms -----------------------------------------------------------------------------------


def _all_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _parsed(text: Any) -> PithNumber | None:
    try:
        return parse_pith_number(text) if isinstance(text, str) else None
    except IdentifierError:
        return None


def _suffix_of_hex(text: Any) -> str | None:
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return suffix_of(raw) if len(raw) == 32 else None
