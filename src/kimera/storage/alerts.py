"""Alerts received from Alertmanager: the webhook payload (version 4), read with limits, and the rows it becomes.

One row per piece of news: Alertmanager repeats what still fires, and the same fingerprint, status and start arriving
again changes nothing. What is kept of one alert fits into 8 KiB whatever was sent; nothing of it is ever executed,
fetched or rendered unescaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic import ValidationError as WrongShape
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from kimera.errors import ValidationError
from kimera.storage.blobs import canonical_json
from kimera.storage.database import Database
from kimera.storage.schema import alerts
from kimera.validation import sanitize_text

__all__ = ["MAX_ALERTS", "MAX_BYTES", "Alert", "AlertRows", "parse_alertmanager"]

MAX_BYTES = 1 << 20
"""Largest payload that is read; deploy/observability/alertmanager.yml sends at most 100 alerts, about 200 KB."""
MAX_ALERTS = 500
MAX_LABELS = 16
NAME_LENGTH = 64
VALUE_LENGTH = 128
TEXT_LENGTH = 500
KEEP_SECONDS = 90 * 86_400.0
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_INSTANT = datetime(9000, 1, 1, tzinfo=UTC)
SEVERITIES = frozenset({"page", "ticket", "info"})

LINK = re.compile(r"https?://|docs/[\w./-]+(#[\w-]+)?$")
"""A runbook's address: on the web, or in our own documentation."""

NEWS = ["fingerprint", "status", "starts_at"]
INSERT = {
    "sqlite": insert_sqlite(alerts).on_conflict_do_nothing(index_elements=NEWS).returning(alerts.c.id),
    "postgresql": insert_postgres(alerts).on_conflict_do_nothing(index_elements=NEWS).returning(alerts.c.id),
}
PRUNE = alerts.delete().where(alerts.c.received_at < sa.bindparam("before"))
LATEST = sa.select(alerts.c.received_at, alerts.c.body).order_by(alerts.c.id.desc()).limit(sa.bindparam("most"))
_newest = sa.select(sa.func.max(alerts.c.id)).group_by(alerts.c.fingerprint)
FIRING = (
    sa.select(alerts.c.received_at, alerts.c.body)
    .where(alerts.c.id.in_(_newest), alerts.c.status == "firing")
    .order_by(alerts.c.id.desc())
    .limit(sa.bindparam("most"))
)


@dataclass(frozen=True)
class Alert:
    """One alert as it was told: instants are UTC, texts are cut and free of control characters."""

    fingerprint: str
    name: str
    status: Literal["firing", "resolved"]
    severity: str
    starts_at: datetime
    ends_at: datetime | None
    summary: str
    description: str
    runbook_url: str
    labels: dict[str, str]
    received_at: datetime | None = None


class _Told(BaseModel):
    """One element of the payload's ``alerts``; fields that Alertmanager may add later are not read."""

    model_config = ConfigDict(extra="ignore", strict=True)  # instants are texts: a number is no date

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt", ge=EARLIEST, le=LATEST_INSTANT)]
    ends_at: Annotated[AwareDatetime | None, Field(alias="endsAt")] = None
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]


class _Payload(BaseModel):
    """The webhook's body, https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"]
    alerts: Annotated[list[_Told], Field(max_length=MAX_ALERTS)]


def parse_alertmanager(body: bytes) -> tuple[Alert, ...]:
    """Return the alerts of one webhook call; raises `ValidationError` for another form, version or size."""
    if len(body) > MAX_BYTES:
        raise ValidationError(
            f"The payload has {len(body)} bytes, at most {MAX_BYTES} are read; set max_alerts in alertmanager.yml.",
            "alerts",
        )
    try:
        payload = _Payload.model_validate_json(body)
    except WrongShape as wrong:
        where = "; ".join(sorted({".".join(str(part) for part in error["loc"]) for error in wrong.errors()[:5]}))
        raise ValidationError(
            f"This is no Alertmanager webhook payload of version 4 (wrong: {where or 'the JSON itself'}); "
            "point the webhook of deploy/observability/alertmanager.yml here.",
            "alerts",
        ) from None
    return tuple(_alert(told) for told in payload.alerts)


def _alert(told: _Told) -> Alert:
    labels = _short(told.labels)
    severity = labels.get("severity", "")
    return Alert(
        fingerprint=told.fingerprint,
        name=labels.get("alertname", "unnamed"),
        status=told.status,
        severity=severity if severity in SEVERITIES else "info",
        starts_at=told.starts_at.astimezone(UTC),
        # Alertmanager writes year 1 for "not ended", which no timestamp of ours could hold
        ends_at=told.ends_at.astimezone(UTC) if told.ends_at and EARLIEST < told.ends_at < LATEST_INSTANT else None,
        summary=_text(told.annotations, "summary"),
        description=_text(told.annotations, "description"),
        runbook_url=_link(told.annotations),
        labels=labels,
    )


def _short(labels: Mapping[str, str]) -> dict[str, str]:
    """Return at most `MAX_LABELS` labels; the name and the severity always stay."""
    order = sorted(labels, key=lambda name: (name not in {"alertname", "severity"}, name))
    return {
        sanitize_text(name, NAME_LENGTH): sanitize_text(labels[name], VALUE_LENGTH)
        for name in sorted(order[:MAX_LABELS])
    }


def _text(annotations: Mapping[str, str], name: str) -> str:
    return sanitize_text(annotations.get(name, ""), TEXT_LENGTH)


def _link(annotations: Mapping[str, str]) -> str:
    link = _text(annotations, "runbook_url")
    return link if LINK.match(link) else ""  # a page will make an anchor of it


class AlertRows:
    """The alerts received, newest first."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def receive(self, told: Sequence[Alert]) -> int:
        """Store what is news and drop what is older than 90 days; returns how many rows are new."""
        now = self.database.clock.now()
        rows = [_row(alert, now.timestamp()) for alert in told]
        return self.database.write(lambda connection: _store(connection, rows, now.timestamp() - KEEP_SECONDS))

    def latest(self, limit: int = 100) -> list[Alert]:
        """Return the last news, firing and resolved."""
        return self._read(LATEST, limit)

    def firing(self, limit: int = 100) -> list[Alert]:
        """Return the alerts whose last news is that they fire."""
        return self._read(FIRING, limit)

    def _read(self, statement: sa.Select[Any], limit: int) -> list[Alert]:
        found = self.database.read(lambda connection: connection.execute(statement, {"most": limit}).all())
        return [_from_row(row.received_at, row.body) for row in found]


def _store(connection: sa.Connection, rows: Sequence[Mapping[str, Any]], before: float) -> int:
    connection.execute(PRUNE, {"before": before})
    insert = INSERT[connection.dialect.name]
    return sum(connection.execute(insert, row).first() is not None for row in rows)


def _row(alert: Alert, received: float) -> dict[str, Any]:
    body = asdict(alert)
    body.pop("received_at")
    return {
        "received_at": received,
        "fingerprint": alert.fingerprint,
        "name": alert.name,
        "status": alert.status,
        "starts_at": alert.starts_at.timestamp(),
        "body": canonical_json(
            {**body, "starts_at": alert.starts_at.isoformat(), "ends_at": alert.ends_at and alert.ends_at.isoformat()}
        ).decode(),
    }


def _from_row(received: float, body: str) -> Alert:
    fields = json.loads(body)
    return Alert(
        **{
            **fields,
            "starts_at": datetime.fromisoformat(fields["starts_at"]),
            "ends_at": fields["ends_at"] and datetime.fromisoformat(fields["ends_at"]),
            "received_at": datetime.fromtimestamp(received, UTC),
        }
    )
