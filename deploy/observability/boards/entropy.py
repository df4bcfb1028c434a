"""What is believed and how sure: entropy, decay, the cost of both, and the mirror."""

from boards.model import Board, Row, grown, panel, population, rate, recent, recorded

BITS = "suffix: bit"

OVERVIEW = Row(
    "Overview",
    (
        panel(
            "Entropy written",
            "How many writes ended at which entropy, in 5 minutes. Says what happened lately, not how things are.",
            "short",
            recent("kimera_identity_entropy"),
            kind="heat",
        ),
        panel(
            "Entropy now, exact quantiles",
            "Nearest rank over all stored identities. A 0.9 quantile above 4 bits raises HighEntropyIdentities.",
            BITS,
            ("kimera_population_entropy_quantile", "{{identity_type}} {{q}}"),
        ),
        panel(
            "Entropy of writes",
            "Quantiles of what was written in 5 minutes, read from buckets: good to half a bucket.",
            BITS,
            *recorded("identity_entropy", 50, 90, 99, window="5m", by="{{identity_type}}"),
        ),
        panel(
            "Identities by entropy",
            "Identities in each band of entropy; the bands sum to the number of rows.",
            "short",
            ("sum by (entropy_band) (kimera_identities)", "{{entropy_band}}"),
            kind="stacked",
        ),
        panel(
            "Identities by doubt",
            "Settled: one answer holds. Disputed: answers contradict. Ignorant: too little evidence for any.",
            "short",
            ("sum by (doubt) (kimera_identities_doubt)", "{{doubt}}"),
            kind="stacked",
        ),
        panel(
            "Entropy of the population",
            "How many identities stand at which entropy now; bucket edges lie between the usual values.",
            "short",
            population("kimera_population_entropy"),
            kind="heat",
            detailed=True,
        ),
        panel(
            "Entropy changes",
            "Signed change per write: below zero doubt went, above it came. Exemplars name the movers.",
            "short",
            recent("kimera_identity_entropy_change"),
            kind="heat",
        ),
        panel(
            "Doubt added and removed",
            "Bits per second, up and down apart; their difference is the drift of the whole store.",
            "suffix: bit/s",
            rate("kimera_identity_entropy_moved_total", "identity_type", "direction"),
        ),
        panel(
            "Operations",
            "Public calls of the identity store, each counted once; an import counts its rows.",
            "ops",
            rate("kimera_identity_operations_total", "operation", "outcome"),
        ),
        panel(
            "Entropy coverage",
            "Entropies recorded over entropies computed; below 95 % the pictures above miss writes.",
            "percentunit",
            (
                "sum by (path) (rate(kimera_entropy_recorded_total[1h]))"
                " / (sum by (path) (rate(kimera_entropy_computed_total[1h])) > 0)",
                "{{path}}",
            ),
        ),
        panel(
            "Disputes",
            "Open and closed disputes by status.",
            "short",
            ("sum by (status) (kimera_disputes)", "{{status}}"),
            kind="stacked",
        ),
        panel(
            "Dispute transitions",
            "Disputes opened, settled and reopened in an hour, by kind.",
            "short",
            grown("kimera_dispute_transitions_total", "kind", "to"),
        ),
    ),
)

