"""The tests' signing world: keys, a keyring, papers, and events of all nine kinds.

What lives here: how valid things are made, with json, hashlib, cryptography and libsodium. What
must not: any rule by which events are judged, and any import of the package under test, since a
fault of it would then be signed into its own tests.

Every key follows in the open from its name: never trust one outside of tests.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl import bindings

Json = dict[str, Any]

ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's base point (RFC 8032 §5.1)."""

DROP: Any = object()
"""Given as a value to `changed`, removes the member."""


def canonical(value: Any) -> bytes:
    """The recipe of canonical bytes (SPEC §1)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sha256_hex(value: Any) -> str:
    """The digest of a value's canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def b64(data: bytes) -> str:
    """Standard padded base64."""
    return base64.b64encode(data).decode()


# --- keys and keyrings


@dataclass(frozen=True)
class Key:
    """A key and the signer that it speaks for; its secret is the digest of its name."""

    name: str
    signer_id: str
    signer_type: str

    @property
    def seed(self) -> bytes:
        return hashlib.sha256(b"pithgraph test key " + self.name.encode()).digest()

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @functools.cached_property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def public_b64(self) -> str:
        return b64(self.public)

    @property
    def key_id(self) -> str:
        return f"test-{self.name}"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.public).hexdigest()[:32]

    def sign(self, message: bytes) -> bytes:
        """The signature of RFC 8032."""
        return _sign(self, message)

    def sign_again(self, message: bytes, nonce: str = "another") -> bytes:
        """Another signature of the same message, equally good: only who holds the key can make
        one, by not taking the nonce that RFC 8032 prescribes."""
        return _sign_again(self, message, nonce)

    def complete(self, commitment: bytes, nonce: int, message: bytes) -> bytes:
        """The signature (R, S) with R = commitment and S = nonce + H(R, A, M)·a (RFC 8032 §5.1.6).
        It is good where R is nonce·B; where R is that up to torsion, it is good up to torsion."""
        secret = hashlib.sha512(self.seed).digest()
        scalar = int.from_bytes(secret[:32], "little") & (2**254 - 8) | 2**254
        challenge = hashlib.sha512(commitment + self.public + message).digest()
        s = (nonce + int.from_bytes(challenge, "little") * scalar) % ORDER
        return commitment + s.to_bytes(32, "little")

    def signer(self, **changes: Any) -> Json:
        """`signer` of an event."""
        return {
            "key_id": self.key_id,
            "public_key_fingerprint": self.fingerprint,
            "signer_id": self.signer_id,
            "signer_type": self.signer_type,
        } | changes

    def entry(self, **changes: Any) -> Json:
        """This key's row of a keyring."""
        return self.signer(algorithm="ed25519", public_key_b64=self.public_b64) | changes


@functools.cache
def _sign(key: Key, message: bytes) -> bytes:
    return key.private.sign(message)


@functools.cache
def _sign_again(key: Key, message: bytes, nonce: str) -> bytes:
    own = hashlib.sha512(nonce.encode() + message).digest()
    r = int.from_bytes(own, "little") % ORDER
    return key.complete(times_base(r), r, message)


def times_base(scalar: int) -> bytes:
    """That multiple of Ed25519's base point; libsodium does the arithmetic on points."""
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


REGISTRY = Key("registry", "registry.example", "pith_registry")
REGISTRY_B = Key("registry-b", "registry-b.example", "pith_registry")
ALICE = Key("alice", "alice@example.org", "author")
BOB = Key("bob", "bob@example.org", "author")
MIRROR = Key("mirror", "mirror.example", "mirror")
READER = Key("reader", "rita@example.net", "reader")
REVOKED = Key("revoked", "revoked.example", "pith_registry")
WINDOWED = Key("windowed", "windowed.example", "pith_registry")
STRANGER = Key("stranger", "nobody@example.com", "pith_registry")
"""The one key that no keyring here holds."""

