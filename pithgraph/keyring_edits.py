"""Changing a keyring: rules on its decoded value (SPEC §6).

What lives here: a new row, and what a key's retirement and revocation change. What must not: files
(`cli`), and what makes a keyring acceptable (`keyring`), which is asked of every result.

Each function gives a new value and leaves its argument as it was; members that are not known here
stay where they are. A change can only take trust away from a key that is there, never give it back.
"""

from __future__ import annotations

import base64
from typing import Any

from pithgraph.errors import KeyringError
from pithgraph.identifiers import check_time, fingerprint_of
from pithgraph.keyring import Keyring

Value = dict[str, Any]


def new_entry(
    public_key: bytes,
    *,
    key_id: str,
    signer_id: str,
    signer_type: str,
    valid_from: str | None = None,
    valid_until: str | None = None,
) -> Value:
    """The row of a keyring (SPEC §6) that trusts a public key (32 bytes) as this signer."""
    entry = {
        "key_id": key_id,
        "algorithm": "ed25519",
        "public_key_b64": base64.b64encode(public_key).decode("ascii"),
        "public_key_fingerprint": fingerprint_of(public_key),
        "signer_id": signer_id,
        "signer_type": signer_type,
    }
    window = {"valid_from": valid_from, "valid_until": valid_until}
    return entry | {name: time for name, time in window.items() if time is not None}


def add_key(value: Value, entry: Value) -> Value:
    """The keyring with a row more, at the end.

    Raises KeyringError for what no keyring may hold, or a window that holds no time;
    IdentifierError for a bound that is no time.
    """
    _check_window(entry)
    return _checked({**value, "keys": [*value["keys"], entry]})


def retire_key(value: Value, key_id: str, at: str) -> Value:
    """The keyring where the key counts for events created by `at`, and for none later.

    `at` is a §5 timestamp. Raises KeyringError where it would let in more than before, or nothing
    at all, and for a key_id that is not there; IdentifierError for a time that is none.
    """
    check_time(at)
    ended = _entry(value, key_id).get("valid_until")
    if ended is not None and ended < at:
        raise KeyringError(
            f"{key_id!r} is retired since {ended}: a later time would let its later events in "
            "again. Whoever means that edits the file"
        )
    return _changed(value, key_id, valid_until=at)


def revoke_key(value: Value, key_id: str) -> Value:
    """The keyring where the key counts for nothing, its old events and receipts neither.

    Raises KeyringError for a key_id that is not there.
    """
    return _changed(value, key_id, revoked=True)


def _entry(value: Value, key_id: str) -> Value:
    for entry in value["keys"]:
        if entry["key_id"] == key_id:
            found: Value = entry
            return found
    raise KeyringError(f"no key {key_id!r} in the keyring: `pithgraph keyring list` shows them")


def _changed(value: Value, key_id: str, **members: Any) -> Value:
    old = _entry(value, key_id)
    new = old | members
    _check_window(new)
    return _checked({**value, "keys": [new if entry is old else entry for entry in value["keys"]]})


def _check_window(entry: Value) -> None:
    first, last = entry.get("valid_from"), entry.get("valid_until")
    for time in (first, last):
        if time is not None:
            check_time(time)
    if first is not None and last is not None and last < first:
        raise KeyringError(
            f"{entry['key_id']!r} would be valid from {first} until {last}, which is no time at "
            "all: to disown all of its events, revoke it"
        )


def _checked(value: Value) -> Value:
    Keyring.from_value(value)
    return value
