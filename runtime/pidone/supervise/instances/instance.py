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
from pidone.supervise.instances.delegate import Pending
from pidone.supervise.instances.incarnation import Incarnation, Numbers
from pidone.supervise.instances.restart import ON_TIME, Fate, RestartPolicy
from pidone.supervise.instances.states import Event, Goal, State

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
        self.life = Incarnation(self, self.numbers.last, world.clock)
        """The present one, or the last one."""
        self.restarts: int = before.restarts + 1 if before else 0
        """Lives that followed another one at once: a start after a rest is none (PM2's `restart_time`)."""
        self.has_lived = before is not None
        """Whether the present life is not the first one."""
        self.last_exit: ExitStatus | None = None
        self.reason = ""
        """Why it is where it is, for people."""
        self.failure = ""
        """Why the life before, or the last one, ended by itself; empty if somebody wanted that."""
        self.failed_pid: int | None = None
        """Whose end that was."""
        self.fate: Fate | None = None
        """How it ended for good, if it did."""
        self.is_trial = before is not None
        """It shall replace another one, which serves until this one is ready."""
        self.is_recovery = False
        """The present life began only because the one before ended by itself."""
        self._world = world
        self._observer = observer
        self.policy = RestartPolicy(world.random)
        self._goal = Goal.JUDGE
        self._asked = ""
        """For what reason somebody last asked for something."""
        self.cause = ""
        """Why the next start happens; empty before the first."""
        self._deadline = Deadline(world.deadlines, self.handle)
        self._pending: Pending | None = None
        """What the start or the stop waits for."""

    @property
    def who(self) -> InstanceId:
        """The current incarnation's identity."""
        return self.life.who

    @property
    def incarnation(self) -> int:
        """The number of the present life, or of the last one."""
        return self.life.number

    @property
    def process(self) -> Process | None:
        """The present life's, if it has one."""
        return self.life.process

    @property
    def pid(self) -> int | None:
        """The main process, if there is one."""
        return self.process.pid if self.process else None

    @property
    def online_since(self) -> Seconds:
        """Monotonic time since when the present life is online; 0 if it is not yet."""
        return self.life.online_since

    @property
    def is_on_its_first_way(self) -> bool:
        """Whether it begins its first life and is not ready yet."""
        return not self.has_lived and self.state in (State.PREPARING, State.STARTING)

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
        return self.state.is_ending and not self.life.was_killed and self._deadline.left > 0

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
        self.policy.forgive()
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
        self.has_lived = self.has_lived or self.life.started_at > 0
        self.life = Incarnation(self, self.numbers.next(), self._world.clock)
        self.life.started_at = self._world.clock.time()
        self.fate = None
        self.reason = ""
        self._goal = Goal.JUDGE
        self._pending = self._world.delegate.before_start(self, self.life.prepared)
        if self._pending is None:
            self._launch()
        else:
            self._enter(State.PREPARING)

    def _launch(self) -> None:
        life = self.life
        life.started_at = self._world.clock.time()
        try:
            life.process = self._world.launcher.launch(self.app, self.who, report=life, on_exit=life.exited)
        except SpawnError as error:
            self.reason = self.failure = str(error)
            self.failed_pid = None
            self.log("error", "instance.spawn_failed", self.reason)
            self.cause = "spawn_failed"
            pause = self.policy.pause_after(self.app, error)
            self._judge(ExitStatus(code=exit_code_of(error)), least_delay=pause)
            return
        pid = life.process.pid
        text = f"started as pid {pid}"
        self.log("info", "instance.start", text, pid=pid, restarts=self.restarts, reason=self.cause or None)
        self.cause = ""
        life.shall_tell = life.process.announces or self.app.ready.is_reported
        self._enter(State.STARTING)
        if life.shall_tell:
            self._deadline.arm(self.app.listen_timeout, Event.LATE, lacks=life.lacks_patience)
        elif self.app.ready_delay > 0:
            self._deadline.arm(self.app.ready_delay, Event.READY, lacks=life.lacks_life)
        else:
            self.handle(Event.READY)

    def _begin_afresh(self) -> None:
        self.policy.forgive()
        self.failure = ""
        self.is_recovery = False
        if self._asked == ON_TIME:  # each run of a job is its first life
            self.restarts = 0
            self.cause = self._asked
        elif self.has_lived or self.life.started_at:
            self.cause = self._asked
        self._begin()

    def _come_online(self) -> None:
        self._deadline.disarm()
        life, after = self.life, round(self.life.uptime, 3)
        text = f"online after {after:g} s"
        self.log("info", "instance.online", text, after_s=after, by=life.ready_by or None)
        life.running.online()
        life.online_since = self._world.clock.time()
        self._enter(State.ONLINE)
        self._world.delegate.happened(self, "post_start")

    def _be_late(self) -> None:
        key = "reload_timeout" if self.is_trial else "listen_timeout"
        late = f"not ready within {self.app.listen_timeout:g} s ({key})"
        if self.app.on_ready_timeout is OnReadyTimeout.FAIL:
            self.reason = late
            self.log("error", "instance.not_ready", self.reason)
            self.cause = "not_ready"
            self._end(Goal.JUDGE)
            return
        text = f'{late}; taken as online (on_ready_timeout = "fail" makes this a failure)'
        self.log("warning", "instance.not_ready", text)
        self._come_online()

    def _end_for_good(self) -> None:
        self._end(Goal.REST)

    def _end_to_renew(self) -> None:
        self.policy.forgive()
        self.cause = self._asked
        self._end(Goal.RENEW)

    def _end_as_unhealthy(self) -> None:
        self.cause = "unhealthy"
        self._end(Goal.JUDGE)

    def _end_as_hopeless(self) -> None:
        self._end(Goal.GIVE_UP)

    def _end(self, goal: Goal) -> None:
        self._goal = goal
        self._pending = self._world.delegate.before_stop(self, self.life.released)
        if self._pending is None:
            self._take_leave()
        else:
            self._deadline.disarm()
            self._enter(State.LEAVING)

    def _take_leave(self) -> None:
        self.life.leaves_since = self._world.clock.time()
        if self.life.running.drain():
            self._deadline.arm(drain_time(self.app), Event.OVERDUE)
            self._enter(State.DRAINING)
        else:
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        process = self.life.running
        drained_for = self._world.clock.time() - self.life.leaves_since
        self._deadline.arm(time_to_stop(self.app, drained_for), Event.OVERDUE)
        if self.app.shutdown_with_message and process.send("shutdown"):
            self.log("info", "instance.stop", 'asked to stop by "shutdown"', how="message")
        else:
            process.stop(self.app.kill_signal)
            name = signal_name(self.app.kill_signal)
            self.log("info", "instance.stop", f"asked to stop by {name}", signal=name)
        self._enter(State.STOPPING)

    def _kill(self) -> None:
        self._end_by_force(f"still there after {self.app.kill_timeout:g} s")

    def _kill_at_once(self) -> None:
        self._goal = Goal.REST
        self._drop_pending()
        self._end_by_force("no time left")

    def _end_by_force(self, why: str) -> None:
        life = self.life
        if not life.was_killed:
            life.was_killed = True
            self.log("warning", "instance.kill", why)
        self._deadline.arm(KILL_AGAIN, Event.OVERDUE)
        self._enter(State.STOPPING)
        life.running.kill()  # last, as it may find that nobody is left, which concludes this life

    def _want_rest(self) -> None:
        self._goal = Goal.REST

    def _want_renewal(self) -> None:
        self.policy.forgive()
        self.cause = self._asked
        self._goal = Goal.RENEW

    def _want_no_more(self) -> None:
        if self._goal is not Goal.REST:
            self._goal = Goal.GIVE_UP

    def _main_ended(self) -> None:
        """The main process is gone; what it left behind has to go before anything follows."""
        self._pending = None  # a hook that runs may end in its own time
        if self.life.running.end_leftovers(self.life.gone):
            self.log("info", "instance.leftovers", "left processes behind, which are asked to end")
            if self.state is not State.STOPPING:  # else they have what is left of its time
                self._deadline.arm(self.app.kill_timeout, Event.OVERDUE)
            self._enter(State.STOPPING)
        else:
            self._conclude()

    def _conclude(self) -> None:
        """Nothing of the incarnation is left."""
        self._deadline.disarm()
        self._world.delegate.happened(self, "on_exit" if self._goal is Goal.JUDGE else "post_stop")
        self.life.process = None
        if self._goal is Goal.REST:
            self._enter(State.STOPPED)
        elif self._goal is Goal.GIVE_UP:
            self._give_up()
        elif self._goal is Goal.RENEW:
            self.is_recovery = False
            self.failure = ""
            self.restarts += 1
            self._begin()
        else:
            self._judge(self.last_exit or ExitStatus(code=0), least_delay=0.0)

    def _judge(self, status: ExitStatus, *, least_delay: Seconds) -> None:
        self.last_exit = status
        life, now = self.life, self._world.clock.time()
        verdict = self.policy.judge(
            self.app, status, uptime=life.counted_uptime, now=now, is_oom=life.was_oom_killed
        )
        if news := self.policy.news(self.app, self.reason):
            self.log("error", "instance.flapping", news, restarts=self.restarts)
        if verdict.fate is Fate.RESTART:
            self._retry_in(max(verdict.delay, least_delay))
            return
        self.fate = verdict.fate
        if verdict.fate is Fate.GAVE_UP:
            why = f": {self.reason}" if self.reason else ""
            self.reason = f"gave up after {self.policy.unstable or self.app.max_restarts} unstable ends{why}"
            self._give_up()
            return
        final = {
            Fate.COMPLETED: State.COMPLETED,
            Fate.STOPPED: State.STOPPED,
            Fate.FAILED: State.ERRORED,
        }
        self._enter(final[verdict.fate])

    def _give_up(self) -> None:
        """It stays down; `reason` tells why."""
        self._deadline.disarm()
        self._drop_pending()
        self.fate = Fate.GAVE_UP
        self.log("error", "instance.errored", self.reason)
        self._enter(State.ERRORED)
        if not self.is_trial:  # nothing is lost with it
            self._world.delegate.happened(self, "on_give_up")

    def _retry_in(self, delay: Seconds) -> None:
        self.is_recovery = True
        self.restarts += 1
        if delay <= 0:
            self._begin()
            return
        delay_s = round(delay, 3)
        message = f"starts again in {delay_s:g} s"
        self.log("info", "instance.backoff", message, delay_s=delay_s, restarts=self.restarts)
        self._deadline.arm(delay, Event.RETRY)
        self._enter(State.BACKOFF)

    def _rest(self) -> None:
        self._deadline.disarm()
        self._drop_pending()
        self._enter(State.STOPPED)

    # -- called by incarnations ----------------------------------------------------------------------------

    def prepared(self, why_not: str) -> None:
        """What the start waited for is done; or it must not start, for a reason."""
        self._pending = None
        self.reason = why_not or self.reason
        self.handle(Event.REFUSED if why_not else Event.PREPARED)

    def explain(self, status: ExitStatus) -> str:
        """How the kernel has killed it for memory; empty if it has not."""
        return self._world.delegate.explain(self, status)

    def ask_for_another(self) -> None:
        """It is sick: whoever sees to it replaces it, or it is ended."""
        if not self._observer.instance_unhealthy(self):
            self.handle(Event.UNHEALTHY)

    def extend_timeout(self, delay: Seconds) -> None:
        """Whatever is due now becomes due in `delay` seconds, unless it is due later anyway."""
        if self.state is not State.BACKOFF:
            self._deadline.extend(delay)
            self.life.asked_for_more = self.life.asked_for_more or self.state.is_ending

    def received(self, value: object) -> None:
        """An IPC message for the app's owner."""
        self._observer.instance_message(self, value)

    def lost(self, connections: int) -> None:
        """It has ended, as it was asked to, with so many open."""
        self._observer.instance_cut(self, connections)

    # -- helpers -----------------------------------------------------------------------------------

    def _enter(self, state: State) -> None:
        before, self.state = self.state, state
        self._observer.instance_changed(self, before)

    def _drop_pending(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        self._world.log.event(level, event, message, **self.app.labels(), instance=self.index, **fields)


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
