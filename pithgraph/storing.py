"""What a storage attestation is about: the SHA-256 of a file, or of a record inside a WARC.

What lives here: reading such files, as streams. What must not: whether an event counts.
A WARC (ISO 28500) is read by warcio, which the extra `warc` brings.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple

from pithgraph.errors import StorageError
from pithgraph.sources import opened

FILE: Final = "file"
BLOCK: Final = "block"
PAYLOAD: Final = "payload"
_BYTES_AT_ONCE: Final = 1 << 20
_WARC_NAMES: Final = (".warc", ".warc.gz")


class Stored(NamedTuple):
    """Some bytes and their SHA-256 (hex): a whole `file`, or of a WARC record what follows its own
    header (its `block`), or that without the header of the HTTP message in it (its `payload`).
    `uri` is the record's target."""

    what: str
    uri: str | None
    sha256: str


def stored_in(path: str | os.PathLike[str]) -> Iterator[Stored]:
    """The digest of a file, and of each record where its name is that of a WARC. Raises
    StorageError naming the file."""
    try:
        with opened(path) as file:
            yield Stored(FILE, None, _digest(file))
            if os.fspath(path).lower().endswith(_WARC_NAMES):
                file.seek(0)
                yield from _records(path, file)
    except OSError as error:
        raise StorageError(f"{os.fspath(path)}: {error.strerror or error}") from None


def _records(path: str | os.PathLike[str], file: Any) -> Iterator[Stored]:
    warcio = _warcio()
    records = warcio.archiveiterator.ArchiveIterator(file, no_record_parse=True)
    try:
        for record in records:
            uri = record.rec_headers.get_header("WARC-Target-URI")
            whole, payload, count = hashlib.sha256(), None, 0
            is_http = record.rec_type in ("response", "request", "revisit")
            head = b""
            while part := record.raw_stream.read(_BYTES_AT_ONCE):
                whole.update(part)
                count += len(part)
                if payload is not None:
                    payload.update(part)
                elif is_http:
                    head += part
                    end = head.find(b"\r\n\r\n")
                    if end >= 0:
                        payload = hashlib.sha256(head[end + 4 :])
                        head = b""
                    elif len(head) > _BYTES_AT_ONCE:
                        is_http, head = False, b""  # no header of a message is so long
            if record.rec_headers.get_header("Content-Length") != str(count):
                named = f"of {uri}" if uri else "without an address"
                raise ValueError(f"the record {named} was cut")
            yield Stored(BLOCK, uri, whole.hexdigest())
            if payload is not None:
                yield Stored(PAYLOAD, uri, payload.hexdigest())
    except (warcio.exceptions.ArchiveLoadFailed, EOFError, ValueError) as error:
        raise StorageError(f"{os.fspath(path)}: no WARC file: {error}") from None


def _digest(file: Any) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _warcio() -> Any:
    try:
        import_module("warcio.archiveiterator")
        import_module("warcio.exceptions")
        return import_module("warcio")
    except ImportError:
        raise StorageError(
            "WARC files need the package warcio, which comes with pithgraph's extra `warc`: "
            "pip install warcio"
        ) from None
