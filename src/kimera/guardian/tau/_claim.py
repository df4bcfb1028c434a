"""Support of one claim by its cited spans, from wording overlap alone (no model)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from kimera.guardian.tau._value import TauValue, judged, load_calibration, logistic, unjudged

__all__ = ["CitedSpan", "claim", "content_tokens", "recall3"]

EVENT = "the cited evidence supports the claim"
CALIBRATION = "recall3-platt@1"
TOKEN = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?|\d[\d,.]*\d|\d")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
PARAGRAPH_END = "\n\n"
PARAGRAPH_REACH = 2_000  # a text without blank lines is one paragraph; widening by all of it would support anything
UNCHECKED_CAP, UNCITED_CAP, LEXICAL_CAP, FABRICATED = 0.90, 0.20, 0.50, 0.02


@dataclass(frozen=True)
class CitedSpan:
    """A quotation and where it is said to stand: ``sources[source_id][start:end] == quote``."""

    source_id: str
    start: int
    end: int
    quote: str


def claim(
    text: str,
    spans: Iterable[CitedSpan],
    sources: Mapping[str, str],
    retrieved: Set[str],
    *,
    lexical_encoder: bool = False,
) -> TauValue:
    """Return how likely it is that the cited spans support ``text``.

    ``sources`` maps ids to full texts, ``retrieved`` holds every id that retrieval returned. Recall of the claim's
    words in the paragraphs around the spans, mapped by the Platt calibration recall3-platt@1, then capped:
    fabricated citation .02, no verbatim citation .20, lexical encoder .50, contradiction not checked .90.
    """
    fitted = load_calibration(CALIBRATION)
    if fitted is None:
        return unjudged(EVENT, None)
    calibration, parameters = fitted
    cited = sorted(spans, key=lambda span: (span.source_id, span.start, span.end))
    if any(span.source_id not in retrieved for span in cited):
        return judged(FABRICATED, EVENT, calibration, caps=("CITATION_FABRICATED",))
    verbatim = [span for span in cited if _stands(span, sources)]
    evidence = "\n".join(dict.fromkeys(_paragraph(sources[s.source_id], s.start, s.end) for s in verbatim))
    recall = recall3(text, evidence)
    tau = logistic(parameters["slope"] * recall + parameters["intercept"])
    limits = {"CONTRADICTION_NOT_CHECKED": UNCHECKED_CAP}
    if not verbatim:
        limits["QUOTE_NOT_VERBATIM" if cited else "NO_CITATION"] = UNCITED_CAP
    if lexical_encoder:
        limits["LEXICAL_ENCODER"] = LEXICAL_CAP
    caps = tuple(name for name, limit in limits.items() if tau > limit)
    value = judged(min([tau, *limits.values()]), EVENT, calibration, {"recall3": recall}, caps)
    # A wrong quotation is worth knowing even where the overlap was too small for its cap to bite.
    missing = tuple(name for name in ("QUOTE_NOT_VERBATIM",) if name in limits and name not in caps)
    return replace(value, caps=caps + missing)


def recall3(claim: str, evidence: str, idf: Mapping[str, float] | None = None) -> float:
    """Return the largest idf share of distinct claim words found in three consecutive evidence sentences, 0..1.

    ``idf`` is keyed by stem; None weighs each word 1. A claim without a content word gives 0.
    """
    wanted = content_tokens(claim)
    if not wanted:
        return 0.0
    rare = max(idf.values(), default=1.0) if idf else 1.0
    weights = {token: idf.get(token, rare) if idf else 1.0 for token in sorted(wanted)}
    total = sum(weights.values())
    sentences = [content_tokens(part) for part in SENTENCE_END.split(evidence)]
    best = max((_found(weights, sentences[i : i + 3]) for i in range(max(1, len(sentences) - 2))), default=0.0)
    return best / total if total else 0.0


def _found(weights: Mapping[str, float], window: Sequence[Set[str]]) -> float:
    present = set().union(*window)
    return sum(weight for token, weight in weights.items() if token in present)


def content_tokens(text: str) -> set[str]:
    """Return the stems of the words and numbers of ``text`` that are not stop words."""
    words = (match.group().lower().replace("’", "'") for match in TOKEN.finditer(text))
    return {_stem(word) for word in words if word not in _stop_words()}


def _stem(word: str) -> str:
    for suffix, replacement in (("'s", ""), ("ies", "y"), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", "")):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)] + replacement
            break
    else:
        if word.endswith("es") and len(word) >= 5 and word[-3] in "sxz":
            word = word[:-2]
        elif word.endswith("s") and len(word) >= 4 and word[-2] not in "su":
            word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) >= 4 else word


@cache
def _stop_words() -> frozenset[str]:
    data = resources.files("kimera.guardian") / "data" / "stopwords.txt"
    return frozenset(data.read_text("utf-8").split())


def _stands(span: CitedSpan, sources: Mapping[str, str]) -> bool:
    text = sources.get(span.source_id)
    return bool(span.quote) and text is not None and span.start >= 0 and text[span.start : span.end] == span.quote


def _paragraph(text: str, start: int, end: int) -> str:
    before = text.rfind(PARAGRAPH_END, 0, start)
    after = text.find(PARAGRAPH_END, end)
    first = max(before + len(PARAGRAPH_END) if before >= 0 else 0, start - PARAGRAPH_REACH)
    last = min(after if after >= 0 else len(text), end + PARAGRAPH_REACH)
    return text[first:last]
