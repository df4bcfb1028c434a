"""Figures over HTTP: service levels, series, and alerts that come in by webhook."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.conftest import Caller

from kimera.api import create_app
from kimera.missions import control
from kimera.storage.keys import Keys


def told(fingerprint: str = "ab12", status: str = "firing", **labels: str) -> dict[str, Any]:
    """Return one webhook call with one alert."""
    alert = {
        "status": status,
        "labels": {"alertname": "BreakerOpen", "severity": "ticket"} | labels,
        "annotations": {"summary": "A breaker is open", "runbook_url": "javascript:alert(1)"},
        "startsAt": "2026-11-20T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
        "generatorURL": "http://prometheus/graph",
    }
    return {"version": "4", "groupKey": "{}", "receiver": "kimera", "alerts": [alert]}


async def test_alerts_come_in_once_and_are_listed(home: control.Home, caller: Caller) -> None:
    """Promise: a webhook call is stored, repeated news is not; what fires is told from what ended; no link but http."""
    client = caller(create_app(home))
    path = "/api/telemetry/alerts"
    assert {"received": 1, "new": 1} == (await client.post(path, json=told())).json()
    assert {"received": 1, "new": 0} == (await client.post(path, json=told())).json()
    listed = (await client.get(path)).json()["items"]
    assert [("BreakerOpen", "firing", "")] == [(one["name"], one["status"], one["runbook_url"]) for one in listed]
    await client.post(path, json=told(status="resolved"))
    assert ["resolved", "firing"] == [one["status"] for one in (await client.get(path)).json()["items"]]
    assert [] == (await client.get(path, params={"firing": True})).json()["items"]


def dated(instant: object) -> dict[str, Any]:
    """Return a webhook call whose alert ends at something."""
    call = told()
    call["alerts"][0]["endsAt"] = instant
    return call


@pytest.mark.parametrize(
    "wrong",
    [dated(0), dated(True), dated("soon"), {}, {"version": "3", "alerts": []}, {"version": "4", "alerts": [{}]}, []],
)
async def test_what_is_no_webhook_call_is_refused(home: control.Home, caller: Caller, wrong: Any) -> None:
    """Promise: another version or shape is 422 with the place to look, and nothing is stored."""
    client = caller(create_app(home))
    answer = await client.post("/api/telemetry/alerts", json=wrong)
    assert (422, True) == (answer.status_code, "alertmanager.yml" in answer.json()["detail"])
    assert [] == (await client.get("/api/telemetry/alerts")).json()["items"]


async def test_alerts_need_a_key_that_writes(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: off loopback a read key lists alerts and cannot send any."""
    app = create_app(home, home.settings.model_copy(update={"host": "0.0.0.0"}))
    client = caller(app, keys.create("k", "t", "read").secret)
    assert 403 == (await client.post("/api/telemetry/alerts", json=told())).status_code
    assert 200 == (await client.get("/api/telemetry/alerts")).status_code
    assert 401 == (await caller(app).post("/api/telemetry/alerts", json=told())).status_code


async def test_service_levels_of_an_empty_home_have_no_data(home: control.Home, caller: Caller) -> None:
    """Promise: each level is there with its target and no value made up; a window that is none is 422."""
    client = caller(create_app(home))
    answer = (await client.get("/api/telemetry/slo", params={"window": "7d"})).json()
    assert "7d" == answer["window"]
    assert {"mission_success", "api_availability", "orchestration_latency"} == {one["name"] for one in answer["levels"]}
    assert {("no_data", None)} == {(one["status"], one["value"]) for one in answer["levels"]}
    for window in ("x", "0d", "999d", "1y"):
        assert 422 == (await client.get("/api/telemetry/slo", params={"window": window})).status_code


async def test_series_are_asked_for_by_name(home: control.Home, caller: Caller) -> None:
    """Promise: a metric of the catalogue answers, an unknown one is 404, an unknown label and too many points 422."""
    client, path = caller(create_app(home)), "/api/telemetry/series"
    found = await client.get(f"{path}/kimera_missions_total", params={"window": "1d", "by": "outcome"})
    assert (200, "counter", []) == (found.status_code, found.json()["kind"], found.json()["series"])
    assert 404 == (await client.get(f"{path}/kimera_nothing_total")).status_code
    for wrong in ({"by": "colour"}, {"window": "300d", "step": 5}, {"window": "nonsense"}):
        assert 422 == (await client.get(f"{path}/kimera_missions_total", params=wrong)).status_code


async def test_the_summary_has_every_name_and_makes_nothing_up(home: control.Home, caller: Caller) -> None:
    """Promise: all names are there, without data as null, and a window that is none is 422."""
    client = caller(create_app(home))
    found = (await client.get("/api/telemetry/summary", params={"window": "2h"})).json()
    assert ("2h", None, {}) == (found["window"], found["avg_tau_score"], found["errors_by_module"])
    assert {None} == set(found["component_time_ms"].values())
    assert 422 == (await client.get("/api/telemetry/summary", params={"window": "soon"})).status_code
