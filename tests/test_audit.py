"""The audit of documents: the seeds pass, and every fault is found and named.

Two kinds of tables. Of the seeds, every leaf of the document stands in a table with the check that
a changed character there must fail, or in the list of what nothing signs or hashes: no leaf can be
forgotten, and no check can pass for nothing. Of the other documents, each check has a change that
makes what it detects.
"""

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from pithgraph.audit import Audited, Finding, audit_bytes, audit_value, findings
from pithgraph.canonical import decode
from pithgraph.errors import DecodeError, Refused
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.merge import PaperAlias, merge_events
from signing import DROP, PAPER, Json, at, changed, signed_event

PITH = Path(__file__).parent.parent / "fixtures" / "pith"
REGISTRY_KEY = base64.b64decode("stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM=")
REGISTRY = Keyring.from_value(
    {
        "keys": [
            {
                "key_id": "pith-v1-2026-05",
                "algorithm": "ed25519",
                "public_key_b64": base64.b64encode(REGISTRY_KEY).decode(),
                "public_key_fingerprint": "8d4b5ee74e4693bcd1df2446408b0d54",
                "signer_id": "pith.science",
                "signer_type": "pith_registry",
            }
        ]
    }
)
KEYRING = Keyring.from_value(signing.keyring_value())
RECORDS = sorted(path.name for path in PITH.glob("record-*.json"))
STATE = "state-N7NXYVEE.json"

Path_ = tuple[str | int, ...]


def seed(name: str) -> Json:
    value: Json = decode((PITH / name).read_bytes())
    return value


def statuses(audited: Audited, status: str) -> dict[str, str]:
    """The checks of this status, each with its detail."""
    return {one.check: one.detail for one in audited.findings if one.status == status}


def failures(value: Any, keyring: Keyring) -> dict[str, str]:
    return statuses(audit_value(value, keyring), "fail")


# --- leaves


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every scalar of a document but null, with its path."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    elif value is not None and value != "":
        yield path, value
    for name, member in members:
        yield from leaves(member, (*path, name))


def written(path: Path_) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def with_leaf(value: Any, path: Path_, new: Any) -> Any:
    """A copy with the value at `path` replaced."""
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = with_leaf(value[path[0]], path[1:], new)
    return value


