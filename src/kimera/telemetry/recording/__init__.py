"""What the code calls: context, logs, spans, mission events, metrics and the catalogue that declares them."""
