"""Is it reliable (tau), is it safe (checks)."""
