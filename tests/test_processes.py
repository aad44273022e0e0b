"""Many processes at one log: one writer, many readers, forks, and what is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from histories import KEYRING
from pithgraph.cli import main
from pithgraph.errors import LogError
from pithgraph.identifiers import parse_pith_number
from pithgraph.ingestion import Ingested, ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, mounts, remote_file_system
from pithgraph.log.reader import MAX_READERS
from pithgraph.replaying import replay
from pithgraph.sources import Piece
from signing import PAPER, Json, canonical, signed_event

RING = Keyring.from_value(KEYRING)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
}


def events(count: int, start: int = 0, size: int = 0) -> list[Json]:
    return [
        signed_event(
            "replication_record",
            target=f"replication:{number}",
            **{"payload.ballast": "x" * size},
        )
        for number in range(start, start + count)
    ]


def put(log: LogWriter, values: list[Json]) -> Ingested:
    pieces = [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]
    return ingest_pieces(log, pieces, keyring=RING)


def elsewhere(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process with the package; it may talk to us over its pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def in_a_child(work: Callable[[], None]) -> int:
    """How often `LogError` was raised, as the exit code of a forked process."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except LogError as error:
            os._exit(1 if "opened before a fork" in str(error) else 2)
        except BaseException:  # noqa: BLE001 - whatever it is, the test must not go on twice
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- one writer ------------------------------------------------------------------------------

HOLD = """
    import sys
    from pithgraph.log import LogWriter
    from test_processes import events, put
    with LogWriter.open(sys.argv[1]) as log:
        put(log, events(3))
        print("open", flush=True)
        sys.stdin.readline()
"""


def test_the_verb_tells_a_second_writer_who_writes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with elsewhere(HOLD, tmp_path) as holder:
        assert said(holder) == "open"
        with pytest.raises(SystemExit) as exited:
            main(["ingest", "--log", str(tmp_path), os.devnull])
        assert exited.value.code == 4
        assert f"process {holder.pid} is writing to this log" in capfd.readouterr().err
        holder.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_killed_writer_the_next_opens_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    with elsewhere(HOLD, tmp_path) as holder:
        assert said(holder) == "open"
        holder.send_signal(number)
        holder.wait()
        with LogWriter.open(tmp_path) as log:
            assert put(log, events(5)).position == 5


FORKS = """
    import os, sys, time
    from pithgraph.log import LogWriter
    log = LogWriter.open(sys.argv[1])
    child = os.fork()
    if not child:
        print("forked", os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    sys.stdin.readline()
"""


def test_a_killed_writers_child_keeps_nobody_out(tmp_path: Path) -> None:
    with elsewhere(FORKS, tmp_path) as writer:
        word, child = said(writer).split()
        assert word == "forked"
        try:
            with pytest.raises(LogError, match=f"process {writer.pid} is writing"):
                LogWriter.open(tmp_path)
            writer.kill()
            writer.wait()
            with LogWriter.open(tmp_path) as log:
                assert put(log, events(1)).position == 1
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_writers_child_does_not_let_another_in(tmp_path: Path) -> None:
    """Closing the log in a child gives the parent's lock to nobody."""
    with LogWriter.open(tmp_path) as log:
        assert in_a_child(log.close) == 0
        with elsewhere("""
            import sys
            from pithgraph.errors import LogError
            from pithgraph.log import LogWriter
            try:
                LogWriter.open(sys.argv[1])
            except LogError as error:
                print(error)
        """, tmp_path) as other:  # fmt: skip
            assert f"process {os.getpid()} is writing" in said(other)
        assert put(log, events(1)).appended == 1


# --- readers ---------------------------------------------------------------------------------

READ = """
    import sys
    from pithgraph.log import Log
    with Log.open(sys.argv[1]) as log:
        print("open", flush=True)
        sizes = []
        for _ in range(20):
            with log.snapshot() as snapshot:
                stored = [one.event.value["target"] for one in snapshot.events_from(0)]
                assert stored == [f"replication:{number}" for number in range(snapshot.size)]
                assert len(stored) % 5 == 0
                sizes.append(snapshot.size)
        sys.stdin.readline()
        with log.snapshot() as snapshot:
            assert sizes == sorted(sizes)
            print(snapshot.size, snapshot.root().hex(), flush=True)
"""


@pytest.mark.longer
def test_fifty_readers_beside_a_writer(tmp_path: Path) -> None:
    with ExitStack() as stack:
        log = stack.enter_context(LogWriter.open(tmp_path, map_bytes=2**16))
        put(log, events(5))
        readers = [stack.enter_context(elsewhere(READ, tmp_path)) for _ in range(50)]
        for start in range(5, 300, 5):
            put(log, events(5, start))
        assert {said(reader) for reader in readers} == {"open"}
        with log.snapshot() as snapshot:
            expected = f"{snapshot.size} {snapshot.root().hex()}"
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("\n")
            reader.stdin.flush()
        assert {said(reader) for reader in readers} == {expected}
        assert expected.startswith("300 ")
        for reader in readers:
            reader.communicate()
            assert reader.returncode == 0


