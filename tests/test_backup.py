"""A backup is a whole log of one moment, or there is none."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

import faulting
from faulting import Act, Rename, Report, Sync, Write
from histories import KEYRING, fixed_histories
from pithgraph.backup import Backup, backup
from pithgraph.errors import BackupError, LogError
from pithgraph.fsck import Fsck
from pithgraph.ingestion import ingest_pieces
from pithgraph.keyring import Keyring
from pithgraph.log import Log, LogWriter, layout
from pithgraph.log.reader import DATA_FILE
from pithgraph.merkle import EMPTY_ROOT
from pithgraph.replaying import current_state, find_paper, replay
from pithgraph.sources import Piece
from signing import PAPER, Json, canonical, signed_event

RING = Keyring.from_value(KEYRING)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
}


def events(count: int, start: int = 0) -> list[Json]:
    return [
        signed_event("replication_record", target=f"replication:{number}")
        for number in range(start, start + count)
    ]


def fill(folder: Path, values: list[Json], *, map_bytes: int = 2**20) -> None:
    pieces = [Piece("test", number, canonical(value)) for number, value in enumerate(values, 1)]
    with LogWriter.open(folder, map_bytes=map_bytes) as log:
        ingest_pieces(log, pieces, keyring=RING)


def states(folder: Path, at: int | None = None) -> list[bytes]:
    with Log.open(folder) as log:
        return [state.canonical for state in replay(log, keyring=RING, at=at)]


def rows(folder: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    with Log.open(folder) as log, log.snapshot() as snapshot:
        return {table: list(snapshot.rows(table)) for table in layout.TABLES}


def elsewhere(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    fill(tmp_path / "log", [event for one in fixed_histories(40) for event in one.events])
    return tmp_path / "log"


@pytest.mark.parametrize("compact", [False, True])
def test_a_backup_holds_the_same(log: Path, tmp_path: Path, compact: bool) -> None:
    with LogWriter.open(log) as writer:  # a cached state goes along
        current_state(writer, find_paper(writer, PAPER.number), keyring=RING)
    (log / "writer.lock").chmod(0o640)
    log.chmod(0o750)
    with Log.open(log) as opened:
        told: list[int] = []
        made = backup(
            opened, tmp_path / "copy", compact=compact, keyring=RING, progress=told.append
        )
        with opened.snapshot() as snapshot:
            assert (made.events, made.papers) == (snapshot.size, snapshot.paper_count)
            assert made.root == snapshot.root()
    assert rows(tmp_path / "copy") == rows(log)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o750
    assert made.file_bytes == (tmp_path / "copy" / "data.mdb").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "log"]
    assert list(Fsck(tmp_path / "copy", keyring=RING)) == []
    # It is a log like any other.
    fill(tmp_path / "copy", events(1))
    assert len(states(tmp_path / "copy")) == len(states(log))


def test_only_the_data_are_copied(log: Path, tmp_path: Path) -> None:
    with Log.open(log) as opened:
        backup(opened, tmp_path / "copy", keyring=RING)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["data.mdb"]


def test_a_compact_backup_is_smaller_where_pages_are_free(tmp_path: Path) -> None:
    for start in range(0, 60, 2):  # many transactions leave free pages
        fill(tmp_path / "log", events(2, start))
    with Log.open(tmp_path / "log") as opened:
        plain = backup(opened, tmp_path / "plain", keyring=RING)
        compact = backup(opened, tmp_path / "compact", compact=True, keyring=RING)
    assert compact.file_bytes < plain.file_bytes
    assert rows(tmp_path / "compact") == rows(tmp_path / "plain")


def test_an_empty_log_and_one_that_this_process_writes(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path / "log") as writer:
        assert backup(writer, tmp_path / "empty", keyring=RING)[3] == EMPTY_ROOT
        ingest_pieces(writer, [Piece("test", 1, canonical(events(1)[0]))], keyring=RING)
        with writer.snapshot():
            assert backup(writer, tmp_path / "one", keyring=RING).events == 1


WRITE = """
    import sys
    from pathlib import Path
    from test_backup import events, fill
    for start in range(0, 10**6, 7):
        fill(Path(sys.argv[1]), events(7, start), map_bytes=2**16)
        if start == 70:
            print("writing", flush=True)
