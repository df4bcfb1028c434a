"""Reading the answer format: ``@name[value]`` slots with their descriptions, rounding and options."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kimera.missions.analysis.question.words import number_of, sentences, split_name

__all__ = ["Asked", "Slot", "decimals_of", "read_format"]

_SLOT = re.compile(r"@\s*([A-Za-z_][\w .&%/+-]*?)\s*\[")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<![A-Za-z])'([^']+)'(?![A-Za-z])")
_DECIMALS = re.compile(
    r"(\w+)[- ]*(?:decimal|significant decimal)s?(?: place| point| digit)?s?|(\d+)\s*dp\b", re.IGNORECASE
)
_WHOLE = re.compile(r"nearest (?:whole number|integer|whole|unit)|\binteger|whole number", re.IGNORECASE)


@dataclass(frozen=True)
class Slot:
    """One requested answer: ``parts`` are the names in the brackets, ``about`` what the format says of it."""

    name: str
    tokens: tuple[str, ...]
    parts: tuple[str, ...]
    about: str
    options: tuple[str, ...]
    decimals: tuple[int | None, ...]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """The text before the format, the slots, what the format says first, and rounding named for everything."""

    body: str
    slots: tuple[Slot, ...]
    lead: str = ""
    decimals: int | None = None


def decimals_of(text: str) -> int | None:
    """Return the decimals a text asks for, 0 for whole numbers, None if it says nothing."""
    for match in _DECIMALS.finditer(text):
        number = number_of(match[1] or match[2])
        if number is not None and 0 <= number <= 12:
            return int(number)
    return 0 if _WHOLE.search(text) else None


def read_format(text: str) -> Asked:
    """Split a question into its body and its answer slots; without ``@name[...]`` there are no slots."""
    found = [(m, end) for m in _SLOT.finditer(text) if (end := _closing(text, m.end())) is not None]
    if not found:
        return Asked(body=text, slots=(), decimals=decimals_of(text))
    first = found[0][0].start()
    body, lead = text[:first], ""
    last_line = body.rstrip().rsplit("\n", 1)[-1]
    if re.match(r"\s*(?:for|per) (?:each|every)\b.{0,60}:\s*$", last_line, re.IGNORECASE):
        body, lead = body.rstrip()[: -len(last_line)], last_line
    described = text[first:]
    inside = [text[m.end() : end] for m, end in found]
    taken = frozenset(p.strip(" \"'").lower() for i in inside for p in (i.split(",") if _is_list(i) else [i]))
    slots = []
    for k, (match, end) in enumerate(found):
        until = found[k + 1][0].start() if k + 1 < len(found) else len(text)
        tail = text[end + 1 : until]
        slots.append(_slot(match[1].strip(), text[match.end() : end], tail, described, k + 1 == len(found), taken))
    general = [decimals_of(p) for p in sentences(_SLOT.sub("@[", described)) if _FOR_ALL.search(p)]
    return Asked(body=body, slots=tuple(slots), lead=lead, decimals=_first(*general, decimals_of(body)))


_FOR_ALL = re.compile(r"\b(?:all|each|both|every|answers?|results?|xx+|values?|numbers?)\b|_xx", re.IGNORECASE)


def _is_list(inside: str) -> bool:
    """Say whether the brackets hold several names, not one sentence with a comma."""
    return all(
        re.fullmatch(r"\s*[\"']?[\w .]{1,40}[\"']?\s*", part) and part.count(" ") < 4 for part in inside.split(",")
    ) and not (decimals_of(inside) is not None and " " in inside.strip())


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, min(len(text), start + 400)):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if depth == 0:
            return place
    line = re.match(r"\s*\{.*?(?=\n|$|\s+where\b)", text[start:])
    return start + line.end() if line else None  # ``@name[{'a': x, ...`` whose bracket was forgotten


def _keys(inside: str) -> tuple[str, ...]:
    """Return the names of ``{'month_1': a, ..., 'month_12': z}``; dots stand for the numbers between."""
    if not inside.lstrip().startswith("{"):
        return ()
    named = re.findall(r"[\"']([^\"']+)[\"']\s*:", inside)
    ends = [re.fullmatch(r"(.*?)(\d+)", key) for key in (named[0], named[-1])] if named else []
    if "..." in inside and ends and ends[0] and ends[1] and ends[0][1] == ends[1][1]:
        return tuple(f"{ends[0][1]}{k}" for k in range(int(ends[0][2]), min(int(ends[1][2]), 400) + 1))
    return () if "..." in inside else tuple(named)


def _slot(name: str, inside: str, tail: str, described: str, last: bool, taken: frozenset[str]) -> Slot:
    parts = tuple(part.strip(" \"'“”") for part in inside.split(",")) if _is_list(inside) else (inside.strip(),)
    own = "" if last or re.match(r"\W*(?:where\b|$)", tail, re.IGNORECASE) else tail
    if last and re.match(r"\s*(?::|-|\(|the\b|which\b|is\b)", tail, re.IGNORECASE):
        own = sentences(tail)[0] if sentences(tail) else ""
    notes = [_sentences_about(part, described, taken) for part in parts]
    about = " ".join(dict.fromkeys(piece for piece in [inside, own, *notes] if piece.strip()))
    options = _options(inside, about, name, taken)
    decimals = tuple(_first(decimals_of(note), decimals_of(inside), decimals_of(own)) for note in notes)
    keys = _keys(inside)
    if keys:
        parts, options, decimals = (inside.strip(),), (), decimals[:1]
    return Slot(name, tuple(split_name(name)), parts, about, options, decimals, keys)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _sentences_about(part: str, described: str, taken: frozenset[str]) -> str:
    """Return the pieces of the format text that speak of a placeholder; quoted mentions win over bare ones."""
    if not part or len(part) > 60:
        return ""
    rest = _SLOT.sub("@[", described)
    pieces = [piece for sentence in sentences(rest) for piece in _pieces(sentence, taken)]
    quoted = [
        p for p in pieces if re.search(rf"[\"'“]\s*{re.escape(part)}\s*(?:[\"'”]|,)|,\s*{re.escape(part)}[\"'”]", p)
    ]
    if quoted:
        return " ".join(quoted)
    if "_" not in part and part.islower() and len(part) < 5:
        return ""
    return " ".join(p for p in pieces if re.search(rf"(?<![\w@\[]){re.escape(part)}(?![\w\]])", p))


def _pieces(sentence: str, taken: frozenset[str]) -> list[str]:
    """Cut ``"a" is ..., and "b" is ...`` into one piece per placeholder, but leave ``"a" and "b" are`` whole."""
    edges = [0]
    for match in _NEXT_PART.finditer(sentence):
        if match[1].lower() in taken and _SAYS.search(_QUOTED.sub('""', sentence[edges[-1] : match.start()])):
            edges.append(match.start())
    return [sentence[a:b] for a, b in zip(edges, [*edges[1:], len(sentence)], strict=True)]


_SAYS = re.compile(
    r"\b(?:is|are|should|denotes?|represents?|can|could|has|have|lies|rounded|decimals?|"
    r"to (?:\d|one|two|three|four))\b",
    re.IGNORECASE,
)
_NEXT_PART = re.compile(
    r"(?:;|,|\.|\band\b)\s*(?:and\s+|while\s+|whereas\s+)?(?:where\s+)?(?=[\"“']([\w -]+)[\"”'])", re.IGNORECASE
)


def _options(inside: str, about: str, name: str, taken: frozenset[str]) -> tuple[str, ...]:
    """Return the strings an answer is chosen from, or nothing when the answer is free."""
    bare = inside.strip(" \"'")
    slashed = re.search(r"\b([A-Za-z]+(?: [a-z]+)?)\s*/\s*([A-Za-z]+(?: [a-z]+)?)(?:\s*/\s*([A-Za-z]+))?\b", bare)
    if slashed:
        return tuple(option.strip() for option in slashed.groups() if option)
    quoted = ["".join(groups).strip(" ,.") for groups in _QUOTED.findall(about)]
    placeholders = {part.strip().lower() for part in bare.split(",")} | {bare.lower(), name.lower()} | taken
    options = [q for q in dict.fromkeys(quoted) if q.lower() not in placeholders and 0 < len(q) < 60]
    if len(options) >= 2 and _CHOICE.search(about):
        return tuple(options)
    if re.search(r"\bboolean\b|\btrue\b.{0,60}\bfalse\b", about, re.IGNORECASE | re.DOTALL):
        lower = re.search(r"\btrue\b", about) and not re.search(r"\bTrue\b", about)
        return ("true", "false") if lower else ("True", "False")
    if re.search(r"\byes\b.{0,40}\bno\b", about, re.IGNORECASE | re.DOTALL) and "," not in bare:
        return ("Yes", "No") if re.search(r"\bYes\b", about) else ("yes", "no")
    return ()


_CHOICE = re.compile(
    r"\b(either|one of|can be|could be|takes? the value|should be|boolean|whether|True|Yes|if|indicat\w+|or)\b",
    re.IGNORECASE,
)
