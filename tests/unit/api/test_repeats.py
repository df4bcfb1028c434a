"""Requests that come twice."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from tests.unit.api.conftest import Caller, Note, make_app

from kimera.api import answer_once, requires
from kimera.api.switchboard import mount
from kimera.missions import control


async def test_a_repeated_post_gets_the_first_answer(home: control.Home, caller: Caller) -> None:
    """Promise: with one Idempotency-Key the work is done once; another body is a 422, no key is new work."""
    app = make_app(home)
    made: list[str] = []
    routes = APIRouter()

    @routes.post("/api/things", dependencies=[requires("write")])
    def make(note: Note, request: Request) -> Response:
        def work() -> Response:
            made.append(note.text)
            return Response(f"thing {len(made)}", 201, {"location": f"/api/things/{len(made)}"})

        return answer_once(request, work)

    mount(app, routes)
    app.state.gate.board.survey()
    client = caller(app)
    key = {"idempotency-key": "k1"}
    first = await client.post("/api/things", json={"text": "a"}, headers=key)
    again = await client.post("/api/things", json={"text": "a"}, headers=key)
    other = await client.post("/api/things", json={"text": "b"}, headers=key)
    plain = await client.post("/api/things", json={"text": "a"})
    assert (201, "thing 1", "/api/things/1") == (first.status_code, first.text, first.headers["location"])
    assert (201, "thing 1", "/api/things/1", "true") == (
        again.status_code,
        again.text,
        again.headers["location"],
        again.headers["idempotency-replayed"],
    )
    assert (422, "IDEMPOTENCY_MISMATCH") == (other.status_code, other.json()["code"])
    assert "thing 2" == plain.text
