"""The command line; a door without logic of its own."""


def main() -> None:
    """Run the command line."""
    from kimera.cli.root import run

    run()
