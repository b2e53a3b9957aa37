"""Hooks at work: which run when, what they are told, and what their failure means.

An app's hooks run for every process of it. Those of the `[runtime]` table run once for the whole (`pre_start`
before the first app, `post_stop` after the last), and `on_exit` and `on_give_up` for every app.
"""

from collections.abc import Callable, Mapping

from pidone.contracts import Clock, InstanceId, LogSink
from pidone.ecosystem.spec import AppSpec, Hook, RuntimeSpec, Seconds
from pidone.init.reaper import Reaper
from pidone.supervise.faults import SYSTEM_ERRORS, what_of
from pidone.supervise.hooks.launcher import AppHookLauncher
from pidone.supervise.hooks.run import HURRIED, HookEvent, HookPoint, HookResult, HookRun, Outcome
from pidone.supervise.instances.delegate import Moment
from pidone.supervise.instances.instance import Instance

_WHOLE = AppSpec(name="pidone", argv=(), cwd="/")
"""In whose name and folder the hooks of the whole run."""


class Hooks:
    """Every hook that runs."""

    def __init__(
        self,
        runtime: RuntimeSpec,
        *,
        clock: Clock,
        reaper: Reaper,
        log: LogSink,
        environ: Callable[[AppSpec, InstanceId], Mapping[str, str]],
    ) -> None:
        """`environ` is what a process of an app would get."""
        self.runtime = runtime
        self._clock = clock
        self._reaper = reaper
        self._log = log
        self._environ = environ
        self._runs: set[HookRun] = set()
        self._when_idle: Callable[[], None] | None = None
        self._whole_start: HookRun | None = None
        self._hurried = False

    def before_start(self, instance: Instance, then: Callable[[str], None]) -> HookRun | None:
        """As of a Delegate."""
        return self._run_of(instance, HookPoint.PRE_START, then)

    def before_stop(self, instance: Instance, then: Callable[[], None]) -> HookRun | None:
        """As of a Delegate. A failure is told, and keeps nothing up."""
        try:
            return self._run_of(instance, HookPoint.PRE_STOP, lambda _failure: then())
        except SYSTEM_ERRORS as error:  # nothing waits for a hook that is not there
            self._log.event("warning", "hook.failed", what_of(error), **instance.app.labels())
            return None

    def happened(self, instance: Instance, moment: Moment) -> None:
        """As of a Delegate."""
        point = HookPoint(moment)
        self._run_of(instance, point, lambda _failure: None)
        if point in (HookPoint.ON_EXIT, HookPoint.ON_GIVE_UP) and point in self.runtime.hooks:
            self._run(self.runtime.hooks[point], _WHOLE, _event(instance, point), lambda _failure: None)

    def start_whole(self, then: Callable[[str], None]) -> None:
        """Run the `pre_start` of the whole, if it has one; `then` hears why nothing may be started, if so."""
        hook = self.runtime.hooks.get(HookPoint.PRE_START)
        if hook is None:
            then("")
            return

        def started(failure: str) -> None:
            self._whole_start = None
            then(failure)

        self._whole_start = self._run(hook, _WHOLE, HookEvent(point=HookPoint.PRE_START), started)

    def whole_started(self) -> None:
        """Every app is ready."""
        self._run_whole(HookEvent(point=HookPoint.POST_START), lambda: None)

    def whole_stops(self, reason: str, then: Callable[[], None]) -> bool:
        """As of a Delegate."""
        if self._whole_start is not None:
            self._whole_start.cancel()  # nothing has been started
            return False
        return self._run_whole(HookEvent(point=HookPoint.PRE_STOP, reason=reason or None), then)

    def whole_rests(self, code: int, reason: str, then: Callable[[], None]) -> bool:
        """As of a Delegate: hooks of the last apps come to their end, then the whole's `post_stop` runs."""
        event = HookEvent(point=HookPoint.POST_STOP, exit_code=code, reason=reason or None)

        def last() -> None:
            if not self._run_whole(event, then):
                then()

        if self._runs:
            self._when_idle = last
            return True
        return self._run_whole(event, then)

    def busy_for(self) -> Seconds:
        """Until the last of those that run has ended, or has been killed."""
        return max((run.time_left for run in self._runs), default=0.0)

    def cancel_all(self) -> None:
        """No time is left, for hooks that have not begun either."""
        self._hurried = True
        for run in tuple(self._runs):
            run.cancel(HURRIED)

    # -- helpers ---------------------------------------------------------------------------------------

    def _run_whole(self, event: HookEvent, then: Callable[[], None]) -> bool:
        hook = self.runtime.hooks.get(event.point)
        if hook is None or self._hurried:
            return False
        self._run(hook, _WHOLE, event, lambda _failure: then())
        return True

    def _run_of(self, instance: Instance, point: HookPoint, then: Callable[[str], None]) -> HookRun | None:
        hook = instance.app.hooks.get(point)
        if hook is None:
            return None
        return self._run(hook, instance.app, _event(instance, point), then)

    def _run(self, hook: Hook, app: AppSpec, event: HookEvent, then: Callable[[str], None]) -> HookRun:
        who = InstanceId(app.name, event.instance or 0, 0, app.namespace)
        launcher = AppHookLauncher(app, reaper=self._reaper, log=self._log)

        def done(result: HookResult) -> None:
            self._runs.discard(run)
            self._tell(result)
            # Who cancels a hook of an instance goes on without it; the whole waits for the end of its own.
            if result.outcome is not Outcome.CANCELLED or event.app is None:
                then(result.message)
            self._look_whether_idle()

        env = self._environ(app, who)
        run = HookRun(hook, event, env, launcher=launcher, clock=self._clock, done=done, waits=self._tell)
        self._runs.add(run)
        return run

    def _tell(self, result: HookResult) -> None:
        event = result.event
        fields: dict[str, object] = {"app": event.app, "instance": event.instance, "hook": event.point.value}
        if event.namespace not in (None, AppSpec.namespace):
            fields["namespace"] = event.namespace
        if result.message:
            level = "error" if event.point.is_required else "warning"
            self._log.event(level, "hook.failed", result.message, outcome=result.outcome.value, **fields)
        else:
            self._log.event("debug", "hook.done", "", outcome=result.outcome.value, **fields)

    def _look_whether_idle(self) -> None:
        if not self._runs and self._when_idle is not None:
            when_idle, self._when_idle = self._when_idle, None
            when_idle()


def _event(instance: Instance, point: HookPoint) -> HookEvent:
    status = (
        instance.last_exit
        if point in (HookPoint.POST_STOP, HookPoint.ON_EXIT, HookPoint.ON_GIVE_UP)
        else None
    )
    return HookEvent(
        point=point,
        app=instance.app.name,
        namespace=instance.app.namespace,
        instance=instance.index,
        pid=instance.pid,
        exit_code=status.code if status else None,
        signal=status.signal if status else None,
        uptime=None if point is HookPoint.PRE_START else instance.life.uptime,
        restarts=instance.restarts,
        reason=instance.reason or None,
    )
