"""Invariants of the instance over histories nobody thought of."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stage import FakeProcess, NoDelegate, Stage, spec

from pidone.ecosystem.spec import OnReadyTimeout, Readiness
from pidone.supervise.instances.delegate import Pending
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import Event, State


class Quiet:
    def instance_changed(self, instance: Instance, before: State) -> None: ...

    def instance_unhealthy(self, instance: Instance) -> bool:
        return False

    def instance_message(self, instance: Instance, value: object) -> None: ...

    def instance_cut(self, instance: Instance, connections: int) -> None: ...


class Waiting:
    """An errand that ends when the history says so."""

    def __init__(self, then: Callable[[str], None]) -> None:
        self.then: Callable[[str], None] | None = then

    def cancel(self) -> None:
        self.then = None


class Hooked(NoDelegate):
    """Lets starts and stops wait, as hooks do, while it is told to."""

    def __init__(self) -> None:
        self.starts = self.stops = False
        self.errands: list[Waiting] = []

    def before_start(self, instance: Instance, then: Callable[[str], None]) -> Pending | None:
        return self._wait(then) if self.starts else None

    def before_stop(self, instance: Instance, then: Callable[[], None]) -> Pending | None:
        return self._wait(lambda _why: then()) if self.stops else None

    def _wait(self, then: Callable[[str], None]) -> Waiting:
        self.errands.append(Waiting(then))
        return self.errands[-1]


class AnyHistory(RuleBasedStateMachine):
    """Commands, exits, reports and time in any order."""

    stage: Stage
    hooked: Hooked
    instance: Instance

    @initialize(
        restart_delay=st.sampled_from([0.0, 0.5, 20.0]),
        backoff=st.sampled_from([0.0, 0.1]),
        max_restarts=st.sampled_from([0, 1, 3, 16]),
        window=st.sampled_from([None, 10.0]),
        autorestart=st.booleans(),
        reported=st.booleans(),
        fail_late=st.booleans(),
        message=st.booleans(),
        ready_delay=st.sampled_from([0.0, 1.0]),
    )
    def begin(self, **options: Any) -> None:
        self.stage = Stage()
        self.hooked = Hooked()
        app = spec(
            restart_delay=options["restart_delay"],
            exp_backoff_restart_delay=options["backoff"],
            max_restarts=options["max_restarts"],
            restart_window=options["window"],
            autorestart=options["autorestart"],
            ready=Readiness(ipc=options["reported"]),
            on_ready_timeout=OnReadyTimeout.FAIL if options["fail_late"] else OnReadyTimeout.ONLINE,
            shutdown_with_message=options["message"],
            ready_delay=options["ready_delay"],
        )
        self.instance = Instance(app, 0, self.stage.world.but(delegate=self.hooked), Quiet())
        self.starts_when_stopped: int | None = 0

    @property
    def processes(self) -> list[FakeProcess]:
        return self.stage.launcher.launched

    @rule(event=st.sampled_from([Event.START, Event.RESTART]))
    def person_wants_it_up(self, event: Event) -> None:
        self.starts_when_stopped = None
        self.instance.handle(event)

    @rule(event=st.sampled_from([Event.STOP, Event.KILL]))
    def person_wants_it_down(self, event: Event) -> None:
        # A kill of what is already down, or completed, changes nothing about what may start later.
        self.instance.handle(event)
        self.starts_when_stopped = len(self.processes)

    @rule(number=st.integers(0, 3), code=st.sampled_from([0, 1, 42]), by_signal=st.booleans())
    def some_process_exits(self, number: int, code: int, *, by_signal: bool) -> None:
        if number < len(self.processes):
            self.processes[-1 - number].exit(code, signal=9 if by_signal else None)

    @rule(number=st.integers(0, 3))
    def some_leftovers_end(self, number: int) -> None:
        if number < len(self.processes):
            self.processes[-1 - number].leftovers_end()

    @rule(number=st.integers(0, 3), what=st.sampled_from(["ready", "failed", "drained", "extend"]))
    def some_process_reports(self, number: int, what: str) -> None:
        if number < len(self.processes):
            report = self.processes[-1 - number].report
            if what == "ready":
                report.ready("ipc")
            elif what == "failed":
                report.failed("probe")
            elif what == "drained":
                report.drained()
            else:
                report.extend(5)

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0, 3.5, 9.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule(leftovers=st.integers(0, 1), drains=st.booleans(), channel=st.booleans(), fail=st.integers(0, 2))
    def the_next_lives_differ(self, leftovers: int, fail: int, *, drains: bool, channel: bool) -> None:
        launcher = self.stage.launcher
        launcher.leftovers, launcher.drains, launcher.has_channel, launcher.fail = (
            leftovers,
            drains,
            channel,
            fail,
        )

    @rule(starts=st.booleans(), stops=st.booleans())
    def hooks_come_and_go(self, *, starts: bool, stops: bool) -> None:
        self.hooked.starts, self.hooked.stops = starts, stops

    @rule(number=st.integers(0, 2), why=st.sampled_from(["", "", "pre_start failed"]))
    def some_hook_ends(self, number: int, why: str) -> None:
        if number < len(self.hooked.errands):
            errand = self.hooked.errands[-1 - number]
            then, errand.then = errand.then, None
            if then is not None:
                then(why)

    @rule()
    def it_is_given_up(self) -> None:
        self.instance.give_up("it needs too much")

    @precondition(lambda self: bool(self.processes))
    @rule()
    def killed_processes_die(self) -> None:
        for process in self.processes:
            if process.killed:
                process.exit(signal=9)
                process.leftovers_end()

    @invariant()
    def never_two_live_incarnations(self) -> None:
        if hasattr(self, "stage"):
            assert len(self.stage.launcher.alive()) <= 1

    @invariant()
    def a_stopped_instance_never_starts(self) -> None:
        if hasattr(self, "stage") and self.starts_when_stopped is not None:
            assert len(self.processes) == self.starts_when_stopped

    @invariant()
    def state_and_process_agree(self) -> None:
        if hasattr(self, "stage"):
            assert self.instance.state.has_process == (self.instance.process is not None)
            assert bool(self.stage.launcher.alive()) == self.instance.state.has_process

    @invariant()
    def at_most_one_deadline(self) -> None:
        if hasattr(self, "stage"):
            assert self.stage.clock.pending <= 1

    @invariant()
    def a_final_state_waits_for_nothing(self) -> None:
        if hasattr(self, "stage") and self.instance.state.is_final:
            assert self.stage.clock.pending == 0

    @invariant()
    def what_waits_for_a_hook_has_one(self) -> None:
        if hasattr(self, "stage") and self.instance.state in (State.PREPARING, State.LEAVING):
            assert any(errand.then for errand in self.hooked.errands)
            assert self.stage.clock.pending == 0

    @invariant()
    def an_end_that_was_asked_for_always_comes(self) -> None:
        if hasattr(self, "stage") and self.instance.state in (State.STOPPING, State.DRAINING):
            process = self.instance.process
            assert process is not None
            assert self.stage.clock.pending == 1 or self.processes[-1].killed


AnyHistory.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_any_history = AnyHistory.TestCase
