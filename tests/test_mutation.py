"""The suite can fail: faults of one line are planted into the core, and tests see each.

`PLANTED` are written down, as people err who misread SPEC; every one must be seen. `mutation` makes
others by rule. Of those a fixed part is tried, and the ones that no test sees are exactly those of
`EQUIVALENT`, each with the reason for which it is no fault.
"""

from __future__ import annotations

import ast

import pytest

from mutation import Mutant, planted, sample, survivors

MERGED = "tests/test_cases.py::test_merged_from_values"
THROUGH_THE_LOG = "tests/test_cases.py::test_through_the_log_reopened_at_every_border"
# The tests that ought to see a fault in a room of the core, those first that are quick to see it.
TESTS: dict[str, tuple[str, ...]] = {
    "validation": (
        *(MERGED, "tests/test_preparing.py", "tests/test_events.py", "tests/test_audit.py"),
        *("tests/test_ordinary.py", "tests/test_merge.py", "tests/test_attacks_keys.py"),
        "tests/test_repair.py::test_an_event_that_is_stored_as_a_valid_one_is_found_and_judged",
    ),
    "kinds": (MERGED, "tests/test_events.py"),
    "resolution": (
        *(MERGED, THROUGH_THE_LOG, "tests/test_proofs.py", "tests/test_views.py"),
        *("tests/test_explain.py", "tests/test_audit.py", "tests/test_merge.py"),
    ),
    "merge": (
        *(MERGED, THROUGH_THE_LOG, "tests/test_proofs.py", "tests/test_views.py"),
        *("tests/test_audit.py", "tests/test_merge.py"),
    ),
    "ordinary": ("tests/test_ordinary.py", THROUGH_THE_LOG),
    "outline": ("tests/test_ordinary.py",),
    "events": (MERGED, "tests/test_events.py", "tests/test_ordinary.py"),
    "identifiers": ("tests/test_identifiers.py", MERGED),
    "keyring": ("tests/test_keyring.py", MERGED),
    "proofs": ("tests/test_proofs.py",),
    "canonical": ("tests/test_canonical.py", MERGED),
    "log/batch": ("tests/test_log.py", "tests/test_log_histories.py", "tests/test_preparing.py"),
    "log/writer": (
        *("tests/test_log.py", "tests/test_log_layout.py", "tests/test_processes.py"),
        "tests/test_log_histories.py",
    ),
    "log/snapshot": ("tests/test_log.py", "tests/test_export.py", "tests/test_log_histories.py"),
    "merging": ("tests/test_log_histories.py", THROUGH_THE_LOG, "tests/test_log.py"),
    "preparing": ("tests/test_preparing.py", "tests/test_log_histories.py", "tests/test_log.py"),
}

