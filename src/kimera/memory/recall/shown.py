"""Predictions that stand in columns until somebody reads them: objects when asked for, JSON without any.

An answer may hold a hundred predictions and hundreds of futures. Most are written as JSON once and never looked at in
Python, and the latest are kept; so what is kept is arrays, and both forms are made from them by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from itertools import pairwise, starmap
from json.encoder import encode_basestring
from typing import Any, Generic, NamedTuple, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kimera.memory._record import as_json
from kimera.memory.contracts import Anomaly, Body, FuturePotential, Prediction, Predictions
from kimera.memory.index.tables import FutureTable
from kimera.memory.recall.ensemble import Futures
from kimera.memory.recall.figures import Spread

__all__ = ["FutureList", "Shown", "ShownList", "footprint", "unmade"]

T = TypeVar("T")
Columns = dict[str, Sequence[Any]]
_OBJECTS = 500  # bytes of the strings and bodies beside the columns, per prediction


class _Form(NamedTuple):
    """Say what symbols, events, ends, lists, pairs, figures and everything else become: values, or their JSON."""

    event: Callable[[int], Any]
    end: Callable[[int], Any]
    symbol: Callable[[str], Any]
    many: Callable[[list[Any]], Any]
    pair: Callable[[list[int]], Any]
    figures: Callable[[list[Any]], Sequence[Any]]
    plain: Callable[[Any], Any]


def _values(ends: FutureTable) -> _Form:
    return _Form(ends.events.text, ends.text, _same, tuple, tuple, _same, _same)


def _texts(ends: FutureTable) -> _Form:
    event, end = ends.events.written.__getitem__, ends.written.__getitem__
    return _Form(event, end, encode_basestring, _array, _two, _numbers, _plain_writer())


def _same(value: T) -> T:
    return value


def _array(items: list[str]) -> str:
    return f"[{','.join(items)}]"


def _two(pair: list[int]) -> str:
    return f"[{pair[0]},{pair[1]}]"


def _numbers(values: list[Any]) -> list[str]:
    """Return numbers as JSON; the encoder writes the shortest digits ten times as fast as `repr`."""
    return as_json(values)[1:-1].decode().split(",") if values else []


def _plain_writer() -> Callable[[Any], str]:
    """Return a writer of values that many predictions share; equal objects are written once."""
    known: dict[int, tuple[Any, str]] = {}

    def write(value: Any) -> str:
        if value is None:
            return "null"
        if value == {}:
            return "{}"
        found = known.get(id(value))
        if found is None:
            text = as_json(value).decode()
            found = known[id(value)] = value, text  # the value is held, so that its id stays its own
        return found[1]

    return write


class ColumnList(Sequence[T], Generic[T]):
    """List what stands in columns; each object is made when it is first read."""

    __slots__ = ("_made",)
    _made: tuple[T, ...] | None

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self._all()[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def to_json(self) -> bytes:
        """Return the list as JSON; no object is made for it."""
        raise NotImplementedError

    def unmade(self) -> Self:
        """Return the same list with no object made yet; the columns are shared."""
        other = copy(self)
        other._made = None
        return other

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take."""
        raise NotImplementedError

    def _all(self) -> tuple[T, ...]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> tuple[T, ...]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Shown:
    """Hold the predictions to show, element i of everything belonging to the i-th.

    ``texts`` are the observed symbols, ``event_of`` the observed event of each, of ``observed`` in all. ``sequences``
    has the event numbers of all patterns one after the other, ``sizes`` how many symbols each event has; those of the
    i-th end at ``ends[i]``; ``pairs`` (two columns: index in the pattern, index in ``texts``) likewise at
    ``pair_ends[i]``. ``first`` and ``last`` are the events of `present`.
    """

    ends_of: FutureTable
    texts: tuple[str, ...]
    event_of: tuple[int, ...]
    observed: int
    ids: list[str]
    figures: Mapping[str, NDArray[Any]]
    sequences: NDArray[Any]
    sizes: NDArray[Any]
    ends: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]
    pairs: NDArray[Any]
    pair_ends: NDArray[Any]
    spreads: list[Spread]
    bodies: list[Body]
    anomalies: list[tuple[Anomaly, ...]] | None


