"""The boards: made from data, held against the catalogue, pushed with care."""

from __future__ import annotations

import copy
import itertools
import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from kimera.cli.root import kimera_command
from kimera.errors import ConfigurationError, NotFoundError, ServiceError, ValidationError
from kimera.settings import GrafanaSettings
from kimera.telemetry import dashboards
from kimera.telemetry.recording.catalog import METRICS

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "deploy" / "observability"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "dashboard.schema.json").read_text())
BOARDS = dashboards.read_boards(PLACE / "grafana")
RULES = {
    rule["record"]: rule["expr"]
    for group in yaml.safe_load((PLACE / "rules" / "recording.yml").read_text())["groups"]
    for rule in group["rules"]
}
KEY = "a-token-that-nobody-may-see"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a board, rows left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return every expression of every board."""
    return [target["expr"] for board in BOARDS.values() for panel in panels(board) for target in panel["targets"]]


def test_the_boards_are_what_their_data_gives() -> None:
    """Promise: rendering again gives the committed files, byte for byte, and no others lie beside them."""
    assert {path.name: path.read_text() for path in (PLACE / "grafana").glob("*")} == dashboards.render_boards()


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_has_the_form_grafana_reads(name: str) -> None:
    """Promise: a board fits the schema of the dashboard model, and is sound by the product's own check."""
    assert [] == [error.message for error in Draft202012Validator(SCHEMA).iter_errors(BOARDS[name])]
    assert [] == dashboards.check_board(BOARDS[name], RULES)
    assert name == f"{BOARDS[name]['uid']}.json"


@pytest.mark.parametrize("name", BOARDS)
def test_the_official_model_reads_a_board_and_loses_nothing(name: str) -> None:
    """Promise: a board read into Grafana's own published model comes out again with every key and value it had."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARDS[name])))
    for panel in panels(again):
        panel["fieldConfig"]["defaults"].pop("custom", None)  # defaults of the panel's kind, which reading fills in
    expected = copy.deepcopy(BOARDS[name])
    for panel in panels(expected):
        panel["fieldConfig"]["defaults"].pop("custom", None)
    assert expected == again


def test_a_board_wrapped_in_a_request_is_no_board() -> None:
    """Promise: the form with a `dashboard` key and panels without a type fails the schema and the check."""
    wrapped = {"dashboard": {"title": "Entropy", "panels": [{"title": "Entropy", "targets": [{"expr": "up"}]}]}}
    validator = Draft202012Validator(SCHEMA)
    assert not validator.is_valid(wrapped)
    assert not validator.is_valid(wrapped["dashboard"])
    assert ["wrapped" in fault for fault in dashboards.check_board(wrapped, ())] == [True]
    assert "Entropy: no type" in dashboards.check_board(wrapped["dashboard"], ())


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    """Promise: panels stay within the 24 columns and share no cell; ids are unique."""
    board = BOARDS[name]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(cells) == len(set(cells))
    assert 23 >= max(x for x, _ in cells)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_every_family_is_on_a_board_or_said_to_be_for_reference() -> None:
    """Promise: nothing is counted that no board shows, save what is marked with a reason; recorded series count too."""
    reference_only: dict[str, str] = runpy.run_path(str(PLACE / "dashboards.py"))["REFERENCE_ONLY"]
    shown = set()
    for expr in expressions():
        for name, family, _ in dashboards.families_in(expr):
            if name in RULES:
                shown |= {inner.name for _, inner, _ in dashboards.families_in(RULES[name]) if inner}
            elif family:
                shown.add(family.name)
    assert set(METRICS) - shown == set(reference_only)
    assert all(len(reason) > 10 for reason in reference_only.values())


def test_quantiles_are_read_from_recorded_series() -> None:
    """Promise: no panel computes a quantile of buckets itself; a hundred viewers at once would stall Prometheus."""
    assert [] == [expr for expr in expressions() if "histogram_quantile" in expr]


def test_the_names_of_recorded_series_are_read_as_yaml_reads_them() -> None:
    """Promise: the product's reader of rule names, which needs no YAML, finds exactly the recorded ones."""
    assert frozenset(RULES) == dashboards.recorded_names(PLACE / "grafana")


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(kimera_missions_total)", "only ever grows"),
        ("kimera_identity_entropy_bucket", "only ever grows"),
        ("rate(kimera_identity_entropy[5m])", "in no catalogue"),
        ("rate(kimera_nothing_total[5m])", "in no catalogue"),
        ("kimera:nothing:p50_5m", "in no catalogue"),
        ("", "no expression"),
    ],
)
def test_an_expression_that_means_nothing_is_found(expr: str, fault: str) -> None:
    """Promise: bare counters, histograms without a suffix and names that nobody declares are faults."""
    board = copy.deepcopy(BOARDS["kimera-slo.json"])
    panels(board)[0]["targets"][0]["expr"] = expr
    [said] = dashboards.check_board(board, RULES)
    assert fault in said


