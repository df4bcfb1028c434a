"""The guard: does a session run in circles, and how surprising was its newest event?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from kimera.memory.contracts import Event, Events, Guard, GuardOptions, Loop, NextOptions, RecallOptions
from kimera.memory.index.overlap import Overlap
from kimera.memory.index.view import View
from kimera.memory.recall.next import answer_of, distribution_of
from kimera.memory.recall.predict import predict

__all__ = ["find_loop", "guard"]

LONGEST_PERIOD = 8
ENOUGH = 5  # fewer observations of a context than this make no anomaly


def guard(
    view: View,
    events: Events,
    options: GuardOptions | None = None,
    *,
    recall: RecallOptions | None = None,
    following: NextOptions | None = None,
    vectors: Mapping[str, Sequence[float]] | None = None,
    affinity: Mapping[str, float] | None = None,
    overlap: Overlap | None = None,
) -> Guard:
    """Judge the newest event against what the memory expected after those before it.

    ``recall`` and ``following`` are the session's options of predictions and of the next-event distribution; the
    other arguments are those of `predict`.
    """
    options, following = options or GuardOptions(), following or NextOptions()
    event = events[-1] if events else None
    before = distribution_of(view, events[:-1], following)
    expected, reason = answer_of(before, following)
    loop = find_loop(events, options.loop_repeats)
    surprise = None if event is None else -math.log2(before.probability(event)) + 0.0  # bits; never -0.0
    count = before.totals[-1] if before.totals else 0
    odd = surprise is not None and surprise >= options.surprise_limit and before.order >= 1 and count >= ENOUGH
    verdict: Literal["loop", "anomaly", "unknown", "ok"] = "ok"
    if loop is not None:
        verdict = "loop"
    elif odd:
        verdict = "anomaly"
    elif expected is None:
        verdict = "unknown"
    best = replace(recall or RecallOptions(), max_predictions=1)
    top = predict(view, events, best, vectors=vectors, affinity=affinity, overlap=overlap).predictions
    extras = top[0].extras if top else ()
    return Guard(
        verdict=verdict,
        event=event,
        loop=loop,
        surprise=surprise,
        order=before.order,
        count=count,
        expected=expected,
        reason=reason,
        skipped=top[0].missing if top else (),
        divergence=next((place for place, extra in enumerate(extras) if extra), None),
        memory_seq=view.seq,
        options=options.to_dict(),
    )


def find_loop(events: Sequence[Event], least: int) -> Loop | None:
    """Return the shortest period of at most 8 events that stands at least ``least`` times at the end."""
    for period in range(1, LONGEST_PERIOD + 1):
        repeats = 1
        while (repeats + 1) * period <= len(events) and _same(events, period, repeats):
            repeats += 1
        if repeats >= least and period * repeats <= len(events):
            return Loop(period, repeats, len(events) - period * repeats)
    return None


def _same(events: Sequence[Event], period: int, repeats: int) -> bool:
    """Return whether the period before the last ``repeats`` ones equals the last one."""
    end = len(events) - repeats * period
    return events[end - period : end] == events[len(events) - period :]
