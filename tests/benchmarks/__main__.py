"""`python -m benchmarks`; see `command`. Processes that are started import this file again, and need nothing of it."""

import signal
import sys

if __name__ == "__main__":
    from benchmarks.command import main

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that servers and files go as well
    sys.exit(main())
