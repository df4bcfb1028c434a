"""Alerts received: what Alertmanager tells is kept once, cut to size, and told back as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import ValidationError
from kimera.storage.alerts import MAX_ALERTS, MAX_BYTES, AlertRows, parse_alertmanager
from kimera.storage.database import open_database

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def told(status: str = "firing", fingerprint: str = "a1b2", start: datetime = START, **labels: str) -> dict[str, Any]:
    """Return one alert as Alertmanager writes it."""
    return {
        "status": status,
        "labels": {"alertname": "BreakerOpen", "severity": "ticket", **labels},
        "annotations": {
            "summary": "A breaker is open",
            "description": "Calls are refused.",
            "runbook_url": "https://example.org/docs#breakeropen",
        },
        "startsAt": start.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else (start + timedelta(minutes=5)).isoformat(),
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
    }


def payload(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """Return the body of one webhook call."""
    return json.dumps({"version": "4", "status": "firing", "receiver": "kimera", "alerts": alerts, **changes}).encode()


@pytest.fixture(params=BOTH)
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AlertRows]:
    """Yield the alerts of an empty database of each kind, on a fake clock."""
    with database_url(request.param, tmp_path) as url:
        database = open_database(url, clock=FakeClock())
        yield AlertRows(database)
        database.close()


def test_an_alert_is_told_back_as_it_was_received(rows: AlertRows) -> None:
    """Promise: name, severity, texts, labels and instants survive the database; the moment of receipt is added."""
    assert 1 == rows.receive(parse_alertmanager(payload(told(breaker="model"))))
    [alert] = rows.latest()
    assert ("BreakerOpen", "firing", "ticket", START, None) == (
        alert.name,
        alert.status,
        alert.severity,
        alert.starts_at,
        alert.ends_at,
    )
    assert ("A breaker is open", "Calls are refused.") == (alert.summary, alert.description)
    assert {"alertname": "BreakerOpen", "severity": "ticket", "breaker": "model"} == alert.labels
    assert rows.database.clock.now() == alert.received_at


def test_a_repeated_notification_is_one_row(rows: AlertRows) -> None:
    """Promise: Alertmanager's repeats and retries change nothing; a new start is news."""
    assert 1 == rows.receive(parse_alertmanager(payload(told())))
    assert 0 == rows.receive(parse_alertmanager(payload(told())))
    assert 1 == rows.receive(parse_alertmanager(payload(told(start=START + timedelta(hours=1)))))
    assert 2 == len(rows.latest())


def test_what_was_resolved_no_longer_fires(rows: AlertRows) -> None:
    """Promise: the firing list holds exactly the alerts whose last news is firing."""
    rows.receive(parse_alertmanager(payload(told(fingerprint="aa"), told(fingerprint="bb"))))
    rows.receive(parse_alertmanager(payload(told("resolved", "aa"))))
    assert ["bb"] == [alert.fingerprint for alert in rows.firing()]
    assert START + timedelta(minutes=5) == rows.latest(1)[0].ends_at


def test_rows_go_after_ninety_days(rows: AlertRows) -> None:
    """Promise: the table stays bounded in time: receiving drops what is older than 90 days."""
    clock = rows.database.clock
    assert isinstance(clock, FakeClock)
    rows.receive(parse_alertmanager(payload(told(fingerprint="01d"))))
    clock.tick(89 * 86_400.0)
    rows.receive(parse_alertmanager(payload(told(fingerprint="02d"))))
    assert 2 == len(rows.latest())
    clock.tick(2 * 86_400.0)
    rows.receive(())
    assert ["02d"] == [alert.fingerprint for alert in rows.latest()]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the JSON itself"),
        (b"[]", "the JSON itself"),
        (payload(version="3"), "version"),
        (b'{"version": "4"}', "alerts"),
        (payload(told(fingerprint="../../etc")), "fingerprint"),
        (payload({**told(), "status": "suppressed"}), "status"),
        (payload({**told(), "startsAt": "0001-01-01T00:00:00+14:00"}), "startsAt"),
        (payload({**told(), "startsAt": "2026-03-01T12:00:00"}), "startsAt"),
        (payload({**told(), "labels": {"alertname": 1}}), "alertname"),
        (payload(*[told()] * (MAX_ALERTS + 1)), "alerts"),
        (b" " * (MAX_BYTES + 1), "max_alerts"),
    ],
)
def test_another_form_is_refused_with_the_place(body: bytes, words: str) -> None:
    """Promise: what is no payload of version 4 within the limits is refused with the place and what to do next."""
    with pytest.raises(ValidationError, match=words) as refused:
        parse_alertmanager(body)
    assert "alertmanager.yml" in refused.value.message


def test_an_alert_is_cut_to_size_and_cleaned() -> None:
    """Promise: long or odd texts are cut, control characters go, a link that is no web address is dropped."""
    odd = told()
    odd["labels"] |= {f"label{number:03d}": "v" * 5_000 for number in range(100)}
    odd["annotations"] = {"summary": "x\x1b[31m\u202e" * 900, "runbook_url": "javascript:alert(1)"}
    [alert] = parse_alertmanager(payload(odd))
    assert "BreakerOpen" == alert.name
    assert "" == alert.runbook_url
    assert 16 == len(alert.labels)
    assert 128 == max(map(len, alert.labels.values()))
    assert len(alert.summary) <= 500
    assert not {"\x1b", "\u202e"} & set(alert.summary)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(repr))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes | str) -> None:
    """Promise: whatever arrives, the reader returns alerts or raises ValidationError, nothing else."""
    body = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    with pytest.raises(ValidationError):
        parse_alertmanager(body)
