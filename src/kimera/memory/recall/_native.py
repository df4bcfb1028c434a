"""The kernels that numba compiles: whole numbers in, whole numbers out, the interpreter lock released.

Loaded by `kernels` only, when numba is installed. Everything here is exact: counts are integers, and the
sums behind the cosine are kept as float64 only below 2^53, where they are integers too.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = [
    "align_many",
    "blocks_of_many",
    "filter_by_subsequence",
    "index_events",
    "index_symbols",
    "reaching_rows",
    "scan_rows",
    "shift_segment",
]

_config: Any = numba.config
_compile = numba.njit(nogil=True, cache=bool(_config.CACHE_DIR))
_ONE = np.uint64(1)


@_compile
def shift_segment(
    starts: Any, rows: Any, counts: Any, symbols: Any, before: Any, after: Any, sums: Any
) -> None:  # pragma: no cover - compiled
    """Change ``sums`` from the observed counts ``before`` to ``after`` along the postings of ``symbols``."""
    for i in range(len(symbols)):
        symbol, low, high = symbols[i], before[i], after[i]
        if symbol + 1 >= len(starts):
            continue
        least = min(low, high)
        for t in range(starts[symbol], starts[symbol + 1]):
            held = np.int64(counts[t])
            if held <= least:
                break  # the counts of a symbol fall: whoever comes next holds no more than both
            sums[rows[t]] += min(held, high) - min(held, low)


@_compile
def scan_rows(
    token_starts: Any, tokens: Any, low: int, high: int, local: Any, before: Any, after: Any, sums: Any
) -> None:  # pragma: no cover - compiled
    """Do the same for the rows ``low`` to ``high`` by reading their symbols."""
    held = np.zeros(len(after), dtype=np.int64)
    for row in range(low, high):
        shift = 0
        for t in range(token_starts[row], token_starts[row + 1]):
            i = local[tokens[t]]
            if i >= 0:
                held[i] += 1
                if held[i] <= after[i]:
                    shift += 1
                if held[i] <= before[i]:
                    shift -= 1
        for t in range(token_starts[row], token_starts[row + 1]):
            i = local[tokens[t]]
            if i >= 0:
                held[i] = 0
        sums[row] += shift


@_compile
def reaching_rows(sums: Any, needed: Any, lengths: Any, frequency: Any) -> Any:  # pragma: no cover - compiled
    """Return the rows whose overlap reaches what their length needs, gone ones left out."""
    found = np.empty(len(sums) + 1, dtype=np.int64)
    count = 0
    for row in range(len(sums)):  # without a branch, which would be guessed wrong every third time
        found[count] = row
        count += (sums[row] >= needed[lengths[row]]) & (frequency[row] > 0)
    return found[:count].copy()


@_compile
def filter_by_subsequence(
    rows: Any, token_starts: Any, tokens: Any, local: Any, masks: Any, observed: int, needed: Any, kept: Any
) -> None:  # pragma: no cover - compiled
    """Mark the rows whose longest common subsequence with the query reaches what is needed (at most 64 observed).

    The last of ``masks`` is empty: it stands for what was not observed (-1) and changes nothing, without a branch.
    """
    full = ~np.uint64(0) if observed == 64 else (_ONE << np.uint64(observed)) - _ONE
    for i in range(len(rows)):
        low, high = token_starts[rows[i]], token_starts[rows[i] + 1]
        state = full
        for t in range(low, high):
            hit = state & masks[local[tokens[t]]]
            state = (state + hit) | (state - hit)  # carries go upwards only: what leaves the low bits never returns
        state &= full
        left = 0
        while state:
            state &= state - _ONE
            left += 1
        kept[i] = observed - left >= needed[high - low]


@_compile
def _link(observed: Any, target: Any, head: Any, following: Any, seen: Any) -> None:  # pragma: no cover - compiled
    """Chain the positions of each symbol in the query, the last one first, and count them."""
    head[:] = -1
    seen[:] = 0
    for j in range(len(observed)):
        symbol = target[observed[j]]
        following[j] = head[symbol]
        head[symbol] = j
        seen[symbol] += 1


@_compile
def _substitute(
    found: Any, length: int, distinct: int, near_starts: Any, near: Any, target: Any, held: Any, stamp: int
) -> None:  # pragma: no cover - compiled
    """Let each observed symbol that the pattern does not hold stand for the nearest one it holds."""
    for i in range(length):
        if found[i] >= 0:
            held[found[i]] = stamp
    for i in range(distinct):
        target[i] = i
        if held[i] != stamp:
            for t in range(near_starts[i], near_starts[i + 1]):
                if held[near[t]] == stamp:
                    target[i] = near[t]
                    break


@_compile
def _longest_run(
    found: Any, head: Any, following: Any, bounds: Any, runs: Any, stamps: Any, base: int
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """Return the longest common run within bounds as (start in pattern, start in query, size): earliest first.

    ``runs[j]`` is the length of the run ending at query position j, valid where ``stamps[j]`` names this row.
    """
    low, high, left, right = bounds
    best, best_i, best_j = 0, low, left
    for i in range(low, high):
        symbol = found[i]
        if symbol < 0:
            continue
        stamp = base + i - low
        j = head[symbol]
        while j >= right:
            j = following[j]
        while j >= left:
            size = runs[j - 1] + 1 if j > left and stamps[j - 1] == stamp - 1 else 1
            runs[j] = size
            stamps[j] = stamp
            if size > best or (size == best and best_i + best - 1 == i):
                best, best_i, best_j = size, i - size + 1, j - size + 1
            j = following[j]
    return best_i, best_j, best


@_compile
def _blocks(
    found: Any,
    length: int,
    observed: int,
    head: Any,
    following: Any,
    runs: Any,
    stamps: Any,
    base: int,
    stack: Any,
    blocks: Any,
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Fill ``blocks`` with the matching blocks in order, neighbours merged; return their number and the next stamp."""
    count, depth = 0, 1
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3], stack[0, 4] = 0, length, 0, observed, 0
    while depth:
        depth -= 1
        low, high, left, right, size = stack[depth]
        if size:
            if (
                count
                and blocks[count - 1, 0] + blocks[count - 1, 2] == low
                and (blocks[count - 1, 1] + blocks[count - 1, 2] == left)
            ):
                blocks[count - 1, 2] += size
            else:
                blocks[count, 0], blocks[count, 1], blocks[count, 2] = low, left, size
                count += 1
            continue
        i, j, size = _longest_run(found, head, following, (low, high, left, right), runs, stamps, base)
        base += high - low + 2
        if not size:
            continue
        if i + size < high and j + size < right:
            stack[depth, 0], stack[depth, 1] = i + size, high
            stack[depth, 2], stack[depth, 3], stack[depth, 4] = j + size, right, 0
            depth += 1
        stack[depth, 0], stack[depth, 2], stack[depth, 4] = i, j, size
        depth += 1
        if low < i and left < j:
            stack[depth, 0], stack[depth, 1] = low, i
            stack[depth, 2], stack[depth, 3], stack[depth, 4] = left, j, 0
            depth += 1
    return count, base


