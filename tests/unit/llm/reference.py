"""MiniLM computed by hand in numpy: the reference the ONNX graph is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]


def embed(weights: Mapping[str, NDArray[np.float32]], texts: Sequence[Sequence[int]]) -> Array:
    """Return the unit vector of each token sequence, in double precision, one at a time, nothing fused."""
    words = weights["embeddings.word_embeddings.weight"]
    w = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items() if value is not words}
    return np.stack([_embed(words[list(ids)].astype(np.float64), w) for ids in texts])


def _embed(x: Array, w: Mapping[str, Array]) -> Array:
    x = x + w["embeddings.position_embeddings.weight"][: len(x)] + w["embeddings.token_type_embeddings.weight"][0]
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
    scores = np.einsum("hid,hjd->hij", query, key) / np.sqrt(32)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = np.einsum("hij,hjd->hid", scores / scores.sum(axis=-1, keepdims=True), value)
    joined = attended.transpose(1, 0, 2).reshape(len(x), 384)
    x = _norm(x + _linear(joined, w, at + "attention.output.dense"), w, at + "attention.output.LayerNorm")
    wide = _linear(x, w, at + "intermediate.dense")
    wide = 0.5 * wide * (1 + erf(wide / np.sqrt(2)))
    return _norm(x + _linear(wide, w, at + "output.dense"), w, at + "output.LayerNorm")


def _linear(x: Array, w: Mapping[str, Array], name: str) -> Array:
    # Dot by dot, without BLAS threads: on a machine that runs other tests they wait for each other.
    return np.vecdot(x[:, None, :], w[name + ".weight"][None]) + w[name + ".bias"]


def _norm(x: Array, w: Mapping[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * w[name + ".weight"] + w[name + ".bias"]
