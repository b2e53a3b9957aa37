"""Which zygote an instance is forked from: one for each app and code, until nobody needs it any more.

Whoever asks for new processes wants the code that is there now: it gets a zygote that was begun since. One
that only comes back after a crash is forked from the one it had. A zygote ends when every instance that has
it is down or replaced. Where it cannot be used, its workers are started one by one, and that is told once.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pidone.contracts import Clock, InstanceId, LogSink, LogSource, Timer
from pidone.ecosystem.programs import preloading
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.listen.node.program import readable_by
from pidone.listen.sockets import activation
from pidone.supervise.app import App
from pidone.supervise.instances.delegate import Pending
from pidone.supervise.instances.instance import Instance
from pidone.supervise.preload.command import command_of
from pidone.supervise.preload.spare_worker import ForkRefusedError, Loop, SpareWorker
from pidone.supervise.preload.zygote import SCRIPT, Zygote, ZygotePhase, plan_of
from pidone.supervise.process.commands import plan_for

_SPARE: Final = 16
"""Descriptors beside the listening sockets that a worker may be given."""
_FIRST_PAUSE: Final[Seconds] = 1.0
_LONGEST_PAUSE: Final[Seconds] = 60.0
"""Between two zygotes that end by themselves: twice as long each time."""
_CODE: Final = (
    "argv", "cwd", "env", "templates", "filter_env", "unset_env", "preload", "uid", "gid", "groups", "umask",
    "nice", "limits", "no_new_privs", "oom_score_adj", "cpu_affinity", "instance_var", "increment_var",
    "listen",
)  # fmt: skip
"""Keys by which a zygote is another one."""


class Zygotes:
    """All there are."""

    def __init__(
        self,
        *,
        loop: Loop,
        deadlines: Clock,
        reaper: Reaper,
        log: LogSink,
        environment: Callable[[AppSpec, InstanceId], Mapping[str, str]],
        app_of: Callable[[Instance], App | None],
    ) -> None:
        """`environment` is what an instance gets; `app_of` finds whose one is."""
        self._loop = loop
        self._deadlines = deadlines
        self._reaper = reaper
        self._log = log
        self._environment = environment
        self._app_of = app_of
        self._zygotes: list[Zygote] = []
        """The newest last."""
        self._chosen: dict[Instance, Zygote] = {}
        self._spares: dict[InstanceId, tuple[Zygote, SpareWorker]] = {}
        """Of who starts in this very moment."""
        self._pauses: dict[tuple[str, str], Seconds] = {}
        self._retries: dict[tuple[str, str], Timer] = {}

    def before_start(
        self,
        instance: Instance,
        then: Callable[[str], None],
        run_hook: Callable[[Instance, Callable[[str], None]], Pending | None],
    ) -> Pending | None:
        """As of a Delegate: the hook of an instance comes first, which may be what makes its code."""
        steps = _Steps()

        def hook_ended(failure: str) -> None:
            steps.present = None if failure else self.prepare(instance, then)
            if steps.present is None:
                then(failure)

        steps.present = run_hook(instance, hook_ended)
        return steps if steps.present is not None else self.prepare(instance, then)

    def prepare(self, instance: Instance, then: Callable[[str], None]) -> Pending | None:
        """An instance is about to be started: see to its zygote. None lets it start now, else `then` does."""
        zygote = self._choose(instance)
        if zygote is None:
            self._chosen.pop(instance, None)
            return None
        self._chosen[instance] = zygote
        waiter = _Waiter(zygote, self._failed, partial(self._go, zygote, instance.who, then))
        if zygote.phase is ZygotePhase.IMPORTING:
            zygote.waiting.append(waiter.imported)
            return waiter
        return waiter if waiter.ask() else None

    def spawn(self, who: InstanceId, plan: SpawnPlan) -> int:
        """Fork the worker, or start it where that is not possible. Raises SpawnError."""
        if who not in self._spares:
            return spawn(plan)
        zygote, spare = self._spares[who]
        try:
            command = command_of(zygote.app, plan.argv, plan.env)
        except OSError as error:
            self._failed(zygote, f"{plan.argv[0]}: {error.strerror}")
            command = None
        if command is None:
            return spawn(plan)
        try:
            return spare.become(plan, command)
        except ForkRefusedError as error:
            self._failed(zygote, str(error))
            return spawn(plan)

    def _go(
        self, zygote: Zygote, who: InstanceId, then: Callable[[str], None], spare: SpareWorker | None
    ) -> None:
        """Let it start, by `spawn`; a spare that is not taken then is nobody's any more."""
        if spare is None:
            then("")
            return
        self._spares[who] = zygote, spare
        try:
            then("")
        finally:
            del self._spares[who]
            spare.end()

    def sync(self, app: App) -> None:
        """End those of an app that none of its instances needs."""
        members = {member for member in app.members() if not member.state.is_final}
        for instance in [each for each in self._chosen if each.app.key() == app.spec.key()]:
            if instance not in members:
                del self._chosen[instance]
        needed = set(self._chosen.values())
        for zygote in [each for each in self._zygotes if each.app.key() == app.spec.key()]:
            if zygote not in needed:
                self._zygotes.remove(zygote)
                if zygote.phase in (ZygotePhase.IMPORTING, ZygotePhase.READY):
                    zygote.end()
                    text = f"zygote {zygote.pid} ends: none of its workers is left"
                    self._tell(zygote.app, "debug", "preload.end", text, pid=zygote.pid, forks=zygote.forks)

    def of(self, instance: Instance) -> Zygote | None:
        """That of an instance."""
        return self._chosen.get(instance)

    def close(self) -> None:
        """All apps are down."""
        for timer in self._retries.values():
            timer.cancel()
        for zygote in self._zygotes:
            if zygote.phase in (ZygotePhase.IMPORTING, ZygotePhase.READY):
                zygote.bury()
        self._zygotes.clear()

    # -- choosing ------------------------------------------------------------------------------------------

    def _choose(self, instance: Instance) -> Zygote | None:
        before = self._chosen.get(instance)
        if instance.is_recovery and self._is_usable(before, instance.app):
            return before
        app = self._app_of(instance)
        since = 0.0 if app is None or instance.is_recovery else app.asked_at
        for zygote in reversed(self._zygotes):
            if self._fits(zygote, instance.app) and zygote.born >= since:
                return zygote
        return self._begin(instance.app, instance.who)

    def _is_usable(self, zygote: Zygote | None, app: AppSpec) -> bool:
        return zygote is not None and zygote.phase is not ZygotePhase.GONE and self._fits(zygote, app)

    def _fits(self, zygote: Zygote, app: AppSpec) -> bool:
        is_same = zygote.app.key() == app.key()
        return is_same and all(getattr(zygote.app, key) == getattr(app, key) for key in _CODE)

    def _begin(self, app: AppSpec, who: InstanceId) -> Zygote | None:
        """Start one. None if it cannot be, which is told: its workers are started by themselves."""
        try:
            return self._start(app, who)
        except (SpawnError, OSError) as error:
            self._refuse(app, f"no zygote can be started: {error}")
            return None

    def _start(self, app: AppSpec, who: InstanceId) -> Zygote:
        own = (app.instance_var, "pm_id", *app.templates, *filter(None, [app.increment_var]))
        env = {**self._environment(app, who)}
        whole = plan_for(app, app.argv, env, stdout=1, stderr=2)
        command = command_of(app, app.argv, env)
        if command is None:
            raise SpawnError("its command line is not one of Python with a file or a module")
        if not readable_by(SCRIPT, app.uid, app.gid):
            raise SpawnError("the app's user cannot read pidone's files")
        for name in own:
            env.pop(name, None)
        task = {
            "target": app.preload,
            "also": preloading.modules_of(app.argv),
            "late": dict(preloading.LATE),
            "path": preloading.folders_of(app.argv, app.cwd),
            "hidden": own,
            "listed": (*app.templates, *filter(None, [app.increment_var])),
            "reserve": activation.FIRST + len(app.listen) + _SPARE,
        }
        told = app.but(log_fields={**app.log_fields, "preload": str(app.preload)})
        outlet = self._log.open(LogSource(told, who))
        own_plan = whole.but(env=env, stdout=outlet.stdout, stderr=outlet.stderr)
        try:
            zygote = Zygote(
                app,
                plan_of(own_plan, command),
                task,
                outlet=outlet,
                loop=self._loop,
                deadlines=self._deadlines,
                reaper=self._reaper,
                patience=max(app.listen_timeout, app.reload_timeout),
                on_decided=self._decided,
                on_end=self._ended,
            )
        except (SpawnError, OSError):
            outlet.finish()
            raise
        self._zygotes.append(zygote)
        return zygote

    # -- what zygotes tell -----------------------------------------------------------------------------------

    def _decided(self, zygote: Zygote) -> None:
        after = round(zygote.import_s, 3)
        if zygote.phase is ZygotePhase.REFUSED:
            self._refuse(zygote.app, zygote.why_not, pid=zygote.pid, after_s=after)
            return
        text = f"{zygote.app.preload} is imported after {after:g} s; workers are forked from pid {zygote.pid}"
        fields = {"pid": zygote.pid, "after_s": after, "modules": zygote.modules}
        self._tell(zygote.app, "info", "preload.ready", text, **fields)
        if zygote.shared:
            text = f"the import of {zygote.app.preload} has left open what all workers have in common: "
            text += f"{'; '.join(zygote.shared)}; open it in pidone_after_fork() or later"
            self._tell(zygote.app, "warning", "preload.shared", text, pid=zygote.pid)

    def _refuse(self, app: AppSpec, why: str, **fields: object) -> None:
        text = f"{app.preload} is not preloaded: {why}; each worker is started by itself"
        self._tell(app, "warning", "preload.refused", text, **fields)

    def _failed(self, zygote: Zygote, why: str) -> None:
        """Told once of each."""
        if zygote.why_not:
            return
        zygote.why_not = why
        text = f"the zygote {zygote.pid} does not fork ({why}); the worker is started by itself"
        self._tell(zygote.app, "error", "preload.failed", text, pid=zygote.pid)

    def _ended(self, zygote: Zygote, status: ExitStatus) -> None:
        """By itself, or by somebody else's hand. Those that it has forked live on."""
        key = zygote.app.key()
        if zygote not in self._zygotes:
            return
        has_lived = self._loop.time() - zygote.born > _LONGEST_PAUSE
        pause = _FIRST_PAUSE if has_lived else self._pauses.get(key, _FIRST_PAUSE)
        self._pauses[key] = min(2 * pause, _LONGEST_PAUSE)
        text = f"zygote {zygote.pid} ended with {status}; its workers go on, another begins in {pause:g} s"
        self._tell(zygote.app, "error", "preload.exit", text, pid=zygote.pid, retry_in_s=pause)
        if key in self._retries:
            self._retries[key].cancel()
        self._retries[key] = self._loop.call_later(pause, lambda: self._begin_again(zygote))

    def _begin_again(self, gone: Zygote) -> None:
        self._retries.pop(gone.app.key(), None)
        users = [instance for instance, zygote in self._chosen.items() if zygote is gone]
        if gone not in self._zygotes or not users:
            return
        self._zygotes.remove(gone)
        successor = self._begin(gone.app, users[0].who)
        for instance in users:
            if successor is None:
                del self._chosen[instance]
            else:
                self._chosen[instance] = successor

    def _tell(self, app: AppSpec, level: str, event: str, message: str, **fields: object) -> None:
        self._log.event(level, event, message, **app.labels(), **fields)


