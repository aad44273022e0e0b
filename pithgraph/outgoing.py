"""The documents that a mirror hands on: bundle, record, and what stands beside them (SPEC §4).

What lives here: which member of each document comes from what. What must not: reading a log, and
writing files. Shapes that are published are those of the audits; the others are ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from pithgraph.audit.bundle import BUNDLE_VERSION
from pithgraph.audit.links import PATTERNS
from pithgraph.audit.manifest import MANIFEST_VERSION
from pithgraph.audit.paper import PAPER_MEMBERS
from pithgraph.audit.record import SCHEMA_URL, SCHEMA_VERSION
from pithgraph.canonical import decode, digest, encode
from pithgraph.documents import BUNDLE, MANIFEST, RECORD, SourceRef, view
from pithgraph.errors import IdentifierError, Refused
from pithgraph.events import Event
from pithgraph.identifiers import (
    PithNumber,
    alias_time,
    derive_aliases,
    derive_pith_number,
    fingerprint_base32_of,
)
from pithgraph.keyring import REGISTRY, Key, Keyring
from pithgraph.kinds import GRAPH_SNAPSHOT, RECORD_CREATED
from pithgraph.merge import MERGE_VERSION, PaperAlias, State, merge
from pithgraph.resolution import resolve
from pithgraph.validation import Assurance, Judged
from pithgraph.views import counting_rows, verification_status

ORIGIN: Final = "https://pith.science"

# The published patterns that a tree of files can serve.
STATIC: Final = frozenset(
    {
        "/pith/{suffix}",
        "/pith/{suffix}.json",
        "/api/pith-number/{suffix}/graph.json",
        "/api/pith-number/{suffix}/events.json",
    }
)
BUNDLE_PATTERN: Final = "/pith/{suffix}/bundle.json"
STATE_PATTERN: Final = "/pith/{suffix}/state.json"
WELL_KNOWN_PATTERN: Final = "/.well-known/pith/{suffix}/bundle.json"
SIGNING_KEY_PATH: Final = "/pith-signing-key.json"

# The events that a record shows in members of their own.
_SHOWN_APART: Final = frozenset({RECORD_CREATED, GRAPH_SNAPSHOT})


class Known(NamedTuple):
    """What is known of a paper: its state, its applied events, whole and in the applied order, and
    its alias rows as they came."""

    state: State
    document: dict[str, Any]
    applied: list[Event]
    aliases: list[PaperAlias]

    @classmethod
    def of(
        cls,
        pith_number: str,
        judged: Sequence[Judged],
        aliases: list[PaperAlias],
        keyring_sha256: str,
        assurance: Assurance,
    ) -> Known:
        """Merge what `merge` takes, and keep the events that it applied."""
        state = merge(pith_number, judged, aliases, keyring_sha256, assurance)
        document = state.document
        applied = [one.event for one in resolve(judged).applied]
        return cls(state, document, applied, aliases)

    @property
    def has_record(self) -> bool:
        """Whether a record can be given: its receipt is that of an applied record_created."""
        return self.document["current"][RECORD_CREATED] is not None


# --- the bundle ------------------------------------------------------------------------------


def record_of(event: Event, paper: PithNumber) -> Any:
    """The canonical record that an event brings, or None. Nobody's word is needed for it: its
    digest gives the Pith Number."""
    if event.view is None or event.view.event_type != RECORD_CREATED:
        return None
    record = decode(bytes(event.view.payload)).get("canonical_record")
    if not isinstance(record, dict) or record.keys() != {"metadata", "schema_version", "source"}:
        return None
    try:
        view(record["source"], SourceRef)
        return record if derive_pith_number(record) == paper else None
    except (Refused, IdentifierError):
        return None


def bundle(
    paper: PithNumber, record: Any, aliases: Iterable[PaperAlias], events: Iterable[Event]
) -> Iterator[bytes]:
    """A bundle's canonical bytes, piece by piece, so that no paper is too large for memory."""
    before = {
        "bundle_type": BUNDLE,
        "bundle_version": BUNDLE_VERSION,
        "canonical_record": record,
        "canonical_sha256": digest(encode(record)),
    }
    after = {
        "pith_number": str(paper),
        "short_pith_number": paper.short,
        "source": record["source"],
        "source_aliases": alias_rows(paper, record, aliases),
    }
    between = encode(before)[:-1] + b',"events":['
    for event in events:
        yield between + event.canonical
        between = b","
    # Of no events what stands before the first is still to come.
    yield (b"" if between == b"," else between) + b"]," + encode(after)[1:]


