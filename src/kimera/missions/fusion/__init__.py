"""Fusion: two packages become one report in which every sentence rests on a claim."""
