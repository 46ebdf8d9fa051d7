"""The command line: the program ``holdbook``.

No other room imports it. The installed program and ``python -m holdbook`` call `main`.
"""

from typer.main import get_command

from holdbook.infrastructure.cli.app import app as _app

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and end it with the exit code."""
    get_command(_app).main()
