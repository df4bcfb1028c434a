"""The machine room: resilience, memory, the gateway, and what telemetry itself costs."""

from boards.model import Board, Row, grown, panel, rate, recorded

RESILIENCE = Row(
    "Resilience",
    (
        panel(
            "Breakers",
            "Closed lets calls through, open refuses them; open for 2 minutes raises BreakerOpen.",
            "none",
            ("max by (breaker) (kimera_breaker_state)", "{{breaker}}"),
            kind="stat",
            mappings={"0": "closed", "1": "half open", "2": "OPEN"},
        ),
        panel(
            "Breaker transitions",
            "Changes of state in an hour; many mean that a dependency flaps.",
            "short",
            grown("kimera_breaker_transitions_total", "breaker", "to"),
        ),
        panel(
            "Attempts",
            "Guarded attempts per second: right away, repeated, given up.",
            "ops",
            rate("kimera_retry_attempts_total", "policy", "outcome"),
        ),
        panel(
            "Time limits and rate limits",
            "Calls cut off by a time limit and calls refused by a rate limit, per second.",
            "ops",
            ("sum by (policy) (rate(kimera_timeouts_total[5m]))", "timeout {{policy}}"),
            ("sum by (limit) (rate(kimera_rate_limited_total[5m]))", "limited {{limit}}"),
        ),
        panel(
            "Bulkheads",
            "Slots in use and callers that wait for one.",
            "short",
            ("sum by (bulkhead) (kimera_bulkhead_in_use)", "{{bulkhead}} in use"),
            ("sum by (bulkhead) (kimera_bulkhead_queued)", "{{bulkhead}} waiting"),
        ),
        panel(
            "Bulkhead refusals",
            "Calls per second refused because slots and queue were full.",
            "ops",
            rate("kimera_bulkhead_rejected_total", "bulkhead"),
        ),
        panel(
            "Caches",
            "Lookups per second; shared means that somebody else's load was waited for.",
            "ops",
            rate("kimera_cache_requests_total", "cache", "result"),
        ),
        panel(
            "Pools",
            "Connections idle and busy.",
            "short",
            ("sum by (pool, state) (kimera_pool_connections)", "{{pool}} {{state}}"),
        ),
    ),
)

MEMORY = Row(
    "Memory and retrieval",
    (
        panel(
            "Observations and predictions",
            "Events observed and predictions asked for, per second, with how they ended.",
            "ops",
            ("sum by (outcome) (rate(kimera_memory_observations_total[5m]))", "observed {{outcome}}"),
            ("sum by (result) (rate(kimera_memory_predictions_total[5m]))", "predicted {{result}}"),
        ),
        panel(
            "Memory latency",
            "95 % of the operations of each kind take less.",
            "s",
            *recorded("memory_operation_seconds", 95, window="5m", by="{{operation}}"),
        ),
        panel(
            "Candidates per prediction",
            "Patterns looked at for one prediction, half and 95 %; grows when the index no longer narrows.",
            "short",
            *recorded("memory_candidates", 50, 95, window="5m"),
        ),
        panel(
            "Patterns and lag",
            "Patterns learned, patterns the index has not seen yet, events held in short-term memory.",
            "short",
            ("sum(kimera_memory_patterns)", "patterns"),
            ("max(kimera_memory_index_lag_patterns)", "not indexed"),
            ("sum(kimera_memory_stm_events)", "short-term events"),
        ),
        panel(
            "Retrieval",
            "95 % of the passes through each stage of a search take less.",
            "s",
            *recorded("retrieval_seconds", 95, window="5m", by="{{stage}}"),
        ),
        panel(
            "Sources read",
            "Files read in an hour, by kind and outcome.",
            "short",
            grown("kimera_sources_read_total", "kind", "outcome"),
        ),
    ),
)

GATEWAY = Row(
    "Gateway and chat",
    (
        panel(
            "Requests",
            "Requests per second by class of status.",
            "reqps",
            rate("kimera_http_requests_total", "status_class"),
            kind="stacked",
        ),
        panel(
            "Latency",
            "Half and 95 % of the requests of each route take less.",
            "s",
            *recorded("http_seconds", 50, 95, window="5m", by="{{route}}"),
        ),
        panel(
            "In flight",
            "Requests being answered and event streams held open.",
            "short",
            ("sum(kimera_http_in_flight)", "requests"),
            ("sum(kimera_sse_clients)", "streams"),
        ),
        panel(
            "Chat",
            "Turns of conversation in an hour, by outcome.",
            "short",
            grown("kimera_chat_turns_total", "outcome"),
        ),
    ),
)

SELF = Row(
    "Telemetry itself",
    (
        panel(
            "Processes",
            "Processes that answer a scrape, and their versions.",
            "short",
            ('sum(up{job="kimera"})', "answering"),
            ("count by (version) (kimera_build_info)", "{{version}}"),
            kind="stat",
        ),
        panel(
            "Series",
            "Lines of one scrape; should not grow with the number of identities or missions.",
            "short",
            ("max by (instance) (kimera_metrics_series)", "{{instance}}"),
        ),
        panel(
            "Dropped",
            "Records that no sink took and label values above their cap, in an hour; either raises an alert.",
            "short",
            ("sum by (sink) (increase(kimera_telemetry_dropped_total[1h]))", "records {{sink}}"),
            ("sum by (metric) (increase(kimera_metrics_dropped_labelsets_total[1h]))", "labels {{metric}}"),
        ),
        panel(
            "Flush",
            "95 % of the writes of telemetry to each sink take less.",
            "s",
            *recorded("telemetry_flush_seconds", 95, window="5m", by="{{sink}}"),
        ),
        panel(
            "Since the last roll-up",
            "Age of the newest row of each tier of the retention ladder.",
            "s",
            ("time() - max by (tier) (kimera_telemetry_rollup_timestamp_seconds)", "{{tier}}"),
        ),
        panel(
            "Cost of telemetry",
            "Share of one core spent on telemetry.",
            "percentunit",
            ("sum by (instance) (rate(kimera_telemetry_cpu_seconds_total[5m]))", "{{instance}}"),
        ),
    ),
)

BOARD = Board(
    "kimera-runtime",
    "Kimera: runtime",
    "Breakers, retries, memory, retrieval, the gateway, and the cost of watching all of it.",
    (RESILIENCE, MEMORY, GATEWAY, SELF),
)