def one_character_changed(leaf: Any) -> Iterator[Any]:
    """The leaf with its first, a middle and its last character changed, within their class."""
    if isinstance(leaf, bool):
        yield not leaf
    elif isinstance(leaf, int):
        yield leaf + 1
    else:
        assert isinstance(leaf, str)
        for index in sorted({0, len(leaf) // 2, len(leaf) - 1}):
            yield leaf[:index] + another(leaf[index]) + leaf[index + 1 :]


def another(character: str) -> str:
    for letters in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"):
        if character in letters:
            return letters[(letters.index(character) + 1) % len(letters)]
    return "x"


# (what the path of a leaf matches, the check that fails). The first row that matches counts;
# {name} is a group of the pattern, {kind} the alias_kind that stands there.
RECORD_TABLE = (
    (r"schema_url", "schema_url"),
    (r"schema_version", "schema_version"),
    (r"pith_number", "pith_number"),
    (r"short_pith_number", "short_pith_number"),
    (r"canonical_sha256", "canonical_sha256"),
    (r"canonical_record\..*", "canonical_record"),
    (r"source\..*", "source"),
    (r"paper\.title", "title_canon_sha256"),
    (r"paper\.(?P<name>license|primary_cat|submitted_at)", "paper.{name}"),
    (r"paper\.cross_cats.*", "paper.cross_cats"),
    (r"paper\..*", "graph_snapshot.paper"),
    (r"graph_snapshot\.paper\..*", "graph_snapshot.paper"),
    (r"graph_snapshot\.source\..*", "graph_snapshot.source"),
    (r"graph_snapshot\.(?P<name>\w+)\.snapshot_sha256", "graph_snapshot.{name}.snapshot_sha256"),
    (r"(graph_snapshot\.)?formal_canon\.evidence_count", "formal_canon.evidence_count"),
    (r"receipt\.canonical_sha256", "receipt.canonical_sha256"),
    (r"receipt\.public_key_fingerprint", "receipt.public_key_fingerprint"),
    (r"receipt\.(key_id|algorithm|signed_message|signature_b64)", "receipt"),
    (r"aliases\[\d\]\.alias_(kind|value)", "aliases.{kind}"),
    (r"(?P<name>(links|agent_actions)\..*)", "{name}"),
    (r"(?P<name>verification_status\..*)", "{name}"),
)
# Nothing signs or hashes these, and nothing else of the record repeats them.
RECORD_UNCOVERED = (
    r"(created|updated)_at",
    r"attestation_state",
    r"receipt\.(kind|signed_at|builder_version|receipt_version|last_reissued_at"
    r"|signature_status|first_computed_at)",
    r"aliases\[\d\]\.created_at",
    r"inbound_citations\..*",
    r"graph_snapshot\.builder_version",
    r"graph_snapshot\.(claims|references|author_claims)\.\w+",
)
# Beside state_sha256, which every change of a state fails.
STATE_TABLE = (
    (r"state_sha256", "state_sha256"),
    (r"state_version", "state_version"),
    (r"merge_version", "merge_version"),
    (r"pith_number", "pith_number"),
    (r"(valid_)?event_count", "event_count"),  # more valid ones than are shown there may be
    (r"(?P<name>invalid_event_count|equivocation_count)", "{name}"),
    (r"applied_event_ids\[\d\]", "applied_event_ids"),
    (r"current\.canonical_record\..*", "current.canonical_record"),
    (r"current\.source_aliases\[\d\]\.alias_(kind|value)", "current.source_aliases.{kind}"),
    (r"current\..*\.event_id", "applied_event_ids"),
    (r"(?P<name>current\.[^.]*)\.(target|signer\.(key_id|signer_id|signer_type))", "{name}"),
    (
        r"(?P<row>current\.graph_snapshots\[0\])\.payload\.graph_snapshot\.paper\.title",
        "{row}.title_canon_sha256",
    ),
    (
        r"(?P<row>current\.graph_snapshots\[0\])\.payload\.graph_snapshot\."
        r"(?P<name>paper\.(license|primary_cat|submitted_at)|\w+\.snapshot_sha256)",
        "{row}.{name}",
    ),
    (
        r"(?P<row>current\.graph_snapshots\[0\])\.payload\.graph_snapshot\.source\..*",
        "{row}.source",
    ),
    (r"current\.record_created\.payload\.canonical_record\..*", "current.canonical_record"),
    (r"current\.record_created\.payload\.canonical_sha256", "canonical_sha256"),
    (r"current\.record_created\.payload\.source_.*", "current.record_created"),
    (
        r"current\.record_created\.payload\.(?P<name>receipt\.(canonical_sha256"
        r"|public_key_fingerprint))",
        "{name}",
    ),
    (
        r"current\.record_created\.payload\.receipt\.(key_id|algorithm|signed_message"
        r"|signature_b64)",
        "receipt",
    ),
)
TYPE_MEMBERS = ("record_type", "state_type")


def expected_check(table: Any, value: Any, path: Path_) -> str | None:
    for pattern, check in table:
        if found := re.fullmatch(pattern, written(path)):
            kind = value_at(value, path[:-1]).get("alias_kind") if "{kind}" in check else None
            return str(check.format(kind=kind, **found.groupdict()))
    return None


def value_at(value: Any, path: Path_) -> Any:
    for part in path:
        value = value[part]
    return value


@pytest.mark.parametrize("name", [*RECORDS, STATE])
def test_a_seed_passes_every_check(name: str) -> None:
    audited = audit_bytes((PITH / name).read_bytes(), REGISTRY)
    assert audited.document == seed(name).get("record_type", "pith_open_graph_state")
    others = {check for check, status, _ in audited.findings if status != "pass"}
    assert {check.split(".")[-1] for check in others} == {"abstract_canon_sha256"}
    (reason,) = statuses(audited, "skipped").values()
    assert "600 characters" in reason
    checks = [one.check for one in audited.findings]
    assert len(checks) == len(set(checks)) > 45


@pytest.mark.parametrize("name", RECORDS)
def test_every_changed_leaf_of_a_record_is_named(name: str) -> None:
    value = seed(name)
    used = set()
    for path, leaf in leaves(value):
        if path[0] in TYPE_MEMBERS:
            continue
        check = expected_check(RECORD_TABLE, value, path)
        if check is None:
            assert any(re.fullmatch(one, written(path)) for one in RECORD_UNCOVERED), written(path)
            continue
        used.add(check)
        for new in one_character_changed(leaf):
            found = failures(with_leaf(value, path, new), REGISTRY)
            assert check in found, (written(path), new, found)
    assert {"receipt", "title_canon_sha256", "aliases.doi", "links.html"} <= used


def test_every_changed_leaf_of_a_state_is_named() -> None:
    value = seed(STATE)
    for path, leaf in leaves(value):
        if path[0] in TYPE_MEMBERS:
            continue
        check = expected_check(STATE_TABLE, value, path)
        for new in one_character_changed(leaf):
            found = failures(with_leaf(value, path, new), REGISTRY)
            assert "state_sha256" in found, written(path)
            assert check is None or check in found, (written(path), new, found)


def test_one_fault_of_the_number_is_not_repeated_by_what_follows_from_it() -> None:
    value = seed(RECORDS[0])
    number = value["pith_number"][:-1] + another(value["pith_number"][-1])
    found = failures(value | {"pith_number": number}, REGISTRY)
    assert found.keys() == {"pith_number", "verification_status.content_addressed"}
    assert number in found["pith_number"]
    assert value["pith_number"] in found["pith_number"]


def test_a_changed_record_is_told_from_a_changed_digest() -> None:
    value = seed(RECORDS[0])
    digest = another(value["canonical_sha256"][0]) + value["canonical_sha256"][1:]
    found = failures(changed(value, "canonical_sha256", digest), REGISTRY)
    assert found.keys() == {"canonical_sha256", "verification_status.content_addressed"}
    member = "canonical_record.metadata.abstract_canon_sha256"
    found = failures(changed(value, member, "0" * 64), REGISTRY)
    assert found.keys() >= {"canonical_sha256", "canonical_record", "pith_number", "receipt"}
    assert "abstract_canon_sha256" in found["canonical_record"]


@pytest.mark.parametrize("name", [*RECORDS, STATE])
def test_a_changed_type_member_is_no_known_document(name: str) -> None:
    value = seed(name)
    (member,) = value.keys() & set(TYPE_MEMBERS)
    with pytest.raises(Refused, match="unknown_document"):
        audit_value(value | {member: value[member] + "s"}, REGISTRY)


# --- records beyond the seeds

EMPTY = "258153158e38e3291e3d48162225fcdb2d5a3ed65a07baac614ab91432fd4f57"
ORIGIN = "https://mirror.example"


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record_value(paper: signing.Paper = PAPER, *events: Json) -> Json:
    """A record of a paper of the tests, in the published shape, that is all right."""
    metadata = paper.record["metadata"]
    about = {
        "title": "A\n Title ",
        "license": metadata["license"],
        "primary_cat": metadata["primary_cat"],
        "submitted_at": metadata["submitted_at"],
        "cross_cats": ["cs.LG"],
        "abstract_excerpt": "An ABSTRACT",
    }
    snapshot = {
        "paper": about,
        "source": paper.source,
        "claims": {"count": 0, "items": [], "snapshot_sha256": EMPTY},
        "references": {"count": 2, "resolved_work": 2, "snapshot_sha256": "0" * 64},
        "formal_canon": {"evidence_count": 1, "snapshot_sha256": "1" * 64},
    }
    return {
        "record_type": "pith_number_record",
        "schema_url": "https://pith.science/schemas/pith-number/v1.json",
        "pith_number": paper.number,
        "short_pith_number": f"pith:{paper.suffix[:8]}",
        "schema_version": "1.0",
        "canonical_sha256": paper.canonical_sha256,
        "source": paper.source,
        "attestation_state": "computed",
        "paper": about,
        "verification_status": {
            "content_addressed": True,
            "pith_receipt": True,
            "graph_snapshot": True,
            "author_attested": bool(events),
            "weak_author_claims": len(events),
            "references_resolved": True,
            "formal_links_present": True,
        },
        "canonical_record": paper.record,
        "receipt": signing.receipt(paper),
        "graph_snapshot": snapshot,
        "aliases": [],
        "events": list(events),
        "formal_canon": {"evidence_count": 1},
        "links": {"html": f"{ORIGIN}/pith/{paper.suffix}"},
        "agent_actions": {"view_paper": f"{ORIGIN}/paper/{paper.suffix[:8]}"},
    }


def alias_row(kind: str, value: str, created_at: str = at(1)) -> Json:
    return {"alias_kind": kind, "alias_value": value, "created_at": created_at}


RECORD = record_value(PAPER, signed_event("author_attestation"))


def test_a_record_with_events_and_a_whole_abstract_passes() -> None:
    audited = audit_value(RECORD, KEYRING)
    assert statuses(audited, "fail") == {}
    good = statuses(audited, "pass")
    assert {"abstract_canon_sha256", "events[0]", "verification_status.weak_author_claims"} <= (
        good.keys()
    )
    assert statuses(audited, "unconfirmed").keys() == {
        "graph_snapshot.references.snapshot_sha256",
        "graph_snapshot.formal_canon.snapshot_sha256",
    }


# (member, its new value, the check, its status)
RECORD_CHANGES: tuple[tuple[str, Any, str, str], ...] = (
    ("events", DROP, "shape", "fail"),
    ("links", [], "shape", "fail"),
    ("schema_url", DROP, "schema_url", "fail"),
    ("receipt", None, "receipt", "unconfirmed"),
    ("receipt.signature_b64", "AAAA", "receipt", "fail"),
    ("receipt", signing.receipt(key=signing.REVOKED), "receipt", "fail"),
    ("receipt", signing.receipt(key=signing.STRANGER), "receipt", "fail"),
    ("receipt", signing.receipt(key=signing.ALICE), "receipt", "fail"),
    ("receipt", signing.receipt(signing.OTHER_PAPER), "receipt.canonical_sha256", "fail"),
    ("canonical_record", PAPER.record | {"more": 1}, "canonical_record", "fail"),
    ("canonical_record", PAPER.record | {"source": {"kind": "arxiv"}}, "canonical_record", "fail"),
    ("canonical_record", {"metadata": {}}, "pith_number", "fail"),
    ("pith_number", "pith:2024:SHORT", "pith_number", "fail"),
    ("pith_number", PAPER.number.replace("2024", "2025"), "pith_number", "fail"),
    ("paper.abstract_excerpt", "Another abstract", "abstract_canon_sha256", "fail"),
    ("paper.abstract_excerpt", "x" * 600, "abstract_canon_sha256", "skipped"),
    ("paper.abstract_excerpt", DROP, "abstract_canon_sha256", "skipped"),
    ("paper.title", None, "title_canon_sha256", "skipped"),
    ("paper.cross_cats", ["cs.LG", 1], "paper.cross_cats", "fail"),
    ("paper.license", DROP, "paper.license", "skipped"),
    ("graph_snapshot", None, "graph_snapshot", "skipped"),
    ("graph_snapshot", None, "verification_status.graph_snapshot", "fail"),
    ("graph_snapshot.claims.items", [{}], "graph_snapshot.claims.snapshot_sha256", "fail"),
    ("graph_snapshot.claims.count", 0.0, "graph_snapshot.claims.snapshot_sha256", "unconfirmed"),
    ("graph_snapshot.references.resolved_work", 1, "verification_status.references_resolved",
     "fail"),
    ("formal_canon.evidence_count", 2, "formal_canon.evidence_count", "fail"),
    ("aliases", ["arxiv"], "aliases[0]", "fail"),
    ("aliases", [alias_row("arxiv", "2401.00001", "2026")], "aliases[0].created_at", "fail"),
    ("aliases", [alias_row("arxiv", "2401.00009")], "aliases.arxiv", "fail"),
    ("aliases", [alias_row("arxiv", "2401.00001"), alias_row("arxiv", "x")], "aliases.arxiv",
     "fail"),
    ("aliases", [alias_row("arxiv_", "2401.00001")], "aliases.arxiv", "fail"),
    ("aliases", [alias_row("ssrn", "1")], "aliases.ssrn", "unconfirmed"),
    ("aliases", [], "aliases.doi", "skipped"),
    ("links.html", 7, "links.html", "fail"),
    ("links.json", f"https://else.example/pith/{PAPER.suffix}.json", "links.json", "fail"),
    ("links.more", "https://mirror.example/", "links.more", "unconfirmed"),
    ("agent_actions.actions", "none", "agent_actions.actions", "fail"),
    ("agent_actions.resolve_alias", f"{ORIGIN}/api/pith-number/resolve?arxiv=2401.00001&json=true",
     "agent_actions.resolve_alias", "pass"),
    ("events", [{"kind": "attested"}], "events[0]", "unconfirmed"),
    ("events", [{"kind": "attested"}], "verification_status.author_attested", "unconfirmed"),
    ("events", [], "verification_status.author_attested", "fail"),
    ("events", [signed_event(paper=signing.OTHER_PAPER)], "events[0]", "fail"),
    ("events", [signed_event("correction", key=signing.STRANGER)],
     "verification_status.weak_author_claims", "unconfirmed"),
    ("verification_status.author_attested", 1, "verification_status.author_attested", "fail"),
    ("verification_status.citation_signatures", 1, "verification_status.citation_signatures",
     "fail"),
    ("verification_status.pith_receipt", DROP, "verification_status.pith_receipt", "skipped"),
    ("verification_status.more", True, "verification_status", "unconfirmed"),
)  # fmt: skip


@pytest.mark.parametrize(("member", "new", "check", "status"), RECORD_CHANGES)
def test_a_changed_record(member: str, new: Any, check: str, status: str) -> None:
    assert check in statuses(audit_value(changed(RECORD, member, new), KEYRING), status)


def test_a_record_of_no_arxiv_source_has_short_aliases_alone() -> None:
    paper = signing.Paper("10.1234/x", "v1", "crossref")
    link = f"{ORIGIN}/api/pith-number/resolve?arxiv=1&json=true"
    value = changed(record_value(paper), "agent_actions.resolve_alias", link)
    value["aliases"] = [
        alias_row("pith_short_8", paper.suffix[:8]),
        alias_row("arxiv", "1"),
    ]
    audited = audit_value(value, KEYRING)
    assert statuses(audited, "fail") == {}
    assert "aliases.pith_short_8" in statuses(audited, "pass")
    assert {"aliases.arxiv", "agent_actions.resolve_alias"} <= (
        statuses(audited, "unconfirmed").keys()
    )


# --- states


def state_value(events: list[Json], *aliases: PaperAlias, assurance: Any = "verified") -> Json:
    merged = merge_events(PAPER.number, map(Event.from_value, events), aliases, KEYRING, assurance)
    return merged.document


def resealed(state: Json) -> Json:
    rest = {name: state[name] for name in state if name != "state_sha256"}
    return rest | {"state_sha256": signing.sha256_hex(rest)}


ALL_KINDS = [signed_event(kind, created_at=at(n)) for n, kind in enumerate(signing.SIGNERS)]
TWO_ANCHORS = [
    signed_event("timestamp_anchor", created_at=at(30 + n), target=f"anchor:{n}") for n in range(2)
]
EVENTS = [*ALL_KINDS, *TWO_ANCHORS]
FULL = state_value(
    EVENTS, PaperAlias("arxiv", "2401.00001", at(1)), PaperAlias("pith_short_8", PAPER.suffix[:8],
                                                                 at(2))
)  # fmt: skip
HEADLESS = state_value([*ALL_KINDS[1:], *TWO_ANCHORS])  # without a record_created
INVALID = signed_event("correction", created_at="yesterday")
SAID_TWICE = [signed_event("correction", payload={"action": "amend", "reason": r}) for r in "ab"]
WITH_GAPS = state_value([*EVENTS, INVALID, *SAID_TWICE])


def test_a_merged_state_passes_and_replays() -> None:
    audited = audit_value(FULL, KEYRING)
    assert statuses(audited, "fail") == {}
    assert statuses(audited, "unconfirmed") == {}
    assert {"replay.current", "replay.applied_event_ids", "replay.state_sha256"} <= (
        statuses(audited, "pass").keys()
    )


@pytest.mark.parametrize(
    ("events", "skipped"),
    [
        ([*EVENTS, INVALID], {"state_sha256": "invalid events"}),
        ([*EVENTS, *SAID_TWICE], {"state_sha256": "equivocations"}),
        (
            [*EVENTS, signed_event("record_created", created_at=at(9))],
            {"state_sha256": "further record_created", "applied_event_ids": "without a row"},
        ),
        (
            [
                signed_event("record_created", created_at=at(9)),
                signed_event("record_created", created_at=at(9), more=1),
            ],
            {"state_sha256": "withheld", "current": "withheld"},
        ),
    ],
    ids=["invalid", "equivocation", "second_record_created", "record_created_withheld"],
)
def test_what_a_state_cannot_show_is_skipped_with_its_reason(
    events: list[Json], skipped: dict[str, str]
) -> None:
    audited = audit_value(state_value(events), KEYRING)
    assert statuses(audited, "fail") == {}
    found = {
        check.removeprefix("replay."): detail
        for check, detail in statuses(audited, "skipped").items()
        if check.startswith("replay.")
    }
    assert found.keys() == skipped.keys()
    for name, reason in skipped.items():
        assert reason in found[name]


def test_a_stated_event_that_gave_way_is_counted_and_not_shown() -> None:
    event = signed_event("graph_snapshot")
    stated = signing.changed(event, "signature", DROP) | {"event_id": signing.some_id("x")}
    value = state_value([event, stated], assurance="stated")
    audited = audit_value(value, KEYRING)
    assert statuses(audited, "fail") == {}
    assert "valid_event_count" in statuses(audited, "unconfirmed")
    assert "valid events" in statuses(audited, "skipped")["replay.state_sha256"]


def test_a_state_under_another_keyring_is_unconfirmed_where_the_key_is_missing() -> None:
    audited = audit_value(FULL, REGISTRY)
    assert statuses(audited, "fail").keys() == {"receipt"}
    assert "no key" in statuses(audited, "fail")["receipt"]
    assert "current.corrections[0]" in statuses(audited, "unconfirmed")
    assert "replay.current" in statuses(audited, "skipped")


def swapped(rows: list[Any]) -> list[Any]:
    return [rows[1], rows[0], *rows[2:]]


ANCHORS = FULL["current"]["timestamp_anchors"]
FIRST = ANCHORS[0]
GAP_ROWS = WITH_GAPS["equivocations"][0]
STATE_CHANGES: tuple[tuple[Json, str, Any, str], ...] = (
    (FULL, "current", [], "shape"),
    (FULL, "state_version", "1.1", "state_version"),
    (FULL, "merge_version", "v2", "merge_version"),
    (FULL, "pith_number", signing.OTHER_PAPER.number, "pith_number"),
    (FULL, "pith_number", "pith", "pith_number"),
    (FULL, "event_count", 99, "event_count"),
    (FULL, "valid_event_count", 1, "valid_event_count"),
    (FULL, "invalid_event_count", 1, "invalid_event_count"),
    (FULL, "equivocation_count", 1, "equivocation_count"),
    (FULL, "current.canonical_record", None, "current.canonical_record"),
    (FULL, "current.canonical_record.schema_version", "2", "canonical_sha256"),
    (FULL, "current.record_created.payload.receipt.signature_b64", "x", "receipt"),
    (FULL, "current.record_created", 5, "current.record_created"),
    (FULL, "current.timestamp_anchors", swapped(ANCHORS), "order.current.timestamp_anchors"),
    (FULL, "current.timestamp_anchors", [FIRST, *ANCHORS], "order.current.timestamp_anchors"),
    (FULL, "current.timestamp_anchors", [FIRST | {"more": 1}], "current.timestamp_anchors[0]"),
    (FULL, "current.timestamp_anchors", [changed(FIRST, "payload.status", "?")],
     "current.timestamp_anchors[0]"),
    (HEADLESS, "current.timestamp_anchors", ANCHORS[1:], "applied_event_ids"),
    (HEADLESS, "current.timestamp_anchors", ANCHORS[:1], "replay.applied_event_ids"),
    (HEADLESS, "current.timestamp_anchors", ANCHORS[:1], "replay.state_sha256"),
    (FULL, "current.graph_snapshots", [FIRST], "current.graph_snapshots[0]"),
    (FULL, "applied_event_ids", FULL["applied_event_ids"][1:], "applied_event_ids"),
    (FULL, "applied_event_ids", FULL["applied_event_ids"] * 2, "applied_event_ids"),
    (FULL, "applied_event_ids", swapped(FULL["applied_event_ids"]), "order.applied_event_ids"),
    (FULL, "applied_event_ids", swapped(FULL["applied_event_ids"]), "replay.applied_event_ids"),
    (FULL, "applied_event_ids", [signing.some_id("a"), *FULL["applied_event_ids"]],
     "applied_event_ids"),
    (FULL, "current.source_aliases", swapped(FULL["current"]["source_aliases"]),
     "order.current.source_aliases"),
    (FULL, "current.source_aliases", [alias_row("ssrn", "1")], "current.source_aliases.ssrn"),
    (FULL, "current.source_aliases", [alias_row("arxiv", "2401.00001", "2026-01-01T00:00:00.5Z")],
     "current.source_aliases[0].created_at"),
    (FULL, "current.source_aliases", [alias_row("ssrn", "1")], "replay.current"),
    (FULL, "more", 1, "replay.state_sha256"),
    (WITH_GAPS, "invalid_events", [{}], "invalid_events[0]"),
    (WITH_GAPS, "invalid_events", [WITH_GAPS["invalid_events"][0] | {"reason": "bad"}],
     "invalid_events[0]"),
    (WITH_GAPS, "invalid_events", WITH_GAPS["invalid_events"] * 2, "order.invalid_events"),
    (WITH_GAPS, "invalid_events", [], "invalid_event_count"),
    (WITH_GAPS, "equivocations", [GAP_ROWS] * 2, "order.equivocations"),
    (WITH_GAPS, "equivocations", [GAP_ROWS | {"rule": "?"}], "equivocations[0]"),
    (WITH_GAPS, "equivocations", [GAP_ROWS | {"rule": "fork"}], "equivocations[0]"),
    (WITH_GAPS, "equivocations", [GAP_ROWS | {"event_ids": GAP_ROWS["event_ids"][::-1]}],
     "equivocations[0]"),
    (WITH_GAPS, "equivocations", [], "equivocation_count"),
    (WITH_GAPS, "equivocations", [GAP_ROWS | {"event_ids": WITH_GAPS["applied_event_ids"][:2]}],
     "applied_event_ids"),
)  # fmt: skip


@pytest.mark.parametrize(("state", "member", "new", "check"), STATE_CHANGES)
def test_a_changed_state_fails_even_where_its_hash_was_made_anew(
    state: Json, member: str, new: Any, check: str
) -> None:
    assert check in failures(resealed(changed(state, member, new)), KEYRING)


def test_what_cannot_be_asked_of_a_state_is_skipped() -> None:
    unsortable = changed(FULL, "current.timestamp_anchors", [ANCHORS[0], None])
    skipped = statuses(audit_value(unsortable, KEYRING), "skipped")
    assert "order.current.timestamp_anchors" in skipped
    nameless = changed(HEADLESS, "pith_number", "nobody")
    assert "current.source_aliases" in statuses(audit_value(nameless, KEYRING), "skipped")
    half = changed(FULL, "current.source_aliases", [None])
    assert failures(half, KEYRING).keys() >= {"current.source_aliases[0]", "replay.current"}


# --- bundles, lists, single events, alias rows


def bundle_value(*events: Any, **members: Any) -> Json:
    return {
        "bundle_type": "pith_open_graph_bundle",
        "bundle_version": "1.0",
        "pith_number": PAPER.number,
        "short_pith_number": f"pith:{PAPER.suffix[:8]}",
        "canonical_record": PAPER.record,
        "canonical_sha256": PAPER.canonical_sha256,
        "source": PAPER.source,
        "source_aliases": [alias_row("arxiv", "2401.00001")],
        "events": list(events),
    } | members


BUNDLE = bundle_value(*EVENTS)
CREATED = signed_event("record_created")
BUNDLE_CHANGES: tuple[tuple[str, Any, str, str], ...] = (
    ("events", {}, "shape", "fail"),
    ("bundle_version", "2.0", "bundle_version", "fail"),
    ("pith_number", signing.OTHER_PAPER.number, "pith_number", "fail"),
    ("short_pith_number", "pith:AAAAAAAA", "short_pith_number", "fail"),
    ("canonical_sha256", "0" * 64, "canonical_sha256", "fail"),
    ("canonical_sha256", "0" * 64, "head.canonical_sha256", "fail"),
    ("canonical_record", signing.OTHER_PAPER.record, "head.canonical_record", "fail"),
    ("canonical_record.more", 1, "canonical_record", "fail"),
    ("source.version", 3, "source", "fail"),
    ("source.version", 3, "head.source", "fail"),
    ("source_aliases", [alias_row("doi", "10.1/x")], "source_aliases.doi", "fail"),
    ("source_aliases", [None], "source_aliases[0]", "fail"),
    ("events", [], "head.source", "skipped"),
    ("events", [signed_event(paper=signing.OTHER_PAPER)], "events[0]", "fail"),
    ("events", ["event"], "events[0]", "fail"),
    ("events", [changed(CREATED, "created_at", at(7))], "events[0]", "unconfirmed"),
    ("events", [changed(CREATED, "event_id", signing.some_id("x"))], "events[0]", "fail"),
    ("events", [signed_event(key=signing.ALICE)], "events[0]", "fail"),
    ("events", [signed_event(key=signing.STRANGER)], "events[0]", "unconfirmed"),
    ("events", [changed(CREATED, "signature", DROP)], "events[0]", "unconfirmed"),
    ("events", SAID_TWICE, "equivocations[0]", "unconfirmed"),
)


def test_a_good_bundle_passes() -> None:
    audited = audit_value(BUNDLE, KEYRING)
    others = {one.status for one in audited.findings if "aliases" not in one.check}
    assert others == {"pass"}
    assert statuses(audited, "fail") == {}


@pytest.mark.parametrize(("member", "new", "check", "status"), BUNDLE_CHANGES)
def test_a_changed_bundle(member: str, new: Any, check: str, status: str) -> None:
    assert check in statuses(audit_value(changed(BUNDLE, member, new), KEYRING), status)


def test_the_head_is_held_against_a_valid_record_created_where_there_is_one() -> None:
    forged = changed(CREATED, "payload.canonical_sha256", "0" * 64)
    audited = audit_value(bundle_value(forged, CREATED), KEYRING)
    assert statuses(audited, "fail") == {}
    assert "events[0]" in statuses(audited, "unconfirmed")
    assert "head.canonical_sha256" in failures(bundle_value(forged), KEYRING)


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        (CREATED, "pass", ""),
        (changed(CREATED, "payload.receipt", {}), "unconfirmed", "event_id_unverifiable"),
        (changed(CREATED, "event_id", signing.some_id("x")), "fail", "event_id_mismatch"),
        (changed(CREATED, "signature.signature_b64", signing.b64(bytes(64))), "fail",
         "bad_signature"),
        (changed(CREATED, "signature", None), "unconfirmed", "missing_signature"),
        (signed_event(key=signing.STRANGER), "unconfirmed", "unknown_key"),
        (signed_event(subject_pith_number="pith:1"), "fail", "no_subject"),
        (signed_event(created_at="now\x1b[2J"), "fail", "invalid_timestamp"),
    ],
)  # fmt: skip
def test_a_single_event(event: Json, status: str, reason: str) -> None:
    audited = audit_value(event, KEYRING)
    assert audited.document == "event"
    ((check, found, detail),) = audited.findings
    assert (check, found) == ("event", status)
    assert reason in detail
    assert "\x1b" not in detail


