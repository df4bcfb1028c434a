"""Start missions and list them."""

from __future__ import annotations

import asyncio
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from kimera.api.missions.models import MissionPage, MissionView, NewMission, Wishes
from kimera.api.missions.parts import MISSION_ID, home_of, tenant_of
from kimera.api.missions.receiving import UPLOAD_BODY, receive
from kimera.api.security import requires
from kimera.errors import ConfigurationError
from kimera.missions import control
from kimera.missions.contracts import MissionOptions, MissionState
from kimera.missions.control import Home
from kimera.missions.control.folders import allowed_folder
from kimera.missions.control.uploads import Upload, new_upload, remove_old_uploads

__all__ = ["router"]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your own for this request: sent again, it starts nothing and gives the first answer.",
    ),
]
LOCATION = {
    "headers": {"Location": {"description": "Where the new mission is.", "schema": {"type": "string"}}},
}


def router() -> APIRouter:
    """Return the routes that start and list missions."""
    routes = APIRouter(prefix="/missions", tags=["missions"])

    @routes.post(
        "",
        operation_id="start_mission",
        summary="Start a mission over a folder of the server",
        status_code=201,
        responses={201: LOCATION},
        dependencies=[requires("write")],
    )
    def start_mission(
        request: Request, response: Response, asked: NewMission, idempotency_key: IdempotencyKey = None
    ) -> MissionView:
        """Store a mission; a worker takes it at once. Follow it under `/events`, read it under `/report`."""
        home, tenant = home_of(request), tenant_of(request)
        folder = allowed_folder(home, asked.folder, tenant)
        return started(request, response, asked, folder, idempotency_key)

    @routes.post(
        "/upload",
        operation_id="start_mission_with_files",
        summary="Start a mission over uploaded files",
        status_code=201,
        responses={201: LOCATION},
        dependencies=[requires("write")],
        openapi_extra={"requestBody": UPLOAD_BODY},
    )
    async def start_mission_with_files(
        request: Request, response: Response, idempotency_key: IdempotencyKey = None
    ) -> MissionView:
        """Send tables, documents or a zip of them with the question. They are kept with the mission and go after it."""
        home, tenant = home_of(request), tenant_of(request)
        upload = await asyncio.to_thread(_fresh_upload, home, tenant)
        try:
            asked = await receive(request, upload)
            done = await asyncio.to_thread(started, request, response, asked, upload.place, idempotency_key)
            await asyncio.to_thread(_settle, home, upload, done)
        except BaseException:
            await asyncio.to_thread(upload.discard)
            raise
        return done

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


def started(request: Request, response: Response, asked: Wishes, folder: Path, key: str | None) -> MissionView:
    """Store the mission and return it, with its address in the answer's Location."""
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
    response.headers["location"] = f"/api/missions/{mission_id}"
    return MissionView.of(control.get(home, mission_id, tenant), control.brief(home, mission_id, tenant))


def _fresh_upload(home: Home, tenant: str) -> Upload:
    control.check_room(home, tenant, home.settings.missions_per_tenant)
    remove_old_uploads(home)
    return new_upload(home, tenant)


def _settle(home: Home, upload: Upload, mission: MissionView) -> None:
    """Keep the files for the mission made of them; a repeated request has its mission, and its files, already."""
    if mission.folder == str(upload.place):
        upload.keep(mission.mission_id)
    else:
        upload.discard()


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
