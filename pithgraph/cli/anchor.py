"""`pithgraph anchor`: request, attach, check and payload."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pithgraph.anchoring import (
    BITCOIN,
    MAX_PROOF_BYTES,
    METHOD,
    PENDING,
    Attestation,
    Header,
    check_library,
    in_block,
    make_proof,
    payload_of,
    read_header,
    read_proof,
    target_for,
)
from pithgraph.canonical import encode
from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.output import deliver, out, out_json, result, say
from pithgraph.errors import AnchorError, IdentifierError
from pithgraph.identifiers import PithNumber, suffix_of
from pithgraph.keyring import Keyring
from pithgraph.log import Log
from pithgraph.replaying import current_state, find_paper
from pithgraph.sources import STANDARD_INPUT, load_keyring, opened
from pithgraph.validation import STATED

_CALENDAR = "https://a.pool.opentimestamps.org/digest"


@click.group("anchor")
def command() -> None:
    """Anchor a paper's record in time by OpenTimestamps, and check such anchors, offline."""


_log = options.log_option(required=False, help="The log that has the paper.")
_digest = click.option("--digest", metavar="HEX", help="The record's SHA-256, without a log.")


@command.command("request")
@click.argument("pith", metavar="[PITH]", required=False)
@_log
@_digest
@options.keyring
@options.output
@options.json_lines
def request(
    pith: str | None,
    log_path: str | None,
    digest: str | None,
    keyring_path: str | None,
    output: str | None,
    as_json: bool,
) -> int:
    """Write what a calendar is asked to timestamp: the 32 bytes of the record's digest.

    Nothing is sent. Post the file to one or several calendars, and give their answers to `pithgraph
    anchor attach`.

    \b
    pithgraph anchor request --log my-log N7NXYVEE -o request
    curl --data-binary @request -o answer https://a.pool.opentimestamps.org/digest
    pithgraph anchor attach request answer -o N7NXYVEE.ots
    """
    wanted = _wanted(pith, log_path, digest, load_keyring(keyring_path))
    assert wanted is not None  # without a paper or digest it raises
    if output is None and not as_json:
        raise click.UsageError("the request is 32 bytes: give -o FILE")
    if output is not None:
        with result(output) as write:
            write(wanted)
    if as_json:
        out_json({"digest": wanted.hex(), "path": output})
    else:
        say(f"to ask a calendar: curl --data-binary @{output} -o answer {_CALENDAR}")
    return FINE


@command.command("attach")
@click.argument("request_path", metavar="REQUEST", type=click.Path(dir_okay=False))
@click.argument("answers", metavar="ANSWER...", nargs=-1, required=True)
@options.output
@options.json_lines
def attach(request_path: str, answers: tuple[str, ...], output: str | None, as_json: bool) -> int:
    """Make a proof (.ots) of what calendars answered to a request.

    \b
    pithgraph anchor attach request answer -o N7NXYVEE.ots
    """
    digest = _read(request_path)
    if len(digest) != hashlib.sha256().digest_size:
        raise AnchorError(f"{request_path} is no request: it has {len(digest)} bytes, not 32")
    given = [_read(answer) for answer in answers]
    for name, answer in zip(answers, given, strict=True):
        with _named(name):
            make_proof(digest, [answer])
    proof = make_proof(digest, given)
    ends = read_proof(proof).attestations
    if output is None and not as_json:
        raise click.UsageError("the proof is not text: give -o FILE")
    if output is not None:
        with result(output) as write:
            write(proof)
    row = {"digest": digest.hex(), "path": output}
    if as_json:
        out_json(row | {"attestations": [_row(end, None) for end in ends]})
    else:
        for end in ends:
            say(_said(end, None))
    return FINE


@command.command("payload")
@click.argument("proof_path", metavar="PROOF", type=click.Path(dir_okay=False))
@options.output
@click.option("--json", "_", is_flag=True, help="Print JSON, which it does anyway.")
def print_payload(proof_path: str, output: str | None, _: bool) -> int:
    """Print the payload of a timestamp_anchor with this proof, for `pithgraph sign`.

    \b
    pithgraph anchor payload N7NXYVEE.ots -o payload.json
    """
    proof = _read(proof_path)
    with _named(proof_path):
        payload = payload_of(proof)
    deliver(encode(payload) + b"\n", output)
    say(
        f"to sign it: pithgraph sign timestamp_anchor PITH --payload {output or '-'} "
        f"--target {target_for(proof)} --key key.pem --keyring keys.json"
    )
    return FINE


@command.command("check")
@click.argument("what", metavar="PROOF|PITH")
@_log
@_digest
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="HEX",
    help="A Bitcoin block header that you trust (80 bytes in hex), to hold proofs against. May be "
    "repeated.",
)
@options.keyring
@options.json_lines
def check(
    what: str,
    log_path: str | None,
    digest: str | None,
    headers: tuple[str, ...],
    keyring_path: str | None,
    as_json: bool,
) -> int:
    """Check a proof, or with --log the proofs of a paper's anchors, and say what they attest.

    A proof must commit to the digest: that of --digest, or of the paper; with neither it is
    unconfirmed what it is a proof of. Pending is not failed: a
    calendar has promised, and no block is named yet. A block is compared with the --header of that
    Merkle root; without one the root to look for is shown. Exit 1 where a proof fails.

    \b
    pithgraph anchor check N7NXYVEE.ots --digest 6fdb7c54...
    pithgraph anchor check --log my-log N7NXYVEE
    """
    check_library()
    known = [read_header(header) for header in headers]
    failed = 0
    for place, proof, wanted in _proofs(what, log_path, digest, load_keyring(keyring_path)):
        row = _checked(place, proof, wanted, known)
        failed += row["status"] == "fail"
        if as_json:
            out_json(row)
        else:
            colour = {"fail": "red", "unconfirmed": "yellow"}.get(row["status"], "green")
            out(f"{row['status']}  {place}: {row['detail']}", colour)
            for end in row["attestations"]:
                out(f"  {end['detail']}")
    return FAILED if failed else FINE


