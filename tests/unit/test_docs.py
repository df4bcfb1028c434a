"""The reference pages are made from the code, so nothing a person can set, call or meet is undocumented."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from kimera import errors
from kimera.cli import root
from kimera.settings import Settings, variable

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STALE = "docs/{} is not what the code gives: run python docs/generate.py and commit the page"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Return the script that writes the pages."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "settings.md", "errors.md", "cli.md", "telemetry/metrics.md"])
def test_a_generated_page_is_what_the_code_gives(generate: ModuleType, name: str) -> None:
    """Promise: settings, errors, commands and metrics in the docs are those of the code, word for word."""
    assert generate.PAGES[name]() == (DOCS / name).read_text(), STALE.format(name)


def test_every_setting_is_described() -> None:
    """Promise: each field of Settings has a description and stands in docs/settings.md under its variable's name."""
    page = (DOCS / "settings.md").read_text()
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]
    assert [] == [name for name in Settings.model_fields if f"`{variable(name)}`" not in page]


def test_every_error_code_is_described() -> None:
    """Promise: each error class that kimera.errors exports stands in docs/errors.md with its code."""
    page = (DOCS / "errors.md").read_text()
    classes = [value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)]
    codes = [cls.default_code for cls in classes if issubclass(cls, errors.KimeraError)]
    assert len(codes) >= 10
    assert [] == [code for code in codes if f"`{code}`" not in page]


def test_every_command_is_described() -> None:
    """Promise: each command a person can list has a help text and a section in docs/cli.md."""
    page = (DOCS / "cli.md").read_text()
    context = click.Context(root.kimera_command, info_name="kimera")
    for name in root.kimera_command.list_commands(context):
        command = root.kimera_command.get_command(context, name)
        assert command is not None
        assert command.hidden or (command.help and f"## `kimera {name}`" in page), name


def pages() -> list[Path]:
    """Return every Markdown page of the repository that people read."""
    return [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]


def test_links_between_pages_lead_somewhere() -> None:
    """Promise: a relative link in a page points at a file that exists."""
    broken = []
    for page in pages():
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert [] == broken


def test_pages_name_only_variables_that_exist() -> None:
    """Promise: a KIMERA_ variable that a page mentions is a setting, or belongs to the tests; design notes may plan."""
    known = {variable(name) for name in Settings.model_fields}
    unknown = {
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages()
        if "design" not in page.parts
        for name in re.findall(r"\bKIMERA_[A-Z][A-Z_]*[A-Z]\b", page.read_text())
        if name not in known
        and not name.startswith("KIMERA_TEST_")
        and name not in {"KIMERA_ERROR", "KIMERA_REQUIRE_SERVICES", "KIMERA_REQUIRE_PROMETHEUS"}
    }
    assert set() == unknown
