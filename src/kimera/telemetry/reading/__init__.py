"""What is read back: one mission's story, and metrics by Prometheus and from the store."""
