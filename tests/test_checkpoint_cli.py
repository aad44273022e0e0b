"""Checkpoints and proofs of a whole log, end to end (SPEC §10): what an owner signs, what others
verify offline, and a log that is rewritten behind its owner's back."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import pytest

import signing
from conftest import Done
from pithgraph import checkpointing
from pithgraph.audit import audit_bytes, audit_value
from pithgraph.authoring import save_private_key
from pithgraph.checkpointing import (
    find_event,
    make_checkpoint,
    prove_consistency,
    prove_inclusion,
)
from pithgraph.checkpoints import (
    Checkpoint,
    open_checkpoint,
    read_checkpoint,
    sign_checkpoint,
    verify_consistency_file,
    verify_inclusion_file,
)
from pithgraph.errors import (
    CheckpointError,
    ConsistencyError,
    IdentifierError,
    LogError,
    ProofError,
)
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, layout
from pithgraph.merkle import Tile, consistency_path
from pithgraph.notes import MAX_NOTE_BYTES, VerifierKey, sign_note, verifier_key
from pithgraph.sources import Lines, Piece, Unreadable, read_spans
from signing import ALICE, BOB, REGISTRY, Json, b64, canonical, signed_event

KEYRING = Keyring.from_value(signing.keyring_value())
ORIGIN = "log.example/one"
KEY = ALICE.private
VKEY = verifier_key(ORIGIN, ALICE.public)
EVENTS = [signed_event("replication_record", target=f"replication:{n}") for n in range(9)]
MANY = [signed_event("replication_record", target=f"replication:{n}") for n in range(300)]

Run = Callable[..., Done]


def append(folder: Path, *events: Json) -> None:
    with LogWriter.open(folder) as log:
        pieces = [Piece("test", n, canonical(event)) for n, event in enumerate(events, 1)]
        done = ingest_pieces(log, pieces, keyring=KEYRING)
        assert done.appended == len(events)


def root_of(events: list[Json]) -> bytes:
    """MTH of RFC 9162 §2.1.1, as it stands there."""
    if len(events) == 1:
        return hashlib.sha256(b"\x00" + hashlib.sha256(canonical(events[0])).digest()).digest()
    split = 1
    while split * 2 < len(events):
        split *= 2
    return hashlib.sha256(b"\x01" + root_of(events[:split]) + root_of(events[split:])).digest()


class Site(NamedTuple):
    """A log, its owner's key, and where the owner keeps the last checkpoint."""

    log: Path
    key: Path
    last: Path
    run: Run

    @property
    def signing(self) -> tuple[object, ...]:
        return "--origin", ORIGIN, "--key", self.key

    def checkpoint(self, *more: object) -> Done:
        return self.run("checkpoint", "--log", self.log, *self.signing, *more)

    def prove(self, *more: object) -> Done:
        return self.run("prove", "--log", self.log, *more)

    def audit(self, *more: object) -> Done:
        return self.run("audit", "--json", *more)


@pytest.fixture
def site(tmp_path: Path, run: Run) -> Site:
    """Nine events, and the checkpoint of the first five."""
    found = Site(tmp_path / "log", tmp_path / "key.pem", tmp_path / "last.note", run)
    save_private_key(KEY, found.key)
    append(found.log, *EVENTS[:5])
    assert found.checkpoint("-o", found.last).code == 0
    append(found.log, *EVENTS[5:])
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of more than a tile."""
    folder = tmp_path_factory.mktemp("many") / "log"
    append(folder, *MANY)
    return folder


def statuses(done: Done) -> dict[str, str]:
    return {str(row["check"]): str(row["status"]) for row in done.rows}


# --- what an owner signs, and others verify


def test_a_checkpoint_is_of_the_whole_log_and_verifies_offline(site: Site) -> None:
    done = site.checkpoint("--last", site.last)
    assert done.code == 0
    root = root_of(EVENTS)
    assert done.out.startswith(f"{ORIGIN}\n9\n{b64(root)}\n\n— {ORIGIN} ")
    assert done.err == f"9 events, root {root.hex()}\nvkey {VKEY}\n"
    site.last.write_text(done.out)
    audited = site.audit("--vkey", VKEY, site.last)
    assert (audited.code, statuses(audited)) == (0, {"form": "pass", "signature": "pass"})
    assert {row["document"] for row in audited.rows} == {"checkpoint"}
    assert root.hex() in str(audited.rows[0]["detail"])


def test_the_last_checkpoint_may_be_replaced_by_the_new_one(site: Site) -> None:
    for size in (9, 9):
        done = site.checkpoint("--last", site.last, "-o", site.last)
        assert (done.code, done.out) == (0, "")
        assert open_checkpoint(site.last.read_bytes(), [VKEY]).size == size


def test_the_last_checkpoint_is_replaced_whole_or_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the log will be held against: half of it would be of no use."""
    before = site.last.read_bytes()

    def full(*_: object) -> None:
        assert site.last.read_bytes() == before
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"os.{name}", full)
            done = site.checkpoint("--last", site.last, "-o", site.last)
        assert (done.code, site.last.read_bytes()) == (3, before)
        assert "No space left on device" in done.err
    assert site.checkpoint("--last", site.last, "-o", site.last).code == 0
    assert site.last.read_bytes() != before
    assert [path.name for path in site.last.parent.iterdir() if "partial" in path.name] == []


