"""What ingest cannot be faster than, and what somebody would write instead of it.

What lives here: the bare verifications of a corpus, alone and side by side, and the naive script.
What must not: pithgraph's own rules; what is measured here uses nothing of pithgraph.
"""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache, partial
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import lmdb
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benchmarks import corpus
from benchmarks.measure import Run, Sample
from benchmarks.workloads_given import SEED, Given, expect, per_event, seconds_of, source_of

# The naive script is slow: so many events tell its cost.
_NAIVE_EVENTS: Final = 2000
_SIDE_BY_SIDE: Final = 2
# How many seconds one process waits until the other is ready, or has failed.
_PATIENCE: Final = 600

# --- the limit -------------------------------------------------------------------------------


class Work(NamedTuple):
    """Calls that raise unless a signature verifies, each with its two arguments, the canonical
    bytes of the events, and their lines as they come."""

    checks: list[tuple[Callable[[bytes, bytes], object], bytes, bytes]]
    texts: list[bytes]
    lines: list[bytes]


def do(work: Work) -> None:
    """Nothing but the verifications, and one SHA-256 an event."""
    for check, first, second in work.checks:
        check(first, second)
    sha256 = hashlib.sha256
    for text in work.texts:
        sha256(text).digest()


def do_barely(work: Work) -> None:
    """Besides, what no ingest can do without, by the fastest calls there are: each line decoded and
    encoded in canonical form, and a second SHA-256 for its id. Nothing is judged or stored."""
    do(work)
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder(order="sorted").encode
    sha256 = hashlib.sha256
    for line in work.lines:
        sha256(encode(decode(line))).digest()


@cache
def work_of(path: Path, backend: str, first: int, end: int) -> Work:
    """What ingest must verify of some lines of a corpus without faults."""
    public_keys = _public_keys()
    triples: list[tuple[bytes, bytes, bytes]] = []
    texts, lines = [], []
    with path.open("rb") as file:
        for line in islice(file, first, end):
            event = json.loads(line)
            texts.append(_canonical(event))
            lines.append(line)
            said = bytes.fromhex(event["event_id"].removeprefix("sha256:"))
            triples.append((*_signed(event["signer"], event["signature"], public_keys), said))
            if receipt := event["payload"].get("receipt"):
                said = bytes.fromhex(receipt["canonical_sha256"])
                triples.append((*_signed(receipt, receipt, public_keys), said))
    return Work(_BARE[backend](triples), texts, lines)


def _signed(
    signer: dict[str, Any], signature: dict[str, Any], public_keys: dict[str, bytes]
) -> tuple[bytes, bytes]:
    raw = base64.b64decode(signature["signature_b64"])
    return public_keys[signer["public_key_fingerprint"]], raw


def _public_keys() -> dict[str, bytes]:
    return {
        entry["public_key_fingerprint"]: base64.b64decode(entry["public_key_b64"])
        for entry in corpus.keyring(SEED)["keys"]
    }


def _with_cryptography(triples: list[tuple[bytes, bytes, bytes]]) -> list[Any]:
    verify = cache(lambda key: Ed25519PublicKey.from_public_bytes(key).verify)
    return [(verify(key), signature, message) for key, signature, message in triples]


def _with_pynacl(triples: list[tuple[bytes, bytes, bytes]]) -> list[Any]:
    from nacl.bindings import crypto_sign_open

    return [(crypto_sign_open, signature + message, key) for key, signature, message in triples]


_BARE: Final = {"cryptography": _with_cryptography, "pynacl": _with_pynacl}


def limit(given: Given, *, backend: str, barely: bool = False) -> Run:
    work = work_of(given.once(source_of, "plain").path, backend, 0, given.events)
    job = do_barely if barely else do
    return lambda: per_event(seconds_of(lambda: job(work)), given.events)


# --- two limits side by side -----------------------------------------------------------------

_started: Barrier


def _start(barrier: Barrier) -> None:
    """In a new process: keep what lets all begin at once."""
    global _started
    _started = barrier


def _do_part(path: Path, backend: str, first: int, end: int) -> float:
    """In a process of its own: the seconds of one part, begun when all others begin."""
    work = work_of(path, backend, first, end)
    _started.wait(_PATIENCE)
    return seconds_of(lambda: do(work))


def _executor_of(given: Given) -> Executor:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(_SIDE_BY_SIDE)
    return given.stack.enter_context(
        ProcessPoolExecutor(_SIDE_BY_SIDE, context, initializer=_start, initargs=(barrier,))
    )


def limit_side_by_side(given: Given, *, backend: str) -> Run:
    executor = given.once(_executor_of)
    work = partial(_do_part, given.once(source_of, "plain").path, backend)
    # Whole papers, whose first event has two signatures.
    half = given.events // 4 * 2

    def run() -> Sample:
        # Each process waits for the other, so none of them can take two parts.
        return per_event(max(executor.map(work, (0, half), (half, given.events))), given.events)

    run()  # they load their parts
    return run


# --- the naive script ------------------------------------------------------------------------


def naive(given: Given, **_: object) -> Run:
    source = given.once(source_of, "plain")
    events = min(source.lines, _NAIVE_EVENTS)

    def run() -> Sample:
        with given.empty_folder() as folder:
            start = perf_counter()
            stored = _naive_script(source.path, events, folder)
            seconds = perf_counter() - start
        expect("stored by the naive script", stored, events)
        return per_event(seconds, events)

    return run


def _naive_script(path: Path, events: int, folder: Path) -> int:
    """The simplest correct thing: it stops at the first event that is not valid."""
    keys = {
        fingerprint: Ed25519PublicKey.from_public_bytes(key)
        for fingerprint, key in _public_keys().items()
    }
    with lmdb.open(str(folder), map_size=2**30, max_dbs=2) as environment:
        by_digest = environment.open_db(b"by_digest")
        by_paper = environment.open_db(b"by_paper")
        with path.open("rb") as file:
            for line in islice(file, events):
                event = json.loads(line)
                _check(event, keys)
                text = _canonical(event)
                digest = hashlib.sha256(text).digest()
                place = f"{event['subject_pith_number']} {event['created_at']} ".encode()
                with environment.begin(write=True) as transaction:
                    if transaction.put(digest, text, overwrite=False, db=by_digest):
                        transaction.put(place + digest, b"", db=by_paper)
        with environment.begin() as transaction:
            return int(transaction.stat(by_digest)["entries"])


def _check(event: dict[str, Any], keys: dict[str, Ed25519PublicKey]) -> None:
    """Raise unless the id recomputes, and the signatures verify."""
    body = {name: event[name] for name in event if name not in ("event_id", "signature")}
    said = hashlib.sha256(_canonical(body))
    expect("event_id", event["event_id"], f"sha256:{said.hexdigest()}")
    signature = base64.b64decode(event["signature"]["signature_b64"])
    keys[event["signer"]["public_key_fingerprint"]].verify(signature, said.digest())
    if event["event_type"] == "record_created":
        record = hashlib.sha256(_canonical(event["payload"]["canonical_record"]))
        receipt = event["payload"]["receipt"]
        expect("canonical_sha256", receipt["canonical_sha256"], record.hexdigest())
        signature = base64.b64decode(receipt["signature_b64"])
        keys[receipt["public_key_fingerprint"]].verify(signature, record.digest())


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
