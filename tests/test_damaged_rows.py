"""Every verb on logs whose rows were damaged: a documented exit code, no traceback, no false JSON.

Damages are those of `damage`, done to the file for good. What fsck and repair say of them stands
beside those.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import signing
from damage import Damage, Patient, build
from pithgraph.authoring import save_private_key
from signing import ALICE, PAPER


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Damage]]:
    folder = tmp_path_factory.mktemp("damaged")
    build(folder / "log")
    lay_for_verbs(folder)
    patient = Patient(folder / "log")
    damages = [
        damage
        for table in patient.rows
        for damage in (*patient.edits(table), *patient.flips(table, step=97))
    ]
    patient.close()
    return folder, damages


def lay_for_verbs(folder: Path) -> None:
    """What `verbs` name beside the log."""
    payload = signing.payload_of("author_attestation")
    (folder / "ring.json").write_bytes(signing.canonical(signing.keyring_value()))
    (folder / "e.jsonl").write_bytes(signing.canonical(signing.signed_event()))
    (folder / "payload.json").write_bytes(signing.canonical(payload))
    save_private_key(ALICE.private, folder / "key.pem")


def verbs(folder: Path) -> list[tuple[object, ...]]:
    """Each that reads a log, and those that append to it last."""
    log, ring = ("--log", folder / "damaged"), ("--keyring", folder / "ring.json")
    new = ("--key", folder / "key.pem", "--payload", folder / "payload.json", "--yes")
    signed = ("--origin", "a.example", "--key", folder / "key.pem")
    return [
        ("replay", *log, *ring),
        ("replay", *log, *ring, "--json"),
        ("state", *log, PAPER.number, *ring),
        ("state", *log, PAPER.number, *ring, "--pretty", "--at", 9),
        ("proof", "build", *log, PAPER.number, *ring, "--out", folder / "proofs"),
        ("explain", *log, PAPER.number, *ring),
        ("explain", *log, 2, *ring),
        ("diff", folder / "damaged", folder / "e.jsonl", *ring),
        ("export", *log),
        ("log", *log, *ring),
        ("log", *log, PAPER.number, "--order", "merge", "--json"),
        ("log", *log, "--verdict", "equivocation", *ring),
        ("log", *log, "--refused"),
        ("stat", *log, *ring),
        ("resolve", *log, *ring, "2401.00001", PAPER.suffix[:8]),
        ("cited-by", *log, PAPER.number, *ring),
        ("bundle", *log, PAPER.number, *ring),
        ("record", *log, PAPER.number, *ring),
        ("publish", *log, *ring, folder / "tree", "--base-url", "http://a.example", "--name", "a"),
        ("checkpoint", *log, *signed),
        ("prove", *log, 3, *signed),
        ("fsck", *log, *ring),
        ("fsck", *log, *ring, "--deep", "--json"),
        ("backup", *log, *ring, folder / "copy"),
        ("sign", "author_attestation", PAPER.number, *log, *ring, *new, "--previous", "--append"),
        ("ingest", *log, *ring, folder / "ring.json"),
    ]


def check_every_verb(run: Any, folder: Path, damage: Damage) -> set[int]:
    """The exit codes there were."""
    codes = set()
    for name in ("damaged", "copy"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(folder / "log", folder / "damaged")
    patient = Patient(folder / "damaged")
    patient.keep(damage)
    patient.close()
    for verb in verbs(folder):
        done = run(*verb)  # which looks for tracebacks
        # A counter that is gone makes positions that the log has not.
        assert done.code in {0, 1, 2, 3, 4}, (damage.what, verb, done)
        if done.code == 0 and verb[0] in ("state", "export", "bundle", "record"):
            for line in done.out.splitlines() if verb[0] == "export" else [done.out]:
                json.loads(line)
        codes.add(done.code)
    return codes


def test_the_verbs_read_a_log_that_is_sound(run: Any, ground: Any) -> None:
    """Else what follows would hold of verbs that are called wrongly."""
    folder, _ = ground
    for name in ("damaged", "copy"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(folder / "log", folder / "damaged")
    codes = {verb: run(*verb).code for verb in verbs(folder)}
    # What is ingested is a keyring, and what is compared with the log is one event.
    assert {verb[0]: code for verb, code in codes.items() if code} == {"ingest": 3, "diff": 1}


@pytest.mark.longer
def test_verbs_on_damaged_logs_in_a_sample(run: Any, ground: Any) -> None:
    folder, damages = ground
    seen = set()
    for damage in random.Random(5).sample(damages, 40):
        seen |= check_every_verb(run, folder, damage)
    assert {0, 4} <= seen


@pytest.mark.slow
def test_verbs_on_damaged_logs(run: Any, ground: Any) -> None:
    folder, damages = ground
    for damage in damages:
        check_every_verb(run, folder, damage)


@pytest.mark.parametrize("old", [b'"payload":{', b'","event_id":"', b'"created_at":"'])
@pytest.mark.parametrize("new", [b"\x00", b"\xff", b"}}", b'"}]},{"'])
def test_a_damaged_row_makes_no_state_that_is_no_json(
    run: Any, ground: Any, old: bytes, new: bytes
) -> None:
    """Rows are joined into a state as they are stored."""
    folder, _ = ground
    patient = Patient(folder / "log")
    changed = []
    for key, value in patient.rows[b"events"]:
        changed.append((key, value.replace(old, new + old[len(new) :])))
    patient.close()
    damage = Damage(b"events", tuple(changed), f"{old!r} made {new!r}")
    assert 4 in check_every_verb(run, folder, damage)


def test_a_block_under_a_key_that_is_no_position(run: Any, ground: Any) -> None:
    folder, _ = ground
    patient = Patient(folder / "log")
    key, value = patient.rows[b"events"][-1]
    patient.close()
    damage = Damage(b"events", ((key + b"\0", value),), "a block again, under a longer key")
    assert 4 in check_every_verb(run, folder, damage)


def test_a_counter_of_thousands_of_digits(run: Any, ground: Any) -> None:
    folder, _ = ground
    damage = Damage(b"meta", ((b"events", b"9" * 5000),), "a long counter")
    assert 4 in check_every_verb(run, folder, damage)
