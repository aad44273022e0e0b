"""`pithgraph sign KIND`, a command for each of the nine kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import click

from pithgraph.appending import append_event, check_new_event, previous_event
from pithgraph.authoring import load_passphrase, load_payload, load_private_key, sign_event
from pithgraph.cli import FAILED, FINE, options
from pithgraph.cli.form import ask_fields, ask_target, ask_whether, is_on_terminal, read_option
from pithgraph.cli.output import deliver, out, out_json, printable_json, say
from pithgraph.composing import FIELDS, TARGETS, Field, has_default_target, payload_of, target_of
from pithgraph.errors import IdentifierError
from pithgraph.events import Event
from pithgraph.identifiers import (
    SUFFIX_LENGTH,
    PithNumber,
    check_time,
    fingerprint_of,
    parse_reference,
)
from pithgraph.keyring import Keyring
from pithgraph.keys import public_bytes
from pithgraph.kinds import KINDS, RECORD_CREATED
from pithgraph.log import Log, LogWriter
from pithgraph.outline import EVENT_ID
from pithgraph.replaying import find_paper
from pithgraph.sources import load_keyring
from pithgraph.vetting import signer_of_key

_ANYONE = "whoever has a key of the keyring"


class _Kinds(click.Group):
    """A command for each kind, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(KINDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _command_of(name) if name in KINDS else None


@click.group("sign", cls=_Kinds, subcommand_metavar="KIND PITH --key FILE [OPTIONS]")
def command() -> None:
    """Sign an event of one of nine kinds about a paper.

    What is signed is shown first, on standard error, and on a terminal you are asked whether to go
    on; what is missing is asked for there too. An event that a merge would call invalid is refused
    with the reason, and so is one that would contradict another of the same key in the log of
    --log; the exit code is 1 then, and nothing is written.

    \b
    pithgraph sign citation_signature --help
    """


class _Parts(NamedTuple):
    """The options of `sign` that are the same for every kind."""

    key_path: str
    passphrase_path: str | None
    key_id: str | None
    signer_id: str | None
    signer_type: str | None
    target: str | None
    created_at: str | None
    previous: bool
    previous_event_id: str | None
    payload_path: str | None
    keyring_path: str | None
    log_path: str | None
    append: bool
    output: str | None
    yes: bool
    as_json: bool


def _command_of(event_type: str) -> click.Command:
    fields = FIELDS[event_type]

    def run(pith: str, **given: Any) -> int:
        texts = {field.path: given.pop(_parameter(field)) for field in fields}
        texts = {path: text for path, text in texts.items() if text is not None}
        return _sign(event_type, pith, texts, _Parts(**given))

    kind = KINDS[event_type]
    run.__doc__ = _HELP.format(
        kind=event_type,
        who=_ANYONE if kind.signer_types is None else " or ".join(sorted(kind.signer_types)),
        target=TARGETS[event_type],
        more=_FROM_OPTIONS if fields else _FROM_A_FILE,
        example=("" if has_default_target(event_type) else "--target ... ")
        + (
            " ".join(
                f"{_option(field)} ..." for field in fields if field.required and not field.nullable
            )
            or "--payload payload.json"
        ),
    )
    decorators = [click.argument("pith", metavar="PITH")]
    decorators += [
        click.option(
            _option(field),
            _parameter(field),
            type=click.Choice(field.choices) if field.choices else str,
            metavar="FILE" if field.form == "json" else None,
            help=field.about + _optional(field),
        )
        for field in fields
    ]
    decorators += _common(event_type, payload_is_required=not fields)
    function: Callable[..., int] = run
    for decorator in reversed(decorators):
        function = decorator(function)
    return click.command(event_type)(function)


def _option(field: Field) -> str:
    return "--" + field.path.replace(".", "-").replace("_", "-")


def _parameter(field: Field) -> str:
    return "field_" + field.path.replace(".", "_")


def _optional(field: Field) -> str:
    if field.when is not None:
        return " Exactly when {} is {}.".format(*field.when)
    return "" if field.required else " May be left out."


_HELP = """Sign an event of kind {kind} about PITH.

    By {who}. Target: {target}. {more}

    PITH is a full Pith Number; with --log also a short form of a paper in the log.

    \b
    pithgraph sign {kind} PITH --key key.pem --keyring keys.json \\
        {example}
    """
_FROM_OPTIONS = (
    "On a terminal, whatever required is missing is asked for. Further members of the payload are "
    "given by --payload."
)
_FROM_A_FILE = (
    "Its payload holds a canonical record and its receipt, so a registry's program makes it, as a "
    "file for --payload."
)


def _common(event_type: str, *, payload_is_required: bool) -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "--payload",
            "payload_path",
            required=payload_is_required,
            metavar="FILE",
            help="Take the whole payload from a JSON file; - is standard input.",
        ),
        click.option(
            "--key",
            "key_path",
            required=True,
            type=click.Path(dir_okay=False),
            help="The signer's private key, PKCS#8 PEM.",
        ),
        options.passphrase,
        click.option("--key-id", metavar="ID", help="By default as the keyring has it."),
        click.option("--signer-id", metavar="ID", help="By default as the keyring has it."),
        click.option("--signer-type", metavar="TYPE", help="By default as the keyring has it."),
        click.option("--target", metavar="TEXT", help=f"What it is about: {TARGETS[event_type]}."),
        click.option("--created-at", metavar="TIME", help="By default now, in whole seconds."),
        click.option(
            "--previous",
            is_flag=True,
            help="Name the key's last event about PITH, in the log of --log, as previous_event_id.",
        ),
        click.option("--previous-event-id", metavar="EVENT_ID", help="Name this event instead."),
        options.keyring,
        options.log_option(
            required=False,
            help="Refuse what would contradict events in this log, or is there already.",
        ),
        click.option("--append", is_flag=True, help="Put the event into the log of --log."),
        options.output,
        click.option("--yes", is_flag=True, help="Do not ask whether to go on."),
        options.json_lines,
    ]


