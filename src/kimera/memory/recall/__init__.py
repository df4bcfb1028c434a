"""What is remembered: candidates, alignment, figures, what comes next, and why."""
