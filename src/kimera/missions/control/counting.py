"""Metrics of missions, counted from their events as these are recorded: each once over all processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median

from kimera import errors, telemetry
from kimera.errors import Severity, StorageError
from kimera.missions.contracts import MissionOutcomePackage
from kimera.storage.missions import Entry, Missions
from kimera.storage.outcomes import Outcomes

__all__ = ["count_trust", "counted", "kind_of", "severity_of"]

RECENT_MISSIONS = 101
FEWEST = 5
"""Missions that must have ended before one can be called slow."""

KINDS = (
    ("timeout", ("TIMEOUT", "DEADLINE")),
    ("rate_limited", ("RATE_LIMITED", "429")),
    ("unavailable", ("BREAKER", "CONNECT", "SERVICE", "REFUSED", "BULKHEAD", "POOL")),
    ("storage", ("STORAGE", "DISK")),
    ("invalid_output", ("VALIDATION", "MODEL", "JSON")),
)
"""Kind of an error by words in its code; the first that fits."""


class Recent:
    """The durations of the missions that ended last in this process, so that a slow one can be told."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=RECENT_MISSIONS)

    def unusual(self, seconds: float) -> bool:
        """Return whether this is over twice the median of those before, and remember it."""
        slow = len(self._seconds) >= FEWEST and seconds > 2 * median(self._seconds)
        self._seconds.append(seconds)
        return slow


RECENT = Recent()


def counted(missions: Missions) -> Callable[[str, Sequence[Entry]], None]:
    """Return the function that counts what is recorded of missions; give it to them as ``on_record``."""
    ways = {
        "mission.finished": _finished,
        "track.started": _started,
        "track.retry": _retried,
        "track.failed": _failed,
        "degraded": _degraded,
    }

    def count(mission_id: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.type in ways:
                # a metric may be lost with the store, what it measures must go on
                with suppress(StorageError):
                    ways[entry.type](missions, mission_id, entry)

    return count


def count_trust(outcome: MissionOutcomePackage) -> None:
    """Count how reliable a final report and each of its claims were found to be; what could not be judged is not."""
    scores = telemetry.metric("kimera_tau_score")
    judged = [("claim", claim.tau) for claim in outcome.claims]
    for subject, tau in [*judged, ("report", outcome.tau)]:
        if tau is not None and tau.value is not None:
            scores.bind(subject=subject).observe(tau.value)


def kind_of(error_code: str) -> str:
    """Return the kind of error a code belongs to."""
    return next((kind for kind, words in KINDS if any(word in error_code for word in words)), "other")


def severity_of(error_type: str) -> str:
    """Return how bad an error of this class is; one that is not ours was not foreseen."""
    known = getattr(errors, error_type, None)
    severity: Severity = getattr(known, "default_severity", Severity.HIGH)
    return severity.value


def _finished(missions: Missions, mission_id: str, entry: Entry) -> None:
    outcome = Outcomes(missions.database).of(mission_id)[-1]
    telemetry.metric("kimera_missions_total").bind(outcome=outcome.outcome, cause=outcome.cause).inc()
    whole = telemetry.metric("kimera_mission_duration_seconds").bind(outcome=outcome.outcome)
    seconds = max(0.0, outcome.ended_at - outcome.accepted_at)
    whole.observe(seconds, _trace() if RECENT.unusual(seconds) else None)
    if outcome.first_report_seconds is not None:
        telemetry.metric("kimera_mission_first_report_seconds").bind().observe(outcome.first_report_seconds)
    if outcome.orchestration_seconds is not None:
        telemetry.metric("kimera_orchestration_duration_seconds").bind().observe(outcome.orchestration_seconds)
    if entry.payload.get("error_code") and not _told(missions, mission_id):
        _error(entry)


def _told(missions: Missions, mission_id: str) -> bool:
    """Return whether a track's failure, counted as such, is why the mission failed."""
    return any(
        event.type == "track.failed" and event.payload["status"] == "failed" for event in missions.events(mission_id)
    )


def _started(missions: Missions, mission_id: str, entry: Entry) -> None:
    handed = missions.recorded_at(mission_id, f"dispatched:{entry.track}:{entry.attempt}")
    if handed is not None:
        waited = (missions.database.clock.now() - handed).total_seconds()
        telemetry.metric("kimera_queue_wait_seconds").bind(track=str(entry.track)).observe(max(0.0, waited))


def _retried(missions: Missions, mission_id: str, entry: Entry) -> None:
    kind = kind_of(str(entry.payload.get("error_code")))
    telemetry.metric("kimera_retries_total").bind(track=str(entry.track), error_type=kind).inc()


def _failed(missions: Missions, mission_id: str, entry: Entry) -> None:
    if entry.payload.get("status", "failed") == "failed":
        _error(entry)


def _error(entry: Entry) -> None:
    severity = severity_of(str(entry.payload.get("error_type")))
    module = str(entry.payload.get("module") or "missions")
    telemetry.metric("kimera_errors_total").bind(module=module, severity=severity).inc(1, _trace())


def _trace() -> dict[str, str] | None:
    """Return the exemplar that leads to the trace at hand."""
    parts = telemetry.headers().get("traceparent", "").split("-")
    return {"trace_id": parts[1]} if len(parts) == 4 else None


def _degraded(missions: Missions, mission_id: str, entry: Entry) -> None:
    telemetry.metric("kimera_degraded_total").bind(cause=str(entry.payload["cause"])).inc()
