"""Canonical JSON: strict decoding, exact encoding, and the digest (SPEC §1).

What lives here: bytes to value and value to bytes. What must not: any knowledge of events,
papers or documents; limits that hold for events alone are in `events`.

Two decoders stand side by side. `_decode_strictly` is the rule: it accepts exactly what SPEC
§1 accepts and says where it stops. `_read_fast` is msgspec's; it may give up on anything, and may
only accept what the rule accepts, with the same value. So `read` asks the fast one, and whatever
that one does not accept, the rule decides. It is alike with encoding: json's encoder is the rule,
and msgspec's is used for a text whose numbers have shown that the two agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from pithgraph.errors import DecodeError, EncodeError

MAX_DEPTH: Final = 64
MAX_INTEGER_DIGITS: Final = 4300
MAX_LINE_BYTES: Final = 8 * 1024 * 1024
MAX_DOCUMENT_BYTES: Final = 2 * 1024 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
# Plain patterns, no possessive ones: the `re` of CPython 3.11.2, Debian's, matches those wrongly.
# None repeats a group, so that a string of many megabytes leaves no marks to backtrack to.
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"[A-Za-z]+")
_WORDS: Final = {"true": True, "false": False, "null": None}
_CLOSERS: Final = {"{": "}", "[": "]"}


Encode = Callable[[Any], bytes]


class Reading(NamedTuple):
    """A decoded text. `encode` gives the canonical bytes of `value`, and of any part of it. Where
    reading has made them anyway, `canonical` are those of the whole, and `brackets` counts `{` and
    `[` in them: no part nests deeper."""

    value: Any
    encode: Encode
    canonical: bytes | None
    brackets: int | None


def decode(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """The one JSON value in `data`, decoded strictly (SPEC §1).

    Raises DecodeError with a reason of `DECODE_REASONS` and the place of the fault.
    """
    return read(data, max_bytes=max_bytes).value


def read(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Reading:
    """Like `decode`, with a way to canonical bytes that is often several times faster than
    `encode`. Raises DecodeError."""
    if len(data) <= max_bytes:
        try:
            return _read_fast(data)
        except _NOT_ACCEPTED:
            pass
    return Reading(_decode_strictly(_text(data, max_bytes)), encode, None, None)


def encode(value: Any) -> bytes:
    """The canonical bytes of a value as `decode` gives it (SPEC §1).

    Raises EncodeError for what JSON cannot hold: other types, NaN, lone surrogates, cycles.

    >>> import pithgraph
    >>> pithgraph.encode({"b": 1e22, "a": [-0.0, "é", None]}).decode()
    '{"a":[-0.0,"é",null],"b":1e+22}'
    """
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError("a string holds half of a surrogate pair") from None
    except RecursionError:
        if depth_of(value) <= MAX_DEPTH:
            raise  # the caller's stack is full; that says nothing about the value
        raise EncodeError("the value nests too deep") from None
    except (TypeError, ValueError) as error:
        raise EncodeError(str(error)) from None


def encode_string(text: str) -> bytes:
    """The canonical bytes of a string that `decode` gave; quicker than `encode`."""
    return _SORTED.encode(text)


def digest(data: bytes) -> str:
    """SHA-256 in lower-case hex (SPEC §2).

    >>> import pithgraph
    >>> pithgraph.digest(pithgraph.encode({"payload": []}))
    '258153158e38e3291e3d48162225fcdb2d5a3ed65a07baac614ab91432fd4f57'
    """
    return hashlib.sha256(data).hexdigest()


def join_object(members: dict[str, bytes]) -> bytes:
    """The canonical bytes of an object whose members' values are canonical bytes already."""
    return b"{%b}" % b",".join(
        b"%b:%b" % (encode_string(name), members[name]) for name in sorted(members)
    )


def count_brackets(canonical: bytes) -> int:
    """How many `{` and `[` there are: nothing nests deeper. One pass, where `count` takes two."""
    return len(canonical.translate(None, _NO_BRACKETS))


