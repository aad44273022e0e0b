"""Checkpoints of a log, and proofs out of its own tree, by which others hold it to its past
(SPEC §10).

What lives here: reading the tree of one view of a log, and comparing it with a checkpoint that was
kept elsewhere. What must not: the tree itself (`merkle`), the forms of notes and proofs
(`checkpoints`), and how tiles are stored (`log`).

A log is never taken at its word: whatever is signed or proved against a checkpoint, the root at the
checkpoint's size is computed again from the log's tiles, and has to be the checkpoint's; and before
a root is signed, the hashes that it is computed from are compared with what lies below them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.checkpoints import (
    Checkpoint,
    build_consistency_proof,
    build_inclusion_proof,
    open_checkpoint,
    read_checkpoint,
    sign_checkpoint,
)
from pithgraph.errors import (
    CheckpointError,
    ConsistencyError,
    IdentifierError,
    LogError,
    MerkleError,
    ProofError,
)
from pithgraph.keys import public_bytes
from pithgraph.log import Snapshot
from pithgraph.log.snapshot import StoredEvent
from pithgraph.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from pithgraph.notes import MAX_NOTE_BYTES, verifier_key
from pithgraph.sources import opened

_POSITION: Final = re.compile(r"[0-9]{1,19}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_EVENT_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")
_CANDIDATES_SHOWN: Final = 10


def load_checkpoint(path: str | os.PathLike[str]) -> bytes:
    """The signed note in a file, which has the form of a checkpoint; whose it is, is not asked.

    Raises CheckpointError naming the file.
    """
    try:
        with opened(path) as stream:
            note = stream.read(MAX_NOTE_BYTES + 1)
        read_checkpoint(note)
    except OSError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error.strerror}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from None
    return note


def make_checkpoint(
    snapshot: Snapshot,
    origin: str,
    private_key: Ed25519PrivateKey,
    *,
    size: int | None = None,
    last: bytes | None = None,
) -> bytes:
    """The signed checkpoint of a log of this name: of its first `size` events, or of all.

    `last` is an earlier checkpoint of the same name and key, kept outside of the log. Raises
    ConsistencyError where the log does not begin with it, ProofError where it is not signed by the
    key; IdentifierError for a size that the log never had, CheckpointError for a name that no log
    can have; MerkleError where the tree's right edge is not that of the events.

    >>> import pithgraph, tempfile
    >>> from pithgraph.testing import World
    >>> key = World().registry.private
    >>> with tempfile.TemporaryDirectory() as folder, pithgraph.LogWriter.open(folder) as log:
    ...     done = pithgraph.ingest(log, ["fixtures/pith/state-N7NXYVEE.json"])
    ...     with log.snapshot() as snapshot:
    ...         note = pithgraph.make_checkpoint(snapshot, "example.org/log", key)
    ...         proof = pithgraph.prove_inclusion(snapshot, 1, note)
    ...         sha256 = pithgraph.find_event(snapshot, "1").event.sha256
    >>> trusted = "example.org/log+32cfbf42+AVWG7RBqGSkZHMLkj/Om9bTdFC2rUmO/6WBWadKbkL0n"
    >>> keys = [pithgraph.parse_verifier_key(trusted)]
    >>> shown = pithgraph.verify_inclusion_file(proof, sha256, keys)
    >>> shown.leaf_index, shown.checkpoint.origin, shown.checkpoint.size
    (1, 'example.org/log', 2)
    """
    if size is None:
        size = snapshot.size
    if not 0 <= size <= snapshot.size:
        raise IdentifierError(f"the log never had {size} events: it holds {snapshot.size}")
    if last is not None:
        try:
            old = open_checkpoint(last, [verifier_key(origin, public_bytes(private_key))])
        except CheckpointError as error:
            raise ProofError(
                f"the earlier checkpoint is not by {origin} and its key: {error}"
            ) from None
        check_history(snapshot, old)
    snapshot.check_edge(size)  # what is signed cannot be taken back
    return sign_checkpoint(Checkpoint(origin, size, snapshot.root(size)), private_key)


def check_history(snapshot: Snapshot, old: Checkpoint) -> None:
    """Raises ConsistencyError unless the log still begins with the events of a checkpoint."""
    shown = f"the checkpoint of {old.origin[:100]!r} is of {old.size} events"
    if old.size > snapshot.size:
        raise ConsistencyError(
            f"{shown}, the log holds {snapshot.size}: it was rolled back, or is another log. Keep"
            " the checkpoint, and restore the log from a backup"
        )
    root = snapshot.root(old.size)
    if root != old.root:
        raise ConsistencyError(
            f"{shown} with the root {old.root.hex()}, the first {old.size} of the log have"
            f" {root.hex()}: it was rewritten, or is another log. Keep the checkpoint, and restore"
            " the log from a backup"
        )


def find_event(snapshot: Snapshot, text: str) -> StoredEvent:
    """The one event that a user's text names: a position, an event_sha256 in hex, or an event_id.

    An event_id is looked for in every event of the log, which has no index of them. Raises
    IdentifierError: no such form, no such event, or several of one event_id (with what each can be
    named by).
    """
    name = text.strip().lower()
    if _EVENT_ID.fullmatch(name):
        return _find_by_id(snapshot, name)
    if _SHA256.fullmatch(name):
        return _find_by_digest(snapshot, name)
    if not _POSITION.fullmatch(name):
        raise IdentifierError(
            f"{text[:100]!r} names no event: give a position, an event_sha256 of 64 hex digits, or"
            " an event_id, `sha256:` and 64 hex digits"
        )
    if int(name) >= snapshot.size:
        raise IdentifierError(
            f"the log holds no event {name}: it holds {snapshot.size}, counted from 0"
        )
    return snapshot.event_at(int(name))


def _find_by_digest(snapshot: Snapshot, sha256: str) -> StoredEvent:
    position = snapshot.position_of(bytes.fromhex(sha256))
    if position is None:
        raise IdentifierError(f"the log holds no event of the event_sha256 {sha256}")
    stored = snapshot.event_at(position)
    if stored.event.sha256.hex() != sha256:
        raise LogError(
            f"the event at position {position} is not {sha256}, as the index says: the log is"
            " damaged. Restore it from a backup."
        )
    return stored


def _find_by_id(snapshot: Snapshot, event_id: str) -> StoredEvent:
    text = event_id.encode("ascii")
    stored = map(snapshot.event_at, range(snapshot.size))
    found = [
        one for one in stored if text in one.event.canonical and one.event.event_id == event_id
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise IdentifierError(f"the log holds no event of the event_id {event_id}")
    shown = [f"{one.position} ({one.event.sha256.hex()})" for one in found[:_CANDIDATES_SHOWN]]
    raise IdentifierError(
        f"{len(found)} events have the event_id {event_id}: name one by its position or its"
        f" event_sha256: {', '.join(shown)}"
    )


def prove_inclusion(snapshot: Snapshot, position: int, note: bytes) -> bytes:
    """The proof file (C2SP tlog-proof) that the event at a position is in the log of a checkpoint.

    Raises IdentifierError for a position that the checkpoint does not reach, ConsistencyError where
    the log does not begin with the checkpoint, CheckpointError for the note's form. Whose the
    signature is, is not asked.
    """
    checkpoint = read_checkpoint(note)
    check_history(snapshot, checkpoint)
    if not 0 <= position < checkpoint.size:
        raise IdentifierError(
            f"the checkpoint is of {checkpoint.size} events, from 0 on: it does not reach position"
            f" {position}. Prove against a later one"
        )
    path = inclusion_path(position, checkpoint.size, snapshot.tile)
    sha256 = snapshot.event_at(position).event.sha256
    with _own_tree():
        verify_inclusion(leaf_hash(sha256), position, checkpoint.size, path, checkpoint.root)
    return build_inclusion_proof(sha256, position, path, note)


def prove_consistency(snapshot: Snapshot, old_note: bytes, note: bytes) -> dict[str, Any]:
    """The proof document that the log of one checkpoint begins that of a later one.

    Raises ConsistencyError where the log does not begin with both, ProofError where nothing leads
    from one to the other (two names, an older one of no events or of more than the later),
    CheckpointError for a note's form. Whose the signatures are, is not asked.
    """
    old, new = read_checkpoint(old_note), read_checkpoint(note)
    for checkpoint in (old, new):
        check_history(snapshot, checkpoint)
    path = consistency_path(old.size, new.size, snapshot.tile)
    with _own_tree():
        verify_consistency(old.size, new.size, path, old.root, new.root)
    return build_consistency_proof(old_note, note, path)


@contextmanager
def _own_tree() -> Iterator[None]:
    """Where a log's own tiles and events do not lead to its own root, the log is damaged."""
    try:
        yield
    except ProofError as error:
        raise MerkleError(f"the events are not those of the stored tree: {error}") from None
