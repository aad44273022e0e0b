"""The merge (SPEC §7): over random histories the engine and the oracle give the same bytes, and no
order of arrival, repetition or junk changes what it must not. Faults planted into the engine show
that the comparison would see them."""

import builtins
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from histories import (
    FOREIGN_IDS,
    KEYRING,
    PREVIOUS,
    TIMES,
    AliasRow,
    History,
    Recipe,
    alias_rows,
    build,
    fixed_histories,
    histories,
    recipes,
)
from pithgraph import merge, resolution, validation
from pithgraph.errors import VERDICT_REASONS
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.merge import PaperAlias, State, merge_events, merge_ordinary
from pithgraph.ordinary import state_row
from pithgraph.validation import ASSURANCES, Assurance, Judged, establish, judge
from signing import ALICE, DROP, PAPER, Json, at, signed_event

RING = Keyring.from_value(KEYRING)
NO_KEYS = Keyring.from_value({"keys": []})
EXAMPLES = 400
assurances = st.sampled_from(ASSURANCES)


def engine(
    history: History, assurance: Assurance, papers: Iterable[str] | None = None
) -> dict[str, State]:
    """The engine's states by paper, from events that were read as any event is."""
    events = [Event.from_value(event) for event in history.events]
    named = {event.subject for event in events} | {row[0] for row in history.aliases}
    states = {}
    for paper in named if papers is None else papers:
        rows = [PaperAlias(*row[1:]) for row in history.aliases if row[0] == paper]
        states[paper] = merge_events(paper, events, rows, RING, assurance, history.as_of)
    return states


def expected(history: History, assurance: Assurance) -> dict[str, Json]:
    return oracle.merge(history.events, history.aliases, KEYRING, assurance, history.as_of)


def check_against_oracle(history: History, assurance: Assurance) -> None:
    states, documents = engine(history, assurance), expected(history, assurance)
    for paper, state in states.items():
        # A paper of which `as_of` leaves nothing has no state; the engine's is empty.
        document = documents.get(paper) or oracle._state(paper, [], [], KEYRING, assurance)
        assert state.canonical == oracle.canonical(document)
        assert state.core_sha256 == oracle.core_sha256(document)
        check_what_stands_beside(state, document, assurance)
        assert state.applied_as_stated == len(applied_as_stated(history, document))
    assert documents.keys() <= states.keys()


def applied_as_stated(history: History, document: Json) -> set[str]:
    """The applied ids that no verified event has."""
    verified = {
        event["event_id"]
        for event in history.events
        if oracle.verdict(event, KEYRING, "verified")[0] is None
    }
    return set(document["applied_event_ids"]) - verified


def check_what_stands_beside(state: State, document: Json, assurance: Assurance) -> None:
    assert state.document == document
    assert state.keyring_sha256 == oracle.keyring_sha256(KEYRING)
    assert state.assurance == assurance
    counts = ("event_count", "valid_event_count", "invalid_event_count", "equivocation_count")
    for name in ("pith_number", "state_sha256", *counts):
        assert getattr(state, name) == document[name]
    rows = [row._asdict() | {"event_ids": list(row.event_ids)} for row in state.equivocations]
    assert rows == document["equivocations"]
    invalid = [row._asdict() for row in state.invalid_events]
    assert all(row.pop("detail") for row in invalid)
    assert invalid == document["invalid_events"]


# --- over random histories


@settings(max_examples=250)
@given(histories(), assurances)
def test_engine_and_oracle_give_the_same_bytes(history: History, assurance: Assurance) -> None:
    check_against_oracle(history, assurance)


@pytest.mark.slow
@settings(max_examples=5000)
@given(histories(), assurances)
def test_sample_of_many_histories(history: History, assurance: Assurance) -> None:
    check_against_oracle(history, assurance)


