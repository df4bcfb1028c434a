"""Short-term memory in Redis Streams: one stream per session, named by the memory's uid and the session's number.

Session rows stay in SQL; events, clock and version are in Redis. Each step is one script, so it is atomic and refuses
to start from an old version. An event's stream id is its number plus one. A step that learns appends first, learns
second, trims third: dying between leaves events below the floor that SQL holds, and those no longer count.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kimera.clock import Clock
from kimera.errors import MemoryFault
from kimera.memory.observing.stm import Held, Learnings, Stm, StmChange, StmEvent, StmUse, Teach
from kimera.memory.observing.stm_sql import SqlStm
from kimera.storage import memory as sql
from kimera.storage.pools import RedisPool
from kimera.storage.rows import StatementTimes, Transactions

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["RedisStm"]

# KEYS: stream, facts. ARGV: old version, time, next, floor, limit, life in ms, drop from, expiry, then number and body
# by turns. The facts are a hash: version, time, next, floor, expires, and the body of an event that was replaced.
STEP = """
local known = redis.call('HGET', KEYS[2], 'version')
if not known or tonumber(known) ~= tonumber(ARGV[1]) then return 0 end
local version = tonumber(known)
local drop = tonumber(ARGV[7])
if drop > 0 then
  local entries = redis.call('XRANGE', KEYS[1], ARGV[7] .. '-0', '+')
  for _, entry in ipairs(entries) do redis.call('XDEL', KEYS[1], entry[1]) end
end
local last = tonumber(redis.call('HGET', KEYS[2], 'next') or '0')
for i = 9, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number < last and (drop == 0 or number + 1 < drop) then
    redis.call('HSET', KEYS[2], 'event:' .. ARGV[i], ARGV[i + 1])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[5], (number + 1) .. '-0', 'event', ARGV[i + 1])
  end
end
local floor = tonumber(ARGV[4])
if floor > tonumber(redis.call('HGET', KEYS[2], 'floor') or '0') then
  redis.call('XTRIM', KEYS[1], 'MINID', '=', (floor + 1) .. '-0')
  for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    local number = string.match(name, '^event:(%d+)$')
    if number and tonumber(number) < floor then redis.call('HDEL', KEYS[2], name) end
  end
end
redis.call('HSET', KEYS[2], 'version', version + 1, 'time', ARGV[2], 'next', ARGV[3], 'floor', ARGV[4],
  'expires', ARGV[8])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 1
