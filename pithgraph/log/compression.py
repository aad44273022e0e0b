"""Compression of what a log stores: zstd, with a dictionary trained on the log's own events.

What lives here: the one place that knows the package zstandard, which the extra `fast` brings. What
must not: what is compressed, and where it lies (`layout`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from pithgraph.errors import LogError
from pithgraph.events import MAX_EVENT_BYTES

# How the log names them: no one byte changed makes one of another.
NONE: Final = "none"
ZSTD: Final = "zstd"
KNOWN: Final = (NONE, ZSTD)
# What a dictionary is trained on: so many events at the least, and of more these.
TRAINING_EVENTS: Final = 1000
_DICTIONARY_BYTES: Final = 64 * 1024
_LEVEL: Final = 3
_MOST_BYTES: Final = 2 * MAX_EVENT_BYTES  # of a content: an event, and what is known of it


class Codec(NamedTuple):
    """How contents are written and read back. `decompress` raises LogError for damaged ones."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]


PLAIN: Final = Codec(bytes, bytes)


def codec_of(compression: str, dictionary: bytes | None) -> Codec:
    """The codec of a log. Raises LogError for a kind that is not known, or not installed."""
    if compression == NONE:
        return PLAIN
    if compression != ZSTD:
        raise LogError(
            f"compression {compression!r} is not known here. Use the pithgraph that wrote the log. "
            "Where that was this one, the row is damaged: `pithgraph fsck --repair` mends it."
        )
    zstd = _zstandard()
    trained = zstd.ZstdCompressionDict(dictionary) if dictionary else None
    compressor = zstd.ZstdCompressor(level=_LEVEL, dict_data=trained, write_dict_id=False)
    inner = zstd.ZstdDecompressor(dict_data=trained).decompress

    def decompress(data: bytes) -> bytes:
        try:
            size = zstd.frame_content_size(data)
            if not 0 <= size <= _MOST_BYTES:  # all of that would be reserved at once
                raise zstd.ZstdError(f"it says that it has {size} bytes")
            return bytes(inner(data))
        except zstd.ZstdError as error:
            raise LogError(
                f"a stored row is damaged: {error}. Restore the log from a backup."
            ) from None

    return Codec(compressor.compress, decompress)


def is_installed(compression: str) -> bool:
    """Whether contents that are stored so can be read here."""
    return compression != ZSTD or importlib.util.find_spec("zstandard") is not None


def train(contents: Sequence[bytes]) -> bytes | None:
    """A dictionary for contents like these, or None where they are too few to tell."""
    if len(contents) < TRAINING_EVENTS:
        return None
    step = len(contents) // TRAINING_EVENTS
    zstd = _zstandard()
    try:
        dictionary = zstd.train_dictionary(_DICTIONARY_BYTES, list(contents[::step]))
    except zstd.ZstdError:  # they have nothing in common
        return None
    return bytes(dictionary.as_bytes())


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise LogError(
            "a compressed log needs the package zstandard, which comes with pithgraph's extra "
            "`fast`: pip install zstandard"
        ) from None
    return zstandard
