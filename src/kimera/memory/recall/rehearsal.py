"""A rehearsal compiles every kernel before somebody waits for an answer."""

from __future__ import annotations

from kimera.memory.contracts import MemoryTuning, PatternChange, RecallOptions
from kimera.memory.index.store import TAIL, Index
from kimera.memory.recall.kernels import warm
from kimera.memory.recall.predict import predict

__all__ = ["rehearse"]


def rehearse(tuning: MemoryTuning) -> bool:
    """Load the kernels and run each once on a throw-away memory; return whether there are any.

    Takes a second where they are kept compiled, 15 to 20 s where they are not. Without numba nothing happens.
    """
    if not warm(tuning):
        return False
    index = Index(tuning)
    rows = range(TAIL + 1)
    index.apply(1, [PatternChange(f"p1:{row:064x}", (("a", "b"), (f"c{row % 9}",)), 1) for row in rows])
    index.view()
    index.apply(2, [PatternChange(f"p1:{TAIL + 1:064x}", (("a",), ("d",)), 1)])
    for threshold in (0.1, 0.5):
        predict(index.view(), (("a",), ("c1",)), RecallOptions(recall_threshold=threshold))
    return True
