"""Run the command line: ``python -m holdbook``."""

from holdbook.infrastructure.cli import main

if __name__ == "__main__":
    main()