@settings(max_examples=80)
@given(histories(), assurances, st.data())
def test_no_order_and_no_repetition_changes_a_byte(
    history: History, assurance: Assurance, data: st.DataObject
) -> None:
    def shuffled(items: list[Any]) -> list[Any]:
        more = data.draw(st.lists(st.sampled_from(items), max_size=4)) if items else []
        return data.draw(st.permutations([*items, *more]))

    other = History(shuffled(history.events), shuffled(history.aliases), history.as_of)
    # Members in another order, as a database gives them back, are the same event.
    other = other._replace(events=[dict(reversed(event.items())) for event in other.events])
    assert engine(other, assurance) == engine(history, assurance)


@settings(max_examples=80)
@given(histories(), assurances, st.lists(recipes(), max_size=6), st.lists(alias_rows(), max_size=4))
def test_junk_and_alias_dates_leave_the_core_alone(
    history: History, assurance: Assurance, more: list[Recipe], rows: list[AliasRow]
) -> None:
    junk = [
        event
        for event in map(build, more)
        if oracle.verdict(event, KEYRING, assurance)[0] is not None
    ]
    before = engine(history, assurance)
    after = engine(
        History([*junk, *history.events], [*rows, *history.aliases], history.as_of), assurance
    )
    for paper, state in before.items():
        assert after[paper].core_sha256 == state.core_sha256
        assert after[paper].valid_event_count == state.valid_event_count


def timed(history: History) -> list[Json]:
    return [event for event in history.events if oracle.is_timestamp(event.get("created_at"))]


@settings(max_examples=60)
@given(histories(), assurances)
def test_as_of_merges_what_was_there_by_then(history: History, assurance: Assurance) -> None:
    """SPEC §7, 8."""
    time = history.as_of or TIMES[1]
    history = history._replace(as_of=time)
    early = History(
        [event for event in timed(history) if event["created_at"] <= time],
        [row for row in history.aliases if (oracle.without_fraction(row[3]) or "~") <= time],
        None,
    )
    papers = engine(history, assurance).keys()
    assert engine(early, assurance, papers) == engine(history, assurance, papers)


@pytest.mark.longer
@settings(max_examples=60)
@given(histories([None]), assurances)
def test_the_last_moment_leaves_out_the_timeless(history: History, assurance: Assurance) -> None:
    states = engine(history._replace(as_of="9999-12-31T23:59:59Z"), assurance)
    assert states == engine(history._replace(events=timed(history)), assurance, states)


@settings(max_examples=60)
@given(histories([None]), assurances)
def test_facts_may_be_established_in_several_goes(history: History, assurance: Assurance) -> None:
    """Whichever keyring came first, the verdict is that of the keyring that is asked."""
    partly = Keyring.from_value({"keys": KEYRING["keys"][::2]})
    for value in history.events:
        event = Event.from_value(value)
        at_once = establish(event, RING)
        assert establish(event, RING, at_once) is at_once
        for first in (NO_KEYS, partly):
            known = establish(event, first)
            in_two = establish(event, RING, known)
            assert in_two == at_once
            again = establish(event, first, in_two)
            assert judge(event, again, first, assurance) == judge(event, known, first, assurance)


@pytest.mark.longer
@settings(max_examples=60)
@given(histories([None]))
def test_applied_as_stated_counts_what_only_stated_lets_in(history: History) -> None:
    verified, stated = engine(history, "verified"), engine(history, "stated")
    for paper in verified:
        assert verified[paper].applied_as_stated == 0
        alone = set(stated[paper].document["applied_event_ids"])
        alone -= set(verified[paper].document["applied_event_ids"])
        assert stated[paper].applied_as_stated == len(alone)
        # What is verified stands under either assurance, and so do the equivocations.
        assert stated[paper].equivocations == verified[paper].equivocations


def test_the_events_of_another_paper_take_no_part() -> None:
    other = signed_event(subject_pith_number=f"pith:2025:{PAPER.suffix}")
    events = [Event.from_value(signed_event()), Event.from_value(other)]
    state = merge_events(PAPER.number, events, [], RING)
    assert state.document["applied_event_ids"] == [events[0].event_id]
    assert state.event_count == 1


