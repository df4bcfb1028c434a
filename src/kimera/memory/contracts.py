"""What goes into the memory's index and what its answers look like: frozen values whose JSON reads back equal.

Everything here is data. `PatternChange`, `Body` and the option classes come from the room's storage side; the index,
the predictions, the next-event distribution, the guard and the why-view answer with the other classes. An event is a
tuple of symbols, a pattern or a short-term memory a tuple of events; JSON has lists in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kimera.memory._record import Composed, Record

__all__ = [
    "Anomaly",
    "Bodies",
    "Body",
    "Composed",
    "EpisodeView",
    "Event",
    "Events",
    "Figure",
    "FuturePotential",
    "Guard",
    "GuardOptions",
    "Learned",
    "Loop",
    "MemoryTuning",
    "NextCandidate",
    "NextEvents",
    "NextOptions",
    "Observed",
    "PatternChange",
    "Prediction",
    "Predictions",
    "RecallOptions",
    "Record",
    "Statistics",
    "Why",
    "WhySymbol",
]

Event = tuple[str, ...]
Events = tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class MemoryTuning(Record):
    """Switch each optimisation; every combination gives the same bytes, only at another speed.

    ``inverted_index`` (1) postings instead of a scan of all patterns; ``caches`` (2) bodies, predictions, near
    symbols; ``parallel`` (3) threads for the alignments; ``bound`` (4) drop by the overlap bound before aligning;
    ``incremental`` (5) session overlap counters; ``pools`` (6); ``streams`` (7) Redis streams for the short-term
    memory; ``prescreen`` (8) exact symbol bitmaps per segment; ``batch`` (9) one pass for `observe_sequence`;
    ``sequence_bound`` the second bound by longest common subsequence; ``accelerate`` compiled kernels where numba is
    installed. ``threads`` 0 = one per CPU. ``cache_dir``: where compiled kernels are kept; with None they load only
    when `rehearse` asks.
    """

    inverted_index: bool = True
    caches: bool = True
    parallel: bool = True
    bound: bool = True
    incremental: bool = True
    pools: bool = True
    streams: bool = True
    prescreen: bool = True
    batch: bool = True
    sequence_bound: bool = True
    accelerate: bool = True
    threads: int = 0
    cache_dir: str | None = None


@dataclass(frozen=True, slots=True)
class PatternChange(Record):
    """State a pattern as it stands after a log record; the index replaces what it knew about ``id``.

    ``events`` may be None where the index already holds the pattern. ``frequency`` 0 means the pattern is gone.
    ``outcomes`` and ``utility`` are the number of outcomes and the sum of their utilities. ``vectors`` gives the
    coordinates of every vector symbol in ``events`` that the index may not know yet.
    """

    id: str
    events: Events | None
    frequency: int
    outcomes: int = 0
    utility: float = 0.0
    vectors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body(Record):
    """Hold what a prediction shows of a pattern beyond its events; read for the winners only.

    ``emotives`` are the means over the window, ``metadata`` the distinct values per key, ``cost`` the mean cost or
    None, ``label`` the pattern's label already joined with that of the short-term memory.
    """

    name: str = ""
    emotives: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    label: Mapping[str, Any] | None = None


#: Read the bodies of these pattern ids; ids that are not answered get an empty `Body`.
Bodies = Callable[[Sequence[str]], Mapping[str, Body]]


@dataclass(frozen=True, slots=True)
class RecallOptions(Record):
    """Hold checked recall options; the meaning and limits of each are in docs/memory-predictions.md."""

    recall_threshold: float = 0.1
    max_predictions: int = 100
    anchor: Literal["anywhere", "start"] = "anywhere"
    matching: Literal["tokens", "characters"] = "tokens"
    fuzzy_token_threshold: float = 0.0
    vector_max_distance: float = 0.1
    affinity_emotive: str | None = None
    rank_by: str = "potential"


@dataclass(frozen=True, slots=True)
class NextOptions(Record):
    """Hold checked options of the next-event distribution. ``limit`` bounds the listing, never the figures."""

    max_order: int = 5
    min_count: int = 1
    max_unknown: float = 0.5
    min_probability: float = 0.0
    weight: Literal["frequency", "utility"] = "frequency"
    limit: int = 100


@dataclass(frozen=True, slots=True)
class GuardOptions(Record):
    """Hold checked options of the guard: how often a loop repeats, and the surprise in bits that is an anomaly."""

    loop_repeats: int = 3
    surprise_limit: float = 6.0


@dataclass(frozen=True, slots=True)
class Anomaly(Record):
    """Name an observed symbol that was taken for a near one of the pattern. Vectors: similarity = 1 - distance."""

    observed: str
    expected: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Prediction(Record):
    """Compare one learned pattern with the short-term memory; fields and formulas in docs/memory-predictions.md."""

    id: str
    name: str
    sequence: Events
    length: int
    frequency: int
    matches: tuple[str, ...]
    past: Events
    present: Events
    future: Events
    missing: Events
    extras: Events
    anomalies: tuple[Anomaly, ...]
    alignment: tuple[tuple[int, int], ...]
    similarity: float
    evidence: float
    confidence: float
    snr: float
    fragmentation: int
    itfdf_similarity: float
    potential: float
    confluence: float
    entropy: float
    normalized_entropy: float
    hamiltonian: float
    global_normalized_entropy: float
    grand_hamiltonian: float
    tfidf_score: float
    pattern_probability: float
    bayesian_prior: float
    bayesian_likelihood: float
    bayesian_posterior: float
    weighted_strength: float
    predictive_information: float
    emotives: Mapping[str, float]
    metadata: Mapping[str, Any]
    utility: float
    cost: float | None
    outcomes: int
    weighted_similarity: float | None = None
    weighted_evidence: float | None = None
    weighted_confidence: float | None = None
    weighted_snr: float | None = None
    label: Mapping[str, Any] | None = None
    type: Literal["prototypical"] = "prototypical"


@dataclass(frozen=True, slots=True)
class FuturePotential(Record):
    """Sum up the candidates that expect the same future; ``aggregate_potential`` is that future's share."""

    future: Events
    aggregate_potential: float
    supporting_patterns: int
    total_weighted_frequency: float


