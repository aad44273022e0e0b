"""What a log holds, counted.

What lives here: the counts of one moment of a log. What must not: verdicts (`validation`), and
whether the log is sound (`checking`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from heapq import nlargest
from typing import Final, NamedTuple

from pithgraph.canonical import encode
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.listing import VALID, Members, list_view, members_of
from pithgraph.log import Log, Snapshot
from pithgraph.sources import load_keyring

OTHER: Final = "other"
"""Under which events are counted that are of none of the nine kinds."""

_TOP_SIGNERS: Final = 10


class SignerCount(NamedTuple):
    """How many events name a signer (its four members, as the events state them), and how many of
    these are valid: only those are certainly its own."""

    signer: dict[str, str | None]
    events: int
    valid: int


class Counts(NamedTuple):
    """What a log holds. `kinds` and `verdicts` have what occurs; `signers` says how many different
    ones there are, of which `top_signers` has those of the most events. `file_bytes` are those of
    the log's file, `map_bytes` of the map into which its last writer took it. `last_position` is
    None in an empty log; `root` is that of the Merkle tree (32 bytes)."""

    papers: int
    events: int
    kinds: dict[str, int]
    verdicts: dict[str, int]
    signers: int
    top_signers: list[SignerCount]
    aliases: int
    refused: int
    states: int
    file_bytes: int
    map_bytes: int
    format: int
    compression: str
    last_position: int | None
    root: bytes


def count(
    log: Log,
    *,
    keyring: Keyring | None = None,
    progress: Callable[[int], None] | None = None,
) -> Counts:
    """Count what a log holds at one moment, with verdicts as `verified` under a keyring.

    Reads every event once, and keeps about 300 bytes in memory for each different signer.
    `progress` is told how many events were read. Raises LogError.
    """
    keyring = keyring or load_keyring()
    kinds: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    signers: dict[bytes, _Signer] = {}
    with log.snapshot() as snapshot:
        for one in list_view(snapshot, keyring, progress=progress):
            kinds[one.members.event_type if one.members.event_type in KINDS else OTHER] += 1
            verdicts[one.verdict.reason or VALID] += 1
            name = _name_of(one.members)
            if name is not None:
                known = signers.get(name) or _Signer(one.position, 0, 0)
                is_valid = one.verdict.reason is None
                signers[name] = _Signer(known.first, known.events + 1, known.valid + is_valid)
        file_bytes, map_bytes = log.sizes()
        return Counts(
            snapshot.paper_count,
            snapshot.size,
            dict(sorted(kinds.items())),
            dict(sorted(verdicts.items())),
            len(signers),
            _top(snapshot, signers),
            snapshot.entries(b"aliases"),
            snapshot.entries(b"refused"),
            snapshot.entries(b"states"),
            file_bytes,
            map_bytes,
            snapshot.meta(b"format"),
            snapshot.compression,
            snapshot.size - 1 if snapshot.size else None,
            snapshot.root(),
        )


class _Signer(NamedTuple):
    """What is kept of a signer, whose own text may be of any length: the position of its first
    event, and its counts."""

    first: int
    events: int
    valid: int


def _name_of(members: Members) -> bytes | None:
    """A digest of the signer's four members; None where one is no string."""
    if None in members.signer.values():
        return None
    return hashlib.sha256(encode(members.signer)).digest()[:16]


def _top(snapshot: Snapshot, signers: dict[bytes, _Signer]) -> list[SignerCount]:
    most = nlargest(_TOP_SIGNERS, signers.values(), key=lambda one: (one.events, -one.first))
    return [
        SignerCount(members_of(snapshot.event_at(one.first).event).signer, one.events, one.valid)
        for one in most
    ]
