"""A runtime that a command starts for itself, on a socket that nobody else knows, and never leaves behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from pidone.cli.operate.client import Client, CommandError
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import SIGNAL_BASE
from pidone.interpreter import module_argv
from pidone.record import EMPTY

_POLL: Final[Seconds] = 0.05
_LEAST_STOP: Final[Seconds] = 2.0
"""How long the stop may take even if no time is left; what is not down by then is killed."""
_KILL_TIME: Final[Seconds] = 5.0


def workplace(command: str) -> "tempfile.TemporaryDirectory[str]":
    """A folder for its socket and log; where there is no /tmp, as in an image from `scratch`, in /dev/shm."""
    prefix = f"pidone-{command}-"
    try:
        return tempfile.TemporaryDirectory(prefix=prefix)
    except FileNotFoundError:  # none of the usual places can be written
        return tempfile.TemporaryDirectory(prefix=prefix, dir="/dev/shm")  # every engine mounts it


class OwnRuntime:
    """One run of an ecosystem: a context that starts it, and ends it if nobody has."""

    def __init__(
        self,
        files: Sequence[str],
        folder: Path,
        output: int,
        *,
        env_name: str | None = None,
        log_format: str = "text",
        environ: Mapping[str, str] = EMPTY,
    ) -> None:
        """Its socket will be in `folder`, its stdout and stderr are the descriptor `output`."""
        path = str(folder / "control.sock")
        self.client = Client(path)
        options = ("--socket", path, "--no-auto-exit", "--log-format", log_format)
        chosen = ("--env", env_name) if env_name else ()
        start = module_argv("pidone", "start", *options, *chosen, *files)
        self._argv = module_argv("pidone.cli.trial.tied", str(os.getpid()), *start)
        inherited = {name: value for name, value in os.environ.items() if name != "PIDONE_SOCKET"}
        self._environ = {**inherited, **environ}
        self._output = output

    def __enter__(self) -> Self:
        """Start it. Raises OSError."""
        # Nobody may interrupt us before it is known. The runtime unblocks what it inherits blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        self.process = subprocess.Popen(
            self._argv,
            stdout=self._output,
            stderr=self._output,
            stdin=subprocess.DEVNULL,
            env=self._environ,
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # what came meanwhile raises here
        except BaseException:
            self.stop(time.monotonic())
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it has not ended."""
        self.stop(time.monotonic())

    def wait_ready(self, deadline: float) -> str:
        """Until /readyz says yes; what is wrong, if it does not by `deadline` (time.monotonic)."""
        said = "it did not open its control socket"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return f"it ended with code {self.process.returncode}"
            try:
                ready, said = self.client.probe("readyz?verbose")
                apps = self.client.get("api", "apps")["apps"]
            except CommandError:  # not there yet
                time.sleep(_POLL)
                continue
            if ready:
                return ""
            given_up = [app["name"] for app in apps if app["state"] == "errored"]
            if given_up:
                return f"given up: {', '.join(given_up)}"
            time.sleep(_POLL)
        missing = [line for line in said.splitlines() if line.startswith("[-]")]
        return f"not ready in time: {', '.join(missing) or said}"

    def stop(self, deadline: float) -> str:
        """SIGTERM, and what is wrong with how it ended; it is down afterwards, whatever that takes."""
        if self.process.poll() is not None:
            return ""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(max(_LEAST_STOP, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)  # the second one kills what is left
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_KILL_TIME)
            self.process.kill()
            self.process.wait()
            return "it did not stop in time"
        return f"it ended with code {code}" if code else ""


def end_in_order() -> None:
    """A CI system that gives up must not leave the runtime behind: SIGTERM unwinds us."""
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: object) -> None:
    del frame
    sys.exit(SIGNAL_BASE + number)
