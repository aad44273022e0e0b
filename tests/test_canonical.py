"""Canonical JSON (SPEC §1): exact encoding, strict decoding, and that the fast decoder may only
ever accept what the rule accepts, with the same value."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import oracle
from pithgraph import canonical
from pithgraph.canonical import MAX_DEPTH, decode, depth_of, digest, encode, join_object
from pithgraph.errors import DECODE_REASONS, DecodeError, EncodeError
from vectors import vectors

# --- values and texts


def recipe(value: Any) -> bytes:
    """The definition of canonical bytes, word for word."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def nested(depth: int, core: Any = 0) -> Any:
    """A value of this many levels of arrays and objects, by turns."""
    for level in range(depth):
        core = [core] if level % 2 else {"k": core}
    return core


def nested_text(depth: int) -> bytes:
    """An array of this many levels, as text; made without recursion."""
    return b"[" * depth + b"]" * depth


EDGES = (1e-7, 1e-5, 9.999e-5, 1e-4, 0.1, 1e15, 9999999999999998.0, 1e16, 1.5e16, 1e22, 1e100)
EDGE_FLOATS = [0.0, 5e-324, 2.2250738585072014e-308, sys.float_info.max]
for edge in EDGES:
    EDGE_FLOATS += [edge, math.nextafter(edge, 0), math.nextafter(edge, 1e300)]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
floats = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(EDGE_FLOATS)
    | st.sampled_from(EDGE_FLOATS).map(lambda number: -number)
)
integers = (
    st.integers(-20, 20)
    | st.integers()
    | st.sampled_from((2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**400)).flatmap(
        lambda number: st.sampled_from((number, -number))
    )
)
values = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
deep_values = st.builds(nested, st.integers(0, MAX_DEPTH - 1), texts | floats | integers)


