"""A naive oracle of the Pith open-graph merge, for the tests to hold the engine against.

What lives here: the rules of SPEC.md §1-§7 (decode, admit, judge, merge, hash), each written down
as literally as it reads, with no thought for speed, memory or messages.

What must not: any import of `pithgraph`, or code taken from it. Two implementations that share a
helper share its bugs, and then their agreement proves nothing. SPEC.md decides between them.

Not here: the door's quota and `--admit authentic`, validation of keyrings, audits, views, the log.
"""

import base64
import datetime
import functools
import gzip
import hashlib
import json
import math
import pathlib
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from nacl import bindings
from nacl.exceptions import BadSignatureError

Json = dict[str, Any]
AliasRow = tuple[str, str, str, str]  # pith_number, alias_kind, alias_value, created_at as it came

EVENT_ID = r"sha256:[0-9a-f]{64}"
ROW = ("event_id", "target", "created_at", "signer", "payload")  # of a bucket (§7.3)
KINDS = {  # §5's table: bucket, form of the target, signer types (none named: any)
    "record_created": ("record_created", "record", ["pith_registry"]),
    "graph_snapshot": ("graph_snapshots", "graph", ["pith_registry"]),
    "author_attestation": ("author_attestations", "author:.+", ["author", "pith_registry"]),
    "timestamp_anchor": ("timestamp_anchors", "anchor:.+", []),
    "storage_attestation": ("storage_attestations", "storage:.+", []),
    "citation_signature": ("citation_signatures", "citation:.+", []),
    "replication_record": ("replication_records", "replication:.+", []),
    "correction": ("corrections", f"record|graph|{EVENT_ID}", ["author", "pith_registry"]),
    "mirror_hint": ("mirror_hints", "mirror:.+", ["mirror", "pith_registry"]),
}


# --- §1 canonical JSON


