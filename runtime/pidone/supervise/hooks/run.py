"""Hooks: commands run when something happens to an app, each with a timeout, never blocking the loop.

What to run and what to tell it is plain data; starting and signalling processes is the launcher's business.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Hook, Seconds
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus
from pidone.record import Record
from pidone.signames import signal_name

KILL_AFTER: Final[Seconds] = 2.0
"""From the SIGTERM of a hook that took too long to its SIGKILL."""
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
    """The end of all hooks of one event: the first that did not succeed, or the last."""

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
    """The hooks of one event, one after the other; the first that fails is the last."""

    def __init__(
        self,
        hooks: Sequence[Hook],
        event: HookEvent,
        env: Mapping[str, str],
        *,
        launcher: HookLauncher,
        clock: Clock,
        done: Callable[[HookResult], None],
    ) -> None:
        """Start the first one. `done` is called exactly once, and never before this returns."""
        self._hooks = tuple(hooks)
        self._event = event
        self._env = event.environ(env)
        self._launcher = launcher
        self._clock = clock
        self._done = done
        self._position = 0
        self._pid: int | None = None
        self._timer: Timer | None = None
        self._verdict: Outcome | None = None
        """Why the running process is being killed."""
        self.is_over = False
        self._ends: Seconds = 0.0
        """When the running process has had its time, and has been killed."""
        self._start()

    @property
    def time_left(self) -> Seconds:
        """How long the running process may take."""
        return max(0.0, self._ends - self._clock.time())

    def cancel(self) -> None:
        """Stop wins: kill what runs. `done` hears CANCELLED once it has ended."""
        if self.is_over:
            return
        self._verdict = Outcome.CANCELLED
        if self._pid is not None:
            self._terminate()

    def _start(self) -> None:
        if self._verdict is not None or self._position == len(self._hooks):
            self._finish_soon(self._verdict or Outcome.OK, "")
            return
        hook = self._hooks[self._position]
        try:
            self._pid = self._launcher.launch(hook, self._event, self._env, self._ended)
        except SpawnError as error:
            self._finish_soon(Outcome.FAILED, f"{self._what(hook)} cannot be started: {error}")
            return
        self._timer = self._clock.call_later(hook.timeout, self._expire)
        self._ends = self._clock.time() + hook.timeout + KILL_AFTER

    def _expire(self) -> None:
        self._verdict = Outcome.TIMEOUT
        self._terminate()

    def _terminate(self) -> None:
        self._send(signal.SIGTERM)
        self._set_timer(KILL_AFTER, lambda: self._send(signal.SIGKILL))

    def _ended(self, status: ExitStatus) -> None:
        if self._verdict is not None:
            self._send(signal.SIGKILL)  # what it has started shall not outlive it either
        self._pid = None
        self._set_timer(None)
        hook = self._hooks[self._position]
        if self._verdict is Outcome.TIMEOUT:
            self._finish(
                Outcome.TIMEOUT, f"{self._what(hook)} was killed after its timeout of {hook.timeout:g} s"
            )
        elif self._verdict is not None:
            self._finish(self._verdict, "")
        elif status.signal is not None:
            self._finish(Outcome.FAILED, f"{self._what(hook)} was killed by {signal_name(status.signal)}")
        elif status.code:
            self._finish(Outcome.FAILED, f"{self._what(hook)} exited with code {status.code}")
        elif self._position + 1 == len(self._hooks):
            self._finish(Outcome.OK, "")
        else:
            self._position += 1
            self._start()

    def _what(self, hook: Hook) -> str:
        return f"{self._event.point} `{describe(hook)}`"

    def _finish_soon(self, outcome: Outcome, message: str) -> None:
        """In the next turn: who called us is not ready to hear of the end yet."""
        self._set_timer(0.0, lambda: self._finish(outcome, message))

    def _finish(self, outcome: Outcome, message: str) -> None:
        self.is_over = True
        self._done(HookResult(self._event, outcome, message))

    def _send(self, number: int) -> None:
        if self._pid is not None:
            self._launcher.kill(self._pid, number)

    def _set_timer(self, delay: Seconds | None, callback: Callable[[], None] = lambda: None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else self._clock.call_later(delay, callback)


class HookRunner:
    """Starts hooks and knows which still run."""

    def __init__(self, launcher: HookLauncher, clock: Clock) -> None:
        self._launcher = launcher
        self._clock = clock
        self._runs: set[HookRun] = set()

    def run(
        self,
        hooks: Sequence[Hook],
        event: HookEvent,
        env: Mapping[str, str],
        done: Callable[[HookResult], None],
    ) -> HookRun:
        """Run hooks in order; `done` hears of the end, at once in the next turn if there are none."""

        def finished(result: HookResult) -> None:
            self._runs.discard(run)
            done(result)

        run = HookRun(hooks, event, env, launcher=self._launcher, clock=self._clock, done=finished)
        self._runs.add(run)
        return run

    @property
    def running(self) -> int:
        """Events whose hooks have not ended."""
        return len(self._runs)

    def cancel_all(self) -> None:
        """The runtime ends: kill what still runs."""
        for run in tuple(self._runs):
            run.cancel()


def describe(hook: Hook) -> str:
    """The command as people wrote it, without its secrets."""
    from pidone.masked_args import mask_args  # noqa: PLC0415 (for messages only; `re` costs 5 ms)

    words = hook.command[2:] if hook.command[:2] == ("/bin/sh", "-c") else hook.command
    return " ".join(mask_args(words))


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