class ShownList(ColumnList[Prediction]):
    """List the predictions, best first."""

    __slots__ = ("_shown",)

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._made = None

    def __len__(self) -> int:
        return len(self._shown.ids)

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take."""
        shown = self._shown
        arrays = (shown.sequences, shown.sizes, shown.ends, shown.first, shown.last, shown.pairs, shown.pair_ends)
        return sum(a.nbytes for a in (*arrays, *shown.figures.values())) + _OBJECTS * len(shown.ids)

    def to_json(self) -> bytes:
        """Return the predictions as JSON."""
        columns = _columns(self._shown, _texts(self._shown.ends_of))
        columns["type"] = ['"prototypical"'] * len(self)
        empty = ["null"] * len(self)
        rows = zip(*(columns.get(name, empty) for name in _NAMES), strict=True)
        return _array([*map(_TEMPLATE.__mod__, rows)]).encode()

    def _make(self) -> tuple[Prediction, ...]:
        columns = _columns(self._shown, _values(self._shown.ends_of))
        return tuple(
            [Prediction(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
        )


_NAMES = tuple(field.name for field in fields(Prediction))
_TEMPLATE = "{%s}" % ",".join(f'"{name}":%s' for name in _NAMES)  # noqa: UP031 - full of braces


def _columns(shown: Shown, form: _Form) -> Columns:
    """Return every field of the predictions as a column, in the given form."""
    columns: Columns = {"id": [*map(form.symbol, shown.ids)]}
    for name, values in shown.figures.items():
        columns[name] = form.figures(values.tolist())
    columns["bayesian_prior"] = columns["pattern_probability"]
    columns["bayesian_likelihood"] = columns["similarity"]
    columns |= _spread_columns(shown.spreads, form) | _body_columns(shown.bodies, form) | _sequence_columns(shown, form)
    nothing = form.plain(())
    columns["anomalies"] = [*map(form.plain, shown.anomalies)] if shown.anomalies else [nothing] * len(shown.ids)
    return columns


def _spread_columns(spreads: list[Spread], form: _Form) -> Columns:
    names = ("confluence", "entropy", "normalized_entropy", "global_normalized_entropy", "tfidf_score")
    columns: Columns = {name: form.figures([getattr(one, name) for one in spreads]) for name in names}
    columns["hamiltonian"] = columns["normalized_entropy"]
    columns["grand_hamiltonian"] = columns["global_normalized_entropy"]
    return columns


def _body_columns(bodies: list[Body], form: _Form) -> Columns:
    return {
        "name": [form.symbol(body.name) for body in bodies],
        **{name: [form.plain(getattr(body, name)) for body in bodies] for name in ("emotives", "metadata", "label")},
        "cost": [form.plain(body.cost) for body in bodies],
    }


def _sequence_columns(shown: Shown, form: _Form) -> Columns:
    """Return the fields that are made of events and symbols."""
    many = form.many
    events = [*map(form.event, shown.sequences.tolist())]
    rest = _missing(shown, form, events)
    pairs, places = [*map(form.pair, shown.pairs.tolist())], shown.pairs[:, 1].tolist()
    seen = _Sides(shown, form)
    names = ("sequence", "past", "present", "future", "missing", "matches", "extras", "alignment")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    sequence, past, present, future, missing, matches, extras, alignment = columns.values()
    spans = pairwise([0, *shown.ends.tolist()])
    pair_spans = pairwise([0, *shown.pair_ends.tolist()])
    bounds = zip(shown.first.tolist(), (shown.last + 1).tolist(), strict=True)
    for (low, high), (start, end), (first, after) in zip(spans, pair_spans, bounds, strict=True):
        sequence.append(many(events[low:high]))
        past.append(many(events[low : low + first] if start < end else []))
        present.append(many(events[low + first : low + after]))
        future.append(many(events[low + after : high]))
        missing.append(many(rest[low + first : low + after]))
        alignment.append(many(pairs[start:end]))
        matched = places[start:end]
        matches.append(many([seen.symbols[j] for j in matched]))
        extras.append(many(seen.without(matched)))
    return dict(columns)


def _missing(shown: Shown, form: _Form, events: list[Any]) -> list[Any]:
    """Return for every event of every pattern its symbols that stand in no block, by position."""
    sizes = shown.sizes
    ends = np.cumsum(sizes)
    counts = shown.pair_ends.copy()
    counts[1:] -= shown.pair_ends[:-1]
    begins = ends[shown.ends - 1] - shown.figures["length"]
    tokens = np.repeat(begins, counts) + shown.pairs[:, 0]  # where each matched symbol stands among those of all
    held = np.bincount(ends.searchsorted(tokens, side="right"), minlength=len(sizes))
    nothing = form.many([])
    rest = [event if open_ else nothing for event, open_ in zip(events, (held == 0).tolist(), strict=True)]
    partly = ((held > 0) & (held < sizes)).nonzero()[0].tolist()
    matched = set(tokens.tolist()) if partly else set()
    for at in partly:
        symbols, first = shown.ends_of.events.text(int(shown.sequences[at])), int(ends[at] - sizes[at])
        rest[at] = form.many([form.symbol(s) for place, s in enumerate(symbols, first) if place not in matched])
    return rest


class _Sides:
    """Hold the observed symbols, and say per observed event which stand in no block."""

    def __init__(self, shown: Shown, form: _Form) -> None:
        self.symbols = [*map(form.symbol, shown.texts)]
        self._many, self._event_of = form.many, shown.event_of
        self._places: list[list[int]] = [[] for _ in range(shown.observed)]
        for place, event in enumerate(shown.event_of):
            self._places[event].append(place)
        self._whole = [self._many([self.symbols[j] for j in places]) for places in self._places]
        self._nothing = self._many([])

    def without(self, matched: list[int]) -> list[Any]:
        """Return per observed event its symbols that are not ``matched``."""
        rest, held = self._whole.copy(), set(matched)
        for event in {self._event_of[j] for j in matched}:
            places = self._places[event]
            if len(places) == 1:
                rest[event] = self._nothing
            else:
                rest[event] = self._many([self.symbols[k] for k in places if k not in held])
        return rest


class FutureList(ColumnList[FuturePotential]):
    """List the futures the ensemble expects, the greatest share first, ties by the id of the future.

    Ordered when first read: an ensemble may expect as many futures as it has patterns.
    """

    __slots__ = ("_numbers", "_shares", "_support", "_table", "_weights")

    def __init__(self, table: FutureTable, found: Futures) -> None:
        self._table, self._numbers = table, found.numbers
        self._shares, self._support, self._weights = found.shares, found.support, found.weights
        self._made = None

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take."""
        return sum(column.nbytes for column in (self._numbers, self._shares, self._support, self._weights))

    def to_json(self) -> bytes:
        """Return the futures as JSON."""
        return _array([*starmap(_FUTURE.format, self._rows(_texts(self._table)))]).encode()

    def _make(self) -> tuple[FuturePotential, ...]:
        return tuple(starmap(FuturePotential, self._rows(_values(self._table))))

    def _rows(self, form: _Form) -> Iterator[tuple[Any, ...]]:
        numbers, digests = self._numbers.tolist(), self._table.digests
        keys = zip((-self._shares).tolist(), map(digests.__getitem__, numbers), range(len(numbers)), strict=True)
        places = [place for *_, place in sorted(keys)]
        columns = (self._shares[places], self._support[places], self._weights[places])
        futures = [form.end(numbers[place]) for place in places]
        return zip(futures, *(form.figures(column.tolist()) for column in columns), strict=True)


_FUTURE = '{{"future":{},"aggregate_potential":{},"supporting_patterns":{},"total_weighted_frequency":{}}}'


def unmade(answer: Predictions) -> Predictions:
    """Return an answer whose objects are not made yet, so that nobody holds what another has read."""
    lists: dict[str, Any] = {name: held.unmade() for name, held in _lists(answer)}
    return replace(answer, **lists)


def footprint(answer: Predictions) -> int:
    """Return about how many bytes an answer takes while its objects are not made."""
    return sum(held.footprint for _, held in _lists(answer))


def _lists(answer: Predictions) -> list[tuple[str, ColumnList[Any]]]:
    named = (("predictions", answer.predictions), ("future_potentials", answer.future_potentials))
    return [(name, held) for name, held in named if isinstance(held, ColumnList)]
