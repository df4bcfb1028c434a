"""From method and path to the route, by dictionary, and the rule that no route is reached without its scope.

The framework tries its routes one after the other and runs each dependency through its resolver; with fifty routes that
costs more than everything else the gateway does. Here a path without parameters is one look-up, and a route's
scope is compared before the route's own code is entered. docs/design/gateway.md has the numbers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.convertors import PathConvertor

from kimera.api.direct import Direct, fits
from kimera.api.security import is_mark, missing_scope, scope_of
from kimera.api.workers import Workers
from kimera.errors import ConfigurationError

__all__ = ["Switchboard", "mount"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Found = tuple[Any, dict[str, Any]]

ANY_LENGTH = -1  # patterns whose parameter may hold slashes


def mount(app: FastAPI, *routers: APIRouter) -> None:
    """Add the routes of routers that carry their full prefix; what they say in common counts for each route."""
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                raise ConfigurationError(f"A router of the gateway holds plain routes only, not {route!r}.", "routes")
            app.router.routes.append(route)


class Switchboard:
    """The table of an application's routes, in front of its router. ``survey`` fills it and may be repeated."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._workers = Workers()
        self._router: App = app.router.middleware_stack
        self._plain: dict[tuple[str, str], Found] = {}
        self._patterns: dict[tuple[str, int], list[Any]] = {}
        self.public: frozenset[str] = frozenset()
        self.scopes: dict[tuple[str, str], str] = {}
        app.router.middleware_stack = self

    def survey(self) -> None:
        """Take the routes up; raises `ConfigurationError` for one that does not say which scope it needs."""
        self._plain, self._patterns, self.scopes = {}, {}, {}
        for route in iter_route_contexts(self._app.routes):
            path, known = route.path or "/", getattr(route.original_route, "app", None)
            scope = known.needed if isinstance(known, _Guarded) else scope_of(getattr(route, "dependant", None))
            if scope is None:
                raise ConfigurationError(f"The route {path} does not say which scope it needs.", "routes")
            self.scopes |= {(method, path): scope for method in route.methods or ()}
        for plain in self._app.routes:
            if isinstance(plain, APIRoute):
                self._take(plain)
        self.public = frozenset(path for (_, path), scope in self.scopes.items() if scope == "public")

    def _take(self, route: APIRoute) -> None:
        if not isinstance(route.app, _Guarded):
            # the scope is compared by `_Guarded` from now on: the resolver need not run the mark any more
            needed = scope_of(route.dependant) or "admin"
            dependencies = route.dependant.dependencies
            dependencies[:] = [one for one in dependencies if not is_mark(one.call)]
            route.app = _Guarded(Direct(route, self._workers) if fits(route) else route.app, needed)
        for method in route.methods or ():
            if any(isinstance(one, PathConvertor) for one in route.param_convertors.values()):
                self._patterns.setdefault((method, ANY_LENGTH), []).append(route)
            elif route.param_convertors:
                self._patterns.setdefault((method, route.path.count("/")), []).append(route)
            else:
                self._plain.setdefault((method, route.path), (route, {}))

    def find(self, method: str, path: str) -> Found | None:
        """Return the route and its path parameters as text, None when there is none for this method."""
        found = self._plain.get((method, path))
        if found is not None:
            return found
        for length in (path.count("/"), ANY_LENGTH):
            for route in self._patterns.get((method, length), ()):
                match = route.path_regex.match(path)
                if match is not None:
                    known = route.param_convertors
                    return route, {name: known[name].convert(text) for name, text in match.groupdict().items()}
        return None

    def is_memory(self, method: str, path: str) -> bool:
        """Return whether this address is the sequence memory's, below its prefix or at the root."""
        found = self.find(method, path)
        return found is not None and str(next(iter(found[0].tags), "")).startswith("memory")

    def methods(self, path: str) -> set[str]:
        """Return what may be asked of this address."""
        plain = {method for method, known in self._plain if known == path}
        fitting = ((method, route) for (method, _), routes in self._patterns.items() for route in routes)
        return plain | {method for method, route in fitting if route.path_regex.match(path)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        await (self._router if found is None else self._enter(scope, found))(scope, receive, send)

    def direct(self, scope: Scope) -> App | None:
        """Return the route if it can answer without the framework's layers around it, else None."""
        found = self.find(scope["method"], scope["path"])
        return self._enter(scope, found) if found is not None and found[0].app.direct(scope) else None

    def _enter(self, scope: Scope, found: Found) -> App:
        route, parameters = found
        scope["route"], scope["endpoint"], scope["router"] = route, route.endpoint, self._app.router
        scope["path_params"] = dict(parameters)
        entered: App = route.app
        return entered


class _Guarded:
    """A route's own application behind its scope."""

    __slots__ = ("app", "needed")

    def __init__(self, app: App, needed: str) -> None:
        self.app, self.needed = app, needed

    def direct(self, scope: Scope) -> bool:
        """Return whether this request needs nothing of the framework's layers."""
        return isinstance(self.app, Direct) and self.app.takes(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.needed != "public" and self.needed not in scope["state"]["principal"].scopes:
            raise missing_scope(self.needed, scope["state"]["principal"])
        await self.app(scope, receive, send)