def test_an_event_with_an_id_of_another_rule_is_unconfirmed() -> None:
    event_id = signing.some_id("the service's own rule")
    event = CREATED | {
        "event_id": event_id,
        "signature": signing.signature(signing.REGISTRY, event_id),
    }
    assert "event_id_unverifiable" in statuses(audit_value(event, KEYRING), "unconfirmed")["event"]


def test_a_list_is_audited_entry_by_entry() -> None:
    line = {"alias": {"pith_number": PAPER.number, **alias_row("pith_short_8", "AAAAAAAA")}}
    value = [CREATED, *SAID_TWICE, BUNDLE, line, [], 3, {"x": 1}]
    audited = audit_value(value, KEYRING)
    assert audited.document == "list"
    assert {"[0]", "[1]", "[2]", "[3].pith_number", "[4].alias"} <= (
        statuses(audited, "pass").keys()
    )
    assert statuses(audited, "fail").keys() == {"[4].alias.pith_short_8", "[5]", "[6]", "[7]"}
    assert statuses(audited, "unconfirmed").keys() == {"equivocations[0]"}
    assert "same_slot" in statuses(audited, "unconfirmed")["equivocations[0]"]
    for event in SAID_TWICE:
        assert event["event_id"] in statuses(audited, "unconfirmed")["equivocations[0]"]


