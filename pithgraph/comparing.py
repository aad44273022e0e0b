"""State documents of another implementation, held against the expected bytes.

What lives here: what a difference is, and how it is named. What must not: files, and how the
documents were made (`conformance`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pithgraph.audit.findings import agree
from pithgraph.canonical import decode, encode
from pithgraph.errors import DecodeError
from pithgraph.merge import digest_of_state

NOT_JSON: Final = "not_json"
NOT_CANONICAL: Final = "not_canonical"
DIFFERS: Final = "differs"


class Difference(NamedTuple):
    """How bytes differ from those expected.

    `reason`: `not_json`, strict decoding (SPEC §1) refuses them; `not_canonical`, the value is the
    right one and only its spelling is not; `differs`, it is another value. `offset` is the first
    byte, from 0, that is another or is there on one side alone. `recomputes`: whether the
    document's state_sha256 is that of its own other members; None where it has none.
    """

    reason: str
    offset: int
    detail: str
    recomputes: bool | None


def difference(found: bytes, expected: bytes) -> Difference | None:
    """How `found` differs from `expected`, a state's canonical bytes and a newline; None where
    they are the same bytes."""
    if found == expected:
        return None
    offset = _parting(found, expected)
    try:
        value = decode(found)
    except DecodeError as error:
        return Difference(NOT_JSON, offset, f"first at byte {offset}; {error}", None)
    recomputes = _recomputes(value)
    if encode(value) + b"\n" == expected:
        detail = f"the value is right, its bytes are not canonical: first at byte {offset}"
        if found + b"\n" == expected:
            detail = "the newline at the end is missing"
        return Difference(NOT_CANONICAL, offset, detail, recomputes)
    detail = agree(value, decode(expected), "the case expects").detail
    says = {
        True: "its state_sha256 recomputes",
        False: "its state_sha256 does not recompute",
        None: "it has no state_sha256",
    }
    return Difference(
        DIFFERS, offset, f"first at byte {offset}; {detail}; {says[recomputes]}", recomputes
    )


def _recomputes(value: Any) -> bool | None:
    if not isinstance(value, dict) or "state_sha256" not in value:
        return None
    return bool(value["state_sha256"] == digest_of_state(value))


def _parting(one: bytes, other: bytes) -> int:
    """The first index at which two different byte strings differ, by bisection: either may be
    long."""
    first, second = memoryview(one), memoryview(other)
    same, end = 0, min(len(one), len(other))
    while same < end:
        middle = (same + end + 1) // 2
        if first[same:middle] == second[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same
