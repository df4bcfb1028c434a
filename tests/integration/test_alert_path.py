"""From a metric's change to the webhook, with the real programs between."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest
from tests.alerting import PATIENCE, impatient_rules, news, receiver, webhook
from tests.prometheus import alertmanager, fetch, profile, prometheus, query, wait_for
from tests.traffic import exporter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BOUND = 30.0


def test_an_alert_arrives_within_half_a_minute_and_so_does_its_end(tmp_path: Path) -> None:
    """Promise: flip to webhook < 30 s beyond `for`, both ways, with the fast profile; our reader takes the payload."""
    with (
        exporter(every=None) as (port, registry),
        webhook() as hook,
        alertmanager(receiver(hook, tmp_path), tmp_path) as alerts,
        prometheus(
            profile("prometheus.fast.yml", tmp_path, port, alerts=alerts, rules=impatient_rules(tmp_path)), tmp_path
        ) as url,
    ):
        breaker = registry.metric("kimera_breaker_state").bind(breaker="model")
        breaker.set(0)
        wait_for(lambda: query(url, "kimera_breaker_state == 0"), "the first scrape", seconds=30)
        flipped = time.monotonic()
        breaker.set(2)
        arrived, alert = news(hook, "BreakerOpen", "firing")
        assert 0 < arrived - flipped < PATIENCE + BOUND
        assert "The breaker model is open" == alert.summary
        assert ("ticket", "docs/telemetry/troubleshooting.md#breakeropen") == (alert.severity, alert.runbook_url)
        flipped = time.monotonic()
        breaker.set(0)
        arrived, alert = news(hook, "BreakerOpen", "resolved")
        assert 0 < arrived - flipped < BOUND
        assert alert.ends_at is not None


def test_while_nothing_is_scraped_other_alerts_are_kept_back(tmp_path: Path) -> None:
    """Promise: MetricsStale inhibits: Alertmanager suppresses the other alert and tells only of the stale one."""
    with webhook() as hook, alertmanager(receiver(hook, tmp_path), tmp_path) as alerts:
        tell(alerts, "MetricsStale")
        news(hook, "MetricsStale", "firing")
        tell(alerts, "BreakerOpen")
        held = wait_for(lambda: suppressed(alerts), "the other alert to be suppressed", seconds=20)
        assert ["BreakerOpen"] == held
        assert hook.told.empty()


def tell(alerts: str, name: str) -> None:
    """Tell Alertmanager of an alert as Prometheus does."""
    body = json.dumps([{"labels": {"alertname": name, "severity": "page"}, "annotations": {}}]).encode()
    request = urllib.request.Request(f"{alerts}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert 200 == answer.status


def suppressed(alerts: str) -> list[str]:
    """Return the names of the alerts that are held back."""
    found = fetch(f"{alerts}/api/v2/alerts") or []
    return [alert["labels"]["alertname"] for alert in found if alert["status"]["state"] == "suppressed"]
