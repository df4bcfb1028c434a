"""Checks before anything is handed on: quotes, duplicates, disagreement, coverage, gaps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal

from kimera.missions.contracts import Conflict, Gap, SubQuestion, TextClaim
from kimera.missions.research.about import read_about
from kimera.missions.research.disagreement import Disagreement, Statement, find_disagreements
from kimera.missions.research.evidence import Record
from kimera.missions.research.mentions import Mention, find_mentions, same_value
from kimera.missions.research.question import read_question
from kimera.missions.research.reading import Reading, series_of
from kimera.missions.research.words import content_stems, fold, lexical_share
from kimera.missions.track import TrackContext
from kimera.storage.blobs import canonical_json, sha256_hex

__all__ = ["checked", "claims_of", "conflicts_of", "covered", "disagreements_of", "gaps_of", "merged"]

SAME_WORDS, SAME_MEANING = 0.85, 0.93  # Jaccard of stems, cosine; both only when all typed values agree
COVERED = 0.5
CONTEXT = 240  # characters before a sentence that may name what it speaks of

_NEGATION = re.compile(r"\b(?:no|not|never|neither|nor|none|without|cannot|\w+n['’]t|fail(?:s|ed)? to|lacks?)\b", re.I)


def checked(reading: Reading, found: Sequence[Record]) -> list[Record]:
    """Return the records whose text is, but for white space, character by character what the document holds there."""
    return [
        record
        for record in found
        if " ".join(reading.text(record["source_id"])[record["start"] : record["end"]].split()) == record["text"]
    ]


def disagreements_of(reading: Reading, question: str, found: list[Record]) -> list[Disagreement]:
    """Return what cannot both hold among all records, kept or not; the records of a disagreement become kept."""
    statements = [_statement(reading, record) for record in found]
    disagreements = find_disagreements(question, statements)
    for disagreement in disagreements:
        for side in disagreement.sides:
            for index in side.statements[:3]:
                found[index]["kept"] = True
    return disagreements


def _statement(reading: Reading, record: Record) -> Statement:
    source = reading.source(record["source_id"])
    return Statement(
        text=record["text"],
        source_id=record["source_id"],
        heading=record["heading"],
        dated=_dated(reading, record),
        series=series_of(source.name),
        archived=source.archived,
        relevance=record["score"],
        context=_before(reading, record),
        title=reading.document(record["source_id"]).title,
    )


def _before(reading: Reading, record: Record) -> str:
    """Return the title and what stands just before the record in its passage."""
    passage = reading.passage(record["passage"])
    text = reading.text(record["source_id"])[max(passage.start, record["start"] - CONTEXT) : record["start"]]
    return f"{reading.document(record['source_id']).title}. {text}"


def _dated(reading: Reading, record: Record) -> date | None:
    """Return the date of the record's dateline, else of its document, else of its source."""
    if record["dated"]:
        return date.fromisoformat(record["dated"])
    return reading.document(record["source_id"]).dated or reading.source(record["source_id"]).dated


def merged(reading: Reading, found: Sequence[Record]) -> list[list[int]]:
    """Return groups of kept records (by index) that say the same, the most relevant first in each group.

    Two records join only if every date, quantity and name agrees, so that a disagreement is never merged away.
    """
    order = sorted((i for i, r in enumerate(found) if r["kept"]), key=lambda i: (-found[i]["score"], i))
    stems = {i: frozenset(content_stems(found[i]["text"])) for i in order}
    close = _cosines(reading, [found[i]["text"] for i in order])
    groups: list[list[int]] = []
    for row, index in enumerate(order):
        home = next((g for g in groups if _alike(found, stems, close, order, g[0], index, row)), None)
        if home is None:
            groups.append([index])
        else:
            home.append(index)
    return groups


def _alike(
    found: Sequence[Record],
    stems: dict[int, frozenset[str]],
    close: list[list[float]] | None,
    order: list[int],
    first: int,
    index: int,
    row: int,
) -> bool:
    if fold(found[first]["text"]) == fold(found[index]["text"]):
        return True
    either = stems[first] | stems[index]
    jaccard = len(stems[first] & stems[index]) / len(either) if either else 0.0
    meaning = close[order.index(first)][row] if close else 0.0
    if jaccard < SAME_WORDS and meaning < SAME_MEANING:
        return False
    return _same_values(found[first]["text"], found[index]["text"])


def _same_values(one: str, other: str) -> bool:
    first, second = find_mentions(one), find_mentions(other)
    return all(_held(m, second) for m in first) and all(_held(n, first) for n in second)


def _held(mention: Mention, others: Sequence[Mention]) -> bool:
    """Return whether one of the others is the same; a date as precise as this one, so that a year hides no day."""
    same = (other for other in others if same_value(mention, other))
    return any(mention.kind != "date" or mention.value == other.value for other in same)


