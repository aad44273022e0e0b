"""The report of an audit: nothing a document holds gets out of its place, the page stays bounded
and fetches nothing, and in a browser it can be read and used."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import browser
import signing
from pithgraph import report
from pithgraph.audit.findings import Finding
from pithgraph.audit.sightings import Checked, Sighting, Verdict
from pithgraph.auditing import Auditor
from pithgraph.keyring import Keyring
from pithgraph.report import Report, Sums
from pithgraph.report.graph import links_of
from pithgraph.report.style import BACKGROUNDS, COLOURS
from pithgraph.sources import Piece, load_keyring

HOSTILE = (
    '</script></style></title><img src=x onerror="a()" \'>&lt;\u202eevil\x00\x1b]0;x\x07\n\u2028'
)
SUMS = Sums(2, 0, Counter({"pass": 3, "fail": 1}), "ab" * 32)
RING = Keyring.from_value(signing.keyring_value())


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*checked: Checked, sums: Sums = SUMS) -> str:
    made = Report()
    for one in checked:
        made.add(one)
    return made.html(sums)


def document(place: str = "a.json", *findings: Finding, seen: tuple[Sighting, ...] = ()) -> Checked:
    return Checked(place, "event", findings or (Finding("event", "pass", ""),), seen)


def sighting(number: int = 0, verdict: Verdict = "pass", **changes: Any) -> Sighting:
    made = Sighting(
        f"pith:2024:{number:026}", "2026-01-01T00:00:00Z", "correction", "A", "k", "i", verdict, ""
    )
    return made._replace(**changes)


def test_nothing_of_a_document_becomes_markup(published: Path) -> None:
    """Also where a document of each type has it as every string, and as a name of members."""
    harmless = Page(page_of(document(seen=(sighting(),))))
    values = [
        *(json.loads(path.read_text()) for path in sorted(published.glob("*.json"))),
        signing.signed_event("correction"),
        [signing.signed_event("correction")],
        {"bundle_type": "pith_open_graph_bundle", "events": [signing.signed_event("correction")]},
    ]
    auditor = Auditor(load_keyring(), sees=True)
    checked = [document(HOSTILE, Finding(HOSTILE, "fail", HOSTILE), seen=(hostile_sighting(),))]
    for value in values:
        for keep in (("record_type", "state_type", "bundle_type"), ("subject_pith_number",)):
            data = json.dumps(poisoned(value, keep)).encode()
            checked.append(auditor.checked(Piece(HOSTILE, None, data)))
    assert {one.document for one in checked} > {"pith_number_record", "event", "list", "unreadable"}
    html = page_of(*checked)
    page = Page(html)
    assert set(page.tags) <= {*harmless.tags, "ul", "li", "b"}
    assert page.tags["script"] == page.tags["img"] == 0
    names = {name for name, _ in page.attributes}
    assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in names)
    assert all(value and value[0] == "#" for name, value in page.attributes if name == "href")
    assert "\\u202eevil\\x00\\x1b]0;x\\x07\\n\\u2028" in page.text
    assert {character for character in html if not character.isprintable()} == {"\n"}
    assert not any("http" in (value or "") for _, value in page.attributes)


def hostile_sighting() -> Sighting:
    h = HOSTILE
    return Sighting(h, h, h, h, h, h, "fail", h)


def poisoned(value: Any, keep: tuple[str, ...]) -> Any:
    """The value with every string hostile but those of such members, and a hostile member."""
    if isinstance(value, dict):
        inside = {k: v if k in keep else poisoned(v, keep) for k, v in value.items()}
        return inside | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [poisoned(one, keep) for one in value]
    return HOSTILE if isinstance(value, str) else value


def test_failures_come_first_and_the_verdict_says_so() -> None:
    failed = Finding("title", "fail", "stated 1")
    page = Page(
        page_of(
            document("passed.json"),
            document("false.json", Finding("shape", "pass", ""), failed),
        )
    )
    order = ["Audit: 1 check failed", "Failures", "false.json", "title: stated 1", "1 check passed"]
    order += ["shape", "Other documents", "passed.json"]
    places = [page.text.rindex(text) for text in order]
    assert all(one < other for one, other in pairwise(places)), places
    assert ("lang", "en") in page.attributes
    assert page.tags["title"] >= 1


@pytest.mark.parametrize(
    ("sums", "title"),
    [
        (Sums(1, 0, Counter({"pass": 2, "skipped": 1}), ""), "Audit: no check failed"),
        (Sums(1, 0, Counter({"unconfirmed": 1200}), ""), "Audit: no check failed, 1,200 unconf"),
        (Sums(2, 2, Counter(), ""), "Audit: 2 documents could not be read"),
        (Sums(2, 1, Counter({"fail": 2}), ""), "Audit: 2 checks failed"),
        (Sums(0, 0, Counter(), ""), "Audit: there was no document"),
    ],
)
def test_a_page_never_says_more_than_the_exit_code(sums: Sums, title: str) -> None:
    assert f"<title>{title}" in page_of(sums=sums)


def test_a_page_is_bounded_and_says_what_it_leaves_out() -> None:
    made = Report()
    fail = Finding("c", "fail", '"' * 1000)
    for number in range(2 * report.FAILED_SHOWN):
        seen = tuple(sighting(1000 * number + n, "fail") for n in range(40))
        made.add(document(f"false-{number}.json", *[fail] * 3, seen=seen))
        made.add(document(f"passed-{number}.json", *[Finding("p", "pass", "")] * 1000))
    html = made.html(SUMS)
    assert len(html) < 6_000_000
    for text in ("The first 500 of 1,000 documents; 500 left out", "800 further checks left out"):
        assert text in html
    assert "The first 100 of 1,000 documents; 900 left out" in html
    assert "Further papers are left out: the page has 300." in html
    assert "Drawn: 24 links" in html or "Drawn: 40 links" in html
    assert html.count("false-499.json") == 1
    assert "false-500.json" not in html


def test_a_part_of_huge_documents_ends_at_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_PART_CHARACTERS", 10_000)
    html = page_of(*[document(f"{n}.json", Finding("c", "fail", "x" * 300)) for n in range(400)])
    assert len(html) < 30_000
    assert re.search(r"The first \d\d of 400 documents; 3\d\d left out", html)


def test_the_events_of_a_paper_stand_once_and_by_time() -> None:
    late, early = sighting(created_at="2026-03-03"), sighting(created_at="2026-01-01", kind="early")
    html = page_of(document(seen=(late, early)), document(seen=(late,)))
    assert html.index("2026-01-01") < html.index("2026-03-03")
    assert html.count("2026-03-03") == 1
    many = tuple(sighting(event_id=str(number)) for number in range(150))
    assert "100 events; 50 left out" in page_of(document(seen=many))


def test_a_link_has_the_worst_verdict_of_its_signers_events() -> None:
    verdicts: tuple[Verdict, ...] = ("pass", "unconfirmed", "stated")
    links = links_of(
        [
            *(sighting(1, verdict) for verdict in verdicts),
            sighting(1, "fail", key="of somebody else"),
            sighting(2),
        ]
    )
    assert [(link.verdict, link.events, link.signer.key) for link in links] == [
        ("fail", 1, "of somebody else"),
        ("unconfirmed", 3, "k"),
        ("pass", 1, "k"),
    ]


def checked_of(value: Any, keyring: Keyring = RING) -> Checked:
    return Auditor(keyring, sees=True).checked(Piece("x", None, json.dumps(value).encode()))


def test_sightings_have_the_verdicts_of_the_audit(published: Path) -> None:
    good = signing.signed_event("replication_record")
    unsigned = {**signing.signed_event("correction"), "signature": None}
    false = signing.changed(good, "created_at", "2026-13-01T00:00:00Z")
    checked = checked_of([good, unsigned, false, "x", [], {"keys": []}])
    assert [one.verdict for one in checked.sightings] == ["pass", "unconfirmed", "fail"]
    assert checked.sightings[0].signer == good["signer"]["signer_id"]
    assert "invalid_timestamp" in checked.sightings[2].detail
    ring = load_keyring()
    state = checked_of(json.loads((published / "state-N7NXYVEE.json").read_text()), ring)
    assert [(one.kind, one.verdict) for one in state.sightings] == [
        ("record_created", "stated"),
        ("graph_snapshot", "stated"),
    ]
    record = json.loads((published / "record-2OWFFTWG.json").read_text())
    (seen,) = checked_of(record, ring).sightings
    assert (seen.kind, seen.verdict, seen.paper) == ("receipt", "pass", record["pith_number"])
    record["receipt"]["canonical_sha256"] = "0" * 64
    (seen,) = checked_of(record, ring).sightings
    assert seen.verdict == "fail"


@pytest.mark.parametrize("member", ["created_at", "signer", "event_type", "event_id"])
@pytest.mark.parametrize("wrong", [None, 5, [], {}, "x" * 10_000])
def test_whatever_an_event_holds_is_seen_as_short_texts(member: str, wrong: Any) -> None:
    event = {**signing.signed_event("correction"), member: wrong}
    (seen,) = checked_of(event).sightings
    assert seen.verdict == "fail"
    assert all(isinstance(text, str) and len(text) <= 1000 for text in seen)
    assert all(len(text) <= 80 for text in seen[:6])


def luminance(rgb: str) -> float:
    parts = [int(rgb[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", COLOURS)
def test_every_colour_of_text_reads_on_every_background(scheme: str) -> None:
    colours = COLOURS[scheme]
    for name in colours.keys() - {*BACKGROUNDS, "line"}:
        for background in BACKGROUNDS:
            dark, light = sorted((luminance(colours[name]), luminance(colours[background])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, name, background)


# --- in a browser ----------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path, run: Callable[..., Any]) -> Path:
    """A report with failures and hostile strings, and with many signers."""
    folder = tmp_path / HOSTILE.replace("/", "|").replace("\x00", "")
    folder.mkdir()
    events = [
        {**signing.signed_event("correction"), "created_at": HOSTILE, "event_type": HOSTILE},
        *(
            signing.changed(signing.signed_event("replication_record"), "signer.signer_id", name)
            for name in (HOSTILE, "a" * 60, *map(str, range(30)))
        ),
        signing.signed_event("replication_record"),
    ]
    (folder / "e.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    made = tmp_path / "report.html"
    assert run("audit", folder, "--report", made, "--quiet").code == 1
    return made


@pytest.mark.longer
@pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium is installed")
def test_in_a_browser_it_is_quiet_narrow_and_reached_by_keys(page: Path, tmp_path: Path) -> None:
    with browser.Browser(tmp_path / "profile") as chromium:
        for width in (360, 1200):
            for dark in (False, True):
                chromium.open(page, width, dark=dark)
                chromium.value("document.querySelectorAll('details').forEach(d => d.open = true)")
                assert chromium.value("innerWidth") == width
                assert chromium.value("document.documentElement.scrollWidth") <= width
                background = chromium.value("getComputedStyle(document.body).backgroundColor")
                expected = COLOURS["dark" if dark else "light"]["page"]
                assert re.findall(r"\d+", background) == [
                    str(int(expected[i : i + 2], 16)) for i in (1, 3, 5)
                ]
                told = [event["method"] for event in chromium.events]
                assert told.count("Network.requestWillBeSent") == 1  # the page itself
                assert not {"Log.entryAdded", "Runtime.consoleAPICalled"}.intersection(told)
                assert "Runtime.exceptionThrown" not in told
        chromium.open(page, 360)
        focus = "document.activeElement"
        found = []
        for _ in range(6):
            chromium.press("Tab", 9)
            found.append(chromium.value(f"{focus}.tagName"))
        assert found == ["A", "A", "A", "A", "SUMMARY", "SUMMARY"]
        before = chromium.value(f"{focus}.parentElement.open")
        chromium.press("Enter", 13, "\r")
        assert chromium.value(f"{focus}.parentElement.open") is not before
        assert chromium.value(f"getComputedStyle({focus}).outlineStyle") == "solid"
