"""The seams between the rooms: who hands what to whom, as small protocols.

`supervise/` uses them. Behind them stand `listen/`, `logs/`, and `supervise/run/loop.py` with
`supervise/deadline.py` as clocks; in tests the stand-ins of `tests/stage.py`, which replay histories without
a process or a sleep.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import EMPTY, Record


class Timer(Protocol):
    """A pending call that can be taken back."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic time and delayed calls; asyncio's loop in production, a hand-turned clock in tests."""

    def time(self) -> Seconds: ...

    def call_later(self, delay: Seconds, callback: Callable[[], None], /) -> Timer: ...


class InstanceId(Record):
    """Which slot of which app, and which life of it."""

    app: str
    index: int
    incarnation: int
    namespace: str = "default"

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the app: `AppSpec.key()`. Its name alone may occur in several namespaces."""
        return (self.namespace, self.app)


class Report(Protocol):
    """What a process says of itself, over whatever channel: one object per incarnation."""

    def ready(self, how: str) -> None:
        """The process can work now; `how` names the channel for the log (`ipc`, `notify`, `probe`, ...)."""

    def failed(self, why: str) -> None:
        """A health probe or watchdog gave up on the process: it has to be replaced."""

    def hung(self, why: str, stack: str = "") -> None:
        """It makes no progress any more, and has to be replaced; `stack` shows where it stands, if known."""

    def probed(self, name: str, problem: str, failures: int) -> None:
        """The probe `ready` or `health` has looked: what is wrong, if something, and how often in a row."""

    def status(self, text: str) -> None:
        """Free text for people (sd_notify STATUS=)."""

    def drained(self) -> None:
        """The process has finished what it had; it may be stopped now."""

    def extend(self, seconds: Seconds) -> None:
        """The running timeout (start or stop) shall last at least this much longer (EXTEND_TIMEOUT_USEC=)."""

    def main_pid(self, pid: int) -> None:
        """Signals and the exit status concern this descendant from now on (MAINPID=)."""

    def message(self, value: object) -> None:
        """An IPC message that is none of the above."""


class Handover(Protocol):
    """The descriptors, variables and channels one incarnation gets for ports and readiness."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line with `{fd}` placeholders filled in."""

    @property
    def env(self) -> Mapping[str, str]:
        """Variables laid over the app's environment."""

    @property
    def pid_vars(self) -> tuple[str, ...]:
        """Variables the child must set to its own pid (`LISTEN_PID`)."""

    @property
    def fds(self) -> Mapping[int, int]:
        """Child's descriptor number to ours; ours stay open here until `spawned`."""

    @property
    def before_exec(self) -> Callable[[], None] | None:
        """What the child does last before it becomes the program, if anything."""

    @property
    def announces(self) -> bool:
        """Whether the process will be heard of when it listens; known when it runs."""

    @property
    def cut(self) -> int | None:
        """Connections of its ports that were open when it ended, after it was asked to; None: not known."""

    def spawned(self, pid: int) -> None:
        """The process runs: close what only it needs and start listening to its channels."""

    def online(self) -> None:
        """The process counts as ready, whoever said so: let connections come, begin to watch its health."""

    def drain(self) -> bool:
        """Ask the process to take no new connections; False if it has no means to hear that."""

    def send(self, message: object) -> bool:
        """Send an IPC message (`"shutdown"`); False if there is no channel."""

    def close(self, code: int | None = None, /) -> None:
        """The process is gone, with this code unless a signal ended it, or was never started."""


class SocketBroker(Protocol):
    """Owner of every listening socket; `listen/` in production."""

    def open(self, app: AppSpec, old: AppSpec | None = None, leaving: Collection[int] = ()) -> bool:
        """Bind what `app.listen` names, before privileges drop. Raises ListenError; idempotent.

        One that is `old` under another name has what that one had, from now on. What the main processes
        `leaving`, or their descendants, listen on is bound when the first process of `app` is prepared:
        they have to be gone then. Whether there is any of that.
        """

    def prepare(self, app: AppSpec, who: InstanceId, report: Report) -> Handover:
        """Prepare one incarnation."""

    def retire(self, app: AppSpec, index: int) -> None:
        """A slot was scaled away: what is still queued on its socket goes to the others."""

    def close(self, app: AppSpec) -> None:
        """The app is gone for good: close its sockets."""


class LogSource(Record):
    """Who wrote a line."""

    app: AppSpec
    who: InstanceId
    pm_id: int = 0
    """The number of its slot in PM2's sense."""


class Outlet(Protocol):
    """The read side of one incarnation's stdout and stderr."""

    @property
    def stdout(self) -> int:
        """Write end for the child's descriptor 1."""

    @property
    def stderr(self) -> int:
        """Write end for the child's descriptor 2."""

    def spawned(self, pid: int) -> None:
        """The process runs: close the write ends here and start reading."""

    def finish(self) -> None:
        """The process ended: everything that is in the pipes now is put into the output before this returns.

        A descendant that keeps a pipe open hangs nothing: what it writes later still arrives.
        """


class LogSink(Protocol):
    """Where lines and events go; `logs/` in production."""

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        """Make the pipes of one incarnation; `on_line` sees lines until it returns something true.

        Raises OSError when no descriptors are left.
        """

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """One record of the runtime's own: `event` is a stable dotted name such as `instance.exit`."""

    def forget(self, app: tuple[str, str]) -> None:
        """An app (namespace and name) was removed for good: let go of what is remembered of it."""


class NoHandover(Record):
    """For an app that needs neither ports nor channels."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = EMPTY
    pid_vars: tuple[str, ...] = ()
    fds: Mapping[int, int] = EMPTY
    before_exec: Callable[[], None] | None = None
    announces: bool = False
    cut: int | None = None

    def spawned(self, pid: int) -> None: ...

    def online(self) -> None: ...

    def drain(self) -> bool:
        return False

    def send(self, message: object) -> bool:  # noqa: ARG002
        return False

    def close(self, _code: int | None = None, /) -> None: ...