def canonical(value: object) -> bytes:
    """The canonical bytes (§1): by definition what CPython prints."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def digest(b: bytes) -> str:
    return hashlib.sha256(b).hexdigest()


def children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def depth(value: object) -> int:
    """Levels of objects and arrays; the outermost is level 1 (§1)."""
    return isinstance(value, dict | list) + max(map(depth, children(value)), default=0)


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("an object name is repeated")
    return dict(pairs)


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > 4300:
        raise ValueError("an integer has more than 4,300 digits")
    return int(text)


def _float(text: str) -> float:
    """Also what JSON calls no number at all, `NaN` and `Infinity`: CPython would take them."""
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is not finite")
    return float(text)


def decode(data: bytes) -> object:
    """Strict decoding (§1) of one JSON value; every fault is a ValueError."""
    if len(data) > 2 * 2**30:
        raise ValueError("longer than 2 GiB")
    text = data.decode("utf-8")  # a BOM stays in the text, where json.loads refuses it
    hooks: Json = {"parse_int": _integer, "parse_float": _float, "parse_constant": _float}
    try:
        value: object = json.loads(text, object_pairs_hook=_pairs, **hooks)
        if depth(value) > 64:
            raise ValueError("nested deeper than 64")
    except RecursionError:
        raise ValueError("nested deeper than 64") from None
    canonical(value)  # a lone surrogate has no UTF-8: UnicodeEncodeError, which is a ValueError
    return value


# --- forms of single values


def is_string(value: object) -> bool:
    return isinstance(value, str)


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # §5: `true` is no integer


def matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(pattern, value, re.DOTALL))


def is_sha256(value: object) -> bool:
    return matches(r"[0-9a-f]{64}", value)


def is_event_id(value: object) -> bool:
    return matches(EVENT_ID, value)


def is_pith_number(value: object) -> bool:
    """A full Pith Number as documents write it (§2)."""
    return matches(r"pith:[0-9]{4}:[A-Z2-7]{26}", value)


def is_timestamp(value: object) -> bool:
    """§5's timestamp: a real date and time, year 0001-9999, second 00-59."""
    if not matches(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", value):
        return False
    try:
        return datetime.datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%SZ") is not None
    except ValueError:
        return False


def without_fraction(text: Any) -> str | None:
    """An alias row's date without its fraction, with `Z`, or None if it has no such form (§4)."""
    if not matches(r".{19}(\.[0-9]+)?(Z|\+00:00)", text) or not is_timestamp(text[:19] + "Z"):
        return None
    return str(text[:19] + "Z")


def signature_bytes(text: Any) -> bytes | None:
    """§5: standard padded base64, unused bits zero, 64 bytes; else None."""
    if not matches(r"[A-Za-z0-9+/]{86}==", text):
        return None
    raw = base64.b64decode(text)
    return raw if base64.b64encode(raw).decode() == text else None  # else an unused bit is set


def suffix_of(sha256_hex: str) -> str:
    return base64.b32encode(bytes.fromhex(sha256_hex)).decode()[:26]  # §2


# --- reading input files


def read_input(
    name: str, data: bytes, keyring: Json | None = None
) -> tuple[list[Json], list[AliasRow]]:
    """Events and alias rows of one input file; what is refused is left out. The keyring says whose
    key a record's receipt names.

    The name takes no part: .gz is told by its magic bytes, and a file is JSON Lines if it does not
    decode as one JSON value as a whole.
    """
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return [], []
    values = []
    try:
        values.append(decode(data))
    except ValueError:
        for line in data.split(b"\n"):  # §1: lines end at U+000A
            try:
                if len(line) <= 8 * 2**20:
                    values.append(decode(line))
            except ValueError:
                pass  # §1: a decoding fault refuses the whole line (empty lines end here too)
    events: list[Json] = []
    aliases: list[AliasRow] = []
    for value in values:
        for entry in value if isinstance(value, list) else [value]:
            _dispatch(entry, keyring or {"keys": []}, events, aliases)
    return events, aliases


def _dispatch(value: object, keyring: Json, events: list[Json], aliases: list[AliasRow]) -> None:
    """Tells apart one value, in the order of decisions.md, and takes what it holds."""
    if not isinstance(value, dict):
        return
    if "subject_pith_number" in value:
        _take_event(value, events)
    elif list(value) == ["alias"]:
        if isinstance(value["alias"], dict):
            _take_aliases(value["alias"].get("pith_number"), [value["alias"]], aliases)
    elif value.get("proof_type") == "pith_equivocation_proof":
        _take_events(value.get("events"), events)
    elif value.get("proof_type") == "pith_consistency_proof":
        return
    elif value.get("bundle_type") == "pith_open_graph_bundle":
        _take_events(value.get("events"), events)
        _take_aliases(value.get("pith_number"), value.get("source_aliases"), aliases)
    elif value.get("state_type") == "pith_open_graph_state":
        pith_number, current = value.get("pith_number"), value.get("current")
        if isinstance(current, dict):
            for event_type, (bucket, _, _) in KINDS.items():
                rows = current.get(bucket)
                if event_type == "record_created":
                    rows = [rows]
                _take_events([_row_event(r, event_type, pith_number) for r in _list(rows)], events)
            _take_aliases(pith_number, current.get("source_aliases"), aliases)
    elif value.get("record_type") == "pith_number_record":
        _take_events(_record_events(value, keyring), events)
        _take_events(value.get("events"), events)
        _take_aliases(value.get("pith_number"), value.get("aliases"), aliases)
    elif value.get("manifest_type") == "pith_mirror_manifest" or isinstance(
        value.get("keys"), list
    ):
        pass  # manifests and keyrings are audited only
    elif "pith_number" in value and "source_aliases" in value:
        _take_aliases(value["pith_number"], value["source_aliases"], aliases)
    elif all(name in value for name in ("pith_number", "state_sha256", "events")):
        _take_events(value["events"], events)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _row_event(row: object, event_type: str, pith_number: object) -> Json | None:
    """The unsigned event of a state document's row (§4, decisions.md)."""
    if not isinstance(row, dict):
        return None
    event = {name: row[name] for name in ROW if name in row}
    return event | {"event_type": event_type, "subject_pith_number": pith_number}


def _record_events(record: Json, keyring: Json) -> list[Json]:
    """The unsigned events that a record stands for (§4)."""
    receipt = record.get("receipt")
    if not isinstance(receipt, dict):
        return []
    created_at = without_fraction(receipt.get("first_computed_at"))
    entry = entry_with(keyring, "key_id", receipt.get("key_id"))
    fingerprint = receipt.get("public_key_fingerprint")
    if created_at is None or entry is None or entry["public_key_fingerprint"] != fingerprint:
        return []
    names = ("attestation_state", "canonical_record", "canonical_sha256", "receipt")
    payload = {name: record[name] for name in names if name in record}
    source = record.get("source")
    if isinstance(source, dict):
        for name in ("kind", "id", "version"):
            if name in source:
                payload[f"source_{name}"] = source[name]
    made = [("record_created", "record", payload)]
    snapshot = record.get("graph_snapshot")
    if snapshot is not None:
        verdict = snapshot.get("verdict") if isinstance(snapshot, dict) else None
        verdict_id = verdict.get("id") if isinstance(verdict, dict) else None
        content = {"graph_snapshot": snapshot, "verdict_id": verdict_id}
        made.append(("graph_snapshot", "graph", content))
    events = []
    for event_type, target, content in made:
        event: Json = {
            "event_type": event_type,
            "subject_pith_number": record.get("pith_number"),
            "target": target,
            "created_at": created_at,
            "payload": content,
            "signer": {
                name: entry[name]
                for name in ("key_id", "public_key_fingerprint", "signer_id", "signer_type")
            },
        }
        events.append(event | {"event_id": event_id_of(event)})
    return events


def _take_events(values: object, events: list[Json]) -> None:
    for value in _list(values):
        _take_event(value, events)


def _take_event(event: object, events: list[Json]) -> None:
    """Admits an event unless it names no paper (§6) or breaks a limit of §1."""
    if not isinstance(event, dict) or not is_pith_number(event.get("subject_pith_number")):
        return
    if depth(event) <= 56 and len(canonical(event)) <= 2**20 and _has_safe_integers(event):
        events.append(event)


def _has_safe_integers(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) <= 2**53 - 1
    return all(map(_has_safe_integers, children(value)))


def _take_aliases(pith_number: object, rows: object, aliases: list[AliasRow]) -> None:
    for row in _list(rows) if is_pith_number(pith_number) else []:
        if isinstance(row, dict):
            kind, value, created_at = map(row.get, ("alias_kind", "alias_value", "created_at"))
            if is_string(kind) and is_string(value) and without_fraction(created_at):
                aliases.append((str(pith_number), str(kind), str(value), str(created_at)))


# --- §5 signatures and ids


@functools.cache  # tests judge the same few signatures thousands of times
def _verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    # §5 wants every key canonical and in the prime-order subgroup, libsodium's valid point.
    # S*B - h*A then lies in that subgroup, so R must too: asking for it gives the cofactorless
    # equation whichever one a release of libsodium decides by. It sees to S < L itself.
    if not bindings.crypto_core_ed25519_is_valid_point(public_key):
        return False
    if not bindings.crypto_core_ed25519_is_valid_point(signature[:32]):
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def signed_by(entry: Json, signature_b64: object, sha256_hex: str) -> bool:
    """Does the keyring entry's key verify the signature over the 32 raw bytes of the digest?"""
    signature = signature_bytes(signature_b64)
    public_key = base64.b64decode(entry["public_key_b64"])
    return signature is not None and _verifies(public_key, signature, bytes.fromhex(sha256_hex))


def event_id_of(event: Json) -> str:
    content = {k: v for k, v in event.items() if k not in ("event_id", "signature")}
    return "sha256:" + digest(canonical(content))


def entry_with(keyring: Json, name: str, value: object) -> Json | None:
    return next((entry for entry in keyring["keys"] if entry[name] == value), None)


def keyring_sha256(keyring: Json) -> str:
    """§6: digest of the whole keyring with its keys sorted by fingerprint."""
    keys = sorted(keyring["keys"], key=lambda entry: entry["public_key_fingerprint"])
    return digest(canonical(keyring | {"keys": keys}))


def receipt_is_good(receipt: Json, sha256_hex: str, keyring: Json) -> bool:
    """§3; the receipt's dates and the key's window are not judged."""
    entry = entry_with(keyring, "key_id", receipt.get("key_id"))
    return (
        entry is not None
        and entry["signer_type"] == "pith_registry"
        and entry.get("revoked") is not True
        and receipt.get("public_key_fingerprint") == entry["public_key_fingerprint"]
        and receipt.get("algorithm") == "ed25519"
        and receipt.get("signed_message") == "canonical_sha256_bytes"
        and receipt.get("canonical_sha256") == sha256_hex
        and signed_by(entry, receipt.get("signature_b64"), sha256_hex)
    )


# --- §6 verdicts


def _is_well_formed(event: Json) -> bool:
    signer, signature = event.get("signer"), event.get("signature")
    previous = event.get("previous_event_id")
    four = ("key_id", "public_key_fingerprint", "signer_id", "signer_type")
    return (
        all(is_string(event.get(name)) for name in ("event_type", "target", "created_at"))
        and isinstance(signer, dict)
        and all(is_string(signer.get(name)) for name in four)
        and isinstance(event.get("payload"), dict)
        and is_event_id(event.get("event_id"))
        and (previous is None or is_event_id(previous))
        and (signature is None or _is_signature(signature))
        and not {"metadata", "schema_version", "source"} & set(event)
    )


def _is_signature(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"algorithm", "key_id", "signed_message", "signature_b64"}
        and value["algorithm"] == "ed25519"
        and is_string(value["key_id"])
        and value["signed_message"] == "event_sha256_bytes"
        and signature_bytes(value["signature_b64"]) is not None
    )