def test_no_file_is_replaced_but_the_last_checkpoint(site: Site, tmp_path: Path) -> None:
    """A slip of the pen must not cost the key that signs, nor the checkpoint that was kept."""
    precious = tmp_path / "precious"
    precious.write_bytes(site.last.read_bytes())
    for more in ((), ("--last", site.last)):
        for done in (
            site.checkpoint(*more, "-o", precious),
            site.prove("--from", site.last, *site.signing, "-o", precious),
        ):
            assert done.code == 3
            assert f"{precious} is there already, and is not replaced: name a new file" in done.err
    assert precious.read_bytes() == site.last.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(site.last)
    assert site.checkpoint("--last", site.last, "-o", link).code == 0  # the same file
    assert link.is_symlink()


def test_a_log_without_events_has_a_checkpoint_that_every_log_begins_with(site: Site) -> None:
    empty = site.log.with_name("empty")
    append(empty)
    first = site.last.with_name("first.note")
    done = site.run("checkpoint", "--log", empty, *site.signing, "-o", first)
    assert done.code == 0
    assert read_checkpoint(first.read_bytes()).root == hashlib.sha256().digest()
    assert site.checkpoint("--last", first).code == 0
    done = site.prove("--from", first, *site.signing)  # but nothing can be proven of it
    assert (done.code, done.out) == (1, "")
    assert "nothing leads from 0 leaves" in done.err


def test_every_position_of_every_size_is_proven(site: Site) -> None:
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        for size in range(1, len(EVENTS) + 1):
            note = make_checkpoint(snapshot, ORIGIN, KEY, size=size)
            checkpoint = Checkpoint(ORIGIN, size, root_of(EVENTS[:size]))
            assert open_checkpoint(note, [VKEY]) == checkpoint
            for position in range(size):
                proof = prove_inclusion(snapshot, position, note)
                sha256 = hashlib.sha256(canonical(EVENTS[position])).digest()
                assert verify_inclusion_file(proof, sha256, [VKEY]) == (
                    (sha256, position, checkpoint)
                )
            for position in (-1, size):
                with pytest.raises(IdentifierError, match="does not reach position"):
                    prove_inclusion(snapshot, position, note)


def test_every_size_begins_every_later_one(site: Site) -> None:
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        notes = {n: make_checkpoint(snapshot, ORIGIN, KEY, size=n) for n in range(1, 10)}
        for old, old_note in notes.items():
            for new, note in notes.items():
                if new < old:
                    with pytest.raises(ProofError, match=f"nothing leads from {old} leaves"):
                        prove_consistency(snapshot, old_note, note)
                    continue
                proof = prove_consistency(snapshot, old_note, note)
                shown = verify_consistency_file(canonical(proof), [VKEY])
                assert (shown.old.size, shown.new.size) == (old, new)


@pytest.mark.parametrize("size", [256, 257, 300])
def test_a_log_of_more_than_a_tile(many: Path, size: int) -> None:
    with Log.open(many) as log, log.snapshot() as snapshot:
        note = make_checkpoint(snapshot, ORIGIN, KEY, size=size)
        assert read_checkpoint(note).root == root_of(MANY[:size])
        for position in (0, 100, 255, size - 1):
            proof = prove_inclusion(snapshot, position, note)
            assert verify_inclusion_file(proof, None, [VKEY]).leaf_index == position
        for old in (1, 255, 256, size):
            old_note = make_checkpoint(snapshot, ORIGIN, KEY, size=old)
            proof_of_both = prove_consistency(snapshot, old_note, note)
            assert verify_consistency_file(proof_of_both, [VKEY]).old.size == old


