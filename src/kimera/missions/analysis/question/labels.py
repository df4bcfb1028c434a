"""Reading answers chosen from given words: yes or no, normal or not, positive, negative or none."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Comparison, Measure, Rule
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.kinds import NORMALITY, TWO_GROUPS, kind_of, test_of
from kimera.missions.analysis.question.measures import read_measure
from kimera.missions.analysis.question.models import read_model
from kimera.missions.analysis.question.relating import correlation, pair_of, read_test
from kimera.missions.analysis.question.rules import read_rules
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.subjects import univariate
from kimera.missions.analysis.question.subsets import slot_conditions
from kimera.missions.analysis.question.words import NUMBER, number_of

__all__ = ["read_label"]

_NEGATIVE = re.compile(
    r"\b(?:not|no|non|none|false|poor|insignificant|un\w+|isn't|doesn't|neither|bad|weak)\b|\bnon-?|not_", re.IGNORECASE
)
_ALPHA = re.compile(
    rf"(?:alpha|significance level|level of significance)[^.\d]{{0,30}}({NUMBER})|"
    rf"p-?\s?values?[^.\d]{{0,40}}(?:than|to|<|>|<=|>=|exceeds|below|above)\s*(?:or equal to\s*)?({NUMBER})|"
    rf"({NUMBER})\s*(?:significance level|level of significance|alpha)",
    re.IGNORECASE,
)


def read_label(slot: Slot, context: Context) -> tuple[Rule, ...]:
    """Return the rules that choose one of the options; raises `Unanswerable` when the choice is not understood."""
    options = list(slot.options)
    signs = {_sign(o): o for o in options if _sign(o) is not None}
    if {1, -1} <= set(signs):
        return _signed(options, signs, slot, context)
    shapes = {o.lower().replace("-", ""): o for o in options}
    if "linear" in shapes and any(k in shapes for k in ("nonlinear", "non linear")):
        return _linear(shapes, slot, context)
    negative = [o for o in options if _NEGATIVE.search(o)]
    positive = [o for o in options if o not in negative]
    if len(positive) == 1 and len(negative) == 1:
        return _two(positive[0], negative[0], slot, context)
    rules = _stated(options, slot, context)
    if rules is not None:
        return rules
    raise Unanswerable("how to choose between " + ", ".join(options[:5]) + " was not understood")


def _stated(options: list[str], slot: Slot, context: Context) -> tuple[Rule, ...] | None:
    """Return the rules a question spells out option by option."""

    def measured(metric: str) -> Measure:
        if metric in {"skewness", "kurtosis"}:
            column = univariate(metric, slot, context)
            base = Measure(kind=metric, columns=(column,), options={"ddof": 0 if context.says(r"\bscipy\b") else 1})
        elif metric == "r2":
            base = read_model("r2", slot, context)
        else:
            base = correlation(slot, context, "r") if metric == "r" else read_test("p", slot, context)
        return _with_where(base, slot, context)

    return read_rules(options, context.text + "\n" + slot.about, measured)


def _sign(option: str) -> int | None:
    lower = re.sub("_", " ", option.lower())
    if re.search(r"\bno\b|\bnot\b|\bnone\b", lower):
        return None
    if re.search(r"\bpositiv|\bright", lower):
        return 1
    return -1 if re.search(r"\bnegativ|\bleft", lower) else None


def _alpha(context: Context) -> float | None:
    match = _ALPHA.search(context.text)
    value = number_of(next(g for g in match.groups() if g)) if match else None
    return value if value is not None and 0 < value < 0.5 else None


def _with_where(measure: Measure, slot: Slot, context: Context) -> Measure:
    """Give a measure the filters of the question and of the slot, at the end of the steps."""
    where = tuple(dict.fromkeys([*context.filters, *slot_conditions(slot, context), *measure.where]))
    return measure.model_copy(update={"where": where, "stage": len(context.steps)})


def _size_limit(context: Context) -> float | None:
    """Return the size of r below which a relationship does not count, when the question names one."""
    match = re.search(
        rf"(?:absolute value of (?:the )?(?:r|"
        rf"correlation(?: "
        rf"coefficient)?)|"
        rf"correlation "
        rf"coefficient|"
        rf"\br\b|\|r\|)[^.\d]{{0,20}}(?:is\s*)?(?:>=?|"
        rf"greater than|at "
        rf"least|above|exceeds)\s*(?:or "
        rf"equal to\s*)?(?:±\s*)?({NUMBER})",
        context.text,
        re.IGNORECASE,
    )
    value = number_of(match[1]) if match else None
    return value if value is not None and 0 < value < 1 else None


def _signed(options: list[str], signs: dict[int | None, str], slot: Slot, context: Context) -> tuple[Rule, ...]:
    """Positive, negative, and what is left when neither holds."""
    rest = [o for o in options if o not in (signs[1], signs[-1])]
    phrase = " ".join(slot.tokens) + " " + slot.about
    if re.search(r"\bskew", phrase, re.IGNORECASE) or (context.says(r"\bskew") and not context.says(r"\bcorrelat")):
        column = univariate("skewness", slot, context)
        base = _with_where(
            Measure(kind="skewness", columns=(column,), options={"ddof": 0 if context.says(r"\bscipy\b") else 1}),
            slot,
            context,
        )
        limit = _limit(context, r"\bskew\w*") or 0.0
        return _three(base, limit, signs[1], signs[-1], rest[:1], ())
    if not context.says(r"\bcorrelat|\brelationship"):
        raise Unanswerable("what positive and negative refer to was not recognised")
    if context.says(r"\bstrongest|\ball other (?:numerical )?variables") and not _has_pair(slot, context):
        from kimera.missions.analysis.question.extremes import strongest

        base = _with_where(strongest("r", context), slot, context)
        return _three(base, 0.0, signs[1], signs[-1], rest[:1], ())
    base = _with_where(correlation(slot, context, "r"), slot, context)
    gate: tuple[Comparison, ...] = ()
    alpha = _alpha(context)
    stated = r"\bp-?\s?value|\bsignificance level|\bsignificant (?:positive|negative|correlation)"
    if alpha is not None and re.search(stated, context.text + slot.about, re.IGNORECASE):
        gate = (Comparison(measure=base.model_copy(update={"kind": "r_p"}), op="<", value=alpha),)
    without = next((o for o in rest if re.search(r"significan", o, re.IGNORECASE)), rest[0] if rest else None)
    limit = _size_limit(context) or 0.0
    return _three(base, limit, signs[1], signs[-1], [without] if without else [], gate)


def _has_pair(slot: Slot, context: Context) -> bool:
    try:
        pair_of(slot, context)
    except Unanswerable:
        return False
    return True


def _three(
    base: Measure, limit: float, up: str, down: str, rest: list[str], gate: tuple[Comparison, ...]
) -> tuple[Rule, ...]:
    strict = limit == 0
    rules = [
        Rule(label=up, when=(*gate, Comparison(measure=base, op=">" if strict else ">=", value=limit))),
        Rule(label=down, when=(*gate, Comparison(measure=base, op="<" if strict else "<=", value=-limit))),
    ]
    return (*rules, *(Rule(label=label) for label in rest[:1]))


def _limit(context: Context, metric: str) -> float | None:
    match = re.search(
        rf"{metric}[^.\d]{{0,40}}(?:than|>|<|>=|<=|to|exceeds)\s*(?:or equal to\s*)?({NUMBER})",
        context.text,
        re.IGNORECASE,
    )
    if match is None:
        match = re.search(
            rf"{metric}[^.\d]{{0,20}}\bbetween\s+-?{NUMBER}\s+and\s+({NUMBER})", context.text, re.IGNORECASE
        )
    return number_of(match[1]) if match else None


def _linear(shapes: dict[str, str], slot: Slot, context: Context) -> tuple[Rule, ...]:
    r = _with_where(correlation(slot, context, "r"), slot, context)
    p = r.model_copy(update={"kind": "r_p"})
    alpha, limit = _alpha(context) or 0.05, _size_limit(context) or 0.5
    curved = shapes.get("nonlinear") or shapes["non linear"]
    rules = [
        Rule(
            label=shapes["linear"],
            when=(
                Comparison(measure=p, op="<", value=alpha),
                Comparison(measure=r, op=">=", value=limit, absolute=True),
            ),
        ),
        Rule(label=curved, when=(Comparison(measure=p, op="<", value=alpha),)),
    ]
    rest = [o for o in slot.options if o not in {shapes["linear"], curved}]
    return (*rules, *(Rule(label=o) for o in rest[:1]))


def _two(yes: str, no: str, slot: Slot, context: Context) -> tuple[Rule, ...]:
    """Yes and no: normality, a fit, a significant relation or difference, presence of missing values."""
    when = _affirmed(yes, slot, context)
    return (Rule(label=yes, when=when), Rule(label=no))


def _affirmed(yes: str, slot: Slot, context: Context) -> tuple[Comparison, ...]:
    phrase = f"{' '.join(slot.tokens)} {slot.about} {yes}"
    alpha = _alpha(context)
    if kind_of(slot) == "has_missing":
        return (
            Comparison(measure=read_measure(slot, context).model_copy(update={"kind": "missing"}), op=">", value=0),
        )
    if re.search(r"\bfit\b|r-?\s?squared", phrase, re.IGNORECASE) and context.says(
        r"r-?\s?squared|coefficient of determination|\bR2\b"
    ):
        limit = _limit(context, r"(?:r-?\s?squared|R2|coefficient of determination)")
        if limit is not None:
            return (
                Comparison(measure=_with_where(read_model("r2", slot, context), slot, context), op=">=", value=limit),
            )
    if re.search(r"\bnorm", phrase, re.IGNORECASE):
        return _normal(slot, context, alpha or 0.05)
    if re.search(r"\bhomogen|\bequal variance", phrase, re.IGNORECASE):
        return (Comparison(measure=_test_p(slot, context), op=">", value=alpha or 0.05),)
    if not re.search(
        r"\bsignifican|\bdiffer|\bcorrelat|\brelation|\bassociat|\breject|\bdependen", phrase, re.IGNORECASE
    ):
        raise Unanswerable(f"what {yes!r} means for {slot.name} was not understood")
    if re.search(r"\breject", phrase, re.IGNORECASE) and re.search(r"\bfail", phrase, re.IGNORECASE):
        raise Unanswerable("whether the hypothesis is rejected or kept was not understood")
    measure = _test_p(slot, context)
    found = [Comparison(measure=measure, op="<", value=alpha or 0.05)]
    if measure.kind == "r_p":
        limit = _joint_limit(context)
        if limit is not None:
            found.append(
                Comparison(measure=measure.model_copy(update={"kind": "r"}), op=">=", value=limit, absolute=True)
            )
        if alpha is None and not context.says(r"\bp-?\s?value|\bsignificance") and limit is not None:
            found = found[1:]
    return tuple(found)


def _joint_limit(context: Context) -> float | None:
    """Return the size of r that significance needs too, when one sentence joins both."""
    for sentence in context.sentences:
        if re.search(r"\bsignifican", sentence, re.IGNORECASE) and not re.search(
            r"\bnon-?significant|not significant|no significant", sentence, re.IGNORECASE
        ):
            single = Context(asked=context.asked, sentences=[sentence], table=context.table)
            if _size_limit(single) is not None:
                return _size_limit(single)
    return None


def _test_p(slot: Slot, context: Context) -> Measure:
    return _with_where(read_test("p", slot, context), slot, context)


def _normal(slot: Slot, context: Context, alpha: float) -> tuple[Comparison, ...]:
    test = test_of(context, NORMALITY)
    column = univariate("normality", slot, context)
    if test == "anderson":
        base = _with_where(Measure(kind="anderson_margin", columns=(column,), options={"alpha": alpha}), slot, context)
        return (Comparison(measure=base, op=">", value=0),)
    if test is not None:
        base = _with_where(Measure(kind="normality_p", columns=(column,), options={"test": test}), slot, context)
        return (Comparison(measure=base, op=">", value=alpha),)
    if test_of(context, TWO_GROUPS) is not None:
        raise Unanswerable("the question names no test of normality")
    limit = _limit(context, r"\bskew\w*")
    if limit is None:
        raise Unanswerable("the question does not say when a distribution counts as normal")
    base = _with_where(Measure(kind="skewness", columns=(column,), options={"ddof": 1}), slot, context)
    found = [
        Comparison(
            measure=base,
            op="<=" if context.says(r"skew\w*[^.]{0,40}(?:between|equal)") else "<",
            value=limit,
            absolute=True,
        )
    ]
    kurtosis = _limit(context, r"\bkurtosis\b")
    if kurtosis is not None:
        other = base.model_copy(update={"kind": "kurtosis"})
        found.append(Comparison(measure=other, op="<", value=kurtosis, absolute=True))
    return tuple(found)
