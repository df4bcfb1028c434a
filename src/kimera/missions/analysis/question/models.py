"""Reading a model to fit: target, features, split, and the score asked for."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Measure, Step
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.words import NUMBER, number_of

__all__ = ["SCORES", "read_model"]

SCORES = frozenset({"r2", "rmse", "mse", "mae", "accuracy", "slope", "intercept"})
_OTHER_MODELS = re.compile(
    r"random forest|decision tree|gradient boost|\bxgboost|\bsvm\b|support vector|neural|k-?nearest|"
    r"\bknn\b|k-?means|ridge|lasso|"
    r"elastic|naive bayes|polynomial|arima|prophet|lstm|cross[- ]?validat|\bk-?fold|grid ?search",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"\b(?:predict(?:s|ing|ion of)?|forecast(?:ing)?|estimat(?:e|ing)|explain(?:ing)?|to model|"
    r"regress(?:ing|ion of)?(?= \S+ on\b))"
    r"\s+(?:the\s+)?|\b(?:target|"
    r"dependent|response|output) (?:or target )?variables?\b",
    re.IGNORECASE,
)
_FEATURES = re.compile(
    r"\bbased on|\bon\b|\busing|\bfrom\b|\bgiven\b|\bwith\b|\b(?:independent|predictor|feature|input|explanatory) "
    r"?(?:variables?|s)?\b|\bpredictors?\b|\bfeatures?\b",
    re.IGNORECASE,
)


def read_model(kind: str, slot: Slot, context: Context) -> Measure:
    """Return one score of a linear or logistic regression; anything else is refused by name."""
    other = _OTHER_MODELS.search(context.text)
    if other:
        raise Unanswerable(f"{other[0].lower()} is not among the models that can be fitted here")
    logistic = context.says(r"\blogistic")
    if not context.says(r"\bregression|\blinear\b|\bLinearRegression"):
        raise Unanswerable("the question names no model that was recognised")
    target, features = _variables(context)
    # ``of A on B and C`` with C a yes/no column: a variable of the model chooses no rows
    context.filters = tuple(c for c in context.filters if c.op != "=" or c.column not in {target, *features})
    if logistic != (kind == "accuracy"):
        raise Unanswerable(f"{kind} is not a score of this model")
    _encode_words(features, context)
    if context.column(target).role == "text" or any(
        context.column(f).role == "text" and context.column(f).unique != 2 for f in features
    ):
        raise Unanswerable("the model needs columns of numbers")
    if kind == "slope" and len(features) > 1:
        own = [c for c in context.slot_columns(slot) if c in features]
        if len(own) != 1:
            raise Unanswerable("the question does not say which coefficient")
        features = (own[0], *(f for f in features if f != own[0]))
    options: dict[str, float | str | bool | None] = {"model": "logistic" if logistic else "linear", **_split(context)}
    options["standardise"] = context.says(r"\bstandardi[sz]|\bStandardScaler") and not any(
        s.kind == "transform" for s in context.steps
    )
    options["balanced"] = context.says(r"\bbalanc\w+ the class|class_weight|\bbalanced\b") and not context.says(
        r"(?:not|n't) balance"
    )
    return Measure(kind=f"model_{kind}", columns=(target, *features), options=dict(options))


def _encode_words(features: tuple[str, ...], context: Context) -> None:
    """Give features of two words (sex, yes/no) the codes 0 and 1 in alphabetical order; other text is refused."""
    for name in features:
        column = context.column(name)
        if column.role == "text" and column.unique == 2 and len(column.values) == 2:
            codes = {value: k for k, value in enumerate(sorted(column.values))}
            context.steps = (
                *context.steps,
                Step(kind="encode", columns=(name,), target=name, how="label", mapping=codes),
            )
            context.table = context.table.with_column(name, "number")


def _split(context: Context) -> dict[str, float | None]:
    """Return the share of rows kept for testing and the seed; no split means the model sees every row."""
    text = re.sub(
        r"\b(?:no|without (?:an?|any)?|(?:do|does|is) not|don't)\s*(?:train\w*[- /](?:and )?test\w*[- ])?split\w*",
        "",
        context.text,
        flags=re.IGNORECASE,
    )
    if not re.search(
        r"\bsplit|\btest(?:ing)? set|\btrain(?:ing)?[ -](?:and )?test|\btesting sets?\b", text, re.IGNORECASE
    ):
        return {"test_share": None, "seed": None}
    share = None
    for pattern, turned in (
        (
            rf"({NUMBER})\s*%?\s*(?:of the (?:data|rows|samples|observations|records|"
            rf"dataset)\s*)?(?:is\s*)?(?:used\s*)?(?:for|"
            rf"as|in|"
            rf"to)?\s*(?:the\s*)?test",
            False,
        ),
        (r"\b\d+\s*[:/-]\s*(\d+)\b", False),
        (rf"test[_ ]size\s*(?:of|=|:|is)?\s*({NUMBER})", False),
        (
            rf"({NUMBER})\s*%\s*(?:of the (?:data|"
            rf"dataset)\s*)?(?:is\s*)?(?:used\s*)?(?:for|"
            rf"as)?\s*(?:the\s*)?train",
            True,
        ),
    ):
        match = re.search(pattern, text, re.IGNORECASE)
        value = number_of(match[1]) if match else None
        if value is not None and 0 < value < 100:
            part = value / 100 if value >= 1 else value
            share = round(1 - part, 6) if turned else part
            break
    seed = re.search(r"(?:random[_ ]?(?:state|seed)|\bseed)\b[^\d.]{0,24}(\d+)", text, re.IGNORECASE)
    return {"test_share": share if share is not None else 0.25, "seed": float(seed[1]) if seed else None}


_AS = r"\s+(?:columns?\s+)?as\s+(?:the\s+|a\s+|an\s+|our\s+)?(?:only\s+|sole\s+|single\s+)?"
_AS_TARGET = re.compile(_AS + r"(?:target|dependent|response|output|outcome)", re.IGNORECASE)
_AS_FEATURES = re.compile(_AS + r"(?:predictor|feature|independent|input|explanatory)", re.IGNORECASE)


def _roles(context: Context) -> tuple[str | None, list[str]]:
    """Read ``A and B as predictors and C as the target``."""
    target, features = None, list[str]()
    for sentence in context.sentences:
        aim, given = _AS_TARGET.search(sentence), _AS_FEATURES.search(sentence)
        mentions = context.mentions(sentence)
        if aim and target is None:
            before = [m.column for m in mentions if m.end <= aim.start() + 2]
            target = before[-1] if before else None
        if given and not features:
            since = aim.end() if aim and aim.end() < given.start() else 0
            lead = [m.end() for m in re.finditer(r"\b(?:with|using|from)\b", sentence[: given.start()], re.IGNORECASE)]
            since = lead[-1] if lead and aim is None else since
            features = [m.column for m in mentions if since <= m.start and m.end <= given.start() + 2]
    return target, [f for f in features if f != target]


def _variables(context: Context) -> tuple[str, tuple[str, ...]]:
    target, features = _roles(context)
    if target is not None and features:
        return target, tuple(dict.fromkeys(features))
    sentences = context.sentences
    for k, sentence in enumerate(sentences):
        mentions = [m for m in context.mentions(sentence) if context.column(m.column).role != "date"]
        goal = _TARGET.search(sentence)
        if goal is None:
            if (
                not features
                and target
                and re.search(r"\bpredictors?\b|\bindependent\b|\bfeatures?\b", sentence, re.IGNORECASE)
            ):
                features = [m.column for m in mentions if m.column != target]
            continue
        after = [m for m in mentions if m.start >= goal.start()] or mentions
        edge = _FEATURES.search(sentence, goal.end())
        aimed = [m for m in after if edge is None or m.start < edge.start()] or after[:1]
        if target is None and aimed:
            target = aimed[0].column
        if not features and edge is not None:
            features = [m.column for m in mentions if m.start > edge.start() and m.column != target] or _listed(
                sentences[k + 1 :], context
            )
            features = features or [m.column for m in mentions if m.column != target and m.start < goal.start()]
        if (
            context.derived
            and re.search(r"\bnew (?:feature|variable)", sentence, re.IGNORECASE)
            and context.derived[-1] not in features
        ):
            features.append(context.derived[-1])
    if target is None or not features:
        return _related(context)
    return target, tuple(dict.fromkeys(f for f in features if f != target))


def _listed(following: list[str], context: Context) -> list[str]:
    """Return the columns of list items that hold nothing but a column."""
    columns = []
    for sentence in following:
        mentions = context.mentions(sentence)
        if len(mentions) != 1 or len(sentence) > mentions[0].end - mentions[0].start + 4:
            break
        columns.append(mentions[0].column)
    return columns


def _related(context: Context) -> tuple[str, tuple[str, ...]]:
    """Read ``a linear relationship between A and B``: A explains B."""
    for sentence, end in context.with_words(r"\bbetween\b"):
        columns = [m.column for m in context.mentions(sentence) if m.start >= end and context.column(m.column).numeric]
        if len(columns) >= 2:
            return columns[1], (columns[0],)
    raise Unanswerable("the target or the features of the model were not recognised")
