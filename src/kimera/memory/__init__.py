"""The sequence memory: what was seen before, what is missing, what comes next, and why."""