ALIASES = {
    "pith_number": PAPER.number,
    "source_aliases": [alias_row("pith_short_12", PAPER.suffix[:12]), alias_row("doi", "10.1/x")],
}


@pytest.mark.parametrize(
    ("member", "new", "check", "status"),
    [
        ("more", 1, "source_aliases.pith_short_12", "pass"),
        ("more", 1, "source_aliases.doi", "unconfirmed"),
        ("source_aliases", None, "shape", "fail"),
        ("pith_number", "pith:1", "pith_number", "fail"),
        ("pith_number", signing.OTHER_PAPER.number, "source_aliases.pith_short_12", "fail"),
        ("source_aliases", [{}], "source_aliases[0]", "fail"),
        ("source_aliases", [alias_row("doi", "x", "")], "source_aliases[0].created_at", "fail"),
    ],
)
def test_an_alias_document(member: str, new: Any, check: str, status: str) -> None:
    assert check in statuses(audit_value(changed(ALIASES, member, new), KEYRING), status)


SHOWN_EVENTS = {
    "pith_number": PAPER.number,
    "merge_version": "pith-open-graph-merge-v1",
    "keyring_sha256": KEYRING.sha256,
    "assurance": "verified",
    "state_sha256": "0" * 64,
    "events": EVENTS,
}
SHOWN_GRAPH = {
    "pith_number": PAPER.number,
    "event_id": signing.some_id("x"),
    "created_at": at(1),
    "verdict_id": None,
    "graph_snapshot": {"claims": {"count": 0, "items": [], "snapshot_sha256": EMPTY}},
}
NO_GRAPH = SHOWN_GRAPH | {"event_id": None, "created_at": None, "graph_snapshot": None}
RESOLVED = {
    "alias_kind": "arxiv",
    "alias_value": "2401.00001",
    "pith_numbers": [PAPER.number, signing.OTHER_PAPER.number],
}


