"""The metrics as Prometheus reads them: one listener of its own, so that a scrape never waits for the gateway.

One thread per connection, so a reader that takes its time holds up nobody; those who ask within the same second share
one rendering.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kimera.telemetry.reading._ports import holder_of
from kimera.telemetry.recording.children import Child, Counter, Gauge, GaugeHistogram, Histogram, Switch
from kimera.telemetry.recording.logs import get_logger
from kimera.telemetry.recording.metrics import REGISTRY, Metric, Registry, own_cost

__all__ = ["Exposition", "Listener", "serve_metrics"]

SHARED_SECONDS = 1.0
READER_SECONDS = 30.0
"""How long a reader may take over one answer before its connection is dropped."""
READERS = 64
PATIENCE = 2.0
"""Seconds a scrape waits for collectors; Prometheus itself gives up after ten."""

_log = get_logger("telemetry")


class Exposition:
    """Renders a registry; everybody who asks within `SHARED_SECONDS` gets the same bytes."""

    def __init__(self, registry: Registry = REGISTRY, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, bool], tuple[float, bytes]] = {}
        self.renderings = 0

    def render(self, accept: str = "", *, zipped: bool = False) -> tuple[bytes, str]:
        """Return the exposition in the format asked for, as bytes, and its content type."""
        # imported here: 70 ms of processor time that only a process which is scraped should pay
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        with self._lock:
            return self._fresh(content_type, zipped, encode), content_type

    def _fresh(self, content_type: str, zipped: bool, encode: Callable[[Any], bytes]) -> bytes:
        now = self._monotonic()
        found = self._kept.get((content_type, zipped))
        if found is not None and now - found[0] < SHARED_SECONDS:
            return found[1]
        if zipped:
            plain = self._fresh(content_type, False, encode)
            at, body = self._kept[content_type, False][0], gzip.compress(plain, 1, mtime=0)
        else:
            at, body = now, self._rendered(encode)
        self._kept[content_type, zipped] = at, body
        return body

    def _rendered(self, encode: Callable[[Any], bytes]) -> bytes:
        self.renderings += 1
        started = time.perf_counter()
        with own_cost():
            self._registry.collect(PATIENCE)
            families = list(self.collect())
            lines = sum(len(family.samples) for family in families)
            body = encode(_Fixed(families))
        # shown by the next scrape: a rendering cannot contain its own duration
        self._registry.metric("kimera_scrape_collect_seconds").bind().set(time.perf_counter() - started)
        self._registry.metric("kimera_metrics_series").bind().set(lines)
        return body

    def collect(self) -> Iterator[Any]:
        """Yield the families with their samples as the Prometheus client's objects."""
        from prometheus_client.metrics_core import Metric as Exposed

        for opened in self._registry.metrics():
            children = opened.present()
            if children:
                family = opened.family
                exposed = Exposed(family.name.removesuffix("_total"), family.help, family.kind.replace("_", ""))
                exposed.samples = [sample for child in children for sample in _samples(opened, child)]
                yield exposed


class _Fixed:
    """A collection already made."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families


def _samples(opened: Metric, child: Child) -> Iterator[Any]:
    from prometheus_client.samples import Exemplar, Sample

    name, labels = opened.family.name, dict(zip(opened.family.label_names, child.values, strict=True))
    if isinstance(child, Counter):
        kept = child.exemplar if Switch.detailed else None
        yield Sample(
            name, labels, child.value, exemplar=None if kept is None else Exemplar(dict(kept.labels), *kept[1:])
        )
    elif isinstance(child, Gauge):
        yield Sample(name, labels, child.value)
    elif isinstance(child, Histogram | GaugeHistogram):
        counts, total = child.snapshot()
        exemplars = child.exemplars if isinstance(child, Histogram) and Switch.detailed else {}
        seen = 0
        for place, count in enumerate(counts):
            seen += count
            kept = exemplars.get(place)
            example = None if kept is None else Exemplar(dict(kept.labels), *kept[1:])
            edge = edge_text(opened.family.edges[place]) if place < len(opened.family.edges) else "+Inf"
            yield Sample(f"{name}_bucket", {**labels, "le": edge}, seen, exemplar=example)
        if not opened.family.signed:  # OpenMetrics: a count stands if and only if a sum does; +Inf says as much
            prefix = "g" if isinstance(child, GaugeHistogram) else ""
            yield Sample(f"{name}_{prefix}count", labels, seen)
            yield Sample(f"{name}_{prefix}sum", labels, total)


def edge_text(edge: float) -> str:
    """Return an edge as Prometheus writes it, the same in both formats."""
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(edge))  # type: ignore[no-untyped-call]


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics; anything else is refused with what would work."""

    timeout = READER_SECONDS
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path.split("?")[0] not in {"/metrics", "/metrics/"}:
            self._answer(404, b"Metrics are at /metrics.\n", "text/plain; charset=utf-8")
            return
        zipped = "gzip" in self.headers.get("Accept-Encoding", "")
        body, content_type = self.server.exposition.render(self.headers.get("Accept", ""), zipped=zipped)
        self._answer(200, body, content_type, zipped)

    def _refuse(self) -> None:
        self._answer(405, b"Only GET is answered here.\n", "text/plain; charset=utf-8")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = _refuse  # noqa: N815 - the library's names

    def _answer(self, status: int, body: bytes, content_type: str, zipped: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if zipped:
            self.send_header("Content-Encoding", "gzip")
        if status == 405:
            self.send_header("Allow", "GET")
            self.close_connection = True  # a body may follow that nobody will read
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "kimera"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name the library gave it
        """Write nothing: a scrape every few seconds is no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.exposition = exposition
        self._readers = threading.BoundedSemaphore(READERS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; with too many readers at once it is closed instead of queued."""
        if not self._readers.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._readers.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that went away."""


class Listener:
    """Where metrics are served. ``port`` is None when the port was taken and nothing is served."""

    def __init__(self, server: _Server | None) -> None:
        self._server = server
        self.port: int | None = None if server is None else int(server.server_address[1])
        if server is not None:
            self._thread = threading.Thread(
                target=server.serve_forever, args=(0.1,), name="kimera-metrics", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop serving; may be called again."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None


def serve_metrics(host: str, port: int, registry: Registry = REGISTRY) -> Listener:
    """Serve ``/metrics`` on an address of its own; port 0 takes a free one.

    A taken port is a warning that says who holds it, never an error: the work goes on without being scraped.
    """
    try:
        server = _Server((host, port), Exposition(registry))
    except (OSError, OverflowError) as refused:
        _log.warning(
            "telemetry.metrics_not_served",
            host=host,
            port=port,
            reason=getattr(refused, "strerror", None) or str(refused),
            holder=holder_of(port),
            next="set KIMERA_METRICS_PORT of one of the two processes to another port",
        )
        return Listener(None)
    return Listener(server)
