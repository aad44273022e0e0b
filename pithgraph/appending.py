"""A new event beside a log: what it would contradict there, what it follows, and appending it.

What lives here: finding a key's other events in a log. What must not: making events (`authoring`),
and what is a contradiction (`vetting`).
"""

from __future__ import annotations

from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.identifiers import PithNumber, parse_pith_number
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter
from pithgraph.merging import judged_of_key
from pithgraph.sources import Piece, load_keyring
from pithgraph.vetting import check_beside, check_valid, last_event


def check_new_event(
    event: Event, *, keyring: Keyring | None = None, log: Log | None = None
) -> None:
    """Raise SigningRefused for an event that would not count, or only harm its signer.

    That is one that is invalid under the keyring, or that the log has already, or that would be an
    equivocation with an event of the log (SPEC §6, §7).
    """
    keyring = keyring or load_keyring()
    check_valid(event, keyring)
    if log is None:
        return
    paper, fingerprint = parse_pith_number(event.subject), event.signer.public_key_fingerprint
    with log.snapshot() as snapshot:
        check_beside(event, judged_of_key(snapshot, paper, fingerprint, keyring))


def previous_event(
    log: Log, paper: PithNumber, fingerprint: str, *, keyring: Keyring | None = None
) -> Event | None:
    """The last valid event of a key about a paper that the log holds.

    It is what the key's next one names as previous_event_id.
    """
    with log.snapshot() as snapshot:
        others = judged_of_key(snapshot, paper, fingerprint, keyring or load_keyring())
        return last_event(others)


def append_event(log: LogWriter, event: Event, *, keyring: Keyring | None = None) -> int:
    """Check a new event beside a log as it is now, append it, and give its position.

    Raises SigningRefused as `check_new_event`, and LogError.
    """
    keyring = keyring or load_keyring()
    check_new_event(event, keyring=keyring, log=log)
    done = ingest_pieces(log, [Piece("a new event", None, event.canonical)], keyring=keyring)
    if done.appended != 1:
        raise LogError(f"{log.path}: the event was not appended: {done.refusals}")
    return done.position - 1
