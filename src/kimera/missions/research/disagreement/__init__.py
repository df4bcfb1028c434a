"""Statements that cannot both hold, found without a model."""

from kimera.missions.research.disagreement.contracts import Disagreement, Side, Statement
from kimera.missions.research.disagreement.search import find_disagreements

__all__ = ["Disagreement", "Side", "Statement", "find_disagreements"]
