"""Whether a new event should be signed at all: what a merge would make of it (SPEC §6, §7).

What lives here: what a merge would say of an event and of it beside the key's other events, and
what its author can do about that. What must not: the rules themselves (`validation`, `merge`), and
where the other events come from (`appending`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pithgraph.errors import SigningRefused
from pithgraph.events import Event
from pithgraph.keyring import Key, Keyring
from pithgraph.resolution import FORK, resolve
from pithgraph.validation import Judged, Verdict, verdict_of

DUPLICATE: Final = "duplicate"
_VALID: Final = Verdict(None, "", False)

_NO_ADVICE: Final = "See SPEC §5 for what an event has to be"
# What an author can do about each reason.
ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "malformed": _NO_ADVICE,
        "unknown_event_type": _NO_ADVICE,
        "invalid_timestamp": "Give a real time such as 2026-05-18T00:15:36Z",
        "target_mismatch": "Give a target of the form that SPEC §5 has for this kind",
        "unknown_key": "Name the keyring that holds this key, or add it to one by `pithgraph "
        "keyring add`",
        "signer_mismatch": "Leave key_id, signer_id and signer_type to the keyring, or have them "
        "corrected there",
        "key_not_valid": "Sign with a key that is valid then, or date the event into the key's "
        "window if that is true",
        "unauthorized_signer": "Sign with a key whose signer_type may make this kind of event "
        "(SPEC §5)",
        "invalid_payload": "Correct that member of the payload (SPEC §5)",
        DUPLICATE: "There is nothing to do: it is there already",
        "same_slot": "Both would be withheld from the state. Give it another created_at or target, "
        "or sign a correction of the earlier one",
        FORK: "Both would be reported as a fork. Follow the last event of the chain instead",
    }
)


def refusal(reason: str, detail: str) -> SigningRefused:
    """The refusal for this reason, with what to do about it."""
    return SigningRefused(reason, detail, ADVICE.get(reason, _NO_ADVICE))


def signer_of_key(keyring: Keyring, fingerprint: str) -> Key:
    """The entry of a key, from which its events take their signer. Raises SigningRefused."""
    key = keyring.by_fingerprint(fingerprint)
    if key is None:
        raise refusal("unknown_key", f"the keyring holds no key of fingerprint {fingerprint}")
    return key


def check_valid(event: Event, keyring: Keyring) -> None:
    """Raise SigningRefused for an event that a merge under this keyring would call invalid."""
    verdict = verdict_of(event, keyring)
    if verdict.reason is not None:
        raise refusal(verdict.reason, verdict.detail)


def check_beside(event: Event, others: Iterable[Judged]) -> None:
    """Raise SigningRefused where a valid event is one of `others` already, or would be an
    equivocation with them: they are judged events by the same key about the same paper."""
    view = event.view
    assert view is not None  # a malformed one is not valid
    near = []  # an equivocation has a common time or a common link; the merge says if it is one
    for one in others:
        other = one.event.view
        if other is None or one.verdict.reason is not None:
            continue
        if other.event_id == view.event_id:
            raise refusal(DUPLICATE, f"{view.event_id} is known already")
        if other.created_at == view.created_at or (
            view.previous_event_id is not None and other.previous_event_id == view.previous_event_id
        ):
            near.append(one)
    for row in resolve([*near, Judged(event, _VALID)]).equivocations:
        if view.event_id in row.event_ids:
            ids = ", ".join(one for one in row.event_ids if one != view.event_id)
            raise refusal(row.rule, f"this key has signed {ids}, with the same {_said(row.slot)}")


def last_event(others: Iterable[Judged]) -> Event | None:
    """The valid event that a new one by the same key follows: of those that no valid one follows
    yet, since two that follow one are a fork, the last of the applied order (SPEC §7, 3)."""
    valid = [
        (event.view, event)
        for event, verdict in others
        if verdict.reason is None and event.view is not None
    ]
    followed = {view.previous_event_id for view, _ in valid}
    ends = [one for one in valid if one[0].event_id not in followed]
    last = max(ends, key=lambda one: (one[0].created_at, one[0].event_id), default=None)
    return None if last is None else last[1]


def _said(slot: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in slot.items())
