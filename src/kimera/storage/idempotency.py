"""Answers remembered for repeated requests: the second time a request comes, the first answer is given again.

A claim is taken before the work and completed with its answer. Whoever comes between is told to wait; a claim whose
process died is taken over after a while; everything is forgotten after a day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from kimera.errors import ConflictError, ValidationError
from kimera.storage.database import Database
from kimera.storage.schema import idempotent_requests

__all__ = ["Answer", "Claim", "Idempotency", "once"]

KEEP_SECONDS = 86_400.0
ABANDONED_SECONDS = 300.0
"""A claim this old without an answer belonged to a process that died."""

WAIT_SECONDS = 1.0
KEY_LENGTH = 128
ROUTE_LENGTH = 160

OF = (
    idempotent_requests.c.tenant == sa.bindparam("of_tenant"),
    idempotent_requests.c.key == sa.bindparam("of_key"),
)
OURS = (*OF, idempotent_requests.c.created_at == sa.bindparam("since"), idempotent_requests.c.status.is_(None))
SELECT = sa.select(idempotent_requests).where(*OF)
INSERT = idempotent_requests.insert()
FORGET = idempotent_requests.delete().where(*OF)
FORGET_OLD = idempotent_requests.delete().where(idempotent_requests.c.created_at < sa.bindparam("before"))
COMPLETE = idempotent_requests.update().where(*OURS)
RELEASE = idempotent_requests.delete().where(*OURS)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was sent. ``replayed`` tells the second time from the first."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer a request; ``since`` tells it from a later claim of the same key."""

    tenant: str
    key: str
    since: float


class Idempotency:
    """The remembered answers of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def claim(self, tenant: str, key: str, route: str, body_sha256: str) -> Claim | Answer:
        """Return the right to answer, or the answer given before.

        Raises `ValidationError` for a malformed key and (422) for a key that came with another request before,
        `ConflictError` with ``retry_after`` while the first request is being answered.
        """
        if not 0 < len(key) <= KEY_LENGTH or not key.isascii() or not key.isprintable():
            raise ValidationError(
                f"An Idempotency-Key has 1 to {KEY_LENGTH} printable ASCII characters; send another.",
                "idempotency_key",
                http_status=400,
            )
        asked = {"tenant": tenant, "key": key, "route": route[:ROUTE_LENGTH], "body_sha256": body_sha256}
        try:
            return self.database.write(lambda connection: self._claim(connection, asked))
        except IntegrityError:  # somebody else was first, between our look and our write
            return self.database.write(lambda connection: self._claim(connection, asked))

    def complete(self, claim: Claim, answer: Answer) -> None:
        """Remember the answer; a no-op for a claim that was taken over meanwhile."""
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        self.database.write(lambda connection: connection.execute(COMPLETE.values(values), _of(claim)))

    def release(self, claim: Claim) -> None:
        """Give the claim back unanswered, so that the request can be sent again."""
        self.database.write(lambda connection: connection.execute(RELEASE, _of(claim)))

    def _claim(self, connection: sa.Connection, asked: dict[str, str]) -> Claim | Answer:
        now = self.database.clock.now().timestamp()
        connection.execute(FORGET_OLD, {"before": now - KEEP_SECONDS})
        of = {"of_tenant": asked["tenant"], "of_key": asked["key"]}
        found = connection.execute(SELECT, of).first()
        if found is not None and (found.route, found.body_sha256) != (asked["route"], asked["body_sha256"]):
            raise ValidationError(
                "This Idempotency-Key was sent with another request before; use a new key for a new request.",
                "idempotency_key",
                error_code="IDEMPOTENCY_MISMATCH",
            )
        if found is not None and found.status is not None:
            headers = tuple((str(name), str(value)) for name, value in json.loads(found.headers))
            return Answer(found.status, headers, bytes(found.body), replayed=True)
        if found is not None and found.created_at > now - ABANDONED_SECONDS:
            raise ConflictError(
                "The first request with this Idempotency-Key is still being answered; send it again in a moment.",
                error_code="IDEMPOTENCY_IN_PROGRESS",
                recoverable=True,
                retry_after=WAIT_SECONDS,
            )
        if found is not None:
            connection.execute(FORGET, of)
        connection.execute(INSERT, asked | {"created_at": now})
        return Claim(asked["tenant"], asked["key"], now)


def once(
    store: Idempotency, tenant: str, key: str | None, route: str, body: bytes | str, work: Callable[[], Answer]
) -> Answer:
    """Return the answer of ``work``, or the one it gave before for this key; without a key it just works.

    ``body`` is the request's body, or its sha256 in hex. What raises is not remembered. Raises as `Idempotency.claim`.
    """
    if key is None:
        return work()
    claim = store.claim(tenant, key, route, body if isinstance(body, str) else hashlib.sha256(body).hexdigest())
    if isinstance(claim, Answer):
        return claim
    try:
        answer = work()
    except BaseException:
        store.release(claim)
        raise
    store.complete(claim, answer)
    return answer


def _of(claim: Claim) -> dict[str, object]:
    return {"of_tenant": claim.tenant, "of_key": claim.key, "since": claim.since}
