"""One-line faults of a module: made by rule or written down, and whether the tests see them.

What lives here: generating mutants of a source text, planting one in a copy of the project, and
running tests there. What must not: which faults are planted, which tests ought to see them, and
which mutants may live (`test_mutation`).

    python tests/mutation.py pithgraph/merge.py tests/test_merge.py ...

tries every mutant of a module and prints each that lives. A mutant changes what stands in one place
of the text, as people err: another comparison, `and` for `or`, an operand or a `not` left out, a
number off by one, another name in quotation marks, an empty return, a statement left out.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("pithgraph", "tests", "fixtures", "pyproject.toml")
# More than any of the runs takes that see nothing; a mutant may loop for ever.
PATIENCE_SECONDS = 400
# A name or a code, and no prose: what an error says to people is not tested word for word.
NAME = re.compile(r"[\w.:/-]+")

PASSED, FAILED = 0, 1  # exit codes of pytest
BROKEN = 2  # pytest's, where a module cannot even be imported


class Mutant(NamedTuple):
    """A module whose text has `new` in the place of the `old` that stands at `start`."""

    module: str
    start: int
    old: str
    new: str
    line: int

    @property
    def name(self) -> str:
        """What is changed to what, without where: a line above it may come and go."""
        return f"{Path(self.module).stem}: {' '.join(self.old.split())} -> {self.new}"

    def source(self) -> str:
        """The module with the fault."""
        text = (ROOT / self.module).read_text("utf-8")
        end = self.start + len(self.old)
        assert text[self.start : end] == self.old
        return text[: self.start] + self.new + text[end:]


# --- faults that are written down ------------------------------------------------------------


def planted(module: str, old: str, new: str) -> Mutant:
    """The mutant that has `new` for `old`, which must stand in the module just once."""
    text = (ROOT / module).read_text("utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{old!r} stands {text.count(old)} times in {module}; it must stand once")
    start = text.index(old)
    return Mutant(module, start, old, new, text.count("\n", 0, start) + 1)


# --- faults by rule --------------------------------------------------------------------------

OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for place, operator in enumerate(node.ops):
        operators = [*node.ops]
        operators[place] = OTHER[type(operator)]()  # type: ignore[call-overload]
        yield ast.Compare(node.left, operators, node.comparators)


def _boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(OTHER[type(node.op)](), node.values)  # type: ignore[arg-type]
    for place in range(len(node.values)):
        rest = node.values[:place] + node.values[place + 1 :]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in OTHER:
        yield ast.BinOp(node.left, OTHER[type(node.op)](), node.right)  # type: ignore[arg-type]


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield from (ast.Constant(value + 1), ast.Constant(value - 1))
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"x")
    elif isinstance(value, str) and (NAME.fullmatch(value) or not value):
        yield ast.Constant(value + "x")


def _negated(node: ast.If | ast.IfExp | ast.While) -> Iterator[ast.AST]:
    if not isinstance(node.test, (ast.Compare, ast.UnaryOp)):  # those have mutants of their own
        yield ast.UnaryOp(ast.Not(), node.test)


EXPRESSIONS: dict[type[ast.AST], Callable[..., Iterator[ast.AST]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Constant: _constant,
}
# What takes a statement's place.
STATEMENTS: dict[type[ast.AST], str] = {
    ast.Return: "return None",
    ast.Raise: "pass",
    ast.Expr: "pass",
    ast.Delete: "pass",
    ast.AugAssign: "pass",
    ast.Continue: "pass",
    ast.Break: "pass",
}


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module, in the order of the text."""
    text = (ROOT / module).read_text("utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines()

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = []
    for node, new in _replacements(ast.parse(text)):
        start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno or 0, node.end_col_offset or 0)
        if text[start:end] != new:
            found.append(Mutant(module, start, text[start:end], new, node.lineno))
    return sorted(set(found), key=lambda one: (one.start, len(one.old), one.new))


