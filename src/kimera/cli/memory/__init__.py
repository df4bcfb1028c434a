"""`kimera memory`: observe, learn, ask and correct a sequence memory."""

from kimera.cli.memory.group import memory_command

__all__ = ["memory_command"]