"""


@pytest.mark.longer
@pytest.mark.parametrize("compact", [False, True])
def test_a_backup_beside_a_writer_is_what_the_log_was(tmp_path: Path, compact: bool) -> None:
    log = tmp_path / "log"
    with elsewhere(WRITE, log) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        made: list[Backup] = []
        with Log.open(log) as opened:  # and follows it, while the map grows
            # The writer may have no turn for a while.
            while len(made) < 4 or made[0].events == made[-1].events:
                to = tmp_path / f"{len(made)}"
                made.append(backup(opened, to, compact=compact, keyring=RING))
        writer.kill()
    with Log.open(log) as opened, opened.snapshot() as snapshot:
        assert snapshot.size >= made[-1].events
        assert [snapshot.root(one.events) for one in made] == [one.root for one in made]
    for number, one in enumerate(made):
        assert one.events % 7 == 0
        assert states(tmp_path / f"{number}") == states(log, one.events)


# --- what fails leaves nothing ---------------------------------------------------------------


def test_what_is_there_is_not_overwritten(log: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    with Log.open(log) as opened:
        for name in ("folder", "dangling", "log"):
            with pytest.raises(BackupError, match="is there already"):
                backup(opened, tmp_path / name, keyring=RING)
        with pytest.raises(BackupError, match="No such file or directory"):
            backup(opened, tmp_path / "no" / "where", keyring=RING)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_backup_whose_folder_cannot_be_synced_is_there_and_said_to_be(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing = sys.modules[backup.__module__]._sync

    def fail(folder: Path) -> None:
        if folder == tmp_path:
            raise OSError(5, "Input/output error")
        syncing(folder)

    monkeypatch.setattr(sys.modules[backup.__module__], "_sync", fail)
    with Log.open(log) as opened, pytest.raises(BackupError, match="copy is there, and holds"):
        backup(opened, tmp_path / "copy", keyring=RING)
    assert list(Fsck(tmp_path / "copy", keyring=RING)) == []


def test_a_name_may_be_as_long_as_the_system_takes(log: Path, tmp_path: Path) -> None:
    name = "ü" * 127 + "x"
    with Log.open(log) as opened:
        backup(opened, tmp_path / name, keyring=RING)
    assert {*os.listdir(tmp_path)} == {"log", name}


def cut(table: bytes) -> Callable[[Path], None]:
    """Removes the last row of a table."""

    def damage(log: Path) -> None:
        with lmdb.open(os.fspath(log), max_dbs=20) as environment:
            database = environment.open_db(table, create=False)
            with environment.begin(write=True, db=database) as transaction:
                cursor = transaction.cursor()
                assert cursor.last()
                assert cursor.delete()

    return damage


def overwrite_a_page(log: Path) -> None:
    with open(log / "data.mdb", "r+b") as file:
        for page in range(4, log.joinpath("data.mdb").stat().st_size // 4096):
            file.seek(4096 * page)
            if file.read(8) == page.to_bytes(8, "little"):
                file.seek(4096 * page + 8)
                file.write(b"\xff" * 60)


DAMAGES = [cut(b"by_digest"), cut(b"tiles"), cut(b"events"), cut(b"papers"), overwrite_a_page]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pithgraph", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_is_not_backed_up(
    log: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(log)
    done = run("backup", "--log", log, tmp_path / "copy")
    assert done.returncode == 4, done
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_the_copy_must_be_of_this_log(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "other", events(3))

    def copy_to(_: Log, file: int, **__: object) -> None:
        os.write(file, (tmp_path / "other" / "data.mdb").read_bytes())

    monkeypatch.setattr(Log, "copy_to", copy_to)
    with Log.open(log) as opened, pytest.raises(LogError, match="another Merkle root"):
        backup(opened, tmp_path / "copy", keyring=RING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "other"]


LIMITED = """
    import resource, sys
    from pithgraph.cli import main
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    main(sys.argv[1:])
"""


@pytest.mark.parametrize("options", [(), ("--compact",)])
def test_a_file_that_finds_no_room_is_told_and_not_left(
    log: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A limit of the process stands for a full disk: LMDB meets both as it writes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
    with elsewhere(LIMITED, "backup", "--log", log, tmp_path / "copy", *options) as process:
        _, error = process.communicate()
    assert process.returncode == 3
    assert "cannot be copied" in error
    assert "File too large" in error
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


SLOW = """
    import sys, time
    import pithgraph.backup
    step = sys.argv.pop(1)
    right = getattr(pithgraph.backup, step)
    def slowly(*arguments):
        print("there", flush=True)
        time.sleep(60)
    setattr(pithgraph.backup, step, slowly)
    from pithgraph.cli import main
    main(sys.argv[1:])
