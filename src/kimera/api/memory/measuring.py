"""Monitoring: operations, statements, caches and connections behind a memory."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from kimera.api.memory.parts import Chosen, memories_of, tenant_of
from kimera.api.memory.views import Measures
from kimera.api.security import requires
from kimera.memory.meters import process_use
from kimera.memory.recall.kernels import available

__all__ = ["router"]

Explain = Annotated[str | None, Query(max_length=128, description="Name of a statement: adds the database's plan.")]


def router(prefix: str) -> APIRouter:
    """Return the routes of figures."""
    routes = APIRouter(prefix=f"{prefix}/metrics", tags=["memory monitoring"])
    kind = "memory" if prefix else "kato"

    @routes.get("", operation_id=f"{kind}_metrics", summary="See how operations do", dependencies=[requires("read")])
    def operations(memory: Chosen) -> Measures:
        """Show per operation its count, errors by code, quantiles and rate, and what the process uses."""
        process = {**process_use(), "compiled_kernels": available()}
        return Measures(measures={"operations": memory.meters.to_dict(), "process": process})

    @routes.get(
        "/queries",
        operation_id=f"{kind}_metrics_queries",
        summary="See how statements do",
        dependencies=[requires("admin")],
    )
    def queries(request: Request, memory: Chosen, explain: Explain = None) -> Measures:
        """Show per named statement its runs, rows and quantiles; `explain` adds the database's plan of one."""
        memories = memories_of(request)
        shown: dict[str, Any] = {"statements": memories.queries()}
        if explain is not None:
            shown["plan"] = memories.explain(explain)
        return Measures(measures=shown)

    @routes.get(
        "/caches", operation_id=f"{kind}_metrics_caches", summary="See how caches do", dependencies=[requires("read")]
    )
    def caches(memory: Chosen) -> Measures:
        """Show size, hits, misses, evictions and hit rate of the caches of bodies, predictions and near symbols."""
        return Measures(measures=dict(memory.stats().to_dict()["caches"]))

    @routes.get(
        "/connections",
        operation_id=f"{kind}_metrics_connections",
        summary="See how connections do",
        dependencies=[requires("admin")],
    )
    def connections(request: Request) -> Measures:
        """Show the pools of connections and the short-term memories behind the gateway."""
        return Measures(measures=memories_of(request).connections(tenant_of(request)))

    return routes
