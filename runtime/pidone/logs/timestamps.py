"""Wall-clock time as RFC 3339 in UTC with milliseconds, formatted once per second and chunk, not per line."""

import time
from collections.abc import Callable

WallClock = Callable[[], float]
"""Seconds since the epoch (`time.time`)."""


class Timestamps:
    """The current time as text."""

    __slots__ = ("_clock", "_second", "_text")

    def __init__(self, clock: WallClock = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """For example `2026-11-20T23:04:43.697Z`."""
        millis = int(self._clock() * 1000)
        second, millis = divmod(millis, 1000)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{millis:03d}Z"
