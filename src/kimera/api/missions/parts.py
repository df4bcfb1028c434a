"""What the mission routes have in common: whose mission it is, and the parameters they all take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor

from kimera.missions import control
from kimera.missions.control import Home, MissionRow

__all__ = ["MISSION_ID", "IdempotencyKey", "IfNoneMatch", "Mission", "MissionId", "Number", "home_of", "tenant_of"]

FORM = "m[0-9a-z]{9}[0-9a-f]{8}"
MISSION_ID = f"^{FORM}$"


class _MissionConvertor(Convertor[str]):
    """Lets a route take only what has a mission's form, so that `/missions/upload` is no mission."""

    regex = FORM

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("mission", _MissionConvertor())

MissionId = Annotated[
    str, Path(pattern=MISSION_ID, description="Id of a mission of your tenant.", examples=["m1m7wc8y7nf4ccff2d"])
]
Number = Annotated[int | None, Query(ge=1, le=1_000_000, description="Which version of the report; unset: the newest.")]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your own for this request: sent again, it does nothing and gives the first answer.",
    ),
]

IfNoneMatch = Annotated[
    str | None, Header(max_length=1_024, description="ETag of an earlier answer: if it is still the same, 304.")
]


def home_of(request: Request) -> Home:
    """Return the open home of this gateway."""
    home: Home = request.app.state.home
    return home


def tenant_of(request: Request) -> str:
    """Return the tenant of the key that came with the request."""
    tenant: str = request.state.principal.tenant
    return tenant


def _mission(request: Request, mission_id: MissionId) -> MissionRow:
    """Return the mission named in the address; raises `NotFoundError` for another tenant's."""
    return control.get(home_of(request), mission_id, tenant_of(request))


Mission = Annotated[MissionRow, Depends(_mission)]
"""The mission named in the address, of the caller's tenant; read in a thread before the endpoint runs."""
