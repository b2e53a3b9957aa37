"""One incarnation: its process, its times, and its voice, which is heard only while it is the current one."""

from typing import TYPE_CHECKING, Final, Protocol

from pidone.contracts import Clock, InstanceId
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.init.reaper import ExitStatus
from pidone.record import Record
from pidone.signames import signal_name
from pidone.supervise.collaborators import Process
from pidone.supervise.instances.states import Event, Goal, State

if TYPE_CHECKING:
    from pidone.demand import Shortage


ACTION_CHARS: Final = 200
"""Of the name of an action."""
_MOST_ACTIONS: Final = 256
"""Of one process; @pm2/io announces about ten."""


def announced_action(value: object) -> str | None:
    """The name in `{"type": "axm:action", "data": {"action_name": …}}`, as PM2's io announces an action."""
    if not isinstance(value, dict) or value.get("type") != "axm:action":
        return None
    data = value.get("data")
    name = data.get("action_name") if isinstance(data, dict) else None
    return name if isinstance(name, str) and 0 < len(name) <= ACTION_CHARS else None


class Lived(Protocol):
    """Whose incarnations they are: an instance."""

    app: AppSpec
    index: int
    life: "Incarnation"
    state: State
    restarts: int
    last_exit: ExitStatus | None
    reason: str
    failure: str
    failed_pid: int | None
    cause: str

    @property
    def ends_to(self) -> Goal | None: ...

    def handle(self, event: Event, /) -> None: ...

    def log(self, level: str, event: str, message: str = "", **fields: object) -> None: ...

    def prepared(self, why_not: str) -> None: ...

    def explain(self, status: ExitStatus) -> str: ...

    def ask_for_another(self) -> None: ...

    def extend_timeout(self, delay: Seconds) -> None: ...

    def received(self, value: object) -> None: ...

    def lost(self, connections: int) -> None: ...


class ProbeLook(Record):
    """What a probe saw last."""

    problem: str
    """Empty if all was well."""
    failures: int
    """In a row."""


