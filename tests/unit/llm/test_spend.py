"""The ledger: no interleaving passes a cap."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import BudgetExceeded, ValidationError
from kimera.llm.spend import SpendLedger
from kimera.storage.database import Database, open_database
from kimera.storage.spend import SpendRows


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an open database of each kind with a clock that stands still."""
    with database_url(request.param, tmp_path) as url:
        opened = open_database(url, clock=FakeClock(auto=True))
        yield opened
        opened.close()


def make(database: Database, cap: str, day: str | None = None, share: str = "0", lease: float = 60.0) -> SpendLedger:
    """Return a ledger over the database."""
    return SpendLedger(
        SpendRows(database),
        database.clock,
        mission_cap=Decimal(cap),
        day_cap=None if day is None else Decimal(day),
        fusion_share=Decimal(share),
        lease=lease,
    )


def admitted(ledger: SpendLedger, mission: str) -> bool:
    """Reserve one dollar; return whether it was allowed."""
    try:
        ledger.reserve(mission, "ds_star", Decimal(1))
    except BudgetExceeded:
        return False
    return True


def test_of_100_parallel_reservations_the_cap_admits_37(database: Database) -> None:
    """Promise: 100 parallel reservations of 1 against a cap of 37 admit exactly 37."""
    ledger = make(database, "37")
    ledger.open_mission("m", Decimal(37))
    with ThreadPoolExecutor(16) as pool:
        allowed = list(pool.map(lambda _: admitted(ledger, "m"), range(100)))
    assert (37, Decimal(37)) == (sum(allowed), ledger.spent("m").reserved)


def test_the_day_is_a_cap_of_its_own(database: Database) -> None:
    """Promise: missions share the cap of the UTC day, and the refusal says which cap it was."""
    ledger = make(database, "10", day="3")
    assert [True, True, True, False] == [admitted(ledger, f"m{number}") for number in range(4)]
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve("m9", "ds_star", Decimal(1))
    assert "BUDGET_DAY" == refused.value.code


def test_a_crash_between_reserve_and_settle_frees_after_its_lease(database: Database) -> None:
    """Promise: a reservation nobody settles is given back when its lease has run out."""
    ledger = make(database, "1", lease=60)
    ledger.reserve("m", "ds_star", Decimal(1))
    assert not admitted(ledger, "m")
    database.clock.tick(61)  # type: ignore[attr-defined]
    assert admitted(ledger, "m")


def test_fifteen_percent_stay_for_fusion(database: Database) -> None:
    """Promise: tracks stop at 85 of 100, fusion may use the rest; exactly at the cap is allowed."""
    ledger = make(database, "100", share="0.15")
    ledger.reserve("m", "ds_star", Decimal(85))
    assert not admitted(ledger, "m")
    ledger.reserve("m", "fusion", Decimal(15))
    assert Decimal(1) == ledger.spent("m").share


def test_settling_twice_counts_once_and_a_late_payment_never_passes_the_cap(database: Database) -> None:
    """Promise: settle is idempotent; what is paid after the lease and does not fit is shown as overdrawn."""
    ledger = make(database, "1", lease=60)
    late = ledger.reserve("m", "ds_star", Decimal(1))
    database.clock.tick(61)  # type: ignore[attr-defined]
    other = ledger.reserve("m", "ds_star", Decimal("0.75"))
    ledger.settle(late, Decimal(1))
    ledger.settle(late, Decimal(1))
    ledger.settle(other, Decimal("0.5"))
    spent = ledger.spent("m")
    assert (Decimal(0), Decimal("0.75"), Decimal("0.75")) == (spent.reserved, spent.settled, spent.overdrawn)


def test_abandoning_a_track_gives_its_reservations_back(database: Database) -> None:
    """Promise: the money of an abandoned attempt is released, that of the other track is not."""
    ledger = make(database, "5")
    ledger.reserve("m", "ds_star", Decimal(2))
    ledger.reserve("m", "deep_research", Decimal(1))
    assert 1 == ledger.abandon("m", "ds_star")
    assert Decimal(1) == ledger.spent("m").reserved


def test_an_amount_must_be_money(database: Database) -> None:
    """Promise: negative and infinite amounts are refused."""
    for amount in ("-1", "NaN", "Infinity"):
        with pytest.raises(ValidationError):
            make(database, "5").reserve("m", "ds_star", Decimal(amount))


moves = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "release", "wait"]), st.integers(0, 7), st.integers(0, 40)),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(moves)
def test_settled_and_reserved_never_pass_the_cap(history: list[tuple[str, int, int]]) -> None:
    """Promise: under any history of reserve, settle, release and lost leases, settled + reserved <= cap."""
    with TemporaryDirectory() as place:
        opened = open_database(f"sqlite:///{place}/spend.db", clock=FakeClock(auto=True))
        ledger = make(opened, "1", day="1.5", lease=50)
        held: list[str] = []
        for move, which, cents in history:
            amount = Decimal(cents) / 100
            if move == "reserve":
                try:
                    held.append(ledger.reserve(f"m{which % 2}", "ds_star", amount))
                except BudgetExceeded:
                    assert amount > 0
            elif move == "wait":
                opened.clock.tick(cents * 2)  # type: ignore[attr-defined]
            elif held:
                ticket = held[which % len(held)]
                if move == "settle":
                    ledger.settle(ticket, amount)
                else:
                    ledger.release(ticket)
            for spent in (ledger.spent("m0"), ledger.spent("m1"), ledger.spent_today()):
                assert 0 <= spent.reserved
                assert spent.reserved + spent.settled <= spent.cap
        opened.close()
