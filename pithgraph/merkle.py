"""The Merkle tree over a log: hashes, tiles, roots and proofs (SPEC §10).

What lives here: the tree of RFC 6962 and RFC 9162 §2.1 with SHA-256, and the tiles of C2SP
`tlog-tiles` that hold its hashes. What must not: where tiles are stored (the shell gives a
function that reads them), what a leaf stands for, and who signs a root (`checkpoints`).

Tile N of tile level L is up to 256 hashes of 32 bytes, side by side. Each is the root of a
complete subtree of 256**L leaves: at level 0 a leaf's hash, above it what a full tile of the level
below comes to. The nodes between two tile levels are nowhere stored, and hashed again when needed.
Only the rightmost tile of a level is ever partial, and it only grows: the tile of a smaller tree is
the beginning of the same tile of a larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from pithgraph.errors import MerkleError, ProofError

HASH_BYTES: Final = 32
TILE_LEVELS: Final = 8
"""How many levels of the tree are between two tile levels."""

TILE_WIDTH: Final = 1 << TILE_LEVELS
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162 §2.1.1)."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class Tile(NamedTuple):
    """Which tile: `level` and `number` from 0, `width` the hashes it has, 1 to 256."""

    level: int
    number: int
    width: int


TileReader = Callable[[Tile], bytes]
"""Reads a tile: at least `width` hashes of 32 bytes. More of them are passed over, so that the tile
as it is stored now can be given for an older and narrower one."""


def leaf_hash(data: bytes) -> bytes:
    """The 32 bytes of a leaf's hash (RFC 9162 §2.1.1)."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32 bytes of the hash of the node above two hashes (RFC 9162 §2.1.1)."""
    return hashlib.sha256(_NODE + left + right).digest()


# --- growing (tlog-tiles) --------------------------------------------------------------------


class Edge(NamedTuple):
    """The right edge of a tree: all that is needed to grow it, or to tell its root.

    `tiles` has the rightmost partial tile of each tile level, from 0 up to the last one with a
    hash; b"" for a level whose rightmost tile is full.
    """

    size: int
    tiles: tuple[bytes, ...]

    def root(self) -> bytes:
        """The root of the tree (32 bytes)."""
        return root(self.size, lambda tile: self.tiles[tile.level])


EMPTY_EDGE: Final = Edge(0, ())
"""Of a tree without leaves."""


def partial_tiles(size: int) -> list[Tile | None]:
    """The rightmost partial tile of each tile level of a tree, None where there is none.

    What `Edge.tiles` has, by name (tlog-tiles, Partial Tiles). Raises MerkleError for a size < 0.
    """
    _check_size(size)
    tiles: list[Tile | None] = []
    level = 0
    while hashes := size >> TILE_LEVELS * level:
        number, width = divmod(hashes, TILE_WIDTH)
        tiles.append(Tile(level, number, width) if width else None)
        level += 1
    return tiles


def read_edge(size: int, tile: TileReader) -> Edge:
    """The right edge of a stored tree. Raises MerkleError for a tile that is too short."""
    reader = _Reader(size, tile)
    return Edge(size, tuple(reader.read(name) if name else b"" for name in partial_tiles(size)))


