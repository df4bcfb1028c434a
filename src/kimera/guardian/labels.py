"""Where a value came from and who may see it, kept beside every stored value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from kimera.errors import ValidationError

__all__ = ["Integrity", "Label", "Secrecy", "join"]


class Integrity(IntEnum):
    """How far a value may be trusted to steer an action; lower taints."""

    UNTRUSTED = 0
    VERIFIED = 1
    USER = 2
    SYSTEM = 3


class Secrecy(IntEnum):
    """Who may see a value; higher is narrower."""

    PUBLIC = 0
    PRIVATE = 1
    SECRET = 2


@dataclass(frozen=True, slots=True)
class Label:
    """Integrity, secrecy and the sources of one value; the default is the neutral element of `join`."""

    integrity: Integrity = Integrity.SYSTEM
    secrecy: Secrecy = Secrecy.PUBLIC
    sources: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "integrity", Integrity(self.integrity))
        object.__setattr__(self, "secrecy", Secrecy(self.secrecy))
        object.__setattr__(self, "sources", frozenset(self.sources))

    def to_dict(self) -> dict[str, Any]:
        """Return the label as plain data, sources sorted."""
        return {
            "integrity": self.integrity.name,
            "secrecy": self.secrecy.name,
            "sources": sorted(self.sources),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Label:
        """Return the label that `to_dict` wrote; raises `ValidationError` for anything else."""
        try:
            sources: Iterable[Any] = data["sources"]
            return cls(Integrity[data["integrity"]], Secrecy[data["secrecy"]], frozenset(map(str, sources)))
        except (KeyError, TypeError) as wrong:
            raise ValidationError(
                "A label needs integrity, secrecy and sources as `Label.to_dict` writes them.", "label"
            ) from wrong


def join(*labels: Label) -> Label:
    """Return what a value made from all of these carries: least integrity, greatest secrecy, every source."""
    return Label(
        min((label.integrity for label in labels), default=Integrity.SYSTEM),
        max((label.secrecy for label in labels), default=Secrecy.PUBLIC),
        frozenset().union(*(label.sources for label in labels)),
    )
