"""From an event to its verdict: the ordered checks of SPEC §6.

What lives here: `establish`, heavy and pure, done once an event and stored; and `judge`, cheap,
done at every merge by walking a table of checks. What must not: the merge, storage, and the
rules of single kinds (`kinds`).
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from msgspec import Raw, Struct

from pithgraph.documents import EventView, Receipt, Signature, Signer
from pithgraph.events import Event, id_bytes
from pithgraph.identifiers import is_timestamp
from pithgraph.keyring import REGISTRY, Key, Keyring
from pithgraph.keys import verify
from pithgraph.kinds import KINDS, Kind, RecordCreated, read_payload

Assurance = Literal["verified", "stated"]
VERIFIED: Final = "verified"
STATED: Final = "stated"
ASSURANCES: Final[tuple[Assurance, ...]] = (VERIFIED, STATED)
# What assurance `stated` tolerates; such an event is applied as stated (SPEC §6).
TOLERATED_AS_STATED: Final = frozenset({"missing_signature", "event_id_unverifiable"})


class Trial(Struct, frozen=True, array_like=True):
    """A signature tried under one public key, named by its 32-byte SHA-256."""

    key_sha256: bytes
    verified: bool


class ReceiptTrial(Struct, frozen=True, array_like=True):
    """A well-formed receipt: the key that it names, and the trial under that key, if any."""

    key_id: str
    fingerprint: str
    trial: Trial | None


class Facts(Struct, frozen=True, array_like=True):
    """What `establish` found out about one event.

    `signature` is over the stated id, under the keyring's key of the signer's fingerprint; None
    while no keyring had that key, or the event is unsigned. `payload_fault` names the member that
    breaks a rule of the kind, the receipt's signature aside; a record_created without one has a
    `receipt`.
    """

    id_recomputes: bool
    signature: Trial | None
    payload_fault: str | None
    receipt: ReceiptTrial | None


class Verdict(NamedTuple):
    """What the rules say of one event (SPEC §6).

    `reason` is None for a valid event, else a key of `VERDICT_REASONS`; `detail` says which member
    or value; `stated` holds for a valid event that only assurance `stated` lets in.
    """

    reason: str | None
    detail: str
    stated: bool


class Judged(NamedTuple):
    """An event with its verdict: what the merge takes."""

    event: Event
    verdict: Verdict


_NOTHING_ESTABLISHED: Final = Facts(False, None, None, None)


# Whether a public key's signature over a message verifies, as `keys.verify` says.
Verify = Callable[[bytes, bytes, bytes], bool]


def establish(
    event: Event, keyring: Keyring, known: Facts | None = None, verify_by: Verify | None = None
) -> Facts:
    """All that costs: the id, the payload's rules, the trials of signatures.

    With `known` facts of the same event only those signatures are tried that `keyring` gives to
    another key; the very same facts are returned where there are none. `verify_by` may stand in the
    place of `keys.verify`.
    """
    verify_by = verify_by or verify
    view = event.view
    if view is None:
        return _NOTHING_ESTABLISHED
    signer = event.signer
    if known is None:
        recomputes = event.computed_id == view.event_id
        fault, receipt, receipt_message = _read_payload(event, view, signer)
        known = Facts(recomputes, None, fault, receipt)
    else:
        receipt_message = None
    signature = known.signature
    key = keyring.by_fingerprint(signer.public_key_fingerprint)
    if key and view.signature and (signature is None or signature.key_sha256 != key.sha256):
        raw = event.signature
        assert raw is not None
        signature = Trial(key.sha256, verify_by(key.public_key, raw, id_bytes(view.event_id)))
    receipt = known.receipt
    if receipt is not None:
        key = _receipt_key(receipt, keyring)
        if key and (receipt.trial is None or receipt.trial.key_sha256 != key.sha256):
            stated = receipt_message or _read_payload(event, view, signer)[2]
            assert stated is not None  # the facts hold a receipt, so the payload has one
            trial = Trial(key.sha256, receipt_verifies(stated, key, verify_by))
            receipt = ReceiptTrial(receipt.key_id, receipt.fingerprint, trial)
    if signature is known.signature and receipt is known.receipt:
        return known
    return Facts(known.id_recomputes, signature, known.payload_fault, receipt)


def judge(event: Event, facts: Facts, keyring: Keyring, assurance: Assurance) -> Verdict:
    """The verdict: the first check that applies (SPEC §6).

    `facts` must have been established under `keyring`; a signature that was never tried under the
    keyring's key counts as bad.
    """
    if event.view is None:
        return Verdict("malformed", event.malformed or "", False)
    case = case_of(event.view, event.signer, facts, keyring)
    stated = False
    for reason, check in CHECKS:
        detail = check(case)
        if detail is None:
            continue
        if assurance == STATED and reason in TOLERATED_AS_STATED:
            stated = True
            continue
        return Verdict(reason, detail, False)
    return Verdict(None, "", stated)


def is_judged_like_its_class(event: Event) -> bool:
    """Whether `judge` must find the event valid where it found one so that has the same facts, the
    same event_type and the same signer, whose key has no window: the checks look at nothing else,
    but at the time and the forms that are asked here."""
    view = event.view
    if view is None or (kind := KINDS.get(view.event_type)) is None:
        return False
    return (
        view.signature is not None
        and view.signature.key_id == event.signer.key_id
        and is_timestamp(view.created_at)
        and kind.target.fullmatch(view.target) is not None
    )


def class_is_valid(event_type: str, signer: Signer, facts: Facts, keyring: Keyring) -> bool:
    """Whether `judge` finds each event of this type, signer and facts valid that is signed in its
    signer's name and whose time and target have good forms, the window of its key aside."""
    signature = Signature("ed25519", signer.key_id, "event_sha256_bytes", "")
    view = EventView("", event_type, "", "", "", _NOTHING, _NOTHING, signature)
    case = case_of(view, signer, facts, keyring)
    if case.key is None or case.key.revoked:
        return False
    return all(check(case) is None for reason, check in CHECKS if reason not in _OF_ONE_EVENT)