def verdict(event: Json, keyring: Json, assurance: str) -> tuple[str | None, bool]:
    """(the first reason of §6 that applies, or None; is the valid event applied as stated?)"""
    if not _is_well_formed(event):
        return "malformed", False
    kind, signer, signature = event["event_type"], event["signer"], event.get("signature")
    entry = entry_with(keyring, "public_key_fingerprint", signer["public_key_fingerprint"])
    verifies = False  # over the stated id, under the key of the fingerprint, whatever else is wrong
    if entry is not None and signature is not None:
        stated_sha256 = event["event_id"].removeprefix("sha256:")
        verifies = signed_by(entry, signature["signature_b64"], stated_sha256)
    as_stated = False
    if kind not in KINDS:
        return "unknown_event_type", False
    _, target_form, signer_types = KINDS[kind]
    if not is_timestamp(event["created_at"]):
        return "invalid_timestamp", False
    if not matches(target_form, event["target"]):
        return "target_mismatch", False
    if signature is None:
        if assurance != "stated":
            return "missing_signature", False
        as_stated = True
    if event["event_id"] != event_id_of(event):
        if signature is not None and not verifies:
            return "event_id_mismatch", False
        if assurance != "stated":
            return "event_id_unverifiable", False
        as_stated = True
    if entry is None:
        return "unknown_key", False
    if any(signer[name] != entry[name] for name in ("key_id", "signer_id", "signer_type")):
        return "signer_mismatch", False
    if signature is not None and signature["key_id"] != signer["key_id"]:
        return "signer_mismatch", False
    # Timestamps of §5 have one fixed width, so text order is time order.
    if not entry.get("valid_from", "") <= event["created_at"] <= entry.get("valid_until", "~"):
        return "key_not_valid", False
    if entry.get("revoked") is True:
        return "key_not_valid", False
    if signature is not None and not verifies:
        return "bad_signature", False
    if signer_types and signer["signer_type"] not in signer_types:
        return "unauthorized_signer", False
    if not _payload_is_valid(event, keyring):
        return "invalid_payload", False
    return None, as_stated


