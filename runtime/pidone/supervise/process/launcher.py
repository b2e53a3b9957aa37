"""From a spec to a running process: environment, pipes, sockets, fork and exec, and back again at its end."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Final

from pidone.contracts import Clock, Handover, InstanceId, LogSink, LogSource, Outlet, Report, SocketBroker
from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, KillMode, Seconds
from pidone.errors import ListenError, SpawnError
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, follow, spawn
from pidone.supervise.faults import SYSTEM_ERRORS, what_of
from pidone.supervise.process.commands import give, plan_for
from pidone.supervise.process.environment import Environment
from pidone.supervise.process.leftovers import Cleanup, Looks, ProcessTree
from pidone.supervise.process.refusals import Refusals
from pidone.supervise.process.stdin import StdinPipe
from pidone.supervise.process.taken_back import TakenBack

if TYPE_CHECKING:
    from pidone.demand import Demand
    from pidone.supervise.process.guard import Guard

FOLLOWED_POLL: Final[Seconds] = 0.25
"""A main process that an app has named (MAINPID=) is looked at this often while its parent is not us: nobody
else is told when it ends."""
RESERVE: Final = 16
"""Descriptors that no start may take: a stop has to look into /proc, the file is read again, clients come."""


class ForkLauncher:
    """Launches real processes; everything it needs is handed in."""

    def __init__(
        self,
        *,
        clock: Clock,
        reaper: Reaper,
        log: LogSink,
        broker: SocketBroker,
        environ: Mapping[str, str],
        count: Callable[[AppSpec], int],
    ) -> None:
        """`environ` is what apps inherit; `count` tells how many instances one has."""
        self._clock = clock
        self._reaper = reaper
        self._log = log
        self._broker = broker
        self._count = count
        self._environment = Environment(environ)
        self._looks = Looks(clock)
        self._guard = None if os.getpid() == 1 else self._make_guard()  # the end of process 1 is everybody's
        self.refusals = Refusals(log)
        self._taken_back = TakenBack(clock, reaper)
        self._cleanups: set[Cleanup] = set()
        self._is_closed = False
        self.spawn_preloaded: Callable[[InstanceId, SpawnPlan], int] = lambda _who, plan: spawn(plan)
        """What starts the processes of apps with `preload`: those that fork them set it."""

    def close(self) -> None:
        """Start nobody any more: whoever ends now has ended for good."""
        self._is_closed = True

    def launch(
        self,
        app: AppSpec,
        who: InstanceId,
        *,
        report: Report,
        on_exit: Callable[[ExitStatus], None],
    ) -> "ForkedProcess":
        """Start one incarnation. Raises SpawnError; then nothing is left of the attempt."""
        if self._is_closed:
            raise SpawnError("pidone ends")
        try:
            return self._launch(app, who, report, on_exit)
        except SYSTEM_ERRORS as error:  # memory, a module that cannot be read
            raise SpawnError(what_of(error)) from error

    def _launch(
        self, app: AppSpec, who: InstanceId, report: Report, on_exit: Callable[[ExitStatus], None]
    ) -> "ForkedProcess":
        with ExitStack() as undo:
            try:
                handover = self._broker.prepare(app, who, report)
                undo.callback(handover.close)
                outlet = self._log.open(
                    LogSource(app, who, self.pm_id(app, who.index)), self._ready_line(app, report)
                )
                undo.callback(outlet.finish)
                stdin = StdinPipe() if app.stdin == "pipe" else None
                if stdin:
                    undo.callback(stdin.close)
                _keep_a_reserve()
            except ListenError as error:
                raise SpawnError(str(error)) from error
            except OSError as error:
                raise SpawnError(f"descriptors: {error.strerror}") from error
            pid = self._spawn(app, who, self._plan(app, who, handover, outlet, stdin))
            undo.callback(self._taken_back.end, pid, app.kill_signal)
            try:
                process = self._accompany(app, who, pid, handover, outlet, stdin, on_exit)
            except Exception as error:  # noqa: BLE001 (else it would run, and nobody would know it)
                raise SpawnError(f"what a process is given here: {error}") from None
            undo.pop_all()
        self._reaper.watch(pid, process.main_ended)
        self._watch_over(app, pid)
        return process

    def _ready_line(self, app: AppSpec, report: Report) -> Callable[[str], bool] | None:
        """What looks for the readiness line, if the app has one."""
        if app.ready.log is None:
            return None
        from pidone.supervise.process.ready_line import ReadyLine  # noqa: PLC0415 (few apps tell by their log)

        return ReadyLine(app, app.ready.log, report, self._log)

    def _spawn(self, app: AppSpec, who: InstanceId, plan: SpawnPlan) -> int:
        return spawn(plan) if app.preload is None else self.spawn_preloaded(who, plan)

    def _accompany(
        self,
        app: AppSpec,
        who: InstanceId,
        pid: int,
        handover: Handover,
        outlet: Outlet,
        stdin: StdinPipe | None,
        on_exit: Callable[[ExitStatus], None],
    ) -> "ForkedProcess":
        """Our side of what has just been spawned."""
        tree = ProcessTree(pid, self._environment.mark(who), self._reaper.owns, self._looks)
        handover.spawned(pid)
        process = ForkedProcess(self, app, pid, tree, outlet, handover, on_exit, announces=handover.announces)
        if stdin:
            stdin.spawned()
            process.stdin = stdin
        outlet.spawned(pid)
        return process

    def _plan(
        self, app: AppSpec, who: InstanceId, handover: Handover, outlet: Outlet, stdin: StdinPipe | None
    ) -> SpawnPlan:
        plan = plan_for(
            app,
            handover.argv,
            {**self._environment.of(app, who), **handover.env},
            stdout=outlet.stdout,
            stderr=outlet.stderr,
        )
        give(app, outlet.stdout, outlet.stderr, *([stdin.child_end] if stdin else ()))
        return plan.but(
            stdin=stdin.child_end if stdin else 0 if app.stdin == "inherit" else None,
            fds=handover.fds,
            pid_vars=handover.pid_vars,
            before_exec=handover.before_exec,
            late=partial(follow, self.later, partial(self._failed_late, app, who)),
            cpu_affinity=_affinity(app, who.index, self._count(app)),
        )

    def _failed_late(self, app: AppSpec, who: InstanceId, why: str) -> None:
        self._log.event("error", "instance.spawn_failed", why, **app.labels(), instance=who.index)

    def environment(self, app: AppSpec, who: InstanceId) -> Mapping[str, str]:
        """The variables an incarnation gets, without those of its ports and channels."""
        return self._environment.of(app, who)

    def pm_id(self, app: AppSpec, index: int) -> int:
        """PM2's number of a slot."""
        return self._environment.pm_id(app, index)

    def slot_of(self, pm_id: int) -> tuple[tuple[str, str], int] | None:
        """The app and the slot of PM2's number."""
        return self._environment.slot_of(pm_id)

    def follow(self, app: AppSpec, pid: int, on_exit: Callable[[ExitStatus], None]) -> None:
        """Hear about the end of a descendant that will be adopted by us."""
        self._reaper.watch(pid, on_exit)
        self._watch_over(app, pid)

    def main_buried(self, pid: int) -> None:
        """One that was started or followed is gone."""
        self._looks.buried(pid)
        if self._guard is not None:
            self._guard.drop(pid)

    def start_no_more(self) -> None:
        """All apps are down, and nothing will be started any more."""
        self._taken_back.kill_all()
        if self._guard is not None:
            self._guard.close()

    def _make_guard(self) -> "Guard":
        from pidone.supervise.process.guard import Guard  # noqa: PLC0415 (process 1 has none)

        return Guard(self._clock, self._reaper, self._unguarded)

    def _watch_over(self, app: AppSpec, pid: int) -> None:
        if self._guard is not None and app.die_with_runtime:
            from pidone.supervise.process.forsaken import Ward  # noqa: PLC0415 (process 1 has no guard)

            self._guard.add(Ward(pid, app.kill_signal, app.kill_timeout, app.kill_mode))

    def _unguarded(self, why: str) -> None:
        message = f"apps would live on if this process were killed (die_with_runtime): {why}"
        self._log.event("warning", "rights.missing", message, setting="die_with_runtime")

    def later(self, delay: Seconds, look: Callable[[], None]) -> None:
        """Look at something again."""
        self._clock.call_later(delay, look)

    def orphan_buried(self, pid: int) -> None:
        """An adopted process was reaped: it may have been the last one somebody waits for."""
        self._looks.buried(pid)
        for cleanup in tuple(self._cleanups):
            cleanup.check()

    def clear(
        self,
        app: AppSpec,
        tree: ProcessTree,
        on_gone: Callable[[], None],
        *,
        number: int,
        asked: Sequence[proctree.ProcessInfo],
    ) -> Cleanup | None:
        """Begin to end what is left of an incarnation by a signal; None if there is nothing."""

        def gone() -> None:
            self._cleanups.discard(cleanup)
            on_gone()

        refused = partial(self.refusals.refused, app)
        cleanup = Cleanup(tree.alive, self._clock, gone, refused, number=number, asked=asked)
        if not cleanup.begin():
            return None
        self._cleanups.add(cleanup)
        return cleanup


