"""The next-event distribution and the loop rule written down plainly: dictionaries, fractions, no arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

END = ()


def counts_after(patterns: Sequence[dict[str, Any]], context: Sequence[Any]) -> Counter[Any]:
    """Return how often each event, or the end, follows the context; with no context, all events and ends."""
    found: Counter[Any] = Counter()
    for p in patterns:
        events = [*p["events"], END]
        for place in range(len(context), len(events)):
            if tuple(events[place - len(context) : place]) == tuple(context):
                found[events[place]] += p["frequency"]
    return found


def distribution(
    patterns: Sequence[dict[str, Any]], stm: Sequence[Any], max_order: int
) -> tuple[dict[Any, Fraction], int]:
    """Return the exact probabilities (None = unknown) and the order used."""
    mass: dict[Any, Fraction] = {None: Fraction(1)}
    order = 0
    for k in range(max_order + 1):
        if k > len(stm):
            break
        found = counts_after(patterns, stm[len(stm) - k :])
        n, u = sum(found.values()), len(found)
        if not n:
            break
        names = {*mass, *found}
        mass = {y: (found.get(y, 0) + u * mass.get(y, Fraction(0))) / Fraction(n + u) for y in names}
        order = k
    return mass, order


def loop(stm: Sequence[Any], least: int) -> tuple[int, int, int] | None:
    """Return (period, repeats, start) of the shortest loop at the end."""
    for period in range(1, 9):
        best = 0
        for repeats in range(1, len(stm) // period + 1):
            tail = stm[len(stm) - period * repeats :]
            if all(tail[i] == tail[i + period] for i in range(len(tail) - period)):
                best = repeats
        if best >= least:
            return period, best, len(stm) - period * best
    return None
