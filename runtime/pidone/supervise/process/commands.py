"""Commands beside an app (hooks, exec probes, alerts): its user, its folder, its variables and limits.

Whatever an app may not have, they do not have either: everything that runs in its name is planned here.
"""

import os
import signal
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress

from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec
from pidone.errors import SpawnError
from pidone.init.exitcodes import ExitCode
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, exit_code_of, spawn
from pidone.supervise.process.environment import environment_of


def plan_for(
    app: AppSpec, argv: tuple[str, ...], env: Mapping[str, str], *, stdout: int, stderr: int
) -> SpawnPlan:
    """A process with the identity of an app: credentials, limits, mask, priority and CPUs."""
    return SpawnPlan(
        argv=argv,
        env=env,
        cwd=app.cwd,
        stdout=stdout,
        stderr=stderr,
        uid=app.uid,
        gid=app.gid,
        groups=app.groups,
        umask=app.umask,
        nice=app.nice,
        limits=app.limits,
        no_new_privs=app.no_new_privs,
        oom_score_adj=app.oom_score_adj,
        cpu_affinity=app.cpu_affinity if isinstance(app.cpu_affinity, tuple) else None,
    )


def give(app: AppSpec, *descriptors: int) -> None:
    """Make pipes of ours the app's user's, so that it can open /dev/stdout and /proc/self/fd/1 anew.

    Where we may not, that is told before the first start of the app.
    """
    if app.uid in (None, os.geteuid()):
        return
    for descriptor in descriptors:
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, app.uid, -1 if app.gid is None else app.gid)


def start(app: AppSpec, command: tuple[str, ...], env: Mapping[str, str], *, stdout: int, stderr: int) -> int:
    """Start a command in the name of an app; its pid, which leads a process group. Raises SpawnError."""
    argv = (find_program(command[0], app.cwd, env), *command[1:])
    give(app, stdout, stderr)
    return spawn(plan_for(app, argv, env, stdout=stdout, stderr=stderr))


def find_program(command: str, cwd: str, env: Mapping[str, str]) -> str:
    """The program's path, as a shell in `cwd` would find it. Raises SpawnError if it is nowhere on PATH."""
    if "/" in command:
        return os.path.join(cwd, command)
    for folder in env.get("PATH", os.defpath).split(":"):
        path = os.path.join(cwd, folder, command)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise SpawnError(f"exec: {command}: not found in PATH") from FileNotFoundError(2, os.strerror(2))


class Commands:
    """Runs commands without waiting for them in any other way than on the loop."""

    def __init__(self, reaper: Reaper, environ: Mapping[str, str]) -> None:
        """`environ` is what apps inherit."""
        self._reaper = reaper
        self._environ = environ

    async def run(self, app: AppSpec, argv: tuple[str, ...]) -> int:
        """Run one; its exit code as a shell tells it, 126 or 127 if it cannot be started.

        Cancelling kills it and its process group.
        """
        import asyncio  # noqa: PLC0415 (the apps' launcher imports this module before there is a loop)

        ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

        def tell(status: ExitStatus) -> None:
            if not ended.cancelled():
                ended.set_result(status)

        try:
            pid = self._start(app, argv, tell)
        except SpawnError as error:
            return exit_code_of(error)
        except OSError:  # no descriptor is left
            return ExitCode.NOT_EXECUTABLE
        try:
            return (await ended).shell_code
        finally:
            if self._reaper.owns(pid):
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def _start(self, app: AppSpec, argv: tuple[str, ...], on_exit: Callable[[ExitStatus], None]) -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            pid = start(app, argv, environment_of(app, self._environ), stdout=null, stderr=null)
        finally:
            close(null)
        self._reaper.watch(pid, on_exit)
        return pid