# room: {what goes wrong: (what stands there, what is planted)}
PLANTED: dict[str, dict[str, tuple[str, str]]] = {
    "validation": {
        "any signature id is tolerated": (
            '{"missing_signature", "event_id_unverifiable"}',
            '{"missing_signature", "event_id_unverifiable", "event_id_mismatch"}',
        ),
        "verified tolerates too": ("assurance == STATED and reason in", "reason in"),
        "what is tolerated is not stated": ("            stated = True", "            pass"),
        "what is tolerated ends the judging": (
            "stated = True\n            continue",
            "return Verdict(None, detail, True)",
        ),
        "any id recomputes": (
            "recomputes = event.computed_id == view.event_id",
            "recomputes = True",
        ),
        "an old trial stands under another key": (
            "(signature is None or signature.key_sha256 != key.sha256)",
            "signature is None",
        ),
        "an old trial of a receipt stands": (
            "(receipt.trial is None or receipt.trial.key_sha256 != key.sha256)",
            "receipt.trial is None",
        ),
        "a trial counts under any key": (
            "signed = bool(key and trial and trial.verified and trial.key_sha256 == key.sha256)",
            "signed = bool(key and trial and trial.verified)",
        ),
        "a failed trial counts": (
            "signed = bool(key and trial and trial.verified and trial.key_sha256 == key.sha256)",
            "signed = bool(key and trial and trial.key_sha256 == key.sha256)",
        ),
        "a target need only begin well": (
            "target.fullmatch(case.view.target)",
            "target.match(case.view.target)",
        ),
        "an unsigned id that differs is a mismatch": (
            'if case.view.signature is None:\n        return f"event_id',
            'if False:\n        return f"event_id',
        ),
        "a signed id that differs is a mismatch": (
            'if case.signed:\n        return f"event_id',
            'if False:\n        return f"event_id',
        ),
        "signer_type is not compared": (
            '("key_id", "signer_id", "signer_type")',
            '("key_id", "signer_id")',
        ),
        "signer_id is not compared": (
            '("key_id", "signer_id", "signer_type")',
            '("key_id", "signer_type")',
        ),
        "the signature's key_id is not compared": (
            "case.view.signature.key_id != case.signer.key_id",
            "False",
        ),
        "an unsigned event has a bad signature": (
            "if case.view.signature is None or case.signed:",
            "if case.signed:",
        ),
        "the window is asked before the signer": (
            '("signer_mismatch", _signer_mismatch),\n    ("key_not_valid", _key_not_valid),',
            '("key_not_valid", _key_not_valid),\n    ("signer_mismatch", _signer_mismatch),',
        ),
        "the payload is asked before the signer's type": (
            '("unauthorized_signer", _unauthorized_signer),\n'
            '    ("invalid_payload", _invalid_payload),',
            '("invalid_payload", _invalid_payload),\n'
            '    ("unauthorized_signer", _unauthorized_signer),',
        ),
        "the id is asked before the signature": (
            '("missing_signature", _missing_signature),\n'
            '    ("event_id_unverifiable", _event_id_unverifiable),',
            '("event_id_unverifiable", _event_id_unverifiable),\n'
            '    ("missing_signature", _missing_signature),',
        ),
        "a receipt by any type of key": (
            "key.signer_type == REGISTRY and not key.revoked",
            "not key.revoked",
        ),
        "a receipt by a revoked key": (
            "key.signer_type == REGISTRY and not key.revoked",
            "key.signer_type == REGISTRY",
        ),
        "a receipt of another fingerprint": (
            "return key if key.fingerprint == claim.fingerprint else None",
            "return key",
        ),
        "a receipt that was never tried": (
            "if claim.trial and claim.trial.verified and claim.trial.key_sha256 == key.sha256:",
            "if not claim.trial or claim.trial.verified:",
        ),
        "a receipt of another record": (
            "if receipt.canonical_sha256 != canonical_sha256:",
            "if False:",
        ),
        "an event without a verified id is authentic": ("        and facts.id_recomputes\n", ""),
        "an event without a verified signature is authentic": (
            "        and facts.signature.verified\n",
            "",
        ),
    },
    "kinds": {
        "the year of a record is not compared": ("!= subject[:4]:", "== '':"),
        "the source may be absent within": (
            "isinstance(inside, UnsetType) or bytes(inside) != bytes(outside)",
            "not isinstance(inside, UnsetType) and bytes(inside) != bytes(outside)",
        ),
        "an author attests for another": (
            'signer.signer_type == AUTHOR and event.target != f"author:{signer.signer_id}"',
            "False",
        ),
        "the registry attests as itself alone": (
            'signer.signer_type == AUTHOR and event.target != f"author:{signer.signer_id}"',
            'event.target != f"author:{signer.signer_id}"',
        ),
        "a confirmed anchor without a height": (
            'return "block_height: required when confirmed"',
            "return None",
        ),
        "a height below zero": ("Meta(ge=0)", "Meta(ge=-1)"),
        "anybody corrects": ("Correction, _correction\n", "Correction, _nothing_more\n"),
        "a target of nothing": ('_form("mirror:.+")', '_form("mirror:.*")'),
    },
    "resolution": {
        "a stated event takes part in equivocations": (
            "verified = [one for one in valid.values() if not one.stated]",
            "verified = [one for one in valid.values()]",
        ),
        "a withheld slot lets stated ones in": (
            "taken = {_slot(one) for one in verified}",
            "taken = {_slot(one) for one in verified if one.event_id not in withheld}",
        ),
        "a stated event is never held back": (
            "(_slot(one) not in taken if one.stated else one.event_id not in withheld)",
            "(one.stated or one.event_id not in withheld)",
        ),
        "sorted by event_id": (
            "key=lambda one: (one.view.created_at, one.event_id),",
            "key=lambda one: one.event_id,",
        ),
        "ties by arrival": (
            "key=lambda one: (one.view.created_at, one.event_id),",
            "key=lambda one: one.view.created_at,",
        ),
        "valid events by digest": (
            "one = Valid(event, view, view.event_id,",
            "one = Valid(event, view, event.sha256.hex(),",
        ),
        "of two signatures the first stays": (
            "if other is None or _rank(one) < _rank(other):",
            "if other is None:",
        ),
        "of two signatures the last stays": (
            "if other is None or _rank(one) < _rank(other):",
            "if True:",
        ),
        "a key's slot is everybody's": (
            "return one.fingerprint, one.view.event_type,",
            'return "", one.view.event_type,',
        ),
        "a null previous event forks": (
            "if one.view.previous_event_id is not None:",
            "if True:",
        ),
        "a fork is everybody's": (
            "forks[one.fingerprint, one.view.previous_event_id]",
            'forks["", one.view.previous_event_id]',
        ),
        "a slot of three alone equivocates": (
            'if len(ids) > 1:\n            slot = {"event_type"',
            'if len(ids) > 2:\n            slot = {"event_type"',
        ),
        "nothing is withheld": ("            withheld.update(ids)\n", ""),
        "ids of an equivocation by arrival": (
            "rows.append(Equivocation(FORK, fingerprint, slot, tuple(sorted(ids))))",
            "rows.append(Equivocation(FORK, fingerprint, slot, tuple(ids)))",
        ),
        "equivocations by rule": (
            "sorted(rows, key=lambda row: row.canonical), withheld",
            "sorted(rows, key=lambda row: row.rule), withheld",
        ),
    },
    "merge": {
        "as of a time leaves that time out": ("and at <= as_of", "and at < as_of"),
        "as of a time takes in the timeless": (
            "(at := one.event.timestamp) is not None and at <= as_of",
            "(at := one.event.timestamp) is None or at <= as_of",
        ),
        "the record of an applied event alone": (
            "record = canonical_record_of(valid.values())",
            "record = canonical_record_of(applied)",
        ),
        "the last record_created": ("rows[RECORD_CREATED][:1]", "rows[RECORD_CREATED][-1:]"),
        "withheld events are not counted as valid": (
            "len(valid) + len(invalid),\n        len(valid),",
            "len(valid) + len(invalid),\n        len(applied),",
        ),
        "invalid events by arrival": ("for digest_ in sorted(invalid)]", "for digest_ in invalid]"),
        "the latest alias date": ("time < earliest[name]", "time > earliest[name]"),
        "aliases of all times": (
            "if time is None or (as_of is not None and time > as_of):",
            "if time is None:",
        ),
        "aliases without a row": ("            if a in earliest\n", ""),
        "the core keeps the aliases": ('        del current["source_aliases"]\n', ""),
        "the core without its equivocations": (
            '("applied_event_ids", "equivocations", "merge_version", "pith_number")',
            '("applied_event_ids", "merge_version", "pith_number")',
        ),
        "the hash covers itself": (
            'for name in document if name != "state_sha256"}',
            "for name in document}",
        ),
    },
    "ordinary": {
        "the first such member is the signer": ("row.rindex(signer)", "row.index(signer)"),
        "the previous event is left out": (
            "if event_class.follows:\n        stated",
            "if False:\n        stated",
        ),
        "the parts are not tried": (
            "return parts if join(parts) == event.canonical else None",
            "return parts",
        ),
        "a seal without its record": ("length += _RECORD_SPAN.size", "length += 0"),
        "nobody follows": (
            "follows = view.previous_event_id is not None",
            "follows = False",
        ),
    },
    "outline": {
        "a previous event changes nothing": (
            "len(value) != (8 if previous_id is None else 9)",
            "len(value) > 9",
        ),
        "a signature in any spelling": (
            "or binascii.b2a_base64(raw, newline=False) != encoded_signature",
            "",
        ),
        "a signature of any length": ("or len(raw) != _SIGNATURE_BYTES", ""),
        "an id of any form": ("or EVENT_ID.fullmatch(event_id) is None\n", "or False\n"),
        "a previous id of any form": (
            "or (previous_id is not None and EVENT_ID.fullmatch(previous_id) is None)",
            "",
        ),
        "a payload of any type": ("or type(payload) is not dict", ""),
        "the end is not compared": ("or not canonical.endswith(tail)", ""),
        "a time of any length": ("or len(time) != _TIME_BYTES", ""),
        "the id covers the signature": (
            "canonical[_ID_END : self.seal_start],",
            "canonical[_ID_END : self.seal_end],",
        ),
    },
    "events": {
        "an id need only begin well": (
            "isinstance(stated, str) and EVENT_ID.fullmatch(stated) else None",
            "isinstance(stated, str) and EVENT_ID.match(stated) else None",
        ),
        "the id covers the signature": (
            'frozenset({"event_id", "signature"})',
            'frozenset({"event_id"})',
        ),
        "a source is no fault": (
            '("metadata", "schema_version", "source")',
            '("metadata", "schema_version")',
        ),
        "a payload of any type": (
            'if bytes(memoryview(view.payload)[:1]) != b"{":',
            "if False:",
        ),
        "one level deeper": ("MAX_EVENT_DEPTH: Final = 56", "MAX_EVENT_DEPTH: Final = 57"),
        "one byte more": (
            "MAX_EVENT_BYTES: Final = 1024 * 1024",
            "MAX_EVENT_BYTES: Final = 1024 * 1024 + 1",
        ),
        "one integer more": (
            "MAX_EVENT_INTEGER: Final = 2**53 - 1",
            "MAX_EVENT_INTEGER: Final = 2**53",
        ),
        "numbers within lists are not asked": ('in ":,[" else', 'in ":," else'),
        "negative integers are not asked": (
            "abs(item) > MAX_EVENT_INTEGER",
            "item > MAX_EVENT_INTEGER",
        ),
    },
    "identifiers": {
        "a reference of any length": (
            "not in (*SHORT_LENGTHS, SUFFIX_LENGTH)",
            "not in range(4, 27)",
        ),
        "versions may be booleans": ("type(version) is int", "isinstance(version, int)"),
        "titles keep their case": ('" ".join(text.lower().split())', '" ".join(text.split())'),
        "one bit less of a suffix": (">> 6  #", ">> 7  #"),
        "a fingerprint of 15 bytes": (".hexdigest()[:32]", ".hexdigest()[:30]"),
    },
    "keyring": {
        "a window without its end": (
            "created_at > self.valid_until",
            "created_at >= self.valid_until",
        ),
        "a window without its beginning": (
            "created_at < self.valid_from",
            "created_at <= self.valid_from",
        ),
        "a false fingerprint": (
            "if entry.public_key_fingerprint != fingerprint_of(public_key):",
            "if False:",
        ),
        "keys of a weak order": ("    check_public_key(public_key)\n", ""),
        "a key twice": ("if first != index:", "if False:"),
        "the order of keys is hashed": (
            'sorted(value["keys"], key=lambda entry: str(entry["public_key_fingerprint"]))',
            'value["keys"]',
        ),
    },
    "proofs": {
        "keys of a weak order": ("        check_public_key(public_key)\n", ""),
        "events about two papers": ("if first.subject != second.subject:", "if False:"),
        "different signers": (
            "if bytes(first.view.signer) != bytes(second.view.signer):",
            "if False:",
        ),
        "one event twice": ("if ids[0] == ids[1]:", "if False:"),
        "any order": ("if ids[0] > ids[1]:", "if False:"),
        "another key's events": (
            "if event.signer.public_key_fingerprint != fingerprint:",
            "if False:",
        ),
        "another key_id": (
            "if event.view.signature.key_id != event.signer.key_id:",
            "if False:",
        ),
        "an id that does not recompute": (
            "if computed_event_id(event.canonical) != event.view.event_id:",
            "if False:",
        ),
        "a bad signature": (
            "if not verify(public_key, signature, id_bytes(event.view.event_id)):",
            "if False:",
        ),
        "a slot with more members": (
            "if slot.keys() != set(members):",
            "if not slot.keys() >= set(members):",
        ),
        "a slot of nothing": (
            "if stated is None or stated != slot[name]:",
            "if stated != slot[name]:",
        ),
        "a slot of another": ("if stated is None or stated != slot[name]:", "if stated is None:"),
        "the second event is not asked": (
            'for name, event in (("events[0]", first), ("events[1]", second)):',
            'for name, event in (("events[0]", first),):',
        ),
        "the largest ids": ("equivocation.event_ids[:2]", "equivocation.event_ids[-2:]"),
    },
    "canonical": {
        "one level deeper": ("MAX_DEPTH: Final = 64", "MAX_DEPTH: Final = 65"),
        "one digit more": ("MAX_INTEGER_DIGITS: Final = 4300", "MAX_INTEGER_DIGITS: Final = 4301"),
        "names in any order": ("    sort_keys=True, separators", "    separators"),
        "letters beyond ASCII escaped": ("ensure_ascii=False,", "ensure_ascii=True,"),
        "a byte order mark": ("if data.startswith(_BOM):", "if False:"),
        "a name twice": ("    if name in container:", "    if False:"),
        "a name twice, quickly": (
            "if canonical.count(b'\"') != data.count(b'\"'):",
            "if False:",
        ),
        "exponents as msgspec writes them": (
            "if number != 0 and not 1e-4 <= abs(number) < 1e16:",
            "if False:",
        ),
        "no end is asked": ("            if position != len(text):", "            if False:"),
        "infinity": ("        if not math.isfinite(number):", "        if False:"),
        "zeros in front": ("(?:0|[1-9][0-9]*)", "(?:[0-9]+)"),
        "deep where it is quick": (
            "if brackets > MAX_DEPTH and depth_of(value) > MAX_DEPTH:",
            "if False:",
        ),
    },
    "log/batch": {
        "twice in one batch": (
            "if new.sha256 in there or new.sha256 in self._digests:",
            "if new.sha256 in there:",
        ),
        "twice in two batches": (
            "if new.sha256 in there or new.sha256 in self._digests:",
            "if new.sha256 in self._digests:",
        ),
        "one over the quota": ("unauthentic >= QUOTA", "unauthentic > QUOTA"),
        "nothing counts against the quota": ("            unauthentic += 1\n", ""),
        "the row begins at its header": (
            "offset = len(self._block) + len(header)",
            "offset = len(self._block)",
        ),
        "aliases come before all events": (
            "layout.StoredAlias(self._events,",
            "layout.StoredAlias(0,",
        ),
        "an alias row twice": (
            'if self._transaction.get(key, db=self._tables[b"aliases"]) is not None:',
            "if False:",
        ),
        "alias rows are not counted": ("aliases=counters.aliases + 1", "aliases=counters.aliases"),
        "a paper is counted with each row": (
            "if counters.events + counters.aliases == 1:",
            "if counters.events + counters.aliases >= 1:",
        ),
        "a refusal twice": (
            'if self._transaction.get(key, db=self._tables[b"refused"]) is None:',
            "if True:",
        ),
        "one refusal less": (
            "if self._refused_rows[row.source] == REFUSED_ROWS:",
            "if self._refused_rows[row.source] == REFUSED_ROWS - 1:",
        ),
        "no tree": ('            (b"tiles", self._grown_tiles()),\n', ""),
        "the tree grows from its end": (
            "read_edge(self._events - len(self._digests), tile)",
            "read_edge(self._events, tile)",
        ),
        "old states stay": ("        self._drop_states()\n", ""),
    },
    "log/writer": {
        "several writers": ("fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB"),
        "a lock that was replaced": ("        self._check_lock()\n", ""),
        "a log that was moved": (
            "        if self.has_moved():\n            raise",
            "        if False:\n            raise",
        ),
        "a full map ends it": ("except lmdb.MapFullError:", "except lmdb.MapResizedError:"),
        "what a lost transaction numbered": (
            "self._refused_rows.copy(), self._numbers.copy()",
            "self._refused_rows, self._numbers",
        ),
        "a state of an older view": ("if transaction.id() == snapshot_id + 1:", "if True:"),
        "any folder": (
            "if new and any(name not in _OWN_FILES",
            "if False and any(name not in _OWN_FILES",
        ),
        "a child keeps the lock": (
            "        if self._lock >= 0:\n            os.close(self._lock)",
            "        if False:\n            os.close(self._lock)",
        ),
    },
    "log/snapshot": {
        "one alias row too few at a position": (
            "if at is None or alias.position <= at:",
            "if at is None or alias.position < at:",
        ),
        "the block before": (
            "layout.position_key(position + 1))",
            "layout.position_key(position))",
        ),
        "refusals by digest": (
            "return sorted(rows, key=lambda row: row.number)",
            "return list(rows)",
        ),
        "another paper's events": ("found[-1][0].startswith(paper)", "True"),
        "any year": ("if reference.year is None or paper.year == reference.year", "if True"),
    },
    "merging": {
        "another order of one second": ("elif event_id <= ids[-1]:", "elif False:"),
        "a slot has as many events as come": ("if slot in slots:", "if False:"),
        "the first of a slot is forgotten": (
            "slots.add((time, bucket, slot_of(bytes(firsts[bucket]))))",
            "pass",
        ),
        "a slot is of any second": ("if key[INDEX_TIME] != time:", "if True:"),
        "another kind of the same second has the slot": (
            "elif bucket not in firsts:",
            "elif False:",
        ),
        "a fork is none": ("if link in links:", "if False:"),
        "a window has no end": (
            "not window[0] <= time <= window[1]",
            "not window[0] <= time",
        ),
        "a window has no beginning": (
            "not window[0] <= time <= window[1]",
            "not time <= window[1]",
        ),
        "a class of any key": (
            "if key is None or not class_is_valid(event_type, signer, facts, self._keyring):",
            "if key is None:",
        ),
        "one event more at a position": (
            "position_of_index(row[0]) < self._at]",
            "position_of_index(row[0]) <= self._at]",
        ),
        "aliases of any position": ("paper_of(paper), self._at)", "paper_of(paper), None)"),
        "an empty paper has a state": ("if not rows and not aliases:", "if False:"),
        "a paper before its time has a state": (
            "state.event_count == 0 and not _by(self._as_of, aliases)",
            "False",
        ),
        "an alias of a later time": ("time is not None and time <= as_of", "time is not None"),
        "stored facts under any keyring": (
            "judge(event, establish(event, keyring, facts), keyring, assurance)",
            "judge(event, facts, keyring, assurance)",
        ),
    },
    "preparing": {
        "every signature verified": ("if not all(verified):", "if False:"),
        "the wrong row is made anew": (
            "doubts.append(_Doubt(len(rows), slice(first, len(trials)), found))",
            "doubts.append(_Doubt(0, slice(first, len(trials)), found))",
        ),
        "a class is judged once for all": (
            "if packed is not None and is_judged_like_its_class(event):",
            "if packed is not None:",
        ),
        "a window of a key is asked once": (
            "if key is not None and key.valid_from is None and key.valid_until is None:",
            "if key is not None:",
        ),
        "an invalid event has a class": (
            'return False, None, b""',
            'return False, event_class, packed_class(event_class) if event_class else b""',
        ),
        "junk has no quota": ('if unauthentic and self._admit != "export":', "if False:"),
        "unsigned rows count": ("unauthentic = not entry.unsigned_row", "unauthentic = True"),
        "the door lets all in": ('if self._admit == "authentic":', "if False:"),
    },
}

