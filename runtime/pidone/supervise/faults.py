"""What follows from an exception that nobody expected: decided here, and nowhere else.

While the apps run it is told, with what was going on, and every app is looked at again: the wish for each is
still there, and most faults concern one of them. While everything is being stopped nothing may be risked any
more: everybody is signalled, killed at the deadline, buried, and the runtime ends with 70. That needs neither
the tables nor the loop, should it be that which has failed.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from pidone.contracts import Clock, LogSink
from pidone.ecosystem.spec import Seconds
from pidone.errors import describe_bug
from pidone.init import proctree
from pidone.init.reaper import Reaper, has_children

QUIET: Final[Seconds] = 60.0
"""The same fault is told once in this time, with a count."""
_POLL: Final[Seconds] = 0.02
_NAP: Final[Seconds] = 0.002
SYSTEM_ERRORS: Final = (OSError, ImportError, MemoryError)
"""A module that cannot be looked for is one that is not found."""


class Faults:
    """Hears about every exception that left a callback or a turn."""

    def __init__(self, clock: Clock, log: LogSink, recover: Callable[[str], str]) -> None:
        """`recover` is told what happened, sees to it that things go on, and tells the state of affairs."""
        self._clock = clock
        self._log = log
        self._recover = recover
        self._told: dict[str, Seconds] = {}
        self._untold: dict[str, int] = {}

    def handle(self, loop: object, context: dict[str, Any]) -> None:
        """As a loop's exception handler."""
        del loop
        error = context.get("exception")
        if isinstance(error, Exception):
            self.caught(error)
        else:
            self._log.event("error", "runtime.error", str(context.get("message", "unknown")))

    def caught(self, error: Exception) -> None:
        """Something raised."""
        self._tell(error, self._recover(what_of(error)))

    def overheard(self, error: Exception) -> None:
        """Nothing was broken off by it: it is told, and no more."""
        self._tell(error, "")

    def _tell(self, error: Exception, facts: str) -> None:
        is_refused, what = isinstance(error, SYSTEM_ERRORS), what_of(error)
        now = self._clock.time()
        if now - self._told.get(what, -QUIET) < QUIET:
            self._untold[what] = self._untold.get(what, 0) + 1
            return
        self._told[what] = now
        more = self._untold.pop(what, 0)
        message = f"{what}, and {more} times since it was last told" if more else what
        if is_refused:  # no bug, and who has met with it tries again
            self._log.event("error", "runtime.refused", message)
        else:
            self._log.event("error", "runtime.error", message, exc_info=_trace(error), state=facts or None)


def what_of(error: Exception) -> str:
    """One line for it."""
    if isinstance(error, SYSTEM_ERRORS):
        return f"the system refuses: {str(error) or type(error).__name__}"
    return describe_bug(error)


def refusal_of(error: Exception) -> str:
    """The same of the system's for a client, who need not know what else the message names."""
    return f"the system refuses: {getattr(error, 'strerror', None) or type(error).__name__}"


def end_processes(reaper: Reaper, patience: Seconds) -> None:
    """End all children without a loop: SIGTERM, SIGKILL after `patience` seconds, and bury them.

    Those that somebody has started, with their groups; as process 1 everybody there is.
    """
    for number, limit in ((signal.SIGTERM, patience), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + limit
        asked: set[int] = set()
        while (left := _left(reaper)) and time.monotonic() < deadline:
            for target in left - asked:  # an owner that hears of an end may have started another
                proctree.deliver(target, number)
            asked |= left
            with suppress(Exception):  # whoever is told of an end may be what has failed
                reaper.reap()
            time.sleep(_POLL)


def end_helpers(reaper: Reaper, pids: Sequence[int], patience: Seconds) -> None:
    """Bury those who end by themselves, and kill who does not; each for `patience` seconds at most.

    A file system that does not answer may keep one for all that: it is left to whom adopts it.
    """
    for is_killed in (False, True):
        deadline = time.monotonic() + patience
        left = [pid for pid in pids if _is_there(pid)]
        for pid in left if is_killed else ():
            proctree.deliver(pid, signal.SIGKILL)
        while left and time.monotonic() < deadline:
            with suppress(Exception):  # as above
                reaper.reap()
            time.sleep(_NAP)
            left = [pid for pid in left if _is_there(pid)]


def _left(reaper: Reaper) -> set[int]:
    """As kill(2) names them: a process, a group as a negative number, and everybody but us as -1."""
    if os.getpid() == 1:
        return {-1} if has_children() else set()
    there = {pid for pid in reaper.watched if _is_there(pid)}
    return there | {-pid for pid in there}


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _trace(error: Exception) -> str:
    import traceback  # noqa: PLC0415 (only for a bug)

    return "".join(traceback.format_exception(error))
