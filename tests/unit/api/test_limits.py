"""What a request may weigh."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.api.limits import MAX_DEPTH, Rates, read_json
from kimera.clock import FakeClock
from kimera.errors import RateLimited, ValidationError
from kimera.settings import Settings

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=30)


@given(VALUES, st.booleans())
def test_honest_json_passes(value: Any, ascii_only: bool) -> None:
    """Promise: what an ordinary encoder writes is let through, escaped or not."""
    read_json(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(st.integers(0, 3 * MAX_DEPTH), st.sampled_from(["[]", "{}"]), st.text(st.characters(exclude_categories=["Cs"])))
def test_depth_is_bounded_exactly(depth: int, kind: str, text: str) -> None:
    """Promise: 64 levels pass and 65 do not, whatever brackets stand inside strings."""
    inner = json.dumps("[{" * 100 + text)
    opening = "[" if kind == "[]" else '{"a":'
    body = (opening * depth + inner + (kind[1] * depth)).encode()
    if depth <= MAX_DEPTH:
        read_json(body)
    else:
        with pytest.raises(ValidationError, match="64 levels"):
            read_json(body)


REFUSED = {
    "not a number": b'{"a": NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "beyond a double": b"[1e400]",
    "beyond a double, negative": b"[-1e400]",
    "same key twice": b'{"a": 1, "a": 2}',
    "same key twice, escaped": b'{"a": 1, "\\u0061": 2}',
    "same key twice, deep": b'[{"b": {"a": 1, "a": 1}}]',
    "lone high surrogate": b'["\\ud800"]',
    "lone low surrogate": b'["\\uDC00x"]',
    "surrogates in the wrong order": b'["\\udc00\\ud800"]',
    "lone surrogate in a key": b'{"\\ud83d": 1}',
    "not UTF-8": b'["\xff"]',
    "surrogate as UTF-8": b'["\xed\xa0\x80"]',
    "UTF-16": '["a"]'.encode("utf-16"),
    "a mark in front": b"\xef\xbb\xbf[]",
    "a number of 309 digits": b"[" + b"9" * 309 + b"]",
    "nothing": b"",
    "half": b'{"a":',
    "two values": b"[] []",
    "a comment": b"[] // x",
    "a trailing comma": b"[1,]",
    "single quotes": b"{'a': 1}",
    "a hundred thousand levels": b"[" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000,
    "brackets after an open string": b'"' + b"[" * 100_000,
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_readers_would_read_differently_is_refused(name: str) -> None:
    """Promise: a body on which two parsers could disagree is a 422 with the reason, never an exception of ours."""
    with pytest.raises(ValidationError) as refused:
        read_json(REFUSED[name])
    assert (422, "BODY_INVALID") == (refused.value.http_status, refused.value.code)


PLACES = [
    (b'{"a": [1, {"b": NaN}]}', "a.1.b", "BODY_INVALID"),
    (b'{"a": 1, "b": {"c": 1, "c": 2}}', "b.c", "BODY_INVALID"),
    (b'{"emotives": {"joy": Infinity}}', "emotives.joy", "EMOTIVES_INVALID"),
    (b'{"vectors": [[1, 1e400]]}', "vectors.0.1", "VECTOR_INVALID"),
    (b'{"observations": [{"strings": ["a", "\\ud800"]}]}', "observations.0.strings.1", "SYMBOL_INVALID"),
    (b'{"metadata": {"\\ud800": 1}}', "metadata", "METADATA_INVALID"),
    (b'{"metadata": {"a": 1, "a": 2}}', "metadata.a", "BODY_INVALID"),
    (b'{"emotives": {"joy": NaN}', "", "BODY_INVALID"),
    (b'{"emotives": {"joy": ' + b"9" * 309 + b"}}", "emotives.joy", "EMOTIVES_INVALID"),
    (b'{"' + b"k" * 1_000 + b'": NaN}', "k" * 64, "BODY_INVALID"),
]


@pytest.mark.parametrize(("body", "place", "code"), PLACES)
def test_a_refusal_names_the_place(body: bytes, place: str, code: str) -> None:
    """Promise: the first value that cannot be held is named by its path, with the memory's code in its fields."""
    with pytest.raises(ValidationError) as refused:
        read_json(body)
    assert (place, code) == (refused.value.field, refused.value.code)


def test_a_number_that_a_double_holds_passes() -> None:
    """Promise: whole numbers of 308 digits are let through."""
    read_json(b"[" + b"9" * 308 + b", -" + b"9" * 307 + b"]")


def test_a_pair_of_surrogates_is_one_character() -> None:
    """Promise: an escaped emoji is honest."""
    read_json(b'["\\ud83d\\ude00"]')


@pytest.mark.parametrize("body", [b'"' * 400_000, b'\\"' * 400_000, b'"\\' * 400_000, b'[""' * 200_000])
@pytest.mark.timeout(2)
def test_the_check_is_linear(body: bytes) -> None:
    """Promise: quotes and backslashes in any order cost one pass."""
    with pytest.raises(ValidationError):
        read_json(b"[" * 65 + body)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_fine_or_refused(body: bytes) -> None:
    """Promise: the check raises nothing but its own refusal."""
    try:
        read_json(body)
    except ValidationError as refused:
        assert 422 == refused.http_status


async def test_a_bucket_empties_and_fills() -> None:
    """Promise: a burst of twice the rate passes, then one more per 1/rate seconds, with the wait named."""
    clock = FakeClock()
    rates = Rates(Settings(rate_per_key=10.0), clock)
    for _ in range(20):
        rates.key("a")
    with pytest.raises(RateLimited) as refused:
        rates.key("a")
    assert 0.0 < (refused.value.retry_after or 0) <= 0.1
    rates.key("b")
    await clock.advance(0.1)
    rates.key("a")
    with pytest.raises(RateLimited):
        rates.key("a")


def test_an_ipv6_network_is_one_caller() -> None:
    """Promise: changing the last 64 bits of an address does not give a new bucket; another network does."""
    rates = Rates(Settings(rate_per_address=1.0), FakeClock())
    rates.address(("2001:db8::1", 1))
    rates.address(("2001:db8::2", 1))
    with pytest.raises(RateLimited):
        rates.address(("2001:db8::ffff:1", 1))
    rates.address(("2001:db8:0:1::1", 1))
    rates.address(None)