class Numbers:
    """Counts the incarnations of one slot, over all instances that have it: no two alive have the same."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """The number of a new incarnation."""
        self.last += 1
        return self.last


class Incarnation:
    """One life of an instance."""

    def __init__(self, instance: Lived, number: int, clock: Clock) -> None:
        """It has not begun."""
        self._instance = instance
        self._clock = clock
        self.number = number
        self.who = InstanceId(instance.app.name, instance.index, number, instance.app.namespace)
        self.process: Process | None = None
        self.started_at: Seconds = 0.0
        """Monotonic time; 0 if it never began."""
        self.online_since: Seconds = 0.0
        """Monotonic time since when it is online; 0 if it is not yet."""
        self.leaves_since: Seconds = 0.0
        """When its stop began."""
        self.shall_tell = False
        """Whether the process tells by itself when it can work."""
        self.ready_by = ""
        """How the process told that it is ready, be it late; empty if it did not."""
        self.looks: dict[str, ProbeLook] = {}
        """What its probes saw last, by `ready` and `health`."""
        self.status_text = ""
        """What the process says of itself (sd_notify STATUS=)."""
        self.actions: dict[str, None] = {}
        """The names of what it can be asked to do, as far as it has announced them (PM2's `axm:action`)."""
        self.asked_for_more = False
        """It asked for more time while it was being ended (EXTEND_TIMEOUT_USEC)."""
        self.was_killed = False
        """It was ended with SIGKILL."""
        self.was_oom_killed = False
        self._shortage: Shortage | None = None
        """Of time for its start, if it is late."""

    @property
    def running(self) -> Process:
        """The process, in states that have one; anything else is a hole in the instance's table."""
        if self.process is None:
            raise RuntimeError(
                f"{self._instance.app.name}: no process of {self.number} in state {self._instance.state}"
            )
        return self.process

    @property
    def uptime(self) -> Seconds:
        """How long ago it began."""
        return self._clock.time() - self.started_at

    @property
    def counted_uptime(self) -> Seconds:
        """One that was to tell when it can work, and did not, never was up, however long that took."""
        return self.uptime if self.online_since or not self.shall_tell else 0.0

    def lacks_life(self) -> Seconds:
        """What it lacks of `ready_delay`, on a machine that is too busy; `listen_timeout` at most."""
        app = self._instance.app
        return min(self._lacks(app.ready_delay), app.listen_timeout - self.uptime)

    def lacks_patience(self) -> Seconds:
        """What it lacks of `listen_timeout`."""
        return self._lacks(self._instance.app.listen_timeout)

    def _lacks(self, patience: Seconds) -> Seconds:
        try:
            if self._shortage is None:
                from pidone.demand import Shortage  # noqa: PLC0415 (not before the first start)

                self._shortage = Shortage(patience)
            return self._shortage.left(self.uptime, self.running.demand())
        except (OSError, ImportError):  # it cannot be told: then it is judged by the clock
            return 0.0

    # -- what it says, as a `Report` and by its hooks; nobody listens to one that is over ------------------

    def prepared(self, why_not: str) -> None:
        """What the start waited for is done; or it must not start, for a reason."""
        if self._is_current:
            self._instance.prepared(why_not)

    def ready(self, how: str) -> None:
        """The process can work."""
        if self._is_current:
            if self._is_up:
                self.ready_by = how
            self._instance.handle(Event.READY)

    def failed(self, why: str) -> None:
        """A probe or a watchdog gave up on it."""
        if self._is_current and self._is_up:
            self._fail("instance.unhealthy", why)

    def hung(self, why: str, stack: str = "") -> None:
        """The heartbeat gave up on it; `stack` is where it stands."""
        if self._is_current and self._is_up:
            self._fail("instance.hung", why, stack=stack or None)

    def probed(self, name: str, problem: str, failures: int) -> None:
        """A probe has looked."""
        self.looks[name] = ProbeLook(problem, failures)

    def status(self, text: str) -> None:
        """What people shall see beside its state."""
        if self._is_current:
            self.status_text = text

    def extend(self, seconds: Seconds) -> None:
        """Whatever is due now shall become due in so many seconds, unless it is due later anyway."""
        if self._is_current:
            self._instance.extend_timeout(seconds)

    def main_pid(self, pid: int) -> None:
        """Another process is the main one from now on."""
        if self._is_current and self.process is not None:
            self.process.follow(pid)

    def message(self, value: object) -> None:
        """An IPC message for the app's owner."""
        if self._is_current:
            action = announced_action(value)
            if action is not None and len(self.actions) < _MOST_ACTIONS:
                self.actions[action] = None
            self._instance.received(value)

    def released(self) -> None:
        """What the stop waited for is done."""
        if self._is_current:
            self._instance.handle(Event.RELEASED)

    def drained(self) -> None:
        """It takes no new work any more, and has none left."""
        if self._is_current:
            self._instance.handle(Event.DRAINED)

    def exited(self, status: ExitStatus) -> None:
        """Its main process ended; that is so whatever fails in telling it."""
        if self._is_current:
            self._instance.last_exit = status
            try:
                self._tell_end(status)
            finally:
                self._instance.handle(Event.EXIT)

    def gone(self) -> None:
        """What the main process had left behind has ended too."""
        if self._is_current:
            self._instance.handle(Event.GONE)

    # -- helpers -------------------------------------------------------------------------------------------

    @property
    def _is_current(self) -> bool:
        return self._instance.life is self

    @property
    def _is_up(self) -> bool:
        return self._instance.state in (State.STARTING, State.ONLINE)

    def _fail(self, event: str, why: str, **fields: object) -> None:
        self._instance.reason = why
        self._instance.log("error", event, why, **fields)
        self._instance.ask_for_another()

    def _tell_end(self, status: ExitStatus) -> None:
        instance = self._instance
        killed = instance.explain(status)
        self.was_oom_killed = bool(killed)
        instance.reason = killed or instance.reason
        instance.cause = instance.cause or ("signal" if status.signal is not None else "exit")
        asked = instance.ends_to is not None
        if instance.ends_to in (None, Goal.JUDGE):
            instance.failure = instance.reason or f"ended with {status}"
            instance.failed_pid = self.process.pid if self.process else None
        good = asked or (status.signal is None and status.code in instance.app.success_exit_codes)
        uptime = round(self.uptime, 3)
        cut = self.process.cut if asked and self.process else None
        if cut is not None:
            instance.lost(cut)
        instance.log(
            "info" if good else "error",
            "instance.exit",
            f"ended with {status} after {uptime:g} s",
            pid=self.process.pid if self.process else None,
            code=status.code,
            signal=signal_name(status.signal) if status.signal is not None else None,
            uptime_s=uptime,
            restarts=instance.restarts,
            cut=cut or None,
            reason="stop" if instance.ends_to not in (None, Goal.JUDGE) else instance.reason or "exit",
        )
