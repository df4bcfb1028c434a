"""Reports: their versions, in three forms, as a bundle, and the artefacts they rest on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

import kimera
from kimera.api.missions.acting import matches
from kimera.api.missions.models import VersionPage, VersionView
from kimera.api.missions.parts import IfNoneMatch, MissionId, Number, home_of, tenant_of
from kimera.api.security import requires
from kimera.errors import KimeraError, NotFoundError
from kimera.missions import control
from kimera.missions.contracts import MissionOutcomePackage
from kimera.missions.control import Home, Version
from kimera.missions.fusion.report import export_zip, render
from kimera.resilience import Cache

__all__ = ["router"]

Form = Literal["json", "md", "html"]
Bundle = Literal["zip", "json", "md", "html"]

MEDIA: dict[str, str] = {
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "zip": "application/zip",
}
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""A report is one file with its own style and nothing to load: even what slipped into it could reach nowhere."""

PRIVATE = "private, no-cache"
FOREVER = "private, max-age=31536000, immutable"
KEPT = 64
KEPT_BYTES = 1 << 20
TEXT = {"schema": {"type": "string"}}
BINARY = {"schema": {"type": "string", "format": "binary"}}
ARTIFACTS: dict[str, Any] = {
    "application/json": {},
    "text/plain": TEXT,
    "image/svg+xml": TEXT,
    "application/vnd.apache.parquet": BINARY,
}
NOT_MODIFIED = {"description": "You have it already: it is the one with the ETag you sent."}
FILE = {"description": "The file, as an attachment."}


def router() -> APIRouter:
    """Return the routes of reports and artefacts."""
    routes = APIRouter(tags=["reports"], dependencies=[requires("read")])
    shelf: Cache[str, bytes] = Cache(KEPT, None)
    _add_versions(routes)
    _add_report(routes, shelf)
    _add_export(routes, shelf)
    _add_artifacts(routes)
    return routes


def _add_versions(routes: APIRouter) -> None:
    @routes.get(
        "/api/missions/{mission_id:mission}/versions", operation_id="list_versions", summary="List a report's versions"
    )
    def list_versions(request: Request, mission_id: MissionId) -> VersionPage:
        """List every version of the report, oldest first. Versions never change."""
        stored = control.versions(home_of(request), mission_id, tenant_of(request))
        return VersionPage(items=tuple(VersionView.of(one) for one in stored))


