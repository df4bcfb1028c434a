"""Start missions and list them."""

from __future__ import annotations

import asyncio
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from kimera.api.missions.models import MissionPage, MissionView, NewMission, Wishes
from kimera.api.missions.parts import MISSION_ID, IdempotencyKey, home_of, tenant_of
from kimera.api.missions.receiving import receive, upload_body
from kimera.api.repeats import answer_once
from kimera.api.security import requires
from kimera.errors import ConfigurationError
from kimera.missions import control
from kimera.missions.contracts import MissionOptions, MissionState
from kimera.missions.control import Home
from kimera.missions.control.folders import allowed_folder
from kimera.missions.control.uploads import Upload, new_upload, remove_old_uploads

__all__ = ["router"]

LOCATION = {
    "headers": {"Location": {"description": "Where the new mission is.", "schema": {"type": "string"}}},
}


def router() -> APIRouter:
    """Return the routes that start and list missions."""
    routes = APIRouter(prefix="/api/missions", tags=["missions"])

    @routes.post(
        "",
        operation_id="start_mission",
        summary="Start a mission over a folder of the server",
        status_code=201,
        response_model=MissionView,
        responses={201: LOCATION},
        dependencies=[requires("write")],
    )
    def start_mission(request: Request, asked: NewMission, idempotency_key: IdempotencyKey = None) -> Response:
        """Store a mission; a worker takes it at once. Follow it under `/events`, read it under `/report`."""

        def work() -> Response:
            folder = allowed_folder(home_of(request), asked.folder, tenant_of(request))
            return _created(_start(request, asked, folder, idempotency_key))

        return answer_once(request, work)

    @routes.post(
        "/upload",
        operation_id="start_mission_with_files",
        summary="Start a mission over uploaded files",
        status_code=201,
        response_model=MissionView,
        responses={201: LOCATION},
        dependencies=[requires("write")],
        openapi_extra={"requestBody": upload_body()},
    )
    async def start_mission_with_files(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """Send tables, documents or a zip of them with the question. They are kept with the mission and go after it."""
        upload = await asyncio.to_thread(_fresh_upload, request)
        try:
            asked, digest = await receive(request, upload)
            return await asyncio.to_thread(_start_with, request, upload, asked, digest, idempotency_key)
        finally:
            await asyncio.to_thread(upload.settle)

    @routes.get("", operation_id="list_missions", summary="List missions", dependencies=[requires("read")])
    def list_missions(
        request: Request,
        cursor: Annotated[
            str | None, Query(pattern=MISSION_ID, description="`next` of the page before; unset: the newest.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="Missions on one page.")] = 50,
        state: Annotated[MissionState | None, Query(description="Only missions in this state.")] = None,
    ) -> MissionPage:
        """List your tenant's missions, newest first. Pages stay whole while missions are added."""
        home, tenant = home_of(request), tenant_of(request)
        rows = control.missions(home, limit + 1, tenant=tenant, before=cursor, state=state)
        briefs = control.briefs(home, rows[:limit])
        items = tuple(MissionView.of(row, briefs[row.mission_id]) for row in rows[:limit])
        return MissionPage(items=items, next=items[-1].mission_id if len(rows) > limit else None)

    return routes


def _start(request: Request, asked: Wishes, folder: Path, key: str | None) -> MissionView:
    home, tenant = home_of(request), tenant_of(request)
    control.check_room(home, tenant, home.settings.missions_per_tenant)
    mission_id = control.submit(
        home,
        asked.question,
        folder,
        _options(home, asked),
        session_id=asked.session_id,
        knowledge_space=asked.knowledge_space,
        request_key=key or secrets.token_hex(16),
        tenant=tenant,
    )
    row = control.get(home, mission_id, tenant)
    return MissionView.of(row, control.briefs(home, [row])[mission_id])


def _created(mission: MissionView) -> Response:
    return Response(
        mission.model_dump_json(),
        201,
        {"location": f"/api/missions/{mission.mission_id}"},
        media_type="application/json",
    )


def _fresh_upload(request: Request) -> Upload:
    home, tenant = home_of(request), tenant_of(request)
    control.check_room(home, tenant, home.settings.missions_per_tenant)
    remove_old_uploads(home)
    return new_upload(home, tenant)


def _start_with(request: Request, upload: Upload, asked: Wishes, digest: str, key: str | None) -> Response:
    """Start a mission over received files; a repeated request has its mission, and its files, already."""

    def work() -> Response:
        mission = _start(request, asked, upload.place, key)
        if mission.folder == str(upload.place):
            upload.keep(mission.mission_id)
        return _created(mission)

    return answer_once(request, work, digest=digest)


def _options(home: Home, asked: Wishes) -> MissionOptions:
    settings = home.settings
    if settings.model is not None:
        raise ConfigurationError(
            "The server has a model set, but missions with a model are not built yet; its operator must unset "
            "KIMERA_MODEL.",
            "model",
        )
    return MissionOptions(
        deadline=asked.deadline or settings.deadline,
        budget_usd=Decimal(settings.budget_usd) if asked.budget_usd is None else asked.budget_usd,
        tracks=tuple(dict.fromkeys(asked.tracks)),
    )
