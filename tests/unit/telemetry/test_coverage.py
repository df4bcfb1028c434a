"""What the code counts is what the catalogue declares, and the other way round for the rooms that exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from kimera.api.limits import Rates
from kimera.clock import FakeClock
from kimera.errors import BudgetExceeded, RateLimited
from kimera.knowledge import build_library
from kimera.llm.spend import SpendLedger
from kimera.sandbox import Session
from kimera.settings import Settings
from kimera.storage import Blobs
from kimera.storage.database import open_database
from kimera.storage.spend import SpendRows
from kimera.telemetry.recording.catalog import METRICS
from kimera.telemetry.recording.metrics import REGISTRY

SOURCES = Path(__file__).resolve().parents[3] / "src" / "kimera"

AWAITED = {
    "identities": "the room is not built yet",
    "signals": "the room is not built yet",
    "chat": "the room is not built yet",
    "memory": "the room is being built",
    "api": "the room is being built",
    "guardian": "the safeguard is not built yet",
}
"""Owners whose families nobody counts yet, or not all."""

WITHOUT_MODEL = {"kimera_llm_calls_total", "kimera_llm_call_duration_seconds"}
"""Families of calls that nothing makes while no model can be configured."""


def named() -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield (file, metric, labels bound to it where they are written out) for every use in the source."""
    for path in SOURCES.rglob("*.py"):
        tree = ast.parse(path.read_text())
        bound = {
            id(node.func.value): {word.arg for word in node.keywords if word.arg}
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"
            if all(word.arg for word in node.keywords)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in {"metric", "Reading"} and str(node.args[0].value).startswith("kimera_"):
                    yield path.name, str(node.args[0].value), bound.get(id(node))


def constants() -> set[str]:
    """Return every text in the source outside the catalogue."""
    return {
        node.value
        for path in SOURCES.rglob("*.py")
        if "catalog" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_metric_in_the_source_is_declared_with_its_labels() -> None:
    """Promise: no name or label is used that the catalogue does not know, wherever it is written."""
    found = list(named())
    assert len(found) > 30
    assert [] == [use for use in found if use[1] not in METRICS]
    assert [] == [
        use for use in found if use[2] is not None and use[2] != set(METRICS[use[1]].label_names) and use[1] in METRICS
    ]


def test_every_family_of_a_room_that_exists_is_counted() -> None:
    """Promise: no family of a finished room is declared and never fed."""
    written = constants()
    silent = {
        name
        for name, family in METRICS.items()
        if name not in written and family.owner not in AWAITED and not name.startswith("kimera_slo_")
    }
    assert WITHOUT_MODEL == silent


def test_reading_a_folder_counts_its_files(tmp_path: Path, blobs: Blobs) -> None:
    """Promise: each file counts once, by its kind and how far it was read."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("Alpha is first.\n")
    (tmp_path / "folder" / "b.bin").write_bytes(bytes(range(256)))
    counted = REGISTRY.metric("kimera_sources_read_total")
    before = {
        values: REGISTRY.value("kimera_sources_read_total", kind=values[0], outcome=values[1])
        for values in counted.children
    }
    build_library(tmp_path / "folder", blobs, knowledge_space="test")
    moved = {
        values: now - before[values]
        for values in counted.children
        if (now := REGISTRY.value("kimera_sources_read_total", kind=values[0], outcome=values[1])) != before[values]
    }
    assert {("document", "read"): 1, ("other", "unread"): 1} == moved


def test_a_job_counts_by_how_it_was_isolated_and_ended() -> None:
    """Promise: one run of the sandbox is one count under its level and outcome."""
    with Session() as session:
        result = session.run("result = 1", trusted=True)
        before = REGISTRY.value("kimera_sandbox_runs_total", level=result.level, outcome="ok")
        session.run("result = 2", trusted=True)
        assert 1 == REGISTRY.value("kimera_sandbox_runs_total", level=result.level, outcome="ok") - before


def test_money_counts_when_it_is_paid_and_once(tmp_path: Path) -> None:
    """Promise: a ticket settled twice is spent once, its tokens too; a call that does not fit counts as stopped."""
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    ledger = SpendLedger(SpendRows(database), FakeClock(), mission_cap=Decimal(1))
    of = {"track": "fusion", "kind": "llm"}
    spent, tokens, stops = (
        REGISTRY.value("kimera_spend_usd_total", **of),
        REGISTRY.value("kimera_llm_tokens_total", track="fusion", direction="output"),
        REGISTRY.value("kimera_budget_actions_total", scope="mission", action="stop"),
    )
    ticket = ledger.reserve("m", "fusion", Decimal("0.5"))
    for _ in range(2):
        ledger.settle(ticket, Decimal("0.25"), input_tokens=10, output_tokens=4)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("m", "fusion", Decimal("0.9"))
    database.close()
    assert 0.25 == pytest.approx(REGISTRY.value("kimera_spend_usd_total", **of) - spent)
    assert 4 == REGISTRY.value("kimera_llm_tokens_total", track="fusion", direction="output") - tokens
    assert 1 == REGISTRY.value("kimera_budget_actions_total", scope="mission", action="stop") - stops


def test_a_refused_request_counts_under_the_limit_that_refused_it() -> None:
    """Promise: one request too many of a key is one refusal of the limit "key", none of the address."""
    rates = Rates(Settings(rate_per_key=1, rate_per_address=1), FakeClock())
    before = {limit: REGISTRY.value("kimera_rate_limited_total", limit=limit) for limit in ("key", "address")}
    with pytest.raises(RateLimited):
        for _ in range(10):
            rates.key("k1")
    moved = {limit: REGISTRY.value("kimera_rate_limited_total", limit=limit) - before[limit] for limit in before}
    assert {"key": 1, "address": 0} == moved
