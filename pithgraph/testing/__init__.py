"""For the tests of programs that use pithgraph: a signing world, and hypothesis strategies.

    from hypothesis import given
    from pithgraph import merge_events
    from pithgraph.testing import World, histories

    world = World()

    @given(histories(world))
    def test_my_mirror(history):
        state = merge_events(history.paper, history.events, history.aliases, world.keyring)
        assert my_mirror(history) == state.canonical

What lives here: `World`, which makes events of all nine kinds, valid or invalid for a chosen
reason; `events` and `histories`, which need hypothesis (`pip install 'pithgraph[test]'`). What must
not: storage and the command line. The keys are public: never trust them outside of tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pithgraph.testing.world import Paper, SigningKey, World

if TYPE_CHECKING:
    from pithgraph.testing.strategies import History, events, histories

__all__ = ["History", "Paper", "SigningKey", "World", "events", "histories"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pithgraph.testing' has no attribute {name!r}")
    try:
        return getattr(import_module("pithgraph.testing.strategies"), name)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ModuleNotFoundError(
            f"pithgraph.testing.{name} needs hypothesis: pip install 'pithgraph[test]'",
            name="hypothesis",
        ) from None
