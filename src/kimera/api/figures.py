"""How the system does, over HTTP: service levels, metrics of the past, and the alerts it was told.

The figures are those of the whole gateway, not of a tenant; they hold counts and times, no ids, names or texts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from kimera.api.security import requires
from kimera.clock import Clock
from kimera.missions.control import Home
from kimera.resilience import cached
from kimera.storage.alerts import Alert, AlertRows, parse_alertmanager
from kimera.storage.levels import past_metrics, service_levels
from kimera.telemetry.reading.series import Trend
from kimera.telemetry.reading.slo import ServiceLevel
from kimera.telemetry.reading.summary import Summary, read_summary

__all__ = ["router"]

SHARED_SECONDS = 5.0
"""How long one answer serves all who ask the same: a hundred readers cost as much as one."""

WINDOWS = 32
Window = Annotated[
    str, Query(pattern=r"^[1-9][0-9]{0,2}[mhd]$", description="Until now: minutes, hours or days, e.g. 90m, 12h, 30d.")
]


class View(BaseModel):
    """One shape of this interface."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, from_attributes=True)


class LevelView(View):
    """One service level: what was promised, what was kept, what is left of the error budget."""

    name: str
    status: Literal["met", "violated", "no_data"]
    value: float | None = Field(description="A share, or seconds where `unit` says so; null without data.")
    unit: Literal["share", "seconds"]
    target: float
    good: int
    valid: int
    excluded: dict[str, int] = Field(description="What does not count, by reason.")
    interval: tuple[float, float] | None = Field(description="95 % interval of good/valid (Wilson).")
    budget: float | None = Field(description="Error budget left: 1 untouched, 0 used up, below 0 overdrawn.")
    burn: dict[str, float | None] = Field(description="How many times faster than allowed errors came lately.")
    beside: dict[str, float | None] = Field(description="Left out of the value and worth seeing.")


class LevelsView(View):
    """Every service level over one window."""

    window: str
    levels: tuple[LevelView, ...]


class SummaryView(View):
    """The few numbers that other systems ask for by these names; null: no data yet."""

    window: str
    inference_time_ms: float | None
    component_time_ms: dict[str, float | None]
    errors_by_module: dict[str, int]
    avg_tau_score: float | None
    safeguard_trigger_rate: float | None
    drift_velocity_avg: float | None


class PointView(View):
    """One step of a series; `at` is its start in seconds since 1970."""

    at: int
    value: float | None = Field(description="A counter's increase, the mean of anything else.")
    n: int
    last: float | None
    least: float | None
    largest: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class SeriesView(View):
    """The points of one set of label values."""

    labels: dict[str, str]
    points: tuple[PointView, ...]


class TrendView(View):
    """A metric over time; `step` is at least that of the tier it was kept in."""

    metric: str
    kind: Literal["counter", "gauge", "histogram", "gauge_histogram"]
    tier: str
    step: int
    series: tuple[SeriesView, ...]


class AlertView(View):
    """One piece of news of an alert, as Alertmanager told it."""

    fingerprint: str
    name: str
    status: Literal["firing", "resolved"]
    severity: str
    starts_at: datetime
    ends_at: datetime | None
    summary: str
    description: str
    runbook_url: str
    labels: dict[str, str]
    received_at: datetime | None


class AlertPage(View):
    """Alerts, the newest news first."""

    items: tuple[AlertView, ...]


class ToldView(View):
    """What came of a webhook call."""

    received: int = Field(description="Alerts in the call.")
    new: int = Field(description="Of these, what was not known yet.")


class Figures:
    """Reads figures of a home; equal questions within five seconds are answered once."""

    def __init__(self, home: Home) -> None:
        self.clock: Clock = home.clock
        self.past = past_metrics(home.database)
        self.service = service_levels(home.database)
        self.alerts = AlertRows(home.database)

    @cached(SHARED_SECONDS, WINDOWS)
    def levels(self, window: str) -> list[ServiceLevel]:
        """Return the service levels over a window."""
        return self.service.read(window)

    @cached(SHARED_SECONDS, WINDOWS)
    def summary(self, window: str) -> Summary:
        """Return the numbers of a window under their well-known names."""
        return read_summary(self.past, window, self.clock)

    @cached(SHARED_SECONDS, WINDOWS)
    def series(self, metric: str, by: tuple[str, ...] | None, seconds: float, step: float) -> Trend:
        """Return a metric over the last so many seconds."""
        now = self.clock.now().timestamp()
        return self.past.series(metric, by, now - seconds, now, step)

    @cached(SHARED_SECONDS, WINDOWS)
    def news(self, firing: bool, limit: int) -> list[Alert]:
        """Return the alerts that fire, or the last news of all."""
        return self.alerts.firing(limit) if firing else self.alerts.latest(limit)


