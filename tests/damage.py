"""A log with something of everything in it, and every small damage that can be done to it.

What lives here: making that log, and changing one row of it inside a transaction that is undone.
What must not: what a check or a repair must say of it; that stands beside the tests.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import msgspec
import pytest

import signing
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter, layout
from pithgraph.log import compression as log_compression
from pithgraph.log.reader import Log
from pithgraph.log.snapshot import Snapshot
from pithgraph.replaying import current_state
from pithgraph.sources import Piece
from pithgraph.validation import ASSURANCES
from signing import (
    ALICE,
    DROP,
    OTHER_PAPER,
    PAPER,
    STRANGER,
    WINDOWED,
    Json,
    at,
    canonical,
    changed,
    event_id_of,
    some_id,
)

RING = Keyring.from_value(signing.keyring_value())
OTHER_RING = Keyring.from_value(signing.keyring_value(signing.REGISTRY.entry(), ALICE.entry()))


def events() -> list[Json]:
    """Ordinary ones of several classes, some that follow others, and what has no class."""
    signed = signing.signed_event
    made = [
        signed("record_created"),
        signed("record_created", paper=OTHER_PAPER),
        *(signed(kind, created_at=at(2)) for kind in signing.SIGNERS if kind != "record_created"),
        signed("graph_snapshot", created_at=at(3), previous_event_id=some_id("one")),
        signed("graph_snapshot", created_at=at(4), previous_event_id=some_id("two")),
        signed("graph_snapshot", created_at=at(4), **{"payload.n": 2}),
        signed("graph_snapshot", WINDOWED, created_at=at(1)),
        signed("author_attestation", further={"ü": [-0.0, 1e-7]}),
        signed("graph_snapshot", STRANGER),
        signed("graph_snapshot", created_at="2026-06-31T00:00:00Z"),
        signed("correction", target="nothing:"),
        changed(signed("mirror_hint", created_at=at(5)), "late", 1),
        forged(signed("author_attestation", created_at=at(6))),
        changed(signed("mirror_hint", created_at=at(6)), "signature.signature_b64", "AAAA"),
        signed("mirror_hint", paper=OTHER_PAPER, event_type=7),
    ]
    unsigned = changed(signed("storage_attestation", created_at=at(7)), "signature", DROP)
    made.append(unsigned)
    made.append(changed(unsigned, "event_id", some_id("by another rule")))
    stated = changed(unsigned, "created_at", at(8))
    made.append(stated | {"event_id": event_id_of(stated)})
    return made


def forged(event: Json) -> Json:
    """The event with a signature by somebody else."""
    made = signing.signature(STRANGER, event["event_id"], key_id=event["signer"]["key_id"])
    return event | {"signature": made}


def aliases() -> list[Json]:
    bundle = {"bundle_type": "pith_open_graph_bundle", "pith_number": PAPER.number, "events": []}
    rows = [
        {"alias_kind": "arxiv", "alias_value": "2401.00001", "created_at": at(1)},
        {"alias_kind": "pith_short_8", "alias_value": PAPER.suffix[:8], "created_at": at(2)},
    ]
    alone = {"pith_number": OTHER_PAPER.number, "alias_kind": "doi", "alias_value": "10.1/x"}
    return [bundle | {"source_aliases": rows}, {"alias": alone | {"created_at": at(3)}}]


def build(folder: Path, *, compressed: bool = False, more: int = 0) -> None:
    """Make the log, in several batches and several blocks. `more` events are added, each small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_BYTES", 4096)
        patch.setattr(log_compression, "TRAINING_EVENTS", 20)
        patch.setattr(log_compression, "_DICTIONARY_BYTES", 256)
        made = events()
        batches: list[list[Any]] = [
            made,
            [*aliases(), {"no": "subject"}, 7],
            [
                signing.signed_event("replication_record", target=f"replication:{n}")
                for n in range(4 + more)
            ],
        ]
        with LogWriter.open(folder, compress=compressed) as log:
            for number, batch in enumerate(batches):
                pieces = [Piece(f"batch {number}", n, canonical(v)) for n, v in enumerate(batch, 1)]
                ingest_pieces(log, pieces, keyring=RING)
            for ring, paper in ((RING, PAPER), (RING, OTHER_PAPER), (OTHER_RING, PAPER)):
                for assurance in ASSURANCES:
                    number_of = parse_pith_number(paper.number)
                    current_state(log, number_of, keyring=ring, assurance=assurance)


class Damage(NamedTuple):
    """Rows of one table that are put, or removed where the value is None."""

    table: bytes
    changes: tuple[tuple[bytes, bytes | None], ...]
    what: str


