"""The description of the interface: whole, true, and readable by anybody."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from tests.unit.api.conftest import Caller

from kimera.api import create_app, requires
from kimera.api.reference import describe
from kimera.api.reference.openapi import TAGS
from kimera.api.reference.page import render_page
from kimera.api.switchboard import mount
from kimera.missions import control

GATEWAY = Path(__file__).resolve().parents[4] / "docs" / "gateway.md"


@pytest.fixture
def app(home: control.Home) -> FastAPI:
    """Return a gateway."""
    return create_app(home)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every (method, path, operation)."""
    return [(method, path, one) for path, found in document["paths"].items() for method, one in found.items()]


def test_every_route_is_described_whole(app: FastAPI) -> None:
    """Promise: each route has an id of its own, summary, description, tag, scope, answers and problems."""
    document = describe(app)
    served = {
        (method, route.path_format) for route in iter_route_contexts(app.routes) for method in route.methods or ()
    }
    found = operations(document)
    assert served == {(method.upper(), path) for method, path, _ in found}
    assert len(found) == len({one["operationId"] for _, _, one in found})
    for method, path, one in found:
        where = f"{method} {path}"
        assert re.fullmatch(r"[a-z_]+", one["operationId"]), where
        assert one["summary"] and len(one["description"]) > 20 and one["tags"][0] in TAGS, where
        assert one["x-scope"] in {"public", "read", "write", "admin"}, where
        assert (one["security"] == []) == (one["x-scope"] == "public"), where
        assert {"200", "201", "307"} & set(one["responses"]) and "default" in one["responses"], where
        assert one["x-scope"] == "public" or {"401", "403", "429", "503"} <= set(one["responses"]), where
        assert "{" not in path or "404" in one["responses"], where
        if method == "post" and "/missions" in path:
            done = one["responses"].get("201") or one["responses"]["200"]
            assert "$ref" in done["content"]["application/json"]["schema"], where
        for parameter in one.get("parameters", []):
            assert parameter.get("description"), (where, parameter["name"])


def test_every_reference_leads_somewhere(app: FastAPI) -> None:
    """Promise: no $ref of the document dangles, and nothing described is of the framework's own error shape."""
    document = describe(app)
    text = str(document)
    for reference in set(re.findall(r"'#/([^']+)'", text)):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]
    assert "HTTPValidationError" not in text


def test_objects_are_closed_and_texts_bounded(app: FastAPI) -> None:
    """Promise: what is taken has no room for unknown fields, and every text in it has a longest length or a pattern."""
    schemas = describe(app)["components"]["schemas"]
    for name in ("NewMission", "RetryAsked"):
        assert schemas[name]["additionalProperties"] is False
        for field, one in schemas[name]["properties"].items():
            if one.get("type") == "string":
                assert "maxLength" in one or "pattern" in one, (name, field)


def test_the_guide_speaks_of_addresses_that_exist(app: FastAPI) -> None:
    """Promise: each /api address in docs/gateway.md fits a route, and every group of routes is in the guide."""
    text = GATEWAY.read_text()
    paths = [re.sub(r"\{\w+\}", r"[^/]+", path) for path in describe(app)["paths"]]
    for address in re.findall(r"(?<![\w.])(/(?:api|health)/[\w/.${}…-]*)", text):
        whole = address.rstrip(".").removesuffix("/…")
        assert any(re.match(f"{whole}|{path}$" if whole != address else f"{path}$", whole) for path in paths), address
    for word in ("upload", "events", "ticket", "report", "export", "verify", "artifacts", "cursor", "Idempotency-Key"):
        assert word in text


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")


async def test_the_page_needs_no_script_and_nothing_from_elsewhere(app: FastAPI, caller: Caller) -> None:
    """Promise: the page holds every operation, no script, no inline style, and loads its own style sheet only."""
    client = caller(app)
    answer = await client.get("/api/docs")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    outline = Outline()
    outline.feed(answer.text)
    assert not {"script", "style", "iframe", "img", "form"} & set(outline.tags)
    assert not {"style", "src"} & set(outline.values)
    assert not [name for name in outline.values if name.startswith("on")]
    outside = [one for one in outline.values["href"] if not one.startswith(("#", "/api/"))]
    assert [] == outside
    anchors = {one.removeprefix("#") for one in outline.values["href"] if one.startswith("#")}
    assert anchors <= set(outline.values["id"])
    for _, path, one in operations(describe(app)):
        assert one["operationId"] in outline.values["id"]
        assert path in answer.text
    sheet = await client.get("/api/docs/style.css")
    assert ("text/css; charset=utf-8", False) == (sheet.headers["content-type"], "url(" in sheet.text)
    assert describe(app) == (await client.get("/api/openapi.json")).json()


def test_what_routes_say_is_escaped(app: FastAPI) -> None:
    """Promise: a summary or description that looks like markup is shown, not obeyed."""
    routes = APIRouter(prefix="/api", tags=["memory"])

    @routes.get("/odd", operation_id="odd", summary="<script>alert(1)</script>", dependencies=[requires("read")])
    def odd(text: str = '"><img src=x onerror=alert(1)>') -> str:
        """Say `<b>code</b>` and **<i>strong</i>**."""
        return text

    mount(app, routes)
    app.state.gate.board.survey()
    page = render_page(describe(app))
    assert "<script" not in page and "<img" not in page and "<i>" not in page
    assert "<strong>&lt;i&gt;strong&lt;/i&gt;</strong>" in page


async def test_the_bare_address_leads_to_the_page(home: control.Home, caller: Caller) -> None:
    """Promise: a person who opens the server's address lands on the page of its interface."""
    answer = await caller(create_app(home)).get("/")
    assert (307, "/api/docs") == (answer.status_code, answer.headers["location"])
