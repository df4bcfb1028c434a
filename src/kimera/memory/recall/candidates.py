"""Finding candidates, exactly: bounds drop what cannot reach the threshold, the alignment decides the rest."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import MemoryTuning, RecallOptions
from kimera.memory.index.overlap import Overlap, count_overlaps, needed_overlap
from kimera.memory.index.view import View
from kimera.memory.recall.align import Aligned, align_rows_plainly, blocks_of, cosine_of_row
from kimera.memory.recall.figures import ratio
from kimera.memory.recall.kernels import kernels
from kimera.memory.recall.query import Query

__all__ = ["align_rows", "pairs_of_rows", "possible_rows"]

Rows = NDArray[np.int64]
EXACT = float(2**53)  # whole numbers up to here are exact as float64
WORD = 64  # symbols of a query that fit the bits of one machine word
CPUS = os.cpu_count() or 1
FEW = 64  # rows that are aligned as fast as they are bounded
SAMPLE, KEEPS = 256, 0.8
CHUNK = 4_096  # rows that make a second thread worth waking


def possible_rows(view: View, query: Query, options: RecallOptions, session: Overlap | None = None) -> Rows:
    """Return the rows that may reach the recall threshold, ascending; never leaves out one that does.

    The characters of two sequences may agree where their symbols do not, so matching by characters bounds nothing.
    """
    threshold, tuning = options.recall_threshold, view.tuning
    if threshold <= 0 or options.matching == "characters":
        return view.alive
    needed = needed_overlap(view.longest, len(query.texts), threshold)
    rows = _bounded(view, query, needed, session) if tuning.bound else view.alive
    return _in_sequence(view, query, rows, needed) if tuning.sequence_bound else rows


def _bounded(view: View, query: Query, needed: NDArray[np.int32], session: Overlap | None) -> Rows:
    usable = session is not None and view.tuning.incremental and not query.near
    if usable and session is not None and session.lock.acquire(blocking=False):
        try:
            return _reaching(view, session.update(view, query.counts), needed)
        finally:
            session.lock.release()
    return _reaching(view, count_overlaps(view, query), needed)


def _reaching(view: View, overlaps: NDArray[np.int32], needed: NDArray[np.int32]) -> Rows:
    native = kernels(view.tuning)
    if native is not None:
        rows: Rows = native.reaching_rows(overlaps, needed, view.lengths, view.frequency)
        return rows
    return np.flatnonzero((overlaps >= needed[view.lengths]) & (view.frequency > 0))


@dataclass(frozen=True)
class _Numbers:
    """Hold a query in the numbering of the kernels: its distinct symbols first, then what they may stand for."""

    local: NDArray[np.int32]
    observed: NDArray[np.int64]
    known: int
    near_starts: NDArray[np.int64]
    near: NDArray[np.int64]


def _numbers(view: View, query: Query) -> _Numbers:
    kept = query.kept.get("numbers")
    if kept is None:
        kept = query.kept["numbers"] = _number(view, query)
    numbers: _Numbers = kept
    return numbers


def _number(view: View, query: Query) -> _Numbers:
    number = dict(zip(query.texts, query.numbers, strict=True))
    texts = list(number)
    place = {text: i for i, text in enumerate(texts)}
    local = np.full(len(view.holders) + 1, -1, dtype=np.int32)
    local[list(number.values())] = np.arange(len(texts))
    local[-1] = -1  # where the unknown symbols, numbered -1, went
    known, lists = len(texts), []
    for text in texts if query.near else ():
        found = []
        for symbol, _ in query.near.get(text, ()):
            if local[symbol] < 0:
                local[symbol], known = known, known + 1
            found.append(int(local[symbol]))
        lists.append(found)
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    if lists:
        np.cumsum([len(found) for found in lists], out=starts[1:])
    near = np.array([i for found in lists for i in found], dtype=np.int64)
    observed = np.array([place[text] for text in query.texts], dtype=np.int64)
    return _Numbers(local, observed, known, starts, near)


def align_rows(view: View, query: Query, rows: Rows) -> Aligned:
    """Align the rows with the query."""
    native = kernels(view.tuning, len(rows))
    if native is None or not len(rows):
        return align_rows_plainly(view, query, rows)
    numbers, longest = _numbers(view, query), view.longest
    whole, products = np.empty((len(rows), 5), dtype=np.int64), np.empty((len(rows), 3))

    def part(low: int, high: int) -> None:
        native.align_many(
            rows[low:high],
            view.token_starts,
            view.tokens,
            view.event_starts,
            view.event_ends,
            view.holders,
            numbers.local,
            numbers.observed,
            numbers.known,
            numbers.near_starts,
            numbers.near,
            longest,
            whole[low:high],
            products[low:high],
        )

    _in_parts(view.tuning, len(rows), part)
    matched, blocks, first, last, size = np.ascontiguousarray(whole.T)
    dot, left, right = products.T
    cosine = ratio(dot, np.sqrt(left * right))
    for i in np.flatnonzero((products >= EXACT).any(axis=1)).tolist() if products.max() >= EXACT else ():
        cosine[i] = cosine_of_row(view, query, int(rows[i]), int(first[i]), int(last[i]))
    return Aligned(rows, matched, blocks, first, last, size, cosine)


def pairs_of_rows(view: View, query: Query, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the matched pairs of all rows, in order, as two columns (index in P, in S), and where each row's end."""
    native = kernels(view.tuning)
    if native is None or not len(rows):
        found = [blocks_of(p := view.row_tokens(row), query.numbers_for(p)) for row in rows.tolist()]
        counts = np.array([*map(len, found)], dtype=np.int64)
        runs = np.array([run for blocks in found for run in blocks], dtype=np.int64).reshape(-1, 3)
    else:
        counts, blocks = _blocks_natively(native, view, query, rows)
        runs = blocks[np.arange(blocks.shape[1]) < counts[:, None]]
    a, b, size = runs.T
    ends = np.cumsum(size)
    within = np.arange(size.sum()) - np.repeat(ends - size, size)
    pairs = np.empty((len(within), 2), dtype=np.int64)
    pairs[:, 0], pairs[:, 1] = np.repeat(a, size) + within, np.repeat(b, size) + within
    if len(rows) == 1:
        return pairs, np.array([len(within)])
    before = np.concatenate([[0], ends])
    return pairs, before[np.cumsum(counts)]


