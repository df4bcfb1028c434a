"""The memory over HTTP: the same answers as in Python, errors by their codes, and nobody else's patterns."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.asgi import Call
from tests.unit.api.conftest import Caller

from kimera.api import create_app
from kimera.memory import Memories
from kimera.missions import control
from kimera.storage.keys import Keys

M = "/api/memory"
POOL = {"size", "in_use", "idle", "waiting", "wait_p95_ms", "failures", "last_health_check"}


@pytest.fixture
def client(home: control.Home, caller: Caller) -> httpx.AsyncClient:
    """Return a caller of a gateway over an empty home."""
    return caller(create_app(home, kato=True))


async def teach(client: httpx.AsyncClient, *events: list[str], memory: str = "default") -> dict[str, Any]:
    """Observe events one by one and learn them."""
    session = f"s-{memory}"
    for event in events:
        seen = await client.post(f"{M}/observe", params={"memory": memory, "session": session}, json={"strings": event})
        assert 200 == seen.status_code
    learned = await client.post(f"{M}/sessions/{session}/learn")
    answer: dict[str, Any] = learned.json()
    return answer


async def test_observe_learn_and_predict(client: httpx.AsyncClient) -> None:
    """Promise: the first fixture of the design, over HTTP: b c is part of a b c d, and d comes next."""
    learned = await teach(client, ["a"], ["b"], ["c"], ["d"])
    assert "p1:07766ceeed73e6dc48dfbdf309331f6fc97a2191615a49f4e34a855f423c7da8" == learned["id"]
    assert "PTRN|08765292ef1217264602ed4b06d2cddbe94fba09" == learned["pattern_name"]
    answer = (await client.post(f"{M}/predictions", json={"events": [["b"], ["c"]]})).json()
    (one,) = answer["predictions"]
    assert ([["a"]], [["d"]], 3.5) == (one["past"], one["future"], one["potential"])
    assert pytest.approx(2 / 3, abs=1e-9) == one["similarity"]


async def test_kato_clients_find_the_table_at_the_root(client: httpx.AsyncClient) -> None:
    """Promise: with --kato a session is opened, observed and learned at the root, under KATO's names."""
    opened = await client.post(
        "/sessions", json={"node_id": "n1", "session_id": "k", "config": {"recall_threshold": 0.5}}
    )
    assert (201, "n1", 0.5) == (
        opened.status_code,
        opened.json()["node_id"],
        opened.json()["config"]["recall_threshold"]["value"],
    )
    sequence = {"observations": [{"strings": [name]} for name in "abc"], "learn_at_end": True}
    done = (await client.post("/sessions/k/observe-sequence", json=sequence)).json()
    assert (3, 0) == (done["observations_processed"], done["final_stm_length"])
    assert done["final_learned_pattern"]
    assert {"exists": True, "expired": False} == (await client.get("/sessions/k/exists")).json()
    assert 404 == (await client.get("/sessions/other")).status_code


async def test_a_session_lives_from_open_to_delete(client: httpx.AsyncClient) -> None:
    """Promise: a session is shown, extended, set up, emptied and deleted; then it is gone."""
    await client.post(f"{M}/sessions", json={"session_id": "s", "ttl_seconds": 60, "metadata": {"who": "me"}})
    before = (await client.get(f"{M}/sessions/s")).json()
    after = (await client.post(f"{M}/sessions/s/extend", json={"ttl_seconds": 6_000})).json()
    assert before["expires_at"] + 5_000 < after["expires_at"] and {"who": "me"} == after["metadata"]
    config = (await client.post(f"{M}/sessions/s/config", json={"max_predictions": 3})).json()["config"]
    assert {"value": 3, "from": "session"} == config["max_predictions"]
    await client.post(f"{M}/sessions/s/observe", json={"strings": ["b", "a"]})
    assert {"stm": [["a", "b"]], "length": 1} == (await client.get(f"{M}/sessions/s/stm")).json()
    assert 200 == (await client.post(f"{M}/sessions/s/clear-stm")).status_code
    assert 0 == (await client.get(f"{M}/sessions/s/stm")).json()["length"]
    assert 1 == (await client.get(f"{M}/sessions/count")).json()["count"]
    assert 200 == (await client.delete(f"{M}/sessions/s")).status_code
    gone = await client.get(f"{M}/sessions/s")
    assert (404, "SESSION_NOT_FOUND") == (gone.status_code, gone.json()["code"])


