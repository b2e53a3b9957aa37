"""What a terminal shows, for tests that type."""

import os
import re
import select
import time

from harness import DEADLINE_S


def read_until(terminal: int, pattern: bytes) -> bytes:
    """What a terminal shows, up to something that has to come."""
    screen, deadline = b"", time.monotonic() + DEADLINE_S
    while re.search(pattern, screen) is None:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{pattern!r} is not on the screen: {screen!r}"
        screen += os.read(terminal, 65536)
    return screen
