"""Processes that are left of a run, by a mark in their environment."""

import os
import time
from contextlib import suppress
from typing import Final

from pidone.ecosystem.spec import Seconds

_POLL: Final[Seconds] = 0.05
MARK: Final = "PIDONE_PROVE"
"""Variable that every process of a run has; its value is the run's."""


def marked(value: str, deadline: float) -> dict[int, str]:
    """Pids and command names of processes with the mark that live, and still do by then (time.monotonic)."""
    while (found := living(value)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return found


def living(value: str) -> dict[int, str]:
    """Those that live now."""
    wanted = f"{MARK}={value}".encode()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError, IndexError):  # gone, or another user's
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                command, _, rest = file.read().partition("(")[2].rpartition(")")
            if rest.split()[0] not in "ZX":
                found[int(name)] = command
    return found
