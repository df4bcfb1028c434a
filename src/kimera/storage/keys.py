"""Keys of the gateway: 256 random bits each, shown once, stored as sha256 only.

A key reads ``kimera_<key id>.<secret>``: the part before the dot is public and names the row, so that a leaked log
line or a revocation can point at a key without holding it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from kimera.errors import ConflictError, NotFoundError, ValidationError
from kimera.storage.database import Database
from kimera.storage.schema import api_keys

__all__ = ["SCOPES", "ApiKey", "Keys", "NewKey", "digest_of", "id_of"]

SCOPES = ("read", "write", "admin")
"""Each scope holds the ones before it."""

PREFIX = "kimera_"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 12
FORM = re.compile(rf"{PREFIX}([{ALPHABET}]{{{ID_LENGTH}}})\.([A-Za-z0-9_-]{{43}})", re.ASCII)
TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
NAME_LENGTH = 128

THIS = api_keys.c.key_id == sa.bindparam("of")
INSERT = api_keys.insert()
ALL = sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)
ONE = sa.select(api_keys).where(THIS)
REVOKE = api_keys.update().where(THIS, api_keys.c.revoked_at.is_(None)).values(revoked_at=sa.bindparam("at"))
EXPIRE = (
    api_keys.update()
    .where(THIS, sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > sa.bindparam("at")))
    .values(expires_at=sa.bindparam("at"))
)
TOUCH = (
    api_keys.update()
    .where(THIS, sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < sa.bindparam("at")))
    .values(last_used_at=sa.bindparam("at"))
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key. Instants are seconds since 1970."""

    key_id: str
    sha256: str
    name: str
    tenant: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    def active(self, now: float) -> bool:
        """Return whether the key opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def matches(self, digest: str) -> bool:
        """Return whether this is the sha256 of the key, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.sha256, digest)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; ``secret`` is the whole key and exists nowhere else."""

    secret: str
    stored: ApiKey


def id_of(key: str) -> str | None:
    """Return the public id inside a key, None when it does not have a key's form."""
    found = FORM.fullmatch(key)
    return found[1] if found else None


def digest_of(key: str) -> str:
    """Return what is stored of a key: its sha256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


Note = Callable[[sa.Connection, str, ApiKey], None]


class Keys:
    """The keys of one database. ``note`` is told of each change (key.create, key.rotate, key.revoke) inside its
    transaction, so that a change and the record of it are stored together.
    """

    def __init__(self, database: Database, note: Note = lambda connection, action, key: None) -> None:
        self.database = database
        self._note = note

    def create(self, name: str, tenant: str, scope: str, *, lifetime: float | None = None) -> NewKey:
        """Make and store a key that holds ``scope`` and the scopes below it, for ``lifetime`` seconds (None: ever).

        Raises `ValidationError` naming the argument that is wrong.
        """
        _check(name, tenant, scope, lifetime)
        key_id = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
        secret = f"{PREFIX}{key_id}.{secrets.token_urlsafe(32)}"
        now = self._now()
        held = SCOPES[: SCOPES.index(scope) + 1]
        expires = None if lifetime is None else now + lifetime
        row = ApiKey(key_id, digest_of(secret), name, tenant, frozenset(held), now, expires, None, None)
        values: dict[str, object] = {
            "key_id": key_id,
            "sha256": row.sha256,
            "name": name,
            "tenant": tenant,
            "scopes": " ".join(held),
        }
        values |= {"created_at": now, "expires_at": expires}

        def work(connection: sa.Connection) -> None:
            connection.execute(INSERT, values)
            self._note(connection, "key.create", row)

        self.database.write(work)
        return NewKey(secret, row)

    def rotate(self, key_id: str, *, grace: float = 0.0) -> NewKey:
        """Make a successor with the same name, tenant, scopes and lifetime; the old key ends after ``grace`` seconds.

        Raises `NotFoundError`, or `ConflictError` for a key that opens nothing any more.
        """
        old, now = self.get(key_id), self._now()
        if not old.active(now):
            raise ConflictError(f"Key {key_id} is revoked or has expired; make a new one with `kimera keys create`.")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        widest = [scope for scope in SCOPES if scope in old.scopes][-1]
        new = self.create(old.name, old.tenant, widest, lifetime=lifetime)

        def work(connection: sa.Connection) -> None:
            connection.execute(EXPIRE, {"of": key_id, "at": now + grace})
            self._note(connection, "key.rotate", old)

        self.database.write(work)
        return new

    def revoke(self, key_id: str) -> ApiKey:
        """Let the key open nothing from now on; a second time is a no-op. Raises `NotFoundError`."""
        key = self.get(key_id)

        def work(connection: sa.Connection) -> None:
            if connection.execute(REVOKE, {"of": key_id, "at": self._now()}).rowcount == 1:
                self._note(connection, "key.revoke", key)

        self.database.write(work)
        return self.get(key_id)

    def get(self, key_id: str) -> ApiKey:
        """Return one key; raises `NotFoundError`."""
        found = self.database.read(lambda connection: connection.execute(ONE, {"of": key_id}).first())
        if found is None:
            raise NotFoundError(f"There is no key {key_id}; `kimera keys list` shows all.")
        return _key(found)

    def all(self) -> list[ApiKey]:
        """Return every key, oldest first."""
        return [_key(row) for row in self.database.read(lambda connection: connection.execute(ALL).all())]

    def active(self) -> list[ApiKey]:
        """Return the keys that open something now."""
        now = self._now()
        return [key for key in self.all() if key.active(now)]

    def touch(self, used: Iterable[tuple[str, float]]) -> None:
        """Note when keys were last used, as (key id, instant); never moves an instant back."""
        values = [{"of": key_id, "at": at} for key_id, at in used]
        if values:
            self.database.write(lambda connection: [connection.execute(TOUCH, one) for one in values])

    def _now(self) -> float:
        return self.database.clock.now().timestamp()


def _key(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    values = row._asdict()
    return ApiKey(**values | {"scopes": frozenset(values["scopes"].split())})


def _check(name: str, tenant: str, scope: str, lifetime: float | None) -> None:
    if not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
        raise ValidationError(f"A key's name has 1 to {NAME_LENGTH} printable characters; give another.", "name")
    if not TENANT.fullmatch(tenant):
        raise ValidationError(
            "A tenant's name has 1 to 64 of a-z, 0-9, dot, hyphen and underscore; give another.", "tenant"
        )
    if scope not in SCOPES:
        raise ValidationError(f"Choose one of the scopes {', '.join(SCOPES)}.", "scope")
    if lifetime is not None and not 0 < lifetime <= 10 * 365.25 * 86_400:
        raise ValidationError("A key lives longer than nothing and at most ten years.", "lifetime")
