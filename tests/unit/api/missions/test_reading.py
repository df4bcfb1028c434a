"""Reading missions and reports; what belongs to another tenant is not there."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.conftest import Caller
from tests.unit.api.missions.conftest import Two

from kimera.api import create_app
from kimera.api.missions.acting import matches
from kimera.api.missions.reading import attachment, wanted_form
from kimera.errors import KimeraError
from kimera.missions import control
from kimera.missions.contracts import MissionOutcomePackage
from kimera.missions.fusion.report import render
from kimera.missions.verify import verify_file


async def test_a_report_comes_in_three_forms(two: Two, caller: Caller) -> None:
    """Promise: JSON, Markdown and HTML, by format or by Accept, are the renderings of the stored outcome."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}/report"
    outcome = control.outcome(two.home, two.mission_id)
    kinds = {"json": "application/json", "md": "text/markdown; charset=utf-8", "html": "text/html; charset=utf-8"}
    for form, kind in kinds.items():
        expected = render(outcome, form, two.home.blobs)  # type: ignore[arg-type]
        by_format = await client.get(path, params={"format": form})
        by_accept = await client.get(path, headers={"accept": kind.partition(";")[0]})
        assert (200, kind, expected) == (by_format.status_code, by_format.headers["content-type"], by_format.text)
        assert (expected, by_format.headers["etag"]) == (by_accept.text, by_accept.headers["etag"])
    assert outcome == MissionOutcomePackage.model_validate((await client.get(path)).json())
    assert "sandbox" in (await client.get(path, params={"format": "html"})).headers["content-security-policy"]
    assert 406 == (await client.get(path, headers={"accept": "image/png"})).status_code
    assert 422 == (await client.get(path, params={"format": "pdf"})).status_code


async def test_a_report_that_was_read_is_not_sent_again(two: Two, caller: Caller) -> None:
    """Promise: If-None-Match with the ETag gives 304 and no body; another form or version has another ETag."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}/report"
    tags = {(await client.get(path, params={"format": form})).headers["etag"] for form in ("json", "md", "html")}
    newest = control.version_of(two.home, two.mission_id).version
    tags |= {(await client.get(path, params={"version": n})).headers["etag"] for n in range(1, newest + 1)}
    assert 2 + newest == len(tags)
    for form in ("json", "md"):
        tag = (await client.get(path, params={"format": form})).headers["etag"]
        again = await client.get(path, params={"format": form}, headers={"if-none-match": f'"x", W/{tag}'})
        assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])
    row = await client.get(path.removesuffix("/report"))
    again = await client.get(path.removesuffix("/report"), headers={"if-none-match": row.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)


async def test_every_version_can_be_read(two: Two, caller: Caller) -> None:
    """Promise: the list names every version, each of which is read by its number; others are 404."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}"
    listed = (await client.get(f"{path}/versions")).json()["items"]
    assert list(range(1, len(listed) + 1)) == [one["version"] for one in listed]
    for one in listed:
        report = await client.get(f"{path}/report", params={"version": one["version"]})
        artifact = await client.get(f"/api/artifacts/{one['artifact']}")
        assert one["version"] == report.json()["version"] == int(report.headers["x-report-version"])
        assert report.content == artifact.content
        assert one["artifact"] == hashlib.sha256(artifact.content).hexdigest()
    assert 404 == (await client.get(f"{path}/report", params={"version": 99})).status_code


async def test_downloads_are_attachments_that_run_nowhere(two: Two, caller: Caller, tmp_path: Path) -> None:
    """Promise: exports and artefacts are attachments with nosniff; the zip passes `kimera verify` elsewhere."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}"
    for form in ("zip", "html", "md", "json"):
        answer = await client.get(f"{path}/export", params={"format": form, "with_sources": form == "zip"})
        assert 200 == answer.status_code
        assert answer.headers["content-disposition"].startswith(f'attachment; filename="{two.mission_id}.')
        assert ("nosniff", True) == (
            answer.headers["x-content-type-options"],
            "sandbox" in answer.headers["content-security-policy"],
        )
        if form == "zip":
            names = set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())
            assert {"report.json", "report.html", "sources.json", "sources/a.txt"} <= names
            place = write(tmp_path / "r.zip", answer.content)
            statuses = {check.status for check in verify_file(place).sources}
            assert {"same"} == statuses
    artifact = await client.get(f"/api/artifacts/{control.outcome(two.home, two.mission_id).library}")
    assert 'attachment; filename="library.json"' == artifact.headers["content-disposition"]
    again = await client.get(str(artifact.url), headers={"if-none-match": artifact.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)


def write(place: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    place.write_bytes(data)
    return place


async def test_a_report_is_verified_over_http(two: Two, caller: Caller, tmp_path: Path) -> None:
    """Promise: the answer says claim by claim what holds now, and what does not after a file was changed."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}/verify"
    before = await client.post(path)
    assert 200 == before.status_code, before.text
    assert {"same"} == {one["status"] for one in before.json()["sources"]}
    write(tmp_path / "folder" / "a.txt", b"Omega is first.\n")
    after = (await client.post(path, params={"version": 1})).json()
    assert (False, {"changed"}) == (after["holds"], {one["status"] for one in after["sources"]})
    assert after["summary"] == after["summary"].strip() != ""


