"""Sources to audits: read, audited here or by worker processes, in the order of the input.

What lives here: one piece's audit, and who makes it. What must not: reading files (`sources`), any
check (`audit`), printing: what becomes of an audited document is handed in, and done where the
document was audited, so that little has to come back.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final, NamedTuple, TypeVar

from pithgraph.audit import Finding, audit_bytes, audit_value
from pithgraph.audit.checkpoint import VerifierKeys, signed_checkpoints
from pithgraph.audit.sightings import Checked, sightings
from pithgraph.canonical import decode
from pithgraph.checkpoints import text_document
from pithgraph.errors import DecodeError, Refused
from pithgraph.keyring import Keyring
from pithgraph.pool import Pool
from pithgraph.sources import Lines, Piece, Unreadable
from pithgraph.workers import Parcel, parcels_of, worth_workers

UNREADABLE: Final = "unreadable"
LINES_AT_ONCE: Final = 2_000
_ADVICE: Final = (
    "what was printed is true, and is not all: audit again, or with fewer --workers, or with none "
    "(--workers 0)"
)

Result = TypeVar("Result")


class Auditor(NamedTuple):
    """Audits pieces under a keyring and the verifier keys of logs; `sees` asks for sightings too.
    It can be handed to another process."""

    keyring: Keyring
    verifier_keys: VerifierKeys = ()
    sees: bool = False

    def checked(self, piece: Piece | Unreadable) -> Checked:
        """The audit of one piece. What cannot be read, or is no document, is `unreadable`, with
        the one check `readable`, which failed."""
        place = piece.source if piece.line is None else f"{piece.source}:{piece.line}"
        if isinstance(piece, Unreadable):
            return _unreadable(place, f"{piece.reason}: {piece.detail}")
        try:
            return self._audited(place, piece.data)
        except (DecodeError, Refused) as error:
            return _unreadable(place, str(error))

    def _audited(self, place: str, data: bytes) -> Checked:
        if text_document(data) is not None:
            audited = audit_bytes(data, self.keyring, self.verifier_keys, max_bytes=len(data))
            signed = signed_checkpoints(audited.document, data, self.verifier_keys)
            return Checked(place, *audited, (), signed)
        value = decode(data, max_bytes=len(data))
        audited = audit_value(value, self.keyring, self.verifier_keys)
        seen = sightings(value, audited) if self.sees else ()
        signed = signed_checkpoints(audited.document, value, self.verifier_keys)
        return Checked(place, *audited, seen, signed)


def audited_by(
    workers: int,
    pieces: Iterable[Piece | Lines | Unreadable],
    auditor: Auditor,
    finish: Callable[[Checked], Result],
) -> Generator[Result, None, None]:
    """What `finish` makes of each audited piece, in their order, by so many worker processes, or by
    this one: an input of few megabytes is not worth starting any. For workers `finish` must be
    a function of a module, or a `partial` of one. Raises WorkerError."""
    worth, parcels = worth_workers(workers, _short_parcels(pieces) if workers else _alone(pieces))
    if not worth:
        for parcel in parcels:
            yield from _finished(auditor, finish, parcel)
        return
    with Pool(workers, _begin, (auditor, finish), _ADVICE) as pool:
        for results in pool.map(_audit, parcels):
            yield from results


def _alone(pieces: Iterable[Piece | Lines | Unreadable]) -> Iterator[Parcel]:
    """Each by itself, so that nothing waits for what comes after it."""
    return ([piece] for piece in pieces)


def _short_parcels(pieces: Iterable[Piece | Lines | Unreadable]) -> Iterator[Parcel]:
    """Parcels of so few lines that their answers are small, however short the lines are."""
    for parcel in parcels_of(pieces):
        short: Parcel = []
        count = 0
        for part in chain.from_iterable(map(_parts, parcel)):
            short.append(part)
            count += part.data.count(b"\n") if isinstance(part, Lines) else 1
            if count >= LINES_AT_ONCE:
                yield short
                short, count = [], 0
        if short:
            yield short


def _parts(found: Piece | Lines | Unreadable) -> Iterator[Piece | Lines | Unreadable]:
    if not isinstance(found, Lines) or found.data.count(b"\n") <= LINES_AT_ONCE:
        yield found
        return
    stream = io.BytesIO(found.data)
    number = found.first_line
    while lines := [*islice(stream, LINES_AT_ONCE)]:
        yield Lines(found.source, number, b"".join(lines))
        number += len(lines)


def _finished(
    auditor: Auditor, finish: Callable[[Checked], Result], parcel: Parcel
) -> Iterator[Result]:
    for found in parcel:
        for piece in found.pieces() if isinstance(found, Lines) else (found,):
            yield finish(auditor.checked(piece))


def _unreadable(place: str, detail: str) -> Checked:
    return Checked(place, UNREADABLE, (Finding("readable", "fail", detail),))


# --- in a worker -----------------------------------------------------------------------------

_given: tuple[Auditor, Callable[[Checked], Any]]


def _begin(auditor: Auditor, finish: Callable[[Checked], Any]) -> None:
    global _given
    _given = auditor, finish


def _audit(parcel: Parcel) -> list[Any]:
    return list(_finished(*_given, parcel))
