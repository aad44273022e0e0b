"""Whatever the environment, the fixtures have the same states, byte for byte.

`states_of_fixtures` computes them, in a process of its own for each environment here, and in every
Python and with other versions of the packages in `.ci/matrix`. What it must print is pinned below.
To pin it anew, run it: `python tests/states_of_fixtures.py`. The digest of the cases changes only
when a case is added or changed. When it changes without that, other states are computed from the
same events, and that is another merge version (`MERGE_VERSION`).
"""

from __future__ import annotations

import locale
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import states_of_fixtures
from pithgraph import keys
from pithgraph.merge import MERGE_VERSION

PROGRAM = Path(states_of_fixtures.__file__)
PINNED_VERSION = "pith-open-graph-merge-v1"
PINNED = {
    "cases": "51b16d3b62b6f0faba5184e14ba8f64a83c8b4397c04ca68843b70a06f47ed63",
    "one log": "84a7f253a25f497905c0210065d2a9a2faf197c2e0c985c60f81110b64e3cb3b",
}


class Surroundings(NamedTuple):
    """Where the program runs: environment variables, the interpreter's options, how many workers
    prepare, and the place in BACKENDS of the library that verifies."""

    variables: dict[str, str]
    options: tuple[str, ...] = ()
    workers: int = 0
    backend: int = -1


# Python would read and write UTF-8 where the locale says nothing; here it does as the locale says.
ASCII = {"LC_ALL": "POSIX", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
EVERYWHERE = {
    "hash seed 0, far east": Surroundings({"PYTHONHASHSEED": "0", "TZ": "Pacific/Kiritimati"}),
    "hash seed 1, odd zone": Surroundings(
        {"PYTHONHASHSEED": "1", "TZ": "America/St_Johns"}, ("-O",)
    ),
    "hash seed 4294967295": Surroundings(
        {"PYTHONHASHSEED": "4294967295", "TZ": "Asia/Kathmandu", "PYTHONINTMAXSTRDIGITS": "640"},
    ),
    "ASCII alone": Surroundings(ASCII | {"PYTHONHASHSEED": "2"}),
    "Turkish": Surroundings({"LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "3"}),
    "one worker, cryptography": Surroundings({"PYTHONHASHSEED": "4"}, workers=1, backend=0),
    "two workers, optimised": Surroundings({"PYTHONHASHSEED": "5"} | ASCII, ("-OO",), workers=2),
}
QUICK = (0,)


def printed(surroundings: Surroundings, program: Path = PROGRAM) -> dict[str, str]:
    """The digests that the program prints there, by name."""
    backend = list(keys.BACKENDS)[surroundings.backend]
    arguments = [str(surroundings.workers), backend]
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    done = subprocess.run(
        [sys.executable, *surroundings.options, str(program), *arguments],
        env=kept | surroundings.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *digests, last = done.stdout.splitlines()
    optimised = bool(surroundings.options)
    assert last == f"by {surroundings.workers} workers, {backend}, optimised: {optimised}"
    return dict(line.rsplit(" ", 1) for line in digests)


def test_the_pinned_digest_is_that_of_the_expected_states() -> None:
    """So that one constant pins them all."""
    paths = sorted(states_of_fixtures.CASES.glob("*/expected/*.json"))
    documents = [(str(p.relative_to(states_of_fixtures.CASES)), p.read_bytes()) for p in paths]
    assert len(documents) >= len(states_of_fixtures.FOLDERS)
    assert states_of_fixtures.digest_of(documents) == PINNED["cases"]
    assert PINNED_VERSION == MERGE_VERSION


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number in QUICK else pytest.mark.longer)
        for number, name in enumerate(EVERYWHERE)
    ],
)
def test_the_states_are_the_same_everywhere(name: str) -> None:
    surroundings = EVERYWHERE[name]
    if surroundings.variables.get("LC_ALL", "").startswith("tr_"):
        skip_without("tr_TR.UTF-8")
    assert printed(surroundings) == PINNED


FAULTY = """
import sys
sys.path.insert(0, {folder!r})
import states_of_fixtures
from pithgraph import merge

merge.sorted = lambda items, key=None: sorted(items, key=lambda item: hash(str(item)))
states_of_fixtures.main(*sys.argv[1:])
"""


@pytest.mark.longer
def test_an_order_that_depends_on_the_hash_seed_is_seen(tmp_path: Path) -> None:
    program = tmp_path / "faulty.py"
    program.write_text(FAULTY.format(folder=str(PROGRAM.parent)), "utf-8")
    found = printed(EVERYWHERE["hash seed 0, far east"], program)
    assert found.keys() == PINNED.keys()
    assert found["cases"] != PINNED["cases"]
    assert found["one log"] != PINNED["one log"]


def skip_without(name: str) -> None:
    """Where the system does not have this locale, naming it would change nothing. `.ci/run` makes
    it, and CI fails without it."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        miss = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        miss(f"the locale {name} is not installed: localedef -i tr_TR -f UTF-8 {name}")
    finally:
        locale.setlocale(locale.LC_ALL, before)