def one_of(words: str) -> Callable[[Any], bool]:
    return lambda value: value in words.split()


def strings(*names: str) -> dict[str, Callable[[Any], bool]]:
    return dict.fromkeys(names, is_string)


PAYLOAD: dict[str, dict[str, Callable[[Any], bool]]] = {  # §5; a name with `?` may be absent
    "record_created": strings("attestation_state")
    | {"canonical_record": is_object, "canonical_sha256": is_sha256, "receipt": is_object},
    "graph_snapshot": {
        "graph_snapshot": is_object,
        "verdict_id": lambda value: value is None or is_string(value),
    },
    "author_attestation": strings("method", "statement")
    | {"author": lambda author: fits(author, strings("name", "orcid?"))}
    | {"strength": one_of("weak strong")},
    "timestamp_anchor": strings("method", "proof_b64")
    | {"anchored_sha256": is_sha256, "status": one_of("pending confirmed")}
    | {"block_height?": lambda value: is_integer(value) and value >= 0},
    "storage_attestation": strings("uri", "archive", "archived_at")
    | {"content_sha256?": is_sha256},
    "citation_signature": {
        "citing_pith_number": is_pith_number,
        "relation": one_of(
            "supports refutes extends uses_method depends_on replaces compares cites"
        ),
    },
    "replication_record": strings("uri")
    | {"kind": one_of("replication formal_bridge falsification")}
    | {"outcome": one_of("succeeded failed partial"), "evidence_sha256?": is_sha256},
    "correction": strings("reason", "event_id?") | {"action": one_of("amend retract")},
    "mirror_hint": strings("base_url", "bundle_pattern", "state_pattern"),
}


