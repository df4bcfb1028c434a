"""A plain sequence memory to measure against: every query reads every pattern from the store.

Per query: read all rows of an SQLite file, decode, flatten, drop by the longest common subsequence (rapidfuzz), align
with `difflib`, build one full object per candidate, sort. What can be counted over the memory once (n(x), totals) is
kept ready. It gives the same predictions as `kimera.memory`, which `benchmarks/memory.py` checks in the same run.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from rapidfuzz.distance import LCSseq

Events = Sequence[Sequence[str]]


def pattern_id(events: Events) -> str:
    """Return the content address of a list of events."""
    parts = [b"kimera.pattern.v1\0", len(events).to_bytes(4, "big")]
    for event in events:
        parts.append(len(event).to_bytes(4, "big"))
        for symbol in event:
            raw = symbol.encode()
            parts += [len(raw).to_bytes(4, "big"), raw]
    return "p1:" + hashlib.sha256(b"".join(parts)).hexdigest()


def entropy(shares: Iterable[float]) -> float:
    """Return -sum q log2 q."""
    return -math.fsum(q * math.log2(q) for q in shares) + 0.0


class Reference:
    """Keep patterns as rows of an SQLite file and compare each query with all of them."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("CREATE TABLE patterns (id TEXT PRIMARY KEY, body TEXT, frequency INTEGER)")
        self.holders: Counter[str] = Counter()
        self.patterns = self.total = 0

    def fill(self, patterns: Iterable[tuple[str, Events, int]]) -> None:
        """Store patterns as (id, events, frequency)."""
        rows = []
        for identity, events, frequency in patterns:
            rows.append((identity, json.dumps(events), frequency))
            self.holders.update({x for event in events for x in event})
            self.patterns += 1
            self.total += frequency
        self.database.executemany("INSERT INTO patterns VALUES (?, ?, ?)", rows)
        self.database.commit()

    def predict(self, stm: Events, threshold: float, limit: int = 100) -> list[dict[str, Any]]:
        """Return the best predictions by potential, ties by id."""
        observed = [x for event in stm for x in event]
        candidates = []
        for identity, body, frequency in self.database.execute("SELECT id, body, frequency FROM patterns"):
            events = json.loads(body)
            flat = [x for event in events for x in event]
            size = len(flat) + len(observed)
            if 2 * LCSseq.similarity(flat, observed) / size < threshold:
                continue
            matcher = SequenceMatcher(None, flat, observed, autojunk=False)
            blocks = [block for block in matcher.get_matching_blocks() if block.size]
            similarity = 2 * sum(block.size for block in blocks) / size
            if similarity >= threshold:
                candidates.append((identity, events, frequency, flat, blocks, similarity))
        return self._rank(candidates, stm, observed)[:limit]

    def _rank(self, candidates: list[Any], stm: Events, observed: list[str]) -> list[dict[str, Any]]:
        frequencies = sum(c[2] for c in candidates)
        weight = math.fsum(c[2] * c[5] for c in candidates)
        built = [self._object(c, stm, observed, frequencies, weight) for c in candidates]
        groups: dict[str, list[float]] = {}
        for row in built:
            if row["future"]:
                groups.setdefault(json.dumps(row["future"]), []).append(row["frequency"] * row["similarity"])
        sums = {key: math.fsum(values) for key, values in groups.items()}
        whole = math.fsum(value for values in groups.values() for value in values)
        for row in built:
            share = sums[json.dumps(row["future"])] / whole if row["future"] and whole else 0.0
            row["predictive_information"] = min(1.0, row["weighted_strength"] / share) if share else 0.0
        built.sort(key=lambda row: (-row["potential"], row["id"]))
        return built

    def _object(self, candidate: Any, stm: Events, observed: list[str], total: int, weight: float) -> dict[str, Any]:
        identity, events, f, flat, blocks, similarity = candidate
        pairs = [(a + k, b + k) for a, b, size in blocks for k in range(size)]
        at = [i for i, event in enumerate(events) for _ in event]
        first, last = (at[pairs[0][0]], at[pairs[-1][0]]) if pairs else (0, -1)
        present, future = events[first : last + 1], events[last + 1 :]
        in_pattern, in_stm = {i for i, _ in pairs}, {j for _, j in pairs}
        missing: list[list[str]] = [[] for _ in present]
        for i, x in enumerate(flat):
            if first <= at[i] <= last and i not in in_pattern:
                missing[at[i] - first].append(x)
        extras: list[list[str]] = [[] for _ in stm]
        for j, (x, e) in enumerate((x, e) for e, event in enumerate(stm) for x in event):
            if j not in in_stm:
                extras[e].append(x)
        m, b, p, e = len(pairs), len(blocks), sum(map(len, present)), len(observed) - len(pairs)
        c, cs = Counter(x for event in present for x in event), Counter(observed)
        evidence, confidence = m / len(flat), m / p if p else 0.0
        snr = (2 * m - e) / (2 * m + e) if 2 * m + e else 0.0
        itfdf = 1 - (1 - self._cosine(c, cs)) * f / total
        return {
            "id": identity,
            "sequence": events,
            "length": len(flat),
            "frequency": f,
            "matches": [observed[j] for _, j in pairs],
            "past": events[:first] if pairs else [],
            "present": present,
            "future": future,
            "missing": missing,
            "extras": extras,
            "anomalies": [],
            "alignment": [list(pair) for pair in pairs],
            "similarity": similarity,
            "evidence": evidence,
            "confidence": confidence,
            "snr": snr,
            "fragmentation": b - 1,
            "itfdf_similarity": itfdf,
            "potential": (evidence + confidence) * snr + itfdf + 1 / b if m else 0.0,
            "pattern_probability": f / total,
            "bayesian_posterior": f * similarity / weight if weight else 0.0,
            "weighted_strength": similarity * f / total,
            **self._spread(c, p, f),
        }

    def _cosine(self, c: Counter[str], cs: Counter[str]) -> float:
        n = self.holders
        left, right = sum((c[x] * n[x]) ** 2 for x in c), sum((cs[x] * n[x]) ** 2 for x in c)
        dot = sum(c[x] * cs[x] * n[x] ** 2 for x in c)
        return dot / math.sqrt(left * right) if left and right else 0.0

    def _spread(self, c: Counter[str], p: int, f: int) -> dict[str, float]:
        n, count = self.holders, self.patterns
        if not p:
            return dict.fromkeys(("confluence", "entropy", "normalized_entropy", "global_normalized_entropy"), 0.0)
        product = 1.0
        for share in sorted(n[x] / count for x in c.elements()):
            product *= share
        own, scale = entropy(k / p for k in c.values()), math.log2(len(n)) if len(n) > 1 else 0.0
        overall = entropy(n[x] / count for x in c)
        terms = (k / p * (math.log2(count / n[x]) + 1) for x, k in c.items())
        return {
            "confluence": f / self.total * (1 - product),
            "entropy": own,
            "normalized_entropy": own / scale if scale else 0.0,
            "global_normalized_entropy": overall / scale if scale else 0.0,
            "tfidf_score": math.fsum(terms) / len(c),
        }
