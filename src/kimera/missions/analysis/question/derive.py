"""Reading steps that make new columns: arithmetic, logarithms, scaling, groups, date parts, text parts."""

from __future__ import annotations

import re
from itertools import pairwise

from kimera.missions.analysis.plan import Range, Step
from kimera.missions.analysis.question.linking import Mention, find_columns
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import NUMBER, number_of

__all__ = ["read_derivation", "read_ranges", "scaling_of"]

_NEW = re.compile(
    r"\bnew\b[^.]{0,40}?\b(?:feature|column|variable|attribute|field)s?\b|\b(?:feature|column|variable|field)\b[^.\"']{0,12}\b(?:called|named)\b|"
    r"\b(?:creat\w*|generat\w*|deriv\w*|engineer\w*|add(?:ing)?(?! ?\d))\b[^.]{0,30}\b(?:feature|column|"
    r"variable|attribute|field)\b|"
    r"\bby (?:subtracting|dividing|multiplying|adding|summing)\b|\bextract\w*\b.{1,60}\bfrom\b|"
    r"\b(?:creat\w*|generat\w*|calculat\w*|comput\w*)\s+(?:the\s+)?[\"'“][\w ]+[\"'”]\s*(?:by|as|for|feature|from)?",
    re.IGNORECASE,
)
_GROUPS = re.compile(
    r"\b(?:divid|split|categori[sz]|group|bin|classif|segment)\w*\b.{0,80}\b(?:into|as|by|groups?|categories)\b|"
    r"\bcreat\w*\b.{0,30}\b(?:categories|groups|bins)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:called|named|labell?ed)\s*:?\s*(?:as\s+)?(?:[\"'“`]([^\"'”`]+)[\"'”`]|([A-Za-z]\w*))", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"'“`]([A-Za-z][\w %/()-]{0,40})[\"'”`]")
_BARE = re.compile(r"\b(?:feature|column|variable)\s*,?\s+([A-Z]\w*[A-Z_]\w*|[a-z]+_\w+)")

_ARITHMETIC: tuple[tuple[str, str], ...] = (
    ("ratio", r"\bdivid\w+|\bratio\b|\bdivision\b|\bquotient\b"),
    ("product", r"\bmultipl\w+|\bproduct of\b|\btimes\b"),
    ("difference", r"\bsubtract\w*|\bdifference\b|\bminus\b"),
    ("average", r"\b(?:average|mean) of\b(?=.{0,80}\b(?:for each|per) row\b)|\baveraging\b"),
    ("sum", r"\bsum\w*\b|\badd(?:ing|ed|ition)?\b(?! a (?:small|new|constant))|\bplus\b|\btotal of\b"),
    ("sum", r"\bcombin\w+"),
)
_FORMULA = re.compile(r"[-+*/]")
_PARTS = (
    ("weekday", r"day of (?:the )?week|week ?day\b"),
    ("hour", r"\bhours?\b"),
    ("minute", r"\bminutes?\b"),
    ("month", r"\bmonths?\b"),
    ("quarter", r"\bquarters?\b"),
    ("year", r"\byears?\b"),
    ("week", r"\bweeks?\b"),
    ("day", r"\bdays?\b"),
)


def new_name(sentence: str, table: TableView) -> str | None:
    """Return the name a sentence gives to a new column, or None."""
    match = _NAMED.search(sentence)
    labels = [r.label for r in read_ranges(sentence)]
    if match:
        return (match[1] or match[2]).strip()
    for pattern in (_QUOTED, _BARE):
        for found in pattern.finditer(sentence):
            if any(found[1] == label for label in labels):
                continue
            if table.column(found[1]) is None and not any(c.name.lower() == found[1].lower() for c in table.columns):
                return found[1].strip()
    return None


def read_derivation(sentence: str, table: TableView, known: str | None) -> Step | None:
    """Read one sentence as the making of a column; ``known`` is the new column already spoken of."""
    fresh = _NEW.search(sentence) or _GROUPS.search(sentence)
    speaks = known is not None and re.search(
        rf"\b{re.escape(known)}\b|\bnew (?:feature|column|variable)\b", sentence, re.IGNORECASE
    )
    if not fresh and not speaks:
        return None
    name = (
        new_name(sentence, table)
        if fresh and not (known and re.match(r"\W*extract", sentence, re.IGNORECASE))
        else None
    )
    name = name or known or "new_feature"
    if (
        known is None
        and not _NEW.search(sentence)
        and (len(read_ranges(sentence)) < 2 or re.search(r"p-?value|skew|correlat", sentence, re.IGNORECASE))
    ):
        return None
    hidden = re.sub(rf"[\"'“`]?{re.escape(name)}[\"'”`]?", lambda m: "~" * len(m[0]), sentence, flags=re.IGNORECASE)
    mentions = [m for m in find_columns(hidden, table) if not m.entity and m.column != name]
    for reader in (_ranges, _date_part, _logarithm, _alone, _scaled, _arithmetic):
        step = reader(hidden, name, mentions, table)
        if step is not None:
            return step
    return None