def test_an_empty_state() -> None:
    check_against_oracle(History([], [(PAPER.number, "doi", "10.1/x", TIMES[0])], None), "verified")
    state = merge_events(PAPER.number, [], [], RING)
    assert state.document["current"]["record_created"] is None
    assert (state.event_count, state.equivocation_count, state.applied_as_stated) == (0, 0, 0)


def test_a_state_cannot_be_changed() -> None:
    state = merge_events(PAPER.number, [], [], RING)
    with pytest.raises(AttributeError):
        state.event_count = 1  # type: ignore[misc]


@pytest.mark.parametrize("as_of", [None, TIMES[-1]])
def test_an_alias_row_without_a_time_is_none(as_of: str | None) -> None:
    """SPEC §4 has such a row refused, so none comes out of a log; a caller may hand one over."""
    names = [(f"pith_short_{n}", PAPER.suffix[:n]) for n in (8, 12)]
    rows = [PaperAlias(*names[0], "yesterday"), PaperAlias(*names[1], "yesterday")]
    rows += [PaperAlias(*names[1], TIMES[0]), PaperAlias(*names[1], "yesterday")]
    state = merge_events(PAPER.number, [], rows, RING, as_of=as_of)
    shown = state.document["current"]["source_aliases"]
    assert [(row["alias_kind"], row["created_at"]) for row in shown] == [(names[1][0], TIMES[0])]


@pytest.mark.parametrize("aliased", [False, True])
def test_ordinary_events_have_the_state_that_the_rules_give(aliased: bool) -> None:
    """Every member of it: what a replay takes from the index is what the merge computes."""
    kinds = ("record_created", "graph_snapshot", "correction", "correction")
    events = [
        Event.from_value(signed_event(kind, created_at=at(second)))
        for second, kind in enumerate(kinds, 1)
    ]
    aliases = [PaperAlias("pith_short_8", PAPER.suffix[:8], TIMES[0])] if aliased else []
    rows: dict[str, list[Any]] = {}
    for kind, event in zip(kinds, events, strict=True):
        rows.setdefault(KINDS[kind].bucket, []).append(state_row(event))
    ids = [f'"{event.event_id}"'.encode() for event in events]
    record = oracle.canonical(PAPER.record)
    ordinary = merge_ordinary(PAPER.number, ids, rows, record, aliases, RING.sha256, "verified")
    assert ordinary == merge_events(PAPER.number, events, aliases, RING)
    assert ordinary.document["current"]["source_aliases"] != [] or not aliased


# --- written out: the rules by the examples that SPEC gives for them


def state_of(*events: Json, assurance: Assurance = "verified") -> Json:
    return engine(History(list(events), [], None), assurance)[PAPER.number].document


def test_who_says_two_things_at_once_has_said_neither() -> None:
    one = signed_event("correction")
    two = signed_event("correction", payload={"action": "retract", "reason": ""})
    rest = signed_event("correction", created_at=at(2))
    state = state_of(one, two, rest)
    assert state["applied_event_ids"] == [rest["event_id"]]
    assert [row["event_id"] for row in state["current"]["corrections"]] == [rest["event_id"]]
    assert (state["valid_event_count"], state["equivocation_count"]) == (3, 1)
    assert state["equivocations"] == [
        {
            "rule": "same_slot",
            "public_key_fingerprint": ALICE.fingerprint,
            "slot": {"event_type": "correction", "target": "record", "created_at": at(1)},
            "event_ids": sorted([one["event_id"], two["event_id"]]),
        }
    ]


def test_a_fork_is_reported_and_not_withheld() -> None:
    one, two = (
        signed_event("correction", created_at=at(second), previous_event_id=PREVIOUS[0])
        for second in (1, 2)
    )
    state = state_of(one, two)
    assert state["applied_event_ids"] == [one["event_id"], two["event_id"]]
    (row,) = state["equivocations"]
    assert (row["rule"], row["slot"]) == ("fork", {"previous_event_id": PREVIOUS[0]})