# Mutants that no test sees, since they are no faults: name as `Mutant.name`, and why.
EQUIVALENT: dict[str, dict[str, str]] = {
    "validation": {
        "validation: receipt_message or _read_payload(event, view, signer)[2] -> "
        "(_read_payload(event, view, signer)[2])": "the payload is read once more, to the same",
    },
    "resolution": {
        "resolution: _rank(one) < _rank(other) -> (_rank(one) <= _rank(other))": (
            "two of one rank are one event"
        ),
    },
    "merge": {},
    "proofs": {},
    "canonical": {
        "canonical: 0 -> 1": "of `number != 0`: 1 goes the slow way then, to the same value",
    },
    "log/batch": {
        "batch: 10_000 -> 10001": "a limit of this implementation, of which the tests ask",
        "batch: found and bytes(cursor.key()).startswith(paper) -> "
        "(bytes(cursor.key()).startswith(paper))": "a cursor that is nowhere has an empty key",
    },
    "log/writer": {
        "writer: 1024 -> 1025": "the map's first size, which grows where it must",
        "writer: \"Result\" -> 'Resultx'": "a name for the type checker",
        "writer: 1 -> 2": "of -1, where no lock is held: any number below zero is no descriptor",
    },
    "log/snapshot": {},
}

# So many of a room are tried, chosen by their names. EQUIVALENT is of 25.
TRIED = 10


