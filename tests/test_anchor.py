"""Anchors in time: proofs as OpenTimestamps makes them, and each way in which one may be false.

No calendar is asked: answers and block headers are made here, of the library's own parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Done
from pithgraph import anchoring
from pithgraph.anchoring import (
    BITCOIN,
    PENDING,
    make_proof,
    payload_of,
    read_header,
    read_proof,
    target_for,
)
from pithgraph.errors import AnchorError
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.validation import verdict_of
from signing import PAPER, READER, canonical, keyring_value, signed_event

timestamp = pytest.importorskip("opentimestamps.core.timestamp")
from opentimestamps.core import notary, op, serialize  # type: ignore[import-untyped]  # noqa: E402

Run = Callable[..., Done]
DIGEST = bytes.fromhex(PAPER.canonical_sha256)
NONCE = b"a calendar's nonce"
COMMITMENT = hashlib.sha256(DIGEST + NONCE).digest()


def answer(*attestations: Any, digest: bytes = DIGEST) -> bytes:
    """What a calendar answers: from the digest on, its nonce, a hash, and what it attests."""
    stamp = timestamp.Timestamp(digest)
    end = stamp.ops.add(op.OpAppend(NONCE)).ops.add(op.OpSHA256())
    end.attestations.update(attestations)
    context = serialize.BytesSerializationContext()
    stamp.serialize(context)
    return bytes(context.getbytes())


PROMISE = notary.PendingAttestation("https://calendar.example")
BLOCK = notary.BitcoinBlockHeaderAttestation(700_000)


def header(root: bytes = COMMITMENT, bits: int = 0x207FFFFF, time: int = 1_600_000_000) -> str:
    """A header of a block whose hash is below the easiest of targets."""
    for nonce in range(1000):
        raw = struct.pack("<I32s32sIII", 2, bytes(32), root, time, bits, nonce)
        found = hashlib.sha256(hashlib.sha256(raw).digest()).digest()
        if found[31] < 0x7F:
            return raw.hex()
    raise AssertionError


def test_a_proof_of_answers_is_read_back() -> None:
    proof = make_proof(DIGEST, [answer(PROMISE), answer(BLOCK)])
    found = read_proof(proof)
    assert found.digest == DIGEST
    assert [(end.kind, end.calendar, end.height) for end in found.attestations] == [
        (BITCOIN, None, 700_000),
        (PENDING, "https://calendar.example", None),
    ]
    assert {end.commitment for end in found.attestations} == {COMMITMENT}


@pytest.mark.parametrize(("answers", "status"), [([PROMISE], "pending"), ([BLOCK], "confirmed")])
def test_a_payload_is_that_of_a_valid_event(answers: list[Any], status: str) -> None:
    payload = payload_of(make_proof(DIGEST, [answer(*answers)]))
    assert payload["status"] == status
    event = signed_event("timestamp_anchor", READER, payload=payload)
    verdict = verdict_of(Event.from_value(event), Keyring.from_value(keyring_value()))
    assert verdict.reason is None, verdict


@given(st.binary(max_size=300))
def test_no_bytes_make_a_proof_raise_otherwise(data: bytes) -> None:
    good = make_proof(DIGEST, [answer(PROMISE)])
    for text in (data, good[:31] + data, good + data, good[: len(data)], good[:70] + data):
        try:
            read_proof(text)
        except AnchorError:
            assert text != good


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_what_is_attested(data: st.DataObject) -> None:
    good = make_proof(DIGEST, [answer(PROMISE), answer(BLOCK)])
    place = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(AnchorError):
        assert read_proof(bytes(changed)) != read_proof(good)


def test_deep_and_long_proofs_are_refused() -> None:
    with pytest.raises(AnchorError, match="no OpenTimestamps proof"):
        read_proof(make_proof(DIGEST, [answer(PROMISE)])[:-40] + b"\x08" * 100_000)
    with pytest.raises(AnchorError, match="which no proof is"):
        read_proof(bytes(anchoring.MAX_PROOF_BYTES + 1))


def test_proofs_of_other_digests_are_refused() -> None:
    stamp = timestamp.Timestamp(bytes(20))
    stamp.attestations.add(PROMISE)
    context = serialize.BytesSerializationContext()
    timestamp.DetachedTimestampFile(op.OpSHA1(), stamp).serialize(context)
    with pytest.raises(AnchorError, match="another rule than SHA-256"):
        read_proof(context.getbytes())
    with pytest.raises(AnchorError, match="a proof of nothing"):
        make_proof(DIGEST, [])


def test_headers() -> None:
    found = read_header(header())
    assert found.merkle_root == COMMITMENT[::-1].hex()
    assert found.time == 1_600_000_000
    # The first block of all (its header is in many textbooks).
    genesis = (
        "01000000" + "00" * 32
        + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    )  # fmt: skip
    assert read_header(genesis).block_hash == (
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    )
    for text, message in (
        (genesis[:-2], "no block header"),
        ("x" * 160, "no block header"),
        (genesis[:-2] + "7d", "below its own target"),
        (header(bits=0), "below its own target"),
    ):
        with pytest.raises(AnchorError, match=message):
            read_header(text)


# --- the verbs


@pytest.fixture
def folder(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ring.json").write_bytes(canonical(keyring_value()))
    monkeypatch.setenv("PITHGRAPH_KEYRING", str(tmp_path / "ring.json"))
    (tmp_path / "promise").write_bytes(answer(PROMISE))
    (tmp_path / "block").write_bytes(answer(BLOCK))
    (tmp_path / "e.json").write_bytes(canonical(signed_event("record_created")))
    assert run("ingest", "--log", "log", "e.json").code == 0
    return tmp_path


def test_from_the_request_to_the_payload(run: Run, folder: Path) -> None:
    done = run("anchor", "request", "--log", "log", PAPER.number, "-o", "request")
    assert (done.code, "curl --data-binary @request" in done.err) == (0, True)
    assert (folder / "request").read_bytes() == DIGEST
    done = run("anchor", "attach", "request", "promise", "-o", "a.ots")
    assert (done.code, done.err) == (0, "pending at https://calendar.example\n")
    done = run("anchor", "check", "a.ots", "--digest", DIGEST.hex())
    assert (done.code, done.out.startswith("pass  a.ots: ")) == (0, True)
    assert "pending at https://calendar.example" in done.out
    done = run("anchor", "payload", "a.ots")
    assert "--payload - --target anchor:calendar.example " in done.err
    (payload,) = done.rows
    assert payload == payload_of((folder / "a.ots").read_bytes())


@pytest.mark.parametrize(
    ("answers", "target"),
    [
        ([PROMISE], "anchor:calendar.example"),
        ([PROMISE, BLOCK], "anchor:bitcoin"),
        ([notary.PendingAttestation("https://a_b")], "anchor:opentimestamps"),
    ],
)
def test_the_target_for_a_proof_names_its_chain_or_calendar(
    answers: list[Any], target: str
) -> None:
    assert target_for(make_proof(DIGEST, [answer(*answers)])) == target


@pytest.mark.parametrize("height", [2**32 + 1, 10**4400], ids=["high", "endless"])
def test_a_height_that_no_block_will_have_is_refused(run: Run, folder: Path, height: int) -> None:
    """Python writes no number of so many digits, and an event holds none so large."""
    answered = answer(notary.BitcoinBlockHeaderAttestation(height))
    with pytest.raises(AnchorError, match="of a height that no block will have"):
        read_proof(make_proof(DIGEST, [answered]))
    (folder / "high").write_bytes(answered)
    run("anchor", "request", "--digest", DIGEST.hex(), "-o", "request")
    done = run("anchor", "attach", "request", "high", "-o", "a.ots")
    assert (done.code, (folder / "a.ots").exists()) == (3, False)
    (folder / "a.ots").write_bytes(make_proof(DIGEST, [answered]))
    for verb in ("check", "payload"):
        done = run("anchor", verb, "a.ots")
        assert done.code in (1, 3), verb


def test_a_header_whose_target_is_beyond_every_digest_is_none() -> None:
    with pytest.raises(AnchorError, match="not below its own target"):
        read_header("ff" * 80)


def test_a_request_is_for_a_paper_or_a_digest(run: Run, folder: Path) -> None:
    done = run("anchor", "request", PAPER.number, "--log", "log", "--digest", "aa" * 32, "-o", "x")
    assert (done.code, "and not both" in done.err) == (2, True)
    assert not (folder / "x").exists()


def test_what_a_check_finds(run: Run, folder: Path) -> None:
    run("anchor", "request", "--digest", DIGEST.hex(), "-o", "request")
    run("anchor", "attach", "request", "promise", "block", "-o", "a.ots")
    asked = ("anchor", "check", "a.ots", "--digest", DIGEST.hex())
    (row,) = run(*asked, "--header", header(), "--json").rows
    assert row["status"] == "pass"
    first: Any = row["attestations"]
    assert (first[0]["block_height"], first[0]["block_time"]) == (700_000, 1_600_000_000)
    assert first[0]["merkle_root"] == COMMITMENT[::-1].hex()
    without = run("anchor", "check", "a.ots")
    assert (without.code, "give its --header" in without.out) == (0, True)
    assert without.out.startswith("unconfirmed  a.ots: ")  # whatever it is a proof of
    assert COMMITMENT[::-1].hex() in without.out
    for arguments, said in (
        (("--digest", "00" * 32), "not for " + "00" * 32),
        (("--header", header(bytes(32))), "no header that was given"),
    ):
        done = run("anchor", "check", "a.ots", *arguments)
        assert (done.code, said in done.out) == (1, True)
    assert run("anchor", "check", "promise").code == 1
    assert run("anchor", "check", "nothing").code == 3
    assert run("anchor", "check", "a.ots", "--digest", "00").code == 2
    assert run("anchor", "request", "--log", "log", "AAAAAAAA", "-o", "x").code == 2


def test_the_anchors_of_a_paper(run: Run, folder: Path) -> None:
    proof = make_proof(DIGEST, [answer(BLOCK)])
    other = make_proof(bytes(32), [answer(BLOCK, digest=bytes(32))])
    payloads = [payload_of(proof), payload_of(other) | {"anchored_sha256": DIGEST.hex()}]
    payloads.append(payloads[0] | {"proof_b64": "no base64"})
    events = [
        signed_event("timestamp_anchor", READER, payload=payload, target=f"anchor:{n}")
        for n, payload in enumerate(payloads)
    ]
    (folder / "a.jsonl").write_bytes(b"\n".join(map(canonical, events)))
    assert run("ingest", "--log", "log", "a.jsonl").code == 0
    done = run("anchor", "check", "--log", "log", PAPER.number, "--json")
    assert done.code == 1
    status = {row["proof"]: row["status"] for row in done.rows}
    assert status == {
        events[0]["event_id"]: "pass",
        events[1]["event_id"]: "fail",
        events[2]["event_id"]: "fail",
    }


def test_without_the_library(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(anchoring, "import_module", gone)
    done = run("anchor", "check", "promise")
    assert (done.code, "pip install opentimestamps" in done.err) == (3, True)