def test_a_withheld_record_still_gives_the_canonical_record() -> None:
    one, two = (signed_event("record_created", note=note) for note in "ab")
    state = state_of(one, two)
    assert state["current"]["record_created"] is None
    assert state["current"]["canonical_record"] == PAPER.record


def unsigned(event: Json, event_id: str = FOREIGN_IDS[0]) -> Json:
    return {name: event[name] for name in event if name != "signature"} | {"event_id": event_id}


def test_a_stated_event_gives_way_to_a_verified_one_of_its_slot() -> None:
    signed = signed_event("correction")
    other = signed_event("correction", payload={"action": "retract", "reason": ""})
    stated = unsigned(signed)
    assert state_of(stated, assurance="stated")["applied_event_ids"] == [stated["event_id"]]
    assert state_of(stated, signed, assurance="stated")["applied_event_ids"] == [signed["event_id"]]
    withheld = state_of(stated, signed, other, assurance="stated")
    assert withheld["applied_event_ids"] == []
    assert (withheld["valid_event_count"], withheld["equivocation_count"]) == (3, 1)
    both = state_of(stated, unsigned(other, FOREIGN_IDS[1]), assurance="stated")
    assert both["applied_event_ids"] == sorted(FOREIGN_IDS)
    assert both["equivocations"] == []


def test_of_two_signatures_of_one_event_the_smaller_digest_stays() -> None:
    one = build(Recipe("correction", ALICE, PAPER, at(1), None, 0, DROP, 0, "none"))
    two = build(Recipe("correction", ALICE, PAPER, at(1), None, 0, DROP, 0, "signed again"))
    assert one["event_id"] == two["event_id"]
    assert one != two
    assert state_of(one, two) == state_of(two, one) == state_of(one)
    assert state_of(one, two)["event_count"] == 1


def test_ties_are_broken_by_event_id() -> None:
    events = []
    for number in range(8):
        target = f"sha256:{number:064}"
        payload = {"action": "amend", "reason": "", "event_id": target}
        events.append(signed_event("correction", target=target, payload=payload))
    assert state_of(*events)["applied_event_ids"] == sorted(e["event_id"] for e in events)


# --- what the fixed histories hold, so that none of it can vanish unseen


def what_happens(history: History) -> Counter[str]:
    seen: Counter[str] = Counter()
    verdicts = {}
    for assurance in ASSURANCES:
        for event in history.events:
            reason, as_stated = oracle.verdict(event, KEYRING, assurance)
            verdicts[assurance, oracle.digest(oracle.canonical(event))] = reason
            seen[f"{assurance}: {'stated' if as_stated else reason or 'valid'}"] += 1
        for document in expected(history, assurance).values():
            for row in document["equivocations"]:
                seen[f"{row['rule']} of {min(len(row['event_ids']), 3)}"] += 1
            applied = set(document["applied_event_ids"])
            if len({row["created_at"] for row in every_row(document)}) < len(applied):
                seen["applied at one time"] += 1
            for row in document["current"]["source_aliases"]:
                seen[f"alias {row['alias_kind']}"] += 1
            if assurance == "stated" and suppressed(history, document):
                seen["stated gives way"] += 1
            current = document["current"]
            if current["canonical_record"] and not current["record_created"]:
                seen["record withheld"] += 1
    for paper, _, _, _ in history.aliases:
        seen["several papers"] += any(e["subject_pith_number"] != paper for e in history.events)
    by_id: dict[str, set[str]] = {}
    for event in history.events:
        if oracle.verdict(event, KEYRING, "verified")[0] is None:
            by_id.setdefault(event["event_id"], set()).add(event["signature"]["signature_b64"])
    seen["two signatures"] += sum(len(signatures) > 1 for signatures in by_id.values())
    seen["repeated"] += len(history.events) - len({oracle.canonical(e) for e in history.events})
    return seen