def _sign(event_type: str, pith: str, texts: dict[str, str], parts: _Parts) -> int:
    _check_usage(event_type, texts, parts)
    with ExitStack() as stack:
        log = None if parts.log_path is None else stack.enter_context(Log.open(parts.log_path))
        paper = _paper(pith, log, may_be_new=not parts.append or event_type == RECORD_CREATED)
        keyring = load_keyring(parts.keyring_path)
        event = _event(event_type, paper, texts, parts, keyring, log)
        check_new_event(event, keyring=keyring, log=log)
    _show(event)
    if log is None:
        say("not compared with any log: with --log, what contradicts the key's events is refused")
    if not parts.yes and is_on_terminal() and not ask_whether("Sign this?"):
        say("nothing was written")
        return FAILED
    row = {
        "event_id": event.event_id,
        "event_type": event_type,
        "pith_number": str(paper),
        "keyring_sha256": keyring.sha256,
    }
    if parts.append:
        assert parts.log_path is not None
        with LogWriter.open(parts.log_path) as writer:
            position = append_event(writer, event, keyring=keyring)
        if parts.as_json:
            out_json({**row, "position": position})
        else:
            out(f"appended {event.event_id} at position {position}")
    else:
        described = row if parts.as_json else None
        deliver(event.canonical + b"\n", parts.output, described=described)
    say(f"signed {event.event_id}, valid under keyring {keyring.sha256}")
    return FINE


def _check_usage(event_type: str, texts: dict[str, str], parts: _Parts) -> None:
    if parts.payload_path is not None and texts:
        raise click.UsageError("--payload is the whole payload: leave out the options of members")
    if parts.log_path is None and (parts.previous or parts.append):
        name = "--previous" if parts.previous else "--append"
        raise click.UsageError(f"{name} needs a log: name it by --log")
    if parts.previous and parts.previous_event_id is not None:
        raise click.UsageError("--previous and --previous-event-id exclude each other")
    if parts.append and parts.output is not None:
        raise click.UsageError("--append and -o exclude each other: `export` writes events out")
    if parts.created_at is not None:
        check_time(parts.created_at)
    previous = parts.previous_event_id
    if previous is not None and not EVENT_ID.fullmatch(previous):
        raise IdentifierError(f"{previous!r} is no event_id (sha256: and 64 hex digits)")


