"""Sentence embeddings on this machine: MiniLM weights on onnxruntime, pinned by hash; absent weights are no error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "Encoder", "EncoderMissing", "Vectors"]

DIMENSIONS = 384

Vectors: TypeAlias = "NDArray[np.float32]"


class Encoder(Protocol):
    """Turns texts into unit vectors; ``id`` names weights and graph, so equal ids give equal vectors."""

    @property
    def id(self) -> str:
        """Return a file-name-safe name that changes whenever the vectors would."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return float32 ``[len(texts), DIMENSIONS]``, each row of length 1."""


@dataclass(frozen=True)
class EncoderMissing:
    """Why there is no encoder: a degraded cause and one sentence that names the next action."""

    text: str
    cause: str = "encoder"
