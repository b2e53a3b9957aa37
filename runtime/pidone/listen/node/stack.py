"""The JavaScript stack of a Node process whose loop stands still, told by its preload.

At SIGUSR1 Node opens its inspector, and for that interrupts whatever the main thread does: JavaScript that
computes, Atomics.wait, a regular expression. From within it tells the process's own listeners
(NODE_DEBUG_ENABLED, src/inspector_agent.cc), which run on top of the stack that is wanted. hang.cjs is one:
it closes the inspector in that moment, before anybody is heard there, and sends the stack over the channel.
"""

import os
import signal
from collections.abc import Awaitable
from typing import Final

from pidone import procfs
from pidone.contracts import Clock
from pidone.ecosystem.spec import Seconds
from pidone.in_time import in_time

PATIENCE: Final[Seconds] = 10.0
"""The worker is replaced afterwards, with or without: one that stands in a system call cannot tell."""


async def javascript_stack(pid: int, told: Awaitable[str], deadlines: Clock) -> str:
    """Where its main thread is, the innermost call first, as it is `told`; empty if that cannot be had."""
    try:
        if not _catches(pid, signal.SIGUSR1):
            return ""
        os.kill(pid, signal.SIGUSR1)
        return await in_time(told, PATIENCE, deadlines)
    except (OSError, TimeoutError):  # it has gone, or is not in JavaScript
        return ""


def _catches(pid: int, number: int) -> bool:
    """Whether a signal would not end it: SigCgt of proc(5)."""
    status = procfs.read_text(f"/proc/{pid}/status")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
