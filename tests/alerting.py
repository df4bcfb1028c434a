"""The way of an alert, for tests and benchmarks: our configurations with other addresses, and a webhook at the end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from tests.prometheus import PLACE

from kimera.storage.alerts import Alert, parse_alertmanager

__all__ = ["PATIENCE", "Webhook", "impatient_rules", "news", "receiver", "webhook"]

PATIENCE = 5.0
"""Seconds that BreakerOpen's condition must last here: one evaluation, so that nothing is rounded up."""


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


def news(hook: Webhook, name: str, status: str, *, within: float = 60.0) -> tuple[float, Alert]:
    """Return the next news of this alert and this status with its moment; others are passed over."""
    while True:
        moment, alert = hook.told.get(timeout=within)
        if (alert.name, alert.status) == (name, status):
            return moment, alert