def alias_rows(
    paper: PithNumber, record: Any, aliases: Iterable[PaperAlias]
) -> list[dict[str, str]]:
    """Of each derivable alias the earliest row, as it came: these, and no others, can be seen in a
    state. Sorted by kind and value; of several dates in one second the first as a text."""
    earliest: dict[tuple[str, str], tuple[str, str]] = {}
    derivable = {tuple(alias) for alias in derive_aliases(paper, record)}
    for kind, value, created_at in aliases:
        time = alias_time(created_at)
        if (kind, value) in derivable and time is not None:
            date = time, created_at
            earliest[kind, value] = min(earliest.get((kind, value), date), date)
    return [
        {"alias_kind": kind, "alias_value": value, "created_at": created_at}
        for (kind, value), (_, created_at) in sorted(earliest.items())
    ]


# --- the record ------------------------------------------------------------------------------


def record_document(
    known: Known, paper: PithNumber, *, origin: str = ORIGIN, static: bool = False
) -> dict[str, Any]:
    """The `pith_number_record` of a paper whose state has a record_created. `origin` is what its
    links begin with; a `static` tree is linked to only where it has a file."""
    current = known.document["current"]
    created = current[RECORD_CREATED]
    record, payload = current["canonical_record"], created["payload"]
    snapshot = _newest_snapshot(current)
    about = snapshot.get("paper") if snapshot is not None else None
    shown = [e for e in known.applied if e.view and e.view.event_type not in _SHOWN_APART]
    aliases = alias_rows(paper, record, known.aliases)
    status = verification_status(current, content_addressed=True, pith_receipt=True)
    created_at, updated_at = _dates(created["created_at"], aliases, known.applied)
    return {
        "record_type": RECORD,
        "schema_url": SCHEMA_URL,
        "pith_number": str(paper),
        "short_pith_number": paper.short,
        "schema_version": SCHEMA_VERSION,
        "canonical_sha256": payload["canonical_sha256"],
        "source": record["source"],
        "attestation_state": payload["attestation_state"],
        "paper": about if isinstance(about, dict) else _paper_of(record),
        "verification_status": status,
        "canonical_record": record,
        "receipt": payload["receipt"],
        "graph_snapshot": snapshot,
        "aliases": aliases,
        "events": [event.value for event in shown],
        "event_summary": _counts(shown),
        "paper_claims": [],
        "inbound_citations": {
            "count": status["citation_signatures"],
            "internal_anchor_count": 0,
            "sample": [],
        },
        "formal_canon": {"evidence_count": _evidence(snapshot), "sample": [], "anchors": []},
        **_links(paper, record, origin, static),
        "created_at": created_at,
        "updated_at": updated_at,
    }


def _newest_snapshot(current: dict[str, Any]) -> dict[str, Any] | None:
    rows = counting_rows(current)["graph_snapshots"]
    return rows[-1]["payload"]["graph_snapshot"] if rows else None


