"""Planting faults into the engine, to show that a test would see them.

What lives here: exchanging a part of a function's source for a faulty one, the weakenings that
several test files need, and asking whether a test sees one. What must not: which test must see
which; that stands beside the tests.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from arena import HONEST, RING, honest_mirror
from pithgraph import keys, resolution, validation

Attack = Callable[[], None]
Weakening = Callable[[pytest.MonkeyPatch], None]


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


# --- weakenings


def planted(*faults: Fault) -> Weakening:
    """All of these faults, of which no two are in one function."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        for fault in faults:
            plant(fault, patch)

    return weaken


def of_one(owner: Any, name: str, old: str, new: str) -> Weakening:
    """A single fault."""
    return planted(Fault(owner, name, old, new))


def unasked(name: str, old: str, new: str = "") -> Weakening:
    """A single fault in the room of verdicts."""
    return of_one(validation, name, old, new)


def stated_first(patch: pytest.MonkeyPatch) -> None:
    """Of one id, what nobody signed displaces what is verified."""
    patch.setattr(
        resolution, "_rank", lambda one, right=resolution._rank: (not right(one)[0], right(one)[1])
    )


def unlisted(reason: str) -> Weakening:
    """Nothing is invalid for this reason."""
    checks = tuple(check for check in validation.CHECKS if check[0] != reason)
    assert len(checks) == len(validation.CHECKS) - 1
    return lambda patch: patch.setattr(validation, "CHECKS", checks)


def verifying(good: Callable[[bytes, bytes, bytes], bool]) -> Weakening:
    """Signatures verify also as `good` says of key, signature and message."""
    return lambda patch: patch.setattr(
        validation, "verify", lambda *trial: keys.verify(*trial) or good(*trial)
    )


anything_verifies = verifying(lambda *_: True)
any_id_recomputes = unasked("establish", "event.computed_id == view.event_id", "True")

# --- tables of attacks, and of weakenings that let them succeed


def weakened(table: Sequence[tuple[Attack, Weakening]]) -> list[Any]:
    """The rows as parameters of a test."""
    names = [f"{attack.__name__.removeprefix('test_')}-{n}" for n, (attack, _) in enumerate(table)]
    return [pytest.param(*row, id=name) for row, name in zip(table, names, strict=True)]


def check_it_is_seen(attack: Attack, weaken: Weakening, patch: pytest.MonkeyPatch) -> None:
    """That the test of an attack fails on a weakened engine, by an assertion of the tests' own, and
    not since the engine breaks or loses what is honest."""
    weaken(patch)
    honest_mirror(HONEST, RING)
    with pytest.raises(AssertionError) as caught:
        attack()
    assert Path(caught.traceback[-1].path).parent == Path(__file__).parent


def check_each_is_weakened(
    names: dict[str, Any], weakened: Iterable[tuple[Attack, Weakening]]
) -> None:
    """That every attack of a module stands in its table of weakenings."""
    meta = {"test_a_weakened_engine_is_seen", "test_every_attack_succeeds_on_some_engine"}
    attacks = {name for name in names if name.startswith("test_")} - meta
    assert attacks == {attack.__name__ for attack, _ in weakened}
