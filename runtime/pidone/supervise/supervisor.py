"""All apps together: started when their dependencies allow, stopped in reverse, ended with one code.

Order is not a script but a rule that is looked at again whenever something changes: a waiting app starts as
soon as its dependencies are satisfied, and during a stop an app is stopped as soon as nothing that depends on
it is up any more.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from pidone.contracts import SocketBroker, Timer
from pidone.ecosystem.spec import AppSpec, Dependency, Ecosystem, RuntimeSpec, Seconds
from pidone.errors import ListenError
from pidone.init.exitcodes import SIGNAL_BASE, ExitCode
from pidone.record import Record
from pidone.signames import signal_name
from pidone.supervise.app import App
from pidone.supervise.collaborators import World
from pidone.supervise.leftovers import Clearance, our_descendants
from pidone.supervise.restart import Fate
from pidone.supervise.rollout import can_overlap

AFTER_KILL: Final[Seconds] = 2.0
"""How long a process may take to vanish after SIGKILL (uninterruptible sleep) before we leave without it."""


class Ending(Record):
    """Why and how the container ends."""

    code: int
    reason: str
    """A stable word: `signal`, `completed`, `app`, `gave-up`, `essential`, `deadline`, `stdout`, `idle`."""
    message: str = ""
    app: str | None = None

    @property
    def is_abnormal(self) -> bool:
        """Whether somebody should look at it."""
        return self.code != ExitCode.OK


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
        self.ecosystem = ecosystem
        self.apps: dict[tuple[str, str], App] = {}
        self.phase = Phase.NEW
        self._world = world
        self._broker = broker
        self._count = count
        self._on_done = on_done
        self._waiting: set[tuple[str, str]] = set()
        """Apps to start as soon as their dependencies allow."""
        self._replacing: dict[tuple[str, str], AppSpec] = {}
        """New specs of apps whose old instances are still ending."""
        self._blocked: set[tuple[str, str]] = set()
        self._ending: Ending | None = None
        self._look_again: Timer | None = None
        self._deadline: Timer | None = None
        self._sweep: Clearance | None = None
        self._overran = False
        self._drained_at: Seconds | None = None

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

    # -- what people and signals ask for ---------------------------------------------------------------

    def open(self) -> None:
        """Bind every listening socket, before anything is started. Raises ListenError."""
        for spec in self.ecosystem.apps:
            self._broker.open(spec)

    def start(self) -> None:
        """Start every app, in the order their dependencies allow."""
        if self.phase is not Phase.NEW:
            return
        self.phase = Phase.RUNNING
        for spec in self.ecosystem.apps:
            self._add(spec)
        self._advance()

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
        self._deadline = self._world.clock.call_later(self._shutdown_time(delay), self._out_of_time)
        if delay > 0:
            self.phase = Phase.LINGERING
            self._world.clock.call_later(delay, self._prepare_stop)
        elif at_once:
            self._stop_apps()
        else:
            self._prepare_stop()

    def stop_by_signal(self, number: int) -> None:
        """A signal that means stop: the first one in order, the second one without any more waiting."""
        if self.phase in (Phase.NEW, Phase.RUNNING):
            name = signal_name(number)
            self.shutdown(Ending(ExitCode.OK, "signal", f"received {name}"))
        elif self.phase is not Phase.DONE:
            again = f"received {signal_name(number)} again: not waiting any longer"
            self._log("warning", "runtime.hurry", again)
            self._ending = Ending(SIGNAL_BASE + number, "signal", again)
            self._kill_everything()

    def start_app(self, app: App) -> None:
        """Start an app now, whatever it depends on: a person asked for it."""
        self._waiting.discard(app.spec.key())
        self._blocked.discard(app.spec.key())
        app.start()

    def stop_app(self, app: App) -> None:
        """Stop an app and keep it stopped; the runtime stays, also when nothing else is left."""
        self._waiting.discard(app.spec.key())
        self._blocked.discard(app.spec.key())
        app.stop()

    def dependents(self, app: App) -> list[App]:
        """Who waits for this app when everything starts."""
        return [
            other
            for other in self.apps.values()
            if any(self._dependency(other, each.app) is app for each in other.spec.depends_on)
        ]

    def remove(self, app: App) -> None:
        """Stop an app and forget it, as if the file had never named it. Nothing may depend on it."""
        key = app.spec.key()
        self._replacing.pop(key, None)
        self.ecosystem = self.ecosystem.but(
            apps=tuple(spec for spec in self.ecosystem.apps if spec.key() != key)
        )
        self.stop_app(app)
        self.app_changed(app)

    def begin_drain(self) -> None:
        """Ready no more, from now until the end: somebody takes the traffic away, and a stop will follow.

        The time until then counts as part of `shutdown_delay`.
        """
        if self._drained_at is None:
            self._drained_at = self._world.clock.time()

    def forward(self, number: int) -> None:
        """Send a signal to the main process of every instance."""
        for app in self.apps.values():
            app.signal(number)

    def apply(self, ecosystem: Ecosystem) -> None:
        """Become what a re-read file says, touching only what differs.

        Raises ListenError if a socket cannot be opened; nothing has changed then.
        """
        if self.phase is not Phase.RUNNING:
            return
        self._open_instead(ecosystem)
        self.ecosystem, before = ecosystem, self.ecosystem
        new = {spec.key(): spec for spec in ecosystem.apps}
        present = self._present()
        removed = [key for key in self.apps if key not in new]
        added = [key for key in new if key not in self.apps]
        changed = [key for key in present if key in new and not _same_but_count(present[key], new[key])]
        for key in removed:
            self._waiting.discard(key)
            self._replacing.pop(key, None)
            self.apps[key].stop()
        for key in added:
            self._add(new[key])
        for key in changed:
            self._change(self.apps[key], new[key])
        scaled = []
        for key, app in self.apps.items():
            if key in new and key not in changed and key not in added:
                count = self._count(new[key])
                if count != len(app.instances):
                    scaled.append(key)
                if key in self._replacing:
                    self._replacing[key] = new[key]
                else:
                    app.scale(count, new[key])
        self._log(
            "info",
            "config.reload",
            "the ecosystem was read again",
            added=_names(added),
            removed=_names(removed),
            changed=_names(changed),
            scaled=_names(scaled),
            unchanged=len(before.apps) - len(removed) - len(changed) - len(scaled),
        )
        self._advance()

    def _open_instead(self, ecosystem: Ecosystem) -> None:
        """Bind the sockets of a re-read file; on ListenError everything is as it was."""
        try:
            for spec in ecosystem.apps:
                self._broker.open(spec)
        except ListenError:
            present = self._present()
            for spec in present.values():
                self._broker.open(spec)
            for spec in ecosystem.apps:
                if spec.key() not in present:
                    self._broker.close(spec)
            raise

    def _present(self) -> dict[tuple[str, str], AppSpec]:
        """What every app is, or becomes if all that is under way succeeds."""
        return {key: self._replacing.get(key) or app.aim for key, app in self.apps.items()}

    # -- called by apps --------------------------------------------------------------------------------

    def app_changed(self, app: App) -> None:
        """Something about an app changed: look at the rules again, once, when the present event is done."""
        del app
        if self._look_again is None:
            self._look_again = self._world.clock.call_later(0, self._advance)

    # -- the rules -------------------------------------------------------------------------------------

    def _advance(self) -> None:
        self._look_again = None
        if self.phase is Phase.RUNNING:
            self._exchange()
            self._start_waiting()
            self._end_if_over()
        elif self.phase is Phase.STOPPING:
            self._stop_next()
            if all(app.is_down for app in self.apps.values()):
                self._rest()

    def _add(self, spec: AppSpec) -> None:
        self.apps[spec.key()] = App(spec, self._count(spec), self._world, self)
        if spec.autostart:
            self._waiting.add(spec.key())

    def _change(self, app: App, spec: AppSpec) -> None:
        """Without a gap where old and new can serve side by side; stop and start elsewhere."""
        if app.wanted and not app.is_down and can_overlap(app.spec) and can_overlap(spec):
            app.reload(spec, count=self._count(spec), reason="config")
        else:
            self._replacing[spec.key()] = spec
            app.stop()

    def _exchange(self) -> None:
        """Put the new spec in the place of an app that has ended for it; drop what the file dropped."""
        known = {spec.key() for spec in self.ecosystem.apps}
        for key, app in list(self.apps.items()):
            if not app.is_down:
                continue
            if key in self._replacing:
                self._add(self._replacing.pop(key))
            elif key not in known:
                self._broker.close(app.spec)
                del self.apps[key]
                self._world.log.forget(key)

    def _start_waiting(self) -> None:
        for key in [spec.key() for spec in self.ecosystem.apps if spec.key() in self._waiting]:
            app = self.apps[key]
            missing = [
                d for d in app.spec.depends_on if not self._dependency(app, d.app).satisfies(d.condition)
            ]
            if not missing:
                self._waiting.discard(key)
                self._blocked.discard(key)
                app.begin()
                continue
            hopeless = [d for d in missing if not self._may_come(app, d)]
            if hopeless and key not in self._blocked:
                self._blocked.add(key)
                first = hopeless[0]
                self._log(
                    "error",
                    "app.blocked",
                    f"waits for {first.app} to be {first.condition}, which will not happen",
                    **app.spec.labels(),
                )

    def _dependency(self, app: App, name: str) -> App:
        """The app a dependency names: of the same namespace if there is one, else by name alone."""
        key = (app.spec.namespace, name)
        if key in self.apps:
            return self.apps[key]
        return next(other for other in self.apps.values() if other.name == name)

    def _may_come(self, app: App, dependency: Dependency) -> bool:
        other = self._dependency(app, dependency.app)
        key = other.spec.key()
        if key in self._waiting or key in self._replacing:
            return key not in self._blocked
        return other.can_satisfy(dependency.condition)

    def _end_if_over(self) -> None:
        for app in self.apps.values():
            if app.spec.essential and app.ended_by_itself and not app.will_come_back:
                self.shutdown(self._ending_by(app, "essential"))
                return
        if self._replacing or not self.runtime.auto_exit:
            return
        if self._waiting - self._blocked or not all(app.is_down for app in self.apps.values()):
            return
        if any(app.was_put_to_rest or app.will_come_back for app in self.apps.values()):
            return
        self.shutdown(self._over(), at_once=True)

    def _over(self) -> Ending:
        """Nothing is left to run: how that is to be called."""
        failed = [app for app in self.apps.values() if app.has_given_up]
        if failed:
            last = max(failed, key=lambda app: max(i.started_at + i.uptime for i in app.instances.values()))
            gave_up = [app for app in failed if _fates(app) & {Fate.GAVE_UP}]
            return self._ending_by(gave_up[-1] if gave_up else last, "app")
        if any(app.ended_by_itself for app in self.apps.values()):
            return Ending(ExitCode.OK, "completed", "every app has completed")
        return Ending(ExitCode.OK, "idle", "nothing is left to run")

    def _ending_by(self, app: App, reason: str) -> Ending:
        ended = [i for i in app.instances.values() if i.fate not in (None, Fate.COMPLETED)]
        if not ended:
            return Ending(ExitCode.OK, reason, f"{app.name} has completed", app.name)
        instance = ended[-1]
        status = instance.last_exit
        code = status.shell_code if status else ExitCode.INTERNAL
        how = str(status) if status else "nothing to tell"
        if instance.fate is Fate.GAVE_UP:
            message = f"{app.name}: {instance.reason}"
            if status is not None:
                message += f"; the last end was {how}"
            return Ending(ExitCode.GAVE_UP, "gave-up", message, app.name)
        return Ending(code, reason, f"{app.name} ended with {how}", app.name)

    # -- the end ---------------------------------------------------------------------------------------

    def _delay_left(self) -> Seconds:
        if self._drained_at is None:
            return self.runtime.shutdown_delay
        return max(0.0, self.runtime.shutdown_delay - (self._world.clock.time() - self._drained_at))

    def _shutdown_time(self, delay: Seconds) -> Seconds:
        return self.runtime.stop_time((app.spec for app in self.apps.values()), delay)

    def _prepare_stop(self) -> None:
        if self.phase not in (Phase.NEW, Phase.RUNNING, Phase.LINGERING):
            return
        if self.phase is Phase.RUNNING:
            self.phase = Phase.LINGERING
        message = self._ending.message if self._ending else ""
        if not self._world.attendant.whole_stops(message, self._stop_apps):
            self._stop_apps()

    def _stop_apps(self) -> None:
        if self.phase not in (Phase.NEW, Phase.RUNNING, Phase.LINGERING):
            return
        self.phase = Phase.STOPPING
        self._waiting.clear()
        self._replacing.clear()
        self._advance()

    def _stop_next(self) -> None:
        """Stop every app that nothing running depends on any more."""
        needed = {
            self._dependency(app, dependency.app).spec.key()
            for app in self.apps.values()
            if not app.is_down
            for dependency in app.spec.depends_on
        }
        for key, app in self.apps.items():
            if key not in needed and (app.wanted or not app.is_down):
                app.stop()

    def _out_of_time(self) -> None:
        self._overran = True
        self._log("error", "runtime.deadline", "the time for the whole stop is up: killing what is left")
        self._kill_everything()

    def _kill_everything(self) -> None:
        clock = self._world.clock
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = clock.call_later(AFTER_KILL, self._finish)
        self._stop_apps()
        for app in self.apps.values():
            app.kill()
        self._world.attendant.hurry()
        if self._sweep is not None:
            self._sweep.kill()

    def _rest(self) -> None:
        self.phase = Phase.RESTING
        ending = self._ending or Ending(ExitCode.OK, "idle")
        if not self._world.attendant.whole_rests(ending.code, ending.message, self._begin_sweep):
            self._begin_sweep()

    def _begin_sweep(self) -> None:
        if self.phase is Phase.DONE:
            return
        self.phase = Phase.SWEEPING
        self._sweep = Clearance(our_descendants, self._world.clock, self._finish)
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
        if self._deadline is not None:
            self._deadline.cancel()
        for app in self.apps.values():
            self._broker.close(app.spec)
        ending = self._ending or Ending(ExitCode.OK, "idle")
        killed = [app.name for app in self.apps.values() if app.was_killed]
        if ending.code == ExitCode.OK and (killed or self._overran):
            message = f"had to be killed: {', '.join(killed) or 'leftover processes'}"
            ending = Ending(ExitCode.DEADLINE, "deadline", message, next(iter(killed), None))
        self._log("info", "runtime.exit", ending.message, code=ending.code, reason=ending.reason)
        self._on_done(ending)

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        known = {key: value for key, value in fields.items() if value is not None}
        self._world.log.event(level, event, message, **known)


def _fates(app: App) -> set[Fate]:
    return {instance.fate for instance in app.instances.values() if instance.fate is not None}


def _same_but_count(one: AppSpec, other: AppSpec) -> bool:
    return one.but(instances=other.instances) == other


def _names(keys: list[tuple[str, str]]) -> list[str]:
    return [name for _, name in keys]
