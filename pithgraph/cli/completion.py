"""`pithgraph completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pithgraph.cli import FINE, pithgraph
from pithgraph.cli.output import out_bytes


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print what makes a shell complete verbs and options.

    \b
    pithgraph completion bash > ~/.local/share/bash-completion/completions/pithgraph
    pithgraph completion zsh > ~/.zfunc/_pithgraph
    pithgraph completion fish > ~/.config/fish/completions/pithgraph.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # of the shells that are offered
    made = found(pithgraph, {}, "pithgraph", "_PITHGRAPH_COMPLETE")
    out_bytes((made.source_template % made.source_vars()).encode("utf-8"))
    return FINE
