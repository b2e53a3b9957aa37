"""Commands beside an app (hooks, exec probes, alerts): its user, its folder, its variables and limits.

Whatever an app may not have, they do not have either: everything that runs in its name is planned here.
"""

import errno
import os
import signal
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pidone.descriptors import close, pipe_to_us
from pidone.ecosystem.spec import AppSpec
from pidone.errors import SpawnError, is_shortage
from pidone.init.exitcodes import ExitCode
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, exit_code_of, spawn
from pidone.supervise.process.environment import environment_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_PIPE: Final = 1 << 16
"""What a pipe holds: all that a command has left in it."""
_KEPT: Final = 4096
"""Bytes of its end that are kept of what a command writes."""


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
        may_hang=app.remote is not None,
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
    program, *otherwise = find_programs(command[0], app.cwd, env)
    give(app, stdout, stderr)
    plan = plan_for(app, (program, *command[1:]), env, stdout=stdout, stderr=stderr)
    return spawn(plan.but(otherwise=tuple(otherwise)))


def find_programs(command: str, cwd: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The program's path, as a shell in `cwd` would find it. Raises SpawnError if it is nowhere on PATH.

    In a folder whose file system may not answer nobody but the child looks: then these are to be tried in
    turn.
    """
    if "/" in command:
        return (os.path.join(cwd, command),)
    from pidone.ecosystem.programs.remote import leads_to, points_now  # noqa: PLC0415 (for who has commands)

    points = points_now()
    found: list[str] = []
    for folder in env.get("PATH", os.defpath).split(":"):
        path = os.path.join(cwd, folder, command)
        if points and leads_to(points, path):
            found.append(path)
        elif os.access(path, os.X_OK) and not os.path.isdir(path):
            return (*found, path)
    if found:
        return tuple(found)
    raise SpawnError(f"exec: {command}: not found in PATH") from FileNotFoundError(2, os.strerror(2))


class Commands:
    """Runs commands without waiting for them in any other way than on the loop."""

    def __init__(self, reaper: Reaper, environ: Mapping[str, str]) -> None:
        """`environ` is what apps inherit."""
        self._reaper = reaper
        self._environ = environ

    async def run(self, app: AppSpec, argv: tuple[str, ...]) -> tuple[int, str]:
        """Run one; its exit code as a shell tells it, 126 or 127 if it cannot be started.

        And, if it failed, the line it wrote that tells most. Cancelling kills it and its process group.
        """
        try:
            return await self.attempt(app, argv)
        except OSError as error:
            return ExitCode.NOT_EXECUTABLE, error.strerror or ""

    async def attempt(self, app: AppSpec, argv: tuple[str, ...]) -> tuple[int, str]:
        """As `run`, but raises OSError where it cannot be started for want of means."""
        import asyncio  # noqa: PLC0415 (the apps' launcher imports this module before there is a loop)

        loop = asyncio.get_running_loop()
        ended: asyncio.Future[ExitStatus] = loop.create_future()

        def tell(status: ExitStatus) -> None:
            if not ended.cancelled():
                ended.set_result(status)

        output = _Output(loop)
        try:
            pid = self._start(app, argv, tell, output)
            try:
                code = (await ended).shell_code
                return code, output.telling() if code else ""
            finally:
                if self._reaper.owns(pid):
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
        except SpawnError as error:
            if is_shortage(error):
                raise OSError(errno.EAGAIN, str(error)) from error
            return exit_code_of(error), ""
        finally:
            output.close()

    def _start(
        self, app: AppSpec, argv: tuple[str, ...], on_exit: Callable[[ExitStatus], None], output: "_Output"
    ) -> int:
        write_end = output.open()
        try:
            pid = start(app, argv, environment_of(app, self._environ), stdout=write_end, stderr=write_end)
        finally:
            close(write_end)
        self._reaper.watch(pid, on_exit)
        return pid


class _Output:
    """The end of what a command writes. It is read as it comes, so that no command waits for us."""

    def __init__(self, loop: "AbstractEventLoop") -> None:
        self._loop = loop
        self._read_end: int | None = None
        self._end = b""

    def open(self) -> int:
        """A pipe's write end, for the command. Raises OSError."""
        self._read_end, write_end = pipe_to_us()
        try:
            self._loop.add_reader(self._read_end, self._read)
        except OSError:
            close(write_end)
            raise
        return write_end

    def telling(self) -> str:
        """The line that tells most; empty if it said nothing."""
        self._read()
        if not self._end.strip():
            return ""
        from pidone.logs.escape import without_colours  # noqa: PLC0415 (for commands that fail and say why)
        from pidone.logs.telling import telling  # noqa: PLC0415 (as above)

        return telling(without_colours(self._end.decode(errors="replace")).splitlines())

    def close(self) -> None:
        """Nobody listens any more: whom the command has left behind is told so by its pipe."""
        if self._read_end is not None:
            self._loop.remove_reader(self._read_end)
            close(self._read_end)
            self._read_end = None

    def _read(self) -> None:
        if self._read_end is None:
            return
        try:
            data = os.read(self._read_end, _PIPE)
        except BlockingIOError:
            return
        except OSError:  # what it says is a help to people and nothing more
            data = b""
        self._end = (self._end + data)[-_KEPT:]
        if not data:
            self.close()
