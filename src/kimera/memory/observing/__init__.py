"""What is seen: observations, short-term memories and their sessions."""
