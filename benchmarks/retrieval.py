"""Retrieval quality and speed on public sets, through the product's own segment.

    python benchmarks/retrieval.py --data DIR [--set scifact|hotpotqa] [--json] [--limit N] [--cache DIR]

``DIR`` holds ``scifact/`` (corpus.jsonl.gz, claims_*.jsonl) and ``hotpotqa/`` (questions and corpus as JSON). The first
run encodes the corpora, which takes minutes; vectors are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kimera.knowledge.contracts import Library, Passage
from kimera.knowledge.index import build_segment, open_segment
from kimera.knowledge.retrieval import Segment
from kimera.llm.embeddings import MiniLM, load_encoder
from kimera.storage import Blobs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.folders import find_folder, has

Result = dict[str, Any]
FILES = {"scifact": ("corpus.jsonl*", "claims*.jsonl"), "hotpotqa": ("*corpus*.json",)}


def main() -> int:
    """Run the chosen sets and print a table, or one JSON object."""
    options = _options()
    blobs = Blobs(options.cache / "blobs")
    encoder, missing = load_encoder(None, options.cache / "encoder")
    if missing is not None:
        print(missing.text, file=sys.stderr)
    result: Result = {"machine": _machine(), "encoder": encoder.id if encoder else None, "encode": _speed(encoder)}
    sets = {"scifact": scifact, "hotpotqa": hotpotqa}
    there = [name for name, files in FILES.items() if has(options.data, *files) or has(options.data / name, *files)]
    for name in [options.set] if options.set else there or list(sets):
        folder = find_folder(options.data, name, *FILES[name])
        result[name] = sets[name](folder, blobs, encoder, options.limit)
    print(json.dumps(result) if options.json else _table(result))
    return 0


def scifact(folder: Path, blobs: Blobs, encoder: MiniLM | None, limit: int | None) -> Result:
    """Score nDCG@10 of each mode over abstracts, and how often a gold sentence is among an abstract's first three."""
    (packed,) = folder.glob("corpus.jsonl*")
    with (gzip.open if packed.suffix == ".gz" else open)(packed, "rt", encoding="utf-8") as stream:
        corpus = [json.loads(line) for line in stream]
    paths = sorted(folder.glob("claims*.jsonl"))
    claims = [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()][:limit]
    documents = [(str(d["doc_id"]), d["title"], " ".join(d["sentences"])) for d in corpus]
    library, segment, result = _segment(documents, blobs, encoder)
    relevant = [(c["claim"], frozenset(map(str, c["relevant"]))) for c in claims]
    with segment:
        for name, search in _searches(blobs, library, encoder, 10):
            result[name] = _score(relevant, documents, search, lambda found, gold: {"ndcg@10": ndcg(found, gold, 10)})
        result["gate_open"] = sum(segment.gate(question).used for question, _ in relevant)
        sentences = {str(d["doc_id"]): d["sentences"] for d in corpus}
        result["evidence"] = _evidence(segment, claims, sentences)
    return result


def hotpotqa(folder: Path, blobs: Blobs, encoder: MiniLM | None, limit: int | None) -> Result:
    """Score recall of the supporting titles among the first 2, 5 and 10, plain and with the graph's gate."""
    (corpus_path,) = folder.glob("*corpus*.json")
    (questions_path,) = (p for p in folder.glob("*.json") if p != corpus_path)
    corpus = json.loads(corpus_path.read_text("utf-8"))
    questions = json.loads(questions_path.read_text("utf-8"))[:limit]
    documents = [(title, title, "".join(sentences)) for title, sentences in sorted(corpus.items())]
    library, segment, result = _segment(documents, blobs, encoder)
    asked = [(q["question"], frozenset(title for title, _ in q["supporting_facts"])) for q in questions]
    with segment:
        for name, search in _searches(blobs, library, encoder, 10):
            result[name] = _score(
                asked, documents, search, lambda found, gold: {f"r@{k}": recall(found, gold, k) for k in (2, 5, 10)}
            )
        result["gate_open"] = sum(segment.gate(question).used for question, _ in asked)
    return result


def ndcg(found: Sequence[str], gold: frozenset[str], k: int) -> float:
    """Return nDCG@k with binary gains, as trec_eval and BEIR count it."""
    gain = sum(1 / math.log2(rank + 2) for rank, name in enumerate(found[:k]) if name in gold)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(gold))))
    return gain / ideal if ideal else 0.0


def recall(found: Sequence[str], gold: frozenset[str], k: int) -> float:
    """Return the share of ``gold`` among the first ``k``."""
    return len(gold & set(found[:k])) / len(gold) if gold else 0.0