"""


@pytest.mark.longer
@pytest.mark.parametrize(
    ("step", "number"),
    [
        *itertools.product(["_copy", "check_pages"], [signal.SIGINT, signal.SIGKILL]),
        ("_sync", signal.SIGTERM),
    ],
)
def test_an_interrupted_backup_leaves_none(
    log: Path, tmp_path: Path, step: str, number: signal.Signals
) -> None:
    with elsewhere(SLOW, step, "backup", "--log", log, tmp_path / "copy") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(number)
        _, error = process.communicate()
    killed = number == signal.SIGKILL
    assert process.returncode == (-9 if killed else 130)
    assert "Traceback" not in error
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[killed:] == ["log"]
    assert all(name.startswith(".copy.") for name in left[:killed])
    # Nothing of it is in the way.
    assert run("backup", "--log", log, tmp_path / "copy").returncode == 0


# --- the order of syncs and the name ---------------------------------------------------------

# As the program, which says when it begins, and when it tells of the backup.
TRACED = """
import sys
from pithgraph.cli import backup, main
from pithgraph.cli.output import out
tell, backup.out = backup.out, lambda text: out("reported 1") or tell(text)
out("begin")
main(sys.argv[1:])
"""


@pytest.fixture
def acts(log: Path, tmp_path: Path) -> list[Act]:
    """What `pithgraph backup` did to files and folders until it told of the backup."""
    command = (sys.executable, "-c", TRACED, "backup", "--log", str(log), str(tmp_path / "copy"))
    run = faulting.strace(command, *faulting.RECORDED)
    assert (run.code, run.reported) == (0, 1)
    (renamed,) = (act for act in faulting.acts_of(run.trace, log) if isinstance(act, Rename))
    acts = faulting.acts_of(run.trace, Path(renamed.path))
    told = next(number for number, act in enumerate(acts) if isinstance(act, Report))
    return acts[: told + 1]


def check_order(acts: list[Act], destination: Path) -> None:
    """That the copy was on the disk before it got its name, and the name before it was told of."""
    (renamed,) = (act for act in acts if isinstance(act, Rename))
    assert Path(renamed.to) == destination
    copy = Path(renamed.path)
    written = False
    unsynced: set[Path] = set()
    for act in acts:
        if isinstance(act, Write) and Path(act.path) == copy / DATA_FILE:
            written = True
            # In its folder it is new, too: that comes after it.
            unsynced |= {copy / DATA_FILE, copy}
        elif isinstance(act, Sync):
            if Path(act.path) == copy:
                assert copy / DATA_FILE not in unsynced, "the folder is synced before the data"
            unsynced.discard(Path(act.path))
        elif isinstance(act, Rename):
            assert written
            assert copy / DATA_FILE not in unsynced, "the data are not on the disk"
            assert copy not in unsynced, "the folder is not on the disk"
            unsynced.add(destination.parent)
        elif isinstance(act, Report):
            assert not unsynced, "told of before its name was synced"
    assert isinstance(acts[-1], Report)


@pytest.mark.longer
def test_a_backup_is_on_the_disk_before_it_has_its_name(acts: list[Act], tmp_path: Path) -> None:
    """And each sync that is left out is seen."""
    destination = tmp_path / "copy"
    check_order(acts, destination)
    (renamed,) = (act for act in acts if isinstance(act, Rename))
    seen = {
        renamed.path + f"/{DATA_FILE}": "the folder is synced before the data",
        renamed.path: "the folder is not on the disk",
        str(tmp_path): "told of before its name was synced",
    }
    for path, message in seen.items():
        assert Sync(path) in acts
        with pytest.raises(AssertionError, match=message):
            check_order([act for act in acts if act != Sync(path)], destination)


def test_the_verb(log: Path, tmp_path: Path) -> None:
    done = run("backup", "--log", log, tmp_path / "copy", "--compact")
    assert done.returncode == 0
    with Log.open(tmp_path / "copy") as copied, copied.snapshot() as snapshot:
        assert f"copy: {snapshot.size} events, papers: 2, " in done.stdout
        assert f"Merkle root {snapshot.root().hex()}\n" in done.stdout
    assert run("backup", "--log", log, tmp_path / "copy").returncode == 3
    assert run("backup", "--log", tmp_path / "no", tmp_path / "new").returncode == 4
