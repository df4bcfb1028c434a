"""From one question to at most six sub-questions that do not overlap, without a model."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from kimera.missions.contracts import SubQuestion
from kimera.missions.research.question import read_question
from kimera.missions.research.words import STOP, content_stems, words

__all__ = ["MOST", "facets", "parts", "sub_questions"]

MOST = 6


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPLIT = re.compile(r"(?<=\?)\s+|;\s+|\n+")
_CLAUSE = re.compile(r",?\s+\b(?:and|as well as)\s+(?=(?:who|what|when|where|which|why|how)\b)", re.I)
_STRUCTURE = _set("""
    abstract introduction background summary conclusion conclusions discussion results methods method overview
    references bibliography contents appendix acknowledgements notes figures tables general other further
""")


def parts(question: str) -> list[str]:
    """Return the questions a text holds: sentences, and clauses that open with a question word of their own."""
    found: list[str] = []
    for piece in _SPLIT.split(question.strip()):
        found.extend(clause.strip(" ,") for clause in _CLAUSE.split(piece))
    kept = [piece for piece in found if len(content_stems(piece)) >= 1]
    return list(dict.fromkeys(kept)) or [question.strip()]


def facets(question: str, headings: Iterable[str], texts: Sequence[str]) -> list[str]:
    """Return topics beside the question, most telling first: headings of the best passages, then word pairs they share.

    A topic that adds no word to the question or to an earlier topic is left out.
    """
    known = set(content_stems(question))
    topics: list[str] = []
    for topic in [*headings, *_pairs(texts)]:
        stems = set(content_stems(topic)) - known
        plain = [word for word in words(topic) if word not in STOP and word not in _STRUCTURE and not word.isdigit()]
        if not plain or not stems or len(plain) > 8 or len(stems) * 2 < len(set(content_stems(topic))):
            continue
        known |= stems
        topics.append(" ".join(topic.split()))
    return topics


def _pairs(texts: Sequence[str]) -> list[str]:
    """Return neighbouring content words that at least three of the texts share, most frequent first."""
    if len(texts) < 6:
        return []
    counts: Counter[tuple[str, str]] = Counter()
    for text in texts:
        found = words(text)
        near = itertools.pairwise(found)
        counts.update({p for p in near if all(len(w) > 3 and w not in STOP and w.isalpha() for w in p)})
    shared = [(pair, n) for pair, n in counts.items() if 3 <= n <= 0.8 * len(texts)]
    return [" ".join(pair) for pair, _ in sorted(shared, key=lambda item: (-item[1], item[0]))[:8]]


def sub_questions(question: str, topics: Sequence[str]) -> list[SubQuestion]:
    """Return the sub-questions: the question's own parts, then topics; a question for one value has no topics."""
    asked = parts(question)[:MOST]
    if not read_question(question).factoid and len(asked) == 1:
        asked += [f"{topic}: what do the documents say?" for topic in topics[: MOST - 1]]
    return [SubQuestion(id=f"q{n}", text=text, coverage=0.0) for n, text in enumerate(asked, 1)]
