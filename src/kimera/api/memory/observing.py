"""Observe and learn: sessions and their short-term memories."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from kimera.api.memory.models import Extended, LearnAsked, NewSession, Observation, Sequence
from kimera.api.memory.parts import (
    Named,
    SessionName,
    SessionQuery,
    Standing,
    acted,
    answer,
    fields_of,
    memories_of,
    memory_name,
    tenant_of,
)
from kimera.api.memory.views import ConfigView, Count, Done, Existing, LearnedView, SessionView, StmView
from kimera.api.security import requires
from kimera.errors import ValidationError
from kimera.memory import Learned, Observed, SequenceObserved, Session
from kimera.memory.options import clean_options
from kimera.memory.symbols import clean_metadata

__all__ = ["observe_router", "router"]


def observe_router(prefix: str) -> APIRouter:
    """Return the one route that makes memory and session as needed."""
    routes = APIRouter(prefix=prefix, tags=["memory"])

    @routes.post(
        "/observe",
        operation_id=_named("observe", prefix),
        summary="Observe an event",
        response_model=Observed,
        dependencies=[requires("write")],
    )
    def observe(
        request: Request,
        seen: Annotated[Observation, Body()],
        memory: Named,
        session: SessionQuery = "default",
    ) -> Response:
        """Append one event to the short-term memory of a session; memory and session are made when absent."""

        def work() -> Response:
            where = {"memory": memory, "session": session, "tenant": tenant_of(request)}
            return answer(memories_of(request).observe(fields_of(seen), **where))

        return acted(request, work)

    return routes


def router(prefix: str) -> APIRouter:
    """Return the routes of sessions."""
    routes = APIRouter(prefix=f"{prefix}/sessions", tags=["memory sessions"])
    _add_life(routes, prefix)
    _add_upkeep(routes, prefix)
    _add_taking(routes, prefix)
    _add_emptying(routes, prefix)
    return routes


def _add_life(routes: APIRouter, prefix: str) -> None:
    @routes.post(
        "",
        operation_id=_named("open_session", prefix),
        summary="Open a session",
        status_code=201,
        response_model=SessionView,
        dependencies=[requires("write")],
    )
    def open_session(request: Request, asked: Annotated[NewSession, Body()]) -> Response:
        """Make a session, and its memory when absent. A bad option refuses the whole request."""
        return acted(request, lambda: answer(_shown(_open(request, asked)), 201))

    @routes.get(
        "/count",
        operation_id=_named("count_sessions", prefix),
        summary="Count sessions",
        dependencies=[requires("read")],
    )
    def count_sessions(request: Request) -> Count:
        """Count the sessions that live."""
        return Count(count=memories_of(request).count_sessions(tenant=tenant_of(request)))

    @routes.get(
        "/{session_id}",
        operation_id=_named("get_session", prefix),
        summary="See a session",
        response_model=SessionView,
        dependencies=[requires("read")],
    )
    def get_session(session: Standing) -> Response:
        """Show a session: its memory, options, clock and end."""
        return answer(_shown(session))

    @routes.delete(
        "/{session_id}",
        operation_id=_named("delete_session", prefix),
        summary="Delete a session",
        dependencies=[requires("write")],
    )
    def delete_session(session: Standing) -> Done:
        """Forget a session and its short-term memory; what it taught stays."""
        session.delete()
        return Done()


def _add_upkeep(routes: APIRouter, prefix: str) -> None:
    @routes.get(
        "/{session_id}/exists",
        operation_id=_named("session_exists", prefix),
        summary="Ask whether a session is there",
        dependencies=[requires("read")],
    )
    def session_exists(request: Request, session_id: SessionName) -> Existing:
        """Say whether there is such a session, and whether it has expired. This is no use of it."""
        home = memories_of(request).session_home(session_id, tenant=tenant_of(request))
        return Existing(exists=home is not None and not home[1], expired=home is not None and home[1])

    @routes.post(
        "/{session_id}/extend",
        operation_id=_named("extend_session", prefix),
        summary="Extend a session",
        response_model=SessionView,
        dependencies=[requires("write")],
    )
    def extend_session(session: Standing, asked: Annotated[Extended, Body()] = Extended()) -> Response:  # noqa: B008 - frozen
        """Let a session live longer, from now on."""
        session.extend(asked.ttl_seconds)
        return answer(_shown(session))

    @routes.get(
        "/{session_id}/config",
        operation_id=_named("get_session_config", prefix),
        summary="See a session's options",
        dependencies=[requires("read")],
    )
    def get_config(session: Standing) -> ConfigView:
        """Show every option with its value and the level it comes from."""
        return ConfigView(config=session.config)

    @routes.post(
        "/{session_id}/config",
        operation_id=_named("set_session_config", prefix),
        summary="Set a session's options",
        dependencies=[requires("write")],
    )
    def set_config(
        session: Standing, config: Annotated[dict[str, Any], Body(examples=[{"recall_threshold": 0.3}])]
    ) -> ConfigView:
        """Set options, all of them or none."""
        return ConfigView(config=session.configure(**clean_options(config)))


def _add_taking(routes: APIRouter, prefix: str) -> None:
    @routes.post(
        "/{session_id}/observe",
        operation_id=_named("observe_in_session", prefix),
        summary="Observe an event in a session",
        response_model=Observed,
        dependencies=[requires("write")],
    )
    def observe_in_session(request: Request, session: Standing, seen: Annotated[Observation, Body()]) -> Response:
        """Append one event to the session's short-term memory."""
        return acted(request, lambda: answer(session.observe(**fields_of(seen))))

    @routes.post(
        "/{session_id}/observe-sequence",
        operation_id=_named("observe_sequence", prefix),
        summary="Observe many events",
        response_model=SequenceObserved,
        dependencies=[requires("write")],
    )
    def observe_sequence(request: Request, session: Standing, asked: Annotated[Sequence, Body()]) -> Response:
        """Apply many observations in one transaction, all or none; the answer equals that of single calls."""

        def work() -> Response:
            ways = {name: getattr(asked, name) for name in ("learn_after_each", "learn_at_end", "clear_stm_between")}
            return answer(session.observe_sequence([fields_of(one) for one in asked.observations], **ways))

        return acted(request, work)

    @routes.post(
        "/{session_id}/learn",
        operation_id=_named("learn", prefix),
        summary="Learn the short-term memory",
        response_model=LearnedView,
        dependencies=[requires("write")],
    )
    def learn(request: Request, session: Standing, asked: Annotated[LearnAsked, Body()] = LearnAsked()) -> Response:  # noqa: B008 - frozen
        """File the short-term memory as a pattern and clear it; answered after the log record is committed."""
        return acted(request, lambda: answer(_learned(session.learn(**fields_of(asked)))))


