"""The gateway's keys, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import ConflictError, NotFoundError, ValidationError
from kimera.storage.database import Database, open_database
from kimera.storage.keys import Keys, digest_of, id_of
from kimera.storage.schema import api_keys


@pytest.fixture(scope="module", params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Yield one database for the module."""
    with database_url(request.param, tmp_path_factory.mktemp("database")) as url:
        opened = open_database(url)
        yield opened
        opened.close()


@pytest.fixture
def keys(database: Database) -> Keys:
    """Return an empty key store with a clock of its own."""
    database.write(lambda connection: connection.execute(api_keys.delete()))
    database.clock = FakeClock()
    return Keys(database)


async def move(keys: Keys, seconds: float) -> None:
    """Let time pass."""
    clock = keys.database.clock
    assert isinstance(clock, FakeClock)
    await clock.advance(seconds)


def test_the_key_itself_is_nowhere_in_the_table(keys: Keys) -> None:
    """Promise: only the sha256 is stored; the secret part of the key is in no column."""
    made = keys.create("laptop", "local", "write")
    row = keys.database.read(lambda connection: connection.execute(sa.select(api_keys)).one())
    assert digest_of(made.secret) == row.sha256
    assert made.secret.partition(".")[2] not in str(row)
    assert made.stored.key_id == id_of(made.secret)


def test_a_key_has_256_random_bits(keys: Keys) -> None:
    """Promise: the secret part is 32 bytes of base64url, and no two keys share it."""
    secrets = [keys.create("k", "t", "read").secret.partition(".")[2] for _ in range(20)]
    assert {43} == {len(secret) for secret in secrets}
    assert 20 == len(set(secrets))


@pytest.mark.parametrize(
    ("scope", "held"), [("read", {"read"}), ("write", {"read", "write"}), ("admin", {"read", "write", "admin"})]
)
def test_a_scope_holds_those_below(keys: Keys, scope: str, held: set[str]) -> None:
    """Promise: write reads too, admin does everything."""
    made = keys.create("k", "t", scope)
    assert held == keys.get(made.stored.key_id).scopes


async def test_expiry_and_revocation_end_a_key(keys: Keys) -> None:
    """Promise: a key is active until its instant or its revocation, and a second revocation keeps the first instant."""
    short, long = keys.create("s", "t", "read", lifetime=10.0), keys.create("l", "t", "read")
    await move(keys, 9.0)
    assert 2 == len(keys.active())
    await move(keys, 2.0)
    assert [long.stored.key_id] == [key.key_id for key in keys.active()]
    first = keys.revoke(long.stored.key_id)
    await move(keys, 5.0)
    assert first.revoked_at == keys.revoke(long.stored.key_id).revoked_at
    assert [] == keys.active()
    assert not short.stored.active(keys.database.clock.now().timestamp())


async def test_rotation_overlaps_by_the_grace(keys: Keys) -> None:
    """Promise: the successor has the same rights; the old key works for the grace and no longer."""
    old = keys.create("k", "acme", "write", lifetime=1000.0)
    await move(keys, 100.0)
    new = keys.rotate(old.stored.key_id, grace=60.0)
    assert (old.stored.name, "acme", old.stored.scopes) == (new.stored.name, new.stored.tenant, new.stored.scopes)
    assert 1000.0 == (new.stored.expires_at or 0) - new.stored.created_at
    await move(keys, 59.0)
    assert 2 == len(keys.active())
    await move(keys, 2.0)
    assert [new.stored.key_id] == [key.key_id for key in keys.active()]
    with pytest.raises(ConflictError, match="kimera keys create"):
        keys.rotate(old.stored.key_id)


def test_last_use_never_moves_back(keys: Keys) -> None:
    """Promise: late news of an earlier use does not overwrite a later one."""
    key_id = keys.create("k", "t", "read").stored.key_id
    keys.touch([(key_id, 200.0)])
    keys.touch([(key_id, 100.0), ("nobody", 1.0)])
    assert 200.0 == keys.get(key_id).last_used_at


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"tenant": "UPPER"},
        {"tenant": "../x"},
        {"tenant": ""},
        {"scope": "root"},
        {"lifetime": 0.0},
        {"lifetime": float("nan")},
    ],
)
def test_what_is_no_key_is_refused(keys: Keys, wrong: dict[str, object]) -> None:
    """Promise: a wrong name, tenant, scope or lifetime is named and nothing is stored."""
    values: dict[str, object] = {"name": "k", "tenant": "t", "scope": "read"} | wrong
    with pytest.raises(ValidationError):
        keys.create(**values)  # type: ignore[arg-type]
    assert [] == keys.all()


def test_an_unknown_key_is_named(keys: Keys) -> None:
    """Promise: revoking what is not there says how to find what is."""
    with pytest.raises(NotFoundError, match="kimera keys list"):
        keys.revoke("nothing")
