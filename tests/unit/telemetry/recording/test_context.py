"""The context follows the work."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera import telemetry
from kimera.telemetry.recording.context import new_id, utc


def test_outside_any_request_it_names_the_process() -> None:
    """Promise: without a request the id is that of the process, always the same one."""
    assert "process:" == telemetry.current().request_id[:8]
    assert telemetry.current().request_id == telemetry.current().request_id
    assert 26 == len(telemetry.current().request_id.removeprefix("process:"))


def test_binding_adds_and_the_end_of_the_block_takes_away() -> None:
    """Promise: an inner block adds to the outer one and leaves nothing behind, even by an error."""
    outside = telemetry.current()
    with telemetry.bind(request_id="r1", mission_id="m1"):
        with pytest.raises(ZeroDivisionError), telemetry.bind(track="ds_star", attempt=2):
            here = telemetry.current()
            assert ("r1", "m1", "ds_star", 2) == (here.request_id, here.mission_id, here.track, here.attempt)
            _ = 1 / 0
        assert telemetry.current().track is None
    assert outside == telemetry.current()


def test_tasks_keep_their_own() -> None:
    """Promise: two tasks at once never see each other's ids."""
    seen: dict[str, set[str | None]] = {"a": set(), "b": set()}

    async def work(name: str, turn: asyncio.Event) -> None:
        with telemetry.bind(request_id=name, mission_id=f"m-{name}"):
            for _ in range(50):
                seen[name].add(telemetry.current().mission_id)
                await asyncio.sleep(0)
            turn.set()

    async def both() -> None:
        await asyncio.gather(work("a", asyncio.Event()), work("b", asyncio.Event()))

    asyncio.run(both())
    assert {"a": {"m-a"}, "b": {"m-b"}} == seen


def test_threads_get_it_by_carry_only() -> None:
    """Promise: a carried function runs with the context of the moment it was carried, also many times at once."""
    gate = threading.Barrier(4)

    def look() -> str:
        gate.wait(5)
        return telemetry.current().request_id

    with ThreadPoolExecutor(4) as pool:
        with telemetry.bind(request_id="mine"):
            carried = telemetry.carry(look)
        futures = [pool.submit(carried) for _ in range(3)] + [pool.submit(look)]
        assert ["mine", "mine", "mine"] == [future.result() for future in futures[:3]]
        assert "mine" != futures[3].result()


def test_outgoing_headers_name_the_request() -> None:
    """Promise: an outgoing request carries the id, and the trace it belongs to when there is one."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    with telemetry.bind(request_id="r1"):
        assert {"X-Request-ID": "r1"} == telemetry.headers()
    with telemetry.bind(request_id="r1", traceparent=parent):
        assert {"X-Request-ID": "r1", "traceparent": parent} == telemetry.headers()
    with telemetry.bind(traceparent=f"00-{'0' * 32}-{'b' * 16}-01"):
        assert "traceparent" not in telemetry.headers()


@given(st.text(max_size=70))
def test_a_callers_id_is_kept_only_when_it_is_plain(words: str) -> None:
    """Promise: what comes back is 1 to 64 plain characters, and the caller's own when that was so already."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    plain = 1 <= len(words) <= 64 and set(words) <= allowed
    kept = telemetry.accept_request_id(words)
    assert plain == (kept == words)
    assert 1 <= len(kept) <= 64 and set(kept) <= allowed


def test_new_ids_sort_by_time_and_differ() -> None:
    """Promise: a thousand ids are a thousand, and their time part never goes down."""
    made = [new_id() for _ in range(1000)]
    assert 1000 == len(set(made))
    assert sorted(one[:10] for one in made) == [one[:10] for one in made]


@given(st.floats(-1e9, 4e9) | st.integers(0, 4_000_000_000).map(lambda n: n + 0.9999996) | st.just(1.0000005))
def test_an_instant_is_written_as_the_standard_library_does(at: float) -> None:
    """Promise: instants round to the microsecond as `datetime` rounds them, over the second and before 1970 too."""
    assert datetime.fromtimestamp(at, UTC) == datetime.fromisoformat(utc(at))
    assert utc(at)[-8] == "."
