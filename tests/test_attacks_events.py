"""Attacks with events: what was said of one paper, at one time or under one id, is to be heard as
something else. Each test makes one attack, and is named after it.

At last the engine is weakened where it stops the attack, and the test sees the attack succeed.
"""

import base64
import re
from json import dumps
from typing import Any

import pytest
from msgspec import Raw, Struct, json

from arena import (
    CORRECTION,
    HONEST,
    RETRACTED,
    SNAPSHOT,
    check_in_vain,
    check_tolerated,
    check_untouched,
    correction,
    message_of,
    mirror,
    sha256,
    with_signature,
)
from pithgraph import events, identifiers, kinds, preparing, validation, workers
from pithgraph.documents import EventView
from pithgraph.kinds import Metadata, Source
from pithgraph.log.batch import Batch
from pithgraph.preparing import Preparer
from planting import (
    Attack,
    Weakening,
    any_id_recomputes,
    anything_verifies,
    check_each_is_weakened,
    check_it_is_seen,
    of_one,
    stated_first,
    unlisted,
    weakened,
)
from signing import (
    ALICE,
    BOB,
    DROP,
    OTHER_PAPER,
    PAPER,
    READER,
    REGISTRY,
    REGISTRY_B,
    STRANGER,
    Json,
    Paper,
    at,
    canonical,
    changed,
    event_id_of,
    receipt,
    sealed,
    sha256_hex,
    signature,
    signed_event,
)

# --- fields of the other


FIELDS: Json = {"metadata": {"submitted_at": "2024"}, "schema_version": "1.0", "source": {}}


def two_faced() -> Json:
    """A canonical record that is an event too, once it has an id and a signature; and these are its
    digest and the signature of its receipt."""
    return {
        name: value
        for name, value in (SNAPSHOT | PAPER.record).items()
        if name not in ("event_id", "signature")
    }


def test_an_event_that_carries_a_records_fields() -> None:
    """The registry signs the digest of any record: here that is an event's id."""
    forged = [
        sealed(two_faced(), REGISTRY),
        *(signed_event(created_at=at(9), **{name: FIELDS[name]}) for name in FIELDS),
    ]
    check_in_vain(*forged, reason="malformed")


def test_a_record_that_carries_an_events_fields() -> None:
    """Its receipt would be the signature of the event."""
    for record in (two_faced(), PAPER.record | {"note": ""}):
        as_event = sealed(record, REGISTRY)
        digest = sha256_hex(record)
        assert as_event["event_id"] == f"sha256:{digest}"
        taken = as_event["signature"]["signature_b64"]
        event = signed_event(
            "record_created",
            REGISTRY_B,
            subject_pith_number=f"pith:{PAPER.year}:{suffix_of(digest)}",
            **{
                "payload.canonical_record": record,
                "payload.canonical_sha256": digest,
                "payload.receipt": receipt(canonical_sha256=digest, signature_b64=taken),
            },
        )
        check_in_vain(event, reason="invalid_payload")


def suffix_of(digest: str) -> str:
    return base64.b32encode(bytes.fromhex(digest)).decode()[:26]


# --- another subject


def moved_to(paper: Paper, event: Json) -> Json:
    return event | {"subject_pith_number": paper.number}


def test_an_event_under_another_subject() -> None:
    """With its own id, and with the one that it would have."""
    event = moved_to(OTHER_PAPER, CORRECTION)
    check_tolerated(event, reason="event_id_unverifiable", gives_way=False)
    check_in_vain(event | {"event_id": event_id_of(event)}, reason="bad_signature")


def test_a_record_under_another_subject() -> None:
    """Signed by a registry that does what it must not: of another paper, and of another year."""
    record = signed_event("record_created", REGISTRY_B)
    later = record | {"subject_pith_number": f"pith:2025:{PAPER.suffix}"}
    forged = [sealed(event, REGISTRY_B) for event in (moved_to(OTHER_PAPER, record), later)]
    check_in_vain(*forged, reason="invalid_payload")


def test_an_anchor_of_another_paper() -> None:
    event = sealed(moved_to(OTHER_PAPER, signed_event("timestamp_anchor")), READER)
    check_in_vain(event, reason="invalid_payload")


def test_a_subject_that_is_nearly_a_papers() -> None:
    """It enters no state, not even one of its own."""
    names = [
        *(PAPER.number.lower(), PAPER.number[:-1], PAPER.number + " ", PAPER.number + "\n"),
        *(PAPER.number.upper(), PAPER.suffix, f"pith:{PAPER.suffix}", ""),
    ]
    forged = [signed_event(created_at=at(9), subject_pith_number=name) for name in names]
    before, after = mirror(HONEST), mirror([*forged, *HONEST])
    assert after.refused == {sha256(event): "no_subject" for event in forged}
    assert after.states == before.states


# --- another's id


