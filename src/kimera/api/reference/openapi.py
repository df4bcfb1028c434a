"""The OpenAPI document: what the framework knows of the routes, completed by what the entrance does to every request.

The entrance answers for all routes with keys, limits and problems; those are written here once, not at each route.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field

import kimera
from kimera.api.problems import CODES, NEXT_STEPS

__all__ = ["ProblemView", "describe"]

Document = dict[str, Any]

ABOUT = """Question and folder in, checked report out, over HTTP.

**Keys.** Every address but those marked *open* needs `Authorization: Bearer kimera_…` (`kimera keys create NAME`), save
on a gateway that listens on loopback only. A key belongs to a tenant and sees that tenant's things; what belongs to
another is answered by 404. Scopes: `read` < `write` < `admin`.

**Failures** are `application/problem+json` (RFC 9457) with `code`, `detail`, `next_step` and `request_id`.

**Limits.** Requests per key and address, bodies, files and JSON are bounded: 413 and 429 say by how much and how long.
JSON has at most 64 levels, no key twice, no NaN or infinity, no half surrogate pairs.

**Repeating.** A POST with an `Idempotency-Key` is done once; sent again within a day, it gives the first answer.
"""

TAGS = {
    "missions": "Start missions, see where they stand, act on them.",
    "events": "Follow a mission as it happens.",
    "reports": "Read, download and check what missions found.",
    "telemetry": "How the system does: targets, series, alerts.",
    "memory": "Observe events in a sequence memory.",
    "memory sessions": "Short-term memories: open, fill, learn, clear.",
    "memory recall": "What it is like, what comes next, whether it goes round in circles, and why.",
    "memory patterns": "What is learned: see it, correct it, forget it, teach it from traces.",
    "memory log": "The log behind it all: read, follow, export, import.",
    "memory monitoring": "How operations, statements, caches and connections do.",
    "reference": "This description.",
    "health": "Is it alive, is it ready.",
}


class PlaceView(BaseModel):
    """One place of a request that is wrong."""

    location: str = Field(examples=["body.question"])
    message: str
    code: str


class ProblemView(BaseModel):
    """What went wrong and what to do next (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:kimera:problem:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened.")
    instance: str = Field(description="The address that was asked.")
    code: str = Field(description="Stable; docs/errors.md lists all.", examples=["NOT_FOUND"])
    request_id: str = Field(description="Also in X-Request-Id and in the server's log.")
    next_step: str = Field(description="What to do about it.")
    errors: list[PlaceView] = Field(default=[], description="What is wrong in the request, place by place.")
    retry_after: float | None = Field(default=None, description="Seconds after which to try again.")


WORDS = {
    400: "The request is not in order: JSON or multipart that cannot be read, a header that makes no sense.",
    401: "No key, or one that is unknown, revoked or expired.",
    403: "The key lacks the scope, or the request comes from a page or host that may not ask.",
    404: "There is no such thing, or it belongs to another tenant.",
    406: "None of the accepted types is on offer.",
    409: "The state of the thing does not allow this, or the first request with this key is still being answered.",
    413: "The body, a file or a number of parts is over the limit.",
    415: "The body has a type that is not read here.",
    422: "Fields are missing, unknown or wrong; `errors` names each.",
    429: "Too many requests, or too many unfinished missions; `Retry-After` says when to come back.",
    503: "Too busy, ending, or a dependency is away; `Retry-After` says when to come back.",
    504: "It took longer than it may.",
}
ALWAYS = (400, 401, 403, 429, 503)
OPEN = (400, 429)


def describe(app: FastAPI) -> Document:
    """Return the whole document; the same routes give the same one."""
    document = get_openapi(
        title="Kimera",
        version=kimera.__version__,
        summary="Research missions with memory.",
        description=ABOUT,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[{"name": name, "description": words} for name, words in TAGS.items()],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["Place"] = schemas["Problem"].pop("$defs")["PlaceView"]
    schemas["Problem"]["properties"]["errors"]["items"] = {"$ref": "#/components/schemas/Place"}
    components["responses"] = {f"Problem{status}": _problem(status) for status in WORDS}
    components["responses"]["Problem"] = _problem(None)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key: kimera_<id>.<secret>."},
        "ticket": {"type": "apiKey", "in": "query", "name": "ticket", "description": "For one event stream, once."},
    }
    scopes = _scopes(app)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method, scopes[path, method.upper()])
            _say_what_comes(operation["responses"], schemas)
    return document


