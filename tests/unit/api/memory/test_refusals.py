"""The table of bad input over HTTP: status, code and place of each row, and nothing changed by any of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import Caller

from kimera.api import create_app
from kimera.clock import FakeClock
from kimera.memory import Memories
from kimera.missions import control

M = "/api/memory"
JSON = {"content-type": "application/json"}
BINARY = {"content-type": "application/octet-stream"}
TALL = "[" * 65 + "]" * 65


@dataclass(frozen=True)
class Bad:
    """One request that is refused. ``body``: bytes as they are, anything else as JSON; ``place`` None: no field."""

    line: str
    body: Any
    status: int
    code: str
    place: str | None = None

    @property
    def text(self) -> bytes | None:
        """Return what is sent."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


def symbols(value: str, code: str = "SYMBOL_INVALID") -> list[Bad]:
    """Return one bad symbol in every place that takes one."""
    events = {"events": [["b"], [value]]}
    return [
        Bad("POST /observe", {"strings": ["a", value]}, 422, code, "body.strings"),
        Bad("POST /sessions/s/observe", {"strings": [value]}, 422, code, "body.strings"),
        Bad(
            "POST /sessions/s/observe-sequence",
            {"observations": [{"strings": ["c"]}, {"strings": [value]}], "learn_at_end": True},
            422,
            code,
            "body.observations.1.strings",
        ),
        Bad("POST /predictions", events, 422, code, "body.events.1"),
        Bad("POST /next", events, 422, code, "body.events.1"),
        Bad("PUT /patterns/PATTERN", events, 422, code, "body.events.1"),
        Bad("POST /forget", {"symbol": value}, 422, code, "body.symbol"),
    ]


