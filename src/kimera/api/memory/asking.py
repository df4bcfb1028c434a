"""Ask: what a short-term memory is part of, what comes next, whether something is off, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from kimera.api.memory.models import Asked, Followed
from kimera.api.memory.parts import Chosen, Reference, Standing, answer, at_least, checked, options_of
from kimera.api.security import requires
from kimera.memory import Guard, NextEvents, Predictions, Why

__all__ = ["router"]

OPTIONS = "Options of recall go into the query, each under its name (docs/memory-predictions.md)."


def router(prefix: str) -> APIRouter:
    """Return the routes that answer questions."""
    routes = APIRouter(prefix=prefix, tags=["memory recall"])
    kind = "memory" if prefix else "kato"
    _add_recall(routes, kind)
    _add_account(routes, kind)
    _add_sessionless(routes, kind)
    return routes


def _add_recall(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/sessions/{session_id}/predictions",
        operation_id=f"{kind}_get_predictions",
        summary="Compare with what was learned",
        description="Compare the short-term memory with every learned pattern, best first. " + OPTIONS,
        response_model=Predictions,
        dependencies=[requires("read")],
    )
    def get_predictions(request: Request, session: Standing) -> Response:
        return answer(session.predictions(at_least_seq=at_least(request), **options_of(request)))

    @routes.get(
        "/sessions/{session_id}/next",
        operation_id=f"{kind}_get_next",
        summary="See what comes next",
        description="Show the distribution of the next event, with what is not known. " + OPTIONS,
        response_model=NextEvents,
        dependencies=[requires("read")],
    )
    def get_next(request: Request, session: Standing) -> Response:
        return answer(session.next(at_least_seq=at_least(request), **options_of(request)))


def _add_account(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/sessions/{session_id}/guard",
        operation_id=f"{kind}_get_guard",
        summary="Judge the newest event",
        description="Judge the newest event: loop, anomaly, unknown or ok. " + OPTIONS,
        response_model=Guard,
        dependencies=[requires("read")],
    )
    def get_guard(request: Request, session: Standing) -> Response:
        return answer(session.guard(at_least_seq=at_least(request), **options_of(request)))

    @routes.get(
        "/sessions/{session_id}/why/{ref}",
        operation_id=f"{kind}_get_why",
        summary="Explain one pattern",
        description="Explain a pattern against the short-term memory: every figure with its formula. " + OPTIONS,
        response_model=Why,
        dependencies=[requires("read")],
    )
    def get_why(request: Request, session: Standing, ref: Reference) -> Response:
        return answer(session.why(ref, at_least_seq=at_least(request), **options_of(request)))


def _add_sessionless(routes: APIRouter, kind: str) -> None:
    @routes.post(
        "/predictions",
        operation_id=f"{kind}_predict",
        summary="Compare events with what was learned",
        response_model=Predictions,
        dependencies=[requires("read")],
    )
    def predict(memory: Chosen, asked: Annotated[Asked, Body()]) -> Response:
        """Compare these events with every learned pattern; no session is needed. Other fields are options."""
        return answer(memory.predict(asked.events, at_least_seq=asked.at_least_seq, **_more(asked)))

    @routes.post(
        "/next",
        operation_id=f"{kind}_continue",
        summary="See what follows events",
        response_model=NextEvents,
        dependencies=[requires("read")],
    )
    def follow(memory: Chosen, asked: Annotated[Followed, Body()]) -> Response:
        """Show the distribution of the event after these; no session is needed. Other fields are options."""
        return answer(memory.next(asked.events, at_least_seq=asked.at_least_seq, **_more(asked)))


def _more(asked: Asked) -> dict[str, object]:
    return checked(dict(asked.model_extra or {}))
