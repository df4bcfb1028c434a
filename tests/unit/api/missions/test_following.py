"""Following missions: every event once and in order, one reader for all, and a place to go on from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.unit.api.conftest import Caller
from tests.unit.api.missions.conftest import Two

from kimera.api import create_app
from kimera.clock import FakeClock
from kimera.errors import BulkheadFull
from kimera.missions import control
from kimera.missions.control import watching
from kimera.missions.control.watching import Watch
from kimera.settings import Settings
from kimera.storage.missions import Entry
from kimera.storage.tickets import Holder, Tickets


def frames(text: str) -> list[dict[str, str]]:
    """Return the events of a stream by field; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        pairs = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        if pairs:
            found.append({name: value for name, value in pairs})
    return found


async def test_a_finished_mission_streams_all_its_events_and_ends(two: Two, caller: Caller) -> None:
    """Promise: ids are 1..n without a gap, data is the stored event, and the last event is named end."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}/events"
    answer = await client.get(path)
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    sent = frames(answer.text)
    assert ["2000", "end"] == [sent[0]["retry"], sent[-1]["event"]]
    stored = control.events(two.home, two.mission_id)
    assert [str(one.seq) for one in stored] == [one["id"] for one in sent[1:-1]]
    assert [one.type for one in stored] == [json.loads(one["data"])["type"] for one in sent[1:-1]]
    assert stored[-1].payload == json.loads(sent[-2]["data"])["payload"]


async def test_a_stream_goes_on_where_it_broke_off(two: Two, caller: Caller) -> None:
    """Promise: Last-Event-ID (which wins) and after give exactly what follows; the end is answered by 204."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}/events"
    last = control.get(two.home, two.mission_id).seq
    for headers, params, first in [
        ({"last-event-id": "5"}, {}, 6),
        ({}, {"after": 7}, 8),
        ({"last-event-id": "3"}, {"after": 7}, 4),
    ]:
        sent = frames((await client.get(path, headers=headers, params=params)).text)
        assert [str(n) for n in range(first, last + 1)] == [one["id"] for one in sent if "id" in one]
    assert (204, b"") == ((end := await client.get(path, params={"after": last})).status_code, end.content)
    assert 422 == (await client.get(path, headers={"last-event-id": "x"})).status_code


async def test_a_ticket_opens_one_stream_once(two: Two, caller: Caller) -> None:
    """Promise: a ticket works without a key, for its mission's stream only, once, and within a minute."""
    app = create_app(two.home, two.home.settings.model_copy(update={"host": "0.0.0.0"}))
    mine, theirs, nobody = caller(app, two.mine), caller(app, two.theirs), caller(app)
    path = f"/api/missions/{two.mission_id}/events"
    assert [401, 404] == [(await one.post(f"{path}/ticket")).status_code for one in (nobody, theirs)]
    made = (await mine.post(f"{path}/ticket")).json()
    for address in (path.removesuffix("/events"), path.removesuffix("events") + "report", "/api/missions"):
        assert 401 == (await nobody.get(address, params={"ticket": made["ticket"]})).status_code
    answer = await nobody.get(made["url"])
    assert (200, "end") == (answer.status_code, frames(answer.text)[-1]["event"])
    used = await nobody.get(made["url"])
    assert (401, "TICKET_REFUSED") == (used.status_code, used.json()["code"])
    assert 401 == (await nobody.get(path, params={"ticket": "t" * 44})).status_code


def test_tickets_expire_and_end_with_their_key(tmp_path: Path) -> None:
    """Promise: after a minute a ticket opens nothing; one for another mission never did; two callers, one gets in."""
    clock = FakeClock()
    with control.open_home(Settings(home=tmp_path / "home", database_url=None), clock) as home:
        tickets, holder = Tickets(home.database), Holder("key", "tenant")
        late, expires = tickets.issue("m1", holder)
        assert clock.now().timestamp() + 60 == expires
        clock.tick(59.9)
        other, _ = tickets.issue("m1", holder)
        assert (None, holder, None) == (*[tickets.redeem(m, other) for m in ("m2", "m1")], tickets.redeem("m1", other))
        clock.tick(0.1)
        assert None is tickets.redeem("m1", late)


