"""Functions that fail, wait and count, for the tests of the policies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


class Flaky:
    """An async function that raises the given errors, one a call, and then returns ``value``."""

    def __init__(self, errors: Iterable[BaseException] = (), value: Any = "fine") -> None:
        self.errors = list(errors)
        self.value = value
        self.calls = 0

    async def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.value


class FlakySync(Flaky):
    """The same as a plain function."""

    def __call__(self, *args: Any) -> Any:  # type: ignore[override]
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.value


class Gate:
    """An async function whose callers wait inside until the gate is opened; counts who is inside."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.inside = self.most = self.calls = 0
        self.order: list[Any] = []
        self.error = error
        self._open = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, name: Any = None) -> Any:
        self.calls += 1
        self.order.append(name)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self._open.wait()
        finally:
            self.inside -= 1
        if self.error is not None:
            raise self.error
        return name


async def settle(rounds: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def never() -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()
