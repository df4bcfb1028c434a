"""Credentials by their shape: every rule finds its examples and leaves the look-alikes alone."""

from __future__ import annotations

import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.guardian.checks import secrets
from kimera.guardian.checks.secrets import Rule

ALPHABETS = {
    "hex": "0123456789abcdef",
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "upper": string.ascii_uppercase + "234567",
    "word": string.ascii_letters + string.digits + "_-",
    "b64": string.ascii_letters + string.digits + "+/",
    "digits": string.digits,
    "bech": "023456789ACDEFGHJKLMNPQRSTUVWXYZ",
}
RULES: tuple[Rule, ...] = secrets._rules().rules


def filled(template: str, seed: int = 0) -> str:
    """Return an example with its placeholders as pseudo-random text that begins and ends like a word."""
    chance = random.Random(f"{template}{seed}")

    def value(match: re.Match[str]) -> str:
        alphabet, size = ALPHABETS[match[1]], int(match[2])
        edges = [character for character in alphabet if character.isalnum()]
        middle = "".join(chance.choice(alphabet) for _ in range(size - 2))
        return chance.choice(edges) + middle + chance.choice(edges)

    return re.sub(r"\{(hex|alnum|alpha|upper|word|b64|digits|bech):(\d+)\}", value, template)


def test_there_are_enough_rules_and_each_has_its_examples() -> None:
    """Promise: at least 40 rules, with two positive and two negative examples each and names of their own."""
    assert len(RULES) >= 40
    assert len(RULES) == len({rule.id for rule in RULES})
    assert [] == [rule.id for rule in RULES if len(rule.yes) < 2 or len(rule.no) < 2]
    assert [] == [word for rule in RULES for word in rule.keywords if word != word.lower()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_finds_its_examples_and_hides_them(rule: Rule) -> None:
    """Promise: each positive example, also within other text, is found by its own rule and gone after redaction."""
    for example in rule.yes:
        for seed in range(5):
            text = filled(example, seed)
            for placed in (text, f"Caf\u00e9 \U0001f600 before {text}\nand after"):
                found = [one for one in secrets.find(placed) if one.rule == rule.id]
                assert found, (rule.id, placed)
                hidden = placed[found[0].start : found[0].end]
                assert hidden not in secrets.redact(placed)
                assert f"[REDACTED:{rule.id}]" in secrets.redact(placed)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_leaves_look_alikes_alone(rule: Rule) -> None:
    """Promise: the negative examples of a rule do not fire it."""
    for example in rule.no:
        for seed in range(5):
            assert [] == [one for one in secrets.find(filled(example, seed)) if one.rule == rule.id], example


@pytest.mark.parametrize(
    "text",
    [
        "The secret of the tokens: a password is a word. Token-based access keys were discussed in section 4.2.",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12, id 123e4567-e89b-12d3-a456-426614174000",
        "doi:10.1371/journal.pone.0090081 https://a.example/b?c=1&d=2#e",
        "password = os.environ['PASSWORD']; token: str = field(default_factory=lambda: settings.token)",
    ],
)
def test_honest_text_has_no_hits(text: str) -> None:
    """Promise: hashes, identifiers, links and words about secrets are no secrets."""
    assert [] == secrets.find(text)


@given(st.text(max_size=80), st.text(max_size=80))
def test_redaction_touches_nothing_else(before: str, after: str) -> None:
    """Promise: what stands around a credential is kept, whatever the characters; positions count characters."""
    secret = filled("ghp_{alnum:36}")
    hidden = secrets.redact(f"{before} {secret} {after}")
    assert secret not in hidden
    assert secrets.redact(hidden) == hidden
    (found,) = [one for one in secrets.find(f"{before} {secret} {after}") if one.rule == "github_token"] or [None]
    assert found is None or found.start == len(before) + 1


def test_a_hit_never_shows_the_secret() -> None:
    """Promise: a finding holds a rule, a place and a keyed hash."""
    secret = filled("ghp_{alnum:36}")
    assert secret[4:] not in repr(secrets.find(secret))


def test_a_pattern_that_could_run_for_ever_is_refused() -> None:
    """Promise: rules from outside must be google-re2 patterns; a back-reference is an error that names the rule."""
    with pytest.raises(ValueError, match="secret rule looping"):
        secrets.load_rules("[[rule]]\nid='looping'\nkeywords=['a']\npattern='(a+)\\1'")


def test_rules_may_be_added_for_a_process() -> None:
    """Promise: added rules are tried after our own, and removed again by an empty list."""
    more = secrets.load_rules("[[rule]]\nid='ours'\nkeywords=['zq']\npattern='zq[0-9]{6}'")
    secrets.use_rules(more)
    try:
        assert ["ours"] == [one.rule for one in secrets.find("a zq123456 b")]
    finally:
        secrets.use_rules(())
    assert [] == secrets.find("a zq123456 b")
