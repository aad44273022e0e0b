"""The page about a paper: HTML that works without scripts and fetches nothing.

What lives here: how a paper looks to a person. What must not: what is said of it (`outgoing`).

All that comes from documents goes through `_text`: no title can be markup, and its direction of
writing ends with it. Links lead to the tree's own files, by the Pith Number alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, Final

from pithgraph.canonical import encode
from pithgraph.identifiers import PithNumber
from pithgraph.outgoing import Known

_SHOWN_LENGTH: Final = 2_000
_ROWS_SHOWN: Final = 100

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading} - {number}</title>
<style>
body {{ font-family: sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }}
td, th {{ padding: .2em 1em .2em 0; text-align: left; vertical-align: top }}
td {{ overflow-wrap: anywhere }}
</style>
</head>
<body>
<h1><bdi>{heading}</bdi></h1>
<p>{number}</p>
{sections}
</body>
</html>
"""

# What a page links to, from the folder that it lies in.
_FILES: Final = (
    ("record", "../{suffix}.json"),
    ("bundle", "bundle.json"),
    ("state", "state.json"),
    ("graph", "../../api/pith-number/{suffix}/graph.json"),
    ("events", "../../api/pith-number/{suffix}/events.json"),
)


def page(known: Known, paper: PithNumber, record: dict[str, Any] | None) -> bytes:
    """The page of a paper, in UTF-8; `record` is its record document, if it has one."""
    about = record["paper"] if record is not None else {}
    state = known.state
    sections = [
        _table("Paper", ((name, about[name]) for name in sorted(about) if name != "title")),
        _table("Status", record["verification_status"].items() if record is not None else ()),
        _table(
            "Aliases",
            (
                (alias["alias_kind"], alias["alias_value"])
                for alias in known.document["current"]["source_aliases"]
            ),
        ),
        _table("Events", ((kind, count) for kind, count in _counts(known))),
        _table(
            "State",
            (
                ("state_sha256", state.state_sha256),
                ("core_sha256", state.core_sha256),
                ("keyring_sha256", state.keyring_sha256),
                ("assurance", state.assurance),
                ("applied as stated, unsigned", state.applied_as_stated),
                ("invalid events", state.invalid_event_count),
                ("equivocations", state.equivocation_count),
            ),
        ),
        _files(paper, record is not None),
    ]
    title = about.get("title")
    html = _PAGE.format(
        heading=_text(title if isinstance(title, str) and title.strip() else paper.short),
        number=escape(str(paper)),
        sections="\n".join(filter(None, sections)),
    )
    return html.encode("utf-8")


def _counts(known: Known) -> Iterable[tuple[str, int]]:
    current = known.document["current"]
    for bucket in sorted(current):
        if bucket not in ("canonical_record", "source_aliases", "record_created") and (
            rows := current[bucket]
        ):
            yield bucket, len(rows)


def _table(heading: str, rows: Iterable[tuple[str, Any]]) -> str:
    lines = [
        f"<tr><th>{_text(name)}</th><td><bdi>{_text(value)}</bdi></td></tr>"
        for name, value in list(rows)[:_ROWS_SHOWN]
    ]
    return f"<h2>{heading}</h2>\n<table>\n" + "\n".join(lines) + "\n</table>" if lines else ""


def _files(paper: PithNumber, has_record: bool) -> str:
    lines = [
        f'<li><a href="{place.format(suffix=paper.suffix)}">{name}</a></li>'
        for name, place in _FILES
        if has_record or name != "record"
    ]
    return "<h2>Files</h2>\n<ul>\n" + "\n".join(lines) + "\n</ul>"


def _text(value: Any) -> str:
    """A value as text that can be nothing else in HTML; what is no string as its JSON."""
    text = value if isinstance(value, str) else encode(value).decode("utf-8")
    if len(text) > _SHOWN_LENGTH:
        text = text[:_SHOWN_LENGTH] + "…"
    return escape(
        "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    )
