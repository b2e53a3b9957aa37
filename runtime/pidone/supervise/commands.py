"""Short commands beside the apps (probes, hooks), as the app's user in its folder and environment."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress

from pidone.ecosystem.spec import AppSpec
from pidone.errors import SpawnError
from pidone.init.exitcodes import ExitCode
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, exit_code_of, spawn


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
        env = {**self._environ, **app.env}
        program = shutil.which(argv[0], path=env.get("PATH")) or os.path.join(app.cwd, argv[0])
        ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        plan = SpawnPlan(
            argv=(program, *argv[1:]), env=env, cwd=app.cwd, uid=app.uid, gid=app.gid, groups=app.groups
        )
        try:
            null = os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no descriptor is left
            return ExitCode.NOT_EXECUTABLE
        try:
            pid = spawn(plan.but(stdout=null, stderr=null))
        except SpawnError as error:
            return exit_code_of(error)
        finally:
            os.close(null)

        def tell(status: ExitStatus) -> None:
            if not ended.cancelled():
                ended.set_result(status)

        self._reaper.watch(pid, tell)
        try:
            return (await ended).shell_code
        finally:
            if self._reaper.owns(pid):
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
