"""Whether two statements speak of the same subject when the subject stands above them and not in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from kimera.missions.research.disagreement.contracts import Statement
from kimera.missions.research.mentions import Mention, find_mentions, same_value
from kimera.missions.research.words import content_stems, stem, words

__all__ = ["other_subjects", "subject_of"]

LONGEST = 10  # words of a title; a longer one is a first line, not a name

# Words of titles that name a kind of text and not its subject.
_KINDS = frozenset(
    stem(word)
    for word in words("""
        report reports summary note notes brief briefing overview annual monthly weekly quarterly press release chapter
        appendix study protocol minutes memo update newsletter statement review plan budget results findings analysis
        introduction background methods discussion conclusion archive archived old new draft final version file page
        document text part section data table facts figures history about key main general read first second half
        january february march april may june july august september october november december
    """)
)


def other_subjects(one: Statement, other: Statement, slot: Sequence[Mention]) -> bool:
    """Return whether title and heading name different things and the sentences name nothing in common.

    "Rainfall was 512 mm" under "North station" and "Rainfall was 611 mm" under "South harbour" are no conflict. The two
    values in ``slot`` do not count as names.
    """
    values = {mention.value for mention in slot}
    first = [m for m in _names(one.text) if m.value not in values]
    second = [m for m in _names(other.text) if m.value not in values]
    if any(same_value(m, n) for m in first for n in second):
        return False
    if one.source_id == other.source_id:
        return one.heading != other.heading
    above, beside = subject_of(one.title, one.heading), subject_of(other.title, other.heading)
    return bool(above - beside) and bool(beside - above)


@lru_cache(maxsize=4096)
def _names(text: str) -> tuple[Mention, ...]:
    return tuple(mention for mention in find_mentions(text) if mention.kind == "name")


@lru_cache(maxsize=4096)
def subject_of(title: str, heading: str) -> frozenset[str]:
    """Return the stems of the names in a title and a heading, without the words for a kind of text."""
    short = [part for part in (title, heading) if len(part.split()) <= LONGEST and "." not in part.strip(". ")]
    named = {s for part in short for m in _names(part) for s in content_stems(m.text)}
    return frozenset(s for s in named - _KINDS if not s.isdigit())