@pytest.mark.parametrize(
    ("document", "member", "new", "check", "status"),
    [
        (SHOWN_EVENTS, "more", 1, "state_sha256", "unconfirmed"),
        (SHOWN_EVENTS, "more", 1, "keyring", "pass"),
        (SHOWN_EVENTS, "events", {}, "shape", "fail"),
        (SHOWN_EVENTS, "assurance", "sworn", "shape", "fail"),
        (SHOWN_EVENTS, "state_sha256", "0" * 63, "shape", "fail"),
        (SHOWN_EVENTS, "pith_number", "pith:1", "pith_number", "fail"),
        (SHOWN_EVENTS, "pith_number", signing.OTHER_PAPER.number, "events[0]", "fail"),
        (SHOWN_EVENTS, "merge_version", "v2", "merge_version", "fail"),
        (SHOWN_EVENTS, "keyring_sha256", "0" * 64, "keyring", "unconfirmed"),
        (SHOWN_EVENTS, "events", [changed(CREATED, "created_at", at(7))], "events[0]",
         "unconfirmed"),
        (SHOWN_EVENTS, "events", [changed(EVENTS[0], "target", "x")], "events[0]", "fail"),
        (SHOWN_EVENTS, "events", SAID_TWICE, "equivocations[0]", "unconfirmed"),
        (SHOWN_GRAPH, "more", 1, "event", "unconfirmed"),
        (SHOWN_GRAPH, "more", 1, "graph_snapshot.claims.snapshot_sha256", "pass"),
        (SHOWN_GRAPH, "event_id", "x", "shape", "fail"),
        (SHOWN_GRAPH, "event_id", None, "event", "fail"),
        (SHOWN_GRAPH, "pith_number", "pith:1", "pith_number", "fail"),
        (SHOWN_GRAPH, "created_at", "2026-02-30T00:00:00Z", "created_at", "fail"),
        (SHOWN_GRAPH, "graph_snapshot.claims.snapshot_sha256", "0" * 64,
         "graph_snapshot.claims.snapshot_sha256", "fail"),
        (NO_GRAPH, "more", 1, "event", "skipped"),
        (RESOLVED, "more", 1, "aliases", "unconfirmed"),
        (RESOLVED, "more", 1, "pith_numbers[1]", "pass"),
        (RESOLVED, "pith_numbers", [PAPER.number, "pith:1"], "pith_numbers[1]", "fail"),
        (RESOLVED, "pith_numbers", [], "shape", "fail"),
        (RESOLVED, "alias_value", None, "shape", "fail"),
    ],
)  # fmt: skip
def test_what_a_published_tree_holds_in_shapes_of_ours(
    document: Json, member: str, new: Any, check: str, status: str
) -> None:
    assert check in statuses(audit_value(changed(document, member, new), KEYRING), status)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            alias_row("pith_short_16", PAPER.suffix[:16]),
            {"alias": "pass", ".pith_short_16": "pass"},
        ),
        (alias_row("pith_short_16", "A" * 16), {"alias": "pass", ".pith_short_16": "fail"}),
        (alias_row("arxiv", "2401.00001"), {"alias": "pass", ".arxiv": "unconfirmed"}),
        (alias_row("x y", ""), {"alias": "pass", '["x y"]': "unconfirmed"}),
        (alias_row("arxiv", "2401.00001", "2026"), {"alias": "fail"}),
        ({}, {"alias": "fail"}),
    ],
)
def test_an_alias_line(row: Json, found: dict[str, str]) -> None:
    audited = audit_value({"alias": {"pith_number": PAPER.number, **row}}, KEYRING)
    assert {f.check.removeprefix("alias") or "alias": f.status for f in audited.findings} == found


