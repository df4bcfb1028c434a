"""The sequence memory against a plain reference, in one process and one run.

    python benchmarks/memory.py [--sizes 1000,10000,100000] [--sets text,trace,zipf] [--queries 40] [--plain] [--json]
    python benchmarks/memory.py --sizes 1000000 --queries 10 --reference-queries 1      # takes its time

Three generated sets (fixed seed): *text* (8 one-symbol events, Zipf vocabulary of 9,000 words), *trace* (12 events of
tool, argument, status), *zipf* (2-5 events of 3-15 symbols out of 200, Zipf). A query is a cut of up to 5 events of a
stored pattern, 15 % of its symbols dropped, 15 % noise added; at most 100 predictions come back. Both sides must give
the same predictions, field by field, in the same run.

The reference (`memory_reference.py`) reads and compares every pattern per query. Both sides are timed until every
prediction object exists. Medians: `p50` is wall time, `cpu` the time of all threads of this process, which is what wall
time comes to at most on a machine that does nothing else. `--plain` leaves the compiled kernels out.

Then a memory in an SQLite file is taught the same patterns, a thousand at a time, and used: what an observation and a
learn cost there, the first prediction after a learn (the index takes the news in), and a new process's first
prediction, which builds the index from the log. How all of it grows with the number of patterns is printed as the
exponent a of N^a between two sizes. What a commit costs is the business of `memory_store.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.memory_reference import Reference, pattern_id

from kimera.memory import Memory
from kimera.memory.contracts import MemoryTuning, PatternChange, Predictions, RecallOptions
from kimera.memory.index import Index, Overlap
from kimera.memory.recall.predict import predict
from kimera.memory.recall.rehearsal import rehearse

Events = tuple[tuple[str, ...], ...]
#: (size, threshold): (times faster than the reference, p50 in milliseconds)
BARS = {
    (1_000, 0.5): (20, 1),
    (1_000, 0.1): (2, 5),
    (10_000, 0.5): (80, 2),
    (10_000, 0.1): (30, 30),
    (100_000, 0.5): (150, 5),
    (100_000, 0.1): (50, 250),
}
BATCH = 1_000
BUILD_SECONDS, BYTES_PER_PATTERN, INCREMENTAL, LEARNS = 10, 2_048, 0.6, 5_000


def zipf_words(rng: random.Random, vocabulary: int) -> Callable[[int], list[str]]:
    """Return a drawer of words whose frequency falls with their rank."""
    words = [f"w{i}" for i in range(vocabulary)]
    weights = [1 / (i + 1) for i in range(vocabulary)]
    total, cumulative = 0.0, []
    for weight in weights:
        total += weight
        cumulative.append(total)
    return lambda count: rng.choices(words, cum_weights=cumulative, k=count)


def text(rng: random.Random) -> Callable[[], Events]:
    """Eight events of one word."""
    draw = zipf_words(rng, 9_000)
    return lambda: tuple((word,) for word in draw(8))


def trace(rng: random.Random) -> Callable[[], Events]:
    """Twelve events of tool, argument, status."""
    draw = zipf_words(rng, 3_000)
    tools = [f"tool:t{i}" for i in range(40)]

    def one() -> Events:
        arguments = draw(12)
        return tuple(
            tuple(sorted((f"arg:{a}", f"status:{'error' if rng.random() < 0.08 else 'ok'}", rng.choice(tools))))
            for a in arguments
        )

    return one


def zipf(rng: random.Random) -> Callable[[], Events]:
    """Two to five events of 3 to 15 symbols."""
    draw = zipf_words(rng, 200)
    return lambda: tuple(tuple(sorted(draw(rng.randint(3, 15)))) for _ in range(rng.randint(2, 5)))


SETS = {"text": text, "trace": trace, "zipf": zipf}


def patterns_of(name: str, count: int) -> dict[str, tuple[Events, int]]:
    """Return distinct patterns by id, with their frequency."""
    rng = random.Random(20_260_000 + len(name))
    one, found = SETS[name](rng), {}
    while len(found) < count:
        events = one()
        found.setdefault(pattern_id(events), (events, rng.choice((1, 1, 1, 2, 3))))
    return found


def queries_of(patterns: Sequence[Events], count: int) -> list[Events]:
    """Return noisy cuts of stored patterns."""
    rng, queries = random.Random(7), []
    vocabulary = sorted({x for events in patterns[:2_000] for event in events for x in event})
    while len(queries) < count:
        events = rng.choice(patterns)
        start = rng.randrange(max(1, len(events) - 4))
        cut = [[x for x in event if rng.random() >= 0.15] for event in events[start : start + 5]]
        for event in cut:
            event += [rng.choice(vocabulary) for _ in range(len(event)) if rng.random() < 0.15]
        stm = tuple(tuple(event) for event in cut if event)
        if stm:
            queries.append(stm)
    return queries


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result of a call."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def read(answer: Predictions) -> Predictions:
    """Make every prediction object of an answer, which are otherwise made when somebody looks."""
    assert len(tuple(answer.predictions)) == len(answer.predictions)
    return answer


def agree(reference: list[dict[str, Any]], answer: Any) -> None:
    """Stop unless both sides give the same predictions, field by field."""
    ours = [prediction.to_dict() for prediction in answer.predictions]
    shown = [{name: row[name] for name in expected} for row, expected in zip(ours, reference, strict=True)]
    expected = json.loads(json.dumps(reference))
    if json.dumps(shown, sort_keys=True) != json.dumps(expected, sort_keys=True):
        raise SystemExit("The two sides disagree; their times mean nothing.")


def build(patterns: dict[str, tuple[Events, int]], tuning: MemoryTuning) -> tuple[Index, dict[str, float]]:
    """Build an index and measure how long it takes and how much it keeps beyond the patterns given to it."""
    changes = [PatternChange(i, events, f) for i, (events, f) in patterns.items()]
    rehearse(tuning)
    index = Index(tuning)
    gc.collect()
    before = resident()
    begin = time.perf_counter()
    index.apply(len(changes), changes)
    index.view()
    seconds = time.perf_counter() - begin
    gc.collect()
    kept = resident() - before
    extended = [((*events, ("new",)), f) for events, f in list(patterns.values())[:1_000]]
    batch = [PatternChange(pattern_id(events), events, f) for events, f in extended]
    learning = Index(tuning)
    learn_seconds, _ = timed(lambda: learning.apply(1, batch))
    return index, {
        "build_seconds": seconds,
        "bytes_per_pattern": kept / len(patterns),
        "footprint_per_pattern": index.footprint / len(patterns),
        "learns_per_second": len(batch) / learn_seconds,
    }


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(
    name: str, threshold: float, index: Index, reference: Reference, queries: list[Events], slow: int
) -> dict[str, Any]:
    """Time both sides on the same queries."""
    options, view = RecallOptions(recall_threshold=threshold), index.view()
    size, theirs = view.N, []
    for stm in queries[:slow]:
        seconds, expected = timed(lambda stm=stm: reference.predict(stm, threshold))
        theirs.append(seconds)
        agree(expected, predict(view, stm, options))
    ours, busy, ensembles = [], [], []
    for stm in queries:
        predict(view, stm, options)
        began = time.process_time()
        seconds, answer = timed(lambda stm=stm: read(predict(view, stm, options)))
        busy.append(time.process_time() - began)
        ours.append(seconds)
        ensembles.append(answer.statistics.ensemble)
    paired = [ours[i] for i in range(len(theirs))]
    ratio = statistics.median(t / o for t, o in zip(theirs, paired, strict=True))
    bar = BARS.get((size, threshold), (0, float("inf")))
    p50 = statistics.median(ours) * 1000
    return {
        "set": name,
        "patterns": size,
        "threshold": threshold,
        "candidates": statistics.median(ensembles),
        "reference_ms": statistics.median(theirs) * 1000,
        "p50_ms": p50,
        "cpu_ms": statistics.median(busy) * 1000,
        "p95_ms": sorted(ours)[int(len(ours) * 0.95)] * 1000,
        "ratio": ratio,
        "bar_ratio": bar[0],
        "bar_ms": bar[1],
        "met": ratio >= bar[0] and p50 <= bar[1],
    }


def keep(name: str, patterns: dict[str, tuple[Events, int]], queries: list[Events], folder: Path) -> dict[str, Any]:
    """Teach a memory in a file the patterns and measure what using it costs at this size."""
    taught, place = [events for events, _ in patterns.values()], str(folder / "memory.db")
    found: dict[str, Any] = {"set": name, "patterns": len(taught)}
    with Memory.open(place) as memory:
        seconds, _ = timed(
            lambda: [memory.learn_all([{"events": e} for e in taught[at : at + BATCH]]) for at in starts(len(taught))]
        )
        found["fill_per_second"] = len(taught) / seconds
    with Memory.open(place) as memory:
        found["first_seconds"], _ = timed(lambda: read(memory.predict(queries[0], recall_threshold=0.5)))
        session, lessons = memory.session("s", recall_threshold=0.5), queries[1:21]
        seen = [timed(lambda event=event: session.observe(event))[0] for stm in queries for event in stm]
        session.clear_stm()
        learned, after = [], []
        for number, lesson in enumerate(lessons):
            fresh = [*lesson, (f"fresh-{number}",)]
            learned.append(timed(lambda fresh=fresh: memory.learn(fresh))[0])
            after.append(timed(lambda lesson=lesson: read(memory.predict(lesson, recall_threshold=0.5)))[0])
        found["observe_us"] = statistics.median(seen) * 1e6
        found["learn_us"] = statistics.median(learned) * 1e6
        found["after_learn_ms"] = statistics.median(after) * 1e3
    return found


def starts(count: int) -> range:
    """Return where each batch begins."""
    return range(0, count, BATCH)


def growth(rows: list[dict[str, Any]], keys: tuple[str, ...], figures: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return for neighbouring sizes of the same ``keys`` the exponent a with which each figure grows as N^a."""
    found = []
    for small in rows:
        later = [r for r in rows if all(r[k] == small[k] for k in keys) and r["patterns"] > small["patterns"]]
        if later:
            large = min(later, key=lambda r: r["patterns"])
            times = math.log(large["patterns"] / small["patterns"])
            exponents = {f: math.log(large[f] / small[f]) / times for f in figures}
            sizes = {"from": small["patterns"], "to": large["patterns"]}
            found.append({**{k: small[k] for k in keys}, **sizes, **exponents})
    return found