async def test_patterns_are_read_edited_forgotten_and_brought_back(client: httpx.AsyncClient) -> None:
    """Promise: what was forgotten comes back by undo, and the state's name says so."""
    learned = await teach(client, ["a"], ["b"])
    state = (await client.get(f"{M}/state-hash")).json()["state_hash"]
    shown = (await client.get(f"{M}/patterns/{learned['pattern_name']}")).json()
    assert ([["a"], ["b"]], 1) == (shown["events"], len(shown["episodes"]))
    forgotten = (await client.delete(f"{M}/patterns/{learned['id']}")).json()
    assert 404 == (await client.get(f"{M}/patterns/{learned['id']}")).status_code
    await client.post(f"{M}/undo", json={"seq": forgotten["seq"]})
    assert state == (await client.get(f"{M}/state-hash")).json()["state_hash"]
    edited = (await client.put(f"{M}/patterns/{learned['id']}", json={"events": [["a"], ["c"]]})).json()
    assert 1 == edited["episodes"]
    symbols = (await client.get(f"{M}/symbols")).json()["symbols"]
    assert ["a", "c"] == [symbol["symbol"] for symbol in symbols]
    log = (await client.get(f"{M}/log")).json()["records"]
    assert ["learn", "forget", "undo", "edit"] == [record["kind"] for record in log]


async def test_a_memory_moves_by_export_and_import(client: httpx.AsyncClient) -> None:
    """Promise: importing an export gives the same state, twice changes nothing, a damaged file changes nothing."""
    await teach(client, ["a"], ["b"])
    state = (await client.get(f"{M}/state-hash")).json()["state_hash"]
    told = (await client.get(f"{M}/export")).content
    binary = {"content-type": "application/octet-stream"}
    for new in (1, 0):
        done = await client.post(f"{M}/import", params={"memory": "copy"}, content=told, headers=binary)
        assert (200, new) == (done.status_code, done.json()["imported"])
    assert state == (await client.get(f"{M}/state-hash", params={"memory": "copy"})).json()["state_hash"]
    broken = await client.post(f"{M}/import", params={"memory": "copy"}, content=told[:-40], headers=binary)
    assert (422, "IMPORT_CORRUPT") == (broken.status_code, broken.json()["code"])