@_compile
def _locate(row: int, token_starts: Any, tokens: Any, local: Any, found: Any) -> int:  # pragma: no cover - compiled
    start, end = token_starts[row], token_starts[row + 1]
    for t in range(start, end):
        found[t - start] = local[tokens[t]]
    return end - start


@_compile
def _products(
    start: int, low: int, high: int, tokens: Any, found: Any, seen: Any, holders: Any, tally: Any, products: Any
) -> None:  # pragma: no cover - compiled
    """Give the dot product and both squared norms of the weighted counts over the symbols of `present`."""
    for t in range(start + low, start + high):
        tally[tokens[t]] += 1
    dot = left = right = 0.0
    for t in range(low, high):
        symbol = tokens[start + t]
        if tally[symbol]:
            weight = float(holders[symbol])
            mine = tally[symbol] * weight
            tally[symbol] = 0
            left += mine * mine
            if found[t] >= 0:
                theirs = seen[found[t]] * weight
                dot += mine * theirs
                right += theirs * theirs
    products[0], products[1], products[2] = dot, left, right


@_compile
def align_many(
    rows: Any,
    token_starts: Any,
    tokens: Any,
    event_starts: Any,
    event_ends: Any,
    holders: Any,
    local: Any,
    observed: Any,
    known: int,
    near_starts: Any,
    near: Any,
    longest: int,
    whole: Any,
    cosine: Any,
) -> None:  # pragma: no cover - compiled
    """Align each row with the query.

    ``whole`` gets m, b, first and last event and p; ``cosine`` the dot product and both squared norms, as float64 that
    are exact integers below 2^53.
    """
    size, distinct = len(observed), len(near_starts) - 1
    found = np.empty(longest, dtype=np.int32)
    target, head, seen = np.arange(known), np.empty(known, dtype=np.int64), np.empty(known, dtype=np.int64)
    following, runs = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    stamps, held = np.zeros(size, dtype=np.int64), np.full(known, -1, dtype=np.int64)
    stack, blocks = np.empty((3 * size + 6, 5), dtype=np.int64), np.empty((size + 1, 3), dtype=np.int64)
    tally = np.zeros(len(holders), dtype=np.int64)
    base = 2
    _link(observed, target, head, following, seen)
    for k in range(len(rows)):
        row = rows[k]
        length = _locate(row, token_starts, tokens, local, found)
        if len(near):
            _substitute(found, length, distinct, near_starts, near, target, held, k)
            _link(observed, target, head, following, seen)
        count, base = _blocks(found, length, size, head, following, runs, stamps, base, stack, blocks)
        matched = 0
        for b in range(count):
            matched += blocks[b, 2]
        whole[k, 0], whole[k, 1], whole[k, 2], whole[k, 3], whole[k, 4] = matched, count, 0, -1, 0
        cosine[k, 0] = cosine[k, 1] = cosine[k, 2] = 0.0
        if not count:
            continue
        first = event_starts[row]
        while event_ends[first] <= blocks[0, 0]:
            first += 1
        last = first
        while event_ends[last] < blocks[count - 1, 0] + blocks[count - 1, 2]:
            last += 1
        low = event_ends[first - 1] if first > event_starts[row] else 0
        high = event_ends[last]
        whole[k, 2], whole[k, 3], whole[k, 4] = first - event_starts[row], last - event_starts[row], high - low
        _products(token_starts[row], low, high, tokens, found, seen, holders, tally, cosine[k])


