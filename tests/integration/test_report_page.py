"""The HTML report in a real browser: it renders alone, asks the network for nothing, and prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pypdfium2
import pytest
from tests.integration.test_cli import EXAMPLE, QUESTION, make_kimera

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the HTML report of the example."""
    place = tmp_path_factory.mktemp("page")
    done = make_kimera(place / "home")("run", QUESTION, str(EXAMPLE), "--out", str(place / "report.html"))
    assert done.returncode == 0, done.stderr
    return place / "report.html"


def browse(page: Path, *flags: str) -> str:
    """Open the page in Chromium with these flags and return what it prints."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        if os.environ.get("KIMERA_REQUIRE_SERVICES"):
            pytest.fail("Chromium is required here and is not installed")
        pytest.skip("no Chromium; install the package chromium")
    profile = page.parent / "profile"
    command = [browser, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


def test_the_page_shows_question_answer_and_evidence(page: Path) -> None:
    """Promise: the browser builds the page with its question, its answer and every reference it points to."""
    shown = browse(page, "--dump-dom")
    assert f"{QUESTION}</h1>" in re.sub(r"\s+", " ", shown)
    anchors = set(re.findall(r'href="#([^"]+)"', shown))
    assert anchors
    assert anchors <= set(re.findall(r'id="([^"]+)"', shown))


def test_the_page_points_to_nothing_outside_itself(page: Path) -> None:
    """Promise: as the browser builds it, the page has no script and every address in it is a place in the page."""
    shown = browse(page, "--dump-dom")
    addresses = re.findall(r'\s(?:src|href|srcset|action|poster|data|formaction|ping)="([^"]*)"', shown)
    assert addresses
    assert [] == [address for address in addresses if not address.startswith(("#", "data:image/"))]
    assert "default-src 'none'" in shown
    assert not re.search(r"<script|@import|url\((?!['\"]?(?:#|data:image/))", shown)


def test_the_page_prints_with_its_answer_on_the_first_sheet(page: Path) -> None:
    """Promise: printed to PDF the report holds question, answer and sources."""
    target = page.parent / "report.pdf"
    browse(page, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    sheets = [sheet.get_textpage().get_text_range() for sheet in pypdfium2.PdfDocument(target)]
    assert "Answer" in sheets[0]
    assert any("scan-damaged.pdf" in sheet for sheet in sheets)
