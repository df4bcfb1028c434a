"""What is kept: patterns, symbols, and the changes that correct or forget them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Path, Query, Request, Response

from kimera.api.memory.models import Edited, Erased, Expired, Forgotten, Ingest, OutcomeGiven, Undone
from kimera.api.memory.parts import Chosen, Named, Reference, acted, answer, fields_of, made
from kimera.api.memory.views import Affinities, SymbolPage
from kimera.api.security import requires
from kimera.memory import Changed
from kimera.memory.keeping.reading import PatternPage, PatternView
from kimera.memory.traces import Ingested, lessons_of

__all__ = ["router"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Response])
Source = Annotated[str | None, Query(max_length=4_096, description="Only what this source taught.")]
Holding = Annotated[str | None, Query(max_length=4_096, description="Only patterns that hold this symbol.")]
Last = Annotated[str | None, Query(max_length=4_096, description="Id of the last pattern of the page before.")]
Beginning = Annotated[str, Query(max_length=4_096, description="Only symbols that begin with this.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Patterns per page.")]


def router(prefix: str) -> APIRouter:
    """Return the routes of patterns and changes."""
    routes = APIRouter(prefix=prefix, tags=["memory patterns"])
    kind = "memory" if prefix else "kato"
    _add_patterns(routes, kind)
    _add_changes(routes, kind)
    _add_symbols(routes, kind)
    return routes


def _add_patterns(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/patterns",
        operation_id=f"{kind}_list_patterns",
        summary="List patterns",
        response_model=PatternPage,
        dependencies=[requires("read")],
    )
    def list_patterns(
        memory: Chosen, source: Source = None, contains: Holding = None, after: Last = None, limit: Limit = 100
    ) -> Response:
        """Show patterns by id: those from a source, those that hold a symbol. `after` takes the last page's."""
        return answer(memory.patterns(source, contains, after, limit))

    @routes.get(
        "/patterns/{ref}",
        operation_id=f"{kind}_get_pattern",
        summary="See a pattern",
        response_model=PatternView,
        dependencies=[requires("read")],
    )
    def get_pattern(memory: Chosen, ref: Reference) -> Response:
        """Show a pattern with what came with it and the episodes that taught it."""
        return answer(memory.pattern(ref))

    @routes.put(
        "/patterns/{ref}",
        operation_id=f"{kind}_edit_pattern",
        summary="Edit a pattern",
        response_model=Changed,
        dependencies=[requires("write")],
    )
    def edit_pattern(memory: Chosen, ref: Reference, asked: Annotated[Edited, Body()]) -> Response:
        """Give a pattern other content: its episodes move there, and join what is there already."""
        return answer(memory.edit(ref, asked.events))

    @routes.delete(
        "/patterns/{ref}",
        operation_id=f"{kind}_forget_pattern",
        summary="Forget a pattern",
        response_model=Changed,
        dependencies=[requires("write")],
    )
    def forget_pattern(memory: Chosen, ref: Reference) -> Response:
        """Forget every episode of a pattern; can be undone."""
        return answer(memory.forget(pattern=ref))


def _add_changes(routes: APIRouter, kind: str) -> None:
    def change(path: str, name: str, summary: str, scope: str = "write") -> Callable[[Endpoint], Endpoint]:
        return routes.post(
            path, operation_id=f"{kind}_{name}", summary=summary, response_model=Changed, dependencies=[requires(scope)]
        )

    @change("/forget", "forget", "Forget episodes")
    def forget(request: Request, memory: Chosen, asked: Annotated[Forgotten, Body()]) -> Response:
        """Forget the episodes that match every selector; the state becomes as if they had never been."""
        return acted(request, lambda: answer(memory.forget(**fields_of(asked))))

    @change("/erase", "erase", "Erase episodes", "admin")
    def erase(request: Request, memory: Chosen, asked: Annotated[Erased, Body()]) -> Response:
        """Forget, and overwrite what was stored; cannot be undone."""
        return acted(request, lambda: answer(memory.erase(**fields_of(asked))))

    @change("/undo", "undo", "Undo a change")
    def undo(request: Request, memory: Chosen, asked: Annotated[Undone, Body()]) -> Response:
        """Void a log record: the state becomes that of a log without it."""
        return acted(request, lambda: answer(memory.undo(asked.seq)))

    @change("/expire", "expire", "Forget what has expired")
    def expire(request: Request, memory: Chosen, asked: Annotated[Expired, Body()] = Expired()) -> Response:  # noqa: B008
        """Forget the episodes whose time to live has passed."""
        return acted(request, lambda: answer(memory.expire(asked.now)))

    @change("/outcomes", "record_outcome", "Note an outcome")
    def record_outcome(request: Request, memory: Chosen, asked: Annotated[OutcomeGiven, Body()]) -> Response:
        """Note how the newest episode of a pattern turned out."""
        return acted(request, lambda: answer(memory.record_outcome(asked.pattern, asked.utility, asked.cost)))

    @routes.post(
        "/traces",
        operation_id=f"{kind}_ingest",
        summary="Learn recorded traces",
        response_model=Ingested,
        dependencies=[requires("write")],
    )
    def ingest(request: Request, name: Named, asked: Annotated[Ingest, Body()]) -> Response:
        """Learn traces of agents and services, one pattern each: otlp, openai, anthropic, mcp or kimera."""

        def work() -> Response:
            source = "" if asked.source is None else asked.source
            ways = {"source": source, "attributes": asked.attributes, "outcome": asked.outcome}
            memory = made(request, name, lambda: lessons_of(asked.records, asked.format, **ways))
            return answer(memory.ingest(asked.records, asked.format, learn=asked.learn, **ways))

        return acted(request, work)


def _add_symbols(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/symbols",
        operation_id=f"{kind}_list_symbols",
        summary="List symbols",
        response_model=SymbolPage,
        dependencies=[requires("read")],
    )
    def list_symbols(memory: Chosen, prefix: Beginning = "") -> Response:
        """Show symbols with how many patterns hold each and how often it was learned."""
        return answer({"symbols": [symbol.to_dict() for symbol in memory.symbols(prefix)]})

    @routes.get(
        "/affinity", operation_id=f"{kind}_list_affinity", summary="See affinities", dependencies=[requires("read")]
    )
    def list_affinity(memory: Chosen) -> Affinities:
        """Show, for every symbol that has one, its affinity per emotive."""
        return Affinities(affinity=memory.affinity())

    @routes.get(
        "/symbols/{symbol:path}/affinity",
        operation_id=f"{kind}_get_affinity",
        summary="See a symbol's affinity",
        dependencies=[requires("read")],
    )
    def get_affinity(
        memory: Chosen, symbol: Annotated[str, Path(description="The symbol; slashes stay as they are.")]
    ) -> Affinities:
        """Show a symbol's affinity per emotive."""
        return Affinities(affinity=memory.affinity(symbol))
