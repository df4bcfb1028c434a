"""The boards on a real Prometheus that scrapes a process whose every metric moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from tests.prometheus import PLACE, fetch, profile, prometheus, query, wait_for
from tests.traffic import exporter

from kimera.telemetry import dashboards

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

EXPRESSIONS = {
    f"{name}: {panel['title']} {target['refId']}": target["expr"]
    for name, board in dashboards.read_boards(PLACE / "grafana").items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield a Prometheus with our rules that scrapes such a process every second."""
    place = tmp_path_factory.mktemp("prometheus")
    with exporter() as (port, _), prometheus(profile("prometheus.yml", place, port, interval="1s"), place) as url:
        yield url


def has_values(series: list[dict[str, Any]]) -> bool:
    """Return whether at least one series has a number."""
    return any(not math.isnan(float(one["value"][1])) for one in series)


def test_every_expression_of_every_board_gives_a_number(server: str) -> None:
    """Promise: no panel stays empty or shows NaN while the process works; a label nobody writes would be found here."""
    open_questions = dict(EXPRESSIONS)
    assert len(open_questions) > 100

    def ask() -> bool:
        for name, expr in list(open_questions.items()):
            if has_values(query(server, expr)):
                del open_questions[name]
        return not open_questions

    try:
        wait_for(ask, "numbers on all boards", seconds=45, every=1.0)
    finally:
        assert {} == open_questions


def test_every_recorded_series_is_there(server: str) -> None:
    """Promise: the rules of recording.yml give series, so that no board reads an empty name."""
    names = dashboards.recorded_names(PLACE / "grafana")

    def missing() -> set[str]:
        return names - {one["metric"]["__name__"] for one in query(server, '{__name__=~"kimera:.+"}')}

    wait_for(lambda: not missing(), "recorded series", seconds=45, every=1.0)


def test_what_is_scraped_is_what_was_counted(server: str) -> None:
    """Promise: the target is up, and populations arrive as buckets that need no rate."""
    assert [1.0] == [float(one["value"][1]) for one in query(server, 'up{job="kimera"}')]
    assert has_values(query(server, "kimera_population_entropy_bucket"))


def test_what_an_alert_says_is_whole(server: str) -> None:
    """Promise: the texts of alerts that this traffic raises have all their values filled in."""

    def raised() -> list[dict[str, Any]]:
        return (fetch(f"{server}/api/v1/alerts") or {"data": {"alerts": []}})["data"]["alerts"]

    alerts = wait_for(lambda: found if len(found := raised()) > 3 else None, "alerts", seconds=45, every=1.0)
    for alert in alerts:
        for text in alert["annotations"].values():
            assert "<" not in text, alert
            assert "  " not in text, alert
