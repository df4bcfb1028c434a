"""A warm worker that runs one job after the other, and `run` for a single job."""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kimera import telemetry
from kimera.errors import SandboxError, ValidationError
from kimera.sandbox._warm import WarmWorker, WorkerLost
from kimera.sandbox.contracts import Job, JobResult, Level, Limits
from kimera.sandbox.strict_json import parse
from kimera.settings import load_settings

__all__ = ["Session", "run"]

POLL = 0.05
"""Seconds between two looks at ``should_stop`` while another thread's job runs."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
CAUSES = {
    "wall": "it ran longer than {wall:g} s",
    "cpu": "it used more than {cpu} s of processor time",
    "memory": "it used more than {memory} bytes of memory",
    "output": "it printed more than {output} bytes",
    "result": "its result is larger than {result} bytes",
    "scratch": "it wrote more than {scratch} bytes",
    "files": "it made more than {scratch_files} files",
    "processes": "it started more than {processes} processes",
    "stop": "the mission was stopped",
    "worker": "the sandbox worker ended",
}


def _go_on() -> bool:
    return False


class Session:
    """One warm worker process; each `run` forks a child of it, so that jobs never see each other.

    ``start`` returns at once and the first `run` waits for what is left; a worker that died is replaced. Jobs of one
    session run one at a time, from any thread. ``minimum`` is the least isolation for code that is not ``trusted``
    (default: `KIMERA_SANDBOX_MINIMUM`); ``ceiling`` "none" leaves Landlock and seccomp out, for hosts where they harm.
    """

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        should_stop: Callable[[], bool] = _go_on,
        *,
        minimum: Level | None = None,
        ceiling: Level = "reduced",
    ) -> None:
        self.limits = limits
        self._should_stop = should_stop
        self._minimum = minimum
        self._ceiling = ceiling
        self._worker: WarmWorker | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> Self:
        """Start the worker without waiting for it; does nothing when it runs already."""
        with self._lock:
            self._running()
        return self

    def close(self) -> None:
        """End the worker and all its children."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
                self._worker = None

    @property
    def worker_pid(self) -> int | None:
        """Return the process id of the worker, or None when there is none."""
        return self._worker.pid if self._worker is not None else None

    def run(
        self,
        code: str,
        inputs: Mapping[str, Path] | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        trusted: bool = False,
    ) -> JobResult:
        """Run ``code`` with each input as a DuckDB view and return how it ended; never raises for what the code does.

        The code finds ``db``, ``tables`` (name -> Path), ``parameters`` and assigns ``result`` (JSON), and if it likes
        ``rows_read`` and ``rows_used``. ``timeout`` seconds replace ``limits.wall``. ``trusted`` is for code of our
        own templates only. Raises `SandboxError` when no worker can be started, `ValidationError` for a bad input name.
        """
        request = self._request(code, inputs or {}, parameters or {}, timeout, trusted)
        while not self._lock.acquire(timeout=POLL):
            if self._should_stop():
                return self._ended("killed", "stop")
        try:
            with telemetry.span("sandbox.run", trusted=trusted) as span:
                answer = self._ask(request)
                span.set(level=answer.level, status=answer.status, cpu_seconds=answer.cpu_seconds)
                if answer.status != "ok":
                    span.fail("SandboxError", f"SANDBOX_{(answer.limit_hit or answer.status).upper()}", "sandbox")
        finally:
            self._lock.release()
        telemetry.metric("kimera_sandbox_runs_total").bind(level=answer.level, outcome=answer.status).inc()
        return answer

    def _ask(self, request: dict[str, Any]) -> JobResult:
        try:
            return self._ask_once(request)
        except WorkerLost as lost:
            if lost.started:
                return self._ended("killed", "worker")
        # It died between two jobs: a new worker takes this one.
        try:
            return self._ask_once(request)
        except WorkerLost:
            return self._ended("killed", "worker")

    def _ask_once(self, request: dict[str, Any]) -> JobResult:
        worker = self._running()
        try:
            if not worker.wait_ready(self.limits.startup, self._should_stop):
                return self._ended("killed", "stop")
            answer = worker.ask(request, self.limits.startup, self._should_stop)
        except (SandboxError, WorkerLost):
            self._drop()
            raise
        return self._ended("killed", "stop") if answer is None else self._result(answer, request)

    def _running(self) -> WarmWorker:
        if self._worker is not None and not self._worker.alive:
            self._drop()
        if self._worker is None:
            self._worker = WarmWorker()
        return self._worker

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _request(
        self, code: str, inputs: Mapping[str, Path], parameters: Mapping[str, Any], timeout: float | None, trusted: bool
    ) -> dict[str, Any]:
        for name in inputs:
            if not NAME.fullmatch(name):
                raise ValidationError(
                    f"{name!r} is not a name the code could use; use letters, digits and _.", "inputs"
                )
        return {
            "number": next(self._numbers),
            "code": code,
            "inputs": {name: str(Path(path).resolve()) for name, path in inputs.items()},
            "parameters": json.loads(json.dumps(parameters, sort_keys=True)),  # stored JSON has no key order either
            "limits": asdict(self.limits),
            "timeout": self.limits.wall if timeout is None else timeout,
            "trusted": trusted,
            "minimum": self._minimum or load_settings().sandbox_minimum,
            "ceiling": self._ceiling,
        }

    def _ended(self, status: Any, cause: str, **facts: Any) -> JobResult:
        reason = CAUSES[cause].format(**{**asdict(self.limits), **facts.pop("said", {})})
        return JobResult(status=status, error=f"The code was ended: {reason}.", limit_hit=cause, **facts)

    def _result(self, answer: Mapping[str, Any], request: Mapping[str, Any]) -> JobResult:
        facts: dict[str, Any] = {
            key: answer[key] for key in ("stdout", "stderr", "level", "seconds", "cpu_seconds", "peak_rss", "exit_code")
        }
        facts["mechanisms"] = tuple(answer["mechanisms"])
        cause = answer["cause"]
        if cause:
            status = "timeout" if cause in {"wall", "cpu"} else "killed"
            return self._ended(status, cause, said={"wall": request["timeout"]}, **facts)
        if answer["refused"]:
            return JobResult(status="refused", error=_refusal(facts["level"], request["minimum"]), **facts)
        if answer["exit_code"] != 0 or not answer["body"]:
            return JobResult(status="error", error=_no_answer(answer["exit_code"]), **facts)
        return _read_body(answer["body"], request, facts)


