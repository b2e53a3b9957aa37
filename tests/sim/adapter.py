"""The only file that knows how the runtime is put together, operated and looked at."""

import functools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from sim.kernel import Os
from sim.loop import SimLoop
from sim.world import SimBox, SimLoading, SimSampler, World

import pidone.supervise.hooks.hooks
import pidone.supervise.memory.driver
import pidone.supervise.memory.oom
import pidone.supervise.run.loading
import pidone.supervise.spreading
import pidone.supervise.times.alarms
import pidone.supervise.watching.changes
import pidone.supervise.watching.watcher  # noqa: F401 (loaded before their calls are replaced)
from pidone import demand
from pidone.control.http.messages import Refusal
from pidone.control.operations import Operations
from pidone.ecosystem.spec import AppSpec
from pidone.host import cgroup, processes
from pidone.init import proctree, reaper, spawn
from pidone.listen.lazy import LazyBroker
from pidone.logs.relay import Relay
from pidone.supervise import faults, features
from pidone.supervise.app import App
from pidone.supervise.ending import Ending
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import State
from pidone.supervise.process import leftovers
from pidone.supervise.run import loop, session
from pidone.supervise.run.loading import Loading
from pidone.supervise.run.session import Parts, Session, Surroundings

_EPOCH: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""Wall clock when the turned one stands at 0."""


class InstanceFacts:
    """One instance as the runtime sees it."""

    __slots__ = ("_instance", "place")

    def __init__(self, instance: Instance, place: str) -> None:
        self._instance = instance
        self.place = place
        """`slot`, `arriving` or `leaving`."""

    @property
    def index(self) -> int:
        return self._instance.index

    @property
    def incarnation(self) -> int:
        return self._instance.incarnation

    @property
    def state(self) -> str:
        return self._instance.state.value

    @property
    def pid(self) -> int | None:
        return self._instance.pid

    @property
    def spec(self) -> AppSpec:
        return self._instance.app

    @property
    def online_since(self) -> float:
        return self._instance.online_since

    @property
    def has_fate(self) -> bool:
        """It ended for good by itself."""
        return self._instance.fate is not None


class AppFacts(NamedTuple):
    """One app as the runtime sees it."""

    name: str
    wanted: bool
    spec: AppSpec
    instances: tuple[InstanceFacts, ...]

    @property
    def slots(self) -> dict[int, InstanceFacts]:
        return {each.index: each for each in self.instances if each.place == "slot"}


class Runtime:
    """The real thing, on a world."""

    def __init__(self, world: World) -> None:
        _install()
        _World.now = world
        vars(_OS).update({name: getattr(world.kernel, name) for name in _CALLS})
        self._world = world
        self.ending: Ending | None = None
        self.operations: Operations | None = None
        self._session = Session(
            world.setup.versions[0],
            Surroundings(
                inbox=world.inbox,  # type: ignore[arg-type] # it has what a session asks for
                environ={},
                version="sim",
                load=lambda: world.setup.versions[0],  # SimLoading reads instead
                load_file=lambda _: world.setup.versions[0],  # nobody names one
                operate=self._operate,
            ),
        )
        self._supervisor = self._session._supervisor

    def _operate(self, parts: Parts) -> None:
        self.operations = Operations(parts)

    def run(self, driver: Callable[[], None]) -> None:
        """Start, let the driver turn the loop, and come to the end."""
        self._world.loop.driver = driver
        self.ending = self._session.run()

    # -- verbs -----------------------------------------------------------------------------------------

    def verb(self, verb: str, target: str, *args: object) -> bool:
        """What an operator types; False if it was refused."""
        if self.operations is None:
            return False
        try:
            targets = self.operations.targets(target)
            getattr(self.operations, verb)(targets, *args)
        except Refusal:
            return False
        return True

    def trigger(self, target: str, action: str, heard: Callable[[list[dict[str, Any]]], None]) -> None:
        """Run an action; `heard` gets the answers."""
        if self.operations is None:
            return
        operations = self.operations

        async def ask() -> None:
            try:
                answers = await operations.trigger(operations.targets(target), action)
            except Refusal:
                return
            heard(answers)

        self._world.loop.create_task(ask())

    # -- what there is ---------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._supervisor.phase.name == "RUNNING"

    @property
    def phase(self) -> str:
        return self._supervisor.phase.name

    def apps(self) -> dict[str, AppFacts]:
        """Every app there is."""
        return {app.name: _facts(app) for app in self._supervisor.apps.values()}

    def app(self, name: str) -> AppFacts | None:
        """One of them."""
        app = self._supervisor.apps.get(("default", name))
        return None if app is None else _facts(app)

    def neglected(self) -> Iterator[str]:
        """Apps with somebody online whose limits, times or watch are off."""
        room: Any = self._session._features
        for key, app in self._supervisor.apps.items():
            if not any(each.state is State.ONLINE for each in app.instances.values()):
                continue
            spec = app.spec
            if spec.max_memory_restart is not None:
                watched = None if room._memory is None else room._memory._policy._apps.get(key)
                if watched is None or watched.given_up:
                    yield f"{app.name}: no memory limit"
            if (spec.schedule or spec.cron_restart) and not (room._times and key in room._times._settings):
                yield f"{app.name}: no times"
            if spec.watch and not (room._watcher and key in room._watcher._apps):
                yield f"{app.name}: not watched"


def _facts(app: App) -> AppFacts:
    facts = [InstanceFacts(each, "slot") for each in app.instances.values()]
    facts += [InstanceFacts(each, "arriving") for each in app.actual.arriving]
    facts += [InstanceFacts(each, "leaving") for each in app.actual.leaving]
    return AppFacts(app.name, app.wanted.is_on, app.spec, tuple(facts))


# -- what stands for the system's calls --------------------------------------------------------------------


class _World:
    """Which world the replaced calls belong to."""

    now: World


def _call(name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return getattr(_World.now.kernel, name)(*args)

    return call


class _Wall(datetime):
    """The clock on the wall goes with the turned one."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override] # plain ones will do
        del tz
        return _EPOCH + timedelta(seconds=_World.now.loop.now)


