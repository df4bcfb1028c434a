"""How a mission's money is watched: one ledger per home, and what happens as the cap comes near."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from kimera.llm.spend import SpendLedger
from kimera.missions.control.home import Home
from kimera.storage.spend import SpendRows

__all__ = ["FUSION_SHARE", "Pressure", "ledger", "pressure"]

FUSION_SHARE = Decimal("0.15")
"""Part of a mission's cap that only fusion may use."""

CHEAPER_AT = Decimal("0.60")
OFFLINE_AT = Decimal("0.85")

Pressure = Literal["none", "cheaper", "offline"]


def ledger(home: Home, *, day_cap: Decimal | None = None) -> SpendLedger:
    """Return the ledger of a home, with 15 % of each mission's cap kept for fusion."""
    return SpendLedger(
        SpendRows(home.database),
        home.clock,
        mission_cap=Decimal(home.settings.budget_usd),
        day_cap=day_cap,
        fusion_share=FUSION_SHARE,
    )


def pressure(share: Decimal) -> Pressure:
    """Return how to go on when ``share`` of a cap is in use: as planned, with a cheaper model, or without any."""
    if share >= OFFLINE_AT:
        return "offline"
    return "cheaper" if share >= CHEAPER_AT else "none"
