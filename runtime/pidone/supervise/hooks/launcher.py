"""From a hook to a running process: with the app's folder, rights and log, in a process group of its own."""

from collections.abc import Callable, Mapping

from pidone.contracts import InstanceId, LogSink, LogSource
from pidone.ecosystem.spec import AppSpec, Hook
from pidone.errors import SpawnError
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper
from pidone.supervise.hooks.run import HookEvent
from pidone.supervise.process.commands import start
from pidone.supervise.process.leftovers import MARK


class AppHookLauncher:
    """Launches the hooks of one app; what they print goes where the app's lines go."""

    def __init__(self, app: AppSpec, *, reaper: Reaper, log: LogSink) -> None:
        """For hooks of the runtime as a whole, `app` is a stand-in that has a name and a folder."""
        self._app = app
        self._reaper = reaper
        self._log = log

    def launch(
        self,
        hook: Hook,
        event: HookEvent,
        env: Mapping[str, str],
        on_exit: Callable[[ExitStatus], None],
    ) -> int:
        """Start it and return its pid. Raises SpawnError; then nothing is left of the attempt."""
        app = self._app
        # With an incarnation's mark it would be taken for what that left behind, and be cleared away with it.
        env = {name: value for name, value in env.items() if name != MARK}
        who = InstanceId(app.name, event.instance or 0, 0, app.namespace)
        told = app.but(log_fields={**app.log_fields, "hook": event.point.value})
        try:
            outlet = self._log.open(LogSource(told, who))
        except OSError as error:
            raise SpawnError(f"pipes: {error.strerror}") from error
        try:
            pid = start(app, hook.command, env, stdout=outlet.stdout, stderr=outlet.stderr)
        except SpawnError:
            outlet.finish()
            raise

        def ended(status: ExitStatus) -> None:
            outlet.finish()
            on_exit(status)

        self._reaper.watch(pid, ended)
        outlet.spawned(pid)
        return pid

    def kill(self, pid: int, signal_number: int) -> None:
        """Signal the whole group: spawn() made the hook its leader, so no other process is in it."""
        proctree.deliver(-pid, signal_number)