def _paper(pith: str, log: Log | None, *, may_be_new: bool) -> PithNumber:
    """The paper that is meant. Of a log into which the event goes it must be one, unless the event
    is what makes it one: a slip in a number would make another paper for good."""
    reference = parse_reference(pith)
    if log is not None and not may_be_new:
        return find_paper(log, pith)
    if reference.year is not None and len(reference.prefix) == SUFFIX_LENGTH:
        paper = PithNumber(reference.year, reference.prefix)
        if log is not None:
            with log.snapshot() as snapshot:
                if not snapshot.find(reference):
                    say(f"warning: the log holds nothing about {paper}: is it the right number?")
        return paper
    if log is None:
        raise click.UsageError(f"{pith!r} is short: give the full Pith Number, or --log")
    return find_paper(log, pith)


def _event(
    event_type: str,
    paper: PithNumber,
    texts: dict[str, str],
    parts: _Parts,
    keyring: Keyring,
    log: Log | None,
) -> Event:
    passphrase = None if parts.passphrase_path is None else load_passphrase(parts.passphrase_path)
    key = load_private_key(parts.key_path, passphrase)
    fingerprint = fingerprint_of(public_bytes(key))
    entry = signer_of_key(keyring, fingerprint)
    signer_id = entry.signer_id if parts.signer_id is None else parts.signer_id
    signer_type = entry.signer_type if parts.signer_type is None else parts.signer_type
    target_from = partial(target_of, event_type, signer_id=signer_id, signer_type=signer_type)

    values = {
        field.path: read_option(field, texts[field.path])
        for field in FIELDS[event_type]
        if field.path in texts
    }
    payload = None if parts.payload_path is None else load_payload(parts.payload_path)
    if payload is None:
        values = _completed(event_type, values)
    target = parts.target
    if target is None:
        target = target_from(values if payload is None else payload)
    if target is None:
        if not is_on_terminal():
            raise click.UsageError(f"missing --target: {TARGETS[event_type]}")
        target = ask_target(event_type)

    created_at = parts.created_at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    previous_id = parts.previous_event_id
    if parts.previous:
        assert log is not None
        previous = previous_event(log, paper, fingerprint, keyring=keyring)
        if previous is None:
            say(f"this key has no event about {paper} in the log, so none is named as previous")
        else:
            previous_id = previous.event_id
            if (previous.timestamp or "") > created_at:
                say(f"warning: {previous_id} is dated later than this event, which follows it")
    return sign_event(
        key,
        event_type=event_type,
        subject=str(paper),
        target=target,
        payload=payload_of(event_type, values, target) if payload is None else payload,
        created_at=created_at,
        key_id=entry.key_id if parts.key_id is None else parts.key_id,
        signer_id=signer_id,
        signer_type=signer_type,
        previous_event_id=previous_id,
    )


def _completed(event_type: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values with nothing required missing: asked for, or wrong usage."""
    missing = [field for field in FIELDS[event_type] if field.is_missing(values)]
    if not missing:
        return values
    if is_on_terminal():
        return ask_fields(event_type, values)
    raise click.UsageError(
        f"missing {', '.join(map(_option, missing))}: give them, or --payload FILE, or answer on a "
        "terminal"
    )


def _show(event: Event) -> None:
    """What is signed, for whoever signs it."""
    value = {name: member for name, member in event.value.items() if name != "signature"}
    say("to be signed:")
    for line in printable_json(json.dumps(value, indent=2, ensure_ascii=False)).split("\n"):
        say(line)
