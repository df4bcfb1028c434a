"""Tenants: what one submits, another can neither list nor read, on SQLite and PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.small_missions import playbook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.databases import BOTH, database_url

from kimera.errors import NotFoundError
from kimera.missions import control
from kimera.settings import Settings


@pytest.fixture(params=BOTH, scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[control.Home]:
    """Yield an open home on each kind of database."""
    playbook()
    place = tmp_path_factory.mktemp("tenants")
    (place / "folder").mkdir()
    (place / "folder" / "a.txt").write_text("Alpha is first.\n")
    with database_url(request.param, place) as address:
        url: Any = None if request.param == "sqlite" else address
        with control.open_home(Settings(home=place / "home", database_url=url)) as opened:
            yield opened


def submit(home: control.Home, tenant: str, **options: Any) -> str:
    """Store a small mission of a tenant; without a key two within one millisecond would be one."""
    options.setdefault("request_key", uuid.uuid4().hex)
    return control.submit(
        home, "What is first?", home.path.parent / "folder", playbook="small", tenant=tenant, **options
    )


READS: list[Callable[..., object]] = [
    control.get,
    control.brief,
    control.events,
    control.versions,
    control.resume,
    control.cancel,
]


def test_another_tenants_mission_is_not_there(shared: control.Home) -> None:
    """Promise: every read and every act finds a tenant's own mission and answers "no such mission" to others."""
    mission_id = submit(shared, "one")
    for read in READS:
        with pytest.raises(NotFoundError, match=f"There is no mission {mission_id}"):
            read(shared, mission_id, tenant="two")
    for name in ("outcome", "retry"):
        act: Any = getattr(control, name)
        with pytest.raises(NotFoundError, match="There is no mission"):
            act(shared, mission_id, *(("ds_star",) if name == "retry" else ()), tenant="two")
    assert all(read(shared, mission_id, tenant="one") is not None for read in READS)


def test_request_keys_belong_to_their_tenant(shared: control.Home) -> None:
    """Promise: two tenants may use the same request key; within one tenant it names one mission."""
    first, second = submit(shared, "red", request_key="k"), submit(shared, "blue", request_key="k")
    assert first != second
    assert (first, second) == (submit(shared, "red", request_key="k"), submit(shared, "blue", request_key="k"))


def pages(home: control.Home, size: int, **where: Any) -> list[str]:
    """Return every id there is, read page by page; a mission is added between two pages."""
    seen: list[str] = []
    while page := control.missions(home, size, before=seen[-1] if seen else None, **where):
        seen += [row.mission_id for row in page]
        if len(seen) == size:
            submit(home, str(where.get("tenant") or "late"))
    return seen


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 7), count=st.integers(1, 9))
def test_pages_show_every_mission_once_newest_first(shared: control.Home, size: int, count: int) -> None:
    """Promise: whatever the page size, and while missions are added, each is seen once, newest first."""
    tenant = f"t{size}-{count}-{len(control.missions(shared, 100_000))}"
    mine = [submit(shared, tenant) for _ in range(count)]
    for other in ("x", "y"):
        submit(shared, other)
    seen = pages(shared, size, tenant=tenant)
    assert sorted(set(seen), reverse=True) == seen
    assert sorted(mine, reverse=True) == [name for name in seen if name in mine]


def test_pages_can_be_of_one_state(shared: control.Home) -> None:
    """Promise: a state given, only missions in it are listed, of the tenant or of all."""
    kept, gone = submit(shared, "states"), submit(shared, "states")
    control.cancel(shared, gone)
    assert [gone] == [row.mission_id for row in control.missions(shared, tenant="states", state="CANCELLED")]
    assert [kept] == [row.mission_id for row in control.missions(shared, tenant="states", state="PENDING")]
    assert gone in [row.mission_id for row in control.missions(shared, 10_000, state="CANCELLED")]
    assert {kept: (3, False)} == control.heads(shared, [kept, "unknown"])
    rows = control.missions(shared, tenant="states")
    assert ["What is first?"] * 2 == [one.question for one in control.briefs(shared, rows).values()]


def test_artefacts_are_fetched_by_those_whose_report_rests_on_them(home: control.Home, folder: Path) -> None:
    """Promise: report, library and texts of a mission belong to its tenant; another tenant finds none of them."""
    mission_id = control.submit(home, "What is first?", folder, playbook="small", tenant="one")
    control.run(home, mission_id)
    outcome = control.outcome(home, mission_id)
    report = control.version_of(home, mission_id).blob
    text = home.blobs.put(b"Alpha is first.\nand more\n")
    wanted = {report: "report", outcome.library or "": "library", text: "text"}
    assert wanted == {sha256: control.artifact(home, sha256, "one").kind for sha256 in wanted}
    secret = home.blobs.put(b"not in any report")
    for sha256, tenant in [*((name, "two") for name in wanted), (secret, "one")]:
        with pytest.raises(NotFoundError):
            control.artifact(home, sha256, tenant)
