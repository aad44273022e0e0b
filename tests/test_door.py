"""The door, held against bombs and traps: each is refused by its reason, and the rest goes in.

One test a trap, named after it. Where memory is what is promised, the real program runs with little
of it; its time is limited too, by minutes, so that what would never end fails. What `test_sources`,
`test_canonical` and `test_cli` hold is not repeated here.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signing
from damage import Damage, Patient, build
from faulting import why_no_strace
from growing import SHAPES
from pithgraph.cli import main
from pithgraph.errors import DECODE_REASONS, REFUSAL_REASONS
from pithgraph.events import Event
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import LogWriter
from pithgraph.log.batch import QUOTA, REFUSED_ROWS
from pithgraph.merge import merge
from pithgraph.sources import Lines, Piece, Unreadable, read_spans
from pithgraph.validation import VERIFIED, Judged, Verdict
from signing import PAPER, Json, canonical, signed_event
from test_damaged_rows import lay_for_verbs, verbs

MIB = 1 << 20
GOOD = [canonical(signed_event(created_at=signing.at(second))) for second in (1, 2)]
KEYRING = canonical(signing.keyring_value())
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\n\t\x00\x7f\x9b31m\u202e\u2028\u200b\ufeff"
"""What steers a terminal, ends a line, turns the direction of writing, or is not seen."""
VALID = 200_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
MINUTES = 20  # a net, not a measure: machines are slow, and what never ends is caught by it too


class Done(NamedTuple):
    """How a run ended. What it printed was found safe for a terminal."""

    code: int
    out: str
    err: str

    @property
    def counts(self) -> dict[str, int]:
        """What `ingest --json` counted; it adds up."""
        counts: dict[str, int] = json.loads(self.out)
        assert counts["read"] == counts["appended"] + counts["duplicates"] + counts["refused"]
        return counts


def program(
    *arguments: object,
    memory: int = 256 * MIB,
    cwd: Path | None = None,
    before: Sequence[str] = (),
) -> Done:
    """Run the real program with so many bytes of address space; without limits it takes 150 MiB.
    The command `before` is one that runs it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (MINUTES * 60, MINUTES * 60))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    done = subprocess.run(
        [*before, *command(*arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=ENVIRONMENT,
        preexec_fn=limit,
        cwd=cwd,
        timeout=MINUTES * 60,
        check=False,
    )
    return Done(done.returncode, shown(done.stdout), shown(done.stderr))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pithgraph", *map(os.fspath, map(_text, arguments))]


def _text(argument: object) -> str | os.PathLike[str]:
    return argument if isinstance(argument, os.PathLike) else str(argument)


def shown(output: bytes) -> str:
    """Printed text, in which nothing stands raw that a terminal would obey."""
    text = output.decode("utf-8")
    assert text.replace("\n", "").isprintable()
    assert "Traceback" not in text
    return text


class Door:
    """A folder with a keyring, a log, and files to be ingested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = folder / "keyring"
        self.keyring.write_bytes(KEYRING)
        self.log = folder / "log"

    def file(self, name: str, parts: Iterable[bytes]) -> Path:
        path = self.folder / name
        with path.open("wb") as file:
            file.writelines(parts)
        return path

    def ingest(self, *paths: object, memory: int = 256 * MIB, **named: Any) -> Done:
        arguments = ("ingest", "--log", self.log, "--keyring", self.keyring, "--json")
        return program(*arguments, *paths, memory=memory, **named)

    def takes(self, path: Path, refused: list[str], *, good: int, **named: Any) -> Done:
        """Ingest a file: so many events go in, and these places and reasons are told in order."""
        done = self.ingest(path, **named)
        assert done.code == (3 if refused else 0), done.err
        counts = {"read": good + len(refused), "appended": good, "refused": len(refused)}
        assert done.counts | counts == done.counts, done.err
        assert (done.counts["duplicates"], done.counts["position"]) == (0, good)
        told = [line.split(": ") for line in done.err.splitlines()]
        assert [f"{place.removeprefix(f'refused {path}')} {reason}" for place, reason, *_ in told
                ] == refused  # fmt: skip
        return done


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


# --- large things ------------------------------------------------------------------------------


def of_100_mb(before: bytes = b'"', filler: bytes = b"x", after: bytes = b'"') -> Iterator[bytes]:
    return itertools.chain([before], itertools.repeat(filler * MIB, 100), [after])


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(1, marks=pytest.mark.longer),
        2,
        pytest.param(3, marks=pytest.mark.longer),
    ],
)
def test_a_line_of_100_mb(door: Door, place: int) -> None:
    lines: list[Iterable[bytes]] = [[line] for line in GOOD]
    lines.insert(place - 1, of_100_mb())
    path = door.file("e.jsonl", itertools.chain(*([*line, b"\n"] for line in lines)))
    # The first line may yet turn out to be the whole of a document, and is held until then.
    memory = 768 * MIB if place == 1 else 256 * MIB
    door.takes(path, [f":{place} too_large"], good=2, memory=memory)


@pytest.mark.longer
def test_a_document_of_100_mb(door: Door) -> None:
    path = door.file("document.json", of_100_mb())
    door.takes(path, [" not_an_object"], good=0, memory=1024 * MIB)


@pytest.mark.slow
def test_an_event_with_a_string_of_100_mb(door: Door) -> None:
    head = GOOD[0].replace(b'"payload":{', b'"payload":{"x":"', 1)
    at = head.index(b'"x":"') + 5
    path = door.file("event.json", of_100_mb(head[:at], after=b'",' + head[at:]))
    door.takes(path, [" event_too_large"], good=0, memory=2048 * MIB)


def test_a_document_that_does_not_fit_into_memory(door: Door) -> None:
    path = door.file("document.json", of_100_mb())
    good = door.file("good.jsonl", [GOOD[0], b"\n", GOOD[1]])
    done = door.ingest(path, good, memory=200 * MIB)
    assert done.code == 3
    assert (done.counts["refused"], done.counts["appended"]) == (1, 2)
    assert "document.json: unreadable: it does not fit into memory" in done.err


@pytest.mark.longer
@pytest.mark.parametrize("text", [b"[", b'{"a":', b"[]]", b'[{"a":'], ids=repr)
def test_nesting_a_million_deep(door: Door, text: bytes) -> None:
    reason = "trailing_data" if text == b"[]]" else "too_deep"
    path = door.file("e.jsonl", [GOOD[0], b"\n", text * 10**6, b"\n", GOOD[1], b"\n"])
    door.takes(path, [f":2 {reason}"], good=2)
    assert program("audit", path, "--keyring", door.keyring).code == 3


def a_million_members(*more: bytes) -> bytes:
    return b"{%b}" % b",".join([*(b'"%x":0' % n for n in range(10**6)), *more])


@pytest.mark.longer
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(a_million_members, " unknown_document", marks=pytest.mark.slow),
        pytest.param(
            lambda: a_million_members(b'"7":1'), ":1 duplicate_name", marks=pytest.mark.slow
        ),
        (lambda: GOOD[0].replace(b"{", a_million_members()[:-1] + b",", 1), " event_too_large"),
    ],
    ids=["document", "duplicate_name", "event"],
)
def test_a_million_members(door: Door, text: Callable[[], bytes], reason: str) -> None:
    path = door.file("document.json", [text()])
    door.takes(path, [reason], good=0, memory=768 * MIB)


DIGITS = b"7" * MIB
OF_AN_EVENT = b'"payload":{"n":%b,'


@pytest.mark.longer
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (DIGITS, "integer_too_long"),
        (b"-" + DIGITS, "integer_too_long"),
        (b"1" + b"0" * 4299, "event_integer_range"),
        (b"1e9999", "non_finite_number"),
        (b"-1e9999", "non_finite_number"),
        (b"1e" + DIGITS, "non_finite_number"),
        (DIGITS + b".0", "non_finite_number"),
        (b"0" * MIB, "syntax"),
        (b"-" * MIB, "syntax"),
        (b"0." + DIGITS, None),
        (b"0e" + DIGITS, None),
        (b"1e-" + DIGITS, None),
        (DIGITS + b"e-" + DIGITS, None),
    ],
    ids=lambda value: value[:6].decode() if isinstance(value, bytes) else value,
)
def test_numbers_of_a_megabyte(door: Door, number: bytes, reason: str | None) -> None:
    trap = GOOD[0].replace(b'"payload":{', OF_AN_EVENT % number, 1)
    path = door.file("e.jsonl", [GOOD[0], b"\n", trap, b"\n", GOOD[1], b"\n"])
    # What is a finite double is a number; the event is another one, and its id no longer right.
    door.takes(path, [f":2 {reason}"] if reason else [], good=2 if reason else 3)


def a_bomb(filler: bytes, gib: int) -> Iterator[bytes]:
    """Members of gzip that make so many GiB of one byte, out of a thousandth of that."""
    return itertools.repeat(gzip.compress(filler * (64 * MIB)), 16 * gib)


@pytest.mark.slow
@pytest.mark.parametrize("filler", [b" ", b"[", b"\0", b"x"], ids=repr)
def test_a_gzip_bomb_of_4_gib_as_a_document(door: Door, filler: bytes) -> None:
    path = door.file("bomb.json", a_bomb(filler, 4))
    assert path.stat().st_size < 5 * MIB
    done = door.ingest("--max-document", 16 * MIB, path)
    assert (done.code, done.counts["read"], done.counts["refused"]) == (3, 1, 1)
    assert f"refused {path}: too_large: " in done.err
    # Under the usual limit, which is more than there is memory here.
    door.takes(path, [" unreadable"], good=0)


@pytest.mark.slow
def test_a_gzip_bomb_of_4_gib_as_a_line(door: Door) -> None:
    head, tail = (gzip.compress(text) for text in (b"\n".join([*GOOD, b""]), b"\n" + GOOD[0][:-1]))
    path = door.file("bomb.jsonl", itertools.chain([head], a_bomb(b"x", 4), [tail]))
    door.takes(path, [":3 too_large", ":4 syntax"], good=2)


@pytest.mark.longer
def test_a_gzip_bomb_of_empty_lines(door: Door) -> None:
    empty = gzip.compress(b"\n" * (64 * MIB))
    head, tail = (gzip.compress(text) for text in (b"\n".join([GOOD[0], b"7", b""]), GOOD[1]))
    lines = 64 * MIB
    path = door.file("before.jsonl", [empty, head, tail])
    done = door.ingest(path)
    assert (done.counts["appended"], done.counts["refused"]) == (2, 1)
    assert f"refused {path}:{lines + 2}: not_an_object" in done.err
    path = door.file("between.jsonl", [head, empty, tail])
    done = door.ingest(path)
    assert (done.counts["duplicates"], done.counts["refused"]) == (2, 1)
    path = door.file("only.jsonl", [empty])
    assert door.ingest(path).counts["read"] == 0
    # They are part of the document that they stand before.
    path = door.file("document.json", [empty, gzip.compress(GOOD[1])])
    done = door.ingest("--max-document", 64 * MIB, path)
    assert (done.code, done.counts["refused"]) == (3, 1)
    assert f"refused {path}: too_large" in done.err


def test_an_endless_device_that_is_named(door: Door) -> None:
    done = door.ingest("--max-document", MIB, "/dev/zero", "/dev/null")
    assert (done.code, done.counts["read"], done.counts["refused"]) == (3, 1, 1)
    assert "refused /dev/zero: too_large: " in done.err


# --- malformed text ----------------------------------------------------------------------------

TEXTS: dict[str, tuple[bytes, str]] = {
    "byte_order_mark": (b"\xef\xbb\xbf" + GOOD[1], "byte_order_mark"),
    "byte_order_mark_inside": (b" \xef\xbb\xbf" + GOOD[1], "syntax"),
    "utf_16_with_a_mark": (GOOD[1].decode().encode("utf-16"), "invalid_utf8"),
    "utf_16_little_endian": (GOOD[1].decode().encode("utf-16-le"), "syntax"),
    "utf_16_big_endian": (GOOD[1].decode().encode("utf-16-be"), "syntax"),
    "utf_32": (GOOD[1].decode().encode("utf-32"), "invalid_utf8"),
    "latin_1": (GOOD[1].replace(b"graph", b"gr\xe9ph"), "invalid_utf8"),
    "overlong_utf_8": (b'{"\xc0\xafa":1}', "invalid_utf8"),
    "surrogates_in_utf_8": (b'["\xed\xa0\x80"]', "invalid_utf8"),
    "nul_alone": (b"\0", "syntax"),
    "nul_in_a_string": (b'{"a":"\0"}', "syntax"),
    "nul_after_a_value": (GOOD[1] + b"\0", "trailing_data"),
    "a_torn_page_of_nul": (b"\0" * 4096, "syntax"),
    "nan": (b'{"a":NaN}', "non_finite_number"),
    "infinity": (b'{"a":-Infinity}', "non_finite_number"),
    "duplicate_name": (GOOD[1].replace(b"{", b'{"target":"graph",', 1), "duplicate_name"),
    "duplicate_name_escaped": (GOOD[1].replace(b"{", b'{"\\u0074arget":1,', 1), "duplicate_name"),
    "duplicate_name_deep_inside": (b'[[{"a":{"":1,"":1}}]]', "duplicate_name"),
    "lone_high_surrogate": (b'{"a":"\\ud800"}', "lone_surrogate"),
    "lone_low_surrogate": (b'{"a":"\\udfff"}', "lone_surrogate"),
    "surrogates_the_wrong_way_round": (b'{"a":"\\udc00\\ud800"}', "lone_surrogate"),
    "lone_surrogate_in_a_name": (b'{"\\udbff":0}', "lone_surrogate"),
    "raw_control_character": (b'{"a":"\x1b[2J"}', "syntax"),
    "two_values": (GOOD[1] + GOOD[1], "trailing_data"),
    "an_old_mac_line_end": (GOOD[1] + b"\r" + GOOD[1], "trailing_data"),
    "cut_off": (GOOD[1][:-1], "syntax"),
    "gzip_inside": (gzip.compress(GOOD[1], mtime=0).replace(b"\n", b""), "invalid_utf8"),
    "alias_on_no_day": (
        b'{"alias":{"pith_number":"%b","alias_kind":"a","alias_value":"b",'
        b'"created_at":"2026-02-30T00:00:00Z"}}' % PAPER.number.encode(),
        "bad_alias",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_line_of_(name: str, tmp_path: Path) -> None:
    text, reason = TEXTS[name]
    found = taken(tmp_path, b"\n".join([GOOD[0], text, GOOD[1], b""]))
    lines = text.count(b"\n") + 1
    assert (found["appended"], found["refused"]) == (2, [(n + 2, reason) for n in range(lines)])


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "gzip_inside"])
def test_a_document_of_(name: str, tmp_path: Path) -> None:
    text, reason = TEXTS[name]
    found = taken(tmp_path, text)
    assert (found["appended"], [one for _, one in found["refused"]]) == (0, [reason])


def taken(folder: Path, data: bytes) -> dict[str, Any]:
    """What a log made of the bytes of one source, through the library."""
    source = folder / "source"
    source.write_bytes(data)
    with LogWriter.open(folder / "log") as log:
        done = ingest_pieces(log, read_spans([source]), keyring=Keyring.from_bytes(KEYRING))
        with log.snapshot() as snapshot:
            refused = snapshot.refused()
    assert done.read == done.appended + done.duplicates + done.refused
    assert done.position == done.appended
    return {"appended": done.appended, "refused": [(row.line, row.reason) for row in refused]}


@pytest.mark.longer
def test_timestamps_that_are_none(door: Door) -> None:
    times = ("2026-02-30T00:00:00Z", "2026-06-01T00:00:60Z", "2026-06-01T24:00:00Z",
             "0000-01-01T00:00:00Z", "2026-06-01T00:00:00z", "２０２６-06-01T00:00:00Z", "9" * 9999,
             ESCAPES)  # fmt: skip
    events = [canonical(signed_event(created_at=time)) for time in times]
    done = door.takes(door.file("e.jsonl", [b"\n".join([*GOOD, *events])]), [], good=10)
    assert done.counts["invalid"] == len(times)
    done = program("replay", "--log", door.log, "--keyring", door.keyring)
    assert done.code == 0
    assert done.out.count(": invalid_timestamp: ") == len(times)
    for time in times[:6]:
        done = program("replay", "--log", door.log, "--as-of", time)
        assert (done.code, done.out) == (2, "")


# --- files and folders -------------------------------------------------------------------------


@pytest.mark.longer
def test_what_a_folder_may_hold_instead_of_files(door: Door) -> None:
    folder = door.folder / "sources"
    folder.mkdir()
    (folder / "good.json").write_bytes(GOOD[0])
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "ping.json").symlink_to("pong.json")
    (folder / "pong.json").symlink_to("ping.json")
    (folder / "upwards").symlink_to("..")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "stdin.json").symlink_to("/dev/stdin")
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket.json"))
        done = door.ingest(folder)
    assert (done.code, done.counts["appended"]) == (3, 1)
    named = ("loop", "ping", "pong", "pipe", "socket", "stdin", "upwards", "zero")
    assert done.counts["refused"] == len(named)
    for name in named:
        told = [line for line in done.err.splitlines() if f"{folder}/{name}" in line]
        assert len(told) == 1
        assert ": unreadable: " in told[0]
    for name in ("loop.json", "socket.json"):  # and where it is named itself
        done = door.ingest(folder / name)
        assert (done.code, done.counts["refused"]) == (3, 1)
        assert ": unreadable: " in done.err


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="the file is of Linux")
def test_a_file_that_opens_and_cannot_be_read(door: Door) -> None:
    trap = door.folder / "trap.json"
    trap.symlink_to("/proc/self/mem")
    done = door.ingest(trap, door.file("e.jsonl", [b"\n".join(GOOD)]))
    assert (done.code, done.counts["refused"], done.counts["appended"]) == (3, 1, 2)
    assert f"refused {trap}: unreadable: Input/output error" in done.err


# Root may read everything, unless it runs without these capabilities: then it owns its files, and
# what their modes deny is denied. The interpreter stays readable, wherever it lies.
AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may read everything, and setpriv is not installed",
)
@pytest.mark.parametrize("verb", [pytest.param("audit", marks=pytest.mark.longer), "ingest"])
def test_what_may_not_be_read_is_told_and_the_rest_is_taken(door: Door, verb: str) -> None:
    folder = door.folder / "sources"
    (folder / "inner").mkdir(parents=True)
    denied = [door.file("secret.json", [GOOD[0]]), folder / "a.json", folder / "inner"]
    denied[1].write_bytes(GOOD[0])
    (folder / "inner" / "c.json").write_bytes(GOOD[0])
    (folder / "b.json").write_bytes(GOOD[0])
    last = door.file("last.json", [GOOD[1]])
    for path in denied:
        path.chmod(0)
    arguments = (verb, "--json", "--keyring", door.keyring, denied[0], folder, last)
    log = ("--log", door.log) if verb == "ingest" else ()
    before = AS_ANYBODY if os.geteuid() == 0 else ()
    done = program(*arguments, *log, before=before)
    (folder / "inner").chmod(0o700)
    assert done.code == 3
    if verb == "ingest":
        assert (done.counts["refused"], done.counts["appended"]) == (3, 2)
        told = [f"refused {path}: unreadable: Permission denied" for path in denied]
        assert done.err.splitlines() == told
    else:
        findings = [json.loads(line) for line in done.out.splitlines()]
        unreadable = [one for one in findings if one["document"] == "unreadable"]
        assert [one["path"] for one in unreadable] == [str(path) for path in denied]
        events = [one["path"] for one in findings if one["document"] == "event"]
        assert set(events) == {str(folder / "b.json"), str(last)}


def changed_while_read(path: Path, change: Callable[[Path], object]) -> list[Piece | Unreadable]:
    """The pieces of a file to which something happens once its first lines were read."""
    spans = read_spans([path])
    first = next(spans)
    assert isinstance(first, Lines)
    change(path)
    found: list[Piece | Unreadable] = list(first.pieces())
    for span in spans:
        found += span.pieces() if isinstance(span, Lines) else [span]
    return found


def test_a_file_that_grows_while_it_is_read(door: Door) -> None:
    def grow(path: Path) -> None:
        with path.open("ab") as file:
            file.write((GOOD[1] + b"\n") * 10)

    path = door.file("e.jsonl", [(GOOD[0] + b"\n") * 4000])
    found = changed_while_read(path, grow)
    assert [piece.data for piece in found] == [GOOD[0]] * 4000 + [GOOD[1]] * 10  # type: ignore


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_while_it_is_read(door: Door, packed: bool) -> None:
    lines = [b'{"n":%d,"x":"%b"}' % (n, os.urandom(500).hex().encode()) for n in range(4000)]
    text = b"\n".join(lines)
    path = door.file("e.jsonl", [gzip.compress(text) if packed else text])
    *found, last = changed_while_read(path, lambda path: os.truncate(path, 3 * MIB // 2))
    assert 1000 < len(found) < 4000
    assert [piece.data for piece in found] == lines[: len(found)]  # type: ignore[union-attr]
    if packed:
        assert isinstance(last, Unreadable)
        assert last.reason == "unreadable"
        assert f"(after line {len(found)})" in last.detail
    else:
        assert isinstance(last, Piece)
        assert lines[len(found)].startswith(last.data)
    with LogWriter.open(door.log) as log:
        done = ingest_pieces(log, [*found, last], keyring=Keyring.from_bytes(KEYRING))
    assert done.read == done.refused == len(found) + 1


class Change(NamedTuple):
    """What happens to a file that is being read, and what is read of it then."""

    before: bytes
    change: Callable[[Path], object]
    read: int  # so many pieces, the torn one among them; 0 where a bound says how many
    appended: int
    refused: str  # the place and the reason, if something is


def appending(data: bytes) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with path.open("ab") as file:
            file.write(data)

    return change


def cutting(size: int) -> Callable[[Path], object]:
    return lambda path: os.truncate(path, size)


LINE = GOOD[0] + b"\n"
COUNT = MIB // len(LINE)
PRINTED = json.dumps(
    {"bundle_type": "pith_open_graph_bundle", "events": [json.loads(GOOD[0])] * 2000}, indent=1
).encode()
LIMIT = len(PRINTED) + MIB // 2
# More than a file of COUNT lines may grow to while it is read.
GROWN = 2 * len(LINE) * COUNT + LIMIT
CHANGES = {
    "lines_grow": Change(LINE * COUNT, appending(GOOD[1] + b"\n"), COUNT + 1, 2, ""),
    "lines_are_cut": Change(
        LINE * COUNT, cutting(len(LINE) * 400 + 9), 401, 1, ":401: syntax"
    ),
    "lines_grow_and_grow": Change(
        LINE * COUNT, appending(LINE * (GROWN // len(LINE))), 0, 1, ": it grows and grows"
    ),
    "a_document_grows": Change(PRINTED, appending(PRINTED[:1000]), 1, 0, " trailing_data"),
    "a_document_is_cut": Change(PRINTED, cutting(len(PRINTED) // 2), 1, 0, " syntax"),
    "a_document_grows_and_grows": Change(PRINTED, appending(b" " * LIMIT), 1, 0, " too_large"),
}  # fmt: skip


def held_while_it_reads(path: Path, change: Callable[[Path], object], *arguments: object) -> Done:
    """Run the program, which stands still, a little way into this file, while it is changed."""
    if reason := why_no_strace():
        pytest.skip(reason)
    trace = path.with_suffix(".trace")
    os.mkfifo(trace)
    # A read of blocks, after one of the beginning: neither is yet at the end.
    holds = ("-e", "trace=read", "-P", path, "-e", "inject=read:signal=SIGSTOP:when=2")
    size, seen = path.stat().st_size, 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            ["strace", "-f", "-o", trace, *holds, *command(*arguments)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=ENVIRONMENT,
        ) as process:
            changed = 0
            for line in trace.open():
                if not changed:
                    seen += sum(map(int, re.findall(r"^\d+ +read\(.* = (\d+)", line)))
                if "--- stopped by SIGSTOP ---" in line:
                    change(path)
                    os.kill(int(line.split()[0]), signal.SIGCONT)
                    changed += 1
        assert changed == 1
        assert 0 < seen < size
        out.seek(0)
        err.seek(0)
        return Done(process.returncode, shown(out.read()), shown(err.read()))


@pytest.mark.longer
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("verb", ["ingest", "audit"])
def test_the_program_reads_a_file_while_(name: str, verb: str, door: Door) -> None:
    """The verb takes what came by its reason, ends, and goes on to the next file."""
    before, change, read, appended, refused = CHANGES[name]
    place, _, reason = refused.partition(" ")
    path = door.file("changing.json", [before])
    last = door.file("last.json", [canonical(signed_event("record_created"))])
    more = ("--keyring", door.keyring, "--max-document", LIMIT, path, last)
    if verb == "ingest":
        done = held_while_it_reads(path, change, verb, "--log", door.log, "--json", *more)
        assert (done.counts["appended"], done.counts["refused"]) == (appended + 1, bool(refused))
        pieces = done.counts["read"]
        told = done.err.splitlines()
    else:
        done = held_while_it_reads(path, change, verb, "--json", *more)
        match = re.search(r"^documents: (\d+), unreadable: (\d+); ", done.err, re.MULTILINE)
        assert match
        assert match[2] == str(int(bool(refused)))
        pieces = int(match[1])
        findings = [json.loads(line) for line in done.out.splitlines()]
        found = [one for one in findings if one["document"] == "unreadable"]
        told = [f"{one['path']}: {one['detail']}" for one in found]
    assert done.code == (3 if refused else 0)
    assert len(told) == bool(refused)
    assert all(f"{path}{place}" in line and reason in line for line in told)
    if read:
        assert pieces == read + 1
    else:  # up to a bound, which is far from where the file ends
        assert COUNT < pieces <= GROWN // len(LINE) + 2


NAMES = (
    "-x.json",
    "--help.json",
    "a\nrefused b: unreadable.json",
    "\x1b[31m\r.json",
    "..;$(reboot) `reboot`.json",
    "\u202egpj.json",
    "%s%n{0}\\.json",
    os.fsdecode(b"\xff\xfe.json"),
)


@pytest.mark.parametrize("verb", ["ingest", "audit"])
def test_tricks_in_names_of_files(door: Door, verb: str) -> None:
    folder = door.folder / "sources"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(b'{"n":%d}' % number)
    verbs = {"ingest": ("ingest", "--log", door.log), "audit": ("audit",)}
    for paths in ([folder], ["--", *NAMES]):
        done = program(*verbs[verb], *paths, cwd=folder)
        assert done.code == 3
        text = done.out + done.err
        assert text.count("unknown_document") == len(NAMES)
        assert r"a\nrefused b: unreadable.json" in text
        assert r"\xff\xfe.json" in text.replace("\\\\", "\\")


def test_tricks_in_names_that_become_files(door: Door) -> None:
    """What a stranger names decides nothing about where `proof build` writes."""
    tricks = ("../../owned", "/owned", "x\0y", "con", "a" * 500)
    events = []
    for number, target in enumerate(tricks):
        for n in (1, 2):
            event = signed_event(
                "replication_record",
                target=f"replication:{target}",
                created_at=signing.at(number),
                **{"payload.n": n, "signer.further": target},
            )
            events.append(canonical(event))
    door.takes(door.file("e.jsonl", [b"\n".join(events)]), [], good=len(events))
    before = set(door.folder.rglob("*"))
    proofs = door.folder / "proofs"
    arguments = ("--log", door.log, "--keyring", door.keyring, "--out", proofs)
    done = program("proof", "build", PAPER.number, *arguments)
    assert done.code == 0
    made = set(door.folder.rglob("*")) - before - {proofs}
    assert len(made) == len(tricks)
    assert {path.parent for path in made} == {proofs}
    for path in made:
        assert path.name.replace("-", "").replace(".", "").replace("_", "").isalnum()


# --- what is printed ---------------------------------------------------------------------------


def escaped(value: Any) -> Any:
    """The value with ESCAPES in every string that is not needed to tell what it is, and a further
    member of that name in every object."""
    if isinstance(value, dict):
        kept = ("event_type", "state_type", "record_type", "bundle_type", "proof_type",
                "manifest_type", "subject_pith_number", "pith_number", "algorithm")  # fmt: skip
        inside = {name: value[name] if name in kept else escaped(value[name]) for name in value}
        return inside | {ESCAPES: ESCAPES}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value + ESCAPES if isinstance(value, str) else value


@pytest.mark.longer
def test_terminal_escapes_wherever_something_is_printed(door: Door, published: Path) -> None:
    two = [signed_event(**{"payload.n": n}) for n in (1, 2)]
    kind = {"event_type": ESCAPES, "target": ESCAPES}
    values: list[Json] = [
        *(escaped(json.loads(path.read_bytes())) for path in sorted(published.glob("*.json"))),
        escaped(signing.keyring_value()),
        escaped(signed_event()),
        escaped({"proof_type": "pith_equivocation_proof", "rule": "same_slot", "events": two}),
        escaped({"alias": {"pith_number": PAPER.number, "alias_kind": "", "created_at": ""}}),
        escaped({"manifest_type": "pith_mirror_manifest", "mirrors": [{"name": "", "links": {}}]}),
        signed_event() | kind,
        signed_event("replication_record", target=f"replication:{ESCAPES}"),
        {"subject_pith_number": ESCAPES},
        {ESCAPES: ESCAPES},
    ]
    files = []
    for number, value in enumerate(values):
        files.append(door.file(f"{number}.json", [canonical(value)]))
    broken = door.file("broken.jsonl", [rb'{"\u001b\u009b":1,"\u001b\u009b":2}' + b"\n"] * 3)
    word = door.file("word.json", ["[\x1b\x9bNul]".encode()])
    files += [broken, word]
    for more in ((), ("--json",), ("--keyring", door.keyring)):
        assert program("audit", *files, *more).code == 1
    assert program("audit", files[0], "--keyring", files[5]).code == 3
    assert door.ingest(*files).code == 3
    assert program("proof", "verify", *files).code == 1
    for assurance in ("verified", "stated"):
        arguments = ("--log", door.log, "--keyring", door.keyring, "--assurance", assurance)
        done = program("replay", *arguments, f"--expect={files[4]}", "--expect", files[-1])
        assert done.code == 1
        assert done.out.count("invalid") > 1
        assert program("state", PAPER.number, *arguments, "--pretty").code == 0
    for arguments in (
        ("replay", "--log", ESCAPES.replace("\0", "")),
        ("state", "--log", door.log, ESCAPES.replace("\0", "")),
        (ESCAPES.replace("\0", ""),),
        ("audit", "--" + ESCAPES.replace("\0", "")),
    ):
        assert program(*arguments).code in (2, 4)


@pytest.mark.longer
def test_terminal_escapes_in_a_log_that_every_verb_reads(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, and without the colours that the program itself sets."""
    monkeypatch.setenv("NO_COLOR", "1")
    folder = door.folder
    build(folder / "damaged")
    # Events that count and that do not, with whatever a signer may write; papers and aliases too.
    extra = {"further": ESCAPES, "payload.further": {ESCAPES: [ESCAPES]}}
    values: list[Json] = [
        *(signed_event(kind, **extra) for kind in signing.SIGNERS),
        *(signed_event(created_at=signing.at(9), **{"payload.n": ESCAPES + n}) for n in "ab"),
        *(signed_event(created_at=ESCAPES + n, event_type=ESCAPES, target=ESCAPES) for n in "ab"),
        signed_event("replication_record", target=f"replication:{ESCAPES}", **extra),
        signed_event(**{f"signer.{name}": ESCAPES for name in ("key_id", "signer_id")}),
        escaped({"alias": {"pith_number": PAPER.number, "alias_kind": "doi", "alias_value": "10.1/",
                           "created_at": signing.at(1)}}),
    ]  # fmt: skip
    values[-1]["alias"] = {name: value for name, value in values[-1]["alias"].items()
                           if name != ESCAPES} | {"created_at": signing.at(1)}  # fmt: skip
    with LogWriter.open(folder / "damaged") as log:
        pieces = [Piece("more" + ESCAPES, n, canonical(v)) for n, v in enumerate(values, 1)]
        ingest_pieces(log, [*pieces, Piece(ESCAPES, 1, b"7")], keyring=Keyring.from_bytes(KEYRING))
    lay_for_verbs(folder)
    other = door.file("other.jsonl", [canonical(value) + b"\n" for value in values[:3]])
    log, ring = ("--log", folder / "damaged"), ("--keyring", folder / "ring.json")
    more: list[tuple[object, ...]] = [
        ("diff", folder / "damaged", other, *ring),
        ("resolve", *log, *ring, "10.1/" + ESCAPES, ESCAPES),
    ]
    printed: Counter[object] = Counter()

    def run_each(commands: Iterable[tuple[object, ...]]) -> None:
        for verb in commands:
            done = in_process(*verb, stream=Terminal)  # which looks at what is printed
            assert done.code in (0, 1, 2, 3, 4), (verb, done)
            printed[verb[0]] += (done.out + done.err).count("owned")

    run_each([*more, *verbs(folder)])
    assert {"bundle", "explain", "export", "log", "replay", "resolve", "stat", "state"} <= {
        verb for verb in printed if printed[verb]
    }
    # And where rows are damaged in such a way.
    shutil.rmtree(folder / "copy")
    patient = Patient(folder / "damaged")
    for table in patient.rows:
        changed = [(key, value.replace(b'"', b'"\x1b[2J\xc2\x9bowned', 9))
                   for key, value in patient.rows[table]]  # fmt: skip
        if table != b"meta":
            patient.keep(Damage(table, tuple(changed), "escapes"))
    patient.close()
    assert in_process("fsck", *log, *ring, stream=Terminal).code == 4
    run_each([*more, *verbs(folder)])


# --- a million events --------------------------------------------------------------------------


def junk(subjects: Iterable[str]) -> Iterator[bytes]:
    """Events of one key whose ids do not recompute, one about each subject, all of one slot."""
    event = signed_event(payload={"n": "N"}, subject_pith_number="SUBJECT")
    before, between, after = canonical(event).replace(b"SUBJECT", b"N").split(b'"N"')
    for number, subject in enumerate(subjects):
        yield b'%b"%d"%b"%b"%b\n' % (before, number, between, subject.encode(), after)


def many_papers(count: int) -> Iterator[str]:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    for name in itertools.islice(itertools.product(letters, repeat=4), count):
        yield f"pith:2024:{'A' * 22}{''.join(name)}"


@pytest.mark.slow
def test_a_million_events_by_one_key(door: Door) -> None:
    path = door.file("e.jsonl", junk(many_papers(10**6)))
    done = door.ingest(path, memory=8192 * MIB)  # most of it is the log's map
    counts = done.counts
    assert (done.code, done.err) == (0, "")
    assert counts["read"] == counts["appended"] == counts["invalid"] == counts["papers"] == 10**6
    done = program("replay", "--log", door.log, "--json", memory=8192 * MIB)
    assert (done.code, done.out.count('"event_count": 1,')) == (0, 10**6)


@pytest.mark.slow
def test_a_million_events_in_one_slot_through_the_door(door: Door) -> None:
    path = door.file("e.jsonl", junk(itertools.repeat(PAPER.number, 10**6)))
    done = door.ingest(path, memory=512 * MIB)
    assert done.code == 3
    assert done.counts["read"] == 10**6
    assert done.counts["appended"] == done.counts["position"] == QUOTA
    assert f"refused {10**6 - QUOTA} events: quota: " in done.err
    with LogWriter.open(door.log) as log, log.snapshot() as snapshot:
        assert len(snapshot.refused()) == REFUSED_ROWS
    assert (door.log / "data.mdb").stat().st_size < 32 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["one slot", "slots of one second"])
def test_many_valid_events_by_one_key_about_one_paper(door: Door, shape: str) -> None:
    """The quota is for what is not authentic: all of these go in, and the merge takes all."""
    path = door.file("e.jsonl", (line + b"\n" for line in SHAPES[shape].lines(VALID)))
    done = door.ingest(path, memory=8192 * MIB)
    assert (done.code, done.err) == (0, "")
    counts = {"read": VALID, "appended": VALID, "invalid": 0, "papers": 1, "position": VALID}
    assert done.counts | counts == done.counts
    log = ("--log", door.log, "--keyring", door.keyring)
    done = program("replay", *log, "--json", memory=8192 * MIB)
    assert done.code == 0
    (paper,) = map(json.loads, done.out.splitlines())
    equivocations = SHAPES[shape].equivocations
    counts = {
        "event_count": VALID,
        "valid_event_count": VALID,
        "invalid_event_count": 0,
        "equivocation_count": equivocations,
    }
    assert paper | counts == paper
    done = program("state", PAPER.number, *log, memory=8192 * MIB)
    state = json.loads(done.out)
    assert (done.code, state["state_sha256"]) == (0, paper["state_sha256"])
    assert len(state["applied_event_ids"]) == (VALID if SHAPES[shape].is_applied else 0)
    assert [len(row["event_ids"]) for row in state["equivocations"]] == [VALID] * equivocations


def judged_valid(count: int, *, one_slot: bool) -> list[Judged]:
    """So many events of one key, as if they had verified: all in one slot, or each in its own."""
    event = signed_event(payload={}, target="TARGET", previous_event_id=signing.some_id("x"))
    text = canonical(event).replace(event["event_id"].encode(), b"sha256:%064x")
    text = text.replace(b"TARGET", b"graph" if one_slot else b"%064x")
    verdict = Verdict(None, "", stated=False)
    return [
        Judged(Event.from_bytes(text % ((n,) if one_slot else (n, n))), verdict)
        for n in range(count)
    ]


def calls_of_merging(judged: list[Judged]) -> int:
    """How many functions, of Python and of C, merging calls: its work, on any machine, but for that
    of operators. `test_growth` sees that, and takes longer."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        state = merge(PAPER.number, judged, [], "0" * 64, VERIFIED)
    finally:
        sys.setprofile(None)
    assert state.valid_event_count == len(judged)
    return calls


@pytest.mark.parametrize("one_slot", [True, False])
def test_the_work_of_a_slot_and_of_a_key_is_no_square(one_slot: bool) -> None:
    few, many = (calls_of_merging(judged_valid(n, one_slot=one_slot)) for n in (300, 3000))
    assert 3000 < many < 11 * few


# --- any bytes at all ----------------------------------------------------------------------------


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def in_process(*arguments: object, stream: type[io.TextIOWrapper] = io.TextIOWrapper) -> Done:
    """Run the program here; whatever it raises but its exit is raised."""
    streams = [stream(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with (
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        pytest.raises(SystemExit) as exit_,
    ):
        main([str(argument) for argument in arguments])
    printed = []
    for one in streams:
        one.flush()
        printed.append(shown(one.buffer.getvalue()))  # type: ignore[attr-defined]
    assert isinstance(exit_.value.code, int)
    return Done(exit_.value.code, *printed)


SEEDS = [
    *GOOD,
    *(text for text, _ in TEXTS.values()),
    canonical(signed_event("record_created")),
    canonical({"alias": {"pith_number": PAPER.number, "alias_kind": "a", "alias_value": "b",
                         "created_at": signing.at(1)}}),
    canonical({"pith_number": PAPER.number, "source_aliases": [{}]}),
    canonical({"state_type": "pith_open_graph_state", "pith_number": PAPER.number,
               "current": {"corrections": [{}], "source_aliases": 1}}),
    canonical({"bundle_type": "pith_open_graph_bundle", "events": [signed_event(), 1]}),
    canonical([signed_event(), [], {"keys": []}]),
    json.dumps(signed_event(), indent=1).encode(),
]  # fmt: skip
TOKENS = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\0", b"\x1b", b"\xff",
          b"1e9", b"-", b"null", b"\\ud800", b"\xef\xbb\xbf", b"\x1f\x8b",
          b"99999999999999999999"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        new = draw(st.sampled_from(TOKENS) | st.binary(max_size=3))
        text = text[:start] + new + text[start + draw(st.integers(0, 8)) :]
    return text


@st.composite
def sources(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(mutated() | st.binary(max_size=40), max_size=6))
    data = draw(st.sampled_from([b"\n", b"", b"\n\n", b"\r\n"])).join(parts)
    if draw(st.booleans()):
        data = gzip.compress(data, mtime=0)
        data = data[: draw(st.integers(len(data) // 2, 2 * len(data)))]
    return data


def assert_counted(data: bytes) -> None:
    """Ingest ends in counted outcomes, audit in findings, and both with a code of SPEC §11."""
    with tempfile.TemporaryDirectory() as folder:
        door = Door(Path(folder))
        source = door.file("source", [data])
        keyring = ("--keyring", door.keyring)
        ingest = ("ingest", "--log", door.log, source, *keyring, "--json", "--workers", 0)
        first, again = in_process(*ingest), in_process(*ingest)
        for done in (first, again):
            assert done.code == (3 if done.counts["refused"] else 0)
            told = [line.split(": ") for line in done.err.splitlines()]
            assert len(told) == done.counts["refused"]
            assert all(line[1] in DECODE_REASONS.keys() | REFUSAL_REASONS.keys() for line in told)
        assert first.err == again.err
        assert again.counts["appended"] == 0
        assert again.counts["position"] == first.counts["position"] == first.counts["appended"]
        audited = in_process("audit", source, *keyring, "--json")
        findings = [json.loads(line) for line in audited.out.splitlines()]
        statuses = {one["status"] for one in findings if one["document"] != "unreadable"}
        unreadable = any(one["document"] == "unreadable" for one in findings)
        assert audited.code == (1 if "fail" in statuses else 3 if unreadable else 0)
        for assurance in ("verified", "stated"):
            replay = ("replay", "--log", door.log, *keyring, "--json", "--assurance", assurance)
            done = in_process(*replay)
            assert done.code == 0
            events = sum(json.loads(line)["event_count"] for line in done.out.splitlines())
            assert events <= first.counts["appended"]


@settings(max_examples=60)
@given(sources())
def test_any_bytes_end_in_counted_outcomes(data: bytes) -> None:
    assert_counted(data)


@pytest.mark.slow
@settings(max_examples=3000)
@given(sources())
def test_many_bytes_end_in_counted_outcomes(data: bytes) -> None:
    assert_counted(data)