def _refusal(level: str, minimum: str) -> str:
    return (
        f"This host offers isolation level {level}, generated code needs {minimum}; "
        "run `kimera doctor` to see what is missing, or set KIMERA_SANDBOX_MINIMUM."
    )


def _no_answer(exit_code: int) -> str:
    if exit_code < 0:
        return f"The process was ended by signal {-exit_code}."
    return "The code ended its process without a result."


def _read_body(body: str, request: Mapping[str, Any], facts: dict[str, Any]) -> JobResult:
    try:
        value = parse(body)
    except ValueError as wrong:
        return JobResult(status="error", error=f"The result is not plain JSON: {wrong}.", **facts)
    if not isinstance(value, dict):
        return JobResult(status="error", error="The result is not plain JSON: no envelope.", **facts)
    if value.get("status") != "ok" or "result" not in value:
        text = _without_paths(str(value.get("error", "unknown error")), request)
        return JobResult(status="error", error=text, limit_hit="memory" if value.get("memory") else None, **facts)
    for key in ("rows_read", "rows_used"):
        count = value.get(key)
        facts[key] = count if isinstance(count, int) and 0 <= count < 2**63 else 0
    return JobResult(status="ok", result=value["result"], **facts)


def _without_paths(text: str, request: Mapping[str, Any]) -> str:
    """Take the places of this host out of an error text."""
    for name, path in request["inputs"].items():
        text = text.replace(path, f"<{name}>")
    for place in sorted({sys.prefix, sys.base_prefix}, key=len, reverse=True):
        text = text.replace(place, "<python>")
    return re.sub(r"/\S*kimera-sandbox-\w+", "<scratch>", text)[:8000]


def run(job: Job, should_stop: Callable[[], bool] = _go_on) -> JobResult:
    """Run one job in a worker of its own and end it."""
    with Session(job.limits, should_stop) as session:
        return session.run(job.code, job.inputs, job.parameters, trusted=job.trusted)
