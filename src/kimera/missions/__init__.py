"""Question and folder in, checked report out."""
