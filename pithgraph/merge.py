"""The deterministic merge: judged events and alias rows to the state of one paper (SPEC §7).

What lives here: the state document, its aliases and its hashes. What must not: which events count
(`resolution`), verdicts (`validation`), storage, and views that no hash covers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from pithgraph.canonical import decode, digest, encode, join_object
from pithgraph.errors import LogError
from pithgraph.events import Event
from pithgraph.identifiers import alias_time, check_time, derive_aliases, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.kinds import KINDS, LIST_BUCKETS, RECORD_CREATED, RecordCreated
from pithgraph.ordinary import Buffer, state_row
from pithgraph.resolution import Equivocation, Valid, resolve
from pithgraph.validation import Assurance, Judged, Verdict, check_assurance, establish, judge

MERGE_VERSION: Final = "pith-open-graph-merge-v1"
STATE_TYPE: Final = "pith_open_graph_state"
STATE_VERSION: Final = "1.0"


class PaperAlias(NamedTuple):
    """An alias row of the paper that is merged; `created_at` as it came (SPEC §4)."""

    kind: str
    value: str
    created_at: str


class InvalidEvent(NamedTuple):
    """One row of `invalid_events`, and beside it what the reason is about."""

    event_id: str | None
    event_sha256: str
    reason: str
    detail: str

    @property
    def canonical(self) -> bytes:
        """The row's canonical bytes; `detail` is not in it."""
        return encode({name: getattr(self, name) for name in self._fields if name != "detail"})


class State(Struct, frozen=True, dict=True):
    """The state of one paper, and what it was computed under.

    `hashed` is the state document's canonical bytes without `state_sha256`: what that hash covers.
    `keyring_sha256`, `assurance`, `applied_as_stated` and the details of `invalid_events` stand
    beside the document, never in it.
    """

    pith_number: str
    state_sha256: str
    keyring_sha256: str
    assurance: Assurance
    event_count: int
    valid_event_count: int
    invalid_event_count: int
    equivocation_count: int
    applied_as_stated: int
    equivocations: tuple[Equivocation, ...]
    invalid_events: tuple[InvalidEvent, ...]
    hashed: bytes

    @property
    def canonical(self) -> bytes:
        """The state document's canonical bytes, `state_sha256` included; new ones at every call."""
        end = len(_END % self.valid_event_count)
        own = b'","state_sha256":"%b' % self.state_sha256.encode()
        return b"".join((memoryview(self.hashed)[:-end], own, memoryview(self.hashed)[-end:]))

    @property
    def document(self) -> dict[str, Any]:
        """The state document as a decoded value; a new one at every call. Raises LogError where it
        was made of damaged rows, which are joined as they are."""
        try:
            document: dict[str, Any] = json.loads(self.canonical)
        except ValueError as error:
            raise self._damaged(error) from None
        return document

    @functools.cached_property
    def core_sha256(self) -> str:
        """What two mirrors that were handed different junk or alias dates agree in (SPEC §7, 7).
        Raises LogError as `document` does."""
        try:
            members = _MEMBERS.decode(self.hashed)
            current = _MEMBERS.decode(members["current"])
        except (ValueError, KeyError) as error:  # msgspec's are among these
            raise self._damaged(error) from None
        del current["source_aliases"]
        core = {name: bytes(members[name]) for name in _CORE_MEMBERS}
        core["current"] = join_object({name: bytes(raw) for name, raw in current.items()})
        return digest(join_object(core))

    def _damaged(self, error: Exception) -> LogError:
        return LogError(
            f"the state of {self.pith_number} is no JSON, so a row that the log holds about it is "
            f"damaged ({error}): see `pithgraph fsck`, or restore the log from a backup"
        )


