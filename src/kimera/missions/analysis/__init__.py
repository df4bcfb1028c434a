"""The analysis track: computes on the tables and keeps the code behind every number."""