def _add_report(routes: APIRouter, shelf: Cache[str, bytes]) -> None:
    @routes.get(
        "/api/missions/{mission_id:mission}/report",
        operation_id="get_report",
        summary="Read a report",
        response_class=Response,
        responses={
            200: {
                "description": "The report; `Accept` or `format` says in which form.",
                "model": MissionOutcomePackage,
                "content": {"text/markdown": TEXT, "text/html": TEXT},
            },
            304: NOT_MODIFIED,
        },
    )
    def get_report(
        request: Request,
        mission_id: MissionId,
        version: Number = None,
        form: Annotated[Form | None, Query(alias="format", description="Wins over Accept.")] = None,
        accept: Annotated[
            str, Header(max_length=1_024, description="application/json, text/markdown or text/html.")
        ] = "*/*",
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Read the report as JSON, Markdown or one self-contained page. A first version is there within seconds."""
        home, chosen = home_of(request), form or wanted_form(accept)
        stored = control.version_of(home, mission_id, version, tenant_of(request))
        tag = f'"{stored.blob[:24]}.{chosen}.{kimera.__version__}"'
        headers = {"etag": tag, "vary": "Accept", "cache-control": PRIVATE, "x-report-version": str(stored.version)}
        if matches(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        if chosen == "html":
            headers["content-security-policy"] = REPORT_POLICY
        return Response(_rendered(home, stored, chosen, shelf), headers=headers, media_type=MEDIA[chosen])


def _add_export(routes: APIRouter, shelf: Cache[str, bytes]) -> None:
    @routes.get(
        "/api/missions/{mission_id:mission}/export",
        operation_id="export_report",
        summary="Download a report",
        response_class=Response,
        responses={
            200: FILE
            | {"content": {"application/zip": BINARY, "application/json": {}, "text/markdown": TEXT, "text/html": TEXT}}
        },
    )
    def export_report(
        request: Request,
        mission_id: MissionId,
        version: Number = None,
        form: Annotated[Bundle, Query(alias="format", description="zip: with code, quotations and hashes.")] = "zip",
        with_sources: Annotated[bool, Query(description="zip: put the files themselves in as well.")] = False,
    ) -> Response:
        """Download the report; the zip is enough for `kimera verify` on another machine that has the files."""
        home = home_of(request)
        stored = control.version_of(home, mission_id, version, tenant_of(request))
        name = f"{mission_id}.{stored.version}.{form}"
        if form == "zip":
            return _bundle(home, stored, name, with_sources)
        return Response(_rendered(home, stored, form, shelf), headers=attachment(name), media_type=MEDIA[form])


def _add_artifacts(routes: APIRouter) -> None:
    @routes.get(
        "/api/artifacts/{sha256}",
        operation_id="get_artifact",
        summary="Fetch what a report rests on",
        response_class=FileResponse,
        responses={200: FILE | {"content": ARTIFACTS}, 304: NOT_MODIFIED},
    )
    def get_artifact(
        request: Request,
        sha256: Annotated[str, InPath(pattern="^[0-9a-f]{64}$", description="Hash of the artefact's bytes.")],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Fetch a report's JSON, what was read from the folder, or a drawing, if a report of your tenant has it."""
        home, tag = home_of(request), f'"{sha256}"'
        found = control.artifact(home, sha256, tenant_of(request))
        headers = {"etag": tag, "cache-control": FOREVER} | attachment(found.name)
        if matches(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        if not home.blobs.has(sha256):
            raise NotFoundError("The artefact's bytes are gone from the home; restore it or run the mission again.")
        return FileResponse(home.blobs.path(sha256), headers=headers, media_type=_plain(found.media_type))


def wanted_form(accept: str) -> Form:
    """Return the form that an Accept field likes best; raises a 406 when it takes none of them."""
    offers: dict[str, Form] = {"application/json": "json", "text/markdown": "md", "text/html": "html"}
    best: tuple[float, int, Form] | None = None
    for rank, (media, form) in enumerate(offers.items()):
        quality = _quality(accept, media)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, rank, form)
    if best is None:
        raise KimeraError(
            "The report comes as application/json, text/markdown or text/html; none of them is accepted.",
            error_code="NOT_ACCEPTABLE",
            http_status=406,
        )
    return best[2]


def _quality(accept: str, media: str) -> float:
    """Return how much an Accept field likes a media type, by its most specific range (RFC 9110 section 12.5.1)."""
    found: tuple[int, float] = (-1, 0.0)
    for part in accept.split(","):
        name, *parameters = [one.strip().lower() for one in part.split(";")]
        ranges = {media: 2, f"{media.partition('/')[0]}/*": 1, "*/*": 0}
        if name in ranges and ranges[name] > found[0]:
            found = (ranges[name], _weight(parameters))
    return found[1]


def _weight(parameters: list[str]) -> float:
    for one in parameters:
        if one.startswith("q="):
            try:
                return min(1.0, max(0.0, float(one[2:])))
            except ValueError:
                return 0.0
    return 1.0


def attachment(name: str) -> dict[str, str]:
    """Return the headers of a file to be saved, never shown: browsers run nothing of it."""
    plain = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in name)
    return {
        "content-disposition": f'attachment; filename="{plain or "file"}"',
        "content-security-policy": "default-src 'none'; sandbox",
    }


def _plain(media_type: str) -> str:
    return "text/plain; charset=utf-8" if media_type == "text/plain" else media_type


def _rendered(home: Home, stored: Version, form: Form, shelf: Cache[str, bytes]) -> bytes:
    if form == "json":
        return home.blobs.get(stored.blob)
    key = f"{stored.blob}.{form}"
    found: bytes | None = shelf.get(key)
    if found is None:
        outcome = MissionOutcomePackage.model_validate(home.blobs.get_json(stored.blob))
        found = render(outcome, form, home.blobs).encode("utf-8", "backslashreplace")
        if len(found) <= KEPT_BYTES:
            shelf.set(key, found)
    return found


def _bundle(home: Home, stored: Version, name: str, with_sources: bool) -> Response:
    outcome = MissionOutcomePackage.model_validate(home.blobs.get_json(stored.blob))
    with tempfile.NamedTemporaryFile(prefix="kimera-export-", suffix=".zip", delete=False) as made:
        place = Path(made.name)
    try:
        export_zip(outcome, home.blobs, place, with_sources=with_sources)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    leave = BackgroundTask(place.unlink, missing_ok=True)
    return FileResponse(place, headers=attachment(name), media_type=MEDIA["zip"], background=leave)