NOT_JSON = [
    *(
        Bad(f"{method} {path}", raw, 422, "BODY_INVALID", "body")
        for raw in (b"{", b"", b"strings=a", b'{"strings": ["a"]', b"\xff\xfe", b"nope", TALL.encode())
        for method, path in (
            ("POST", "/observe"),
            ("POST", "/sessions"),
            ("POST", "/sessions/s/config"),
            ("POST", "/sessions/s/observe-sequence"),
            ("POST", "/predictions"),
            ("PUT", "/patterns/PATTERN"),
            ("POST", "/forget"),
        )
    ),
    Bad("POST /observe", b'{"strings": ["a"], "strings": ["b"]}', 422, "BODY_INVALID", "body.strings"),
]
WRONG_TYPE = [
    Bad("POST /observe", {"strings": "abc"}, 422, "BODY_INVALID", "body.strings"),
    Bad("POST /observe", {"strings": [1]}, 422, "BODY_INVALID", "body.strings"),
    Bad("POST /observe", {"strings": None}, 422, "BODY_INVALID", "body.strings"),
    Bad("POST /observe", {"vectors": 1}, 422, "BODY_INVALID", "body.vectors"),
    Bad("POST /observe", {"predict": 1}, 422, "BODY_INVALID", "body.predict"),
    Bad("POST /observe", {"unique_id": 1}, 422, "BODY_INVALID", "body.unique_id"),
    Bad("POST /observe", {"source": ["a"]}, 422, "BODY_INVALID", "body.source"),
    Bad("POST /observe", [1], 422, "BODY_INVALID", "body"),
    Bad("POST /observe", None, 422, "BODY_INVALID", "body"),
    Bad("POST /sessions/s/observe-sequence", {"observations": {}}, 422, "BODY_INVALID", "body.observations"),
    Bad("POST /sessions/s/observe-sequence", {"observations": [1]}, 422, "BODY_INVALID", "body.observations.0"),
    Bad("POST /sessions/s/learn", {"outcome": {"utility": 2}}, 422, "BODY_INVALID", "body.utility"),
    Bad("POST /sessions/s/extend", {"ttl_seconds": "long"}, 422, "CONFIG_INVALID", "body.ttl_seconds"),
    Bad("POST /predictions", {"events": 3}, 422, "BODY_INVALID", "body.events"),
    Bad("POST /predictions", {}, 422, "BODY_INVALID", "body.events"),
    Bad("POST /forget", {"before": "yesterday"}, 422, "BODY_INVALID", "body.before"),
    Bad("POST /forget", {"episodes": ["1"]}, 422, "BODY_INVALID", "body.episodes.0"),
    Bad("POST /forget", {"source": "t", "dry_run": "yes"}, 422, "BODY_INVALID", "body.dry_run"),
    Bad("POST /undo", {"seq": "1"}, 422, "BODY_INVALID", "body.seq"),
    Bad("POST /undo", {"seq": 1.5}, 422, "BODY_INVALID", "body.seq"),
    Bad("POST /expire", {"now": "later"}, 422, "BODY_INVALID", "body.now"),
    Bad(
        "POST /sessions/s/observe-sequence",
        {"observations": [{"strings": ["a"]}], "learn_at_end": 1},
        422,
        "BODY_INVALID",
        "body.learn_at_end",
    ),
    Bad("POST /outcomes", {"pattern": "PATTERN", "utility": 1, "cost": -1}, 422, "BODY_INVALID", "body.cost"),
    Bad("POST /traces", {"records": [3], "format": "otlp"}, 422, "BODY_INVALID", "body.records.0"),
    Bad("POST /traces", {"records": [], "format": "csv"}, 422, "BODY_INVALID", "body.format"),
    Bad("GET /sessions/s/predictions?at_least_seq=x", None, 422, "BODY_INVALID", "query.at_least_seq"),
]
UNKNOWN_KEY = [
    Bad("POST /observe", {"symbols": ["a"]}, 422, "BODY_INVALID", "body.symbols"),
    Bad("POST /sessions", {"name": "s"}, 422, "BODY_INVALID", "body.name"),
    Bad("POST /sessions", {"memory": "a", "node_id": "b"}, 422, "BODY_INVALID", "body.memory"),
    Bad(
        "POST /sessions/s/observe-sequence",
        {"observations": [{"string": []}]},
        422,
        "BODY_INVALID",
        "body.observations.0.string",
    ),
    Bad("POST /sessions/s/learn", {"utility": 1}, 422, "BODY_INVALID", "body.utility"),
    Bad("POST /forget", {"patern": "x"}, 422, "BODY_INVALID", "body.patern"),
    Bad("POST /undo", {"seq": 1, "why": ""}, 422, "BODY_INVALID", "body.why"),
]
SYMBOLS = [
    *symbols(""),
    *symbols("a\0b"),
    *symbols("x" * 4_097),
    *symbols("é" * 2_049),
    *symbols("VCTR|v1:abc", "SYMBOL_RESERVED"),
    Bad("POST /observe", {"strings": ["x" * (3 << 20)]}, 422, "SYMBOL_INVALID", "body.strings"),
    Bad("POST /observe", b'{"strings": ["a", "\\ud800"]}', 422, "SYMBOL_INVALID", "body.strings.1"),
    Bad("POST /predictions", b'{"events": [["\\udc00"]]}', 422, "SYMBOL_INVALID", "body.events.0.0"),
]
VECTORS = [
    Bad("POST /observe", {"vectors": [[]]}, 422, "VECTOR_INVALID", "body.vectors"),
    Bad("POST /observe", {"vectors": [["1"]]}, 422, "VECTOR_INVALID", "body.vectors"),
    Bad("POST /observe", {"vectors": [[True]]}, 422, "VECTOR_INVALID", "body.vectors"),
    Bad("POST /observe", b'{"vectors": [[1, NaN]]}', 422, "VECTOR_INVALID", "body.vectors.0.1"),
    Bad("POST /observe", b'{"vectors": [[-Infinity]]}', 422, "VECTOR_INVALID", "body.vectors.0.0"),
    Bad("POST /observe", b'{"vectors": [[1e400]]}', 422, "VECTOR_INVALID", "body.vectors.0.0"),
    Bad("POST /sessions/v/observe", {"vectors": [[1, 2, 3]]}, 422, "VECTOR_DIMENSION", "body.vectors"),
    Bad("PUT /patterns/PATTERN", {"events": [["a"], [[1, 2, 3]]]}, 422, "VECTOR_DIMENSION", "body.vectors"),
]
EMOTIVES = [
    Bad("POST /observe", {"emotives": {"joy": True}}, 422, "EMOTIVES_INVALID", "body.emotives"),
    Bad("POST /observe", {"emotives": {"joy": "1"}}, 422, "EMOTIVES_INVALID", "body.emotives"),
    Bad("POST /observe", {"emotives": [1]}, 422, "EMOTIVES_INVALID", "body.emotives"),
    Bad("POST /observe", b'{"emotives": {"joy": NaN}}', 422, "EMOTIVES_INVALID", "body.emotives.joy"),
    Bad("POST /observe", b'{"emotives": {"joy": 1e400}}', 422, "EMOTIVES_INVALID", "body.emotives.joy"),
    Bad("POST /observe", {"metadata": {"k": "x" * 70_000}}, 422, "METADATA_INVALID", "body.metadata"),
    Bad("POST /observe", {"metadata": [1]}, 422, "METADATA_INVALID", "body.metadata"),
    Bad("POST /observe", b'{"metadata": {"k": Infinity}}', 422, "METADATA_INVALID", "body.metadata.k"),
    Bad("POST /observe", b'{"metadata": {"k": "\\ud800"}}', 422, "METADATA_INVALID", "body.metadata.k"),
    Bad("POST /sessions", {"session_id": "n", "metadata": {"k": "x" * 70_000}}, 422, "METADATA_INVALID"),
]
OPTIONS = [
    Bad("POST /sessions", {"config": {"recall_threshold": 2}}, 422, "CONFIG_INVALID", "body.config.recall_threshold"),
    Bad("POST /sessions", {"config": {"memory": "x"}}, 422, "CONFIG_INVALID", "body.config.memory"),
    Bad("POST /sessions", {"config": 3}, 422, "CONFIG_INVALID", "body.config"),
    Bad("POST /sessions/s/config", {"no_such": 1}, 422, "CONFIG_INVALID", "body.no_such"),
    Bad("POST /sessions/s/config", b'{"recall_threshold": NaN}', 422, "BODY_INVALID", "body.recall_threshold"),
    Bad("POST /sessions/s/config", {"stm_limit": 10**300}, 422, "CONFIG_INVALID", "body.stm_limit"),
    Bad("GET /sessions/s/predictions?recall_threshold=2", None, 422, "CONFIG_INVALID", "query.recall_threshold"),
    Bad(f"GET /sessions/s/predictions?recall_threshold=1{'0' * 400}", None, 422, "CONFIG_INVALID"),
    Bad("GET /sessions/s/predictions?self=1", None, 422, "CONFIG_INVALID", "query.self"),
    Bad("GET /sessions/s/next?max_order=x", None, 422, "CONFIG_INVALID", "query.max_order"),
    Bad("GET /sessions/s/guard?loop_repeats=0", None, 422, "CONFIG_INVALID", "query.loop_repeats"),
    Bad("GET /sessions/s/why/PATTERN?rank_by=name", None, 422, "CONFIG_INVALID", "query.rank_by"),
    Bad("POST /predictions", {"events": [["a"]], "filter_pipeline": ["minhash"]}, 422, "CONFIG_INVALID"),
    Bad("POST /next", {"events": [["a"]], "recall_threshold": 0.5}, 422, "CONFIG_INVALID", "body.recall_threshold"),
    Bad("POST /observe?memory=a%00b", {"strings": ["a"]}, 422, "MEMORY_NAME_INVALID", "query.memory"),
    Bad("POST /observe?memory=", {"strings": ["a"]}, 422, "MEMORY_NAME_INVALID", "query.memory"),
    Bad(f"POST /observe?memory={'m' * 257}", {"strings": ["a"]}, 422, "MEMORY_NAME_INVALID", "query.memory"),
    Bad(f"GET /patterns?node_id={'m' * 257}", None, 422, "MEMORY_NAME_INVALID", "query.memory"),
    Bad("POST /sessions", {"memory": "a\nb"}, 422, "MEMORY_NAME_INVALID", "body.memory"),
    Bad("POST /sessions", {"node_id": 3}, 422, "MEMORY_NAME_INVALID", "body.memory"),
    Bad("POST /forget", {}, 422, "SELECTOR_REQUIRED", "body.selector"),
    Bad("POST /forget", {"dry_run": True}, 422, "SELECTOR_REQUIRED", "body.selector"),
    Bad("POST /erase", {}, 422, "SELECTOR_REQUIRED", "body.selector"),
]
SHORT = [
    Bad("POST /sessions/s/learn", None, 400, "PATTERN_TOO_SHORT"),
    Bad("POST /sessions/empty/learn", {}, 400, "PATTERN_TOO_SHORT"),
    Bad("PUT /patterns/PATTERN", {"events": [["a"]]}, 400, "PATTERN_TOO_SHORT"),
]
UNKNOWN = [
    *(Bad(f"GET /sessions/nope{what}", None, 404, "SESSION_NOT_FOUND") for what in ("", "/stm", "/config", "/next")),
    Bad("DELETE /sessions/nope", None, 404, "SESSION_NOT_FOUND"),
    Bad("POST /sessions/nope/learn", None, 404, "SESSION_NOT_FOUND"),
    Bad("POST /sessions/nope/observe", {"strings": ["a"]}, 404, "SESSION_NOT_FOUND"),
    Bad("GET /sessions/s/why/nope", None, 404, "PATTERN_NOT_FOUND"),
    Bad("GET /patterns/nope", None, 404, "PATTERN_NOT_FOUND"),
    Bad("DELETE /patterns/nope", None, 404, "PATTERN_NOT_FOUND"),
    Bad("PUT /patterns/nope", {"events": [["a"], ["b"]]}, 404, "PATTERN_NOT_FOUND"),
    Bad("POST /outcomes", {"pattern": "nope", "utility": 1}, 404, "PATTERN_NOT_FOUND"),
    Bad("GET /patterns?memory=nope", None, 404, "MEMORY_NOT_FOUND"),
    Bad("GET /export?memory=nope", None, 404, "MEMORY_NOT_FOUND"),
    Bad("POST /predictions?memory=nope", {"events": [["a"]]}, 404, "MEMORY_NOT_FOUND"),
    Bad("POST /undo", {"seq": 99}, 404, "SEQ_NOT_FOUND"),
]
CONFLICTS = [
    Bad("POST /sessions", {"session_id": "s", "memory": "elsewhere"}, 409, "SESSION_CONFLICT"),
    Bad("POST /undo", {"seq": 3}, 409, "NOT_UNDOABLE"),
    Bad("POST /undo", {"seq": 5}, 409, "NOT_UNDOABLE"),
]
TOO_LARGE = [
    Bad("POST /observe", b'{"strings": ["' + b"x" * (16 << 20) + b'"]}', 413, "TOO_LARGE"),
    Bad("POST /import", b"x" * ((16 << 20) + 1), 413, "TOO_LARGE"),
    Bad("POST /sessions/s/observe-sequence", {"observations": [{}] * 10_001}, 413, "TOO_LARGE"),
    Bad("POST /import", b"no export", 422, "IMPORT_CORRUPT"),
    Bad("POST /import", b'{"format": "kimera.memory"}\n', 422, "IMPORT_CORRUPT"),
    Bad("POST /import", b"\xff\xfe\n", 422, "IMPORT_CORRUPT"),
]
ROWS = {
    "a body that is no JSON": NOT_JSON,
    "a wrong type": WRONG_TYPE,
    "an unknown key": UNKNOWN_KEY,
    "symbols": SYMBOLS,
    "vectors": VECTORS,
    "emotives and metadata": EMOTIVES,
    "options, names, selectors": OPTIONS,
    "too little to learn": SHORT,
    "what is not there": UNKNOWN,
    "conflicts": CONFLICTS,
    "too large, damaged": TOO_LARGE,
}