DECAY = Row(
    "Decay",
    (
        panel(
            "Effective tau",
            "Time constants in force now, as 1/hazard; rows that never age are left out.",
            "short",
            population("kimera_identity_effective_tau_seconds"),
            kind="heat",
            detailed=True,
        ),
        panel(
            "Decay factor",
            "How much of the freshest support survives now, from 0 to 1.",
            "short",
            population("kimera_identity_decay_factor"),
            kind="heat",
            detailed=True,
        ),
        panel(
            "Age",
            "Age of the freshest support of each identity.",
            "short",
            population("kimera_identity_age_seconds"),
            kind="heat",
            detailed=True,
        ),
        panel(
            "Age x factor",
            "How many identities of which age kept how much: the scatter plot that Prometheus can hold.",
            "short",
            ("sum by (age_band, factor_band) (kimera_decay_age_factor)", "{{age_band}} {{factor_band}}"),
            kind="table",
            detailed=True,
        ),
        panel(
            "Verification",
            "Each law of decay, checked on stored rows. Failed raises DecayVerificationFailed.",
            "none",
            ("min by (check) (kimera_decay_verification_status)", "{{check}}"),
            kind="stat",
            mappings={"1": "pass", "0": "FAIL", "-1": "not enough data"},
        ),
        panel(
            "Since the last verification",
            "Should stay below a day; two days raise DecayVerificationStale.",
            "s",
            ("time() - max(kimera_decay_verification_timestamp_seconds)", "age"),
            kind="stat",
        ),
        panel(
            "Largest residual",
            "Largest absolute difference between a stored factor and the formula.",
            "none",
            ("max(kimera_decay_residual_abs_max)", "residual"),
        ),
        panel(
            "Evaluations",
            "Decay factors computed per second, and which of them were verified; at least 90 % should be.",
            "ops",
            rate("kimera_decay_evaluations_total", "verified"),
        ),
        panel(
            "Brier score",
            "How well survival predicts what was confirmed later: lower is better, .25 is a coin.",
            "none",
            ("kimera_decay_brier", "{{decay_class}} {{model}}"),
        ),
        panel(
            "Supersessions",
            "Values replaced by newer ones in an hour, by class of decay.",
            "short",
            grown("kimera_supersessions_total", "decay_class"),
        ),
        panel(
            "Due for re-verification",
            "Identities whose support has faded below the limit and should be looked at again.",
            "short",
            ("sum(kimera_reverification_due)", "due"),
        ),
    ),
)

HEALTH = Row(
    "Health",
    (
        panel(
            "Storage latency",
            "Half and 99 % of all operations stay below; failures are timed too.",
            "s",
            *recorded("storage_operation_seconds", 50, 99, window="5m", by="{{operation}}"),
        ),
        panel(
            "Storage mean",
            "Mean time per operation; more than 100 ms for 10 minutes raises EntropyIndexingSlow (imports left out).",
            "s",
            ("kimera:storage_operation_seconds:mean_5m", "{{operation}}"),
        ),
        panel(
            "Storage operations",
            "Operations per second by back end and outcome.",
            "ops",
            rate("kimera_storage_operations_total", "operation", "backend", "outcome"),
        ),
        panel(
            "Query latency",
            "95 % of the reads of each kind stay below.",
            "s",
            *recorded("entropy_query_seconds", 95, window="5m", by="{{query}}"),
        ),
        panel(
            "Rows scanned per query",
            "95 % of the reads of each kind look at fewer rows; growth without growth of results means a lost index.",
            "short",
            *recorded("entropy_query_rows", 95, window="5m", by="{{query}}"),
        ),
        panel(
            "Cost of a scrape",
            "Time to render all metrics once; scrapes at the same time share one rendering.",
            "s",
            ("max by (instance) (kimera_scrape_collect_seconds)", "{{instance}}"),
        ),
    ),
)

DUAL_WRITE = Row(
    "Dual write",
    (
        panel(
            "Outcomes",
            "Writes per second: both stores, only one, neither. Anything but both is caught up from the outbox.",
            "ops",
            rate("kimera_dual_write_total", "outcome"),
        ),
        panel(
            "Rows that differ",
            "Rows that differ between the stores at the last reconciliation; above zero raises DualWriteDiverged.",
            "short",
            ("max(kimera_dual_write_mismatched_rows)", "rows"),
            span=4,
        ),
        panel(
            "Outbox",
            "Writes that wait for the mirror.",
            "short",
            ("max(kimera_dual_write_outbox_pending)", "pending"),
            span=4,
        ),
        panel(
            "Lag and last reconciliation",
            "How far the mirror is behind, and how long ago both stores were compared.",
            "s",
            ("max(kimera_dual_write_lag_seconds)", "lag"),
            ("time() - max(kimera_dual_write_reconcile_timestamp_seconds)", "since comparison"),
        ),
        panel(
            "Latency of both stores",
            "Half and 95 % of the writes to each store stay below.",
            "s",
            *recorded("dual_write_seconds", 50, 95, window="5m", by="{{store}}"),
        ),
    ),
)

BOARD = Board(
    "kimera-entropy",
    "Kimera: entropy",
    "What is believed, how sure, how it ages, and what that costs.",
    (OVERVIEW, DECAY, HEALTH, DUAL_WRITE),
)
