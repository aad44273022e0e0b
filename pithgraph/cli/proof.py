"""`pithgraph proof verify` and `pithgraph proof build`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from pithgraph.canonical import digest, encode
from pithgraph.cli import FAILED, FINE, REFUSED, options
from pithgraph.cli.output import deliver, out, out_json, say
from pithgraph.errors import DecodeError, OutputError, ProofError
from pithgraph.identifiers import parse_reference
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.proofs import verify_proof
from pithgraph.replaying import find_paper, proofs_of
from pithgraph.sources import Limits, Piece, Unreadable, load_keyring, read_sources


@click.group("proof")
def command() -> None:
    """Show, or check, that a key signed two things that exclude each other."""


@command.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@options.keyring
@options.limits
@options.json_lines
def verify(
    paths: tuple[str, ...],
    keyring_path: str | None,
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Verify proofs offline, and say whether the key is in the keyring.

    \b
    pithgraph proof verify proof.json
    """
    keyring = load_keyring(keyring_path)
    code = FINE
    for piece in read_sources(paths, Limits(max_line, max_document)):
        place = piece.source if piece.line is None else f"{piece.source}:{piece.line}"
        row: dict[str, Any] = {"path": place}
        if isinstance(piece, Unreadable):
            row |= {"status": "fail", "detail": f"{piece.reason}: {piece.detail}"}
            code = code or REFUSED
        else:
            row |= _verify(piece, keyring)
            if row["status"] == "fail":
                code = REFUSED if row.pop("undecoded", False) and code != FAILED else FAILED
        _print(row, as_json)
    return code


def _verify(piece: Piece, keyring: Keyring) -> dict[str, Any]:
    try:
        proof = verify_proof(piece.decode(), keyring)
    except DecodeError as error:
        return {"status": "fail", "detail": str(error), "undecoded": True}
    except ProofError as error:
        return {"status": "fail", "detail": str(error)}
    whose = (
        f"key {proof.key.key_id!r} of {proof.key.signer_id!r} in the keyring"
        if proof.key
        else "the proof holds; whose key it is, the keyring does not say"
    )
    return {
        "status": "pass",
        "detail": whose,
        "rule": proof.rule,
        "pith_number": proof.pith_number,
        "public_key_fingerprint": proof.public_key_fingerprint,
        "slot": proof.slot,
        "event_ids": list(proof.event_ids),
        "in_keyring": proof.key is not None,
        "keyring_sha256": keyring.sha256,
    }


def _print(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out_json(row)
        return
    colour = "green" if row["status"] == "pass" else "red"
    out(f"{row['status']}  {row['path']}: {row['detail']}", colour)
    if row["status"] == "pass":
        out(
            f"  {row['public_key_fingerprint']} signed both, {row['rule']} of {row['pith_number']}:"
        )
        for event_id in row["event_ids"]:
            out(f"  {event_id}")
        out("  slot " + json.dumps(row["slot"], ensure_ascii=False))


def _write_once(path: Path, data: bytes) -> None:
    """Write a proof under the name that its digest gives, unless it is there. Raises OutputError
    where something else has that name."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OutputError(f"{path} is no regular file, and is not replaced")
    if not path.exists() or path.read_bytes() != data:
        deliver(data, str(path))


@command.command("build")
@options.log_folder
@click.argument("pith", metavar="PITH")
@options.keyring
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="The folder for the files; it is made if it is not there.",
)
@options.json_lines
def build(log_path: str, pith: str, keyring_path: str | None, folder: str, as_json: bool) -> int:
    """Write one proof file for each equivocation about a paper, of the keyring's keys.

    \b
    pithgraph proof build --log my-log N7NXYVEE --out proofs
    """
    parse_reference(pith)
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        keyring = load_keyring(keyring_path)
        proofs = proofs_of(log, paper, keyring=keyring)
    os.makedirs(folder, exist_ok=True)
    for proof in proofs:
        text = encode(proof)
        path = Path(folder) / f"{paper.suffix[:8]}-{proof['rule']}-{digest(text)[:12]}.json"
        _write_once(path, text + b"\n")
        if as_json:
            ids = [event["event_id"] for event in proof["events"]]
            row = {"path": str(path), "pith_number": str(paper), "event_ids": ids}
            out_json(row | {name: proof[name] for name in ("rule", "slot")})
        else:
            out(str(path))
    say(f"equivocations about {paper}: {len(proofs)}, under keyring {keyring.sha256}")
    if not proofs and keyring_path is None:
        say("events of keys that the keyring does not hold show none: name another by --keyring")
    return FINE
