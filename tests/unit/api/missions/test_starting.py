"""Starting missions: over folders that are allowed, over uploads that are what they say."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.unit.api.conftest import Caller

from kimera.api import create_app
from kimera.clock import FakeClock
from kimera.missions import control
from kimera.missions.control.uploads import new_upload, remove_old_uploads
from kimera.settings import Settings
from kimera.storage.keys import Keys


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return an allowed folder that holds a folder of one text, and ways out of it."""
    place = tmp_path / "shelf"
    (place / "texts").mkdir(parents=True)
    (place / "texts" / "a.txt").write_text("Alpha is first.\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.txt").write_text("not for you\n")
    (place / "out").symlink_to(tmp_path / "secret")
    (place / "within").symlink_to(place / "texts")
    (place / "file.txt").write_text("x")
    return place


def gateway(home: control.Home, **changes: Any) -> FastAPI:
    """Return a gateway of a home with changed settings."""
    object.__setattr__(home, "settings", home.settings.model_copy(update=changes))
    return create_app(home)


ASKED = {"question": "What is first?", "folder": "texts"}


async def test_no_folder_is_read_unless_the_operator_allows_it(home: control.Home, caller: Caller) -> None:
    """Promise: by default a named folder is refused, and the answer names the setting."""
    answer = await caller(gateway(home)).post("/api/missions", json=ASKED)
    assert (422, "VALIDATION_FOLDER") == (answer.status_code, answer.json()["code"])
    assert "KIMERA_FOLDERS" in answer.json()["detail"]


async def test_a_mission_starts_over_an_allowed_folder(home: control.Home, shelf: Path, caller: Caller) -> None:
    """Promise: 201 with the mission and where it is; the folder may be named from an allowed one on, or in full."""
    client = caller(gateway(home, folders=f"/nowhere:{shelf}"))
    for name in ("texts", str(shelf / "texts"), "within", "texts/../texts"):
        answer = await client.post("/api/missions", json=ASKED | {"folder": name, "tracks": ["ds_star"]})
        assert 201 == answer.status_code, answer.text
        body = answer.json()
        assert ("PENDING", str(shelf / "texts")) == (body["state"], body["folder"])
        assert {"deep_research": "skipped", "ds_star": "pending"} == {k: v["status"] for k, v in body["tracks"].items()}
        assert f"/api/missions/{body['mission_id']}" == answer.headers["location"]
        assert body == (await client.get(answer.headers["location"])).json()


@pytest.mark.parametrize("name", ["out", "../secret", "/", "/etc", "file.txt", "missing", "texts/../../secret", "."])
async def test_what_is_not_allowed_and_what_is_not_there_look_alike(
    home: control.Home, shelf: Path, caller: Caller, name: str
) -> None:
    """Promise: links out, parents, files and absent folders give one and the same answer; the root may be read."""
    client = caller(gateway(home, folders=str(shelf / "texts" if name == "." else shelf)))
    answer = await client.post("/api/missions", json=ASKED | {"folder": name})
    if name == ".":
        assert 201 == answer.status_code
        return
    expected = await client.post("/api/missions", json=ASKED | {"folder": "never-was"})
    assert (422, expected.json()["detail"]) == (answer.status_code, answer.json()["detail"])


async def test_a_tenant_reads_its_own_folders(home: control.Home, shelf: Path, keys: Keys, caller: Caller) -> None:
    """Promise: {tenant} in an allowed folder stands for the key's tenant; others' folders are not there."""
    for tenant in ("one", "two"):
        (shelf / tenant / "data").mkdir(parents=True)
        (shelf / tenant / "data" / "a.txt").write_text(tenant)
    app = gateway(home, folders=f"{shelf}/{{tenant}}")
    client = caller(app, keys.create("k", "one", "write").secret)
    assert 201 == (await client.post("/api/missions", json=ASKED | {"folder": "data"})).status_code
    for name in (str(shelf / "two" / "data"), "../two/data"):
        assert 422 == (await client.post("/api/missions", json=ASKED | {"folder": name})).status_code


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": ""},
        {"question": " \n "},
        {"question": "x" * 4_001},
        {"question": "a\u0000b"},
        {"question": 5},
        {"deadline": 0},
        {"deadline": 1e9},
        {"budget_usd": -1},
        {"budget_usd": "1e30"},
        {"tracks": []},
        {"tracks": ["other"]},
        {"session_id": "a b"},
        {"model": "some:model"},
        {"price_unknown_ok": True},
        {"folder": "a\u0000b"},
    ],
)
async def test_wrong_wishes_are_refused_by_name(
    home: control.Home, shelf: Path, caller: Caller, wrong: dict[str, Any]
) -> None:
    """Promise: each wrong or unknown field gives 422 that names it, and nothing is stored."""
    answer = await caller(gateway(home, folders=str(shelf))).post("/api/missions", json=ASKED | wrong)
    assert 422 == answer.status_code, answer.text
    assert f"body.{next(iter(wrong))}" in answer.json()["errors"][0]["location"]
    assert [] == control.missions(home)


