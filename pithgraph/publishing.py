"""A log to a tree of files under the published URLs, which any web server can serve (SPEC §4).

What lives here: which papers changed since the tree was last published, and where each file lies.
What must not: what stands in them (`outgoing`, `pages`).

STATE_FILE says of which log and under which circumstances the tree is (`tree_state`). Where it is
absent, damaged or of other circumstances, all papers are written.

Names of files come from Pith Numbers, and from arXiv ids of the two forms there are.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from pithgraph.canonical import decode, digest, encode
from pithgraph.errors import DecodeError, IdentifierError, LogError, OutputError
from pithgraph.handing import bundle_of, known_of
from pithgraph.identifiers import SUFFIX_LENGTH, PithNumber, derive_aliases, parse_pith_number
from pithgraph.keyring import Keyring
from pithgraph.log import Log, Snapshot
from pithgraph.log.layout import paper_of, read_counters
from pithgraph.merge import MERGE_VERSION
from pithgraph.outgoing import (
    SIGNING_KEY_PATH,
    Known,
    events_document,
    graph_document,
    manifest_document,
    record_document,
    resolve_document,
    signing_key_document,
    signing_keys,
)
from pithgraph.pages import page
from pithgraph.sources import load_keyring
from pithgraph.tree_state import STATE_FILE, TREE_FORMAT, Line, lines, opened, side_by_side
from pithgraph.trees import (
    alone_in,
    and_newline,
    check_place,
    created,
    each,
    is_file,
    place_beside,
    read_object,
    write_document,
    write_pieces,
)
from pithgraph.validation import VERIFIED, Assurance, check_assurance

RECORD: Final = "pith/{suffix}.json"
PAGE: Final = "pith/{suffix}/index.html"
BUNDLE: Final = "pith/{suffix}/bundle.json"
STATE: Final = "pith/{suffix}/state.json"
WELL_KNOWN: Final = ".well-known/pith/{suffix}/bundle.json"
GRAPH: Final = "api/pith-number/{suffix}/graph.json"
EVENTS: Final = "api/pith-number/{suffix}/events.json"
_OF_PAPER: Final = (RECORD, PAGE, BUNDLE, STATE, WELL_KNOWN, GRAPH, EVENTS)
RESOLVE: Final = "api/pith-number/resolve/arxiv"
MANIFEST: Final = "pith-mirrors.json"

# The forms of arXiv ids; another is a file's name nowhere.
_ARXIV: Final = re.compile(r"[0-9]{4}\.[0-9]{4,5}|[a-z]+(?:-[a-z]+)?(?:\.[A-Z]{2})?/[0-9]{7}")


_LONGEST_HEAD: Final = 2**20


class Published(NamedTuple):
    """What the tree holds now, and what was done for it.

    `papers`, of which `written` were written this time; papers of the log `without_record`, of
    which it holds nothing; `withdrawn` ones, whose files were taken away; and the log's position.
    """

    papers: int
    written: int
    without_record: int
    withdrawn: int
    position: int


def publish(
    log: Log,
    folder: str | os.PathLike[str],
    *,
    base_url: str,
    name: str,
    generated_at: str,
    keyring: Keyring | None = None,
    signing_key_ids: Sequence[str] = (),
    assurance: Assurance = VERIFIED,
    withdraw: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Published:
    """Write or renew the tree of all papers that have a canonical record.

    They have it under this keyring and assurance. `base_url` is the origin that it will be served
    under, such as https://mirror.example; `name` the mirror's. `generated_at` goes into the
    manifest, where anything changed. Each file is replaced as a whole. `progress` is told how many
    papers were looked at.

    A paper of the tree that has no such record any more is taken away with `withdraw`; without, it
    ends the run, since it mostly means that another log, keyring or assurance was named than the
    tree is of. Nothing is lost then, and the right run renews what was written until there.

    Raises OutputError, LogError, and IdentifierError for a signing key that the keyring has not.
    """
    check_assurance(assurance)
    keyring = keyring or load_keyring()
    keys = signing_keys(keyring, signing_key_ids)
    with log.snapshot() as snapshot:
        head = {
            "tree_format": TREE_FORMAT,
            "merge_version": MERGE_VERSION,
            "base_url": base_url,
            "name": name,
            "keyring_sha256": keyring.sha256,
            "signing_key_ids": [key.key_id for key in keys],
            "assurance": assurance,
        }
        tree = _Tree(Path(folder), snapshot, keyring, assurance, base_url, withdraw=withdraw)
        try:
            with (
                alone_in(tree.folder),
                _own(tree.folder),
                tree.renewed(head, progress) as (changed, done),
            ):
                if changed:
                    write_document(
                        tree.folder / SIGNING_KEY_PATH[1:], signing_key_document(keys, base_url)
                    )
                    manifest = manifest_document(name, base_url, keys[0], generated_at)
                    write_document(tree.folder / MANIFEST, manifest)
        except OSError as error:
            raise OutputError(f"{error.filename or folder}: {error.strerror}") from None
    return done


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Mark a new folder as a tree's. Raises OutputError for one that holds something else, which a
    web server would show, or a tree replace."""
    state = folder / STATE_FILE
    if os.path.lexists(state) and not is_file(state):
        raise OutputError(f"{state} is no regular file")
    if not os.path.lexists(state):
        if any(folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty, and no tree that was published: name another folder (of a "
                f"tree whose {STATE_FILE} is gone, make that as an empty file)"
            )
        state.touch()
    yield


class _Tree:
    """The tree of one log at one moment."""

    def __init__(
        self,
        folder: Path,
        snapshot: Snapshot,
        keyring: Keyring,
        assurance: Assurance,
        origin: str,
        *,
        withdraw: bool,
    ) -> None:
        self.folder = folder
        self._snapshot = snapshot
        self._keyring = keyring
        self._assurance = assurance
        self._origin = origin
        self._may_withdraw = withdraw
        self._is_marked = False
        self._meanwhile: dict[str, Any] = {}
        self._state = folder / STATE_FILE

    @contextmanager
    def renewed(
        self, head: dict[str, Any], progress: Callable[[int], None] | None
    ) -> Iterator[tuple[bool, Published]]:
        """Write what changed; gives whether anything did, and the sums. The new STATE_FILE takes
        the place of the old one at the end, where nothing failed: else all that was written since
        is written once more by the next who publishes."""
        beside = place_beside(self._state)
        try:
            yield self._renew_all(beside, head, progress)
            os.replace(beside, self._state)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def _renew_all(
        self, beside: Path, head: dict[str, Any], progress: Callable[[int], None] | None
    ) -> tuple[bool, Published]:
        size = self._snapshot.size
        head = head | {"position": size, "root": self._snapshot.root().hex()}
        papers = written = without = withdrawn = looked = 0
        with ExitStack() as stack:
            old = stack.enter_context(opened(self._state))
            new = stack.enter_context(io.TextIOWrapper(created(beside), encoding="ascii"))
            new.write(json.dumps(head) + "\n")
            before_position = self._position_before(head, old)
            same = before_position is not None
            if before_position not in (None, size):
                self._meanwhile = head
            for group, before in side_by_side(self._groups(), lines(old)):
                if group is None:
                    assert before is not None
                    withdrawn += self._withdraw(before.suffix)
                    continue
                now, years = group
                if same and before is not None and before[:3] == now[:3]:
                    published = before.published
                else:
                    published = self._renew(now.suffix, years)
                    if published:
                        written += 1
                    else:
                        withdrawn += self._withdraw(now.suffix)
                new.write(str(now._replace(published=published)))
                papers += published
                without += len(years) - published
                looked += len(years)
                if progress is not None:
                    progress(looked)
        changed = not same or bool(written or withdrawn)
        return changed, Published(papers, written, without, withdrawn, size)

    def _mark_changed(self) -> None:
        """Before the first change, take the head out of STATE_FILE: should this run end half-way,
        the next finds no circumstances that are its own, and writes all. Where the log has grown,
        this moment's head comes in its place: a log that goes as far finds by the lines what is
        left to do. They stay, since they say what may have to be withdrawn."""
        if self._is_marked:
            return
        self._is_marked = True
        beside = place_beside(self._state.with_name(f"{STATE_FILE}.changing"))
        try:
            with self._state.open("rb") as old, created(beside) as new:
                old.readline(_LONGEST_HEAD)
                new.write(json.dumps(self._meanwhile).encode("ascii") + b"\n")
                shutil.copyfileobj(old, new)
            os.replace(beside, self._state)
        finally:
            beside.unlink(missing_ok=True)

    def _position_before(self, head: dict[str, Any], old: TextIO) -> int | None:
        """The position of this log at the earlier moment that the tree is of, under these
        circumstances; None where it is of none."""
        try:
            before = decode(old.readline(_LONGEST_HEAD).encode("utf-8"))
            position, root = before.pop("position"), before.pop("root")
            same = (
                {**before, "position": head["position"], "root": head["root"]} == head
                and type(position) is int
                and 0 <= position <= head["position"]
                and self._snapshot.root(position).hex() == root
            )
        except (DecodeError, AttributeError, KeyError, TypeError):
            return None
        return position if same else None

    def _groups(self) -> Iterator[tuple[Line, list[PithNumber]]]:
        """The papers of each SUFFIX, in their order. Who writes another year before a published
        SUFFIX makes a paper, though none that can have a record."""
        rows = self._snapshot.rows(b"papers")
        for suffix, group in groupby(rows, key=lambda row: row[0][:SUFFIX_LENGTH]):
            years, events, aliases = [], 0, 0
            for key, value in group:
                counters = read_counters(value)
                # What a name of a file is made of is asked for its form once more.
                try:
                    years.append(parse_pith_number(str(paper_of(key))))
                except IdentifierError as error:
                    raise LogError(
                        f"the key of a paper is damaged: {error}. See `pithgraph fsck`, or restore "
                        "the log from a backup"
                    ) from None
                events += counters.events
                if counters.aliases:
                    aliases ^= self._number_of_aliases(years[-1])
            yield Line(suffix.decode("ascii"), events, aliases, published=False), years

    def _number_of_aliases(self, paper: PithNumber) -> int:
        """60 bits of a digest of a paper's alias rows, which the log's tree does not cover."""
        rows = sorted(alias[1:] for alias in self._snapshot.aliases_of(paper))
        return int(digest(encode([list(row) for row in rows]))[:15], 16)

    def _renew(self, suffix: str, years: list[PithNumber]) -> bool:
        """Write the files of a SUFFIX; False where no paper of it has a canonical record."""
        for paper in years:
            known = known_of(self._snapshot, paper, self._keyring, self._assurance)
            if known.document["current"]["canonical_record"] is not None:
                self._write_paper(known, paper)
                return True
        return False

    def _write_paper(self, known: Known, paper: PithNumber) -> None:
        self._mark_changed()
        record = None
        if known.has_record:
            record = record_document(known, paper, origin=self._origin, static=True)
            write_document(self._place(RECORD, paper.suffix), record)
        else:
            self._place(RECORD, paper.suffix).unlink(missing_ok=True)
        bundles = [self._place(pattern, paper.suffix) for pattern in (BUNDLE, WELL_KNOWN)]
        write_pieces(bundles, and_newline(partial(bundle_of, self._snapshot, paper)))
        write_document(self._place(GRAPH, paper.suffix), graph_document(known, paper))
        events = events_document(known, paper)
        write_pieces([self._place(EVENTS, paper.suffix)], and_newline(each(events)))
        state = known.state.canonical
        write_pieces([self._place(STATE, paper.suffix)], each([state, b"\n"]))
        write_pieces([self._place(PAGE, paper.suffix)], each([page(known, paper, record)]))
        current = known.document["current"]
        has = {(row["alias_kind"], row["alias_value"]) for row in current["source_aliases"]}
        for kind, value in derive_aliases(paper, current["canonical_record"]):
            if kind == "arxiv":
                # A log that was restored may have lost the row that it had before.
                self._resolve(
                    value, *((paper, None) if (kind, value) in has else (None, paper.suffix))
                )

    def _withdraw(self, suffix: str) -> bool:
        """Take away the files of a SUFFIX. Gives whether there were any."""
        state = read_object(self._place(STATE, suffix))
        if state and not self._may_withdraw:
            raise OutputError(
                f"{self.folder} has {state.get('pith_number')}, of which this log has no record "
                f"that counts under keyring {self._keyring.sha256}, assurance {self._assurance}: "
                "see that these and --log are those that the tree was published with. Where papers "
                "are to be taken away, say --withdraw"
            )
        if state:
            self._mark_changed()
        found = False
        current = state.get("current")
        record = current.get("canonical_record") if isinstance(current, dict) else None
        # The state is the last to go: after a kill it says again which ids the paper had.
        for kind, value in derive_aliases(PithNumber("0000", suffix), record):
            if kind == "arxiv":
                self._resolve(value, without=suffix)
        for pattern in sorted(_OF_PAPER, key=lambda pattern: pattern == STATE):
            place = self._place(pattern, suffix)
            place_beside(place).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                place.unlink()
                found = True
            if place.parent.name == suffix:
                with suppress(OSError):  # somebody keeps other files there
                    place.parent.rmdir()
        return found

    def _resolve(
        self, arxiv: str, paper: PithNumber | None = None, without: str | None = None
    ) -> None:
        """Write which papers an arXiv id may mean: this one, and those that it meant before and
        that the tree still holds, but for those `without` whose SUFFIX it goes on."""
        if _ARXIV.fullmatch(arxiv) is None:
            return
        place = self.folder / RESOLVE / f"{arxiv}.json"
        check_place(self.folder, place)
        stated = read_object(place).get("pith_numbers")
        papers = set() if paper is None else {str(paper)}
        if isinstance(stated, list):
            held = {one for one in stated if self._holds(one)}
            papers |= {one for one in held if without is None or not one.endswith(without)}
        if papers:
            write_document(place, resolve_document(arxiv, papers))
        else:
            place_beside(place).unlink(missing_ok=True)
            place.unlink(missing_ok=True)

    def _holds(self, pith_number: Any) -> bool:
        try:
            paper = parse_pith_number(pith_number if isinstance(pith_number, str) else "")
        except IdentifierError:
            return False
        state = read_object(self._place(STATE, paper.suffix))
        return bool(state.get("pith_number") == pith_number)

    def _place(self, pattern: str, suffix: str) -> Path:
        place = self.folder / pattern.format(suffix=suffix)
        check_place(self.folder, place)
        return place
