"""The signing world for tests: keys, their keyring, papers, and events.

What lives here: how events of each kind are made, valid, or invalid for one reason. What must not:
how they are judged, which is what is tested, and chance (`strategies`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.authoring import keyring_entry, seal_event
from pithgraph.canonical import digest, encode
from pithgraph.events import Event
from pithgraph.identifiers import fingerprint_of, suffix_of
from pithgraph.keyring import REGISTRY, Keyring
from pithgraph.keys import public_bytes, sign
from pithgraph.kinds import AUTHOR, KINDS, MIRROR, RECORD_CREATED

NOON: Final = "2026-06-01T12:00:00Z"
_CITING: Final = "pith:2023:ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class SigningKey:
    """A test key and the signer that it speaks for. Its secret is SHA-256 of `pithgraph test key
    NAME`, which anybody can compute."""

    name: str
    signer_id: str
    signer_type: str

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        """The private key."""
        secret = hashlib.sha256(f"pithgraph test key {self.name}".encode()).digest()
        return Ed25519PrivateKey.from_private_bytes(secret)

    @property
    def key_id(self) -> str:
        """`test-` and its name."""
        return f"test-{self.name}"

    @cached_property
    def fingerprint(self) -> str:
        """Its fingerprint (SPEC §2)."""
        return fingerprint_of(public_bytes(self.private))

    @property
    def signer(self) -> dict[str, str]:
        """`signer` of an event that it signs."""
        return {
            "key_id": self.key_id,
            "public_key_fingerprint": self.fingerprint,
            "signer_id": self.signer_id,
            "signer_type": self.signer_type,
        }

    def entry(self, **more: Any) -> dict[str, Any]:
        """Its row of a keyring, with further members such as `revoked`."""
        described = {
            "key_id": self.key_id,
            "signer_id": self.signer_id,
            "signer_type": self.signer_type,
        }
        return {**keyring_entry(self.private, **described), **more}


@dataclass(frozen=True)
class Paper:
    """A paper that exists nowhere, told from others by its arXiv id and version."""

    arxiv: str = "2601.00001"
    version: int = 1

    @cached_property
    def record(self) -> dict[str, Any]:
        """Its canonical record, in the published shape."""
        return {
            "metadata": {
                "abstract_canon_sha256": digest(b"an abstract"),
                "cross_cats_sorted": [],
                "license": "http://creativecommons.org/licenses/by/4.0/",
                "primary_cat": "cs.DL",
                "submitted_at": "2026-01-02T03:04:05Z",
                "title_canon_sha256": digest(b"a title"),
            },
            "schema_version": "1.0",
            "source": {"id": self.arxiv, "kind": "arxiv", "version": self.version},
        }

    @property
    def canonical_sha256(self) -> str:
        """The digest of its record."""
        return digest(encode(self.record))

    @property
    def number(self) -> str:
        """Its full Pith Number."""
        return f"pith:2026:{suffix_of(bytes.fromhex(self.canonical_sha256))}"


class World:
    """Test keys, the keyring that trusts them, two papers, and what the keys can sign.

    `registry`, `other_registry`, `author`, `other_author`, `mirror` and `reader` are in the
    keyring; `revoked`, a registry's, is there and revoked; `stranger`, who says that it is a
    registry, is not. Every world is the same: signatures are deterministic, and nothing is drawn.

    >>> import pithgraph
    >>> world = World()
    >>> event = world.sign("graph_snapshot")
    >>> pithgraph.verdict_of(event, world.keyring).reason is None
    True
    >>> pithgraph.verdict_of(world.invalid("unknown_key"), world.keyring).reason
    'unknown_key'
    """

    registry = SigningKey("registry", "registry.example", REGISTRY)
    other_registry = SigningKey("other-registry", "other-registry.example", REGISTRY)
    author = SigningKey("author", "author@example.org", AUTHOR)
    other_author = SigningKey("other-author", "other-author@example.org", AUTHOR)
    mirror = SigningKey("mirror", "mirror.example", MIRROR)
    reader = SigningKey("reader", "reader@example.net", "reader")
    revoked = SigningKey("revoked", "revoked.example", REGISTRY)
    stranger = SigningKey("stranger", "stranger@example.com", REGISTRY)

    paper = Paper()
    other_paper = Paper("2601.00002")

    trusted = (registry, other_registry, author, other_author, mirror, reader)
    """The keys whose events count."""

    @cached_property
    def keyring_value(self) -> dict[str, Any]:
        """The keyring document, to be written to a file."""
        entries = [key.entry() for key in self.trusted]
        return {"keys": [*entries, self.revoked.entry(revoked=True)]}

    @cached_property
    def keyring(self) -> Keyring:
        """The keyring."""
        return Keyring.from_value(self.keyring_value)

    def signers(self, kind: str) -> list[SigningKey]:
        """The trusted keys that may make events of this kind, the most usual first."""
        types = KINDS[kind].signer_types
        first = (self.author, self.mirror, self.reader, *self.trusted)
        may = [key for key in first if types is None or key.signer_type in types]
        return list(dict.fromkeys(may))

    def sign(
        self,
        kind: str,
        *,
        by: SigningKey | None = None,
        paper: Paper | None = None,
        created_at: str = NOON,
        target: str | None = None,
        payload: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> Event:
        """An event of one of the nine kinds: valid, unless what is given makes it otherwise.

        `payload` replaces or adds members of the smallest payload that the kind asks for; the
        target follows from the payload and the signer. Further members, such as previous_event_id,
        are those of the event. Then it gets the id and signature that belong to all this.
        """
        paper = paper or self.paper
        by = by or self.signers(kind)[0]
        content = {**self._payload(kind, paper), **(payload or {})}
        body = {
            "created_at": created_at,
            "event_type": kind,
            "payload": content,
            "signer": by.signer,
            "subject_pith_number": paper.number,
            "target": _target(kind, by, content) if target is None else target,
            **members,
        }
        return seal_event(by.private, body, by.key_id)

    def invalid(self, reason: str, *, paper: Paper | None = None, created_at: str = NOON) -> Event:
        """A graph_snapshot that is invalid for this reason (a key of `errors.VERDICT_REASONS`),
        under the world's keyring and assurance `verified`."""

        def snapshot(**changes: Any) -> Event:
            given = {"paper": paper, "created_at": created_at, "by": self.registry, **changes}
            return self.sign("graph_snapshot", **given)

        return _INVALID[reason](self, snapshot)

    def receipt(self, paper: Paper | None = None) -> dict[str, Any]:
        """A good receipt (SPEC §3) by `registry`."""
        sha256 = (paper or self.paper).canonical_sha256
        signature = sign(self.registry.private, bytes.fromhex(sha256))
        return {
            "algorithm": "ed25519",
            "canonical_sha256": sha256,
            "key_id": self.registry.key_id,
            "public_key_fingerprint": self.registry.fingerprint,
            "signature_b64": base64.b64encode(signature).decode("ascii"),
            "signed_message": "canonical_sha256_bytes",
        }

    def _payload(self, kind: str, paper: Paper) -> dict[str, Any]:
        if kind == RECORD_CREATED:
            return {
                "attestation_state": "computed",
                "canonical_record": paper.record,
                "canonical_sha256": paper.canonical_sha256,
                "receipt": self.receipt(paper),
                "source_id": paper.arxiv,
                "source_kind": "arxiv",
                "source_version": paper.version,
            }
        if kind == "timestamp_anchor":
            return {**_PAYLOADS[kind], "anchored_sha256": paper.canonical_sha256}
        return _PAYLOADS[kind]


