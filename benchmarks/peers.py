"""`python -m benchmarks peers`: the same work, done by what people would pick instead.

What lives here: one function a peer, the table of them, and a harness that measures them all in
one run, by turns. What must not: what pithgraph's own speed is made of (`run`).

No peer does what pithgraph does. So each names what it is compared to, and what it leaves out or
adds; all get events of the same texts, and all that store sync to the disk at each commit.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import gc
import hashlib
import json
import platform
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module, metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

import pithgraph
from benchmarks import corpus
from pithgraph import Event, Keyring, LogWriter, ingest, replay
from pithgraph.keys import backend
from pithgraph.validation import Facts, establish, judge

Json = dict[str, Any]

# Done once, untimed, with the events and a folder to keep things in: it gives the timed work,
# which gets an empty folder each time and says how many events it has done.
Work = Callable[[Path], int]
Prepare = Callable[[list[bytes], Path], Work]

SEED: Final = 1
# As `ingest` commits.
_BATCH: Final = 10_000
# Its own 100 MiB hold some ten thousand events.
_KERI_MAP_BYTES: Final = 2**34
_SECRET: Final = hashlib.sha256(b"pithgraph benchmark peer").digest()


class Peer(NamedTuple):
    """One row. `against` names the row of ours that did what is nearest; `distribution` is what
    pip installs, and `module` what must import."""

    name: str
    distribution: str
    module: str
    against: str
    what: str
    prepare: Prepare


# --- ours ------------------------------------------------------------------------------------


def _keyring() -> Keyring:
    return Keyring.from_value(corpus.keyring(SEED, corpus.PLAIN))


def _file(lines: list[bytes], folder: Path) -> Path:
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def _pithgraph_ingest(lines: list[bytes], kept: Path, workers: int = 0) -> Work:
    path, keyring = _file(lines, kept), _keyring()

    def work(folder: Path) -> int:
        with LogWriter.open(folder / "log") as log:
            return ingest(log, [path], keyring=keyring, workers=workers).appended

    return work


def _valid(lines: Iterable[bytes], keyring: Keyring) -> Iterator[tuple[Event, Facts]]:
    for line in lines:
        event = Event.from_bytes(line)
        facts = establish(event, keyring)
        if judge(event, facts, keyring, "verified").reason is None:
            yield event, facts


def _pithgraph_judge(lines: list[bytes], _: Path) -> Work:
    keyring = _keyring()
    return lambda _: sum(1 for _ in _valid(lines, keyring))


def _pithgraph_replay(lines: list[bytes], kept: Path) -> Work:
    keyring = _keyring()
    with LogWriter.open(kept / "log") as log:
        ingest(log, [_file(lines, kept)], keyring=keyring)

    def work(_: Path) -> int:
        with LogWriter.open(kept / "log") as log:
            return sum(state.valid_event_count for state in replay(log, keyring=keyring))

    return work


# --- another store under our own pipeline ----------------------------------------------------

_SCHEMA: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE events (
        position INTEGER PRIMARY KEY, paper TEXT, sha256 BLOB UNIQUE, canonical BLOB, facts BLOB
    );
    CREATE INDEX by_paper ON events (paper);
"""
_INSERT: Final = (
    "INSERT OR IGNORE INTO events (paper, sha256, canonical, facts) VALUES (?, ?, ?, ?)"
)


def _sqlite(lines: list[bytes], kept: Path) -> Work:
    path, keyring = _file(lines, kept), _keyring()

    def work(folder: Path) -> int:
        database = sqlite3.connect(folder / "log.sqlite")
        database.executescript(_SCHEMA)
        with path.open("rb") as file:
            rows = (
                (event.subject, event.sha256, event.canonical, msgspec.msgpack.encode(facts))
                for event, facts in _valid(file, keyring)
            )
            while batch := list(islice(rows, _BATCH)):
                with database:
                    database.executemany(_INSERT, batch)
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
        database.close()
        return int(count)

    return work


# --- others ----------------------------------------------------------------------------------


def _unsigned(line: bytes) -> Json:
    """What an event says, without our id and signature; a peer has its own."""
    event: Json = json.loads(line)
    return {name: event[name] for name in event if name not in ("event_id", "signature")}


def _signedjson(lines: list[bytes], _: Path) -> Work:
    from signedjson.key import decode_signing_key_base64, get_verify_key
    from signedjson.sign import sign_json, verify_signed_json

    key = decode_signing_key_base64("ed25519", "1", base64.b64encode(_SECRET).decode())
    name, verify_key = "registry.example", get_verify_key(key)
    signed = [json.dumps(sign_json(_unsigned(line), name, key)).encode() for line in lines]

    def work(_: Path) -> int:
        for text in signed:
            verify_signed_json(json.loads(text), name, verify_key)  # raises
        return len(signed)

    return work