async def test_a_tenant_sees_nothing_of_another(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: memories, sessions and patterns of one tenant do not exist for another."""
    app = create_app(home, home.settings.model_copy(update={"keys": "required"}))
    one, two = (caller(app, keys.create(name, name, "admin").secret) for name in ("one", "two"))
    learned = await teach(one, ["a"], ["b"], memory="x")
    for path in (f"/patterns/{learned['id']}", "/patterns", "/log", "/state-hash", "/export", "/symbols", "/affinity"):
        answer = await two.get(M + path, params={"memory": "x"})
        assert (404, "MEMORY_NOT_FOUND") == (answer.status_code, answer.json()["code"]), path
    assert 404 == (await two.get(f"{M}/sessions/s-x")).status_code
    await two.post(f"{M}/observe", params={"memory": "x", "session": "s-x"}, json={"strings": ["z"]})
    assert 0 == (await one.get(f"{M}/sessions/s-x/stm")).json()["length"]


ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
SPECIAL = st.sampled_from(
    ["'; DROP TABLE memory_log; --", '"', "\\", "%", "_", "\n", "a b", "${x}", "../..", "é" * 2_000]
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(ODD | SPECIAL, min_size=2, max_size=4, unique=True))
async def test_any_text_is_an_ordinary_symbol(client: httpx.AsyncClient, names: list[str]) -> None:
    """Promise: quotes, SQL, percent signs and newlines go through every route like plain letters do."""
    plain = [f"plain{number}" for number in range(len(names))]
    shapes = []
    for memory, symbols in (("odd", names), ("even", plain)):
        await client.request("POST", f"{M}/sessions", json={"memory": memory, "session_id": f"s-{memory}"})
        await client.post(f"{M}/sessions/s-{memory}/clear-all")
        await teach(client, *[[symbol] for symbol in symbols], memory=memory)
        where = {"memory": memory}
        answer = (await client.post(f"{M}/predictions", params=where, json={"events": [[symbols[0]]]})).json()
        follows = (await client.post(f"{M}/next", params=where, json={"events": [[symbols[0]]]})).json()
        shown = (await client.get(f"{M}/patterns", params=where | {"contains": symbols[-1]})).json()
        shapes.append((
            [(one["matches"] == [symbols[0]], one["potential"], len(one["future"])) for one in answer["predictions"]],
            follows["answer"] == [symbols[1]],
            [pattern["events"] == [[symbol] for symbol in symbols] for pattern in shown["patterns"]],
        ))  # fmt: skip
    assert shapes[0] == shapes[1]


async def test_the_monitoring_routes_tell_what_happened(client: httpx.AsyncClient) -> None:
    """Promise: operations, statements with their plan, caches and connections are shown."""
    await teach(client, ["a"], ["b"])
    for _ in range(2):
        await client.post(f"{M}/predictions", json={"events": [["a"]]})
    operations = (await client.get(f"{M}/metrics")).json()["measures"]["operations"]
    assert (2, 1, 2) == tuple(operations[name]["count"] for name in ("observe", "learn", "predict"))
    queries = (await client.get(f"{M}/metrics/queries", params={"explain": "find_memory"})).json()["measures"]
    assert queries["statements"]["find_memory"]["count"] >= 1 and queries["plan"]
    caches = (await client.get(f"{M}/metrics/caches")).json()["measures"]
    assert caches["predictions"]["hits"] >= 1
    told = (await client.get(f"{M}/metrics/connections")).json()["measures"]
    assert {"count": 1, "events": 0, "lag": 0} == told["stm_streams"]
    assert POOL <= told["pools"]["database"].keys() and told["pools"]["database"]["last_health_check"]["ok"]


async def test_traces_are_learned_over_http(client: httpx.AsyncClient) -> None:
    """Promise: a message log becomes a pattern that predicts the next tool call."""
    call = {"jsonrpc": "2.0", "method": "tools/call"}
    log = [call | {"id": 1, "params": {"name": "search"}}, call | {"id": 2, "params": {"name": "open"}}]
    done = (await client.post(f"{M}/traces", json={"records": [log], "format": "mcp"})).json()
    assert (1, "mcp") == (done["learned"], done["format"])
    follows = (await client.post(f"{M}/next", json={"events": [["tool:search"]]})).json()
    assert ["tool:open"] == follows["answer"]
    assert json.dumps(follows)


@pytest.mark.parametrize("outcome", [1, "good", True, [], ["utility"], {"utility": 1, "other": 2}, {}, {"utility": 2}])
async def test_an_outcome_of_another_shape_is_refused(client: httpx.AsyncClient, outcome: object) -> None:
    """Promise: what is no object of utility and cost is 422 for traces, and nothing is learned of them."""
    call = {"jsonrpc": "2.0", "method": "tools/call"}
    log = [call | {"id": 1, "params": {"name": "search"}}, call | {"id": 2, "params": {"name": "open"}}]
    await teach(client, ["a"], ["b"])
    before = (await client.get(f"{M}/state-hash")).json()
    answer = await client.post(f"{M}/traces", json={"records": [log], "format": "mcp", "outcome": outcome})
    assert (422, before) == (answer.status_code, (await client.get(f"{M}/state-hash")).json()), answer.text


def test_the_root_table_is_the_same_functions(home: control.Home) -> None:
    """Promise: with --kato each address below /api/memory stands at the root too: same code, scope and shape."""
    app = create_app(home, kato=True)
    routes = {(method, r.path): r for r in app.routes if isinstance(r, APIRoute) for method in r.methods or ()}
    below = {(method, path): route for (method, path), route in routes.items() if path.startswith(M)}
    assert len(below) > 40
    paths, scopes = app.openapi()["paths"], app.state.gate.board.scopes
    for (method, path), route in below.items():
        root = path.removeprefix(M)
        other = routes[method, root]
        assert route.endpoint.__code__ is other.endpoint.__code__, path
        assert scopes[method, path] == scopes[method, root]
        shown, again = (dict(paths[at.replace(":path", "")][method.lower()]) for at in (path, root))
        assert f"memory_{again.pop('operationId').removeprefix('kato_')}" == shown.pop("operationId")
        assert shown == again


async def test_the_log_is_followed_as_it_grows(home: control.Home) -> None:
    """Promise: the stream gives records above Last-Event-ID at once and later ones as they come."""
    app = create_app(home)
    app.state.memories = Memories.open(home.database, stm="served", clock=home.clock, settings=home.settings)
    memory = app.state.memories.get()
    memory.learn([["a"], ["b"]])
    memory.learn([["a"], ["c"]])
    call = Call(app, "GET", f"{M}/events", {"last-event-id": "1"})
    while b"id: 2\n" not in call.body:
        await call.until(len(call.sent) + 1)
    await asyncio.to_thread(memory.learn, [["a"], ["d"]])
    while b"id: 3\n" not in call.body:
        await call.until(len(call.sent) + 1)
    assert b"id: 1\n" not in call.body and call.fields["content-type"].startswith("text/event-stream")
    call.hang_up()
    await asyncio.wait_for(call.task, 5)


async def test_a_wrong_place_in_the_log_is_refused(client: httpx.AsyncClient) -> None:
    """Promise: what is no log number is a 422 before any stream begins."""
    await teach(client, ["a"], ["b"])
    for asked in ({"params": {"after": "x"}}, {"params": {"after": -1}}, {"headers": {"last-event-id": "x"}}):
        assert 422 == (await client.get(f"{M}/events", **asked)).status_code  # type: ignore[arg-type]
    assert 404 == (await client.get(f"{M}/events", params={"memory": "nope"})).status_code
