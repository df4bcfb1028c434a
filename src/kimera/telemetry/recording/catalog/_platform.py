"""Families of the platform: resilience, the gateway, telemetry's own cost, and the service levels."""

from __future__ import annotations

from kimera.telemetry.recording.catalog._shape import Family, capped, closed, counter, gauge, histogram

__all__ = ["FAMILIES"]

ROUTES = 100
SLO = closed("slo", "mission_success", "api_availability", "orchestration_latency")

RESILIENCE: tuple[Family, ...] = (
    gauge(
        "kimera_breaker_state",
        "resilience",
        "State of a breaker: 0 closed, 1 half-open, 2 open or isolated.",
        capped("breaker"),
        across="max",
    ),
    counter(
        "kimera_breaker_transitions_total",
        "resilience",
        "Changes of a breaker's state.",
        capped("breaker"),
        closed("to", "closed", "half_open", "open", "isolated"),
    ),
    counter(
        "kimera_retry_attempts_total",
        "resilience",
        "Failed attempts: followed by another, or the last; and calls that a retry saved.",
        capped("policy"),
        closed("outcome", "ok", "retry", "gave_up"),
    ),
    counter("kimera_timeouts_total", "resilience", "Calls cut because they took too long.", capped("policy")),
    counter("kimera_rate_limited_total", "resilience", "Calls refused by a rate limit.", capped("limit")),
    gauge("kimera_bulkhead_in_use", "resilience", "Slots in use.", capped("bulkhead")),
    gauge("kimera_bulkhead_queued", "resilience", "Calls waiting for a slot.", capped("bulkhead")),
    counter("kimera_bulkhead_rejected_total", "resilience", "Calls refused for want of a slot.", capped("bulkhead")),
    counter(
        "kimera_cache_requests_total",
        "resilience",
        "Look-ups in a cache.",
        capped("cache"),
        closed("result", "hit", "miss", "stale", "shared"),
    ),
    gauge(
        "kimera_pool_connections",
        "resilience",
        "Connections of a pool.",
        capped("pool"),
        closed("state", "idle", "busy"),
    ),
)

GATEWAY: tuple[Family, ...] = (
    counter(
        "kimera_http_requests_total",
        "api",
        "Requests answered, by route template and class of status.",
        capped("route", ROUTES),
        closed("status_class", "1xx", "2xx", "3xx", "4xx", "5xx"),
    ),
    histogram(
        "kimera_http_request_duration_seconds",
        "api",
        "latency",
        "Time until a request was answered; streams until their first byte.",
        capped("route", ROUTES),
    ),
    gauge("kimera_http_in_flight", "api", "Requests being answered.", initial=0.0),
    gauge("kimera_sse_clients", "api", "Open event streams.", initial=0.0),
)

SELF: tuple[Family, ...] = (
    gauge(
        "kimera_scrape_collect_seconds",
        "telemetry",
        "Time the last collection of all metrics took.",
        initial=0.0,
        across="max",
    ),
    gauge("kimera_metrics_series", "telemetry", "Sample lines of the last collection.", initial=0.0),
    counter(
        "kimera_metrics_dropped_labelsets_total",
        "telemetry",
        "Label values not told apart because they are undeclared or beyond a cap.",
        capped("metric", ROUTES),
    ),
    counter(
        "kimera_telemetry_dropped_total",
        "telemetry",
        "Records of telemetry that could not be kept.",
        closed("sink", "store", "otlp", "log"),
    ),
    histogram(
        "kimera_telemetry_flush_duration_seconds",
        "telemetry",
        "latency",
        "Time handing buffered records to a sink took.",
        closed("sink", "store", "otlp", "log"),
    ),
    gauge(
        "kimera_telemetry_rollup_timestamp_seconds",
        "telemetry",
        "Start of the newest bucket kept in a tier of the retention ladder, seconds since 1970.",
        closed("tier", "raw", "5m", "1h", "1d"),
        across="max",
    ),
    counter("kimera_telemetry_cpu_seconds_total", "telemetry", "Processor time spent on telemetry itself."),
    gauge("kimera_build_info", "telemetry", "Always 1; the label says which version runs.", capped("version")),
)

LEVELS: tuple[Family, ...] = (
    gauge("kimera_slo_ratio", "telemetry", "Value of a service level over its window.", SLO, across="max"),
    gauge("kimera_slo_target", "telemetry", "What a service level promises.", SLO, across="max"),
    gauge(
        "kimera_slo_error_budget_remaining_ratio",
        "telemetry",
        "Share of a service level's error budget that is left; negative when overdrawn.",
        SLO,
        across="max",
    ),
)

FAMILIES: tuple[Family, ...] = RESILIENCE + GATEWAY + SELF + LEVELS