class Patient:
    """A log that is open for damaging: each damage is undone when its view ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = lmdb.open(os.fspath(folder), max_dbs=20, sync=False)
        self._tables: dict[bytes, Any] = {
            name: self._environment.open_db(name, create=False) for name in layout.TABLES
        }
        self.rows: dict[bytes, list[tuple[bytes, bytes]]] = {}
        with self._environment.begin() as transaction:
            for name, table in self._tables.items():
                with transaction.cursor(table) as cursor:
                    self.rows[name] = [(bytes(key), bytes(value)) for key, value in cursor]

    def close(self) -> None:
        self._environment.close()

    @contextmanager
    def damaged(self, *damages: Damage) -> Iterator[Snapshot]:
        """A view of the log with these damages."""
        transaction = self._environment.begin(write=True)
        try:
            self._apply(transaction, damages)
            log = Log(self.folder, self._environment, self._tables)
            yield Snapshot(transaction, transaction, log.path, log._tables, log._classes)
        finally:
            transaction.abort()

    def keep(self, *damages: Damage) -> None:
        """Do the damages for good."""
        with self._environment.begin(write=True) as transaction:
            self._apply(transaction, damages)

    def _apply(self, transaction: lmdb.Transaction, damages: tuple[Damage, ...]) -> None:
        for damage in damages:
            table = self._tables[damage.table]
            for key, value in damage.changes:
                if value is None:
                    assert transaction.delete(key, db=table)
            for key, value in damage.changes:
                if value is not None:
                    transaction.put(key, value, db=table)

    def flips(self, table: bytes, step: int = 1, masks: tuple[int, ...] = (1, 32, 255)) -> Any:
        """Each `step`th byte of the table's keys and values, changed in turn."""
        count = 0
        for key, value in self.rows[table]:
            for offset in range(len(key) + len(value)):
                for mask in masks:
                    count += 1
                    if count % step:
                        continue
                    if offset < len(key):
                        other = _flipped(key, offset, mask)
                        changes: Any = ((key, None), (other, value))
                    else:
                        changes = ((key, _flipped(value, offset - len(key), mask)),)
                    what = f"{table.decode()} {key.hex()}: byte {offset} ^ {mask}"
                    yield Damage(table, changes, what)

    def edits(self, table: bytes) -> Iterator[Damage]:
        """Rows dropped, copied, swapped, cut and made longer."""
        rows = self.rows[table]
        keys = {key for key, _ in rows}
        for number, (key, value) in enumerate(rows):
            name = f"{table.decode()} {key.hex()}"
            yield Damage(table, ((key, None),), f"{name} dropped")
            yield Damage(table, ((key, value[:-1]),), f"{name} cut by a byte")
            yield Damage(table, ((key, value[: len(value) // 2]),), f"{name} cut in half")
            yield Damage(table, ((key, b""),), f"{name} emptied")
            yield Damage(table, ((key, value + b"\0"),), f"{name} longer by a byte")
            yield Damage(table, ((key, value + value[-32:]),), f"{name} longer by its end")
            for copy in (key[:-1], key + b"\0", _flipped(key, len(key) - 1, 2)):
                if copy and copy not in keys:
                    yield Damage(table, ((copy, value),), f"{name} copied to {copy.hex()}")
            other = rows[(number + 1) % len(rows)]
            if other[1] != value:
                changes = ((key, other[1]), (other[0], value))
                yield Damage(table, changes, f"{name} swapped with the next")
        yield Damage(table, ((b"\xfe" * 8, b"junk"),), f"{table.decode()}: a random row")
        yield Damage(table, ((b"\0", b""),), f"{table.decode()}: a row at the beginning")

    def resealed(self) -> Iterator[Damage]:
        """What somebody may write who knows the layout: rows that are false under a right seal."""
        for table in (b"classes", b"aliases", b"refused", b"states"):
            for key, value in self.rows[table]:
                name = f"{table.decode()} {key.hex()}"
                other = _flipped(key, len(key) - 1, 64)
                copy = layout.sealed(other, value[16:])
                yield Damage(table, ((other, copy),), f"{name} copied under a right seal")
                yield Damage(
                    table, ((key, None), (other, copy)), f"{name} moved under a right seal"
                )
        last, value = self.rows[b"classes"][-1]
        further = layout.class_key(int.from_bytes(last, "big") + 1)
        event_class = layout.read_packed_class(value[16:])
        packed = layout.packed_class(msgspec.structs.replace(event_class, event_type="rumour"))
        made = layout.sealed(further, packed)
        yield Damage(b"classes", ((further, made),), "a class that no event has")
        for key, value in self.rows[b"papers"]:
            counters = layout.read_counters(value)
            for name in ("events", "aliases"):
                more = counters._replace(**{name: getattr(counters, name) + 1})
                made = layout.counters_value(key, more)
                yield Damage(b"papers", ((key, made),), f"{key!r}: more {name} under a right seal")
            unknown = _flipped(key, 0, 1)
            made = layout.counters_value(unknown, layout.PaperCounters())
            yield Damage(b"papers", ((unknown, made),), f"{unknown!r} without any rows")


def _flipped(data: bytes, offset: int, mask: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]
