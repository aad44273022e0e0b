"""Text for HTML: everything that comes from a document or a path goes through here.

What lives here: escaping and cutting. What must not: any element of the page.
"""

from __future__ import annotations

from html import escape
from typing import Final

from pithgraph.audit.findings import plain

_MOST: Final = 400


def text(value: str, most: int = _MOST) -> str:
    """A text for an element or a quoted attribute: it can end neither, steers no direction of
    writing, shows control characters as escapes, and is cut in its middle where it is long."""
    shown = plain(value)
    if len(shown) > most:
        half = (most - 3) // 2
        shown = shown[:half] + "..." + shown[-half:]
    return escape(shown, quote=True)


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 paper`, `2 papers`, `1,000 papers`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
