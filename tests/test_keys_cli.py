"""`pithgraph keys` and `pithgraph keyring`: keys are made and shown without their secret, and a
keyring is changed by its rules alone, or stays as it was."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from pithgraph import keys
from pithgraph.authoring import load_private_key, save_private_key
from pithgraph.errors import IdentifierError, KeyringError, PrivateKeyError
from pithgraph.keyring import Keyring
from pithgraph.keyring_edits import add_key, retire_key, revoke_key
from pithgraph.sources import load_keyring
from signing import ALICE, BOB, WINDOWED, at, b64, canonical, keyring_value

SHIPPED = "312f365b99e56d69e97b7b5e6b0203072a71d77cee0fbbd18790bda939acfb32"
REGISTRY_B64 = "stVStoiQhXFxp4s2pdzPNoqVNBMojDU/fJ2db5S3CbM="


def secrets_of(path: Path, passphrase: bytes | None = None) -> list[str]:
    """Every way in which the secret of a key file might be printed."""
    raw = load_private_key(path, passphrase).private_bytes_raw()
    body = [line for line in path.read_text().splitlines() if not line.startswith("-----")]
    return [raw.hex(), b64(raw), raw.decode("latin-1"), *body]


def assert_nothing_secret(path: Path, *texts: str, passphrase: bytes | None = None) -> None:
    for secret in secrets_of(path, passphrase):
        assert not any(secret in text for text in texts)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "alice.pem"
    save_private_key(ALICE.private, path)
    return path


# --- keys ------------------------------------------------------------------------------------


def test_a_key_is_made_for_its_owner_alone_and_never_twice(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    done = run("keys", "generate", path)
    assert done.code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = load_private_key(path).public_key().public_bytes_raw()
    fingerprint = signing.hashlib.sha256(public).hexdigest()[:32]
    assert done.out == f"public key   {b64(public)}\nfingerprint  {fingerprint}\n"
    assert_nothing_secret(path, done.out, done.err)
    content = path.read_bytes()
    again = run("keys", "generate", path)
    assert (again.code, path.read_bytes()) == (3, content)
    assert "keys are not overwritten" in again.err
    other = run("keys", "generate", tmp_path / "other.pem", "--json").rows[0]
    assert other["public_key_b64"] != b64(public)


def test_show_prints_the_public_half_only(run: Any, key: Path) -> None:
    done = run("keys", "show", key)
    assert ALICE.public_b64 in done.out
    assert ALICE.fingerprint in done.out
    (row,) = run("keys", "show", key, "--json").rows
    assert row == {
        "path": str(key),
        "public_key_b64": ALICE.public_b64,
        "public_key_fingerprint": ALICE.fingerprint,
    }
    assert_nothing_secret(key, done.out, done.err)


def test_a_passphrase_comes_from_a_file(run: Any, tmp_path: Path) -> None:
    path, words = tmp_path / "key.pem", tmp_path / "words"
    words.write_bytes(b"correct horse\r\n")
    made = run("keys", "generate", path, "--passphrase-file", words)
    assert b"ENCRYPTED" in path.read_bytes()
    shown = run("keys", "show", path, "--passphrase-file", words)
    assert (made.code, shown.code, shown.out) == (0, 0, made.out)
    assert_nothing_secret(path, made.out, made.err, shown.err, passphrase=b"correct horse")
    without = run("keys", "show", path)
    assert (without.code, "is encrypted" in without.err) == (3, True)
    for wrong in (b"", b"\n", b"x" * 1024):
        words.write_bytes(wrong)
        done = run("keys", "show", path, "--passphrase-file", words)
        assert (done.code, "1 to 1023 bytes" in done.err) == (3, True)
    words.write_bytes(b"another")
    done = run("keys", "show", path, "--passphrase-file", words)
    assert (done.code, "wrong passphrase" in done.err) == (3, True)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (bytes([1]) + bytes(31), "small order"),
        (keys._MIXED_KEY, "outside the subgroup of prime order"),
        (b"\xee" + b"\xff" * 30 + b"\x7f", "not the canonical encoding"),
        (bytes([2]) + bytes(31), "not the canonical encoding of a point"),
    ],
    ids=["small order", "mixed order", "not canonical", "no point"],
)
def test_check_finds_keys_that_no_keyring_holds(
    run: Any, tmp_path: Path, raw: bytes, fault: str
) -> None:
    (tmp_path / "raw").write_text(b64(raw) + "\n")
    for text in (b64(raw), tmp_path / "raw"):
        done = run("keys", "check", text)
        assert (done.code, fault in done.out) == (1, True)
        (row,) = run("keys", "check", text, "--json").rows
        assert (row["status"], row["form"], fault in str(row["detail"])) == ("fail", "base64", True)
    added = run("keyring", "add", tmp_path / "k.json", "--key", b64(raw), "--key-id", "x",
                "--signer-id", "x", "--signer-type", "author")  # fmt: skip
    assert (added.code, fault in added.err) == (3, True)
    assert not (tmp_path / "k.json").exists()


def test_check_takes_each_form_of_a_good_key(run: Any, tmp_path: Path, key: Path) -> None:
    public = tmp_path / "public.pem"
    public.write_bytes(
        ALICE.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    for text, form in ((ALICE.public_b64, "base64"), (public, "public_pem"), (key, "private_pem")):
        done = run("keys", "check", text, "--json")
        (row,) = done.rows
        assert (done.code, row["form"], row["status"]) == (0, form, "pass")
        assert row["public_key_fingerprint"] == ALICE.fingerprint
        assert_nothing_secret(key, done.out, done.err)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MC4CAQAwBQYDK2VwBCIEIJ0secretsecretsecretsecretsecretsecretsecret",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n",
        b"\xff\x00secret",
        b"A" * 100_000,
    ],
)
def test_a_file_that_is_no_key_is_never_quoted(run: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = run("keys", "check", path)
    assert done.code == 3
    assert str(path) in done.err
    assert "secret" not in done.err + done.out


def test_what_is_neither_a_file_nor_a_key_is_told(run: Any, tmp_path: Path) -> None:
    done = run("keys", "check", tmp_path / "nothing.pem")
    assert (done.code, "no file, and no public key in base64" in done.err) == (3, True)
    done = run("keys", "check", ALICE.public_b64.replace("=", ""))
    assert (done.code, "not standard padded base64" in done.err) == (3, True)


# --- the rules of a change -------------------------------------------------------------------

# No name of so few letters is one that a keyring knows.
extras = st.dictionaries(
    st.text(max_size=3),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2),
    max_size=3,
)


@settings(max_examples=30)
@given(extras, extras)
def test_changes_keep_what_they_do_not_know(of_file: dict[str, Any], of_key: Any) -> None:
    value = keyring_value(ALICE.entry(**of_key), WINDOWED.entry(), **of_file)
    before = json.dumps(value)
    for changed, members in (
        (add_key(value, BOB.entry()), {}),
        (retire_key(value, ALICE.key_id, at(5)), {"valid_until": at(5)}),
        (revoke_key(value, ALICE.key_id), {"revoked": True}),
    ):
        assert changed["keys"][0] == value["keys"][0] | members
        assert changed["keys"][1] == WINDOWED.entry()
        assert {**changed, "keys": None} == {**value, "keys": None}
        assert list(changed) == list(value)  # also in their order
        Keyring.from_value(changed)
    assert json.dumps(value) == before


def test_no_change_gives_trust_back() -> None:
    value = keyring_value(WINDOWED.entry(**signing.WINDOW))
    key_id = WINDOWED.key_id
    with pytest.raises(KeyringError, match="would let its later events in again"):
        retire_key(value, key_id, at(3))
    with pytest.raises(KeyringError, match="no time at all: to disown"):
        retire_key(value, key_id, at(0))
    assert retire_key(value, key_id, at(2)) == value
    assert retire_key(value, key_id, at(1))["keys"][0]["valid_until"] == at(1)
    revoked = revoke_key(value, key_id)
    assert revoke_key(revoked, key_id) == revoked
    for change in (lambda: retire_key(value, "nobody", at(1)), lambda: revoke_key(value, "nobody")):
        with pytest.raises(KeyringError, match="no key 'nobody' in the keyring"):
            change()
    with pytest.raises(IdentifierError):
        retire_key(value, key_id, "soon")


def test_a_key_for_which_there_is_no_room_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(PrivateKeyError, match="No space left"):
            save_private_key(ALICE.private, tmp_path / "key.pem")
    assert not (tmp_path / "key.pem").exists()
    save_private_key(ALICE.private, tmp_path / "key.pem")


def test_a_keyring_begins_with_the_keys_that_ship(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    assert run("keyring", "add", path, "--shipped").code == 0
    assert load_keyring(path).sha256 == load_keyring().sha256
    again = run("keyring", "add", path, "--shipped")
    assert (again.code, "pith-v1-2026-05" in again.err) == (3, True)
    for arguments, said in (
        (("--shipped", "--key-id", "x"), "leave out the other options"),
        (("--key-id", "x", "--signer-id", "y"), "missing --key, --signer-type: give them"),
    ):
        done = run("keyring", "add", path, *arguments)
        assert (done.code, said in done.err) == (2, True)
    assert load_keyring(path).sha256 == load_keyring().sha256


@pytest.mark.parametrize("tail", ["/", "/.", "//"])
def test_a_slash_behind_the_name_makes_no_new_keyring(run: Any, tmp_path: Path, tail: str) -> None:
    """It would stand in the place of the old one, whose revocations it has not."""
    path = tmp_path / "k.json"
    run("keyring", "add", path, "--shipped")
    run("keyring", "revoke", path, "pith-v1-2026-05")
    before = path.read_bytes()
    done = run("keyring", "add", f"{path}{tail}", "--shipped")
    assert (done.code, "has the key_id of keys[0]" in done.err) == (3, True)
    assert path.read_bytes() == before


def test_what_no_keyring_may_hold_is_not_added() -> None:
    value = keyring_value(ALICE.entry())
    for entry, match in (
        (BOB.entry(key_id=ALICE.key_id), "has the key_id"),
        (ALICE.entry(key_id="another"), "has the fingerprint"),
        (BOB.entry(public_key_fingerprint="0" * 32), "public_key_fingerprint"),
        (BOB.entry(algorithm="rsa"), "algorithm"),
        (BOB.entry(signer_id="\ud800"), "surrogate"),
        (BOB.entry(valid_from=at(2), valid_until=at(1)), "no time at all"),
    ):
        with pytest.raises(KeyringError, match=match):
            add_key(value, entry)
    with pytest.raises(IdentifierError):
        add_key(value, BOB.entry(valid_from="now"))


# --- keyring files ---------------------------------------------------------------------------


def sha256_of(value: Any) -> str:
    """keyring_sha256 by the words of SPEC §6."""
    ordered = sorted(value["keys"], key=lambda entry: entry["public_key_fingerprint"])
    return signing.sha256_hex({**value, "keys": ordered})


def test_a_keyring_from_nothing_to_revoked(run: Any, tmp_path: Path, key: Path) -> None:
    path = tmp_path / "keyring.json"
    add = ("keyring", "add", path, "--signer-type", "author", "--json")
    (row,) = run(*add, "--key", key, "--key-id", "a", "--signer-id", "alice").rows
    entry = ALICE.entry(key_id="a", signer_id="alice")
    first = json.loads(path.read_bytes())
    assert first == {"keys": [entry]}
    assert row == {
        "path": str(path),
        "keyring_sha256_before": None,
        "keyring_sha256": sha256_of(first),
    }
    done = run(*add, "--key", BOB.public_b64, "--key-id", "b", "--signer-id", "bob",
               "--valid-from", at(1), "--valid-until", at(9))  # fmt: skip
    second = json.loads(path.read_bytes())
    assert second["keys"][1] == BOB.entry(
        key_id="b", signer_id="bob", valid_from=at(1), valid_until=at(9)
    )
    assert done.rows[0]["keyring_sha256_before"] == sha256_of(first)
    assert done.rows[0]["keyring_sha256"] == sha256_of(second)
    assert run("keyring", "retire", path, "b", "--at", at(5)).code == 0
    done = run("keyring", "revoke", path, "a")
    assert "disowns all that the key ever signed, its old events" in done.err
    third = json.loads(path.read_bytes())
    assert third["keys"] == [entry | {"revoked": True}, second["keys"][1] | {"valid_until": at(5)}]
    assert f"keyring_sha256         {sha256_of(third)}" in done.out
    rows = run("keyring", "list", path, "--json").rows
    assert [row["key_id"] for row in rows[:-1]] == ["a", "b"]
    assert (rows[0]["revoked"], rows[1]["valid_until"]) == (True, at(5))
    assert rows[-1] == {"keys": 2, "keyring_sha256": sha256_of(third)}
    text = run("keyring", "list", path).out
    assert "a  author alice, revoked\n" in text
    assert f"b  author bob, from {at(1)}, until {at(5)}\n" in text
    assert run("keyring", "check", path).code == 0


def test_a_file_keeps_unknown_members_mode_and_place(run: Any, tmp_path: Path) -> None:
    value = keyring_value(ALICE.entry(note={"z": 1.50, "a": ["é", 2**60]}), version="x\u2028")
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "keyring.json", tmp_path / "keyring.json"
    real.write_bytes(canonical(value))
    real.chmod(0o640)
    link.symlink_to(real)
    assert run("keyring", "revoke", link, ALICE.key_id).code == 0
    changed = json.loads(real.read_bytes())
    assert changed.pop("version") == "x\u2028"
    assert changed == {"keys": [value["keys"][0] | {"revoked": True}]}
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert os.listdir(real.parent) == ["keyring.json"]


@pytest.mark.parametrize(
    ("verb", "code", "said"),
    [
        (("add", "--key", ALICE.public_b64, "--key-id", "new"), 3, "has the fingerprint of keys"),
        (("add", "--key", BOB.public_b64, "--key-id", ALICE.key_id), 3, "has the key_id of keys"),
        (("add", "--key", BOB.public_b64, "--key-id", "b", "--valid-from", "now"), 2, "no time of"),
        (("add", "--key", "no-such-file", "--key-id", "b"), 3, "no file, and no public key"),
        (("retire", ALICE.key_id, "--at", "2026"), 2, "no time of the form"),
        (("retire", "nobody", "--at", at(1)), 3, "no key 'nobody'"),
        (("revoke", "nobody"), 3, "`pithgraph keyring list` shows them"),
    ],
)
def test_a_refused_change_leaves_the_file(
    run: Any, tmp_path: Path, verb: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "keyring.json"
    path.write_bytes(canonical(keyring_value(ALICE.entry())))
    before = path.read_bytes()
    more = ("--signer-id", "x", "--signer-type", "author") if verb[0] == "add" else ()
    done = run("keyring", verb[0], path, *verb[1:], *more)
    assert (done.code, path.read_bytes()) == (code, before)
    assert said in done.err
    assert os.listdir(tmp_path) == ["keyring.json"]


def test_a_keyring_that_cannot_be_replaced_is_as_it_was(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keyring.json"
    path.write_bytes(canonical(keyring_value(ALICE.entry())))
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    done = run("keyring", "revoke", path, ALICE.key_id)
    assert (done.code, path.read_bytes()) == (3, before)
    assert os.listdir(tmp_path) == ["keyring.json"]


def test_list_is_of_the_shipped_keyring_or_the_one_named(run: Any, tmp_path: Path) -> None:
    rows = run("keyring", "list", "--json").rows
    assert rows[0]["public_key_b64"] == REGISTRY_B64
    assert rows[-1] == {"keys": 1, "keyring_sha256": SHIPPED}
    path = tmp_path / "k.json"
    path.write_bytes(canonical(keyring_value(BOB.entry(key_id="\x1b[31m"))))
    done = run("keyring", "list", "--keyring", path)
    assert "\\x1b[31m  author bob@example.org" in done.out
    assert "\x1b" not in done.out


def test_check_tells_what_is_no_keyring(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    for content, code, said in (
        (canonical(keyring_value(ALICE.entry(), ALICE.entry())), 1, "has the key_id"),
        (b"[]", 1, "the keyring is refused"),
        (b"{", 3, "syntax"),
    ):
        path.write_bytes(content)
        done = run("keyring", "check", path)
        assert done.code == code
        assert said in done.out + done.err
        assert run("keyring", "revoke", path, ALICE.key_id).code == 3
        assert path.read_bytes() == content
    path.write_bytes(canonical(keyring_value()))
    (row,) = run("keyring", "check", path, "--json").rows
    assert (row["status"], row["keys"]) == ("pass", 8)
    assert row["keyring_sha256"] == sha256_of(keyring_value())
    assert run("keyring", "check", tmp_path / "none").code == 3


def test_two_changes_at_once_are_both_made(tmp_path: Path, key: Path) -> None:
    """A key that was revoked must not come back because somebody added another meanwhile."""
    path = tmp_path / "ring.json"
    path.write_bytes(canonical(keyring_value()))
    names = [entry["key_id"] for entry in keyring_value()["keys"]][:4]
    commands = [["keyring", "revoke", str(path), name] for name in names]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pithgraph", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    assert [process.wait() for process in started] == [0] * len(names)
    rows = json.loads(path.read_bytes())["keys"]
    assert {row["key_id"] for row in rows if row.get("revoked")} >= set(names)


@pytest.mark.longer
def test_a_change_waits_for_another_in_the_same_folder(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_bytes(canonical(keyring_value()))
    before = path.read_bytes()
    name = keyring_value()["keys"][0]["key_id"]
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    command = [sys.executable, "-m", "pithgraph", "keyring", "revoke", str(path), name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        assert path.read_bytes() == before
        os.close(held)
        assert process.wait(60) == 0
    assert path.read_bytes() != before
