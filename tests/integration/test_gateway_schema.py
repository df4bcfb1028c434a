"""The running gateway against its own description: schemathesis sends what fits and what does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.databases import BOTH
from tests.integration.gateway import gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

EXAMPLES = "4"
OURS = "^/api/(missions|artifacts|telemetry|docs|openapi)|^/health"  # the memory's streams have no end to wait for
# few missions at once: each upload that is accepted becomes one, and they would take the machine from the requests
ROOM = {"KIMERA_RATE_PER_KEY": "5000", "KIMERA_RATE_PER_ADDRESS": "5000", "KIMERA_MISSIONS_PER_TENANT": "4"}

# Left out: what the description cannot say. A folder must exist and an Idempotency-Key must be new, so valid data is
# refused sometimes; header fields that no route knows are no fault in HTTP.
CONFIG = """
[parameters]
"path.mission_id" = "{mission_id}"
"path.sha256" = "{sha256}"

[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "follow_mission"
checks.negative_data_rejection.enabled = false
"""


@pytest.mark.parametrize("kind", BOTH)
def test_no_answer_breaks_the_description_and_none_is_a_server_error(kind: str, tmp_path: Path) -> None:
    """Promise: over hundreds of generated requests no 5xx, no undocumented status, type, header or shape."""
    with gateway(kind, tmp_path, KIMERA_KEYS="required", **ROOM) as server:
        bearer = {"authorization": f"Bearer {server.keys['admin']}"}
        asked = {"question": "Which species is heavier?", "folder": "birds"}
        started = server.ask("POST", "/api/missions", asked, bearer)
        with server.stream(f"{started.headers['location']}/events", bearer) as events:
            assert "end" == list(events)[-1]["event"]
        versions = server.ask("GET", f"{started.headers['location']}/versions", headers=bearer).json["items"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.format(mission_id=started.json["mission_id"], sha256=versions[0]["artifact"]))
        tool = str(Path(sys.executable).with_name("st"))
        run = [tool, "--config-file", str(config), "run", f"{server.url}/api/openapi.json", "--seed", "1"]
        ours = ["--include-path-regex", OURS]
        options = [*ours, "--max-examples", EXAMPLES, "--workers", "2", "--request-timeout", "20", "--no-color"]
        header = ["-H", f"Authorization: {bearer['authorization']}"]
        done = subprocess.run(
            [*run, *options, *header], check=False, capture_output=True, text=True, timeout=200, cwd=tmp_path
        )
        assert 0 == done.returncode, done.stdout[-6_000:]
        found = re.search(r"(\d+) generated", done.stdout)
        assert found and int(found[1]) > 300, done.stdout[-2_000:]
        print(f"\n{kind}: {found[0]}")
