"""One quantity stated twice in other words: same unit, same thing, same time, another number."""

from __future__ import annotations

from dataclasses import dataclass

from kimera.missions.research.about import chief_mention, period_of
from kimera.missions.research.mentions import Mention, find_mentions, same_value
from kimera.missions.research.words import content_stems, stem, words

__all__ = ["Measured", "comparable", "read_measured"]

_REPORTING = frozenset(
    stem(word)
    for word in words("""
        report reports reported survey study found find finds show shows showed state states stated say says according
        figure figures data total overall approximately estimate estimated accounts account reach reached stand stood
        amount amounted number record recorded people percent percentage share
    """)
)
LEAST_SHARED, LEAST_SHARE, LEAST_JACCARD = 2, 0.75, 0.5


@dataclass(frozen=True)
class Measured:
    """A sentence with one chief quantity: its number, what is counted, the time, the names and the other words."""

    quantity: Mention
    period: str | None
    names: tuple[Mention, ...]
    stems: frozenset[str]


def read_measured(text: str, heading: str = "") -> Measured | None:
    """Return the quantity a sentence asserts, or None when there is none or several of the same unit."""
    mentions = find_mentions(text)
    quantity = chief_mention(text, mentions)
    if quantity is None or quantity.unit is None:
        return None
    plain = list(text)
    for mention in mentions:
        if mention.kind != "name":
            plain[mention.start : mention.end] = " " * (mention.end - mention.start)
    period = period_of(mentions, heading)
    stems = frozenset(content_stems("".join(plain))) - _REPORTING
    return Measured(quantity, period, tuple(m for m in mentions if m.kind == "name"), stems)


def comparable(one: Measured, other: Measured) -> bool:
    """Return whether two quantities speak of the same thing at the same time in the same unit."""
    if stem(one.quantity.unit or "") != stem(other.quantity.unit or "") or one.period != other.period:
        return False
    if one.names and other.names and not all(_known(m, other.names) for m in one.names):
        return False
    shared, either = one.stems & other.stems, one.stems | other.stems
    least = min(len(one.stems), len(other.stems))
    if one.stems - other.stems and other.stems - one.stems:
        return False  # each has a word of its own: "of male penguins" and "of gentoo penguins"
    return len(shared) >= max(LEAST_SHARED, LEAST_SHARE * least) and len(shared) >= LEAST_JACCARD * len(either)


def _known(name: Mention, names: tuple[Mention, ...]) -> bool:
    return any(same_value(name, other) for other in names)
