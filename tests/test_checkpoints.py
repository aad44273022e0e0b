"""Signed notes, checkpoints and proof files (SPEC §10): published examples, every byte changed, and
what a forger would try."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pithgraph._curve import SMALL_ORDER_ENCODINGS
from pithgraph.canonical import encode
from pithgraph.checkpoints import (
    MAX_SIZE,
    Checkpoint,
    build_consistency_proof,
    build_inclusion_proof,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_consistency_file,
    verify_inclusion_file,
)
from pithgraph.errors import CheckpointError, DecodeError, PithgraphError, ProofError
from pithgraph.merkle import EMPTY_EDGE, Tile, consistency_path, extend, inclusion_path, root
from pithgraph.notes import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    VerifierKey,
    parse_note,
    parse_verifier_key,
    sign_note,
    verifier_key,
    verify_note,
)
from signing import ALICE, BOB, DROP, Json, b64, changed

# --- published examples: of C2SP signed-note, golang.org/x/mod/sumdb/note, transparency-dev/formats

NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PLUS = "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6"
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
COSIGNATURE = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NEUMANN_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# PRIVATE+KEY+PeterNeumann+c74f20a3+ and this, published so that anyone can sign.
NEUMANN_SECRET = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")


def note_of(*lines: str, text: str = TEXT) -> bytes:
    return f"{text}\n{''.join(lines)}".encode()


def keys(*texts: str) -> list[VerifierKey]:
    return [parse_verifier_key(text) for text in texts]


@pytest.mark.parametrize("text", [NEUMANN, ENOCH, PLUS, FOO])
def test_published_verifier_keys(text: str) -> None:
    assert str(parse_verifier_key(text)) == text


def test_a_name_that_is_no_unicode_text_is_refused() -> None:
    """Such as a command line gives for bytes that are not UTF-8: it has no key hash."""
    with pytest.raises(CheckpointError, match="is not Unicode"):
        verifier_key("\udcff", ALICE.public)
    with pytest.raises(CheckpointError, match="is not Unicode"):
        parse_verifier_key(NEUMANN.replace("Neumann", "\udcff", 1))


def test_published_notes() -> None:
    note = parse_note(note_of(NEUMANN_LINE, ENOCH_LINE))
    assert note.text == TEXT
    assert [(one.name, one.line) for one in note.signatures] == [
        ("PeterNeumann", 4),
        ("EnochRoot", 5),
    ]
    assert verify_note(note, keys(NEUMANN)) == tuple(keys(NEUMANN))
    assert verify_note(note, keys(FOO, ENOCH, NEUMANN)) == tuple(keys(NEUMANN, ENOCH))
    with pytest.raises(
        CheckpointError, match="no signature is by a trusted key: they are by Peter"
    ):
        verify_note(note, keys(FOO))
    with pytest.raises(CheckpointError, match="no signature is by a trusted key"):
        verify_note(note, [])


def test_a_published_note_is_signed_alike() -> None:
    assert NEUMANN_SECRET[0] == 1
    private = Ed25519PrivateKey.from_private_bytes(NEUMANN_SECRET[1:])
    assert sign_note(TEXT, "PeterNeumann", private) == note_of(NEUMANN_LINE)


# --- verifier keys

LOG = "log.example/1"


def vkey(name: str, key: bytes, kind: int = 1) -> str:
    """NAME+HASH+KEY, whatever is in it."""
    data = bytes([kind]) + key
    key_hash = hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_hash}+{b64(data)}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give NAME\\+HASH\\+KEY"),
        (LOG, "no verifier key"),
        (NEUMANN.rpartition("+")[0], "no verifier key"),
        (NEUMANN.replace("c74f20a3", "c74f20a4"), "key hash is c74f20a3, not c74f20a4"),
        (NEUMANN.replace("c74f20a3", "C74F20A3"), "not 8 lower-case hex"),
        (NEUMANN.replace("c74f20a3", "c74f20a"), "not 8 lower-case hex"),
        (NEUMANN.replace("c74f20a3", "c74f20a3\n"), "not 8 lower-case hex"),
        (NEUMANN.replace("Peter", "Petra"), "the key hash is"),
        (NEUMANN + "\n", "not standard padded base64"),
        (NEUMANN[:-1], "not standard padded base64"),
        (COSIGNATURE, "not of type 1, Ed25519, but 04"),
        ("a+00000000+", "not of type 1, Ed25519, but empty"),
        (vkey(LOG, ALICE.public + b"\0"), "a key of 33 bytes, not 32"),
        (vkey(LOG, ALICE.public[:-1]), "a key of 31 bytes"),
        (vkey("", ALICE.public), "name is empty"),
        (vkey("a b", ALICE.public), "a plus, a space or a control"),
        (vkey("a\u00a0b", ALICE.public), "a plus, a space or a control"),
        (vkey("a\nb", ALICE.public), "a plus, a space or a control"),
        (vkey("a\x01b", ALICE.public), "a plus, a space or a control"),
        *((vkey(LOG, key), "public key is refused") for key in sorted(SMALL_ORDER_ENCODINGS)[:3]),
    ],
)
def test_verifier_keys_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse_verifier_key(text)


def test_a_name_has_no_plus() -> None:
    with pytest.raises(CheckpointError, match="a plus"):
        verifier_key("a+b", ALICE.public)


# --- notes

ALICES = verifier_key(LOG, ALICE.public)
BOBS = verifier_key(LOG, BOB.public)


def line_by(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {b64(key.key_hash + signature)}\n"


SHORT = "a\n1\n"
SIGNED = line_by(ALICES, ALICE.sign(SHORT.encode()))


def outcome(note: bytes, trusted: list[VerifierKey]) -> Note | None:
    try:
        read = parse_note(note)
        verify_note(read, trusted)
    except CheckpointError:
        return None
    return read


@pytest.mark.longer
@pytest.mark.parametrize("trusted", [[ALICES], [ALICES, BOBS]])
def test_no_byte_of_a_note_can_be_changed(trusted: list[VerifierKey]) -> None:
    note = note_of(SIGNED, text=SHORT)
    read = outcome(note, trusted)
    assert read is not None
    for place in range(len(note)):
        for other in range(256):
            altered = note[:place] + bytes([other]) + note[place + 1 :]
            assert (outcome(altered, trusted) is not None) == (altered == note)
        assert outcome(note[:place] + note[place + 1 :], trusted) is None
        for more in (b"\n", b"a", b" ", b"="):
            assert outcome(note[:place] + more + note[place:], trusted) is None
    assert outcome(note + b"\n", trusted) is None


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"", "no empty line"),
        (TEXT.encode(), "no empty line"),
        (note_of(), "does not end in a newline"),
        (note_of(NEUMANN_LINE[:-1]), "line 4: the note does not end in a newline"),
        (note_of(NEUMANN_LINE, "\n"), "does not end in a newline"),
        (note_of(NEUMANN_LINE, "hello\n"), "line 5: not an em dash"),
        (note_of(NEUMANN_LINE.replace("—", "-")), "line 4: not an em dash"),
        (note_of(NEUMANN_LINE.replace("— ", "—")), "line 4: not an em dash"),
        (note_of("— PeterNeumann\n"), "line 4: not an em dash"),
        (note_of("—  x08go/ZJkg==\n"), "line 4: the key's name is empty"),
        (note_of("— a+b x08go/ZJkg==\n"), "line 4: the key's name 'a.b' has a plus"),
        (note_of("— a\u2003b x08go/ZJkg==\n"), "has a plus, a space"),
        (note_of("— a x08go/ZJkg= =\n"), "line 4: .* not standard padded base64"),
        (note_of("— a x08goy==\n"), "line 4: .* unused bits"),
        (note_of("— a x08gow==\n"), "line 4: 4 bytes hold no key hash and signature"),
        (note_of(NEUMANN_LINE, text="a\n\tb\n"), "line 2: the control character U\\+0009"),
        (note_of(NEUMANN_LINE, text="a\r\n"), "line 1: the control character U\\+000D"),
        (b"a\n\xff\n\n" + NEUMANN_LINE.encode(), "line 2: not UTF-8"),
        (b"a\n\xed\xa0\x80\n\n" + NEUMANN_LINE.encode(), "line 2: not UTF-8"),
        (note_of(*[NEUMANN_LINE] * (MAX_SIGNATURES + 1)), "101 signatures: at most 100"),
        (note_of(NEUMANN_LINE, text="a" * MAX_NOTE_BYTES + "\n"), "at most 1048576 are read"),
    ],
)
def test_malformed_notes(note: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse_note(note)


def test_as_many_signatures_as_are_read() -> None:
    note = parse_note(note_of(*[NEUMANN_LINE] * MAX_SIGNATURES))
    assert verify_note(note, keys(NEUMANN)) == tuple(keys(NEUMANN))


def test_a_text_may_have_empty_lines() -> None:
    text = "a\n\n— b\n\n\n"
    note = sign_note(text, LOG, ALICE.private)
    assert parse_note(note).text == text
    assert verify_note(parse_note(note), [ALICES]) == (ALICES,)


@pytest.mark.parametrize("text", ["", "a", "a\x00\n", "a\r\n", "a\tb\n"])
def test_texts_that_are_not_signed(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"newline|control"):
        sign_note(text, LOG, ALICE.private)


def test_a_signature_by_a_known_key_must_verify_wherever_it_stands() -> None:
    good, bad = SIGNED, line_by(ALICES, bytes(64))
    foreign = line_by(BOBS, b"of a type of its own")
    for lines in ([good], [good, good], [foreign, good], [good, foreign]):
        assert outcome(note_of(*lines, text=SHORT), [ALICES]) is not None
    for lines in ([bad], [bad, good], [good, bad], [foreign], [good, good, bad]):
        assert outcome(note_of(*lines, text=SHORT), [ALICES]) is None
    assert outcome(note_of(foreign, good, text=SHORT), [ALICES, BOBS]) is None
    short = line_by(ALICES, ALICE.sign(SHORT.encode())[:-1])
    assert outcome(note_of(good, short, text=SHORT), [ALICES]) is None


def test_another_key_under_a_known_name_or_hash_is_another_key() -> None:
    signature = BOB.sign(SHORT.encode())
    renamed = f"— log.example/2 {b64(ALICES.key_hash + signature)}\n"
    rehashed = line_by(BOBS, signature)
    for line in (renamed, rehashed):
        with pytest.raises(CheckpointError, match="no signature is by a trusted key"):
            verify_note(parse_note(note_of(line, text=SHORT)), [ALICES])
        assert outcome(note_of(line, SIGNED, text=SHORT), [ALICES]) is not None
    forged = line_by(ALICES, signature)
    with pytest.raises(CheckpointError, match=r"line 4: the signature of log.example/1 does not"):
        verify_note(parse_note(note_of(forged, text=SHORT)), [ALICES])


def colliding(number: int) -> Ed25519PrivateKey:
    """Numbers 8420 and 51427 have one key hash under the name LOG; found by trying."""
    seed = hashlib.sha256(b"colliding key %d" % number).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def test_two_keys_of_one_name_and_hash_do_not_confuse() -> None:
    one, two = colliding(8420), colliding(51427)
    first, second = (
        verifier_key(LOG, private.public_key().public_bytes_raw()) for private in (one, two)
    )
    assert first != second
    assert first.key_hash == second.key_hash
    note = parse_note(sign_note(SHORT, LOG, one))
    assert verify_note(note, [first]) == (first,)
    assert verify_note(note, [first, first]) == (first,)
    with pytest.raises(CheckpointError, match=r"line 4: the signature of log.example/1 does not"):
        verify_note(note, [second])
    for trusted in ([first, second], [second, first]):
        with pytest.raises(
            CheckpointError, match=r"two verifier keys are called log.example/1.b21a"
        ):
            verify_note(note, trusted)


# --- checkpoints

DATA = [hashlib.sha256(b"event %d" % number).digest() for number in range(300)]
_, TILES = extend(EMPTY_EDGE, DATA)


def tile(name: Tile) -> bytes:
    return next(hashes for held, hashes in TILES.items() if held[:2] == name[:2])


def head(size: int) -> Checkpoint:
    return Checkpoint(LOG, size, root(size, tile))


def signed(size: int) -> bytes:
    return sign_checkpoint(head(size), ALICE.private)


def test_a_checkpoint_is_signed_and_opened() -> None:
    note = signed(5)
    assert note.decode().split("\n")[:4] == [LOG, "5", b64(root(5, tile)), ""]
    assert open_checkpoint(note, [ALICES]) == head(5)
    assert open_checkpoint(note, [BOBS, ALICES]) == head(5)
    with pytest.raises(CheckpointError, match="no signature is by a trusted key"):
        open_checkpoint(note, [BOBS])


def test_the_published_checkpoint_has_these_parts() -> None:
    body = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(body)
    assert checkpoint[:2] == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert format_checkpoint(checkpoint) == body


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1)


@given(LINES, st.integers(0, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(LINES))
def test_a_checkpoint_round_trips(origin: str, size: int, top: bytes, more: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, top, tuple(more))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


ROOT = b64(bytes(32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "three lines"),
        (f"o\n1\n{ROOT}", "ends in a newline"),
        ("o\n1\n", "three lines"),
        (f"\n1\n{ROOT}\n", "line 1: empty"),
        (f"o\n\n{ROOT}\n", "line 2: empty"),
        (f"o\n1\n{ROOT}\n\n", "line 4: empty"),
        (f"o\n1\n{ROOT}\na\n\nb\n", "line 5: empty"),
        *(
            (f"o\n{size}\n{ROOT}\n", "line 2")
            for size in ("01", "-1", "+1", "1 ", " 1", "1.0", "x")
        ),
        *(
            (f"o\n{size}\n{ROOT}\n", "line 2")
            for size in ("00", "١", "0x1", "1_0", 2**63, "9" * 5000)
        ),
        (f"o\n1\n{ROOT[:-1]}\n", "line 3: the root: .* base64"),
        (f"o\n1\n{b64(bytes(31))}\n", "line 3: the root: .* 31 bytes, not 32"),
        (f"o\n1\n{ROOT[:-2]}B=\n", "line 3: the root: .* unused bits"),
    ],
)
def test_checkpoints_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse_checkpoint(text)
    if text.endswith("\n"):
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(sign_note(text, LOG, ALICE.private), [ALICES])


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("", 1, bytes(32)),
        Checkpoint(LOG, -1, bytes(32)),
        Checkpoint(LOG, MAX_SIZE + 1, bytes(32)),
        Checkpoint(LOG, 1, bytes(31)),
        Checkpoint(LOG, 1, bytes(32), ("",)),
        Checkpoint(LOG, 1, bytes(32), ("a\nb",)),
        Checkpoint(f"o\n1\n{ROOT}", 1, bytes(32)),
    ],
)
def test_checkpoints_that_have_no_text(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError):
        format_checkpoint(checkpoint)


@pytest.mark.parametrize("origin", ["a log", "a+b", "a\tb"])
def test_an_origin_that_is_no_key_name_is_not_signed(origin: str) -> None:
    with pytest.raises(CheckpointError, match="a plus, a space"):
        sign_checkpoint(Checkpoint(origin, 1, bytes(32)), ALICE.private)


def test_a_key_vouches_for_no_other_log() -> None:
    text = format_checkpoint(Checkpoint("log.example/2", 1, bytes(32)))
    note = sign_note(text, LOG, ALICE.private)
    assert verify_note(parse_note(note), [ALICES]) == (ALICES,)
    with pytest.raises(
        CheckpointError, match=r"line 1: the origin 'log.example/2' is not the name"
    ):
        open_checkpoint(note, [ALICES])
    witnessed = (
        signed(5) + sign_note(format_checkpoint(head(5)), "w", BOB.private).split(b"\n\n")[1]
    )
    witness = verifier_key("w", BOB.public)
    assert open_checkpoint(witnessed, [witness, ALICES]) == head(5)
    with pytest.raises(CheckpointError, match="is not the name of a key that signed: w\\+"):
        open_checkpoint(witnessed, [witness])
    unsigned = sign_note(format_checkpoint(head(5)), "w", BOB.private)
    with pytest.raises(CheckpointError, match="is not the name of a key that signed: w\\+"):
        open_checkpoint(unsigned, [witness, ALICES])


# --- inclusion proofs


def inclusion(index: int, size: int) -> bytes:
    return build_inclusion_proof(
        DATA[index], index, inclusion_path(index, size, tile), signed(size)
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.data())
def test_inclusion_proofs_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion(index, size)
    for digest in (None, DATA[index]):
        assert verify_inclusion_file(proof, digest, [ALICES]) == (DATA[index], index, head(size))
    with pytest.raises(ProofError, match="the proof is of event"):
        verify_inclusion_file(proof, DATA[index - 1] if size > 1 else bytes(32), [ALICES])


def test_an_inclusion_proof_as_it_is_written() -> None:
    lines = inclusion(4, 5).decode().split("\n")
    path = inclusion_path(4, 5, tile)
    assert lines[:4] == [
        "c2sp.org/tlog-proof@v1",
        f"extra {b64(DATA[4])}",
        "index 4",
        b64(path[0]),
    ]
    assert "\n".join(lines[4:]) == "\n" + signed(5).decode()


def test_no_byte_of_an_inclusion_proof_can_be_changed() -> None:
    proof = inclusion(1, 3)
    for place in range(len(proof)):
        for other in {proof[place] ^ 1, 0, 10, 32, 43, 48, 65, 255} - {proof[place]}:
            altered = proof[:place] + bytes([other]) + proof[place + 1 :]
            with pytest.raises(ProofError):
                verify_inclusion_file(altered, DATA[1], [ALICES])
        with pytest.raises(ProofError):
            verify_inclusion_file(proof[:place] + proof[place + 1 :], None, [ALICES])


def test_the_extra_line_may_be_absent() -> None:
    first, _, rest = inclusion(1, 3).split(b"\n", 2)
    bare = first + b"\n" + rest
    assert verify_inclusion_file(bare, DATA[1], [ALICES]).leaf_index == 1
    with pytest.raises(ProofError, match="does not name its event"):
        verify_inclusion_file(bare, None, [ALICES])
    with pytest.raises(ProofError, match="leads to the root"):
        verify_inclusion_file(bare, DATA[2], [ALICES])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"c2sp.org/tlog-proof@v1", b"c2sp.org/tlog-proof@v2", "line 1: this is no c2sp.org"),
        (b"\n\n", b"\n", "line 6: .* base64"),
        (b"index 1", b"index 01", "line 3: 'index 01' is not"),
        (b"index 1", b"index -1", "line 3"),
        (b"index 1\n", b"", "line 3"),
        (b"index 1", b"index 3", "leaf 3 is outside a tree of 3"),
        (b"index 1", b"index 2", "too long"),
        (b"index 1", b"index 0", "leads to the root"),
        (b"index 1", b"index 1\nAAAA", "line 4: .* 3 bytes, not 32"),
        (b"index 1", b"index 1\nextra", "line 4: .* base64"),
        (b"extra ", b"extra", "line 2"),
        (b"extra ", b"extra AAAA", "line 2: the event's digest"),
        (b"extra ", "extra é".encode(), "ASCII"),
        (b"\n3\n", b"\n4\n", "checkpoint: line 5: the signature of log.example/1 does not verify"),
        (b"\xe2\x80\x94 log", b"\xe2\x80\x94 lag", "checkpoint: no signature is by a trusted key"),
        (b"index 1", b"index 1" + b"\n" * (MAX_NOTE_BYTES + 1), "a proof of .* at most 1048576"),
    ],
)
def test_what_is_said_of_an_inclusion_proof(old: bytes, new: bytes, message: str) -> None:
    proof = inclusion(1, 3)
    assert old in proof
    with pytest.raises(ProofError, match=message):
        verify_inclusion_file(proof.replace(old, new, 1), None, [ALICES])


def test_no_inclusion_proof_is_built_that_does_not_hold() -> None:
    path = inclusion_path(1, 3, tile)
    for digest, index, hashes in (
        (DATA[2], 1, path),
        (DATA[1], 0, path),
        (DATA[1], -1, path),
        (DATA[1], 1, path[1:]),
        (DATA[1][:31], 1, path),
    ):
        with pytest.raises(ProofError):
            build_inclusion_proof(digest, index, hashes, signed(3))
    with pytest.raises(ProofError, match="between a proof and its checkpoint"):
        verify_inclusion_file(b"c2sp.org/tlog-proof@v1\nindex 0\n", bytes(32), [ALICES])
    with pytest.raises(ProofError, match="checkpoint: there is no empty line"):
        build_inclusion_proof(DATA[1], 1, path, b"")


# --- consistency proofs


def consistency(old: int, size: int) -> Json:
    path = consistency_path(old, size, tile)
    return build_consistency_proof(signed(old), signed(size), path)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.data())
def test_consistency_proofs_verify(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    proof = consistency(old, size)
    assert verify_consistency_file(proof, [ALICES]) == (head(old), head(size))
    assert verify_consistency_file(json.dumps(proof).encode(), [ALICES]) == (head(old), head(size))


def other_head(size: int) -> bytes:
    return sign_checkpoint(Checkpoint(LOG, size, bytes(32)), ALICE.private)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("proof_type", "pith_equivocation_proof", "no pith_consistency_proof: .*proof_type"),
        ("proof_version", "2.0", "proof_version"),
        ("hashes", DROP, "hashes"),
        ("hashes", None, "hashes"),
        ("hashes", [], "too short|empty"),
        ("hashes", ["AAAA"], r"hashes\[0\]: .* 3 bytes, not 32"),
        ("hashes", [ROOT, ROOT, ROOT, ROOT], "root|too long"),
        ("old_checkpoint", "", "old_checkpoint: there is no empty line"),
        ("old_checkpoint", "\ud800", "old_checkpoint: line 1: not UTF-8"),
        ("old_checkpoint", signed(4).decode(), "too long|too short|root"),
        ("new_checkpoint", signed(2).decode(), "from 3 leaves to 2 shows nothing"),
        ("new_checkpoint", other_head(7).decode(), "newer root"),
        ("old_checkpoint", other_head(3).decode(), "older root"),
        ("new_checkpoint", sign_note("x\n", LOG, BOB.private).decode(), "new_checkpoint: no sign"),
        (
            "new_checkpoint",
            sign_note("x\n", LOG, ALICE.private).decode(),
            "new_checkpoint: a check",
        ),
    ],
)
def test_what_is_said_of_a_consistency_proof(path: str, value: Any, message: str) -> None:
    proof = consistency(3, 7)
    with pytest.raises(ProofError, match=message):
        verify_consistency_file(changed(proof, path, value), [ALICES])


def test_two_roots_of_one_size_are_told() -> None:
    proof = consistency(3, 3) | {"new_checkpoint": other_head(3).decode()}
    with pytest.raises(ProofError, match="two roots of 3 leaves"):
        verify_consistency_file(proof, [ALICES])


def test_two_logs_are_not_consistent() -> None:
    other = sign_checkpoint(head(7)._replace(origin="log.example/2"), ALICE.private)
    proof = consistency(3, 7) | {"new_checkpoint": other.decode()}
    with pytest.raises(ProofError, match=r"two logs: 'log.example/1' and 'log.example/2'"):
        verify_consistency_file(proof, [ALICES, verifier_key("log.example/2", ALICE.public)])


def test_no_consistency_proof_is_built_that_does_not_hold() -> None:
    path = consistency_path(3, 7, tile)
    for old, new, hashes in ((3, 7, path[1:]), (7, 3, path), (2, 7, path), (0, 7, [])):
        with pytest.raises(ProofError):
            build_consistency_proof(signed(old), signed(new), hashes)
    with pytest.raises(ProofError, match="new_checkpoint: not UTF-8"):
        build_consistency_proof(signed(3), b"\xff", path)


def test_no_byte_of_a_consistency_proof_can_be_changed() -> None:
    proof = encode(consistency(3, 4))
    for place in range(len(proof)):
        with pytest.raises((ProofError, DecodeError)) as caught:
            verify_consistency_file(
                proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :], [ALICES]
            )
        assert isinstance(caught.value, PithgraphError)
