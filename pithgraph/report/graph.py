"""Who signed what: signers and papers as a drawing of two columns, and the same as a table.

What lives here: what a link of the two is, which are shown, and where they stand. What must not:
anything about documents.

A signer is a name with a key's fingerprint, both as the documents say: somebody else's claim to the
same name is another signer. A link has the worst verdict of its events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

from pithgraph.audit.sightings import Sighting, Verdict
from pithgraph.report.text import counted, text

# What a person can still tell apart in a drawing, and read in a table.
_SIGNERS: Final = 24
_PAPERS: Final = 40
_LINKS: Final = 300

# A drawing as wide as the narrowest screen, so that its text is never smaller than it is here.
_WIDTH: Final = 320
_LEFT, _RIGHT = 124, 250
_ROW: Final = 30
_LABEL: Final = 15

# From the best to the worst, with what each means.
VERDICTS: Final[Mapping[Verdict, str]] = {
    "pass": "the signature verifies",
    "stated": "a row of a state: it holds, and shows no signature",
    "unconfirmed": "nothing at hand shows it",
    "fail": "it contradicts the rules",
}
_RANK: Final = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


class Signer(NamedTuple):
    """Who a document says signed: a name, and a key's fingerprint."""

    name: str
    key: str


class Link(NamedTuple):
    """What one signer said about one paper: how many events, by kind, and the worst verdict."""

    signer: Signer
    paper: str
    kinds: tuple[tuple[str, int], ...]
    verdict: Verdict

    @property
    def events(self) -> int:
        return sum(count for _, count in self.kinds)


def links_of(seen: Iterable[Sighting]) -> list[Link]:
    """The links of these events, those with the worst verdict first, then by name."""
    kinds: dict[tuple[Signer, str], Counter[str]] = {}
    worst: dict[tuple[Signer, str], Verdict] = {}
    for one in seen:
        pair = Signer(one.signer, one.key), one.paper
        kinds.setdefault(pair, Counter())[one.kind] += 1
        worst[pair] = max(worst.get(pair, one.verdict), one.verdict, key=_RANK.__getitem__)
    links = [
        Link(*pair, tuple(sorted(counts.items())), worst[pair]) for pair, counts in kinds.items()
    ]
    return sorted(links, key=lambda link: (-_RANK[link.verdict], link.signer, link.paper))


def graph(links: list[Link]) -> str:
    """The drawing, its legend and its table."""
    signers = list(dict.fromkeys(link.signer for link in links))
    papers = list(dict.fromkeys(link.paper for link in links))
    drawn = [
        link
        for link in links
        if link.signer in signers[:_SIGNERS] and link.paper in papers[:_PAPERS]
    ]
    notes = []
    if len(drawn) < len(links):
        notes.append(
            f"Drawn: {counted(len(drawn), 'link')} of {len(links):,}, those with the worst "
            "verdicts first."
        )
    if len(links) > _LINKS:
        notes.append(f"In the table: the first {_LINKS} of {len(links):,} links.")
    note = f'<p class="muted">{" ".join(notes)}</p>' if notes else ""
    return f"{_legend(drawn)}{_svg(drawn)}{note}{_table(links[:_LINKS])}"


def _legend(links: list[Link]) -> str:
    present = {link.verdict for link in links}
    items = "".join(
        f'<li><svg viewBox="0 0 40 8" aria-hidden="true"><line class="{verdict}" x1="2" y1="4" '
        f'x2="38" y2="4"/></svg><b class="{verdict}">{verdict}</b>: {meaning}</li>'
        for verdict, meaning in VERDICTS.items()
        if verdict in present
    )
    return f'<ul class="legend">{items}</ul>'