@_compile
def blocks_of_many(
    rows: Any,
    token_starts: Any,
    tokens: Any,
    local: Any,
    observed: Any,
    known: int,
    near_starts: Any,
    near: Any,
    longest: int,
    counts: Any,
    blocks: Any,
) -> None:  # pragma: no cover - compiled
    """Give the matching blocks of each row: ``counts[k]`` of them in ``blocks[k]``."""
    size, distinct = len(observed), len(near_starts) - 1
    found = np.empty(longest, dtype=np.int32)
    target, head, seen = np.arange(known), np.empty(known, dtype=np.int64), np.empty(known, dtype=np.int64)
    following, runs = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    stamps, held = np.zeros(size, dtype=np.int64), np.full(known, -1, dtype=np.int64)
    stack = np.empty((3 * size + 6, 5), dtype=np.int64)
    base = 2
    _link(observed, target, head, following, seen)
    for k in range(len(rows)):
        length = _locate(rows[k], token_starts, tokens, local, found)
        if len(near):
            _substitute(found, length, distinct, near_starts, near, target, held, k)
            _link(observed, target, head, following, seen)
        counts[k], base = _blocks(found, length, size, head, following, runs, stamps, base, stack, blocks[k])


@_compile
def _most_first(rows: Any, counts: Any) -> None:  # pragma: no cover - compiled
    """Sort the postings of one symbol by falling count, rows ascending among equals."""
    most = 0
    for count in counts:
        most = max(most, count)
    if most < 2 or len(rows) < 2:
        return
    begins = np.zeros(most + 2, dtype=np.int64)
    for count in counts:
        begins[most - count + 1] += 1
    for k in range(most + 1):
        begins[k + 1] += begins[k]
    old_rows, old_counts = rows.copy(), counts.copy()
    for t in range(len(old_rows)):
        k = most - old_counts[t]
        rows[begins[k]], counts[begins[k]] = old_rows[t], old_counts[t]
        begins[k] += 1


@_compile
def index_symbols(
    low: int, high: int, token_starts: Any, tokens: Any, symbols: int
) -> tuple[Any, Any, Any]:  # pragma: no cover - compiled
    """Sort the symbols of a range of rows by symbol: where each begins, the rows that hold it, and how often."""
    starts, newest = np.zeros(symbols + 1, dtype=np.int64), np.full(symbols, -1, dtype=np.int64)
    for row in range(low, high):
        for t in range(token_starts[row], token_starts[row + 1]):
            symbol = tokens[t]
            if newest[symbol] != row:
                newest[symbol] = row
                starts[symbol + 1] += 1
    for symbol in range(symbols):
        starts[symbol + 1] += starts[symbol]
    rows, counts = np.empty(starts[symbols], dtype=np.int32), np.empty(starts[symbols], dtype=np.int32)
    filled = starts[:-1].copy()
    newest[:] = -1
    for row in range(low, high):
        for t in range(token_starts[row], token_starts[row + 1]):
            symbol = tokens[t]
            if newest[symbol] != row:
                newest[symbol] = row
                rows[filled[symbol]] = row
                counts[filled[symbol]] = 0
                filled[symbol] += 1
            counts[filled[symbol] - 1] += 1
    for symbol in range(symbols):
        _most_first(rows[starts[symbol] : starts[symbol + 1]], counts[starts[symbol] : starts[symbol + 1]])
    return starts, rows, counts


@_compile
def index_events(
    low: int, high: int, event_starts: Any, events: Any, kinds: int
) -> tuple[Any, Any, Any]:  # pragma: no cover - compiled
    """Sort the events of a range of rows by event: where each begins, and the row and position of each occurrence."""
    starts = np.zeros(kinds + 1, dtype=np.int64)
    for place in range(event_starts[low], event_starts[high]):
        starts[events[place] + 1] += 1
    for event in range(kinds):
        starts[event + 1] += starts[event]
    rows, positions = np.empty(starts[kinds], dtype=np.int32), np.empty(starts[kinds], dtype=np.int32)
    filled = starts[:-1].copy()
    for row in range(low, high):
        for place in range(event_starts[row], event_starts[row + 1]):
            at = filled[events[place]]
            rows[at] = row
            positions[at] = place - event_starts[row]
            filled[events[place]] += 1
    return starts, rows, positions