def _segment(
    documents: Sequence[tuple[str, str, str]], blobs: Blobs, encoder: MiniLM | None
) -> tuple[Library, Segment, Result]:
    # The set's own identifiers stay out of the segment: a source id here is only a row number.
    passages = [
        (Passage(number=n, source_id=str(n), start=0, end=len(text)), text) for n, (_, _, text) in enumerate(documents)
    ]
    titles = {str(n): title for n, (_, title, _) in enumerate(documents)}
    start = time.perf_counter()
    name = build_segment(passages, blobs, titles=titles)
    built = time.perf_counter() - start
    library = Library(knowledge_space="bench", folder="bench", sources=(), tables=(), documents=(), segment=name)
    segment = open_segment(blobs, library, encoder)
    start = time.perf_counter()
    cached = segment.dense_ready
    segment.warm(_progress)
    result: Result = {
        "passages": len(documents),
        "segment_bytes": blobs.path(name).stat().st_size,
        "build_s": round(built, 3),
        "vectors": "cached" if cached else "computed",
        "vectors_s": round(time.perf_counter() - start, 3),
    }
    return library, segment, result


def _searches(
    blobs: Blobs, library: Library, encoder: MiniLM | None, k: int
) -> Iterator[tuple[str, Callable[[str], list[int]]]]:
    modes: list[tuple[str, Any, bool | None]] = [("lexical", "lexical", False)]
    if encoder is not None:
        modes += [("dense", "dense", False), ("hybrid", "hybrid", False)]
    for name, mode, graph in [*modes, ("hybrid+gate", "hybrid", None)]:
        # A segment remembers the vectors of questions: each mode gets its own, for the times of a first asking.
        with open_segment(blobs, library, encoder) as segment:
            yield name, partial(_numbers, segment, k, mode, graph)


def _numbers(segment: Segment, k: int, mode: Any, graph: bool | None, question: str) -> list[int]:
    return [hit.number for hit in segment.search(question, k, mode=mode, graph=graph)]


def _score(
    asked: Sequence[tuple[str, frozenset[str]]],
    documents: Sequence[tuple[str, str, str]],
    search: Callable[[str], list[int]],
    measure: Callable[[Sequence[str], frozenset[str]], dict[str, float]],
) -> Result:
    totals: dict[str, list[float]] = {}
    times = []
    for question, gold in asked:
        start = time.perf_counter()
        numbers = search(question)
        times.append(time.perf_counter() - start)
        for name, value in measure([documents[n][0] for n in numbers], gold).items():
            totals.setdefault(name, []).append(value)
    scores = {name: round(sum(values) / len(values), 4) for name, values in totals.items()}
    return {"questions": len(asked), **scores, **_times(times)}


def _evidence(segment: Segment, claims: Iterable[Result], sentences: dict[str, list[str]]) -> Result:
    # One abstract may hold several evidence sets for a claim: any of their sentences counts.
    gold: dict[tuple[str, str], set[int]] = {}
    for claim in claims:
        for evidence in claim["evidence"]:
            gold.setdefault((claim["claim"], str(evidence["doc_id"])), set()).update(evidence["sentences"])
    found, times = [], []
    for (claim_text, name), wanted in gold.items():
        texts = sentences[name]
        start = time.perf_counter()
        scores = segment.rank_sentences(claim_text, texts)
        times.append(time.perf_counter() - start)
        first = sorted(range(len(texts)), key=lambda n: (-scores[n], n))[:3]
        found.append(bool(set(first) & wanted))
    return {"abstracts": len(found), "top3": round(sum(found) / max(len(found), 1), 4), **_times(times)}


def _times(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
        "p95_ms": round(1000 * ordered[int(len(ordered) * 0.95)], 2),
    }


def _speed(encoder: MiniLM | None) -> Result | None:
    if encoder is None:
        return None
    short, long = "What does the heron hunt in shallow water at dawn?", "one plain word after another " * 36
    return {f"{name}_ms": _best(encoder, text) for name, text in (("short", short), ("180_words", long))}


def _best(encoder: MiniLM, text: str) -> float:
    times = []
    for _ in range(9):
        start = time.perf_counter()
        encoder.encode([text])
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)), 2)


def _machine() -> dict[str, Any]:
    return {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count(),
            "python": platform.python_version()}  # fmt: skip


def _progress(done: int, total: int) -> None:
    print(f"encoded {done} of {total}", file=sys.stderr)


def _table(result: Result) -> str:
    lines = [f"machine {result['machine']}", f"encoder {result['encoder']}  {result['encode']}"]
    for name in ("scifact", "hotpotqa"):
        if name not in result:
            continue
        part = result[name]
        lines.append(f"\n{name}: " + "  ".join(f"{k} {v}" for k, v in part.items() if not isinstance(v, dict)))
        lines.extend(
            f"  {row:12} " + "  ".join(f"{k} {v}" for k, v in values.items())
            for row, values in part.items()
            if isinstance(values, dict)
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--set", choices=["scifact", "hotpotqa"], help="only this one")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--limit", type=int, help="only the first N questions")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/kimera-bench").expanduser(), help="vectors, graph")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
