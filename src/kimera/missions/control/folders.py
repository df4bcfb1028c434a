"""Which folders of this machine a mission that was started from elsewhere may read."""

from __future__ import annotations

import os
from pathlib import Path

from kimera.errors import ValidationError
from kimera.missions.control.home import Home

__all__ = ["allowed_folder"]

LONGEST = 1_024
NONE_ALLOWED = (
    "This server reads no folders by name. Upload the files, or have its operator list folders in KIMERA_FOLDERS."
)
NOT_ALLOWED = (
    "This is not a folder that missions may read. Name one inside the folders that KIMERA_FOLDERS lists, without "
    "links leading out of them, or upload the files."
)


def allowed_folder(home: Home, name: str, tenant: str) -> Path:
    """Return the real path of a folder inside those the settings allow; relative names are looked up in each.

    A folder that does not exist and one that is not allowed give the same `ValidationError`: nobody learns from the
    answer what else is on this machine. Links are resolved before the comparison, so none leads out.
    """
    roots = [_root(root, tenant) for root in home.settings.folders.split(":") if root]
    if not roots:
        raise ValidationError(NONE_ALLOWED, "folder")
    if name and "\0" not in name and len(name) <= LONGEST:
        for root in roots:
            found = _inside(root, name) if root is not None else None
            if found is not None:
                return found
    raise ValidationError(NOT_ALLOWED, "folder")


def _root(text: str, tenant: str) -> Path | None:
    """Return the real path of an allowed folder, None when there is no such folder (for this tenant)."""
    if "{tenant}" in text and (not tenant or "/" in tenant or tenant.startswith(".")):
        return None
    try:
        return Path(text.replace("{tenant}", tenant)).expanduser().resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def _inside(root: Path, name: str) -> Path | None:
    try:
        real = (root / name).resolve(strict=True)
        readable = real.is_dir() and os.access(real, os.R_OK | os.X_OK)
    except (OSError, RuntimeError, ValueError):
        return None
    return real if readable and real.is_relative_to(root) else None
