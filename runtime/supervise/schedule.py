"""When a scheduled job or a `cron_restart` is due, and what happens if the last run is not over.

Expressions have five fields, or six with seconds first (as under PM2), or are `@daily` and its like. Around
a change of the clocks they follow Debian's cron(8): a job at a fixed time that the change skips runs right
after it, and one at a time that comes twice runs once; jobs that run at least hourly are not shifted.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from runtime.ecosystem.spec import Overlap, Seconds
from runtime.errors import ConfigError
from runtime.record import Record

LONGEST_WAIT: Final[Seconds] = 60.0
"""A timer runs on the monotonic clock; looking at the wall clock this often finds out when that was set."""
_FORGIVABLE: Final = timedelta(hours=3)
"""What is late by more (a paused container) is left out; a clock set back by more starts anew: cron(8)."""
_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Schedule(Record):
    """A cron expression in a time zone."""

    text: str
    """As written."""
    minutes: str
    """The expression without its seconds: five fields."""
    seconds: tuple[int, ...]
    """Seconds of a matching minute, ascending."""
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time strictly after `moment`, in UTC; None if there is none in 50 years.

        In UTC because Python compares and subtracts two times of one zone by the clock on the wall, which
        goes wrong in the hour that comes twice.
        """
        for minute in self._minutes(moment):
            for second in self.seconds:
                due = minute.astimezone(UTC) + timedelta(seconds=second)
                if due > moment.astimezone(UTC):
                    return due
        return None

    def _minutes(self, moment: datetime) -> Iterator[datetime]:
        """Matching minutes from that of `moment` on, perhaps with some before it.

        Seconds are kept out of the library's hands: it shifts over a clock change only what has five fields.
        """
        from cronsim import CronSim  # noqa: PLC0415 (only schedules need it)

        start = moment.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
        return CronSim(self.minutes, start.astimezone(self.zone))


def parse_schedule(text: str, zone: tzinfo, key: str = "schedule") -> Schedule:
    """Read an expression. Raises ConfigError, naming `key`, for one that is malformed or never comes true."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 (only schedules need it)

    alias = text.strip().lower()
    if alias.startswith("@") and alias not in _ALIASES:
        raise ConfigError(f"{key}: {text!r} is unknown; there are {', '.join(sorted(_ALIASES))}")
    # PM2 takes "?" for "any", as Quartz writes it in one of the two day fields.
    fields = ["*" if field == "?" else field for field in _ALIASES.get(alias, text).split()]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    try:
        parsed = CronSim(" ".join(fields), start)
        next(parsed)
    except CronSimError as error:
        raise ConfigError(f"{key}: {text!r} is no cron expression: {str(error).lower()}") from error
    except StopIteration:
        raise ConfigError(f"{key}: {text!r} never comes true") from None
    return Schedule(text, minutes=" ".join(fields[-5:]), seconds=tuple(sorted(parsed.seconds)), zone=zone)


class Due(Record):
    """A time that has come."""

    scheduled: datetime
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
        return Due(scheduled, late.total_seconds(), missed=late > _FORGIVABLE)


class Step(StrEnum):
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

    def due(self) -> Step:
        """The schedule says it is time."""
        if not self.running:
            self.running = True
            return Step.START
        if self._overlap is Overlap.SKIP:
            return Step.SKIP
        if self._waiting:  # one waits already, or the old run is being stopped for it
            return Step.SKIP
        self._waiting = True
        return Step.STOP if self._overlap is Overlap.REPLACE else Step.WAIT

    def ended(self) -> bool:
        """The run is over, however it ended; whether to start the next one right now."""
        self.running, self._waiting = self._waiting, False
        return self.running

    def cancel(self) -> None:
        """Somebody stopped the job: what waits shall not start."""
        self._waiting = False