_PAYLOADS: Final[Mapping[str, dict[str, Any]]] = {
    "graph_snapshot": {"graph_snapshot": {}, "verdict_id": None},
    "author_attestation": {
        "author": {"name": "An Author"},
        "method": "email",
        "statement": "I wrote this.",
        "strength": "weak",
    },
    "timestamp_anchor": {"method": "opentimestamps", "proof_b64": "", "status": "pending"},
    "storage_attestation": {
        "archive": "An Archive",
        "archived_at": "2026-05-01",
        "uri": "https://archive.example/1",
    },
    "citation_signature": {"citing_pith_number": _CITING, "relation": "cites"},
    "replication_record": {
        "kind": "replication",
        "outcome": "succeeded",
        "uri": "https://lab.example/1",
    },
    "correction": {"action": "amend", "reason": "a wrong sign"},
    "mirror_hint": {
        "base_url": "https://mirror.example",
        "bundle_pattern": "/pith/{suffix}/bundle.json",
        "state_pattern": "/pith/{suffix}/state.json",
    },
}


def _target(kind: str, by: SigningKey, payload: Mapping[str, Any]) -> str:
    """The target that agrees with a payload and a signer (SPEC §5)."""
    targets = {
        "record_created": "record",
        "graph_snapshot": "graph",
        "author_attestation": f"author:{by.signer_id}",
        "timestamp_anchor": "anchor:calendar.example",
        "storage_attestation": f"storage:{payload.get('uri')}",
        "citation_signature": f"citation:{payload.get('citing_pith_number')}",
        "replication_record": "replication:1",
        "correction": payload.get("event_id", "record"),
        "mirror_hint": f"mirror:{payload.get('base_url')}",
    }
    return str(targets[kind])


def _changed(event: Event, **members: Any) -> Event:
    """The event with other members, and the id and signature that it had unless they are given."""
    return Event.from_value({**event.value, **members})


_Snapshot = Callable[..., Event]


def _bad_signature(world: World, snapshot: _Snapshot) -> Event:
    event, other = snapshot(), snapshot(by=world.stranger)
    theirs = other.value["signature"]["signature_b64"]
    return _changed(event, signature={**event.value["signature"], "signature_b64": theirs})


_INVALID: Final[Mapping[str, Callable[[World, _Snapshot], Event]]] = {
    "malformed": lambda _, snapshot: snapshot(target=7),
    "unknown_event_type": lambda _, snapshot: snapshot(event_type="graph_snapshots"),
    "invalid_timestamp": lambda _, snapshot: snapshot(created_at="2026-02-29T12:00:00Z"),
    "target_mismatch": lambda _, snapshot: snapshot(target="record"),
    "missing_signature": lambda _, snapshot: _changed(snapshot(), signature=None),
    "event_id_unverifiable": lambda _, snapshot: _changed(snapshot(), added="later"),
    "event_id_mismatch": lambda _, snapshot: _changed(
        snapshot(), event_id="sha256:" + digest(b"another")
    ),
    "unknown_key": lambda world, snapshot: snapshot(by=world.stranger),
    "signer_mismatch": lambda world, snapshot: snapshot(
        signer={**world.registry.signer, "signer_id": "another.example"}
    ),
    "key_not_valid": lambda world, snapshot: snapshot(by=world.revoked),
    "bad_signature": _bad_signature,
    "unauthorized_signer": lambda world, snapshot: snapshot(by=world.reader),
    "invalid_payload": lambda _, snapshot: snapshot(payload={"verdict_id": 7}),
}
