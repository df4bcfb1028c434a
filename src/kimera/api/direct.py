"""A route without the framework's resolver: what it takes is worked out once, and a request costs one hop to a thread.

The framework works out again for each request which parameters a route has, makes two exit stacks, reads the body's
JSON a second time, and goes to a thread for each dependency, for the route and for its answer. `Direct` reads the same
description of the route once, and then does everything of a request in one thread: parameters, body, dependencies,
the route, and its answer as bytes. What it takes and answers is the framework's to the byte, errors and their order
too. A route that asks for more than plain functions and plain parameters stays with the framework.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from copy import deepcopy
from functools import lru_cache
from types import NoneType
from typing import Any, get_args

from fastapi import Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import APIRoute
from fastapi.utils import is_body_allowed_for_status_code
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from kimera.api.workers import Workers

__all__ = ["Direct", "fits"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Errors = list[Any]

USUAL = frozenset({b"", b"application/json"})
SCALARS = frozenset({str, int, float, bool, NoneType})
ABSENT: Any = object()
SHORT_QUERY = 256
"""Queries up to this many bytes are remembered: a client tends to ask with the same ones."""


def fits(route: APIRoute) -> bool:
    """Return whether a route is plain functions all the way down, so that `Direct` can do what the framework would."""
    default = isinstance(route.response_class, DefaultPlaceholder)
    body = route.body_field
    return (
        _plain(route.dependant)
        and _each_once(route.dependant)
        and (default or route.response_field is None)
        and (body is None or (type(body.field_info) is params.Body and not route._embed_body_fields))
        and not (route.is_sse_stream or route.is_json_stream)
        and route.max_body_size is None
        and route.dependency_overrides_provider is None
        and is_body_allowed_for_status_code(route.status_code)
    )


def _plain(known: Dependant) -> bool:
    call = inspect.unwrap(known.call) if known.call is not None else None
    special = (
        known.cookie_params,
        known.websocket_param_name,
        known.http_connection_param_name,
        known.response_param_name,
        known.background_tasks_param_name,
        known.security_scopes_param_name,
        known.own_oauth_scopes,
        known.parent_oauth_scopes,
        known.concurrency,
    )
    return (
        inspect.isfunction(call)
        and not inspect.iscoroutinefunction(call)
        and not inspect.isgeneratorfunction(call)
        and not inspect.isasyncgenfunction(call)
        and not any(special)
        and all(_plain(inner) and not inner.body_params for inner in known.dependencies)
    )


def _each_once(known: Dependant) -> bool:
    """Return whether no dependency is asked for twice: the framework would call it once for both."""
    calls = list(_calls(known))
    return len(calls) == len(set(calls))


def _calls(known: Dependant) -> Iterator[Any]:
    yield known.call
    for inner in known.dependencies:
        yield from _calls(inner)


class Direct:
    """A route's application; ``workers`` are the threads it runs in."""

    __slots__ = ("_entry", "_framework", "_route", "_workers")

    def __init__(self, route: APIRoute, workers: Workers) -> None:
        self._route, self._workers = route, workers
        self._framework: App = route.app
        self._entry = _Entry(route.dependant)

    def takes(self, scope: Scope) -> bool:
        """Return whether the body, if any, is in the usual form; any other is the framework's to refuse."""
        return self._entry.body is None or scope["state"]["kind"] in USUAL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.takes(scope):
            await self._framework(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await self._workers.run(self._answer, request)
        except (HTTPException, RequestValidationError) as error:
            handlers = request.app.exception_handlers
            handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
            response = await handler(request, error)
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        """Do all that the request asks for, in a thread; raises what the framework would raise."""
        sent = request.scope["state"].get("json", ABSENT)
        values, errors = self._entry.values(request, sent)
        if errors:
            raise RequestValidationError(errors, body=None if sent is ABSENT else sent)
        result = self._entry.call(**values)
        return result if isinstance(result, Response) else self._made(result)

    def _made(self, result: Any) -> Response:
        """Return what the route gave as an answer in the form that it declares."""
        route, field = self._route, self._route.response_field
        more: dict[str, Any] = {} if route.status_code is None else {"status_code": route.status_code}
        if field is None:
            kind = route.response_class
            made = kind.value if isinstance(kind, DefaultPlaceholder) else kind
            plain: Response = made(jsonable_encoder(result), **more)
            return plain
        value, errors = field.validate(result, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors, body=result)
        body = field.serialize_json(
            value,
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
        )
        return Response(body, media_type="application/json", **more)


class _Entry:
    """One function with all that goes into it."""

    __slots__ = ("_headers", "_inner", "_path", "_query", "_request", "body", "call", "name")

    def __init__(self, known: Dependant) -> None:
        assert known.call is not None
        self.call: Callable[..., Any] = known.call
        self.name = known.name
        self.body = _Value(known.body_params[0], ("body",)) if known.body_params else None
        self._request = known.request_param_name
        self._inner = [_Entry(one) for one in known.dependencies]
        self._path = _reader(known.path_params)
        self._query = _reader(known.query_params)
        self._headers = known.header_params

    def values(self, request: Request, sent: Any) -> tuple[dict[str, Any], Errors]:
        """Return the arguments, dependencies called, and what is wrong with the request, in the framework's order."""
        values: dict[str, Any] = {}
        errors: Errors = []
        for inner in self._inner:
            taken, wrong = inner.values(request, sent)
            if wrong:
                errors += wrong
                continue
            found = inner.call(**taken)
            if inner.name is not None:
                values[inner.name] = found
        if self._path is not None:
            self._path(request.scope["path_params"], values, errors)
        if self._query is not None:
            self._query(_query_of(request.scope["query_string"]), values, errors)
        if self._headers:
            taken, wrong = request_params_to_args(self._headers, request.headers)
            values |= taken
            errors += wrong
        if self.body is not None:
            self.body.take(sent, values, errors)
        if self._request is not None:
            values[self._request] = request
        return values, errors


class _Value:
    """One value that is taken as it came or, when it did not come, as its default."""

    __slots__ = ("_copied", "_default", "_field", "_place", "_required", "_validated", "alias")

    def __init__(self, field: Any, place: tuple[str, ...]) -> None:
        self._field, self._place, self.alias = field, place, field.alias
        self._required = field.field_info.is_required()
        self._validated = bool(field.field_info.validate_default)
        self._default = None if self._required else field.default
        self._copied = type(self._default) not in SCALARS or field.field_info.default_factory is not None

    def take(self, value: Any, values: dict[str, Any], errors: Errors) -> None:
        """Put the checked value under its name, or what is wrong with it among the errors."""
        field = self._field
        if value is ABSENT:
            if self._required:
                errors.append({"type": "missing", "loc": self._place, "msg": "Field required", "input": None})
                return
            value = deepcopy(field.default) if self._copied else self._default
            if not self._validated:
                values[field.name] = value
                return
        checked, wrong = field.validate(value, {}, loc=self._place)
        if wrong:
            errors += wrong
        else:
            values[field.name] = checked


Reader = Callable[[Any, dict[str, Any], Errors], None]


def _reader(fields: Sequence[Any]) -> Reader | None:
    """Return what reads these parameters; the framework's own code where one is more than a single plain value."""
    if not fields:
        return None
    if not all(_single(field) for field in fields):
        return lambda given, values, errors: _by_framework(fields, given, values, errors)
    known = [_Value(field, (field.field_info.in_.value, field.alias)) for field in fields]

    def read(given: Mapping[str, Any], values: dict[str, Any], errors: Errors) -> None:
        for one in known:
            value = given.get(one.alias)
            one.take(ABSENT if value is None else value, values, errors)

    return read


def _single(field: Any) -> bool:
    about = field.field_info
    kinds = get_args(about.annotation) or (about.annotation,)
    return about.validation_alias is None and not about.alias_priority and SCALARS.issuperset(kinds)


def _by_framework(fields: Sequence[Any], given: Any, values: dict[str, Any], errors: Errors) -> None:
    taken, wrong = request_params_to_args(fields, given)
    values |= taken
    errors += wrong


def _query_of(text: bytes) -> QueryParams:
    return _known_query(text) if len(text) <= SHORT_QUERY else QueryParams(text)


@lru_cache(1024)
def _known_query(text: bytes) -> QueryParams:
    return QueryParams(text)
