"""Two sentences as one frame: the same words except for one slot that holds two values of the same type."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from kimera.missions.research.mentions import Kind, Mention, find_mentions, same_value, strip_dateline
from kimera.missions.research.words import MONTHS, STOP, fold

__all__ = ["Sentence", "Slot", "differing_slots", "read_sentence"]

_TOKEN = re.compile(r"[^\W_]+(?:[.,][\d]+)*|[$€£¥%]|[-–—;:,.()…]")
LEAST_SHARED = 4  # content words two sentences must share to be one frame
LEAST_SHARE = 0.6  # of the content words of the shorter sentence outside the slots


@dataclass(frozen=True)
class Sentence:
    """A sentence cut into tokens and typed mentions; positions are offsets into ``text``."""

    text: str
    mentions: tuple[Mention, ...]
    tokens: tuple[tuple[int, int], ...]
    folded: tuple[str, ...]
    content: frozenset[str]


@dataclass(frozen=True)
class Slot:
    """The two values that stand in the same place of two otherwise equal sentences."""

    kind: Kind
    one: Mention
    other: Mention


def read_sentence(text: str) -> Sentence:
    """Return ``text`` read for comparison, without a dateline at its start."""
    skip = strip_dateline(text)
    tokens = tuple(match.span() for match in _TOKEN.finditer(text, skip))
    folded = tuple(fold(text[a:b]) or text[a:b] for a, b in tokens)
    return Sentence(
        text=text,
        mentions=tuple(m for m in find_mentions(text) if m.start >= skip),
        tokens=tokens,
        folded=folded,
        content=frozenset(word for word in folded if word not in STOP and word[0].isalnum()),
    )


def differing_slots(one: Sentence, other: Sentence) -> list[Slot] | None:
    """Return the typed slots in which two near-identical sentences differ; None if they are not one frame.

    A difference that is no typed slot (other words, other qualifiers) means that the sentences say different things:
    None. Text that only one of them has at its end, as a cut snippet leaves it, is allowed.
    """
    if len(one.content & other.content) < LEAST_SHARED:
        return None
    regions = _regions(one, other)
    if regions is None:
        return None
    slots: list[Slot] = []
    for first, second in regions:
        slot = _slot(one, first, other, second)
        if slot is None:
            return None
        slots.append(slot)
    return slots if _shared_enough(one, other, slots) else None


def _shared_enough(one: Sentence, other: Sentence, slots: list[Slot]) -> bool:
    inside = {w for slot in slots for m in (slot.one, slot.other) for w in fold(m.text).split()}
    first, second = one.content - inside, other.content - inside
    shared = first & second
    return len(shared) >= LEAST_SHARED and len(shared) >= LEAST_SHARE * max(1, min(len(first), len(second)))


Region = tuple[tuple[int, int], tuple[int, int]]


def _regions(one: Sentence, other: Sentence) -> list[Region] | None:
    """Return the token ranges that differ, neighbours joined; None when one side only has words in the middle."""
    blocks = SequenceMatcher(None, one.folded, other.folded, autojunk=False).get_opcodes()
    regions: list[Region] = []
    for index, (tag, i1, i2, j1, j2) in enumerate(blocks):
        if tag == "equal":
            continue
        if regions and _close(one, regions[-1][0][1], i1):
            (left, _), (right, _) = regions.pop()
        else:
            left, right = i1, j1
        if tag != "replace" and index == len(blocks) - 1 and left and not (left < i2 and right < j2):
            continue  # only one goes on at the end
        regions.append(((left, i2), (right, j2)))
    kept = [r for r in regions if not (_blank(one, r[0]) and _blank(other, r[1]))]
    if any(_blank(one, first) != _blank(other, second) for first, second in kept):
        return None
    return kept


def _close(sentence: Sentence, end: int, start: int) -> bool:
    """Return whether only a comma or a function word stands between two differing ranges."""
    return start - end <= 1 and all(not w[0].isalnum() or w in STOP or w in MONTHS for w in sentence.folded[end:start])


def _blank(sentence: Sentence, region: tuple[int, int]) -> bool:
    return all(not word[0].isalnum() for word in sentence.folded[region[0] : region[1]])


def _slot(one: Sentence, first: tuple[int, int], other: Sentence, second: tuple[int, int]) -> Slot | None:
    left, right = _covering(one, first), _covering(other, second)
    if left is None or right is None or left.kind != right.kind:
        return None
    return Slot(left.kind, left, right)


def _covering(sentence: Sentence, region: tuple[int, int]) -> Mention | None:
    """Return the mention that holds the range; names that touch it are joined into one value."""
    start, end = sentence.tokens[region[0]][0], sentence.tokens[region[1] - 1][1]
    touched = [m for m in sentence.mentions if m.start < end and m.end > start]
    if not touched:
        return None
    kinds = {m.kind for m in touched}
    if "date" in kinds and kinds <= {"date", "number"}:
        return next(m for m in touched if m.kind == "date")
    if kinds == {"number"}:
        return touched[0] if len(touched) == 1 else _score(sentence, touched)
    if "name" not in kinds:
        return None
    return _joined(sentence, touched, start, end)


def _score(sentence: Sentence, touched: list[Mention]) -> Mention | None:
    """Return numbers that a dash or colon binds ("31–9", "8:30") as one value; other runs of numbers are none."""
    between = [sentence.text[a.end : b.start] for a, b in itertools.pairwise(touched)]
    if not all(re.fullmatch(r"[-–—:]?", part) for part in between):
        return None
    first, last = touched[0].start, touched[-1].end
    text = sentence.text[first:last]
    return Mention("number", first, last, text, text.replace("–", "-").replace("—", "-"))


def _joined(sentence: Sentence, touched: list[Mention], start: int, end: int) -> Mention | None:
    """Join names that touch the range ("Tampa, Florida"); other words in the range mean that it is no name."""
    names = [m for m in touched if m.kind == "name"]
    first, last = min(names[0].start, start), max(names[-1].end, end)
    rest = sentence.text[first : names[0].start] + sentence.text[names[-1].end : last]
    for left, right in itertools.pairwise(names):
        rest += " " + sentence.text[left.end : right.start]
    loose = [w for w in re.findall(r"[^\W_]+", rest) if w.lower() not in {"of", "the", "and"} and not w.isdigit()]
    if loose:
        return None
    text = sentence.text[first:last].strip(" ,;.")
    return Mention("name", first, last, text, fold(text))


def differ(slot: Slot) -> bool:
    """Return whether the two values of a slot cannot mean the same."""
    return not same_value(slot.one, slot.other)
