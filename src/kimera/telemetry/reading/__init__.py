"""How what was recorded is read: by Prometheus, and back from the store."""
