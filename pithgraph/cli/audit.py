"""`pithgraph audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import click

from pithgraph.audit import Finding, audit_bytes
from pithgraph.cli import FAILED, FINE, REFUSED, options
from pithgraph.cli.output import out, out_json, say
from pithgraph.cli.progress import BYTES, Bar
from pithgraph.errors import DecodeError, Refused
from pithgraph.notes import VerifierKey
from pithgraph.sources import (
    Limits,
    Lines,
    Piece,
    Unreadable,
    load_keyring,
    read_spans,
    total_bytes,
)


@click.command("audit")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options.keyring
@options.vkeys
@options.limits
@options.json_lines
def command(
    paths: tuple[str, ...],
    keyring_path: str | None,
    vkeys: tuple[VerifierKey, ...],
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Check published documents against themselves and the keyring, offline.

    PATH is a file, a folder (read recursively) or - for standard input: records, states, bundles,
    mirror manifests, keyrings, proofs, events, checkpoints. Of a folder only JSON files are read:
    name checkpoints and inclusion proofs one by one. Each check is one line: pass, fail,
    unconfirmed (it cannot be decided from the document) or skipped (what it needs is not there).
    Members that nothing signs, hashes or repeats have no check.

    \b
    pithgraph audit fixtures/pith
    pithgraph audit --vkey example.org/log+1a2b3c4d+AQ... event.tlog-proof
    """
    keyring = load_keyring(keyring_path)
    counts: Counter[str] = Counter()
    documents = unreadable = 0
    with Bar("audit", partial(total_bytes, paths), BYTES, beside_results=True) as bar:
        for piece in _pieces(paths, Limits(max_line, max_document), bar):
            place = piece.source if piece.line is None else f"{piece.source}:{piece.line}"
            documents += 1
            if isinstance(piece, Unreadable):
                document = "unreadable"
                findings = [Finding("readable", "fail", f"{piece.reason}: {piece.detail}")]
            else:
                try:
                    audited = audit_bytes(piece.data, keyring, vkeys, max_bytes=len(piece.data))
                    document, findings = audited.document, list(audited.findings)
                except (DecodeError, Refused) as error:
                    document, findings = "unreadable", [Finding("readable", "fail", str(error))]
            if document == "unreadable":
                unreadable += 1
            else:
                counts.update(finding.status for finding in findings)
            _print(place, document, findings, as_json)
    say(
        f"documents: {documents}, unreadable: {unreadable}; checks passed: {counts['pass']}, "
        f"failed: {counts['fail']}, unconfirmed: {counts['unconfirmed']}, "
        f"skipped: {counts['skipped']}; keyring {keyring.sha256[:16]}…"
    )
    if counts["fail"]:
        return FAILED
    # Nothing audited is nothing confirmed: a folder without documents is no pass.
    return REFUSED if unreadable or not documents else FINE


def _pieces(paths: tuple[str, ...], limits: Limits, bar: Bar) -> Iterator[Piece | Unreadable]:
    for found in read_spans(paths, limits, progress=bar.advance, texts=True):
        if isinstance(found, Lines):
            yield from found.pieces()
        else:
            yield found


def _print(place: str, document: str, findings: list[Finding], as_json: bool) -> None:
    if not as_json:
        out(f"{place}: {document}")
    for finding in findings:
        if as_json:
            out_json({"path": place, "document": document, **finding._asdict()})
        else:
            detail = f": {finding.detail}" if finding.detail else ""
            out(f"  {finding.status:11} {finding.check}{detail}", _COLOURS.get(finding.status))


_COLOURS = {"pass": "green", "fail": "red", "unconfirmed": "yellow"}
