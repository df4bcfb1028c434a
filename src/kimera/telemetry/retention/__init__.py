"""Where records wait and rest: the ring, the writer, the store; what is kept for how long."""
