"""Processes that are left of a run, by a mark in their environment."""

import os
from contextlib import suppress
from typing import Final

MARK: Final = "PIDONE_PROVE"
"""Variable that every process of a run has; its value is the run's."""


def marked(value: str) -> dict[int, str]:
    """Pids and command names of living processes with the mark."""
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
