"""Options: what may be set, within which bounds, and which level's word counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from kimera.errors import ValidationError
from kimera.memory.contracts import GuardOptions, NextOptions, RecallOptions
from kimera.memory.symbols import clean_text

__all__ = ["LEVELS", "RANKS", "Options", "clean_guard", "clean_next", "clean_options", "explain", "resolve"]

LEVELS = ("call", "session", "memory", "default")
"""Who may set an option, the strongest first."""


RANKS = (
    "potential",
    "similarity",
    "evidence",
    "confidence",
    "snr",
    "fragmentation",
    "frequency",
    "itfdf_similarity",
    "confluence",
    "entropy",
    "normalized_entropy",
    "global_normalized_entropy",
    "tfidf_score",
    "bayesian_posterior",
    "predictive_information",
    "utility",
)
"""Fields predictions can be ordered by."""


@dataclass(frozen=True, slots=True)
class Options:
    """Every option with its default."""

    recall_threshold: float = 0.1
    max_predictions: int = 100
    anchor: str = "anywhere"
    matching: str = "tokens"
    fuzzy_token_threshold: float = 0.0
    vector_max_distance: float = 0.1
    affinity_emotive: str | None = None
    rank_by: str = "potential"
    max_pattern_length: int = 0
    stm_mode: str = "CLEAR"
    stm_limit: int = 1_000
    persistence: int = 5
    sort_symbols: bool = True
    predict_on_observe: bool = False
    ttl_seconds: float = 3_600.0

    def to_dict(self) -> dict[str, Any]:
        """Return every option and its value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def recall(self) -> RecallOptions:
        """Return the options a prediction depends on."""
        return RecallOptions(**{field.name: getattr(self, field.name) for field in fields(RecallOptions)})


Rule = Callable[[object], Any]


class _Refused(Exception):
    """What a value should have been."""


def _one_of(*allowed: str) -> Rule:
    def check(value: object) -> Any:
        if value not in allowed:
            raise _Refused(f"one of {', '.join(allowed)}")
        return value

    return check


def _whole(low: int, high: int) -> Rule:
    def check(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Refused(f"a whole number from {low} to {high}")
        return value

    return check


def _real(low: float, high: float, also: float | None = None) -> Rule:
    words = f"a number from {low:g} to {high:g}" + ("" if also is None else f", or {also:g}")

    def check(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Refused(words)
        if not low <= value <= high and value != also:
            raise _Refused(words)
        return float(value) + 0.0

    return check


def _flag(value: object) -> Any:
    if not isinstance(value, bool):
        raise _Refused("true or false")
    return value


def _name(value: object) -> Any:
    if value is None:
        return None
    try:
        return clean_text(value, "affinity_emotive")
    except ValidationError:
        raise _Refused("the name of an emotive, or null") from None


RULES: dict[str, Rule] = {
    "recall_threshold": _real(0, 1),
    "max_predictions": _whole(1, 10_000),
    "anchor": _one_of("anywhere", "start"),
    "matching": _one_of("tokens", "characters"),
    "fuzzy_token_threshold": _real(0.5, 1, also=0),
    "vector_max_distance": _real(0, 2),
    "affinity_emotive": _name,
    "rank_by": _one_of(*RANKS),
    "max_pattern_length": _whole(0, 1_000),
    "stm_mode": _one_of("CLEAR", "ROLLING"),
    "stm_limit": _whole(1, 100_000),
    "persistence": _whole(1, 1_000),
    "sort_symbols": _flag,
    "predict_on_observe": _flag,
    "ttl_seconds": _real(1, 31_536_000),
}


def _token_matching(value: object) -> str:
    return "tokens" if _flag(value) else "characters"


ALIASES: dict[str, tuple[str, Rule]] = {
    "process_predictions": ("predict_on_observe", _flag),
    "rank_sort_algo": ("rank_by", RULES["rank_by"]),
    "use_token_matching": ("matching", _token_matching),
}

LOSSY = frozenset({
    "bloom_false_positive_rate",
    "enable_filter_metrics",
    "filter_pipeline",
    "jaccard_min_overlap",
    "jaccard_threshold",
    "length_max_ratio",
    "length_min_ratio",
    "max_candidates_per_stage",
    "minhash_bands",
    "minhash_num_hashes",
    "minhash_rows",
    "minhash_threshold",
})  # fmt: skip


NEXT_RULES: dict[str, Rule] = {
    "max_order": _whole(0, 100),
    "min_count": _whole(1, 1_000_000_000),
    "max_unknown": _real(0, 1),
    "min_probability": _real(0, 1),
    "weight": _one_of("frequency", "utility"),
    "limit": _whole(1, 10_000),
}

GUARD_RULES: dict[str, Rule] = {"loop_repeats": _whole(2, 1_000), "surprise_limit": _real(0, 1_000)}


def clean_options(given: Mapping[str, object], where: str = "") -> dict[str, Any]:
    """Return the options under their own names; raises `ValidationError` (CONFIG_INVALID) with one error per key.

    Other spellings: ``process_predictions``, ``rank_sort_algo``, ``use_token_matching``. ``where`` stands before the
    names of fields in errors.
    """
    return _checked(given, RULES, ALIASES, where)


def clean_next(given: Mapping[str, object]) -> NextOptions:
    """Return options of the next-event distribution; raises `ValidationError` (CONFIG_INVALID)."""
    return NextOptions(**_checked(given, NEXT_RULES, {})) if given else NextOptions()


def clean_guard(given: Mapping[str, object]) -> GuardOptions:
    """Return options of the guard; raises `ValidationError` (CONFIG_INVALID)."""
    return GuardOptions(**_checked(given, GUARD_RULES, {})) if given else GuardOptions()


def _checked(
    given: Mapping[str, object], rules: Mapping[str, Rule], aliases: Mapping[str, tuple[str, Rule]], where: str = ""
) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    wrong: list[dict[str, str]] = []
    for key, value in given.items():
        name, rule = aliases.get(key, (key, rules.get(key)))
        try:
            if rule is None:
                raise _Refused(_unknown(key, rules))
            if name in cleaned:
                raise _Refused(f"given once only, as {name} or under its other name")
            cleaned[name] = rule(value)
        except _Refused as refused:
            wrong.append({"field": f"{where}{key}", "message": f"must be {refused}"})
    if wrong:
        words = "; ".join(f"{error['field']} {error['message']}" for error in wrong)
        raise ValidationError(f"{words}. Nothing was changed.", "config", error_code="CONFIG_INVALID", errors=wrong)
    return cleaned


def resolve(*levels: Mapping[str, Any]) -> Options:
    """Return the options that hold, given cleaned levels, the strongest first."""
    merged: dict[str, Any] = {}
    for level in reversed(levels):
        merged.update(level)
    return Options(**merged)


def explain(levels: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return per option its value and the level it came from; ``levels`` are (name, options), the strongest first."""
    known = list(levels)
    shown: dict[str, dict[str, Any]] = {}
    for name, default in Options().to_dict().items():
        origin = next((level for level, options in known if name in options), "default")
        shown[name] = {"value": dict(known)[origin][name] if origin != "default" else default, "from": origin}
    return shown


def _unknown(key: object, rules: Mapping[str, Rule]) -> str:
    if key in LOSSY:
        return "left out: there are no pipelines that lose recall here, every answer is exact"
    return f"a known option: {', '.join(rules)}"
