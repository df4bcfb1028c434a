"""The spend ledger: money is set aside before a call, paid after it, and never passes a cap.

`SpendLedger` knows dollars, missions and days; the rows are kept by a `SpendStore` (`kimera.storage.spend`), handed in
by whoever composes the two, because services do not import each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol

from kimera import telemetry
from kimera.clock import Clock
from kimera.errors import BudgetExceeded, ValidationError

__all__ = ["LEASE_SECONDS", "SpendLedger", "SpendStore", "Spent"]

LEASE_SECONDS = 600.0
"""How long a reservation outlives a process that died between reserve and settle."""

NANO = Decimal(10) ** 9
UNLIMITED = 2**62


class SpendStore(Protocol):
    """What the ledger needs of its rows; amounts are whole nano-dollars."""

    def open_scope(self, scope: str, cap_nano: int) -> None:
        """Set the cap of a scope."""

    def scope(self, scope: str) -> Any:
        """Return an object with cap_nano, reserved_nano, settled_nano, overdrawn_nano, or None."""

    def reserve(
        self, mission_id: str, track: str, day: str, nano: int, limits: list[tuple[str, int]], lease: float
    ) -> str:
        """Reserve in every scope or raise `BudgetExceeded` whose ``scope`` names the full one."""

    def settle(self, ticket: str, nano: int, input_tokens: int, output_tokens: int) -> Any:
        """Pay a ticket."""

    def release(self, ticket: str) -> Any:
        """Give a reservation back."""

    def release_open(self, mission_id: str, track: str | None = None) -> int:
        """Give back all open reservations of a mission."""

    def renew(self, ticket: str, lease: float) -> bool:
        """Lengthen a lease."""


@dataclass(frozen=True)
class Spent:
    """What a scope may spend and has spent, in dollars; ``overdrawn`` was paid after its lease had run out."""

    cap: Decimal
    reserved: Decimal
    settled: Decimal
    overdrawn: Decimal

    @property
    def share(self) -> Decimal:
        """Return the part of the cap in use; 1 for a cap of nothing."""
        return (self.reserved + self.settled) / self.cap if self.cap else Decimal(1)


class SpendLedger:
    """Reserve before a call, settle with what it cost, release when it was not made.

    ``mission_cap`` holds for missions that `open_mission` was not called for; ``day_cap`` None means no daily cap;
    ``fusion_share`` of a mission's cap is kept for the track ``fusion``.
    """

    def __init__(
        self,
        store: SpendStore,
        clock: Clock,
        *,
        mission_cap: Decimal = Decimal(0),
        day_cap: Decimal | None = None,
        fusion_share: Decimal = Decimal(0),
        lease: float = LEASE_SECONDS,
    ) -> None:
        self.store = store
        self.clock = clock
        self.mission_cap = mission_cap
        self.day_cap = day_cap
        self.fusion_share = fusion_share
        self.lease = lease

    def open_mission(self, mission_id: str, cap: Decimal) -> None:
        """Set what a mission may spend; a later call changes the cap, not what was spent."""
        self.store.open_scope(f"mission:{mission_id}", _nano(cap))

    def reserve(self, mission_id: str, track: str, upper_bound: Decimal) -> str:
        """Set aside the most a call can cost and return a ticket; a call that does not fit must not be made.

        Exactly at the cap is allowed. Raises `BudgetExceeded` with code BUDGET_MISSION or BUDGET_DAY.
        """
        nano = _nano(upper_bound)
        day = self.clock.now().date().isoformat()
        mission_scope, day_scope = f"mission:{mission_id}", f"day:{day}"
        cap = self._cap(mission_scope, _nano(self.mission_cap))
        day_cap = self._cap(day_scope, UNLIMITED if self.day_cap is None else _nano(self.day_cap))
        if track != "fusion":
            cap -= int(cap * self.fusion_share)
        try:
            return self.store.reserve(
                mission_id, track, day, nano, [(mission_scope, cap), (day_scope, day_cap)], self.lease
            )
        except BudgetExceeded as refused:
            mission = refused.facts.get("scope") == mission_scope
            scope = "mission" if mission else "day"
            telemetry.metric("kimera_budget_actions_total").bind(scope=scope, action="stop").inc()
            raise _exceeded(mission, upper_bound) from refused

    def settle(self, ticket: str, actual: Decimal, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Replace a reservation by what the call cost; repeating it is a no-op."""
        self.store.settle(ticket, _nano(actual), input_tokens, output_tokens)

    def release(self, ticket: str) -> None:
        """Give a reservation back: the call was not made or cost nothing."""
        self.store.release(ticket)

    def abandon(self, mission_id: str, track: str | None = None) -> int:
        """Give back everything a mission (or one track of it) still has reserved; returns how many tickets."""
        return self.store.release_open(mission_id, track)

    def renew(self, ticket: str) -> bool:
        """Keep a reservation of a call that takes long; False when it is no longer held."""
        return self.store.renew(ticket, self.lease)

    def spent(self, mission_id: str) -> Spent:
        """Return where a mission stands."""
        return self._spent(f"mission:{mission_id}", self.mission_cap)

    def spent_today(self) -> Spent:
        """Return where the current UTC day stands."""
        return self._spent(f"day:{self.clock.now().date().isoformat()}", self.day_cap or Decimal(0))

    def _spent(self, scope: str, cap: Decimal) -> Spent:
        row = self.store.scope(scope)
        if row is None:
            return Spent(cap, Decimal(0), Decimal(0), Decimal(0))
        parts = (row.cap_nano, row.reserved_nano, row.settled_nano, row.overdrawn_nano)
        return Spent(*(Decimal(part) / NANO for part in parts))

    def _cap(self, scope: str, default: int) -> int:
        row = self.store.scope(scope)
        if row is None:
            self.store.open_scope(scope, default)
            return default
        return int(row.cap_nano)


def _nano(usd: Decimal) -> int:
    """Return whole nano-dollars, rounded up: money is never under-counted."""
    if not usd.is_finite() or usd < 0:
        raise ValidationError(f"An amount of money must be finite and not negative, not {usd}.", "usd")
    return int((usd * NANO).to_integral_value(rounding=ROUND_CEILING))


def _exceeded(mission: bool, upper_bound: Decimal) -> BudgetExceeded:
    if mission:
        return BudgetExceeded(
            f"A call of up to ${upper_bound} does not fit under the mission's budget; raise --budget and retry.",
            error_code="BUDGET_MISSION",
        )
    return BudgetExceeded(
        f"A call of up to ${upper_bound} does not fit under today's budget; wait for midnight UTC or raise it.",
        error_code="BUDGET_DAY",
    )
