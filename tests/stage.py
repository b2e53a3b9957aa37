"""Stand-ins for the collaborators of supervise/: a hand-turned clock, and processes that are only numbers."""

import heapq
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from pidone.contracts import Clock, InstanceId, NoHandover, Report
from pidone.demand import Demand
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus
from pidone.supervise.app import App
from pidone.supervise.collaborators import World
from pidone.supervise.instances.delegate import Moment, Outside, Pending


class FakeTimer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._queue: list[tuple[float, int, FakeTimer, Callable[[], None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> FakeTimer:
        timer = FakeTimer()
        heapq.heappush(self._queue, (self.now + delay, next(self._order), timer, callback))
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass and everything that is due happen, in order."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            at, _, timer, callback = heapq.heappop(self._queue)
            if not timer.cancelled:
                self.now = max(self.now, at)
                callback()
        self.now = end

    @property
    def pending(self) -> int:
        """Timers that will still fire."""
        return sum(not timer.cancelled for _, _, timer, _ in self._queue)


@dataclass
class FakeProcess:
    """Records what was done to it; ends only when the test says so."""

    pid: int
    who: InstanceId
    report: Report
    on_exit: Callable[[ExitStatus], None]
    signals: list[int] = field(default_factory=list)
    messages: list[object] = field(default_factory=list)
    killed: bool = False
    main_alive: bool = True
    leftovers: int = 0
    drains: bool = False
    announces: bool = False
    refused: str = ""
    cut: int | None = None
    drain_asked: bool = False
    has_channel: bool = False
    followed: int | None = None
    was_online: bool = False
    had: float = 0.0
    lacked: float = 0.0
    states: str = "S"
    turn: Callable[[], None] = lambda: None
    _on_gone: Callable[[], None] | None = None

    def demand(self) -> Demand:
        return Demand(frozenset({self.pid}), had=self.had, lacked=self.lacked, states=self.states)

    def online(self) -> None:
        self.was_online = True

    def signal(self, number: int) -> None:
        if self.main_alive:
            self.signals.append(number)

    def stop(self, number: int) -> None:
        self.signal(number)

    def follow(self, pid: int) -> None:
        self.followed = pid

    def send(self, message: object) -> bool:
        if self.has_channel:
            self.messages.append(message)
        return self.has_channel

    def write(self, data: bytes) -> bool:
        return False

    def drain(self) -> bool:
        self.drain_asked = True
        return self.drains

    def kill(self) -> None:
        self.killed = True

    def end_leftovers(self, on_gone: Callable[[], None]) -> bool:
        self._on_gone = on_gone
        return self.leftovers > 0

    @property
    def is_alive(self) -> bool:
        return self.main_alive or self.leftovers > 0

    def exit(self, code: int | None = 0, *, signal: int | None = None) -> None:
        """Let the main process end."""
        if not self.main_alive:
            return
        self.main_alive = False
        self.on_exit(ExitStatus(code=None if signal else code, signal=signal))
        self.turn()

    def leftovers_end(self) -> None:
        """Let what it left behind end."""
        if not self.main_alive and self.leftovers:
            self.leftovers = 0
            assert self._on_gone is not None
            self._on_gone()
            self.turn()


class TurningReport:
    """Passes on what a process reports, each report in a turn of the loop."""

    def __init__(self, report: Report, turn: Callable[[], None]) -> None:
        self._report = report
        self._turn = turn

    def ready(self, how: str) -> None:
        self._report.ready(how)
        self._turn()

    def failed(self, why: str) -> None:
        self._report.failed(why)
        self._turn()

    def drained(self) -> None:
        self._report.drained()
        self._turn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._report, name)


class FakeLauncher:
    """Hands out FakeProcesses; `fail` makes the next launches fail."""

    def __init__(self, turn: Callable[[], None] = lambda: None) -> None:
        """`turn` is what follows whatever a process does: a turn of the loop."""
        self.turn = turn
        self.launched: list[FakeProcess] = []
        self.fail = 0
        self.leftovers = 0
        self.drains = False
        self.has_channel = False

    def start_no_more(self) -> None:
        """Nothing is kept for later."""

    def launch(
        self, app: AppSpec, who: InstanceId, *, report: Report, on_exit: Callable[[ExitStatus], None]
    ) -> FakeProcess:
        if self.fail:
            self.fail -= 1
            raise SpawnError("exec: /nowhere: No such file or directory") from FileNotFoundError(2, "")
        process = FakeProcess(
            1000 + len(self.launched),
            who,
            TurningReport(report, self.turn),
            on_exit,
            turn=self.turn,
            leftovers=self.leftovers,
            drains=self.drains,
            has_channel=self.has_channel,
        )
        self.launched.append(process)
        return process

    @property
    def last(self) -> FakeProcess:
        return self.launched[-1]

    def alive(self, app: str | None = None) -> list[FakeProcess]:
        """Processes of which something is left."""
        return [p for p in self.launched if p.is_alive and app in (None, p.who.app)]

    def of(self, app: str) -> FakeProcess:
        """The newest process of an app."""
        return [p for p in self.launched if p.who.app == app][-1]


class FakeLog:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def forget(self, app: tuple[str, str]) -> None:
        """Nothing is kept here."""

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        known = {key: value for key, value in fields.items() if value is not None}
        self.events.append({"level": level, "event": event, "message": message, **known})

    def open(self, source: object, on_line: object = None) -> Any:
        raise NotImplementedError

    def named(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event]


class FakeBroker:
    """No ports."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.present: dict[str, AppSpec] = {}
        """What each app was opened with last."""
        self.retired: list[tuple[str, int]] = []
        self.closed: list[str] = []

    def open(self, app: AppSpec, old: AppSpec | None = None, leaving: Collection[int] = ()) -> bool:
        self.opened.append(app.name)
        self.present[app.name] = app
        return False

    def prepare(self, app: AppSpec, who: InstanceId, report: Report) -> NoHandover:
        return NoHandover(app.argv)

    def retire(self, app: AppSpec, index: int) -> None:
        self.retired.append((app.name, index))

    def close(self, app: AppSpec) -> None:
        self.closed.append(app.name)


class Turns:
    """Looks at an app in the next turn of the loop, as the supervisor does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def app_changed(self, app: App) -> None:
        self.clock.call_later(0, lambda: self.look(app))

    def look(self, app: App) -> None:
        again = app.reconcile(self.clock.time(), lambda: False).look_at
        if again is not None:
            self.clock.call_later(again - self.clock.time(), lambda: self.look(app))


class NoDelegate:
    """Nothing to be done beside starting and stopping."""

    def outside(self, app: Any) -> Outside | None:
        return None

    def waits_for(self, app: Any) -> str:
        return ""

    def before_start(self, instance: Any, then: Callable[[str], None]) -> Pending | None:
        return None

    def before_stop(self, instance: Any, then: Callable[[], None]) -> Pending | None:
        return None

    def happened(self, instance: Any, moment: Moment) -> None: ...

    def explain(self, instance: Any, status: ExitStatus) -> str:
        return ""

    def changed(self, app: Any) -> None: ...

    def whole_stops(self, reason: str, then: Callable[[], None]) -> bool:
        return False

    def whole_rests(self, code: int, reason: str, then: Callable[[], None]) -> bool:
        return False

    def busy_for(self) -> Seconds:
        return 0.0

    def hurry(self) -> None: ...


class Stage:
    """All fakes together."""

    def __init__(self, random: Callable[[], float] = lambda: 0.5) -> None:
        self.clock = FakeClock()
        self.launcher = FakeLauncher(turn=self.clock.advance)
        self.log = FakeLog()
        self.broker = FakeBroker()
        self.world = World(
            *(self.clock, self.launcher, self.log, self.broker, random, self.clock), NoDelegate()
        )


def spec(name: str = "app", **keys: Any) -> AppSpec:
    """A small app, whose replacements take over as soon as they are ready."""
    return AppSpec(name=name, argv=("/bin/app",), **{"settle_time": 0.0, **keys})
