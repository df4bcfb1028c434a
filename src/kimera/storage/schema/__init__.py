"""Our tables. The durable engine keeps its own; nothing here reads those.

Instants are ISO 8601 text in UTC (the same bytes on both databases) unless a module says otherwise, money is whole
nano-dollars, nested data is canonical JSON text. A column whose meaning is not in its name is explained beside it.
"""

from kimera.storage.schema._metadata import REVISION, REVISIONS, metadata, revision_table
from kimera.storage.schema.gateway import api_keys, idempotent_requests, stream_tickets
from kimera.storage.schema.memory import (
    memory_effects,
    memory_log,
    memory_memories,
    memory_moves,
    memory_patterns,
    memory_sessions,
    memory_stm,
    memory_vectors,
    memory_voids,
)
from kimera.storage.schema.missions import (
    artifacts,
    attempts,
    briefs,
    dead_letters,
    events,
    handoffs,
    missions,
    spend_scopes,
    spend_tickets,
    steps,
    versions,
    workers,
)
from kimera.storage.schema.telemetry import alerts, audit_log, leases, logs, mission_outcomes, rollups, spans

__all__ = [
    "REVISION",
    "REVISIONS",
    "alerts",
    "api_keys",
    "artifacts",
    "attempts",
    "audit_log",
    "briefs",
    "dead_letters",
    "events",
    "handoffs",
    "idempotent_requests",
    "leases",
    "logs",
    "memory_effects",
    "memory_log",
    "memory_memories",
    "memory_moves",
    "memory_patterns",
    "memory_sessions",
    "memory_stm",
    "memory_vectors",
    "memory_voids",
    "metadata",
    "mission_outcomes",
    "missions",
    "revision_table",
    "rollups",
    "spans",
    "spend_scopes",
    "spend_tickets",
    "steps",
    "stream_tickets",
    "versions",
    "workers",
]
