"""`pithgraph replay`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pithgraph.cli import FAILED, FINE, REFUSED, options, out, say
from pithgraph.cli.ingest import say_refusals
from pithgraph.expected import Expected, read_expected
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter
from pithgraph.merge import State
from pithgraph.replaying import check_time, find_paper, replay
from pithgraph.sources import Limits, load_keyring
from pithgraph.validation import STATED, Assurance


@click.command("replay")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--log", "log_path", type=click.Path(file_okay=False), help="The log to replay.")
@click.option("--paper", metavar="PITH", help="Only this paper: a Pith Number or a short form.")
@options.as_of
@options.at
@options.assurance
@click.option(
    "--expect",
    "expect",
    multiple=True,
    metavar="PATH",
    help="Compare with the published state documents in this file or folder. May be repeated.",
)
@options.keyring
@options.limits
@options.json_lines
def command(
    paths: tuple[str, ...],
    log_path: str | None,
    paper: str | None,
    as_of: str | None,
    at: int | None,
    assurance: Assurance,
    expect: tuple[str, ...],
    keyring_path: str | None,
    max_line: int,
    max_document: int,
    as_json: bool,
) -> int:
    """Merge events from scratch and print every paper's state hashes.

    Either PATHs are replayed out of a temporary log, or a log is (--log). With --expect, exit 1
    says that a state differs from its published document.

    \b
    pithgraph replay --log my-log
    pithgraph replay state.json --assurance stated --expect state.json
    """
    if bool(paths) == bool(log_path):
        raise click.UsageError(
            "give PATHs or --log, and not both: `pithgraph ingest` appends to a log"
        )
    if as_of is not None:
        check_time(as_of)
    limits = Limits(max_line, max_document)
    differing = count = stated = 0
    with Log.open(log_path) if log_path else _temporary_log() as log:
        keyring = load_keyring(keyring_path)
        expected, refused = read_expected(expect, limits)
        for place, reason in refused:
            say(f"refused {place}: {reason}")
        code = REFUSED if refused else FINE
        if isinstance(log, LogWriter):
            done = ingest(log, paths, keyring=keyring, limits=limits)
            say_refusals(done)
            code = REFUSED if done.refused else code
        only = [find_paper(log, paper)] if paper else None
        states = replay(log, only, keyring=keyring, assurance=assurance, as_of=as_of, at=at)
        for state in states:
            wanted = expected.pop(state.pith_number, None)
            differing += _print(state, wanted, as_json)
            count += 1
            stated += state.applied_as_stated
        if not paper and expected:
            # Their papers have nothing here: an empty state stands beside what was expected.
            absent = [parse_pith_number(name) for name in sorted(expected)]
            for state in replay(
                log, absent, keyring=keyring, assurance=assurance, as_of=as_of, at=at
            ):
                differing += _print(state, expected[state.pith_number], as_json)
    say(_sum(count, differing, len(expect) > 0, keyring, assurance, stated))
    return FAILED if differing else code


@contextmanager
def _temporary_log() -> Iterator[LogWriter]:
    with (
        tempfile.TemporaryDirectory(prefix="pithgraph-") as folder,
        LogWriter.open(folder) as log,
    ):
        yield log


def _print(state: State, wanted: Expected | None, as_json: bool) -> bool:
    """Print a state's hashes; whether it differs from what was expected."""
    row = {name: getattr(state, name) for name in _JSON}
    differs = wanted is not None and not wanted.matches(state)
    if wanted is not None:
        row |= {"expected_sha256": wanted.state_sha256, "matches": not differs}
    if as_json:
        out(json.dumps(row))
        return differs
    out(state.pith_number)
    out(f"  state_sha256  {state.state_sha256}")
    out(f"  core_sha256   {state.core_sha256}")
    out(
        f"  events        {state.event_count}: {state.valid_event_count} valid, "
        f"{state.invalid_event_count} invalid; {state.equivocation_count} equivocations; "
        f"{state.applied_as_stated} applied as stated"
    )
    out(f"  computed with keyring {state.keyring_sha256}, assurance {state.assurance}")
    for event in state.invalid_events[:_INVALID_SHOWN]:
        out(
            f"  invalid       {event.event_id or event.event_sha256}: "
            f"{event.reason}: {event.detail}"
        )
    if len(state.invalid_events) > _INVALID_SHOWN:
        out(f"  invalid       and {len(state.invalid_events) - _INVALID_SHOWN} more")
    if wanted is not None:
        verdict = f"differs: {wanted.difference(state)}" if differs else "matches"
        out(f"  expected      {wanted.state_sha256}  {verdict}")
    return differs


_INVALID_SHOWN = 10
_JSON = (
    "pith_number",
    "state_sha256",
    "core_sha256",
    "keyring_sha256",
    "assurance",
    "event_count",
    "valid_event_count",
    "invalid_event_count",
    "equivocation_count",
    "applied_as_stated",
)


def _sum(
    count: int, differing: int, compared: bool, keyring: Keyring, assurance: str, stated: int
) -> str:
    text = f"{count} papers, keyring {keyring.sha256[:16]}…, assurance {assurance}"
    if assurance == STATED:
        text += (
            f": {stated} events applied as stated, which authenticates nothing beyond the receipt"
        )
    if compared:
        text += f"; {differing} differ from what was expected"
    return text
