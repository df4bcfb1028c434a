"""Missions from acceptance to report: outcomes, time, queues, tokens, money, what went wrong."""

from boards.model import Board, Row, grown, panel, rate, recorded

OUTCOMES = Row(
    "Outcomes",
    (
        panel(
            "Missions ended",
            "Missions ended in an hour: done, with something missing (degraded), with one track (partial), failed.",
            "short",
            grown("kimera_missions_total", "outcome"),
            kind="stacked",
        ),
        panel(
            "Why missions failed",
            "Failures of a day by the cause of their first error; provider outages do not count against us.",
            "short",
            ('sum by (cause) (increase(kimera_missions_total{outcome="failed"}[1d]))', "{{cause}}"),
        ),
        panel(
            "Failed in a day",
            "Share of the missions of 24 hours that failed by themselves; 5 % raises MissionSuccessBelowTarget.",
            "percentunit",
            ("kimera:missions_failed:ratio_1d", "failed"),
            kind="stat",
        ),
        panel(
            "Open missions",
            "Missions by state now.",
            "short",
            ("sum by (state) (kimera_missions_running)", "{{state}}"),
            kind="stacked",
        ),
        panel(
            "Degraded",
            "What was missing when a report was made without it, in an hour.",
            "short",
            grown("kimera_degraded_total", "cause"),
        ),
        panel(
            "Errors",
            "Errors met in an hour, by the room that met them and how bad they are.",
            "short",
            grown("kimera_errors_total", "module", "severity"),
        ),
    ),
)

TIME = Row(
    "Time",
    (
        panel(
            "First report",
            "From the question to the first report that can be read.",
            "s",
            *recorded("first_report_seconds", 50, 95, window="1h"),
        ),
        panel(
            "Whole mission",
            "From the question to the final state, by outcome.",
            "s",
            *recorded("mission_seconds", 50, 95, window="1h", by="{{outcome}}"),
        ),
        panel(
            "Phases, median",
            "Half of the passes through each phase take less.",
            "s",
            *recorded("mission_phase_seconds", 50, window="1h", by="{{track}} {{phase}}"),
        ),
        panel(
            "Phases, 95 %",
            "95 % of the passes through each phase take less.",
            "s",
            *recorded("mission_phase_seconds", 95, window="1h", by="{{track}} {{phase}}"),
        ),
        panel(
            "Queue wait",
            "From ready to claimed, by track; grows when workers are missing.",
            "s",
            *recorded("queue_wait_seconds", 50, 95, window="1h", by="{{track}}"),
        ),
        panel(
            "Queue depth",
            "Work that waits, runs, or was given up; given up raises DeadLetters.",
            "short",
            ("sum by (queue, state) (kimera_queue_depth)", "{{queue}} {{state}}"),
        ),
    ),
)

COST = Row(
    "Models and money",
    (
        panel(
            "Model calls",
            "Calls per second by track and outcome; refused: not made, budget: no money left.",
            "cps",
            rate("kimera_llm_calls_total", "track", "outcome"),
        ),
        panel(
            "Tokens",
            "Tokens per second by direction; cached input costs less.",
            "cps",
            rate("kimera_llm_tokens_total", "direction"),
            kind="stacked",
        ),
        panel(
            "Latency of calls",
            "Half and 95 % of the model calls take less.",
            "s",
            *recorded("llm_call_seconds", 50, 95, window="5m", by="{{track}}"),
        ),
        panel(
            "Spent in a day",
            "Money spent in 24 hours, by track and what it was spent on.",
            "currencyUSD",
            ("kimera:spend_usd:increase_1d", "{{track}} {{kind}}"),
            kind="stacked",
        ),
        panel(
            "Use of the cap",
            "Share of the day's cap that is reserved or spent; at 1 the next call is refused.",
            "percentunit",
            ("max by (scope) (kimera_spend_cap_used_ratio)", "{{scope}}"),
            kind="stat",
        ),
        panel(
            "What the cap did",
            "Downgrades to a cheaper model and stops in an hour.",
            "short",
            grown("kimera_budget_actions_total", "scope", "action"),
        ),
    ),
)

REPAIR = Row(
    "Retries and sandbox",
    (
        panel(
            "Retries",
            "Attempts repeated in an hour, by track and what went wrong.",
            "short",
            grown("kimera_retries_total", "track", "error_type"),
            span=12,
        ),
        panel(
            "Sandbox runs",
            "Runs per second by level of isolation and outcome.",
            "ops",
            rate("kimera_sandbox_runs_total", "level", "outcome"),
            span=12,
        ),
    ),
)

BOARD = Board(
    "kimera-missions",
    "Kimera: missions",
    "How missions end, how long they take, what they cost, what had to be repeated.",
    (OUTCOMES, TIME, COST, REPAIR),
)
