"""Options that several verbs share, each defined once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from pithgraph.cli.output import say
from pithgraph.errors import CheckpointError
from pithgraph.log import remote_file_system
from pithgraph.notes import VerifierKey, check_key_name, parse_verifier_key
from pithgraph.sources import Limits

Function = TypeVar("Function", bound=Callable[..., Any])

json_lines = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines.")
keyring = click.option(
    "--keyring",
    "keyring_path",
    envvar="PITHGRAPH_KEYRING",
    show_envvar=True,
    type=click.Path(dir_okay=False),
    help="Trust the keys of this file instead of the registry's key.",
)
passphrase = click.option(
    "--passphrase-file",
    "passphrase_path",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The private key's passphrase: the one line of this file.",
)


def log_option(*, required: bool, help: str) -> Callable[[Function], Function]:
    """`--log`, with a warning where LMDB does not hold."""
    return click.option(
        "--log",
        "log_path",
        envvar="PITHGRAPH_LOG",
        show_envvar=True,
        required=required,
        type=click.Path(file_okay=False),
        callback=_warned,
        help=help,
    )


def _warned(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    kind = None if path is None else remote_file_system(path)
    if kind is not None:
        say(
            f"warning: {path} is on {kind}: logs hold on a machine's own file systems only; on one "
            "that several machines share, this log may be read wrong, or be damaged"
        )
    elif path is not None and _is_read_only(path):
        say(
            f"warning: {path} is on a file system that is mounted read-only, where readers cannot "
            "be noted: if the log is written elsewhere meanwhile, it may be read wrong"
        )
    return path


def is_from_environment(parameter: str) -> bool:
    """Whether a parameter of the verb that runs has its value from an environment variable."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.ENVIRONMENT


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


log_folder = log_option(required=True, help="The log's folder.")
assurance = click.option(
    "--assurance",
    type=click.Choice(["verified", "stated"]),
    default="verified",
    show_default=True,
    help="`stated` applies unsigned rows of published documents too; it authenticates nothing "
    "beyond the receipt.",
)
as_of = click.option(
    "--as-of", metavar="TIME", help="Only what was created by TIME, such as 2026-05-18T00:00:00Z."
)
at = click.option(
    "--at",
    type=click.IntRange(min=0),
    metavar="POSITION",
    help="Only the first POSITION events of the log, and the alias rows that came with them.",
)

output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to this file instead of standard output.",
)


def _vkeys(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> tuple[VerifierKey, ...]:
    try:
        return tuple(map(parse_verifier_key, texts))
    except CheckpointError as error:
        raise click.BadParameter(str(error)) from None


vkeys = click.option(
    "--vkey",
    "vkeys",
    multiple=True,
    callback=_vkeys,
    metavar="NAME+HASH+KEY",
    help="Trust this verifier key, as `pithgraph checkpoint` prints it, to sign the checkpoints of "
    "the log of its name; with any, whatever none of them signed fails. May be repeated.",
)


def _origin(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    try:
        if name is not None:
            check_key_name(name)
    except CheckpointError as error:
        raise click.BadParameter(str(error)) from None
    return name


def signing(*, required: bool) -> Callable[[Function], Function]:
    """`--origin` and `--key`, with which a checkpoint is signed."""

    def add(function: Function) -> Function:
        function = click.option(
            "--key",
            "key_path",
            required=required,
            type=click.Path(dir_okay=False),
            help="The log's private key, PKCS#8 PEM without a passphrase.",
        )(function)
        return click.option(
            "--origin",
            required=required,
            callback=_origin,
            metavar="NAME",
            help="The log's name, such as example.org/log: it is signed, and never changes.",
        )(function)

    return add


def cpus() -> int:
    """How many CPUs this process may use: so many worker processes a verb starts by itself."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        return os.cpu_count() or 1


def workers(what: str) -> Callable[[Function], Function]:
    """`--workers`; `what` they do, and beside whom."""
    return click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=cpus,
        show_default="the CPUs this process may use",
        metavar="N",
        help=f"{what}; with 0 it does all itself. An input of a few megabytes starts none.",
    )


_MOST_BYTES = 2**40


def limits(function: Function) -> Function:
    """`--max-line` and `--max-document`, handed on as bytes."""
    for name, default, what in (
        ("--max-document", Limits().document, "document"),
        ("--max-line", Limits().line, "line of JSON Lines"),
    ):
        function = click.option(
            name,
            type=click.IntRange(min=1, max=_MOST_BYTES),
            default=default,
            show_default=True,
            metavar="BYTES",
            help=f"Refuse a longer {what}.",
        )(function)
    return function
