"""Planting faults into the engine, to show that a test would see them.

What lives here: exchanging a part of a function's source for a faulty one. What must not: any
fault; each stands beside the tests that must catch it.
"""

import inspect
import textwrap
from typing import Any, NamedTuple

import pytest


class Fault(NamedTuple):
    """A function, a part of its source, and what stands there instead."""

    owner: Any
    name: str
    old: str
    new: str


def plant(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Put the fault into the function, for whoever has imported it, too."""
    function = _plain(getattr(fault.owner, fault.name))
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(fault.old) == 1, "there is no such place to plant a fault"
    made: dict[str, Any] = {}
    code = compile(source.replace(fault.old, fault.new), "<a fault>", "exec")
    exec(code, function.__globals__, made)
    patch.setattr(function, "__code__", _plain(made[fault.name]).__code__)


def _plain(method: Any) -> Any:
    """The function of a class method."""
    return getattr(method, "__func__", method)
