"""The warehouse's tables: columns of the few types that BigQuery loads from Parquet unchanged.

Nested data is JSON text, instants are UTC in microseconds, money has six decimals. Every table is sorted by its key and
cut into UTC days (``dt``). What a person wrote or a document says is in `texts` alone, and only when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["TABLES", "TEXTS", "Column", "Type", "WarehouseTable", "bigquery_schema"]

Type = Literal["STRING", "INT64", "FLOAT64", "NUMERIC", "BOOL", "TIMESTAMP", "DATE"]
MONEY = (18, 6)


@dataclass(frozen=True)
class Column:
    """A column; ``says`` is its description in the schema."""

    name: str
    type: Type
    says: str
    required: bool = False


@dataclass(frozen=True)
class WarehouseTable:
    """A table with its key; ``day`` says which instant decides the day a row belongs to."""

    name: str
    says: str
    day: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def _table(name: str, says: str, day: str, key: str, *columns: Column) -> WarehouseTable:
    return WarehouseTable(name, says, day, tuple(key.split()), columns)


def _key(name: str, kind: Type, says: str) -> Column:
    return Column(name, kind, says, required=True)


MISSION = _key("mission_id", "STRING", "Mission.")
TRACK = Column("track", "STRING", "deep_research, ds_star, or null for the mission itself.")

TABLES: dict[str, WarehouseTable] = {
    table.name: table
    for table in (
        _table(
            "missions", "Rounds of missions that ended.", "ended_at", "mission_id round",
            MISSION,
            _key("round", "INT64", "0, then one more per retry."),
            _key("tenant", "STRING", "Whose mission it is."),
            _key("outcome", "STRING", "done, degraded, partial, failed or cancelled."),
            _key("cause", "STRING", "none, provider_outage, budget, input, timeout or internal."),
            _key("accepted_at", "TIMESTAMP", "When the round was accepted."),
            _key("ended_at", "TIMESTAMP", "When it ended."),
            _key("duration_seconds", "FLOAT64", "From acceptance to the end."),
            Column("first_report_seconds", "FLOAT64", "From acceptance to the first report."),
            Column("queue_seconds", "FLOAT64", "From acceptance to the start of work."),
            Column("orchestration_seconds", "FLOAT64", "The control plane's own time."),
            _key("versions", "INT64", "Versions of the report made in this round."),
            _key("degraded_causes", "STRING", "JSON array of causes, sorted."),
            _key("usd", "NUMERIC", "Money paid in this round."),
            Column("cap_usd", "NUMERIC", "Money the mission may spend, null when it was never set."),
            _key("input_tokens", "INT64", "Tokens read by models."),
            _key("output_tokens", "INT64", "Tokens written by models."),
            _key("calls", "INT64", "Paid calls."),
            _key("downgrades", "INT64", "Times the budget made the mission cheaper."),
            _key("stops", "INT64", "Times the budget stopped something."),
        ),
        _table(
            "mission_phases", "Phases of tracks, fusion and the control plane.", "ended_at", "span_id",
            _key("span_id", "STRING", "Span of the phase."),
            MISSION,
            _key("track", "STRING", "deep_research, ds_star, fusion or orchestrator."),
            _key("phase", "STRING", "Name of the phase."),
            Column("attempt", "INT64", "Attempt of the track."),
            _key("started_at", "TIMESTAMP", "Begin."),
            _key("ended_at", "TIMESTAMP", "End."),
            _key("seconds", "FLOAT64", "Duration."),
            _key("status", "STRING", "unset, ok or error."),
            Column("error_type", "STRING", "Type of the error that ended it."),
        ),
        _table(
            "track_attempts", "Attempts of tracks that ended.", "finished_at", "mission_id track attempt",
            MISSION,
            _key("track", "STRING", "deep_research or ds_star."),
            _key("attempt", "INT64", "From 1."),
            _key("round", "INT64", "Round of the mission."),
            _key("status", "STRING", "done, failed, cancelled or skipped."),
            _key("partial", "BOOL", "Whether it delivered less than all."),
            Column("started_at", "TIMESTAMP", "Begin of its first phase."),
            _key("finished_at", "TIMESTAMP", "End."),
            Column("seconds", "FLOAT64", "Duration."),
            _key("retries", "INT64", "Steps repeated after a failure that may pass."),
            Column("error_type", "STRING", "Type of the error that ended it."),
            Column("error_code", "STRING", "Its code."),
        ),
        _table(
            "llm_calls", "Paid calls.", "day of the reservation", "ticket",
            _key("ticket", "STRING", "Reservation of the call."),
            MISSION,
            _key("track", "STRING", "Who called."),
            _key("day", "DATE", "Day whose cap it counts against."),
            _key("usd", "NUMERIC", "Money paid."),
            _key("input_tokens", "INT64", "Tokens read."),
            _key("output_tokens", "INT64", "Tokens written."),
        ),
        _table(
            "events", "Mission events; ids, hashes, counts and codes only.", "at", "mission_id seq",
            MISSION,
            _key("seq", "INT64", "Number within the mission."),
            _key("at", "TIMESTAMP", "When."),
            _key("type", "STRING", "Type of the event."),
            TRACK,
            Column("attempt", "INT64", "Attempt of the track."),
            _key("payload", "STRING", "JSON object without the fields written for a person."),
        ),
        _table(
            "spans", "Spans that ended.", "ended_at", "span_id",
            _key("span_id", "STRING", "Span."),
            _key("trace_id", "STRING", "Trace."),
            Column("parent_id", "STRING", "Span it is part of."),
            Column("mission_id", "STRING", "Mission."),
            Column("request_id", "STRING", "Request."),
            TRACK,
            Column("attempt", "INT64", "Attempt of the track."),
            _key("name", "STRING", "What was done."),
            _key("process", "STRING", "Which process did it."),
            _key("started_at", "TIMESTAMP", "Begin."),
            _key("ended_at", "TIMESTAMP", "End."),
            _key("seconds", "FLOAT64", "Duration."),
            _key("status", "STRING", "unset, ok or error."),
            Column("error_type", "STRING", "Type of the error that ended it."),
            _key("attributes", "STRING", "JSON object of ids, numbers and codes."),
        ),
        _table(
            "requests_5m", "Requests to the gateway in five minutes.", "begin", "bucket_start route status_class",
            _key("bucket_start", "TIMESTAMP", "Begin of the five minutes."),
            _key("route", "STRING", "Route template."),
            _key("status_class", "STRING", "2xx, 3xx, 4xx or 5xx."),
            _key("requests", "INT64", "Requests answered."),
        ),
        _table(
            "slo_daily", "Service levels of one day.", "the day", "slo",
            _key("slo", "STRING", "mission_success, api_availability or orchestration_latency."),
            _key("status", "STRING", "met, violated or no_data."),
            Column("value", "FLOAT64", "Share, or seconds for orchestration_latency."),
            _key("target", "FLOAT64", "Least share, or most seconds."),
            _key("good", "INT64", "Good ones."),
            _key("valid", "INT64", "All that count."),
            _key("excluded", "STRING", "JSON object of counts left out by reason."),
            Column("low", "FLOAT64", "Lower end of the 95 % interval of good/valid."),
            Column("high", "FLOAT64", "Upper end."),
        ),
    )
}  # fmt: skip
"""Every table without text, by name."""

TEXTS = _table(
    "texts", "Questions and messages; exported with --with-text only.", "at", "mission_id kind place",
    MISSION,
    _key("kind", "STRING", "question, event or error."),
    _key("place", "STRING", "Where it stands: number and field of the event, or track and attempt."),
    _key("at", "TIMESTAMP", "When it was written."),
    _key("text", "STRING", "The text."),
)  # fmt: skip


def bigquery_schema(table: WarehouseTable) -> list[dict[str, Any]]:
    """Return the table's schema in BigQuery's form.

    Parquet columns are optional as DuckDB writes them, and an optional column does not load into a REQUIRED one: the
    mode is NULLABLE throughout, and the writer refuses a required value that is missing.
    """
    return [
        {
            "name": one.name,
            "type": one.type,
            "mode": "NULLABLE",
            "description": f"{one.says} Never null." if one.required else one.says,
        }
        | ({"precision": str(MONEY[0]), "scale": str(MONEY[1])} if one.type == "NUMERIC" else {})
        for one in table.columns
    ]