def _svg(links: list[Link]) -> str:
    # Sorted anew, so that the lines of one signer lie beside each other.
    signers = _rows(sorted({link.signer for link in links}))
    papers = _rows(sorted({link.paper for link in links}))
    height = _ROW * max(len(signers), len(papers)) + 8
    shift = {  # the shorter column stands in the middle
        "signers": (height - _ROW * len(signers)) // 2,
        "papers": (height - _ROW * len(papers)) // 2,
    }
    lines, nodes = [], []
    for link in reversed(links):  # the worst on top
        y1, y2 = signers[link.signer] + shift["signers"], papers[link.paper] + shift["papers"]
        told = (
            f"{_name(link.signer)}, {link.paper or 'no paper'}: "
            f"{counted(link.events, 'event')}, {link.verdict}"
        )
        lines.append(
            f'<line class="{link.verdict}" x1="{_LEFT}" y1="{y1}" x2="{_RIGHT}" y2="{y2}">'
            f"<title>{text(told)}</title></line>"
        )
    for signer, row in signers.items():
        y = row + shift["signers"]
        nodes.append(
            f'<g><title>{text(_name(signer))}</title><circle cx="{_LEFT}" cy="{y}" r="3"/>'
            f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end">{_label(signer.name or "nobody")}'
            f'</text><text class="sub" x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">'
            f"{text(signer.key[:8])}</text></g>"
        )
    for paper, row in papers.items():
        y = row + shift["papers"]
        nodes.append(
            f'<g><title>{text(paper)}</title><circle cx="{_RIGHT}" cy="{y}" r="3"/>'
            f'<text x="{_RIGHT + 8}" y="{y + 4}">{_short(paper)}</text></g>'
        )
    told = (
        f"{counted(len(signers), 'signer')} on the left, {counted(len(papers), 'paper')} on the "
        "right, and a line where a signer said something about a paper. The table below has the "
        "same."
    )
    return (
        f'<svg role="img" aria-label="{told}" viewBox="0 0 {_WIDTH} {height}">'
        f"{''.join(lines)}{''.join(nodes)}</svg>"
    )


Node = TypeVar("Node", Signer, str)


def _rows(nodes: list[Node]) -> dict[Node, int]:
    return {node: _ROW * index + _ROW // 2 for index, node in enumerate(nodes)}


def _name(signer: Signer) -> str:
    return f"{signer.name or 'nobody'}, key {signer.key or 'not named'}"


def _label(name: str) -> str:
    return text(name if len(name) <= _LABEL else name[: _LABEL - 1] + "\u2026")


def _short(paper: str) -> str:
    """The first 8 characters after the year, as people know a paper."""
    return text(paper.rpartition(":")[2][:8] or "no paper")


def _table(links: list[Link]) -> str:
    rows = "".join(
        f'<tr role="row">{cell("Signer", text(link.signer.name or "nobody"))}'
        f"{cell('Key', text(link.signer.key))}{cell('Paper', text(link.paper))}"
        f"{cell('Events', ', '.join(f'{count:,} {text(kind)}' for kind, count in link.kinds[:20]))}"
        f"{verdict_cell(link.verdict)}</tr>"
        for link in links
    )
    head = table_head("Signer", "Key", "Paper", "Events", "Worst verdict")
    return (
        f"<details><summary>The same as a table, {counted(len(links), 'link')}</summary>"
        f'<table class="links" role="table">{head}<tbody role="rowgroup">{rows}</tbody></table>'
        "</details>"
    )


# --- tables, which are cards on a narrow screen; so their roles are said ---------------------


def table_head(*names: str) -> str:
    """The head of a table of these columns."""
    cells = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in names)
    return f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>'


def cell(label: str, html: str) -> str:
    """A cell of the column of this name; `html` is escaped already."""
    return f'<td role="cell" data-label="{label}"><span class="v">{html}</span></td>'


def verdict_cell(verdict: Verdict, detail: str = "") -> str:
    """A cell with a verdict, and why; `detail` is escaped already."""
    why = f' <span class="v">{detail}</span>' if detail else ""
    return (
        '<td role="cell" data-label="Verdict"><span>'
        f'<b class="{verdict}">{verdict}</b>{why}</span></td>'
    )
