"""Families of the identity store: entropy, doubt, decay, disputes and the mirror."""

from __future__ import annotations

from kimera.telemetry.recording.catalog._shape import Family, capped, closed, counter, gauge, histogram, population

__all__ = ["FAMILIES"]

OWNER = "identities"

KIND = closed("identity_type", "geoid", "scar")
CLASS = capped("decay_class")
ALGORITHM_CHECKS = closed("check", "formula", "idempotent", "composition", "monotone", "calibration")
STATUSES = ("open", "superseded", "scoped", "refuted", "merged", "accepted_dispute")
DISPUTES = ("value_conflict", "numeric_tolerance", "negation", "temporal_succession", "scope_difference")
AGES = closed("age_band", "1h", "6h", "1d", "3d", "7d", "14d", "28d", "90d", "over_90d")
TENTHS = closed("factor_band", *(f"{step / 10:.1f}" for step in range(1, 11)))

ENTROPY: tuple[Family, ...] = (
    counter(
        "kimera_identity_operations_total",
        OWNER,
        "Public calls of the identity store; an import counts its rows.",
        closed(
            "operation",
            *("record", "import", "retract", "resolve", "read", "search", "history", "movers", "due", "fit", "verify"),
        ),
        KIND,
        closed("outcome", "ok", "rejected", "error"),
    ),
    histogram("kimera_identity_entropy", OWNER, "entropy", "Entropy in bits after each write.", KIND),
    histogram(
        "kimera_identity_entropy_change", OWNER, "change", "Signed change of entropy in bits by each write.", KIND
    ),
    counter(
        "kimera_identity_entropy_moved_total",
        OWNER,
        "Sum of the absolute changes of entropy in bits, upwards and downwards apart.",
        KIND,
        closed("direction", "up", "down"),
    ),
    counter(
        "kimera_entropy_computed_total",
        OWNER,
        "Entropies computed, when an identity was written or when time alone moved it.",
        closed("path", "write", "sweep"),
    ),
    counter(
        "kimera_entropy_recorded_total",
        OWNER,
        "Computed entropies that were also recorded.",
        closed("path", "write", "sweep"),
    ),
    population("kimera_population_entropy", OWNER, "population", "Entropy in bits of all identities now.", KIND),
    gauge(
        "kimera_population_entropy_quantile",
        OWNER,
        "Exact nearest-rank quantile of the entropy of all identities now, in bits.",
        KIND,
        closed("q", "0.5", "0.9", "0.99"),
        across="max",
    ),
    gauge(
        "kimera_identities",
        OWNER,
        "Identities by band of entropy in bits, each band above its lower and up to its upper edge.",
        KIND,
        closed("entropy_band", "zero", "0-1", "1-2", "2-3", "3-4", "over_4"),
        across="max",
    ),
    gauge(
        "kimera_identities_doubt",
        OWNER,
        "Identities by kind of doubt.",
        KIND,
        closed("doubt", "settled", "disputed", "ignorant"),
        across="max",
    ),
    population("kimera_identity_age_seconds", OWNER, "age", "Age of all identities now.", KIND),
    histogram(
        "kimera_entropy_query_duration_seconds",
        OWNER,
        "latency",
        "Time queries about identities took.",
        closed("query", "entropy_range", "text", "slot", "movers", "due", "as_of"),
    ),
    histogram(
        "kimera_entropy_query_rows_scanned",
        OWNER,
        "rows",
        "Rows queries about identities looked at.",
        closed("query", "entropy_range", "text", "slot", "movers", "due", "as_of"),
    ),
)

DECAY: tuple[Family, ...] = (
    population(
        "kimera_identity_decay_factor", OWNER, "factor", "Survival of the freshest support of each identity now.", KIND
    ),
    population(
        "kimera_identity_effective_tau_seconds",
        OWNER,
        "tau",
        "Reciprocal of the hazard of each identity now; immutable ones are left out.",
        KIND,
    ),
    gauge(
        "kimera_decay_age_factor",
        OWNER,
        "Identities by age and decay factor, each band up to its upper edge.",
        AGES,
        TENTHS,
        detailed=True,
        across="max",
    ),
    gauge(
        "kimera_decay_verification_status",
        OWNER,
        "Whether a check of the decay passes (1), fails (0) or has too little data (-1).",
        ALGORITHM_CHECKS,
        initial=-1.0,
        across="max",
    ),
    gauge(
        "kimera_decay_verification_timestamp_seconds",
        OWNER,
        "When the decay was last verified, seconds since 1970.",
        across="max",
    ),
    gauge(
        "kimera_decay_residual_abs_max",
        OWNER,
        "Largest difference found between a stored and a recomputed decay factor.",
        across="max",
    ),
    counter(
        "kimera_decay_evaluations_total",
        OWNER,
        "Decay factors evaluated, verified against the formula or not.",
        closed("verified", "yes", "no"),
    ),
    gauge(
        "kimera_decay_brier",
        OWNER,
        "Brier score of predicted survival, of the fitted law and of what it is compared with.",
        CLASS,
        closed("model", "own", "none", "exponential_14d", "exponential_class"),
        across="max",
    ),
    counter("kimera_supersessions_total", OWNER, "Values replaced by newer ones.", CLASS),
    gauge("kimera_reverification_due", OWNER, "Identities whose support has faded enough to look again.", across="max"),
    gauge("kimera_disputes", OWNER, "Disputes by status.", closed("status", *STATUSES), across="max"),
    counter(
        "kimera_dispute_transitions_total",
        OWNER,
        "Changes of a dispute's status.",
        closed("kind", *DISPUTES),
        closed("to", *STATUSES),
    ),
)

MIRROR: tuple[Family, ...] = (
    counter(
        "kimera_dual_write_total",
        OWNER,
        "Writes meant for the primary store and the mirror, by where they arrived.",
        closed("outcome", "both", "primary_only", "secondary_only", "neither"),
    ),
    histogram(
        "kimera_dual_write_duration_seconds",
        OWNER,
        "latency",
        "Time each side of a double write took.",
        closed("store", "primary", "mirror"),
    ),
    gauge(
        "kimera_dual_write_mismatched_rows", OWNER, "Rows that differ between primary store and mirror.", across="max"
    ),
    gauge("kimera_dual_write_outbox_pending", OWNER, "Writes waiting for the mirror.", across="max"),
    gauge("kimera_dual_write_lag_seconds", OWNER, "Age of the oldest write waiting for the mirror.", across="max"),
    gauge(
        "kimera_dual_write_reconcile_timestamp_seconds",
        OWNER,
        "When primary store and mirror were last compared, seconds since 1970.",
        across="max",
    ),
)

FAMILIES: tuple[Family, ...] = ENTROPY + DECAY + MIRROR
