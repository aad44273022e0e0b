"""The audit of a `pith_mirror_manifest` (SPEC §2, §4, §5).

What lives here: the forms of a mirror's key against each other, its addresses, and whether the
keyring has the key. What must not: fetching from a mirror.

| check | what it asks |
|---|---|
| shape | the members that a manifest has, and their types |
| manifest_version, merge_version | the published constants |
| mirrors | that there is one |
| mirrors[N] | the members that a mirror has, and their types |
| mirrors[N].base_url | an http(s) address |
| mirrors[N].bundle_pattern, .state_pattern, .well_known_pattern | an address with a placeholder |
| mirrors[N].public_key.algorithm, .format | `ed25519`, `raw` |
| mirrors[N].public_key.public_key_b64 | a key that SPEC §5 accepts |
| mirrors[N].public_key.public_key_hex and the two fingerprints | the same key in other forms |
| mirrors[N].public_key.keyring | whether the keyring has this key |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pithgraph import documents
from pithgraph.audit.findings import (
    Checks,
    Finding,
    Outcome,
    Part,
    agree,
    failed,
    finding,
    passed,
    shown,
    skipped,
    unconfirmed,
    walk,
)
from pithgraph.documents import Mirror, PublishedKey, view
from pithgraph.errors import KeyringError, Refused
from pithgraph.identifiers import fingerprint_base32_of, fingerprint_of
from pithgraph.keyring import Keyring
from pithgraph.keys import PUBLIC_KEY_BYTES, check_public_key, decode_base64
from pithgraph.merge import MERGE_VERSION

MANIFEST_VERSION: Final = "1.0"

_PATTERNS: Final = ("bundle_pattern", "state_pattern", "well_known_pattern")
_URL: Final = re.compile(r"https?://[^\s/?#]+(/\S*)?")
_ADDRESS: Final = re.compile(r"(https?://[^\s/?#]+)?/[^\s{}]*(\{[A-Za-z0-9_]+\}[^\s{}]*)*")


class _Case(NamedTuple):
    value: dict[str, Any]
    keyring: Keyring


class _MirrorCase(NamedTuple):
    """A mirror of the right shape; `public_key` is the raw key, where it can be read."""

    mirror: Mirror
    key: PublishedKey
    public_key: bytes | None
    keyring: Keyring


def audit_manifest(value: dict[str, Any], keyring: Keyring) -> Iterator[Finding]:
    """The findings about a `pith_mirror_manifest`."""
    try:
        view(value, documents.Manifest)
    except Refused as error:
        yield finding("shape", failed(error.detail))
        return
    yield finding("shape", passed())
    yield from walk(CHECKS, _Case(value, keyring))


def _manifest_version(case: _Case) -> Outcome:
    return agree(case.value["manifest_version"], MANIFEST_VERSION, "the published one is")


def _merge_version(case: _Case) -> Outcome:
    return agree(case.value["merge_version"], MERGE_VERSION, "this version is")


def _mirrors(case: _Case) -> Iterator[Part]:
    if not case.value["mirrors"]:
        yield "", skipped("the manifest names no mirror")
    for index, value in enumerate(case.value["mirrors"]):
        try:
            mirror = view(value, Mirror)
        except Refused as error:
            yield f"[{index}]", failed(error.detail)
            continue
        yield f"[{index}]", passed(shown(mirror.name))
        try:
            public_key = decode_base64(mirror.public_key.public_key_b64, PUBLIC_KEY_BYTES)
        except KeyringError:
            public_key = None
        seen = _MirrorCase(mirror, mirror.public_key, public_key, case.keyring)
        for name, status, detail in walk(MIRROR_CHECKS, seen):
            yield f"[{index}].{name}", Outcome(status, detail)


def _base_url(case: _MirrorCase) -> Outcome:
    url = case.mirror.base_url
    return passed() if _URL.fullmatch(url) else failed(f"{shown(url)} is no http(s) address")


def _patterns(case: _MirrorCase) -> Iterator[Part]:
    for name in _PATTERNS:
        pattern = getattr(case.mirror, name)
        found = _ADDRESS.fullmatch(pattern)
        if found is None:
            outcome = failed(f"{shown(pattern)} is no path or address with {{placeholders}}")
        elif found.group(2) is None:
            outcome = unconfirmed(f"{shown(pattern)} has no placeholder: one address for all?")
        else:
            outcome = passed()
        yield name, outcome


def _algorithm(case: _MirrorCase) -> Outcome:
    return agree(case.key.algorithm, "ed25519", "the only one is")


def _format(case: _MirrorCase) -> Outcome:
    return agree(case.key.format, "raw", "the only one is")


def _public_key(case: _MirrorCase) -> Outcome:
    try:
        check_public_key(decode_base64(case.key.public_key_b64, PUBLIC_KEY_BYTES))
    except KeyringError as error:
        return failed(str(error))
    return passed()


def _forms(case: _MirrorCase) -> Iterator[Part]:
    """The other forms of the key (SPEC §2)."""
    key, public_key = case.key, case.public_key
    names = ("public_key_hex", "fingerprint_sha256_hex", "fingerprint_sha256_b32_first128bits")
    if public_key is None:
        for name in names:
            yield name, skipped("public_key_b64 holds no key")
        return
    fingerprint = fingerprint_of(public_key)
    # Its name promises SHA-256 and no truncation, so the whole digest is a true one as well.
    whole = hashlib.sha256(public_key).hexdigest()
    if key.fingerprint_sha256_hex == whole:
        fingerprint = whole
    known = (public_key.hex(), fingerprint, fingerprint_base32_of(public_key))
    for name, form in zip(names, known, strict=True):
        yield name, agree(getattr(key, name), form, "public_key_b64 gives")


def _keyring(case: _MirrorCase) -> Outcome:
    if case.public_key is None:
        return skipped("public_key_b64 holds no key")
    of_id = case.keyring.by_key_id(case.key.key_id)
    if of_id is not None and of_id.public_key != case.public_key:
        return failed(f"the keyring's key {shown(case.key.key_id)} is another one")
    known = case.keyring.by_fingerprint(fingerprint_of(case.public_key))
    if known is None or known.public_key != case.public_key:
        return unconfirmed("the keyring does not have this key")
    if of_id is None:
        stated = shown(case.key.key_id)
        return failed(f"stated key_id {stated}, the keyring has {shown(known.key_id)}")
    return failed("the key is revoked") if known.revoked else passed(f"key {shown(known.key_id)}")


CHECKS: Final[Checks[_Case]] = (
    ("manifest_version", _manifest_version),
    ("merge_version", _merge_version),
    ("mirrors", _mirrors),
)

MIRROR_CHECKS: Final[Checks[_MirrorCase]] = (
    ("base_url", _base_url),
    ("", _patterns),
    ("public_key.algorithm", _algorithm),
    ("public_key.format", _format),
    ("public_key.public_key_b64", _public_key),
    ("public_key.", _forms),
    ("public_key.keyring", _keyring),
)