class ForkedProcess:
    """The `Process` of supervise's collaborators, over a real pid."""

    def __init__(
        self,
        launcher: ForkLauncher,
        app: AppSpec,
        pid: int,
        tree: ProcessTree,
        outlet: Outlet,
        handover: Handover,
        on_exit: Callable[[ExitStatus], None],
        *,
        announces: bool,
    ) -> None:
        """`pid` has just been spawned with this outlet and handover."""
        self.pid = pid
        self.announces = announces
        self._launcher = launcher
        self._app = app
        self._tree = tree
        self._outlet = outlet
        self._handover = handover
        self._on_exit = on_exit
        self._cleanup: Cleanup | None = None
        self._killed = False
        self.refused = ""
        """Why the last signal could not be sent."""
        self.stdin: StdinPipe | None = None
        """Its stdin, if that is a pipe of ours."""
        self._started = pid
        """Whom we have started, and are told of by the kernel."""
        self._named: proctree.ProcessInfo | None = None
        """Who is the main process instead, by the app's word, as long as the one we started lives."""
        self._asked_by: int | None = None
        """The signal by which it was asked to stop."""
        self._asked: list[proctree.ProcessInfo] = []
        """The descendants that were asked at the same time (`kill_mode = "tree"`)."""

    @property
    def cut(self) -> int | None:
        """As `Handover.cut`."""
        return self._handover.cut

    def online(self) -> None:
        """The process counts as ready: its ports may take connections, its health is watched."""
        self._handover.online()

    def signal(self, number: int) -> None:
        """Signal the main process. It is not reaped yet, so the pid is still its own."""
        if not self._tree.main_is_alive:
            return
        named = self._named
        outcome = proctree.deliver(self.pid, number) if named is None else named.deliver(number)
        self.refused = ""
        if outcome == proctree.REFUSED:
            self.refused = self._launcher.refusals.refused(self._app, self.pid, number)
        elif outcome == proctree.GONE and named is not None:
            self._return_to_started()
            self.signal(number)

    def stop(self, number: int) -> None:
        """Signal the main process, after noting who its descendants are, as far as that can be told.

        Noted before, since it may be gone a moment later, and they with it out of our sight. Where the whole
        tree is signalled, those at its bottom come first, as in PM2's treekill.
        """
        descendants = self._tree.remember()
        self._asked_by = number
        if self._app.kill_mode is KillMode.TREE:
            self._asked = [process for process in reversed(descendants) if self._ask(process, number)]
        self.signal(number)
        if self._is_stopped():  # it hears nothing but SIGKILL
            self.signal(signal.SIGCONT)

    def _ask(self, process: proctree.ProcessInfo, number: int) -> bool:
        """Whether a descendant was signalled."""
        if process.pid == self.pid:  # it was named by the app, and is signalled as the main process
            return False
        outcome = process.deliver(number)
        if outcome == proctree.REFUSED:
            self._launcher.refusals.refused(self._app, process.pid, number)
        elif process.state == "T":
            process.deliver(signal.SIGCONT)
        return outcome == proctree.SENT

    def _is_stopped(self) -> bool:
        try:
            main = proctree.read(self.pid)
        except OSError:
            return False
        return main is not None and main.state == "T"

    def follow(self, pid: int) -> None:
        """Take `pid` for the main process from now on: it is signalled and shown, and its end is the end.

        While the one that we started lives beside it, that is its parent: should the named one end first,
        the other is the main process again, and is asked to stop if that was being done.
        """
        if pid == self.pid or not self._tree.main_is_alive:
            return
        if pid == self._started:
            self._return_to_started()
            return
        named = self._look_at(pid)
        if named is not None and not named.is_dead:
            was_looked_at, self._named, self.pid = self._named is not None, named, pid
            if not was_looked_at:
                self._launcher.later(FOLLOWED_POLL, self._look_at_named)
            if self._asked_by is not None and pid not in (each.pid for each in self._asked):
                self.signal(self._asked_by)  # it came too late to be asked with the other

    def _look_at(self, pid: int) -> proctree.ProcessInfo | None:
        try:
            return proctree.read(pid)
        except OSError:  # no descriptor is left
            return self._named

    def _look_at_named(self) -> None:
        named = self._named
        if named is None:
            return
        now = self._look_at(named.pid)
        if now is None or now.is_dead or now.start_ticks != named.start_ticks:
            self._return_to_started()
            if self._asked_by is not None:
                self.signal(self._asked_by)
        else:
            self._launcher.later(FOLLOWED_POLL, self._look_at_named)

    def _return_to_started(self) -> None:
        self._named, self.pid = None, self._started

    def demand(self) -> "Demand":
        """What it and its descendants have wanted of processors so far."""
        return self._tree.demand()

    def write(self, data: bytes) -> bool:
        """Put something into its stdin."""
        return self.stdin is not None and self.stdin.write(data)

    def send(self, message: object) -> bool:
        """Send an IPC message."""
        return self._handover.send(message)

    def drain(self) -> bool:
        """Ask for no new connections."""
        return self._handover.drain()

    def kill(self) -> None:
        """SIGKILL the main process and everything that belongs to it, newcomers included.

        Except where descendants live on (`kill_mode = "process"`).
        """
        self._killed = True
        if self._cleanup is not None:
            self._cleanup.kill()
            return
        descendants = self._tree.remember()
        self.signal(signal.SIGKILL)
        if self._named is not None and self._tree.main_is_alive:
            proctree.deliver(self._started, signal.SIGKILL)
        if self._app.kill_mode is KillMode.PROCESS:
            return
        self._tree.send_to_group(signal.SIGKILL)
        for process in descendants:  # all others are looked for when the main process has ended
            process.deliver(signal.SIGKILL)

    def end_leftovers(self, on_gone: Callable[[], None]) -> bool:
        """Ask what the main process left behind to end; False if there is nothing."""
        if self._app.kill_mode is KillMode.PROCESS:
            return False
        by_tree = self._asked_by if self._app.kill_mode is KillMode.TREE else None
        self._cleanup = self._launcher.clear(
            self._app,
            self._tree,
            on_gone,
            number=by_tree or signal.SIGTERM,
            asked=self._asked,
        )
        if self._cleanup is None:
            return False
        if self._killed:  # it may find that nobody is left, and nobody is called back from inside
            self._launcher.later(0.0, self._cleanup.kill)
        return True

    def main_ended(self, status: ExitStatus) -> None:
        """The reaper buried the main process: drain its pipes, then tell the owner."""
        self._launcher.main_buried(self._started)
        named, self._named = self._named, None
        if named is not None and named.deliver(0) != proctree.GONE:
            self._started = named.pid  # adopted by us now
            self._launcher.follow(self._app, named.pid, self.main_ended)
            return
        self._tree.main_is_alive = False
        with ExitStack() as steps:  # backwards; one that fails is told, and keeps none of the others off
            steps.callback(self._on_exit, status)
            steps.callback(self._handover.close, status.code)
            steps.callback(self._outlet.finish)
            if self.stdin is not None:
                steps.callback(self.stdin.close)


def _keep_a_reserve() -> None:
    """Raises OSError if fewer than RESERVE descriptors are left."""
    spare: list[int] = []
    try:
        spare.extend(map(os.dup, repeat(0, RESERVE)))
    finally:
        for fd in spare:
            close(fd)


def _affinity(app: AppSpec, index: int, count: int) -> tuple[int, ...] | None:
    if app.cpu_affinity == "spread":
        from pidone.supervise.spreading import share_of  # noqa: PLC0415 (only for apps that use it)

        return share_of(index, count)
    return app.cpu_affinity if isinstance(app.cpu_affinity, tuple) else None
