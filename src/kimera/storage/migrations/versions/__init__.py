"""Revisions, one module each, named by their number."""
