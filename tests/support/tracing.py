"""What coverage looks at: it takes a third of a traced test's time, which those that hunt and race can spend better."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHILDREN = "COVERAGE_PROCESS_CONFIG"
"""With this in its environment a process is traced from its start."""


@contextmanager
def untraced() -> Iterator[None]:
    """Keep a tracer such as coverage's out of this thread, and of all threads and processes that start in a block."""
    here, threads, children = sys.gettrace(), threading.gettrace(), os.environ.pop(CHILDREN, None)
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(threads)
        sys.settrace(here)
        if children is not None:
            os.environ[CHILDREN] = children