"""
LAG = 0.05 * 31_536_000  # SQL may be this much behind on a session's last use: a twentieth of the longest life
GRACE_MS = 60_000  # keys outlive their session a little, so that it ends by its own rule and not by Redis's clock
POOL = 50
WAIT = 2.0
CHECKED = 5.0  # seconds a health check is shown again
ASKED_AT_ONCE = 1_000


class RedisStm:
    """Sessions whose events are Redis Streams; needs the extra ``redis``. Raises `MemoryFault` (STORE_UNAVAILABLE)."""

    def __init__(
        self, transactions: Transactions, url: str, clock: Clock, prefix: str = "kimera:stm", limit: int = 100_000
    ) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as missing:
            raise MemoryFault(
                "Redis is configured, but its client is not installed; run pip install 'kimera[redis]'.",
                error_code="STORE_UNAVAILABLE",
                recoverable=False,
            ) from missing
        # a step whose answer was lost must not be sent again: it would be refused as old, and planned a second time
        never = Retry(NoBackoff(), 0)
        self._pool = RedisPool(url, POOL, WAIT, socket_timeout=WAIT * 2, health_check_interval=30, retry=never)
        self._clock = clock
        self._uids: dict[int, str] = {}
        self._written: dict[int, float] = {}  # the expiry SQL holds, by session
        self._redis: Redis = redis.Redis(connection_pool=self._pool.pool)
        self._failure = redis.RedisError
        self._step_script = self._redis.register_script(STEP)
        self._transactions = transactions
        self._rows = SqlStm(transactions)
        self._prefix = prefix
        self._limit = limit
        self.times = StatementTimes()

    def find(self, memory: int, session_id: str) -> Held | None:
        """Return a session, expired or not, or None."""
        found = self._rows.find(memory, session_id)
        if found is None or found.expires_at > self._now():
            return found
        expires = self._call("hget", self._keys(found)[1], "expires")  # SQL hears of a use a little later
        return found._replace(expires_at=max(found.expires_at, float(expires or 0)))

    def homes(self, tenant: str, session_id: str) -> list[tuple[str, float]]:
        """Return the memories of a tenant that have a session of this name, and when it ends."""
        homes = []
        for name, known in self._rows.homes(tenant, session_id):
            found = None
            if known <= self._now():  # SQL hears of a use a little later
                ((memory, *_),) = self._transactions.look(sql.FIND_MEMORY, {"tenant": tenant, "name": name})
                found = self.find(memory, session_id)
            homes.append((name, known if found is None else found.expires_at))
        return homes

    def create(self, memory: int, session_id: str, config: Mapping[str, Any], now: float, expires_at: float) -> Held:
        """Return the new session, or the one another caller made meanwhile."""
        return self._rows.create(memory, session_id, config, now, expires_at)

    def configure(self, held: Held, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Held:
        """Keep these options and this metadata."""
        return self._rows.configure(held, config, metadata)

    def extend(self, held: Held, expires_at: float) -> Held:
        """Let the session live until then."""
        changed = self._rows.extend(held, expires_at)
        self._written[held.key] = expires_at
        for key in self._keys(held):
            self._call("pexpire", key, self._life(expires_at))
        self._call("hset", self._keys(held)[1], "expires", repr(expires_at))
        return changed

    def drop(self, held: Held) -> None:
        """Forget the session and its events."""
        self._call("delete", *self._keys(held))
        self._rows.drop(held)
        self._written.pop(held.key, None)

    def load(self, held: Held) -> tuple[Held, Stm] | None:
        """Return the session as it is now, None when it is gone."""
        row = next(iter(self._transactions.look(sql.READ_SESSION, {"session": held.key})), None)
        if row is None:
            return None
        stream, facts = self._keys(held)
        known = {name.decode(): value for name, value in self._call("hgetall", facts).items()}
        if "version" not in known:  # a step only goes on from what stands here, so that a dropped session stays dropped
            self._call("hsetnx", facts, "version", 0)
            self._call("pexpire", facts, self._life(row[4]))
        kept = self._call("xrange", stream)
        floor = max(row[8], int(known.get("floor", 0)))
        events: deque[StmEvent] = deque()
        for entry, fields in kept:
            number = int(entry.split(b"-")[0]) - 1
            if number >= floor:
                body = known.get(f"event:{number}", fields[b"event"])
                events.append(StmEvent.read(number, body.decode()))
        at = max(int(known.get("next", 0)), floor)
        stm = Stm(int(known.get("version", 0)), int(known.get("time", 0)), at, floor, events)
        expires_at = max(row[4], float(known.get("expires", 0)))
        found = held._replace(config=json.loads(row[1]), metadata=json.loads(row[2]), expires_at=expires_at)
        return found, stm

    def is_current(self, held: Held, stm: Stm) -> bool:
        """Return whether nobody has stepped since ``stm`` was loaded."""
        version = self._call("hget", self._keys(held)[1], "version")
        return int(version or 0) == stm.version

    def step(self, held: Held, stm: Stm, change: StmChange, expires_at: float, teach: Teach | None) -> Learnings:
        """Keep a step and what it learns, all or nothing; return what was learned, or None when ``stm`` was old."""
        if teach is None:
            done = self._run(held, stm.version, change, expires_at)
            self._prolong(held, expires_at)
            return [] if done else None
        if not self._run(held, stm.version, change._replace(floor=stm.floor), expires_at):
            return None
        taken = {"session": held.key, "old_floor": stm.floor, "new_floor": change.floor, "new_expires_at": expires_at}
        learned: Learnings = None
        try:
            learned = teach(lambda rows: bool(rows.run(sql.FLOOR_SESSION, taken).rowcount == 1))
        finally:
            if learned is None:
                self._take_back(held, stm, change, expires_at)
        if learned is None:
            return None
        self._run(held, stm.version + 1, change._replace(append=(), replace=None), expires_at)
        stm.version += 1  # one step of ours were two scripts
        return learned

    def unfinished(self, held: Held) -> bool:
        """Return whether events below the floor still lie in the stream: a process died before it trimmed them."""
        return bool(self._call("xlen", self._keys(held)[0]))

    def count(self, memory: int, now: float) -> int:
        """Return how many sessions of a memory live."""
        return self._rows.count(memory, now)

    def use(self, tenant: str, now: float) -> StmUse:
        """Return how much is held for the sessions of a tenant that live, asked of Redis in one go."""
        found = self._transactions.look(sql.LIVE_SESSIONS, {"tenant": tenant, "now": now})
        count = events = lag = 0
        for begin in range(0, len(found), ASKED_AT_ONCE):
            pipe = self._redis.pipeline(transaction=False)
            for key, memory, floor in found[begin : begin + ASKED_AT_ONCE]:
                stream = self._stream(memory, key)
                pipe.xlen(stream)
                pipe.xrange(stream, "-", f"{floor}-0")  # what lies below the floor
            answers = self._timed("use", pipe.execute)
            for length, below in zip(answers[::2], answers[1::2], strict=True):
                count, events, lag = count + 1, events + length - len(below), lag + len(below)
        return StmUse(count, events, lag)

    def pool_figures(self) -> dict[str, Any]:
        """Return the pool as plain data, with a health check when the last is old and a connection is free."""
        full = len(self._pool.lent) >= self._pool.size
        return self._pool.figures(self._pool.waits.check(self._ping, self._clock, math.inf if full else CHECKED))

    def _ping(self) -> None:
        self._call("ping")

    def sweep(self, now: float) -> int:
        """Drop the rows of outlived sessions and return how many; Redis drops their keys by itself."""
        self._written = {key: until for key, until in self._written.copy().items() if until > now}
        return self._rows.sweep(now - LAG)

    def close(self) -> None:
        """Give connections back."""
        self._pool.pool.disconnect()

    def _keys(self, held: Held) -> tuple[str, str]:
        stream = self._stream(held.memory, held.key)
        return stream, f"{stream}:facts"

    def _stream(self, memory: int, key: int) -> str:
        return f"{self._prefix}:{self._uid(memory)}:{key}"

    def _uid(self, memory: int) -> str:
        """Return what names the memory beyond its database: two databases may share one Redis."""
        known = self._uids.get(memory)
        if known is None:
            row = next(iter(self._transactions.look(sql.UID_OF_MEMORY, {"memory": memory})), None)
            assert row is not None
            known = self._uids[memory] = str(row[0])
        return known

    def _run(self, held: Held, version: int, change: StmChange, expires_at: float, drop_from: int = 0) -> bool:
        arguments: list[Any] = [version, change.time, change.next, change.floor, self._limit]
        arguments += [self._life(expires_at), drop_from, repr(expires_at)]
        for event in (*((change.replace,) if change.replace is not None else ()), *change.append):
            arguments += [event.number, event.write()]
        return bool(self._timed("step", lambda: self._step_script(keys=self._keys(held), args=arguments)))

    def _take_back(self, held: Held, stm: Stm, change: StmChange, expires_at: float) -> None:
        """Remove what was appended for a lesson that could not be kept."""
        newest = stm.events[-1] if change.replace is not None else None
        # a stream never takes an id twice, so the numbers of what is removed stay used
        before = StmChange(stm.time, change.next, stm.floor, replace=newest)
        self._run(held, stm.version + 1, before, expires_at, drop_from=stm.next + 1)

    def _prolong(self, held: Held, expires_at: float) -> None:
        ahead = expires_at - self._written.get(held.key, 0.0)
        if ahead > (expires_at - self._now()) / 20:
            self._rows.extend(held, expires_at)
            self._written[held.key] = expires_at

    def _life(self, expires_at: float) -> int:
        return max(1, round((expires_at - self._now()) * 1_000)) + GRACE_MS

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _call(self, command: str, *arguments: Any) -> Any:
        return self._timed(command, lambda: getattr(self._redis, command)(*arguments))

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        begun = perf_counter()
        try:
            answer = work()
        except self._failure as failure:
            self._pool.waits.failed()
            raise _unavailable(failure) from failure
        self.times.note(name, 1, perf_counter() - begun)
        return answer


def _unavailable(failure: Exception) -> MemoryFault:
    return MemoryFault(
        f"Redis did not answer ({type(failure).__name__}); check KIMERA_REDIS_URL and that the server runs.",
        error_code="STORE_UNAVAILABLE",
        retry_after=1.0,
    )
