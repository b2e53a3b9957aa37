"""The Delegate of a real session: hooks, memory, age, times and file changes, where an app uses them.

Nothing of these rooms is imported before an app has a key that needs it, and then only when the first apps
run already; the one exception are hooks, which a start may have to wait for.
"""

import signal
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pidone import procfs
from pidone.contracts import Clock, InstanceId, LogSink, Timer
from pidone.ecosystem.spec import AppSpec, RuntimeSpec, Seconds
from pidone.init.reaper import ExitStatus, Reaper
from pidone.supervise.app import App
from pidone.supervise.instances.delegate import Moment, Outside, Pending
from pidone.supervise.instances.instance import Instance

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from datetime import datetime

    from pidone.host.cgroup import Box
    from pidone.host.usage import UsageBook
    from pidone.supervise.hooks.hooks import Hooks
    from pidone.supervise.memory.driver import MemoryDriver
    from pidone.supervise.memory.limits import Limits
    from pidone.supervise.memory.oom import OomKills
    from pidone.supervise.outside.services import Services
    from pidone.supervise.preload.zygote import Zygote
    from pidone.supervise.preload.zygotes import Zygotes
    from pidone.supervise.spreading import Spreading
    from pidone.supervise.times.ages import Ages
    from pidone.supervise.times.alarms import Times
    from pidone.supervise.watching.resize import ResizeWatch
    from pidone.supervise.watching.watcher import Watcher

FOLLOW_AFTER: Final[Seconds] = 1.0
"""Seconds that the first apps have for themselves before the container's limits are watched."""


