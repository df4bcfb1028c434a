"""Predictions: learned patterns compared with the short-term memory, best first, with all they were computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import (
    Anomaly,
    Bodies,
    Body,
    Event,
    Events,
    FuturePotential,
    Prediction,
    Predictions,
    RecallOptions,
    Statistics,
)
from kimera.memory.index.overlap import Overlap
from kimera.memory.index.tables import FutureTable
from kimera.memory.index.view import View
from kimera.memory.recall.align import pairs_of
from kimera.memory.recall.candidates import blocks_of_rows
from kimera.memory.recall.ensemble import Ensemble, Futures, gather
from kimera.memory.recall.query import Query, build_query

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
        predictions=predictions_at(ensemble, places, bodies),
        future_potentials=FutureList(view.future_table, ensemble.futures),
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


def predictions_at(ensemble: Ensemble, places: Sequence[int], bodies: Bodies | None) -> tuple[Prediction, ...]:
    """Build the prediction objects of some candidates, in the given order."""
    chosen = ensemble.pick(np.array(places, dtype=np.int64))
    rows = chosen.aligned.rows
    ids = [chosen.view.id(row) for row in rows.tolist()]
    found = bodies(ids) if bodies is not None and ids else {}
    blocks = blocks_of_rows(chosen.view, chosen.query, rows)
    return tuple(
        _prediction(chosen, geometry, found.get(pattern_id, _NO_BODY), {"id": pattern_id, **numbers}, pairs_of(runs))
        for geometry, pattern_id, numbers, runs in zip(_geometry(chosen), ids, _columns(chosen), blocks, strict=True)
    )


class _Geometry(NamedTuple):
    """Locate `present`: its first and last event, and its symbols among those of the pattern and of the view."""

    row: int
    first: int
    last: int
    start: int
    low: int
    high: int


def _geometry(chosen: Ensemble) -> list[_Geometry]:
    aligned, (low, high) = chosen.aligned, chosen.present
    columns = (aligned.rows, aligned.first, aligned.last, chosen.view.token_starts[aligned.rows], low, high)
    return [_Geometry(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _columns(chosen: Ensemble) -> list[dict[str, Any]]:
    """Return the figures that stand in arrays, as one dict of plain numbers per candidate."""
    prior = chosen.frequency / max(chosen.total, 1)
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
        "pattern_probability": prior,
        "bayesian_prior": prior,
        "bayesian_likelihood": chosen.similarity,
        "bayesian_posterior": chosen.posterior,
        "weighted_strength": chosen.weighted_strength,
        "predictive_information": chosen.information,
        "utility": chosen.utility,
        "outcomes": chosen.view.outcomes[chosen.aligned.rows],
    }
    if chosen.weighted is not None:
        for name in ("similarity", "evidence", "confidence", "snr"):
            arrays[f"weighted_{name}"] = getattr(chosen.weighted, name)
    lists = [(values + 0).tolist() for values in arrays.values()]  # + 0 turns -0.0 into 0.0
    return [dict(zip(arrays, row, strict=True)) for row in zip(*lists, strict=True)]


def _prediction(
    ensemble: Ensemble, at: _Geometry, body: Body, numbers: Mapping[str, Any], pairs: list[tuple[int, int]]
) -> Prediction:
    view, query = ensemble.view, ensemble.query
    sequence = view.row_events(at.row)
    present = sequence[at.first : at.last + 1]
    spread = view.spread(at.low, at.high, numbers["frequency"])
    matches, extras = _observed_sides(query, tuple([j for _, j in pairs]))
    return Prediction(
        name=body.name,
        sequence=sequence,
        matches=matches,
        past=sequence[: at.first] if pairs else (),
        present=present,
        future=sequence[at.last + 1 :],
        missing=_missing(present, at.low - at.start, {i for i, _ in pairs}),
        extras=extras,
        anomalies=_anomalies(ensemble, at.row, pairs) if query.near else (),
        alignment=tuple(pairs),
        confluence=spread.confluence,
        entropy=spread.entropy,
        normalized_entropy=spread.normalized_entropy,
        hamiltonian=spread.normalized_entropy,
        global_normalized_entropy=spread.global_normalized_entropy,
        grand_hamiltonian=spread.global_normalized_entropy,
        tfidf_score=spread.tfidf_score,
        emotives=body.emotives,
        metadata=body.metadata,
        cost=body.cost,
        label=body.label,
        **numbers,
    )


def _missing(present: Events, place: int, matched: set[int]) -> Events:
    """Return per event of `present`, which begins at ``place``, the symbols that stand in no block, by position."""
    found = []
    for event in present:
        end = place + len(event)
        if matched.isdisjoint(range(place, end)):
            found.append(event)
        else:
            found.append(tuple([symbol for at, symbol in enumerate(event, place) if at not in matched]))
        place = end
    return tuple(found)


def _observed_sides(query: Query, matched: tuple[int, ...]) -> tuple[tuple[str, ...], Events]:
    """Return the observed symbols that stand in blocks, and per observed event those that do not; kept per query."""
    kept = query.kept.setdefault("sides", {})
    sides: tuple[tuple[str, ...], Events] | None = kept.get(matched)
    if sides is None:
        extras: list[Event] = [()] * query.events
        for place in sorted(set(range(len(query.texts))).difference(matched)):
            extras[query.event_of[place]] += (query.texts[place],)
        sides = kept[matched] = (tuple([query.texts[j] for j in matched]), tuple(extras))
    return sides


def _anomalies(ensemble: Ensemble, row: int, pairs: Sequence[tuple[int, int]]) -> tuple[Anomaly, ...]:
    """Return the matched symbols that were taken for another one."""
    query, texts = ensemble.query, ensemble.view.symbol_table.texts
    observed = query.numbers_for(ensemble.view.row_tokens(row))
    return tuple(
        Anomaly(query.texts[j], texts[observed[j]], query.similarity[query.texts[j], observed[j]])
        for _, j in pairs
        if observed[j] != query.numbers[j]
    )


class FutureList(Sequence[FuturePotential]):
    """List the futures the ensemble expects, the greatest share first, ties by the id of the future.

    Ordered and built when first read: an ensemble may expect as many futures as it has patterns.
    """

    __slots__ = ("_built", "_found", "_table")

    def __init__(self, table: FutureTable, found: Futures) -> None:
        self._table, self._found = table, found
        self._built: tuple[FuturePotential, ...] | None = None

    def __len__(self) -> int:
        return len(self._found.numbers)

    @overload
    def __getitem__(self, index: int) -> FuturePotential: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FuturePotential, ...]: ...
    def __getitem__(self, index: int | slice) -> FuturePotential | tuple[FuturePotential, ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[FuturePotential]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> tuple[FuturePotential, ...]:
        if self._built is None:
            self._built = tuple(self._build(place) for place in self._order())
        return self._built

    def _order(self) -> list[int]:
        shares, numbers, digest = self._found.shares.tolist(), self._found.numbers.tolist(), self._table.digest
        return sorted(range(len(numbers)), key=lambda i: (-shares[i], digest(numbers[i])))

    def _build(self, place: int) -> FuturePotential:
        found = self._found
        return FuturePotential(
            future=self._table.text(int(found.numbers[place])),
            aggregate_potential=float(found.shares[place]),
            supporting_patterns=int(found.support[place]),
            total_weighted_frequency=float(found.weights[place]),
        )
