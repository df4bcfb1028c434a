"""Follow a mission: its events as a stream that can be taken up again where it broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from kimera.api.missions.models import EndView, EventView, Ticket
from kimera.api.missions.parts import Mission, home_of
from kimera.api.security import Principal, requires
from kimera.missions import control
from kimera.missions.control import MissionEvent
from kimera.missions.control.watching import Watch
from kimera.storage.tickets import Holder, Tickets

__all__ = ["NothingMore", "router", "watch_of"]

RECONNECT_MS = 2_000
LAST = 10_000_000


class NothingMore(Exception):
    """The caller has seen every event of a mission that has ended; answered by 204, at which browsers stop asking."""


def watch_of(request: Request) -> Watch[ServerSentEvent]:
    """Return the one watch of this gateway, made when first asked for."""
    state = request.app.state
    if getattr(state, "watch", None) is None:
        state.watch = Watch(state.home, _frame, viewers=state.gate.settings.max_streams)
    found: Watch[ServerSentEvent] = state.watch
    return found


def _frame(event: MissionEvent) -> ServerSentEvent:
    """Return an event as it goes over the wire; made once for all viewers."""
    return ServerSentEvent(raw_data=EventView.of(event).model_dump_json(), id=str(event.seq))


async def _position(
    request: Request,
    mission: Mission,
    after: Annotated[
        int, Query(ge=0, le=LAST, description="Number of the last event you have; 0: from the beginning.")
    ] = 0,
    ticket: Annotated[
        str | None,
        Query(max_length=64, description="Instead of a key: a ticket from `events/ticket`, used up by this."),
    ] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LAST, description="Sent by browsers when they come back; wins over `after`.")
    ] = None,
) -> int:
    """Return the number of the last event the caller has; raises before the stream begins."""
    seen = after if last_event_id is None else last_event_id
    if mission.ended and seen >= mission.seq:
        raise NothingMore
    watch_of(request).check_room()
    return seen


def router() -> APIRouter:
    """Return the routes of event streams."""
    routes = APIRouter(prefix="/api/missions/{mission_id:mission}/events", tags=["events"])

    @routes.get(
        "",
        operation_id="follow_mission",
        summary="Follow a mission's events",
        response_class=EventSourceResponse,
        dependencies=[requires("read")],
        responses={204: {"description": "The mission has ended and you have all of its events."}},
    )
    async def follow_mission(
        request: Request, mission: Mission, seen: Annotated[int, Depends(_position)]
    ) -> AsyncIterable[EventView | EndView]:
        """Stream events as they happen; the id of each is its number. Ends with an event `end` after the last one.

        Send `Last-Event-ID` (browsers do) or `?after=` to go on after a break: nothing is lost or sent twice. A comment
        comes every 15 seconds when there is no news.
        """
        yield _sent(ServerSentEvent(comment="kimera", retry=RECONNECT_MS))
        async with aclosing(watch_of(request).follow(mission.mission_id, seen)) as news:
            async for _, frame in news:
                yield _sent(frame)
        row = await asyncio.to_thread(control.get, home_of(request), mission.mission_id)
        end = EndView(state=row.state, version=row.version)  # type: ignore[arg-type]
        yield _sent(ServerSentEvent(event="end", data=end))

    @routes.post(
        "/ticket",
        operation_id="new_ticket",
        summary="Get a ticket for one event stream",
        status_code=201,
        dependencies=[requires("read")],
    )
    def new_ticket(request: Request, mission: Mission) -> Ticket:
        """Get a ticket for a page's EventSource, which cannot send a key: it opens this stream once."""
        principal: Principal = request.state.principal
        holder = Holder(principal.key_id, principal.tenant)
        ticket, expires = Tickets(home_of(request).database).issue(mission.mission_id, holder)
        return Ticket(
            ticket=ticket,
            expires_at=datetime.fromtimestamp(expires, UTC),
            url=f"/api/missions/{mission.mission_id}/events?ticket={ticket}",
        )

    return routes


def _sent(frame: ServerSentEvent) -> EventView:
    """Return a frame under the type that the interface's description shows: that of the data it carries."""
    return cast("EventView", frame)