def _blocks_natively(native: Any, view: View, query: Query, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many blocks each row has, and these: shape (rows, most there can be, 3)."""
    numbers = _numbers(view, query)
    counts = np.empty(len(rows), dtype=np.int64)
    blocks = np.empty((len(rows), len(query.texts) + 1, 3), dtype=np.int64)
    native.blocks_of_many(
        rows,
        view.token_starts,
        view.tokens,
        numbers.local,
        numbers.observed,
        numbers.known,
        numbers.near_starts,
        numbers.near,
        view.longest,
        counts,
        blocks,
    )
    return counts, blocks


def _in_sequence(view: View, query: Query, rows: Rows, needed: NDArray[np.int32]) -> Rows:
    """Drop the rows whose longest common subsequence, which is never below m, is too short."""
    native = kernels(view.tuning)
    if native is None or query.near or len(query.texts) > WORD or len(rows) < FEW:
        return rows
    numbers = _numbers(view, query)
    masks = np.zeros(numbers.known + 1, dtype=np.uint64)
    np.bitwise_or.at(masks, numbers.observed, np.uint64(1) << np.arange(len(numbers.observed), dtype=np.uint64))

    def kept(some: Rows) -> NDArray[np.bool_]:
        found = np.empty(len(some), dtype=np.bool_)

        def part(low: int, high: int) -> None:
            starts, tokens, size = view.token_starts, view.tokens, len(query.texts)
            native.filter_by_subsequence(
                some[low:high], starts, tokens, numbers.local, masks, size, needed, found[low:high]
            )

        _in_parts(view.tuning, len(some), part)
        return found

    step = len(rows) // SAMPLE
    if step > 1 and np.count_nonzero(kept(np.ascontiguousarray(rows[::step]))) > KEEPS * SAMPLE:
        return rows  # a bound that drops next to nothing costs more than it saves
    return rows[kept(rows)]


def _in_parts(tuning: MemoryTuning, count: int, part: Any) -> None:
    """Work through ``count`` rows in as many threads as are allowed and worth it; parts write apart from each other."""
    threads = min(tuning.threads or CPUS, -(-count // CHUNK)) if tuning.parallel else 1
    if threads <= 1:
        part(0, count)
        return
    step = -(-count // threads)
    bounds = [(low, min(low + step, count)) for low in range(0, count, step)]
    waiting = [_pool(threads).submit(part, low, high) for low, high in bounds[1:]]
    part(*bounds[0])
    for one in waiting:
        one.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="memory-align")
