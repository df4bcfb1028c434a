"""What a sentence speaks about, read off its wording: entity, attribute, period, value and unit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kimera.missions.contracts import About
from kimera.missions.research.mentions import Mention, find_mentions, strip_dateline
from kimera.missions.research.words import STOP, fold, words

__all__ = ["chief_mention", "period_of", "read_about"]

_ASSERTS = re.compile(
    r"(?:\b(?:is|was|are|were|be|been|being|reach(?:es|ed|ing)?|st(?:ands?|ood)|total(?:s|l?ed|l?ing)|amount(?:s|ed)|"
    r"equal(?:s|led)?|ha[sd]|have|record(?:s|ed)|report(?:s|ed)|measur(?:es|ed)|weigh(?:s|ed)|cost|costs|"
    r"employ(?:s|ed)|averag(?:es|ed)|number(?:s|ed)|score[ds]?|to|at|of)|[:=–])\s*"
    r"(?:(?:the|a|an|only|now|about|around|approximately|roughly|nearly|almost|over|under|some|just|more than|"
    r"less than|"
    r"at|to|estimated|at least|up to)\s+)*$",
    re.I,
)
_SIDE = re.compile(
    r"\b(?:by|from|than|versus|vs\.?|compared (?:to|with)|up|down|since|until|every|first|last|p|n)\s*[<>=]?\s*$",
    re.I,
)
_WHOLE = re.compile(r"^\s*(?:out of|of|to|–|-|vs\.?|±|\()\s*(?:the\s+|all\s+)?$")
_LABEL = re.compile(
    r"\b(?:table|figure|fig|section|chapter|stage|round|page|step|part|version|appendix|equation|item|question|"
    r"group|level|phase|article|volume|issue)\.?\s*$",
    re.I,
)
_VERB = (
    r"(?:is|was|are|were|has been|have been|had been|will be|ha[sd]|have|reach(?:es|ed)|st(?:ands?|ood) at|"
    r"total(?:s|l?ed)|amount(?:s|ed) to|equal(?:s|led)|ros?e|rises?|f[ae]ll(?:s)?|fallen|grew|grows|increased|"
    r"decreased|declined|dropped|climbed|"
    r"averag(?:es|ed)|exceed(?:s|ed)|came to|remain(?:s|ed)|went (?:up|down)|record(?:s|ed)|"
    r"report(?:s|ed)|measur(?:es|ed)|weigh(?:s|ed)|cost|costs|employ(?:s|ed)|number(?:s|ed))"
)
_OF = re.compile(
    r"^(?:(?:the|a|an|its|their|our)\s+)?(?P<attribute>[^,;:]+?)\s+(?:of|for|in|at|among|across|between)\s+"
    rf"(?P<entity>[^,;:]+?)(?:,[^,]*,)?\s+{_VERB}\b",
    re.I,
)
_VERBAL = re.compile(rf"\w\s+{_VERB}\b", re.I)
_OWNED = re.compile(rf"^(?P<entity>[^,;:]+?)['’]s?\s+(?P<attribute>[^,;:]+?)\s+{_VERB}\b", re.I)
_SUBJECT = re.compile(rf"^(?P<subject>[^;:]+?)\s+(?P<verb>{_VERB})\b", re.I)
_FIELD = re.compile(r"^(?P<attribute>[^:;,.]{2,60}):\s*$")
_LEAD = re.compile(
    r"^(?:(?:in|as of|by|during|since|for|at the end of|according to)\s+[^,]{2,60},\s*|"
    r"(?:overall|however|also|today|currently),?\s+)",
    re.I,
)

_UNITS = {
    name: symbol
    for symbol, names in {
        "kg": "kg kilogram kilograms", "g": "g gram grams", "mg": "mg milligram milligrams",
        "t": "t tonne tonnes ton tons", "km": "km kilometre kilometres kilometer kilometers",
        "m": "m metre metres meter meters", "cm": "cm centimetre centimetres centimeter centimeters",
        "mm": "mm millimetre millimetres millimeter millimeters", "mi": "mile miles", "ft": "ft feet foot",
        "l": "l litre litres liter liters", "ml": "ml", "s": "s second seconds", "min": "min minute minutes",
        "h": "h hour hours", "d": "day days", "wk": "week weeks", "mo": "month months", "y": "year years",
        "kwh": "kwh", "mwh": "mwh", "gwh": "gwh", "twh": "twh", "kw": "kw", "mw": "mw", "gw": "gw",
        "ha": "ha hectare hectares", "acre": "acre acres", "km/h": "km/h", "mph": "mph", "ppm": "ppm",
        "points": "points point", "%": "%", "usd": "usd dollars", "eur": "eur euros", "gbp": "gbp", "jpy": "jpy yen",
        "degrees": "degrees degree", "lb": "lb lbs pounds pound",
    }.items()
    for name in names.split()
} | {"percentage points": "percentage points"}  # fmt: skip


def chief_mention(text: str, mentions: Sequence[Mention]) -> Mention | None:
    """Return the one quantity the sentence asserts; None when there is none or when it lists several alike.

    Labels ("Table 3"), comparisons ("up from 5"), wholes ("3 of the 50") and ends of ranges stand back.
    """
    scored = [(_points(text, mention, before), mention) for mention, before in _with_previous(mentions)]
    scored = [(points, mention) for points, mention in scored if points > -1.5]
    if not scored:
        return None
    best = max(points for points, _ in scored)
    chief = next(mention for points, mention in scored if points == best)
    rivals = [m for p, m in scored if p >= 0 and m is not chief and m.unit == chief.unit and m.number != chief.number]
    return None if rivals else chief


def _with_previous(mentions: Sequence[Mention]) -> list[tuple[Mention, Mention | None]]:
    numbers = [mention for mention in mentions if mention.kind == "number" and mention.unit != "ordinal"]
    return list(zip(numbers, [None, *numbers], strict=False))


def _points(text: str, mention: Mention, previous: Mention | None) -> float:
    before = text[: mention.start]
    if _LABEL.search(before):
        return -9.0
    points = 3.0 * bool(_ASSERTS.search(before)) - 2.0 * bool(_SIDE.search(before))
    points += 1.0 * (mention.unit in _UNITS) + 0.5 * bool(mention.unit)
    if previous is not None and _WHOLE.match(text[previous.end : mention.start]):
        points -= 6.0
    return points - 2.0 * (mention.text.isalpha())


def read_about(sentence: str, heading: str = "", document_title: str = "") -> About:
    """Return what ``sentence`` speaks about, as far as its wording shows it.

    ``entity`` and ``attribute`` are lower-case words without articles; ``period`` is ``YYYY``, ``YYYY-MM``,
    ``YYYY-MM-DD`` or ``YYYY-Qn``; ``unit`` is ``%``, an ISO currency or a unit symbol in lower case; ``value`` is the
    number scaled to one ("2.5 million" gives 2500000.0). The heading, then the title, names the entity when the
    sentence does not. What cannot be read off stays None.
    """
    text = sentence[strip_dateline(sentence) :]
    mentions = find_mentions(text)
    chief = chief_mention(text, mentions)
    entity, attribute = _roles(text, mentions, chief)
    return About(
        entity=entity or _outer_entity(heading, document_title),
        attribute=attribute,
        period=period_of(mentions, heading),
        unit=_UNITS.get(chief.unit) if chief and chief.unit else None,
        value=chief.number if chief else None,
    )


def period_of(mentions: Sequence[Mention], heading: str) -> str | None:
    """Return the date the sentence names, else the one its heading names; the first of several."""
    dates = [m.value for m in mentions if m.kind == "date" and not m.value.startswith("--")]
    if not dates:
        dates = [m.value for m in find_mentions(heading) if m.kind == "date" and not m.value.startswith("--")]
    return dates[0] if dates else None


def _roles(text: str, mentions: Sequence[Mention], chief: Mention | None) -> tuple[str | None, str | None]:
    """Return entity and attribute by the first sentence pattern that fits, else by what is left around the value."""
    clause = (
        text.rfind(": ", 0, chief.start) + 1 if chief and _VERBAL.search(text[: chief.start].rpartition(": ")[2]) else 0
    )
    body = text[clause:].lstrip()
    body = body[_offset(body) :]
    counted = _counted(chief)
    for pattern in (_OWNED, _OF):
        match = pattern.match(body)
        if match and len(match["attribute"].split()) <= 6 and _plain(match["attribute"]):
            return _plain(match["entity"]), _plain(match["attribute"])
    if chief:
        field = _FIELD.match(text[: chief.start])
        if field:
            return None, _plain(field["attribute"])
    subject = _SUBJECT.match(body)
    if subject and counted:
        return _plain(subject["subject"]), counted
    names = [m for m in mentions if m.kind == "name"]
    entity = names[0].value if names else None
    return entity, _rest(text, mentions, chief)


def _offset(text: str) -> int:
    match = _LEAD.match(text)
    return match.end() if match else 0


def _counted(chief: Mention | None) -> str | None:
    """Return what is counted ("40 employees") when the word after the number is no unit of measure."""
    if chief is None or chief.unit is None or chief.unit in _UNITS:
        return None
    return chief.unit


def _rest(text: str, mentions: Sequence[Mention], chief: Mention | None) -> str | None:
    """Return the content words of the sentence outside its names, dates and quantities, at most six."""
    plain = list(text)
    for mention in mentions:
        plain[mention.start : mention.end] = " " * (mention.end - mention.start)
    kept = [w for w in words("".join(plain)) if w not in STOP and w not in _UNITS and not w.isdigit()]
    counted = _counted(chief)
    return " ".join(([counted] if counted else []) + kept[:6]) or None


def _plain(phrase: str) -> str | None:
    kept = [word for word in words(phrase) if word not in STOP and not word.isdigit()]
    return " ".join(kept) or None


def _outer_entity(heading: str, title: str) -> str | None:
    for outer in (heading, title):
        names = [m for m in find_mentions(outer) if m.kind == "name"]
        if names:
            return names[0].value
    return fold(title) or None