def same(one: Any, other: Any) -> bool:
    """Equal with types: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one.hex() == float(other).hex()
    return bool(one == other)


# --- encoding


@given(values | deep_values)
def test_encode_is_the_recipe(value: Any) -> None:
    assert encode(value) == recipe(value) == oracle.canonical(value)


@given(values | deep_values)
def test_decode_gives_back_what_was_encoded(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_every_code_point_but_the_surrogates() -> None:
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    text = "".join(points)
    assert encode(text) == recipe(text)
    assert decode(encode(text)) == text
    members = {point: index for index, point in enumerate(reversed(points[:70000]))}
    assert encode(members) == recipe(members)  # names by code point, not by UTF-16 unit
    assert decode(encode(members)) == members


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1e-7, b"1e-07"),
        (0.0001, b"0.0001"),
        (0.00001, b"1e-05"),
        (1e15, b"1000000000000000.0"),
        (1e16, b"1e+16"),
        (1e22, b"1e+22"),
        (123456789012345680.0, b"1.2345678901234568e+17"),
        (1.0, b"1.0"),
        (-0.0, b"-0.0"),
        (5e-324, b"5e-324"),
        (2**64, b"18446744073709551616"),
        (
            '\x00\x1f\b\f\n\r\t"\\/\x7f\u2028é😀',
            '"\\u0000\\u001f\\b\\f\\n\\r\\t\\"\\\\/\x7f\u2028é😀"',
        ),
        ({"b": 1, "a": [], "B": {}, "": None}, b'{"":null,"B":{},"a":[],"b":1}'),
        ({"\ue000": 1, "😀": 2}, '{"\ue000":1,"😀":2}'),
    ],
)
def test_examples_of_canonical_bytes(value: Any, expected: bytes | str) -> None:
    assert encode(value) == (expected.encode() if isinstance(expected, str) else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"-0", b"0"),
        (b"-0.0", b"-0.0"),
        (b"0e5", b"0.0"),
        (b"1e-400", b"0.0"),
        (b"-1e-400", b"-0.0"),
        (b"1E2", b"100.0"),
        (b"1.10", b"1.1"),
        (b'"\\u00e9\\/"', '"é/"'.encode()),
        (b'"\\ud83d\\ude00"', '"😀"'.encode()),
        (b' {"b":1,\n"a":2} ', b'{"a":2,"b":1}'),
    ],
)
def test_received_text_is_encoded_anew(text: bytes, expected: bytes) -> None:
    assert encode(decode(text)) == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_have_no_bytes(number: float) -> None:
    with pytest.raises(EncodeError):
        encode({"a": [number]})


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a\ud83d"]])
def test_lone_surrogates_have_no_bytes(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, {"a": object()}, {(1, 2): 3}])
def test_other_types_have_no_bytes(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode(value)


def test_endless_values_have_no_bytes() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodeError):
        encode(endless)


@given(st.dictionaries(texts, values, max_size=5))
def test_joining_canonical_parts_gives_canonical_bytes(members: dict[str, Any]) -> None:
    assert join_object({name: encode(value) for name, value in members.items()}) == recipe(members)


def test_digest_is_sha256_in_lower_case_hex() -> None:
    # FIPS 180-4's example
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- each refusal, with its place

PAIR = '"\\ud83d\\ude00"'
REFUSED: list[tuple[str, bytes, int, int]] = [
    ("too_large", b"[" + b" " * 99 + b"]", 1, 1),
    ("byte_order_mark", b"\xef\xbb\xbf{}", 1, 1),
    ("byte_order_mark", b"\xef\xbb\xbf", 1, 1),
    ("invalid_utf8", b'\n"\xff"', 2, 2),
    ("syntax", b"\n[x]", 2, 2),
    ("invalid_utf8", b'{\n"a":"\xff"}', 2, 6),
    ("invalid_utf8", b'"\xc3\xa9\xc3"', 1, 4),
    ("invalid_utf8", b'"\xed\xa0\x80"', 1, 2),
    ("invalid_utf8", b'"\xc0\xaf"', 1, 2),
    ("invalid_utf8", b'"\xf4\x90\x80\x80"', 1, 2),
    ("no_value", b"", 1, 1),
    ("no_value", b" \n\t\r\n ", 3, 2),
    ("syntax", b"{a:1}", 1, 2),
    ("syntax", b"{'a':1}", 1, 2),
    ("syntax", b'{"a":1,}', 1, 8),
    ("syntax", b'{"a" 1}', 1, 6),
    ("syntax", b'{"a"}', 1, 5),
    ("syntax", b'{"a":}', 1, 6),
    ("syntax", b"[1,]", 1, 4),
    ("syntax", b"[1 2]", 1, 4),
    ("syntax", b"[1}", 1, 3),
    ("syntax", b'{"a":1]', 1, 7),
    ("syntax", b"[1,\n2", 2, 2),
    ("syntax", b"[", 1, 2),
    ("syntax", b"]", 1, 1),
    ("syntax", b",", 1, 1),
    ("syntax", b"{", 1, 2),
    ("syntax", b"[.5]", 1, 2),
    ("syntax", b"[+1]", 1, 2),
    ("syntax", b"[-]", 1, 2),
    ("syntax", b"[01]", 1, 3),
    ("syntax", b"[1.]", 1, 3),
    ("syntax", b"[1e]", 1, 3),
    ("syntax", b"[0x1]", 1, 3),
    ("syntax", "[１]".encode(), 1, 2),
    ("syntax", b"[True]", 1, 2),
    ("syntax", b"[nul]", 1, 2),
    ("syntax", b"[truefalse]", 1, 2),
    ("syntax", b'["\\x"]', 1, 3),
    ("syntax", b'["\\u12g4"]', 1, 3),
    ("syntax", b'["a\nb"]', 1, 4),
    ("syntax", b'{"a\\n":"b\\"c\\/\t"}', 1, 15),
    ("syntax", b'["a\x1f"]', 1, 4),
    ("syntax", b'["a', 1, 2),
    ("syntax", b'["a\\"', 1, 2),
    ("syntax", b"[\x0b]", 1, 2),
    ("syntax", "[\u00a0]".encode(), 1, 2),
    ("syntax", "[\u2028]".encode(), 1, 2),
    ("syntax", b"[\xef\xbb\xbf]", 1, 2),
    ("syntax", b"[1,/* */2]", 1, 4),
    ("trailing_data", b"1 2", 1, 3),
    ("trailing_data", b"{}\n\n{}", 3, 1),
    ("trailing_data", b"[]]", 1, 3),
    ("trailing_data", b"01", 1, 2),
    ("trailing_data", b"{}\x00", 1, 3),
    ("duplicate_name", b'{"a":1,\n "a":2}', 2, 2),
    ("duplicate_name", b'[{"a":{"b":1,"c":2,"b":1}}]', 1, 20),
    ("duplicate_name", b'{"\\u0061":1,"a":1}', 1, 13),
    ("duplicate_name", b'{"":1,"":1}', 1, 7),
    ("duplicate_name", f'{{"😀":1,{PAIR}:1}}'.encode(), 1, 8),
    ("lone_surrogate", b'["\\ud800"]', 1, 2),
    ("lone_surrogate", b'{"\\uDFFF":1}', 1, 2),
    ("lone_surrogate", b'["\\ude00\\ud83d"]', 1, 2),
    ("lone_surrogate", b'{"a":\n\n "x\\ud83dy"}', 3, 2),
    ("non_finite_number", b"NaN", 1, 1),
    ("non_finite_number", b"[Infinity]", 1, 2),
    ("non_finite_number", b'{"a": -Infinity}', 1, 7),
    ("non_finite_number", b"[1,\n1e999]", 2, 1),
    ("non_finite_number", b"[-1e999]", 1, 2),
    ("non_finite_number", b"1.8e308", 1, 1),
    ("integer_too_long", b"[" + b"9" * 4301 + b"]", 1, 2),
    ("integer_too_long", b"[-" + b"9" * 4301 + b"]", 1, 2),
    ("integer_too_long", b'{"a":\n' + b"1" + b"0" * 10**6 + b"}", 2, 1),
    ("too_deep", nested_text(65), 1, 65),
    ("too_deep", b'{"a":' * 64 + b"\n[]" + b"}" * 64, 2, 1),
    ("too_deep", b"[" * 65, 1, 65),
]


@pytest.mark.parametrize(("reason", "text", "line", "column"), REFUSED)
def test_refusal_says_why_and_where(reason: str, text: bytes, line: int, column: int) -> None:
    limit = 100 if reason == "too_large" else canonical.MAX_DOCUMENT_BYTES
    with pytest.raises(DecodeError) as caught:
        decode(text, max_bytes=limit)
    error = caught.value
    assert (error.reason, error.line, error.column) == (reason, line, column)
    assert error.detail
    assert str(error).startswith(f"{reason} at line {line}, column {column}: ")
    assert "\n" not in str(error)
    assert len(str(error)) < 300


def test_every_reason_has_an_example() -> None:
    assert {reason for reason, *_ in REFUSED} == set(DECODE_REASONS)


# --- limits


def test_the_size_limit_counts_bytes() -> None:
    text = '"éé"'.encode()
    assert decode(text, max_bytes=6) == "éé"
    with pytest.raises(DecodeError, match="too_large"):
        decode(text, max_bytes=5)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_nesting_ends_at_64(wrap: Callable[[Any], Any]) -> None:
    value: Any = "bottom"
    for _ in range(64):
        value = wrap(value)
    assert depth_of(value) == 64
    text = recipe(value)
    assert decode(text) == value
    assert decode(text.replace(b":", b" : ").replace(b"[", b"[ ")) == value
    with pytest.raises(DecodeError, match="too_deep"):
        decode(recipe(wrap(value)))
    # many brackets are not deep
    assert decode(b"[" + b"[]," * 1000 + b"[]]") == [[]] * 1001


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("place", ["{}", "[{}]", '{{"a": {} }}'])
def test_integers_end_at_4300_digits(sign: str, place: str) -> None:
    longest = place.format(sign + "7" * 4300).encode()
    assert encode(decode(longest)) == recipe(json.loads(longest))
    with pytest.raises(DecodeError, match="integer_too_long"):
        decode(place.format(sign + "7" * 4301).encode())


@pytest.mark.parametrize("limit", [640, 0])
def test_the_limit_is_not_the_interpreters(limit: int) -> None:
    text = b"[-" + b"7" * 4300 + b"]"
    (expected,) = decode(text)
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(limit)
    try:
        assert decode(text) == [expected]
        with pytest.raises(DecodeError, match="integer_too_long"):
            decode(b"[" + b"7" * 4301 + b"]")
    finally:
        sys.set_int_max_str_digits(before)


def test_a_full_stack_is_no_fault_of_the_value() -> None:
    value: Any = 1
    for _ in range(60):
        value = [value]

    def at_depth(depth: int) -> bytes:
        return encode(value) if depth == 0 else at_depth(depth - 1)

    outcomes = set()
    for depth in range(0, sys.getrecursionlimit(), 5):
        try:
            outcomes.add(at_depth(depth))
        except RecursionError:
            outcomes.add(b"no stack left")
    assert outcomes <= {b"[" * 60 + b"1" + b"]" * 60, b"no stack left"}
    # More than any Python's own encoder goes down: from 3.12 on it has a limit of its own.
    for _ in range(200_000):
        value = [value]
    with pytest.raises(EncodeError, match="too deep"):
        encode(value)


def test_long_runs_of_digits_cost_no_square_of_their_length() -> None:
    # Five runs just below the limit a thousand times over: seconds where each digit tries anew.
    text = b'["' + (b"7" * 4300 + b" ") * 1900 + b'"]'
    started = time.process_time()
    assert decode(text) == [text[2:-2].decode()]
    assert time.process_time() - started < 5


def test_digits_that_are_no_integer_are_not_limited() -> None:
    digits = "7" * 5000
    assert decode(f'"{digits}"'.encode()) == digits
    assert decode(f"0.{digits}".encode()) == float(f"0.{digits}")
    assert decode(f"0e{digits}".encode()) == 0.0
    assert decode(f"1e-{digits}".encode()) == 0.0
    with pytest.raises(DecodeError, match="non_finite_number"):
        decode(f"{digits}.0".encode())


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 10**6,
        nested_text(10**6),
        b'{"a":' * 10**6,
        b'[{"a":' * 10**6,
        b"[" * 10**6 + b'"\\ud800"',
        b"-" * 10**6,
        b'"' + b"\\" * 1_000_001,
        b'"' + b"\\n" * 10**6,
    ],
)
def test_hostile_text_is_refused_quickly(text: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(DecodeError):
        decode(text)
    # Where each character looked at all before it, this would take minutes.
    assert time.process_time() - begun < 20


def at_depth_of_stack(frames: int, call: Callable[[], Any]) -> Any:
    """Make the call with this many frames of Python below it."""
    return call() if frames == 0 else at_depth_of_stack(frames - 1, call)


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "accepted", call()
    except DecodeError as error:
        return error.reason, (error.line, error.column)


def reading(text: bytes) -> tuple[str, Any]:
    return outcome(lambda: decode(text))


def frames_in_use() -> int:
    frame, count = sys._getframe(), 0
    while frame.f_back is not None:
        frame, count = frame.f_back, count + 1
    return count


@pytest.mark.parametrize(
    "text",
    [
        nested_text(64),
        nested_text(65),
        nested_text(100_000),
        b'{"a":' * 63 + b"[]" + b"}" * 63,
        b'[{"a":1,"a":2}]',
        b"[1e999]",
        b'["\\ud800"]',
        b"[1,]",
        b'[[[["\\ud83d\\ude00"]]]]',
    ],
)
def test_the_verdict_does_not_depend_on_the_callers_stack(text: bytes) -> None:
    expected = reading(text)
    room = sys.getrecursionlimit() - frames_in_use()
    # CPython's scanner needs a frame a level, so that near the limit only the rule can answer.
    for left in (60, 40, 30, 25):
        assert at_depth_of_stack(room - left, lambda: reading(text)) == expected


# --- the fast decoder beside the rule

FRAGMENTS = [
    *(
        piece.encode()
        for piece in [
            '"',
            "\\",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "-",
            "+",
            ".",
            "e",
            "0",
            "1",
            "00",
            "1e5",
            "1e400",
            "-0",
            "-0.0",
            "1e-400",
        ]
    ),
    *(
        piece.encode()
        for piece in [
            "true",
            "null",
            "NaN",
            "-Infinity",
            "Infinity",
            "//",
            "'",
            "é",
            "😀",
            "１",
            "\ufeff",
        ]
    ),
    *(
        piece.encode()
        for piece in ['"a":', '"a":1,', '{"a":1,"a":1}', "[[[[]]]]", "\\u0061", "\\u00"]
    ),
    *(b"\\ud800", b"\\uDC00", b"\\ud83d\\ude00", b"\xed\xa0\x80", b"\xff", b"\xc3"),
    *(b" ", b"\n", b"\t", b"\x00", b"\x0b", b"\x1f", b"\x7f", b"\xe2\x80\xa8", b"\xc2\xa0"),
    *(b"9" * 4300, b"9" * 4301, b"[" * 60, b"]" * 60),
]


@st.composite
def mutated_texts(draw: st.DrawFn) -> bytes:
    """Valid JSON with pieces put in, cut out, doubled or changed."""
    value = draw(values | deep_values)
    spaces = draw(st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:\r"))))
    text = json.dumps(value, separators=spaces, ensure_ascii=draw(st.booleans())).encode()
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        piece = draw(st.sampled_from(FRAGMENTS) | st.just(text[start:end] * 2) | st.just(b""))
        text = text[:start] + piece + text[end:]
    return text


def check_decoders(text: bytes) -> None:
    """The fast decoder accepts no more than the rule does, `decode` decides as the rule does, and
    both agree with the oracle's decoding."""
    expected = reading(text)
    try:
        read = text.decode()
    except UnicodeDecodeError:
        assert expected[0] in ("invalid_utf8", "byte_order_mark")
        return
    if expected[0] == "byte_order_mark":
        return
    ruled = outcome(lambda: canonical._decode_strictly(read))
    assert ruled[0] == expected[0]
    if ruled[0] == "accepted":
        assert same(ruled[1], expected[1])
        assert same(oracle.decode(text), ruled[1])
    else:
        assert ruled == expected
        with pytest.raises(ValueError):  # noqa: PT011 - the oracle has no errors of its own
            oracle.decode(text)
    try:
        fast = canonical._read_fast(text)
    except canonical._NOT_ACCEPTED:
        return  # it may give up on anything
    assert ruled[0] == "accepted"
    assert same(fast.value, ruled[1])
    assert fast.canonical == canonical.encode(ruled[1])
    for part in [fast.value, *parts_of(fast.value)]:
        assert fast.encode(part) == canonical.encode(part)


