"""Random histories of one or two papers, made so that the rare things happen often.

What lives here: hypothesis strategies for events, alias rows and whole histories, and a fixed set
of these. What must not: judging them (`oracle` does), and the package under test.

An event is drawn as a `Recipe` of small choices and built from it, so that equal recipes cost one
signature. Every pool is small on purpose: only then do two events meet in one slot, name one
previous event, or differ in their signatures alone. A history is some recipes, and siblings of
these, each changed in one way.
"""

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from hypothesis import strategies as st

from signing import (
    ALICE,
    BOB,
    DROP,
    ENTRIES,
    MIRROR,
    OTHER_PAPER,
    PAPER,
    READER,
    REGISTRY,
    REGISTRY_B,
    REVOKED,
    STRANGER,
    WINDOWED,
    Json,
    Key,
    Paper,
    at,
    b64,
    changed,
    event_id_of,
    keyring_value,
    payload_of,
    signature,
    signed_event,
    some_id,
    target_of,
)

KEYRING = keyring_value()
"""Every key but the stranger's, one of them revoked and one with a window of two seconds."""

TIMES = [at(second) for second in (0, 1, 2, 3)]
PREVIOUS = [some_id("a previous event"), some_id("another previous event")]
FOREIGN_IDS = [some_id("an id by another rule"), some_id("another id by another rule")]
ALIAS_TIMES = [
    "2026-06-01T00:00:01.5Z",
    "2026-06-01T00:00:01+00:00",
    "2026-06-01T00:00:01.25+00:00",
]

# --- recipes


class Recipe(NamedTuple):
    """The choices that make an event; equal recipes give equal events."""

    kind: str
    key: Key
    paper: Paper
    created_at: str
    target: str | None  # another one than the kind's usual
    variant: int  # of the payload
    previous: Any  # DROP where the member is absent
    further: int  # how many further members the event has
    mutation: str


Mutation = Callable[[Json, Key], Json]


def before_sealing(path: str, new: Any) -> Mutation:
    """A change that is the event's only fault: it is sealed after."""

    def mutate(event: Json, key: Key) -> Json:
        event = changed(event, path, new)
        event_id = event_id_of(event)
        return event | {"event_id": event_id, "signature": signature(key, event_id)}

    return mutate


def after_sealing(path: str, new: Any) -> Mutation:
    """A change of a sealed event, which stands."""
    return lambda event, key: changed(event, path, new)


def signed_by(
    signer: Key | None, *, over: str | None = None, key_id: str | None = None
) -> Mutation:
    """A signature by another key, over another id, or in another key's name."""

    def mutate(event: Json, key: Key) -> Json:
        event_id = over or event["event_id"]
        made = signature(signer or key, event_id, key_id=key_id or key.key_id)
        return event | {"event_id": event_id, "signature": made}

    return mutate


def signed_again(event: Json, key: Key) -> Json:
    message = bytes.fromhex(event["event_id"].removeprefix("sha256:"))
    return changed(event, "signature.signature_b64", b64(key.sign_again(message)))


def unsealed(path: str, new: Any, *, id_kept: bool) -> Mutation:
    """A change after which the event is unsigned, and its id recomputes or not."""

    def mutate(event: Json, key: Key) -> Json:
        event = changed(changed(event, "signature", DROP), path, new)
        return event if id_kept else event | {"event_id": event_id_of(event)}

    return mutate


MALFORMED: Mapping[str, Mutation] = {
    "event_type null": before_sealing("event_type", None),
    "created_at a number": before_sealing("created_at", 1780272000),
    "target missing": before_sealing("target", DROP),
    "signer a string": before_sealing("signer", "alice"),
    "signer_type missing": before_sealing("signer.signer_type", DROP),
    "payload a list": before_sealing("payload", []),
    "source beside": before_sealing("source", {"kind": "arxiv"}),
    "event_id in upper case": after_sealing("event_id", "sha256:" + "A" * 64),
    "event_id missing": after_sealing("event_id", DROP),
    "signature with a further member": after_sealing("signature.note", ""),
    "signature cut": after_sealing("signature.signature_b64", ""),
    "previous_event_id a word": before_sealing("previous_event_id", "none"),
}