def _proofs(
    what: str, log_path: str | None, digest: str | None, keyring: Keyring
) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Each proof with its place and the digest that it must be for, where that is known; None for a
    proof that is no base64."""
    if log_path is None:
        if not os.path.exists(what) and what != STANDARD_INPUT:
            raise AnchorError(f"{what}: no such file (of a paper, name the log by --log)")
        yield what, _read(what), _wanted(None, None, digest, keyring) if digest else None
        return
    with Log.open(log_path) as log:
        paper = find_paper(log, what)
        state = current_state(log, paper, keyring=keyring)
    found = 0
    for row in state.document["current"]["timestamp_anchors"]:
        anchor = row["payload"]
        if anchor["method"].lower() != METHOD:
            say(f"{row['event_id']} is by {anchor['method']!r}, which is not looked into")
            continue
        found += 1
        yield (
            row["event_id"],
            _decoded(anchor["proof_b64"]),
            bytes.fromhex(anchor["anchored_sha256"]),
        )
    say(f"{paper}: anchors by {METHOD}: {found}")


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _checked(
    place: str, proof: bytes | None, wanted: bytes | None, headers: list[Header]
) -> dict[str, Any]:
    row: dict[str, Any] = {"proof": place, "status": "fail", "attestations": []}
    try:
        if proof is None:
            raise AnchorError("proof_b64 is no base64")
        anchor = read_proof(proof)
    except AnchorError as error:
        return row | {"detail": str(error)}
    ends = [_row(end, _header_of(end, headers)) for end in anchor.attestations]
    row |= {"digest": anchor.digest.hex(), "attestations": ends}
    if wanted is not None and anchor.digest != wanted:
        return row | {"detail": f"it is for {anchor.digest.hex()}, not for {wanted.hex()}"}
    in_blocks = [end for end in anchor.attestations if end.kind == BITCOIN]
    held = [end for end in in_blocks if _header_of(end, headers)]
    if headers and in_blocks and not held:
        return row | {"detail": "no header that was given has the Merkle root of a block it names"}
    if held:
        detail = f"it is for {anchor.digest.hex()}, and in a block whose header was given"
    elif in_blocks:
        detail = f"it is for {anchor.digest.hex()}, and names a block; give its --header to be sure"
    else:
        detail = f"it is for {anchor.digest.hex()}, and pending"
    if wanted is None:
        detail += "; whether that is the record's digest, --digest asks"
        return row | {"status": "unconfirmed", "detail": detail}
    return row | {"status": "pass", "detail": detail}


def _header_of(end: Attestation, headers: list[Header]) -> Header | None:
    if end.kind != BITCOIN:
        return None
    return next((header for header in headers if in_block(end, header)), None)


def _row(end: Attestation, header: Header | None) -> dict[str, Any]:
    return {
        "kind": end.kind,
        "calendar": end.calendar,
        "block_height": end.height,
        "merkle_root": end.commitment[::-1].hex() if end.kind == BITCOIN else None,
        "block_hash": header.block_hash if header else None,
        "block_time": header.time if header else None,
        "detail": _said(end, header),
    }


def _said(end: Attestation, header: Header | None) -> str:
    if end.kind == PENDING:
        return f"pending at {end.calendar}"
    if end.kind != BITCOIN:
        return "an attestation of a kind that is not known here"
    block = f"Bitcoin block {end.height}, whose Merkle root is {end.commitment[::-1].hex()}"
    if header is None:
        return block
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(header.time))
    return f"{block}: so says the header of {header.block_hash}, of {when}"


def _wanted(
    pith: str | None, log_path: str | None, digest: str | None, keyring: Keyring
) -> bytes | None:
    """The digest that is to be anchored. Raises IdentifierError, UsageError."""
    if digest is not None and pith is not None:
        raise click.UsageError("give a PITH or --digest, and not both")
    if digest is not None:
        if len(digest) != 64 or not all(letter in "0123456789abcdefABCDEF" for letter in digest):
            raise IdentifierError(f"{digest[:100]!r} is no SHA-256 in 64 hex digits")
        return bytes.fromhex(digest)
    if pith is None or log_path is None:
        raise click.UsageError("give --log and a PITH, or --digest")
    with Log.open(log_path) as log:
        paper = find_paper(log, pith)
        found = _record_digest(log, paper, keyring)
    if found is None:
        raise IdentifierError(
            f"the log holds no record of {paper} that counts: give the record's --digest"
        )
    return found


def _record_digest(log: Log, paper: PithNumber, keyring: Keyring) -> bytes | None:
    record = current_state(log, paper, keyring=keyring, assurance=STATED).document["current"][
        "canonical_record"
    ]
    if record is None:
        return None
    digest = hashlib.sha256(encode(record)).digest()
    assert suffix_of(digest) == paper.suffix  # or the record would not count
    return digest


@contextmanager
def _named(path: str) -> Iterator[None]:
    """What is wrong with a file's content, with its name."""
    try:
        yield
    except AnchorError as error:
        raise AnchorError(f"{path}: {error}") from None


def _read(path: str) -> bytes:
    try:
        with opened(path) as file:
            return file.read(MAX_PROOF_BYTES + 1)
    except OSError as error:
        raise AnchorError(f"{path}: {error.strerror}") from None