def every_row(document: Json) -> list[Json]:
    buckets = [rows for rows in document["current"].values() if isinstance(rows, list)]
    rows = [row for bucket in buckets for row in bucket if "event_id" in row]
    first = document["current"]["record_created"]
    return [*rows, first] if first else rows


def suppressed(history: History, document: Json) -> bool:
    """Is a stated event not applied?"""
    stated = {
        event["event_id"]
        for event in history.events
        if event["subject_pith_number"] == document["pith_number"]
        and oracle.verdict(event, KEYRING, "stated") == (None, True)
    }
    verified = {
        event["event_id"]
        for event in history.events
        if oracle.verdict(event, KEYRING, "verified")[0] is None
    }
    return bool(stated - verified - set(document["applied_event_ids"]))


WANTED = {
    *(f"verified: {reason}" for reason in VERDICT_REASONS),
    *(f"stated: {reason}" for reason in VERDICT_REASONS.keys() - validation.TOLERATED_AS_STATED),
    *("verified: valid", "stated: valid", "stated: stated", "stated gives way"),
    *(f"{rule} of {count}" for rule in ("same_slot", "fork") for count in (2, 3)),
    *("alias arxiv", "alias arxiv_version", "alias doi", "several papers"),
    *("alias pith_short_8", "alias pith_short_12", "alias pith_short_16"),
    *("two signatures", "repeated", "applied at one time", "record withheld"),
}


@pytest.mark.longer
def test_the_fixed_histories_hold_everything() -> None:
    seen = sum(map(what_happens, fixed_histories(EXAMPLES)), Counter[str]())
    assert {name for name in WANTED if seen[name] == 0} == set()


# --- planted faults

Fault = Callable[[pytest.MonkeyPatch], None]


def replaced(name: str, wrong: Any) -> Fault:
    owner = resolution if hasattr(resolution, name) else merge
    return lambda patch: patch.setattr(owner, name, wrong)


def by_arrival_among_equals(patch: pytest.MonkeyPatch) -> None:
    """The applied order by created_at alone."""

    def wrongly(items: Iterable[Any], key: Callable[[Any], Any] | None = None) -> list[Any]:
        if key is None:
            return builtins.sorted(items)
        return builtins.sorted(items, key=lambda item: str(key(item))[:30])

    patch.setattr(resolution, "sorted", wrongly, raising=False)


def by_event_id_alone(patch: pytest.MonkeyPatch) -> None:
    """The applied order by event_id alone."""

    def wrongly(items: Iterable[Any], key: Callable[[Any], Any] | None = None) -> list[Any]:
        return builtins.sorted(items, key=key and (lambda one: str(getattr(one, "event_id", one))))

    patch.setattr(resolution, "sorted", wrongly, raising=False)


def slot_without(*left_out: int) -> Fault:
    right = resolution._slot
    return replaced(
        "_slot",
        lambda one: tuple("" if i in left_out else part for i, part in enumerate(right(one))),
    )


def equivocations_with(change: Callable[[Any, set[str]], tuple[Any, set[str]]]) -> Fault:
    right = resolution._equivocations
    return replaced("_equivocations", lambda verified: change(*right(verified)))


def without_check(reason: str) -> Fault:
    checks = tuple(check for check in validation.CHECKS if check[0] != reason)
    assert len(checks) == len(validation.CHECKS) - 1
    return lambda patch: patch.setattr(validation, "CHECKS", checks)


def tolerating(*reasons: str) -> Fault:
    return lambda patch: patch.setattr(validation, "TOLERATED_AS_STATED", frozenset(reasons))


def latest_alias(patch: pytest.MonkeyPatch) -> None:
    right = merge._source_aliases

    def wrongly(number: str, record: Any, aliases: Iterable[PaperAlias], as_of: Any) -> bytes:
        latest = {(row.kind, row.value): row for row in sorted(aliases, key=lambda row: row[2])}
        return right(number, record, latest.values(), as_of)

    patch.setattr(merge, "_source_aliases", wrongly)


