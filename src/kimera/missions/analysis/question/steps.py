"""From sentences to the row of steps, the filters and the groups of a question."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Condition, Step
from kimera.missions.analysis.question.cleaning import outlier_rule, read_cleaning
from kimera.missions.analysis.question.conditions import Found, find_conditions
from kimera.missions.analysis.question.context import Context
from kimera.missions.analysis.question.derive import new_name, read_derivation
from kimera.missions.analysis.question.items import items_of
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.tables import Role, TableView
from kimera.missions.analysis.question.words import NUMBER, number_of, split_name

__all__ = ["read_steps"]

_RULE = re.compile(
    r"\bp[- ]?values?\b|hypothes|significance level|\balpha\b|\bnormali[sz]|\bscal(?:e|ing)\b|\bcoded "
    r"as\b|\bencod|\bbinary\b|"
    r"\bcorrelation (?:value|coefficient)?\s*(?:is\s*)?(?:>|<|greater|less|close|indicates)|\bskewness value\b|"
    r"\boutliers?\b.{0,80}\b(?:if|as|lies|falls|that)\b.{0,60}(?:quartile|Q1|z-?\s?score|IQR)|\bz[- "
    r"]?scores? (?:is|greater|above|less|below)|"
    r"\bbetween -?\d+ and \d+, rounded|\bimput|\bfill(?:ed|ing)?\b|\breplac",
    re.IGNORECASE,
)
_ANY_OF = re.compile(
    r"\bonly (?:consider|include|use)|\beither\b|\bor\b|\bin the (?:set|list)\b|\bamong\b|\bfilter", re.IGNORECASE
)
_EACH = re.compile(
    r"\b(?:for|in|per|of|by|across|within|among) (?:each|every|all the different|the different|different|"
    r"unique)\s+(?:unique\s+)?([\w \"'()]{2,40})|"
    r"\b(?:group(?:ed|ing)? by|per|categori[sz]ed by|broken down by|separately (?:for|by)(?: "
    r"each)?)\s+(?:the\s+)?[\"']?([\w ]{2,40})",
    re.IGNORECASE,
)


_CALENDAR = re.compile(
    r"\b(?:for each|in each|per|each|every|which|what|by|the(?= \w+ (?:with|when|that|in which)))\s+(?:each\s+|"
    r"every\s+|the\s+)?"
    r"(month|year|weekday|day of (?:the )?week|hour|quarter)\b(?! old)|\b(month|year|hour)ly\b",
    re.IGNORECASE,
)


def _calendar(context: Context) -> list[tuple[int, Step]]:
    """Make a column of the month, year, hour ... that the question groups by, when the table has none of its own."""
    dates = [c for c in context.table.columns if c.role == "date"]
    made: list[tuple[int, Step]] = []
    for match in _CALENDAR.finditer(context.text):
        part = (match[1] or match[2]).lower()
        part = "weekday" if part.startswith("day") else part
        named = any(part in split_name(c.name) for c in context.table.columns if c.role != "date")
        if named or len(dates) != 1 or any(step.target == part for _, step in made) or context.derived:
            continue
        made.append((-1, Step(kind="part", target=part, columns=(dates[0].name,), how=part)))
        context.table = context.table.with_column(part, "number", _part_values(part))
        context.groups.append(part)
    return made


def _part_values(part: str) -> tuple[str, ...]:
    """Return the values a part of a date may take; none for years and days."""
    few = {"month": 12, "hour": 24, "quarter": 4, "weekday": 7}.get(part, 0)
    first = 0 if part in {"hour", "weekday"} else 1
    return tuple(str(k + first) for k in range(few))


def read_steps(context: Context) -> None:
    """Fill the steps, filters, comparisons and groups of ``context`` from its sentences."""
    calendar = _calendar(context)
    typed = tuple(c.name for c in context.table.columns if c.role == "number" and c.stored == "text")
    used = _derivations(context)
    rest = [(k, s) for k, s in enumerate(context.sentences) if k not in used]
    cleaning: list[tuple[int, Step]] = []
    for k, sentence in rest:
        cleaning += [(k, step) for step in read_cleaning(sentence, context.table)]
    steps = [*calendar, *used.items(), *_merged(cleaning, context)]
    steps.sort(key=lambda pair: (pair[1].kind != "drop_duplicates", pair[0]))
    context.steps = tuple(_with_constant(_with_rules(step, context), context) for _, step in steps)
    if typed:
        context.steps = (Step(kind="number", columns=typed), *context.steps)
    for step in context.steps:
        if step.kind == "encode" and step.target:
            context.table = context.table.with_column(step.target, "number")
    # sentences that only explain codes or flags choose no rows
    told = {k for k, step in used.items() if step.kind in {"flag", "bin"}} | {
        k for k, s in cleaning if s.kind == "encode"
    }
    found = [f for k, s in enumerate(context.sentences) if k not in told for f in _filters(s, context)]
    _sort_filters(found, context)
    _filter_first(context)
    _read_groups(context)


def _filter_first(context: Context) -> None:
    """Turn filters into the first step when a later step looks at all rows (a mean to fill in, a fence, a scale)."""
    whole = [
        s
        for s in context.steps
        if s.kind in {"drop_outliers", "fill"} or (s.kind == "transform" and s.how in {"min-max", "z-score", "robust"})
    ]
    raw = tuple(c for c in context.filters if c.column not in {s.target for s in context.steps})
    if whole and raw:
        at = 1 if context.steps[0].kind == "drop_duplicates" else 0
        context.steps = (*context.steps[:at], Step(kind="keep", where=raw), *context.steps[at:])
        context.filters = tuple(c for c in context.filters if c not in raw)


def _derivations(context: Context) -> dict[int, Step]:
    """Read every new column; a later sentence about the same column may only make it more exact."""
    steps: dict[int, Step] = {}
    places: dict[str, int] = {}
    known: str | None = None
    base = ""
    for k, spoken in enumerate(context.sentences):
        sentence = spoken
        if re.search(r"\b(?:new (?:feature|column|variable)|called|named)\b", sentence, re.IGNORECASE):
            known = new_name(sentence, context.table) or known or "new_feature"
            source = re.search(r"\b(?:based on|from|using) .*", sentence, re.IGNORECASE)
            base = source[0] if source else ""
        elif known is not None and base and not context.mentions(sentence):
            sentence = f"{sentence} {base}"
        step = read_derivation(sentence, context.table, known)
        if step is None:
            continue
        known = step.target
        if step.target in places:
            first = places[step.target]
            steps[first] = _more_exact(steps[first], step, sentence)
            continue
        places[step.target] = k
        steps[k] = step
        role: Role = "text" if step.kind in {"bin", "extract"} else "flag" if step.kind == "flag" else "number"
        values = tuple(r.label for r in step.ranges) or (("0", "1") if step.kind == "flag" else ())
        values = _part_values(step.how) if step.kind == "part" else values
        context.table = context.table.with_column(step.target, role, values)
        context.derived.append(step.target)
    return steps


def _more_exact(first: Step, again: Step, sentence: str) -> Step:
    """Keep the first reading unless the second is the plainer word for it (combining, then multiplied by)."""
    if (
        again.kind == "derive"
        and first.kind == "derive"
        and again.how != first.how
        and first.how == "sum"
        and "combin" not in sentence.lower()
    ):
        return again
    if again.kind == "transform" and first.kind == "transform":
        exact = again if first.how == "log" and again.how.startswith("log") else first
        return exact.model_copy(update={"constant": first.constant or again.constant})
    if first.kind == "derive" and again.kind == "derive":
        return first.model_copy(update={"constant": first.constant or again.constant})
    return first


def _merged(found: list[tuple[int, Step]], context: Context) -> list[tuple[int, Step]]:
    """Join what question and constraints say about one step."""
    kept: list[tuple[int, Step]] = []
    for k, step in found:
        twin = next((i for i, (_, other) in enumerate(kept) if _same(other, step)), None)
        if twin is None:
            kept.append((k, step))
            continue
        place, other = kept[twin]
        kept[twin] = (place, _join(other, step))
    return [(k, s) for k, s in kept if s.columns or s.kind not in {"drop_outliers", "fill", "transform"}] + [
        (k, s.model_copy(update={"columns": _context_columns(context)}))
        for k, s in kept
        if s.kind == "drop_outliers" and not s.columns
    ]


def _same(a: Step, b: Step) -> bool:
    if a.kind != b.kind:
        return False
    if a.kind in {"fill", "transform", "encode"}:
        return a.columns == b.columns
    return a.kind != "drop_missing" or not b.columns or set(b.columns) <= set(a.columns) or not a.columns


def _join(a: Step, b: Step) -> Step:
    how = b.how if a.how in {"", "log"} or (a.how == "min-max" and b.how == "z-score") else a.how
    coded = b.mapping if "label" in {a.how, b.how} and set(a.mapping.values()) != set(b.mapping.values()) else a.mapping
    return a.model_copy(
        update={
            "how": how,
            "constant": a.constant or b.constant,
            "by": a.by or b.by,
            "columns": a.columns or b.columns,
            "mapping": coded or a.mapping,
        }
    )


def _context_columns(context: Context) -> tuple[str, ...]:
    for sentence in context.sentences:
        if re.search(r"\boutlier", sentence, re.IGNORECASE) and context.numeric(sentence):
            return (context.numeric(sentence)[0],)
    return ()


def _with_rules(step: Step, context: Context) -> Step:
    return step.model_copy(update={"options": outlier_rule(context.text)}) if step.kind == "drop_outliers" else step


def _with_constant(step: Step, context: Context) -> Step:
    """Give a ratio or logarithm the small constant that a sentence of its own asks to add."""
    if step.constant is None and (step.how == "ratio" or step.how.startswith("log")):
        for sentence, _ in context.with_words(r"\b(?:small |tiny )?constant\b|\bto avoid\b"):
            match = re.search(rf"(?<![\w.])({NUMBER})(?![\w.])", sentence)
            if match:
                return step.model_copy(update={"constant": number_of(match[1])})
    return step


def _filters(sentence: str, context: Context) -> list[Found]:
    if _RULE.search(sentence):
        # such a sentence sets thresholds, not rows; only named values in it may still be meant
        return [f for f in find_conditions(sentence, context.table) if _names_rows(sentence, f)]
    items = items_of(sentence, context.table)
    return find_conditions(sentence, context.table, items)


def _names_rows(sentence: str, found: Found) -> bool:
    if found.condition.op != "=" or re.search(r"\bencod|\bcoded|\bbinary", sentence, re.IGNORECASE):
        return False
    return bool(
        re.search(
            r"\b(?:for|among|who|male|between|only|passengers|from)\b[^.]{0,60}$",
            sentence[: found.start],
            re.IGNORECASE,
        )
    )


def _sort_filters(found: list[Found], context: Context) -> None:
    """Part the conditions into filters and comparisons: two values of one column are set against each other."""
    by_column: dict[str, list[Condition]] = {}
    for item in found:
        conditions = by_column.setdefault(item.condition.column, [])
        if item.condition not in conditions:
            conditions.append(item.condition)
    filters: list[Condition] = []
    for column, spoken in by_column.items():
        # ``beyond 2000``, then ``2000 and beyond``: the wider reading is the more exact wording
        wide = {(c.op, c.value, c.part) for c in spoken}
        conditions = [c for c in spoken if (f"{c.op}=", c.value, c.part) not in wide]
        equal = [c for c in conditions if c.op in {"=", "!="}]
        if len(equal) >= 2 or _disjoint(conditions):
            context.compared[column] = _alternatives(conditions)
        else:
            filters += conditions
    context.filters = tuple(filters)


def _disjoint(conditions: list[Condition]) -> bool:
    lows = [float(c.value) for c in conditions if c.op in {">", ">="} and isinstance(c.value, int | float)]
    highs = [float(c.value) for c in conditions if c.op in {"<", "<="} and isinstance(c.value, int | float)]
    return (
        bool(lows and highs)
        and max(lows) >= min(highs)
        and len(conditions) >= 2
        and (len(lows) > 1 or len(highs) > 1 or max(lows) >= max(highs))
    )


def _alternatives(conditions: list[Condition]) -> list[tuple[Condition, ...]]:
    """Pair ``>= a`` with the ``<= b`` that follows it; all else stands alone."""
    groups: list[tuple[Condition, ...]] = []
    for condition in conditions:
        last = groups[-1] if groups else ()
        ranged = len(last) == 1 and last[0].op in {">", ">="} and condition.op in {"<", "<="}
        if ranged and float(last[0].value or 0) < float(condition.value or 0):
            groups[-1] = (last[0], condition)
        else:
            groups.append((condition,))
    return groups


def _read_groups(context: Context) -> None:
    """Note the columns after ``for each``, ``per``, ``grouped by``."""
    text = context.text + ("\n" + context.asked.lead if context.asked.lead else "")
    for sentence in text.split("\n"):
        for match in _EACH.finditer(sentence):
            phrase = next(g for g in match.groups() if g)
            # a group may be an entity (``per hotel``), so entity mentions count here
            linked = [m for m in find_columns(phrase, context.table) if m.start <= 12]
            if linked and linked[0].column not in context.groups and _groupable(linked[0].column, context.table):
                context.groups.append(linked[0].column)


def _groupable(name: str, table: TableView) -> bool:
    column = table.column(name)
    return column is not None and (column.role in {"text", "flag"} or column.unique <= max(60, table.rows // 4))
