"""A few passages and a deterministic encoder without weights, for the index tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kimera.knowledge.contracts import Library, Passage
from kimera.knowledge.index import build_segment
from kimera.llm.embeddings import DIMENSIONS, Vectors
from kimera.storage import Blobs

TEXTS = (
    "The heron hunts frogs in shallow water at dawn.",
    "Bridges of stone carry the old road across the river.",
    "A reactor turns uranium into heat and heat into current.",
    "Frogs sing loudest on warm nights after rain.",
    "The bank raised its rate and bridges between markets closed.",
)


class WordEncoder:
    """An encoder whose vector is the sum of one fixed direction per word: shared words, near vectors."""

    id = "words-1"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows; counts the texts it was given."""
        self.encoded += len(texts)
        matrix = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").split():
                seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:4], "big")
                matrix[row] += np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        return matrix / np.where(lengths == 0, np.float32(1), lengths)


def passages(texts: Iterable[str] = TEXTS) -> list[tuple[Passage, str]]:
    """Return numbered passages, each its own source."""
    return [(Passage(number=n, source_id=f"source{n}", start=0, end=len(text)), text) for n, text in enumerate(texts)]


def library(blobs: Blobs, texts: Iterable[str] = TEXTS, titles: Mapping[str, str] | None = None) -> Library:
    """Return a library whose segment holds ``texts``."""
    rows = passages(texts)
    return Library(
        knowledge_space="test",
        folder="folder",
        sources=(),
        tables=(),
        documents=(),
        passages=tuple(p for p, _ in rows),
        segment=build_segment(rows, blobs, titles=titles),
    )