_CALLS: Final = (
    *("kill", "killpg", "waitid", "getpid", "pidfd_open"),
    *("open", "dup", "pipe", "close", "set_blocking", "read", "stat"),
)
_OS: Final = Os()
_OTHERS: Final = ("pidone.init.reaper", "pidone.init.proctree", "pidone.init.spare", "pidone.descriptors")
"""Modules beside those of `supervise` whose calls end here."""


def _the_loop() -> SimLoop:
    return _World.now.loop


def _random() -> float:
    return _World.now.random.random()


@functools.cache
def _install() -> None:
    """Replace what ends in system calls, once, wherever the runtime has imported it."""
    for original, instead in (
        (spawn.spawn, _call("spawn")),
        (proctree.read, _call("proc_read")),
        (proctree.snapshot, _call("proc_snapshot")),
        (proctree.children, _call("proc_children")),
        (proctree.is_ours, lambda: True),
        (demand.demand, lambda pids: demand.Demand(frozenset(pids))),
        (processes.read_process, lambda _pid: True),
        (processes.tree_memory, lambda tree, _threshold: tree.rss),
        (processes.TreeSampler, lambda: SimSampler(_World.now)),
        (features._machine_kills, lambda: 0),
        (faults.end_processes, lambda *_args: None),
        (cgroup.Box, SimpleNamespace(find=lambda: SimBox(_World.now))),
        (loop.new_event_loop, _the_loop),
        (session._random, _random),
        (session._look_for_garbage, lambda: None),  # who plays thousands of worlds sees to that
        (reaper.Reaper, lambda on_orphan: _RealReaper(on_orphan, now=_World.now.burial_time)),
        (Relay, lambda *_args, **_keys: _World.now.log),
        (LazyBroker, lambda *_args: _World.now.broker),
        (Loading, lambda _load: SimLoading(_World.now)),
    ):
        _replace(original, instead)
    for name, module in list(sys.modules.items()):
        if name.startswith("pidone.supervise") or name in _OTHERS:
            if hasattr(module, "os"):
                vars(module)["os"] = _OS
            if hasattr(module, "datetime"):
                vars(module)["datetime"] = _Wall
    vars(proctree)["signal"] = SimpleNamespace(pidfd_send_signal=_call("pidfd_send_signal"))
    vars(leftovers)["procfs"] = SimpleNamespace(read_bytes=_call("environ"))


_RealReaper: Final = reaper.Reaper


def _replace(original: object, instead: object) -> None:
    """In every module that knows it by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pidone"):
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, instead)
