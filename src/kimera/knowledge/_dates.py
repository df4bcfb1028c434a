"""When a document says it was written, and whether it says it is no longer current."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import PurePosixPath

__all__ = ["archived_names", "date_in_name", "find_date", "is_archived", "parse_date"]

TOP = 2_500  # characters in which a document states its date

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), 1)
    for name in names.split()
}  # fmt: skip
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_FORMS = (
    re.compile(r"(?P<y>(?:19|20)\d\d)[-/.](?P<m>0?[1-9]|1[0-2])[-/.](?P<d>0?[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<b>{_MONTH}),?\s+(?P<y>(?:19|20)\d\d)", re.I),
    re.compile(rf"(?P<b>{_MONTH})\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>(?:19|20)\d\d)", re.I),
    re.compile(r"(?P<d>0?[1-9]|[12]\d|3[01])\.(?P<m>0?[1-9]|1[0-2])\.(?P<y>(?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?P<m>0?[1-9]|1[0-2])/(?P<d>0?[1-9]|[12]\d|3[01])/(?P<y>(?:19|20)\d\d)(?!\d)"),
    re.compile(rf"(?P<b>{_MONTH}),?\s+(?P<y>(?:19|20)\d\d)", re.I),
    re.compile(r"(?P<y>(?:19|20)\d\d)-(?P<m>0[1-9]|1[0-2])(?![\d-])"),
)
_YEAR = re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)(?!\d)")
_LABEL = re.compile(
    r"^[\s>*_#|-]*(?:\*\*|__)?(?:date|dated|published|publication date|date published|updated|last updated|"
    r"last modified|revised|last revised|last reviewed|issued|issue date|released|release date|effective|"
    r"effective date|as of|posted|reported|report date|version date|valid from)(?:\*\*|__)?\s*"
    r"(?:[:=]\s*|\s(?:on\s+)?)[\"'*_]*(?P<rest>[^\n]{4,60})",
    re.I | re.M,
)
_NAME = re.compile(
    r"(?<!\d)(?P<y>(?:19|20)\d\d)(?:[-_. ]?(?P<m>0[1-9]|1[0-2])(?:[-_. ]?(?P<d>0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)
_OLD_PART = re.compile(
    r"(?:^|[-_. ()\[\]])(?:archived?|archives|old|older|superseded|deprecated|obsolete|outdated|retired|previous|"
    r"withdrawn|legacy|expired)(?=$|[-_. ()\[\]])",
    re.I,
)
_OLD_TEXT = re.compile(
    r"\b(?:superseded|replaced) by\b|\bhas been (?:superseded|replaced|withdrawn|retired|archived)\b|"
    r"\bno longer (?:valid|current|in force|in effect|applies|maintained)\b|"
    r"\bthis (?:document|page|version|report|policy|file|edition) (?:is|was) "
    r"(?:an? )?(?:archived?|obsolete|outdated|deprecated|superseded|withdrawn)\b|"
    r"\bstatus\W{1,6}(?:archived|superseded|deprecated|obsolete|withdrawn|retired)\b|"
    r"^\W*(?:archived|superseded|deprecated|obsolete|withdrawn)\b\W*(?:$|version|copy|document|edition|[:\]—–-])",
    re.I | re.M,
)
_VERSION = re.compile(r"(?<![A-Za-z0-9])v(?:er(?:sion)?)?[-_ .]?(?P<n>\d+(?:\.\d+)*)(?![A-Za-z0-9])", re.I)


def parse_date(text: str) -> date | None:
    """Return the first date written in ``text``; a month or year alone is its first day."""
    best: tuple[int, date] | None = None
    for form in _FORMS:
        found = form.search(text)
        made = _made(found) if found else None
        if found and made and (best is None or found.start() < best[0]):
            best = (found.start(), made)
    return best[1] if best else None


def _made(found: re.Match[str]) -> date | None:
    parts = found.groupdict()
    month = parts.get("m") or (_MONTHS.get(parts["b"].lower().rstrip(".")) if parts.get("b") else None) or 1
    try:
        return date(int(parts["y"]), int(month), int(parts.get("d") or 1))
    except ValueError:
        return None


def find_date(name: str, title: str, text: str) -> date | None:
    """Return the date a document gives itself: labelled near its top, in its name, on a line of its own, in its title.

    Never the date of the file, which changes when it is copied.
    """
    top = text[:TOP]
    for label in _LABEL.finditer(top):
        found = parse_date(label.group("rest")) or _year_only(label.group("rest"))
        if found:
            return found
    return date_in_name(name) or _date_line(top) or parse_date(title) or _year_only(title)


def _date_line(top: str) -> date | None:
    for line in top.splitlines()[:15]:
        text = line.strip(" \t#*_>|()[]")
        if 6 <= len(text) <= 40:
            found = parse_date(text)
            letters = sum(c.isalpha() for c in text)
            if found and letters <= 24:
                return found
    return None


def _year_only(text: str) -> date | None:
    years = _YEAR.findall(text)
    return date(int(years[-1]), 1, 1) if years else None


def date_in_name(name: str) -> date | None:
    """Return the date in a file's name, as in ``report-2019-03.md``; a month or year alone is its first day."""
    found = list(_NAME.finditer(PurePosixPath(name).name))
    return _made(max(found, key=lambda match: match.end() - match.start())) if found else None


def is_archived(name: str, title: str, text: str) -> bool:
    """Return whether the path, the title or the first lines say that the document is not current any more."""
    parts = PurePosixPath(name)
    if any(_OLD_PART.search(part) for part in (*parts.parts[:-1], parts.stem)):
        return True
    return _OLD_TEXT.search(title) is not None or _OLD_TEXT.search(text[:800]) is not None


def archived_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names that carry a lower version number than a file beside them with the same name otherwise."""
    families: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for name in names:
        found = _VERSION.search(PurePosixPath(name).name)
        if found:
            stem = str(PurePosixPath(name).parent / _VERSION.sub("v*", PurePosixPath(name).stem, count=1)).lower()
            families.setdefault(stem, []).append((tuple(map(int, found.group("n").split("."))), name))
    return frozenset(name for family in families.values() for version, name in family if version < max(family)[0])
