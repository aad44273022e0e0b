"""Any name of a paper to its Pith Numbers: how names are read, and what a log says of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from conftest import Done
from histories import KEYRING, alias_rows, derivable
from pithgraph import resolving
from pithgraph.errors import IdentifierError
from pithgraph.identifiers import Reference, alias_time, parse_pith_number
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.naming import Key, Name, keys_of_row, parse_name
from pithgraph.replaying import replay
from pithgraph.resolving import resolve
from pithgraph.sources import Piece
from signing import OTHER_PAPER, PAPER, Json, Paper, at, canonical

RING = Keyring.from_value(KEYRING)
SUFFIX = "N7NXYVEE5GSA4YEBQIUPRQUEL7"


# --- reading names -----------------------------------------------------------------------------


def means(text: str, kind: str, value: str) -> bool:
    """Whether an alias row is one that names what the text does."""
    return not set(parse_name(text).keys).isdisjoint(keys_of_row(kind, value))


WITHOUT_VERSION = [
    "1802.02326",
    " 1802.02326\n",
    "arXiv:1802.02326",
    "ARXIV: 1802.02326",
    "https://arxiv.org/abs/1802.02326",
    "http://www.arxiv.org/pdf/1802.02326.pdf",
    "arxiv.org/pdf/1802.02326",
    "https://export.arxiv.org/abs/1802.02326?context=cs#top",
    "10.48550/arXiv.1802.02326",
    "10.48550/ARXIV.1802.02326",
    "doi:10.48550/arXiv.1802.02326",
    "https://doi.org/10.48550/arXiv.1802.02326",
    "http://dx.doi.org/10.48550%2FarXiv.1802.02326",
    "https://pith.science/api/pith-number/resolve?arxiv=1802.02326&json=true",
]


@pytest.mark.parametrize("text", WITHOUT_VERSION)
def test_an_arxiv_id_names_every_version(text: str) -> None:
    assert means(text, "arxiv", "1802.02326")
    assert means(text, "doi", "10.48550/arxiv.1802.02326")
    assert means(text, "doi", "10.48550/arXiv.1802.02326")
    for version in ("1", "12"):
        assert means(text, "arxiv_version", f"1802.02326v{version}")
    for kind, value in (
        ("arxiv", "1802.02327"),
        ("arxiv", "11802.02326"),
        ("arxiv_version", "1802.02326"[:-1] + "v3"),
        ("arxiv_version", "1802.02326v"),
        ("doi", "10.48550/arxiv.1802.02326v3"),
        ("pith_short_8", "1802.02326"),
    ):
        assert not means(text, kind, value)
    assert parse_name(text).near == ()
    assert means(text, "address", text.strip())


@pytest.mark.parametrize(
    "text",
    [
        "1802.02326v3",
        "arXiv:1802.02326V3",
        "https://arxiv.org/pdf/1802.02326v3.pdf",
        "https://doi.org/10.48550/arXiv.1802.02326v3",
    ],
)
def test_a_version_names_that_version(text: str) -> None:
    assert means(text, "arxiv_version", "1802.02326v3")
    assert not means(text, "arxiv_version", "1802.02326v2")
    assert not means(text, "arxiv_version", "1802.02326v33")
    assert not means(text, "arxiv", "1802.02326")
    assert parse_name(text).near == (Key("arxiv", "1802.02326"),)


@pytest.mark.parametrize(
    "text", ["hep-th/9603017", "HEP-TH/9603017", "arxiv.org/abs/hep-th/9603017"]
)
def test_old_identifiers_keep_their_slash(text: str) -> None:
    assert means(text, "arxiv", "hep-th/9603017")
    assert means(text, "arxiv_version", "hep-th/9603017v2")
    assert means(text, "doi", "10.48550/arxiv.hep-th/9603017")


@pytest.mark.parametrize(
    "text", ["10.1000/AbC(1)", "doi: 10.1000/abc(1)", "https://doi.org/10.1000/aBc%281%29"]
)
def test_a_doi_has_no_case(text: str) -> None:
    assert means(text, "doi", "10.1000/ABC(1)")
    assert not means(text, "doi", "10.1000/ABC")
    assert not means(text, "arxiv", "abc(1)")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (f"pith:2018:{SUFFIX}", Reference("2018", SUFFIX)),
        (f"PITH:2018:{SUFFIX.lower()}", Reference("2018", SUFFIX)),
        ("pith:n7nxyvee", Reference(None, SUFFIX[:8])),
        (f"https://pith.science/pith/{SUFFIX}", Reference(None, SUFFIX)),
        (f"https://pith.science/pith/{SUFFIX}.json", Reference(None, SUFFIX)),
        (f"https://pith.science/pith/{SUFFIX}/state.json", Reference(None, SUFFIX)),
        (f"pith.science/.well-known/pith/{SUFFIX}/bundle.json", Reference(None, SUFFIX)),
        ("https://pith.science/paper/N7NXYVEE", Reference(None, SUFFIX[:8])),
        (f"https://pith.science/api/pith-number/{SUFFIX}/graph.json", Reference(None, SUFFIX)),
        (f"https://pith.science/pith/{SUFFIX}/action/cite", Reference(None, SUFFIX)),
        (f"https://pith.science/pith/pith:2018:{SUFFIX}", Reference("2018", SUFFIX)),
    ],
)
def test_what_only_a_pith_number_can_be_asks_no_row(text: str, reference: Reference) -> None:
    assert parse_name(text) == Name(text, reference, ())


def test_a_short_form_without_its_prefix_may_be_another_alias() -> None:
    assert parse_name("N7NXYVEE").reference == Reference(None, "N7NXYVEE")
    assert means("N7NXYVEE", "catalogue", "N7NXYVEE")
    assert not means("N7NXYVEE", "pith_short_8", "N7NXYVEE")


@pytest.mark.parametrize("text", ["W2741809807", "https://example.org/x", "http://[", "doi:", "é"])
def test_anything_else_is_the_value_of_a_row(text: str) -> None:
    assert means(text, "openalex", text)
    assert not means(text, "openalex", text + "x")
    assert not means(text.swapcase() if text != "é" else "É", "openalex", text)


def test_nothing_names_no_paper() -> None:
    with pytest.raises(IdentifierError, match="empty"):
        parse_name(" \n")


@settings(max_examples=50)
@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=40))
def test_every_text_is_read_and_meets_itself(text: str, kind: str, value: str) -> None:
    keys_of_row(kind, value)
    for start in ("", "arxiv:", "doi:", "https://arxiv.org/abs/", "pith.science/", "doi.org/10."):
        if (start + text).strip():
            parse_name(start + text)
    if text.strip() == text != "" and parse_name(text).reference is None and "/" not in text:
        assert means(text, "other", text) or text.lower().startswith("pith:")


# --- looking up --------------------------------------------------------------------------------


def put(log: LogWriter, *values: Json) -> None:
    pieces = [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]
    ingest_pieces(log, pieces, keyring=RING)


def alias(paper: str, kind: str, value: str, created_at: str = at(50)) -> Json:
    row = {"pith_number": paper, "alias_kind": kind, "alias_value": value}
    return {"alias": row | {"created_at": created_at}}


SECOND_VERSION = Paper("2401.00001", 3)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ground")
    with LogWriter.open(folder / "log") as log:
        put(
            log,
            signing.signed_event("record_created"),
            signing.signed_event("record_created", paper=SECOND_VERSION),
            *(alias(PAPER.number, kind, value) for kind, value in derivable(PAPER)),
            alias(PAPER.number, "arxiv", "2401.00001", "2026-06-01T00:00:40.5+00:00"),
            alias(SECOND_VERSION.number, "arxiv_version", "2401.00001v3"),
            alias(OTHER_PAPER.number, "arxiv", "2401.00001", at(1)),
            alias(OTHER_PAPER.number, "openalex", "W1"),
            alias(OTHER_PAPER.number, "pith_short_8", PAPER.suffix[:8]),
        )
    (folder / "keyring.json").write_bytes(canonical(KEYRING))
    return folder


@pytest.fixture
def ask(run: Any, ground: Path) -> Callable[..., Done]:
    def ask(*arguments: object, keyring: bool = True) -> Done:
        more = ("--keyring", ground / "keyring.json") if keyring else ()
        return run("resolve", "--log", ground / "log", *more, *arguments)

    return ask


def test_candidates_of_an_arxiv_id_are_derived_or_claimed(ask: Callable[..., Done]) -> None:
    def row(paper: Paper, standing: str, kind: str, value: str, created_at: str) -> Json:
        return {
            "alias": "arXiv:2401.00001",
            "pith_number": paper.number,
            "standing": standing,
            "alias_kind": kind,
            "alias_value": value,
            "created_at": created_at,
        }

    derived = [
        row(PAPER, "derived", "arxiv", "2401.00001", at(40)),
        row(SECOND_VERSION, "derived", "arxiv_version", "2401.00001v3", at(50)),
    ]
    claimed = row(OTHER_PAPER, "claimed", "arxiv", "2401.00001", at(1))
    done = ask("arXiv:2401.00001", "--json")
    assert done.code == 0
    assert done.rows == [*sorted(derived, key=lambda one: one["pith_number"]), claimed]
    # Under another keyring no record counts, so that nothing derives the ids.
    assert {one["standing"] for one in ask("2401.00001", "--json", keyring=False).rows} == {
        "claimed"
    }


def test_every_name_is_answered_in_its_order(ask: Callable[..., Done]) -> None:
    names = [
        "2401.00001v3",
        PAPER.suffix[:12].lower(),
        "W1",
        "https://doi.org/10.48550/ARXIV.2401.00001",
        f"https://pith.science/pith/{SECOND_VERSION.suffix}.json",
    ]
    rows = ask(*names, "--json").rows
    assert [row["alias"] for row in rows] == [*names[:3], *[names[3]] * 3, names[4]]
    assert rows[0]["pith_number"] == SECOND_VERSION.number
    assert (rows[1]["alias_kind"], rows[1]["created_at"]) == ("pith_short_12", at(50))
    assert (rows[2]["standing"], rows[2]["pith_number"]) == ("claimed", OTHER_PAPER.number)
    by_doi = {row["pith_number"]: row["alias_kind"] for row in rows[3:6]}
    assert by_doi[PAPER.number] == "doi"
    assert (rows[6]["pith_number"], rows[6]["alias_kind"]) == (SECOND_VERSION.number, None)
    lines = ask(*names).out.splitlines()
    assert lines[2] == f"W1  {OTHER_PAPER.number}  claimed  openalex W1  {at(50)}"
    assert lines[6].endswith(f"{SECOND_VERSION.number}  derived  the Pith Number itself")


def test_a_false_short_form_is_no_candidate(ask: Callable[..., Done]) -> None:
    for text in (PAPER.suffix[:8], f"pith:{PAPER.suffix[:8]}"):
        assert [row["pith_number"] for row in ask(text, "--json").rows] == [PAPER.number]


def test_a_name_of_nothing_is_told_with_what_is_near(ask: Callable[..., Done]) -> None:
    done = ask("2401.00001v9", "W1", f"pith:{PAPER.suffix[:7]}7", "W2")
    assert done.code == 1
    assert len(done.out.splitlines()) == 1
    versions, short, other = done.err.splitlines()
    assert versions.startswith("the log knows no paper '2401.00001v9'; nearest: ")
    assert PAPER.number in versions
    assert SECOND_VERSION.number in versions
    assert short.endswith(f"nearest: {PAPER.number}")
    assert other == "the log knows no paper 'W2'"


def test_wrong_usage_and_absent_logs(run: Any, tmp_path: Path, ask: Callable[..., Done]) -> None:
    assert run("resolve", "--log", tmp_path / "no", " ").code == 2
    assert run("resolve", "--log", tmp_path / "no", "W1").code == 4
    assert ask().code == 2


PAPERS = {parse_pith_number(paper.number) for paper in (PAPER, OTHER_PAPER)}


@settings(max_examples=25)
@given(rows=st.lists(alias_rows(), max_size=8), searched=st.sampled_from([0, 100]))
def test_what_is_found_is_what_comparing_every_row_finds(
    rows: list[tuple[str, str, str, str]], searched: int
) -> None:
    """Whatever is passed over by its bytes alone, or is not."""
    names = [text for paper in (PAPER, OTHER_PAPER) for _, text in derivable(paper)]
    names += ["ARXIV:2401.00001", "2401.00001V2", "10.48550/ARXIV.2401.00002"]
    names += [value for _, _, value, _ in rows if value.strip()]
    with tempfile.TemporaryDirectory() as folder, LogWriter.open(Path(folder) / "log") as log:
        put(log, signing.signed_event("record_created"), *(alias(*row) for row in rows))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resolving, "_SEARCHED", searched)
            resolved = resolve(log, names, keyring=RING)
        shown = {
            (state.pith_number, row["alias_kind"], row["alias_value"])
            for state in replay(log, keyring=RING)
            for row in state.document["current"]["source_aliases"]
        }
        with log.snapshot() as snapshot:
            stored = [
                (paper, row) for paper in snapshot.papers() for row in snapshot.aliases_of(paper)
            ]
    for one in resolved:
        name = parse_name(one.name)
        expected = {paper for paper, row in stored if means(one.name, row.kind, row.value)}
        if name.reference is not None:
            with_prefix = (p for p, _ in stored if p.suffix.startswith(name.reference.prefix))
            expected |= set(with_prefix)
            expected |= {p for p in PAPERS if p.suffix.startswith(name.reference.prefix)} & {
                parse_pith_number(PAPER.number)
            }
        assert {candidate.paper for candidate in one.candidates} == expected
        for paper, standing, row in one.candidates:
            if row is None:
                assert name.reference is not None
                continue
            times = [
                alias_time(r.created_at)
                for p, r in stored
                if (p, r.kind, r.value) == (paper, row.kind, row.value)
            ]
            assert row.created_at == min(times)
            is_shown = (str(paper), row.kind, row.value) in shown
            assert standing == ("derived" if is_shown or name.reference else "claimed")
