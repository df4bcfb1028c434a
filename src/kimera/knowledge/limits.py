"""How much of a folder is read before the librarian says no."""

from __future__ import annotations

from dataclasses import dataclass

from kimera.settings import Settings

__all__ = ["Limits"]

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Limits:
    """Bounds on one folder. Sizes are bytes, durations seconds. What lies beyond is listed, not read."""

    files: int = 5_000
    listed: int = 2_000  # files beyond `files` that are still named one by one
    file_bytes: int = 512 * MEBIBYTE
    folder_bytes: int = 4 * 1024 * MEBIBYTE
    depth: int = 32
    archive_members: int = 1_000
    archive_bytes: int = 512 * MEBIBYTE
    archive_ratio: int = 100
    columns: int = 5_000
    rows: int = 20_000_000
    cells: int = 200_000_000  # rows times columns of one table
    cell_bytes: int = 16 * MEBIBYTE
    staged_bytes: int = 2 * 1024 * MEBIBYTE
    sheets: int = 100
    tables: int = 1_000
    pages: int = 5_000
    characters: int = 20_000_000
    json_bytes: int = 64 * MEBIBYTE
    reader_seconds: float = 60.0
    reader_bytes: int = 2 * 1024 * MEBIBYTE
    engine_bytes: int = 1024 * MEBIBYTE

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Return the limits a person set in the environment, and the defaults for the rest."""
        return cls(files=settings.max_files, file_bytes=settings.max_file_bytes, folder_bytes=settings.max_folder_bytes)
