"""What is learned: the log, the tables kept from it, and every change to them."""
