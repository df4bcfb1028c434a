"""What missions count: from their events, each once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.small_missions import playbook

from kimera import telemetry
from kimera.errors import OperationTimeout, ServiceError
from kimera.missions import control
from kimera.missions.contracts import Tau
from kimera.missions.control.census import census
from kimera.missions.control.counting import Recent, count_trust, counted, kind_of, severity_of
from kimera.missions.control.recording import recording
from kimera.storage.missions import Entry
from kimera.storage.rollups import Rollups
from kimera.telemetry.reading.series import History
from kimera.telemetry.recording.children import Counter
from kimera.telemetry.recording.metrics import REGISTRY, switch_metrics


class Moved:
    """How far metrics moved since this was made: by name and labels, as written in Prometheus."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> dict[tuple[str, ...], float]:
        return {
            (opened.family.name, *child.values): REGISTRY.value(
                opened.family.name, **dict(zip(opened.family.label_names, child.values, strict=True))
            )
            for opened in REGISTRY.metrics()
            if opened.family.owner in {"missions", "llm", "guardian"}
            for child in opened.present()
        }

    def moved(self, name: str) -> dict[tuple[str, ...], float]:
        """Return what moved of one metric, by label values."""
        now = self._now()
        return {
            key[1:]: value - self._before.get(key, 0)
            for key, value in now.items()
            if key[0] == name and value != self._before.get(key, 0)
        }


def test_a_mission_that_goes_well_counts_once_everywhere(home: control.Home, folder: Path) -> None:
    """Promise: one mission is one outcome, one duration, one first report, one wait per track and its own phases."""
    seen = Moved()
    mission_id = control.submit(home, "What is first?", folder, playbook="small")
    assert "DONE" == control.run(home, mission_id).state
    assert {("done", "none"): 1} == seen.moved("kimera_missions_total")
    assert {("done",): 1} == seen.moved("kimera_mission_duration_seconds")
    assert {(): 1} == seen.moved("kimera_mission_first_report_seconds")
    assert {(): 1} == seen.moved("kimera_orchestration_duration_seconds")
    assert {("deep_research",): 1, ("ds_star",): 1} == seen.moved("kimera_queue_wait_seconds")
    phases = seen.moved("kimera_mission_phase_duration_seconds")
    expected = [("deep_research", name) for name in ("explore", "plan", "batch", "synthesize")]
    expected += [("ds_star", name) for name in ("analyze", "code", "verify", "finalize")]
    assert {key: 1 for key in expected} == {key: n for key, n in phases.items() if key in expected}
    assert (1, 2) == (phases["orchestrator", "accept"], phases["orchestrator", "dispatch"])
    assert phases["orchestrator", "transition"] >= 3  # to RUNNING, to FUSION, to DONE
    assert {} == seen.moved("kimera_errors_total")


