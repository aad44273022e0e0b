"""Names of things (SPEC §2, §5): Pith Numbers and what users type for them, aliases, fingerprints,
timestamps and text hashes, held against the published documents."""

import base64
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oracle
from pithgraph.errors import IdentifierError
from pithgraph.identifiers import (
    EMPTY_SNAPSHOT_SHA256,
    EXCERPT_LENGTH,
    Alias,
    PithNumber,
    Reference,
    alias_time,
    derive_aliases,
    derive_pith_number,
    encode_text,
    fingerprint_base32_of,
    fingerprint_of,
    is_timestamp,
    parse_pith_number,
    parse_reference,
    suffix_of,
    text_sha256,
    year_of,
)
from signing import PAPER, Json, Paper, canonical

SEEDS = {
    "record-2OWFFTWG.json": "pith:2017:2OWFFTWGVOSXOPJFQAXVNT4S2J",
    "record-4TWPD7WB.json": "pith:2018:4TWPD7WBORHBZICNF622XATS2X",
    "record-6BE5URHH.json": "pith:2019:6BE5URHHC6L4EE4TU7HCV6QLUD",
    "record-VDA6XFVV.json": "pith:2018:VDA6XFVVOZAAASTMHQZXCO6DY3",
    "state-N7NXYVEE.json": "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7",
}
RECORDS = [name for name in SEEDS if name.startswith("record")]


def seed(published: Path, name: str) -> Json:
    document: Json = json.loads((published / name).read_bytes())
    return document


# --- Pith Numbers

FULL = "pith:2018:N7NXYVEE5GSA4YEBQIUPRQUEL7"
SUFFIX = FULL[-26:]


def test_a_full_pith_number() -> None:
    number = parse_pith_number(FULL)
    assert number == PithNumber("2018", SUFFIX)
    assert str(number) == FULL
    assert number.short == "pith:N7NXYVEE"


@pytest.mark.parametrize(
    "text",
    [
        *("", "pith:", SUFFIX, f"pith:{SUFFIX}", f"2018:{SUFFIX}", FULL.lower(), FULL.upper()),
        *(FULL[:-1], FULL + "A", FULL + "\n", " " + FULL, FULL.replace("2018", "18")),
        *(FULL.replace("2018", "２０１８"), FULL.replace("2018", "20l8"), FULL[:-1] + "1"),
        *(FULL[:-1] + "é", FULL[:-1] + "=", FULL.replace(":", "/"), FULL[:-26] + SUFFIX.lower()),
    ],
)
def test_documents_write_nothing_else(text: str) -> None:
    with pytest.raises(IdentifierError):
        parse_pith_number(text)
    assert not oracle.is_pith_number(text)


@given(st.text("pith:2018ABZ27018 \n", max_size=40) | st.from_regex(r"pith:\d{4}:[A-Z2-7]{26}\n?"))
def test_documents_write_what_the_oracle_takes(text: str) -> None:
    try:
        assert str(parse_pith_number(text)) == text
        taken = True
    except IdentifierError:
        taken = False
    assert taken == oracle.is_pith_number(text)


@pytest.mark.parametrize("length", [8, 12, 16, 26])
@pytest.mark.parametrize("prefix", ["", "pith:", "PITH:", "Pith:", "  pith:"])
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title, str.swapcase])
def test_users_type_a_suffix_or_its_beginning(length: int, prefix: str, case: Any) -> None:
    assert parse_reference(prefix + case(SUFFIX[:length])) == Reference(None, SUFFIX[:length])
    assert parse_reference(prefix + case(SUFFIX[:length]) + " \n") == Reference(
        None, SUFFIX[:length]
    )


@pytest.mark.parametrize("text", [FULL, FULL.lower(), FULL.upper(), FULL.title(), f"\t{FULL}\n"])
def test_users_type_a_full_number(text: str) -> None:
    assert parse_reference(text) == Reference("2018", SUFFIX)


@pytest.mark.parametrize("length", [n for n in range(30) if n not in (8, 12, 16, 26)])
def test_other_lengths_name_no_paper(length: int) -> None:
    for prefix in ("", "pith:"):
        with pytest.raises(IdentifierError, match="names no paper"):
            parse_reference(prefix + (SUFFIX + "ABCD")[:length])


