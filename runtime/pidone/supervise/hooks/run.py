"""Hooks: commands run when something happens to an app, each with a timeout, never blocking the loop.

What to run and what to tell it is plain data; starting and signalling processes is the launcher's business.
"""

import signal
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Hook, Seconds
from pidone.ecosystem.stopping import HOOK_KILL_AFTER
from pidone.errors import SpawnError, is_shortage
from pidone.init.reaper import ExitStatus
from pidone.record import Record
from pidone.signames import signal_name
from pidone.supervise.faults import SYSTEM_ERRORS

HURRIED: Final[Seconds] = 0.5
"""The same when the time of the whole stop is up: who leaves then leaves nobody behind."""
_FIRST_PAUSE: Final[Seconds] = 0.1
"""Before a hook is tried again for which there were no means; it doubles."""
_PREFIX: Final = "PIDONE_HOOK"


class HookPoint(StrEnum):
    """When a hook runs; the names are the configuration keys."""

    PRE_START = "pre_start"
    POST_START = "post_start"
    PRE_STOP = "pre_stop"
    POST_STOP = "post_stop"
    ON_EXIT = "on_exit"
    """The process ended without being asked to."""
    ON_GIVE_UP = "on_give_up"

    @property
    def is_required(self) -> bool:
        """Whether a failure keeps the app down; any other failure is only told."""
        return self is HookPoint.PRE_START


class HookEvent(Record, kw_only=True):
    """What has happened; each field that is not None becomes a variable such as PIDONE_HOOK_EXIT_CODE."""

    point: HookPoint
    app: str | None = None
    """None for a hook of the runtime as a whole."""
    namespace: str | None = None
    instance: int | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    """Number of the signal that ended the process; its name in the variable."""
    uptime: Seconds | None = None
    restarts: int | None = None
    reason: str | None = None
    """Why it was stopped, replaced or given up, in words."""

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with the variables of this event, without those of another (a pidone within a pidone)."""
        env = {name: value for name, value in base.items() if not name.startswith(_PREFIX)}
        env[_PREFIX] = self.point.value
        for name, value in self.as_dict().items():
            if name != "point" and value is not None:
                env[f"{_PREFIX}_{name.upper()}"] = signal_name(value) if name == "signal" else _text(value)
        return env


class Outcome(StrEnum):
    """How a hook ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class HookResult(Record):
    """The end of a hook."""

    event: HookEvent
    outcome: Outcome
    message: str = ""
    """What went wrong, in words; empty if nothing did."""


class HookLauncher(Protocol):
    """The part of `init/` that hooks need."""

    def launch(
        self,
        hook: Hook,
        event: HookEvent,
        env: Mapping[str, str],
        on_exit: Callable[[ExitStatus], None],
    ) -> int:
        """Start a process in a group of its own and return its pid. Raises SpawnError."""

    def kill(self, pid: int, signal_number: int) -> None:
        """Signal the process and its group, unless they are gone."""


class HookRun:
    """A hook at work."""

    def __init__(
        self,
        hook: Hook,
        event: HookEvent,
        env: Mapping[str, str],
        *,
        launcher: HookLauncher,
        clock: Clock,
        done: Callable[[HookResult], None],
        waits: Callable[[HookResult], None] = lambda _: None,
    ) -> None:
        """Start it. `done` is called exactly once, and never before this returns.

        `waits` hears once that a hook which an app needs cannot be started yet for want of descriptors,
        processes or memory: it is tried again, within its timeout.
        """
        self._hook = hook
        self._event = event
        self._launcher = launcher
        self._clock = clock
        self._done = done
        self._pid: int | None = None
        self._timer: Timer | None = None
        self._verdict: Outcome | None = None
        """Why it is being killed."""
        self.is_over = False
        self._ends = clock.time() + hook.timeout + HOOK_KILL_AFTER
        """When it has had its time, and has been killed."""
        self._env = event.environ(env)
        self._waits = waits
        self._pause = _FIRST_PAUSE
        self._start()

    @property
    def time_left(self) -> Seconds:
        """Until it has ended, or has been killed."""
        return max(0.0, self._ends - self._clock.time())

    def _start(self) -> None:
        left = self._ends - HOOK_KILL_AFTER - self._clock.time()
        try:
            self._pid = self._launcher.launch(self._hook, self._event, self._env, self._ended)
        except (SpawnError, *SYSTEM_ERRORS) as error:
            why = f"cannot be started: {str(error) or type(error).__name__}"
            if self._event.point.is_required and is_shortage(error) and self._pause < left:
                if self._pause == _FIRST_PAUSE:
                    self._waits(self._result(Outcome.FAILED, f"{why}; it is tried again"))
                self._set_timer(self._pause, self._start)
                self._pause *= 2
                return
            # In the next turn: who called us is not ready to hear of the end yet.
            self._set_timer(0.0, lambda: self._finish(Outcome.FAILED, why))
        else:
            self._set_timer(left, self._expire)

    def cancel(self, kill_after: Seconds = HOOK_KILL_AFTER) -> None:
        """Nobody waits for it any more: SIGTERM, and SIGKILL `kill_after` later."""
        if self.is_over:
            return
        self._verdict = Outcome.CANCELLED
        if self._pid is not None:
            self._terminate(kill_after)
        else:
            self._set_timer(0.0, lambda: self._finish(Outcome.CANCELLED))

    def _expire(self) -> None:
        self._verdict = Outcome.TIMEOUT
        self._terminate(HOOK_KILL_AFTER)

    def _terminate(self, kill_after: Seconds) -> None:
        self._send(signal.SIGTERM)
        self._set_timer(kill_after, lambda: self._send(signal.SIGKILL))

    def _ended(self, status: ExitStatus) -> None:
        if self._verdict is not None:
            self._send(signal.SIGKILL)  # what it has started shall not outlive it either
        self._pid = None
        self._set_timer(None)
        if self._verdict is Outcome.TIMEOUT:
            self._finish(self._verdict, f"was killed after its timeout of {self._hook.timeout:g} s")
        elif self._verdict is not None:
            self._finish(self._verdict)
        elif status.signal is not None:
            self._finish(Outcome.FAILED, f"was killed by {signal_name(status.signal)}")
        elif status.code:
            self._finish(Outcome.FAILED, f"exited with code {status.code}")
        else:
            self._finish(Outcome.OK)

    def _finish(self, outcome: Outcome, why: str = "") -> None:
        self.is_over = True
        self._done(self._result(outcome, why))

    def _result(self, outcome: Outcome, why: str) -> HookResult:
        message = f"{self._event.point} `{describe(self._hook)}` {why}" if why else ""
        return HookResult(self._event, outcome, message)

    def _send(self, number: int) -> None:
        if self._pid is not None:
            self._launcher.kill(self._pid, number)

    def _set_timer(self, delay: Seconds | None, callback: Callable[[], None] = lambda: None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else self._clock.call_later(delay, callback)


def describe(hook: Hook) -> str:
    """The command as people wrote it, without its secrets."""
    words = hook.command[2:] if hook.command[:2] == ("/bin/sh", "-c") else hook.command
    try:
        from pidone.masked_args import mask_args  # noqa: PLC0415 (for messages only; `re` costs 5 ms)

        return " ".join(mask_args(words))
    except SYSTEM_ERRORS:  # no descriptor or memory is left for it: an app that is to stop waits for this end
        return "..."


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