def test_the_proofs_of_the_command_line_verify_by_content(site: Site, tmp_path: Path) -> None:
    new = tmp_path / "new.note"
    assert site.checkpoint("-o", new).code == 0
    included, consistent = tmp_path / "a.tlog-proof", tmp_path / "b.json"
    done = site.prove(7, "--checkpoint", new, "-o", included)
    sha256 = hashlib.sha256(canonical(EVENTS[7])).hexdigest()
    assert (done.code, done.out) == (0, "")
    assert done.err == f"event {sha256} at position 7 of the 9 events of {ORIGIN}\n"
    done = site.prove("--from", site.last, "--checkpoint", new)
    assert done.code == 0
    consistent.write_text(done.out)
    audited = site.audit("--vkey", VKEY, included, consistent, site.last)
    assert audited.code == 0
    assert [(row["document"], row["check"], row["status"]) for row in audited.rows] == [
        ("inclusion_proof", "proof", "pass"),
        ("inclusion_proof", "checkpoint", "pass"),
        ("pith_consistency_proof", "proof", "pass"),
        ("pith_consistency_proof", "old_checkpoint", "pass"),
        ("pith_consistency_proof", "new_checkpoint", "pass"),
        ("checkpoint", "form", "pass"),
        ("checkpoint", "signature", "pass"),
    ]
    assert sha256 in str(audited.rows[0]["detail"])
    assert "of 9 events begins with the 5 before" in str(audited.rows[2]["detail"])


def test_an_event_is_named_in_three_ways(site: Site) -> None:
    event = EVENTS[3]
    sha256 = hashlib.sha256(canonical(event)).hexdigest()
    proofs = {site.prove(name, *site.signing).out for name in (3, sha256, event["event_id"])}
    (proof,) = proofs
    assert verify_inclusion_file(proof.encode(), None, [VKEY]).leaf_index == 3
    for name, says in (
        (9, "holds no event 9: it holds 9"),
        ("9" * 19, "holds no event"),
        ("0" * 64, "holds no event"),
        ("sha256:" + "0" * 64, "no event of the event_id"),
        ("seven", "names no event"),
        ("9" * 20, "names no event"),
        (sha256[:-1], "names no event"),
    ):
        done = site.prove(name, *site.signing)
        assert (done.code, done.out) == (2, "")
        assert says in done.err


def test_several_events_of_one_id_are_listed(site: Site) -> None:
    event = EVENTS[3]
    again = REGISTRY.sign_again(bytes.fromhex(event["event_id"].removeprefix("sha256:")))
    twin = signing.changed(event, "signature.signature_b64", b64(again))
    append(site.log, twin)
    done = site.prove(event["event_id"], *site.signing)
    assert done.code == 2
    for position, one in ((3, event), (9, twin)):
        assert f"{position} ({hashlib.sha256(canonical(one)).hexdigest()})" in done.err
        assert site.prove(position, *site.signing).code == 0


def test_an_id_that_an_event_only_mentions_does_not_name_it(site: Site) -> None:
    mentions = signed_event("correction", **{"payload.note": EVENTS[3]["event_id"]})
    append(site.log, mentions)
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        assert find_event(snapshot, EVENTS[3]["event_id"]).position == 3


# --- which checkpoint a proof is against


def test_a_size_is_signed_or_has_to_be_that_of_the_checkpoint(site: Site) -> None:
    signed = site.prove(2, *site.signing, "--size", 5)
    assert signed.code == 0
    assert site.prove(2, "--checkpoint", site.last, "--size", 5).out == signed.out
    for options, says in (
        (("--checkpoint", site.last, "--size", 6), "is a checkpoint of 5 events, not of 6"),
        ((*site.signing, "--size", 10), "the log never had 10 events"),
        ((*site.signing, "--size", 2), "does not reach position 2"),
        (("--checkpoint", site.last, "--size", 0), "0 is not in the range"),
    ):
        done = site.prove(2, *options)
        assert (done.code, done.out) == (2, "")
        assert says in done.err