def parts_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


@pytest.mark.slow
@settings(max_examples=20_000)
@given(mutated_texts())
def test_sample_of_many_mutated_texts(text: bytes) -> None:
    check_decoders(text)


@settings(max_examples=500)
@given(mutated_texts())
@example(b'{"a":1,"a":1}')
@example(b'["\\ud83d\\ude00"]')
@example(b"[NaN]")
@example(b"1e999")
@example(nested_text(65))
@example(b"[" + b"9" * 4301 + b"]")
@example(b"[18446744073709551616]")
@example(b'{"a":0,"a":1e22}')
@example(b'{"a":0,"a":"\\u0022"}')
@example(b'{"a":1,"a":0.5}')
@example(b'{"a":0.00001,"b":-0.0,"c":1e16,"d":9999999999999998.0,"e":1e-400}')
def test_the_fast_decoder_is_never_wrong(text: bytes) -> None:
    check_decoders(text)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10).map(b"".join))
def test_the_fast_decoder_is_never_wrong_about_rubble(text: bytes) -> None:
    check_decoders(text)


@given(values)
def test_the_rule_reads_what_was_encoded(value: Any) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ensure_ascii, indent=1)
        assert same(canonical._decode_strictly(text), value)


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, text, *_ in REFUSED])
def test_the_refusals_hold_with_either_decoder(reason: str, text: bytes) -> None:
    if reason not in ("too_large", "byte_order_mark"):
        check_decoders(text)
        assert reading(text)[0] == reason


