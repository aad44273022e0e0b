"""`python -m benchmarks run`: measures, and shows what was measured.

What lives here: the command, the table, JSON, the plot. What must not: what is measured
(`workloads`), and how (`measure`).
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.measure import PER_EVENT, Comparison, Line, Result, machine, measure
from benchmarks.workloads import LINES, PASSES, WORKLOADS
from benchmarks.workloads_given import Given, missing

_COLUMNS: Final = (
    *("line", "fsync", "events", "median", "min", "max", "unit", "events/s"),
    *("compared", "target", ""),
)
_NUMBERS: Final = frozenset({"events", "median", "min", "max", "events/s"})
_COMPARED: Final = {">=": "speed", "<=": "cost"}


@click.command()
@click.argument("workload", nargs=-1)
@click.option("--events", type=click.IntRange(min=2), default=20_000, show_default=True)
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), metavar="FILE")
@click.option("--plot", "plot_file", type=click.Path(dir_okay=False), metavar="FILE")
def command(
    workload: tuple[str, ...],
    events: int,
    repeat: int,
    json_file: str | None,
    plot_file: str | None,
) -> None:
    """Measure pithgraph: the WORKLOADs named, or all.

    Every line is measured once a round, in turn, for --repeat rounds. --plot writes .png or .svg.
    """
    for name in workload:
        if name not in WORKLOADS:
            raise click.UsageError(f"no workload {name!r}; there are: {', '.join(WORKLOADS)}")
    if plot_file and Path(plot_file).suffix not in (".png", ".svg"):
        raise click.UsageError("--plot writes FILE.png or FILE.svg")
    lines, skipped = _choose(workload or WORKLOADS)
    if plot_file and importlib.util.find_spec("matplotlib") is None:
        skipped["plot"] = "matplotlib is not installed: pip install 'pithgraph[bench]'"
        plot_file = None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pithgraph-bench-")))
        where = machine(folder)
        click.echo("\n".join(f"{name:13}{_shown(value)}" for name, value in where.items()))
        click.echo(f"\n{events:,} events, {repeat} rounds\n")
        given = Given(folder, events, repeat, stack)
        results = measure(lines, given, repeat, PASSES, lambda text: click.echo(text, err=True))
    click.echo(table(results))
    for name, reason in skipped.items():
        click.echo(f"skipped {name}: {reason}")
    if json_file:
        document = {
            "machine": where,
            "events": events,
            "repeat": repeat,
            "lines": [_as_json(result) for result in results],
            "skipped": skipped,
        }
        Path(json_file).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if plot_file:
        plot(results, plot_file)


def _choose(workloads: Sequence[str]) -> tuple[list[Line], dict[str, str]]:
    """The lines of these workloads, and those to skip with the reason."""
    lines = []
    skipped = {}
    for line in LINES:
        if line.workload in workloads:
            reason = next(filter(None, map(missing, line.needs)), None)
            if reason is None:
                lines.append(line)
            else:
                skipped[line.title] = reason
    return lines, skipped


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- the table -------------------------------------------------------------------------------


def table(results: Sequence[Result]) -> str:
    """One row a line, and a further row for each further comparison."""
    rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True))]
    for result in results:
        row = {
            "line": result.line.title,
            "fsync": result.line.fsync,
            "events": f"{result.events:,}" if result.events else "",
            "median": _figure(result.value.median),
            "min": _figure(result.value.min),
            "max": _figure(result.value.max),
            "unit": result.line.unit,
            "events/s": f"{rate:,.0f}" if (rate := result.events_per_second) else "",
        }
        for comparison in result.comparisons:
            rows.append({**row, **_compared(comparison)})
            row = {}
        if row:
            rows.append(row)
    widths = {name: max(len(row.get(name, "")) for row in rows) for name in _COLUMNS}
    return "\n".join(
        "  ".join(
            row.get(name, "").rjust(width) if name in _NUMBERS else row.get(name, "").ljust(width)
            for name, width in widths.items()
        ).rstrip()
        for row in rows
    )


def _compared(comparison: Comparison) -> dict[str, str]:
    against, ratio = comparison.against, comparison.ratio
    cells = {}
    if against.reference is not None:
        figure = "not run:" if ratio is None else f"{ratio.median:.2f} of"
        cells["compared"] = f"{_COMPARED[against.relation]} {figure} {against.reference}"
    if against.target is not None:
        cells["target"] = f"{against.relation} {against.target:.2f}"
    if comparison.met is not None:
        cells[""] = "met" if comparison.met else "missed"
    return cells


def _figure(value: float) -> str:
    return f"{value:,.{0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 1 else 3}f}"


# --- JSON ------------------------------------------------------------------------------------


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "workload": result.line.workload,
        "name": result.line.name,
        "what": result.line.what,
        "fsync": result.line.fsync or None,
        "events": result.events,
        "unit": result.line.unit,
        "samples": result.samples,
        **result.value._asdict(),
        "events_per_second": result.events_per_second,
        "compared": [
            {
                "reference": comparison.against.reference,
                "of": _COMPARED[comparison.against.relation],
                "ratio": comparison.ratio and comparison.ratio._asdict(),
                "relation": comparison.against.relation,
                "target": comparison.against.target,
                "met": comparison.met,
            }
            for comparison in result.comparisons
        ],
    }


# --- the plot --------------------------------------------------------------------------------


def plot(results: Sequence[Result], path: str) -> None:
    """Bars of events a second, on a logarithmic scale; a tick shows a line compared with."""
    from matplotlib.figure import Figure

    shown = [result for result in results if result.line.unit == PER_EVENT]
    rates = {result.line.title: 1e6 / result.value.median for result in shown}
    figure = Figure(figsize=(18, 1.5 + 0.3 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.barh(list(rates), list(rates.values()), color="#9db8d2")
    beside = axes.get_yaxis_transform()  # across in parts of the axes, down in bars
    for place, result in enumerate(shown):
        notes = [f"{rates[result.line.title]:,.0f}"]
        for comparison in result.comparisons:
            notes.append(_compared(comparison).get("compared", ""))
            if (reference := comparison.against.reference) in rates:
                axes.plot(rates[reference], place, "|", color="#b03030", markersize=14)
        axes.text(1.01, place, ";  ".join(notes), transform=beside, va="center", fontsize=8)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("events a second; a red tick is a line that is compared with")
    figure.savefig(path)