@dataclass(frozen=True, slots=True)
class Statistics(Record):
    """State the memory and the ensemble that the figures of the predictions refer to."""

    patterns: int
    symbols: int
    total_frequency: int
    ensemble: int
    ensemble_frequency: int
    ensemble_weight: float


@dataclass(frozen=True, slots=True)
class Predictions(Composed):
    """Answer a short-term memory: the best predictions, all expected futures, and what they were computed from.

    ``future_potentials`` covers the whole ensemble. The objects in both lists are made when they are first read.
    """

    predictions: Sequence[Prediction]
    future_potentials: Sequence[FuturePotential]
    statistics: Statistics
    memory_seq: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NextCandidate(Record):
    """Give one possible next event: ``counts[k]`` is how often it followed the context of order k."""

    event: Event
    probability: float
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class NextEvents(Record):
    """Distribute probability over what comes next; ``events`` + ``others`` + ``end`` + ``unknown`` sum to 1.

    ``answer`` is the likeliest event, () where the pattern ends, None with a ``reason`` where there is no answer.
    ``totals`` and ``distinct`` are n_k and u_k per order up to ``order``; ``end_counts`` likewise. ``others`` is the
    mass of the events past the listing limit, ``symbols`` the summed probability per symbol (the likeliest first).
    """

    answer: Event | None
    reason: Literal["empty", "no_context", "too_few", "too_uncertain"] | None
    order: int
    events: tuple[NextCandidate, ...]
    others: float
    end: float
    end_counts: tuple[float, ...]
    unknown: float
    totals: tuple[float, ...]
    distinct: tuple[int, ...]
    symbols: Mapping[str, float]
    memory_seq: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loop(Record):
    """Locate a repetition at the end of the short-term memory, in events."""

    period: int
    repeats: int
    start: int


@dataclass(frozen=True, slots=True)
class Guard(Record):
    """Judge the newest event. ``surprise`` is in bits; ``order`` and ``count`` tell what it rests on.

    ``skipped`` is the `missing` of the top prediction, ``divergence`` the first event with an extra in it.
    """

    verdict: Literal["loop", "anomaly", "unknown", "ok"]
    event: Event | None
    loop: Loop | None
    surprise: float | None
    order: int
    count: float
    expected: Event | None
    reason: str | None
    skipped: Events
    divergence: int | None
    memory_seq: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WhySymbol(Record):
    """Say what became of one symbol. ``partner`` is the index on the other side it was matched to.

    ``state`` is matched, replaced (matched to a near symbol), missing, extra, or outside (of `present`).
    """

    index: int
    event: int
    symbol: str
    state: Literal["matched", "replaced", "missing", "extra", "outside"]
    partner: int | None
    near: str | None = None


@dataclass(frozen=True, slots=True)
class Figure(Record):
    """Give one figure with its formula and the inputs that reproduce it."""

    name: str
    formula: str
    inputs: Mapping[str, Any]
    value: float | int | None


@dataclass(frozen=True, slots=True)
class EpisodeView(Record):
    """Name one log record that taught a pattern."""

    seq: int
    at: str
    source: str
    session: str | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Why(Record):
    """Explain one pattern against the short-term memory; ``text`` renders it for people.

    ``rank`` counts from 1 within the ensemble, None where the pattern is no candidate. ``cut`` is its place past
    ``max_predictions`` (0 = shown); ``shortfall`` how far the similarity lies below the threshold (0.0 = reached).
    """

    prediction: Prediction
    pattern: tuple[WhySymbol, ...]
    observed: tuple[WhySymbol, ...]
    figures: tuple[Figure, ...]
    probabilities: Mapping[str, float]
    statistics: Statistics
    episodes: tuple[EpisodeView, ...]
    rank: int | None
    cut: int
    shortfall: float
    memory_seq: int
    options: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Learned(Record):
    """Report a learned pattern; returned only after its log record is committed."""

    id: str
    name: str
    seq: int
    new: bool
    frequency: int
    length: int
    status: Literal["learned"] = "learned"


@dataclass(frozen=True, slots=True)
class Observed(Composed):
    """Report one observation. ``time`` counts the observations of the session, empty ones too.

    ``record_attached`` tells whether emotives or metadata were kept; ``duplicate`` that this ``unique_id`` was seen
    before and nothing was applied.
    """

    time: int
    unique_id: str | None
    event_added: bool
    stm_length: int
    memory_seq: int
    auto_learned_pattern: str | None = None
    auto_learned_id: str | None = None
    predictions: Predictions | None = None
    guard: Guard | None = None
    record_attached: bool = False
    duplicate: bool = False
    status: Literal["okay"] = "okay"