@pytest.fixture
async def taught(home: control.Home, caller: Caller) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Yield a caller and a pattern's id; records 1 and 2 learn, 3 is void, 4 voids it, 5 is an erasure."""
    client = caller(create_app(home, kato=True))

    async def post(path: str, body: Any = None) -> Any:
        answer = await client.post(M + path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def learn(*events: dict[str, Any]) -> Any:
        await post("/sessions/t/observe-sequence", {"observations": list(events)})
        return await post("/sessions/t/learn")

    for name in ("s", "t", "v", "empty"):
        await post("/sessions", {"session_id": name})
    pattern = (await learn({"strings": ["a"]}, {"strings": ["b"]}))["id"]
    await learn({"strings": ["c"]}, {"vectors": [[1, 0]]})
    assert 3 == (await learn({"strings": ["d"]}, {"strings": ["e"]}))["seq"]
    assert 4 == (await post("/undo", {"seq": 3}))["seq"]
    await learn({"strings": ["f"]}, {"strings": ["g"]})
    assert 6 == (await post("/erase", {"symbol": "f"}))["seq"]
    await post("/sessions/s/observe", {"strings": ["kept"]})
    await post("/sessions/v/observe", {"strings": ["kept"], "vectors": [[0, 1]]})
    yield client, pattern


async def state(client: httpx.AsyncClient) -> list[Any]:
    """Return everything that a refused request must leave as it was."""
    asked = ["/state-hash", "/log", "/sessions/count", "/sessions/s/config"]
    asked += [f"/sessions/{name}/stm" for name in ("s", "t", "v", "empty")]
    found = [(await client.get(M + path)).json() for path in asked]
    return [*found, (await client.get(f"{M}/sessions/s")).json()["time"]]


async def test_bad_input_has_its_code_and_changes_nothing(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: each row of the table gets its status, code and place; memory and sessions stay as they are."""
    client, pattern = taught
    before = await state(client)
    for row, requests in ROWS.items():
        for bad in requests:
            await check(client, pattern, bad)
        assert before == await state(client), row


async def check(client: httpx.AsyncClient, pattern: str, bad: Bad) -> None:
    """Send one bad request and compare what comes back."""
    method, _, path = bad.line.partition(" ")
    text = bad.text if bad.text is None else bad.text.replace(b"PATTERN", pattern.encode())
    kind = BINARY if path == "/import" else JSON
    answer = await client.request(method, M + path.replace("PATTERN", pattern), content=text, headers=kind)
    told = answer.json()
    assert (bad.status, bad.code) == (answer.status_code, told.get("code")), (bad.line, bad.body, told)
    assert told["request_id"] and told["next_step"]
    if bad.place is not None:
        assert bad.place in [one["location"] for one in told["errors"]], (bad.line, bad.body, told)


async def test_the_root_table_refuses_alike(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: with --kato the same requests at the root get the same answers but for address and request id."""
    client, pattern = taught
    before = await state(client)
    for bad in (*NOT_JSON, *SYMBOLS, *OPTIONS):
        method, _, path = bad.line.partition(" ")
        answers = []
        for prefix in (M, ""):
            there = prefix + path.replace("PATTERN", pattern)
            told = (await client.request(method, there, content=bad.text, headers=JSON)).json()
            answers.append({name: told[name] for name in told if name not in {"instance", "request_id"}})
        assert answers[0] == answers[1], bad.line
    assert before == await state(client)


MAKES_NOTHING = [
    Bad("POST /observe?memory=new&session=new", {"strings": [""]}, 422, "SYMBOL_INVALID"),
    Bad("POST /observe?memory=new&session=new", {"emotives": {"joy": True}}, 422, "EMOTIVES_INVALID"),
    Bad("POST /observe?session=new", {"vectors": [[1, 2, 3]]}, 422, "VECTOR_DIMENSION"),
    Bad("POST /sessions", {"memory": "new", "session_id": "new", "ttl_seconds": 0}, 422, "CONFIG_INVALID"),
    Bad("POST /sessions", {"memory": "new", "session_id": "n\0w"}, 422, "BODY_INVALID"),
    Bad("POST /sessions", {"memory": "new", "session_id": "new", "metadata": [1]}, 422, "METADATA_INVALID"),
    Bad("POST /traces?memory=new", {"records": [3], "format": "otlp"}, 422, "BODY_INVALID"),
    Bad("POST /import?memory=new", b"no export", 422, "IMPORT_CORRUPT"),
]


async def test_what_is_refused_makes_no_memory_and_no_session(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: memory and session are made when absent only by requests that are done."""
    client, _ = taught
    before = await state(client)
    for bad in MAKES_NOTHING:
        method, _, path = bad.line.partition(" ")
        kind = BINARY if path.startswith("/import") else JSON
        answer = await client.request(method, M + path, content=bad.text, headers=kind)
        assert (bad.status, bad.code) == (answer.status_code, answer.json()["code"]), bad
        assert 404 == (await client.get(f"{M}/patterns", params={"memory": "new"})).status_code, bad
        assert not (await client.get(f"{M}/sessions/new/exists")).json()["exists"], bad
    assert before == await state(client)


async def test_every_wrong_option_is_named(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: one entry per key, and none of the good ones beside them is applied."""
    client, _ = taught
    sent = {"max_predictions": 3, "recall_threshold": 2, "nope": 1, "rank_sort_algo": "best"}
    told = (await client.post(f"{M}/sessions/s/config", json=sent)).json()
    assert ["body.nope", "body.rank_sort_algo", "body.recall_threshold"] == sorted(
        one["location"] for one in told["errors"]
    )
    config = (await client.get(f"{M}/sessions/s/config")).json()["config"]
    assert {"value": 100, "from": "default"} == config["max_predictions"]


LOSSY = ("filter_pipeline", "length_min_ratio", "jaccard_threshold", "minhash_bands", "bloom_false_positive_rate")


async def test_a_lossy_filter_is_refused_in_words(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: a request for a pipeline that loses recall is refused, and told that there is none."""
    client, _ = taught
    for option in LOSSY:
        asked = (
            client.post(f"{M}/predictions", json={"events": [["a"]], option: 1}),
            client.post(f"{M}/sessions/s/config", json={option: 1}),
            client.post(f"{M}/sessions", json={"config": {option: 1}}),
            client.get(f"{M}/sessions/s/predictions", params={option: 1}),
        )
        for waiting in asked:
            answer = await waiting
            assert (422, "CONFIG_INVALID") == (answer.status_code, answer.json()["code"])
            assert "no pipelines that lose recall" in answer.json()["detail"]


async def test_an_expired_session_is_gone_but_known(tmp_path: Any, caller: Caller) -> None:
    """Promise: past its time a session is 410 SESSION_EXPIRED for every use, and `exists` says so."""
    clock = FakeClock()
    from kimera.settings import Settings

    with control.open_home(Settings(home=tmp_path / "home", database_url=None), clock=clock) as home:
        client = caller(create_app(home))
        await client.post(f"{M}/sessions", json={"session_id": "s", "ttl_seconds": 10})
        await client.post(f"{M}/sessions/s/observe", json={"strings": ["a"]})
        await clock.advance(timedelta(seconds=11).total_seconds())
        for method, path in (("GET", ""), ("GET", "/stm"), ("POST", "/learn"), ("POST", "/extend")):
            answer = await client.request(method, f"{M}/sessions/s{path}")
            assert (410, "SESSION_EXPIRED") == (answer.status_code, answer.json()["code"]), path
        assert {"exists": False, "expired": True} == (await client.get(f"{M}/sessions/s/exists")).json()


async def test_a_store_that_is_away_is_503_with_a_hint(home: control.Home, caller: Caller) -> None:
    """Promise: short-term memories in a Redis that does not answer: 503 STORE_UNAVAILABLE and Retry-After."""
    app = create_app(home)
    app.state.memories = Memories.open(home.database, stm="redis://127.0.0.1:1/0", clock=home.clock)
    client = caller(app)
    for path, body in (("/observe", {"strings": ["a"]}), ("/sessions/s/observe", {"strings": ["a"]})):
        await client.post(f"{M}/sessions", json={"session_id": "s"})
        answer = await client.post(M + path, json=body)
        assert (503, "STORE_UNAVAILABLE") == (answer.status_code, answer.json()["code"]), answer.text
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_view_that_is_too_old_is_503_with_a_hint(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: an answer that must know of a record not there yet waits, then is 503 INDEX_BEHIND with Retry-After."""
    client, _ = taught
    answer = await client.get(f"{M}/sessions/s/predictions", params={"at_least_seq": 99})
    assert (503, "INDEX_BEHIND") == (answer.status_code, answer.json()["code"])
    assert int(answer.headers["retry-after"]) >= 1


async def test_bodies_between_the_usual_size_and_16_mib_are_taken(taught: tuple[httpx.AsyncClient, str]) -> None:
    """Promise: the memory takes larger bodies than the rest of the gateway: 10,000 observations of 300 bytes."""
    client, _ = taught
    names = (f"{number:05d}" * 60 for number in itertools.count())
    body = {"observations": [{"strings": [name]} for name, _ in zip(names, range(10_000), strict=False)]}
    answer = await client.post(f"{M}/sessions/t/observe-sequence", json=body)
    assert (200, 1_000) == (answer.status_code, answer.json()["final_stm_length"])
