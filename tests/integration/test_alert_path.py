"""From a metric's change to the webhook, with the real programs between."""

from __future__ import annotations

import json
import queue
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tests.prometheus import PLACE, alertmanager, fetch, profile, prometheus, query, wait_for
from tests.traffic import exporter

from kimera.storage.alerts import Alert, parse_alertmanager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BOUND = 30.0
PATIENCE = 2.0


class Webhook(ThreadingHTTPServer):
    """Receives what Alertmanager tells and hands on the alerts that our reader makes of it, each with its moment."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: queue.Queue[tuple[float, Alert]] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        moment = time.monotonic()
        for alert in parse_alertmanager(self.rfile.read(int(self.headers["Content-Length"]))):
            self.server.told.put((moment, alert))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Run such a server until the block ends."""
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def impatient_rules(place: Path) -> list[str]:
    """Write our alerts with BreakerOpen's patience cut to `PATIENCE` and return the rule files."""
    rules = yaml.safe_load((PLACE / "rules" / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        if rule["alert"] == "BreakerOpen":
            rule["for"] = f"{PATIENCE:g}s"
    (place / "alerts.yml").write_text(yaml.safe_dump(rules))
    return [str(place / "alerts.yml"), str(PLACE / "rules" / "recording.yml")]


def receiver(hook: Webhook, place: Path) -> Path:
    """Write our Alertmanager configuration with the webhook's address and return the file."""
    config = yaml.safe_load((PLACE / "alertmanager.yml").read_text())
    config["receivers"][0]["webhook_configs"][0]["url"] = f"http://127.0.0.1:{hook.server_port}/api/telemetry/alerts"
    made = place / "alertmanager.yml"
    made.write_text(yaml.safe_dump(config))
    return made


def news(hook: Webhook, name: str, status: str) -> tuple[float, Alert]:
    """Return the next news of this alert and this status; others are passed over."""
    while True:
        moment, alert = hook.told.get(timeout=BOUND + PATIENCE + 10)
        if (alert.name, alert.status) == (name, status):
            return moment, alert


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
