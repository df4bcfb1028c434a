"""Failures as problem+json (RFC 9457): what happened, what to do next, and the request's id.

Every answer with a status of 400 or more has this form, whoever found the failure: the gateway, the framework, a room.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from kimera.errors import KimeraError

__all__ = ["MEDIA_TYPE", "Problem", "for_error", "for_framework", "for_invalid"]

MEDIA_TYPE = b"application/problem+json"
LONGEST_DETAIL = 1_000
MOST_ERRORS = 50

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "TOO_SLOW",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL",
    503: "REFUSED",
}

NEXT_STEPS = {
    400: "Mend the request as the detail says and send it again.",
    401: "Send a valid key: Authorization: Bearer kimera_...; `kimera keys create` makes one.",
    403: "Use a key with the scope, tenant or origin that this needs.",
    404: "Check the address and the id; what belongs to another tenant is not shown.",
    405: "Use one of the methods in the Allow header.",
    406: "Ask for one of the types named in the detail.",
    408: "Send the whole body sooner, or a smaller one.",
    409: "Read the thing again; its state does not allow this now.",
    412: "Read the thing again and repeat with its new ETag.",
    413: "Send less at once.",
    415: "Send JSON with Content-Type: application/json, or an upload as multipart/form-data.",
    422: "Mend the fields listed in errors and send the request again.",
    429: "Wait as many seconds as Retry-After says.",
    431: "Send fewer and shorter header fields.",
    500: "Try again; if it stays, report it with the request id.",
    503: "Wait as many seconds as Retry-After says, then try again.",
    507: "Free some space on the disk of the home folder, then try again.",
}

Header = tuple[bytes, bytes]
INDEX = re.compile(r"\[(\d+)\]")


class Problem:
    """One failure, ready to be sent. ``headers`` go out beside the body."""

    __slots__ = ("code", "detail", "errors", "facts", "headers", "retry_after", "status")

    def __init__(
        self,
        status: int,
        detail: str,
        code: str | None = None,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
        headers: Iterable[Header] = (),
        **facts: Any,
    ) -> None:
        self.status = status
        self.detail = detail[:LONGEST_DETAIL]
        self.code = code or CODES.get(status, f"HTTP_{status}")
        self.errors = list(errors)[:MOST_ERRORS]
        self.retry_after = retry_after
        self.headers = list(headers)
        self.facts = facts
        if retry_after is not None:
            self.headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
        if status == 401:
            self.headers.append((b"www-authenticate", b'Bearer realm="kimera"'))

    def document(self, instance: str, request_id: str) -> dict[str, Any]:
        """Return the body's members."""
        body: dict[str, Any] = {
            "type": f"urn:kimera:problem:{self.code.lower().replace('_', '-')}",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "request_id": request_id,
            "next_step": NEXT_STEPS.get(self.status, NEXT_STEPS[500 if self.status >= 500 else 400]),
        }
        if self.errors:
            body["errors"] = self.errors
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        return body | self.facts

    def body(self, instance: str, request_id: str) -> bytes:
        """Return the body's bytes; text that is no Unicode (lone surrogates) is escaped, never an error."""
        return json.dumps(self.document(instance, request_id), ensure_ascii=True, default=str).encode("ascii")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Failure"


def for_error(error: KimeraError, part: str = "body") -> Problem:
    """Return the problem of one of our own errors; its message is written for a person already.

    ``part`` of the request (body, query) is where the fields that the error names stand.
    """
    errors = [
        {"location": _location(part, one["field"]), "message": one["message"], "code": error.code}
        for one in _places(error)
    ]
    status = error.http_status if error.http_status and 400 <= error.http_status <= 599 else 500
    wait = error.retry_after
    if wait is None and status in {429, 503} and error.recoverable:
        wait = 1.0
    return Problem(status, error.message, error.code, errors=errors, retry_after=wait)


def _places(error: KimeraError) -> Iterable[Mapping[str, str]]:
    """Return field and message for each thing that is wrong, as far as the error says."""
    several = getattr(error, "errors", None)
    if several:
        return list(several)
    field = getattr(error, "field", None)
    return [] if field is None else [{"field": field, "message": error.message}]


def _location(part: str, field: str) -> str:
    """Return where a field stands: ``observations[3].strings`` of a body is ``body.observations.3.strings``."""
    dotted = INDEX.sub(r".\1", field)
    return dotted if dotted.startswith("query.") else f"{part}.{dotted}".rstrip(".")


def for_framework(status: int, detail: object, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of an error the web framework raised; its texts are too short to help, so ours stand."""
    words = {
        404: "There is nothing at this address.",
        405: "This address does not know the method.",
        413: "The body is larger than it may be.",
    }
    text = words.get(status) or (str(detail) if detail else _title(status))
    extra = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return Problem(status, text, headers=extra)


def for_invalid(found: Iterable[Mapping[str, Any]]) -> Problem:
    """Return the problem of a request whose parts have the wrong form: one entry per place, values left out."""
    errors = [
        {
            "location": ".".join(str(part) for part in one.get("loc", ())) or "body",
            "message": str(one.get("msg", "")),
            "code": str(one.get("type", "invalid")),
        }
        for one in found
    ]
    first = errors[0] if errors else {"location": "body", "message": "it has the wrong form"}
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    code = "BODY_INVALID" if first["location"].startswith("body") else None
    return Problem(422, f"{first['location']}: {first['message']}{more}.", code, errors=errors)
