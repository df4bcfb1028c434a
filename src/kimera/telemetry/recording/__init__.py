"""What the code calls: context, logs, spans, mission events."""
