"""The report as one HTML file: no script, no request, every claim with its evidence a focus away."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from kimera.missions.contracts import MissionOutcomePackage
from kimera.missions.fusion.report._drawing import safe_svg
from kimera.missions.fusion.report._markdown import change_text, date_text, remarks
from kimera.missions.fusion.report._view import arrange, visible
from kimera.missions.fusion.wording import one_line, sentence
from kimera.storage.blobs import Blobs

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_html"]


def render_html(outcome: MissionOutcomePackage, blobs: Blobs | None = None) -> str:
    """Return the report as a self-contained page; every value is escaped by the template engine."""
    view = arrange(outcome, blobs)
    names = {source.id: visible(one_line(source.name)) for source in outcome.sources}
    page = _environment().get_template("report.html.j2")
    text = page.render(view=view, outcome=outcome, names=names, style=_read("report.css"), counter=_Counter())
    return text.strip() + "\n"


class _Counter:
    """Numbers the cards of one page, so that every id is unique."""

    def __init__(self) -> None:
        self._now = 0

    def next(self) -> int:
        self._now += 1
        return self._now

    def now(self) -> int:
        return self._now


@cache
def _read(name: str) -> str:
    return (resources.files("kimera.missions.fusion.report") / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Only two things enter unescaped: our own style sheet and drawings rebuilt from known elements.
    environment.filters["drawing"] = lambda svg: Markup(safe_svg(svg))  # noqa: S704
    environment.filters["sheet"] = Markup
    environment.filters["visible"] = lambda text: visible(one_line(text))
    environment.filters["sentence"] = sentence
    environment.filters["code"] = visible
    environment.filters["changes"] = change_text
    environment.filters["dated"] = date_text
    environment.filters["remarks"] = remarks
    return environment