@pytest.fixture
def mission_id(home: control.Home, tmp_path: Path) -> str:
    """Return a mission that nobody works on."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("Alpha\n")
    return control.submit(home, "What?", tmp_path / "folder")


def add(home: control.Home, mission_id: str, first: int, count: int) -> None:
    """Record events ``first`` to ``first + count - 1`` of a test."""
    entries = [Entry(f"n{n}", "plan.step", {"step": n}) for n in range(first, first + count)]
    home.missions.append(mission_id, entries)


async def take(news: AsyncIterator[tuple[int, int]], count: int) -> list[int]:
    """Return the numbers of the next ``count`` items."""
    return [(await anext(news))[0] for _ in range(count)]


async def first_look(watch: Watch[int], mission_id: str) -> None:
    """Wait until the reader knows how many events the mission has."""
    while mission_id not in watch._feeds or watch._feeds[mission_id].head < 0:  # noqa: ASYNC110 - a test looks inside
        await asyncio.sleep(0.005)


async def test_viewers_share_one_reader(home: control.Home, mission_id: str) -> None:
    """Promise: fifty viewers get every event in order, and the store is asked once per look, not once per viewer."""
    watch: Watch[int] = Watch(home, lambda event: event.seq, poll=0.02)
    begin = control.get(home, mission_id).seq

    async def view() -> list[int]:
        async with aclosing(watch.follow(mission_id, begin)) as news:
            return await take(news, 30)

    viewers = [asyncio.create_task(view()) for _ in range(50)]
    async with asyncio.timeout(10):
        await first_look(watch, mission_id)
    assert 50 == watch.viewers
    for batch in range(3):
        await asyncio.to_thread(add, home, mission_id, batch * 10, 10)
    found = await asyncio.gather(*viewers)
    assert [list(range(begin + 1, begin + 31))] * 50 == found
    assert (0, 0) == (watch.pages, watch.viewers)
    watch.close()


async def test_a_slow_viewer_catches_up_from_the_store(
    home: control.Home, mission_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a viewer that falls behind what is remembered loses nothing, and nothing is kept for it."""
    monkeypatch.setattr(watching, "REMEMBERED", 8)
    monkeypatch.setattr(watching, "PAGE", 5)
    watch: Watch[int] = Watch(home, lambda event: event.seq, poll=0.01)
    begin = control.get(home, mission_id).seq
    async with aclosing(watch.follow(mission_id, begin)) as slow, aclosing(watch.follow(mission_id, begin)) as quick:
        await asyncio.to_thread(add, home, mission_id, 0, 1)
        assert [begin + 1] == await take(slow, 1)
        for batch in range(1, 60):
            await asyncio.to_thread(add, home, mission_id, batch, 1)
        assert list(range(begin + 1, begin + 61)) == await take(quick, 60)
        assert 8 == len(watch._feeds[mission_id].recent)
        assert list(range(begin + 2, begin + 61)) == await take(slow, 59)
    watch.close()


async def test_a_stream_ends_with_the_mission_and_not_before(home: control.Home, mission_id: str) -> None:
    """Promise: events keep coming until the mission has ended, and the last one is its last."""
    watch: Watch[int] = Watch(home, lambda event: event.seq, poll=0.01)

    async def all_of_them() -> list[int]:
        async with aclosing(watch.follow(mission_id)) as news:
            return [number async for number, _ in news]

    viewer = asyncio.create_task(all_of_them())
    await asyncio.to_thread(add, home, mission_id, 0, 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(viewer), 0.05)
    row = await asyncio.to_thread(control.cancel, home, mission_id)
    assert list(range(1, row.seq + 1)) == await viewer
    watch.close()


async def test_there_are_only_so_many_viewers(home: control.Home, mission_id: str) -> None:
    """Promise: beyond the limit a viewer is refused and told when to come back; closing ends those there are."""
    watch: Watch[int] = Watch(home, lambda event: event.seq, poll=0.01, viewers=1)
    async with aclosing(watch.follow(mission_id)) as first:
        await anext(first)
        with pytest.raises(BulkheadFull) as refused:
            await anext(watch.follow(mission_id))
        assert 5.0 == refused.value.retry_after
        watch.close()
        assert [] == [one async for one in first if one[0] > 100]
    assert 0 == watch.viewers