@pytest.mark.parametrize("key", ["title", "description", "type", "fieldConfig", "targets"])
def test_an_incomplete_panel_is_found(key: str) -> None:
    """Promise: a panel without title, description, type, unit or query is a fault."""
    board = copy.deepcopy(BOARDS["kimera-slo.json"])
    del panels(board)[0][key]
    assert 1 == len(dashboards.check_board(board, RULES))


def test_a_label_value_that_looks_like_a_name_is_none() -> None:
    """Promise: what stands in quotes is a value, not a series."""
    assert ["kimera_missions_total"] == [
        name for name, _, _ in dashboards.families_in('rate(kimera_missions_total{cause="kimera_x \\" up"}[5m])')
    ]


def test_check_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    """Promise: the command ends with 0 for our boards and with 1 for a broken one, naming panel and fault."""
    runner = CliRunner()
    good = runner.invoke(kimera_command, ["telemetry", "dashboards", "check", "--json"], standalone_mode=False)
    assert (0, {name: [] for name in BOARDS}) == (good.return_value, json.loads(good.stdout))
    board = copy.deepcopy(BOARDS["kimera-slo.json"])
    panels(board)[0]["targets"][0]["expr"] = "kimera_gone"
    (tmp_path / "slo.json").write_text(json.dumps(board))
    bad = runner.invoke(
        kimera_command, ["telemetry", "dashboards", "check", "--from", str(tmp_path)], standalone_mode=False
    )
    assert 1 == bad.return_value
    assert "Value: kimera_gone is in no catalogue" in bad.stdout


def test_render_writes_the_boards_where_it_is_told(tmp_path: Path) -> None:
    """Promise: the command writes the same boards into any folder."""
    target = tmp_path / "new" / "folder"
    done = CliRunner().invoke(
        kimera_command, ["telemetry", "dashboards", "render", "--to", str(target)], standalone_mode=False
    )
    assert 0 == done.return_value
    assert BOARDS == dashboards.read_boards(target)


def test_a_folder_without_boards_is_said_to_be_one(tmp_path: Path) -> None:
    """Promise: an empty folder and a file that is no board end in one sentence with the next step."""
    with pytest.raises(NotFoundError, match="--from"):
        dashboards.read_boards(tmp_path)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ValidationError, match="no board but a list"):
        dashboards.read_boards(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValidationError, match="not JSON"):
        dashboards.read_boards(tmp_path)


