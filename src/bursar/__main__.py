"""Run the command line: ``python -m bursar``."""

from bursar.infrastructure.cli import main

if __name__ == "__main__":
    main()
