"""All apps together: started when their dependencies allow, stopped in reverse, ended with one code.

Order is not a script but a rule that `reconcile` looks at, once in each turn of the loop in which something
has changed: a waiting app starts as soon as its dependencies are satisfied, and during a stop an app is
stopped as soon as nothing that depends on it is up any more. Then each app that is concerned takes its own
next steps. What people, signals, files, limits and schedules want only changes the wishes of apps.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Final

from pidone.contracts import SocketBroker, Timer
from pidone.ecosystem.spec import AppSpec, Ecosystem, RuntimeSpec, Seconds
from pidone.ecosystem.stopping import AppKey, dependencies, stop_time
from pidone.init.exitcodes import SIGNAL_BASE, ExitCode
from pidone.signames import signal_name
from pidone.supervise.app import App
from pidone.supervise.collaborators import World
from pidone.supervise.ending import Ending, ended_by, over
from pidone.supervise.faults import Faults
from pidone.supervise.fleet import Fleet
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import Event, State
from pidone.supervise.process.leftovers import Cleanup, our_descendants
from pidone.supervise.start_order import StartOrder
from pidone.supervise.wanted import Run

AFTER_KILL: Final[Seconds] = 2.0
"""How long a process may take to vanish after SIGKILL (uninterruptible sleep) before we leave without it."""
AFTER_FAULT: Final[Seconds] = 1.0
"""How long after an unexpected exception every app is looked at again: it may be raised again."""
LAST_STAND: Final[Seconds] = 8.0
"""How long apps have for their end if nobody has set a deadline before the stop failed."""
LAST_CHANCE: Final[Seconds] = 1.0
"""How long those have that are asked to stop only when the time of the whole is up."""
_POLL: Final[Seconds] = 0.05
"""How often the last stand looks whether everybody has gone: it relies on nobody to tell."""
TURN: Final[Seconds] = 0.02
"""How long the steps of one turn may take, so that signals, logs and clients have theirs."""


class Phase(Enum):
    """How far the whole has come."""

    NEW = auto()
    RUNNING = auto()
    LINGERING = auto()
    """A stop was asked for; apps keep serving for `shutdown_delay`."""
    STOPPING = auto()
    RESTING = auto()
    """All apps are down; what is told of that still runs."""
    SWEEPING = auto()
    """All apps are down; adopted strangers get their chance to end."""
    DONE = auto()


class Supervisor:
    """Runs an ecosystem from start to end."""

    def __init__(
        self,
        ecosystem: Ecosystem,
        world: World,
        broker: SocketBroker,
        *,
        count: Callable[[AppSpec], int],
        on_done: Callable[[Ending], None],
    ) -> None:
        """`count` resolves `instances`; `on_done` is called once, when nothing is left."""
        self.fleet = Fleet(ecosystem, world, broker, self, count=count)
        """Who there is."""
        self.apps = self.fleet.apps
        self.phase = Phase.NEW
        self._world = world
        self._log = world.log.event
        self._broker = broker
        self._on_done = on_done
        self._order = StartOrder(self.apps, world, self.fleet.renamed.waits_for)
        self._changed: dict[AppKey, None] = {}
        """Apps to be looked at, in the order in which they changed."""
        self._look_again: Timer | None = None
        self._timers: dict[AppKey, Timer] = {}
        """For apps of which time alone will change something."""
        self._ending: Ending | None = None
        self._was_told = False
        """A signal has asked for the stop that is under way."""
        self._deadline: Timer | None = None
        self._sweep: Cleanup | None = None
        self._overran = False
        self._gave_more = False
        self._drained_at: Seconds | None = None
        self._makes_last_stand = False
        self._is_idle = False
        """It was told that nothing runs any more."""
        self.time_to_stop: Seconds = 0.0
        """How long the stop that is under way may take."""
        self.on_turn: Callable[[], None] | None = None
        """Called after each turn in which something was looked at."""
        self.faults = Faults(world.clock, world.log, self._recover)
        """Who hears about exceptions that nobody expected."""

    @property
    def ecosystem(self) -> Ecosystem:
        """What the file says, as far as it is applied."""
        return self.fleet.ecosystem

    @property
    def runtime(self) -> RuntimeSpec:
        """The settings of the whole."""
        return self.ecosystem.runtime

    @property
    def is_ready(self) -> bool:
        """Every app that was started is ready, and none is missing; while lingering, if so configured."""
        lingers = self.phase is Phase.LINGERING and not self.runtime.unready_on_stop
        return (
            (self.phase is Phase.RUNNING or lingers)
            and self._drained_at is None
            and all(app.is_ready for app in self.apps.values() if app.spec.autostart)
        )

    @property
    def is_draining(self) -> bool:
        """Whether `begin_drain` was called."""
        return self._drained_at is not None

    def waits_for(self, app: App) -> str:
        """What stands between the wish for an app and what is there, in words; empty if nothing does."""
        return self._order.waits_for(app)

    # -- what people and signals ask for ---------------------------------------------------------------

    def open(self) -> None:
        """Bind every listening socket, before anything is started. Raises ListenError."""
        self.fleet.open()

    def start(self) -> None:
        """Start every app, in the order their dependencies allow."""
        if self.phase is not Phase.NEW:
            return
        self.phase = Phase.RUNNING
        self.fleet.begin()
        self.reconcile()

    def shutdown(self, ending: Ending, *, at_once: bool = False) -> None:
        """Stop everything in order and end. What asks later, while that is under way, changes nothing.

        `at_once` skips `shutdown_delay`, which makes sense only where apps still serve.
        """
        if self.phase not in (Phase.NEW, Phase.RUNNING):
            return
        self._ending = ending
        for app in self.apps.values():
            app.forget_kills()
        delay = 0.0 if at_once or not self.apps else self._delay_left()
        self._log("info", "runtime.stop", ending.message, reason=ending.reason, delay_s=delay or None)
        limit = self.time_to_stop = stop_time(self.runtime, self.fleet.ordered(), delay)
        self._deadline = self._world.deadlines.call_later(limit, self._out_of_time)
        if delay > 0:
            self.phase = Phase.LINGERING
            self._world.clock.call_later(delay, self._prepare_stop)
        elif at_once:
            self._stop_apps()
        else:
            self._prepare_stop()

    def stop_by_signal(self, number: int) -> None:
        """A signal that means stop: the first one in order, the second one without any more waiting."""
        name = signal_name(number)
        was_told, self._was_told = self._was_told, True
        if self.phase in (Phase.NEW, Phase.RUNNING):
            self.shutdown(Ending(ExitCode.OK, "signal", f"received {name}"))
        elif self.phase is not Phase.DONE and not was_told:
            # Nobody asked before: the stop that is under way has another reason, and goes on in its order.
            self._log("info", "runtime.stop", f"received {name}: a stop is under way", reason="signal")
            if self.phase is Phase.RESTING and self._deadline is not None:
                self._deadline.cancel()
                limit = stop_time(self.runtime, (), 0.0)
                self._deadline = self._world.deadlines.call_later(limit, self._out_of_time)
        elif self.phase is not Phase.DONE:
            again = f"received {name} again: not waiting any longer"
            self._log("warning", "runtime.hurry", again)
            self._ending = Ending(SIGNAL_BASE + number, "signal", again)
            self._kill_everything()

    def begin_drain(self) -> None:
        """Ready no more, from now until the end: somebody takes the traffic away, and a stop will follow.

        The time until then counts as part of `shutdown_delay`.
        """
        if self._drained_at is None:
            self._drained_at = self._world.clock.time()

    def end_drain(self) -> None:
        """Whoever took the traffic away gives it back; without effect once a stop is under way."""
        if self.phase in (Phase.NEW, Phase.RUNNING):
            self._drained_at = None

    def forward(self, number: int) -> None:
        """Send a signal to the main process of every instance."""
        for app in self.apps.values():
            app.signal(number)

    def apply(self, ecosystem: Ecosystem) -> None:
        """Want what a re-read file says. Raises ListenError; nothing has changed then."""
        if self.phase is Phase.RUNNING:
            self.fleet.apply(ecosystem)
            self._look()

    def lay_over(self, specs: Sequence[AppSpec], *, at_once: bool) -> tuple[list[AppKey], list[AppKey]]:
        """Want these apps beside those of other names: see `Fleet`. Raises ListenError."""
        outcome = self.fleet.lay_over(specs, at_once=at_once)
        self._look()
        return outcome

    def resize(self, cpus: int) -> None:
        """The container may use so many CPUs from now on."""
        self.fleet.resize(cpus, follow=self.phase is Phase.RUNNING)

    # -- called by apps --------------------------------------------------------------------------------

    def app_changed(self, app: App) -> None:
        """Something about an app changed: look at it, once, when the present event is done."""
        self._changed[app.spec.key()] = None
        self._look()

    def _look(self) -> None:
        if self._look_again is None:
            self._look_again = self._world.clock.call_later(0, self.reconcile)

    # -- the rules -------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Compare what is wanted with what is there, and take the next steps: once in a turn of the loop."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        if self._makes_last_stand:
            return
        self._exchange_apps()
        if self.phase is Phase.RUNNING:
            self._order.begin()
        elif self.phase is Phase.STOPPING:
            self._stop_next()
        self._step_apps()
        if self.phase is Phase.RUNNING:
            if not self._changed:  # else there are steps to come
                self._end_if_over()
        elif self.phase is Phase.STOPPING and all(app.is_down for app in self.apps.values()):
            self._rest()
        if self.on_turn is not None:
            self._safely(self.on_turn)

    def _exchange_apps(self) -> None:
        """What a file brings comes instead of what is there, as long as nothing is about to stop."""
        if self.phase in (Phase.RUNNING, Phase.LINGERING):  # who has come by then is enough
            self.fleet.renamed.look()
        if self.phase is Phase.RUNNING:
            self.fleet.exchange(self._changed)
            self._end_by_essential()

    def _step_apps(self) -> None:
        """Each app that has changed takes its next steps; who is not reached in time comes next turn."""
        clock = self._world.clock
        begun = clock.time()

        def is_time_up() -> bool:
            return clock.time() - begun > TURN

        todo, self._changed = [*self._changed], {}
        for position, key in enumerate(todo):
            if is_time_up():
                self._changed.update(dict.fromkeys(todo[position:]))
                self._look()
                break
            app = self.apps.get(key)
            if app is None:
                continue
            if self.phase is not Phase.STOPPING and self.fleet.renamed.has_to_wait(app):
                self._changed[key] = None  # until the other one has ended, which is a change of that
                continue
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
            try:
                look_at = app.reconcile(clock.time(), is_time_up).look_at
            except Exception as error:  # noqa: BLE001 (one app's trouble is never another's)
                self.faults.caught(error)
                continue
            if look_at is not None:
                self._timers[key] = clock.call_later(
                    max(0.0, look_at - clock.time()), partial(self._time_came, app)
                )

    def _time_came(self, app: App) -> None:
        self._timers.pop(app.spec.key(), None)
        self.app_changed(app)

    def _end_by_essential(self) -> None:
        """Before anything is started: its end is that of the whole."""
        for app in self.apps.values():
            if app.spec.essential and app.ended_by_itself and not app.will_come_back and not _becomes(app):
                self.shutdown(ended_by(app, "essential"))
                return

    def _end_if_over(self) -> None:
        for app in self.apps.values():
            if (
                not app.is_down
                or self._order.waits(app)
                or _becomes(app)
                or app.was_put_to_rest
                or app.will_come_back
            ):
                self._is_idle = False
                return
        if self.runtime.auto_exit:
            self.shutdown(over(self.apps.values()), at_once=True)
        elif not self._is_idle:
            self._is_idle = True
            ending = over(self.apps.values())
            level = "warning" if ending.is_abnormal else "info"
            why = f"{ending.message}; the container stays (auto_exit = false)"
            self._log(level, "runtime.idle", why, reason=ending.reason)

    # -- the end ---------------------------------------------------------------------------------------

    def _delay_left(self) -> Seconds:
        if self._drained_at is None:
            return self.runtime.shutdown_delay
        return max(0.0, self.runtime.shutdown_delay - (self._world.clock.time() - self._drained_at))

    def _prepare_stop(self) -> None:
        if self.phase not in (Phase.NEW, Phase.RUNNING, Phase.LINGERING):
            return
        if self.phase is Phase.RUNNING:
            self.phase = Phase.LINGERING
        message = self._ending.message if self._ending else ""
        if not self._world.delegate.whole_stops(message, self._stop_apps):
            self._stop_apps()

    def _stop_apps(self) -> None:
        if self.phase not in (Phase.NEW, Phase.RUNNING, Phase.LINGERING):
            return
        self.phase = Phase.STOPPING
        for app in self.apps.values():
            self._safely(app.end)
        self._look()

    def _stop_next(self) -> None:
        """Stop every app that nothing running depends on any more."""
        graph = dependencies(self.fleet.ordered())
        up = [key for key, app in self.apps.items() if not app.is_down]
        needed = {other for key in up for other in graph[key]}
        for key, app in self.apps.items():
            if key not in needed and app.wanted.run is not Run.OFF:
                app.stop()

    def _out_of_time(self) -> None:
        if self.phase is Phase.RESTING and not self._was_told and self.runtime.shutdown_timeout is None:
            # Nobody has sent a signal, who would kill us: a hook that tells of the last end has its own time.
            left = self._world.delegate.busy_for()
            if left > 0:
                self._deadline = self._world.deadlines.call_later(left, self._out_of_time)
                return
        up = [app for app in self.apps.values() if not app.is_down]
        if self.phase is Phase.STOPPING and not up and not self._makes_last_stand:
            # The last one has just been buried: what remains is to come to rest.
            self._deadline = self._world.deadlines.call_later(AFTER_KILL, self._out_of_time)
            self.reconcile()
            return
        # Who got more time and has gone meanwhile has taken it from those that he depended on; and on a busy
        # machine it may take as long to ask everybody as each of them has.
        late = [each for each in self._all_instances() if each.life.asked_for_more or each.was_asked_late]
        if up and late and not self._gave_more and self.runtime.shutdown_timeout is None:
            self._gave_more = True  # once: who asks for ever is not waited for for ever
            more = stop_time(self.runtime, [app.spec for app in up], max(each.time_left for each in late))
            self._deadline = self._world.deadlines.call_later(more, self._out_of_time)
            return
        self._overran = True
        self._log("error", "runtime.deadline", "the time for the whole stop is up: killing what is left")
        waiting = [each for each in self._all_instances() if each.process and not each.state.is_ending]
        if not waiting:
            self._kill_everything()
            return
        # Somebody took longer than he has, and those he depends on have not been asked yet: they are now.
        self._deadline = self._world.deadlines.call_later(LAST_CHANCE, self._kill_everything)
        self._stop_apps()
        for instance in self._all_instances():
            if instance not in waiting:
                self._safely(partial(instance.handle, Event.KILL))
        for app in self.apps.values():
            self._safely(app.stop)

    def _kill_everything(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._world.deadlines.call_later(AFTER_KILL, self._finish)
        self._stop_apps()
        for app in self.apps.values():
            self._safely(app.kill)
        self._safely(self._world.delegate.hurry)
        if self._sweep is not None:
            self._safely(self._sweep.kill)

    def _safely(self, act: Callable[[], object]) -> None:
        """Whatever happens to one, the others have their turn."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 (it is told, and decided upon, in one place)
            self.faults.caught(error)

    def _recover(self, what: str) -> str:
        """Something raised: see to it that all goes on; how things stand."""
        if self.phase in (Phase.NEW, Phase.RUNNING):
            for app in tuple(self.apps.values()):
                self._world.clock.call_later(AFTER_FAULT, partial(self.app_changed, app))
        elif self.phase is not Phase.DONE:
            self._make_last_stand(what)
        apps = (
            f"{app.name} {app.wanted.run.name} {[str(m.state) for m in app.members()]}"
            for app in self.apps.values()
        )
        return f"{self.phase.name}: " + "; ".join(apps)

    def _make_last_stand(self, what: str) -> None:
        """Something raised during the stop: signal everybody, kill at the deadline, bury, and end with 70."""
        if self._makes_last_stand:
            return
        self._makes_last_stand = True
        self._ending = Ending(ExitCode.INTERNAL, "bug", what)
        self.phase = Phase.STOPPING
        for instance in self._all_instances():
            process = instance.process
            if process is not None and instance.state is not State.STOPPING:
                with suppress(Exception):
                    process.signal(instance.app.kill_signal)
        if self._deadline is None:
            self._deadline = self._world.deadlines.call_later(LAST_STAND, self._out_of_time)
        self._wait_for_the_last()

    def _wait_for_the_last(self) -> None:
        if all(instance.state.is_final or instance.process is None for instance in self._all_instances()):
            self._finish()
        elif self.phase is not Phase.DONE:
            self._world.clock.call_later(_POLL, self._wait_for_the_last)

    def _all_instances(self) -> list[Instance]:
        return [instance for app in self.apps.values() for instance in app.members()]

    def _rest(self) -> None:
        self.phase = Phase.RESTING
        self._world.launcher.start_no_more()
        ending = self._ending or Ending(ExitCode.OK, "idle")
        if not self._world.delegate.whole_rests(ending.code, ending.message, self._begin_sweep):
            self._begin_sweep()

    def _begin_sweep(self) -> None:
        if self.phase is Phase.DONE:
            return
        self.phase = Phase.SWEEPING
        self._sweep = Cleanup(lambda: our_descendants(self._world.helpers()), self._world.clock, self._finish)
        if not self._sweep.begin():
            self._finish()

    def orphan_buried(self) -> None:
        """An adopted process was reaped: it may have been the last one."""
        if self._sweep is not None and self.phase is Phase.SWEEPING:
            self._sweep.check()

    def _finish(self) -> None:
        if self.phase is Phase.DONE:
            return
        self.phase = Phase.DONE
        self._world.launcher.start_no_more()
        if self._deadline is not None:
            self._deadline.cancel()
        for app in self.apps.values():
            self._safely(partial(self._broker.close, app.spec))
        ending = self._ending or Ending(ExitCode.OK, "idle")
        killed = [app.name for app in self.apps.values() if app.was_killed]
        if ending.code == ExitCode.OK and (killed or self._overran):
            message = f"had to be killed: {', '.join(killed) or 'leftover processes'}"
            ending = Ending(ExitCode.DEADLINE, "deadline", message, next(iter(killed), None))
        self._log("info", "runtime.exit", ending.message, code=ending.code, reason=ending.reason)
        self._on_done(ending)


def _becomes(app: App) -> bool:
    """Whether it is about to be another one that runs."""
    return app.wanted.exchange is not None and app.wanted.exchange.run is not Run.OFF