_NOTHING: Final = Raw(b"")


def check_assurance(assurance: str) -> None:
    """Raise ValueError for what is neither `verified` nor `stated`."""
    if assurance not in ASSURANCES:
        raise ValueError(f"{assurance!r} is no assurance: {' or '.join(ASSURANCES)}")


def verdict_of(event: Event, keyring: Keyring, assurance: Assurance = VERIFIED) -> Verdict:
    """Establish and judge one event (SPEC §6): what a merge under this keyring will make of it.

    >>> import pithgraph
    >>> from pithgraph.testing import World
    >>> world = World()
    >>> pithgraph.verdict_of(world.sign("mirror_hint"), world.keyring)
    Verdict(reason=None, detail='', stated=False)
    >>> pithgraph.verdict_of(world.sign("mirror_hint", by=world.reader), world.keyring).reason
    'unauthorized_signer'
    """
    return judge(event, establish(event, keyring), keyring, assurance)


def is_authentic(event: Event, facts: Facts) -> bool:
    """Whether `--admit authentic` lets the event in (SPEC §6): well-formed, the id recomputes and
    the signature verifies under the keyring that the facts were established with."""
    return (
        event.view is not None
        and facts.id_recomputes
        and facts.signature is not None
        and facts.signature.verified
    )


def why_not_authentic(event: Event, facts: Facts, keyring: Keyring) -> Verdict:
    """The reason for which `--admit authentic` refuses an event: the first that concerns its
    shape, id or signature."""
    if event.view is None:
        return Verdict("malformed", event.malformed or "", False)
    case = case_of(event.view, event.signer, facts, keyring)
    for reason, check in CHECKS:
        if reason in _DOOR and (detail := check(case)) is not None:
            return Verdict(reason, detail, False)
    raise AssertionError("asked of an authentic event")


def receipt_fault(receipt: Receipt, canonical_sha256: str, keyring: Keyring) -> str | None:
    """Why a receipt is not good for a record of this digest (SPEC §3), or None."""
    if receipt.canonical_sha256 != canonical_sha256:
        return "canonical_sha256 is another than the record's"
    claim = ReceiptTrial(receipt.key_id, receipt.public_key_fingerprint, None)
    key = _receipt_key(claim, keyring)
    if key is None:
        return _no_receipt_key(claim, keyring)
    return None if receipt_verifies(receipt, key) else "the receipt's signature does not verify"


def receipt_verifies(receipt: Receipt, key: Key, verify_by: Verify | None = None) -> bool:
    """Ed25519 over the 32 raw bytes of canonical_sha256 (SPEC §3)."""
    raw = binascii.a2b_base64(receipt.signature_b64)
    message = bytes.fromhex(receipt.canonical_sha256)
    return (verify_by or verify)(key.public_key, raw, message)


# --- the table of checks ---------------------------------------------------------------------


class Case(NamedTuple):
    """What the checks look at. Past `unknown_event_type` there is a kind, past `unknown_key` a
    key. `signed` says whether the signature verified under that key."""

    view: EventView
    signer: Signer
    facts: Facts
    keyring: Keyring
    kind: Kind | None
    key: Key | None
    signed: bool


def case_of(view: EventView, signer: Signer, facts: Facts, keyring: Keyring) -> Case:
    """What the checks look at, of an event with these facts under a keyring."""
    key = keyring.by_fingerprint(signer.public_key_fingerprint)
    trial = facts.signature
    signed = bool(key and trial and trial.verified and trial.key_sha256 == key.sha256)
    return Case(view, signer, facts, keyring, KINDS.get(view.event_type), key, signed)


def _unknown_event_type(case: Case) -> str | None:
    return None if case.kind else f"event_type {case.view.event_type!r}"


def _invalid_timestamp(case: Case) -> str | None:
    return None if is_timestamp(case.view.created_at) else f"created_at {case.view.created_at!r}"