def test_without_a_checkpoint_the_one_in_the_folder_of_the_log_is_taken(site: Site) -> None:
    done = site.prove(2)
    assert done.code == 2
    assert "give --checkpoint, or --origin and --key to sign one, or keep the newest" in done.err
    assert site.checkpoint("-o", site.log / "checkpoint").code == 0
    for options in ((2,), (2, "--size", 9), ("--from", site.last)):
        done = site.prove(*options)
        assert done.code == 0
        assert f"the 9 events of {ORIGIN}" in done.err
    assert site.prove(2, "--size", 5).code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give an event or --from"),
        ((1, "--from", "last.note"), "give an event or --from"),
        ((1, "--origin", ORIGIN), "--origin and --key together"),
        ((1, "--key", "key.pem"), "--origin and --key together"),
        ((1, "--origin", ORIGIN, "--key", "k", "--checkpoint", "c"), "and not both"),
        ((1, "--origin", "two words", "--key", "key.pem"), "a plus, a space or a control"),
        ((1, "--origin", "", "--key", "key.pem"), "name is empty"),
        ((1, "--origin", "\udcff", "--key", "key.pem"), "is not Unicode"),
    ],
)
def test_wrong_usage_of_prove(site: Site, options: tuple[object, ...], says: str) -> None:
    done = site.prove(*options)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_checkpoints_in_the_wrong_order_are_wrong_usage(site: Site, tmp_path: Path) -> None:
    """Exit 1 would say that somebody rolled the log back."""
    newest = tmp_path / "newest.note"
    newest.write_text(site.checkpoint().out)
    done = site.prove("--from", newest, "--checkpoint", site.last)
    assert (done.code, done.out) == (2, "")
    assert "is of 9 events, the checkpoint that the proof leads to of 5: exchange them" in done.err


# --- a log rewritten behind its owner's back

OTHER = signed_event("replication_record", target="replication:other")
REWRITTEN = {
    "an event changed": [*EVENTS[:2], OTHER, *EVENTS[3:]],
    "the first changed": [OTHER, *EVENTS[1:]],
    "the last of the old ones changed": [*EVENTS[:4], OTHER, *EVENTS[5:]],
    "an event removed": [*EVENTS[:2], *EVENTS[3:]],
    "two reordered": [EVENTS[1], EVENTS[0], *EVENTS[2:]],
    "one slipped in": [*EVENTS[:2], OTHER, *EVENTS[2:]],
    "an event of as many": [*EVENTS[:3], OTHER, EVENTS[4]],
    "rolled back, and grown otherwise": [*EVENTS[:4], OTHER, signed_event("graph_snapshot")],
}


def replace(site: Site, *events: Json) -> None:
    """Put another log's file in the place of the owner's."""
    forged = site.log.with_name("forged")
    append(forged, *events)
    shutil.copy(forged / "data.mdb", site.log / "data.mdb")


@pytest.mark.parametrize("events", REWRITTEN.values(), ids=REWRITTEN)
def test_a_rewritten_log_is_exposed(site: Site, tmp_path: Path, events: list[Json]) -> None:
    kept = site.last.read_bytes()
    honest = site.checkpoint().out.encode()
    replace(site, *events)
    for done in (
        site.checkpoint("--last", site.last, "-o", site.last),
        site.prove("--from", site.last, *site.signing),
        site.prove(1, "--checkpoint", site.last),
    ):
        assert (done.code, done.out) == (1, "")
        assert "it was rewritten, or is another log" in done.err
    assert site.last.read_bytes() == kept
    # Who signs without the earlier checkpoint at hand still cannot make a proof that holds.
    forged = site.checkpoint().out.encode()
    size = len(events)
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        hashes = [b64(node) for node in consistency_path(5, size, snapshot.tile)]
    proof = tmp_path / "forged.json"
    for newer in (forged, honest):
        document = {
            "proof_type": "pith_consistency_proof",
            "proof_version": "1.0",
            "old_checkpoint": kept.decode(),
            "new_checkpoint": newer.decode(),
            "hashes": hashes,
        }
        proof.write_bytes(canonical(document))
        done = site.audit("--vkey", VKEY, proof)
        split = {"split_view": "fail"} if newer == forged and size == 5 else {}
        assert (done.code, statuses(done)) == (1, {"proof": "fail"} | split)