# --- manifests, keyrings, proofs


def published_key(key: signing.Key) -> Json:
    digest = hashlib.sha256(key.public).digest()
    return {
        "key_id": key.key_id,
        "algorithm": "ed25519",
        "format": "raw",
        "public_key_b64": key.public_b64,
        "public_key_hex": key.public.hex(),
        "fingerprint_sha256_hex": key.fingerprint,
        "fingerprint_sha256_b32_first128bits": base64.b32encode(digest).decode()[:26],
        "rotates_at": None,
        "url": "https://mirror.example/pith-signing-key.json",
        "notes": "",
    }


def manifest_value(key: signing.Key = signing.REGISTRY) -> Json:
    mirror = {
        "name": "A mirror",
        "mirror_type": "full",
        "base_url": "https://mirror.example",
        "bundle_pattern": "/pith/{suffix}/bundle.json",
        "state_pattern": "https://mirror.example/pith/{suffix}/state.json",
        "well_known_pattern": "/.well-known/pith/{suffix}/bundle.json",
        "public_key": published_key(key),
        "status": "active",
    }
    return {
        "manifest_type": "pith_mirror_manifest",
        "manifest_version": "1.0",
        "generated_at": "2026-05-20T00:00:00Z",
        "merge_version": "pith-open-graph-merge-v1",
        "mirrors": [mirror],
        "notes": [],
    }


