"""What the text stream says, and what the guardian decided."""

from boards.model import Board, Row, grown, panel, rate, recent, recorded

BOARD = Board(
    "kimera-signals",
    "Kimera: signals and guardian",
    "Inference of text signals, drift, reliability and safety decisions.",
    (
        Row(
            "Signals",
            (
                panel(
                    "Inference",
                    "Half and 95 % of the inferences take less, offline and with a model.",
                    "s",
                    *recorded("signal_inference_seconds", 50, 95, window="5m", by="{{mode}}"),
                ),
                panel(
                    "Stages",
                    "95 % of the passes through each stage take less.",
                    "s",
                    *recorded("signal_component_seconds", 95, window="5m", by="{{stage}}"),
                ),
                panel(
                    "Errors by stage",
                    "Stages that failed, in an hour; the signal goes on without them.",
                    "short",
                    grown("kimera_signal_errors_total", "stage"),
                ),
                panel(
                    "Degraded by stage",
                    "Stages that answered with less than they should, in an hour, by cause.",
                    "short",
                    grown("kimera_signal_degraded_total", "stage", "cause"),
                ),
                panel(
                    "Drift velocity",
                    "Signed speed of drift per signal; far from zero on either side the stream is turning.",
                    "short",
                    recent("kimera_signal_drift_velocity", window="1h"),
                    kind="heat",
                ),
                panel(
                    "Drift velocity, quantiles",
                    "Half and 95 % of the signals of an hour drift less.",
                    "none",
                    *recorded("signal_drift_velocity", 50, 95, window="1h"),
                ),
                panel(
                    "Reliability of signals",
                    "Tau of the signals of an hour, from .1 to 1.",
                    "short",
                    recent("kimera_signal_tau", window="1h"),
                    kind="heat",
                ),
                panel(
                    "Reliability of signals, median",
                    "Half of the signals of an hour are less reliable.",
                    "none",
                    *recorded("signal_tau", 50, window="1h"),
                ),
                panel(
                    "Signal decisions",
                    "Signals allowed, flagged and blocked in an hour.",
                    "short",
                    grown("kimera_signal_safeguard_total", "decision"),
                    kind="stacked",
                ),
                panel(
                    "The engine's own means",
                    "Exact means over an hour as the signal engine keeps them: reliability, safeguard rate, drift.",
                    "none",
                    ("avg by (window) (kimera_avg_tau_score)", "tau"),
                    ("avg by (window) (kimera_safeguard_trigger_rate)", "safeguard rate"),
                    ("avg by (window) (kimera_drift_velocity_avg)", "drift"),
                    span=24,
                ),
            ),
        ),
        Row(
            "Guardian",
            (
                panel(
                    "Tau by subject",
                    "Mean reliability of what was judged in an hour.",
                    "none",
                    ("kimera:tau_score:mean_1h", "{{subject}}"),
                ),
                panel(
                    "Tau given",
                    "How many judgements in an hour ended at which reliability.",
                    "short",
                    recent("kimera_tau_score", window="1h"),
                    kind="heat",
                ),
                panel(
                    "Decisions by stage",
                    "Decisions per second: where texts and calls were allowed, flagged or blocked.",
                    "ops",
                    rate("kimera_safeguard_decisions_total", "stage", "decision"),
                ),
                panel(
                    "Share not allowed",
                    "Share of all decisions of an hour that flagged or blocked.",
                    "percentunit",
                    ("kimera:safeguard_triggers:ratio_1h", "not allowed"),
                    kind="stat",
                ),
            ),
        ),
    ),
)