async def test_a_repeated_key_starts_one_mission(home: control.Home, shelf: Path, caller: Caller) -> None:
    """Promise: a request sent twice with one Idempotency-Key gives one mission and the same answer."""
    client = caller(gateway(home, folders=str(shelf)))
    headers = {"idempotency-key": "mine-1"}
    answers = [await client.post("/api/missions", json=ASKED, headers=headers) for _ in range(2)]
    assert [201, 201] == [answer.status_code for answer in answers]
    assert answers[0].json() == answers[1].json()
    assert 1 == len(control.missions(home))
    assert 2 == len({(await client.post("/api/missions", json=ASKED)).json()["mission_id"] for _ in range(2)})


async def test_a_tenant_has_only_so_many_unfinished_missions(
    home: control.Home, shelf: Path, keys: Keys, caller: Caller
) -> None:
    """Promise: beyond the limit 429 with Retry-After; another tenant is not held up; an ended one makes room."""
    app = gateway(home, folders=str(shelf), missions_per_tenant=2)
    one, two = (caller(app, keys.create("k", tenant, "write").secret) for tenant in ("one", "two"))
    first = await one.post("/api/missions", json=ASKED)
    assert 201 == (await one.post("/api/missions", json=ASKED)).status_code
    refused = await one.post("/api/missions", json=ASKED)
    assert (429, "5") == (refused.status_code, refused.headers["retry-after"])
    assert 201 == (await two.post("/api/missions", json=ASKED)).status_code
    assert "CANCELLED" == (await one.post(f"{first.headers['location']}/cancel")).json()["state"]
    assert 201 == (await one.post("/api/missions", json=ASKED)).status_code


def zipped(**members: bytes) -> bytes:
    """Return a zip of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


async def test_uploaded_files_become_a_mission(home: control.Home, caller: Caller) -> None:
    """Promise: files arrive whole, under safe names, in a folder of the tenant's, and the mission reads that folder."""
    client = caller(gateway(home))
    large = b"x,y\n" + b"1,2\n" * 300_000
    files = [
        ("files", ("../../etc/a.csv", large)),
        ("files", ("a.csv", b"x,y\n3,4\n")),
        ("files", ("con.txt", b"device")),
        ("files", ("no\u202etxt.txt", b"direction")),
        ("files", (".hidden.txt", b"shown")),
        ("files", ("two.zip", zipped(inner=b"text"))),
    ]
    data = {"question": "What is first?", "deadline": "60", "tracks": ["ds_star"], "session_id": "s1"}
    answer = await client.post("/api/missions/upload", data=data, files=files)
    assert 201 == answer.status_code, answer.text
    body = answer.json()
    folder = Path(body["folder"])
    assert folder.parent == home.path / "uploads" / "local"
    expected = {"a.csv", "a (2).csv", "_con.txt", "notxt.txt", "hidden.txt", "two.zip"}
    found = {name: (mode, data) for name, mode, data in contents(folder)}
    assert expected == set(found)
    assert (0o600, large) == found["a.csv"]
    assert ("s1", "skipped") == (body["session_id"], body["tracks"]["deep_research"]["status"])


def contents(folder: Path) -> list[tuple[str, int, bytes]]:
    """Return name, permissions and bytes of the files in a folder."""
    return [(path.name, path.stat().st_mode & 0o777, path.read_bytes()) for path in folder.iterdir()]


def uploads(home: control.Home) -> list[Path]:
    """Return the folders of uploads there are."""
    return [path for path in (home.path / "uploads").rglob("u*") if path.is_dir()]