def module_of(room: str) -> str:
    return f"pithgraph/{room}.py"


def faults_of(room: str) -> list[Mutant]:
    return [planted(module_of(room), *lines) for lines in PLANTED[room].values()]


@pytest.mark.longer
def test_planted_faults_can_be_planted() -> None:
    assert sum(map(len, PLANTED.values())) >= 100
    for room, faults in PLANTED.items():
        for name, mutant in zip(faults, faults_of(room), strict=True):
            ast.parse(mutant.source(), name)
            assert mutant.old != mutant.new


@pytest.mark.longer
@pytest.mark.parametrize("room", EQUIVALENT)
def test_what_lives_is_a_fault_that_can_be_made(room: str) -> None:
    names = {mutant.name for mutant in sample(module_of(room), 25)}
    assert EQUIVALENT[room].keys() <= names


@pytest.mark.slow
@pytest.mark.parametrize("room", PLANTED)
def test_every_planted_fault_is_seen(room: str) -> None:
    names = {mutant: name for name, mutant in zip(PLANTED[room], faults_of(room), strict=True)}
    assert [names[mutant] for mutant in survivors(names, TESTS[room])] == []


@pytest.mark.slow
@pytest.mark.parametrize("room", EQUIVALENT)
def test_what_lives_of_generated_faults_is_known_and_no_fault(room: str) -> None:
    tried = sample(module_of(room), TRIED)
    names = {mutant.name for mutant in tried}
    known = EQUIVALENT[room].keys()
    assert {mutant.name for mutant in survivors(tried, TESTS[room])} == names & known
