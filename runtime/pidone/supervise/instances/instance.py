"""One instance as a table `state x event -> action`; every transition can be read in TABLE, at the end.

What happens outside becomes an event; nothing else changes an instance. Processes come and go as
numbered incarnations: an event of an old one is dropped, so that a late exit, timer or readiness report can
never hit its successor. The last word of a person wins: a stop overrules a restart that is under way.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, OnReadyTimeout, Seconds
from pidone.ecosystem.stopping import drain_time, time_to_stop
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus
from pidone.init.spawn import exit_code_of
from pidone.signames import signal_name
from pidone.supervise.collaborators import Process, World
from pidone.supervise.deadline import Deadline
from pidone.supervise.instances.lifecycle import Pending
from pidone.supervise.instances.report import IncarnationReport
from pidone.supervise.instances.restart import Fate, RestartPolicy
from pidone.supervise.instances.states import Event, Goal, State

SPAWN_RETRY_AFTER: Final[Seconds] = 0.1
"""Least delay after a failed fork or exec: whatever is missing will not be there within the same turn."""


ON_TIME: Final = "schedule"
"""The reason of a start that is a job's next run."""
KILL_AGAIN: Final[Seconds] = 2.0
"""Between two SIGKILLs, should one not have reached everybody: what could not be seen may be seen later."""


class Observer(Protocol):
    """Who hears about an instance: its app."""

    def instance_changed(self, instance: "Instance", before: State) -> None: ...

    def instance_unhealthy(self, instance: "Instance") -> bool:
        """Whether the observer sees to its replacement."""

    def instance_message(self, instance: "Instance", value: object) -> None: ...

    def instance_cut(self, instance: "Instance", connections: int) -> None:
        """It has ended, as it was asked to, with so many connections open."""


