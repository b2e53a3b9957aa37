"""The table `state x event` of an instance, explored breadth-first until nothing new is found."""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import pytest
from stage import FakeProcess, NoDelegate, Stage, spec

from pidone.ecosystem.spec import OnReadyTimeout, Readiness
from pidone.supervise.instances.instance import TABLE, Instance
from pidone.supervise.instances.states import Event, State

Key: TypeAlias = tuple[object, ...]
"""Everything about an instance and its world that decides what can follow."""
Path: TypeAlias = tuple[str, ...]

_PERSON: Final = (Event.START, Event.STOP, Event.RESTART, Event.KILL, Event.GIVE_UP)
_MOST_STATES: Final = 3000
_ENDS_WITHIN: Final = 40
"""Things that may have to happen by themselves before a stop has come to its end."""


class Quiet:
    def instance_changed(self, instance: Instance, before: State) -> None: ...

    def instance_unhealthy(self, instance: Instance) -> bool:
        return False

    def instance_message(self, instance: Instance, value: object) -> None: ...

    def instance_cut(self, instance: Instance, connections: int) -> None: ...


class Waiting:
    """A hook that runs until the path says how it ends."""

    def __init__(self, then: Callable[..., None], *words: str) -> None:
        self.then: Callable[..., None] | None = then
        self.words = words

    def cancel(self) -> None:
        self.then = None

    def end(self, why: str = "") -> None:
        then, self.then = self.then, None
        if then is not None:
            then(*(why for _ in self.words))


class Hooked(NoDelegate):
    """Every start and every stop waits for a hook."""

    def __init__(self) -> None:
        self.hook: Waiting | None = None

    def before_start(self, instance: Instance, then: Callable[[str], None]) -> Waiting:
        self.hook = Waiting(then, "why")
        return self.hook

    def before_stop(self, instance: Instance, then: Callable[[], None]) -> Waiting:
        self.hook = Waiting(then)
        return self.hook


class Case:
    """One instance in a small world, brought somewhere by a path of inputs."""

    def __init__(self, keys: Mapping[str, Any], world: Mapping[str, Any], path: Path) -> None:
        self.stage = Stage()
        self.hooked = Hooked() if world.get("hooks") else None
        self.stage.launcher.drains = world.get("drains", False)
        self.stage.launcher.leftovers = world.get("leftovers", 0)
        self.kills_at_once = world.get("kills_at_once", False)
        self.visited: set[tuple[State, Event]] = set()
        its_world = self.stage.world.but(delegate=self.hooked or NoDelegate())
        self.instance = Instance(spec(max_restarts=2, **keys), 0, its_world, Quiet())
        handle = self.instance.handle

        def noted(event: Event, **words: Any) -> None:
            self.visited.add((self.instance.state, event))
            handle(event, **words)

        self.instance.handle = noted  # type: ignore[method-assign] # to see what the path uses of the table
        self.instance._deadline._happen = noted
        for name in path:
            self.happen(name)

    @property
    def process(self) -> FakeProcess | None:
        launched = self.stage.launcher.launched
        return launched[-1] if launched and launched[-1].is_alive else None

    def key(self) -> Key:
        instance, process = self.instance, self.process
        due = instance._deadline._due
        hook = self.hooked.hook if self.hooked else None
        return (
            instance.state,
            instance._goal if instance.state.has_process else None,
            instance.policy.unstable,
            instance.life.was_killed,
            bool(hook and hook.then),
            due[1] if due else None,
            (process.main_alive, process.leftovers, process.killed) if process else None,
        )

    def inputs(self) -> Iterator[str]:
        """What can happen now."""
        yield from (event.name for event in _PERSON)
        if self.stage.clock.pending:
            yield "time"
        if self.hooked and self.hooked.hook and self.hooked.hook.then:
            yield from ("hook", "hook fails")
        if self.process is None:
            yield "no spawn"
        elif self.process.main_alive:
            yield from ("exit", "crash", "ready", "sick", "drained")
        else:
            yield "gone"

    def happen(self, name: str) -> None:
        """Let it happen, and what follows at once."""
        process = self.process
        if name == "time":
            due = min(at for at, _, timer, _ in self.stage.clock._queue if not timer.cancelled)
            self.stage.clock.advance(due - self.stage.clock.now)
        elif name in ("hook", "hook fails"):
            assert self.hooked is not None
            assert self.hooked.hook is not None
            self.hooked.hook.end("pre_start failed" if name == "hook fails" else "")
        elif name == "no spawn":
            self.stage.launcher.fail = 1
        elif name in Event.__members__:
            self.instance.handle(Event[name])
        elif process is not None:
            self._of_process(name, process)
        if self.kills_at_once and (process := self.process) is not None and process.killed:
            process.exit(signal=signal.SIGKILL)
            process.leftovers_end()

    def _of_process(self, name: str, process: FakeProcess) -> None:
        does: Mapping[str, Callable[[], None]] = {
            "exit": lambda: process.exit(0),
            "crash": lambda: process.exit(1),
            "gone": process.leftovers_end,
            "ready": lambda: process.report.ready("ipc"),
            "sick": lambda: process.report.failed("probe"),
            "drained": process.report.drained,
        }
        does[name]()


