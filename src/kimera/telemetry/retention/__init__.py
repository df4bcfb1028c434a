"""What is kept and for how long: the ring, the writer, the store, the roll-ups and their ladder."""
