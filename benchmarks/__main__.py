"""`python -m benchmarks`: the verbs, each in the module of its name.

What lives here: which verbs there are. What must not: what they do; a module is imported when
its verb is used, so that `generate` asks for nothing that only `peers` needs.
"""

from __future__ import annotations

from importlib import import_module

import click

VERBS = {
    "generate": "Write a corpus of signed events, and its keyring.",
    "run": "Measure pithgraph on a corpus.",
    "peers": "Measure the same work done by what else people would pick.",
}


class Verbs(click.Group):
    """The verbs of the table above, each loaded from its module when asked for."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = import_module(f"benchmarks.{name}").command
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs)
def main() -> None:
    """Benchmarks of pithgraph."""


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
