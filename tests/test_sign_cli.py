"""`pithgraph sign`: events of all nine kinds that a merge calls valid, and the refusal of each that
it would not, or that would take another of the same key with it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

import signing
from pithgraph.authoring import save_private_key
from pithgraph.composing import FIELDS, TARGETS
from pithgraph.errors import VERDICT_REASONS, SigningRefused
from pithgraph.events import Event
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import LogWriter
from pithgraph.merge import merge_events
from pithgraph.validation import Judged, Verdict, verdict_of
from pithgraph.vetting import ADVICE, check_beside, check_valid, last_event
from signing import (
    ALICE,
    BOB,
    MIRROR,
    PAPER,
    READER,
    REVOKED,
    SIGNERS,
    STRANGER,
    WINDOWED,
    Key,
    at,
    canonical,
    changed,
    keyring_value,
    payload_of,
    sealed,
    signed_event,
    target_of,
)

KEYRING = Keyring.from_value(keyring_value())
# Which kinds' targets do not follow from the rest.
CHOSEN = ("timestamp_anchor", "replication_record", "correction")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class World:
    """A folder with the keyring, and the key files that are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = folder / "keyring.json"
        self.keyring.write_bytes(canonical(keyring_value()))
        self.log = folder / "log"

    def key(self, key: Key) -> Path:
        path = self.folder / f"{key.name}.pem"
        if not path.exists():
            save_private_key(key.private, path)
        return path

    def sign(self, kind: str, *more: object, key: Key | None = None) -> tuple[object, ...]:
        path = self.key(key or SIGNERS[kind])
        return ("sign", kind, PAPER.number, "--key", path, "--keyring", self.keyring, *more)

    def holds(self, *events: dict[str, Any]) -> tuple[object, ...]:
        """A log of these events, as an option."""
        path = self.folder / "events.jsonl"
        path.write_bytes(b"".join(canonical(event) + b"\n" for event in events))
        with LogWriter.open(self.log) as log:
            assert ingest(log, [path], keyring=KEYRING).appended == len(events)
        return ("--log", self.log)


def options_of(kind: str, **changes: Any) -> list[str]:
    """The options that give the world's payload of a kind, in the words of the help."""
    given: list[str] = []
    for name, value in (payload_of(kind) | changes).items():
        members: Mapping[str, Any] = value if name == "author" else {"": value}
        for member, text in members.items():
            if text is not None:
                option = f"{name}-{member}".rstrip("-").replace("_", "-")
                given += [f"--{option}", str(text)]
    if kind in CHOSEN:
        given += ["--target", target_of(kind)]
    return given


# --- what is signed counts -------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_event_of_each_kind_is_valid(run: Any, world: World, kind: str) -> None:
    payload = world.folder / "payload.json"
    payload.write_text(json.dumps(payload_of(kind), indent=1))
    target = ["--target", target_of(kind)] if kind in CHOSEN else []
    verbs = [world.sign(kind, "--payload", payload, "--created-at", at(7), *target)]
    if kind == "graph_snapshot":
        snapshot = world.folder / "snapshot.json"
        snapshot.write_bytes(canonical(payload_of(kind)["graph_snapshot"]))
        verbs.append(world.sign(kind, "--graph-snapshot", snapshot, "--created-at", at(7)))
    elif kind != "record_created":
        verbs.append(world.sign(kind, *options_of(kind), "--created-at", at(7)))
    expected = signed_event(kind, created_at=at(7))
    for verb in verbs:
        done = run(*verb)
        assert done.code == 0
        assert done.out.encode() == canonical(expected) + b"\n"
        assert verdict_of(Event.from_bytes(done.out.encode()), KEYRING) == Verdict(None, "", False)
        shown = json.loads(done.err[done.err.index("{") : done.err.rindex("}") + 1])
        assert shown == {name: v for name, v in expected.items() if name != "signature"}