_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{[")


def depth_of(value: Any) -> int:
    """How deep arrays and objects nest: 0 for a scalar, 1 for `[]`. Never recurses."""
    depth = 0
    level = [value] if isinstance(value, (dict, list)) else []
    while level:
        depth += 1
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
    return depth


_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


# --- the fast way: may give up (_NOT_ACCEPTED), may not be wrong ------------------------------


class _FloatFound(Exception):
    """A text that holds a float, whose digits the two encoders may write differently."""


def _no_float(token: str) -> NoReturn:
    raise _FloatFound


_WITHOUT_FLOATS: Final = msgspec.json.Decoder(float_hook=_no_float)
_SORTED: Final = msgspec.json.Encoder(order="sorted")
# UnicodeDecodeError and msgspec's own errors are ValueErrors; OverflowError is an integer of more
# than 64 bits, which msgspec decodes and cannot encode.
_NOT_ACCEPTED: Final = (ValueError, RecursionError, OverflowError)


def _read_fast(data: bytes) -> Reading:
    """msgspec decodes as SPEC §1 asks but for three things, which are asked here: it keeps the last
    of two members of one name, overflows to infinity, and stops at no depth."""
    try:
        value = _WITHOUT_FLOATS.decode(data)
        # Without floats, every spelling but the canonical one is longer. So where nothing was
        # lost in length, no member was lost.
        canonical = _SORTED.encode(value)
        if len(canonical) != len(data):
            _prove_unique_names(data, canonical)
    except _FloatFound:
        value = msgspec.json.Decoder(float_hook=_common_float).decode(data)
        canonical = _SORTED.encode(value)
        _prove_unique_names(data, canonical)
    brackets = count_brackets(canonical)
    if brackets > MAX_DEPTH and depth_of(value) > MAX_DEPTH:
        raise ValueError("too deep")
    return Reading(value, _SORTED.encode, canonical, brackets)


def _common_float(token: str) -> float:
    """A float that msgspec encodes by SPEC §1's rule; it writes exponents in another way."""
    number = float(token)
    if number != 0 and not 1e-4 <= abs(number) < 1e16:
        raise ValueError("perhaps not finite, and written with an exponent")
    return number


def _prove_unique_names(data: bytes, canonical: bytes) -> None:
    """A quotation mark begins or ends a string, or stands escaped in one, and is then escaped in
    the canonical bytes too. A lost member leaves fewer, and only an escape by number makes more."""
    if b"\\" in data and b"\\u0022" in data:
        raise ValueError("a quotation mark escaped by its number")
    if canonical.count(b'"') != data.count(b'"'):
        raise ValueError("a name stands twice")


# --- the rule: iterative, so that no caller's stack decides, and it knows where it is --------


def _text(data: bytes, max_bytes: int) -> str:
    """The text of received bytes, or DecodeError."""
    if len(data) > max_bytes:
        raise DecodeError("too_large", f"{len(data)} bytes, the limit is {max_bytes}", 1, 1)
    if data.startswith(_BOM):
        raise DecodeError("byte_order_mark", "save the text as UTF-8 without it", 1, 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise DecodeError("invalid_utf8", error.reason, line, column) from None


def _decode_strictly(text: str) -> Any:
    """Decode by SPEC §1, or raise DecodeError at the first fault of the text."""
    open_containers: list[tuple[Any, str]] = []  # the container, and the name that waits in it
    position = _skip_space(text, 0)
    if position == len(text):
        _refuse(text, position, "no_value", "expected a JSON value")
    while True:
        # Here a value begins.
        opener = text[position : position + 1]
        if opener in _CLOSERS and opener:
            if len(open_containers) == MAX_DEPTH:
                _refuse(text, position, "too_deep", f"level {MAX_DEPTH + 1} opens here")
            value: Any = {} if opener == "{" else []
            position = _skip_space(text, position + 1)
            if text.startswith(_CLOSERS[opener], position):
                position += 1
            else:
                name = ""
                if opener == "{":
                    name, position = _name(text, position, value)
                open_containers.append((value, name))
                continue
        else:
            value, position = _scalar(text, position)
        # Here a value has ended: it goes into what is open, which may end too.
        while open_containers:
            container, name = open_containers.pop()
            if isinstance(container, dict):
                container[name] = value
            else:
                container.append(value)
            position = _skip_space(text, position)
            closer = "}" if isinstance(container, dict) else "]"
            if text.startswith(",", position):
                position = _skip_space(text, position + 1)
                if isinstance(container, dict):
                    name, position = _name(text, position, container)
                open_containers.append((container, name))
                break
            if not text.startswith(closer, position):
                _refuse(text, position, "syntax", f"expected ',' or '{closer}'")
            position += 1
            value = container
        else:
            position = _skip_space(text, position)
            if position != len(text):
                _refuse(text, position, "trailing_data", "expected the end of the text")
            return value


def _name(text: str, position: int, container: dict[str, Any]) -> tuple[str, int]:
    """A member's name and the place where its value begins."""
    if not text.startswith('"', position):
        _refuse(text, position, "syntax", "expected a member's name in double quotes")
    name, end = _string(text, position)
    if name in container:
        _refuse(text, position, "duplicate_name", f"{_shown(name)} stands twice in one object")
    end = _skip_space(text, end)
    if not text.startswith(":", end):
        _refuse(text, end, "syntax", "expected ':'")
    return name, _skip_space(text, end + 1)


def _scalar(text: str, position: int) -> tuple[Any, int]:
    if text.startswith('"', position):
        return _string(text, position)
    if word := _WORD.match(text, position):
        if word.group() in _WORDS:
            return _WORDS[word.group()], word.end()
        if word.group() in ("NaN", "Infinity"):
            _refuse(text, position, "non_finite_number", word.group())
        _refuse(text, position, "syntax", f"unknown word {_shown(word.group())}")
    if text.startswith("-Infinity", position):
        _refuse(text, position, "non_finite_number", "-Infinity")
    token = _NUMBER.match(text, position)
    if token is None:
        _refuse(text, position, "syntax", "expected a value")
    if token.group(1) or token.group(2):
        number = float(token.group())
        if not math.isfinite(number):
            _refuse(text, position, "non_finite_number", "too large for a double")
        return number, token.end()
    digits = len(token.group().lstrip("-"))
    if digits > MAX_INTEGER_DIGITS:
        _refuse(text, position, "integer_too_long", f"{digits} digits")
    return _integer(token.group()), token.end()


def _integer(token: str) -> int:
    """`int`, whatever limit on digits the interpreter was started with (640 at the least)."""
    digits = token.lstrip("-")
    value = 0
    for start in range(0, len(digits), 600):
        part = digits[start : start + 600]
        value = value * 10 ** len(part) + int(part)
    return -value if token.startswith("-") else value


def _string(text: str, position: int) -> tuple[str, int]:
    end = _end(_PLAIN, text, position + 1)
    while not text.startswith('"', end):
        if end == len(text):
            _refuse(text, position, "syntax", "a string that does not end")
        if not text.startswith("\\", end):
            _refuse(text, end, "syntax", "a control character in a string: escape it")
        after = _end(_ESCAPE, text, end)
        if after == end:
            _refuse(text, end, "syntax", "no escape of JSON")
        end = _end(_PLAIN, text, after)
    value: str = json.loads(text[position : end + 1])
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = f"U+{ord(value[error.start]):04X}"
        _refuse(text, position, "lone_surrogate", f"{shown} stands alone in this string")
    return value, end + 1


def _skip_space(text: str, position: int) -> int:
    return _end(_SPACE, text, position)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where a match at `position` ends; `position` itself without one."""
    found = pattern.match(text, position)
    return found.end() if found else position


def _shown(name: str) -> str:
    """A string for an error message: short, escaped, safe to print on a terminal."""
    return json.dumps(name if len(name) <= 80 else name[:77] + "...")


def _refuse(text: str, position: int, reason: str, detail: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    raise DecodeError(reason, detail, line, column)