def incremental(index: Index, queries: list[Events], threshold: float) -> dict[str, float]:
    """Time a prediction after one more event, with the session's counters and without."""
    options, view, warm, cold = RecallOptions(recall_threshold=threshold), index.view(), [], []
    for stm in queries:
        if len(stm) < 2:
            continue
        overlap = Overlap()
        predict(view, stm[:-1], options, overlap=overlap)
        seconds, first = timed(lambda stm=stm, overlap=overlap: read(predict(view, stm, options, overlap=overlap)))
        warm.append(seconds)
        seconds, second = timed(lambda stm=stm: read(predict(view, stm, options)))
        cold.append(seconds)
        if first.to_dict() != second.to_dict():
            raise SystemExit("The session's counters changed the answer.")
    ratios = [w / c for w, c in zip(warm, cold, strict=True)]
    return {
        "warm_ms": statistics.median(warm) * 1000,
        "cold_ms": statistics.median(cold) * 1000,
        "ratio": statistics.median(ratios),
    }


def main() -> None:
    """Run the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--sets", default="text,trace,zipf")
    parser.add_argument("--thresholds", default="0.5,0.1")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--reference-queries", type=int, default=0, help="0 = by size: 20, 5, 2")
    parser.add_argument("--plain", action="store_true", help="without the compiled kernels")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cache = str(Path(tempfile.gettempdir()) / "kimera-benchmark-kernels")
    tuning = MemoryTuning(accelerate=not arguments.plain, cache_dir=cache)
    rows, builds, steps, kept = [], [], [], []
    for name in arguments.sets.split(","):
        for size in map(int, arguments.sizes.split(",")):
            patterns = patterns_of(name, size)
            index, built = build(patterns, tuning)
            builds.append({"set": name, "patterns": size, **built})
            queries = queries_of([events for events, _ in patterns.values()], arguments.queries)
            slow = arguments.reference_queries or {1_000: 20, 10_000: 5}.get(size, 2)
            with tempfile.TemporaryDirectory() as folder:
                reference = Reference(Path(folder) / "reference.db")
                reference.fill((i, events, f) for i, (events, f) in patterns.items())
                for threshold in map(float, arguments.thresholds.split(",")):
                    rows.append(measure(name, threshold, index, reference, queries, slow))
                    note(rows[-1])
            steps.append({"set": name, "patterns": size, "threshold": 0.5, **incremental(index, queries, 0.5)})
            with tempfile.TemporaryDirectory() as folder:
                kept.append(keep(name, patterns, queries, Path(folder)))
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    found = {
        "machine": machine,
        "rows": rows,
        "builds": builds,
        "incremental": steps,
        "kept": kept,
        "growth": growth(rows, ("set", "threshold"), ("p50_ms", "cpu_ms", "reference_ms")),
        "kept_growth": growth(kept, ("set",), ("observe_us", "learn_us", "after_learn_ms", "first_seconds")),
    }
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print_tables(found)


def note(row: dict[str, Any]) -> None:
    """Show progress."""
    print(f"... {row['set']} {row['patterns']} {row['threshold']}: {row['p50_ms']:.2f} ms", file=sys.stderr, flush=True)


def print_tables(found: dict[str, Any]) -> None:
    """Print everything as tables."""
    print(found["machine"])
    print_predictions(found["rows"])
    print_index(found["builds"], found["incremental"])
    print_kept(found["kept"])
    print("\ngrowth: the exponent a of N^a (0 = the size does not matter, 1 = proportional to it)")
    for g in found["growth"] + found["kept_growth"]:
        where = f"{g['set']:6}{g.get('threshold', ''):>5} {g['from']:>9,} to {g['to']:>9,} "
        print(where, *(f" {f} {a:+.2f}" for f, a in g.items() if f not in {"set", "threshold", "from", "to"}))


def print_predictions(rows: list[dict[str, Any]]) -> None:
    """Print what predictions cost."""
    print("set     patterns  thr   cand.  reference       p50       cpu       p95   ratio  bars")
    for r in rows:
        times = "".join(f"{r[name]:>7.2f} ms" for name in ("p50_ms", "cpu_ms", "p95_ms"))
        print(
            f"{r['set']:6}{r['patterns']:>10,}{r['threshold']:>5}{r['candidates']:>8,.0f}{r['reference_ms']:>8,.0f} ms"
            f"{times}{r['ratio']:>7.0f}x  >={r['bar_ratio']}x, <={r['bar_ms']} ms {'met' if r['met'] else 'MISSED'}"
        )


def print_index(builds: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    """Print what the index costs, and a prediction after one more event."""
    print(f"\nindex: built in <= {BUILD_SECONDS} s at 100,000; <= {BYTES_PER_PATTERN} bytes; >= {LEARNS:,} learns/s")
    for b in builds:
        print(
            f"{b['set']:6}{b['patterns']:>9,}  built in {b['build_seconds']:.2f} s, {b['bytes_per_pattern']:,.0f} bytes"
            f" resident per pattern ({b['footprint_per_pattern']:,.0f} counted), {b['learns_per_second']:,.0f} learns/s"
        )
    print(
        f"\na prediction after one more event, threshold 0.5, against a cold one (bar {INCREMENTAL}x at zipf 100,000)"
    )
    for s in steps:
        print(f"{s['set']:6}{s['patterns']:>9,}  {s['warm_ms']:.2f} ms / {s['cold_ms']:.2f} ms = {s['ratio']:.2f}x")


def print_kept(kept: list[dict[str, Any]]) -> None:
    """Print what a memory on disk costs."""
    print("\na memory in an SQLite file: taught in batches; an observation; a learn; the first prediction after one,")
    print("and that of a new process, which reads the log (threshold 0.5)")
    for k in kept:
        print(
            f"{k['set']:6}{k['patterns']:>9,}  {k['fill_per_second']:,.0f}/s  {k['observe_us']:.0f} us"
            f"  {k['learn_us']:.0f} us  {k['after_learn_ms']:.2f} ms  {k['first_seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
