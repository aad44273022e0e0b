"""`pithgraph keyring list`, `add`, `retire`, `revoke` and `check`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pithgraph.authoring import load_passphrase, read_public_key
from pithgraph.canonical import decode
from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import deliver, out, out_json, say
from pithgraph.errors import DecodeError, KeyringError
from pithgraph.identifiers import check_time
from pithgraph.keyring import Key, Keyring
from pithgraph.keyring_edits import Value, add_key, new_entry, retire_key, revoke_key
from pithgraph.sources import load_keyring, read_keyring

_FILE = click.Path(dir_okay=False)


@click.group("keyring")
def command() -> None:
    """Look at, and change, the keys that a merge trusts.

    A change replaces the file whole, once the result is a keyring; members that are not known here
    are kept. What is trusted is part of every state: its keyring_sha256 is printed.
    """


@command.command("list")
@click.argument("path", metavar="[FILE]", required=False, type=_FILE)
@options.keyring
@options.json_lines
def list_keys(path: str | None, keyring_path: str | None, as_json: bool) -> int:
    """List the keys of a keyring: of FILE, else of --keyring, else of the one that ships.

    \b
    pithgraph keyring list
    """
    keyring = load_keyring(path or keyring_path)
    for key in keyring.keys:
        if as_json:
            out_json(_row(key))
        else:
            out(f"{key.key_id}  {key.signer_type} {key.signer_id}{_validity(key)}")
            out(f"  fingerprint  {key.fingerprint}")
    if as_json:
        out_json({"keys": len(keyring.keys), "keyring_sha256": keyring.sha256})
    else:
        out(f"keys: {len(keyring.keys)}, keyring_sha256 {keyring.sha256}")
    return FINE


@command.command("add")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option(
    "--key",
    "key_text",
    metavar="FILE_OR_BASE64",
    help="The public key: base64, or a file of it, PEM or base64; of a private key's PEM, the "
    "public half is taken.",
)
@click.option("--key-id", metavar="ID", help="The name of the key.")
@click.option("--signer-id", metavar="ID", help="Whose key it is.")
@click.option(
    "--signer-type",
    metavar="TYPE",
    help="What it may sign: as pith_registry, author, mirror, or any other word.",
)
@click.option("--valid-from", metavar="TIME", help="Its events count from this time on.")
@click.option("--valid-until", metavar="TIME", help="Its events count up to this time.")
@options.passphrase
@click.option("--shipped", is_flag=True, help="Add the keys of the keyring that ships, instead.")
@options.json_lines
def add(
    path: str,
    key_text: str | None,
    key_id: str | None,
    signer_id: str | None,
    signer_type: str | None,
    valid_from: str | None,
    valid_until: str | None,
    passphrase_path: str | None,
    shipped: bool,
    as_json: bool,
) -> int:
    """Add a public key to a keyring file; make the file if there is none.

    A new file stands in the place of the keyring that ships, not beside it: begin it with
    --shipped, which adds the registry's key, if its events shall count.

    \b
    pithgraph keyring add my-keys.json --shipped
    pithgraph keyring add my-keys.json --key key.pem --key-id ada-1 \\
        --signer-id ada@example.org --signer-type author
    """
    about = (key_text, key_id, signer_id, signer_type)
    if shipped:
        if any(text is not None for text in (*about, valid_from, valid_until, passphrase_path)):
            raise click.UsageError("--shipped says all about its keys: leave out the other options")
        return _add_shipped(path, as_json)
    if key_text is None or key_id is None or signer_id is None or signer_type is None:
        names = ("--key", "--key-id", "--signer-id", "--signer-type")
        missing = [name for name, text in zip(names, about, strict=True) if text is None]
        raise click.UsageError(f"missing {', '.join(missing)}: give them, or --shipped")
    for time in (valid_from, valid_until):
        if time is not None:
            check_time(time)
    passphrase = None if passphrase_path is None else load_passphrase(passphrase_path)
    entry = new_entry(
        read_public_key(key_text, passphrase).raw,
        key_id=key_id,
        signer_id=signer_id,
        signer_type=signer_type,
        valid_from=valid_from,
        valid_until=valid_until,
    )
    _edit(path, lambda value: add_key(value, entry), f"added {key_id!r}", as_json, may_be_new=True)
    return FINE


def _add_shipped(path: str, as_json: bool) -> int:
    entries = json.loads(read_keyring())["keys"]

    def change(value: Value) -> Value:
        for entry in entries:
            value = add_key(value, entry)
        return value

    names = ", ".join(repr(entry["key_id"]) for entry in entries)
    _edit(path, change, f"added {names}", as_json, may_be_new=True)
    return FINE


@command.command("retire")
@click.argument("path", metavar="FILE", type=_FILE)
@click.argument("key_id", metavar="KEY_ID")
@click.option(
    "--at", required=True, metavar="TIME", help="The last time at which its events count."
)
@options.json_lines
def retire(path: str, key_id: str, at: str, as_json: bool) -> int:
    """Let a key count up to a time, and for no event that is dated later.

    For a key that is no longer in use. Not for one that was stolen: the thief can date events back.

    \b
    pithgraph keyring retire my-keys.json ada-1 --at 2026-12-31T23:59:59Z
    """
    check_time(at)
    _edit(path, lambda value: retire_key(value, key_id, at), f"retired {key_id!r}", as_json)
    return FINE


@command.command("revoke")
@click.argument("path", metavar="FILE", type=_FILE)
@click.argument("key_id", metavar="KEY_ID")
@options.json_lines
def revoke(path: str, key_id: str, as_json: bool) -> int:
    """Let a key count for nothing, its old events and receipts neither.

    \b
    pithgraph keyring revoke my-keys.json ada-1
    """
    _edit(path, lambda value: revoke_key(value, key_id), f"revoked {key_id!r}", as_json)
    say(
        "this disowns all that the key ever signed, its old events and receipts too; `pithgraph "
        "keyring retire` keeps the old ones of a key that was not stolen"
    )
    return FINE


@command.command("check")
@click.argument("path", metavar="FILE", type=_FILE)
@options.json_lines
def check(path: str, as_json: bool) -> int:
    """Say whether a file is a keyring, and what is wrong with it. Exit 1 says that it is none, 3
    that it is no JSON, or cannot be read.

    \b
    pithgraph keyring check my-keys.json
    """
    value = _decoded(path)
    row: dict[str, Any] = {"path": path, "keys": None, "keyring_sha256": None}
    try:
        keyring = Keyring.from_value(value)
    except KeyringError as error:
        row |= {"status": "fail", "detail": str(error)}
    else:
        detail = f"keys: {len(keyring.keys)}, keyring_sha256 {keyring.sha256}"
        row |= {"keys": len(keyring.keys), "keyring_sha256": keyring.sha256}
        row |= {"status": "pass", "detail": detail}
    failed = row["status"] == "fail"
    if as_json:
        out_json(row)
    else:
        out(f"{row['status']}  {path}: {row['detail']}", "red" if failed else "green")
    return FAILED if failed else FINE


def _decoded(path: str) -> Any:
    data = read_keyring(path)
    try:
        return decode(data)
    except DecodeError as error:
        raise KeyringError(f"{path}: {error}") from None


def _edit(
    path: str,
    change: Callable[[Value], Value],
    done: str,
    as_json: bool,
    *,
    may_be_new: bool = False,
) -> None:
    """Replace a keyring file by what `change` makes of it. Raises KeyringError; then the file is as
    it was."""
    # As it is written: of FILE/ the system says that it is not there, and `Path` writes FILE.
    path = str(Path(path))
    with _alone_beside(path):
        _replace(path, change, done, as_json, may_be_new=may_be_new)


@contextmanager
def _alone_beside(path: str) -> Iterator[None]:
    """Of two who change keyrings of one folder at once, the second waits: it would undo what the
    first does."""
    try:
        folder = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY)
    except OSError as error:
        raise KeyringError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(
    path: str, change: Callable[[Value], Value], done: str, as_json: bool, *, may_be_new: bool
) -> None:
    before: str | None = None
    value: Value = {"keys": []}
    if not may_be_new or os.path.lexists(path):
        value = _decoded(path)
        try:
            before = Keyring.from_value(value).sha256
        except KeyringError as error:
            raise KeyringError(f"{path}: {error}") from None
    try:
        text = json.dumps(change(value), indent=2, ensure_ascii=False).encode("utf-8") + b"\n"
        after = Keyring.from_bytes(text).sha256  # what is written, as the next reader sees it
    except (DecodeError, KeyringError) as error:
        raise KeyringError(f"{path} is as it was: {error}") from None
    deliver(text, path, replaces=path)
    if as_json:
        out_json({"path": path, "keyring_sha256_before": before, "keyring_sha256": after})
        return
    out(f"{path}: {done}")
    out(f"  keyring_sha256 before  {before or 'no file'}")
    out(f"  keyring_sha256         {after}")


def _row(key: Key) -> dict[str, Any]:
    entry = new_entry(
        key.public_key,
        key_id=key.key_id,
        signer_id=key.signer_id,
        signer_type=key.signer_type,
    )
    window = {"valid_from": key.valid_from, "valid_until": key.valid_until}
    return {**entry, **window, "revoked": key.revoked}


def _validity(key: Key) -> str:
    parts = [
        text
        for text in (
            key.valid_from and f"from {key.valid_from}",
            key.valid_until and f"until {key.valid_until}",
            "revoked" if key.revoked else None,
        )
        if text
    ]
    return f", {', '.join(parts)}" if parts else ""