def fits(value: object, fields: dict[str, Callable[[Any], bool]]) -> bool:
    return isinstance(value, dict) and all(
        is_right(value[name.rstrip("?")]) if name.rstrip("?") in value else name.endswith("?")
        for name, is_right in fields.items()
    )


def _payload_is_valid(event: Json, keyring: Json) -> bool:
    """§5's payload fields, and what must agree with the target, the signer or the subject."""
    kind, target, payload = event["event_type"], event["target"], event["payload"]
    if not fits(payload, PAYLOAD[kind]):
        return False
    if kind == "record_created":
        return _record_is_valid(event, keyring)
    if kind == "author_attestation" and event["signer"]["signer_type"] == "author":
        return bool(target == "author:" + event["signer"]["signer_id"])
    if kind == "timestamp_anchor":
        is_ours = suffix_of(payload["anchored_sha256"]) == event["subject_pith_number"][-26:]
        return bool(is_ours) and ("block_height" in payload) == (payload["status"] == "confirmed")
    if kind == "storage_attestation":
        return bool(target == "storage:" + payload["uri"])
    if kind == "citation_signature":
        return bool(target == "citation:" + payload["citing_pith_number"])
    if kind == "correction":
        # Never null when present, so None stands for "absent" alone.
        return bool(payload.get("event_id") == (target if is_event_id(target) else None))
    if kind == "mirror_hint":
        return bool(target == "mirror:" + payload["base_url"])
    return True


def _record_is_valid(event: Json, keyring: Json) -> bool:
    payload, record = event["payload"], event["payload"]["canonical_record"]
    if set(record) != {"metadata", "schema_version", "source"}:
        return False
    metadata, source = record["metadata"], record["source"]
    if not isinstance(metadata, dict) or not isinstance(source, dict):
        return False
    submitted_at = metadata.get("submitted_at", "")
    if not matches(r"[0-9]{4}.*", submitted_at):
        return False
    for name in ("kind", "id", "version"):
        if name not in source or f"source_{name}" not in payload:
            return False
        if canonical(source[name]) != canonical(payload[f"source_{name}"]):
            return False
    sha256_hex = digest(canonical(record))
    return (
        payload["canonical_sha256"] == sha256_hex
        and event["subject_pith_number"] == f"pith:{submitted_at[:4]}:{suffix_of(sha256_hex)}"
        and receipt_is_good(payload["receipt"], sha256_hex, keyring)
    )


# --- §7 merge


def merge(
    events: Iterable[Json],
    aliases: Iterable[AliasRow],
    keyring: Json,
    assurance: str,
    as_of: str | None = None,
) -> dict[str, Json]:
    """State documents by Pith Number; `as_of` cuts as in §7.8."""
    of_paper: dict[str, tuple[list[Json], list[AliasRow]]] = defaultdict(lambda: ([], []))
    for event in events:
        created_at = event.get("created_at")
        if as_of is None or (is_timestamp(created_at) and str(created_at) <= as_of):
            of_paper[event["subject_pith_number"]][0].append(event)
    for row in aliases:
        if as_of is None or (without_fraction(row[3]) or "~") <= as_of:
            of_paper[row[0]][1].append(row)
    return {
        pith_number: _state(pith_number, *of_paper[pith_number], keyring, assurance)
        for pith_number in sorted(of_paper)
    }


def _slot(event: Json) -> tuple[str, str, str, str]:
    fingerprint = event["signer"]["public_key_fingerprint"]
    return fingerprint, event["event_type"], event["target"], event["created_at"]


