"""`python -m benchmarks generate`: the corpus into a file, with its keyring.

What lives here: files and streams. What must not: what stands in them (`corpus`).
"""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import click

from benchmarks import corpus


@click.command()
@click.option("--papers", type=click.IntRange(min=0), required=True, help="How many papers.")
@click.option("--seed", type=int, required=True, help="The same seed gives the same bytes.")
@click.option("--out", required=True, metavar="FILE", help="`-` is standard output.")
@click.option("--keyring", metavar="FILE", help="[default: FILE.keyring.json]")
def command(papers: int, seed: int, out: str, keyring: str | None) -> None:
    """Write a corpus, one event a line, and its keyring. A FILE that ends in .gz is compressed."""
    if out == "-" and keyring is None:
        raise click.UsageError("--out - needs --keyring FILE")
    document = json.dumps(corpus.keyring(seed), indent=1, ensure_ascii=False) + "\n"
    Path(keyring or f"{out}.keyring.json").write_text(document, "utf-8")
    count = size = 0
    with ExitStack() as stack:
        stream = cast(BinaryIO, stack.enter_context(click.open_file(out, "wb")))
        if out.endswith(".gz"):
            # Without a name and a time the bytes depend on nothing but the corpus.
            stream = cast(
                BinaryIO,
                stack.enter_context(gzip.GzipFile("", "wb", 6, fileobj=stream, mtime=0)),
            )
        for line in corpus.lines(papers, seed):
            stream.write(line + b"\n")
            count += 1
            size += len(line) + 1
    click.echo(f"{count} lines, {size} bytes before any compression", err=True)
