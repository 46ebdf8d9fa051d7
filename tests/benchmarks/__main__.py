"""`python -m benchmarks`; see `command`. Processes that are started import this file again, and need nothing of it."""

import sys

if __name__ == "__main__":
    from benchmarks.command import main

    sys.exit(main())