VIEW = """
    import sys
    from pithgraph.log import Log
    with Log.open(sys.argv[1]) as log, log.snapshot() as snapshot:
        print(snapshot.size, flush=True)
        sys.stdin.readline()
"""


def grown(folder: Path, start: int) -> int:
    """How many bytes of the file fifty appends use that change much and keep little."""
    with LogWriter.open(folder) as log:
        before = log._environment.info()["last_pgno"]
        for number in range(start, start + 50):
            put(log, events(1, number))
        return int(log._environment.info()["last_pgno"]) - int(before)


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_readers_view_does_not_keep_the_file_growing(tmp_path: Path, killed: bool) -> None:
    """Beside a view that is held, every append takes new pages: so the test sees a difference."""
    grown(tmp_path, 0)
    with elsewhere(VIEW, tmp_path) as reader:
        assert said(reader) == "50"
        if killed:
            reader.kill()
            reader.wait()
        pages = grown(tmp_path, 50)
        reader.kill()
    assert pages < 50 if killed else pages > 200


FILL = """
    import sys
    from pithgraph.errors import LogError
    from pithgraph.log import Log
    views = []
    with Log.open(sys.argv[1]) as log:
        try:
            while True:
                view = log.snapshot()
                view.__enter__()
                views.append(view)
        except LogError:
            print(len(views), flush=True)
        views.pop().__exit__(None, None, None)
        with log._environment.begin():
            print("one short", flush=True)
            sys.stdin.readline()
"""


