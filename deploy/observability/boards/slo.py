"""The three promises and how much room is left."""

from boards.model import Board, Row, panel

BOARD = Board(
    "kimera-slo",
    "Kimera: service levels",
    "Mission success, API availability, orchestration latency: value, target, budget, burn.",
    (
        Row(
            "Now",
            (
                panel(
                    "Value",
                    "Each service level over its window, computed from the store as `kimera slo` prints it.",
                    "none",
                    ("max by (slo) (kimera_slo_ratio)", "{{slo}}"),
                    kind="stat",
                ),
                panel(
                    "Target",
                    "What each should reach.",
                    "none",
                    ("max by (slo) (kimera_slo_target)", "{{slo}}"),
                    kind="stat",
                ),
                panel(
                    "Error budget left",
                    "Share of the allowed failures not used up; below zero the target is missed.",
                    "percentunit",
                    ("min by (slo) (kimera_slo_error_budget_remaining_ratio)", "{{slo}}"),
                    kind="stat",
                ),
            ),
        ),
        Row(
            "Burn",
            (
                panel(
                    "API errors",
                    "5xx of all: 7.2 % over 5 minutes and an hour pages, 3 % over 30 minutes and 6 hours is a ticket.",
                    "percentunit",
                    ("kimera:api_errors:ratio_5m", "5 min"),
                    ("kimera:api_errors:ratio_30m", "30 min"),
                    ("kimera:api_errors:ratio_1h", "1 h"),
                    ("kimera:api_errors:ratio_6h", "6 h"),
                ),
                panel(
                    "Missions failed",
                    "Share of the last day's missions, without cancellations and provider outages; the target is 5 %.",
                    "percentunit",
                    ("kimera:missions_failed:ratio_1d", "failed"),
                ),
                panel(
                    "Orchestration",
                    "Control steps per mission, work and waiting left out; p95 above 2 s raises OrchestrationSlow.",
                    "s",
                    ("kimera:orchestration_seconds:p50_1h", "p50"),
                    ("kimera:orchestration_seconds:p95_1h", "p95"),
                ),
                panel(
                    "Alerts",
                    "Alerts pending and firing now.",
                    "short",
                    ("count by (alertname, alertstate) (ALERTS)", "{{alertname}} {{alertstate}}"),
                    kind="table",
                    span=24,
                ),
            ),
        ),
    ),
)