@pytest.mark.parametrize(
    ("files", "status", "word"),
    [
        ([("files", ("a.exe", b"MZ"))], 422, "not read"),
        ([("files", ("a.csv", b"\x7fELF\0"))], 422, "not what .csv says"),
        ([("files", ("a.csv", b""))], 422, "empty"),
        ([("files", ("a.zip", zipped(a=b"\0" * 4_000_000)))], 422, "zip bomb"),
        ([("files", ("a.zip", zipped(**{"../../a.txt": b"x"})))], 422, "outside"),
        ([("other", ("a.csv", b"x"))], 400, "named files"),
        ([("files", (f"{n}.txt", b"x")) for n in range(5)], 413, "4 files"),
        ([("files", ("a.txt", b"x" * 2_001))], 413, "2000 bytes"),
    ],
)
async def test_an_upload_that_is_refused_leaves_nothing(
    home: control.Home, caller: Caller, files: list[Any], status: int, word: str
) -> None:
    """Promise: what is no data, a trap or too much is refused with the reason, and no file stays."""
    client = caller(gateway(home, upload_files=4, max_file_bytes=2_000 if "2000" in word else 10_000_000))
    answer = await client.post("/api/missions/upload", data={"question": "Q?"}, files=files)
    assert status == answer.status_code, answer.text
    assert word in answer.json()["detail"]
    assert [] == uploads(home)
    assert [] == control.missions(home)


async def test_a_broken_multipart_body_is_a_400(home: control.Home, caller: Caller) -> None:
    """Promise: no boundary, a body that breaks off, bytes that are no form: 400 each, a missing question 422."""
    client = caller(gateway(home))
    start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhello\r\n'
    kind = "multipart/form-data; boundary=b"
    for body, header in [(start + b"--b--\r\n", "multipart/form-data"), (start, kind), (b"nonsense", kind)]:
        answer = await client.post("/api/missions/upload", content=body, headers={"content-type": header})
        assert (400, "UPLOAD_INVALID") == (answer.status_code, answer.json()["code"])
    answer = await client.post("/api/missions/upload", content=start + b"--b--\r\n", headers={"content-type": kind})
    assert (422, "body.question") == (answer.status_code, answer.json()["errors"][0]["location"])
    many = b"".join(b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' for _ in range(100_000))
    answer = await client.post("/api/missions/upload", content=many + b"--b--\r\n", headers={"content-type": kind})
    assert answer.status_code in {400, 413}
    assert [] == uploads(home)


async def test_a_repeated_upload_keeps_one_copy(home: control.Home, caller: Caller) -> None:
    """Promise: an upload sent twice with one key is one mission with one set of files."""
    client = caller(gateway(home))
    for _ in range(2):
        answer = await client.post(
            "/api/missions/upload",
            data={"question": "Q?"},
            files=[("files", ("a.txt", b"x"))],
            headers={"idempotency-key": "k"},
        )
        assert 201 == answer.status_code
    assert 1 == len(uploads(home))


def test_uploads_go_when_their_time_has_come(tmp_path: Path) -> None:
    """Promise: without a mission after an hour; with one, so many days after its end and not before."""
    clock = FakeClock()
    settings = Settings(home=tmp_path / "home", database_url=None, upload_days=2)
    with control.open_home(settings, clock) as home:
        import os

        left, used = new_upload(home, "t"), new_upload(home, "t")
        for one in (left, used):
            with one.file("a.txt") as writer:
                writer.write(b"x")
            os.utime(one.place, (clock.now().timestamp(),) * 2)
        mission_id = control.submit(home, "Q?", used.place, tenant="t")
        used.keep(mission_id)
        assert 0 == remove_old_uploads(home)
        clock.tick(2 * 3_600)
        assert (1, False, True) == (remove_old_uploads(home), left.place.exists(), used.place.exists())
        clock.tick(timedelta(days=30).total_seconds())
        assert (0, True) == (remove_old_uploads(home), used.place.exists())
        control.cancel(home, mission_id)
        clock.tick(timedelta(days=1.9).total_seconds())
        assert 0 == remove_old_uploads(home)
        clock.tick(timedelta(days=0.2).total_seconds())
        assert (1, False) == (remove_old_uploads(home), used.place.exists())


async def test_an_address_names_all_its_methods(home: control.Home, caller: Caller) -> None:
    """Promise: 405 lists every method of the address; `upload` is no mission."""
    client = caller(gateway(home))
    for path, allowed in {"/api/missions": "GET, POST", "/api/missions/upload": "POST"}.items():
        answer = await client.put(path, json={})
        assert (405, allowed) == (answer.status_code, answer.headers["allow"])
    assert 405 == (await client.get("/api/missions/upload")).status_code
    assert 404 == (await client.get("/api/missions/other")).status_code
