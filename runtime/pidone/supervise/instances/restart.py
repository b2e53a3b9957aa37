"""What happens after an unasked-for end: restart now, restart later, or not at all.

Keys, formulas and defaults are PM2's, except that a death by signal is never taken for exit code 0 and that
`max_restarts` is reached whatever the delay between restarts (PM2 stops counting after
`min_uptime * max_restarts`, so that any delay makes its limit unreachable).
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.errors import SpawnError, is_shortage
from pidone.init.reaper import ExitStatus
from pidone.record import Record

ON_TIME: Final = "schedule"
"""The reason of a start that is a job's next run."""
SPAWN_RETRY_AFTER: Final[Seconds] = 0.1
"""Least delay after a failed fork or exec: whatever is missing will not be there within the same turn."""
BACKOFF_FACTOR: Final = 1.5
BACKOFF_JITTER: Final = 0.1
"""Share by which a growing delay may be off in either direction, so that instances do not restart in step."""
BACKOFF_RESET_AFTER: Final[Seconds] = 30.0
"""A life this long ends a series of crashes (PM2's EXP_BACKOFF_RESET_TIMER)."""


FLAPS: Final = 5
"""Failures in a row, none of them before `min_uptime`, ..."""
FLAPS_WITHIN: Final[Seconds] = 60.0
"""... within which it is told that the app does not stay: `max_restarts` does not count them."""


STARVED_DELAY: Final[Seconds] = 1.0
"""After the second end in a row by the OOM killer; it doubles up to `max_restart_delay`."""


class Fate(Enum):
    """What the policy decided."""

    RESTART = auto()
    COMPLETED = auto()
    """It was meant to end, and ended well."""
    FAILED = auto()
    """It was meant to end, and ended badly."""
    STOPPED = auto()
    """It ended with one of its `stop_exit_codes`."""
    GAVE_UP = auto()
    """It crashed too often."""


class Verdict(Record):
    """A fate, and for a restart how long to wait first."""

    fate: Fate
    delay: Seconds = 0.0


class RestartPolicy:
    """Counts the crashes of one instance."""

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` gives numbers in [0, 1) for the jitter."""
        self._random = random
        self._backoff: Seconds = 0.0
        self._restarted_at: deque[Seconds] = deque()
        self.unstable = 0
        """Ends in a row that came before `min_uptime`."""
        self.flapping = ""
        """How it fails again and again although each time it was up long enough; empty if it does not."""
        self._is_told = False
        self._failed_at: deque[Seconds] = deque(maxlen=FLAPS)
        self.starved = 0
        """Ends in a row by the OOM killer, each soon after its start: there is not enough memory for it."""
        self._is_lack = False
        """What is judged next is no end, but a start for which there were no means."""
        self._lacks = 0
        """Such starts in a row."""

    def judge(
        self, app: AppSpec, status: ExitStatus, *, uptime: Seconds, now: Seconds, is_oom: bool = False
    ) -> Verdict:
        """Decide after an incarnation lived `uptime` seconds and ended at monotonic time `now`.

        By the rules of `app` as it is now: they change with the file, and when a reload has succeeded.
        `is_oom` says that the kernel killed it for memory.
        """
        is_lack, self._is_lack = self._is_lack, False
        self._lacks = self._lacks if is_lack else 0
        if not is_lack and status.signal is None and status.code in app.stop_exit_codes:
            return Verdict(Fate.STOPPED)
        if not is_lack and not app.autorestart:
            succeeded = status.signal is None and status.code in app.success_exit_codes
            return Verdict(Fate.COMPLETED if succeeded else Fate.FAILED)
        self.unstable = self.unstable + 1 if uptime < app.min_uptime else 0
        failed = status.signal is not None or status.code not in app.success_exit_codes
        self._notice(app, uptime=uptime, now=now, failed=failed)
        self.starved = self.starved + 1 if is_oom and uptime <= BACKOFF_RESET_AFTER else int(is_oom)
        if self._too_often(app, now):
            return Verdict(Fate.GAVE_UP)
        return Verdict(Fate.RESTART, max(self._delay(app, uptime), self._hunger(app)))

    def pause_after(self, app: AppSpec, error: SpawnError) -> Seconds:
        """Least delay after a failed start, which is judged next.

        It doubles up to `max_restart_delay` while descriptors, processes or memory are lacking. That passes,
        and is no fault of the app, which shall not be given up for it within a second.
        """
        self._is_lack = is_shortage(error)
        if not self._is_lack:
            return SPAWN_RETRY_AFTER
        self._lacks += 1
        longest = max(app.max_restart_delay, SPAWN_RETRY_AFTER)
        return min(SPAWN_RETRY_AFTER * 2.0 ** min(self._lacks - 1, 30), longest)

    def news(self, app: AppSpec, reason: str) -> str:
        """That it fails again and again, once in a series: each single end looks like an accident.

        `reason` is that of the end that was judged last.
        """
        was_told = self._is_told
        self._is_told = bool(self.flapping) and self.starved < 2  # that is another trouble, with another cure
        if self.starved == 2:
            return f"{reason}, as the one before: restarts wait longer and longer from now on"
        if not self._is_told or was_told:
            return ""
        advice = 'restart_window = "1m" would make it, exp_backoff_restart_delay slows it down'
        return f"{self.flapping} ({app.min_uptime:g} s): max_restarts does not count these; {advice}"

    def forgive(self) -> None:
        """Forget the past: a person started, restarted or reset the app."""
        self.unstable = 0
        self.flapping = ""
        self.starved = 0
        self._backoff = 0.0
        self._restarted_at.clear()
        self._failed_at.clear()

    def _notice(self, app: AppSpec, *, uptime: Seconds, now: Seconds, failed: bool) -> None:
        if uptime > BACKOFF_RESET_AFTER or not failed:
            self._failed_at.clear()
        if failed and uptime >= app.min_uptime:
            self._failed_at.append(now)
        first = self._failed_at[0] if len(self._failed_at) == FLAPS else None
        if first is None or now - first > FLAPS_WITHIN:
            self.flapping = ""
        else:
            self.flapping = f"failed {FLAPS} times in {now - first:.0f} s, each time after min_uptime"

    def _too_often(self, app: AppSpec, now: Seconds) -> bool:
        window = app.restart_window
        if window is None:
            return self.unstable >= app.max_restarts
        while self._restarted_at and now - self._restarted_at[0] > window:
            self._restarted_at.popleft()
        if len(self._restarted_at) >= app.max_restarts:
            return True
        self._restarted_at.append(now)
        return False

    def _hunger(self, app: AppSpec) -> Seconds:
        """Whatever the file says: at once, it would take the same memory, and be killed for it as before."""
        if self.starved < 2:
            return 0.0
        longest = max(app.max_restart_delay, STARVED_DELAY)
        return min(STARVED_DELAY * 2.0 ** min(self.starved - 2, 30), longest)

    def _delay(self, app: AppSpec, uptime: Seconds) -> Seconds:
        first = app.exp_backoff_restart_delay
        if first <= 0:
            return app.restart_delay
        if uptime > BACKOFF_RESET_AFTER:
            self._backoff = 0.0
        self._backoff = min(self._backoff * BACKOFF_FACTOR if self._backoff else first, app.max_restart_delay)
        jitter = 1 + BACKOFF_JITTER * (2 * self._random() - 1)
        return max(min(self._backoff * jitter, app.max_restart_delay), app.restart_delay)
