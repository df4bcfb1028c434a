"""Known secrets are found in every listed disguise, wherever they stand and however the text is cut."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kimera.errors import ConfigurationError
from kimera.guardian.checks.canary import CanarySet

SECRET = "Tr0ub4dor&3-Zq"
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=8, max_size=24
)
AROUND = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
Disguise = Callable[[str, st.DataObject], str]


def configured(value: str) -> CanarySet:
    try:
        return CanarySet([value])
    except ConfigurationError:
        assume(False)
        raise


def as_base64(value: str, data: st.DataObject) -> str:
    before, after = data.draw(st.binary(max_size=5)), data.draw(st.binary(max_size=5))
    encode = data.draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes]))
    text = encode(before + value.encode() + after).decode("ascii")
    return text.rstrip("=") if data.draw(st.booleans()) else text


def as_hex(value: str, data: st.DataObject) -> str:
    form = data.draw(st.sampled_from(["{}", "{} ", "{}:", "\\x{}", "0x{}, ", "&#x{};", "%{}", "{}-"]))
    text = "".join(form.format(f"{byte:02x}") for byte in value.encode())
    return text.upper() if form == "{}" and data.draw(st.booleans()) else text


def as_percent(value: str, data: st.DataObject) -> str:
    assume(not re.search("%[0-9A-Fa-f]{2}", value))  # a value that is an escape itself has no single reading
    chosen = data.draw(st.lists(st.booleans(), min_size=len(value), max_size=len(value)))
    return "".join(
        "".join(f"%{byte:02X}" for byte in one.encode()) if escaped or one == "%" else one
        for one, escaped in zip(value, chosen, strict=True)
    )


def as_spread(value: str, data: st.DataObject) -> str:
    between = st.text(st.sampled_from(" \t\n\u200b\u200d\ufeff\u00ad-_."), max_size=4)
    return "".join(one + data.draw(between) for one in value)


DISGUISES: dict[str, Disguise] = {
    "raw": lambda value, data: value,
    "folded": lambda value, data: value.casefold(),
    "upper": lambda value, data: value if value.upper().casefold() != value.casefold() else value.upper(),
    "reversed": lambda value, data: value[::-1],
    "base64": as_base64,
    "hex": as_hex,
    "percent": as_percent,
    "all percent": lambda value, data: quote(value, safe=""),
    "spread": as_spread,
}


@pytest.mark.parametrize("name", DISGUISES)
@given(value=VALUES, before=AROUND, after=AROUND, data=st.data())
def test_every_disguise_is_found_between_any_text(
    name: str, value: str, before: str, after: str, data: st.DataObject
) -> None:
    """Promise: a value of at least eight characters is found in every listed encoding, at the place it stands."""
    canaries = configured(value)
    disguised = DISGUISES[name](value, data)
    text = f"{before} | {disguised} | {after}"
    hits = canaries.scan(text)
    start = len(before) + 3
    # a value of one repeated character may seem to go on in its neighbours, which is hidden with it
    assert any(hit.start < start + len(disguised) and start < hit.end for hit in hits), hits
    assert canaries.found(text)
    shown = canaries.redact(text).replace("[REDACTED:SECRET_EXACT]", "")
    assert value not in shown or value in f"{before} |  | {after}"


@given(value=VALUES, name=st.sampled_from(sorted(set(DISGUISES) - {"spread"})), data=st.data())
def test_cuts_between_chunks_hide_nothing(value: str, name: str, data: st.DataObject) -> None:
    """Promise: however a text is cut into chunks, a watch finds what is in it."""
    canaries = configured(value)
    text = "some words before " + DISGUISES[name](value, data) + " and after"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    watch = canaries.watch()
    ends = [0, *cuts, len(text)]
    assert any([watch.feed(text[start:end]) for start, end in pairwise(ends)])


@given(st.text(max_size=400))
def test_text_without_the_value_has_no_hits(text: str) -> None:
    """Promise: no false alarm on text in which the value does not stand."""
    assert [] == CanarySet(["v3ry-Unlikely-Value-42"]).scan(text)


@pytest.mark.parametrize("value", ["short", "", "a-b-c-d-e", "       x"])
def test_short_values_are_refused_without_showing_them(value: str) -> None:
    """Promise: what would be found everywhere is refused at configuration; the error does not quote it."""
    with pytest.raises(ConfigurationError, match="1 of 1 secrets") as caught:
        CanarySet([value])
    assert value.strip() == "" or value not in str(caught.value)


def test_nothing_to_watch_for_finds_nothing() -> None:
    """Promise: an empty set is allowed and finds nothing."""
    assert ([], "text", False) == (CanarySet([]).scan("text"), CanarySet([]).redact("text"), CanarySet([]).found("x"))


def test_redaction_hides_the_whole_disguise() -> None:
    """Promise: redaction covers value and separators, once each, and keeps the rest."""
    spread = " ".join(SECRET)
    hidden = CanarySet([SECRET], rule="CANARY").redact(f"a {SECRET} b {spread} c {SECRET.encode().hex()} d")
    assert "a [REDACTED:CANARY] b [REDACTED:CANARY] c [REDACTED:CANARY] d" == hidden