class Numbers:
    """Counts the incarnations of one slot, over all instances that have it: no two alive have the same."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """The number of a new incarnation."""
        self.last += 1
        return self.last


class Instance:
    """One slot of an app."""

    def __init__(
        self,
        app: AppSpec,
        index: int,
        world: World,
        observer: Observer,
        *,
        before: "Instance | None" = None,
        numbers: Numbers | None = None,
    ) -> None:
        """A new instance is stopped. `before` is the one it shall replace, whose counts go on.

        `numbers` are those of the slot, which others may have had.
        """
        self.app = app
        self.index = index
        self.state = State.STOPPED
        self.numbers: Numbers = before.numbers if before else numbers or Numbers()
        """Of the slot."""
        self.incarnation: int = self.numbers.last
        """The present life, or the last one."""
        self.restarts: int = before.restarts + 1 if before else 0
        """Lives after the first, whoever asked for them (PM2's `restart_time`)."""
        self.process: Process | None = None
        self.started_at: Seconds = 0.0
        """Monotonic time of the last start; 0 before the first."""
        self.online_since: Seconds = 0.0
        """Monotonic time since when the present life is online; 0 if it is not yet."""
        self.last_exit: ExitStatus | None = None
        self.reason = ""
        """Why it is where it is, for people."""
        self.status_text = ""
        """What the process says of itself (sd_notify STATUS=)."""
        self.fate: Fate | None = None
        """How it ended for good, if it did."""
        self.asked_for_more = False
        """It asked for more time while it was being ended (EXTEND_TIMEOUT_USEC)."""
        self.is_trial = before is not None
        """It shall replace another one, which serves until this one is ready."""
        self.was_killed = False
        """The last stop ended with SIGKILL."""
        self.is_recovery = False
        """The present life began only because the one before ended by itself."""
        self._world = world
        self._observer = observer
        self._policy = RestartPolicy(world.random)
        self._is_flapping = False
        """It was told that it fails again and again."""
        self._was_oom_killed = False
        self._goal = Goal.JUDGE
        self._asked = ""
        """For what reason somebody last asked for something."""
        self._cause = ""
        """Why the next start happens; empty before the first."""
        self._ready_by = ""
        """How the process told that it is ready; empty if it did not."""
        self._shall_tell = False
        """Whether the process tells by itself when it can work."""
        self._drains_since: Seconds = 0.0
        """When the present stop began."""
        self._deadline = Deadline(world.deadlines, self.handle)
        self._pending: Pending | None = None
        """What the start or the stop waits for."""

    @property
    def who(self) -> InstanceId:
        """The current incarnation's identity."""
        return InstanceId(self.app.name, self.index, self.incarnation, self.app.namespace)

    @property
    def pid(self) -> int | None:
        """The main process, if there is one."""
        return self.process.pid if self.process else None

    @property
    def uptime(self) -> Seconds:
        """How long ago the last start was."""
        return self._world.clock.time() - self.started_at

    @property
    def was_started(self) -> bool:
        """Whether it ever began a life."""
        return self.started_at > 0

    @property
    def is_on_its_first_way(self) -> bool:
        """Whether it begins its first life and is not ready yet."""
        return not self.restarts and self.state in (State.PREPARING, State.STARTING)

    @property
    def ends_to(self) -> Goal | None:
        """What follows, if its present life is being ended."""
        return self._goal if self.state.is_ending else None

    @property
    def why_down(self) -> str:
        """Why it is not there, for people."""
        if self.reason:
            return self.reason
        return "it could not be started" if self.last_exit is None else f"it ended with {self.last_exit}"

    @property
    def time_left(self) -> Seconds:
        """Until what is due for it now, if something is."""
        return self._deadline.left

    @property
    def was_asked_late(self) -> bool:
        """It still has some of the time for its end, and has not been killed."""
        return self.state.is_ending and not self.was_killed and self._deadline.left > 0

    @property
    def _running(self) -> Process:
        """The process, in states that have one; anything else is a hole in TABLE."""
        if self.process is None:
            raise RuntimeError(f"{self.who} has no process in state {self.state}")
        return self.process

    @property
    def unstable(self) -> int:
        """Unstable ends in a row."""
        return self._policy.unstable

    @property
    def flapping(self) -> str:
        """How it fails again and again although it comes up each time; empty if it does not."""
        return self._policy.flapping

    @property
    def told_ready(self) -> bool:
        """Whether the process said itself that it is ready, be it late."""
        return bool(self._ready_by)

    def handle(self, event: Event, *, reason: str = "request") -> None:
        """Let an event happen. One that means nothing in the present state is ignored.

        `reason` is that of a start that somebody asks for.
        """
        action = TABLE[self.state].get(event)
        if action is not None:
            self._asked = reason
            action(self)

    def forgive(self) -> None:
        """Begin to count restarts anew."""
        self._policy.forgive()
        self.restarts = 0

    def give_up(self, why: str) -> None:
        """End it for good, for a reason that a restart does not change."""
        if Event.GIVE_UP in TABLE[self.state]:
            self.reason = why
        self.handle(Event.GIVE_UP)

    def signal(self, number: int) -> None:
        """Forward a signal to the main process, if there is one."""
        if self.process is not None:
            self.process.signal(number)

    # -- actions, named for what they do; TABLE says when ---------------------------------------------

    def _begin(self) -> None:
        self._deadline.disarm()
        self.incarnation = self.numbers.next()
        self.started_at = self._world.clock.time()
        self.online_since = 0.0
        self.fate = None
        self.reason = ""
        self._ready_by = ""
        self.was_killed = False
        self.asked_for_more = False
        self.status_text = ""
        self._goal = Goal.JUDGE
        life = IncarnationReport(self, self.incarnation)
        self._pending = self._world.lifecycle.before_start(self, life.prepared)
        if self._pending is None:
            self._launch()
        else:
            self._enter(State.PREPARING)

    def _launch(self) -> None:
        self.started_at = self._world.clock.time()
        life = IncarnationReport(self, self.incarnation)
        try:
            self.process = self._world.launcher.launch(self.app, self.who, report=life, on_exit=life.exited)
        except SpawnError as error:
            self.reason = str(error)
            self._log("error", "instance.spawn_failed", self.reason)
            self._cause = "spawn_failed"
            self._judge(ExitStatus(code=exit_code_of(error)), least_delay=SPAWN_RETRY_AFTER)
            return
        pid = self.process.pid
        self._log(
            *("info", "instance.start", f"started as pid {pid}"),
            pid=pid,
            restarts=self.restarts,
            reason=self._cause or None,
        )
        self._cause = ""
        self._shall_tell = self.process.announces or self.app.ready.is_reported
        self._enter(State.STARTING)
        if self._shall_tell:
            self._deadline.arm(self.app.listen_timeout, Event.LATE)
        elif self.app.ready_delay > 0:
            self._deadline.arm(self.app.ready_delay, Event.READY)
        else:
            self.handle(Event.READY)

    def _begin_afresh(self) -> None:
        self._policy.forgive()
        self.is_recovery = False
        if self._asked == ON_TIME:  # each run of a job is its first life
            self.restarts = 0
            self._cause = self._asked
        elif self.started_at:
            self.restarts += 1
        if self.restarts:
            self._cause = self._asked
        self._begin()

    def _come_online(self) -> None:
        self._deadline.disarm()
        after = round(self.uptime, 3)
        self._log(
            "info", "instance.online", f"online after {after:g} s", after_s=after, by=self._ready_by or None
        )
        self._running.online()
        self.online_since = self._world.clock.time()
        self._enter(State.ONLINE)
        self._world.lifecycle.happened(self, "post_start")

    def _be_late(self) -> None:
        key = "reload_timeout" if self.is_trial else "listen_timeout"
        late = f"not ready within {self.app.listen_timeout:g} s ({key})"
        if self.app.on_ready_timeout is OnReadyTimeout.FAIL:
            self.reason = late
            self._log("error", "instance.not_ready", self.reason)
            self._cause = "not_ready"
            self._end(Goal.JUDGE)
            return
        self._log(
            "warning",
            "instance.not_ready",
            f'{late}; taken as online (on_ready_timeout = "fail" makes this a failure)',
        )
        self._come_online()

    def _end_for_good(self) -> None:
        self._end(Goal.REST)

    def _end_to_renew(self) -> None:
        self._policy.forgive()
        self._cause = self._asked
        self._end(Goal.RENEW)

    def _end_as_unhealthy(self) -> None:
        self._cause = "unhealthy"
        self._end(Goal.JUDGE)

    def _end_as_hopeless(self) -> None:
        self._end(Goal.GIVE_UP)

    def _end(self, goal: Goal) -> None:
        self._goal = goal
        self._pending = self._world.lifecycle.before_stop(
            self, IncarnationReport(self, self.incarnation).released
        )
        if self._pending is None:
            self._take_leave()
        else:
            self._deadline.disarm()
            self._enter(State.LEAVING)

    def _take_leave(self) -> None:
        self._drains_since = self._world.clock.time()
        if self._running.drain():
            self._deadline.arm(drain_time(self.app), Event.OVERDUE)
            self._enter(State.DRAINING)
        else:
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        process = self._running
        drained_for = self._world.clock.time() - self._drains_since
        self._deadline.arm(time_to_stop(self.app, drained_for), Event.OVERDUE)
        if self.app.shutdown_with_message and process.send("shutdown"):
            self._log("info", "instance.stop", 'asked to stop by "shutdown"', how="message")
        else:
            process.stop(self.app.kill_signal)
            name = signal_name(self.app.kill_signal)
            self._log("info", "instance.stop", f"asked to stop by {name}", signal=name)
        self._enter(State.STOPPING)

    def _kill(self) -> None:
        if not self.was_killed:
            self.was_killed = True
            self._log("warning", "instance.kill", f"still there after {self.app.kill_timeout:g} s")
        self._end_by_force()

    def _kill_at_once(self) -> None:
        self._goal = Goal.REST
        self._drop_pending()
        if not self.was_killed:
            self.was_killed = True
            self._log("warning", "instance.kill", "no time left")
        self._end_by_force()

    def _end_by_force(self) -> None:
        process = self._running
        self._deadline.arm(KILL_AGAIN, Event.OVERDUE)
        self._enter(State.STOPPING)
        process.kill()  # last, as it may find that nobody is left, which concludes this life

    def _want_rest(self) -> None:
        self._goal = Goal.REST

    def _want_renewal(self) -> None:
        self._policy.forgive()
        self._cause = self._asked
        self._goal = Goal.RENEW

    def _want_no_more(self) -> None:
        if self._goal is not Goal.REST:
            self._goal = Goal.GIVE_UP

    def _main_ended(self) -> None:
        """The main process is gone; what it left behind has to go before anything follows."""
        self._pending = None  # a hook that runs may end in its own time
        if self._running.end_leftovers(IncarnationReport(self, self.incarnation).gone):
            self._log("info", "instance.leftovers", "left processes behind, which are asked to end")
            if self.state is not State.STOPPING:  # else they have what is left of its time
                self._deadline.arm(self.app.kill_timeout, Event.OVERDUE)
            self._enter(State.STOPPING)
        else:
            self._conclude()

    def _conclude(self) -> None:
        """Nothing of the incarnation is left."""
        self._deadline.disarm()
        self._world.lifecycle.happened(self, "on_exit" if self._goal is Goal.JUDGE else "post_stop")
        self.process = None
        if self._goal is Goal.REST:
            self._enter(State.STOPPED)
        elif self._goal is Goal.GIVE_UP:
            self._give_up()
        elif self._goal is Goal.RENEW:
            self.is_recovery = False
            self.restarts += 1
            self._begin()
        else:
            self._judge(self.last_exit or ExitStatus(code=0), least_delay=0.0)

    def _judge(self, status: ExitStatus, *, least_delay: Seconds) -> None:
        self.last_exit = status
        # One that was to tell when it can work, and did not, never was up, however long that took.
        uptime = self.uptime if self.online_since or not self._shall_tell else 0.0
        verdict = self._policy.judge(
            self.app, status, uptime=uptime, now=self._world.clock.time(), is_oom=self._was_oom_killed
        )
        self._tell_flapping()
        if verdict.fate is Fate.RESTART:
            self._retry_in(max(verdict.delay, least_delay))
            return
        self.fate = verdict.fate
        if verdict.fate is Fate.GAVE_UP:
            why = f": {self.reason}" if self.reason else ""
            self.reason = f"gave up after {self._policy.unstable or self.app.max_restarts} unstable ends{why}"
            self._give_up()
            return
        final = {
            Fate.COMPLETED: State.COMPLETED,
            Fate.STOPPED: State.STOPPED,
            Fate.FAILED: State.ERRORED,
        }
        self._enter(final[verdict.fate])

    def _tell_flapping(self) -> None:
        """Once in a series: each single end has been told, and looks like an accident."""
        flapping = self._policy.flapping
        if self._policy.starved > 1:
            flapping = ""  # it is another trouble, with another cure
        if self._policy.starved == 2:
            text = f"{self.reason}, as the one before: restarts wait longer and longer from now on"
            self._log("error", "instance.flapping", text, restarts=self.restarts)
        if flapping and not self._is_flapping:
            text = f"{flapping} ({self.app.min_uptime:g} s): max_restarts does not count these"
            advice = 'restart_window = "1m" would make it, exp_backoff_restart_delay slows it down'
            self._log("error", "instance.flapping", f"{text}; {advice}", restarts=self.restarts)
        self._is_flapping = bool(flapping)

    def _give_up(self) -> None:
        """It stays down; `reason` tells why."""
        self._deadline.disarm()
        self._drop_pending()
        self.fate = Fate.GAVE_UP
        self._log("error", "instance.errored", self.reason)
        self._enter(State.ERRORED)
        if not self.is_trial:  # nothing is lost with it
            self._world.lifecycle.happened(self, "on_give_up")

    def _retry_in(self, delay: Seconds) -> None:
        self.is_recovery = True
        self.restarts += 1
        if delay <= 0:
            self._begin()
            return
        delay_s = round(delay, 3)
        message = f"starts again in {delay_s:g} s"
        self._log("info", "instance.backoff", message, delay_s=delay_s, restarts=self.restarts)
        self._deadline.arm(delay, Event.RETRY)
        self._enter(State.BACKOFF)

    def _rest(self) -> None:
        self._deadline.disarm()
        self._drop_pending()
        self._enter(State.STOPPED)

    # -- what an incarnation reports (see IncarnationReport) -------------------------------------------

    def prepared(self, why_not: str) -> None:
        """What the start waited for is done; or it must not start, for a reason."""
        self._pending = None
        if why_not:
            self.reason = why_not
        self.handle(Event.REFUSED if why_not else Event.PREPARED)

    def exited(self, status: ExitStatus) -> None:
        """The current incarnation's main process ended; that is so whatever fails in telling it."""
        self.last_exit = status
        try:
            self._tell_end(status)
        finally:
            self.handle(Event.EXIT)

    def _tell_end(self, status: ExitStatus) -> None:
        killed = self._world.lifecycle.explain(self, status)
        self._was_oom_killed = bool(killed)
        self.reason = killed or self.reason
        self._cause = self._cause or ("signal" if status.signal is not None else "exit")
        asked = self.state.is_ending
        good = asked or (status.signal is None and status.code in self.app.success_exit_codes)
        uptime = round(self.uptime, 3)
        cut = self.process.cut if asked and self.process else None
        if cut is not None:
            self._observer.instance_cut(self, cut)
        self._log(
            "info" if good else "error",
            "instance.exit",
            f"ended with {status} after {uptime:g} s",
            pid=self.pid,
            code=status.code,
            signal=signal_name(status.signal) if status.signal is not None else None,
            uptime_s=uptime,
            restarts=self.restarts,
            cut=cut or None,
            reason="stop" if asked and self._goal is not Goal.JUDGE else self.reason or "exit",
        )

    def became_ready(self, how: str) -> None:
        """The process reported that it can work."""
        if self.state in (State.STARTING, State.ONLINE):
            self._ready_by = how
        self.handle(Event.READY)

    def became_unhealthy(self, why: str) -> None:
        """A probe or a watchdog gave up on it."""
        if self._is_up:
            self.reason = why
            self._log("error", "instance.unhealthy", why)
            self._ask_for_another()

    def became_hung(self, why: str, stack: str) -> None:
        """The heartbeat gave up on it; `stack` is where it stands."""
        if self._is_up:
            self.reason = why
            self._log("error", "instance.hung", why, stack=stack or None)
            self._ask_for_another()

    @property
    def _is_up(self) -> bool:
        return self.state in (State.STARTING, State.ONLINE)

    def _ask_for_another(self) -> None:
        if not self._observer.instance_unhealthy(self):
            self.handle(Event.UNHEALTHY)

    def extend_timeout(self, delay: Seconds) -> None:
        """Whatever is due now becomes due in `delay` seconds, unless it is due later anyway."""
        if self.state is not State.BACKOFF:
            self._deadline.extend(delay)
            self.asked_for_more = self.asked_for_more or self.state.is_ending

    def received(self, value: object) -> None:
        """An IPC message for the app's owner."""
        self._observer.instance_message(self, value)

    # -- helpers -----------------------------------------------------------------------------------

    def _enter(self, state: State) -> None:
        before, self.state = self.state, state
        self._observer.instance_changed(self, before)

    def _drop_pending(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        known = {key: value for key, value in fields.items() if value is not None}
        self._world.log.event(level, event, message, **self.app.labels(), instance=self.index, **known)


Action: TypeAlias = Callable[[Instance], None]

_RUNNING: Final[Mapping[Event, Action]] = {
    Event.STOP: Instance._end_for_good,
    Event.RESTART: Instance._end_to_renew,
    Event.UNHEALTHY: Instance._end_as_unhealthy,
    Event.GIVE_UP: Instance._end_as_hopeless,
    Event.EXIT: Instance._main_ended,
    Event.KILL: Instance._kill_at_once,
}
_ENDING: Final[Mapping[Event, Action]] = {
    Event.STOP: Instance._want_rest,
    Event.START: Instance._want_renewal,
    Event.RESTART: Instance._want_renewal,
    Event.GIVE_UP: Instance._want_no_more,
    Event.EXIT: Instance._main_ended,
    Event.KILL: Instance._kill_at_once,
}
_FINAL: Final[Mapping[Event, Action]] = {
    Event.START: Instance._begin_afresh,
    Event.RESTART: Instance._begin_afresh,
}

TABLE: Final[Mapping[State, Mapping[Event, Action]]] = {
    State.STOPPED: {**_FINAL, Event.GIVE_UP: Instance._give_up},
    State.ERRORED: _FINAL,
    State.COMPLETED: _FINAL,
    State.PREPARING: {
        Event.PREPARED: Instance._launch,
        Event.REFUSED: Instance._give_up,
        Event.GIVE_UP: Instance._give_up,
        Event.STOP: Instance._rest,
        Event.KILL: Instance._rest,
    },
    State.STARTING: {**_RUNNING, Event.READY: Instance._come_online, Event.LATE: Instance._be_late},
    State.ONLINE: _RUNNING,
    State.LEAVING: {**_ENDING, Event.RELEASED: Instance._take_leave},
    State.DRAINING: {
        **_ENDING,
        Event.DRAINED: Instance._ask_to_stop,
        Event.OVERDUE: Instance._ask_to_stop,
    },
    State.STOPPING: {**_ENDING, Event.GONE: Instance._conclude, Event.OVERDUE: Instance._kill},
    State.BACKOFF: {
        Event.RETRY: Instance._begin,
        Event.START: Instance._begin_afresh,
        Event.RESTART: Instance._begin_afresh,
        Event.STOP: Instance._rest,
        Event.KILL: Instance._rest,
        Event.GIVE_UP: Instance._give_up,
    },
}
"""What each event does in each state; an event that is not listed means nothing there."""