def merge_events(
    pith_number: str,
    events: Iterable[Event],
    aliases: Iterable[PaperAlias],
    keyring: Keyring,
    assurance: Assurance = "verified",
    as_of: str | None = None,
) -> State:
    """Establish, judge and merge the events of one paper, from scratch (SPEC §6, §7).

    Events whose subject is another paper take no part. `as_of` is as in `merge`. Raises
    IdentifierError for an `as_of` that is no timestamp, ValueError for an assurance that is none.

    >>> import pithgraph
    >>> from pithgraph.testing import World
    >>> world = World()
    >>> events = [world.sign("record_created"), world.invalid("bad_signature")]
    >>> state = pithgraph.merge_events(world.paper.number, events, [], world.keyring)
    >>> state.valid_event_count, [row.reason for row in state.invalid_events]
    (1, ['bad_signature'])
    """
    check_assurance(assurance)
    if as_of is not None:
        check_time(as_of)
    judged = (
        Judged(event, judge(event, establish(event, keyring), keyring, assurance))
        for event in events
        if event.subject == pith_number
    )
    return merge(pith_number, judged, aliases, keyring.sha256, assurance, as_of)


def merge(
    pith_number: str,
    judged: Iterable[Judged],
    aliases: Iterable[PaperAlias],
    keyring_sha256: str,
    assurance: Assurance,
    as_of: str | None = None,
) -> State:
    """The state of one paper (SPEC §7), byte for byte the same in whatever order its events and
    alias rows come, however often.

    All of `judged` must be about this paper and judged under the keyring and assurance named.
    `as_of` is a §5 timestamp: later events and rows, and events without a timestamp, are left out.
    """
    if as_of is not None:
        judged = (one for one in judged if (at := one.event.timestamp) is not None and at <= as_of)
    resolution = resolve(judged)
    valid, invalid, equivocations = resolution[:3]
    applied = resolution.applied
    record = canonical_record_of(valid.values())
    invalid_rows = [_invalid_row(digest_, *invalid[digest_]) for digest_ in sorted(invalid)]
    rows: dict[str, list[Buffer]] = {}
    for one in applied:
        rows.setdefault(KINDS[one.view.event_type].bucket, []).append(state_row(one.event))
    hashed = _document(
        pith_number,
        [b'"%b"' % one.event_id.encode() for one in applied],
        rows,
        record,
        _source_aliases(pith_number, record, aliases, as_of),
        len(valid),
        _counts(len(valid), equivocations, invalid_rows),
    )
    return State(
        pith_number,
        digest(hashed),
        keyring_sha256,
        assurance,
        len(valid) + len(invalid),
        len(valid),
        len(invalid),
        len(equivocations),
        sum(one.stated for one in applied),
        tuple(equivocations),
        tuple(invalid_rows),
        hashed,
    )


def merge_ordinary(
    pith_number: str,
    event_ids: list[bytes],
    rows: Mapping[str, list[Buffer]],
    record: bytes | None,
    aliases: Collection[PaperAlias],
    keyring_sha256: str,
    assurance: Assurance,
) -> State:
    """What `merge` gives for a paper all of whose events are valid, verified, and each alone in its
    slot and in following the event that it names: all are applied, as they are.

    `rows` are their rows by bucket (`ordinary`), `event_ids` their ids with quotation marks around
    them, both in the applied order; `record` is the canonical record, if there is one.
    """
    count = len(event_ids)
    source_aliases = _source_aliases(pith_number, record, aliases, None) if aliases else b"[]"
    hashed = _document(
        pith_number, event_ids, rows, record, source_aliases, count, _counts_of_valid(count)
    )
    sha256 = digest(hashed)
    return State(
        pith_number, sha256, keyring_sha256, assurance, count, count, 0, 0, 0, (), (), hashed
    )


def _document(
    pith_number: str,
    event_ids: list[bytes],
    rows: Mapping[str, list[Buffer]],
    record: bytes | None,
    source_aliases: bytes,
    valid: int,
    counts: bytes,
) -> bytes:
    """SPEC §7, 5: the canonical bytes of a state document without `state_sha256`. Since this runs
    once a paper, what stands between the values is made once for each set of buckets."""
    values: dict[str, Sequence[Buffer]] = {
        **rows,
        "canonical_record": (record or b"null",),
        RECORD_CREATED: rows[RECORD_CREATED][:1] if RECORD_CREATED in rows else (b"null",),
        "source_aliases": (source_aliases,),
    }
    members, end = _current_of(tuple(rows))
    pieces: list[Buffer] = [b'{"applied_event_ids":[', b",".join(event_ids)]
    for before, name in members:
        pieces.append(before)
        found = values[name]
        if len(found) == 1:
            pieces.append(found[0])
        else:  # joined with all else at once: the rows of a hot paper are copied once
            with_commas: list[Buffer] = [b","] * (2 * len(found) - 1)
            with_commas[::2] = found
            pieces += with_commas
    pieces += end, counts, pith_number.encode(), _END % valid
    return b"".join(pieces)


