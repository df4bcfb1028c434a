"""What the search for disagreement reads and returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

__all__ = ["Disagreement", "Side", "Statement"]


@dataclass(frozen=True)
class Statement:
    """One sentence with where it comes from.

    ``series`` names the row of vintages its source belongs to (equal for report-2019 and report-2023), ``dated`` the
    date of the source, ``heading`` what stands above the sentence, ``context`` the words before it, ``title`` that of
    its document.
    """

    text: str
    source_id: str
    heading: str = ""
    dated: date | None = None
    series: str | None = None
    archived: bool = False
    relevance: float = 0.0
    context: str = ""
    title: str = ""


@dataclass(frozen=True)
class Side:
    """One of the values that cannot both hold, and the statements (by index) that assert it."""

    value: str
    statements: tuple[int, ...]


@dataclass(frozen=True)
class Disagreement:
    """Sides that exclude each other. ``current`` is the index of the side that supersedes, if one does."""

    kind: Literal["factual", "temporal", "numeric"]
    sides: tuple[Side, ...]
    reason: str
    current: int | None = None
