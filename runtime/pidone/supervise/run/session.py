"""One run of an ecosystem: makes the real collaborators and turns the loop until nothing is left."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from pidone.contracts import Clock
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.errors import ListenError, describe_bug
from pidone.init.bare.output import complain
from pidone.init.exitcodes import ExitCode
from pidone.init.reaper import Reaper
from pidone.init.signals import Deaf, SignalInbox
from pidone.listen.lazy import LazyBroker
from pidone.logs.relay import Relay
from pidone.record import Record
from pidone.signames import parse_signal, signal_name
from pidone.supervise.collaborators import World
from pidone.supervise.deadline import DeadlineClock
from pidone.supervise.ending import Ending
from pidone.supervise.faults import SYSTEM_ERRORS, end_helpers, end_processes, what_of
from pidone.supervise.features import Features
from pidone.supervise.ledger import Ledger
from pidone.supervise.process.launcher import ForkLauncher
from pidone.supervise.run.loop import new_event_loop
from pidone.supervise.run.reread import FileRequest, Reread, read_in_child
from pidone.supervise.run.signalmap import Reaction, SignalAction, hint, reactions
from pidone.supervise.supervisor import LAST_STAND, Phase, Supervisor
from pidone.throttle import Throttle

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pidone.supervise.preload.zygotes import Zygotes
    from pidone.supervise.run.upwards import Upwards
    from pidone.supervise.watching.config import ConfigWatch

STALLED_STDOUT_S: Final = 2.0
"""A stdout that takes nothing for so long when everything has ended is not waited for."""
SLOW_STDOUT_S: Final = 10.0
"""How long the last lines may take to leave through one that does read."""
FAULTS: Final = 5
FAULT_S: Final = 1.0
"""A loop that fails more than so many times in a row, each within such a time, cannot be had any more."""
HELPERS_S: Final = 0.5
"""How long those who have written log files may take to end."""
REAP_AGAIN: Final = 0.2
"""Seconds until the kernel is asked again who has ended."""
OPERATE_AFTER: Final = 0.1
"""Seconds that the first apps have for themselves before what operates them is imported."""


class Closable(Protocol):
    """What is to be closed at the end."""

    def close(self) -> None: ...


class Parts(Record, kw_only=True):
    """What the control side gets to see of a session."""

    loop: "AbstractEventLoop"
    deadlines: Clock
    """For what is held against somebody."""
    supervisor: Supervisor
    relay: Relay
    ledger: Ledger
    launcher: ForkLauncher
    reaper: Reaper
    features: Features
    version: str
    read_file: Callable[[FileRequest, Callable[[Ecosystem], None], Callable[[str], None]], None]
    """Reads another file in a child; calls the first with what it means, or the second with why not."""


class Surroundings(Record, kw_only=True):
    """What a session takes from the process it runs in."""

    inbox: SignalInbox
    environ: Mapping[str, str]
    version: str
    load: Callable[[], Ecosystem]
    """Reads the ecosystem again (SIGHUP); raises ConfigError."""
    load_file: Callable[[FileRequest], Ecosystem]
    """Reads a file that somebody names meanwhile; raises ConfigError."""
    operate: Callable[[Parts], Closable | None] | None = None
    """Opens the control side, if it is wanted, once the first apps have been started."""


class Session:
    """Everything between the first spawn and the last exit."""

    def __init__(self, ecosystem: Ecosystem, around: Surroundings) -> None:
        """Nothing is started before `run`."""
        self._ecosystem = ecosystem
        self._cpus_at_start = ecosystem.cpus
        self._around = around
        self._loop = new_event_loop()
        self._reaper = Reaper(self._orphan_buried)
        self._relay = Relay(
            self._loop, ecosystem.runtime, on_stdout_lost=self._stdout_lost, on_no_space=_tell_of_full_stdout
        )
        self._ledger = Ledger(self._relay)
        self._relay.tell = self._ledger.event
        deadlines = self._deadlines = DeadlineClock(self._loop, self._bury)
        self._broker = LazyBroker(self._loop, self._ledger, deadlines, self._run_command)
        self._launcher = ForkLauncher(
            clock=self._loop,
            reaper=self._reaper,
            log=self._ledger,
            broker=self._broker,
            environ=around.environ,
            count=self._instances,
        )
        self._features = Features(
            ecosystem.runtime,
            loop=self._loop,
            deadlines=deadlines,
            reaper=self._reaper,
            log=self._ledger,
            random=_random,
            environ=around.environ,
            environment=self._launcher.environment,
            apps=lambda: self._supervisor.apps.values(),  # noqa: PLW0108 (it is made below)
            is_ready=lambda: self._supervisor.is_ready,
            on_cpus=self._cpus_seen,
            on_zygotes=self._fork_from,
        )
        self._supervisor = Supervisor(
            ecosystem,
            World(
                *(self._loop, self._launcher, self._ledger, self._broker, _random, deadlines),
                self._features,
                self._relay.helpers,
            ),
            self._broker,
            count=self._count,
            on_done=self._done,
        )
        self._loop.set_exception_handler(self._raised)
        self._reaper.on_failure = self._supervisor.faults.caught
        self._reactions: Mapping[int, Reaction] = reactions(ecosystem.runtime.signals)
        self._reread = Reread(
            around.load,
            loop=self._loop,
            reaper=self._reaper,
            on_loaded=self._loaded,
            on_failed=self._not_loaded,
        )
        self._hinted: set[int] = set()
        self._is_reaping = False
        self._throttle = Throttle(self._loop.time)
        self._ending: Ending | None = None
        self._control: Closable | None = None
        self._upwards: Upwards | None = None
        self._config_watch: ConfigWatch | None = None

    def run(self) -> Ending:
        """Start everything and return when all of it has ended.

        Raises:
            ListenError: a socket cannot be opened; nothing has been started.
        """
        self._supervisor.open()
        self._loop.add_reader(self._around.inbox.open(), self._signals_arrived)
        try:
            self._begin()
            self._loop.call_soon(_look_for_garbage)
            sys.unraisablehook = self._unraisable
            self._turn()
        except Exception as error:  # noqa: BLE001 (the loop itself has failed: nobody may be left behind)
            self._failed(error)
        sys.unraisablehook = sys.__unraisablehook__
        for close in (self._around.inbox.close, self._close_rooms, self._bury_the_last):
            try:
                close()
            except Exception as error:  # noqa: BLE001 (all apps have ended: that counts, and is told)
                self._ledger.event("error", "runtime.error", describe_bug(error))
        helpers = self._relay.helpers()
        self._relay.close(STALLED_STDOUT_S, SLOW_STDOUT_S)
        if helpers and os.getpid() != 1:  # the end of process 1 is theirs
            end_helpers(self._reaper, helpers, HELPERS_S)
        return self._ending or Ending(ExitCode.INTERNAL, "bug", "the loop ended by itself")

    def _failed(self, error: Exception) -> None:
        """The loop has, or the start before it; whom that concerns is ended first, and then it is told."""
        self._launcher.close()
        is_refused, is_too_early = isinstance(error, SYSTEM_ERRORS), not self._reaper.watched
        what = what_of(error)
        code = ExitCode.NO_PROCESS if is_refused and is_too_early else ExitCode.INTERNAL
        self._ending = Ending(code, "bug", what)
        end_processes(self._reaper, LAST_STAND)
        self._ledger.event("error", "runtime.refused" if is_refused else "runtime.error", what)

    def _turn(self) -> None:
        """Turn the loop to the end, and on again where the kernel has broken off a wait. Raises OSError."""
        faults = 0
        while self._ending is None:
            began = self._loop.time()
            try:
                self._loop.run_forever()
            except OSError as error:
                faults = faults + 1 if self._loop.time() - began < FAULT_S else 1
                if faults > FAULTS and not isinstance(error, Deaf):
                    raise
                self._broken_off(error)
            else:
                return

    def _broken_off(self, error: OSError) -> None:
        if self._throttle.due(str(error)):
            self._ledger.event("error", "runtime.refused", f"the loop was broken off and goes on: {error}")
        self._signals_arrived()

    def _raised(self, loop: object, context: dict[str, Any]) -> None:
        """A callback did: its own fault, unless a signal came that could not be told otherwise."""
        if isinstance(error := context.get("exception"), Deaf):
            self._broken_off(error)
        else:
            self._supervisor.faults.handle(loop, context)

    def _unraisable(self, what: "sys.UnraisableHookArgs") -> None:
        """An exception has nobody to be raised in: a finalizer's, or of the interpreter's write at a signal.

        It may come in the middle of anything, so it is told in a turn of its own, and nothing else follows.
        """
        if isinstance(what.exc_value, Exception):
            self._loop.call_soon(self._supervisor.faults.overheard, what.exc_value)

    def _fork_from(self, zygotes: "Zygotes") -> None:
        self._launcher.spawn_preloaded = zygotes.spawn

    def _close_rooms(self) -> None:
        for room in (self._config_watch, self._control):
            if room is not None:
                room.close()

    def _bury_the_last(self) -> None:
        """Who ended in the last moment is nobody else's to bury."""
        with suppress(OSError):  # told before, if it is like that for long
            while self._reaper.reap():
                pass

    # -- what happens ------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._ledger.event(
            "info",
            "runtime.start",
            f"pidone {self._around.version} starts {len(self._ecosystem.apps)} apps",
            version=self._around.version,
            pid=os.getpid(),
            cpus=self._ecosystem.cpus,
            apps=[app.name for app in self._ecosystem.apps],
        )
        for note in self._ecosystem.host_notes:
            self._ledger.event("warning", "host.unreadable", note)
        self._tell_what_is_new(None)
        # A stop that was asked for while we were getting ready comes before any start.
        self._signals_arrived()
        if self._ending is None and (delay := self._ecosystem.runtime.start_delay):
            self._loop.call_later(delay, self._prepare)
        elif self._ending is None:
            self._prepare()
            self._signals_arrived()

    def _prepare(self) -> None:
        """Unless a stop was asked for during `start_delay`."""
        if self._supervisor.phase is Phase.NEW:
            self._features.start(self._start)

    def _start(self, why_not: str) -> None:
        if why_not:
            self._supervisor.shutdown(Ending(ExitCode.GAVE_UP, "hook", why_not))
        else:
            self._tell_upwards()
            self._supervisor.start()
            self._loop.call_later(OPERATE_AFTER, self._open_control)

    def _tell_upwards(self) -> None:
        """Nobody waits for word from us unless the environment says where."""
        if "NOTIFY_SOCKET" not in self._around.environ:
            return
        from pidone.init.service_manager import ServiceManager  # noqa: PLC0415 (few are started so)
        from pidone.supervise.run.upwards import Upwards  # noqa: PLC0415

        manager = ServiceManager.find(self._around.environ)
        if manager is not None:
            self._upwards = Upwards(manager, self._supervisor, self._loop, self._ledger)

    def _open_control(self) -> None:
        if self._ending is not None:  # runtime.exit has been said
            return
        self._watch_config()
        if self._around.operate is not None:
            parts = Parts(
                loop=self._loop,
                deadlines=self._deadlines,
                supervisor=self._supervisor,
                relay=self._relay,
                ledger=self._ledger,
                launcher=self._launcher,
                reaper=self._reaper,
                features=self._features,
                version=self._around.version,
                read_file=self._read_file,
            )
            self._control = self._around.operate(parts)

    def _watch_config(self) -> None:
        """Begin or end to watch the ecosystem's files, as they say themselves."""
        origins = self._ecosystem.origins if self._ecosystem.runtime.watch_config else ()
        if self._config_watch is not None and origins:
            self._config_watch.follow(origins)
        elif self._config_watch is not None:
            self._config_watch.close()
            self._config_watch = None
        elif origins:
            from pidone.supervise.watching.config import ConfigWatch  # noqa: PLC0415 (for who has asked for it)

            try:
                self._config_watch = ConfigWatch(
                    origins, loop=self._loop, on_changed=self._begin_reread, on_failed=self._not_watched
                )
            except OSError as error:
                self._not_watched(error)

    def _not_watched(self, error: OSError) -> None:
        why = f"the ecosystem file is not watched any more: {error.strerror}"
        self._ledger.event("error", "watch.failed", why)

    def _signals_arrived(self) -> None:
        for number in self._around.inbox.take():
            if number == signal.SIGCHLD:
                if not self._is_reaping:
                    self._reap()
            elif number in self._reactions:
                self._react(number, self._reactions[number])
            elif number not in self._hinted and (advice := hint(number)):
                self._hinted.add(number)
                name = signal_name(number)
                message = f"{name} goes to nobody: {advice}"
                self._ledger.event("info", "runtime.signal", message, signal=name)

    def _react(self, number: int, reaction: Reaction) -> None:
        if reaction.action is SignalAction.STOP or self._stops_every_app(number, reaction):
            self._supervisor.stop_by_signal(number)
        elif reaction.action is SignalAction.RELOAD:
            self._begin_reread()
        elif reaction.action is SignalAction.FORWARD:
            self._supervisor.forward(reaction.number)
        elif reaction.action is SignalAction.REOPEN:
            self._ledger.asked("reopen", signal_name(number))
            self._relay.reopen()

    def _stops_every_app(self, number: int, reaction: Reaction) -> bool:
        """Whether it would be passed on to apps that all end by it, as haproxy by its image's STOPSIGNAL.

        Then it was meant for the whole: they would only be started again. Unless the file says "forward".
        """
        runtime, apps = self._ecosystem.runtime, self._ecosystem.apps
        return (
            reaction.action is SignalAction.FORWARD
            and bool(apps)
            and all(app.kill_signal == number for app in apps)
            and number not in map(parse_signal, runtime.signals)
        )

    def _reap(self) -> None:
        """Once in a turn, as long as there may be more to bury: others shall have their turn too."""
        try:
            self._is_reaping = self._reaper.reap()
        except OSError as error:
            self._is_reaping = True
            if self._throttle.due("waitid"):
                why = f"the kernel does not say who has ended, which is asked again: {error.strerror}"
                self._ledger.event("error", "runtime.refused", why)
            self._loop.call_later(REAP_AGAIN, self._reap)
            return
        if self._is_reaping:
            self._loop.call_soon(self._reap)

    def _bury(self) -> bool:
        """Who is dead, before anybody is said to be late; True if there may be more."""
        try:
            return self._reaper.reap()
        except OSError:  # asked again, and told, by the turn that a signal begins
            return False

    def _orphan_buried(self, pid: int) -> None:
        self._launcher.orphan_buried(pid)
        self._supervisor.orphan_buried()

    def _read_file(
        self,
        asked: FileRequest,
        on_loaded: Callable[[Ecosystem], None],
        on_failed: Callable[[str], None],
    ) -> None:
        read_in_child(
            lambda: self._around.load_file(asked),
            loop=self._loop,
            reaper=self._reaper,
            on_loaded=on_loaded,
            on_failed=on_failed,
        )

    def _begin_reread(self) -> None:
        if self._supervisor.phase not in (Phase.NEW, Phase.RUNNING):
            return
        if self._upwards is not None:
            self._upwards.reloading()
        self._reread.begin()

    def _loaded(self, ecosystem: Ecosystem) -> None:
        before, self._ecosystem = self._ecosystem, ecosystem
        try:
            self._supervisor.apply(ecosystem)
        except ListenError as error:
            self._ecosystem = before
            self._not_loaded(str(error))
            return
        self._tell_what_is_new(before)
        self._reactions = reactions(ecosystem.runtime.signals)
        self._features.apply(ecosystem.runtime)
        self._watch_config()

    def _tell_what_is_new(self, before: Ecosystem | None) -> None:
        """What the reading of the file had to remark, unless the last reading had said so."""
        for warning in self._ecosystem.warnings:
            if before is None or warning not in before.warnings:
                self._ledger.event("warning", "config.warning", warning)
        for notice in self._ecosystem.notices:
            if before is None or notice not in before.notices:
                self._ledger.event("info", "config.notice", notice)
        for right in self._ecosystem.missing_rights:
            if before is None or right not in before.missing_rights:
                self._ledger.event(
                    "warning",
                    "rights.missing",
                    right.message,
                    setting=right.setting,
                    capability=right.capability,
                    **right.labels,
                )

    def _not_loaded(self, why: str) -> None:
        if self._upwards is not None:
            self._upwards.look()
        if self._supervisor.phase in (Phase.NEW, Phase.RUNNING):  # else its reader was ended with all others
            self._ledger.event("error", "config.rejected", f"nothing was changed: {why}")

    def _stdout_lost(self, error: OSError) -> None:
        why = f"stdout is lost: {error.strerror}"
        complain(why)  # nobody would know otherwise
        self._supervisor.shutdown(Ending(ExitCode.STDOUT_LOST, "stdout", why))

    def _done(self, ending: Ending) -> None:
        self._ending = ending
        self._loop.stop()

    def _instances(self, spec: AppSpec) -> int:
        """How many instances an app has now: somebody may have scaled it."""
        app = self._supervisor.apps.get(spec.key())
        return self._count(spec) if app is None else app.wanted.count

    def _count(self, spec: AppSpec) -> int:
        return spec.count(self._ecosystem.cpus if spec.max_follows else self._cpus_at_start)

    def _cpus_seen(self, cpus: int) -> None:
        """What the container may use right now."""
        if cpus != self._ecosystem.cpus:
            self._ecosystem = self._ecosystem.but(cpus=cpus)
            self._supervisor.resize(cpus)

    async def _run_command(self, app: AppSpec, argv: tuple[str, ...]) -> tuple[int, str]:
        from pidone.supervise.process.commands import Commands  # noqa: PLC0415 (needs asyncio at last)

        return await Commands(self._reaper, self._around.environ).attempt(app, argv)


def _tell_of_full_stdout(error: OSError) -> None:
    """Nothing else of ours may leave for somewhere else than stdout's disk."""
    complain(f"stdout takes nothing, and is tried again: {error.strerror}")


def _look_for_garbage() -> None:
    """From now on, and never among what has been imported: going through that takes a tenth of a start."""
    gc.freeze()
    gc.enable()


def _random() -> float:
    """As random.random, whose module costs 2 ms and 300 KB for its other generators."""
    return int.from_bytes(os.urandom(6), "big") / (1 << 48)
