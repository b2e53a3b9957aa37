"""Cron expressions: when something is due, in which time zone.

Expressions have five fields, or six with seconds first (as under PM2), or are `@daily` and its like. Around
a change of the clocks they follow Debian's cron(8): a job at a fixed time that the change skips runs right
after it, and one at a time that comes twice runs once; jobs that run at least hourly are not shifted.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from pidone.errors import ConfigError
from pidone.record import Record

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


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """Read an expression. Raises ConfigError, which says what is wrong with it."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 (only schedules need it)

    alias = text.strip().lower()
    if alias.startswith("@") and alias not in _ALIASES:
        raise ConfigError(f"is unknown; there are {', '.join(sorted(_ALIASES))}")
    # PM2 takes "?" for "any", as Quartz writes it in one of the two day fields.
    fields = ["*" if field == "?" else field for field in _ALIASES.get(alias, text).split()]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    try:
        parsed = CronSim(" ".join(fields), start)
        next(parsed)
    except CronSimError as error:
        raise ConfigError(f"is no cron expression ({str(error).lower()})") from error
    except StopIteration:
        raise ConfigError("never comes true") from None
    return Schedule(text, minutes=" ".join(fields[-5:]), seconds=tuple(sorted(parsed.seconds)), zone=zone)
