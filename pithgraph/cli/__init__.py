"""The command line: one file a verb, each thin.

What lives here: the group, and what every failure becomes for a user. What must not: anything
about truth. A verb's module is imported when the verb is used.

Exit codes (SPEC §11): 0 fine, 1 a check failed, 2 wrong usage, 3 some input was unreadable or
refused, 4 the log is damaged, locked or of another format, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from pithgraph import __version__
from pithgraph.cli.output import OutputClosed, say, to_nowhere
from pithgraph.errors import (
    IdentifierError,
    KeyringError,
    LogError,
    PithgraphError,
    ProofError,
    SigningRefused,
)

FINE, FAILED, USAGE, REFUSED, LOG, INTERRUPTED = 0, 1, 2, 3, 4, 130

_VERBS = (
    "anchor",
    "audit",
    "backup",
    "bundle",
    "checkpoint",
    "cited-by",
    "completion",
    "conformance",
    "diff",
    "explain",
    "export",
    "fsck",
    "ingest",
    "keyring",
    "keys",
    "log",
    "proof",
    "prove",
    "publish",
    "record",
    "replay",
    "resolve",
    "sign",
    "stat",
    "state",
    "storage",
)
_CODES: tuple[tuple[type[PithgraphError], int], ...] = (
    (LogError, LOG),
    (IdentifierError, USAGE),
    (ProofError, FAILED),
    (SigningRefused, FAILED),
    (KeyringError, REFUSED),
    (PithgraphError, REFUSED),
)


class _Verbs(click.Group):
    """The verbs, each imported from its own module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command: click.Command = import_module(_module_of(name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With what may have been meant, where there is no such verb."""
        from difflib import get_close_matches  # loaded by who errs alone

        name = args[0]
        near = [] if name in _VERBS else get_close_matches(name, _VERBS)
        if near:
            raise click.UsageError(f"No such command {name!r} (did you mean {near[0]}?)", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with all of the sentence that its own help begins with."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None  # of the list
            first = str(command.help).split("\n\n")[0]
            rows.append((name, " ".join(first.split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _module_of(verb: str) -> str:
    return f"pithgraph.cli.{verb.replace('-', '_')}"


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pithgraph", message="%(prog)s %(version)s")
def pithgraph() -> None:
    """Replay and audit the signed events of the Pith open graph.

    \b
    pithgraph audit fixtures/pith
    pithgraph ingest --log my-log bundles/
    pithgraph replay --log my-log
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with a code of SPEC §11."""
    # A stream that the caller closed is None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # What cannot be written in the terminal's encoding is escaped, never a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # ignored under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    # Where it is ignored, as in a script's background job, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(_run(arguments))


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: finished batches stay, temporary files and worker
    processes go. That is not interrupted by an impatient second one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = pithgraph.main(arguments, prog_name="pithgraph", standalone_mode=False)
        return int(code or FINE)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)  # the help, which is ours and has lines
        return USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        say(error.format_message() if error.exit_code != USAGE else _usage(error))
        return USAGE
    except (click.Abort, KeyboardInterrupt) as error:
        # A verb may have noted what is kept. click puts its own exception before an interrupt.
        notes = getattr(error.__cause__ or error, "__notes__", ())
        say("; ".join(("interrupted", *notes)))
        return INTERRUPTED
    except OutputClosed as error:
        to_nowhere(sys.stdout)
        if str(error):
            say(f"error: standard output: {error}")
        return REFUSED
    except PithgraphError as error:
        say(f"error: {error}")
        return next(code for kind, code in _CODES if isinstance(error, kind))
    except (OSError, MemoryError) as error:
        say(f"error: {str(error) or type(error).__name__}")
        return REFUSED


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context else ""
    message = " ".join(error.format_message().split())  # click's lists have a line for each
    return f"error: {message.rstrip('.')}{hint}"