WORLDS: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "plain": ({}, {}),
    "job": ({"autorestart": False}, {}),
    "backoff": ({"restart_delay": 1.0}, {}),
    "reported": ({"ready": Readiness(ipc=True)}, {}),
    "must be ready": ({"ready": Readiness(ipc=True), "on_ready_timeout": OnReadyTimeout.FAIL}, {}),
    "at once": ({"ready_delay": 0.0}, {}),
    "drains": ({}, {"drains": True}),
    "hooks": ({"restart_delay": 1.0}, {"hooks": True}),
    "leftovers": ({}, {"leftovers": 1}),
    "everything": (
        {"ready": Readiness(ipc=True), "restart_delay": 1.0},
        {"hooks": True, "drains": True, "leftovers": 1},
    ),
}


@pytest.fixture(params=WORLDS, scope="module")
def explored(request: pytest.FixtureRequest) -> "Explored":
    return Explored(*WORLDS[request.param])


class Explored:
    """Every state that can be reached in one world, with the shortest path to it."""

    def __init__(self, keys: Mapping[str, Any], world: Mapping[str, Any]) -> None:
        self.keys, self.world = keys, world
        start = Case(keys, world, ())
        self.paths: dict[Key, Path] = {start.key(): ()}
        self.following: dict[Key, dict[str, Key]] = {}
        self.visited: set[tuple[State, Event]] = set()
        waiting = deque(self.paths)
        while waiting:
            key = waiting.popleft()
            path = self.paths[key]
            after = self.following[key] = {}
            for name in Case(keys, world, path).inputs():
                case = Case(keys, world, (*path, name))
                self.visited |= case.visited
                _check(case)
                after[name] = found = case.key()
                if found not in self.paths:
                    assert len(self.paths) < _MOST_STATES, "no fixed point"
                    self.paths[found] = (*path, name)
                    waiting.append(found)


def _check(case: Case) -> None:
    """What holds wherever an instance is."""
    instance = case.instance
    assert instance.state.has_process == (instance.process is not None)
    assert (case.process is not None) == instance.state.has_process
    assert len(case.stage.launcher.alive()) <= 1
    assert case.stage.clock.pending <= 1
    if instance.state.is_final:
        assert case.stage.clock.pending == 0
    elif instance.state is not State.ONLINE:
        is_killed = case.process is not None and case.process.killed
        has_hook = case.hooked is not None and case.hooked.hook is not None and case.hooked.hook.then
        assert case.stage.clock.pending or has_hook or is_killed, "nothing will ever happen"


