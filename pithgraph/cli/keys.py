"""`pithgraph keys generate`, `pithgraph keys show` and `pithgraph keys check`."""

from __future__ import annotations

import base64

import click

from pithgraph.authoring import (
    generate_private_key,
    load_passphrase,
    load_private_key,
    read_public_key,
    save_private_key,
)
from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.errors import KeyringError
from pithgraph.identifiers import fingerprint_of
from pithgraph.keys import check_public_key, public_bytes


@click.group("keys")
def command() -> None:
    """Make Ed25519 keys for signing, and look at them."""


@command.command("generate")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False))
@options.passphrase
@options.json_lines
def generate(path: str, passphrase_path: str | None, as_json: bool) -> int:
    """Write a new private key to a new file, and print its public half.

    The file is PKCS#8 PEM that only its owner may read (0600), encrypted where a passphrase is
    given. A file that is there is never overwritten. Keep a copy: whoever loses the key can sign
    nothing more, whoever finds it signs in your name.

    \b
    pithgraph keys generate key.pem
    """
    passphrase = _passphrase(passphrase_path)
    key = generate_private_key()
    save_private_key(key, path, passphrase)
    _print(path, public_bytes(key), as_json)
    say(f"the private key is in {path}: `pithgraph keyring add` makes a keyring trust it")
    return FINE


@command.command("show")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False))
@options.passphrase
@options.json_lines
def show(path: str, passphrase_path: str | None, as_json: bool) -> int:
    """Print the public half and the fingerprint of a private key file, never the secret.

    \b
    pithgraph keys show key.pem
    """
    key = load_private_key(path, _passphrase(passphrase_path))
    _print(path, public_bytes(key), as_json)
    return FINE


@command.command("check")
@click.argument("text", metavar="FILE_OR_BASE64")
@options.passphrase
@options.json_lines
def check(text: str, passphrase_path: str | None, as_json: bool) -> int:
    """Say whether a public key may stand in a keyring: canonical, and of prime order.

    It is a file (PEM of a public or of a private key, or base64), or the base64 itself. Exit 1 says
    that it may not.

    \b
    pithgraph keys check stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM=
    """
    key = read_public_key(text, _passphrase(passphrase_path))
    status, detail = "pass", "a canonical encoding of a point of prime order"
    try:
        check_public_key(key.raw)
    except KeyringError as error:
        status, detail = "fail", str(error)
    if as_json:
        row = {"path": text, "form": key.form, "status": status, "detail": detail}
        out_json(row | _described(key.raw))
    else:
        out(f"{status}  {text}: {detail}", "green" if status == "pass" else "red")
        _print_lines(key.raw)
    return FINE if status == "pass" else FAILED


def _passphrase(path: str | None) -> bytes | None:
    return None if path is None else load_passphrase(path)


def _described(public_key: bytes) -> dict[str, str]:
    return {
        "public_key_b64": base64.b64encode(public_key).decode("ascii"),
        "public_key_fingerprint": fingerprint_of(public_key),
    }


def _print(path: str, public_key: bytes, as_json: bool) -> None:
    if as_json:
        out_json({"path": path, **_described(public_key)})
    else:
        _print_lines(public_key)


def _print_lines(public_key: bytes) -> None:
    described = _described(public_key)
    out(f"public key   {described['public_key_b64']}")
    out(f"fingerprint  {described['public_key_fingerprint']}")
