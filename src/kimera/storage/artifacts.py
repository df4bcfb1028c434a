"""Which blobs a mission's reports rest on: whoever may read a report may fetch these, and nobody else.

A blob's name is the hash of its bytes, so two tenants with the same file share a blob; what a tenant may fetch is
therefore decided by the rows here, never by knowing a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from kimera.storage.database import Database
from kimera.storage.schema import artifacts, briefs

__all__ = ["Artifact", "add_artifacts", "find_artifact"]

NAME_LIMIT = 255

INSERT_ARTIFACT = artifacts.insert()
SELECT_KNOWN = sa.select(artifacts.c.sha256).where(artifacts.c.mission_id == sa.bindparam("id"))
SELECT_ARTIFACT = (
    sa.select(artifacts)
    .join(briefs, briefs.c.mission_id == artifacts.c.mission_id)
    .where(artifacts.c.sha256 == sa.bindparam("sha256"), briefs.c.tenant == sa.bindparam("tenant"))
    .order_by(artifacts.c.mission_id)
    .limit(1)
)


@dataclass(frozen=True)
class Artifact:
    """One blob behind a report. ``kind`` is report, library, text, table or chart."""

    sha256: str
    mission_id: str
    kind: str
    media_type: str
    name: str


def add_artifacts(connection: sa.Connection, mission_id: str, new: Sequence[Artifact]) -> None:
    """Note the artefacts of a new version; those of an earlier version stay as they are."""
    known = set(connection.execute(SELECT_KNOWN, {"id": mission_id}).scalars())
    fresh = {one.sha256: asdict(one) | {"name": one.name[:NAME_LIMIT]} for one in new if one.sha256 not in known}
    if fresh:
        connection.execute(INSERT_ARTIFACT, list(fresh.values()))


def find_artifact(database: Database, sha256: str, tenant: str) -> Artifact | None:
    """Return what the blob is to a report of this tenant, None when none of them rests on it."""
    where = {"sha256": sha256, "tenant": tenant}
    found = database.read(lambda connection: connection.execute(SELECT_ARTIFACT, where).first())
    return None if found is None else Artifact(**found._asdict())
