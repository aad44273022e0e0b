"""Stored files and WARC records against storage attestations."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Done
from pithgraph import storing
from pithgraph.errors import StorageError
from pithgraph.storing import BLOCK, FILE, PAYLOAD, Stored, stored_in
from signing import PAPER, READER, canonical, keyring_value, payload_of, signed_event

Run = Callable[..., Done]
BODY = b"%PDF-1.7 a paper\r\n\r\nwith an empty line in it"
MESSAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n" + BODY
URI = "https://archive.example/paper.pdf"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def warc_record(kind: str, block: bytes, uri: str = URI) -> bytes:
    """A record as ISO 28500 has it."""
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\n"
        "WARC-Date: 2026-06-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


@pytest.mark.parametrize("name", ["a.warc", "a.WARC.gz"])
def test_the_records_of_a_warc(tmp_path: Path, name: str) -> None:
    pytest.importorskip("warcio")
    other = bytes(3 << 20)
    records = [warc_record("response", MESSAGE), warc_record("resource", other, URI + "?2")]
    data = b"".join(map(gzip.compress, records) if name.endswith("gz") else records)
    (tmp_path / name).write_bytes(data)
    assert [*stored_in(tmp_path / name)] == [
        Stored(FILE, None, sha256(data)),
        Stored(BLOCK, URI, sha256(MESSAGE)),
        Stored(PAYLOAD, URI, sha256(BODY)),
        Stored(BLOCK, URI + "?2", sha256(other)),
    ]


def test_a_message_without_an_end_of_its_header_has_no_payload(tmp_path: Path) -> None:
    pytest.importorskip("warcio")
    block = b"HTTP/1.1 200 OK\r\n" + b"x" * (3 << 20)
    (tmp_path / "a.warc").write_bytes(warc_record("response", block))
    assert [one.what for one in stored_in(tmp_path / "a.warc")] == [FILE, BLOCK]


@pytest.mark.parametrize(
    "data", [b"no warc", b"WARC/1.0\r\n", warc_record("response", MESSAGE)[:-40], b"\x00" * 99]
)
def test_what_is_no_warc(tmp_path: Path, data: bytes) -> None:
    pytest.importorskip("warcio")
    (tmp_path / "a.warc").write_bytes(data)
    found = stored_in(tmp_path / "a.warc")
    assert next(found) == Stored(FILE, None, sha256(data))
    with pytest.raises(StorageError, match=r"a\.warc: no WARC file"):
        list(found)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(storing, "import_module", gone)
    (tmp_path / "a.warc").write_bytes(b"")
    with pytest.raises(StorageError, match="pip install warcio"):
        list(stored_in(tmp_path / "a.warc"))


def test_the_verb(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(BODY)
    payload = payload_of("storage_attestation") | {"content_sha256": sha256(BODY), "uri": URI}
    event = signed_event("storage_attestation", READER, payload=payload, target=f"storage:{URI}")
    (tmp_path / "e.json").write_bytes(canonical(event))
    (tmp_path / "ring.json").write_bytes(canonical(keyring_value()))
    log = ("--log", tmp_path / "log", "--keyring", tmp_path / "ring.json")
    assert run("ingest", *log, tmp_path / "e.json").code == 0
    (row,) = run("storage", "check", path, PAPER.number, *log, "--json").rows
    assert row == {
        "what": FILE,
        "uri": None,
        "sha256": sha256(BODY),
        "attested_by": [event["event_id"]],
    }
    assert (
        f"attested by {event['event_id']}" in run("storage", "check", path, PAPER.number, *log).out
    )
    assert run("storage", "check", path).code == 0
    assert run("storage", "check", path, "--sha256", sha256(BODY)).code == 0
    assert run("storage", "check", path, "--sha256", "00" * 32).code == 1
    path.write_bytes(BODY + b"x")
    assert run("storage", "check", path, PAPER.number, *log).code == 1
    assert run("storage", "check", path, "--sha256", "00").code == 2
    assert run("storage", "check", path, PAPER.number).code == 2
    assert run("storage", "check", tmp_path / "none").code == 3