class Features:
    """Everything beside starting and stopping."""

    def __init__(
        self,
        runtime: RuntimeSpec,
        *,
        loop: "AbstractEventLoop",
        deadlines: Clock,
        reaper: Reaper,
        log: LogSink,
        random: Callable[[], float],
        environ: Mapping[str, str],
        environment: Callable[[AppSpec, InstanceId], Mapping[str, str]],
        apps: Callable[[], Iterable[App]],
        is_ready: Callable[[], bool],
        on_cpus: Callable[[int], None],
        on_zygotes: Callable[["Zygotes"], None],
    ) -> None:
        """`environ` is the runtime's own, `environment` what a process of an app gets.

        `deadlines` is the clock for what is held against somebody.
        `apps` lists all there are, and `is_ready` tells whether everything that shall run does.
        `on_cpus` hears how many CPUs the container may use, where an app wants to follow that, and
        `on_zygotes` who forks the workers of apps with `preload`.
        """
        self._apps = apps
        self._is_ready = is_ready
        self._on_cpus = on_cpus
        self._on_zygotes = on_zygotes
        self._runtime = runtime
        self._loop = loop
        self._deadlines = deadlines
        self._reaper = reaper
        self._log = log
        self._random = random
        self._environ = environ
        self._environment = environment
        self._changed: dict[tuple[str, str], App] = {}
        self._look: Timer | None = None
        self._all_ready_told = False
        self._ends = False
        self._killed_before = 0
        """OOM kills on the machine before the first app."""
        self._ages: Ages | None = None
        self._box: Box | None = None
        self._hooks: Hooks | None = None
        self._memory: MemoryDriver | None = None
        self._oom_kills: OomKills | None = None
        self._resize: ResizeWatch | None = None
        self._resize_later: Timer | None = None
        self._services: Services | None = None
        self._spreading: Spreading | None = None
        self._times: Times | None = None
        self._usage: UsageBook | None = None
        self._watcher: Watcher | None = None
        self._zygotes: Zygotes | None = None

    def start(self, then: Callable[[str], None]) -> None:
        """The session begins; `then` hears why nothing may be started, or an empty text."""
        self._killed_before = _machine_kills()
        if self._runtime.hooks:
            self._the_hooks().start_whole(then)
        else:
            then("")

    def apply(self, runtime: RuntimeSpec) -> None:
        """The ecosystem was read again."""
        self._runtime = runtime
        if self._hooks is not None:
            self._hooks.runtime = runtime
        if self._services is not None:
            self._services.runtime = runtime
        if self._memory is not None:
            self._memory.guard(runtime.memory_guard)
        for app in self._apps():
            self.changed(app)

    # -- as a Delegate ----------------------------------------------------------------------------------

    def outside(self, app: App) -> Outside | None:
        """Look at its services, if it has any."""
        if not (app.spec.wait_for or self._runtime.wait_for):
            return None
        return self._the_services().answer(app)

    def waits_for(self, app: App) -> str:
        """What is missing of its services."""
        return "" if self._services is None else self._services.waits_for(app)

    def waiting(self, app: App) -> Mapping[str, str]:
        """The services that an app waits for, and what is wrong with each."""
        return {} if self._services is None else self._services.waiting(app)

    def before_start(self, instance: Instance, then: Callable[[str], None]) -> Pending | None:
        """Run its `pre_start`, and wait for the process that it is forked from."""
        if instance.app.preload is not None:
            return self._the_zygotes().before_start(instance, then, self._run_pre_start)
        return self._run_pre_start(instance, then)

    def _run_pre_start(self, instance: Instance, then: Callable[[str], None]) -> Pending | None:
        return self._the_hooks().before_start(instance, then) if instance.app.hooks else None

    def before_stop(self, instance: Instance, then: Callable[[], None]) -> Pending | None:
        """Run its `pre_stop`."""
        if not instance.app.hooks:
            return None
        return self._the_hooks().before_stop(instance, then)

    def happened(self, instance: Instance, moment: Moment) -> None:
        """Run what is to be run then."""
        if instance.app.hooks or moment in self._runtime.hooks:
            self._the_hooks().happened(instance, moment)

    def explain(self, instance: Instance, status: ExitStatus) -> str:
        """Recognise an OOM kill."""
        if status.signal != signal.SIGKILL or instance.life.was_killed:
            return ""
        if self._oom_kills is None and _machine_kills() <= self._killed_before:
            return ""  # nothing was killed for memory on the whole machine
        return self._the_oom_kills().explain()

    def changed(self, app: App) -> None:
        """Look at it when the present event is done: one event may change an app several times."""
        self._changed[app.spec.key()] = app
        if self._look is None and not self._ends:
            self._look = self._loop.call_later(0, self._catch_up)

    def whole_stops(self, reason: str, then: Callable[[], None]) -> bool:
        """Run the `pre_stop` of the whole."""
        return self._hooks is not None and self._hooks.whole_stops(reason, then)

    def whole_rests(self, code: int, reason: str, then: Callable[[], None]) -> bool:
        """Nothing is measured, timed or watched any more; hooks come to their end."""
        self._ends = True
        if self._resize_later is not None:
            self._resize_later.cancel()
        for room in (self._ages, self._memory, self._times, self._services, self._resize):
            if room is not None:
                room.stop()
        if self._look is not None:
            self._look.cancel()
        if self._zygotes is not None:
            self._zygotes.close()

        def finish_hooks() -> bool:
            return self._hooks is not None and self._hooks.whole_rests(code, reason, then)

        def unwatched() -> None:
            if not finish_hooks():
                then()

        if self._watcher is not None and self._watcher.stop(unwatched):
            return True
        return finish_hooks()

    def busy_for(self) -> Seconds:
        """How long the hooks that run may take."""
        return 0.0 if self._hooks is None else self._hooks.busy_for()

    def hurry(self) -> None:
        """Kill the hooks that run."""
        if self._hooks is not None:
            self._hooks.cancel_all()

    # -- what people want to know ------------------------------------------------------------------------

    def usage(self) -> "UsageBook":
        """What all instances use."""
        from pidone.host.usage import UsageBook  # noqa: PLC0415 (for the first who asks)

        if self._usage is None:
            self._usage = UsageBook(self._pids, now=self._loop.time, call_soon=self._loop.call_soon)
        return self._usage

    def limits(self, app: App) -> "Limits":
        """The memory limits of an app in this container."""
        from pidone.supervise.memory.limits import limits_of  # noqa: PLC0415 (for the first who asks)

        return limits_of(app.spec, ceiling=self._the_box().memory().ceiling, instances=len(app.instances))

    def next_run(self, app: App) -> "datetime | None":
        """When the schedule or `cron_restart` of an app is due next."""
        return None if self._times is None else self._times.next_run(app)

    def preloaded(self, instance: Instance) -> "Zygote | None":
        """The process that an instance was forked from, or would be; None if there is none."""
        return None if self._zygotes is None else self._zygotes.of(instance)

    def time_left(self, instance: Instance) -> Seconds | None:
        """How long an instance has before it is replaced for its `max_age`."""
        return None if self._ages is None else self._ages.time_left(instance.who)

    # -- helpers -----------------------------------------------------------------------------------------

    def _pids(self) -> list[int]:
        return [
            member.pid
            for app in self._apps()
            for member in app.members()
            if member.pid is not None and member.state.has_process
        ]

    def _catch_up(self) -> None:
        self._look = None
        changed, self._changed = self._changed, {}
        for app in changed.values():
            self._sync(app)
        self._tell_when_all_are_ready()

    def _sync(self, app: App) -> None:
        spec = app.spec
        limits = (spec.max_memory_restart, spec.memory_soft_limit, self._runtime.memory_guard)
        if self._memory is not None or any(limit is not None for limit in limits):
            self._the_memory().sync(app)
        if self._ages is not None or spec.max_age is not None:
            self._the_ages().sync(app)
        if self._services is not None:
            self._services.sync(app)
        if self._times is not None or spec.schedule or spec.cron_restart:
            self._the_times().sync(app)
        if self._resize_later is None and _follows_cpus(spec):
            self._resize_later = self._loop.call_later(FOLLOW_AFTER, self._watch_cpus)
        if self._watcher is not None or spec.watch:
            self._the_watcher().sync(app)
        if self._spreading is not None or spec.cpu_affinity == "spread":
            self._the_spreading().sync(app)
        if self._zygotes is not None:
            self._zygotes.sync(app)

    def _tell_when_all_are_ready(self) -> None:
        if self._hooks is None or self._all_ready_told:
            return
        if self._is_ready():
            self._all_ready_told = True
            self._hooks.whole_started()

    def _the_ages(self) -> "Ages":
        from pidone.supervise.times.ages import Ages  # noqa: PLC0415 (only for apps that use it)

        if self._ages is None:
            self._ages = Ages(clock=self._loop, random=self._random)
        return self._ages

    def _the_oom_kills(self) -> "OomKills":
        from pidone.supervise.memory.oom import OomKills  # noqa: PLC0415 (after the first apps have started)

        if self._oom_kills is None:
            self._oom_kills = OomKills(self._the_box(), self._log, host_before=self._killed_before)
        return self._oom_kills

    def _watch_cpus(self) -> None:
        from pidone.host.cpus import CpuFiles  # noqa: PLC0415 (only for apps that use it)
        from pidone.supervise.watching.resize import ResizeWatch  # noqa: PLC0415

        self._resize = ResizeWatch(CpuFiles(), loop=self._loop, log=self._log, on_look=self._cpus_seen)

    def _cpus_seen(self, cpus: int) -> None:
        self._on_cpus(cpus)
        for app in self._apps() if self._spreading is not None else ():
            self._the_spreading().sync(app)  # other CPUs, although no other number of them

    def _sampled(self) -> None:
        if self._resize is not None:
            self._resize.sampled()
        if self._oom_kills is not None or _machine_kills() > self._killed_before:
            self._the_oom_kills().look_for_helpers()

    def _the_box(self) -> "Box":
        from pidone.host.cgroup import Box  # noqa: PLC0415 (after the first apps have started)

        if self._box is None:
            self._box = Box.find()
        return self._box

    def _the_hooks(self) -> "Hooks":
        from pidone.supervise.hooks.hooks import Hooks  # noqa: PLC0415 (only for apps that use it)

        if self._hooks is None:
            self._hooks = Hooks(
                self._runtime,
                clock=self._deadlines,
                reaper=self._reaper,
                log=self._log,
                environ=self._environment,
            )
        return self._hooks

    def _the_memory(self) -> "MemoryDriver":
        from pidone.supervise.memory.driver import MemoryDriver  # noqa: PLC0415 (only for apps that use it)

        if self._memory is None:
            self._memory = MemoryDriver(
                self._runtime,
                clock=self._loop,
                log=self._log,
                random=self._random,
                box=self._the_box(),
                usage=self.usage(),
                on_sample=self._sampled,
            )
            for app in self._apps():  # those that came before the first one which needs it
                self._memory.sync(app)
        return self._memory

    def _the_services(self) -> "Services":
        from pidone.supervise.outside.services import Services  # noqa: PLC0415 (only for apps that use it)

        if self._services is None:
            self._services = Services(
                self._runtime,
                loop=self._loop,
                deadlines=self._deadlines,
                reaper=self._reaper,
                log=self._log,
            )
        return self._services

    def _the_spreading(self) -> "Spreading":
        from pidone.supervise.spreading import Spreading  # noqa: PLC0415 (only for apps that use it)

        if self._spreading is None:
            self._spreading = Spreading(self._log)
        return self._spreading

    def _the_times(self) -> "Times":
        from pidone.supervise.times.alarms import Times  # noqa: PLC0415 (only for apps that use it)

        if self._times is None:
            self._times = Times(clock=self._loop, log=self._log, environ=self._environ)
        return self._times

    def _the_watcher(self) -> "Watcher":
        from pidone.supervise.watching.watcher import Watcher  # noqa: PLC0415 (only for apps that use it)

        if self._watcher is None:
            self._watcher = Watcher(loop=self._loop, reaper=self._reaper, log=self._log)
        return self._watcher

    def _the_zygotes(self) -> "Zygotes":
        from pidone.supervise.preload.zygotes import Zygotes  # noqa: PLC0415 (only for apps that use it)

        if self._zygotes is None:
            self._zygotes = Zygotes(
                loop=self._loop,
                deadlines=self._deadlines,
                reaper=self._reaper,
                log=self._log,
                environment=self._environment,
                app_of=self._app_of,
            )
            self._on_zygotes(self._zygotes)
        return self._zygotes

    def _app_of(self, instance: Instance) -> App | None:
        return next((app for app in self._apps() if app.spec.key() == instance.app.key()), None)


def _follows_cpus(spec: AppSpec) -> bool:
    return (spec.instances <= 0 and spec.max_follows) or spec.cpu_affinity == "spread"


def _machine_kills() -> int:
    """OOM kills on the machine since its start (vmstat, Linux 4.13): one cheap read, nothing imported.

    The next start waits for it, so that its 190 lines are not taken apart.
    """
    try:
        _, _, after = procfs.read_bytes("/proc/vmstat").partition(b"\noom_kill ")
    except OSError:
        return 0
    return int(after.partition(b"\n")[0] or 0)