def _cosines(reading: Reading, texts: list[str]) -> list[list[float]] | None:
    if reading.encoder is None or not texts:
        return None
    vectors = reading.encoder.encode(texts)
    rows: list[list[float]] = (vectors @ vectors.T).round(6).tolist()
    return rows


def claims_of(
    context: TrackContext, reading: Reading, found: Sequence[Record], groups: Sequence[Sequence[int]]
) -> list[TextClaim]:
    """Return one claim per group with the spans of all its records; the statement is the best record's text."""
    claims: list[TextClaim] = []
    asked = read_question(context.question)
    answers = 0
    for group in groups:
        record = found[group[0]]
        answer = answers < 3 and record["sub"] == "q1" and (not asked.factoid or asked.answered_by(record["text"]))
        answers += answer
        document = reading.document(record["source_id"])
        claims.append(
            TextClaim(
                id=claim_id(record),
                statement=record["text"],
                about=read_about(record["text"], record["heading"], document.title),
                track="deep_research",
                attempt=context.attempt,
                created_at=context.started_at,
                relevance=record["score"],
                dated=_dated(reading, record),
                role="answer" if answer else "finding",
                sub_question=record["sub"],
                spans=tuple(reading.span(found[i]["source_id"], found[i]["start"], found[i]["end"]) for i in group),
                stance=_stance(context.question, record["text"]),
            )
        )
    return claims


def claim_id(record: Record) -> str:
    """Return the id of a record's claim: ``t_`` + 20 hex digits over source, offsets and text."""
    return "t_" + sha256_hex(canonical_json([record[k] for k in ("source_id", "start", "end", "text")]))[:20]


def _stance(question: str, text: str) -> Literal["supports", "refutes", "mentions"]:
    """Judge a yes/no question by polarity alone, and only where the sentence speaks of most of what is asked."""
    if read_question(question).asks != "boolean" or lexical_share(question, text) < 0.6:
        return "mentions"
    return "supports" if bool(_NEGATION.search(question)) == bool(_NEGATION.search(text)) else "refutes"


def conflicts_of(
    disagreements: Sequence[Disagreement], claim_of: dict[int, str], reading: Reading, found: Sequence[Record]
) -> list[Conflict]:
    """Return the conflicts between claims; a disagreement within one claim is none."""
    conflicts: list[Conflict] = []
    for disagreement in disagreements:
        sides = [[claim_of[i] for i in side.statements if i in claim_of] for side in disagreement.sides]
        if disagreement.current is not None:
            sides[disagreement.current] = sides[disagreement.current][:1]  # the others of this side agree with it
        claims = tuple(dict.fromkeys(claim for side in sides for claim in side))
        if len(claims) < 2 or not all(sides):
            continue
        current = None if disagreement.current is None else sides[disagreement.current][0]
        values = [
            f"“{side.value}” ({reading.source(found[side.statements[0]]['source_id']).name})"
            for side in disagreement.sides
        ]
        conflicts.append(
            Conflict(
                id="x_" + sha256_hex(canonical_json([disagreement.kind, list(claims)]))[:20],
                kind=disagreement.kind,
                claims=claims,
                text=" against ".join(values),
                current=current,
                reason=disagreement.reason,
            )
        )
    return conflicts


def covered(subs: Sequence[SubQuestion], claims: Sequence[TextClaim]) -> list[SubQuestion]:
    """Return the sub-questions with coverage: share of their stems in their claims, halved without the typed answer."""
    result: list[SubQuestion] = []
    for sub in subs:
        mine = [claim for claim in claims if claim.sub_question == sub.id]
        asked = read_question(sub.text)
        share = lexical_share(sub.text, " ".join(claim.statement for claim in mine)) if mine else 0.0
        if mine and asked.factoid and not any(asked.answered_by(claim.statement) for claim in mine):
            share /= 2
        result.append(
            sub.model_copy(update={"coverage": round(min(1.0, share), 3), "claims": tuple(c.id for c in mine)})
        )
    return result


def gaps_of(reading: Reading, subs: Sequence[SubQuestion], own: int) -> list[Gap]:
    """Return what stays open: parts of the question without enough evidence, documents that could not be read.

    The first ``own`` sub-questions are the question's own; topics that were only added by the plan open no gap.
    """
    gaps = [
        Gap(kind="uncovered", text=f"The documents say too little about: {sub.text}")
        for sub in subs[:own]
        if sub.coverage < COVERED
    ]
    for source in reading.library.sources:
        if source.kind in {"document", "image", "other"} and source.status != "read":
            reason = source.reason or "no reader could open it"
            gaps.append(Gap(kind="unread_source", text=f"{source.name}: {reason}", source_id=source.id))
    return gaps
