"""`pithgraph stat`: what a log holds, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import damage
import signing
from histories import KEYRING, fixed_histories
from pithgraph.counting import count
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS
from pithgraph.log import Log, LogWriter
from pithgraph.sources import Piece
from pithgraph.validation import verdict_of
from signing import PAPER, canonical

RING = Keyring.from_value(KEYRING)


def test_counts_are_those_of_the_events(tmp_path: Path) -> None:
    values = {
        canonical(event): event for history in fixed_histories(60) for event in history.events
    }
    pieces = [Piece("test", number, text) for number, text in enumerate(values, 1)]
    with LogWriter.open(tmp_path / "log") as log:
        ingest_pieces(log, pieces, keyring=RING)
        counts = count(log, keyring=RING)
        with log.snapshot() as snapshot:
            stored = list(snapshot.events_from(0))
            root = snapshot.root()
        file = tmp_path / "log" / "data.mdb"
        assert (counts.file_bytes, counts.map_bytes) == (file.stat().st_size, 64 * 1024 * 1024)
    verdicts = Counter(verdict_of(one.event, RING).reason or "valid" for one in stored)
    kinds: Counter[str] = Counter()
    signers: Counter[bytes] = Counter()
    valid: Counter[bytes] = Counter()
    for one in stored:
        value = one.event.value
        kind = value.get("event_type")
        kinds[kind if isinstance(kind, str) and kind in KINDS else "other"] += 1
        signer = value.get("signer")
        names = ("key_id", "public_key_fingerprint", "signer_id", "signer_type")
        if isinstance(signer, dict) and all(isinstance(signer.get(n), str) for n in names):
            name = canonical({n: signer[n] for n in names})
            signers[name] += 1
            valid[name] += verdict_of(one.event, RING).reason is None
    assert counts.kinds == kinds
    assert counts.verdicts == verdicts
    assert counts.signers == len(signers) > 10 == len(counts.top_signers)
    assert [one.events for one in counts.top_signers] == sorted(signers.values())[::-1][:10]
    for one in counts.top_signers:
        name = canonical(one.signer)
        assert (one.events, one.valid) == (signers[name], valid[name])
    assert (counts.events, counts.last_position) == (len(stored), len(stored) - 1)
    assert counts.root == root
    assert counts.papers == len({one.event.subject for one in stored})


def test_what_stat_prints(run: Any, tmp_path: Path) -> None:
    damage.build(tmp_path / "log")
    keyring = tmp_path / "keyring.json"
    keyring.write_bytes(canonical(signing.keyring_value()))
    done = run("stat", "--log", tmp_path / "log", "--keyring", keyring, "--json")
    (row,) = done.rows
    with Log.open(tmp_path / "log") as log, log.snapshot() as snapshot:
        assert row["events"] == snapshot.size == sum(row["kinds"].values())
        assert row["root"] == snapshot.root().hex()
    assert (row["aliases"], row["refused"], row["states"], row["papers"]) == (3, 2, 6, 2)
    assert (row["format"], row["compression"]) == (3, "none")
    assert (row["keyring_sha256"], row["assurance"]) == (damage.RING.sha256, "verified")
    assert sum(row["verdicts"].values()) == row["events"]
    assert row["top_signers"][0]["signer"] == signing.READER.signer()
    text = run("stat", "--log", tmp_path / "log", "--keyring", keyring)
    shown = dict(line.split(maxsplit=1) for line in text.out.splitlines() if " " in line.strip())
    assert shown["papers"] == "2"
    assert shown["unknown_key"] == "1"
    assert shown["Merkle"] == f"root             {row['root']}"
    assert "events are of keys that the keyring does not hold" in text.err
    assert run("stat", "--log", tmp_path / "no").code == 4


def test_a_new_and_a_compressed_log(run: Any, tmp_path: Path) -> None:
    with LogWriter.open(tmp_path / "new"):
        pass
    (row,) = run("stat", "--log", tmp_path / "new", "--json").rows
    assert (row["events"], row["last_position"], row["kinds"]) == (0, None, {})
    assert "last position           none" in run("stat", "--log", tmp_path / "new").out
    pytest.importorskip("zstandard")
    damage.build(tmp_path / "log", compressed=True)
    (row,) = run("stat", "--log", tmp_path / "log", "--json").rows
    assert row["compression"] == "zstd"
    assert row["kinds"]["mirror_hint"] > 1
    assert PAPER.number not in str(row)
