"""The command line; a door without logic of its own."""

GARBAGE = (20_000, 20, 20)
"""Objects between two looks for garbage: Python's own 700 cost a tenth of every import, and save no memory here."""


def main() -> None:
    """Run the command line."""
    import gc

    gc.set_threshold(*GARBAGE)
    from kimera.cli.root import run

    run()