def _target_mismatch(case: Case) -> str | None:
    assert case.kind is not None
    if case.kind.target.fullmatch(case.view.target):
        return None
    return f"target {case.view.target!r} for {case.view.event_type}"


def _missing_signature(case: Case) -> str | None:
    return None if case.view.signature else "signature is absent or null"


def _event_id_unverifiable(case: Case) -> str | None:
    if case.facts.id_recomputes:
        return None
    if case.view.signature is None:
        return f"event_id {case.view.event_id} does not recompute, and nothing signs it"
    if case.signed:
        return f"event_id {case.view.event_id} is signed, but does not recompute"
    return None


def _event_id_mismatch(case: Case) -> str | None:
    if case.facts.id_recomputes or _event_id_unverifiable(case) is not None:
        return None
    return f"event_id {case.view.event_id} does not recompute"


def _unknown_key(case: Case) -> str | None:
    return None if case.key else f"fingerprint {case.signer.public_key_fingerprint!r}"


def _signer_mismatch(case: Case) -> str | None:
    assert case.key is not None
    for name in ("key_id", "signer_id", "signer_type"):
        stated, known = getattr(case.signer, name), getattr(case.key, name)
        if stated != known:
            return f"signer.{name} is {stated!r}, the keyring says {known!r}"
    if case.view.signature and case.view.signature.key_id != case.signer.key_id:
        return f"signature.key_id is {case.view.signature.key_id!r}"
    return None


def _key_not_valid(case: Case) -> str | None:
    assert case.key is not None
    return case.key.invalid_at(case.view.created_at)


def _bad_signature(case: Case) -> str | None:
    if case.view.signature is None or case.signed:
        return None
    return "signature.signature_b64 does not verify over event_id"


def _unauthorized_signer(case: Case) -> str | None:
    assert case.kind is not None
    if case.kind.signer_types is None or case.signer.signer_type in case.kind.signer_types:
        return None
    return f"signer_type {case.signer.signer_type!r} for {case.view.event_type}"


def _invalid_payload(case: Case) -> str | None:
    if case.facts.payload_fault is not None:
        return case.facts.payload_fault
    claim = case.facts.receipt
    if claim is None:
        return None
    key = _receipt_key(claim, case.keyring)
    if key is None:
        return "receipt: " + _no_receipt_key(claim, case.keyring)
    if claim.trial and claim.trial.verified and claim.trial.key_sha256 == key.sha256:
        return None
    return "receipt: its signature does not verify"


# SPEC §6, 2 to 13, in order. The first, `malformed`, is what has no view to check.
CHECKS: Final[tuple[tuple[str, Callable[[Case], str | None]], ...]] = (
    ("unknown_event_type", _unknown_event_type),
    ("invalid_timestamp", _invalid_timestamp),
    ("target_mismatch", _target_mismatch),
    ("missing_signature", _missing_signature),
    ("event_id_unverifiable", _event_id_unverifiable),
    ("event_id_mismatch", _event_id_mismatch),
    ("unknown_key", _unknown_key),
    ("signer_mismatch", _signer_mismatch),
    ("key_not_valid", _key_not_valid),
    ("bad_signature", _bad_signature),
    ("unauthorized_signer", _unauthorized_signer),
    ("invalid_payload", _invalid_payload),
)

# What one event may break where others with its type, signer and facts do not.
_OF_ONE_EVENT: Final = frozenset({"invalid_timestamp", "target_mismatch", "key_not_valid"})

_DOOR: Final = frozenset(
    {
        "missing_signature",
        "event_id_unverifiable",
        "event_id_mismatch",
        "unknown_key",
        "bad_signature",
    }
)


def _receipt_key(claim: ReceiptTrial, keyring: Keyring) -> Key | None:
    """The key under which a receipt may be good (SPEC §3), without asking its window."""
    key = keyring.by_key_id(claim.key_id)
    if key and key.signer_type == REGISTRY and not key.revoked:
        return key if key.fingerprint == claim.fingerprint else None
    return None


def _no_receipt_key(claim: ReceiptTrial, keyring: Keyring) -> str:
    key = keyring.by_key_id(claim.key_id)
    if key is None:
        return f"no key {claim.key_id!r} in the keyring"
    if key.signer_type != REGISTRY:
        return f"key {claim.key_id!r} is of type {key.signer_type!r}, not {REGISTRY!r}"
    if key.revoked:
        return f"key {claim.key_id!r} is revoked"
    return f"public_key_fingerprint is {claim.fingerprint!r}, the key's is {key.fingerprint!r}"


def _read_payload(
    event: Event, view: EventView, signer: Signer
) -> tuple[str | None, ReceiptTrial | None, Receipt | None]:
    """The payload's fault, or the receipt that must still be tried."""
    kind = KINDS.get(view.event_type)
    if kind is None:
        return None, None, None
    payload, fault = read_payload(kind, view, signer)
    if isinstance(payload, RecordCreated):
        event.record = payload.canonical_record
        receipt = payload.receipt
        return None, ReceiptTrial(receipt.key_id, receipt.public_key_fingerprint, None), receipt
    return fault, None, None
