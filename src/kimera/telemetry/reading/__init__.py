"""What is read back: one mission's story."""