def _replacements(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Each node that is changed, with the text that takes its place."""
    for node in _nodes(tree):
        for new in EXPRESSIONS.get(type(node), lambda _: ())(node):
            text = ast.unparse(ast.fix_missing_locations(new))
            yield node, text if isinstance(new, ast.Constant) else f"({text})"
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            yield from ((node.test, f"({ast.unparse(new)})") for new in _negated(node))
        if type(node) in STATEMENTS and not _is_bare(node):
            yield node, STATEMENTS[type(node)]


def _is_bare(node: ast.AST) -> bool:
    """Does leaving it out change nothing? A docstring, and a return of None."""
    value = getattr(node, "value", None)
    if isinstance(node, ast.Expr):
        return isinstance(value, ast.Constant)
    return isinstance(node, ast.Return) and value is None


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """All nodes but those without a meaning when the program runs: annotations, assertions for the
    type checker, docstrings; and but texts for people, of which f-strings and errors are made."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "exc", "cause"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, (ast.expr, ast.stmt)):
                yield child
            if isinstance(child, ast.AST):
                yield from _nodes(child)


# --- trying them -----------------------------------------------------------------------------


class Tree:
    """A copy of the project, into which one fault at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)

    def lives(self, mutant: Mutant | None, tests: Sequence[str]) -> bool:
        """Do the tests pass with this fault, or without any?"""
        if mutant is None:
            return self._run(tests) == PASSED
        path = self._folder / mutant.module
        path.write_text(mutant.source(), "utf-8")
        # By time and size alone, what was compiled of one fault could be taken for another's.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        try:
            return self._run(tests, "-B") == PASSED
        finally:
            shutil.copy(ROOT / mutant.module, path)

    def _run(self, tests: Sequence[str], *options: str) -> int:
        """The exit code of pytest. Examples are the same at every run, and none is made smaller."""
        command = [sys.executable, *options, "-m", "pytest", "-x", "-q"]
        command += ["-m", "not slow", "-k", "not planted"]
        command += ["-p", "no:cacheprovider", "--hypothesis-profile=same", *tests]
        paths = f"{self._folder}{os.pathsep}{self._folder / 'tests'}"
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": paths},
                capture_output=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return FAILED
        if done.returncode not in (PASSED, FAILED, BROKEN):
            raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout!r}")
        return done.returncode


def survivors(
    mutants: Iterable[Mutant], tests: Sequence[str], jobs: int | None = None
) -> Iterator[Mutant]:
    """The mutants that no test sees, in their order, tried several at a time. Raises
    AssertionError where the tests fail without a fault, when they would prove nothing."""
    jobs = jobs or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(jobs):
            trees.put(Tree(Path(name) / str(number)))

        def lives(mutant: Mutant | None) -> bool:
            tree = trees.get()
            try:
                return tree.lives(mutant, tests)
            finally:
                trees.put(tree)

        # Without a fault first, in every tree: where the tests fail of themselves they prove
        # nothing, and what they have compiled is there for all that follow.
        mutants = list(mutants)
        assert all(pool.map(lives, [None] * jobs)), "the tests fail without a fault"
        alive = pool.map(lives, mutants)
        yield from (mutant for mutant in mutants if next(alive))


def sample(module: str, count: int) -> list[Mutant]:
    """So many mutants of a module, chosen by their names: an edit elsewhere changes few of them."""

    def chance(mutant: Mutant) -> bytes:
        return hashlib.sha256(mutant.name.encode()).digest()

    return sorted(sorted(mutants_of(module), key=chance)[:count], key=lambda one: one.start)


def main(module: str, *tests: str) -> None:
    """Try every mutant of a module."""
    mutants = mutants_of(module)
    sys.stdout.write(f"{len(mutants)} mutants of {module}\n")
    for mutant in survivors(mutants, tests):
        sys.stdout.write(f"{mutant.module}:{mutant.line}: {mutant.name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
