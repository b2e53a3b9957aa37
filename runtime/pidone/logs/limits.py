"""How much an app may say: lines per second, and what is told about the rest."""

from collections.abc import Callable
from typing import Final

from pidone.ecosystem.spec import Seconds

REPORT_AFTER: Final[Seconds] = 1.0
"""Lines dropped within this time are one report."""


class RateLimit:
    """A token bucket that holds one second's worth."""

    def __init__(self, lines_per_second: int, clock: Callable[[], Seconds]) -> None:
        """`clock` is monotonic."""
        self.rate = lines_per_second
        self._clock = clock
        self._tokens = float(lines_per_second)
        self._at = clock()

    def admit(self, lines: bytes) -> tuple[bytes, int]:
        """As many of the lines as may pass now, the first ones, and how many may not."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) * self.rate, self.rate)
        self._at = now
        count = lines.count(b"\n")
        allowed = int(self._tokens)
        if count <= allowed:
            self._tokens -= count
            return lines, 0
        self._tokens -= allowed
        admitted = b"".join(line + b"\n" for line in lines.split(b"\n", allowed)[:allowed])
        return admitted, count - allowed


class DropReport:
    """Counts what was dropped for one reason, and says so soon after."""

    def __init__(
        self,
        report: Callable[[int], None],
        call_later: Callable[[Seconds, Callable[[], None]], object],
    ) -> None:
        """`report` gets the number of lines since the last report."""
        self._report = report
        self._call_later = call_later
        self._lines = 0

    def add(self, lines: int) -> None:
        """So many lines were dropped."""
        if not self._lines:
            self._call_later(REPORT_AFTER, self.flush)
        self._lines += lines

    def flush(self) -> None:
        """Report now."""
        lines, self._lines = self._lines, 0
        if lines:
            self._report(lines)
