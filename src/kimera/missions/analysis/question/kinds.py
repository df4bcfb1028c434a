"""Which measure a phrase asks for, and which statistical test a question names."""

from __future__ import annotations

import re

from kimera.missions.analysis.question.context import Context
from kimera.missions.analysis.question.slots import Slot

__all__ = ["NORMALITY", "TWO_GROUPS", "kind_of", "spread_rule", "test_of"]

_KINDS: tuple[tuple[str, str], ...] = (
    ("cv", r"\bcv\b|\bcoefficient (?:of )?variation\b"),
    ("p", r"\bp ?-?val(?:ue)?s?\b|\w p$|\bpval(?:ue)?\b|\bsignificance level\b"),
    ("bound", r"\b(?:lower|upper) (?:bound|limit|fence|whisker)\b"),
    ("r2", r"\br ?-?squared?\b|\br ?2\b|\bcoefficient(?: of)? determination\b|\br2 ?score\b"),
    ("rmse", r"\brmse\b|\broot mean squared?\b"),
    ("mse", r"\bmse\b|\bmean squared? error\b"),
    ("mae", r"\bmae\b|\bmean absolute error\b"),
    ("accuracy", r"\baccuracy\b|\bmodel score\b"),
    (
        "statistic",
        r"\bstatistics?\b|\b[tfuz] ?(?:value|stat|score)\b|\bstat\b|\b[fhuw]$|"
        r"\bchi ?-?(?:square|2)(?: value)?\b|\btest value\b|\bks\b",
    ),
    ("mean", r"^(?:mean|average|avg)\b.*\b(?:not ?)?(?:null|missing|nan)$"),
    ("missing", r"\b(?:missing|null|nan|na|nulls)\b"),
    ("duplicates", r"\bduplicates?\b|\bduplicated\b"),
    ("outliers", r"\boutliers?\b|\banomal\w+\b"),
    ("slope", r"\bslope\b|\bregression coefficient\b"),
    ("intercept", r"\bintercept\b"),
    ("skewness", r"\bskew\w*\b"),
    ("kurtosis", r"\bkurt\w*\b"),
    ("r", r"\bcorr(?:elation)?(?:s)?\b|\br(?: value)?\b|\bpearson\b|\bspearman\b|\bkendall\b|\bcoef(?:ficient)?\b"),
    ("within_sd", r"\bwithin (?:one|two|three|1|2|3) (?:standard deviations?|std\w*|sd|sigma)\b"),
    ("variance", r"\bvar(?:iance)?\b"),
    (
        "std",
        r"\bstd\b|\bst ?dev\b|\bstddev\b|\bstd ?-?dev(?:iation)?\b|\bstandard dev(?:iation)?s?\b|\bsd\b|"
        r"\bsigma\b|\bdeviation\b",
    ),
    ("median", r"\bmedian\b"),
    ("mode", r"\bmode\b|\bmost (?:common|frequent)\b"),
    ("quantile", r"\b(?:q ?[123]|p ?\d\d|quartile|percentile|quantile|\d+th percentile)\b"),
    ("iqr", r"\biqr\b|\binterquartile\b"),
    ("share", r"\bpercent(?:age)?\b|\bproportion\b|\bshare\b|\bfraction\b|\bpct\b"),
    ("first", r"\bfirst (?:entry|value|row|element)\b"),
    ("mean", r"\bmean\b|\baverages?\b|\bavg\b"),
    ("range", r"\brange\b"),
    ("rate", r"\brates?\b"),
    ("unique", r"\bunique\b|\bdistinct\b"),
    ("rows", r"\b(?:count|counts|number|num|total number|how many|rows|entries|records)\b"),
    ("max", r"\bmax(?:imum)?\b|\bhighest\b|\blargest\b|\bmost\b"),
    ("min", r"\bmin(?:imum)?\b|\blowest\b|\bsmallest\b|\bleast\b"),
    ("sum", r"\bsum\b|\btotal\b"),
)
NORMALITY: tuple[tuple[str, str], ...] = (
    ("shapiro", r"\bshapiro"),
    ("dagostino", r"\bnormaltest\b|d['’]?\s?agostino|" r"\bk\^?2\b|" r"\bomnibus"),
    ("anderson", r"\banderson"),
    ("jarque_bera", r"\bjarque"),
    ("ks_normal", r"kolmogorov|\bkstest\b|\bk-?s test\b|\blilliefors"),
)
TWO_GROUPS: tuple[tuple[str, str], ...] = (
    ("welch", r"\bwelch|\bunequal variances?"),
    ("paired_t", r"\bpaired\b.{0,20}\bt[- ]test"),
    ("mann_whitney", r"mann-?\s?whitney|\bwilcoxon rank"),
    ("kruskal", r"\bkruskal"),
    ("anova", r"\banova\b|analysis of variance"),
    ("chi_square", r"chi-?\s?squared?\b|\bchi2\b|χ"),
    ("levene", r"\blevene"),
    ("ks_two", r"two[- ]sample (?:kolmogorov|ks)|ks_2samp"),
    ("t_test", r"\bt[- ]?tests?\b|\bttest|" r"\bstudent['’]?s? t\b"),
)
_EXTREME = re.compile(
    r"\b(?:with|has|have|having|had|by)\b.{0,24}\b(highest|most|largest|greatest|maximum|max|lowest|least|smallest|minimum|min|fewest|oldest|youngest|longest|shortest)\b|"
    r"\b(highest|most|largest|lowest|least|smallest|fewest|top|best|worst)\b.{0,40}\bname\b|\bname\b.{0,40}\b(highest|most|largest|lowest|least|smallest|fewest)\b",
    re.IGNORECASE,
)


