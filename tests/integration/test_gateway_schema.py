"""The running gateway against its own description: schemathesis sends what fits and what does not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.databases import BOTH
from tests.integration.gateway import Gateway, gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = {"sqlite": "4", "postgres": "2"}
# every operation on both; the edges of each bound (two requests in three) on the one that takes things most exactly
PHASES = {"sqlite": "examples,fuzzing,stateful", "postgres": "examples,coverage,fuzzing,stateful"}
LEAST = {"sqlite": 300, "postgres": 2_500}
OURS = "^/api/(missions|artifacts|telemetry|docs|openapi|memory)|^/health|^/observe"
ENDLESS = "memory_follow_log"  # a stream that goes on until one hangs up; tested in tests/unit/api/memory
# few missions at once: each upload that is accepted becomes one, and they would take the machine from the requests
ROOM = {"KIMERA_RATE_PER_KEY": "5000", "KIMERA_RATE_PER_ADDRESS": "5000", "KIMERA_MISSIONS_PER_TENANT": "4"}

# Left out: what the description cannot say. A folder must exist and an Idempotency-Key must be new, so valid data is
# refused sometimes; header fields that no route knows are no fault in HTTP; a sequence of 10,001 is too large (413); a
# record that the log does not hold yet may come (503); a session may be called `count`, so that address knows DELETE.
CONFIG = """
[parameters]
"path.mission_id" = "{mission_id}"
"path.sha256" = "{sha256}"

[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = ["4xx"]

[[operations]]
include-operation-id = "follow_mission"
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = "memory_count_sessions"
checks.allow_header_conformance.enabled = false

[[operations]]
include-operation-id = ["memory_predict", "memory_continue"]
parameters = {{ "query.memory" = "default", "query.node_id" = "default" }}
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]

[[operations]]
include-tag = ["memory patterns", "memory log", "memory monitoring"]
parameters = {{ "query.memory" = "default", "query.node_id" = "default", "path.ref" = "{pattern}" }}

[[operations]]
include-operation-id = ["memory_edit_pattern", "memory_forget_pattern"]
parameters = {{ "query.memory" = "default", "query.node_id" = "default", "path.ref" = "{other_pattern}" }}

[[operations]]
include-tag = ["memory sessions", "memory recall"]
exclude-operation-id = ["memory_delete_session", "memory_clear_all", "memory_predict", "memory_continue"]
parameters = {{ "path.session_id" = "known", "path.ref" = "{pattern}" }}

[[operations]]
include-operation-id = "memory_clear_all"
parameters = {{ "path.session_id" = "elsewhere" }}
"""


def prepared(server: Gateway, bearer: dict[str, str]) -> str:
    """Return the configuration with the names of a mission, an artefact and patterns that are there."""

    def post(path: str, body: Any = None) -> Any:
        answer = server.ask("POST", path, body, bearer)
        assert 200 <= answer.status < 300, answer.body
        return answer.json

    asked = {"question": "Which species is heavier?", "folder": "birds"}
    started = server.ask("POST", "/api/missions", asked, bearer)
    with server.stream(f"{started.headers['location']}/events", bearer) as events:
        assert "end" == list(events)[-1]["event"]
    versions = server.ask("GET", f"{started.headers['location']}/versions", headers=bearer).json["items"]
    post("/api/memory/sessions", {"session_id": "known", "memory": "default", "config": {"max_pattern_length": 0}})
    post("/api/memory/sessions", {"session_id": "elsewhere", "memory": "elsewhere"})
    taught = []
    for names in ("abcd", "bcde"):
        sequence = {"observations": [{"strings": [name], "emotives": {"joy": 1}} for name in names]}
        post("/api/memory/sessions/known/observe-sequence", sequence)
        taught.append(post("/api/memory/sessions/known/learn")["id"])
    names = {"mission_id": started.json["mission_id"], "sha256": versions[0]["artifact"]}
    return CONFIG.format(**names, pattern=taught[0], other_pattern=taught[1])


def explored(kind: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Start a gateway on this kind of database and send it what its description makes up."""
    with gateway(kind, place, KIMERA_KEYS="required", **ROOM) as server:
        bearer = {"authorization": f"Bearer {server.keys['admin']}"}
        config = place / "schemathesis.toml"
        config.write_text(prepared(server, bearer))
        tool = str(Path(sys.executable).with_name("st"))
        run = [tool, "--config-file", str(config), "run", f"{server.url}/api/openapi.json", "--seed", "1"]
        ours = ["--include-path-regex", OURS, "--exclude-operation-id", ENDLESS]
        # one worker: on Python 3.11 several threads at once make its parsing of source fail now and then
        options = [*ours, "--max-examples", EXAMPLES[kind], "--workers", "1", "--request-timeout", "20", "--no-color"]
        header = ["--phases", PHASES[kind], "-H", f"Authorization: {bearer['authorization']}"]
        return subprocess.run(
            [*run, *options, *header], check=False, capture_output=True, text=True, timeout=280, cwd=place
        )


Runs = dict[str, Future[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Explore a gateway on each kind of database that is asked for, side by side: half of the time is waiting."""
    here = [item for item in request.session.items if item.path == request.path]
    kinds = sorted({item.callspec.params["kind"] for item in here if isinstance(item, pytest.Function)})
    with ThreadPoolExecutor(len(kinds)) as pool:
        yield {kind: pool.submit(explored, kind, tmp_path_factory.mktemp(kind)) for kind in kinds}


@pytest.mark.parametrize("kind", BOTH)
def test_no_answer_breaks_the_description_and_none_is_a_server_error(kind: str, runs: Runs) -> None:
    """Promise: over thousands of generated requests no 5xx, no undocumented status, type, header or shape."""
    done = runs[kind].result()
    assert 0 == done.returncode, done.stdout[-6_000:]
    found = re.search(r"(\d+) generated", done.stdout)
    assert found and int(found[1]) > LEAST[kind], done.stdout[-2_000:]
    print(f"\n{kind}: {found[0]}")
