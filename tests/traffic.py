"""A process whose every metric moves: what boards, rules and benchmarks are tried on.

Values are scripted through the registry and served by the product's own listener; rooms that a process would not run
are there too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from kimera.telemetry import detailed, switch_metrics
from kimera.telemetry.reading.exposition import serve_metrics
from kimera.telemetry.recording.children import Child, Counter, Gauge, GaugeHistogram, Histogram
from kimera.telemetry.recording.metrics import Registry

__all__ = ["exporter", "move", "traffic"]

RUN_TIME = ("alpha", "beta")
"""Values of labels whose set is known only at run time."""


def traffic(registry: Registry) -> list[Child]:
    """Return a child for every series of the catalogue, open labels with two values each."""
    children = []
    for metric in registry.metrics():
        family = metric.family
        known = list(family.series())
        if not known:
            choices = [label.values or RUN_TIME for label in family.labels]
            known = [()]
            for values in choices:
                known = [(*before, value) for before in known for value in values]
        children += [metric.bind(**dict(zip(family.label_names, values, strict=True))) for values in known]
    return children


def move(children: list[Child], step: int) -> None:
    """Let every series move once: counters by one or more, histograms by a value in the range of their edges."""
    for place, child in enumerate(children):
        edges = child.family.edges
        if isinstance(child, Counter):
            child.inc(1 + (place + step) % 3)
        elif isinstance(child, Gauge):
            child.set(float((place + step) % 2))
        elif isinstance(child, Histogram):
            child.observe(edges[(place + step) % len(edges)])
        elif isinstance(child, GaugeHistogram):
            counts = [1 + (place + step + bucket) % 5 for bucket in range(len(edges) + 1)]
            child.fill(counts, float(sum(counts)))


@contextmanager
def exporter(*, every: float | None = 0.2) -> Iterator[tuple[int, Registry]]:
    """Serve a registry of its own on a free port; ``every`` seconds all of it moves, None leaves it as it starts."""
    registry = Registry(strict=True)
    registry.open_all()
    before = detailed()
    switch_metrics(enabled=True, detailed=True)
    listener = serve_metrics("127.0.0.1", 0, registry)
    assert listener.port is not None
    stop = threading.Event()

    def run() -> None:
        children = traffic(registry)
        for step in count():
            move(children, step)
            if stop.wait(every):
                return

    mover = threading.Thread(target=run, name="traffic", daemon=True)
    if every is not None:
        mover.start()
    try:
        yield listener.port, registry
    finally:
        stop.set()
        if every is not None:
            mover.join()
        listener.close()
        switch_metrics(enabled=True, detailed=before)
