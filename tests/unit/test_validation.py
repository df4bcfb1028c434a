"""Rules for what comes in, and cleaning of text."""

from __future__ import annotations

import logging
import unicodedata
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ValidationError
from kimera.validation import (
    Email,
    InRange,
    MaxLength,
    MinLength,
    NotEmpty,
    OneOf,
    Pattern,
    Validator,
    sanitize_text,
    validate_type,
    with_validation,
)

SECRET = "hunter2-rejected-value"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (MinLength(2), ["ab", [1, 2], {1: 1, 2: 2}], ["a", [], 5, None]),
        (MaxLength(2), ["ab", "", [1]], ["abc", 5, None]),
        (Pattern(r"\d+"), ["12"], ["12a", "a12", "12\n", 12, None]),
        (NotEmpty(), ["a", 0, False, [0]], [None, "", " \t", [], {}]),
        (InRange(0, 10), [0, 10, 5.5], [-1, 10.1, True, "5", float("nan"), None]),
        (OneOf(iter([1, "a"])), [1, "a"], [True, 2, "b"]),
        (
            Email(),
            ["a@b.co", "first.last+tag@sub.example.org"],
            ["a@b", "@b.co", "a@@b.co", ".a@b.co", "a.@b.co", "a..b@c.de", "ä@b.co", "a@b.co\n", "a" * 65 + "@b.co", 3],
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_rules(rule: Any, good: list[Any], bad: list[Any]) -> None:
    """Promise: each rule takes what it should and nothing else, and its repr reads as the rule."""
    assert [True] * len(good) == [rule(value) for value in good]
    assert [False] * len(bad) == [rule(value) for value in bad]
    assert repr(rule).startswith(type(rule).__name__ + "(")


def test_a_validator_collects_all_failures_in_order_and_names_the_field() -> None:
    """Promise (41): every failed rule in order, each starting with the field; a rule that raises has failed."""

    def raises(value: object) -> bool:
        raise KeyError

    validator = Validator("name").min_length(3).pattern(r"[a-z]+", "letters").add_rule(raises, "is odd").not_empty()
    ok, failures = validator.validate("1")
    assert not ok
    assert [
        "name must have at least 3 characters or items",
        "name must match letters",
        "name is odd",
    ] == failures
    failures.clear()
    assert 3 == len(validator.validate("1")[1])
    with pytest.raises(ValidationError) as caught:
        validator.check("1")
    assert ("name", "VALIDATION_NAME") == (caught.value.field, caught.value.code)
    chain = Validator("n").max_length(9).in_range(1, 2).one_of([1]).is_email()
    assert 3 == len(chain.validate(5)[1]) - 1
    assert 1 == Validator("n").in_range(1, 2).one_of([1]).check(1)


async def test_with_validation_checks_sync_and_async_functions(caplog: pytest.LogCaptureFixture) -> None:
    """Promise (42): all failures in one error, defaults checked too, and no message or log holds a rejected value."""

    @with_validation(name=MinLength(40), age=InRange(0, 150), note=Validator("remark").max_length(3))
    async def ask(name: str, age: int = 200, note: str = "") -> str:
        return name

    @with_validation(name=lambda value: value.islower())
    def now(name: str) -> str:
        return name

    with caplog.at_level(logging.DEBUG), pytest.raises(ValidationError) as caught:
        await ask(SECRET, note=SECRET)
    names = [name for name, _ in caught.value.errors]  # type: ignore[attr-defined]
    assert ["name", "age", "note"] == names
    assert "remark must have at most 3" in str(caught.value)
    assert SECRET not in str(caught.value) + repr(caught.value) + caplog.text
    assert "x" * 40 == await ask("x" * 40, 7)
    assert "low" == now("low")
    with pytest.raises(ValidationError) as one:
        now(name=SECRET.upper())
    assert "name" == one.value.field
    assert SECRET.upper() not in str(one.value)


def test_unknown_names_are_refused_at_decoration() -> None:
    """Promise (42): a validator for an argument the function does not take is a TypeError, unless it takes **kwargs."""
    with pytest.raises(TypeError, match="nam"):
        with_validation(nam=NotEmpty())(lambda name: name)

    @with_validation(nam=NotEmpty())
    def open_ended(**rest: Any) -> Any:
        return rest

    with pytest.raises(ValidationError):
        open_ended(nam="")
    assert {} == open_ended()


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (True, bool, True),
        (True, float, False),
        ([1, 2], list[int], True),
        ([1, True], list[int], False),
        ({"a": 1}, dict[str, int], True),
        ({1: 1}, dict[str, int], False),
        ((1, "a"), tuple[int, str], True),
        ((1, 2, 3), tuple[int, ...], True),
        ((1,), tuple[int, str], False),
        (None, int | None, True),
        ("a", int | str, True),
        ("a", Literal["a", "b"], True),
        (1, Literal[True], False),
        (..., Any, True),
        ([[1], ["a"]], list[list[int] | list[str]], True),
        ({1, 2}, set[int], True),
    ],
    ids=repr,
)
def test_validate_type(value: Any, kind: Any, expected: bool) -> None:
    """Promise: isinstance that looks into containers, and True is no int."""
    assert expected is validate_type(value, kind)


ODD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("a \n\t\r\x00\x1b\u200b\u200c\u200d\u202e\u2066\ufeff\u00ad\u0301\u0308\u0654"),
        st.sampled_from(
            "\U0001f468\U0001f469\U0001f1e9\U0001f1ea\U0001f3fd\ufe0f\u0915\u094d\u0937é\u1100\u1161\u11a8"
        ),
    ),
    max_size=40,
)


@given(ODD, st.integers(0, 45))
def test_sanitizing_twice_is_sanitizing_once(text: str, limit: int) -> None:
    """Promise (43): idempotent for any text and any length, in NFC, not longer than asked, without what is dropped."""
    once = sanitize_text(text, limit)
    assert once == sanitize_text(once, limit)
    assert len(once) <= limit
    assert unicodedata.normalize("NFC", once) == once
    assert not set(once) & set("\x00\x1b\u200b\u202e\u2066\ufeff\u00ad")


def test_sanitizing_keeps_what_people_write() -> None:
    """Promise (43): families, flags, accents and joined scripts stay whole; a cut never splits them."""
    family, flag = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"
    assert f"a {family} {flag}\nb" == sanitize_text(f" a {family} {flag}\nb\u202e\x07 ")
    assert "x" == sanitize_text("x" + family, 4)
    assert flag == sanitize_text(flag + flag, 3)
    assert "ab" == sanitize_text("a\u200db")
    assert "é" == sanitize_text("e\u0301")


def test_sanitizing_refuses_what_is_no_text() -> None:
    """Promise (43): not text is a TypeError, a negative length a ValueError."""
    with pytest.raises(TypeError, match="takes text"):
        sanitize_text(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 or more"):
        sanitize_text("a", -1)
