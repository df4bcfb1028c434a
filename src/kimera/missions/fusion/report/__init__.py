"""The report a person reads: Markdown, one self-contained HTML file, JSON, or a zip with everything behind it."""

from __future__ import annotations

from typing import Literal

from kimera.errors import ValidationError
from kimera.missions.contracts import MissionOutcomePackage
from kimera.missions.fusion.report._archive import export_zip
from kimera.storage.blobs import Blobs, canonical_json

__all__ = ["Format", "export_zip", "render"]

Format = Literal["md", "html", "json"]


def render(outcome: MissionOutcomePackage, format: Format, blobs: Blobs | None = None) -> str:  # noqa: A002 - as named in the design
    """Return the report as text, the same bytes for the same outcome.

    ``json`` is the canonical dump of the outcome and validates back. With ``blobs`` quotations are shown with the
    text around them. Raises ValidationError for another format.
    """
    if format == "json":
        return canonical_json(outcome.model_dump(mode="json")).decode("utf-8", "surrogatepass")
    if format == "md":
        from kimera.missions.fusion.report._markdown import render_markdown

        return render_markdown(outcome, blobs)
    if format == "html":
        from kimera.missions.fusion.report._html import render_html

        return render_html(outcome, blobs)
    raise ValidationError(f"Unknown report format {format!r}; use md, html or json.", "format")
