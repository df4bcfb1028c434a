"""The rules of docs/design/durable-engine.md that can be checked inside one process."""

from __future__ import annotations

import ast
import inspect
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ConflictError, HomeBusy, KimeraError, StorageFull
from kimera.missions import control
from kimera.missions.contracts import Cost
from kimera.missions.control import _records

ROOT = Path(__file__).resolve().parents[4]


def run(home: control.Home, folder: Path) -> str:
    """Run a small mission and return its id."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    control.run(home, mission_id)
    return mission_id


def engine_rows(home: control.Home, statement: str) -> list[tuple[object, ...]]:
    """Return rows of the engine's own file."""
    connection = sqlite3.connect(home.path / "engine.db")
    rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


def test_rule_1_the_engines_sqlite_file_is_in_wal_mode(home: control.Home, folder: Path) -> None:
    """Promise: the engine runs on our own connection settings, and a home has one worker."""
    run(home, folder)
    assert [("wal",)] == engine_rows(home, "PRAGMA journal_mode")
    lock = control.HomeLock(home)
    assert lock.try_take()
    with pytest.raises(HomeBusy):
        control.work(home, wait=False)
    lock.release()


def test_rules_2_3_4_slot_version_and_serializer_are_ours(home: control.Home, folder: Path) -> None:
    """Promise: every workflow carries our slot, our version and our serializer; nothing is pickled."""
    from kimera.missions.control._engine import APPLICATION_VERSION

    run(home, folder)
    columns = "executor_id, application_version, serialization"
    rows = set(engine_rows(home, f"SELECT {columns} FROM workflow_status"))
    assert {("w1", APPLICATION_VERSION, "kimera_json_v1")} == rows
    assert APPLICATION_VERSION.isdigit()


def test_rule_5_the_private_recovery_is_still_there() -> None:
    """Promise: this fails when an upgrade of the engine removes or changes the private calls we lean on."""
    from dbos import DBOS
    from dbos._dbos import _get_or_create_dbos_registry

    assert ["executor_ids"] == list(inspect.signature(DBOS._recover_pending_workflows).parameters)
    assert _get_or_create_dbos_registry().get_internal_queue()._polling_interval_sec > 0
    assert callable(DBOS.resume_workflow)


def test_rule_6_workflow_bodies_are_deterministic() -> None:
    """Promise: a workflow body names no clock, random, environment, settings or home."""
    source = ast.parse((ROOT / "src/kimera/missions/control/_workflow.py").read_text())
    banned = {"time", "datetime", "random", "uuid", "os", "settings", "home", "clock", "floor"}
    bodies = [node for node in source.body if isinstance(node, ast.AsyncFunctionDef) and node.decorator_list]
    used = {name.id for body in bodies for name in ast.walk(body) if isinstance(name, ast.Name)}
    assert ["mission_workflow", "track_workflow"] == [body.name for body in bodies]
    assert set() == used & banned


def test_rule_7_phases_run_in_bounded_threads_not_on_the_loop(home: control.Home, folder: Path) -> None:
    """Promise: no phase blocks the engine's loop; all run in the bench's threads."""
    import threading

    from benchmarks.small_missions import playbook

    names: set[str] = set()
    playbook("where", lambda *_: names.add(threading.current_thread().name.rsplit("_", 1)[0]))
    control.run(home, control.submit(home, "Where?", folder, playbook="where"))
    assert {"kimera-bench"} == names


def test_rule_8_retries_and_polling_are_set(home: control.Home, folder: Path) -> None:
    """Promise: the engine's own dead-letter limit stands above ours, and queues are polled ten times a second."""
    from kimera.missions.control import _engine
    from kimera.missions.control._steps import CRASH_LIMIT
    from kimera.missions.control._workflow import mission_workflow

    assert mission_workflow is not None
    assert 3 == CRASH_LIMIT
    assert (0.1, 0.1, 0.05) == (_engine.QUEUE_POLL, _engine.RECOVERY_POLL, _engine.LISTEN_POLL)


def test_rule_9_step_outputs_stay_small(home: control.Home, folder: Path) -> None:
    """Promise: what the engine records of a step is under 2 KiB; packages and states are blobs."""
    run(home, folder)
    assert 2048 > max(
        int(str(size))
        for (size,) in engine_rows(home, "SELECT length(output) FROM operation_outputs WHERE output IS NOT NULL")
    )


def test_rule_10_reading_missions_does_not_import_the_engine(tmp_path: Path) -> None:
    """Promise: submit, missions, show, watch and cancel never import the durable engine."""
    code = (
        "import sys; from pathlib import Path; from kimera.settings import Settings\n"
        "from kimera.missions import control\n"
        f"home = control.open_home(Settings(home=Path({str(tmp_path / 'home')!r}), database_url=None))\n"
        f"m = control.submit(home, 'Q?', {str(tmp_path)!r}); control.events(home, m); control.missions(home)\n"
        "control.cancel(home, m); home.close(); print('dbos' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()


def test_rule_10_there_is_one_worker_in_a_process(home: control.Home) -> None:
    """Promise: a second engine in one process is refused."""
    with control.working(home), pytest.raises(ConflictError), control.working(home):
        raise AssertionError("two engines")


def test_rule_11_only_the_port_knows_the_engine() -> None:
    """Promise: dbos is imported in _engine.py and _workflow.py and nowhere else."""
    guilty = [
        path.name
        for path in sorted((ROOT / "src" / "kimera").rglob("*.py"))
        if "import dbos" in path.read_text() or "from dbos" in path.read_text()
    ]
    assert ["_engine.py", "_workflow.py"] == guilty


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(plain)
def test_what_is_recorded_comes_back_equal(value: object) -> None:
    """Promise: every value of the recorded form survives the round trip, tags of its own included."""
    assert value == _records.loads(_records.dumps(value))
    assert {"$": value} == _records.loads(_records.dumps({"$": value}))


def test_models_and_errors_are_recorded_as_data() -> None:
    """Promise: contract models come back equal; a known error as itself, a foreign one as data; the rest is refused."""
    cost = Cost(usd=Decimal("0.10"), calls=1)
    assert cost == _records.loads(_records.dumps(cost))
    assert isinstance(_records.loads(_records.dumps(StorageFull())), StorageFull)
    foreign = _records.loads(_records.dumps(ZeroDivisionError("by zero")))
    assert isinstance(foreign, KimeraError)
    assert "ZeroDivisionError" in foreign.message
    with pytest.raises(TypeError):
        _records.dumps(object())
    with pytest.raises(ValueError, match="JSON"):
        _records.dumps(float("nan"))


def test_a_planted_pickle_is_not_executed() -> None:
    """Promise: a text that is not our JSON is refused, whatever it holds."""
    with pytest.raises(ValueError):
        _records.loads("gASVIQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAZ0b3VjaCB4lIWUUpQu")
