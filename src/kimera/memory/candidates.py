"""Finding candidates, exactly: a bound drops what cannot reach the threshold, the alignment decides the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kimera.memory.align import Aligned, align_rows_plainly
from kimera.memory.contracts import RecallOptions
from kimera.memory.index.overlap import Overlap, count_overlaps, needed_overlap
from kimera.memory.index.view import View
from kimera.memory.query import Query

__all__ = ["align_rows", "possible_rows"]

Rows = NDArray[np.int64]


def possible_rows(view: View, query: Query, options: RecallOptions, session: Overlap | None = None) -> Rows:
    """Return the rows that may reach the recall threshold, ascending; never leaves out one that does.

    The characters of two sequences may agree where their symbols do not, so matching by characters bounds nothing.
    """
    threshold = options.recall_threshold
    if threshold <= 0 or options.matching == "characters" or not view.tuning.bound:
        return view.alive
    needed = needed_overlap(int(view.lengths.max(initial=0)), len(query.texts), threshold)
    if session is not None and view.tuning.incremental and not query.near and session.lock.acquire(blocking=False):
        try:
            return _reaching(view, session.update(view, query.counts), needed)
        finally:
            session.lock.release()
    return _reaching(view, count_overlaps(view, query), needed)


def align_rows(view: View, query: Query, rows: Rows) -> Aligned:
    """Align the rows with the query."""
    return align_rows_plainly(view, query, rows)


def _reaching(view: View, overlaps: NDArray[np.int32], needed: NDArray[np.int32]) -> Rows:
    return np.flatnonzero((overlaps >= needed[view.lengths]) & (view.frequency > 0))
