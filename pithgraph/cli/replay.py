"""`pithgraph replay`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from pithgraph.cli import FAILED, FINE, REFUSED, options
from pithgraph.cli.ingest import say_refusals
from pithgraph.cli.output import out, out_json, say, say_unknown, unknown_keys
from pithgraph.cli.progress import BYTES, EVENTS, PAPERS, Bar
from pithgraph.expected import Expected, read_expected
from pithgraph.identifiers import PithNumber, check_time, parse_pith_number, parse_reference
from pithgraph.ingestion import ingest
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter
from pithgraph.merge import State
from pithgraph.replaying import check_position, find_paper, replay
from pithgraph.sources import Limits, load_keyring, total_bytes
from pithgraph.validation import STATED, TOLERATED_AS_STATED, Assurance


@click.command("replay")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@options.log_option(required=False, help="The log to replay.")
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
    if paths and options.is_from_environment("log_path"):
        log_path = None
    if bool(paths) == bool(log_path):
        raise click.UsageError(
            "give files to replay, or --log for a log, and not both (--paper for one paper of it; "
            "`pithgraph ingest` appends to a log)"
        )
    if as_of is not None:
        check_time(as_of)
    if paper is not None:
        parse_reference(paper)
    limits = Limits(max_line, max_document)
    total = _Total()
    with Log.open(log_path) if log_path else temporary_log() as log:
        only = None
        if log_path:
            only = [find_paper(log, paper)] if paper is not None else None
            check_position(log, at)
        keyring = load_keyring(keyring_path)
        expected, refused = read_expected(expect, limits)
        for place, reason in refused:
            say(f"refused {place}: {reason}")
        total.refused += len(refused)
        if isinstance(log, LogWriter):
            size = partial(total_bytes, paths)
            with Bar("ingest", size, BYTES, EVENTS, beside_results=True) as bar:
                done = ingest(
                    log,
                    paths,
                    keyring=keyring,
                    limits=limits,
                    workers=options.cpus(),
                    progress=lambda made: bar.update(made.bytes_read, made.rows),
                )
            say_refusals(done)
            total.refused += done.refused
            only = [find_paper(log, paper)] if paper is not None else None

        def states(papers: list[PithNumber] | None) -> Iterator[State]:
            return replay(log, papers, keyring=keyring, assurance=assurance, as_of=as_of, at=at)

        count = partial(_count, log, only)
        with Bar("replay", count, PAPERS, beside_results=True) as bar:
            for state in states(only):
                total.add(state, expected.pop(state.pith_number, []), as_json)
                bar.advance(1)
        if paper is None:
            # What is expected and has nothing here stands with its empty state.
            absent = sorted(map(parse_pith_number, expected), key=lambda p: (p.suffix, p.year))
            for state in states(absent):
                total.add(state, expected[state.pith_number], as_json)
    total.say(keyring, assurance, compared=bool(expect))
    if total.differing:
        return FAILED
    if total.refused:
        return REFUSED
    if expect and not total.compared:
        say("nothing was compared: no expected document is about a paper that was replayed")
        return FAILED
    return FINE


@contextmanager
def temporary_log() -> Iterator[LogWriter]:
    with (
        tempfile.TemporaryDirectory(prefix="pithgraph-") as folder,
        LogWriter.open(folder) as log,
    ):
        yield log


def _count(log: Log, only: list[PithNumber] | None) -> int:
    if only is not None:
        return len(only)
    with log.snapshot() as snapshot:
        return snapshot.paper_count


class _Total:
    """What a replay has printed so far."""

    def __init__(self) -> None:
        self.papers = self.compared = self.differing = self.absent = 0
        self.stated = self.unsigned = self.unknown = self.refused = 0

    def add(self, state: State, wanted: list[Expected], as_json: bool) -> None:
        """Print a state's hashes, and what was expected of them."""
        self.papers += 1
        self.stated += state.applied_as_stated
        self.unknown += unknown_keys(state)
        row = {name: getattr(state, name) for name in STATE_MEMBERS}
        if not as_json:
            _print(state)
        elif not wanted:
            out_json(row)
        for one in wanted:
            matches = one.matches(state)
            self._compare(state, matches)
            if as_json:
                said = {"expected_sha256": one.state_sha256, "matches": matches}
                out_json(row | said)
            else:
                verdict = "matches" if matches else f"differs: {one.difference(state)}"
                colour = "green" if matches else "red"
                out(f"  expected      {one.state_sha256}  {verdict}", colour)

    def _compare(self, state: State, matches: bool) -> None:
        self.compared += 1
        if matches:
            return
        self.differing += 1
        self.absent += state.event_count == 0
        self.unsigned += any(row.reason in TOLERATED_AS_STATED for row in state.invalid_events)

    def say(self, keyring: Keyring, assurance: Assurance, *, compared: bool) -> None:
        """Sum up for a person."""
        text = f"papers: {self.papers}; keyring {keyring.sha256[:16]}…, assurance {assurance}"
        if assurance == STATED:
            text += f"; applied as stated: {self.stated} events, which authenticates nothing "
            text += "beyond the receipt"
        if compared:
            text += f"; differing from what was expected: {self.differing}"
        say(text)
        say_unknown(self.unknown)
        if self.unsigned and assurance != STATED:
            say("published rows that carry no signatures count under --assurance stated only")
        if self.absent:
            say(f"of those, {self.absent} have no event here")


def _print(state: State) -> None:
    out(state.pith_number)
    out(f"  state_sha256  {state.state_sha256}")
    out(f"  core_sha256   {state.core_sha256}")
    out(
        f"  events        {state.event_count}: {state.valid_event_count} valid, "
        f"{state.invalid_event_count} invalid; {state.equivocation_count} equivocations; "
        f"{state.applied_as_stated} applied as stated"
    )
    out(f"  computed with keyring {state.keyring_sha256}, assurance {state.assurance}")
    _print_rows(
        "equivocation",
        [
            f"{row.rule} of key {row.public_key_fingerprint}: {', '.join(row.event_ids)}"
            for row in state.equivocations
        ],
    )
    _print_rows(
        "invalid",
        [
            f"{row.event_id or row.event_sha256}: {row.reason}: {row.detail}"
            for row in state.invalid_events
        ],
    )


def _print_rows(name: str, rows: list[str]) -> None:
    for row in rows[:_ROWS_SHOWN]:
        out(f"  {name:13} {row[:_ROW_LENGTH]}")
    if len(rows) > _ROWS_SHOWN:
        out(f"  {name:13} and {len(rows) - _ROWS_SHOWN} more")


_ROWS_SHOWN = 10
_ROW_LENGTH = 1000
STATE_MEMBERS = (
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