MUTATIONS: Mapping[str, Mutation] = {
    "none": lambda event, key: event,
    "signed again": signed_again,
    **MALFORMED,
    # the other verdicts, in their order
    "kind unknown": before_sealing("event_type", "endorsement"),
    "created_at a date": before_sealing("created_at", "2026-06-01"),
    "created_at not real": before_sealing("created_at", "2026-06-31T00:00:00Z"),
    "target empty": before_sealing("target", ""),
    "target of no kind": before_sealing("target", "nothing:"),
    "unsigned": after_sealing("signature", DROP),
    "signature null": after_sealing("signature", None),
    "unsigned under another id": unsealed("event_id", FOREIGN_IDS[0], id_kept=True),
    "unsigned under a second id": unsealed("event_id", FOREIGN_IDS[1], id_kept=True),
    "signed under another id": signed_by(None, over=FOREIGN_IDS[0]),
    "signed under a second id": signed_by(None, over=FOREIGN_IDS[1]),
    "changed after sealing": after_sealing("late", 1),
    "signed under another id by another": signed_by(STRANGER, over=FOREIGN_IDS[0]),
    "id replaced": after_sealing("event_id", FOREIGN_IDS[0]),
    "fingerprint unknown": before_sealing("signer.public_key_fingerprint", "0" * 32),
    "signer_id of another": before_sealing("signer.signer_id", "another.example"),
    "signer_type of another": before_sealing("signer.signer_type", "author"),
    "signer key_id of another": before_sealing("signer.key_id", "test-another"),
    "signature key_id of another": signed_by(None, key_id="test-another"),
    "signed by another": signed_by(STRANGER),
    "payload empty": before_sealing("payload", {}),
    "receipt of a stranger": before_sealing("payload.receipt", {"key_id": STRANGER.key_id}),
    # several at once
    "unsigned and of a stranger": unsealed("signer", STRANGER.signer(), id_kept=True),
    "unsigned and empty": unsealed("payload", {}, id_kept=False),
    "unsigned, later": unsealed("created_at", TIMES[3], id_kept=False),
    "unsigned, date": unsealed("created_at", "2026-06-01", id_kept=False),
    "unsigned, previous": unsealed("previous_event_id", PREVIOUS[0], id_kept=False),
    "unsigned, further": unsealed("late", 1, id_kept=False),
}


PAYLOADS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "record_created": (("attestation_state", "anchored"), ("receipt.signed_at", "never")),
    "graph_snapshot": (("verdict_id", "a verdict"), ("graph_snapshot", {"x": 1e-7, "ü": [-0.0]})),
    "author_attestation": (("strength", "strong"), ("author.orcid", "0000-0001")),
    "timestamp_anchor": (("status", "confirmed"), ("block_height", 1)),
    "storage_attestation": (("content_sha256", "a" * 64), ("uri", "https://elsewhere.example")),
    "citation_signature": (("relation", "refutes"), ("note", None)),
    "replication_record": (("outcome", "failed"), ("evidence_sha256", "A" * 64)),
    "correction": (("reason", ""), ("event_id", PREVIOUS[0])),
    "mirror_hint": (("state_pattern", ""), ("base_url", "https://mirror.example/")),
}
"""Two changes of each kind's payload, some of which make it invalid."""

TARGETS: Mapping[str, str] = {
    "author_attestation": "author:somebody",
    "timestamp_anchor": "anchor:another",
    "replication_record": "replication:\n",
    "correction": PREVIOUS[0],
}
"""Another target of the right form, for kinds that have one."""

TRUSTED = [REGISTRY, REGISTRY_B]
USUAL: Mapping[str, list[Key]] = {
    "record_created": TRUSTED,
    "graph_snapshot": TRUSTED,
    "author_attestation": [ALICE, BOB, REGISTRY],
    "timestamp_anchor": [READER, ALICE],
    "storage_attestation": [READER, MIRROR],
    "citation_signature": [READER, BOB],
    "replication_record": [READER, ALICE],
    "correction": [ALICE, REGISTRY],
    "mirror_hint": [MIRROR, REGISTRY],
}
UNUSUAL = [*ENTRIES, STRANGER, REVOKED, WINDOWED]


@functools.cache
def build(recipe: Recipe) -> Json:
    """The event of a recipe. Not to be changed: it is shared."""
    payload = payload_of(recipe.kind, recipe.paper)
    if recipe.variant:
        path, new = PAYLOADS[recipe.kind][recipe.variant - 1]
        payload = changed(payload, path, new)
    members: Json = {"payload": payload}
    members["target"] = recipe.target or target_of(recipe.kind, recipe.key)
    if recipe.previous is not DROP:
        members["previous_event_id"] = recipe.previous
    for number in range(recipe.further):
        members[f"further_{number}"] = [number, {"ü": -0.0, "é": 1e16}]
    event = signed_event(
        recipe.kind, recipe.key, paper=recipe.paper, created_at=recipe.created_at, **members
    )
    return MUTATIONS[recipe.mutation](event, recipe.key)


# --- choosing them: written once, for hypothesis and for a seeded random generator

T = TypeVar("T")


