"""What a served memory holds does not depend on how many requests it has answered."""

from __future__ import annotations

import gc
from collections import Counter

import httpx
from tests.unit.api.conftest import Caller

from kimera.api import create_app
from kimera.missions import control

M = "/api/memory"
SEQUENCES = [[["a"], [f"b{n}"], [f"c{n % 3}", "d"], [f"e{n}"]] for n in range(8)]
BAD = (
    ("POST", "/observe", {"strings": [""]}, 422),
    ("POST", "/observe", {"strings": ["a"], "unknown": 1}, 422),
    ("GET", "/patterns/PTRN%7Cnone", None, 404),
    ("GET", "/sessions/nobody/predictions", None, 404),
)


async def lap(client: httpx.AsyncClient, number: int) -> None:
    """Observe, learn, predict, ask what is next, send nonsense, and forget all that was learned."""
    for place, events in enumerate(SEQUENCES):
        where = {"session": f"s{place}"}
        for event in events:
            seen = await client.post(f"{M}/observe", params=where, json={"strings": event})
            assert 200 == seen.status_code
        asked = (await client.get(f"{M}/sessions/s{place}/predictions?recall_threshold=0")).json()
        assert place == len(asked["predictions"])
        assert 200 == (await client.get(f"{M}/sessions/s{place}/guard")).status_code
        learned = (await client.post(f"{M}/sessions/s{place}/learn", json={"source": f"lap {number}"})).json()
        asking = {"events": events, "fuzzy_token_threshold": 0.6, "rank_by": "similarity"}
        found = (await client.post(f"{M}/predictions", json=asking)).json()["predictions"]
        assert learned["id"] == found[0]["id"]
        assert 200 == (await client.post(f"{M}/next", json={"events": events[:2]})).status_code
        for method, path, body, wanted in BAD:
            assert wanted == (await client.request(method, f"{M}{path}", json=body)).status_code
        if place % 4 == 3:
            assert 200 == (await client.get(f"{M}/metrics/caches")).status_code
    assert 200 == (await client.post(f"{M}/forget", json={"source": f"lap {number}"})).status_code


def objects() -> Counter[str]:
    """Return how many containers there are of each type."""
    gc.collect()
    return Counter(type(one).__qualname__ for one in gc.get_objects())


async def test_requests_leave_nothing_behind(home: control.Home, caller: Caller) -> None:
    """Promise: after hundreds of requests that learn and forget there are no more objects than before them.

    Sessions, views, answers, records of the log, labels of metrics: one more of any kind per sequence would show.
    """
    client = caller(create_app(home))
    for number in range(2):
        await lap(client, number)
    before = objects()
    for number in range(2, 5):
        await lap(client, number)
    grown = objects() - before
    assert sum(grown.values()) < len(SEQUENCES) * 3, grown.most_common(5)
