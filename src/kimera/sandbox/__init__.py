"""Runs Python in a worker process under limits and says how isolated it was."""