WINDOW = {"valid_from": "2026-06-01T00:00:01Z", "valid_until": "2026-06-01T00:00:02Z"}
ENTRIES: Mapping[Key, Json] = {
    **{key: key.entry() for key in (REGISTRY, REGISTRY_B, ALICE, BOB, MIRROR, READER)},
    REVOKED: REVOKED.entry(revoked=True),
    WINDOWED: WINDOWED.entry(**WINDOW),
}


def keyring_value(*entries: Json, **members: Any) -> Json:
    """A keyring document: of these rows, or of all the keys above but the stranger's."""
    return {"keys": list(entries or ENTRIES.values()), **members}


# --- papers


@dataclass(frozen=True)
class Paper:
    """A paper that exists nowhere, told from others by its source."""

    source_id: Any
    version: Any = 1
    source_kind: Any = "arxiv"
    year: str = "2024"

    @functools.cached_property
    def record(self) -> Json:
        """Its canonical record, in the published shape."""
        metadata = {
            "abstract_canon_sha256": hashlib.sha256(b"an abstract").hexdigest(),
            "cross_cats_sorted": ["cs.LG"],
            "license": "http://creativecommons.org/licenses/by/4.0/",
            "primary_cat": "cs.DL",
            "submitted_at": f"{self.year}-01-02T03:04:05Z",
            "title_canon_sha256": hashlib.sha256(b"a title").hexdigest(),
        }
        return {"metadata": metadata, "schema_version": "1.0", "source": self.source}

    @property
    def source(self) -> Json:
        return {"id": self.source_id, "kind": self.source_kind, "version": self.version}

    @property
    def canonical_sha256(self) -> str:
        return sha256_hex(self.record)

    @functools.cached_property
    def suffix(self) -> str:
        return base64.b32encode(bytes.fromhex(self.canonical_sha256)).decode()[:26]

    @property
    def number(self) -> str:
        """The full Pith Number."""
        return f"pith:{self.year}:{self.suffix}"


PAPER = Paper("2401.00001", 2)
OTHER_PAPER = Paper("2401.00002")


def receipt(paper: Paper = PAPER, key: Key = REGISTRY, **changes: Any) -> Json:
    """A good receipt, with every published field."""
    issued = "2026-05-31T10:00:00.123456Z"
    return {
        "algorithm": "ed25519",
        "builder_version": "test-builder-v1",
        "canonical_sha256": paper.canonical_sha256,
        "first_computed_at": issued,
        "key_id": key.key_id,
        "kind": "pith_receipt",
        "last_reissued_at": issued,
        "public_key_fingerprint": key.fingerprint,
        "receipt_version": "0.3",
        "signature_b64": b64(key.sign(bytes.fromhex(paper.canonical_sha256))),
        "signature_status": "signed_v1",
        "signed_at": issued,
        "signed_message": "canonical_sha256_bytes",
    } | changes


# --- events


def at(second: int) -> str:
    """A timestamp, that many seconds (below 60) into the tests' calendar."""
    return f"2026-06-01T00:00:{second:02}Z"


