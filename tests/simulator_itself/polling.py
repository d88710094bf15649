"""Waits for what another process does."""

import time


def wait_until(condition, *, at_most=600):
    """Ask again and again until the answer is true, and return it. The limit only ends a test that hangs."""
    deadline = time.monotonic() + at_most
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return answer
