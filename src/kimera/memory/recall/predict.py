"""Predictions: learned patterns compared with the short-term memory, best first, with all they were computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import Anomaly, Bodies, Body, Events, Predictions, RecallOptions, Statistics
from kimera.memory.index.overlap import Overlap
from kimera.memory.index.view import View
from kimera.memory.recall.candidates import pairs_of_rows
from kimera.memory.recall.ensemble import Ensemble, gather
from kimera.memory.recall.query import Query, build_query
from kimera.memory.recall.shown import FutureList, Shown, ShownList

__all__ = ["predict", "predictions_at", "statistics_of"]

_NO_BODY = Body()


def predict(
    view: View,
    events: Events,
    options: RecallOptions | None = None,
    bodies: Bodies | None = None,
    *,
    vectors: Mapping[str, Sequence[float]] | None = None,
    affinity: Mapping[str, float] | None = None,
    overlap: Overlap | None = None,
) -> Predictions:
    """Compare ``events`` (the short-term memory) with every pattern of the view.

    ``bodies`` is called once, with the ids of the winners. ``vectors`` holds the coordinates of observed vector
    symbols, ``affinity`` the affinity of each symbol to ``options.affinity_emotive``, ``overlap`` the session's
    counters. Depends on nothing but its arguments: the same arguments give the same bytes.
    """
    options = options or RecallOptions()
    query = build_query(view, events, options, vectors)
    ensemble = gather(view, query, options, affinity, overlap)
    places = ensemble.order(options.max_predictions).tolist()
    return Predictions(
        predictions=predictions_at(ensemble, places, bodies) if places else (),
        future_potentials=FutureList(view.future_table, ensemble.futures) if places else (),
        statistics=statistics_of(ensemble),
        memory_seq=view.seq,
        options=dict(_plain(options)),
    )


@lru_cache(64)
def _plain(options: RecallOptions) -> dict[str, Any]:
    return options.to_dict()


def statistics_of(ensemble: Ensemble) -> Statistics:
    """Return the figures of the memory and of the ensemble."""
    view = ensemble.view
    return Statistics(view.N, view.V, view.T, len(ensemble.similarity), ensemble.total, ensemble.weight)


def predictions_at(ensemble: Ensemble, places: Sequence[int], bodies: Bodies | None) -> ShownList:
    """List the predictions for some candidates, in the given order."""
    chosen = ensemble.pick(np.array(places, dtype=np.int64))
    view, query, aligned = chosen.view, chosen.query, chosen.aligned
    rows = aligned.rows
    ids = [*map(view.id, rows.tolist())]
    found = bodies(ids) if bodies is not None and ids else {}
    pairs, pair_ends = pairs_of_rows(view, query, rows)
    low, high = chosen.present
    sequences, sizes, ends = _sequences(view, rows)
    return ShownList(
        Shown(
            ends_of=view.future_table,
            texts=query.texts,
            event_of=query.event_of,
            observed=query.events,
            ids=ids,
            figures=_figures(chosen),
            sequences=sequences,
            sizes=sizes,
            ends=ends,
            first=aligned.first,
            last=aligned.last,
            pairs=pairs,
            pair_ends=pair_ends,
            spreads=[*map(view.spread, low.tolist(), high.tolist(), chosen.frequency.tolist())],
            bodies=[found.get(each, _NO_BODY) for each in ids],
            anomalies=_anomalies(view, query, rows, pairs, pair_ends) if query.near else None,
        )
    )


def _sequences(view: View, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Return the event numbers of some patterns, one after the other, their sizes, and where each pattern's end."""
    starts = view.event_starts[rows]
    counts = view.event_starts[rows + 1] - starts
    ends = np.cumsum(counts)
    places = np.arange(counts.sum()) + np.repeat(starts - ends + counts, counts)
    sizes = view.event_ends[places]
    sizes[1:] -= sizes[:-1].copy()
    sizes[ends - counts] = view.event_ends[starts]  # the first event of a pattern begins anew
    return view.events[places], sizes, ends


def _figures(chosen: Ensemble) -> dict[str, NDArray[Any]]:
    """Return the figures that stand in arrays."""
    arrays: dict[str, NDArray[Any]] = {
        "length": chosen.length,
        "frequency": chosen.frequency,
        "similarity": chosen.similarity,
        "evidence": chosen.evidence,
        "confidence": chosen.confidence,
        "snr": chosen.snr,
        "fragmentation": chosen.aligned.blocks - 1,
        "itfdf_similarity": chosen.itfdf,
        "potential": chosen.potential,
        "pattern_probability": chosen.frequency / max(chosen.total, 1),
        "bayesian_posterior": chosen.posterior,
        "weighted_strength": chosen.weighted_strength,
        "predictive_information": chosen.information,
        "utility": chosen.utility,
        "outcomes": chosen.view.outcomes[chosen.aligned.rows],
    }
    if chosen.weighted is not None:
        for name in ("similarity", "evidence", "confidence", "snr"):
            arrays[f"weighted_{name}"] = getattr(chosen.weighted, name)
    return {n: values + 0 if values.dtype.kind == "f" else values for n, values in arrays.items()}  # + 0: never -0.0


def _anomalies(
    view: View, query: Query, rows: NDArray[np.int64], pairs: NDArray[np.int64], pair_ends: NDArray[np.int64]
) -> list[tuple[Anomaly, ...]]:
    """Return per pattern the matched symbols that were taken for another one."""
    texts, places, found = view.symbol_table.texts, pairs[:, 1].tolist(), []
    for row, (low, high) in zip(rows.tolist(), pairwise([0, *pair_ends.tolist()]), strict=True):
        stand = query.numbers_for(view.row_tokens(row))
        taken = [j for j in places[low:high] if stand[j] != query.numbers[j]]
        found.append(
            tuple([Anomaly(query.texts[j], texts[stand[j]], query.similarity[query.texts[j], stand[j]]) for j in taken])
        )
    return found