def test_the_states_are_few(explored: Explored) -> None:
    """The exploration comes to a fixed point: each way on from each state leads to one that is known."""
    assert set(explored.following) == set(explored.paths)
    assert all(found in explored.paths for after in explored.following.values() for found in after.values())


def test_every_state_has_a_way_to_an_end(explored: Explored) -> None:
    """From everywhere an end can be reached by what happens by itself: nobody has to help."""
    own = ("time", "hook", "exit", "crash", "gone", "drained", "ready")
    ends = {key for key in explored.paths if _is_final(key)}
    while True:
        more = {
            key
            for key, after in explored.following.items()
            if key not in ends and any(after.get(name) in ends for name in own)
        }
        if not more:
            break
        ends |= more
    stuck = {path for key, path in explored.paths.items() if key not in ends}
    # What restarts for ever comes to no end without a person, and need not.
    assert all(explored.keys.get("autorestart", True) for _ in stuck)


@pytest.mark.parametrize("event", [Event.STOP, Event.KILL], ids=str)
def test_a_stop_always_ends(explored: Explored, event: Event) -> None:
    """From everywhere: after a stop nothing but time and SIGKILL is needed to come to rest, and it stays."""
    for path in explored.paths.values():
        case = Case(explored.keys, explored.world, (*path, event.name))
        for _ in range(_ENDS_WITHIN):
            if case.instance.state.is_final:
                break
            process = case.process
            if process is not None and process.killed:
                process.exit(signal=signal.SIGKILL)
                process.leftovers_end()
            elif case.hooked and case.hooked.hook and case.hooked.hook.then:
                case.happen("hook")
            else:
                case.happen("time")
        assert case.instance.state.is_final, path
        assert case.stage.clock.pending == 0, path


@pytest.mark.parametrize("event", [Event.START, Event.RESTART], ids=str)
def test_a_start_is_never_lost(explored: Explored, event: Event) -> None:
    """From everywhere: who wants it up gets it up, if the program does its part."""
    for path in explored.paths.values():
        case = Case(explored.keys, explored.world, (*path, event.name))
        case.stage.launcher.fail = 0
        for _ in range(_ENDS_WITHIN):
            if case.instance.state is State.ONLINE:
                break
            _help(case)
        assert case.instance.state is State.ONLINE, path


def _help(case: Case) -> None:
    process = case.process
    if case.hooked and case.hooked.hook and case.hooked.hook.then:
        case.happen("hook")
    elif process is not None and not process.main_alive:
        case.happen("gone")
    elif process is not None and case.instance.state is State.STARTING:
        case.happen("ready")
        if case.instance.state is State.STARTING:
            case.happen("time")
    elif process is not None:
        case.happen("exit")
    else:
        case.happen("time")


@pytest.mark.parametrize("name", ["leftovers", "everything"])
def test_leftovers_that_are_gone_when_they_are_killed(name: str) -> None:
    """Whoever kills may learn in the same call that nobody is left: that is an end like any other."""
    keys, world = WORLDS[name]
    Explored(keys, {**world, "kills_at_once": True})
    explored = Explored(keys, world)
    for path in explored.paths.values():
        for event in ("time", "KILL"):
            case = Case(keys, world, path)
            process = case.process
            if process is None or process.main_alive or event not in (*case.inputs(),):
                continue
            process.kill = lambda process=process: _vanish(process)  # type: ignore[method-assign,misc]
            case.happen(event)
            _check(case)


def _vanish(process: FakeProcess) -> None:
    process.killed = True
    process.leftovers_end()


def test_the_whole_table_is_used() -> None:
    """Each entry of the table is on some path, and so is each state."""
    visited = set().union(*(Explored(*world).visited for world in WORLDS.values()))
    entries = {(state, event) for state, events in TABLE.items() for event in events}
    assert entries <= visited, sorted(f"{state} x {event.name}" for state, event in entries - visited)
    assert {state for state, _ in visited} == set(State)


def _is_final(key: Key) -> bool:
    state = key[0]
    assert isinstance(state, State)
    return state.is_final