def figures_of(request: Request) -> Figures:
    """Return the one reader of this gateway, made when first asked for."""
    state = request.app.state
    if getattr(state, "figures", None) is None:
        state.figures = Figures(state.home)
    found: Figures = state.figures
    return found


def router() -> APIRouter:
    """Return the routes under /api/telemetry."""
    routes = APIRouter(prefix="/api/telemetry", tags=["telemetry"])
    _add_figures(routes)
    _add_alerts(routes)
    return routes


def _add_figures(routes: APIRouter) -> None:
    @routes.get("/slo", operation_id="get_slo", summary="Service levels", dependencies=[requires("read")])
    def get_slo(request: Request, window: Window = "30d") -> LevelsView:
        """Show each service level over a window: value, what counted, interval, target, error budget and burn."""
        levels = figures_of(request).levels(window)
        return LevelsView(window=window, levels=tuple(LevelView.model_validate(one) for one in levels))

    @routes.get(
        "/summary", operation_id="get_summary", summary="A few numbers by their names", dependencies=[requires("read")]
    )
    def get_summary(request: Request, window: Window = "1h") -> SummaryView:
        """Show times, errors by module, mean tau, how often the safeguard acted and how fast streams drifted."""
        return SummaryView.model_validate(figures_of(request).summary(window))

    @routes.get(
        "/series/{metric}", operation_id="get_series", summary="A metric over time", dependencies=[requires("read")]
    )
    def get_series(
        request: Request,
        metric: Annotated[
            str, Path(pattern=r"^[a-z][a-z0-9_]{0,127}$", description="As in docs/telemetry/metrics.md.")
        ],
        window: Window = "1h",
        step: Annotated[float, Query(ge=15, le=31_536_000, description="Seconds per point, at least.")] = 60.0,
        by: Annotated[
            str | None,
            Query(
                pattern=r"^[a-z_]{0,64}(,[a-z_]{1,64}){0,8}$",
                description="Labels to tell apart, by commas; unset: all.",
            ),
        ] = None,
    ) -> TrendView:
        """Draw a metric from the roll-ups: 15 days raw, 30 days by five minutes, 90 days by hours, a year by days."""
        from kimera.telemetry.reading.slo import seconds_of

        labels = None if by is None else tuple(one for one in by.split(",") if one)
        trend = figures_of(request).series(metric, labels, seconds_of(window), step)
        return TrendView.model_validate(trend)


def _add_alerts(routes: APIRouter) -> None:
    @routes.get("/alerts", operation_id="list_alerts", summary="Alerts received", dependencies=[requires("read")])
    def list_alerts(
        request: Request,
        firing: Annotated[bool, Query(description="Only those whose last news is that they fire.")] = False,
        limit: Annotated[int, Query(ge=1, le=500, description="How many, newest first.")] = 100,
    ) -> AlertPage:
        """List the news that Alertmanager sent here, newest first; they are kept for 90 days."""
        items = figures_of(request).news(firing, limit)
        return AlertPage(items=tuple(AlertView.model_validate(one) for one in items))

    @routes.post(
        "/alerts",
        operation_id="receive_alerts",
        summary="Receive alerts from Alertmanager",
        dependencies=[requires("write")],
        openapi_extra={"requestBody": WEBHOOK},
    )
    def receive_alerts(request: Request) -> ToldView:
        """Take a webhook call of Alertmanager (version 4); the same news twice changes nothing."""
        told = parse_alertmanager(request.state.body)
        reader = figures_of(request)
        new = reader.alerts.receive(told)
        if new:
            reader.news.clear()  # type: ignore[attr-defined]
        return ToldView(received=len(told), new=new)


TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
WEBHOOK: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["version", "alerts"],
                "properties": {
                    "version": {"const": "4"},
                    "alerts": {
                        "type": "array",
                        "maxItems": 500,
                        "items": {
                            "type": "object",
                            "required": ["status", "labels", "startsAt", "fingerprint"],
                            "properties": {
                                "status": {"enum": ["firing", "resolved"]},
                                "labels": TEXTS,
                                "annotations": TEXTS,
                                "startsAt": {"type": "string", "format": "date-time"},
                                "endsAt": {"type": ["string", "null"], "format": "date-time"},
                                "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{1,64}$"},
                            },
                        },
                    },
                },
            }
        }
    },
}
"""The part of the webhook's payload that is read; what Alertmanager adds beside it is ignored."""
