"""Where records wait and rest: the ring, the writer, the store."""
