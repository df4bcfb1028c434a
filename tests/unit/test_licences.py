"""The page on licences follows what is installed, and nothing under GPL or AGPL comes in unseen."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "licences.md"


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    """Return the script that builds the page."""
    import sys

    spec = importlib.util.spec_from_file_location("build_licences", ROOT / "docs" / "build_licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_run_time_package_is_listed_and_allowed(licences: ModuleType) -> None:
    """Promise: each package of the run-time tree with all extras is in docs/licences.md and none is GPL or AGPL."""
    assert [] == licences.complaints(PAGE.read_text())


def test_a_package_that_is_not_in_the_page_is_named(licences: ModuleType) -> None:
    """Promise: a new dependency fails the check until the page is built again."""
    without = "\n".join(line for line in PAGE.read_text().splitlines() if not line.startswith("| click |"))
    assert ["click: not in the page; run python docs/build_licences.py"] == licences.complaints(without)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", False),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MPL-2.0 AND MIT", False),
        ("GPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("GNU Affero General Public License v3", True),
        ("", True),
    ],
)
def test_gpl_agpl_and_silence_are_refused(licences: ModuleType, licence: str, expected: bool) -> None:
    """Promise: GPL, AGPL and no stated licence are refused; LGPL, MPL and permissive ones are not."""
    assert expected == licences.refused(licences.Entry("some-package", "1", licence, ("kimera",)))


def test_every_exception_has_its_reason(licences: ModuleType) -> None:
    """Promise: a package that may stay in spite of its licence has a note in the page."""
    assert set() == licences.EXCEPTIONS - set(licences.NOTES)