def _nostr(lines: list[bytes], _: Path) -> Work:
    import nostr_sdk

    keys = nostr_sdk.Keys.parse(_SECRET.hex())

    def signed(line: bytes) -> str:
        event = _unsigned(line)
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        # A tag of one letter is indexed: this is the look-up by paper.
        tags = [nostr_sdk.Tag.parse(["i", event["subject_pith_number"]])]
        builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(1), text).tags(tags)
        return str(builder.finalize(keys).as_json())

    texts = [signed(line) for line in lines]

    async def store(folder: Path) -> int:
        database = await nostr_sdk.NostrLmdb.open(str(folder))

        async def receive(text: str) -> None:
            event = nostr_sdk.Event.from_json(text)
            if event.verify():
                await database.save_event(event)

        # All at once: what waits together is committed together.
        await asyncio.gather(*map(receive, texts))
        return int(await database.count(nostr_sdk.Filter()))

    return lambda folder: asyncio.run(store(folder))


def _keripy(lines: list[bytes], _: Path) -> Work:
    from keri.core import coring, eventing, parsing
    from keri.db import basing

    try:
        from keri.core.signing import Signer
    except ImportError:  # before 1.2
        from keri.core.coring import Signer

    signer = Signer(raw=_SECRET)

    def message(serder: Any) -> bytes:
        return bytes(eventing.messagize(serder, sigers=[signer.sign(serder.raw, index=0)]))

    serder = eventing.incept(
        keys=[signer.verfer.qb64],
        ndigs=[coring.Diger(ser=_SECRET).qb64],
        code=coring.MtrDex.Blake3_256,
    )
    prefix = serder.pre
    stream = bytearray(message(serder))
    for number, line in enumerate(lines, 1):
        serder = eventing.interact(prefix, serder.said, sn=number, data=[_unsigned(line)])
        stream += message(serder)

    def work(folder: Path) -> int:
        database = basing.Baser(name="peer", headDirPath=str(folder), reopen=True)
        database.env.set_mapsize(_KERI_MAP_BYTES)
        kevery = eventing.Kevery(db=database, lax=True, local=False)
        parsing.Parser(kvy=kevery).parse(ims=bytearray(stream))
        count = int(kevery.kevers[prefix].sn)
        database.close()
        return count

    return work


@functools.cache  # eventsourcing knows a class by its name, and wants no second one
def _paper_class() -> Any:
    from eventsourcing.domain import Aggregate, event

    class Paper(Aggregate):
        @event("First")
        def __init__(self, number: str, said: Json) -> None:
            self.number = number
            self.said = [said]

        @event("Next")
        def say(self, said: Json) -> None:
            self.said.append(said)

        @staticmethod
        def create_id(number: str) -> uuid.UUID:
            return uuid.uuid5(uuid.NAMESPACE_URL, number)

    return Paper


def _eventsourcing(folder: Path) -> Any:
    """An application that keeps its aggregates, one a paper, in SQLite."""
    from eventsourcing.application import Application

    module, path = "eventsourcing.sqlite", str(folder / "log.sqlite")
    return Application({"PERSISTENCE_MODULE": module, "SQLITE_DBNAME": path})


def _append(application: Any, lines: list[bytes]) -> list[Any]:
    """Append, one commit a batch. Gives the ids of the papers."""
    papers: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        said = json.loads(line)
        name = said["subject_pith_number"]
        if name in papers:
            papers[name].say(said=said)
        else:
            papers[name] = _paper_class()(number=name, said=said)
        if number % _BATCH == 0 or number == len(lines):
            application.save(*papers.values())
    return [paper.id for paper in papers.values()]


def _eventsourcing_append(lines: list[bytes], _: Path) -> Work:
    def work(folder: Path) -> int:
        application = _eventsourcing(folder)
        _append(application, lines)
        count = application.recorder.max_notification_id()
        application.close()
        return int(count)

    return work


def _eventsourcing_replay(lines: list[bytes], kept: Path) -> Work:
    application = _eventsourcing(kept)
    papers = _append(application, lines)

    def work(_: Path) -> int:
        return sum(len(application.repository.get(paper).said) for paper in papers)

    return work


# --- the table -------------------------------------------------------------------------------

INGEST, JUDGE, REPLAY = "pithgraph ingest", "pithgraph verdicts", "pithgraph replay"
# Beside `INGEST`: all its peers work in one process, and so their first ratio is to that.
INGEST_2: Final = "pithgraph ingest x2"

