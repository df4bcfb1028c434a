"""The workflow bodies: deterministic, without clock, environment or I/O outside recorded steps.

Importing this module registers the workflows with the durable engine, so only `_engine` imports it. A change of a
body in place goes through ``DBOS.patch``; the version is `_engine.APPLICATION_VERSION`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from dbos import DBOS, SetWorkflowID

from kimera import telemetry
from kimera.errors import KimeraError, StorageError, is_recoverable
from kimera.missions.contracts import TrackName
from kimera.missions.control._floor import Floor, Interrupted, floor, underway
from kimera.missions.control._reports import act, look_for_news
from kimera.missions.control._steps import Recorded, Ticket, bury, fail_track, ingest, run_phase, step_name
from kimera.resilience import Event, Retry, RetryScheduled
from kimera.storage.attempts import Failure
from kimera.storage.missions import Entry

__all__ = ["mission_workflow", "track_workflow"]

TRIES = 3
RETRY_SECONDS = 0.5
NEWS_SECONDS = 0.1
"""How often another process's progress is looked for; progress of this process wakes the waiting step at once."""


@DBOS.workflow(name="kimera.mission", max_recovery_attempts=10_000)
async def mission_workflow(mission_id: str, round_: int, again: int = 0) -> str:
    """Run one round of a mission: read the folder, start the tracks, fuse whenever there is news."""
    async with underway(mission_id):
        opened = await DBOS.run_step_async({"name": "ingest"}, _ingest, mission_id, round_)
        if opened["status"] != "going":
            return str(opened["status"])
        for track in opened["tracks"]:
            await _dispatch(mission_id, track, again)
        seen: list[str] = opened["seen"]
        told: list[str] = []
        number = 0
        while True:
            number += 1
            news = await DBOS.run_step_async({"name": "news"}, _news, mission_id, round_, seen, told)
            if news["reason"] == "over":
                return "over"
            done = await DBOS.run_step_async(
                {"name": f"fuse_{number}"}, _act, mission_id, round_, f"{again}.{number}", news
            )
            if done["status"] == "over":
                return "over"
            seen = sorted({*seen, *news["done"]})
            told = [news["reason"]] if news["reason"] == "stop" else [*(t for t in told if t != "stop"), news["reason"]]


@DBOS.workflow(name="kimera.track", max_recovery_attempts=10_000)
async def track_workflow(mission_id: str, track: TrackName, attempt: int, phases: list[str]) -> str:
    """Run the phases of one attempt, each one recorded step."""
    async with underway(mission_id, track, attempt):
        state: str | None = None
        for index, phase in enumerate(phases):
            done = await DBOS.run_step_async({"name": phase}, _phase, mission_id, track, attempt, index, phase, state)
            if done["status"] != "going":
                return str(done["status"])
            state = done["state"]
        return "done"


async def _dispatch(mission_id: str, track: Recorded, again: int) -> None:
    child = f"{mission_id}:{track['track']}:{track['attempt']}"
    name, attempt = track["track"], track["attempt"]
    identity = SetWorkflowID(f"{child}:again:{again}" if again else child)
    home = floor().home
    begun = home.clock.monotonic()
    with telemetry.span("dispatch.enqueue", queue=name, attempt=attempt), identity:
        await DBOS.start_workflow_async(track_workflow, mission_id, name, attempt, track["phases"])
    home.missions.owe(mission_id, home.clock.monotonic() - begun)


async def _ingest(mission_id: str, round_: int) -> Recorded:
    def failed(here: Floor, failure: Failure) -> Recorded:
        return bury(here, mission_id, round_, failure, "ingest")

    async def work(here: Floor) -> Recorded:
        with telemetry.span("agent.step", phase="ingest"):
            return await here.at_bench(ingest, here, mission_id, round_)

    return await _in_order(mission_id, f"ingest:{round_}", work, failed)


async def _news(mission_id: str, round_: int, seen: list[str], told: list[str]) -> Recorded:
    here = floor()
    while True:
        leaving = here.leaving()  # asked before the look, so that a stop in between is still acted on politely
        try:
            news = await here.at_desk(look_for_news, here, mission_id, round_, seen, told)
        except StorageError as fault:
            here.pause(mission_id, fault)
            raise asyncio.CancelledError from fault
        if news is not None:
            return news.as_json()
        if leaving:
            here.pause(mission_id)
            raise asyncio.CancelledError
        await here.news(mission_id, NEWS_SECONDS)


