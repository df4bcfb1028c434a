"""From a metric's change to the webhook, through the real Prometheus and Alertmanager.

    python benchmarks/alerting.py [--flips 6] [--profile prometheus.yml] [--json]

A breaker's gauge flips to open at a random moment; what is timed is how long after that, beyond the alert's own
patience (`for`, cut to 5 s), the webhook hears of it. Flips follow each other closely, so Alertmanager's
`group_interval` (5 s) is often part of it. Both profiles with the committed rules, intervals and grouping;
only addresses and that one `for` differ. Bar: every flip < 30 s. Needs the programs prometheus and
prometheus-alertmanager.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.alerting import PATIENCE, impatient_rules, news, receiver, webhook  # noqa: E402
from tests.prometheus import alertmanager, profile, prometheus, query, wait_for  # noqa: E402
from tests.traffic import exporter  # noqa: E402

PROFILES = ("prometheus.yml", "prometheus.fast.yml")
BAR_SECONDS = 30.0
LONGEST_SCRAPE = 15.0


def flips(name: str, number: int, place: Path, chance: random.Random) -> list[float]:
    """Return the seconds beyond `for` of each flip with one profile."""
    delays = []
    with (
        exporter(every=None) as (port, registry),
        webhook() as hook,
        alertmanager(receiver(hook, place), place) as alerts,
        prometheus(profile(name, place, port, alerts=alerts, rules=impatient_rules(place)), place) as url,
    ):
        breaker = registry.metric("kimera_breaker_state").bind(breaker="model")
        breaker.set(0)
        wait_for(lambda: query(url, "kimera_breaker_state == 0"), "the first scrape", seconds=40)
        for _ in range(number):
            time.sleep(chance.uniform(0, LONGEST_SCRAPE))  # no flip is in step with the scrapes
            flipped = time.monotonic()
            breaker.set(2)
            arrived, _alert = news(hook, "BreakerOpen", "firing", within=120)
            delays.append(arrived - flipped - PATIENCE)
            breaker.set(0)
            news(hook, "BreakerOpen", "resolved", within=120)
    return delays


def main() -> None:
    """Flip with each profile and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=6)
    parser.add_argument("--profile", choices=PROFILES, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for name in options.profile or PROFILES:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = flips(name, options.flips, Path(folder), random.Random(options.seed))
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "bar_seconds": BAR_SECONDS, "delays": rows}))
        return
    print(f"{os.cpu_count()} cores; seconds from flip to webhook beyond `for`; bar: every flip < {BAR_SECONDS:g} s\n")
    print(f"{'profile':<22}{'flips':>6}{'median':>9}{'max':>8}  each")
    for name, delays in rows.items():
        each = " ".join(f"{delay:.1f}" for delay in delays)
        print(f"{name:<22}{len(delays):>6}{statistics.median(delays):>9.1f}{max(delays):>8.1f}  {each}")


if __name__ == "__main__":
    main()
