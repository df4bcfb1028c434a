"""Sequence memory: observe events, learn patterns, predict what comes next and say why. No model, no chance."""