@pytest.mark.parametrize(
    "text", [b'{"a":[1,2.5,"x",null,true]}', b"[" * 64 + b"]" * 64, '{"é":"\u2028"}'.encode()]
)
def test_ordinary_text_takes_the_fast_way(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_decode_strictly", None)
    assert decode(text) == json.loads(text)


# --- JSONTestSuite

# Valid JSON by the suite, and refused here: SPEC §1 wants the names of an object unique.
DUPLICATES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}

# What the suite leaves to implementations, as SPEC §1 decides it.
DECIDED = {
    "i_number_double_huge_neg_exp.json": "accepted",
    "i_number_huge_exp.json": "non_finite_number",
    "i_number_neg_int_huge_exp.json": "non_finite_number",
    "i_number_pos_double_huge_exp.json": "non_finite_number",
    "i_number_real_neg_overflow.json": "non_finite_number",
    "i_number_real_pos_overflow.json": "non_finite_number",
    "i_number_real_underflow.json": "accepted",
    "i_number_too_big_neg_int.json": "accepted",
    "i_number_too_big_pos_int.json": "accepted",
    "i_number_very_big_negative_int.json": "accepted",
    "i_object_key_lone_2nd_surrogate.json": "lone_surrogate",
    "i_string_1st_surrogate_but_2nd_missing.json": "lone_surrogate",
    "i_string_1st_valid_surrogate_2nd_invalid.json": "lone_surrogate",
    "i_string_UTF-16LE_with_BOM.json": "invalid_utf8",
    "i_string_UTF-8_invalid_sequence.json": "invalid_utf8",
    "i_string_UTF8_surrogate_U+D800.json": "invalid_utf8",
    "i_string_incomplete_surrogate_and_escape_valid.json": "lone_surrogate",
    "i_string_incomplete_surrogate_pair.json": "lone_surrogate",
    "i_string_incomplete_surrogates_escape_valid.json": "lone_surrogate",
    "i_string_invalid_lonely_surrogate.json": "lone_surrogate",
    "i_string_invalid_surrogate.json": "lone_surrogate",
    "i_string_invalid_utf-8.json": "invalid_utf8",
    "i_string_inverted_surrogates_U+1D11E.json": "lone_surrogate",
    "i_string_iso_latin_1.json": "invalid_utf8",
    "i_string_lone_second_surrogate.json": "lone_surrogate",
    "i_string_lone_utf8_continuation_byte.json": "invalid_utf8",
    "i_string_not_in_unicode_range.json": "invalid_utf8",
    "i_string_overlong_sequence_2_bytes.json": "invalid_utf8",
    "i_string_overlong_sequence_6_bytes.json": "invalid_utf8",
    "i_string_overlong_sequence_6_bytes_null.json": "invalid_utf8",
    "i_string_truncated-utf-8.json": "invalid_utf8",
    "i_string_utf16BE_no_BOM.json": "invalid_utf8",
    "i_string_utf16LE_no_BOM.json": "invalid_utf8",
    "i_structure_500_nested_arrays.json": "too_deep",
    "i_structure_UTF-8_BOM_empty_object.json": "byte_order_mark",
}


def suite(prefix: str) -> list[Path]:
    found = sorted((vectors("JSONTestSuite") / "test_parsing").glob(f"{prefix}*.json"))
    assert len(found) > 30
    return found


def test_json_test_suite_valid() -> None:
    seen = set()
    for path in suite("y_"):
        text = path.read_bytes()
        if path.name in DUPLICATES:
            seen.add(path.name)
            assert reading(text)[0] == "duplicate_name", path.name
        else:
            assert same(decode(text), json.loads(text)), path.name
    assert seen == DUPLICATES


def test_json_test_suite_invalid() -> None:
    for path in suite("n_"):
        with pytest.raises(DecodeError) as caught:
            decode(path.read_bytes())
        assert caught.value.reason in DECODE_REASONS, path.name


def test_json_test_suite_decided() -> None:
    found = {path.name: reading(path.read_bytes())[0] for path in suite("i_")}
    assert found == DECIDED


def test_json_test_suite_decoders_agree() -> None:
    for path in suite(""):
        check_decoders(path.read_bytes())
