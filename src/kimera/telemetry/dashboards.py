"""The Grafana boards that come with Kimera: where they are, whether they fit the catalogue, how they reach Grafana.

The boards are files under ``deploy/observability/grafana``; a wheel carries the whole folder, so that what was tested
is what is pushed. Making them needs the board builders, a development dependency; checking and pushing need nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import kimera
from kimera.errors import ConfigurationError, NotFoundError, ServiceError, ValidationError
from kimera.settings import GrafanaSettings
from kimera.telemetry.recording.catalog import METRICS, Family

__all__ = [
    "check_board",
    "families_in",
    "family_of",
    "observability_folder",
    "push_board",
    "read_boards",
    "recorded_names",
    "render_boards",
]

Json = dict[str, Any]

SECONDS_PER_CALL = 15.0
ANSWER_BYTES = 4_096
FOREIGN = frozenset({"up", "ALERTS"})
"""Names that Prometheus itself provides."""
NAME = re.compile(r"\b(?:kimera[_:][A-Za-z0-9_:]+|up|ALERTS)\b")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
RECORD = re.compile(r"^\s*- record: (\S+)$", re.MULTILINE)
SUFFIXES = {
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge_histogram": ("_bucket", "_gsum", "_gcount"),
}


def observability_folder() -> Path:
    """Return the folder with boards, rules and configurations: inside the package, or the checkout's own."""
    package = Path(kimera.__file__).resolve().parent
    installed = package / "observability"
    return installed if installed.is_dir() else package.parents[1] / "deploy" / "observability"


def read_boards(folder: Path) -> dict[str, Json]:
    """Return the boards of a folder by file name; raises `NotFoundError` or `ValidationError`."""
    boards = {}
    for path in sorted(folder.glob("*.json")):
        try:
            board = json.loads(path.read_bytes())
        except ValueError:
            raise ValidationError(f"{path} is not JSON; render the boards again.") from None
        if not isinstance(board, dict):
            raise ValidationError(f"{path} is no board but a {type(board).__name__}; render the boards again.")
        boards[path.name] = board
    if not boards:
        raise NotFoundError(f"There is no board (*.json) in {folder}; name the folder with --from.")
    return boards


def render_boards() -> dict[str, str]:
    """Return the text of every board by file name, made anew; raises `ConfigurationError` without the builders."""
    import runpy

    script = observability_folder() / "dashboards.py"
    try:
        made: dict[str, str] = runpy.run_path(str(script))["render"]()
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"The board builders are not installed ({missing.name}); rendering is for a checkout with the development "
            f"dependencies. The finished boards are in {script.parent / 'grafana'}."
        ) from None
    return made


def recorded_names(folder: Path) -> frozenset[str]:
    """Return the names that ``rules/recording.yml`` beside the folder of boards gives to recorded series."""
    rules = folder.parent / "rules" / "recording.yml"
    return frozenset(RECORD.findall(rules.read_text("utf-8"))) if rules.exists() else frozenset()


def check_board(board: Json, recorded: Iterable[str]) -> list[str]:
    """Return what is wrong with a board, one sentence each; an empty list for a good one."""
    if "dashboard" in board:
        return ["the board is wrapped in a request; only what stands under its key dashboard is a board"]
    wrong = [
        f"the board has no {key}" for key in ("uid", "title", "description", "schemaVersion") if not board.get(key)
    ]
    names = frozenset(recorded)
    panels = list(_panels(board))
    if not panels:
        wrong.append("the board has no panel")
    for panel in panels:
        title = panel.get("title") or f"panel {panel.get('id')}"
        wrong += [f"{title}: {fault}" for fault in _panel_faults(panel, names)]
    return wrong


def families_in(expr: str) -> Iterator[tuple[str, Family | None, bool]]:
    """Yield each series name of an expression with its family, and whether it stands directly under rate or increase.

    The family is None for recorded series, for Prometheus's own, and for what nobody declares.
    """
    bare = QUOTED.sub(lambda quoted: '"' + " " * (len(quoted.group()) - 2) + '"', expr)
    for found in NAME.finditer(bare):
        before = bare[: found.start()].rstrip()
        yield found.group(), family_of(found.group()), before.endswith(("rate(", "increase("))


def family_of(series: str) -> Family | None:
    """Return the family that shows a series of this name."""
    if series in METRICS and METRICS[series].kind not in SUFFIXES:
        return METRICS[series]
    for kind, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            family = METRICS.get(series.removesuffix(suffix)) if series.endswith(suffix) else None
            if family is not None and family.kind == kind:
                return family
    return None


