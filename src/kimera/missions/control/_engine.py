"""Our port to the durable engine (dbos); nothing else in Kimera imports it.

One process has one engine. The rules it keeps are listed in docs/design/durable-engine.md, each with its test.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID

from kimera.missions.control import _records
from kimera.missions.control._workflow import mission_workflow
from kimera.storage.database import engine_for, storage_errors

__all__ = ["APPLICATION_VERSION", "QUEUE", "Engine", "workflow_id"]

APPLICATION_VERSION = "1"
"""Bumped by hand when a workflow body changes so much that `DBOS.patch` does not help; old work must end first."""

QUEUE = "missions"
QUEUE_POLL = 0.1
RECOVERY_POLL = 0.1
LISTEN_POLL = 0.05
POOL = 12
LIVE = frozenset({"PENDING", "ENQUEUED"})


class _Json(Serializer):
    def serialize(self, data: Any) -> str:
        return _records.dumps(data)

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805 - the engine's own spelling
        return _records.loads(serialized_data)

    def name(self) -> str:
        return _records.NAME


def workflow_id(mission_id: str, round_: int) -> str:
    """Return the id of a round's workflow; starting an id twice is a no-op."""
    return mission_id if round_ == 0 else f"{mission_id}:round:{round_}"


ENGINE_THREADS = "dbos-executor"
DRAIN_SECONDS = 5.0
"""A record being written is let finish; with the database away the engine would try for ever."""


class Engine:
    """The running engine of this process; ``slot`` is unique among live processes."""

    def __init__(self, url: str, slot: str, *, synchronous: str = "NORMAL") -> None:
        self.slot = slot
        self._embedded = url.startswith("sqlite")
        self._own: sa.Engine | None = None
        config = DBOSConfig(
            name="kimera",
            executor_id=slot,
            application_version=APPLICATION_VERSION,
            serializer=_Json(),
            log_level="CRITICAL",
            notification_listener_polling_interval_sec=LISTEN_POLL,
            sys_db_pool_size=POOL,
            enable_otlp=False,
        )
        if self._embedded:
            self._own = _sqlite_engine(url, synchronous)
            config["system_database_engine"] = self._own
        else:
            config["system_database_url"] = str(
                sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
            )
        DBOS(config=config)
        # Workflows begun by the engine's blocking call are recorded as failed when it shuts down; those begun on a
        # loop are left as they are. So we begin ours on a loop of our own.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kimera-engine", daemon=True)
        self._thread.start()
        logging.getLogger("dbos").setLevel(logging.CRITICAL)

    @storage_errors()
    def launch(self, *, listen: int | None = None) -> None:
        """Start; recovers what this slot left unfinished. ``listen`` = missions taken from the queue at once."""
        DBOS.listen_queues([QUEUE] if listen is not None else [])
        _quicken_recovery()
        DBOS.launch()
        if listen is not None:
            DBOS.register_queue(
                QUEUE, worker_concurrency=listen, polling_interval_sec=QUEUE_POLL, on_conflict="always_update"
            )

    @storage_errors()
    def start(self, mission_id: str, round_: int) -> None:
        """Begin a round here and now; a no-op when it was begun before, wherever that was."""
        self._begin(workflow_id(mission_id, round_), mission_id, round_, 0)

    @storage_errors()
    def enqueue(self, mission_id: str, round_: int) -> None:
        """Put a round in the queue; a no-op when it is there or was begun."""
        with SetWorkflowID(workflow_id(mission_id, round_)):
            DBOS.enqueue_workflow(QUEUE, mission_workflow, mission_id, round_)

    @storage_errors()
    def status(self, mission_id: str, round_: int) -> str | None:
        """Return the engine's own word for a round (PENDING, SUCCESS, …), None when it was never begun."""
        found = self._runs(mission_id, round_)
        return str(found[-1].status) if found else None

    @storage_errors()
    def restart(self, mission_id: str, round_: int) -> None:
        """Begin a round again under a new id because the engine gave the old one up.

        Phases whose state our own tables hold are not executed again.
        """
        runs = self._runs(mission_id, round_)
        stale = [one.workflow_id for one in self._of(mission_id) if one.status in LIVE]
        if stale:
            DBOS.cancel_workflows(stale)
        self._begin(f"{workflow_id(mission_id, round_)}:again:{len(runs)}", mission_id, round_, len(runs))

    @storage_errors()
    def unfinished(self) -> list[str]:
        """Return the missions with unfinished work of this or a gone process."""
        found = DBOS.list_workflows(status=sorted(LIVE), load_input=False, load_output=False)
        return sorted({one.workflow_id.split(":")[0] for one in found})

    def _of(self, mission_id: str) -> list[Any]:
        return DBOS.list_workflows(workflow_id_prefix=mission_id, load_input=False, load_output=False)

    def _runs(self, mission_id: str, round_: int) -> list[Any]:
        """Return the round's workflow and its restarts, oldest first."""
        first = workflow_id(mission_id, round_)
        again = f"{first}:again:"
        return [one for one in self._of(mission_id) if one.workflow_id == first or one.workflow_id.startswith(again)]

    @storage_errors()
    def others_pending(self) -> list[str]:
        """Return the other slots that have unfinished work."""
        found = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return sorted({str(one.executor_id) for one in found if one.executor_id} - {self.slot})

    @storage_errors()
    def recover(self, slots: Iterable[str]) -> int:
        """Take over the unfinished work of slots whose process is gone; returns how many workflows."""
        return _recover(list(slots))

    @storage_errors()
    def again(self, mission_id: str) -> None:
        """Dispatch the unfinished workflows of one mission once more (they were given up by this process)."""
        for one in self._of(mission_id):
            if one.status in LIVE:
                DBOS.resume_workflow(one.workflow_id)

    def _begin(self, identity: str, mission_id: str, round_: int, again: int) -> None:
        async def begin() -> None:
            with SetWorkflowID(identity):
                await DBOS.start_workflow_async(mission_workflow, mission_id, round_, again)

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result()

    def close(self) -> None:
        """Stop; unfinished workflows stay recorded as they are."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        writing = [thread for thread in threading.enumerate() if thread.name.startswith(ENGINE_THREADS)]
        DBOS.destroy()
        for thread in writing:
            thread.join(DRAIN_SECONDS)
        self._loop.close()
        if self._own is not None:
            self._own.dispose()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _sqlite_engine(url: str, synchronous: str) -> sa.Engine:
    engine = engine_for(url, synchronous=synchronous, pool=POOL)

    @sa.event.listens_for(engine, "connect")
    def immediate(connection: Any, _: Any) -> None:
        # the engine relies on the driver to begin its transactions, and on their being IMMEDIATE
        connection.isolation_level = "IMMEDIATE"

    return engine


def _recover(slots: list[str]) -> int:
    """Call the engine's private recovery; tests fail when an upgrade removes it.

    The public ``resume_workflow`` is the fallback: slower, one workflow at a time.
    """
    recover = getattr(DBOS, "_recover_pending_workflows", None)
    if recover is not None:
        return len(recover(slots))
    found = DBOS.list_workflows(status="PENDING", executor_id=slots, load_input=False, load_output=False)
    for one in found:
        DBOS.resume_workflow(one.workflow_id)
    return len(found)


def _quicken_recovery() -> None:
    """Poll the queue of recovered work every 0.1 s instead of every second; private, and harmless when gone."""
    with contextlib.suppress(ImportError, AttributeError):
        from dbos._dbos import _get_or_create_dbos_registry

        _get_or_create_dbos_registry().get_internal_queue()._polling_interval_sec = RECOVERY_POLL