def _state(
    pith_number: str, events: list[Json], rows: list[AliasRow], keyring: Json, assurance: str
) -> Json:
    # §7.1: one per event_id (verified first, then the smallest digest); invalid one per digest.
    valid: dict[str, tuple[bool, str, Json]] = {}
    invalid: dict[str, Json] = {}
    for event in events:
        reason, as_stated = verdict(event, keyring, assurance)
        event_sha256, event_id = digest(canonical(event)), event.get("event_id")
        if reason is not None:
            stated_id = event_id if is_event_id(event_id) else None
            row = {"event_id": stated_id, "event_sha256": event_sha256, "reason": reason}
            invalid[event_sha256] = row
        else:
            candidate = (as_stated, event_sha256, event)
            other = valid.get(event["event_id"], candidate)
            valid[event["event_id"]] = min(candidate, other, key=lambda c: c[:2])
    verified = [event for as_stated, _, event in valid.values() if not as_stated]

    # §7.2: equivocation, among verified events only.
    slots: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    forks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in verified:
        slots[_slot(event)].append(event["event_id"])
        if event.get("previous_event_id") is not None:
            fingerprint = event["signer"]["public_key_fingerprint"]
            forks[fingerprint, event["previous_event_id"]].append(event["event_id"])
    equivocations = [
        _equivocation("same_slot", fp, {"event_type": et, "target": t, "created_at": at}, ids)
        for (fp, et, t, at), ids in slots.items()
        if len(ids) >= 2
    ] + [
        _equivocation("fork", fp, {"previous_event_id": previous}, ids)
        for (fp, previous), ids in forks.items()
        if len(ids) >= 2
    ]
    equivocations.sort(key=canonical)

    # §7.2 withholds verified events that share a slot; §6 holds back a stated one where a verified
    # event has its slot, withheld or not.
    applied = [
        event
        for as_stated, _, event in valid.values()
        if len(slots.get(_slot(event), [])) <= (0 if as_stated else 1)
    ]
    applied.sort(key=lambda event: (event["created_at"], event["event_id"]))

    current: Json = {"canonical_record": None}
    current |= {bucket: [] for bucket, _, _ in KINDS.values()}
    for event in applied:
        current[KINDS[event["event_type"]][0]].append({name: event[name] for name in ROW})
    current["record_created"] = next(iter(current["record_created"]), None)
    for _, _, event in valid.values():  # withheld or not: all of them hash to the subject (§7.3)
        if event["event_type"] == "record_created":
            current["canonical_record"] = event["payload"]["canonical_record"]
    current["source_aliases"] = _aliases(pith_number, current["canonical_record"], rows)

    state: Json = {
        "state_type": "pith_open_graph_state",
        "state_version": "1.0",
        "pith_number": pith_number,
        "merge_version": "pith-open-graph-merge-v1",
        "event_count": len(valid) + len(invalid),
        "valid_event_count": len(valid),
        "invalid_event_count": len(invalid),
        "equivocation_count": len(equivocations),
        "current": current,
        "equivocations": equivocations,
        "invalid_events": [invalid[event_sha256] for event_sha256 in sorted(invalid)],
        "applied_event_ids": [event["event_id"] for event in applied],
    }
    return state | {"state_sha256": digest(canonical(state))}


def _equivocation(rule: str, fingerprint: str, slot: dict[str, str], ids: list[str]) -> Json:
    row = {"rule": rule, "public_key_fingerprint": fingerprint, "slot": slot}
    return row | {"event_ids": sorted(ids)}


def _aliases(pith_number: str, record: Json | None, rows: list[AliasRow]) -> list[Json]:
    """§7.4: the derivable aliases (§2) for which a row exists, each with its earliest date."""
    suffix = pith_number[-26:]
    derivable = {(f"pith_short_{length}", suffix[:length]) for length in (8, 12, 16)}
    source: Json = record["source"] if record else {}
    arxiv_id, version = source.get("id"), source.get("version")
    if source.get("kind") == "arxiv" and is_string(arxiv_id) and is_integer(version):
        derivable.add(("arxiv", f"{arxiv_id}"))
        derivable.add(("arxiv_version", f"{arxiv_id}v{version}"))
        derivable.add(("doi", f"10.48550/arxiv.{arxiv_id}"))
    dates: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, kind, value, created_at in rows:
        if (kind, value) in derivable:
            dates[kind, value].append(without_fraction(created_at) or "")
    return [
        {"alias_kind": kind, "alias_value": value, "created_at": min(dates[kind, value])}
        for kind, value in sorted(dates)
    ]


def core_sha256(state: Json) -> str:
    """§7.7: what two mirrors agree on though they were handed different junk or alias dates."""
    core = {
        name: state[name]
        for name in ("pith_number", "merge_version", "equivocations", "applied_event_ids")
    }
    core["current"] = {k: v for k, v in state["current"].items() if k != "source_aliases"}
    return digest(canonical(core))


# --- conformance cases


def run_case(folder: pathlib.Path) -> dict[str, Json]:
    """The states of a case folder (decisions.md): every other regular file in it is an input."""
    case = json.loads((folder / "case.json").read_bytes())
    keyring = json.loads((folder / "keyring.json").read_bytes())
    events: list[Json] = []
    aliases: list[AliasRow] = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in ("case.json", "keyring.json"):
            more_events, more_aliases = read_input(path.name, path.read_bytes(), keyring)
            events += more_events
            aliases += more_aliases
    return merge(events, aliases, keyring, case["assurance"])