PEERS: Final = (
    Peer(
        INGEST, "", "pithgraph", INGEST,
        "decode, canonicalize, verify event and receipt, judge, append to LMDB",
        _pithgraph_ingest,
    ),
    Peer(
        INGEST_2, "", "pithgraph", INGEST,
        "the same with two workers, their start included",
        functools.partial(_pithgraph_ingest, workers=2),
    ),
    Peer(
        "sqlite3", "", "sqlite3", INGEST,
        "the same, but append to SQLite (WAL, synchronous=FULL) with our indexes",
        _sqlite,
    ),
    Peer(
        "nostr-sdk", "nostr-sdk", "nostr_sdk", INGEST,
        "decode, verify (secp256k1 Schnorr), save to its LMDB; no payload rules",
        _nostr,
    ),
    Peer(
        "keripy", "keri", "keri.core.eventing", INGEST,
        "parse, verify (Ed25519), log interaction events in its LMDB; several commits each",
        _keripy,
    ),
    Peer(
        "eventsourcing append", "eventsourcing", "eventsourcing.sqlite", INGEST,
        "decode, append to SQLite; verifies nothing",
        _eventsourcing_append,
    ),
    Peer(
        JUDGE, "", "pithgraph", JUDGE,
        "decode, canonicalize, verify event and receipt, judge; stores nothing",
        _pithgraph_judge,
    ),
    Peer(
        "signedjson", "signedjson", "signedjson.sign", JUDGE,
        "decode, canonicalize, verify the event; no payload rules, stores nothing",
        _signedjson,
    ),
    Peer(
        REPLAY, "", "pithgraph", REPLAY,
        "read all events from LMDB, merge, hash every state",
        _pithgraph_replay,
    ),
    Peer(
        "eventsourcing replay", "eventsourcing", "eventsourcing.sqlite", REPLAY,
        "read all events from SQLite, rebuild every aggregate; hashes nothing",
        _eventsourcing_replay,
    ),
)  # fmt: skip


# What needs no distribution to be there.
_OWN_VERSIONS: Final = {"pithgraph": pithgraph.__version__, "sqlite3": sqlite3.sqlite_version}


# --- the harness -----------------------------------------------------------------------------


def _why_skipped(peer: Peer) -> str | None:
    try:
        import_module(peer.module)
    except ModuleNotFoundError as error:
        return f"not installed: no module {error.name}"
    except (ImportError, OSError, ValueError) as error:
        # As keripy without the system's libsodium: it asks for the package libsodium23 of Debian.
        return f"does not load: {error}"
    return None


def _version(peer: Peer) -> str:
    return _OWN_VERSIONS.get(peer.module) or metadata.version(peer.distribution)


def measure(events: int, repeat: int, scratch: Path) -> list[Json]:
    """One row a peer: what it was, and its µs an event in each repeat, or why it was skipped."""
    lines = list(islice(corpus.lines(-(-events // 2), SEED, corpus.PLAIN), events))
    rows: list[Json] = []
    works: list[tuple[Json, Work]] = []
    for peer in PEERS:
        row: Json = {"peer": peer.name, "what": peer.what, "against": peer.against}
        rows.append(row)
        if skipped := _why_skipped(peer):
            row["skipped"] = skipped
            continue
        row |= {"version": _version(peer), "events": events, "us_per_event": []}
        kept = Path(tempfile.mkdtemp(dir=scratch))
        works.append((row, peer.prepare(lines, kept)))
    for _ in range(repeat):
        for row, work in works:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                gc.collect()
                start = time.perf_counter()
                done = work(Path(folder))
                seconds = time.perf_counter() - start
            if done != events:
                raise click.ClickException(f"{row['peer']} did {done} of {events} events")
            row["us_per_event"].append(round(seconds / events * 1e6, 2))
    return rows


def _table(rows: list[Json]) -> list[str]:
    median = {
        row["peer"]: statistics.median(row["us_per_event"]) for row in rows if "version" in row
    }
    heads = f"{'events':>8}{'median':>10}{'min':>10}{'max':>10}{'ratio':>8}{'of x2':>8}"
    text = [f"{'peer':32}{heads}  what"]
    for row in rows:
        if "skipped" in row:
            text.append(f"{row['peer']:32}skipped: {row['skipped']}")
            continue
        name, times = row["peer"], row["us_per_event"]
        ratio = median[name] / median[row["against"]]
        of_two = f"{median[name] / median[INGEST_2]:.2f}" if row["against"] == INGEST else ""
        label = f"{name} {row['version']}"
        text.append(
            f"{label:32}{row['events']:8}{median[name]:10.1f}{min(times):10.1f}{max(times):10.1f}"
            f"{ratio:8.2f}{of_two:>8}  {row['what']}"
        )
    return text


@click.command()
@click.option("--events", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_path", metavar="FILE", help="Write all times to FILE too.")
def command(events: int, repeat: int, json_path: str | None) -> None:
    """Measure what others do with as many events of the same texts, by turns in one run.

    What is not installed is skipped. TMPDIR names the disk.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(events, repeat, Path(scratch))
    click.echo(
        f"µs an event over {repeat} repeats; ratio of medians to the row of pithgraph above, "
        "and to its ingest with two workers. "
        f"Python {platform.python_version()}; pithgraph verifies with {backend()}."
    )
    click.echo("\n".join(_table(rows)))
    if json_path is not None:
        head = {"python": platform.python_version(), "backend": backend(), "repeat": repeat}
        document = {**head, "peers": rows}
        Path(json_path).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
