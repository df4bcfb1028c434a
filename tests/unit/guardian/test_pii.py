"""Personal data by its form, with check digits where the form has them, and the redactor of the logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kimera.errors import ConfigurationError
from kimera.guardian import redactor
from kimera.guardian.checks import pii
from kimera.settings import Settings


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("EMAIL", "jane.doe+x@mail.example.org"),
        ("EMAIL", "j@a-b.co"),
        ("IBAN", "GB82 WEST 1234 5698 7654 32"),
        ("IBAN", "DE89370400440532013000"),
        ("IBAN", "BE68 5390 0754 7034"),
        ("CARD", "4111 1111 1111 1111"),
        ("CARD", "5500005555555559"),
        ("CARD", "3400-000000-00009"),
        ("IP", "93.184.215.14"),
        ("IP", "10.1.2.3"),
        ("IP", "2606:4700::1111"),
        ("US_SSN", "078-05-1120"),
    ],
)
def test_each_form_is_found_where_it_stands(rule: str, value: str) -> None:
    """Promise: a value of each type is found alone and in prose, at its place, and redacted under its rule."""
    for before, after in (("", ""), ("Caf\u00e9 (", ")."), ("at ", " AND so on"), ('{"x": "', '"}')):
        text = f"{before}{value}{after}"
        assert [(rule, len(before), len(before) + len(value))] == [(h.rule, h.start, h.end) for h in pii.find(text)]
        assert f"{before}[REDACTED:{rule}]{after}" == pii.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "GB82 WEST 1234 5698 7654 33",
        "4111 1111 1111 1112",
        "3.4111111111111111",
        "0000 0000 0000 0000",
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "999.1.1.1",
        "127.0.0.1 and ::1 and ::",
        "11:36:12",
        "std::vector and abc::def",
        "2026-11-20T11:36:12.123456Z",
        "user@localhost",
        "p = 0.001, n = 12 345 678",
    ],
)
def test_look_alikes_are_left_alone(text: str) -> None:
    """Promise: wrong check digits, numbers never issued, times and names are no personal data."""
    assert [] == pii.find(text)


def test_what_cannot_be_tried_is_said() -> None:
    """Promise: without the phone package the phone rule is named as unavailable, and found numbers need it."""
    text = "call +1 650-253-0000 please"
    found = {hit.rule for hit in pii.find(text)}
    assert (found == {"PHONE"}) != ("PHONE" in pii.unavailable())


@given(st.text(max_size=200))
def test_any_text_can_be_read_twice(text: str) -> None:
    """Promise: no text raises, and a redacted text has nothing left to redact."""
    hidden = pii.redact(text)
    assert hidden == pii.redact(hidden)


def settings(url: str) -> Settings:
    return Settings(database_url=SecretStr(url))


def test_the_redactor_hides_configured_secrets_credentials_and_people() -> None:
    """Promise: a log line loses a configured password in any disguise, credentials and e-mail addresses."""
    redact = redactor(settings("postgresql://app:Xy7%2Fquite-long@db.example/k"), also=("canary-0123456789",))
    shown = redact("Xy7/quite-long Xy7%2Fquite-long yranac canary-0123456789 a@b.example AKIA" + "ABCDEFGHIJKLMNOP")
    assert "quite" not in shown
    assert "0123456789" not in shown
    assert "yranac [REDACTED:SECRET_EXACT] [REDACTED:EMAIL] [REDACTED:aws_access_key]" in shown


def test_a_short_password_does_not_stop_the_start_and_is_hidden_where_its_shape_tells() -> None:
    """Promise: only what can be told from honest words is watched for; where a server is stays readable."""
    redact = redactor(settings("postgresql://app:abc@db.example/k"))
    assert "abc cannot reach db.example" == redact("abc cannot reach db.example")
    assert "redis://app:[REDACTED:url_password]@db.example" == redact("redis://app:abc@db.example")


def test_further_rules_come_from_a_file(tmp_path: Path) -> None:
    """Promise: a file of rules adds shapes to the redactor; without it they are gone again."""
    rules = tmp_path / "rules.toml"
    rules.write_text("[[rule]]\nid='badge'\nkeywords=['badge-']\npattern='badge-[0-9]{6}'")
    assert "[REDACTED:badge]" == redactor(Settings(secret_rules=rules))("badge-123456")
    assert "badge-123456" == redactor(Settings())("badge-123456")


@pytest.mark.parametrize(
    "text", ["[[rule]]\nid='x'", "not toml", "[[rule]]\nid='x'\nkeywords=['x']\npattern='('", "a = 1"]
)
def test_rules_that_cannot_be_used_stop_the_start(text: str, tmp_path: Path) -> None:
    """Promise: a bad file of rules is a configuration error that says what to mend."""
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    with pytest.raises(ConfigurationError, match="KIMERA_SECRET_RULES"):
        redactor(Settings(secret_rules=rules))
    with pytest.raises(ConfigurationError, match="KIMERA_SECRET_RULES"):
        redactor(Settings(secret_rules=tmp_path / "nothing"))


def test_a_log_line_without_anything_to_hide_is_unchanged() -> None:
    """Promise: a usual JSON line comes out as it went in."""
    line = (
        '{"ts": "2026-11-20T11:36:12.123456Z", "level": "info", "event": "missions.started", "seconds": 1732102572.125,'
        ' "mission_id": "01JD3K7Q8Z5V6W9X0Y1A2B3C4D", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d",'
        ' "bytes": 4111111111111112}'
    )
    assert line == redactor(settings("postgresql://app:quite-a-secret@db.example/k"))(line)
