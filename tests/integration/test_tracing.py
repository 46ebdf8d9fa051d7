"""Tests that coverage does not look at are out of its sight."""

import os
import subprocess
import sys
import threading

import pytest

from support.tracing import CHILDREN, untraced

LOOKS = "import sys; print(sys.gettrace(), 'coverage' in sys.modules)"


def test_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a block nothing is traced, nor what starts there; afterwards all is as it was before."""

    def tracer(*_: object) -> None:
        """Trace nothing."""

    def seen() -> tuple[object, object, str | None]:
        return sys.gettrace(), threading.gettrace(), os.environ.get(CHILDREN)

    monkeypatch.setenv(CHILDREN, "some configuration")
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(tracer)
    threading.settrace(tracer)
    try:
        with untraced():
            inside = seen()
        after = seen()
    finally:
        threading.settrace(threads)
        sys.settrace(here)
    assert inside == (None, None, None)
    assert after == (tracer, tracer, "some configuration")


@pytest.mark.untraced
def test_the_mark() -> None:
    """What bears the mark runs without a tracer, and so do its threads and its processes."""
    assert (sys.gettrace(), threading.gettrace()) == (None, None)
    child = subprocess.run([sys.executable, "-c", LOOKS], check=True, capture_output=True, text=True)
    assert child.stdout == "None False\n"