@pytest.mark.parametrize(
    ("kind", "more", "payload"),
    [
        ("author_attestation", {"author": {"name": "A", "orcid": "0000"}}, None),
        ("timestamp_anchor", {"status": "confirmed", "block_height": 7}, None),
        ("storage_attestation", {"content_sha256": "a" * 64}, None),
        ("replication_record", {"evidence_sha256": "b" * 64}, None),
        ("graph_snapshot", {"verdict_id": "v"}, None),
    ],
)
def test_members_that_may_be_absent(
    run: Any, world: World, kind: str, more: dict[str, Any], payload: Any
) -> None:
    options = options_of(kind, **more)
    if kind == "graph_snapshot":
        path = world.folder / "snapshot.json"
        path.write_bytes(canonical(payload_of(kind)["graph_snapshot"]))
        options = ["--graph-snapshot", str(path), "--verdict-id", "v"]
    done = run(*world.sign(kind, *options))
    assert done.code == 0
    assert json.loads(done.out)["payload"] == payload_of(kind) | more


def test_a_correction_of_an_event_names_it_twice(run: Any, world: World) -> None:
    target = signing.CORRECTED
    options = ("--action", "retract", "--reason", "wrong", "--target", target)
    event = json.loads(run(*world.sign("correction", *options)).out)
    assert event["payload"] == {"action": "retract", "reason": "wrong", "event_id": target}


def test_the_time_is_now_in_whole_seconds(run: Any, world: World) -> None:
    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = run(*world.sign("correction", *options_of("correction")))
    after = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert before <= json.loads(done.out)["created_at"] <= after


def test_a_file_a_log_or_json(run: Any, world: World) -> None:
    log = world.holds(signed_event("graph_snapshot", created_at=at(9)))
    verb = world.sign("correction", *options_of("correction"), "--created-at", at(3))
    event = signed_event("correction", created_at=at(3))
    path = world.folder / "event.json"
    assert (run(*verb, "-o", path).out, path.read_bytes()) == ("", canonical(event) + b"\n")
    again = run(*verb, "-o", path)
    assert (again.code, "is there already" in again.err) == (3, True)
    (row,) = run(*verb, "--json").rows
    assert json.loads(str(row.pop("text"))) == event
    assert row == {
        "event_id": event["event_id"],
        "event_type": "correction",
        "pith_number": PAPER.number,
        "keyring_sha256": KEYRING.sha256,
    }
    (row,) = run(*verb, *log, "--append", "--json").rows
    assert row["position"] == 1
    (state,) = run("replay", *log, "--keyring", world.keyring, "--json").rows
    assert (state["event_count"], state["valid_event_count"]) == (2, 2)
    done = run(*verb, *log, "--append")
    assert (done.code, done.out) == (1, "")
    assert f"refused, duplicate: {event['event_id']} is known already" in done.err