def _scopes(app: FastAPI) -> dict[tuple[str, str], str]:
    scopes: dict[tuple[str, str], str] = app.state.gate.board.scopes
    shown = {route.path or "/": route.path_format or "/" for route in iter_route_contexts(app.routes)}
    return {(shown[path], method): scope for (method, path), scope in scopes.items()}


def _problem(status: int | None) -> Document:
    """Return the shared response of a status, None for every other failure."""
    shown = status or 500
    example = {
        "type": f"urn:kimera:problem:{CODES.get(shown, f'HTTP_{shown}').lower().replace('_', '-')}",
        "title": "…",
        "status": shown,
        "detail": WORDS.get(shown, "Something failed that should not have."),
        "instance": "/api/…",
        "code": CODES.get(shown, f"HTTP_{shown}"),
        "request_id": "2f1c9a7be04d5f6a8b3c1d2e4f",
        "next_step": NEXT_STEPS.get(shown, NEXT_STEPS[500]),
    }
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    words = "Any other failure." if status is None else WORDS[status]
    answer: Document = {"description": words, "content": {"application/problem+json": content}}
    if status in {429, 503}:
        answer["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return answer


def _complete(operation: Document, path: str, method: str, scope: str) -> None:
    """Add what the entrance does: the key that is needed, and the problems that may come."""
    operation["x-scope"] = scope
    operation["security"] = [] if scope == "public" else [{"key": []}]
    if any(one["name"] == "ticket" for one in operation.get("parameters", [])):
        operation["security"].append({"ticket": []})
    statuses = set(OPEN if scope == "public" else ALWAYS)
    if "{" in path:
        statuses.add(404)
    if method != "get":
        statuses.add(409)
    if "requestBody" in operation:
        statuses |= {413, 415}
    if "requestBody" in operation or operation.get("parameters"):
        statuses.add(422)
    answers = operation["responses"]
    answers.pop("422", None)
    for status in sorted(statuses):
        answers[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    answers["default"] = {"$ref": "#/components/responses/Problem"}
    operation["responses"] = {name: _fitting(answer) for name, answer in sorted(answers.items())}
    _tidy(operation.get("parameters", []))


def _say_what_comes(answers: Document, schemas: Document) -> None:
    """Describe an answer by what it holds, where the framework would say that it was successful."""
    for answer in answers.values():
        if answer.get("description") == "Successful Response":
            content: Document = next(iter(answer.get("content", {}).values()), {})
            reference = content.get("schema", {}).get("$ref", "")
            held = schemas.get(reference.rsplit("/", 1)[-1], {}).get("description", "")
            answer["description"] = held.split("\n")[0] or (
                "Events, one after the other." if "itemSchema" in content else "Done."
            )


def _fitting(answer: Document) -> Document:
    """Leave out content that says nothing: answers without a body have none."""
    if answer.get("content") == {}:
        answer.pop("content")
    return answer


def _tidy(parameters: list[Document]) -> None:
    """Show an optional parameter by its own type: leaving it out is said by ``required`` already."""
    for one in parameters:
        choices = [choice for choice in one["schema"].get("anyOf", []) if choice != {"type": "null"}]
        if len(choices) == 1:
            rest = {name: value for name, value in one["schema"].items() if name not in {"anyOf", "title"}}
            one["schema"] = choices[0] | rest
        one["schema"].pop("title", None)
