"""What happened: mission events."""
