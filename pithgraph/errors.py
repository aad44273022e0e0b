"""Every exception of pithgraph, and every reason code with one sentence for people.

What lives here: the tree of exceptions and the tables of reasons. What must not: any check
that decides which reason applies (`canonical`, `events`, `validation` do that).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Why bytes were not decoded as JSON (SPEC §1). Each refuses the whole line or document.
DECODE_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "too_large": "the text is longer than the limit for a line or a document",
        "byte_order_mark": "the text begins with a byte order mark",
        "invalid_utf8": "the bytes are not UTF-8",
        "no_value": "there is no JSON value",
        "syntax": "the text is not JSON",
        "trailing_data": "something follows the JSON value",
        "duplicate_name": "an object has two members of one name",
        "lone_surrogate": "a string holds half of a surrogate pair",
        "non_finite_number": "a number is NaN, infinite or too large for a double",
        "integer_too_long": "an integer has more than 4,300 digits",
        "too_deep": "arrays and objects nest more than 64 levels deep",
    }
)

# Why something decoded was refused at ingest (SPEC §1, §4, §6). It enters no state.
REFUSAL_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_an_object": "an event or a document is a JSON object",
        "unknown_document": "the object is neither an event nor a document that is known here",
        "not_ingestible": "documents of this type are audited, not ingested",
        "wrong_shape": "a member of the document is missing or of another type",
        "unknown_signer": "the receipt's key is not in the keyring, so nobody is known to speak",
        "no_subject": "subject_pith_number is not a full Pith Number",
        "event_too_deep": "arrays and objects of the event nest more than 56 levels deep",
        "event_too_large": "the event's canonical form is longer than 1 MiB",
        "event_integer_range": "an integer of the event is outside ±(2^53-1)",
        "bad_alias": "the alias row lacks a string, a Pith Number or a timestamp",
        "unreadable": "the file could not be read to its end",
        "more_refused": "more of this source was refused than is kept",
        "quota": "the paper already holds 1,000 events that cannot be authenticated",
    }
)

# Why an event is invalid, in the order of SPEC §6: the first that applies is the verdict.
VERDICT_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "malformed": "a member of the event is missing or of the wrong shape",
        "unknown_event_type": "the event_type is none of the nine kinds",
        "invalid_timestamp": "created_at is no real YYYY-MM-DDTHH:MM:SSZ",
        "target_mismatch": "the target has not the form that the kind asks for",
        "missing_signature": "the event is not signed",
        "event_id_unverifiable": "the event_id follows some other rule than ours",
        "event_id_mismatch": "the event_id is not the digest of the event",
        "unknown_key": "no key of the keyring has the signer's fingerprint",
        "signer_mismatch": "the signer is described otherwise than in the keyring",
        "key_not_valid": "the key is revoked or outside its window at created_at",
        "bad_signature": "the signature does not verify",
        "unauthorized_signer": "a signer of this type may not make this kind of event",
        "invalid_payload": "the payload breaks a rule of its kind",
    }
)


class PithgraphError(Exception):
    """Any failure that pithgraph foresees. Its text is fit to be shown to a user.

    >>> import pithgraph
    >>> try:
    ...     pithgraph.decode(b'{"a": 1, "a": 2}')
    ... except pithgraph.PithgraphError as error:
    ...     print(error)
    duplicate_name at line 1, column 10: "a" stands twice in one object
    """


class DecodeError(PithgraphError):
    """Bytes that strict decoding refuses (SPEC §1).

    `reason` is a key of `DECODE_REASONS`; `line` and `column` count from 1, the column in
    characters (in bytes where the text is not UTF-8).
    """

    def __init__(self, reason: str, detail: str, line: int, column: int) -> None:
        super().__init__(f"{reason} at line {line}, column {column}: {detail}")
        self.reason = reason
        self.detail = detail
        self.line = line
        self.column = column


class EncodeError(PithgraphError):
    """A Python value that has no canonical bytes (not JSON, not finite, not Unicode)."""


class Refused(PithgraphError):
    """A decoded value that is not admitted. `reason` is a key of `REFUSAL_REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class IdentifierError(PithgraphError):
    """A text that is no Pith Number, short form or timestamp."""


class KeyringError(PithgraphError):
    """A keyring, or a public key anywhere, that SPEC §5 or §6 refuses."""


class PrivateKeyError(PithgraphError):
    """A private key file that cannot be read or written."""


class SigningRefused(PithgraphError):
    """A new event that would not count, or would take another of the same key with it.

    `reason` is a key of `VERDICT_REASONS`, or `same_slot`, `fork` or `duplicate` (SPEC §6, §7).
    """

    def __init__(self, reason: str, detail: str, advice: str) -> None:
        super().__init__(f"refused, {reason}: {detail}. {advice}")
        self.reason = reason
        self.detail = detail
        self.advice = advice


class ProofError(PithgraphError):
    """A proof that does not hold, or cannot be built.

    Of equivocation (SPEC §8), of inclusion in a log's Merkle tree, or of consistency (SPEC §10).
    """


class ConsistencyError(ProofError):
    """A log that does not begin with what a checkpoint says (SPEC §10).

    It was rewritten or rolled back, or it is another log.
    """


class MerkleError(PithgraphError):
    """Stored hashes that cannot be those of a Merkle tree of their size (SPEC §10)."""


class CheckpointError(PithgraphError):
    """A signed note, a checkpoint or a verifier key that SPEC §10 refuses."""


class LogError(PithgraphError):
    """A log that cannot be used: absent, locked, damaged or of another format."""


class BackupError(PithgraphError):
    """A backup that cannot be made where it was asked for, such as on a full disk."""


class AnchorError(PithgraphError):
    """A timestamp proof, request or block header that cannot be read, or the library for it is not
    there."""


class StorageError(PithgraphError):
    """A stored file that cannot be read, or is no WARC where its name says so."""


class HandingError(PithgraphError):
    """A document that a log cannot give, since what it is made of is not there."""


class OutputError(PithgraphError):
    """A file that cannot be written where it was asked for."""


class ConformanceError(PithgraphError):
    """Conformance cases, or a list of expected failures, that cannot be used."""


class WorkerError(PithgraphError):
    """A worker process ended before its work was done."""
