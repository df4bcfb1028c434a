"""MiniLM computed by hand in numpy: the reference the ONNX graph is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]


def embed(weights: Mapping[str, NDArray[np.float32]], ids: Sequence[int]) -> Array:
    """Return the unit vector of one token sequence, in double precision, one text at a time, nothing fused."""
    w = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items() if value.dtype != np.int64}
    x = w["embeddings.word_embeddings.weight"][list(ids)]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, w, "embeddings.LayerNorm")
    for layer in range(6):
        x = _block(x, w, f"encoder.layer.{layer}.")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _block(x: Array, w: Mapping[str, Array], at: str) -> Array:
    heads = [
        _linear(x, w, f"{at}attention.self.{part}").reshape(len(x), 12, 32).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    ]
    query, key, value = heads
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(32)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = (scores / scores.sum(axis=-1, keepdims=True)) @ value
    joined = attended.transpose(1, 0, 2).reshape(len(x), 384)
    x = _norm(x + _linear(joined, w, at + "attention.output.dense"), w, at + "attention.output.LayerNorm")
    wide = _linear(x, w, at + "intermediate.dense")
    wide = 0.5 * wide * (1 + erf(wide / np.sqrt(2)))
    return _norm(x + _linear(wide, w, at + "output.dense"), w, at + "output.LayerNorm")


def _linear(x: Array, w: Mapping[str, Array], name: str) -> Array:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def _norm(x: Array, w: Mapping[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * w[name + ".weight"] + w[name + ".bias"]
