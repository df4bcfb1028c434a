"""Kimera: a question and a folder become one report in which every sentence can be checked."""

__version__ = "0.1.0"
__all__ = ["__version__"]