def stat(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pithgraph", "stat", "--log", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


@pytest.mark.longer
def test_a_killed_readers_views_leave_room_for_the_next_reader(tmp_path: Path) -> None:
    """Beside one that reads on: where there is none, LMDB itself begins a new table. One line of
    the table is left, with which a log can be opened; a view takes two."""
    with LogWriter.open(tmp_path) as log:
        put(log, events(3))
    with elsewhere(VIEW, tmp_path) as living:
        assert said(living) == "3"
        with elsewhere(FILL, tmp_path) as full:
            assert said(full) == str(MAX_READERS // 2 - 1)
            assert said(full) == "one short"
            done = stat(tmp_path)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
            assert f"{MAX_READERS // 2} views of the log are open" in done.stderr
            full.kill()
        done = stat(tmp_path)
        assert done.returncode == 0, done.stderr
        living.kill()


# --- forks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("opener", [Log.open, LogWriter.open])
def test_a_child_that_uses_its_parents_log_is_told(
    tmp_path: Path, opener: Callable[[Path], Log]
) -> None:
    with LogWriter.open(tmp_path) as writer:
        put(writer, events(3))
    paper = parse_pith_number(PAPER.number)
    with opener(tmp_path) as log, log.snapshot() as snapshot:
        replayed = replay(log, keyring=RING)
        uses: list[Callable[[], object]] = [
            lambda: log.has(bytes(32)),
            lambda: list(replay(log, keyring=RING)),
            lambda: next(replayed),
            lambda: snapshot.size,
            lambda: snapshot.id,
            lambda: snapshot.root(),
            lambda: snapshot.event_at(0),
            lambda: list(snapshot.events_of(paper)),
            lambda: list(snapshot.papers_indexed()),
            lambda: list(snapshot.rows(b"events")),
            lambda: list(snapshot.aliases_of(paper)),
        ]
        if isinstance(log, LogWriter):
            uses.append(lambda log=log: put(log, events(4)))  # type: ignore[misc]
            uses.append(lambda log=log: log.append([]))  # type: ignore[misc]
        assert [in_a_child(use) for use in uses] == [1] * len(uses)  # type: ignore[arg-type]
        # The parent goes on.
        assert snapshot.size == 3
        assert next(replayed).valid_event_count == 3


def test_a_child_takes_nothing_from_its_parents_view(tmp_path: Path) -> None:
    """Whatever the child ends or forgets, no page of the parent's view is given away."""
    grown(tmp_path, 0)
    with Log.open(tmp_path) as log, ExitStack() as views:
        snapshot = views.enter_context(log.snapshot())
        before = log._environment.readers()
        assert in_a_child(views.close) == 0
        assert in_a_child(log.close) == 0
        assert log._environment.readers() == before
        assert snapshot.size == 50


def test_a_child_that_ends_as_usual_takes_nothing_either(tmp_path: Path) -> None:
    grown(tmp_path, 0)
    code = """
        import os, sys
        from pithgraph.log import Log
        log = Log.open(sys.argv[1])
        with log.snapshot() as snapshot:
            before = log._environment.readers()
            if not (child := os.fork()):
                sys.exit(7)  # leaves the view, and then everything is forgotten
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), before == log._environment.readers())
            print(before.count(str(os.getpid())), flush=True)
    """
    with elsewhere(code, tmp_path) as parent:
        assert said(parent) == "7 True"
        assert said(parent) == "2"


def test_a_child_opens_a_log_that_its_parent_has_not_open(tmp_path: Path) -> None:
    """The lmdb package opens a file once in a process, and a child is the same one to it."""
    with LogWriter.open(tmp_path) as writer:
        put(writer, events(3))

    def read() -> None:
        with Log.open(tmp_path) as anew, anew.snapshot() as snapshot:
            assert snapshot.size == 3

    assert in_a_child(read) == 0
    with Log.open(tmp_path) as log, log.snapshot() as snapshot:
        assert in_a_child(read) == 2
        assert snapshot.size == 3


# --- threads ---------------------------------------------------------------------------------


@pytest.mark.longer
def test_threads_read_at_once_while_the_log_grows_elsewhere(tmp_path: Path) -> None:
    grow = """
        import sys
        from pithgraph.log import LogWriter
        from test_processes import events, put
        with LogWriter.open(sys.argv[1], map_bytes=2**16) as log:
            put(log, events(5))
            print("open", flush=True)
            sys.stdin.readline()
            for start in range(5, 100, 5):
                put(log, events(5, start, size=20_000))
        print("done", flush=True)
    """
    failed: list[BaseException] = []
    ended = threading.Event()

    def read(log: Log) -> None:
        try:
            while not ended.is_set():
                with log.snapshot() as snapshot:
                    size = snapshot.size
                    assert len(list(snapshot.events_from(0))) == size
                    assert snapshot.size == size
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    with elsewhere(grow, tmp_path) as writer:
        assert said(writer) == "open"
        with Log.open(tmp_path) as log, log.snapshot() as held:
            threads = [threading.Thread(target=read, args=(log,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
            word = said(writer)
            with log.snapshot() as snapshot:
                size = snapshot.size
            ended.set()
            for thread in threads:
                thread.join()
            # A view that was there before the map grew is there still.
            assert (held.size, len(list(held.events_from(0)))) == (5, 5)
    assert (word, size, failed) == ("done", 100, [])


def test_a_reader_opens_where_addresses_are_limited(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path) as log:
        put(log, events(3))
    code = """
        import resource, sys
        from pithgraph.log import Log
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
        with Log.open(sys.argv[1]) as log, log.snapshot() as snapshot:
            print(snapshot.size, log._environment.info()["map_size"] < 2**31)
    """
    with elsewhere(code, tmp_path) as reader:
        assert said(reader) == "3 True"


# --- file systems ----------------------------------------------------------------------------

MOUNTS = r"""
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
user@host: /mnt/my\040logs fuse.sshfs rw 0 0
//server/share /mnt/share cifs rw 0 0
server:/old /mnt/over nfs rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", None),
        ("/var/log", None),
        ("/home", "nfs4"),
        ("/home/me/log", "nfs4"),
        ("/home/../home/me/log", "nfs4"),
        ("/homes/me/log", None),
        ("/home/local/log", None),
        ("/home/locals/log", "nfs4"),
        ("/mnt/my logs/log", "fuse.sshfs"),
        ("/mnt/share", "cifs"),
        ("/mnt/over/log", None),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str | None, tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert remote_file_system(path, table) == kind


def test_a_link_leads_to_the_file_system_of_its_target(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    (tmp_path / "link").symlink_to("/home/me")
    assert remote_file_system(tmp_path / "link" / "log", table) == "nfs4"
    assert remote_file_system("/home/me", tmp_path / "no table") is None


@pytest.mark.parametrize("verb", ["ingest", "replay", "state"])
def test_the_verbs_warn_once_and_go_on(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with LogWriter.open(tmp_path / "log") as log:
        put(log, events(1))
    table = tmp_path / "mounts"
    table.write_text(f"server:/ {os.path.realpath(tmp_path)} nfs rw 0 0\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    rest = {"ingest": [os.devnull], "replay": [], "state": [PAPER.number]}[verb]
    with pytest.raises(SystemExit) as exited:
        main([verb, "--log", str(tmp_path / "log"), *rest])
    assert exited.value.code == 0
    error = capfd.readouterr().err
    assert error.count(f"warning: {tmp_path / 'log'} is on nfs: ") == 1
