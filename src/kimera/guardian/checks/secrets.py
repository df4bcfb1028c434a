"""Credentials by their shape: `find` says where, `redact` hides them.

The rules are data (``guardian/data/secret_rules.toml``). One automaton over all keywords decides which rules are tried
at all; every pattern runs under google-re2, whose time is linear in the text whatever the text is. Nothing is found by
entropy alone: on prose that flags nearly every document.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from kimera.guardian.checks.findings import Hit, hit

__all__ = ["Rule", "find", "load_rules", "redact", "use_rules"]

DATA = "data/secret_rules.toml"


@dataclass(frozen=True)
class Rule:
    """One shape of credential. ``pattern`` is compiled over ASCII bytes; see the data file for the fields."""

    id: str
    keywords: tuple[str, ...]
    pattern: Any
    entropy: float = 0.0
    digits: bool = False
    words: frozenset[str] = frozenset()
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rules:
    rules: tuple[Rule, ...]
    keywords: Any  # re2.Set over all keywords
    owners: tuple[int, ...]  # keyword number -> rule number

    def candidates(self, data: bytes) -> list[Rule]:
        """Return the rules with a keyword in the text, in their order."""
        return [
            self.rules[number] for number in sorted({self.owners[word] for word in self.keywords.Match(data) or ()})
        ]


def find(text: str) -> list[Hit]:
    """Return every credential by position; of overlapping ones the rule that stands first in the file."""
    # one byte per character keeps positions; credentials are ASCII, so what is replaced cannot be part of one
    data = text.encode("ascii", "replace")
    found: list[tuple[int, int, str]] = []
    for rule in _rules().candidates(data):
        found += [(*span, rule.id) for span in _spans(rule, data)]
    return [hit(name, text, start, end) for start, end, name in _apart(found)]


def redact(text: str) -> str:
    """Return ``text`` with each credential as ``[REDACTED:rule]``."""
    for found in reversed(find(text)):
        text = f"{text[: found.start]}[REDACTED:{found.rule}]{text[found.end :]}"
    return text


def load_rules(source: str) -> tuple[Rule, ...]:
    """Return the rules of a TOML text; raises ValueError for a pattern that google-re2 does not accept."""
    import re2

    rules = []
    for entry in tomllib.loads(source)["rule"]:
        try:
            pattern = re2.compile(entry["pattern"].encode("ascii"))
        except re2.error as wrong:
            raise ValueError(f"secret rule {entry['id']}: {wrong}") from None
        rules.append(
            Rule(
                entry["id"],
                tuple(entry["keywords"]),
                pattern,
                float(entry.get("entropy", 0)),
                bool(entry.get("digits", False)),
                frozenset(entry.get("words", ())),
                tuple(entry.get("yes", ())),
                tuple(entry.get("no", ())),
            )
        )
    return tuple(rules)


_more: tuple[Rule, ...] = ()


def use_rules(rules: Iterable[Rule]) -> None:
    """Add rules of an installed scanner to our own, for this process; ours are tried first."""
    global _more
    if (wanted := tuple(rules)) != _more:
        _more = wanted
        _rules.cache_clear()


@cache
def _rules() -> _Rules:
    import re2

    own = load_rules(resources.files("kimera.guardian").joinpath(DATA).read_text("utf-8"))
    rules = (*own, *_more)
    options = re2.Options()
    options.case_sensitive = False
    words = re2.Set.SearchSet(options)
    owners = []
    for number, rule in enumerate(rules):
        for keyword in rule.keywords:
            words.Add(re2.escape(keyword))
            owners.append(number)
    words.Compile()
    return _Rules(rules, words, tuple(owners))


def _spans(rule: Rule, data: bytes) -> list[tuple[int, int]]:
    spans = []
    for match in rule.pattern.finditer(data):
        group = match.lastindex or 0  # the only capturing groups are those of the value
        if _is_likely(rule, match.group(group)):
            spans.append((match.start(group), match.end(group)))
    return spans


def _is_likely(rule: Rule, value: bytes) -> bool:
    if rule.digits and not (any(48 <= byte <= 57 for byte in value) and any(byte > 64 for byte in value)):
        return False
    if rule.words and value.decode("ascii").lower() in rule.words:
        return False
    return rule.entropy == 0 or _entropy(value) >= rule.entropy


def _entropy(value: bytes) -> float:
    """Return Shannon's entropy in bits per character."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())


def _apart(found: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return the spans that do not overlap an earlier rule's, by position."""
    kept: list[tuple[int, int, str]] = []
    for span in found:
        if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    return sorted(kept)