def aliases_of_all_times(patch: pytest.MonkeyPatch) -> None:
    right = merge._source_aliases

    def wrongly(number: str, record: Any, aliases: Any, as_of: Any) -> bytes:
        return right(number, record, aliases, None)

    patch.setattr(merge, "_source_aliases", wrongly)


def invalid_by_id(patch: pytest.MonkeyPatch) -> None:
    """Invalid events are told apart by their stated ids, not by their digests."""
    right = resolution._deduplicate

    def wrongly(judged: Iterable[Judged]) -> Any:
        valid, invalid = right(judged)
        by_id = {event.event_id: key for key, (event, _) in invalid.items()}
        return valid, {key: invalid[key] for key in by_id.values()}

    patch.setattr(resolution, "_deduplicate", wrongly)


def every_signature_good(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(validation, "verify", lambda *_: True)


def id_from_everything(patch: pytest.MonkeyPatch) -> None:
    """The id covers the signature too."""
    patch.setattr(Event, "computed_id", property(lambda event: "sha256:" + event.sha256.hex()))


FAULTS: dict[str, Fault] = {
    "stated before verified": replaced("_rank", lambda one: (not one.stated, one.event.sha256)),
    "digest alone": replaced("_rank", lambda one: (one.event.sha256,)),
    "first come, first served": replaced("_rank", lambda one: (one.stated,)),
    "largest digest": replaced(
        "_rank", lambda one: (one.stated, bytes(255 - b for b in one.event.sha256))
    ),
    "slot of every key": slot_without(0),
    "slot of every event_type": slot_without(1),
    "slot of every target": slot_without(2),
    "slot of every time": slot_without(3),
    "stated is never held back": replaced(
        "_slot", lambda one, right=resolution._slot: (*right(one), one.stated)
    ),
    "nothing is withheld": equivocations_with(lambda rows, out: (rows, set())),
    "one of them is not withheld": equivocations_with(
        lambda rows, out: (rows, out - {min(out, default="")})
    ),
    "forks are withheld": equivocations_with(
        lambda rows, out: (rows, out | {one for row in rows for one in row.event_ids})
    ),
    "forks are not reported": equivocations_with(
        lambda rows, out: ([row for row in rows if row.rule != "fork"], out)
    ),
    "equivocations in reverse": equivocations_with(lambda rows, out: (rows[::-1], out)),
    "ties by arrival": by_arrival_among_equals,
    "event_id before created_at": by_event_id_alone,
    "latest alias date": latest_alias,
    "aliases of any value": replaced("derive_aliases", lambda paper, record: []),
    "fractions of alias dates kept": replaced("alias_time", lambda text: text),
    "canonical record lost": replaced("canonical_record_of", lambda valid: None),
    "invalid events by id": invalid_by_id,
    "nothing tolerated": tolerating(),
    "unsigned not tolerated": tolerating("event_id_unverifiable"),
    "other ids not tolerated": tolerating("missing_signature"),
    "too much tolerated": tolerating("missing_signature", "event_id_unverifiable", "key_not_valid"),
    "every signature is good": every_signature_good,
    "id over the signature": id_from_everything,
    **{f"no check of {reason}": without_check(reason) for reason, _ in validation.CHECKS},
}


def is_caught(as_of: str | None = None) -> bool:
    """Does the comparison fail, or the engine, on any fixed history, forwards or backwards?"""
    for history in fixed_histories(EXAMPLES):
        for events in (history.events, history.events[::-1]):
            for assurance in ASSURANCES:
                try:
                    check_against_oracle(History(events, history.aliases, as_of), assurance)
                except Exception:  # noqa: BLE001 - a faulty engine may break in any way
                    return True
    return False


@pytest.mark.longer
def test_without_a_fault_nothing_is_caught() -> None:
    assert not is_caught()


@pytest.mark.longer
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[fault](monkeypatch)
    assert is_caught()


def test_a_planted_fault_of_as_of_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    aliases_of_all_times(monkeypatch)
    assert is_caught(TIMES[1])
