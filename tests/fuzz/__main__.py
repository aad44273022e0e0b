"""The fuzzer: `python -m fuzz CORPUS [OPTION...]`, run in the folder `tests`.

What lives here: the search for inputs that break a property, guided by the branches that they take,
and the corpus that it starts from. What must not: any property (`harness`).

CORPUS is a folder: an empty one is filled from the fixtures, and what reaches new code
is kept there. OPTIONs are libFuzzer's, such as `-max_total_time=600`. A find is written to the
current folder; cut it down and keep it as `regressions/NAME.bin`, which the quick tests run.
"""

import sys
from pathlib import Path

import atheris

# What is imported in here tells the fuzzer which of its branches were taken.
with atheris.instrument_imports(include=["pithgraph"]):
    from fuzz.harness import check

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
LONGEST = 8192


def fill(corpus: Path) -> None:
    """The fixtures' inputs, whole and line by line: libFuzzer mixes small ones better."""
    inputs = [*FIXTURES.glob("cases/*/*.json*"), *FIXTURES.glob("pith/*.json")]
    inputs += Path(__file__).parent.glob("regressions/*.bin")
    texts = {path.read_bytes() for path in inputs if path.name != "case.json"}
    lines = {line for text in texts for line in text.splitlines() if len(line) > 40}
    for number, text in enumerate(sorted(texts | lines)):
        if len(text) <= LONGEST:
            (corpus / f"fixture-{number}").write_bytes(text)


corpus = Path(sys.argv[1])
corpus.mkdir(exist_ok=True)
if not any(corpus.iterdir()):
    fill(corpus)
atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", *sys.argv[1:]], check)
atheris.Fuzz()
