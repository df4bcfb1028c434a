"""Two sentences that say the same but for a negation or a pair of opposites."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kimera.missions.research.mentions import find_mentions, same_value
from kimera.missions.research.words import content_stems, stem, words

__all__ = ["Stand", "opposite", "read_stand"]

_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|none|without|cannot|[a-z]+n['’]t|fail(?:s|ed)? to|no longer|lacks?|lacked)\b", re.I
)
_OPPOSITES = """
increase decrease
rise fall
raise lower
higher lower
more less
more fewer
up down
grow shrink
gain lose
win lose
positive negative
safe unsafe
safe dangerous
effective ineffective
allow forbid
allow prohibit
permit prohibit
legal illegal
open close
true false
accept reject
approve reject
improve worsen
better worse
strengthen weaken
support oppose
enable prevent
presence absence
success failure
succeed fail
above below
majority minority
"""
_PAIRS = frozenset(
    pair
    for row in _OPPOSITES.strip().split("\n")
    for one, other in [row.split()]
    for pair in ((stem(one), stem(other)), (stem(other), stem(one)))
)
_NEGATORS = frozenset(stem(word) for word in words("no not never neither nor none without cannot fail longer lack"))
LEAST_SHARED, LEAST_JACCARD = 4, 0.8


@dataclass(frozen=True)
class Stand:
    """What a sentence says, without its negations, and whether it negates an odd number of times."""

    stems: frozenset[str]
    negated: bool
    text: str


def read_stand(text: str) -> Stand:
    """Return ``text`` read for polarity."""
    stems = frozenset(s for s in content_stems(text) if s not in _NEGATORS and not s.endswith("n't"))
    return Stand(stems, len(_NEGATION.findall(text)) % 2 == 1, text)


def opposite(one: Stand, other: Stand) -> bool:
    """Return whether both cannot hold: one negates what the other says, or one word is turned into its opposite.

    All dates, quantities and names must agree; both changes at once cancel out.
    """
    shared, either = one.stems & other.stems, one.stems | other.stems
    left, right = one.stems - other.stems, other.stems - one.stems
    turned = len(left) == len(right) == 1 and (next(iter(left)), next(iter(right))) in _PAIRS
    if len(shared) < LEAST_SHARED or (one.negated != other.negated) == turned:
        return False
    if not turned and len(shared) < LEAST_JACCARD * len(either):
        return False
    first, second = find_mentions(one.text), find_mentions(other.text)
    return all(any(same_value(m, n) for n in second) for m in first) and len(first) == len(second)