class Choose(Protocol):
    """One of several options, the simplest first."""

    def __call__(self, options: Sequence[T], /) -> T: ...


PAPERS = [PAPER, PAPER, PAPER, OTHER_PAPER]
# Malformed is one verdict of thirteen, however many ways lead to it.
FAULTY = [*sorted(MALFORMED), *sorted(MUTATIONS.keys() - MALFORMED.keys()) * 3]
MOSTLY_NONE = ["none"] * len(FAULTY) * 2 + FAULTY
CHANGES = ["again", "slot", "slot", "fork", "mutation", "signature", "unsigned", "id", "id", "time"]
ANOTHER_ID = ["signed under another id", "unsigned under another id"]


def choose_recipe(choose: Choose) -> Recipe:
    kind = choose(sorted(USUAL))
    target = choose([None, None, None, TARGETS.get(kind)])
    return Recipe(
        kind=kind,
        key=choose(choose([USUAL[kind]] * 4 + [UNUSUAL])),
        paper=choose(PAPERS),
        created_at=choose(TIMES),
        target=target,
        variant=choose([0, 0, 0, 1, 2]),
        previous=choose([DROP, DROP, DROP, None, *PREVIOUS]),
        further=choose([0, 0, 1]),
        mutation=choose(MOSTLY_NONE),
    )


def choose_sibling(choose: Choose, of: list[Recipe]) -> Recipe:
    """An event that meets one of these: in its slot, in its previous event, or in its id."""
    recipe = choose(of)
    change = choose(CHANGES)
    if change == "slot":
        variant, further = choose(range(3)), choose(range(3))
        return recipe._replace(variant=variant, further=further, mutation="none")
    if change == "fork":
        previous, created_at = choose(PREVIOUS), choose(TIMES)
        return recipe._replace(previous=previous, created_at=created_at, mutation="none")
    if change == "mutation":
        return recipe._replace(mutation=choose(FAULTY))
    if change == "signature":
        return recipe._replace(mutation=choose(["none", "signed again"]))
    if change == "id":
        return recipe._replace(further=choose(range(3)), mutation=choose(ANOTHER_ID))
    if change == "unsigned":
        return recipe._replace(mutation="unsigned")
    if change == "time":
        return recipe._replace(created_at=choose(TIMES))
    return recipe


AliasRow = tuple[str, str, str, str]


def derivable(paper: Paper) -> list[tuple[str, str]]:
    return [
        ("arxiv", paper.source_id),
        ("arxiv_version", f"{paper.source_id}v{paper.version}"),
        ("doi", f"10.48550/arxiv.{paper.source_id}"),
        *((f"pith_short_{length}", paper.suffix[:length]) for length in (8, 12, 16)),
    ]


def choose_alias_row(choose: Choose) -> AliasRow:
    """Mostly an alias that is derivable, if not always for the paper that claims it."""
    paper, other = choose(PAPERS), choose(PAPERS)
    kind, value = choose(derivable(other))
    value = choose([value, value, value, value.lower(), value + " ", ""])
    return paper.number, kind, value, choose([*TIMES, *ALIAS_TIMES])


class History(NamedTuple):
    """Events and alias rows in some order of arrival."""

    events: list[Json]
    aliases: list[AliasRow]
    as_of: str | None


def choose_history(choose: Choose, as_of: Sequence[str | None]) -> History:
    first = [choose_recipe(choose) for _ in range(choose(range(6)))]
    siblings = [choose_sibling(choose, first) for _ in range(choose(range(10)))] if first else []
    arrived: list[Recipe] = []
    for recipe in (*first, *siblings):
        arrived.insert(choose(range(len(arrived) + 1)), recipe)
    return History(
        events=[build(recipe) for recipe in arrived],
        aliases=[choose_alias_row(choose) for _ in range(choose(range(6)))],
        as_of=choose(as_of),
    )


# --- strategies

ANY_TIME = [None, *TIMES, "0001-01-01T00:00:00Z", at(59)]


def choosing(draw: st.DrawFn) -> Choose:
    def choose(options: Sequence[T], /) -> T:
        return draw(st.sampled_from(options))

    return choose


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    return choose_recipe(choosing(draw))


@st.composite
def alias_rows(draw: st.DrawFn) -> AliasRow:
    return choose_alias_row(choosing(draw))


@st.composite
def histories(draw: st.DrawFn, as_of: Sequence[str | None] = ANY_TIME) -> History:
    return choose_history(choosing(draw), as_of)


@functools.cache
def fixed_histories(count: int) -> tuple[History, ...]:
    """So many histories, the same at every run and with every release of hypothesis."""
    generator = random.Random("histories")
    return tuple(choose_history(generator.choice, [None]) for _ in range(count))