def test_an_event_that_claims_a_valid_ones_id() -> None:
    """With the valid one's own signature, with no signature, and with a stranger's; at a time at
    which nothing else was said."""
    event = CORRECTION | {"created_at": at(8), "payload": RETRACTED}
    check_tolerated(event, reason="event_id_unverifiable", gives_way=True)
    unsigned = changed(event, "signature", DROP)
    check_tolerated(unsigned, reason="missing_signature", gives_way=True)
    signed = signature(STRANGER, event["event_id"], key_id=ALICE.key_id)
    check_in_vain(event | {"signature": signed}, reason="event_id_mismatch")


def test_an_event_that_claims_the_beginning_of_a_valid_ones_id() -> None:
    """The index of a log knows no more of it."""
    begins = CORRECTION["event_id"][:23]
    forged = [CORRECTION | {"event_id": begins + digit * 48} for digit in "0f"]
    check_in_vain(*forged, reason="event_id_mismatch")


def test_copies_of_an_authentic_event() -> None:
    """What stands outside the id cannot be added to, and spelling makes no other event."""
    copies = [changed(CORRECTION, f"signature.{name}", "") for name in ("note", "kid")]
    check_in_vain(*copies, reason="malformed")
    text = canonical(CORRECTION)
    spelled = [
        dumps(CORRECTION, indent="\t").replace("\n", " ").encode(),
        text.replace(b'"target"', b'"t\\u0061rget"'),
        dumps(dict(reversed(CORRECTION.items()))).encode(),
    ]
    assert len({text, *spelled}) == 4
    before, after = mirror(HONEST), mirror([*spelled, *HONEST, *spelled])
    assert after == before


def test_a_member_that_is_there_twice() -> None:
    """Of which one is signed, and another library may see the other."""
    text = canonical(CORRECTION)
    doubled = [
        text.replace(b'"target":', b'"target":"graph","target":'),
        text[:-1] + b',"target":"graph"}',
        text[:-1] + b',"t\\u0061rget":"graph"}',
    ]
    before, after = mirror(HONEST), mirror([*doubled, *HONEST])
    assert after.refused == {sha256(one): "duplicate_name" for one in doubled}
    assert after.states == before.states


# --- the short ways of a log


def test_a_bad_event_of_a_class_that_was_good() -> None:
    """Its like was found good; this one differs in what its class does not tell."""
    event = signed_event("graph_snapshot", created_at=at(9))
    forged = with_signature(event, STRANGER.sign(message_of(event)))
    check_in_vain(forged, reason="bad_signature")
    payload = signed_event(created_at=at(9), payload={"graph_snapshot": [], "verdict_id": None})
    check_in_vain(payload, reason="invalid_payload")
    in_anothers_name = changed(event, "signature.key_id", REGISTRY_B.key_id)
    check_in_vain(in_anothers_name, reason="signer_mismatch")
    for target in ("record", "graph ", "Graph", ""):
        check_in_vain(signed_event(created_at=at(9), target=target), reason="target_mismatch")


EXTREMES = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]


