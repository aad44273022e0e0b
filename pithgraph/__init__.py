"""pithgraph: the deterministic merge of the Pith open graph.

    import pithgraph

    with pithgraph.LogWriter.open("my-log") as log:
        pithgraph.ingest(log, ["fixtures/pith/state-N7NXYVEE.json"])
        for state in pithgraph.replay(log, assurance="stated"):
            print(state.pith_number, state.state_sha256)

What stands in `__all__` is the public surface, and `pithgraph.testing` for tests of your own;
everything else may change. `fixtures/examples` has whole programs. Names are imported when they are
first used, so that `pithgraph --version` does not load OpenSSL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pithgraph.appending import append_event, check_new_event, previous_event
    from pithgraph.audit import Audited, Finding, audit_bytes, audit_value
    from pithgraph.authoring import (
        generate_private_key,
        keyring_entry,
        load_private_key,
        save_private_key,
        sign_event,
    )
    from pithgraph.canonical import decode, digest, encode
    from pithgraph.checkpointing import (
        find_event,
        load_checkpoint,
        make_checkpoint,
        prove_consistency,
        prove_inclusion,
    )
    from pithgraph.checkpoints import (
        Checkpoint,
        VerifiedConsistency,
        VerifiedInclusion,
        open_checkpoint,
        verify_consistency_file,
        verify_inclusion_file,
    )
    from pithgraph.errors import (
        CheckpointError,
        ConsistencyError,
        DecodeError,
        EncodeError,
        HandingError,
        IdentifierError,
        KeyringError,
        LogError,
        PithgraphError,
        PrivateKeyError,
        ProofError,
        Refused,
        SigningRefused,
    )
    from pithgraph.events import Event
    from pithgraph.handing import Bundled, make_record, write_bundle
    from pithgraph.identifiers import PithNumber, parse_pith_number
    from pithgraph.ingestion import Ingested, ingest
    from pithgraph.keyring import Key, Keyring
    from pithgraph.keyring_edits import add_key, new_entry, retire_key, revoke_key
    from pithgraph.listing import Listed, Wanted, follow_events, list_events, list_merged
    from pithgraph.log import Log, LogWriter, Snapshot
    from pithgraph.merge import InvalidEvent, PaperAlias, State, merge_events
    from pithgraph.notes import VerifierKey, parse_verifier_key
    from pithgraph.proofs import VerifiedProof, build_proof, verify_proof
    from pithgraph.publishing import Published, publish
    from pithgraph.replaying import cited_by, current_state, find_paper, proofs_of, replay
    from pithgraph.resolution import Equivocation
    from pithgraph.resolving import Candidate, Resolved, resolve
    from pithgraph.sources import Limits, load_keyring
    from pithgraph.validation import Verdict, verdict_of
    from pithgraph.views import status_of_state

_ROOMS = {
    "appending": ("append_event", "check_new_event", "previous_event"),
    "audit": ("Audited", "Finding", "audit_bytes", "audit_value"),
    "authoring": (
        "generate_private_key",
        "keyring_entry",
        "load_private_key",
        "save_private_key",
        "sign_event",
    ),
    "canonical": ("decode", "digest", "encode"),
    "checkpointing": (
        "find_event",
        "load_checkpoint",
        "make_checkpoint",
        "prove_consistency",
        "prove_inclusion",
    ),
    "checkpoints": (
        "Checkpoint",
        "VerifiedConsistency",
        "VerifiedInclusion",
        "open_checkpoint",
        "verify_consistency_file",
        "verify_inclusion_file",
    ),
    "errors": (
        "CheckpointError",
        "ConsistencyError",
        "DecodeError",
        "EncodeError",
        "HandingError",
        "IdentifierError",
        "KeyringError",
        "LogError",
        "PithgraphError",
        "PrivateKeyError",
        "ProofError",
        "Refused",
        "SigningRefused",
    ),
    "events": ("Event",),
    "handing": ("Bundled", "make_record", "write_bundle"),
    "identifiers": ("PithNumber", "parse_pith_number"),
    "ingestion": ("Ingested", "ingest"),
    "keyring": ("Key", "Keyring"),
    "listing": ("Listed", "Wanted", "follow_events", "list_events", "list_merged"),
    "keyring_edits": ("add_key", "new_entry", "retire_key", "revoke_key"),
    "log": ("Log", "LogWriter", "Snapshot"),
    "merge": ("InvalidEvent", "PaperAlias", "State", "merge_events"),
    "notes": ("VerifierKey", "parse_verifier_key"),
    "proofs": ("VerifiedProof", "build_proof", "verify_proof"),
    "publishing": ("Published", "publish"),
    "replaying": ("cited_by", "current_state", "find_paper", "proofs_of", "replay"),
    "resolution": ("Equivocation",),
    "resolving": ("Candidate", "Resolved", "resolve"),
    "sources": ("Limits", "load_keyring"),
    "validation": ("Verdict", "verdict_of"),
    "views": ("status_of_state",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Audited",
    "Bundled",
    "Candidate",
    "Checkpoint",
    "CheckpointError",
    "ConsistencyError",
    "DecodeError",
    "EncodeError",
    "Equivocation",
    "Event",
    "Finding",
    "HandingError",
    "IdentifierError",
    "Ingested",
    "InvalidEvent",
    "Key",
    "Keyring",
    "KeyringError",
    "Limits",
    "Listed",
    "Log",
    "LogError",
    "LogWriter",
    "PaperAlias",
    "PithNumber",
    "PithgraphError",
    "PrivateKeyError",
    "ProofError",
    "Published",
    "Refused",
    "Resolved",
    "SigningRefused",
    "Snapshot",
    "State",
    "Verdict",
    "VerifiedConsistency",
    "VerifiedInclusion",
    "VerifiedProof",
    "VerifierKey",
    "Wanted",
    "__version__",
    "add_key",
    "append_event",
    "audit_bytes",
    "audit_value",
    "build_proof",
    "check_new_event",
    "cited_by",
    "current_state",
    "decode",
    "digest",
    "encode",
    "find_event",
    "find_paper",
    "follow_events",
    "generate_private_key",
    "ingest",
    "keyring_entry",
    "list_events",
    "list_merged",
    "load_checkpoint",
    "load_keyring",
    "load_private_key",
    "make_checkpoint",
    "make_record",
    "merge_events",
    "new_entry",
    "open_checkpoint",
    "parse_pith_number",
    "parse_verifier_key",
    "previous_event",
    "proofs_of",
    "prove_consistency",
    "prove_inclusion",
    "publish",
    "replay",
    "resolve",
    "retire_key",
    "revoke_key",
    "save_private_key",
    "sign_event",
    "status_of_state",
    "verdict_of",
    "verify_consistency_file",
    "verify_inclusion_file",
    "verify_proof",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'pithgraph' has no attribute {name!r}")
    return getattr(import_module(f"pithgraph.{room}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