MANIFEST = manifest_value()
SMALL_ORDER = signing.b64(bytes([1]) + bytes(31))
MIRROR_CHANGES: tuple[tuple[str, Any, str, str], ...] = (
    ("name", None, "", "fail"),
    ("base_url", "mirror.example", ".base_url", "fail"),
    ("bundle_pattern", "", ".bundle_pattern", "fail"),
    ("bundle_pattern", "/pith/{suffix/bundle.json", ".bundle_pattern", "fail"),
    ("state_pattern", "/state.json", ".state_pattern", "unconfirmed"),
    ("well_known_pattern", "ftp://x/{suffix}", ".well_known_pattern", "fail"),
    ("public_key.algorithm", "rsa", ".public_key.algorithm", "fail"),
    ("public_key.format", "pem", ".public_key.format", "fail"),
    ("public_key.public_key_b64", "x", ".public_key.public_key_b64", "fail"),
    ("public_key.public_key_b64", "x", ".public_key.keyring", "skipped"),
    ("public_key.public_key_b64", SMALL_ORDER, ".public_key.public_key_b64", "fail"),
    ("public_key.public_key_b64", signing.BOB.public_b64, ".public_key.public_key_hex", "fail"),
    ("public_key.public_key_b64", signing.BOB.public_b64, ".public_key.keyring", "fail"),
    ("public_key.public_key_hex", "00", ".public_key.public_key_hex", "fail"),
    ("public_key.fingerprint_sha256_hex", "0" * 32, ".public_key.fingerprint_sha256_hex", "fail"),
    (
        "public_key.fingerprint_sha256_hex",
        hashlib.sha256(signing.REGISTRY.public).hexdigest(),
        ".public_key.fingerprint_sha256_hex",
        "pass",
    ),
    (
        "public_key.fingerprint_sha256_b32_first128bits",
        "A" * 26,
        ".public_key.fingerprint_sha256_b32_first128bits",
        "fail",
    ),
    ("public_key.key_id", "test-alice", ".public_key.keyring", "fail"),
    ("public_key.key_id", "no such", ".public_key.keyring", "fail"),
    ("public_key", published_key(signing.STRANGER), ".public_key.keyring", "unconfirmed"),
    ("public_key", published_key(signing.REVOKED), ".public_key.keyring", "fail"),
)


def test_a_good_manifest_passes() -> None:
    assert {one.status for one in audit_value(MANIFEST, KEYRING).findings} == {"pass"}


@pytest.mark.parametrize(("member", "new", "check", "status"), MIRROR_CHANGES)
def test_a_changed_mirror(member: str, new: Any, check: str, status: str) -> None:
    value = MANIFEST | {"mirrors": [changed(MANIFEST["mirrors"][0], member, new)]}
    assert "mirrors[0]" + check in statuses(audit_value(value, KEYRING), status)


@pytest.mark.parametrize(
    ("member", "new", "check", "status"),
    [
        ("mirrors", {}, "shape", "fail"),
        ("mirrors", [], "mirrors", "skipped"),
        ("mirrors", [1], "mirrors[0]", "fail"),
        ("manifest_version", "2", "manifest_version", "fail"),
        ("merge_version", "2", "merge_version", "fail"),
    ],
)
def test_a_changed_manifest(member: str, new: Any, check: str, status: str) -> None:
    assert check in statuses(audit_value(changed(MANIFEST, member, new), KEYRING), status)


ALICE = signing.ALICE.entry()


