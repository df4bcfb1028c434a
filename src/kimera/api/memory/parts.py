"""What the memory routes have in common: which memory and session, which options, and how answers are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from kimera.api.repeats import answer_once
from kimera.errors import NotFoundError, ValidationError
from kimera.memory import Memories, Memory, Session
from kimera.memory.contracts import Record
from kimera.memory.memories import clean_memory_name

__all__ = [
    "Chosen",
    "Named",
    "Reference",
    "SessionName",
    "SessionQuery",
    "Standing",
    "acted",
    "answer",
    "at_least",
    "checked",
    "fields_of",
    "made",
    "memories_of",
    "memory_name",
    "options_of",
    "tenant_of",
]

NOT_OPTIONS = frozenset({"memory", "node_id", "session", "at_least_seq"})
COMPACT: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
PARAMETERS = frozenset({"self", "events", "pattern", "at_least_seq"})

# names are checked by the room, which knows the error's code
MEMORY_NAME: dict[str, Any] = {"maxLength": 256, "minLength": 1}
MemoryName = Annotated[
    str | None, Query(json_schema_extra=MEMORY_NAME, description="Name of the memory; unset: default.")
]
NodeName = Annotated[str | None, Query(json_schema_extra=MEMORY_NAME, description="The same under KATO's name.")]
SessionQuery = Annotated[str, Query(max_length=1_024, description="Name of the session.", examples=["default"])]
SessionName = Annotated[str, Path(max_length=1_024, description="Name of the session.", examples=["default"])]
Reference = Annotated[
    str, Path(max_length=1_024, description="A pattern's id, its name, or PTRN|name.", examples=["PTRN|0876529"])
]


def memories_of(request: Request) -> Memories:
    """Return the memories of this gateway, opened on the home's database when first asked for."""
    state = request.app.state
    with state.memories_lock:
        if state.memories is None:
            home, settings = state.home, state.gate.settings
            state.memories = Memories.open(home.database, stm="served", clock=home.clock, settings=settings)
        found: Memories = state.memories
    return found


def tenant_of(request: Request) -> str:
    """Return the tenant of the key that came with the request."""
    tenant: str = request.state.principal.tenant
    return tenant


def memory_name(memory: str | None, node_id: str | None, part: str = "") -> str | None:
    """Return the memory's name, given under either of its two; raises `ValidationError` (BODY_INVALID)."""
    if memory is not None and node_id is not None and memory != node_id:
        words = "memory and node_id name the same thing; give one."
        raise ValidationError(words, f"{part}memory", error_code="BODY_INVALID")
    return node_id if memory is None else memory


def _named(memory: MemoryName = None, node_id: NodeName = None) -> str:
    """Return the name in the query; raises `ValidationError` (MEMORY_NAME_INVALID)."""
    name = memory_name(memory, node_id, "query.")
    return "default" if name is None else clean_memory_name(name, "query.memory")


Named = Annotated[str, Depends(_named)]


def _chosen(request: Request, name: Named) -> Memory:
    """Return the memory named in the query; raises `NotFoundError` (MEMORY_NOT_FOUND)."""
    return memories_of(request).get(name, tenant=tenant_of(request), create=False)


def made(request: Request, name: str, check: Callable[[], object]) -> Memory:
    """Return a memory, made when absent and ``check`` has no objection: what is refused makes nothing."""
    memories, tenant = memories_of(request), tenant_of(request)
    try:
        return memories.get(name, tenant=tenant, create=False)
    except NotFoundError:
        check()
        return memories.get(name, tenant=tenant)


def _standing(request: Request, session_id: SessionName) -> Session:
    """Return the session named in the address; raises `NotFoundError` (SESSION_NOT_FOUND, SESSION_EXPIRED)."""
    return memories_of(request).session(session_id, tenant=tenant_of(request))


Chosen = Annotated[Memory, Depends(_chosen)]
Standing = Annotated[Session, Depends(_standing)]


def options_of(request: Request) -> dict[str, Any]:
    """Return the options of the query under their names, numbers and truths as such; the room says which exist."""
    return checked({name: _plain(text) for name, text in request.query_params.items() if name not in NOT_OPTIONS})


def checked(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options; raises `ValidationError` (CONFIG_INVALID) for names that mean something else in a call."""
    for name in PARAMETERS & options.keys():
        raise ValidationError(f"There is no option {name}.", name, error_code="CONFIG_INVALID")
    return options


def at_least(request: Request) -> int | None:
    """Return the log number that the answer must know of, None for any."""
    text = request.query_params.get("at_least_seq")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise ValidationError("at_least_seq takes a log number.", "at_least_seq", error_code="BODY_INVALID")
    return int(text)


def _plain(text: str) -> Any:
    """Return the JSON value a query text stands for, the text itself where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) or value is None else text


def answer(record: Record | Mapping[str, Any] | Sequence[Any], status: int = 200, **more: Any) -> Response:
    """Return a record of the room, with what ``more`` adds, as JSON."""
    if isinstance(record, Record) and not more:
        return Response(record.to_json(), status, media_type="application/json")
    data = record.to_dict() if isinstance(record, Record) else record
    body = json.dumps({**data, **more} if isinstance(data, Mapping) else data, **COMPACT).encode()
    return Response(body, status, media_type="application/json")


def acted(request: Request, work: Callable[[], Response]) -> Response:
    """Do something once per Idempotency-Key."""
    return answer_once(request, work) if "idempotency-key" in request.headers else work()


def fields_of(body: Any) -> dict[str, Any]:
    """Return what a body sets, without what it leaves out."""
    return {name: getattr(body, name) for name in type(body).model_fields if name in body.model_fields_set}
