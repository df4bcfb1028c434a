"""The files for Prometheus and Alertmanager, held by their own tools and against each other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.prometheus import run

from kimera.cli.root import COMMANDS
from kimera.telemetry import dashboards

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "deploy" / "observability"
TESTS = sorted(path for path in (PLACE / "rules" / "tests").glob("*.yml") if not path.name.startswith("asked."))
CONFIGS = ["prometheus.yml", "prometheus.fast.yml"]
COMPOSE = ["compose.yml", "ladder/compose.yml"]

pytestmark = pytest.mark.slow


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a file."""
    groups = yaml.safe_load((PLACE / "rules" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
EXPECTED = {  # the alerts there must be, with their severity and how long each condition must last
    "HighEntropyIdentities": ("ticket", "5m"),
    "DecayVerificationFailed": ("page", "1m"),
    "EntropyIndexingSlow": ("ticket", "10m"),
    "DecayVerificationStale": ("ticket", "10m"),
    "DualWriteDiverged": ("page", "5m"),
    "MetricsStale": ("page", "1m"),
    "CardinalityGuardTripped": ("ticket", None),
    "TelemetryDropping": ("ticket", None),
    "ApiAvailabilityFastBurn": ("page", "2m"),
    "ApiAvailabilitySlowBurn": ("ticket", "15m"),
    "MissionSuccessBelowTarget": ("ticket", "5m"),
    "OrchestrationSlow": ("ticket", "10m"),
    "BreakerOpen": ("ticket", "2m"),
    "DeadLetters": ("ticket", "5m"),
}


@pytest.mark.parametrize("name", [*CONFIGS, "ladder/prometheus.yml"])
def test_prometheus_takes_the_configuration(name: str) -> None:
    """Promise: promtool finds nothing wrong in a profile and the rules it loads."""
    assert "SUCCESS" in run("promtool", "check", "config", name, cwd=PLACE)


def test_prometheus_takes_the_rules_without_a_remark() -> None:
    """Promise: every rule parses, no record or alert is defined twice, and the linter says nothing."""
    said = run(
        "promtool", "check", "rules", "--lint=all", "--lint-fatal", "rules/recording.yml", "rules/alerts.yml", cwd=PLACE
    )
    assert f"{len(ALERTS)} rules found" in said


def test_alertmanager_takes_the_configuration() -> None:
    """Promise: amtool finds nothing wrong."""
    assert "SUCCESS" in run("amtool", "check-config", "alertmanager.yml", cwd=PLACE)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_otherwise(path: Path) -> None:
    """Promise: every scene of the rule tests ends as written, by promtool."""
    assert "SUCCESS" in run("promtool", "test", "rules", path.name, cwd=path.parent)


def test_every_alert_is_shown_firing_and_silent() -> None:
    """Promise: the scenes hold both sides of every alert, and each asked form beside ours."""
    firing, silent = set(), set()
    for path in TESTS:
        for scene in yaml.safe_load(path.read_text())["tests"]:
            for check in scene.get("promql_expr_test", []):
                names = re.search(r'alertname=~?"([^"]+)"', check["expr"])
                for name in names.group(1).split("|") if names else []:
                    (firing if check["exp_samples"] else silent).add(name)
            silent |= {check["alertname"] for check in scene.get("alert_rule_test", []) if not check["exp_alerts"]}
    assert set(ALERTS) == firing & silent & set(ALERTS)
    assert {"AskedHighEntropyIdentities"} == firing - set(ALERTS)
    assert {"AskedDecayVerificationFailed", "AskedEntropyIndexingSlow"} == silent - set(ALERTS)


def test_there_are_the_alerts_there_must_be() -> None:
    """Promise: no alert was lost, none changed its patience or its urgency unseen."""
    assert EXPECTED == {name: (rule["labels"]["severity"], rule.get("for")) for name, rule in ALERTS.items()}


def test_alerts_are_evaluated_every_five_seconds_in_both_profiles() -> None:
    """Promise: the alert group brings its own interval; the recording group follows the profile."""
    [alerts] = yaml.safe_load((PLACE / "rules" / "alerts.yml").read_text())["groups"]
    [recording] = yaml.safe_load((PLACE / "rules" / "recording.yml").read_text())["groups"]
    assert ("5s", "kimera_record", None) == (alerts["interval"], recording["name"], recording.get("interval"))
    for name, seconds in zip(CONFIGS, ("15s", "5s"), strict=True):
        config = yaml.safe_load((PLACE / name).read_text())
        assert (seconds, seconds) == (config["global"]["scrape_interval"], config["global"]["evaluation_interval"])
        assert ["localhost:8080"] == config["scrape_configs"][0]["static_configs"][0]["targets"]


def test_every_alert_says_what_happened_and_where_to_read_on() -> None:
    """Promise: summary and description are there, and runbook_url leads to a heading that exists."""
    page = (ROOT / "docs" / "telemetry" / "troubleshooting.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    for name, rule in ALERTS.items():
        notes = rule["annotations"]
        assert {"summary", "description", "runbook_url"} == set(notes)
        assert f"docs/telemetry/troubleshooting.md#{name.lower()}" == notes["runbook_url"]
        assert name.lower() in headings
        assert not notes["summary"].endswith(".")


def test_the_pages_name_only_commands_and_boards_that_exist() -> None:
    """Promise: whoever is woken by an alert types a command that is there and finds the panel that is named."""
    pages = {path.name: path.read_text() for path in (ROOT / "docs" / "telemetry").glob("*.md")}
    commands = {name for text in pages.values() for name in re.findall(r"`kimera ([a-z]+)", text)}
    assert set() == commands - set(COMMANDS)
    boards = dashboards.read_boards(PLACE / "grafana").values()
    titles = {panel["title"] for board in boards for panel in board["panels"]}
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", pages["troubleshooting.md"]))
    assert set() == {words for words in named if not words.startswith(("Page,", "Ticket,"))} - titles


def test_the_entry_of_an_alert_tells_its_urgency_and_patience() -> None:
    """Promise: an entry of the troubleshooting page begins with what the rule says: page or ticket, after how long."""
    page = (ROOT / "docs" / "telemetry" / "troubleshooting.md").read_text()
    found = re.findall(r"^## (\w+)\n\n\*(Page|Ticket), (?:after (\d+) minutes?|at once)\.\*", page, re.MULTILINE)
    assert EXPECTED == {name: (urgency.lower(), f"{wait}m" if wait else None) for name, urgency, wait in found}


def test_rules_name_only_what_the_catalogue_declares() -> None:
    """Promise: alerts and recorded series read families that exist, and counters only under rate or increase."""
    recorded = {rule["record"] for rule in rules("recording.yml")}
    for rule in [*rules("recording.yml"), *rules("alerts.yml")]:
        for name, family, grows in dashboards.families_in(rule["expr"]):
            assert family or name in recorded | dashboards.FOREIGN, f"{name} in {rule['expr']}"
            guard = "unless kimera_metrics_dropped_labelsets_total offset" in rule["expr"]
            assert family is None or family.kind in {"gauge", "gauge_histogram"} or grows or guard, rule["expr"]


def test_no_recorded_series_is_made_for_nobody() -> None:
    """Promise: every recorded series is read by a board or an alert."""
    boards = dashboards.read_boards(PLACE / "grafana")
    text = json.dumps(boards) + (PLACE / "rules" / "alerts.yml").read_text()
    assert [] == [rule["record"] for rule in rules("recording.yml") if rule["record"] not in text]


def test_every_expression_of_every_board_parses(tmp_path: Path) -> None:
    """Promise: Prometheus's own parser takes all of them."""
    exprs = [
        target["expr"]
        for board in dashboards.read_boards(PLACE / "grafana").values()
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]
    made = [{"record": f"board:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    (tmp_path / "boards.yml").write_text(json.dumps({"groups": [{"name": "boards", "rules": made}]}))
    assert f"{len(exprs)} rules found" in run("promtool", "check", "rules", str(tmp_path / "boards.yml"))


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_fits_its_schema_and_mounts_what_exists(name: str) -> None:
    """Promise: the file is sound by the part of the Compose schema it uses; every mounted file and volume is there."""
    place = PLACE / name
    compose = yaml.safe_load(place.read_text())
    schema = json.loads((ROOT / "tests" / "unit" / "telemetry" / "schemas" / "compose.schema.json").read_text())
    assert [] == [error.message for error in Draft202012Validator(schema).iter_errors(compose)]
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert (place.parent / source).exists() if source.startswith(".") else source in compose["volumes"], mount


def test_the_servers_listen_on_this_machine_only() -> None:
    """Promise: nothing that compose starts is reachable from outside, and Prometheus keeps 15 days and exemplars."""
    services = yaml.safe_load((PLACE / "compose.yml").read_text())["services"]
    assert "127.0.0.1" == services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"]
    flags = set(services["prometheus"]["command"]) | set(services["alertmanager"]["command"])
    assert {"--web.listen-address=127.0.0.1:9090", "--web.listen-address=127.0.0.1:9093"} <= flags
    assert {"--storage.tsdb.retention.time=15d", "--enable-feature=exemplar-storage"} <= flags
    for service in yaml.safe_load((PLACE / "ladder" / "compose.yml").read_text())["services"].values():
        assert 1 == sum(flag.startswith("-httpListenAddr=127.0.0.1:") for flag in service["command"])


def test_grafana_is_provisioned_from_where_compose_mounts_the_boards() -> None:
    """Promise: the provider's path is a mount of the boards, and the data source is the Prometheus beside it."""
    mounts = yaml.safe_load((PLACE / "compose.yml").read_text())["services"]["grafana"]["volumes"]
    [provider] = yaml.safe_load((PLACE / "provisioning" / "dashboards" / "kimera.yml").read_text())["providers"]
    assert f"./grafana:{provider['options']['path']}:ro" in mounts
    [source] = yaml.safe_load((PLACE / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert ("prometheus", "http://localhost:9090") == (source["type"], source["url"])


@pytest.mark.parametrize(("step", "kept"), [("5m", "30d"), ("1h", "90d"), ("1d", "1y")])
def test_each_step_of_the_ladder_goes_to_the_store_that_keeps_it(step: str, kept: str) -> None:
    """Promise: the rules of a step, the keep rule, the store's port and its retention belong together."""
    groups = yaml.safe_load((PLACE / "ladder" / "rules.yml").read_text())["groups"]
    [rules_of_step] = [group["rules"] for group in groups if group["interval"] == step]
    writes = yaml.safe_load((PLACE / "ladder" / "prometheus.yml").read_text())["remote_write"]
    [write] = [write for write in writes if write["name"] == f"agg{step}"]
    [relabel] = write["write_relabel_configs"]
    assert "keep" == relabel["action"]
    assert all(re.fullmatch(relabel["regex"], rule["record"]) for rule in rules_of_step)
    others = [rule["record"] for group in groups for rule in group["rules"] if group["interval"] != step]
    assert not any(re.fullmatch(relabel["regex"], name) for name in others)
    service = yaml.safe_load((PLACE / "ladder" / "compose.yml").read_text())["services"][f"agg{step}"]
    assert f"-retentionPeriod={kept}" in service["command"]
    assert any(flag.removeprefix("-httpListenAddr=127.0.0.1") in write["url"] for flag in service["command"])


def test_the_ladder_alerts_like_the_plain_profile() -> None:
    """Promise: choosing the ladder loses no rule, target or receiver of the plain configuration."""
    plain = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    ladder = yaml.safe_load((PLACE / "ladder" / "prometheus.yml").read_text())
    assert {f"../{name}" for name in plain["rule_files"]} <= set(ladder["rule_files"])
    for key in ("global", "alerting", "scrape_configs"):
        assert plain[key] == ladder[key]


def test_a_wheel_carries_boards_rules_and_configurations(tmp_path: Path) -> None:
    """Promise: a built wheel holds the whole folder, byte for byte, where an installed Kimera looks for it."""
    code = "import sys, hatchling.build as build; print(build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("kimera/observability/")}
    tracked = [path for path in PLACE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {f"kimera/observability/{path.relative_to(PLACE)}": path.read_bytes() for path in tracked} == held