class _Steps:
    """One thing that is waited for after the other."""

    def __init__(self) -> None:
        self.present: Pending | None = None

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.present is not None:
            self.present.cancel()


class _Waiter:
    """An instance that waits for the import, and then for its fork."""

    def __init__(
        self, zygote: Zygote, failed: Callable[[Zygote, str], None], go: Callable[[SpareWorker | None], None]
    ) -> None:
        """`failed` hears why there is no fork, `go` of the fork, or None."""
        self._zygote = zygote
        self._failed = failed
        self._go = go
        self._spare: SpareWorker | None = None
        self._is_cancelled = False

    def imported(self) -> None:
        """It is decided whether it can be forked."""
        if not self._is_cancelled and not self.ask():
            self._go(None)

    def ask(self) -> bool:
        """Have a worker forked; False where that cannot be asked for."""
        if self._zygote.phase is not ZygotePhase.READY:
            return False
        try:
            self._spare = self._zygote.fork(self._forked)
        except OSError as error:
            self._failed(self._zygote, f"{error.strerror}")
            return False
        return True

    def _forked(self, spare: SpareWorker) -> None:
        if spare.failed:
            self._failed(self._zygote, spare.failed)
            self._go(None)
        else:
            self._go(spare)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._is_cancelled = True
        if self._spare is not None:
            self._spare.end()
