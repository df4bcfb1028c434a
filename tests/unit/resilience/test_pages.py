"""The pages about resilience: what they show is run, and what they name exists."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import kimera.resilience
from kimera.clock import FakeClock

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = {page.stem: page.read_text() for page in sorted((DOCS / "resilience").glob("*.md"))}


class Client:
    """What the examples talk to: answers in capitals, and `flaky` fails every other time."""

    failed = False

    async def ask(self, text: str) -> str:
        return text.upper()

    def now(self, text: str) -> str:
        return text.upper()

    async def broken(self) -> None:
        raise ConnectionError("down")

    async def flaky(self, text: str) -> str:
        self.failed = not self.failed
        if self.failed:
            raise ConnectionError("once")
        return text.upper()

    async def connect(self) -> object:
        return object()


@pytest.mark.parametrize("page", PAGES)
async def test_the_examples_of_a_page_run(page: str) -> None:
    """Promise: every block of Python on the page runs, in order, and its assertions hold."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"client": Client(), "clock": FakeClock(auto=True), "asyncio": asyncio}
    for block in blocks:
        code = compile(block, f"{page}.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result


def test_every_public_name_stands_on_a_page() -> None:
    """Promise: what the room exports, plumbing apart, is named on one of its pages or in docs/errors.md."""
    text = "".join([*PAGES.values(), (DOCS / "errors.md").read_text()])
    plumbing = re.compile(r".*(Stats|Info)|Clock|Event|Attempt|UNSET|Policy|Outcome|KeyedRateLimit|ValidationRule")
    shown = [name for name in kimera.resilience.__all__ if not plumbing.fullmatch(name)]
    missing = [name for name in shown if not re.search(rf"\b{name}\b", text)]
    assert [] == missing