def phrase_of(slot: Slot, part: int = 0) -> str:
    """Return the name of a slot (and of one of its parts) as plain words."""
    return " ".join(slot.tokens) + " " + re.sub("_", " ", slot.parts[part] if len(slot.parts) > 1 else "")


def kind_of(slot: Slot, part: int = 0) -> str | None:
    """Return the measure a slot asks for; its name decides, then its parts, then its description."""
    name = " ".join(slot.tokens)
    if name == "p":
        return "p"
    inside = re.sub("_", " ", slot.parts[part])
    texts = [inside, name, slot.about] if len(slot.parts) > 1 else [name, inside, slot.about]
    if any(_EXTREME.search(text) for text in texts[:2]) or (
        _EXTREME.search(slot.about) and re.search(r"\bname\b", name + inside)
    ):
        return "extreme"
    if re.search(r"\bstrongest\b|\bmost correlated\b|\bhighest corr", name + " " + inside):
        return "strongest"
    for text in texts:
        kind = _kind_in(text.replace("_", " "))
        if (
            kind == "sum"
            and re.search(r"\bcount\b|\bnumber of\b", f"{inside} {slot.about}")
            and not re.search(r"\bsum\b", name)
        ):
            return "rows"
        if kind is not None:
            return _refined(kind, f"{name} {inside}", slot.about)
    return None


def _kind_in(text: str) -> str | None:
    found = [(kind, m) for kind, pattern in _KINDS if (m := re.search(pattern, text, re.IGNORECASE))]
    return found[0][0] if found else None


def _refined(kind: str, name: str, about: str) -> str:
    """Tell counts from statistics of outliers, counts of missing values from the column that has most."""
    everything = f"{name} {about}"
    if kind == "missing":
        if re.search(r"\b(?:rows|records|entries)\b", name) and not re.search(
            r"\bafter\b|\bwithout\b|\bremov|\bleft\b|\bremain", name
        ):
            return "missing_rows"
        if re.search(r"\b(?:rows|records|entries)\b", name):
            return "rows"
        if re.search(r"\bcolumns\b|\blist of\b.{0,20}\bcolumn", everything) and not re.search(
            r"\b(?:count|number|total)\b", name
        ):
            return "missing_columns"
        if re.search(r"\bcolumn name\b|\bname of the (?:column|feature|variable)\b", everything):
            return "most_missing"
        if re.search(r"\b(?:percent|proportion|ratio|share)", name):
            return "missing_share"
        return "has_missing" if re.match(r"has\b", name) else "missing"
    if kind != "outliers":
        return kind
    for word, made in (
        ("mean|average|avg", "mean"),
        ("median", "median"),
        ("std|deviation", "std"),
        ("low|min|lowest|minimum|smallest", "min"),
        ("high|max|highest|maximum|largest", "max"),
    ):
        if re.search(rf"\b(?:{word})\b", name) and not re.search(r"\b(?:count|number|num)\b", name):
            return f"outlier_{made}"
    if re.search(r"\b(?:percent|proportion|ratio|share)", name):
        return "outlier_share"
    named = re.search(r"\blist\b|\bvalues\b(?! count)|\bnames?\b", name)
    return "outlier_values" if named and not re.search(r"\bcount\b|\bnumber\b|\btotal\b", name) else "outlier_count"


def test_of(context: Context, tests: tuple[tuple[str, str], ...], hint: str = "") -> str | None:
    """Return the test a slot hints at or the question names; None if it names none of these."""
    for text in (hint, context.text):
        named = [(m.start(), name) for name, pattern in tests if (m := re.search(pattern, text, re.IGNORECASE))]
        if named:
            return min(named)[1] if tests is NORMALITY else named[0][1]
    return None


_POPULATION = (
    r"\bpopulation (?:standard|std|variance|formula)|\b(?:standard deviation|std|variance)\b[^.]{0,20}"
    r"\b(?:of|for|as) (?:the|a) (?:whole |entire )?population\b(?! column)|\bddof ?= ?0|/\s?n\)"
)


def spread_rule(context: Context, hint: str = "") -> int:
    """Return the delta degrees of freedom of a standard deviation: sample (1) unless the population is named."""
    text = f"{hint} {context.text}"
    if re.search(_POPULATION, text, re.IGNORECASE):
        return 0
    if re.search(r"\bsample (?:standard|std|variance)|\bddof ?= ?1|\bpandas\b", text, re.IGNORECASE):
        return 1
    return 0 if re.search(r"\bnp\.(?:std|var)\b|\bnumpy\.(?:std|var)\b", text, re.IGNORECASE) else 1
