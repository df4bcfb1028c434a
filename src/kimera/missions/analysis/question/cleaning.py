"""Reading steps that change rows or values in place: fill, drop, duplicates, outliers, scaling, encoding, filters."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Step
from kimera.missions.analysis.question.derive import log_of, scaling_of
from kimera.missions.analysis.question.linking import Mention, find_columns
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import NUMBER, number_of

__all__ = ["outlier_rule", "read_cleaning"]

_MISSING = r"(?:missing|null|nan|na|empty|blank)\b"
_FILL = re.compile(r"\b(?:fill\w*|imput\w+|replac\w+|substitut\w+)\b", re.IGNORECASE)
_DROP = re.compile(r"\b(?:drop\w*|remov\w+|delet\w+|exclud\w+|eliminat\w+|discard\w*)\b", re.IGNORECASE)
_OUTLIER = re.compile(r"\boutliers?\b", re.IGNORECASE)


def read_cleaning(sentence: str, table: TableView) -> list[Step]:
    """Return the cleaning steps one sentence asks for, in the order they are named."""
    steps: list[Step] = []
    if re.match(r"\W*(?:if|when|assum)", sentence, re.IGNORECASE):
        return steps
    before: list[Mention] = []
    for clause in _CLAUSE.split(sentence):
        mentions = [m for m in find_columns(clause, table) if not m.entity]
        if not mentions and re.search(r"\b(?:it|them)\b", clause, re.IGNORECASE):
            mentions = before
        before = mentions or before
        for reader in (_duplicates, _fills, _drops, _outliers, _encodes, _scales, _logs):
            steps += reader(clause, mentions, table)
    return steps


_CLAUSE = re.compile(
    r",?\s+(?:and\s+)?(?:then\s+)?(?=(?:finally|normali[sz]|scal(?:e|ing)|imput|fill|drop|remov|encod|convert|replac|standardi|transform|creat|handl|delet)\w*\s(?:the|any|all|missing|a|rows|duplicate|null|outliers|it)\b)",
    re.IGNORECASE,
)


def _duplicates(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    if re.search(r"\bduplicat", text, re.IGNORECASE) and _DROP.search(text):
        return [Step(kind="drop_duplicates")]
    return []


def _fills(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    if not _FILL.search(text) or not re.search(rf"\b{_MISSING}|\bimput", text, re.IGNORECASE):
        return []
    method = re.search(
        r"\b(?:with|by|using|to|of|as|the)\b[^.]{0,40}?\b(mean|average|median|mode|most (?:frequent|"
        r"common)|zero|0|forward|ffill|backward|bfill|interpolat\w*|k-?nearest|knn)\b",
        text,
        re.IGNORECASE,
    )
    if not method:
        return []
    how = {
        "average": "mean",
        "most frequent": "mode",
        "most common": "mode",
        "0": "zero",
        "ffill": "forward",
        "bfill": "backward",
    }.get(method[1].lower(), method[1].lower())
    if how not in {"mean", "median", "mode", "zero", "forward", "backward"}:
        how = "unsupported"
    by = _same_group(text, table)
    columns = [
        m.column for m in mentions if m.column != by and (how not in {"mean", "median"} or _is_number(m.column, table))
    ]
    if not mentions:
        columns = _all_missing(text, how, table)
    return [Step(kind="fill", columns=(c,), target=c, how=how, by=by) for c in dict.fromkeys(columns)]


def _all_missing(text: str, how: str, table: TableView) -> list[str]:
    """Return the columns with missing values that ``numeric columns``, ``categorical columns`` or ``the data`` mean."""
    lacking = [c for c in table.columns if c.nulls]
    if re.search(r"\bcategorical|\btext|\bnon-?numeric|\bobject\b|\bstring", text, re.IGNORECASE):
        return [c.name for c in lacking if not c.numeric]
    if how in {"mean", "median"} or re.search(r"\bnumeric|\bnumerical|\bcontinuous", text, re.IGNORECASE):
        return [c.name for c in lacking if c.numeric]
    return [c.name for c in lacking]


def _is_number(name: str, table: TableView) -> bool:
    column = table.column(name)
    return column is not None and column.numeric


def _same_group(text: str, table: TableView) -> str | None:
    match = re.search(
        r"\b(?:of|for|within|in|by) (?:the same|each|every|that|their)\s+([\w ]{2,30})", text, re.IGNORECASE
    )
    linked = find_columns(match[1], table) if match else []
    return linked[0].column if linked else None


def _drops(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    """``remove rows with missing values in A``; ignoring missing values is what every measure does anyway."""
    if not _DROP.search(text) or not re.search(rf"\b{_MISSING}", text, re.IGNORECASE) or _FILL.search(text):
        return []
    if not re.search(
        r"\brows?\b|\brecords?\b|\bentries\b|\bdata\b|\bpassengers\b|\bvalues?\b|\bcolumns?\b", text, re.IGNORECASE
    ):
        return []
    if re.search(r"\bcolumns? (?:with|that|having|where)\b", text, re.IGNORECASE):
        return []
    columns = tuple(dict.fromkeys(m.column for m in mentions))
    if not columns and re.search(
        r"\b(?:these|those|this|both|either|the two|relevant|respective|selected)\b", text, re.IGNORECASE
    ):
        return []  # the columns that are measured: rows without a value never count there
    return [Step(kind="drop_missing", columns=columns)]


def outlier_rule(text: str) -> dict[str, float | str]:
    """Return how outliers are meant: method ``iqr`` or ``z``, factor or threshold, side, ddof."""
    rule: dict[str, float | str] = {"method": "iqr", "factor": 1.5, "side": "both"}
    iqr = re.search(r"\bIQR\b|interquartile|inter-quartile|\bquartile", text, re.IGNORECASE)
    z_score = re.search(r"\bz[- ]?scores?\b|standard deviations? (?:away|from|above|below)", text, re.IGNORECASE)
    defined = re.search(r"Q1\s*-\s*1\.5|1\.5\s*(?:x|\*|times)?\s*(?:the )?IQR", text, re.IGNORECASE)
    if z_score and not defined:
        rule = {"method": "z", "threshold": _threshold(text), "side": "both", "ddof": 0}
        above = re.search(
            r"z-?\s?scores? (?:is |are |of )?(?:greater|more|above|larger|higher|exceed)", text, re.IGNORECASE
        )
        if above and not re.search(r"absolute|less than|below|\bor\b.{0,30}-|\+/-|±|\|", text, re.IGNORECASE):
            rule["side"] = "both" if re.search(r"absolute", text, re.IGNORECASE) else "high"
        if re.search(r"\bsample standard deviation\b|\bddof ?= ?1\b", text, re.IGNORECASE):
            rule["ddof"] = 1
    elif iqr or defined:
        factor = re.search(rf"({NUMBER})\s*(?:x|\*|times)?\s*(?:the )?(?:IQR|interquartile)", text, re.IGNORECASE)
        rule["factor"] = number_of(factor[1]) or 1.5 if factor else 1.5
    else:
        rule["method"] = "unsaid"
    return rule


def _threshold(text: str) -> float:
    for pattern in (
        rf"z[- ]?scores?[^;]{{0,40}}?less than\s*-\s*({NUMBER}) or",
        rf"threshold\s*(?:value\s*)?(?:of|is|=|:|as|to)?\s*(?:\+/-|±)?\s*({NUMBER})",
        rf"z[- ]?scores?[^.;]{{0,60}}?(?:greater|more|above|larger|higher|exceed\w*|>)\s*(?:than)?\s*(?:or "
        rf"equal to\s*)?(?:\+/-|±|\+)?\s*({NUMBER})",
        rf"({NUMBER})\s*(?:or more )?standard deviations?",
    ):
        match = re.search(pattern, text, re.IGNORECASE)
        value = number_of(match[1]) if match else None
        if value:
            return abs(value)
    return 3.0


def _outliers(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    if not _OUTLIER.search(text) or not _DROP.search(text) or re.search(r"\bignor\w+\b", text, re.IGNORECASE):
        return []
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.numeric]
    return [Step(kind="drop_outliers", columns=tuple(dict.fromkeys(numeric)))]


def _encodes(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    if re.search(r"one-?hot|dummy", text, re.IGNORECASE) and re.search(r"\bencod|\bdumm", text, re.IGNORECASE):
        return [Step(kind="encode", columns=(m.column,), target=m.column, how="unsupported") for m in mentions]
    if not re.search(
        r"\b(?:label[- ])?encod\w+|\bbinary format\b|\bto binary\b|\bcoded as\b|numerical (?:format|values?)",
        text,
        re.IGNORECASE,
    ):
        return []
    steps = []
    for mention in mentions:
        column = table.column(mention.column)
        if column is not None and column.role in {"text", "flag"} and 1 < column.unique <= 50:
            steps.append(
                Step(
                    kind="encode",
                    columns=(column.name,),
                    target=column.name,
                    how="label",
                    mapping=_codes(text, column.values),
                )
            )
    return steps


def _codes(text: str, values: tuple[str, ...]) -> dict[str, int]:
    """Read ``male is coded as 1``; without a code a value takes its place in alphabetical order."""
    codes = {}
    for value in values:
        match = re.search(
            rf"[\"'“]?\b{re.escape(value)}\b[\"'”]?\s*(?:is|as|to|=|:|->|coded|encoded|will|be|\s)*\s*[\"']?(\d)\b",
            text,
            re.IGNORECASE,
        )
        if match:
            codes[value] = int(match[1])
    if len(codes) == len(values) or not values:
        return codes
    if len(codes) == len(values) - 1 and set(codes.values()) <= {0, 1} and len(values) == 2:
        left = next(v for v in values if v not in codes)
        return {**codes, left: 1 - next(iter(codes.values()))}
    return {value: k for k, value in enumerate(sorted(values))}


def _scales(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    how = scaling_of(text)
    if (
        how is None
        or _OUTLIER.search(text)
        or re.search(r"\bencod", text, re.IGNORECASE)
        or (
            re.search(r"normali[sz]ed? (?:feature|column)", text)
            and not re.search(r"\b(?:normali[sz]e|standardi[sz]e|scale|appl\w+|using)\b", text, re.IGNORECASE)
        )
    ):
        return []
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.numeric]
    return [Step(kind="transform", target=c, columns=(c,), how=how) for c in dict.fromkeys(numeric)]


def _logs(text: str, mentions: list[Mention], table: TableView) -> list[Step]:
    how = log_of(text)
    if how is None or re.search(
        r"\bmean[- ]squared?|logistic|\bsquared (?:error|value)|r-?\s?squared|least squares|chi", text, re.IGNORECASE
    ):
        return []
    if not re.search(r"\btransform|\bappl(?:y|ying|ied)\b|\btak(?:e|ing)\b|\bconvert", text, re.IGNORECASE):
        return []
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.numeric]
    constant = re.search(rf"(?:constant|add(?:ing)?)[^.\d]{{0,40}}\(?\s*({NUMBER})", text, re.IGNORECASE)
    value = number_of(constant[1]) if constant else None
    return [Step(kind="transform", target=c, columns=(c,), how=how, constant=value) for c in dict.fromkeys(numeric)]
