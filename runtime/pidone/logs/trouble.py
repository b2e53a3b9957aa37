"""What fails again and again is told at once, then once a minute with a count."""

from collections.abc import Callable
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.throttle import Throttle

RETRY_AFTER: Final[Seconds] = 10.0
"""So long what has failed is left alone: a full disk is not asked for every line."""


class Trouble:
    """The failures of one thing: a log file, a stream, a descriptor."""

    def __init__(self, tell: Callable[[OSError, int], object], clock: Callable[[], Seconds]) -> None:
        """`tell` gets the latest failure, and how many there were since it was told last."""
        self._tell = tell
        self._clock = clock
        self._throttle = Throttle(clock)
        self._failed_at: Seconds | None = None

    @property
    def lasts(self) -> bool:
        """Whether it has failed and was not seen to work since."""
        return self._failed_at is not None

    @property
    def rests(self) -> bool:
        """Whether it failed a moment ago, so that it is too early to try again."""
        return self._failed_at is not None and abs(self._clock() - self._failed_at) < RETRY_AFTER

    def failed(self, error: OSError) -> None:
        """Once more."""
        self._failed_at = self._clock()
        if count := self._throttle.due(None):
            self._tell(error, count)

    def try_again(self) -> None:
        """Somebody says that it may work now."""
        if self._failed_at is not None:
            self._failed_at -= RETRY_AFTER

    def over(self) -> None:
        """It works (again)."""
        self._failed_at = None
