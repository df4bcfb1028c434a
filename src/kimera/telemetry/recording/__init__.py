"""What the code calls while it works: context, logs, spans, mission events, metrics."""
