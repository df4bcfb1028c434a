"""Refusing rather than guessing: what a question says must be used up, or the slots it touches stay open."""

from __future__ import annotations

import re
from itertools import pairwise

from kimera.missions.analysis.plan import Measure, Output, Refusal
from kimera.missions.analysis.question.context import Context
from kimera.missions.analysis.question.items import items_of
from kimera.missions.analysis.question.words import split_name, stem, words

__all__ = ["refuse_unclear", "unread_demand"]

_UNSUPPORTED = re.compile(
    r"\b(?:rolling|moving average|resampl\w*|(?<!linear )interpolat\w*|pivot\w*|cluster\w*|k-?means|pca|principal "
    r"component|one-?hot|bootstrap\w*|"
    r"seasonal decompos\w*|decompos\w*|cumulative (?:sum|distribution)|cumsum|lagg?(?:ed)?\b|percent(?:age)? "
    r"change|pct_change|growth "
    r"rate|weighted (?:mean|average)|winsor\w*|trimmed|"
    r"tf-?idf|sentiment analysis|word cloud|tokeni[sz]\w*|bonferroni|tukey|post[- ]hoc|partial correlation|"
    r"mahalanobis|isolation forest|dbscan|"
    r"box-?cox|yeo-?johnson|fourier|autocorrelat\w*|stationar\w*|dickey|granger|haversine|smote|oversampl\w*|k-?nearest|knn)\b",
    re.IGNORECASE,
)
_NEW_COLUMN = re.compile(r"\bnew (?:\w+ )?(?:feature|column|variable|attribute)\b", re.IGNORECASE)
_ONLY = re.compile(
    r"\bonly (?:consider|include|use|count|take|keep)|(?<!not )\bfilter(?:ed)?\b (?!or)|\bexclud\w+ "
    r"(?!the first)|\brestrict",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"[\"“]([^\"“”\n]{1,60})[\"”]|(?<![A-Za-z])'([^'\n]{1,60})'(?![A-Za-z])|`([^`]{1,60})`")
_EXAMPLES = re.compile(
    r"e\.g\.?|\bsuch as\b|\bfor example\b|\breport\b|\bstate\b|\bconsider(?:ed)? (?:the|it|a)|\breturn\b|"
    r"\bformat\b|\boutput\b",
    re.IGNORECASE,
)


def unread_demand(context: Context, measures: list[Measure]) -> str | None:
    """Return what the question asks for that no step took up, or None; such a demand touches every slot."""
    unknown = _UNSUPPORTED.search("\n".join(_unnamed(s, context) for s in context.sentences))
    if unknown:
        return f"{unknown[0].lower()} is not among the steps that can be done here"
    if any(step.how == "unsupported" for step in context.steps):
        return "one of the cleaning steps asks for a method that is not available here"
    if _NEW_COLUMN.search(context.text) and not context.derived:
        return "how the new column is made was not understood"
    for sentence in context.sentences:
        demand = _unread_step(sentence, context) or _unlinked_quote(sentence, context)
        demand = (
            demand or _unread_filter(sentence, context, measures) or _unread_comparison(sentence, context, measures)
        )
        if demand:
            return demand
    return None


def _unnamed(sentence: str, context: Context) -> str:
    """Return a sentence without the columns it names, whose words are no demands."""
    for mention in reversed(context.mentions(sentence)):
        sentence = sentence[: mention.start] + "~" + sentence[mention.end :]
    return sentence


def _unnumbered(sentence: str, context: Context) -> str:
    """Return a sentence without the columns whose headers hold numbers (``pop 2010``)."""
    for mention in reversed(context.mentions(sentence)):
        if re.search(r"\d", mention.column):
            sentence = sentence[: mention.start] + "~" + sentence[mention.end :]
    return sentence


_DEMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\b(?:fill\w*|imput(?:e|ing|ed)|replac(?:e|ing))\b.{0,40}\b(?:missing|null|nan)\b|\bimput(?:e|ing)\b", ("fill",)),
    (r"\b(?:remov|drop|delet|eliminat)\w*\b.{0,20}\bduplicat", ("drop_duplicates",)),
    (r"\b(?:remov|drop|delet|eliminat|exclud)\w*\b.{0,30}\boutliers?\b", ("drop_outliers",)),
    (
        r"\b(?:replac|cap|clip|winsor)\w*\b.{0,60}\b(?:outliers?|standard deviations)\b|"
        r"\boutliers?\b.{0,30}\b(?:replac|capp|clipp)\w*",
        (),
    ),
    (r"\b(?:label|ordinal|categorical)[- ]encod|\bencod(?:e|ing)\b", ("encode",)),
    (
        r"\b(?:min-?max|z-?score) (?:normali[sz]|scal)|\b(?:normali[sz]|standardi[sz])(?:e|ing) (?:the|it|them)",
        ("transform",),
    ),
    (r"\b(?:log|logarithm\w*)[- ]transform|\bappl\w+ (?:a|the) (?:natural )?log", ("transform",)),
    (r"\bbin(?:s|ning|ned)?\b|\bcategori[sz](?:e|es|ing)\b|\bdiscreti[sz]", ("bin", "flag", "extract")),
    (r"\bconvert\w*\b.{0,40}\b(?:celsius|fahrenheit|kelvin|km|miles|dollars|euros?|meters|feet|kg|pounds)\b", ()),
    (r"\b(?:drop|remov|delet)\w*\b.{0,12}\bcolumns? (?:with|that|having|where)\b", ()),
    (r"\bmerg(?:e|ing)\b|\bjoin(?:ing)? (?:the|two)\b|\bconcat", ()),
)


def _unread_step(sentence: str, context: Context) -> str | None:
    """A sentence that orders a change of the data must have become a step of that kind."""
    kinds = {step.kind for step in context.steps}
    if re.match(r"\W*(?:if|assum)", sentence, re.IGNORECASE) or re.search(
        r"(?:do not|don't|without|no need)", sentence, re.IGNORECASE
    ):
        return None
    spoken = _unnamed(sentence, context)
    for pattern, wanted in _DEMANDS:
        match = re.search(pattern, spoken, re.IGNORECASE)
        if match and not kinds & set(wanted):
            return f"the step “{match[0][:50]}” was not understood"
    return None


_THRESHOLDS = re.compile(
    r"p-?\s?value|hypothes|significan|\balpha\b|\boutlier|z-?\s?score|\bIQR\b|quartile|correlation|coefficient|skew|kurtosis|"
    r"r-?\s?squared|\bround|\bdecimal|\btrain|\btest set|\bsplit|\brandom|\btrees?\b|\bnormali|\bscal|"
    r"\bconstant|\bbetween -?[01] and 1\b",
    re.IGNORECASE,
)


def _unread_comparison(sentence: str, context: Context, measures: list[Measure]) -> str | None:
    """A comparison with a number, a top or first so many, must be in a condition or a step."""
    ranked = re.search(
        r"\b(?:top|first|last|bottom)[ -](?:\d+|three|five|ten)\b(?! (?:quartile|row|entr|column))",
        sentence,
        re.IGNORECASE,
    )
    if ranked:
        return f"“{ranked[0]}” was not understood"
    if _THRESHOLDS.search(sentence) or re.match(r"\W*if\b", sentence, re.IGNORECASE):
        return None
    used = _numbers_used(context, measures)
    year = next(
        (y for y in _YEAR.findall(_unnumbered(sentence, context)) if _dated(context) and float(y) not in used), None
    )
    if year is not None:
        return f"what the year {year} chooses was not understood"
    items = items_of(sentence, context.table)
    for before, item in pairwise(items):
        if before.kind == "op" and item.kind == "num" and float(item.value) not in used and before.text != "=":
            return f"the comparison “{before.text} {item.text}” was not understood"
    return None


_YEAR = re.compile(
    r"(?<![\w.,/-])(?:in|of|for|during|after|before|since|until|beyond|from|years?)\s+((?:1[89]|20)\d\d)(?![\w.,/-]\d)",
    re.IGNORECASE,
)


def _dated(context: Context) -> bool:
    """Say whether the rows of the table have a year a question may choose by."""
    return any(c.role == "date" or "year" in split_name(c.name) for c in context.table.columns)