@pytest.mark.parametrize(
    "text",
    [
        *("pith:2018:N7NXYVEE", "2018:" + SUFFIX, "pith:18:" + SUFFIX, "pith::" + SUFFIX),
        *(
            "pith:pith:N7NXYVEE",
            "N7NX YVEE",
            "N7NXYVE1",
            "N7NXYVE0",
            "N7NXYVE8",
            "N7NXYVE=",
            "N7NXYVE.",
        ),
        *("arxiv:1802.02326", "1802.02326", "10.48550/arxiv.1802.02326", FULL + "/bundle.json"),
        *("éééééééé", "Ｎ７ＮＸＹＶＥＥ", "ßaaaaaa", "ſaaaaaaa"),
    ],
)
def test_what_names_no_paper(text: str) -> None:
    with pytest.raises(IdentifierError, match="names no paper"):
        parse_reference(text)


@pytest.mark.parametrize("name", SEEDS)
def test_the_published_numbers_derive(published: Path, name: str) -> None:
    document = seed(published, name)
    record = document.get("canonical_record") or document["current"]["canonical_record"]
    number = derive_pith_number(record)
    assert str(number) == SEEDS[name] == document["pith_number"]
    stated = document.get("canonical_sha256", hashlib.sha256(canonical(record)).hexdigest())
    assert suffix_of(bytes.fromhex(stated)) == number.suffix == oracle.suffix_of(stated)
    assert document.get("short_pith_number", number.short) == number.short


def test_papers_of_the_tests_derive_alike() -> None:
    assert str(derive_pith_number(PAPER.record)) == PAPER.number


@pytest.mark.parametrize(
    ("submitted_at", "year"),
    [
        *(
            ("2018-02-07T07:20:42Z", "2018"),
            ("2018", "2018"),
            ("20180207", "2018"),
            ("0000x", "0000"),
        ),
        *(("9999\n", "9999"), ("201", None), ("", None), (" 2018", None), ("２０１８", None)),
        *(("-2018", None), (2018, None), (None, None), ([], None)),
    ],
)
def test_the_year_is_four_digits_at_the_beginning(submitted_at: Any, year: str | None) -> None:
    record = PAPER.record | {"metadata": {"submitted_at": submitted_at}}
    assert year_of(record) == year
    if year is None:
        with pytest.raises(IdentifierError, match="submitted_at"):
            derive_pith_number(record)
    else:
        assert derive_pith_number(record).year == year


@pytest.mark.parametrize("record", [None, [], "x", {}, {"metadata": None}, {"metadata": ["2018"]}])
def test_no_year_in_other_shapes(record: Any) -> None:
    assert year_of(record) is None


# --- aliases

NUMBER = PithNumber("2018", SUFFIX)
SHORT = [Alias(f"pith_short_{length}", SUFFIX[:length]) for length in (12, 16, 8)]


@pytest.mark.parametrize(
    ("identifier", "version", "doi"),
    [
        ("1802.02326", 3, "10.48550/arxiv.1802.02326"),
        ("hep-th/9603017", 1, "10.48550/arxiv.hep-th/9603017"),
        ("math.GT/0309136", 12, "10.48550/arxiv.math.GT/0309136"),
        ("", 0, "10.48550/arxiv."),
        ("x", -1, "10.48550/arxiv.x"),
    ],
)
def test_aliases_of_an_arxiv_source(identifier: str, version: int, doi: str) -> None:
    record = Paper(identifier, version).record
    assert derive_aliases(NUMBER, record) == [
        Alias("arxiv", identifier),
        Alias("arxiv_version", f"{identifier}v{version}"),
        Alias("doi", doi),
        *SHORT,
    ]


@pytest.mark.parametrize(
    "source",
    [
        *(
            {"kind": "arXiv"},
            {"kind": "doi"},
            {"kind": None},
            {"kind": "arxiv "},
            {"kind": ["arxiv"]},
        ),
        *(
            {"version": True},
            {"version": False},
            {"version": 1.0},
            {"version": "1"},
            {"version": None},
        ),
        *({"id": 1802.02326}, {"id": None}, {"id": ["x"]}, {"id": 1}),
    ],
)
def test_any_other_source_has_the_three_short_forms(source: Json) -> None:
    record = PAPER.record | {"source": PAPER.source | source}
    assert derive_aliases(NUMBER, record) == SHORT
    for name in source:
        without = {key: PAPER.source[key] for key in PAPER.source if key != name}
        assert derive_aliases(NUMBER, PAPER.record | {"source": without}) == SHORT


