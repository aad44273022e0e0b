"""Published state documents, to compare replayed states with.

What lives here: reading them, and what a difference is. What must not: replaying.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from pithgraph.documents import STATE, StateDocument, classify, view
from pithgraph.errors import DecodeError, IdentifierError, Refused
from pithgraph.identifiers import parse_pith_number
from pithgraph.merge import State, digest_of_state
from pithgraph.sources import Limits, Unreadable, read_sources


class Expected(NamedTuple):
    """The state_sha256 that a document states, and the one that its bytes have."""

    state_sha256: str
    computed_sha256: str

    def matches(self, state: State) -> bool:
        """Whether the document is this state, byte for byte in canonical form."""
        return self.state_sha256 == self.computed_sha256 == state.state_sha256

    def difference(self, state: State) -> str:
        """What does not match, for a person."""
        if self.state_sha256 != self.computed_sha256:
            return f"the expected document's own hash is {self.computed_sha256}"
        if state.event_count == 0:
            return "there is no event of this paper here"
        return f"the replay gives {state.state_sha256}"


def read_expected(
    paths: Iterable[str], limits: Limits | None = None
) -> tuple[dict[str, list[Expected]], list[tuple[str, str]]]:
    """The state documents in files and folders by Pith Number, each that differs from the others of
    its paper, and what was refused of them as (place, reason). Other documents in a folder are
    passed over; a file that is named must be one."""
    expected: dict[str, list[Expected]] = {}
    refused: list[tuple[str, str]] = []
    for path in paths:
        in_folder = os.path.isdir(path)
        for piece in read_sources([path], limits):
            place = piece.source if piece.line is None else f"{piece.source}:{piece.line}"
            if isinstance(piece, Unreadable):
                refused.append((place, f"{piece.reason}: {piece.detail}"))
                continue
            try:
                found = classify(piece.decode())
                if found.type != STATE:
                    raise Refused("unknown_document", f"a {found.type} is no state document")
                document = view(found.value, StateDocument)
                parse_pith_number(document.pith_number)
            except Refused as error:
                if not in_folder or error.reason == "wrong_shape":
                    refused.append((place, str(error)))
                continue
            except (DecodeError, IdentifierError) as error:
                refused.append((place, str(error)))
                continue
            one = Expected(document.state_sha256, digest_of_state(found.value))
            of_paper = expected.setdefault(document.pith_number, [])
            if one not in of_paper:
                of_paper.append(one)
    return expected, refused
