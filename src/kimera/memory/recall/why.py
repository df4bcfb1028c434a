"""Why: one pattern against the short-term memory, symbol by symbol, each figure with formula, inputs and value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from kimera.errors import NotFoundError
from kimera.memory.contracts import (
    Bodies,
    EpisodeView,
    Events,
    Figure,
    Prediction,
    RecallOptions,
    Why,
    WhySymbol,
)
from kimera.memory.index.overlap import Overlap
from kimera.memory.index.view import View
from kimera.memory.recall.align import Aligned
from kimera.memory.recall.candidates import align_rows
from kimera.memory.recall.ensemble import Ensemble, gather, similarity_of_rows, weighted_sums
from kimera.memory.recall.predict import predictions_at, statistics_of
from kimera.memory.recall.query import Query, build_query

__all__ = ["FORMULAS", "render", "why"]

State = Literal["matched", "replaced", "missing", "extra", "outside"]

#: Every figure as an expression over its inputs; with log2, sqrt, fsum and prod of `math` they evaluate as they stand.
FORMULAS: Mapping[str, str] = {
    "similarity": "2*m/(L+s)",
    "evidence": "m/L",
    "confidence": "m/p if p else 0.0",
    "snr": "(2*m-e)/(2*m+e) if 2*m+e else 0.0",
    "fragmentation": "b-1",
    "itfdf_similarity": "1-(1-(dot/sqrt(left*right) if left and right else 0.0))*f/F",
    "weighted_similarity": "2*wm/(wL+ws)",
    "weighted_evidence": "wm/wL",
    "weighted_confidence": "wm/wp if wp else 0.0",
    "weighted_snr": "(2*wm-we)/(2*wm+we) if 2*wm+we else 0.0",
    "potential": "(evidence+confidence)*snr+itfdf_similarity+1/b if m else 0.0",
    "confluence": "f/T*(1-prod(sorted(prs))) if prs else 0.0",
    "entropy": "-fsum(q*log2(q) for q in shares)+0.0",
    "normalized_entropy": "entropy/log2(V) if V > 1 else 0.0",
    "hamiltonian": "entropy/log2(V) if V > 1 else 0.0",
    "global_normalized_entropy": "(-fsum(q*log2(q) for q in pr)+0.0)/log2(V) if V > 1 else 0.0",
    "grand_hamiltonian": "(-fsum(q*log2(q) for q in pr)+0.0)/log2(V) if V > 1 else 0.0",
    "tfidf_score": "fsum(q*(log2(N/n)+1) for q, n in terms)/len(terms) if terms else 0.0",
    "pattern_probability": "f/F",
    "bayesian_prior": "f/F",
    "bayesian_likelihood": "similarity",
    "bayesian_posterior": "f*similarity/W if W else 0.0",
    "weighted_strength": "similarity*f/F",
    "predictive_information": "min(1.0, weighted_strength/A) if A else 0.0",
    "utility": "(utility_sum+2*mean_utility)/(outcomes+2)",
}


def why(
    view: View,
    events: Events,
    pattern_id: str,
    options: RecallOptions | None = None,
    bodies: Bodies | None = None,
    *,
    episodes: Sequence[EpisodeView] = (),
    vectors: Mapping[str, Sequence[float]] | None = None,
    affinity: Mapping[str, float] | None = None,
    overlap: Overlap | None = None,
) -> Why:
    """Explain one pattern; the arguments are those of `predict`, ``episodes`` the log records that taught it.

    The figures of a pattern below the threshold are those of the ensemble it would join if it were admitted.
    Raises `NotFoundError` (PATTERN_NOT_FOUND).
    """
    options = options or RecallOptions()
    row = view.find(pattern_id)
    if row is None:
        raise NotFoundError(
            f"This memory holds no pattern {pattern_id}; list what it holds with `patterns`.",
            error_code="PATTERN_NOT_FOUND",
        )
    query = build_query(view, events, options, vectors)
    ensemble = gather(view, query, options, affinity, overlap)
    place = np.flatnonzero(ensemble.aligned.rows == row)
    rank = None
    if len(place):
        rank = int(np.flatnonzero(ensemble.order(None) == place[0])[0]) + 1
    else:
        ensemble = _admit(ensemble, row)
        place = np.flatnonzero(ensemble.aligned.rows == row)
    (prediction,) = predictions_at(ensemble, [int(place[0])], bodies)
    near = query.numbers_for(view.row_tokens(row))
    answer = Why(
        prediction=prediction,
        pattern=tuple(_pattern_side(prediction, query)),
        observed=tuple(_observed_side(prediction, query, near, view)),
        figures=tuple(_figures(ensemble, int(place[0]), prediction)),
        probabilities={s: view.holders[n] / view.N for s, n in _symbols(view, prediction, query)},
        statistics=statistics_of(ensemble),
        episodes=tuple(episodes),
        rank=rank,
        cut=max(0, rank - options.max_predictions) if rank else 0,
        shortfall=max(0.0, options.recall_threshold - prediction.similarity),
        memory_seq=view.seq,
        options=options.to_dict(),
    )
    return replace(answer, text=render(answer))


def render(answer: Why) -> str:
    """Return the explanation as lines of text."""
    p, lines = answer.prediction, []
    if answer.rank is not None:
        lines.append(f"{p.id} is number {answer.rank} of {answer.statistics.ensemble} candidates by its rank.")
        if answer.cut:
            lines.append(f"It is {answer.cut} past the last prediction shown; raise max_predictions to see it.")
    elif answer.shortfall:
        lines.append(f"{p.id} is no candidate: its similarity lies {answer.shortfall:.6g} below the threshold.")
    else:
        lines.append(f"{p.id} is no candidate: nothing was observed, or its first match is not in its first event.")
    for title, side in (("pattern", answer.pattern), ("observed", answer.observed)):
        lines.append(f"{title}:")
        for symbol in side:
            partner = "" if symbol.partner is None else f" with {symbol.partner}"
            near = "" if symbol.near is None else f" ({symbol.near})"
            lines.append(f"  {symbol.index} event {symbol.event} {symbol.symbol}: {symbol.state}{partner}{near}")
    lines.append("figures:")
    lines += [f"  {figure.name} = {figure.formula} = {figure.value!r}" for figure in answer.figures]
    lines += [f"taught by {e.seq} at {e.at} from {e.source or 'an unnamed source'}" for e in answer.episodes]
    return "\n".join(lines)


def _admit(ensemble: Ensemble, row: int) -> Ensemble:
    """Return the ensemble with one more row in it."""
    rows = np.array([row], dtype=np.int64)
    added = align_rows(ensemble.view, ensemble.query, rows)
    joined = {
        name: np.concatenate([getattr(ensemble.aligned, name), getattr(added, name)])
        for name in Aligned.__dataclass_fields__
    }
    similarity = similarity_of_rows(ensemble.view, ensemble.query, ensemble.options, added)
    return replace(ensemble, aligned=Aligned(**joined), similarity=np.concatenate([ensemble.similarity, similarity]))


def _pattern_side(prediction: Prediction, query: Query) -> Iterator[WhySymbol]:
    partner = dict(prediction.alignment)
    before = len(prediction.past)
    index = 0
    for place, event in enumerate(prediction.sequence):
        inside = before <= place < before + len(prediction.present)
        for symbol in event:
            other = partner.get(index)
            near = query.texts[other] if other is not None and query.texts[other] != symbol else None
            state: State = "missing" if inside else "outside"
            if other is not None:
                state = "matched" if near is None else "replaced"
            yield WhySymbol(index, place, symbol, state, other, near)
            index += 1


def _observed_side(prediction: Prediction, query: Query, near: Sequence[int], view: View) -> Iterator[WhySymbol]:
    partner = {j: i for i, j in prediction.alignment}
    for index, (symbol, event) in enumerate(zip(query.texts, query.event_of, strict=True)):
        taken = near[index] != query.numbers[index]
        stands_for = view.symbol_table.texts[near[index]] if taken else None
        state: State = "extra"
        if index in partner:
            state = "replaced" if taken else "matched"
        yield WhySymbol(index, event, symbol, state, partner.get(index), stands_for)


def _symbols(view: View, prediction: Prediction, query: Query) -> list[tuple[str, int]]:
    """Return the known symbols of both sides, in order of first appearance."""
    texts = dict.fromkeys([s for event in prediction.sequence for s in event] + list(query.texts))
    return [(text, number) for text in texts if (number := view.symbol(text)) is not None]


def _figures(ensemble: Ensemble, place: int, prediction: Prediction) -> Iterator[Figure]:
    facts = _facts(ensemble, place, prediction)
    data = prediction.to_dict()
    formulas = dict(FORMULAS)
    if ensemble.options.matching == "characters":
        formulas["similarity"] = "2*M/characters"
    for name, formula in formulas.items():
        if data[name] is None:
            continue
        names = {word for word in re.findall(r"[A-Za-z_]+", formula) if word in facts}
        yield Figure(name, formula, {word: facts[word] for word in facts if word in names}, data[name])


def _facts(ensemble: Ensemble, place: int, prediction: Prediction) -> dict[str, Any]:
    """Return everything the formulas refer to, by the names they use."""
    view, query, row = ensemble.view, ensemble.query, int(ensemble.aligned.rows[place])
    matched, characters = len(prediction.matches), _characters(prediction, query)
    facts = {
        "m": matched,
        "L": prediction.length,
        "s": len(query.texts),
        "e": len(query.texts) - matched,
        "b": prediction.fragmentation + 1,
        "f": prediction.frequency,
        "F": ensemble.total,
        "W": ensemble.weight,
        "A": float(ensemble.share[place]),
        "N": view.N,
        "V": view.V,
        "T": view.T,
        "M": round(prediction.similarity * characters / 2),
        "characters": characters,
        "utility_sum": float(view.utility[row]),
        "mean_utility": view.mean_utility,
        "outcomes": prediction.outcomes,
        **_present_facts(ensemble, place),
    }
    facts |= dict(zip(("wm", "wL", "wp", "ws", "we"), weighted_sums(ensemble, row), strict=True))
    lead = "weighted_" if prediction.weighted_snr is not None else ""
    facts |= {name: getattr(prediction, lead + name) for name in ("evidence", "confidence", "snr")}
    for name in ("similarity", "entropy", "itfdf_similarity", "weighted_strength"):
        facts[name] = getattr(prediction, name)
    return facts


def _present_facts(ensemble: Ensemble, place: int) -> dict[str, Any]:
    """Return what the formulas say about the symbols of `present`; ``pr`` goes by symbol, ``prs`` by occurrence."""
    view, row = ensemble.view, int(ensemble.aligned.rows[place])
    pattern = view.row_tokens(row)
    low, high = (int(bounds[place]) - int(view.token_starts[row]) for bounds in ensemble.present)
    present = Counter(pattern[low:high])
    size, observed = high - low, Counter(ensemble.query.numbers_for(pattern))
    held = {x: int(view.holders[x]) for x in present}
    return {
        "p": size,
        "shares": [count / size for count in present.values()],
        "pr": [held[x] / view.N for x in present],
        "prs": [held[x] / view.N for x in present.elements()],
        "terms": [[count / size, held[x]] for x, count in present.items()],
        "dot": sum(c * observed[x] * held[x] ** 2 for x, c in present.items()),
        "left": sum((c * held[x]) ** 2 for x, c in present.items()),
        "right": sum((observed[x] * held[x]) ** 2 for x in present),
    }


def _characters(prediction: Prediction, query: Query) -> int:
    """Return how many characters both sides have when joined by spaces."""
    pattern = [s for event in prediction.sequence for s in event]
    return sum(len(" ".join(side)) for side in (pattern, query.texts))