@pytest.mark.parametrize("record", [None, {}, [], "x", {"source": None}, {"source": "arxiv"}])
def test_without_a_record_there_are_the_three_short_forms(record: Any) -> None:
    assert derive_aliases(NUMBER, record) == SHORT


values = (
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats(allow_nan=False) | st.text("av1./")
)


@given(
    st.fixed_dictionaries(
        {}, optional={"kind": values | st.just("arxiv"), "id": values, "version": values}
    )
)
@example({"kind": "arxiv", "id": "x", "version": True})
def test_aliases_are_the_oracles(source: Json) -> None:
    pairs = [(alias.kind, alias.value) for alias in derive_aliases(NUMBER, {"source": source})]
    rows = [(FULL, *pair, "2026-06-01T00:00:00Z") for pair in pairs]
    found = oracle._aliases(FULL, {"source": source}, rows)
    assert pairs == sorted(pairs) == [(row["alias_kind"], row["alias_value"]) for row in found]
    of_arxiv = source.get("kind") == "arxiv"
    of_arxiv = of_arxiv and isinstance(source.get("id"), str) and type(source.get("version")) is int
    assert len(pairs) == (6 if of_arxiv else 3)


@pytest.mark.parametrize("name", SEEDS)
def test_the_published_aliases_are_the_derivable_ones(published: Path, name: str) -> None:
    document = seed(published, name)
    current = document.get("current", document)
    rows = document.get("aliases") or current["source_aliases"]
    record = current["canonical_record"]
    derived = derive_aliases(parse_pith_number(SEEDS[name]), record)
    assert sorted((row["alias_kind"], row["alias_value"]) for row in rows) == derived
    assert all(alias_time(row["created_at"]) for row in rows)


# --- digests

REGISTRY_KEY = base64.b64decode("stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM=")


def test_fingerprints_of_the_registry_key() -> None:
    assert fingerprint_of(REGISTRY_KEY) == "8d4b5ee74e4693bcd1df2446408b0d54"
    assert fingerprint_base32_of(REGISTRY_KEY) == "RVFV5Z2OI2J3ZUO7ERDEBCYNKS"


@given(st.binary(min_size=32, max_size=32))
def test_fingerprints_are_the_beginning_of_the_digest(key: bytes) -> None:
    full = hashlib.sha256(key)
    assert fingerprint_of(key) == full.digest()[:16].hex()
    assert base64.b32encode(full.digest()).decode().startswith(fingerprint_base32_of(key))


def test_the_snapshot_of_nothing() -> None:
    expected = "258153158e38e3291e3d48162225fcdb2d5a3ed65a07baac614ab91432fd4f57"
    assert expected == EMPTY_SNAPSHOT_SHA256
    assert hashlib.sha256(b'{"payload":[]}').hexdigest() == expected


@pytest.mark.parametrize("name", RECORDS)
def test_the_published_text_hashes(published: Path, name: str) -> None:
    document = seed(published, name)
    metadata, paper = document["canonical_record"]["metadata"], document["paper"]
    assert text_sha256(paper["title"]) == metadata["title_canon_sha256"]
    assert text_sha256("  \n" + paper["title"].upper().replace(" ", "\t\r\n ")) == text_sha256(
        paper["title"]
    )
    assert len(paper["abstract_excerpt"]) == EXCERPT_LENGTH  # so that its hash cannot be checked


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A Title", "a title"),
        (" a\t\r\n title\u00a0\u2003", "a title"),
        ("$\\alpha$-Decay: A, B.", "$\\alpha$-decay: a, b."),
        ("ÉÀ", "éà"),
        ("\u2028", ""),
        ("", ""),
    ],
)
def test_text_is_lower_cased_and_white_space_collapsed(text: str, same: str) -> None:
    assert text_sha256(text) == hashlib.sha256(same.encode()).hexdigest()


def test_a_lone_surrogate_has_no_hash() -> None:
    with pytest.raises(IdentifierError):
        text_sha256("a\ud800")
    assert encode_text("é") == "é".encode()