def _arithmetic(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    columns = list(dict.fromkeys(m.column for m in mentions))
    plain = [c.name for c in table.columns if c.role == "number" and c.name in columns]
    if len(plain) >= 2:
        columns = [c for c in columns if c in plain]  # ``high minus low of each day`` measures no days
    if len(columns) < 2:
        return None
    formula = _between_formula(text, mentions)
    how = formula or next((how for how, pattern in _ARITHMETIC if re.search(pattern, text, re.IGNORECASE)), None)
    if how is None:
        return None
    roles = {c.role for c in table.columns if c.name in columns}
    if (
        how == "difference"
        and ("date" in roles or re.search(r"\b(?:duration|days|elapsed)\b", text, re.IGNORECASE))
        and roles != {"number"}
    ):
        return Step(kind="duration", target=name, columns=tuple(_subtracted(text, columns)[:2]), how="days")
    if how == "difference":
        columns = _subtracted(text, columns)
    if how in {"ratio", "difference"}:
        if len(columns) != 2:
            return None
        columns = _divided(text, columns) if how == "ratio" else columns
    options = {"percent": True} if re.search(r"multipl\w+ by 100|\bpercentage\b", text, re.IGNORECASE) else {}
    return Step(
        kind="derive",
        target=name,
        columns=tuple(columns),
        how=how,
        constant=_small_constant(text),
        options=dict(options),
    )


def _between_formula(text: str, mentions: list[Mention]) -> str | None:
    """Read ``A / B``, ``A * B``, ``A + B + C``, ``A - B`` when the sign stands between two columns."""
    signs = {
        "+": "sum",
        "-": "difference",
        "*": "product",
        "/": "ratio",
        "×": "product",
        "÷": "ratio",
        "–": "difference",
    }
    found = set()
    for before, after in pairwise(mentions):
        gap = re.sub(r"[\s\"'`()]|column", "", text[before.end : after.start])
        if gap in signs:
            found.add(signs[gap])
    return found.pop() if len(found) == 1 else None


def _subtracted(text: str, columns: list[str]) -> list[str]:
    """Return minuend first: ``subtracting B from A`` turns the order."""
    return (
        columns[::-1] if re.search(r"\bsubtract\w*\b.+\bfrom\b", text, re.IGNORECASE) and len(columns) == 2 else columns
    )


def _divided(text: str, columns: list[str]) -> list[str]:
    return columns[::-1] if re.search(r"\bdivid\w+ (?:into)\b", text, re.IGNORECASE) else columns


def _small_constant(text: str) -> float | None:
    match = re.search(rf"(?:constant|add(?:ing)?)[^.\d]{{0,40}}\(?\s*({NUMBER})", text, re.IGNORECASE)
    return number_of(match[1]) if match else None


def _logarithm(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    how = log_of(text)
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.numeric]
    if how is None or not numeric:
        return None
    return Step(kind="transform", target=name, columns=(numeric[0],), how=how, constant=_small_constant(text))


def log_of(text: str) -> str | None:
    """Return which logarithm or root a text asks for: log, log10, log2, log1p, sqrt, square; None if neither."""
    if re.search(r"\blog1p\b|log\s*\(\s*(?:\w+\s*\+\s*1|1\s*\+\s*\w+)\s*\)", text, re.IGNORECASE):
        return "log1p"
    if re.search(
        r"\blog[- ]?_?10\b|\blog\w*\b.{0,50}\bbase[- ]?(?:of )?10\b|base[- ]?10.{0,20}log", text, re.IGNORECASE
    ):
        return "log10"
    if re.search(r"\blog[- ]?2\b|\blog\w*\b.{0,50}\bbase[- ]?2\b", text, re.IGNORECASE):
        return "log2"
    if re.search(r"\blog(?:arithm\w*)?\b|\blog[- ]transform\w*|\bnatural log", text, re.IGNORECASE):
        return "log"
    if re.search(r"\bsquare[- ]root\b|\bsqrt\b", text, re.IGNORECASE):
        return "sqrt"
    return "square" if re.search(r"\bsquar(?:e of|ed|ing)\b", text, re.IGNORECASE) else None


def scaling_of(text: str) -> str | None:
    """Return which scaling a text asks for: min-max, z-score, robust; None if none."""
    if re.search(
        r"\bmin[- ]?max\b|\brange (?:of "
        r")?\[?\(?0\s*(?:,|"
        r"-|to|"
        r"and)\s*1|"
        r"\bbetween "
        r"0 and "
        r"1\b.{0,30}(?:scal|normal)|"
        r"(?:scal|normal)\w*.{0,60}\b(?:between|"
        r"range(?: "
        r"of)?|"
        r"to)\s*\[?\(?0\s*(?:,|"
        r"-|to|"
        r"and)\s*1",
        text,
        re.IGNORECASE,
    ):
        return "min-max"
    if re.search(r"\brobust[- ]?scal", text, re.IGNORECASE):
        return "robust"
    if re.search(
        r"\bstandardi[sz]|\bStandardScaler|\bz-?\s?score (?:normali[sz]|standardi[sz]|scal)|normali[sz]\w* "
        r".{0,60}\bz-?\s?score",
        text,
        re.IGNORECASE,
    ):
        return "z-score"
    return "min-max" if re.search(r"\bnormali[sz](?:e|es|ed|ing|ation)\b", text, re.IGNORECASE) else None


def _scaled(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    how = scaling_of(text)
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.numeric]
    return Step(kind="transform", target=name, columns=(numeric[0],), how=how) if how and len(numeric) == 1 else None


def _alone(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    """Read a flag: 1 when the columns named are all zero (alone) or a comparison holds."""
    from kimera.missions.analysis.question.conditions import find_conditions

    if not re.search(r"\bbinary|\bindicat|\bflag\b|\bwhether\b|\b1 if\b|\bTrue if\b|\bboolean\b", text, re.IGNORECASE):
        return None
    found = [f.condition for f in find_conditions(text, table)]
    return Step(kind="flag", target=name, where=tuple(found)) if found else None


def _date_part(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    spoken = re.sub("[_~]+", " ", text) + " " + re.sub(r"_", " ", name)
    if re.search(r"\bsubtract|\bdivid|\bdifference\b", text, re.IGNORECASE):
        return None
    if not re.search(r"\bextract\w*|\bfrom (?:the )?|represents?|\bpart\b|based on", text, re.IGNORECASE):
        return None
    part = next((part for part, pattern in _PARTS if re.search(pattern, spoken, re.IGNORECASE)), None)
    dated = [
        m.column for m in mentions if (c := table.column(m.column)) is not None and (c.role == "date" or c.date_format)
    ]
    name = part if name == "new_feature" and part else name
    return Step(kind="part", target=name, columns=(dated[-1],), how=part) if part and dated else None


_LABEL = r"[\"'“]?(?P<label>[A-Za-z][\w &/-]{0,30}?)[\"'”]?"
_NOUN = r"(?:[A-Za-z_]+ (?:of )?)??"
_SPAN = (
    rf"(?P<low>{NUMBER})\s*(?P<lop><=?)\s*[A-Za-z_ ]+?\s*(?P<hop><=?)\s*(?P<high>{NUMBER})",
    rf"[A-Za-z_ ]*?(?P<op><=|>=|<|>|≤|≥|under|"
    rf"below|less "
    rf"than or "
    rf"equal to|"
    rf"less than|fewer than|"
    rf"up to|"
    rf"at most|"
    rf"above|"
    rf"over|greater than or "
    rf"equal to|greater than|"
    rf"more than|at "
    rf"least)\s*\$?(?P<edge>{NUMBER})",
    rf"{_NOUN}(?:between\s+|from\s+)?(?P<from>{NUMBER}(?::\d\d)?)\s*(?:-|–|to|and)\s*"
    rf"(?P<to>{NUMBER}(?::\d\d)?)",
    rf"{_NOUN}(?P<open>{NUMBER})\s*(?:years\s*)?(?:old\s*)?(?:\+|(?:and|or) (?:above|older|over|more|higher|up))",
    rf"{_NOUN}(?P<shut>{NUMBER})\s*(?:years\s*)?(?:old\s*)?(?:(?:and|or) (?:below|younger|under|less|lower))",
)


def read_ranges(text: str) -> tuple[Range, ...]:
    """Read named groups with their bounds: ``'Child' (0-12), 'Adult' (13 to 60), 'Senior' (60+)``.

    Whole-number spans such as 0-12 and 13-19 close on both ends; a following group that starts where the last one
    ended takes the edge for itself.
    """
    found: dict[int, Range] = {}
    for k, span in enumerate(_SPAN):
        for match in re.finditer(rf"{_LABEL}\s*(?:\(|:|=|\bfor|\bif|\bwhen)\s*{span}", text, re.IGNORECASE):
            place = match.start("label")
            if all(abs(place - other) > 2 for other in found):
                made = _range(match, k)
                if made is not None:
                    found[place] = made
    if found:
        other = re.search(
            rf"[,;]\s*(?:and\s+|or\s+)?{_LABEL}\s+(?:otherwise|for (?:all |the )?(?:others?|rest))|"
            rf"otherwise,?\s+{_LABEL.replace('label', 'last')}\s*(?:$|\.|,|\))",
            text,
            re.IGNORECASE,
        )
        if other:
            found[len(text)] = Range(label=(other["label"] or other["last"]).strip())
    ordered = [found[place] for place in sorted(found)]
    return tuple(_shared_edges(ordered))


def _range(match: re.Match[str], kind: int) -> Range | None:
    label = re.split(
        r"\b(?:into|and|or|as|is|the|groups?|categories|follows|like|with|for)\s+",
        match["label"].strip(),
        flags=re.IGNORECASE,
    )[-1]
    if kind == 0:
        low, high = number_of(match["low"]), number_of(match["high"])
        return Range(label=label, low=low, high=high, low_open=match["lop"] == "<", high_open=match["hop"] == "<")
    if kind == 1:
        edge, op = number_of(match["edge"]), match["op"].lower()
        closed = op in {"<=", ">=", "≤", "≥", "up to", "at most", "at least"} or "equal" in op
        if op in {"<", "<=", "≤", "under", "below", "up to", "at most"} or op.startswith(("less", "fewer")):
            return Range(label=label, high=edge, high_open=not closed)
        return Range(label=label, low=edge, low_open=not closed)
    if kind == 2:
        low, high = _clock(match["from"]), _clock(match["to"])
        return Range(label=label, low=low, high=high, high_open=False) if low is not None and high is not None else None
    if kind == 3:
        return Range(label=label, low=number_of(match["open"]))
    return Range(label=label, high=number_of(match["shut"]), high_open=False)


def _clock(text: str) -> float | None:
    if ":" in text:
        hours, minutes = text.split(":")
        return float(hours) + float(minutes) / 60
    return number_of(text)


def _shared_edges(ranges: list[Range]) -> list[Range]:
    """Give an edge named twice to the upper group, and close the gap between whole numbers (12 | 13) downwards."""
    result = []
    for item in ranges:
        if item.high is not None and not item.high_open:
            later = [
                r.low for r in ranges if r is not item and r.low is not None and not r.low_open and r.low >= item.high
            ]
            nearest = min(later, default=None)
            if nearest is not None and nearest - item.high <= 1 and (nearest > item.high or item.low is not None):
                result.append(item.model_copy(update={"high": nearest, "high_open": True}))
                continue
        result.append(item)
    return result


def _ranges(text: str, name: str, mentions: list[Mention], table: TableView) -> Step | None:
    ranges = read_ranges(text)
    numeric = [m.column for m in mentions if (c := table.column(m.column)) is not None and c.role in {"number", "date"}]
    if len(ranges) < 2:
        return None
    column = numeric[0] if numeric else _named_inside(name, table)
    if column is None:
        return None
    view = table.column(column)
    clock = re.search(r"\d:\d\d", text)
    how = "hour" if clock or (view is not None and view.role == "date") else ""
    return Step(kind="bin", target=name, columns=(column,), how=how, ranges=ranges)


def _named_inside(name: str, table: TableView) -> str | None:
    """Find the column a group name is made of, as Age in AgeGroup."""
    from kimera.missions.analysis.question.words import split_name

    parts = set(split_name(name))
    fits = [c.name for c in table.columns if c.numeric and set(split_name(c.name)) <= parts]
    return fits[0] if len(fits) == 1 else None