def test_two_roots_that_a_log_signed_for_one_size_are_a_split_view(
    site: Site, tmp_path: Path
) -> None:
    """Whoever holds both needs neither the log nor a proof."""
    site.prove(8, *site.signing, "-o", tmp_path / "event.tlog-proof")
    site.prove("--from", site.last, *site.signing, "-o", tmp_path / "growth.json")
    (tmp_path / "honest.note").write_text(site.checkpoint().out)
    replace(site, *EVENTS[:8], signed_event("graph_snapshot"))
    (tmp_path / "forged.note").write_text(site.checkpoint().out)
    forged, root = tmp_path / "forged.note", root_of(EVENTS).hex()
    for name in ("honest.note", "event.tlog-proof", "growth.json"):
        for paths in ((tmp_path / name, forged), (forged, tmp_path / name)):
            done = site.audit("--vkey", VKEY, site.last, *paths)
            (row,) = (row for row in done.rows if row["status"] == "fail")
            assert (done.code, row["check"], row["path"]) == (1, "split_view", str(paths[1]))
            assert root in str(row["detail"])
            assert f"in {paths[0]}, both signed" in str(row["detail"])
            assert "documents: 3, unreadable: 0" in done.err
    # Nothing is said of what the log's key did not sign, and nothing of two that agree.
    assert site.audit(tmp_path / "honest.note", forged).code == 0
    agreeing = [tmp_path / "event.tlog-proof", tmp_path / "growth.json", tmp_path / "honest.note"]
    assert site.audit("--vkey", VKEY, *agreeing, *agreeing).code == 0


@pytest.mark.parametrize("size", [1, 4])
def test_a_log_rolled_back_is_exposed(site: Site, size: int) -> None:
    replace(site, *EVENTS[:size])
    for done in (
        site.checkpoint("--last", site.last),
        site.prove("--from", site.last, *site.signing),
        site.prove(0, "--checkpoint", site.last),
    ):
        assert (done.code, done.out) == (1, "")
        assert f"is of 5 events, the log holds {size}: it was rolled back" in done.err


