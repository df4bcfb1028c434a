"""Checks on text before it is shown: `unicode` (scan, strip) and `markup` (render, csv_cell)."""

from kimera.guardian.checks import markup, unicode
from kimera.guardian.checks.findings import Hit

__all__ = ["Hit", "markup", "unicode"]