def gated(error: Callable[[], Exception], times: int) -> None:
    """Register a playbook whose analysis fails so many times at ``code``."""
    calls = [0]

    def hook(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if moment == "begin" and step == "ds_star:code":
            calls[0] += 1
            if calls[0] <= times:
                raise error()

    playbook("gated", hook)


def test_a_retry_that_helps_is_a_retry_and_no_error(home: control.Home, folder: Path) -> None:
    """Promise: a failure that passes counts as a retry of its track and kind, and the mission as done."""
    gated(lambda: OperationTimeout("slow"), times=1)
    seen = Moved()
    control.run(home, control.submit(home, "What?", folder, playbook="gated"))
    assert {("ds_star", "timeout"): 1} == seen.moved("kimera_retries_total")
    assert {("done", "none"): 1} == seen.moved("kimera_missions_total")
    assert {} == seen.moved("kimera_errors_total")


def test_a_track_that_fails_is_one_error_and_a_degraded_mission(home: control.Home, folder: Path) -> None:
    """Promise: a lasting failure counts once, with its room and how bad it is, and degrades the mission."""
    gated(lambda: ServiceError("no", service_name="search", status_code=400), times=9)
    seen = Moved()
    mission_id = control.submit(home, "What?", folder, playbook="gated")
    control.run(home, mission_id)
    failed = next(event for event in control.events(home, mission_id) if event.type == "track.failed")
    errors = seen.moved("kimera_errors_total")
    assert [1] == list(errors.values())
    assert [severity_of(str(failed.payload["error_type"]))] == [severity for _, severity in errors]
    assert {("other",): 1} == seen.moved("kimera_degraded_total")
    assert [1] == list(seen.moved("kimera_missions_total").values())


def test_a_slow_mission_is_told_from_its_like() -> None:
    """Promise: over twice the median of at least five is slow; without enough to compare nothing is."""
    recent = Recent()
    assert [False] * 5 == [recent.unusual(seconds) for seconds in (1.0, 90.0, 1.0, 1.0, 1.0)]
    assert [False, True, False] == [recent.unusual(seconds) for seconds in (2.0, 2.1, 1.9)]


def test_an_error_leads_to_its_trace(home: control.Home, folder: Path) -> None:
    """Promise: with details on, an error carries the id of the trace in which it was recorded; off, it does not."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    payload = {"status": "failed", "error_type": "ServiceError", "error_code": "SERVICE_X", "module": "llm"}
    trace = "0af7651916cd43dd8448eb211c80319c"
    child = REGISTRY.metric("kimera_errors_total").bind(module="llm", severity=severity_of("ServiceError"))
    assert isinstance(child, Counter)
    with telemetry.bind(traceparent=f"00-{trace}-b7ad6b7169203331-01"):
        count = counted(home.missions)
        count(mission_id, [Entry("failed:1", "track.failed", payload, "ds_star", 1)])
        assert child.exemplar is None
        switch_metrics(detailed=True)
        try:
            count(mission_id, [Entry("failed:1", "track.failed", payload, "ds_star", 1)])
        finally:
            switch_metrics()
    assert child.exemplar is not None
    assert {"trace_id": trace} == child.exemplar.labels


def test_trust_is_counted_where_it_was_judged(home: control.Home, folder: Path) -> None:
    """Promise: each claim of a final report with a tau counts once, the report once, the unjudged not at all."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    control.run(home, mission_id)
    outcome = control.outcome(home, mission_id)
    tau = Tau(value=0.8, event="x", level="HIGH")
    claims = (*(claim.model_copy(update={"tau": tau}) for claim in outcome.claims[:-1]), outcome.claims[-1])
    seen = Moved()
    count_trust(outcome.model_copy(update={"claims": claims, "tau": tau}))
    assert {("claim",): len(claims) - 1, ("report",): 1} == seen.moved("kimera_tau_score")


def test_recording_the_same_event_twice_counts_once(home: control.Home, folder: Path) -> None:
    """Promise: a step repeated after a kill records nothing new, and so counts nothing new."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    seen = Moved()
    entry = Entry("degraded:x", "degraded", {"cause": "encoder", "text": "x"})
    assert home.missions.append(mission_id, [entry])
    assert not home.missions.append(mission_id, [entry])
    assert home.missions.append(mission_id, [entry, replace(entry, key="degraded:y")])
    assert {("encoder",): 2} == seen.moved("kimera_degraded_total")


def test_the_census_is_what_the_tables_say(home: control.Home, folder: Path) -> None:
    """Promise: waiting missions, waiting attempts and dead letters show as they are, zeros included."""

    def now() -> dict[tuple[str, ...], float]:
        return {(one.name, *one.labels.values()): one.value for one in census(home)}

    assert {0.0} == set(now().values())
    gated(lambda: ValueError("broken"), times=99)
    control.run(home, control.submit(home, "What?", folder, playbook="gated"))
    control.submit(home, "And then?", folder, playbook="small")
    found = now()
    assert 1 == found["kimera_missions_running", "pending"]
    assert 1 == found["kimera_queue_depth", "missions", "ready"]
    assert 2 == found["kimera_queue_depth", "tracks", "ready"]
    assert 1 == found["kimera_queue_depth", "tracks", "dead"]


def test_a_door_leaves_its_history_in_the_home(home: control.Home, folder: Path) -> None:
    """Promise: after `kimera run` the home can be asked how many missions ended, with no server ever running."""
    start = home.clock.now().timestamp() - 60
    with recording(home, "run", lines=False):
        control.run(home, control.submit(home, "What?", folder, playbook="small"))
    history = History(Rollups(home.database), home.clock)
    ended = history.total("kimera_missions_total", ("outcome",), start, start + 3_600)
    assert 1.0 <= ended["done",]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TIMEOUT", "timeout"),
        ("DEADLINE", "timeout"),
        ("RATE_LIMITED", "rate_limited"),
        ("SERVICE_OPENAI_429", "rate_limited"),
        ("SERVICE_OPENAI_503", "unavailable"),
        ("BREAKER_OPEN", "unavailable"),
        ("CONNECTIONREFUSEDERROR", "unavailable"),
        ("STORAGE_FULL", "storage"),
        ("MODEL_ERROR", "invalid_output"),
        ("ZERODIVISIONERROR", "other"),
    ],
)
def test_error_codes_have_a_kind(code: str, kind: str) -> None:
    """Promise: every code falls into one declared kind."""
    assert kind == kind_of(code)
