"""One mission: see it, cancel it, continue it, retry it, check it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from kimera.api.missions.models import MissionView, RetryAsked, VerificationView
from kimera.api.missions.parts import IdempotencyKey, IfNoneMatch, MissionId, Number, home_of, tenant_of
from kimera.api.repeats import answer_once
from kimera.api.security import requires
from kimera.errors import MissionCancelled, OperationTimeout
from kimera.missions import control
from kimera.missions.control import Home, MissionRow
from kimera.missions.verify import Verification, verify
from kimera.resilience import Bulkhead

__all__ = ["router"]

VERIFYING = 2
WAITING = 8


def router() -> APIRouter:
    """Return the routes of one mission."""
    routes = APIRouter(prefix="/api/missions/{mission_id:mission}", tags=["missions"])
    _add_seeing(routes)
    _add_changes(routes)
    return routes


def _add_seeing(routes: APIRouter) -> None:
    desk = Bulkhead(VERIFYING, queue=WAITING, max_wait=30.0, name="verify")

    @routes.get(
        "",
        operation_id="get_mission",
        summary="See where a mission stands",
        dependencies=[requires("read")],
        responses={304: {"description": "Nothing happened since the answer with this ETag."}},
        response_model=MissionView,
    )
    def get_mission(
        request: Request, response: Response, mission_id: MissionId, if_none_match: IfNoneMatch = None
    ) -> MissionView | Response:
        """Show state, tracks, versions and cost. The ETag changes with every event."""
        mission = control.get(home_of(request), mission_id, tenant_of(request))
        tag = f'"{mission.mission_id}.{mission.seq}"'
        if matches(if_none_match, tag):
            return Response(status_code=304, headers={"etag": tag})
        response.headers["etag"] = tag
        response.headers["cache-control"] = "private, no-cache"
        return _view(request, mission)

    @routes.post(
        "/verify", operation_id="verify_mission", summary="Check a report again", dependencies=[requires("write")]
    )
    async def verify_mission(request: Request, mission_id: MissionId, version: Number = None) -> VerificationView:
        """Compute every number and read every quotation again, on the files as they are now. Two run at once."""
        home, tenant = home_of(request), tenant_of(request)
        work = partial(_verify, home, mission_id, version, tenant)
        return _verified(await desk.call(asyncio.to_thread, work))


def _add_changes(routes: APIRouter) -> None:
    @routes.post(
        "/cancel",
        response_model=MissionView,
        operation_id="cancel_mission",
        summary="Cancel a mission",
        dependencies=[requires("write")],
    )
    def cancel_mission(request: Request, mission_id: MissionId, idempotency_key: IdempotencyKey = None) -> Response:
        """Stop a mission at its next step, at once when nobody works on it. What was reported stays readable."""
        return _acted(request, lambda home, tenant: control.cancel(home, mission_id, tenant))

    @routes.post(
        "/resume",
        response_model=MissionView,
        operation_id="resume_mission",
        summary="Continue a mission",
        dependencies=[requires("write")],
    )
    def resume_mission(request: Request, mission_id: MissionId, idempotency_key: IdempotencyKey = None) -> Response:
        """Note that an unfinished mission is wanted; a worker continues it from its last recorded step."""
        return _acted(request, lambda home, tenant: control.resume(home, mission_id, tenant))

    @routes.post(
        "/retry",
        response_model=MissionView,
        operation_id="retry_mission",
        summary="Run tracks again",
        dependencies=[requires("write")],
    )
    def retry_mission(
        request: Request,
        mission_id: MissionId,
        asked: Annotated[RetryAsked, Body()] = RetryAsked(),  # noqa: B008 - frozen
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Run a track of a finished mission again, every failed one when none is named; the report gets a version."""
        return _acted(request, lambda home, tenant: control.retry(home, mission_id, asked.track, tenant))


def matches(if_none_match: str | None, tag: str) -> bool:
    """Return whether the caller has the answer with this ETag already (RFC 9110 section 13.1.2, weak comparison)."""
    if if_none_match is None:
        return False
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in known or known == ["*"]


def _acted(request: Request, act: Callable[[Home, str], MissionRow]) -> Response:
    """Do something to a mission, once per Idempotency-Key, and show it."""

    def work() -> Response:
        row = act(home_of(request), tenant_of(request))
        return Response(_view(request, row).model_dump_json(), media_type="application/json")

    return answer_once(request, work)


def _view(request: Request, row: MissionRow) -> MissionView:
    return MissionView.of(row, control.briefs(home_of(request), [row])[row.mission_id])


def _verify(home: Home, mission_id: str, version: int | None, tenant: str) -> Verification:
    """Verify within the time of the settings; raises `OperationTimeout` when it is used up."""
    outcome = control.outcome(home, mission_id, version, tenant)
    seconds, over = home.settings.verify_seconds, threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    try:
        return verify(outcome, blobs=home.blobs, folder=Path(outcome.folder), from_home=True, should_stop=over.is_set)
    except MissionCancelled as stopped:
        raise OperationTimeout(
            f"Checking the report takes longer than {seconds:g} s; run `kimera verify {mission_id}` on the server, "
            "or raise KIMERA_VERIFY_SECONDS.",
            "verify",
            seconds,
        ) from stopped
    finally:
        timer.cancel()


def _verified(done: Verification) -> VerificationView:
    return VerificationView(
        mission_id=done.mission_id,
        version=done.version,
        holds=done.holds,
        summary=done.summary,
        claims=done.claims,
        sources=done.sources,
        computations=done.computations,
        problems=done.problems,
        seconds=done.seconds,
    )
