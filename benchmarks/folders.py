"""Where a benchmark's data lie: the folder given with --data, or the set's own folder inside it."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["find_folder", "has"]


def has(folder: Path, *patterns: str) -> bool:
    """Return whether the folder holds something for each pattern."""
    return folder.is_dir() and all(any(folder.glob(pattern)) for pattern in patterns)


def find_folder(data: Path, name: str, *patterns: str) -> Path:
    """Return ``data`` or ``data/name``, whichever holds the files; ends the program with what is missing."""
    for folder in (data, data / name):
        if has(folder, *patterns):
            return folder
    sys.exit(
        f"{data} does not hold {' and '.join(patterns)}, and neither does {data / name}; give the folder with --data."
    )