# --- timestamps

TIMESTAMPS = {
    "0001-01-01T00:00:00Z": True,
    "9999-12-31T23:59:59Z": True,
    "2024-02-29T00:00:00Z": True,
    "2000-02-29T00:00:00Z": True,
    "0000-01-01T00:00:00Z": False,
    "2023-02-29T00:00:00Z": False,
    "1900-02-29T00:00:00Z": False,
    "2026-00-01T00:00:00Z": False,
    "2026-13-01T00:00:00Z": False,
    "2026-04-31T00:00:00Z": False,
    "2026-01-00T00:00:00Z": False,
    "2026-01-01T24:00:00Z": False,
    "2026-01-01T00:60:00Z": False,
    "2016-12-31T23:59:60Z": False,
    "2026-01-01T00:00:00": False,
    "2026-01-01T00:00:00z": False,
    "2026-01-01t00:00:00Z": False,
    "2026-01-01 00:00:00Z": False,
    "2026-01-01T00:00:00.0Z": False,
    "2026-01-01T00:00:00+00:00": False,
    "2026-01-01T00:00Z": False,
    "2026-1-01T00:00:00Z": False,
    "+026-01-01T00:00:00Z": False,
    "12026-01-01T00:00:00Z": False,
    "２０２６-01-01T00:00:00Z": False,
    "2026-01-01T00:00:00Z\n": False,
    " 2026-01-01T00:00:00Z": False,
    "2026-01-01T00:00: 0Z": False,
    "2026-01-01T00:00:-1Z": False,
    "20260101T000000Z": False,
    "": False,
}


@pytest.mark.parametrize("text", TIMESTAMPS)
def test_timestamps(text: str) -> None:
    assert is_timestamp(text) == TIMESTAMPS[text] == oracle.is_timestamp(text)


@given(st.datetimes(min_value=datetime.datetime(1, 1, 1)))
def test_every_second_of_datetime_is_a_timestamp(moment: datetime.datetime) -> None:
    text = moment.replace(microsecond=0).isoformat() + "Z"
    assert is_timestamp(text)
    fraction = f"{moment.microsecond:06}"
    for form in (
        text,
        f"{text[:-1]}+00:00",
        f"{text[:-1]}.{fraction}Z",
        f"{text[:-1]}.{fraction}+00:00",
    ):
        assert alias_time(form) == text


two = st.integers(0, 99).map(lambda number: f"{number:02}")


@given(st.integers(0, 9999), st.tuples(two, two, two, two, two))
def test_fields_that_make_no_time_make_no_timestamp(year: int, fields: tuple[str, ...]) -> None:
    month, day, hour, minute, second = fields
    text = f"{year:04}-{month}-{day}T{hour}:{minute}:{second}Z"
    try:
        datetime.datetime(year, *map(int, fields))  # type: ignore[arg-type]
        real = True
    except ValueError:
        real = False
    assert is_timestamp(text) == real == oracle.is_timestamp(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-05-18T00:15:36.123456Z", "2026-05-18T00:15:36Z"),
        ("2026-05-18T00:15:36.9999999999999+00:00", "2026-05-18T00:15:36Z"),
        ("2026-05-18T00:15:36+00:00", "2026-05-18T00:15:36Z"),
        ("2026-05-18T00:15:36", None),
        ("2026-05-18T00:15:36.Z", None),
        ("2026-05-18T00:15:36-00:00", None),
        ("2026-05-18T00:15:36+01:00", None),
        ("2026-05-18T00:15:36+00:00Z", None),
        ("2026-05-18T00:15:36.１Z", None),
        ("2026-05-18T00:15:60.1Z", None),
        ("2026-05-18T00:15:36.1Z\n", None),
        ("2026-05-18T00:15:36 .1Z", None),
        ("", None),
    ],
)
def test_alias_times(text: str, time: str | None) -> None:
    assert alias_time(text) == time == oracle.without_fraction(text)


@given(st.text("0123456789-T:.Z+\n ", max_size=34))
def test_alias_times_are_the_oracles(text: str) -> None:
    assert alias_time(text) == oracle.without_fraction(text)
    assert is_timestamp(text) == oracle.is_timestamp(text)