def extend(edge: Edge, leaves: Iterable[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
    """Append leaves, given as their data: the new edge, and each tile that is new or has grown.

    Of a level's tiles only the last may be partial. A partial tile of the old edge that has grown
    stands among them under its new width. Costs two hashes a leaf.
    """
    fresh = _hash_each(_LEAF, leaves)
    size = edge.size + len(fresh)
    tiles: list[bytes] = []
    changed: dict[Tile, bytes] = {}
    level = 0
    while fresh or level < len(edge.tiles):
        held = edge.tiles[level] if level < len(edge.tiles) else b""
        hashes = held + b"".join(fresh)
        full = len(hashes) // TILE_BYTES
        first = edge.size >> TILE_LEVELS * (level + 1)
        above = []
        for number in range(full):
            stored = hashes[number * TILE_BYTES : (number + 1) * TILE_BYTES]
            changed[Tile(level, first + number, TILE_WIDTH)] = stored
            above.append(_complete_root(stored))
        rest = hashes[full * TILE_BYTES :]
        if fresh and rest:
            changed[Tile(level, first + full, len(rest) // HASH_BYTES)] = rest
        tiles.append(rest)
        fresh = above
        level += 1
    return Edge(size, tuple(tiles)), changed


def _complete_root(hashes: bytes) -> bytes:
    """The root above 2**k hashes, side by side."""
    pair = 2 * HASH_BYTES
    while len(hashes) > HASH_BYTES:
        pairs = [hashes[at : at + pair] for at in range(0, len(hashes), pair)]
        hashes = b"".join(_hash_each(_NODE, pairs))
    return hashes


def _hash_each(prefix: bytes, parts: Iterable[bytes]) -> list[bytes]:
    """SHA-256 of prefix ‖ part for each part: where the time of an append goes. To copy a hash that
    has taken the prefix is faster than to begin one, and a loop faster than calls of `leaf_hash`.
    """
    begun = hashlib.sha256(prefix).copy
    digests = []
    for part in parts:
        taking = begun()
        taking.update(part)
        digests.append(taking.digest())
    return digests


def check_edge(size: int, tile: TileReader, leaf: Callable[[int], bytes]) -> None:
    """Compare each hash that the root of a stored tree is computed from, at most 255 a tile level,
    with what lies below it: a leaf's data, as `leaf` gives it by its index, or a full tile.

    Raises MerkleError where one is another, or a tile is too short. What it does not ask are full
    tiles themselves, of which all is hashed by who has all leaves.
    """
    reader = _Reader(size, tile)
    for name in filter(None, partial_tiles(size)):
        hashes = reader.read(name)
        for index in range(name.width):
            below = name.number * TILE_WIDTH + index
            if name.level:
                right = _complete_root(reader.read(Tile(name.level - 1, below, TILE_WIDTH)))
            else:
                right = leaf_hash(leaf(below))
            if hashes[index * HASH_BYTES :][:HASH_BYTES] != right:
                raise MerkleError(
                    f"hash {index} of the tile {name.number} of level {name.level} is not that of "
                    "what lies below it"
                )


# --- roots and proofs (RFC 9162 §2.1) --------------------------------------------------------


def root(size: int, tile: TileReader) -> bytes:
    """MTH(D_n), the root of the tree of the first `size` leaves (RFC 9162 §2.1.1).

    Reads the tiles of `partial_tiles(size)`. Raises MerkleError for a size < 0 and for a tile that
    is too short.
    """
    return _Reader(size, tile).root(0, size) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, tile: TileReader) -> list[bytes]:
    """PATH(m, D_n): the hashes that lead from leaf `index` to the root of `size` leaves.

    RFC 9162 §2.1.3.1; reads at most two tiles a tile level. Raises ProofError unless 0 <= index <
    size, and MerkleError as `root` does.
    """
    reader = _Reader(size, tile)
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}: its leaves count from 0")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(reader.root(middle, end))
            end = middle
        else:
            path.append(reader.root(start, middle))
            start = middle
    return path[::-1]


def consistency_path(old_size: int, size: int, tile: TileReader) -> list[bytes]:
    """PROOF(m, D_n): the hashes that show the tree of `old_size` leaves to begin that of `size`.

    RFC 9162 §2.1.4.1; reads at most two tiles a tile level. Empty where the sizes are equal.
    Raises ProofError unless 0 < old_size <= size, and MerkleError as `root` does.
    """
    reader = _Reader(size, tile)
    if not 0 < old_size <= size:
        raise ProofError(
            f"nothing leads from {old_size} leaves to {size}: the older tree has at least one leaf"
            " and no more than the newer"
        )
    start, end, path = 0, size, []
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(reader.root(middle, end))
            end = middle
        else:
            path.append(reader.root(start, middle))
            start = middle
    # A subtree at the very left is the older tree itself, whose root the verifier has.
    if start:
        path.append(reader.root(start, end))
    return path[::-1]


def _split(leaves: int) -> int:
    """k of RFC 9162 §2.1: the largest power of two smaller than a number of leaves."""
    return 1 << (leaves - 1).bit_length() - 1


def _check_size(size: int) -> None:
    if size < 0:
        raise MerkleError(f"a tree cannot have {size} leaves")


class _Reader:
    """Subtrees' roots of a tree of `size` leaves, from its tiles; each tile is read once."""

    def __init__(self, size: int, tile: TileReader) -> None:
        _check_size(size)
        self._size = size
        self._tile = tile
        self._read: dict[Tile, bytes] = {}

    def read(self, name: Tile) -> bytes:
        """Exactly the hashes of a tile."""
        hashes = self._read.get(name)
        if hashes is None:
            length = name.width * HASH_BYTES
            hashes = self._read[name] = self._tile(name)[:length]
            if len(hashes) != length:
                raise MerkleError(
                    f"tile {name.number} of tile level {name.level} has {len(hashes)} bytes, not"
                    f" the {length} of {name.width} hashes: the stored tree is damaged"
                )
        return hashes

    def root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]) of at least one leaf, with `start` a multiple of the least power of two
        that is not smaller than end - start: so does every subtree of the tree lie."""
        parts = []
        while start < end:
            level = (end - start).bit_length() - 1
            parts.append(self._complete(level, start >> level))
            start += 1 << level
        found = parts.pop()
        while parts:
            found = node_hash(parts.pop(), found)
        return found

    def _complete(self, level: int, number: int) -> bytes:
        """The root of the `number`-th subtree of 2**level leaves, all there."""
        tile_level, height = divmod(level, TILE_LEVELS)
        tile, first = divmod(number << height, TILE_WIDTH)
        width = min(TILE_WIDTH, (self._size >> TILE_LEVELS * tile_level) - tile * TILE_WIDTH)
        hashes = self.read(Tile(tile_level, tile, width))
        return _complete_root(hashes[first * HASH_BYTES : (first + (1 << height)) * HASH_BYTES])


# --- verification (RFC 9162 §2.1.3.2 and §2.1.4.2) -------------------------------------------


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Verify that the leaf of hash `leaf` is at `index` in the tree of `size` leaves and `root`.

    RFC 9162 §2.1.3.2, step by step. Raises ProofError naming what does not hold. The path binds
    the position only together with the size, and the size not at all (trees of 5 and of 8 leaves
    have paths of one form for leaf 0): take the size from where the root is, a signed checkpoint.
    """
    _check_hashes(path, leaf=leaf, root=root)
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is outside a tree of {size} leaves")
    fn, sn = index, size - 1
    computed = leaf
    for number, sibling in enumerate(path):
        if sn == 0:
            raise ProofError(
                f"the proof is too long: {len(path)} hashes, {number} lead to the root"
            )
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
            fn, sn = _skip_missing(fn, sn)
        else:
            computed = node_hash(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofError(f"the proof is too short: {len(path)} hashes do not lead to the root")
    if computed != root:
        raise ProofError(f"the proof leads to the root {computed.hex()}, not {root.hex()}")


def verify_consistency(
    old_size: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes
) -> None:
    """Verify that the tree of `old_size` leaves and `old_root` begins that of `size` and `root`.

    RFC 9162 §2.1.4.2, step by step; trees of one size are consistent when their roots are equal,
    with an empty path. From no leaves nothing can be shown. Raises ProofError naming what does not
    hold. As with inclusion the roots bind the sizes, not the path.
    """
    _check_hashes(path, old_root=old_root, root=root)
    if not 0 < old_size <= size:
        raise ProofError(f"a proof from {old_size} leaves to {size} shows nothing")
    if old_size == size:
        if path:
            raise ProofError(f"the proof is too long: {len(path)} hashes for trees of one size")
        if old_root != root:
            raise ProofError(f"two roots of {size} leaves: {old_root.hex()} and {root.hex()}")
        return
    if not path:
        raise ProofError(f"the proof is empty, from {old_size} leaves to {size}")
    # Where the older tree is complete, its root is a node of the newer one.
    nodes = [old_root, *path] if old_size & (old_size - 1) == 0 else path
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old_computed = computed = nodes[0]
    for number, node in enumerate(nodes[1:], start=1):
        if sn == 0:
            raise ProofError(
                f"the proof is too long: {number} of {len(nodes)} nodes lead to the root"
            )
        if fn & 1 or fn == sn:
            old_computed = node_hash(node, old_computed)
            computed = node_hash(node, computed)
            fn, sn = _skip_missing(fn, sn)
        else:
            computed = node_hash(computed, node)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofError(f"the proof is too short: {len(path)} hashes do not lead to the root")
    if old_computed != old_root:
        raise ProofError(
            f"the proof leads to the older root {old_computed.hex()}, not {old_root.hex()}"
        )
    if computed != root:
        raise ProofError(f"the proof leads to the newer root {computed.hex()}, not {root.hex()}")


def _skip_missing(fn: int, sn: int) -> tuple[int, int]:
    """Up the levels at which a last node has no sibling (step 4b, 6b: until LSB(fn) is set)."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _check_hashes(path: Sequence[bytes], **named: bytes) -> None:
    hashes = named | {f"path[{number}]": node for number, node in enumerate(path)}
    for name, value in hashes.items():
        if len(value) != HASH_BYTES:
            raise ProofError(f"{name} has {len(value)} bytes: a hash has {HASH_BYTES}")
