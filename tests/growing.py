"""One paper's valid events by one key, as many as are wanted, in the shapes that a merge takes each
in its own way.

What lives here: the shapes, and what each comes to. What must not: how many there are, and what is
done with them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from signing import READER, Json, payload_of, signed_event, some_id, stencilled

_FIRST: Final = datetime.datetime(2026, 6, 1)
_ONE_SECOND: Final = "2026-06-01T00:00:01Z"
_OWN_SECOND: Final = "%(time)b"
_ONE_TARGET: Final = "replication:one"
_OWN_TARGET: Final = "replication:%(number)b"
_ONE_ID: Final = some_id("a previous event")
_OWN_ID: Final = "sha256:%(previous)b"


class Shape(NamedTuple):
    """What so many events have in common, and what becomes of them."""

    members: Json
    is_applied: bool
    equivocations: int

    def lines(self, count: int, sign: Callable[[bytes], bytes] | None = None) -> Iterator[bytes]:
        """So many events in canonical form; they differ in their payloads, at least."""
        payload = payload_of("replication_record") | {"uri": "https://lab.example/%(number)b"}
        event = signed_event("replication_record", payload=payload, **self.members)
        return stencilled(event, READER, map(_fill, range(count)), sign)


def _fill(number: int) -> dict[bytes, bytes]:
    time = _FIRST + datetime.timedelta(seconds=number)
    return {
        b"number": b"%d" % number,
        b"previous": b"%08x%056x" % (number, number),  # a log tells links by their first 8 bytes
        b"time": time.strftime("%Y-%m-%dT%H:%M:%SZ").encode(),
    }


SHAPES: Final = {
    "one slot": Shape({"created_at": _ONE_SECOND, "target": _ONE_TARGET}, False, 1),
    "slots of one second": Shape({"created_at": _ONE_SECOND, "target": _OWN_TARGET}, True, 0),
    "links": Shape({"created_at": _OWN_SECOND, "previous_event_id": _OWN_ID}, True, 0),
    "a fork": Shape({"created_at": _OWN_SECOND, "previous_event_id": _ONE_ID}, True, 1),
}