def some_id(name: str) -> str:
    """A well-formed event_id that no event here has."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


CORRECTED = some_id("an event that is corrected")
CITING = f"pith:2023:{'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[:26]}"

SIGNERS: Mapping[str, Key] = {
    "record_created": REGISTRY,
    "graph_snapshot": REGISTRY,
    "author_attestation": ALICE,
    "timestamp_anchor": READER,
    "storage_attestation": READER,
    "citation_signature": BOB,
    "replication_record": READER,
    "correction": ALICE,
    "mirror_hint": MIRROR,
}
"""A signer that may make an event of each kind."""


def target_of(kind: str, key: Key = REGISTRY) -> str:
    """A target that agrees with `payload_of`."""
    return {
        "record_created": "record",
        "graph_snapshot": "graph",
        "author_attestation": f"author:{key.signer_id}",
        "timestamp_anchor": "anchor:a-calendar",
        "storage_attestation": "storage:https://archive.example/one",
        "citation_signature": f"citation:{CITING}",
        "replication_record": "replication:one",
        "correction": "record",
        "mirror_hint": "mirror:https://mirror.example",
    }[kind]


def payload_of(kind: str, paper: Paper = PAPER) -> Json:
    """A valid payload with its required members alone."""
    return {
        "record_created": {
            "attestation_state": "computed",
            "canonical_record": paper.record,
            "canonical_sha256": paper.canonical_sha256,
            "receipt": receipt(paper),
            "source_id": paper.source_id,
            "source_kind": paper.source_kind,
            "source_version": paper.version,
        },
        "graph_snapshot": {"graph_snapshot": {"nodes": []}, "verdict_id": None},
        "author_attestation": {
            "author": {"name": "Alice Example"},
            "method": "email",
            "statement": "I wrote this.",
            "strength": "weak",
        },
        "timestamp_anchor": {
            "anchored_sha256": paper.canonical_sha256,
            "method": "opentimestamps",
            "proof_b64": "",
            "status": "pending",
        },
        "storage_attestation": {
            "archive": "An Archive",
            "archived_at": "2026-05-01",
            "uri": "https://archive.example/one",
        },
        "citation_signature": {"citing_pith_number": CITING, "relation": "cites"},
        "replication_record": {
            "kind": "replication",
            "outcome": "succeeded",
            "uri": "https://lab.example/run",
        },
        "correction": {"action": "amend", "reason": "a wrong sign"},
        "mirror_hint": {
            "base_url": "https://mirror.example",
            "bundle_pattern": "/pith/{suffix}/bundle.json",
            "state_pattern": "/pith/{suffix}/state.json",
        },
    }[kind]


def event_id_of(event: Json) -> str:
    """The event_id by SPEC §5."""
    return "sha256:" + sha256_hex(
        {name: event[name] for name in event if name not in ("event_id", "signature")}
    )


def signature(key: Key, sha256: str, **changes: Any) -> Json:
    """`signature` of an event: by this key over this digest (hex, or an event_id)."""
    return {
        "algorithm": "ed25519",
        "key_id": key.key_id,
        "signature_b64": b64(key.sign(bytes.fromhex(sha256.removeprefix("sha256:")))),
        "signed_message": "event_sha256_bytes",
    } | changes


def sealed(event: Json, key: Key) -> Json:
    """The event with the id and the signature that belong to it, in place of any it had."""
    event_id = event_id_of(event)
    return event | {"event_id": event_id, "signature": signature(key, event_id)}


def signed_event(
    kind: str = "graph_snapshot",
    key: Key | None = None,
    *,
    paper: Paper = PAPER,
    created_at: str = at(1),
    **members: Any,
) -> Json:
    """A valid event of this kind, with `members` set, or removed for DROP, before it is sealed."""
    key = key or SIGNERS[kind]
    event = {
        "created_at": created_at,
        "event_type": kind,
        "payload": payload_of(kind, paper),
        "signer": key.signer(),
        "subject_pith_number": paper.number,
        "target": target_of(kind, key),
    }
    for name, value in members.items():
        event = changed(event, name, value)
    return sealed(event, key)


def stencilled(
    event: Json,
    key: Key,
    fills: Iterable[Mapping[bytes, bytes]],
    sign: Callable[[bytes], bytes] | None = None,
) -> Iterator[bytes]:
    """Canonical bytes of valid events by the hundred thousand: the event once for each of the
    fills, which stand where it says `%(name)b`. Without `sign` the key signs each, and keeps
    none."""
    body = canonical({n: event[n] for n in event if n not in ("event_id", "signature")})
    stated = signature(key, "") | {"signature_b64": "%(signature)b"}
    whole = canonical(event | {"event_id": "sha256:%(id)b", "signature": stated})
    sign = sign or key.private.sign
    for fill in fills:
        digest = hashlib.sha256(body % fill)
        own = {
            b"id": digest.hexdigest().encode(),
            b"signature": b64(sign(digest.digest())).encode(),
        }
        yield whole % {**fill, **own}


def changed(value: Json, path: str, new: Any) -> Json:
    """A copy with the member at a dotted path set to `new`, or removed for DROP."""
    name, _, rest = path.partition(".")
    copy = dict(value)
    if rest:
        copy[name] = changed(copy[name], rest, new)
    elif new is DROP:
        del copy[name]
    else:
        copy[name] = new
    return copy