@functools.lru_cache(maxsize=1024)
def _current_of(buckets: tuple[str, ...]) -> tuple[tuple[tuple[bytes, str], ...], bytes]:
    """The members of `current` that are not empty lists, each after the text that stands before its
    value, and the text behind the last. `buckets` are those that have rows."""
    before = b'],"current":{'
    members = []
    for name in sorted((*LIST_BUCKETS, RECORD_CREATED, "canonical_record", "source_aliases")):
        before += b'"%b":' % name.encode()
        if name not in LIST_BUCKETS:
            members.append((before, name))
            before = b","
        elif name in buckets:
            members.append((before + b"[", name))
            before = b"],"
        else:
            before += b"[],"
    return tuple(members), before.removesuffix(b",")


# How a state document ends, behind `state_sha256`.
_END: Final = b'","state_type":"%b","state_version":"%b","valid_event_count":%%d}' % (
    STATE_TYPE.encode(),
    STATE_VERSION.encode(),
)


def _counts(
    valid: int, equivocations: Sequence[Equivocation], invalid: Sequence[InvalidEvent]
) -> bytes:
    """What stands between `current` and the Pith Number."""
    if not equivocations and not invalid:
        return _counts_of_valid(valid)
    return _COUNTS % (
        len(equivocations),
        b",".join([row.canonical for row in equivocations]),
        valid + len(invalid),
        len(invalid),
        b",".join([row.canonical for row in invalid]),
    )


@functools.lru_cache(maxsize=1024)  # most papers have few events, and nothing else
def _counts_of_valid(valid: int) -> bytes:
    return _COUNTS % (0, b"", valid, 0, b"")


_COUNTS: Final = (
    b'},"equivocation_count":%%d,"equivocations":[%%b],'
    b'"event_count":%%d,"invalid_event_count":%%d,"invalid_events":[%%b],'
    b'"merge_version":"%b","pith_number":"' % MERGE_VERSION.encode()
)


def digest_of_state(document: dict[str, Any]) -> str:
    """The state_sha256 that a decoded state document ought to have (SPEC §7, 5)."""
    return digest(encode({name: document[name] for name in document if name != "state_sha256"}))


def core_of_state(document: Mapping[str, Any]) -> str:
    """The core_sha256 that a decoded state document has (SPEC §7, 7)."""
    current = {name: document["current"][name] for name in document["current"]}
    current.pop("source_aliases", None)
    return digest(encode({name: document[name] for name in _CORE_MEMBERS} | {"current": current}))


_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
# SPEC §7, 7; `current` is added without its source_aliases.
_CORE_MEMBERS: Final = ("applied_event_ids", "equivocations", "merge_version", "pith_number")


def _invalid_row(sha256: bytes, event: Event, verdict: Verdict) -> InvalidEvent:
    assert verdict.reason is not None
    return InvalidEvent(event.event_id, sha256.hex(), verdict.reason, verdict.detail)


def canonical_record_of(valid: Iterable[Valid]) -> bytes | None:
    """SPEC §7, 3: the record of any valid record_created; all of them hash to the subject."""
    for one in valid:
        if one.view.event_type == RECORD_CREATED:
            payload = msgspec.json.decode(one.view.payload, type=RecordCreated)
            return bytes(payload.canonical_record)
    return None


def _source_aliases(
    pith_number: str,
    record: bytes | None,
    aliases: Iterable[PaperAlias],
    as_of: str | None,
) -> bytes:
    """SPEC §7, 4: the derivable aliases for which a row exists, each with its earliest time."""
    earliest: dict[tuple[str, str], str] = {}
    for alias in aliases:
        time = alias_time(alias.created_at)
        if time is None or (as_of is not None and time > as_of):
            continue
        name = alias.kind, alias.value
        if name not in earliest or time < earliest[name]:
            earliest[name] = time
    derivable = derive_aliases(parse_pith_number(pith_number), record and decode(record))
    return encode(
        [
            {"alias_kind": a.kind, "alias_value": a.value, "created_at": earliest[a]}
            for a in derivable
            if a in earliest
        ]
    )