class Grafana(ThreadingHTTPServer):
    """A loopback server that takes boards like Grafana, or answers with what a test asks for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.answer: bytes | None = None
        self.seen: list[tuple[str, str, dict[str, Any], str | None]] = []

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Grafana

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(("POST", self.path, body, self.headers["Authorization"]))
        answer = self.server.answer
        if answer is None:
            answer = json.dumps({"status": "success", "url": f"/d/{body['dashboard']['uid']}"}).encode()
        self.send_response(self.server.status)
        if self.server.status in {301, 302, 307}:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, {}, self.headers["Authorization"]))
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """Yield a loopback Grafana."""
    server = Grafana()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def settings(url: str | None, key: str | None = KEY) -> GrafanaSettings:
    """Return settings as the environment would give them."""
    return GrafanaSettings(url=url, api_key=SecretStr(key) if key else None)


def test_push_sends_every_board_with_the_key(grafana: Grafana, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the command posts each board once, replacing an older one, and shows neither key nor header."""
    monkeypatch.setenv("GRAFANA_URL", grafana.url + "/")
    monkeypatch.setenv("GRAFANA_API_KEY", KEY)
    done = CliRunner().invoke(kimera_command, ["telemetry", "dashboards", "push"], standalone_mode=False)
    assert 0 == done.return_value
    assert KEY not in done.output
    assert [("POST", "/api/dashboards/db", f"Bearer {KEY}")] * 5 == [(m, path, key) for m, path, _, key in grafana.seen]
    sent = [body for _, _, body, _ in grafana.seen]
    assert [{**board, "id": None} for board in BOARDS.values()] == [body["dashboard"] for body in sent]
    assert {True} == {body["overwrite"] for body in sent}
    assert f"kimera-slo.json -> {grafana.url}/d/kimera-slo" in done.output


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "role Editor"),
        (403, "role Editor"),
        (404, "ends before /api"),
        (412, "locked folder"),
        (500, "its own log"),
    ],
)
def test_a_refusal_says_what_to_do_and_keeps_the_key(grafana: Grafana, status: int, words: str) -> None:
    """Promise: each kind of refusal names the next step; the key is in no message."""
    grafana.status = status
    with pytest.raises(ServiceError, match=words) as refused:
        dashboards.push_board(settings(grafana.url), BOARDS["kimera-slo.json"])
    assert status == refused.value.http_status
    assert KEY not in repr(refused.value) + str(refused.value.__dict__)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_never_gets_the_key(grafana: Grafana, status: int) -> None:
    """Promise: a redirect is refused, not followed."""
    grafana.status = status
    with pytest.raises(ServiceError, match="no other address"):
        dashboards.push_board(settings(grafana.url), BOARDS["kimera-slo.json"])
    assert ["/api/dashboards/db"] == [path for _, path, _, _ in grafana.seen]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"\xff\xfe"])
def test_what_is_no_grafana_is_said_to_be_none(grafana: Grafana, answer: bytes) -> None:
    """Promise: an answer that is not Grafana's is no success."""
    grafana.answer = answer
    with pytest.raises(ServiceError, match="no Grafana"):
        dashboards.push_board(settings(grafana.url), BOARDS["kimera-slo.json"])


def test_a_grafana_that_is_away_is_said_to_be_away(grafana: Grafana) -> None:
    """Promise: nobody at the address ends in one sentence, not in a traceback."""
    grafana.server_close()
    with pytest.raises(ServiceError, match="did not answer"):
        dashboards.push_board(settings(grafana.url), BOARDS["kimera-slo.json"])
    # the fixture closes it once more, which a closed socket allows


@pytest.mark.parametrize("url", [None, "", "grafana", "ftp://h", "https://user:pass@h", "https://"])
def test_an_address_that_is_none_is_refused(url: str | None) -> None:
    """Promise: without a usable address nothing is sent."""
    with pytest.raises(ConfigurationError, match="GRAFANA_URL"):
        dashboards.push_board(settings(url), {})


def test_the_key_goes_unencrypted_only_when_told_so() -> None:
    """Promise: plain http to another machine is refused unless asked for."""
    with pytest.raises(ConfigurationError, match="--plain"):
        dashboards.push_board(settings("http://grafana.invalid"), {})
    with pytest.raises(ServiceError, match="did not answer"):
        dashboards.push_board(settings("http://grafana.invalid"), {}, plain=True)


@pytest.mark.parametrize("key", [None, "", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_is_none_is_refused(key: str | None) -> None:
    """Promise: a missing or malformed key is refused before anything is sent, and is not repeated."""
    with pytest.raises(ConfigurationError, match="service account") as refused:
        dashboards.push_board(settings("https://grafana.invalid", key), {})
    assert not key or key not in refused.value.message


def test_without_the_builders_the_finished_boards_are_named() -> None:
    """Promise: rendering without the development dependency says where the finished boards are."""
    code = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "from kimera.telemetry import dashboards\n"
        "from kimera.errors import ConfigurationError\n"
        "try: dashboards.render_boards()\n"
        "except ConfigurationError as error: print(error.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert f"The finished boards are in {PLACE / 'grafana'}" in done.stdout
