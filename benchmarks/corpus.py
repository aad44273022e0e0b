"""A corpus of signed events such as a mirror would receive, made from a seed.

What lives here: papers, what is said about them, what goes wrong with it on the way, and the keys
that sign. What must not: files (`generate`), measuring (`run`, `peers`), and chance: the same seed
gives the same bytes on every machine. So every draw is made from `random.Random(int).random()`,
the one method that Python promises to keep, and with whole numbers where a sum could round.

Every key follows in the open from the seed: never trust one outside of benchmarks.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pithgraph.canonical import digest, encode

Json = dict[str, Any]
Item = TypeVar("Item")


class Shape(NamedTuple):
    """What a corpus has beside two valid events a paper; the shares are of 1."""

    duplicates: float = 0.01
    """Of the lines: those that repeat an earlier one."""
    late: float = 0.05
    """Of the lines: those that arrive after up to `LATE_BY` lines that they stood before."""
    invalid: float = 0.01
    """How many invalid events there are for each valid one, of all `FAULTS` alike."""
    equivocations: float = 0.001
    """Of the papers: those that one key says two things about, by either rule."""
    attested: float = 0.10
    """Of the papers: those with attestations, up to `MOST_ATTESTATIONS`, few as a rule."""
    attestors: int = 500
    """How many keys attest; a few of them do so most often."""


USUAL: Final = Shape()
PLAIN: Final = Shape(0, 0, 0, 0, 0, 0)
"""Two valid events a paper, in order, and nothing else."""

LATE_BY: Final = 1000
MOST_ATTESTATIONS: Final = 1000
# What may be repeated: this many lines, of which one is replaced at every 50th line, so that the
# repeated ones are 50,000 lines old on average and need not be in anybody's cache.
_KEPT_LINES: Final = 1000
_KEEP: Final = 0.02

# --- words -----------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_WORDS: Final = _split(
    r"""
    a a a an an the the the the of of of of and and and in in to to for for with on is are by we
    we that that this this from as at be can or our these which using based between under than it
    its also such not both has have been show shows propose present study introduce prove derive
    obtain consider investigate analyze compare evaluate develop demonstrate describe estimate
    measure observe find discuss report extend improve reduce learn train compute simulate predict
    explain review first second new novel recent previous different several many most large small
    high low general special simple complex linear nonlinear local global random deterministic
    stochastic discrete continuous finite infinite optimal robust efficient scalable sparse dense
    deep neural convolutional recurrent adversarial generative Bayesian Gaussian quantum classical
    relativistic thermal magnetic electronic optical acoustic galactic stellar solar planetary
    topological algebraic geometric analytic numerical experimental theoretical statistical
    spectral temporal spatial causal model models method methods approach approaches algorithm
    algorithms network networks data dataset datasets system systems theory theorem proof result
    results problem problems analysis framework architecture representation representations
    feature features space spaces function functions operator operators equation equations field
    fields group groups algebra manifold manifolds graph graphs tree matrix matrices tensor kernel
    measurement measurements observation observations experiment experiments simulation
    simulations sample samples distribution distributions probability likelihood inference
    estimation prediction classification regression clustering optimization regularization
    convergence stability complexity accuracy performance error errors bound bounds rate rates
    limit limits parameter parameters dimension dimensions energy mass temperature pressure
    density momentum velocity frequency amplitude phase phases transition transitions symmetry
    entropy entanglement decoherence scattering emission absorption spectrum spectra redshift
    luminosity galaxy galaxies star stars halo cluster plasma photon photons electron electrons
    neutrino boson fermion lattice superconductivity graphene polymer protein proteins cell cells
    gene genes population populations language languages translation attention transformer
    embedding embeddings token tokens reinforcement policy reward agent agents robot robots vision
    image images video segmentation detection recognition speech signal signals noise channel
    coding security privacy protocol protocols blockchain distributed parallel memory latency
    throughput hardware software verification logic automata game equilibrium market risk traffic
    climate state-of-the-art end-to-end non-perturbative high-dimensional low-rank large-scale
    real-world multi-agent semi-supervised (GAN) (CNNs) (MRI) (LHC) e.g., i.e., however, moreover,
    furthermore, finally, "ground "truth" "best "dark 10% 3D 95% Schrödinger Poincaré Erdős Rényi
    Kähler Hölder Gödel Hörmander naïve Ångström façade Čech Łojasiewicz Itô Gröbner Möbius Bézier
    — … μm ∼ ± ≤ $\alpha$ $\alpha$ $\beta$ $\mathcal{O}(n\log~n)$ $\ell_1$ $\ell_2$ $p<0.05$ $N=4$
    $\mathbb{R}^d$ $\Lambda$CDM $\epsilon$ $SU(2)$ $L^2$ $\sqrt{s}=13$ $H_0$ $\nabla~f$ $k$ $n$
    """
)
_GIVEN: Final = _split(
    """
    Ada Alan Amélie Andrés Anna Boris Carlos Chen Daniel Dmitri Elena Emily Fatima François Grace
    Haruki Hua Ivan Jacob Jürgen Karl Laura Li Łukasz María Mei Michael Nadia Olga Paul Priya
    Ramón Sangwon Søren Tomáš Wei Xin Yasmin Yu Zoë
    """
)
_FAMILY: Final = _split(
    """
    Abbott Andersson Bauer Chatterjee Chen Dubois Fernández Fischer García Gupta Hansen Ivanov
    Jensen Kepner Kim Kowalski Lee Li Martínez Müller Nakamura Nguyen Novák O'Brien Okafor Park
    Patel Rossi Sato Schmidt Silva Singh Smith Suzuki Tanaka Wang Weiß Yılmaz Zhang Zhou
    """
)
_CATEGORIES: Final = _split(
    """
    cs.LG cs.CV cs.CL cs.AI cs.DS cs.IT cs.RO cs.CR stat.ML math.AP math.CO math.NA math.PR math.AG
    hep-th hep-ph hep-ex gr-qc quant-ph astro-ph.CO astro-ph.GA astro-ph.SR cond-mat.str-el
    cond-mat.mes-hall physics.optics nucl-th eess.SP eess.IV q-bio.NC econ.EM
    """
)
_LICENSES: Final = (
    "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
    "http://creativecommons.org/licenses/by/4.0/",
    "http://creativecommons.org/licenses/by-nc-sa/4.0/",
)
_RELATIONS: Final = ("supports", "refutes", "extends", "uses_method", "depends_on", "cites")
_CALENDARS: Final = ("alice.btc.calendar.example", "bob.btc.calendar.example", "bitcoin")
_ARCHIVES: Final = ("Internet Archive", "Zenodo", "Software Heritage", "Bibliothèque ouverte")

_BUILDER: Final = "pith-number-builder-2026-05-17-v1"
_NOTHING: Final = digest(encode({"payload": []}))
_EXCERPT: Final = 600
_START: Final = datetime(2026, 5, 18)
_PAPERS_A_SECOND: Final = 8
# Months of submission: 136 of them from January 2015 on, before the first event.
_FIRST_YEAR: Final = 2015
_MONTHS: Final = 136
# The hot paper stands before the first one of any corpus.
_HOT: Final = -1


# --- chance ----------------------------------------------------------------------------------


class Dice:
    """Draws that follow from a name alone."""

    def __init__(self, *name: object) -> None:
        seed = hashlib.sha256("/".join(map(str, name)).encode()).digest()
        self.random = random.Random(int.from_bytes(seed, "big")).random

    def below(self, end: int) -> int:
        return int(self.random() * end)

    def between(self, first: int, last: int) -> int:
        return first + int(self.random() * (last - first + 1))

    def happens(self, share: float) -> bool:
        return self.random() < share

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.random() * len(items))]

    def picks(self, items: Sequence[Item], count: int) -> list[Item]:
        draw, length = self.random, len(items)
        return [items[int(draw() * length)] for _ in range(count)]

    def index(self, sums: Sequence[int]) -> int:
        """An index, by weights of which `sums` are the running sums."""
        return bisect(sums, int(self.random() * sums[-1]))

    def bytes(self, count: int) -> bytes:
        return hashlib.shake_128(self.random().hex().encode()).digest(count)

    def sha256(self) -> str:
        return self.bytes(32).hex()


def _zipf(count: int, exponent: int) -> list[int]:
    """The running sums of the weights of 1, 2, … by Zipf's law, as whole numbers."""
    return list(accumulate(10**15 // rank**exponent for rank in range(1, count + 1)))


_ATTESTATIONS: Final = _zipf(MOST_ATTESTATIONS, 2)


# --- keys ------------------------------------------------------------------------------------


class Signatory:
    """A key and whom it speaks for."""

    def __init__(self, seed: int, name: str, signer_type: str, signer_id: str) -> None:
        secret = hashlib.sha256(f"pithgraph benchmark key {seed} {name}".encode()).digest()
        private = Ed25519PrivateKey.from_private_bytes(secret)
        self.public: bytes = private.public_key().public_bytes_raw()
        self.sign: Callable[[bytes], bytes] = private.sign
        self.fingerprint = hashlib.sha256(self.public).hexdigest()[:32]
        self.signer = {
            "key_id": f"bench-{name}",
            "signer_id": signer_id,
            "signer_type": signer_type,
            "public_key_fingerprint": self.fingerprint,
        }

    @property
    def type(self) -> str:
        return self.signer["signer_type"]

    def sign_b64(self, message: bytes) -> str:
        return base64.b64encode(self.sign(message)).decode()

    def entry(self, **members: Any) -> Json:
        """This key's row of a keyring."""
        public = base64.b64encode(self.public).decode()
        return {**self.signer, "algorithm": "ed25519", "public_key_b64": public, **members}


# Who attests, in the order of rank, over and over.
_TYPES: Final = ("author", "reader", "author", "mirror", "author", "reader")


class Cast:
    """Everybody who signs."""

    def __init__(self, seed: int, attestors: int) -> None:
        self.registry = Signatory(seed, "registry", "pith_registry", "registry.example")
        self.revoked = Signatory(seed, "revoked", "reader", "revoked@example.org")
        self.stranger = Signatory(seed, "stranger", "reader", "stranger@example.org")
        """The one whom the keyring does not hold."""
        self.attestors = [
            Signatory(seed, f"{kind}-{rank}", kind, f"{kind}-{rank}@example.org")
            for rank, kind in ((rank, _TYPES[rank % len(_TYPES)]) for rank in range(attestors))
        ]
        self._ranks = _zipf(attestors, 1)

    def attestor(self, dice: Dice) -> Signatory:
        return self.attestors[dice.index(self._ranks)]


def keyring(seed: int, shape: Shape = USUAL) -> Json:
    """The keyring under which a corpus of this seed is valid, but for what is meant not to be."""
    cast = Cast(seed, shape.attestors)
    entries = [cast.registry.entry(), *(key.entry() for key in cast.attestors)]
    return {"keys": [*entries, cast.revoked.entry(revoked=True)]}


# --- events ----------------------------------------------------------------------------------
# Members below the top level stand in the order in which PostgreSQL keeps those of a jsonb:
# shorter names first, then by bytes. So no line is canonical.


def _event(
    key: Signatory,
    kind: str,
    paper: str,
    target: str,
    created_at: str,
    payload: Json,
    previous: str | None = None,
) -> Json:
    body: Json = {
        "event_type": kind,
        "subject_pith_number": paper,
        "target": target,
        "created_at": created_at,
        "signer": key.signer,
        "payload": payload,
    }
    if previous is not None:
        body["previous_event_id"] = previous
    computed = hashlib.sha256(encode(body))
    return {
        "event_type": kind,
        "subject_pith_number": paper,
        "event_id": "sha256:" + computed.hexdigest(),
        **body,
        "signature": {
            "key_id": key.signer["key_id"],
            "algorithm": "ed25519",
            "signature_b64": key.sign_b64(computed.digest()),
            "signed_message": "event_sha256_bytes",
        },
    }


def _prose(dice: Dice, length: int) -> str:
    """Sentences of about `length` characters in all, never more."""
    words = dice.picks(_WORDS, length // 7 + 4)
    start = 0
    while start < len(words):
        end = min(start + dice.between(8, 30), len(words))
        words[start] = words[start][:1].upper() + words[start][1:]
        words[end - 1] += "."
        start = end
    return " ".join(words)[: length + 1].rpartition(" ")[0]


def _name(dice: Dice) -> str:
    return f"{dice.pick(_GIVEN)} {dice.pick(_FAMILY)}"


def _text_sha256(text: str) -> str:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()


def _time(moment: datetime) -> str:
    return moment.isoformat() + "Z"


def _pith_number(year: str, sha256: bytes) -> str:
    return f"pith:{year}:{base64.b32encode(sha256)[:26].decode()}"


class Paper:
    """One paper: its number, its two events by the registry, and a calendar of its own.

    No two moments are the same, so that no key says two things in one second unless it means to.
    """

    def __init__(self, cast: Cast, seed: int, index: int) -> None:
        self.cast = cast
        self.dice = dice = Dice("pithgraph corpus", seed, "paper", index)
        self._now = _START + timedelta(seconds=index // _PAPERS_A_SECOND)
        self._last: dict[str, str] = {}
        month = index % _MONTHS
        year = str(_FIRST_YEAR + month // 12)
        category = dice.pick(_CATEGORIES)
        others = {dice.pick(_CATEGORIES): None for _ in range(dice.below(4))}
        title = _prose(dice, dice.between(35, 110)).rstrip(". ")
        abstract = _prose(dice, dice.between(350, 1900))
        submitted_at = (
            f"{year}-{month % 12 + 1:02}-{dice.between(1, 28):02}T"
            f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}Z"
        )
        self.about: Json = {
            "title": title,
            "license": _LICENSES[dice.index((6, 9, 10))],
            "headline": "",
            "cross_cats": sorted(name for name in others if name != category),
            "primary_cat": category,
            "authors_text": ", ".join(sorted(_name(dice) for _ in range(dice.between(1, 8)))),
            "submitted_at": submitted_at,
            "abstract_excerpt": abstract[:_EXCERPT],
        }
        self.source: Json = {
            "id": f"{year[2:]}{month % 12 + 1:02}.{index // _MONTHS + 1:05}",
            "kind": "arxiv",
            "version": 1 + dice.index((60, 85, 95, 99, 100)),
        }
        self.record: Json = {
            "source": self.source,
            "metadata": {
                "license": self.about["license"],
                "primary_cat": category,
                "submitted_at": submitted_at,
                "cross_cats_sorted": self.about["cross_cats"],
                "title_canon_sha256": _text_sha256(title),
                "abstract_canon_sha256": _text_sha256(abstract),
            },
            "schema_version": "1.0",
        }
        self.sha256 = hashlib.sha256(encode(self.record)).digest()
        self.number = _pith_number(year, self.sha256)

    def tick(self) -> str:
        """The next moment at which something is said about this paper."""
        self._now += timedelta(seconds=self.dice.between(1, 3600))
        return _time(self._now)

    def event(self, key: Signatory, kind: str, target: str, payload: Json) -> Json:
        """An event of the next moment, which names the key's last one about this paper."""
        previous = self._last.get(key.fingerprint)
        event = _event(key, kind, self.number, target, self.tick(), payload, previous)
        self._last[key.fingerprint] = event["event_id"]
        return event

    def last(self, key: Signatory) -> str | None:
        """The id of what this key said last."""
        return self._last.get(key.fingerprint)

    def registered(self) -> list[Json]:
        """What the registry says of every paper: two events of one second, as published."""
        registry, now = self.cast.registry, _time(self._now)
        created = _event(registry, "record_created", self.number, "record", now, self._created())
        snapshot = {"verdict_id": None, "graph_snapshot": self._snapshot()}
        return [created, _event(registry, "graph_snapshot", self.number, "graph", now, snapshot)]

    def _created(self) -> Json:
        micros = self.dice.below(900_000)
        computed = f"{self._now.isoformat()}.{micros:06}Z"
        receipt = {
            "kind": "pith_receipt",
            "key_id": self.cast.registry.signer["key_id"],
            "algorithm": "ed25519",
            "signed_at": f"{self._now.isoformat()}.{micros + self.dice.between(500, 2000):06}Z",
            "signature_b64": self.cast.registry.sign_b64(self.sha256),
            "signed_message": "canonical_sha256_bytes",
            "builder_version": _BUILDER,
            "receipt_version": "0.3",
            "canonical_sha256": self.sha256.hex(),
            "last_reissued_at": computed,
            "signature_status": "signed_v1",
            "first_computed_at": computed,
            "public_key_fingerprint": self.cast.registry.fingerprint,
        }
        return {
            "receipt": receipt,
            "source_id": self.source["id"],
            "source_kind": self.source["kind"],
            "source_version": self.source["version"],
            "canonical_record": self.record,
            "canonical_sha256": self.sha256.hex(),
            "attestation_state": "computed",
        }

    def _snapshot(self) -> Json:
        return {
            "paper": self.about,
            "claims": {"count": 0, "items": [], "snapshot_sha256": _NOTHING},
            "source": self.source,
            "verdict": {
                "id": None,
                "model_set": {},
                "created_at": None,
                "strongest_claim": "",
                "one_line_summary": "",
                "pipeline_version": None,
                "weakest_assumption": "",
                "pith_extraction_headline": "",
            },
            "references": self._references(),
            "formal_canon": {"evidence_count": 0, "snapshot_sha256": _NOTHING},
            "author_claims": {"count": 0, "strong_count": 0, "snapshot_sha256": _NOTHING},
            "builder_version": _BUILDER,
        }

    def _references(self) -> Json:
        dice = self.dice
        # A snapshot shows at most eight of them. What the items of a sample are is not known from
        # published documents, so their members are made up.
        count = dice.between(3, 80) if dice.happens(0.45) else 0
        resolved = dice.between(0, count)
        sample = [
            {
                "doi": f"10.{dice.between(1000, 9999)}/{dice.bytes(5).hex()}",
                "year": dice.between(1960, 2026),
                "title": _prose(dice, dice.between(30, 100)),
                "authors": f"{_name(dice)} et al.",
                "position": position + 1,
            }
            for position in range(min(count, 8))
        ]
        return {
            "count": count,
            "sample": sample,
            "resolved_work": resolved,
            "snapshot_sha256": digest(encode({"payload": sample})),
            "internal_anchors": dice.between(0, resolved),
        }


# --- attestations ----------------------------------------------------------------------------


def _statement(dice: Dice) -> str:
    return _prose(dice, dice.between(80, 600))


def _author_attestation(paper: Paper, key: Signatory) -> Json:
    dice, digits = paper.dice, f"{paper.dice.below(10**12):012}"
    payload = {
        "author": {
            "name": _name(dice),
            "orcid": f"0000-{digits[:4]}-{digits[4:8]}-{digits[8:]}",
        },
        "method": dice.pick(("email", "orcid", "homepage")),
        "strength": dice.pick(("weak", "strong")),
        "statement": _statement(dice),
    }
    return paper.event(key, "author_attestation", f"author:{key.signer['signer_id']}", payload)


def _citation_signature(
    paper: Paper, key: Signatory, relation: str | None = None, target: str | None = None
) -> Json:
    dice = paper.dice
    citing = _pith_number(str(dice.between(_FIRST_YEAR, 2026)), dice.bytes(32))
    payload = {
        "context": _statement(dice),
        "relation": relation or dice.pick(_RELATIONS),
        "citing_pith_number": citing,
    }
    return paper.event(key, "citation_signature", target or f"citation:{citing}", payload)


def _storage_attestation(paper: Paper, key: Signatory) -> Json:
    dice = paper.dice
    uri = f"https://archive.example/{dice.bytes(10).hex()}/{paper.source['id']}.pdf"
    payload = {
        "uri": uri,
        "archive": dice.pick(_ARCHIVES),
        "archived_at": _time(_START + timedelta(seconds=dice.below(10**7))),
        "content_sha256": dice.sha256(),
    }
    return paper.event(key, "storage_attestation", f"storage:{uri}", payload)


def _replication_record(paper: Paper, key: Signatory) -> Json:
    dice = paper.dice
    run = dice.bytes(8).hex()
    payload = {
        "uri": f"https://lab.example/runs/{run}",
        "kind": dice.pick(("replication", "formal_bridge", "falsification")),
        "outcome": dice.pick(("succeeded", "failed", "partial")),
        "summary": _statement(dice),
        "evidence_sha256": dice.sha256(),
    }
    return paper.event(key, "replication_record", f"replication:{run}", payload)


def _timestamp_anchor(paper: Paper, key: Signatory) -> Json:
    dice = paper.dice
    confirmed = dice.happens(0.5)
    payload: Json = {
        "method": "opentimestamps",
        "status": "confirmed" if confirmed else "pending",
        "proof_b64": base64.b64encode(dice.bytes(dice.between(150, 450))).decode(),
        **({"block_height": dice.between(900_000, 999_999)} if confirmed else {}),
        "anchored_sha256": paper.sha256.hex(),
    }
    return paper.event(key, "timestamp_anchor", f"anchor:{dice.pick(_CALENDARS)}", payload)


def _mirror_hint(paper: Paper, key: Signatory) -> Json:
    base_url = f"https://{key.signer['signer_id'].split('@')[0]}.example"
    payload = {
        "base_url": base_url,
        "state_pattern": "/pith/{suffix}/state.json",
        "bundle_pattern": "/pith/{suffix}/bundle.json",
    }
    return paper.event(key, "mirror_hint", f"mirror:{base_url}", payload)


def _correction(paper: Paper, key: Signatory) -> Json:
    dice, said = paper.dice, paper.last(key)
    if said is None:
        payload = {"action": "amend", "reason": _statement(dice)}
        return paper.event(key, "correction", dice.pick(("record", "graph")), payload)
    payload = {"action": "retract", "reason": _statement(dice), "event_id": said}
    return paper.event(key, "correction", said, payload)


Attest = Callable[[Paper, Signatory], Json]

# What a key of each type says, as often as it stands here.
ATTESTATIONS: Final[dict[str, tuple[Attest, ...]]] = {
    "author": (
        *(_author_attestation, _author_attestation, _author_attestation, _author_attestation),
        *(_citation_signature, _citation_signature, _replication_record, _correction),
    ),
    "reader": (
        *(_citation_signature, _citation_signature, _citation_signature),
        *(_replication_record, _storage_attestation, _timestamp_anchor),
    ),
    "mirror": (_mirror_hint, _storage_attestation, _timestamp_anchor),
}


def _attestation(paper: Paper) -> Json:
    key = paper.cast.attestor(paper.dice)
    return paper.dice.pick(ATTESTATIONS[key.type])(paper, key)


# --- equivocations ---------------------------------------------------------------------------


def _same_slot(paper: Paper) -> list[Json]:
    """One key says two things about one target in one second."""
    key = paper.cast.attestor(paper.dice)
    first = _storage_attestation(paper, key)
    payload = {**first["payload"], "content_sha256": paper.dice.sha256()}
    kind, target, now = first["event_type"], first["target"], first["created_at"]
    return [first, _event(key, kind, paper.number, target, now, payload)]


def _fork(paper: Paper) -> list[Json]:
    """One key says two things, each as the next after the same event."""
    key = paper.cast.attestor(paper.dice)
    first, second = _citation_signature(paper, key), _citation_signature(paper, key)
    payload = {**second["payload"], "relation": "replaces"}
    kind, target, now = second["event_type"], second["target"], paper.tick()
    twin = _event(key, kind, paper.number, target, now, payload, previous=first["event_id"])
    return [first, second, twin]


EQUIVOCATIONS: Final = {"same_slot": _same_slot, "fork": _fork}


# --- invalid events --------------------------------------------------------------------------


def _bad_signature(paper: Paper, key: Signatory) -> Json:
    event = _citation_signature(paper, key)
    signature = {**event["signature"], "signature_b64": key.sign_b64(b"something else")}
    return {**event, "signature": signature}


def _event_id_mismatch(paper: Paper, key: Signatory) -> Json:
    return {**_citation_signature(paper, key), "event_id": "sha256:" + paper.dice.sha256()}


def _missing_signature(paper: Paper, key: Signatory) -> Json:
    return {**_citation_signature(paper, key), "signature": None}


def _unknown_key(paper: Paper, _: Signatory) -> Json:
    return _citation_signature(paper, paper.cast.stranger)


def _key_not_valid(paper: Paper, _: Signatory) -> Json:
    return _citation_signature(paper, paper.cast.revoked)


def _invalid_payload(paper: Paper, key: Signatory) -> Json:
    return _citation_signature(paper, key, relation="praises")


def _target_mismatch(paper: Paper, key: Signatory) -> Json:
    return _citation_signature(paper, key, target="graph")


# The verdict, and what gets it.
FAULTS: Final[dict[str, Attest]] = {
    "bad_signature": _bad_signature,
    "event_id_mismatch": _event_id_mismatch,
    "missing_signature": _missing_signature,
    "unknown_key": _unknown_key,
    "invalid_payload": _invalid_payload,
    "target_mismatch": _target_mismatch,
    "key_not_valid": _key_not_valid,
}


# --- the corpus ------------------------------------------------------------------------------


def lines(papers: int, seed: int, shape: Shape = USUAL) -> Iterator[bytes]:
    """The corpus: one event a line, without its newline.

    A paper's events stand together, but for those that are late, and the papers in the order in
    which they were registered. Memory does not grow with their number.
    """
    cast = Cast(seed, shape.attestors)
    dice = Dice("pithgraph corpus", seed, "order")
    events = (event for index in range(papers) for event in _events(cast, seed, index, shape))
    return _repeated(_delayed(map(_line, events), dice, shape.late), dice, shape.duplicates)


def hot_paper(events: int, seed: int) -> Iterator[bytes]:
    """One paper of so many events, all valid and without an equivocation: the registry's two, and
    then attestations of all kinds in any order. The keyring is that of the seed."""
    paper = Paper(Cast(seed, USUAL.attestors), seed, _HOT)
    yield from map(_line, paper.registered()[:events])
    attestations = [_line(_attestation(paper)) for _ in range(events - 2)]
    for left in range(len(attestations), 0, -1):
        drawn = paper.dice.below(left)
        attestations[drawn], attestations[left - 1] = attestations[left - 1], attestations[drawn]
        yield attestations.pop()


_line: Final = msgspec.json.Encoder().encode


def _events(cast: Cast, seed: int, index: int, shape: Shape) -> Iterator[Json]:
    """All events about one paper, in the order of their times."""
    paper = Paper(cast, seed, index)
    dice = paper.dice
    for event in _valid_events(paper, shape):
        yield event
        if dice.happens(shape.invalid):
            yield dice.pick(tuple(FAULTS.values()))(paper, cast.attestor(dice))


def _valid_events(paper: Paper, shape: Shape) -> Iterator[Json]:
    dice = paper.dice
    yield from paper.registered()
    if dice.happens(shape.attested):
        for _ in range(1 + dice.index(_ATTESTATIONS)):
            yield _attestation(paper)
    if dice.happens(shape.equivocations):
        yield from dice.pick(tuple(EQUIVOCATIONS.values()))(paper)


def _delayed(incoming: Iterable[bytes], dice: Dice, share: float) -> Iterator[bytes]:
    """The same lines, of which this share arrives late."""
    waiting: list[tuple[int, int, bytes]] = []
    for number, line in enumerate(incoming):
        if dice.happens(share):
            heapq.heappush(waiting, (number + dice.between(1, LATE_BY), number, line))
        else:
            yield line
        while waiting and waiting[0][0] <= number:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _repeated(incoming: Iterable[bytes], dice: Dice, share: float) -> Iterator[bytes]:
    """The same lines, and among them some again, such that these are this share of all."""
    kept: list[bytes] = []
    for line in incoming:
        yield line
        if len(kept) < _KEPT_LINES:
            kept.append(line)
        elif dice.happens(_KEEP):
            kept[dice.below(_KEPT_LINES)] = line
        while dice.happens(share):
            yield dice.pick(kept)