def _numbers_used(context: Context, measures: list[Measure]) -> set[float]:
    conditions = [*context.filters, *(c for groups in context.compared.values() for g in groups for c in g)]
    conditions += [c for step in context.steps for c in step.where]
    conditions += [c for m in measures for c in m.where]
    used = {float(v) for m in measures for v in m.options.values() if isinstance(v, int | float)}
    used |= {float(c.value) for c in conditions if isinstance(c.value, int | float)}
    for step in context.steps:
        used |= {edge for r in step.ranges for edge in (r.low, r.high) if edge is not None}
        used |= {float(v) for v in step.options.values() if isinstance(v, int | float)}
        used |= {step.constant} if step.constant is not None else set()
    return used


def _unlinked_quote(sentence: str, context: Context) -> str | None:
    if _EXAMPLES.search(sentence):
        return None
    known = {stem(w) for slot in context.asked.slots for o in (*slot.options, *slot.parts) for w in split_name(o)}
    for match in _QUOTE.finditer(sentence):
        quoted = next(g for g in match.groups() if g).strip(" .,")
        around = sentence[max(0, match.start() - 12) : match.start()] + "~" + sentence[match.end() : match.end() + 12]
        if not re.search(r"\b(?:column|feature|variable|field)s?\b|~\S?\s+categor(?:y|ies)\b", around, re.IGNORECASE):
            continue
        if re.search(r"[()]|\w\.\w", quoted):
            continue  # the name of a function or method
        stems = {w.stem for w in words(re.sub("_", " ", quoted))}
        if (
            not quoted
            or context.mentions(quoted)
            or (stems <= known and not _called_column(around))
            or (_is_value(quoted, context) and not _called_column(around))
            or quoted in context.derived
        ):
            continue
        return f"“{quoted}” is no column and no value of the table"
    return None


def _called_column(around: str) -> bool:
    """Say whether the quoted words are said to be a column, so that being a value of one is not enough."""
    return re.search(r"~\S?\s+column\b(?!s)|\bcolumn\s+\S?~", around, re.IGNORECASE) is not None


def _is_value(text: str, context: Context) -> bool:
    lower = text.lower()
    labels = {r.label.lower() for step in context.steps for r in step.ranges} | {
        k.lower() for step in context.steps for k in step.mapping
    }
    return (
        lower in labels
        or any(lower == v.lower() for c in context.table.columns for v in c.values)
        or bool(re.fullmatch(r"[\d.,%\s-]+", text))
    )


def _unread_filter(sentence: str, context: Context, measures: list[Measure]) -> str | None:
    """A sentence that keeps or leaves out rows must have given a condition, unless it speaks of missing values."""
    if not _ONLY.search(sentence) or re.search(
        r"\bmissing|\bnull|\bnan\b|\bunknown|\bunavailable|\bblank|\bvalid\b|\boutlier|\bnumeric|\bnon-null|\bcolumns?\b|\bempty\b",
        sentence,
        re.IGNORECASE,
    ):
        return None
    conditions = [*context.filters, *(c for group in context.compared.values() for g in group for c in g)]
    conditions += [c for step in context.steps for c in step.where]
    named = {c.column for c in conditions}
    mentioned = {m.column for m in context.mentions(sentence)}
    grouped = any(len(m.options) and "least_rows" in m.options for m in measures)
    values = [str(c.value).lower() for c in conditions if c.value is not None]
    if named & mentioned or any(v in sentence.lower() for v in values) or grouped:
        return None
    return "which rows are meant was not understood: " + sentence[:80]


def refuse_unclear(outputs: list[Output], context: Context) -> tuple[list[Output], list[Refusal]]:
    """Part the outputs into the clear ones and refusals: two slots that read the same are both unclear."""
    demand = unread_demand(context, [m for o in outputs for m in o.measures])
    if demand is not None:
        return [], [Refusal(slot=o.slot, reason=demand) for o in outputs]
    seen: dict[str, list[int]] = {}
    for place, output in enumerate(outputs):
        for measure in output.measures:
            seen.setdefault(measure.model_dump_json(), []).append(place)
    twice = {place for places in seen.values() if len(places) > 1 for place in places}
    kept, refused = [], []
    for place, output in enumerate(outputs):
        if place in twice:
            refused.append(
                Refusal(slot=output.slot, reason="the part of the data this answer speaks of was not understood")
            )
        else:
            kept.append(output)
    return kept, refused
