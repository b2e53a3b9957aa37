"""When a scheduled job or a `cron_restart` is due, and what happens if the last run is not over."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pidone.ecosystem.cron import Schedule
from pidone.ecosystem.spec import Overlap, Seconds
from pidone.record import Record

LONGEST_WAIT: Final[Seconds] = 60.0
"""A timer runs on the monotonic clock; looking at the wall clock this often finds out when that was set."""
_FORGIVABLE: Final = timedelta(hours=3)
"""What is late by more (a paused container) is left out; a clock set back by more starts anew: cron(8)."""


class Due(Record):
    """A time that has come."""

    late: Seconds
    missed: bool
    """Too late to be of use: tell it, but do not run."""


class Timetable:
    """The next time of one schedule, kept through changes of the system's clock. `now` is always in UTC."""

    def __init__(self, schedule: Schedule, now: datetime) -> None:
        self._schedule = schedule
        self.next = schedule.next_after(now)
        """When it is due; None if never again."""

    def wait(self, now: datetime) -> Seconds | None:
        """How long to sleep before calling `take`; None for ever. Never longer than a minute."""
        if self.next is None:
            return None
        return min(max((self.next - now).total_seconds(), 0.0), LONGEST_WAIT)

    def take(self, now: datetime) -> Due | None:
        """The run that is due now, if there is one; several that were missed count as one."""
        if self.next is None:
            return None
        if now < self.next:
            anew = self._schedule.next_after(now)
            # Set back a little, the clock passes the same times again: they have run. Set back by much, it
            # was wrong before (a container that started before NTP), and nothing would run for that long.
            if anew is not None and self.next - anew > _FORGIVABLE:
                self.next = anew
            return None
        scheduled, self.next = self.next, self._schedule.next_after(now)
        late = now - scheduled
        return Due(late.total_seconds(), missed=late > _FORGIVABLE)


class RunDecision(StrEnum):
    """What to do with a run that is due."""

    START = "start"
    SKIP = "skip"
    WAIT = "wait"
    """It waits for the end of the one that runs."""
    STOP = "stop"
    """Stop the one that runs; this one starts when it has ended."""


class Runs:
    """The runs of one scheduled job: never two at once."""

    def __init__(self, overlap: Overlap) -> None:
        self._overlap = overlap
        self._waiting = False
        self.running = False
        """Whether a run was started and has not ended."""

    def due(self) -> RunDecision:
        """The schedule says it is time."""
        if not self.running:
            self.running = True
            return RunDecision.START
        if self._overlap is Overlap.SKIP:
            return RunDecision.SKIP
        if self._waiting:  # one waits already, or the old run is being stopped for it
            return RunDecision.SKIP
        self._waiting = True
        return RunDecision.STOP if self._overlap is Overlap.REPLACE else RunDecision.WAIT

    def ended(self) -> bool:
        """The run is over, however it ended; whether to start the next one right now."""
        self.running, self._waiting = self._waiting, False
        return self.running

    def notice(self, *, is_down: bool) -> bool:
        """Look at the job itself; whether the next run is to be started right now.

        A person may have started it, and however a run ended, it is over when the job is down.
        """
        if is_down and self.running:
            return self.ended()
        self.running = not is_down
        return False
