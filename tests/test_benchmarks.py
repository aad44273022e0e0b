"""`python -m benchmarks run`: the table and the JSON of a small run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.workloads import LINES


@pytest.mark.longer
def test_a_small_run_gives_a_table_and_its_json(tmp_path: Path) -> None:
    chosen = ("limit", "ingest", "replay", "disk", "open")
    file = tmp_path / "run.json"
    given = ["run", *chosen, "--events", "40", "--repeat", "1", "--json", str(file)]
    done = CliRunner().invoke(main, given, catch_exceptions=False)
    assert done.exit_code == 0

    written = json.loads(file.read_bytes())
    assert written["machine"]["python"].startswith("CPython 3.")
    lines = {f"{line['workload']}: {line['name']}": line for line in written["lines"]}
    titles = [line.title for line in LINES if line.workload in chosen]
    # What is not installed here is skipped, with its reason.
    assert [title for title in titles if title not in written["skipped"]] == list(lines)
    for title, line in lines.items():
        assert f"\n{title} " in done.stdout
        assert 0 < line["min"] <= line["median"] <= line["max"]
        assert len(line["samples"]) == (5 if line["workload"] == "open" else 1)
        assert (line["events_per_second"] is None) == (line["unit"] != "µs/event")
    (against, _) = lines["replay: plain"]["compared"]
    assert against["reference"] == "replay: json.loads"
    faster = lines["replay: json.loads"]["median"] / lines["replay: plain"]["median"]
    assert against["ratio"]["median"] == faster
    assert against["met"] == (faster >= against["target"])
    (share,) = lines["ingest: tree: extend"]["compared"]
    assert share["reference"] == "limit: cryptography"
    cost = lines["ingest: tree: extend"]["median"] / lines["limit: cryptography"]["median"]
    assert share["ratio"]["median"] == cost


def test_every_comparison_names_a_line() -> None:
    titles = [line.title for line in LINES]
    assert len(set(titles)) == len(titles)
    references = {against.reference for line in LINES for against in line.against}
    assert references - {None} <= set(titles)


def test_an_unknown_workload_is_answered_with_the_known_ones() -> None:
    done = CliRunner().invoke(main, ["run", "ingests"])
    assert done.exit_code == 2
    assert "no workload 'ingests'; there are: limit, ingest, naive, replay" in done.stderr
