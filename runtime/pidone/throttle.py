"""A fault that comes again and again is told at once, and then once a minute with how often it came."""

from collections.abc import Callable
from typing import Final

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at run time
if TYPE_CHECKING:
    from collections.abc import Hashable

    from pidone.ecosystem.spec import Seconds

PERIOD: "Final[Seconds]" = 60.0
_MOST_KINDS: Final = 256
"""Remembered at a time; the one told longest ago is forgotten for one more."""


class Throttle:
    """Decides which of many equal faults are told."""

    def __init__(self, now: "Callable[[], Seconds]") -> None:
        """`now` is a monotonic clock."""
        self._now = now
        self._kinds: dict[Hashable, tuple[Seconds, int]] = {}
        """When each kind of fault was told, and how often it has come since."""

    def due(self, kind: "Hashable") -> int:
        """One more fault of a kind: how many to tell of now, 0 if it is not time yet."""
        now = self._now()
        told_at, untold = self._kinds.get(kind, (now - PERIOD, 0))
        if now - told_at < PERIOD:
            self._kinds[kind] = told_at, untold + 1
            return 0
        self._kinds.pop(kind, None)
        if len(self._kinds) >= _MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[kind] = now, 0
        return untold + 1