async def test_verification_ends_in_time(two: Two, caller: Caller) -> None:
    """Promise: a verification that takes too long is given up with 504 and the setting to raise."""
    object.__setattr__(two.home, "settings", two.home.settings.model_copy(update={"verify_seconds": 1e-9}))
    answer = await caller(create_app(two.home), two.mine).post(f"/api/missions/{two.mission_id}/verify")
    assert (504, True) == (answer.status_code, "KIMERA_VERIFY_SECONDS" in answer.json()["detail"])


async def test_another_tenants_mission_report_stream_and_files_are_not_there(two: Two, caller: Caller) -> None:
    """Promise: every address under a mission and every artefact answers 404 to another tenant's key, and lists none."""
    app = create_app(two.home)
    mine, theirs = caller(app, two.mine), caller(app, two.theirs)
    walked = 0
    for path, methods in app.openapi()["paths"].items():
        if "{mission_id}" not in path:
            continue
        for method in methods:
            address = path.replace("{mission_id}", two.mission_id)
            answer = await theirs.request(method, address)
            assert (404, "NOT_FOUND") == (answer.status_code, answer.json()["code"]), (method, path)
            assert two.mission_id not in json.dumps((await theirs.get("/api/missions")).json())
            walked += 1
    assert walked >= 10
    outcome = control.outcome(two.home, two.mission_id)
    blob = control.version_of(two.home, two.mission_id).blob
    for sha256 in (blob, str(outcome.library), outcome.sources[0].id):
        assert 404 == (await theirs.get(f"/api/artifacts/{sha256}")).status_code
    assert 200 == (await mine.get(f"/api/artifacts/{blob}")).status_code


async def test_pages_of_missions(two: Two, caller: Caller, tmp_path: Path) -> None:
    """Promise: following `next` shows every mission of the tenant once, newest first, of one state if asked."""
    client = caller(create_app(two.home), two.mine)
    for number in range(4):
        control.submit(two.home, f"Question {number}?", tmp_path / "folder", tenant="one")
    seen, cursor = [], None
    while True:
        page = (await client.get("/api/missions", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [one["mission_id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen, reverse=True) == seen
    assert 5 == len(seen)
    done = (await client.get("/api/missions", params={"state": "DONE"})).json()["items"]
    assert [two.mission_id] == [one["mission_id"] for one in done]
    for wrong in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"state": "done"}):
        assert 422 == (await client.get("/api/missions", params=wrong)).status_code


async def test_a_mission_is_retried_and_not_resumed_after_its_end(two: Two, caller: Caller) -> None:
    """Promise: resume and cancel of an ended mission are 409; retry with no failed track is 422, a named one runs."""
    client, path = caller(create_app(two.home), two.mine), f"/api/missions/{two.mission_id}"
    assert [409, 409] == [(await client.post(f"{path}/{act}")).status_code for act in ("resume", "cancel")]
    assert 422 == (await client.post(f"{path}/retry")).status_code
    again = await client.post(f"{path}/retry", json={"track": "ds_star"})
    assert ("PENDING", 2, 1) == (
        again.json()["state"],
        again.json()["tracks"]["ds_star"]["attempt"],
        again.json()["round"],
    )
    assert 200 == (await client.post(f"{path}/resume")).status_code


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("text/markdown", "md"),
        ("text/*", "md"),
        ("application/json;q=0.1, text/html;q=0.2", "html"),
        ("application/json;q=0, */*", "md"),
        ("", None),
        ("image/*", None),
        ("text/html;q=nonsense", None),
    ],
)
def test_accept_is_read_as_the_standard_says(accept: str, form: str | None) -> None:
    """Promise: the best liked form wins, the more specific range counts, and none liked is a 406."""
    if form is None:
        with pytest.raises(KimeraError) as caught:
            wanted_form(accept)
        assert 406 == caught.value.http_status
    else:
        assert form == wanted_form(accept)


@given(st.text(max_size=300))
def test_what_callers_send_never_breaks_a_header(text: str) -> None:
    """Promise: no Accept or If-None-Match raises anything but 406, and no name leaves its quotes in a header."""
    try:
        assert wanted_form(text) in {"json", "md", "html"}
    except KimeraError as error:
        assert 406 == error.http_status
    assert matches(text, '"tag"') in {True, False}
    value = attachment(text)["content-disposition"]
    assert value.isascii() and value.isprintable() and 2 == value.count('"')
