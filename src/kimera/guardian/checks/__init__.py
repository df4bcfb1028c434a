"""Checks on text, addresses and files.

Text: `unicode` (scan, strip), `markup` (render, csv_cell), `secrets` and `pii` (find, redact), `canary` (CanarySet).
Addresses: `urls` (check). Files: `uploads` (safe_name, check), `archives` (check).
"""

from kimera.guardian.checks import archives, canary, markup, pii, secrets, unicode, uploads, urls
from kimera.guardian.checks.canary import CanarySet
from kimera.guardian.checks.findings import Hit

__all__ = ["CanarySet", "Hit", "archives", "canary", "markup", "pii", "secrets", "unicode", "uploads", "urls"]
