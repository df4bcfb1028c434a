"""From sub-questions to sentences worth keeping: retrieval, ranking, a threshold, and at most three a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kimera.missions.contracts import SubQuestion
from kimera.missions.research.disagreement.subjects import subject_of
from kimera.missions.research.question import Question, read_question
from kimera.missions.research.reading import Line, Reading
from kimera.missions.research.words import content_stems, lexical_share
from kimera.missions.research.worth import addresses_a_model

__all__ = ["Record", "collect", "threshold"]

Record = dict[str, Any]
"""A line as JSON: the fields of `Line`, its ``score``, its sub-question ``sub`` and whether it is ``kept``."""

PASSAGES = 14
LINES = 120  # ranked per sub-question; passages come best first
PER_SOURCE = 3
MOST_WEAK = 200  # sentences kept only for the search for disagreement
BOUND_WORDS, BOUND_BOTH = 0.4, 0.8  # least score without and with an encoder; see docs/research-track.md
ELSEWHERE = 0.3  # weight of a sentence that stands under another subject's name
WEAK = 0.7  # share of the threshold above which a sentence still takes part in the search for disagreement


def threshold(with_meaning: bool) -> float:
    """Return the least score of a claim: the scores with an encoder are a sum of two halves."""
    return BOUND_BOTH if with_meaning else BOUND_WORDS


def collect(reading: Reading, subs: Sequence[SubQuestion], question: str) -> list[Record]:
    """Return the lines that pass the weak threshold, each under the sub-question it fits best, by position.

    ``kept`` marks what becomes a claim: above the threshold and among the best three of its source there.
    """
    bound = threshold(reading.encoder is not None)
    best: dict[tuple[str, int, int], Record] = {}
    for sub in subs:
        if reading.stopped:
            break
        query = sub.text if len(subs) == 1 or sub.id == "q1" else f"{sub.text} {question}"
        for line, score in _ranked(reading, query):
            if score < WEAK * bound or (addresses_a_model(line.text) and lexical_share(sub.text, line.text) < 0.5):
                continue
            key = (line.source_id, line.start, line.end)
            if key not in best or score > best[key]["score"]:
                best[key] = {**asdict(line), "score": round(score, 6), "sub": sub.id, "kept": False}
    found = sorted(best.values(), key=lambda r: (r["source_id"], r["start"], r["end"]))
    _keep(found, bound)
    weak = sorted((r for r in found if not r["kept"]), key=lambda r: (-r["score"], r["source_id"], r["start"]))
    return [record for record in found if record["kept"]] + weak[:MOST_WEAK]


def _ranked(reading: Reading, query: str) -> list[tuple[Line, float]]:
    seen: set[tuple[str, int, int]] = set()
    lines: list[Line] = []
    for passage in reading.find(query, PASSAGES):
        for line in reading.lines(passage):
            key = (line.source_id, line.start, line.end)
            if key not in seen and len(lines) < LINES:
                seen.add(key)
                lines.append(line)
    asked = read_question(query)
    scores = reading.score(query, lines)
    weights = _of_the_subject(reading, asked, lines)
    return [
        (line, weight * score + 0.02 * asked.answered_by(line.text))
        for line, score, weight in zip(lines, scores, weights, strict=True)
    ]


def _of_the_subject(reading: Reading, asked: Question, lines: Sequence[Line]) -> list[float]:
    """Return 1 or, where a title or heading names all that the question names, `ELSEWHERE` for lines that do not.

    In a folder with one paper per station the question for one of them is not answered by the papers of the others.
    """
    wanted = {s for m in asked.names for s in content_stems(m.text)}
    titles = [reading.document(line.source_id).title for line in lines]
    above = [subject_of(title, line.heading) for title, line in zip(titles, lines, strict=True)]
    if not wanted or not any(wanted <= subject for subject in above):
        return [1.0] * len(lines)
    said = [set(content_stems(line.text)) | subject for line, subject in zip(lines, above, strict=True)]
    return [1.0 if wanted <= stems or not subject else ELSEWHERE for stems, subject in zip(said, above, strict=True)]


def _keep(found: list[Record], bound: float) -> None:
    counts: dict[tuple[str, str], int] = {}
    for record in sorted(found, key=lambda r: (-r["score"], r["source_id"], r["start"])):
        home = (record["sub"], record["source_id"])
        if record["score"] >= bound and counts.get(home, 0) < PER_SOURCE:
            counts[home] = counts.get(home, 0) + 1
            record["kept"] = True
