"""Answers that are remembered, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import ConflictError, ValidationError
from kimera.storage.database import Database, open_database
from kimera.storage.idempotency import Answer, Claim, Idempotency, once
from kimera.storage.schema import idempotent_requests

FIRST = Answer(201, (("location", "/api/missions/m1"), ("etag", '"1"')), b'{"a":1}\xff')


@pytest.fixture(scope="module", params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Yield one database for the module."""
    with database_url(request.param, tmp_path_factory.mktemp("database")) as url:
        opened = open_database(url)
        yield opened
        opened.close()


@pytest.fixture
def store(database: Database) -> Idempotency:
    """Return an empty store with a clock of its own."""
    database.write(lambda connection: connection.execute(idempotent_requests.delete()))
    database.clock = FakeClock()
    return Idempotency(database)


async def move(store: Idempotency, seconds: float) -> None:
    """Let time pass."""
    clock = store.database.clock
    assert isinstance(clock, FakeClock)
    await clock.advance(seconds)


def test_the_first_answer_is_given_again_byte_for_byte(store: Idempotency) -> None:
    """Promise: status, headers and body come back as they were, and the work is done once."""
    done: list[int] = []

    def work() -> Answer:
        done.append(1)
        return FIRST

    answers = [once(store, "t", "k", "POST /x", b"body", work) for _ in range(3)]
    assert [FIRST, *[Answer(FIRST.status, FIRST.headers, FIRST.body, replayed=True)] * 2] == answers
    assert [1] == done


def test_without_a_key_nothing_is_remembered(store: Idempotency) -> None:
    """Promise: requests without a key are worked on each time."""
    done: list[int] = []
    for _ in range(2):
        once(store, "t", None, "POST /x", b"body", lambda: (done.append(1), FIRST)[1])
    assert 2 == len(done)


@pytest.mark.parametrize(("route", "body"), [("POST /x", "0" * 64), ("POST /y", "1" * 64)])
def test_another_request_with_the_same_key_is_refused(store: Idempotency, route: str, body: str) -> None:
    """Promise: a key stands for one request; with another body or route it is a 422 and changes nothing."""
    claim = store.claim("t", "k", "POST /x", "1" * 64)
    assert isinstance(claim, Claim)
    store.complete(claim, FIRST)
    with pytest.raises(ValidationError) as refused:
        store.claim("t", "k", route, body)
    assert (422, "IDEMPOTENCY_MISMATCH") == (refused.value.http_status, refused.value.code)


def test_tenants_do_not_share_keys(store: Idempotency) -> None:
    """Promise: the same key of another tenant is another key."""
    assert isinstance(store.claim("a", "k", "POST /x", "1" * 64), Claim)
    assert isinstance(store.claim("b", "k", "POST /x", "2" * 64), Claim)


def test_while_the_first_is_answered_the_second_waits(store: Idempotency) -> None:
    """Promise: in between it is a 409 that says when to come again."""
    store.claim("t", "k", "POST /x", "1" * 64)
    with pytest.raises(ConflictError) as busy:
        store.claim("t", "k", "POST /x", "1" * 64)
    assert (409, 1.0) == (busy.value.http_status, busy.value.retry_after)


def test_what_raises_is_not_remembered(store: Idempotency) -> None:
    """Promise: after a failure the same key works again."""

    def fail() -> Answer:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        once(store, "t", "k", "POST /x", b"", fail)
    assert FIRST == once(store, "t", "k", "POST /x", b"", lambda: FIRST)


async def test_a_claim_of_a_dead_process_is_taken_over(store: Idempotency) -> None:
    """Promise: after five minutes without an answer the next request does the work; the dead one's is dropped."""
    dead = store.claim("t", "k", "POST /x", "1" * 64)
    await move(store, 301.0)
    heir = store.claim("t", "k", "POST /x", "1" * 64)
    assert isinstance(dead, Claim)
    assert isinstance(heir, Claim)
    store.complete(dead, Answer(500, (), b"late"))
    store.release(dead)
    store.complete(heir, FIRST)
    found = store.claim("t", "k", "POST /x", "1" * 64)
    assert isinstance(found, Answer)
    assert FIRST.body == found.body


async def test_answers_are_forgotten_after_a_day(store: Idempotency) -> None:
    """Promise: just under a day the answer is there, after a day the key is new."""
    once(store, "t", "k", "POST /x", b"", lambda: FIRST)
    await move(store, 86_399.0)
    assert once(store, "t", "k", "POST /x", b"", lambda: FIRST).replayed
    await move(store, 2.0)
    assert not once(store, "t", "k", "POST /x", b"", lambda: FIRST).replayed


@pytest.mark.parametrize("key", ["", "x" * 129, "a\nb", "\u00e9", "a\x00"])
def test_a_malformed_key_is_refused(store: Idempotency, key: str) -> None:
    """Promise: a key has 1 to 128 printable ASCII characters."""
    with pytest.raises(ValidationError) as refused:
        store.claim("t", key, "POST /x", "1" * 64)
    assert 400 == refused.value.http_status


def test_of_many_at_once_one_works(store: Idempotency) -> None:
    """Promise: of 16 threads with one key exactly one does the work; the others wait or get its answer."""
    done: list[int] = []
    start = threading.Barrier(16)

    def work() -> Answer:
        done.append(1)
        return FIRST

    def ask() -> int:
        start.wait()
        try:
            return once(store, "t", "k", "POST /x", b"", work).status
        except ConflictError as busy:
            return busy.http_status or 0

    with ThreadPoolExecutor(16) as pool:
        statuses = [future.result() for future in [pool.submit(ask) for _ in range(16)]]
    assert [1] == done
    assert {201, 409} >= set(statuses)
    assert 201 in statuses
