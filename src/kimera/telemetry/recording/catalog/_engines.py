"""Families of the engines: text signals, the guardian, sequence memory, retrieval and chat."""

from __future__ import annotations

from kimera.telemetry.recording.catalog._shape import Family, capped, closed, counter, gauge, histogram

__all__ = ["FAMILIES"]

STAGE = closed("stage", "input", "tau_in", "delta144", "kindra", "tw369", "meta", "story", "tau_out", "safeguard")
DECISION = closed("decision", "allow", "flag_risk", "block_output")
WINDOW = closed("window", "1h")

SIGNALS: tuple[Family, ...] = (
    histogram(
        "kimera_signal_inference_seconds",
        "signals",
        "latency",
        "Time one inference of the signal pipeline took.",
        closed("mode", "offline", "model"),
    ),
    histogram(
        "kimera_signal_component_seconds", "signals", "latency", "Time one stage of the signal pipeline took.", STAGE
    ),
    counter("kimera_signal_errors_total", "signals", "Stages of the signal pipeline that failed.", STAGE),
    counter(
        "kimera_signal_degraded_total",
        "signals",
        "Stages of the signal pipeline that worked with less than they should have had.",
        STAGE,
        capped("cause"),
    ),
    counter("kimera_signal_safeguard_total", "signals", "Decisions of the safeguard on signals.", DECISION),
    histogram("kimera_signal_tau", "signals", "score", "Reliability of each signal."),
    histogram("kimera_signal_drift_velocity", "signals", "change", "Velocity of drift of each signal."),
    gauge(
        "kimera_avg_tau_score", "signals", "Exact mean reliability of the signals of the window.", WINDOW, across="max"
    ),
    gauge(
        "kimera_safeguard_trigger_rate",
        "signals",
        "Exact share of the signals of the window that the safeguard did not allow.",
        WINDOW,
        across="max",
    ),
    gauge(
        "kimera_drift_velocity_avg",
        "signals",
        "Exact mean velocity of drift of the signals of the window.",
        WINDOW,
        across="max",
    ),
)

GUARDIAN: tuple[Family, ...] = (
    histogram(
        "kimera_tau_score",
        "guardian",
        "score",
        "Reliability given to what was judged.",
        closed("subject", "claim", "evidence", "report", "computation"),
    ),
    counter(
        "kimera_safeguard_decisions_total",
        "guardian",
        "Decisions of the safeguard.",
        DECISION,
        closed("stage", "input", "retrieval", "tool_call", "tool_output", "output"),
    ),
)

MEMORY: tuple[Family, ...] = (
    counter(
        "kimera_memory_observations_total",
        "memory",
        "Events a memory was given.",
        closed("outcome", "ok", "rejected", "error"),
    ),
    counter(
        "kimera_memory_predictions_total",
        "memory",
        "Predictions asked of a memory.",
        closed("result", "hit", "empty", "error"),
    ),
    histogram(
        "kimera_memory_operation_duration_seconds",
        "memory",
        "latency",
        "Time an operation of a memory took.",
        closed("operation", "observe", "learn", "predict", "index"),
    ),
    histogram("kimera_memory_candidates", "memory", "candidates", "Patterns compared for one prediction."),
    gauge("kimera_memory_patterns", "memory", "Patterns learnt.", across="max"),
    gauge("kimera_memory_index_lag_patterns", "memory", "Patterns learnt but not yet in the index."),
    gauge("kimera_memory_stm_events", "memory", "Events in short-term memory.", across="max"),
)

READING: tuple[Family, ...] = (
    histogram(
        "kimera_retrieval_duration_seconds",
        "knowledge",
        "latency",
        "Time a stage of a search over passages took.",
        closed("stage", "keyword", "vector", "merge", "graph"),
    ),
    counter(
        "kimera_sources_read_total",
        "knowledge",
        "Files of folders, by kind and how far they were read.",
        closed("kind", "table", "document", "image", "archive", "database", "other"),
        closed("outcome", "read", "partly", "unread"),
    ),
    counter("kimera_chat_turns_total", "chat", "Turns of a conversation.", closed("outcome", "ok", "refused", "error")),
)

FAMILIES: tuple[Family, ...] = SIGNALS + GUARDIAN + MEMORY + READING
