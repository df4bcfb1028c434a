"""Sentence embeddings on this machine: MiniLM weights on onnxruntime, pinned by hash; absent weights are no error."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from kimera.llm._weights import PACKAGE, WEIGHTS_SHA256, find_weights, unverified

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "Encoder", "EncoderMissing", "Vectors", "load_encoder", "weights_found"]

DIMENSIONS = 384
GRAPH_VERSION = 2  # part of the encoder's id: bump it whenever the vectors would change

MAX_TOKENS = 256  # what the sentence model was trained with; BERT itself would take 512
_BATCH_TEXTS = 16
# No 256 tokens are longer: a WordPiece word has at most 100 characters, and more blanks than these are not prose.
_CHARACTERS = 32_768

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


class MiniLM:
    """all-MiniLM-L6-v2: the first 256 tokens of each text, mean pooled. Safe to share between threads."""

    id = f"minilm-l6-v2-{WEIGHTS_SHA256[:12]}-g{GRAPH_VERSION}"

    def __init__(self, session: Any, tokenizer: Any) -> None:
        self._session = session
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows; a text has the same vector, bit for bit, whatever it is encoded together with."""
        import numpy as np

        tokens = [self._tokens(text) for text in texts]
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for batch in _batches([len(ids) for ids in tokens]):
            ids = np.array([tokens[n] for n in batch], dtype=np.int32)
            vectors[batch] = self._session.run(None, {"ids": ids})[0]
        return vectors

    def _tokens(self, text: str) -> list[int]:
        # One text at a time: the library's batch call starts threads, which warn when the process forks later.
        clean = text[:_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(clean).ids
        return ids


def load_encoder(
    path: Path | None, cache_dir: Path, *, threads: int = 1
) -> tuple[MiniLM, None] | tuple[None, EncoderMissing]:
    """Return the encoder, or None and why; nothing is ever downloaded.

    ``path`` is a folder with ``model.safetensors`` and ``tokenizer.json``; None means the installed weight package. The
    graph is built at first use (0.5 s) and cached in ``cache_dir``. Files with another sha256 are refused.
    """
    folder = find_weights(path)
    if folder is None:
        return None, EncoderMissing(_absent(path))
    try:
        wrong = unverified(folder, cache_dir)
        if wrong is not None:
            return None, EncoderMissing(
                f"Search by meaning is off: {wrong} is not the pinned all-MiniLM-L6-v2 file; reinstall {PACKAGE} or "
                "point KIMERA_ENCODER_PATH at the original files."
            )
        return MiniLM(_session(folder, cache_dir, threads), _tokenizer(folder)), None
    except ImportError as missing:
        return None, EncoderMissing(
            f"Search by meaning is off: {missing.name} is not installed; run pip install kimera again."
        )
    except OSError as failed:
        return None, EncoderMissing(
            f"Search by meaning is off: {failed.strerror or failed}; check that the home folder is writable."
        )


def weights_found(path: Path | None) -> bool:
    """Return whether both files of the encoder are where `load_encoder` would look; their bytes are not checked."""
    return find_weights(path) is not None


def _absent(path: Path | None) -> str:
    where = f"install {PACKAGE} or set KIMERA_ENCODER_PATH" if path is None else "correct KIMERA_ENCODER_PATH"
    return f"Search by meaning is off: model.safetensors and tokenizer.json were not found; {where}."


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    # Only texts of one length share a batch: padding would cost time and change the last bits of a vector.
    ordered = sorted(range(len(lengths)), key=lambda n: (lengths[n], n))
    for _, same in groupby(ordered, key=lambda n: lengths[n]):
        members = list(same)
        for start in range(0, len(members), _BATCH_TEXTS):
            yield members[start : start + _BATCH_TEXTS]


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    return tokenizer


def _session(folder: Path, cache: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = cache / MiniLM.id
    for attempt in ("cached", "new"):
        if not (graph / "model.onnx").is_file():
            _build(folder, graph)
        try:
            return onnxruntime.InferenceSession(str(graph / "model.onnx"), options, providers=["CPUExecutionProvider"])
        except _session_errors() as error:
            # A damaged cache is built again once; after that the fault lies elsewhere.
            shutil.rmtree(graph, ignore_errors=True)
            if attempt == "new":
                raise OSError(errno.EIO, "onnxruntime refused the encoder's graph") from error
    raise AssertionError


def _session_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile,
            state.RuntimeException)  # fmt: skip


def _build(folder: Path, graph: Path) -> None:
    from safetensors.numpy import load_file

    from kimera.llm._minilm import write_graph

    graph.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=graph.parent, prefix=".graph-") as name:
        built = Path(name) / "graph"
        built.mkdir()
        write_graph(load_file(folder / "model.safetensors"), built, MAX_TOKENS)
        try:
            built.rename(graph)
        except OSError:
            # Another process was first; its graph has the same bytes.
            if not (graph / "model.onnx").is_file():
                raise