def test_without_the_comparison_nothing_would_be_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: the tests above cannot pass for another reason."""
    replace(site, *REWRITTEN["two reordered"])
    monkeypatch.setattr(checkpointing, "check_history", lambda *_: None)
    assert site.checkpoint("--last", site.last).code == 0


def test_an_older_copy_that_reaches_the_checkpoint_is_no_rewriting(site: Site) -> None:
    replace(site, *EVENTS[:6])
    assert site.checkpoint("--last", site.last).code == 0
    assert site.prove("--from", site.last, *site.signing).code == 0


def test_the_library_tells_a_rewritten_log_from_other_failures(site: Site) -> None:
    last = site.last.read_bytes()
    replace(site, *REWRITTEN["two reordered"])
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        with pytest.raises(ConsistencyError):
            make_checkpoint(snapshot, ORIGIN, KEY, last=last)
        with pytest.raises(ProofError, match=r"not by log\.example/two and its key") as raised:
            make_checkpoint(snapshot, "log.example/two", KEY, last=last)
        assert not isinstance(raised.value, ConsistencyError)


@pytest.mark.parametrize(("level", "number"), [(0, 1), (1, 0), (0, 0)])
def test_no_root_is_signed_that_is_not_that_of_the_events(
    site: Site, level: int, number: int
) -> None:
    """Beyond the last checkpoint nothing but the events below says which hashes are right."""
    replace(site, *MANY)
    key = layout.tile_key(Tile(level, number, 1))
    overwrite(site.log, b"tiles", key, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    for more in ([], ["--last", site.last]):
        done = site.checkpoint(*more)
        assert (done.code, done.out) == (4, "")
        assert "is not that of what lies below it" in done.err


# --- a log whose own tree does not hold


def overwrite(folder: Path, table: bytes, key: bytes, change: Callable[[bytes], bytes]) -> None:
    with lmdb.open(str(folder), max_dbs=20) as environment:
        opened = environment.open_db(table)
        with environment.begin(write=True, db=opened) as transaction:
            transaction.put(key, change(transaction.get(key)))


def test_a_damaged_tree_is_a_damaged_log(many: Path, tmp_path: Path, run: Run) -> None:
    log, key, note = tmp_path / "log", tmp_path / "key.pem", tmp_path / "c.note"
    shutil.copytree(many, log)
    save_private_key(KEY, key)
    signing_ = ("--origin", ORIGIN, "--key", key)
    assert run("checkpoint", "--log", log, *signing_, "-o", note).code == 0
    first = layout.tile_key(Tile(0, 0, 256))
    # The root of 300 is made of the tile above this one, the path of leaf 7 is not.
    overwrite(log, b"tiles", first, lambda tile: tile[:-1] + bytes([tile[-1] ^ 1]))
    done = run("prove", "--log", log, 7, "--checkpoint", note)
    assert (done.code, done.out) == (4, "")
    assert "the events are not those of the stored tree" in done.err
    done = run("prove", "--log", log, "--from", note, "--checkpoint", note)
    assert done.code == 0
    overwrite(log, b"tiles", layout.tile_key(Tile(1, 0, 1)), lambda tile: tile[:-1])
    for verb in (("checkpoint", *signing_), ("prove", 7, "--checkpoint", note)):
        done = run(verb[0], "--log", log, *verb[1:])
        assert (done.code, done.out) == (4, "")
        assert "the stored tree is damaged" in done.err


def test_an_index_that_leads_to_another_event_is_a_damaged_log(site: Site) -> None:
    sha256 = hashlib.sha256(canonical(EVENTS[7])).digest()
    overwrite(site.log, b"by_digest", sha256, lambda _: layout.position_key(6))
    done = site.prove(sha256.hex(), *site.signing)
    assert (done.code, done.out) == (4, "")
    assert "the event at position 6 is not" in done.err


def test_events_rewritten_under_their_old_tree_are_not_proven(site: Site) -> None:
    """The checkpoints still agree with the tiles; no proof can be had of what was rewritten."""
    with Log.open(site.log) as log, log.snapshot() as snapshot:
        tiles = dict(snapshot.rows(b"tiles"))
    replace(site, *REWRITTEN["an event changed"])
    for key, tile in tiles.items():
        overwrite(site.log, b"tiles", key, lambda _, tile=tile: tile)  # type: ignore[misc]
    assert site.prove(1, "--checkpoint", site.last).code == 0
    done = site.prove(2, "--checkpoint", site.last)
    assert (done.code, done.out) == (4, "")
    assert "the events are not those of the stored tree" in done.err


# --- files that are not what they should be


RIGHT = Checkpoint(ORIGIN, 5, root_of(EVENTS[:5]))
NOTE = sign_checkpoint(RIGHT, KEY)
FOREIGN = {
    "another key": sign_checkpoint(RIGHT, BOB.private),
    "another origin": sign_checkpoint(RIGHT._replace(origin="log.example/two"), KEY),
    "another origin, the key under its own name": sign_note(
        f"log.example/two\n5\n{b64(RIGHT.root)}\n", ORIGIN, KEY
    ),
    "a changed root": NOTE.replace(b64(RIGHT.root).encode(), b64(root_of(EVENTS)).encode()),
    "a changed size": NOTE.replace(b"\n5\n", b"\n6\n"),
}


@pytest.mark.parametrize("note", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_checkpoint_fails(site: Site, tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "foreign.note"
    path.write_bytes(note)
    done = site.checkpoint("--last", path)
    assert (done.code, done.out) == (1, "")
    assert f"the earlier checkpoint is not by {ORIGIN} and its key" in done.err
    done = site.audit("--vkey", VKEY, path)
    assert (done.code, statuses(done)) == (1, {"form": "pass", "signature": "fail"})


def test_without_a_verifier_key_nothing_is_confirmed(site: Site, tmp_path: Path) -> None:
    included, consistent = tmp_path / "a.tlog-proof", tmp_path / "b.json"
    site.prove(7, *site.signing, "-o", included)
    site.prove("--from", site.last, *site.signing, "-o", consistent)
    done = site.audit(site.last, included, consistent)
    assert done.code == 0
    assert [row["status"] for row in done.rows] == [
        *("pass", "unconfirmed"),
        *("pass", "unconfirmed"),
        *("pass", "unconfirmed", "unconfirmed"),
    ]
    told = f"give --vkey with the key of {ORIGIN}+{VKEY.key_hash.hex()}"
    assert {row["detail"] for row in done.rows if row["status"] == "unconfirmed"} == {told}


@pytest.mark.parametrize(
    "vkey",
    [verifier_key(ORIGIN, BOB.public), verifier_key("log.example/two", ALICE.public)],
    ids=["another key of this name", "this key under another name"],
)
def test_a_wrong_verifier_key_fails(site: Site, tmp_path: Path, vkey: VerifierKey) -> None:
    included, consistent = tmp_path / "a.tlog-proof", tmp_path / "b.json"
    site.prove(7, *site.signing, "-o", included)
    site.prove("--from", site.last, *site.signing, "-o", consistent)
    done = site.audit("--vkey", vkey, site.last, included, consistent)
    assert done.code == 1
    assert [row["status"] for row in done.rows] == [
        *("pass", "fail"),
        *("pass", "fail"),
        *("pass", "fail", "fail"),
    ]
    assert "no signature is by a trusted key" in str(done.rows[1]["detail"])
    done = site.audit("--vkey", vkey, "--vkey", VKEY, site.last, included, consistent)
    assert done.code == 0


@pytest.mark.parametrize(
    ("vkey", "says"),
    [("", "give NAME"), (f"{VKEY}x", "base64"), ("\udcff+00000000+AQ==", "not 32")],
)
def test_a_malformed_verifier_key_is_wrong_usage(site: Site, vkey: str, says: str) -> None:
    done = site.audit("--vkey", vkey, site.last)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_verifier_key_whose_name_is_no_text_is_wrong_usage(site: Site) -> None:
    vkey = "\udcff" + str(VKEY).removeprefix(ORIGIN)
    done = site.audit("--vkey", vkey, site.last)
    assert done.code == 2
    assert "is not Unicode" in done.err


def test_unreadable_files(site: Site, tmp_path: Path) -> None:
    absent, broken = tmp_path / "absent", tmp_path / "broken.note"
    broken.write_bytes(site.last.read_bytes()[:-1])
    for path in (absent, broken):
        for done in (
            site.checkpoint("--last", path),
            site.prove("--from", path, *site.signing),
            site.prove(1, "--checkpoint", path),
        ):
            assert (done.code, done.out) == (3, "")
            assert f"error: {path}: " in done.err
    done = site.run("checkpoint", "--log", site.log, "--origin", ORIGIN, "--key", absent)
    assert done.code == 3
    done = site.run("checkpoint", "--log", absent, "--origin", ORIGIN, "--key", absent)
    assert done.code == 4
    assert site.run("prove", "--log", absent, 1, "--checkpoint", site.last).code == 4
    assert site.checkpoint("-o", absent / "note").code == 3
    site.last.write_bytes(b"x" * (MAX_NOTE_BYTES + 100))
    done = site.checkpoint("--last", site.last)
    assert done.code == 3
    assert "at most" in done.err


@pytest.mark.longer
def test_no_changed_byte_passes(site: Site, tmp_path: Path) -> None:
    """Each byte of each file changed, left out, or the file ended there: all fail, none crashes."""
    included, consistent = tmp_path / "a.tlog-proof", tmp_path / "b.json"
    site.prove(7, *site.signing, "-o", included)
    site.prove("--from", site.last, *site.signing, "-o", consistent)
    folder = tmp_path / "changed"
    folder.mkdir()
    paths = []
    for original in (site.last, included, consistent):
        data = original.read_bytes()
        changed = {data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))}
        changed |= {data[:at] + data[at + 1 :] for at in range(len(data) - 1)}
        changed |= {data[:at] for at in range(len(data) - 1)}
        for number, other in enumerate(sorted(changed)):
            path = folder / f"{original.name}-{number}"
            path.write_bytes(other)
            paths.append(path)
    done = site.audit("--vkey", VKEY, *paths)
    assert done.code == 1
    worst: dict[object, set[object]] = {}
    for row in done.rows:
        worst.setdefault(row["path"], set()).add(row["status"])
    assert len(worst) == len(paths)
    assert [path for path, found in worst.items() if "fail" not in found] == []
    for path in paths[:: len(paths) // 40]:
        assert site.audit("--vkey", VKEY, path).code in (1, 3)
        assert site.audit(path).code in (0, 1, 3)


# --- told apart by content


@pytest.mark.parametrize("origin", ["12", "null", "{", "[", '"', '{"keys":[]}', "[[1],", "é"])
def test_a_checkpoint_is_told_whatever_its_name(run: Run, tmp_path: Path, origin: str) -> None:
    path = tmp_path / "a.note"
    note = sign_checkpoint(Checkpoint(origin, 5, bytes(32)), KEY)
    path.write_bytes(note)
    vkey = verifier_key(origin, ALICE.public)
    for data in (note, gzip.compress(note)):
        path.write_bytes(data)
        done = run("audit", "--json", "--vkey", vkey, path)
        assert done.code == 0
        assert {row["document"] for row in done.rows} == {"checkpoint"}


def test_a_checkpoint_on_standard_input(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(site.last.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert site.audit("--vkey", VKEY, "-").code == 0


def test_a_proof_that_names_no_event_shows_nothing_of_one(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "a.tlog-proof"
    first, extra, rest = site.prove(7, *site.signing).out.split("\n", 2)
    assert extra.startswith("extra ")
    path.write_text(f"{first}\n{rest}")
    done = site.audit("--vkey", VKEY, path)
    assert (done.code, statuses(done)) == (0, {"proof": "skipped", "checkpoint": "pass"})


def test_lines_with_a_dash_after_an_empty_one_stay_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    event = canonical(EVENTS[0]).decode()
    path.write_text(f"{event}\n\n— broken\n\n{event}\n")
    done = run("audit", "--json", path, "--keyring", tmp_path / "absent")
    assert done.code == 3
    keyring = tmp_path / "keyring.json"
    keyring.write_bytes(canonical(signing.keyring_value()))
    done = run("audit", "--json", path, "--keyring", keyring)
    assert [row["document"] for row in done.rows] == ["event", "unreadable", "event"]


def test_reading_ahead_changes_no_source(tmp_path: Path) -> None:
    """Sources that are no texts give what they gave: long ones, and broken ones too."""
    line = canonical({"text": "x" * 1000}) + b"\n"
    long = line * (2 * MAX_NOTE_BYTES // len(line))
    sources = {
        "long.jsonl": long,
        "long.jsonl.gz": gzip.compress(long),
        "broken.jsonl.gz": gzip.compress(long)[:-50],
        "soon.jsonl.gz": gzip.compress(line * 100)[:-9],
        "document.json": b'{"a":\n[1,\n\n2]}\n',
        "empty.json": b"",
    }
    for name, data in sources.items():
        path = tmp_path / name
        path.write_bytes(data)
        plain, ahead = (spread(path, texts) for texts in (False, True))
        assert ahead == plain
        assert len(plain) >= 1
    assert any(isinstance(one, Unreadable) for one in spread(tmp_path / "soon.jsonl.gz", True))


def spread(path: Path, texts: bool) -> list[Any]:
    """The pieces of a source; how lines are put together to runs does not matter."""
    pieces: list[Any] = []
    for found in read_spans([path], texts=texts):
        pieces += found.pieces() if isinstance(found, Lines) else [found]
    return pieces


def test_an_ingest_refuses_them(site: Site, tmp_path: Path) -> None:
    consistent = tmp_path / "b.json"
    site.prove("--from", site.last, *site.signing, "-o", consistent)
    for path in (consistent, site.last):
        done = site.run("ingest", "--log", site.log, path, "--json")
        assert (done.code, done.rows[0]["refused"]) == (3, 1)


def test_the_audit_as_a_library(site: Site) -> None:
    consistent = json.loads(site.prove("--from", site.last, *site.signing).out)
    (one, *rest) = audit_value([consistent], KEYRING, (VKEY,)).findings
    assert one.check == "[0].proof"
    assert {finding.status for finding in (one, *rest)} == {"pass"}
    assert audit_bytes(site.last.read_bytes(), KEYRING, (VKEY,)).document == "checkpoint"
    assert audit_bytes(site.last.read_bytes(), KEYRING).findings[1].status == "unconfirmed"
    odd = consistent | {"old_checkpoint": "\ud800"}
    (finding,) = audit_value(odd, KEYRING).findings
    assert finding.status == "fail"


def test_a_view_that_is_damaged_says_so_to_library_users(many: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    shutil.copytree(many, log)
    overwrite(log, b"tiles", layout.tile_key(Tile(1, 0, 1)), lambda tile: tile[:-1])
    with (
        Log.open(log) as opened,
        pytest.raises(LogError, match="damaged"),
        opened.snapshot() as snapshot,
    ):
        make_checkpoint(snapshot, ORIGIN, KEY)


def test_a_name_that_no_log_can_have(site: Site) -> None:
    with Log.open(site.log) as log, log.snapshot() as snapshot, pytest.raises(CheckpointError):
        make_checkpoint(snapshot, "two words", KEY)
