"""The five boards as data: rows of panels, each with what it shows, in which unit, and by which expressions."""

from boards import entropy, missions, runtime, signals, slo
from boards.model import Board

BOARDS: tuple[Board, ...] = (entropy.BOARD, missions.BOARD, slo.BOARD, signals.BOARD, runtime.BOARD)
"""In the order a person reads them."""

REFERENCE_ONLY: dict[str, str] = {}
"""Families that no board shows, with the reason."""