def test_a_time_that_is_none() -> None:
    """Before the first and after the last, a second or a day that never was, and other digits; by a
    key that may say everything else."""
    times = [
        *("0000-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "9999-12-31T23:59:60Z"),
        *("2026-06-01T24:00:00Z", "2026-02-29T00:00:00Z", "2026-06-01T00:00:01z"),
        *("２０２６-06-01T00:00:01Z", "2026-06-01T00:00:01Z\n", "2026-06-01 00:00:01Z", ""),
    ]
    honest = [*HONEST, *(signed_event(created_at=time) for time in EXTREMES)]
    forged = [signed_event(created_at=time) for time in times]
    check_in_vain(*forged, reason="invalid_timestamp", honest=honest)
    after_all = signed_event(created_at="9999-12-31T23:59:60Z")
    check_in_vain(after_all, reason="invalid_timestamp", honest=honest)


def test_a_flood_of_junk() -> None:
    """A paper's quota is used up; what is authentic comes in all the same."""
    flood = [changed(SNAPSHOT, "signature", DROP) | {"n": n} for n in range(1_010)]
    before, after = mirror(HONEST), mirror([*flood, *HONEST])
    assert list(after.refused.values()) == ["quota"] * 10
    check_untouched(before, after, "verified")
    assert before.applied_ids("stated") <= after.applied_ids("stated")


def check_workers_let_nobody_in(number: int) -> None:
    event = correction()
    junk = [
        with_signature(event, STRANGER.sign(message_of(event))),
        with_signature(event, ALICE.sign(message_of(CORRECTION))),
        changed(event, "signature.key_id", BOB.key_id),
        moved_to(OTHER_PAPER, CORRECTION),
        CORRECTION | {"payload": RETRACTED},
    ]
    reasons = [
        *("bad_signature", "bad_signature", "signer_mismatch"),
        *("event_id_unverifiable", "event_id_unverifiable"),
    ]
    by_digest = dict(zip(map(sha256, junk), reasons, strict=True))
    before = mirror(HONEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_WORTH_WORKERS", 1)  # so little is not worth any otherwise
        after = mirror([*HONEST, *junk], workers=number)
    assert after.invalid("verified") == by_digest
    check_untouched(before, after, "verified")


def test_junk_that_is_prepared_by_workers() -> None:
    check_workers_let_nobody_in(2)


def test_junk_that_is_prepared_on_trust() -> None:
    """A single worker verifies what this process has prepared as if it were good."""
    check_workers_let_nobody_in(1)


# --- weakened, the engine lets each of these in


class AnyRecord(Struct, frozen=True):
    metadata: Metadata
    schema_version: Raw
    source: Source


def any_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kinds, "_RECORD", json.Decoder(AnyRecord))


def any_fields(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(events, "FORBIDDEN_MEMBERS", ())


def facts_by_signer(patch: pytest.MonkeyPatch) -> None:
    """What was established of one event holds for all of its kind and signer."""
    known: dict[Any, Any] = {}

    def wrongly(event: Any, *rest: Any, verify_by: Any = None) -> Any:
        key = event.view and (event.view.event_type, event.signer)
        return known.setdefault(key, validation.establish(event, *rest))

    patch.setattr(preparing, "establish", wrongly)


def any_case(patch: pytest.MonkeyPatch) -> None:
    loose = re.compile(identifiers._PITH_NUMBER.pattern, re.IGNORECASE)
    patch.setattr(identifiers, "_PITH_NUMBER", loose)


def last_of_two(patch: pytest.MonkeyPatch) -> None:
    """A member that is there twice is taken from its last place."""
    right = preparing.read
    patch.setattr(
        preparing, "read", lambda data, **limits: right(json.encode(json.decode(data)), **limits)
    )


class OpenSignature(Struct, frozen=True):
    key_id: str
    signature_b64: str


class OpenEvent(EventView, frozen=True):
    signature: OpenSignature | None = None  # type: ignore[assignment]


def open_signature(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(events, "_VIEW", json.Decoder(OpenEvent))


same_place_same_event = of_one(
    Batch,
    "append",
    "new.sha256 in there or",
    "any(key.startswith(new.paper + new.order) for key, _ in self._index) or",
)


WEAKENED: list[tuple[Attack, Weakening]] = [
    (test_an_event_that_carries_a_records_fields, any_fields),
    (test_a_record_that_carries_an_events_fields, any_record),
    (test_an_event_under_another_subject, any_id_recomputes),
    (test_an_event_under_another_subject, anything_verifies),
    (
        test_a_record_under_another_subject,
        lambda patch: patch.setattr(kinds, "is_suffix_of", lambda *_: True),
    ),
    (
        test_a_record_under_another_subject,
        of_one(kinds, "_record_created", "!= subject[:4]:", "is None:"),
    ),
    (
        test_an_anchor_of_another_paper,
        of_one(kinds, "_timestamp_anchor", "if suffix !=", "if not"),
    ),
    (test_a_subject_that_is_nearly_a_papers, any_case),
    (test_an_event_that_claims_a_valid_ones_id, any_id_recomputes),
    (test_an_event_that_claims_a_valid_ones_id, stated_first),
    (test_an_event_that_claims_the_beginning_of_a_valid_ones_id, same_place_same_event),
    (test_copies_of_an_authentic_event, open_signature),
    (test_a_member_that_is_there_twice, last_of_two),
    (test_a_bad_event_of_a_class_that_was_good, facts_by_signer),
    *(
        (
            test_a_bad_event_of_a_class_that_was_good,
            of_one(preparing, "is_judged_like_its_class", old, "True"),
        )
        for old in (
            "view.signature.key_id == event.signer.key_id",
            "kind.target.fullmatch(view.target) is not None",
        )
    ),
    (test_a_time_that_is_none, unlisted("invalid_timestamp")),
    (
        test_a_time_that_is_none,
        of_one(preparing, "is_judged_like_its_class", "is_timestamp(view.created_at)", "True"),
    ),
    (
        test_a_flood_of_junk,
        of_one(Preparer, "_of_event", "not is_auth", "self._admit == 'all' or not is_auth"),
    ),
    (test_junk_that_is_prepared_by_workers, unlisted("bad_signature")),
    (
        test_junk_that_is_prepared_on_trust,
        of_one(Preparer, "settle", "if not all(verified):", "if False:"),
    ),
]


@pytest.mark.longer
@pytest.mark.parametrize(("attack", "weaken"), weakened(WEAKENED))
def test_a_weakened_engine_is_seen(
    attack: Attack, weaken: Weakening, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it_is_seen(attack, weaken, monkeypatch)


def test_every_attack_succeeds_on_some_engine() -> None:
    check_each_is_weakened(globals(), WEAKENED)
