"""The links of a record against the published URL patterns (SPEC §4).

What lives here: the table of patterns and the origin that a document's links share. What must
not: fetching anything; a link is a text that follows from the Pith Number.

A mirror publishes under its own address, so the origin is the document's own: the one that most
of its links have. A link with another is a fault of that link.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from pithgraph.audit.findings import (
    ABSENT,
    Outcome,
    Part,
    agree,
    at,
    failed,
    named,
    skipped,
    unconfirmed,
)
from pithgraph.identifiers import PithNumber

# Where a group of links stands, and the pattern of each name in it.
PATTERNS: Final[Mapping[tuple[str, ...], Mapping[str, str]]] = {
    ("links",): {
        "html": "/pith/{suffix}",
        "json": "/pith/{suffix}.json",
        "graph_json": "/api/pith-number/{suffix}/graph.json",
        "events_json": "/api/pith-number/{suffix}/events.json",
        "paper": "/paper/{short}",
    },
    ("agent_actions",): {
        "view_html": "/pith/{suffix}",
        "download_json": "/pith/{suffix}.json",
        "view_paper": "/paper/{short}",
        "resolve_alias": "/api/pith-number/resolve?arxiv={arxiv}&json=true",
        "fetch_graph": "/api/pith-number/{suffix}/graph.json",
        "fetch_events": "/api/pith-number/{suffix}/events.json",
    },
    ("agent_actions", "actions"): {
        "anchor_timestamp": "/pith/{suffix}/action/timestamp_anchor",
        "attest_storage": "/pith/{suffix}/action/storage_attestation",
        "attest_author": "/pith/{suffix}/action/author_attestation",
        "sign_citation": "/pith/{suffix}/action/citation_signature",
        "submit_replication": "/pith/{suffix}/action/replication_record",
    },
}

_URL: Final = re.compile(r"(https?://[^/?#]+)(/.*)", re.DOTALL)


def link_parts(document: dict[str, Any], paper: PithNumber, arxiv: str | None) -> Iterator[Part]:
    """Every link of `links` and `agent_actions`; a check's name is the link's path. `arxiv` is
    the paper's arXiv id, or None where it has none."""
    origin = _origin(document)
    for path, patterns in PATTERNS.items():
        group = at(document, *path)
        where = ".".join(path)
        if group is ABSENT:
            yield where, skipped("absent")
            continue
        if not isinstance(group, dict):
            yield where, failed("it is no object")
            continue
        for name, pattern in patterns.items():
            yield f"{where}.{name}", _link(group, name, pattern, paper, arxiv, origin)
        for name in group:
            if name not in patterns and (*path, name) not in PATTERNS:
                yield where + named(name), unconfirmed("no pattern of this name is published")


def _link(
    group: dict[str, Any],
    name: str,
    pattern: str,
    paper: PithNumber,
    arxiv: str | None,
    origin: str | None,
) -> Outcome:
    link = at(group, name)
    if link is ABSENT:
        return skipped("absent")
    if not isinstance(link, str) or _URL.fullmatch(link) is None:
        return failed("it is no http(s) URL with a path")
    if "{arxiv}" in pattern and arxiv is None:
        return unconfirmed("the paper has no arXiv id to be resolved")
    # An old id has a slash, and nothing published shows whether it is quoted in a query.
    ids = dict.fromkeys((arxiv or "", quote(arxiv or "", safe=""), quote(arxiv or "")))
    expected = [
        f"{origin}{pattern.format(suffix=paper.suffix, short=paper.suffix[:8], arxiv=one)}"
        for one in ids
    ]
    return agree(link, link if link in expected else expected[0], "the pattern gives")


def _origin(document: dict[str, Any]) -> str | None:
    """The origin that most links have; of several the first."""
    groups = [at(document, *path) for path in PATTERNS]
    found = [
        url.group(1)
        for group in groups
        if isinstance(group, dict)
        for link in group.values()
        if isinstance(link, str) and (url := _URL.fullmatch(link))
    ]
    return Counter(found).most_common(1)[0][0] if found else None
