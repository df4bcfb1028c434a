"""Copies of spans for an OTLP collector: sent when it is there, dropped and counted when it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from kimera import telemetry
from kimera.settings import Settings

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="extra otel is not installed")


class Collector(HTTPServer):
    """A collector on a free port that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.got: list[tuple[str, bytes]] = []


class Taker(BaseHTTPRequestHandler):
    """Takes one request."""

    server: Collector

    def do_POST(self) -> None:
        """Keep path and body."""
        self.server.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has where it is called
        """Print nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Run a collector for the length of a test."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def record(tmp_path: Path, store: telemetry.MemoryStore, address: str, spans: int = 3) -> telemetry.Recorder:
    """Make spans in a process that exports to ``address``; returns its recorder after the end."""
    settings = Settings(home=tmp_path, otlp_endpoint=address)
    recorder = telemetry.configure(settings, store=store, lines=False)
    with telemetry.bind(request_id="r1", mission_id="m1"):
        for number in range(spans):
            with telemetry.span("agent.step", phase=str(number)):
                pass
    telemetry.shutdown()
    return recorder


def test_a_collector_gets_every_span(tmp_path: Path, store: telemetry.MemoryStore, collector: Collector) -> None:
    """Promise: each span is sent once, by OTLP/HTTP to /v1/traces, under the ids that the store has."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    recorder = record(tmp_path, store, f"http://127.0.0.1:{collector.server_port}")
    assert 0 == recorder.dropped()["otlp"]
    sent = []
    for path, body in collector.got:
        assert "/v1/traces" == path
        request = ExportTraceServiceRequest.FromString(body)
        sent += [s.span_id.hex() for part in request.resource_spans for scope in part.scope_spans for s in scope.spans]
    assert sorted(one.span_id for one in store.spans("m1")) == sorted(sent)
    assert 3 == len(sent)


def test_without_a_collector_nothing_fails_and_losses_are_counted(
    tmp_path: Path, store: telemetry.MemoryStore, collector: Collector
) -> None:
    """Promise: with nobody listening the spans are kept here, counted as dropped there, and the end is not held up."""
    address = f"http://127.0.0.1:{collector.server_port}"
    collector.shutdown()
    collector.server_close()
    begun = time.monotonic()
    recorder = record(tmp_path, store, address)
    assert time.monotonic() - begun < 5.0
    assert {"store": 0, "otlp": 3, "log": 0} == recorder.dropped()
    assert 3 == len(store.spans("m1"))