def test_a_payload_from_standard_input_by_a_short_number(world: World) -> None:
    log = world.holds(signed_event("graph_snapshot"))
    verb = world.sign("mirror_hint", *log, "--payload", "-")
    verb = (*verb[:2], PAPER.suffix[:8].lower(), *verb[3:])
    done = subprocess.run(
        [sys.executable, "-m", "pithgraph", *map(str, verb)],
        input=canonical(payload_of("mirror_hint") | {"note": [1.50]}),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    event = json.loads(done.stdout)
    assert event["subject_pith_number"] == PAPER.number
    assert event["payload"]["note"] == [1.5]


def test_an_encrypted_key_signs_with_its_passphrase(run: Any, world: World) -> None:
    path, words = world.folder / "encrypted.pem", world.folder / "words"
    save_private_key(ALICE.private, path, b"correct horse")
    words.write_bytes(b"correct horse\n")
    more = ("--key", path, "--passphrase-file", words)
    done = run(*world.sign("correction", *options_of("correction"), *more))
    assert done.code == 0
    for secret in (b"correct horse", ALICE.seed.hex().encode(), ALICE.seed):
        assert secret not in (done.out + done.err).encode()


# --- chains ----------------------------------------------------------------------------------


def test_previous_is_the_last_event_of_this_key_about_this_paper(run: Any, world: World) -> None:
    mine = [signed_event("correction", created_at=at(n)) for n in (1, 4)]
    log = world.holds(
        *reversed(mine),
        signed_event("correction", BOB, created_at=at(6)),
        signed_event("correction", paper=signing.OTHER_PAPER, created_at=at(7)),
        signed_event("graph_snapshot", created_at=at(8)),
        # Invalid, so it is no event of this key for a merge.
        signed_event("correction", created_at=at(9), **{"payload.action": "no"}),
    )
    verb = world.sign("correction", *options_of("correction"), *log, "--previous")
    done = run(*verb, "--created-at", at(10), "--append")
    assert done.code == 0
    shown = json.loads(done.err[done.err.index("{") : done.err.rindex("}") + 1])
    assert shown["previous_event_id"] == mine[1]["event_id"]
    # The next one follows that.
    event = json.loads(run(*verb, "--created-at", at(11)).out)
    assert event["previous_event_id"] == shown["event_id"]
    done = run(*verb, "--created-at", at(2))
    assert "is dated later than this event, which follows it" in done.err
    verb = world.sign("mirror_hint", *options_of("mirror_hint"), *log, "--previous")
    done = run(*verb)
    assert "previous_event_id" not in json.loads(done.out)
    assert "this key has no event about" in done.err


def test_the_last_event_is_that_of_the_applied_order() -> None:
    events = [Event.from_value(signed_event("correction", created_at=at(n))) for n in (1, 4, 4)]
    events[2] = Event.from_value(
        signed_event("correction", created_at=at(4), **{"payload.note": "another"})
    )
    expected = max(events[1:], key=lambda event: event.event_id or "")
    judged = [Judged(event, Verdict(None, "", False)) for event in events]
    for order in permutations(judged):
        assert last_event(order) is expected
    assert last_event([]) is None


def test_what_is_followed_already_is_not_followed_again() -> None:
    """Though it is the last in time: two that follow one are a fork."""
    late = signed_event("correction", created_at=at(5))
    early = signed_event("correction", created_at=at(3), previous_event_id=late["event_id"])
    judged = [Judged(Event.from_value(event), Verdict(None, "", False)) for event in (late, early)]
    for order in permutations(judged):
        last = last_event(order)
        assert last is not None
        assert last.event_id == early["event_id"]


# --- refusals --------------------------------------------------------------------------------


def refused(done: Any, reason: str) -> str:
    assert (done.code, done.out) == (1, "")
    assert f"error: refused, {reason}: " in done.err
    assert ADVICE[reason] in done.err
    return str(done.err)


def test_refused_an_invalid_payload(run: Any, world: World) -> None:
    verb = world.sign("author_attestation", "--payload", world.folder / "p.json")
    (world.folder / "p.json").write_bytes(
        canonical(payload_of("author_attestation") | {"strength": "medium"})
    )
    assert "strength" in refused(run(*verb), "invalid_payload")
    options = options_of("timestamp_anchor", anchored_sha256="0" * 64)
    done = run(*world.sign("timestamp_anchor", *options))
    assert "not the digest that the subject names" in refused(done, "invalid_payload")
    done = run(*world.sign("timestamp_anchor", *options_of("timestamp_anchor", block_height="-1")))
    assert "no whole number" in refused(done, "invalid_payload")
    done = run(*world.sign("timestamp_anchor", *options_of("timestamp_anchor", block_height=1)))
    assert "only when confirmed" in refused(done, "invalid_payload")
    (world.folder / "p.json").write_bytes(b'{"archive":"x"}')
    done = run(*world.sign("storage_attestation", "--payload", world.folder / "p.json"))
    assert "uri: missing or no string" in refused(done, "invalid_payload")
    done = run(*world.sign("storage_attestation", *options_of("storage_attestation"),
                           "--target", "storage:elsewhere"))  # fmt: skip
    assert "differs from the target" in refused(done, "invalid_payload")


def test_refused_a_target_of_another_form(run: Any, world: World) -> None:
    options = options_of("correction")[:-1]
    refused(run(*world.sign("correction", *options, "author:me")), "target_mismatch")


def test_refused_an_unknown_key(run: Any, world: World) -> None:
    verb = world.sign("graph_snapshot", "--payload", world.folder / "none", key=STRANGER)
    assert STRANGER.fingerprint in refused(run(*verb), "unknown_key")


def test_refused_a_key_outside_its_window_or_revoked(run: Any, world: World) -> None:
    payload = world.folder / "p.json"
    payload.write_bytes(canonical(payload_of("graph_snapshot")))
    verb = world.sign("graph_snapshot", "--payload", payload, key=WINDOWED)
    assert "is after valid_until" in refused(run(*verb, "--created-at", at(3)), "key_not_valid")
    assert "is before valid_from" in refused(run(*verb, "--created-at", at(0)), "key_not_valid")
    assert run(*verb, "--created-at", at(2)).code == 0
    verb = world.sign("graph_snapshot", "--payload", payload, key=REVOKED)
    assert "the key is revoked" in refused(run(*verb), "key_not_valid")


def test_refused_a_signer_of_a_type_that_may_not(run: Any, world: World) -> None:
    for kind, key in (("correction", READER), ("mirror_hint", ALICE), ("graph_snapshot", MIRROR)):
        payload = world.folder / "p.json"
        payload.write_bytes(canonical(payload_of(kind)))
        verb = world.sign(kind, "--payload", payload, "--target", target_of(kind), key=key)
        refused(run(*verb), "unauthorized_signer")


@pytest.mark.parametrize("option", ["--key-id", "--signer-id", "--signer-type"])
def test_refused_a_signer_described_otherwise(run: Any, world: World, option: str) -> None:
    done = run(*world.sign("correction", *options_of("correction"), option, "other"))
    assert "the keyring says" in refused(done, "signer_mismatch")


def test_refused_what_would_be_withheld(run: Any, world: World) -> None:
    event = signed_event("correction", created_at=at(1))
    log = world.holds(event, signed_event("correction", BOB, created_at=at(1)))
    verb = world.sign("correction", "--action", "amend", "--target", "record", "--reason", "else")
    for more in ((), ("--append",)):
        err = refused(run(*verb, *log, "--created-at", at(1), *more), "same_slot")
        assert event["event_id"] in err
    # Nothing of it is in another second, target, paper or log.
    assert run(*verb, *log, "--created-at", at(2)).code == 0
    assert run(*verb, *log, "--created-at", at(1), "--target", "graph").code == 0
    other = (*verb[:2], signing.OTHER_PAPER.number, *verb[3:])
    done = run(*other, *log, "--created-at", at(1))
    assert done.code == 0
    assert "the log holds nothing about" in done.err
    done = run(*verb, "--created-at", at(1))
    assert done.code == 0
    assert "not compared with any log" in done.err


def test_refused_what_would_be_a_fork(run: Any, world: World) -> None:
    first = signed_event("correction", created_at=at(1))
    second = signed_event("correction", created_at=at(2), previous_event_id=first["event_id"])
    log = world.holds(first, second)
    verb = world.sign("author_attestation", *options_of("author_attestation"), *log)
    done = run(*verb, "--previous-event-id", first["event_id"], "--append")
    assert second["event_id"] in refused(done, "fork")
    assert run(*verb, "--previous-event-id", second["event_id"]).code == 0
    assert run(*verb, "--previous").code == 0


def test_junk_that_copies_the_id_keeps_nobody_from_signing(run: Any, world: World) -> None:
    event = signed_event("correction", created_at=at(1))
    junk = event | {"signature": signing.signature(ALICE, signing.some_id("another"))}
    log = world.holds(junk)
    verb = world.sign("correction", *options_of("correction"), "--created-at", at(1), *log)
    assert json.loads(run(*verb).out) == event
    assert "at position 1" in run(*verb, "--append").out


def test_a_slip_in_a_number_makes_no_paper(run: Any, world: World) -> None:
    log = world.holds(signed_event("record_created"))
    slip = PAPER.number[:-1] + ("A" if PAPER.number[-1] != "A" else "B")
    for kind, code in (("correction", 2), ("mirror_hint", 2)):
        verb = ["sign", kind, slip, *world.sign(kind, *options_of(kind), *log)[3:]]
        done = run(*verb, "--append")
        assert (done.code, f"nearest: {PAPER.number}" in done.err) == (code, True)
        assert "is it the right number?" in run(*verb).err  # it goes into no log


def test_a_writer_in_between_is_seen(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another program appended while somebody was asked counts too."""
    log = world.holds(signed_event("graph_snapshot"))
    event = signed_event("correction", created_at=at(1))

    def answer(_: str) -> bool:
        world.holds(event)
        return True

    monkeypatch.setattr("pithgraph.cli.sign.is_on_terminal", lambda: True)
    monkeypatch.setattr("pithgraph.cli.sign.ask_whether", answer)
    done = run(*world.sign("correction", "--action", "amend", "--target", "record", "--reason", "x",
                           "--created-at", at(1), *log, "--append"))  # fmt: skip
    assert event["event_id"] in refused(done, "same_slot")


def test_what_vetting_refuses_is_what_the_merge_withholds_or_reports() -> None:
    """Every pair of events of a small world: an equivocation in the merged state, or none."""
    first = signed_event("correction", created_at=at(1))["event_id"]
    events = [
        signed_event(kind, key, created_at=at(second), previous_event_id=previous,
                     **{"payload.note": note})
        for kind, key in (("correction", ALICE), ("correction", BOB), ("author_attestation", ALICE))
        for second in (1, 2)
        for previous in (None, first)
        for note in (0, 1)
    ]  # fmt: skip
    made = [Event.from_value(event) for event in events]
    seen = set()
    for one in made:
        check_valid(one, KEYRING)
        for other in made:
            if other.signer != one.signer or other is one:
                continue
            rows = merge_events(PAPER.number, [one, other], [], KEYRING).equivocations
            reason = None
            try:
                check_beside(other, [Judged(one, Verdict(None, "", False))])
            except SigningRefused as error:
                reason = error.reason
            assert reason in ({row.rule for row in rows} or {None})
            seen.add(reason)
    assert seen == {None, "same_slot", "fork"}


def test_there_is_advice_for_every_reason_that_a_signed_event_can_have() -> None:
    never = {"missing_signature", "event_id_unverifiable", "event_id_mismatch", "bad_signature"}
    assert set(ADVICE) == {*VERDICT_REASONS} - never | {"duplicate", "same_slot", "fork"}


def test_the_library_refuses_malformed_and_unknown_events() -> None:
    event = signed_event("correction")
    for change, reason in (
        ({"metadata": {}}, "malformed"),
        ({"event_type": "rumour"}, "unknown_event_type"),
        ({"created_at": "2026"}, "invalid_timestamp"),
    ):
        value = sealed(event | change, ALICE)
        with pytest.raises(SigningRefused, match=reason) as caught:
            check_valid(Event.from_value(value), KEYRING)
        assert caught.value.reason == reason


# --- wrong usage, unreadable input -----------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--target", "record"), 2, "missing --action, --reason: give them, or --payload FILE"),
        (("--action", "amend", "--reason", "x"), 2, "missing --target: record, graph, or"),
        (("--action", "amend", "--payload", "p"), 2, "--payload is the whole payload"),
        (("--payload", "p", "--previous"), 2, "--previous needs a log"),
        (("--payload", "p", "--append"), 2, "--append needs a log"),
        (("--payload", "no-such-file"), 3, "no-such-file: No such file"),
        (("--payload", "p", "--created-at", "now"), 2, "no time of the form"),
        (("--payload", "p", "--previous-event-id", "x"), 2, "no event_id"),
        (("--payload", "p", "--log", "no-log"), 4, "there is no log"),
        (("--payload", "p", "--log", "no-log", "--append"), 4, "there is no log"),
        (("--payload", "p", "--log", "l", "--append", "-o", "x"), 2, "exclude each other"),
        (("--payload", "p", "--log", "l", "--previous", "--previous-event-id",
          signing.CORRECTED), 2, "exclude each other"),
        (("--action", "amend", "--reason", "\udcff", "--target", "record"), 3, "surrogate"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told(
    run: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(world.folder)
    done = run(*world.sign("correction", *more))
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_what_is_no_paper_kind_or_payload(run: Any, world: World) -> None:
    verb = world.sign("correction", *options_of("correction"))
    assert run(*verb[:2], "here", *verb[3:]).code == 2
    done = run(*verb[:2], PAPER.suffix[:8], *verb[3:])
    assert (done.code, "give the full Pith Number, or --log" in done.err) == (2, True)
    assert run("sign", "rumour", *verb[2:]).code == 2
    done = run(*world.sign("record_created"))
    assert (done.code, "--payload" in done.err) == (2, True)
    path = world.folder / "p.json"
    for content, said in (
        (b"[]", "a payload is a JSON object"),
        (b'{"a":1,"a":2}', "duplicate_name"),
        (b" " * (8 * 2**20 + 1), "too_large"),
        (b'{"x":9007199254740993}', "event_integer_range"),
    ):
        path.write_bytes(content)
        done = run(*world.sign("correction", "--payload", path, "--target", "record"))
        assert (done.code, said in done.err) == (3, True)


def test_hostile_words_are_shown_escaped(run: Any, world: World) -> None:
    options = ("--action", "amend", "--target", "record", "--reason", "\x1b[2J\u202e\x9b")
    done = run(*world.sign("correction", *options))
    assert done.code == 0
    assert done.err.replace("\n", "").isprintable()


# --- the table -------------------------------------------------------------------------------


def test_the_table_names_every_member_of_every_payload() -> None:
    untold = {"correction": {"event_id"}}
    assert list(FIELDS) == list(TARGETS) == list(KINDS)
    for kind, fields in FIELDS.items():
        members = {info.name for info in msgspec.structs.fields(KINDS[kind].payload)}
        named = {field.path.split(".")[0] for field in fields}
        expected = set() if kind == "record_created" else members - untold.get(kind, set())
        assert named == expected
        assert all(field.about for field in fields)


def test_every_kind_explains_itself(run: Any) -> None:
    assert all(kind in run("sign", "--help").out for kind in KINDS)
    for kind in KINDS:
        done = run("sign", kind, "--help")
        assert done.code == 0
        assert f"pithgraph sign {kind} " in done.out
        assert ("a registry's program makes it" in done.out) == (kind == "record_created")


# --- on a terminal ---------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answered(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("".join(line + "\n" for line in lines)))


ANSWERS = {
    "author_attestation": ["Alice Example", "", "email", "weak", "I wrote this."],
    "timestamp_anchor": [PAPER.canonical_sha256, "opentimestamps", "confirmed", "AAAA", "12",
                         "anchor:a-calendar"],
    "storage_attestation": ["https://archive.example/one", "An Archive", "2026-05-01", ""],
    "citation_signature": [signing.CITING, "cites"],
    "replication_record": ["replication", "succeeded", "https://lab.example/run", "",
                           "replication:one"],
    "correction": ["amend", "a wrong sign", "record"],
    "mirror_hint": ["https://mirror.example", "/pith/{suffix}/bundle.json",
                    "/pith/{suffix}/state.json"],
}  # fmt: skip


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_what_is_missing_is_asked_field_by_field(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    answered(monkeypatch, *ANSWERS[kind], "y")
    done = run(*world.sign(kind, "--created-at", at(7)))
    assert done.code == 0
    event = json.loads(done.out)  # the questions are on standard error
    expected = signed_event(kind, created_at=at(7))
    if kind == "timestamp_anchor":
        confirmed = {"status": "confirmed", "proof_b64": "AAAA", "block_height": 12}
        expected = sealed(changed(expected, "payload", expected["payload"] | confirmed), READER)
    assert event == expected
    assert "Sign this? [y/N]" in done.err


def test_a_wrong_answer_is_asked_again(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = world.folder / "s.json"
    snapshot.write_bytes(b'{"n":1}')
    answered(monkeypatch, "no-such-file", str(snapshot), "", "y")
    done = run(*world.sign("graph_snapshot"))
    assert json.loads(done.out)["payload"] == {"graph_snapshot": {"n": 1}, "verdict_id": None}
    assert "Error: unreadable: no-such-file: No such file" in done.err
    answered(monkeypatch, "", "amended\x1b", "amend", "x", "here", "record", "maybe", "y")
    done = run(*world.sign("correction"))
    assert json.loads(done.out)["target"] == "record"
    assert "\x1b" not in done.err
    assert "Error: refused, invalid_payload: action: " in done.err
    assert "Error: here is not of that form" in done.err


def test_only_what_is_missing_is_asked(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, "because", "y")
    done = run(*world.sign("correction", "--action", "amend", "--target", "graph"))
    assert json.loads(done.out)["payload"] == {"action": "amend", "reason": "because"}
    answered(monkeypatch)  # nobody there any more: nothing is asked
    assert run(*world.sign("correction", *options_of("correction"), "--yes")).code == 0


def test_no_means_that_nothing_is_written(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.folder / "event.json"
    verb = world.sign("correction", *options_of("correction"), "-o", path)
    answered(monkeypatch, "n")
    done = run(*verb)
    assert (done.code, "nothing was written" in done.err) == (1, True)
    answered(monkeypatch)  # Ctrl-D
    done = run(*verb)
    assert (done.code, "interrupted" in done.err) == (130, True)
    assert not path.exists()


def test_what_is_typed_in_no_encoding_is_told(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Terminal):
        def readline(self, *_: Any) -> str:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    for options in ([], options_of("correction")):
        monkeypatch.setattr(sys, "stdin", Broken())
        done = run(*world.sign("correction", *options))
        assert (done.code, "not text in the terminal's encoding" in done.err) == (2, True)


def test_on_a_real_terminal_the_event_goes_to_the_pipe(world: World) -> None:
    """Standard input is the terminal, standard output a pipe: only the event is in it."""
    leader, follower = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "pithgraph", *map(str, world.sign("correction"))],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    os.close(follower)
    drawn = b""
    asked = [(b"amend, retract): ", b"amend"), (b"Why, in words: ", b"a wrong sign"),
             (b"is corrected): ", b"record"), (b"[y/N]: ", b"y")]  # fmt: skip
    with program:
        assert program.stdout is not None
        with contextlib.suppress(OSError):  # how the other end tells that it was closed
            while part := os.read(leader, 4096):
                drawn += part
                if asked and drawn.endswith(asked[0][0]):
                    os.write(leader, asked.pop(0)[1] + b"\n")
        event = json.loads(program.stdout.read())
        assert program.wait() == 0
    os.close(leader)
    assert event["payload"] == payload_of("correction")
    assert b"Sign this? [y/N]" in drawn