def _paper_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a canonical record says about the paper: of its texts it has the hashes only."""
    metadata = record["metadata"]
    return {name: metadata[inside] for name, inside in PAPER_MEMBERS if inside in metadata}


def _evidence(snapshot: dict[str, Any] | None) -> Any:
    formal = snapshot.get("formal_canon") if snapshot is not None else None
    return formal.get("evidence_count", 0) if isinstance(formal, dict) else 0


def _counts(events: Iterable[Event]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in events:
        assert event.view is not None  # what was applied is well-formed
        counts[event.view.event_type] = counts.get(event.view.event_type, 0) + 1
    return counts


def _dates(
    created: str, aliases: Sequence[dict[str, str]], applied: Iterable[Event]
) -> tuple[str, str]:
    """When the record came to be, and when it last changed: the earliest alias row, and the last
    applied event where that is of a later second. So it is in the published records."""
    dates = (row["created_at"] for row in aliases)
    created_at = min(dates, key=lambda date: (alias_time(date), date), default=created)
    last = max((event.timestamp or "" for event in applied), default="")
    return created_at, last if last > (alias_time(created_at) or "") else created_at


def _links(paper: PithNumber, record: Any, origin: str, static: bool) -> dict[str, Any]:
    """`links` and `agent_actions`, by the published patterns."""
    aliases = dict(derive_aliases(paper, record))
    groups: dict[str, Any] = {}
    for path, patterns in PATTERNS.items():
        links = {
            name: origin + _filled(pattern, paper, aliases.get("arxiv"))
            for name, pattern in patterns.items()
            if (pattern in STATIC or not static)
            and ("{arxiv}" not in pattern or "arxiv" in aliases)
        }
        if len(path) == 1:
            groups[path[0]] = links
        elif links:
            groups[path[0]][path[1]] = links
    return groups


def _filled(pattern: str, paper: PithNumber, arxiv: str | None) -> str:
    return pattern.format(
        suffix=paper.suffix, short=paper.suffix[:8], arxiv=quote(arxiv or "", safe="")
    )


# --- what stands beside them: shapes of ours -------------------------------------------------


def graph_document(known: Known, paper: PithNumber) -> dict[str, Any]:
    """The newest graph snapshot that counts; its members are null where there is none."""
    rows = counting_rows(known.document["current"])["graph_snapshots"]
    row = rows[-1] if rows else None
    return {
        "pith_number": str(paper),
        "event_id": row["event_id"] if row else None,
        "created_at": row["created_at"] if row else None,
        "verdict_id": row["payload"]["verdict_id"] if row else None,
        "graph_snapshot": row["payload"]["graph_snapshot"] if row else None,
    }


def events_document(known: Known, paper: PithNumber) -> Iterator[bytes]:
    """The applied events, whole and in the applied order: canonical bytes, piece by piece."""
    head = {"assurance": known.state.assurance}
    after = {
        "keyring_sha256": known.state.keyring_sha256,
        "merge_version": MERGE_VERSION,
        "pith_number": str(paper),
        "state_sha256": known.state.state_sha256,
    }
    yield encode(head)[:-1] + b',"events":['
    for index, event in enumerate(known.applied):
        yield (b"," if index else b"") + event.canonical
    yield b"]," + encode(after)[1:]


def resolve_document(arxiv: str, papers: Iterable[str]) -> dict[str, Any]:
    """Which papers an arXiv id may mean: its versions are papers of their own."""
    return {"alias_kind": "arxiv", "alias_value": arxiv, "pith_numbers": sorted(papers)}


def published_key(key: Key, origin: str) -> dict[str, Any]:
    """A key as a manifest shows it."""
    return {
        "key_id": key.key_id,
        "algorithm": "ed25519",
        "format": "raw",
        "public_key_b64": base64.b64encode(key.public_key).decode(),
        "public_key_hex": key.public_key.hex(),
        "fingerprint_sha256_hex": key.fingerprint,
        "fingerprint_sha256_b32_first128bits": fingerprint_base32_of(key.public_key),
        "rotates_at": None,
        "url": origin + SIGNING_KEY_PATH,
        "notes": "",
    }


def signing_key_document(keys: Iterable[Key], origin: str) -> dict[str, Any]:
    """The keys by which what a mirror hands on can be checked: a keyring, whose entries have the
    members of a manifest's key as well."""
    entries = []
    for key in keys:
        entry = {
            **published_key(key, origin),
            "public_key_fingerprint": key.fingerprint,
            "signer_id": key.signer_id,
            "signer_type": key.signer_type,
        }
        for name in ("valid_from", "valid_until"):
            if (bound := getattr(key, name)) is not None:
                entry[name] = bound
        entries.append(entry)
    return {"keys": entries}


def signing_keys(keyring: Keyring, key_ids: Sequence[str] = ()) -> tuple[Key, ...]:
    """The keys of these key_ids, in this order; without any, the registry's that are not revoked.
    Raises IdentifierError where there is none, or one is revoked."""
    if not key_ids:
        found = tuple(k for k in keyring.keys if k.signer_type == REGISTRY and not k.revoked)
        if not found:
            raise IdentifierError(
                "the keyring has no key of a registry that could be published: name one of its "
                "keys by its key_id"
            )
        return found
    keys = []
    for key_id in dict.fromkeys(key_ids):
        key = keyring.by_key_id(key_id)
        if key is None or key.revoked:
            what = "has no key" if key is None else "revokes the key"
            raise IdentifierError(f"the keyring {what} {key_id!r}")
        keys.append(key)
    return tuple(keys)


def manifest_document(name: str, origin: str, key: Key, generated_at: str) -> dict[str, Any]:
    """The manifest of one mirror: a static tree under `origin`."""
    mirror = {
        "name": name,
        "mirror_type": "static",
        "base_url": origin,
        "bundle_pattern": BUNDLE_PATTERN,
        "state_pattern": STATE_PATTERN,
        "well_known_pattern": WELL_KNOWN_PATTERN,
        "public_key": published_key(key, origin),
        "status": "active",
    }
    return {
        "manifest_type": MANIFEST,
        "manifest_version": MANIFEST_VERSION,
        "generated_at": generated_at,
        "merge_version": MERGE_VERSION,
        "mirrors": [mirror],
        "notes": "",
    }
