"""The house rules of docs/design, as tests: what a reader may rely on without reading every file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "kimera").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
WAIVERS = ROOT / "tests" / "house_waivers.txt"

MODULE_LINES = 500
FUNCTION_LINES = 60
BRANCHES = 12
RERAISING = 24  # handlers that look at an error and always raise it again: counting, giving back, noting
POLICIES = 14  # handlers of the resilience kernel, whose business is to decide what follows an error
BOUNDARIES = 15  # places that may catch Exception: step runner, worker loop, CLI main, one per file reader boundary


def waived() -> set[str]:
    """Return the names a waiver line excuses; each line is ``name: reason``."""
    lines = WAIVERS.read_text().splitlines() if WAIVERS.exists() else []
    return {line.split(": ", 1)[0] for line in lines if line.strip() and not line.startswith("#")}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function definition of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    """Return the path relative to the repository."""
    return path.relative_to(ROOT).as_posix()


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    """Promise: every module of the product has at most 500 lines, or a waiver with its reason."""
    long = {name_of(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) > MODULE_LINES}
    assert {} == {name: n for name, n in long.items() if name not in waived()}


def test_no_function_is_longer_or_more_branched_than_the_house_allows() -> None:
    """Promise: functions have at most 60 lines; ruff's C901 holds the 12 branches."""
    long = {}
    for path in SOURCES:
        for function in functions(ast.parse(path.read_text())):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES:
                long[f"{name_of(path)}:{function.name}"] = lines
    assert {} == {name: n for name, n in long.items() if name not in waived()}


def test_every_waiver_is_still_needed_and_has_a_reason() -> None:
    """Promise: no stale waiver, none without a reason."""
    for line in WAIVERS.read_text().splitlines() if WAIVERS.exists() else []:
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            assert len(reason) > 10, line
            assert (ROOT / name.split(":")[0]).exists(), line


def always_reraises(body: list[ast.stmt], name: str | None) -> bool:
    """Return whether every way through a handler's body ends by raising the caught error itself."""
    for statement in body:
        if isinstance(statement, ast.Raise):
            raised = statement.exc
            return raised is None or (isinstance(raised, ast.Name) and raised.id == name)
        branches = [statement.body, statement.orelse] if isinstance(statement, ast.If) else [[]]
        if all(always_reraises(branch, name) for branch in branches):
            return True
        leaving = (ast.Return, ast.Break, ast.Continue)
        if any(isinstance(inner, leaving) for inner in ast.walk(statement)):
            return False
    return False


def broad_handlers(path: Path) -> Iterator[ast.ExceptHandler]:
    """Yield the handlers of Exception or BaseException, alone or in a tuple; fail on a bare except."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in {name_of(path)}:{node.lineno}"
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"} for kind in kinds):
                yield node


def test_broad_excepts_stand_only_at_named_boundaries() -> None:
    """Promise: `except Exception` stands at counted boundaries only; what always re-raises, and the kernel, apart."""
    reraising, policies, boundaries = [], [], []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for handler in broad_handlers(path):
            place = f"{name_of(path)}:{handler.lineno}"
            has_reason = "# noqa: BLE001 - " in lines[handler.lineno - 1]
            if always_reraises(handler.body, handler.name):
                reraising.append(place)
            elif name_of(path).startswith("src/kimera/resilience/"):
                decides = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
                assert decides or has_reason, f"{place} neither raises nor says why not"
                policies.append(place)
            else:
                boundaries.append(place)
    assert len(reraising) <= RERAISING, reraising
    assert len(policies) <= POLICIES, policies
    assert len(boundaries) <= BOUNDARIES, boundaries


def test_reraising_is_told_from_swallowing() -> None:
    """Promise: the rule above sees through branches: one way out without the error and it is a boundary."""

    def judged(source: str) -> bool:
        handler = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ExceptHandler))
        return always_reraises(handler.body, handler.name)

    begin = "def f():\n try:\n  g()\n except Exception as e:\n  "
    assert judged(begin + "note(e)\n  raise")
    assert judged(begin + "raise e")
    assert judged(begin + "if e.args:\n   raise\n  else:\n   raise e")
    assert not judged(begin + "pass")
    assert not judged(begin + "if e.args:\n   raise")
    assert not judged(begin + "if e.args:\n   return 1\n  raise")
    assert not judged(begin + "raise ValueError from e")


def test_tests_never_sleep_nor_patch() -> None:
    """Promise: unit tests use the fake clock and fakes; no time.sleep, no mock.patch."""
    pattern = re.compile(r"\btime\.sleep\(|mock\.patch|from unittest import mock")
    guilty = [name_of(p) for p in TESTS if p != Path(__file__).resolve() and pattern.search(p.read_text())]
    assert [] == guilty


def test_every_test_opens_with_its_promise() -> None:
    """Promise: each test function has a docstring that says what holds."""
    missing = [
        f"{name_of(path)}:{function.name}"
        for path in TESTS
        for function in functions(ast.parse(path.read_text()))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert [] == missing


def test_only_settings_reads_the_environment() -> None:
    """Promise: configuration comes from kimera.settings and from nowhere else."""
    allowed = {"src/kimera/settings.py"}
    guilty = []
    for path in SOURCES:
        if name_of(path) in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                guilty.append(f"{name_of(path)}:{node.lineno}")
    assert [] == [g for g in guilty if g not in waived() and g.rsplit(":", 1)[0] not in waived()]


def test_sql_is_never_an_f_string() -> None:
    """Promise: no statement is put together from values; `text(f...)` and `execute(f...)` do not occur."""
    guilty = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.JoinedStr):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in {"text", "execute", "executescript"}:
                    guilty.append(f"{name_of(path)}:{node.lineno}")
    assert [] == [g for g in guilty if g.rsplit(":", 1)[0] not in waived()]


HEAVY = {"dbos", "pydantic_ai", "fastapi", "alembic", "duckdb", "onnxruntime", "scipy", "matplotlib", "polars", "numpy"}
HEAVY |= {
    "numba",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "redis",
    "rich",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}


@pytest.mark.parametrize("arguments", ["--version", "--help", "run --help", "memory --help", "serve --help"], ids=str)
def test_help_and_version_import_nothing_heavy(arguments: str) -> None:
    """Promise: `kimera --version` and every help stay light: no engine, database or server library is imported."""
    code = (
        "import sys; from kimera.cli import main\n"
        f"sys.argv = ['kimera', *{arguments.split()!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert done.stderr.strip().endswith("[]")
