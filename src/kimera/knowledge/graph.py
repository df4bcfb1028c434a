"""The gate of the entity graph: whether the names in a question and in the corpus can help to answer it.

A walk over shared names (`_pagerank`) helps where a question needs two passages that name each other, and harms where
names mean little; so it is used for some questions over some corpora, and the decision says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kimera.knowledge._fts import Row
from kimera.knowledge._names import proper_names, tokens_of

__all__ = ["GateDecision", "decide", "name_density"]

# The gate. Names of two words or more per 100 words: 8.3 in encyclopedia articles, 0.8 in scientific abstracts.
RICH_DENSITY = 3.0
LEAST_PASSAGES, MOST_PASSAGES = 30, 20_000  # reading the names takes about 0.3 ms a passage
SAMPLE = 256
_CUE = re.compile(r"\b(?:who|whose|whom|which|that|what|where|when|both|same|than|or)\b", re.IGNORECASE)


@dataclass(frozen=True)
class GateDecision:
    """Whether the graph re-ranks this question, and why; ``names`` are those found in the question."""

    used: bool
    reason: str
    names: tuple[str, ...] = ()
    density: float | None = None


def name_density(sample: Sequence[Row]) -> float:
    """Return distinct names of two words or more per 100 words, the mean over a sample of passages."""
    shares = []
    for row in sample:
        tokens = tokens_of(row.body)
        long = {name for name, _ in proper_names(row.body, tokens) if len(name) > 1}
        shares.append(100 * len(long) / max(1, len(tokens)))
    return round(sum(shares) / len(shares), 3) if shares else 0.0


def decide(question: str, passages: int, density: Callable[[], float]) -> GateDecision:
    """Return the gate's decision for one question over a corpus of ``passages``.

    ``density`` is asked for the corpus's `name_density` only if the question itself would open the gate.
    """
    tokens = tokens_of(question)
    names = tuple(dict.fromkeys(" ".join(name) for name, _ in proper_names(question, tokens)))
    if not LEAST_PASSAGES <= passages <= MOST_PASSAGES:
        return GateDecision(False, f"{passages} passages; the graph takes {LEAST_PASSAGES} to {MOST_PASSAGES}", names)
    if not names:
        return GateDecision(False, "the question names nothing", names)
    if len(names) == 1 and not _CUE.search(question, tokens[0].end):
        return GateDecision(False, "the question asks about one name directly", names)
    found = density()
    reason = f"{found:.1f} long names per 100 words"
    if found < RICH_DENSITY:
        return GateDecision(False, f"{reason}; a corpus is rich in names from {RICH_DENSITY}", names, found)
    return GateDecision(True, f"{reason}, {len(names)} in the question", names, found)