@pytest.mark.parametrize(
    ("entries", "failed"),
    [
        ([ALICE, signing.BOB.entry()], set()),
        ([], set()),
        ([ALICE, ALICE], {"keyring"}),
        ([ALICE, signing.BOB.entry(key_id="test-alice")], {"keyring"}),
        ([ALICE, signing.BOB.entry(public_key_fingerprint="0" * 32)], {"keys[1]", "keyring"}),
        ([signing.BOB.entry(revoked=None)], {"keys[0]", "keyring"}),
        ([signing.BOB.entry(valid_from="now")], {"keys[0]", "keyring"}),
        ([signing.BOB.entry(algorithm="rsa")], {"keys[0]", "keyring"}),
        ([signing.BOB.entry(public_key_b64=SMALL_ORDER)], {"keys[0]", "keyring"}),
        ([None], {"keys[0]", "keyring"}),
    ],
)
def test_a_keyring(entries: list[Any], failed: set[str]) -> None:
    audited = audit_value({"keys": entries}, KEYRING)
    assert audited.document == "keyring"
    assert statuses(audited, "fail").keys() == failed
    if not failed:
        sha256 = Keyring.from_value({"keys": entries}).sha256
        assert sha256 in statuses(audited, "pass")["keyring"]


def proof_value(key: signing.Key = signing.ALICE, **members: Any) -> Json:
    events = sorted(
        (
            signed_event("correction", key, payload={"action": "amend", "reason": reason})
            for reason in "ab"
        ),
        key=lambda event: str(event["event_id"]),
    )
    slot = {name: events[0][name] for name in ("event_type", "target", "created_at")}
    return {
        "proof_type": "pith_equivocation_proof",
        "proof_version": "1.0",
        "rule": "same_slot",
        "slot": slot,
        "public_key_b64": key.public_b64,
        "events": events,
    } | members


PROOF = proof_value()


def test_a_good_proof_passes_and_says_whose_key_it_is() -> None:
    audited = audit_value(PROOF, KEYRING)
    assert {one.status for one in audited.findings} == {"pass"}
    assert "alice@example.org" in statuses(audited, "pass")["keyring"]
    stranger = audit_value(proof_value(signing.STRANGER), KEYRING)
    assert statuses(stranger, "pass").keys() == {"proof"}
    assert statuses(stranger, "unconfirmed").keys() == {"keyring"}


@pytest.mark.parametrize(
    "changes",
    [
        {"proof_version": "2.0"},
        {"rule": "fork"},
        {"slot": {}},
        {"slot": PROOF["slot"] | {"target": "graph"}},
        {"public_key_b64": signing.BOB.public_b64},
        {"public_key_b64": SMALL_ORDER},
        {"events": PROOF["events"][::-1]},
        {"events": PROOF["events"][:1]},
        {"events": [PROOF["events"][0]] * 2},
        {"events": [PROOF["events"][0], changed(PROOF["events"][1], "payload.reason", "c")]},
        {"events": [PROOF["events"][0], changed(PROOF["events"][1], "signature", None)]},
    ],
)
def test_a_changed_proof_fails(changes: Json) -> None:
    assert failures(PROOF | changes, KEYRING).keys() == {"proof"}


# --- whatever comes


@pytest.mark.parametrize("value", [None, 1, "x", {}, {"x": 1}, {"event_type": "correction"}])
def test_what_is_no_document_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        audit_value(value, KEYRING)
    with pytest.raises(Refused):
        audit_bytes(json.dumps(value).encode(), KEYRING)


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":1,"a":2}', b"\xff"])
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        audit_bytes(data, KEYRING)


LINE = {"alias": {"pith_number": PAPER.number, **alias_row("arxiv", "2401.00001")}}
DOCUMENTS: dict[str, tuple[Any, Keyring]] = {
    **{name: (seed(name), REGISTRY) for name in (RECORDS[0], STATE)},
    "record": (RECORD, KEYRING),
    "state": (FULL, KEYRING),
    "gaps": (WITH_GAPS, KEYRING),
    "bundle": (bundle_value(CREATED, *SAID_TWICE), KEYRING),
    "manifest": (MANIFEST, KEYRING),
    "keyring": ({"keys": [ALICE, signing.WINDOWED.entry(**signing.WINDOW)]}, KEYRING),
    "proof": (PROOF, KEYRING),
    "event": (CREATED, KEYRING),
    "aliases": (ALIASES, KEYRING),
    "line": (LINE, KEYRING),
    "events": (SHOWN_EVENTS, KEYRING),
    "graph": (SHOWN_GRAPH, KEYRING),
    "resolve": (RESOLVED, KEYRING),
    "list": ([CREATED, LINE, ALIASES, MANIFEST, RESOLVED], KEYRING),
}


def places(value: Any, path: Path_ = ()) -> list[Path_]:
    """Every place in a document, containers included."""
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def assert_findings(value: Any, keyring: Keyring) -> None:
    """A known document gives findings, fit for a terminal; anything else is refused."""
    try:
        audited = audit_value(value, keyring)
    except Refused:
        return
    assert audited.findings or value == []
    for check, status, detail in audited.findings:
        assert status in ("pass", "fail", "unconfirmed", "skipped")
        assert check
        assert (check + detail).isprintable()
        assert len(detail) <= 1000
    checks = [one.check for one in audited.findings]
    assert len(checks) == len(set(checks))


HOSTILE: tuple[Callable[[Any], Any], ...] = (
    lambda _: None,
    lambda _: "\x1b[2J\u202e\n" * 99,
    lambda _: [],
    lambda _: {"\x1b": [-0.0]},
    lambda old: [old, old],
)


@pytest.mark.longer
@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_place_of_a_document_makes_an_audit_raise(name: str) -> None:
    value, keyring = DOCUMENTS[name]
    for path in places(value):
        for new in HOSTILE:
            assert_findings(with_leaf(value, path, new(value_at(value, path))), keyring)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["arxiv", "record", 10**4000, "pith:2024:A", EMPTY]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["event_id", "count", "rule", "slot", "kind", "x\u202e"]), inner, max_size=3
    ),
    max_leaves=6,
)  # fmt: skip


def test_findings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two bytes of junk a finding has hundreds."""
    monkeypatch.setattr(findings, "MOST_FINDINGS", 4)
    audited = audit_bytes(b"[1,1,1,1,1,1]", KEYRING)
    *first, more = audited.findings
    assert [finding.check for finding in first] == ["[0]", "[1]", "[2]", "[3]"]
    assert more == Finding(
        "more",
        "fail",
        "further checks, of which no line is kept: fail 2, unconfirmed 0, skipped 0, pass 1",
    )
    whole = audit_bytes(b"[1,1,1]", KEYRING)
    assert [finding.check for finding in whole.findings] == ["[0]", "[1]", "[2]", "equivocations"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_mutated_document_makes_an_audit_raise(data: st.DataObject) -> None:
    value, keyring = DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(value)))
        value = with_leaf(value, path, data.draw(JSON))
    assert_findings(value, keyring)
