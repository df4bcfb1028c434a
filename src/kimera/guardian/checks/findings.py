"""What a check reports: where and which rule, never the matched text."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

__all__ = ["Hit", "hit"]

# Without a key, the fingerprint of a short secret could be found by trying; it compares hits of one process.
KEY = os.urandom(32)


@dataclass(frozen=True)
class Hit:
    """A rule that fired on ``text[start:end]``; ``fingerprint`` identifies the matched text without showing it."""

    rule: str
    start: int
    end: int
    fingerprint: str


def hit(rule: str, text: str, start: int, end: int) -> Hit:
    """Return the hit of ``rule`` on ``text[start:end]``."""
    matched = text[start:end].encode("utf-8", "surrogatepass")
    return Hit(rule, start, end, hashlib.blake2s(matched, digest_size=8, key=KEY).hexdigest())