def _add_emptying(routes: APIRouter, prefix: str) -> None:
    @routes.post(
        "/{session_id}/clear-stm",
        operation_id=_named("clear_stm", prefix),
        summary="Clear the short-term memory",
        dependencies=[requires("write")],
    )
    def clear_stm(session: Standing) -> Done:
        """Drop the events of the short-term memory; nothing is learned."""
        session.clear_stm()
        return Done()

    @routes.post(
        "/{session_id}/clear-all",
        operation_id=_named("clear_all", prefix),
        summary="Forget everything",
        dependencies=[requires("write")],
    )
    def clear_all(session: Standing) -> Done:
        """Clear the short-term memory and forget every pattern of the session's memory; can be undone by its seq."""
        session.clear_stm()
        changed = session.memory.clear_all()
        return Done(seq=changed.seq)

    @routes.get(
        "/{session_id}/stm",
        operation_id=_named("get_stm", prefix),
        summary="See the short-term memory",
        dependencies=[requires("read")],
    )
    def get_stm(session: Standing) -> StmView:
        """Show the events, oldest first."""
        events = session.stm
        return StmView(stm=events, length=len(events))


def _named(name: str, prefix: str) -> str:
    return f"memory_{name}" if prefix else f"kato_{name}"


def _open(request: Request, asked: NewSession) -> Session:
    if not isinstance(asked.config, dict):
        raise ValidationError("config takes an object.", "config", error_code="CONFIG_INVALID")
    metadata = clean_metadata(asked.metadata)
    session = memories_of(request).session(
        asked.session_id if asked.session_id is not None else uuid.uuid4().hex,
        memory=memory_name(asked.memory, asked.node_id),
        tenant=tenant_of(request),
        create=True,
        ttl_seconds=asked.ttl_seconds,
        **clean_options(asked.config, "config."),
    )
    if asked.metadata is not None:
        session.annotate(metadata)
    return session


def _shown(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "memory": session.memory.name,
        "node_id": session.memory.name,
        "time": session.time,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "metadata": dict(session.metadata),
        "config": session.config,
    }


def _learned(learned: Learned) -> dict[str, Any]:
    return {**learned.to_dict(), "pattern_name": f"PTRN|{learned.name}"}
