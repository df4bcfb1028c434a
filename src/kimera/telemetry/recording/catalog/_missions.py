"""Families of missions, models and money, and of the storage and the sandbox they work on."""

from __future__ import annotations

from kimera.telemetry.recording.catalog._shape import OTHER, Family, closed, counter, gauge, histogram

__all__ = ["FAMILIES", "PHASES"]

OWNER = "missions"

TRACK = closed("track", "deep_research", "ds_star", "fusion", "chat", OTHER)
BACKEND = closed("backend", "sqlite", "postgresql", "files")
OUTCOME = closed("outcome", "done", "degraded", "partial", "failed", "cancelled")
ERROR = closed("error_type", "timeout", "rate_limited", "unavailable", "invalid_output", "storage", OTHER)
ROOMS = (
    *("missions", "chat", "knowledge", "identities", "memory", "signals", "guardian", "storage", "llm", "sandbox"),
    *("resilience", "telemetry", "api", "console", "cli", OTHER),
)
STATEMENTS = (
    *("record", "import_chunk", "state_refresh", "read", "search", "history", "movers", "disputes", "outbox"),
    *("mission_write", "event_append", "pattern_append"),
    *("mission_read", "attempt_write", "attempt_read", "worker", "spend", "telemetry", "access", "audit", "schema"),
    OTHER,
)
BLOBS = ("blob_put", "blob_get")
STORED = (
    *((statement, backend) for statement in STATEMENTS for backend in ("sqlite", "postgresql")),
    *((operation, "files") for operation in BLOBS),
)

PHASES: dict[str, tuple[str, ...]] = {
    "deep_research": ("explore", "plan", "batch", "audit", "synthesize"),
    "ds_star": ("analyze", "plan", "code", "verify", "route", "finalize"),
    "fusion": ("align", "assemble", "guard", "persist"),
    "orchestrator": ("accept", "dispatch", "transition"),
}
"""The phases of each track whose durations are told apart."""

RUNS: tuple[Family, ...] = (
    counter(
        "kimera_missions_total",
        OWNER,
        "Missions that ended, by how and, where something went wrong, why.",
        OUTCOME,
        closed("cause", "none", "provider_outage", "budget", "input", "timeout", "internal"),
    ),
    gauge(
        "kimera_missions_running",
        OWNER,
        "Missions not yet ended.",
        closed("state", "pending", "running", "fusion"),
        across="max",
    ),
    histogram(
        "kimera_mission_phase_duration_seconds",
        OWNER,
        "mission",
        "Time a phase of a track took.",
        closed("track", *PHASES),
        closed("phase", *dict.fromkeys(phase for phases in PHASES.values() for phase in phases)),
        combos=[(track, phase) for track, phases in PHASES.items() for phase in phases],
    ),
    histogram("kimera_mission_duration_seconds", OWNER, "mission", "Time from acceptance to the end.", OUTCOME),
    histogram(
        "kimera_mission_first_report_seconds", OWNER, "mission", "Time from acceptance to the first report to read."
    ),
    histogram(
        "kimera_orchestration_duration_seconds",
        OWNER,
        "orchestration",
        "Time the control plane itself took per mission; queue and workers left out.",
    ),
    histogram(
        "kimera_queue_wait_seconds",
        OWNER,
        "mission",
        "Time between handing work to a track and its start.",
        TRACK,
    ),
    gauge(
        "kimera_queue_depth",
        OWNER,
        "Work items by queue and state.",
        closed("queue", "missions", "tracks"),
        closed("state", "ready", "running", "dead"),
        across="max",
    ),
    counter("kimera_retries_total", OWNER, "Attempts repeated after a failure that may pass.", TRACK, ERROR),
    counter(
        "kimera_errors_total",
        OWNER,
        "Failures where they were handled, by the room they came from.",
        closed("module", *ROOMS),
        closed("severity", "low", "medium", "high", "critical"),
    ),
    counter(
        "kimera_degraded_total",
        OWNER,
        "Times something worked with less than it should have had.",
        closed("cause", "no_model", "provider", "encoder", "search", "sandbox", "memory", "mirror", OTHER),
    ),
)

MODELS: tuple[Family, ...] = (
    counter(
        "kimera_llm_calls_total",
        "llm",
        "Calls of a language model.",
        TRACK,
        closed("outcome", "ok", "error", "refused", "budget"),
    ),
    counter(
        "kimera_llm_tokens_total",
        "llm",
        "Tokens of language models.",
        TRACK,
        closed("direction", "input", "cached", "output"),
    ),
    histogram("kimera_llm_call_duration_seconds", "llm", "mission", "Time a call of a language model took.", TRACK),
    counter("kimera_spend_usd_total", "llm", "Dollars spent.", TRACK, closed("kind", "llm", "tool")),
    gauge(
        "kimera_spend_cap_used_ratio",
        "llm",
        "Share of a cap that is spent or reserved.",
        closed("scope", "day"),
        across="max",
    ),
    counter(
        "kimera_budget_actions_total",
        "llm",
        "Times a cap changed what was done.",
        closed("scope", "mission", "day"),
        closed("action", "downgrade", "stop"),
    ),
)

STORES: tuple[Family, ...] = (
    histogram(
        "kimera_storage_operations_duration_seconds",
        "storage",
        "latency",
        "Time a storage operation took, failures included.",
        closed("operation", *STATEMENTS, *BLOBS),
        BACKEND,
        combos=STORED,
    ),
    counter(
        "kimera_storage_operations_total",
        "storage",
        "Storage operations.",
        closed("operation", *STATEMENTS, *BLOBS),
        BACKEND,
        closed("outcome", "ok", "error"),
        combos=((*stored, outcome) for stored in STORED for outcome in ("ok", "error")),
    ),
    counter(
        "kimera_sandbox_runs_total",
        "sandbox",
        "Jobs run in the sandbox, by isolation level and how they ended.",
        closed("level", "none", "reduced", "full"),
        closed("outcome", "ok", "error", "timeout", "killed", "refused"),
    ),
)

FAMILIES: tuple[Family, ...] = RUNS + MODELS + STORES
