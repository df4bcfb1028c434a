"""POST requests that may come twice: with an Idempotency-Key the second gets the first one's answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from fastapi import Request, Response

from kimera.storage.idempotency import Answer, Idempotency, once

__all__ = ["answer_once"]

OWN = frozenset({"content-length"})


def answer_once(request: Request, work: Callable[[], Response], *, digest: str | None = None) -> Response:
    """Return the response of ``work``, or the one given before for this Idempotency-Key, tenant, route and body.

    To be called in a worker thread (a ``def`` endpoint). ``digest`` is the sha256 of a body that the entrance did not
    read (an upload). Raises 422 for a key used with another body, 409 while the first request is being answered.
    """
    key = request.headers.get("idempotency-key")
    route = f"{request.method} {request.url.path}"
    body = digest if digest is not None else hashlib.sha256(request.state.body).hexdigest()
    store = Idempotency(request.app.state.home.database)
    answer = once(store, request.state.principal.tenant, key, route, body, lambda: _answer(work()))
    response = Response(answer.body, answer.status, dict(answer.headers))
    if answer.replayed:
        response.headers["idempotency-replayed"] = "true"
    return response


def _answer(response: Response) -> Answer:
    fields = tuple((name, value) for name, value in response.headers.items() if name not in OWN)
    return Answer(response.status_code, fields, bytes(response.body))
