"""Passages: runs of whole sentences of about 180 words that never cross a heading, with near-duplicates linked."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence

from kimera.knowledge.contracts import Document, Passage
from kimera.knowledge.sentences import split

__all__ = ["cut_passages", "link_duplicates"]

WORDS = 180
SHORT = 40  # a last piece below this joins the passage before it
SHINGLE = 4
BANDS, ROWS = 16, 4
ALIKE = 0.8

_FRONT = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.S)
_HEADING_LINES = re.compile(r"[^\n]*(?:\n(?:={3,}|-{3,})[ \t]*(?=\n|\Z))?")
_WORD = re.compile(r"\w+")


def cut_passages(document: Document, text: str, first: int) -> list[Passage]:
    """Return the passages of one document, numbered from ``first`` and linked to their neighbours."""
    spans: list[tuple[int, int, str]] = []
    for start, end, heading in _sections(document, text):
        spans.extend((a, b, heading) for a, b in _packed(text, start, end))
    last = first + len(spans) - 1
    return [
        Passage(
            number=number, source_id=document.source_id, start=start, end=end, heading=heading,
            previous=number - 1 if number > first else None, next=number + 1 if number < last else None,
        )
        for number, (start, end, heading) in enumerate(spans, first)
    ]  # fmt: skip


def _sections(document: Document, text: str) -> list[tuple[int, int, str]]:
    """Return ``(start, end, heading)`` of the text below each heading; headings and front matter are not in it.

    A document of nothing but headings is one section.
    """
    front = _FRONT.match(text)
    opened, heading, sections = front.end() if front else 0, "", []
    for mark in document.headings:
        sections.append((opened, mark.start, heading))
        line = _HEADING_LINES.match(text, mark.start)
        opened, heading = line.end() if line else mark.start, mark.text
    sections.append((opened, len(text), heading))
    filled = [section for section in sections if text[section[0] : section[1]].strip()]
    return filled or [(0, len(text), "")]


def _packed(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return spans of whole sentences, each of about `WORDS` words."""
    runs: list[tuple[int, int, int]] = []
    for a, b in split(text[start:end]):
        words = len(text[start + a : start + b].split())
        if runs and runs[-1][2] + words <= WORDS:
            runs[-1] = (runs[-1][0], start + b, runs[-1][2] + words)
        else:
            runs.append((start + a, start + b, words))
    if len(runs) > 1 and runs[-1][2] < SHORT:
        opened, _, count = runs[-2]
        runs[-2:] = [(opened, runs[-1][1], count + runs[-1][2])]
    return [(a, b) for a, b, _ in runs]


def link_duplicates(passages: Sequence[Passage], texts: Sequence[str]) -> list[Passage]:
    """Return the passages with ``duplicate_of`` set to the first one that says nearly the same.

    MinHash (Broder 1997) over `SHINGLE`-word shingles, 64 permutations in 16 bands; a candidate counts when the exact
    Jaccard similarity of the shingle sets is at least `ALIKE`. Fixed seeds: the same texts give the same links.
    """
    if len(passages) < 2:
        return list(passages)
    shingles = [_shingles(text) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    original: dict[int, int] = {}
    for index, signature in enumerate(_signatures(shingles)):
        keys = [(band, signature[band * ROWS * 8 : (band + 1) * ROWS * 8]) for band in range(BANDS)]
        near = sorted({other for key in keys for other in buckets[key]})
        match = next((other for other in near if _alike(shingles[index], shingles[other])), None)
        if match is not None and len(shingles[index]) > 0:
            original[index] = match
            continue
        for key in keys:
            buckets[key].append(index)
    return [
        passage.model_copy(update={"duplicate_of": passages[original[i]].number}) if i in original else passage
        for i, passage in enumerate(passages)
    ]


def _shingles(text: str) -> frozenset[int]:
    words = [word.lower() for word in _WORD.findall(text)]
    runs = max(1, len(words) - SHINGLE + 1) if words else 0
    return frozenset(zlib.crc32(" ".join(words[i : i + SHINGLE]).encode("utf-8", "replace")) for i in range(runs))


def _alike(first: frozenset[int], second: frozenset[int]) -> bool:
    return len(first & second) >= ALIKE * len(first | second)


def _signatures(shingles: Sequence[frozenset[int]]) -> list[bytes]:
    import numpy as np

    random = np.random.default_rng(20_170_131)
    factors = random.integers(1, 2**61, size=(BANDS * ROWS, 1), dtype=np.uint64) | np.uint64(1)
    offsets = random.integers(0, 2**61, size=(BANDS * ROWS, 1), dtype=np.uint64)
    result = []
    for row in shingles:
        values = np.fromiter(sorted(row) or [0], dtype=np.uint64)[None, :]
        # Multiply-shift hashing: overflow of unsigned 64-bit numbers is the modulus.
        result.append(((values * factors + offsets) >> np.uint64(24)).min(axis=1).tobytes())
    return result
