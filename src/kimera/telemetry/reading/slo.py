"""Service levels: what was promised, what was kept, and how much of the error budget is left.

Computed from the store only: outcomes written with each mission's final state, and roll-ups for requests. A share has
Wilson's score interval (E. B. Wilson, 1927) at 95 %; a percentile is the nearest rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol

from kimera.clock import Clock, SystemClock
from kimera.errors import ConfigurationError, ValidationError
from kimera.telemetry.recording.metrics import Reading
from kimera.telemetry.retention.outcomes import Outcome, OutcomeStore

__all__ = [
    "BURN_HOURS",
    "Requests",
    "ServiceLevel",
    "ServiceLevels",
    "attach",
    "nearest_rank",
    "seconds_of",
    "slo",
    "wilson",
]

BURN_HOURS = (1, 6)
LONGEST_DAYS = 365
SUCCESS = Fraction(95, 100)
AVAILABILITY = Fraction(995, 1000)
FAST = Fraction(95, 100)
ORCHESTRATION_SECONDS = 2.0
Z = 1.959963984540054  # the normal distribution's 97.5 % point
WINDOW = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
UNITS = {"m": 60, "h": 3_600, "d": 86_400}

Status = Literal["met", "violated", "no_data"]


class Requests(Protocol):
    """Where counters of the past are read; `History` of the roll-ups is one."""

    def total(self, metric: str, by: Sequence[str], start: float, end: float) -> dict[tuple[str, ...], float]:
        """Return how much a counter grew between two instants, per values of ``by``."""


@dataclass(frozen=True)
class ServiceLevel:
    """The answer for one service level.

    ``value`` is a share, or seconds where ``unit`` says so; ``interval`` is that of the share good/valid. ``budget`` is
    the part of the error budget that is left (1 untouched, 0 used up, below 0 overdrawn), ``burn`` how many times
    faster than allowed errors came in the last hours. ``beside`` holds what is left out of the value but worth seeing.
    """

    name: str
    status: Status
    value: float | None
    unit: Literal["share", "seconds"]
    target: float
    good: int
    valid: int
    excluded: dict[str, int] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    budget: float | None = None
    burn: dict[str, float | None] = field(default_factory=dict)
    beside: dict[str, float | None] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"interval": list(self.interval) if self.interval else None}


@dataclass(frozen=True)
class _Count:
    good: int
    valid: int


class ServiceLevels:
    """The three service levels over any window, from one store of outcomes and one of requests."""

    def __init__(self, outcomes: OutcomeStore, requests: Requests, clock: Clock | None = None) -> None:
        self.outcomes = outcomes
        self.requests = requests
        self.clock = clock or SystemClock()

    def read(self, window: str = "30d") -> list[ServiceLevel]:
        """Return every service level over ``window`` (like 30d, 12h, 90m); raises `ValidationError` for others."""
        now = self.clock.now().timestamp()
        return self.between(now - seconds_of(window), now)

    def between(self, start: float, end: float) -> list[ServiceLevel]:
        """Return every service level over any time, in seconds since 1970; burn is that of its last hours."""
        return [self._success(start, end), self._availability(start, end), self._orchestration(start, end)]

    def _success(self, start: float, end: float) -> ServiceLevel:
        ended = self.outcomes.between(start, end)
        valid = [one for one in ended if _counts(one)]
        excluded = {
            "cancelled": sum(one.outcome == "cancelled" for one in ended),
            "provider_outage": sum(one.outcome == "failed" and one.cause == "provider_outage" for one in ended),
        }

        def burn(hours: int) -> _Count:
            return _successes([one for one in valid if one.ended_at >= end - hours * 3_600])

        return _level("mission_success", SUCCESS, _successes(valid), burn, excluded=excluded)

    def _availability(self, start: float, end: float) -> ServiceLevel:
        def counted(since: float) -> _Count:
            grown = self.requests.total("kimera_http_requests_total", ("route", "status_class"), since, end)
            asked = {status: 0.0 for _, status in grown}
            for (route, status), count in grown.items():
                asked[status] += 0.0 if route == "/metrics" else count
            valid = sum(asked.values())
            return _Count(round(valid - asked.get("5xx", 0.0)), round(valid))

        def burn(hours: int) -> _Count:
            return counted(max(start, end - hours * 3_600))

        return _level("api_availability", AVAILABILITY, counted(start), burn)

    def _orchestration(self, start: float, end: float) -> ServiceLevel:
        ended = self.outcomes.between(start, end)
        measured = [one for one in ended if one.orchestration_seconds is not None]
        times = [one.orchestration_seconds or 0.0 for one in measured]
        waits = [one.queue_seconds for one in ended if one.queue_seconds is not None]

        def count(of: Sequence[float]) -> _Count:
            return _Count(sum(value < ORCHESTRATION_SECONDS for value in of), len(of))

        def burn(hours: int) -> _Count:
            return count([t for t, one in zip(times, measured, strict=True) if one.ended_at >= end - hours * 3_600])

        return _level(
            "orchestration_latency",
            FAST,
            count(times),
            burn,
            excluded={"not_measured": len(ended) - len(measured)},
            seconds=nearest_rank(times, 0.95),
            beside={"queue_seconds_p95": nearest_rank(waits, 0.95)},
        )

    def readings(self, window: str = "30d") -> Iterator[Reading]:
        """Yield the gauges of the service levels; `register_collector` takes this. Ratios are shares for all three."""
        for level in self.read(window):
            labels = {"slo": level.name}
            yield Reading("kimera_slo_target", level.target if level.unit == "share" else float(FAST), labels)
            if level.valid and level.budget is not None:
                yield Reading("kimera_slo_ratio", level.good / level.valid, labels)
                yield Reading("kimera_slo_error_budget_remaining_ratio", level.budget, labels)


def _counts(one: Outcome) -> bool:
    return one.outcome != "cancelled" and not (one.outcome == "failed" and one.cause == "provider_outage")


def _successes(valid: Sequence[Outcome]) -> _Count:
    return _Count(sum(one.outcome != "failed" for one in valid), len(valid))


def _level(
    name: str,
    target: Fraction,
    count: _Count,
    burn: Callable[[int], _Count],
    *,
    excluded: dict[str, int] | None = None,
    seconds: float | None = None,
    beside: dict[str, float | None] | None = None,
) -> ServiceLevel:
    timed = name == "orchestration_latency"
    share = Fraction(count.good, count.valid) if count.valid else None
    status: Status = "no_data" if share is None else "met" if share >= target else "violated"
    return ServiceLevel(
        name=name,
        status=status,
        value=seconds if timed else None if share is None else float(share),
        unit="seconds" if timed else "share",
        target=ORCHESTRATION_SECONDS if timed else float(target),
        good=count.good,
        valid=count.valid,
        excluded={reason: n for reason, n in (excluded or {}).items() if n},
        interval=wilson(count.good, count.valid),
        budget=None if share is None else float(1 - (1 - share) / (1 - target)),
        burn={f"{hours}h": _burn(burn(hours), target) for hours in BURN_HOURS},
        beside=beside or {},
    )


def _burn(count: _Count, target: Fraction) -> float | None:
    if not count.valid:
        return None
    return float(Fraction(count.valid - count.good, count.valid) / (1 - target))


def wilson(good: int, valid: int) -> tuple[float, float] | None:
    """Return the 95 % score interval of a share, None for no trials."""
    if not valid:
        return None
    share, square = good / valid, Z * Z / valid
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / valid + square / (4 * valid))
    # rounding must not push the share itself out of its interval
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def nearest_rank(values: Sequence[float], q: float) -> float | None:
    """Return the smallest value that at least the share ``q`` does not exceed, None of nothing."""
    if not values:
        return None
    rank = math.ceil(Fraction(str(q)) * len(values))
    return sorted(values)[max(1, rank) - 1]


def seconds_of(window: str) -> float:
    """Return the seconds of a window like 30d, 12h or 90m, at most a year; raises `ValidationError`."""
    found = WINDOW.fullmatch(window.strip().lower())
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_DAYS * 86_400:
        raise ValidationError(f"{window!r} is no time up to a year; write it like 30d, 12h or 90m.", field="window")
    return float(seconds)


_attached: list[ServiceLevels] = []


def attach(levels: ServiceLevels | None) -> None:
    """Answer `slo` from these from now on; None: from nothing."""
    _attached[:] = [] if levels is None else [levels]


def slo(window: str = "30d") -> list[ServiceLevel]:
    """Return the service levels of the home this process works in; raises `ConfigurationError` when there is none."""
    if not _attached:
        raise ConfigurationError("No home is attached, so no outcomes are known; run this with a home.", "home")
    return _attached[0].read(window)