async def _act(mission_id: str, round_: int, number: str, news: Recorded) -> Recorded:
    def failed(here: Floor, failure: Failure) -> Recorded:
        return bury(here, mission_id, round_, failure, "fuse")

    async def work(here: Floor) -> Recorded:
        with telemetry.span("fusion.run", reason=news["reason"], final=bool(news["final"])) as span:
            done = await here.at_desk(act, here, mission_id, round_, number, news)
            span.set(version=done.get("version", 0))
        if done["status"] == "over":
            await here.at_desk(_remember, here, mission_id)
        return done

    return await _in_order(mission_id, f"fuse:{round_}:{number}", work, failed)


def _remember(here: Floor, mission_id: str) -> None:
    from kimera.missions.control.habits import learn_mission  # the memory is not needed before the end

    learn_mission(here.home, mission_id)


async def _phase(
    mission_id: str, track: TrackName, attempt: int, index: int, phase: str, state: str | None
) -> Recorded:
    ticket = Ticket(mission_id, track, attempt)

    def failed(here: Floor, failure: Failure) -> Recorded:
        return fail_track(here, ticket, failure, phase)

    async def work(here: Floor) -> Recorded:
        with telemetry.span("agent.step", phase=phase):
            return await here.at_bench(run_phase, here, ticket, index, state)

    return await _in_order(mission_id, step_name(ticket, phase), work, failed, ticket)


async def _in_order(
    mission_id: str,
    step: str,
    work: Callable[[Floor], Awaitable[Recorded]],
    failed: Callable[[Floor, Failure], Recorded],
    ticket: Ticket | None = None,
) -> Recorded:
    """Run a step: again after a transient error, recorded as failed after a lasting one, left alone when we stop."""
    here = floor()
    with here.step(mission_id):
        return await _tried(here, mission_id, step, work, failed, ticket)


async def _tried(
    here: Floor,
    mission_id: str,
    step: str,
    work: Callable[[Floor], Awaitable[Recorded]],
    failed: Callable[[Floor, Failure], Recorded],
    ticket: Ticket | None,
) -> Recorded:
    told: list[asyncio.Task[None]] = []

    def tell(event: Event) -> None:
        if isinstance(event, RetryScheduled):
            facts = (mission_id, step, ticket, event.attempt, event.error, event.delay)
            told.append(asyncio.create_task(here.at_desk(_tell_retry, here, *facts)))

    tries = Retry(TRIES, initial=RETRY_SECONDS, on=_may_pass, name=step, on_event=tell)
    number = 0
    try:
        async for attempt in tries:
            number = attempt.number
            with attempt:
                return await work(here)
    except (Interrupted, StorageError) as fault:
        # unfinished, not failed: the step is not recorded and somebody begins it again
        await _give_up(here, mission_id, step, fault, ticket)
        raise asyncio.CancelledError from fault
    except Exception as error:  # noqa: BLE001 - step runner: whatever a track does wrong ends the track, not us
        return await here.at_desk(failed, here, _failure(error, number))
    finally:
        await asyncio.gather(*told, return_exceptions=True)
    raise AssertionError("unreachable")


def _may_pass(error: Exception) -> bool:
    # a stop and a store that is away are not the step's own failure: they end the attempt at once
    return not isinstance(error, Interrupted | StorageError) and is_recoverable(error)


async def _give_up(here: Floor, mission_id: str, step: str, fault: KimeraError, ticket: Ticket | None) -> None:
    # the disk may still be full or the desk closed: the step then counts as lost once
    with contextlib.suppress(StorageError, RuntimeError):
        await here.at_desk(here.home.attempts.release, mission_id, step)
    # a track that was interrupted waits for the mission's own workflow to fuse what there is and to pause
    if ticket is None or not isinstance(fault, Interrupted):
        here.pause(mission_id, None if isinstance(fault, Interrupted) else fault)


def _failure(error: Exception, tries: int) -> Failure:
    message = error.message if isinstance(error, KimeraError) else str(error)
    return Failure(
        type(error).__name__,
        telemetry.code_of(error)[:64],
        telemetry.redact(message) or type(error).__name__,
        tries,
        module=telemetry.room_of(error),
        frames=telemetry.frames_of(error),
    )


def _tell_retry(
    here: Floor, mission_id: str, step: str, ticket: Ticket | None, number: int, error: Exception, delay: float
) -> None:
    failure = _failure(error, number)
    payload: dict[str, Any] = {"phase": step, "number": number, "error_type": failure.error_type}
    payload |= {"error_code": failure.error_code, "module": failure.module, "delay": round(delay, 3)}
    entry = Entry(
        f"retry:{step}:{number}",
        "track.retry",
        payload,
        ticket.track if ticket else None,
        ticket.attempt if ticket else None,
    )
    here.home.missions.append(mission_id, [entry])
