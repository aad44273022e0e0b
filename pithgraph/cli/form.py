"""Asking on a terminal for what a new event lacks.

What lives here: questions and answers. What must not: which questions there are (`composing`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from pithgraph.authoring import load_payload
from pithgraph.cli.output import printable
from pithgraph.composing import FIELDS, TARGETS, Field, read_field
from pithgraph.errors import PithgraphError
from pithgraph.kinds import KINDS


def is_on_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask_fields(event_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a kind's fields, by path: those given, and an answer for each of the others
    that may stand beside them."""
    values = dict(values)
    for field in FIELDS[event_type]:
        if field.path in values or not field.applies(values):
            continue
        answer = _ask_field(field, must=field.is_missing(values))
        if answer is not None:
            values[field.path] = answer
    return values


def ask_target(event_type: str) -> str:
    """The target of an event of a kind that does not fix it."""

    def read(text: str) -> str:
        if not KINDS[event_type].target.fullmatch(text):
            raise click.BadParameter(f"{printable(text[:100])} is not of that form")
        return text

    return str(_answer(f"target ({TARGETS[event_type]})", read, must=True))


def ask_whether(question: str) -> bool:
    """A yes or a no."""
    try:
        return click.confirm(question, err=True)
    except UnicodeDecodeError:
        raise _not_utf8() from None


def read_option(field: Field, text: str) -> Any:
    """The value of a field as it was typed; a JSON field names its file. Raises PithgraphError."""
    return load_payload(text) if field.form == "json" else read_field(field, text)


def _ask_field(field: Field, *, must: bool) -> Any:
    def read(text: str) -> Any:
        try:
            return read_option(field, text) if text or must else None
        except PithgraphError as error:
            raise click.BadParameter(printable(str(error))) from None

    about = field.about.rstrip(".")
    words = [f"one of {', '.join(field.choices)}"] if field.choices else []
    words += ["a file"] if field.form == "json" else []
    words += [] if must else ["Enter leaves it out"]
    hint = f" ({'; '.join(words)})" if words else ""
    return _answer(f"{field.path}: {about}{hint}", read, must=must)


def _answer(question: str, read: Callable[[str], Any], *, must: bool) -> Any:
    try:
        return click.prompt(
            question,
            default=None if must else "",
            show_default=False,
            value_proc=read,
            err=True,
        )
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _not_utf8() -> click.UsageError:
    return click.UsageError("what was typed is not text in the terminal's encoding")