def _panels(board: Json) -> Iterator[Json]:
    for panel in board.get("panels") or ():
        if panel.get("type") == "row":
            yield from panel.get("panels") or ()
        else:
            yield panel


def _panel_faults(panel: Json, recorded: frozenset[str]) -> Iterator[str]:
    yield from (f"no {key}" for key in ("type", "title", "description") if not panel.get(key))
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
        yield "no unit"
    targets = panel.get("targets") or []
    if not targets:
        yield "no query"
    for target in targets:
        expr = target.get("expr") or ""
        if not expr:
            yield f"query {target.get('refId')} has no expression"
        yield from _expression_faults(expr, recorded)


def _expression_faults(expr: str, recorded: frozenset[str]) -> Iterator[str]:
    for name, family, grows in families_in(expr):
        if family is None:
            if name not in recorded and name not in FOREIGN:
                yield f"{name} is in no catalogue and no rule records it"
        elif family.kind in {"counter", "histogram"} and not grows:
            yield f"{name} only ever grows; it means something under rate() or increase()"


def push_board(grafana: GrafanaSettings, board: Json, *, plain: bool = False) -> str:
    """Create or replace one board and return its address in Grafana.

    Raises `ConfigurationError` for an address that would show the key (``plain`` allows it), `ServiceError` when
    Grafana refuses or does not answer. A redirect is not followed: the key goes to the configured address only.
    """
    base = _address(grafana, plain)
    body = {"dashboard": {**board, "id": None}, "overwrite": True, "message": f"Kimera {kimera.__version__}"}
    request = Request(f"{base}/api/dashboards/db", json.dumps(body).encode(), method="POST")  # noqa: S310 - checked above
    request.add_header("Content-Type", "application/json")
    request.add_unredirected_header("Authorization", f"Bearer {_key(grafana)}")
    answer = _send(request)
    return urljoin(base, str(answer.get("url", "")))  # Grafana's answer has its own sub-path already


def _address(grafana: GrafanaSettings, plain: bool) -> str:
    base = (grafana.url or "").rstrip("/")
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError(
            "GRAFANA_URL is not the address of a Grafana; set it like https://grafana.example.org.", "grafana_url"
        )
    if parts.scheme == "http" and not plain and not _loopback(parts.hostname):
        raise ConfigurationError(
            "GRAFANA_URL is not https: everybody on the way could read the key. Use https, a tunnel, or --plain.",
            "grafana_url",
        )
    return base


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _key(grafana: GrafanaSettings) -> str:
    key = grafana.api_key.get_secret_value().strip() if grafana.api_key else ""
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigurationError(
            "GRAFANA_API_KEY is missing or no key; create a service account token with the role Editor in Grafana.",
            "grafana_api_key",
        )
    return key


class _NoRedirect(HTTPRedirectHandler):
    """Treat a redirect as the error it is for a request that carries a key."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _send(request: Request) -> Mapping[str, Any]:
    try:
        with build_opener(_NoRedirect).open(request, timeout=SECONDS_PER_CALL) as answer:
            said = json.loads(answer.read(ANSWER_BYTES))
    except HTTPError as refused:
        refused.close()
        raise ServiceError(_meaning(refused.code), "grafana", refused.code) from None
    except (URLError, HTTPException, OSError) as failure:
        reason = getattr(failure, "reason", None) or type(failure).__name__
        raise ServiceError(
            f"Grafana did not answer ({reason}); check GRAFANA_URL and that it runs.", "grafana"
        ) from None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ServiceError("What answered at GRAFANA_URL is no Grafana; check the address.", "grafana")
    return said


def _meaning(status: int) -> str:
    """Return what an answer of Grafana means for a person."""
    if status in {401, 403}:
        return f"Grafana refused the key ({status}); give its service account the role Editor."
    if 300 <= status < 400:
        return f"Grafana redirects ({status}), and the key goes to no other address; set GRAFANA_URL to the final one."
    if status in {404, 405}:
        return f"There is no Grafana at this address ({status}); GRAFANA_URL ends before /api."
    if status in {400, 412, 422}:
        return f"Grafana did not take the board ({status}); one with its uid may be provisioned or in a locked folder."
    return f"Grafana answered {status}; its own log says why."
