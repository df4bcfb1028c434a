"""What the gateway says of each request: a metric by route template, one log line, a span when a trace asks for it."""

from __future__ import annotations

import re

from kimera import telemetry
from kimera.telemetry.recording.context import Context, adopt

__all__ = ["UNMATCHED", "Traffic"]

UNMATCHED = "unmatched"
SLOW_SECONDS = 1.0
"""A request slower than this leaves a span even when no trace asked for one."""

TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

log = telemetry.get_logger("api")


class Traffic:
    """The counts of a gateway. ``in_flight`` is what is being answered now, without open event streams."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._flight = telemetry.metric("kimera_http_in_flight").bind()
        self._clients = telemetry.metric("kimera_sse_clients").bind()
        self._answers = telemetry.metric("kimera_http_requests_total")
        self._seconds = telemetry.metric("kimera_http_request_duration_seconds")
        self._bound: dict[tuple[str, int], tuple[telemetry.Child, telemetry.Child]] = {}

    def begin(self, request_id: str, traceparent: bytes | None) -> telemetry.Span | None:
        """Count a request as begun and make it the context of this task; a span when it continues a trace."""
        self.in_flight += 1
        self._flight.inc()
        if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
            adopt(Context(request_id))
            return None
        adopt(Context(request_id, traceparent=traceparent.decode("ascii")))
        return telemetry.span("http.request").__enter__()

    def ended(self) -> None:
        """Count a request as no longer being answered."""
        self.in_flight -= 1
        self._flight.dec()

    def stream(self, change: int) -> None:
        """Count an event stream as opened (1) or closed (-1)."""
        self._clients.inc(change) if change > 0 else self._clients.dec(-change)

    def answered(self, method: str, route: str, status: int, seconds: float, key_id: str, *, traced: bool) -> None:
        """Record one answer: where, which status, how long it took, for which key."""
        bound = self._bound.get((route, status // 100))
        if bound is None:
            answers = self._answers.bind(route=route, status_class=f"{status // 100}xx")
            bound = self._bound[route, status // 100] = (answers, self._seconds.bind(route=route))
        bound[0].inc()
        bound[1].observe(seconds)
        say = log.debug if route.startswith("/health/") and status < 500 else log.info
        say("api.request", method=method, route=route, status=status, seconds=round(seconds, 6), key_id=key_id)
        if not traced and (status >= 500 or seconds > SLOW_SECONDS):
            telemetry.span_over("http.request", seconds, method=method, route=route, status=status)
