"""Ours and a peer's program with the same apps, run in turns so that both meet the same machine."""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench import peers

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")

_HELLO: Final = """
import time
print("first line", flush=True)
time.sleep(600)
"""
# Ends by SIGTERM (ours) or SIGINT (theirs); with an argument it also keeps a dead child that it never reaps.
_STOPPABLE: Final = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
if sys.argv[1:] and os.fork() == 0:
    os._exit(0)
print("first line", flush=True)
signal.sigwait([signal.SIGTERM, signal.SIGINT])
"""

Command = Sequence[str]


class Programs:
    """What runs apps: pidone, and pm2-runtime if it is there."""

    def __init__(self, folder: Path) -> None:
        """Everything that is written is in `folder`."""
        self.folder = folder
        self.peer = peers.find("pm2-runtime")
        self.python = sys.executable
        (folder / "hello.py").write_text(_HELLO)
        (folder / "stoppable.py").write_text(_STOPPABLE)

    def commands(self, apps: list[dict[str, Any]]) -> list[Command]:
        """How to run these apps: with us, and with the peer if there is one."""
        config = self.folder / f"{len(list(self.folder.iterdir()))}.json"
        config.write_text(json.dumps({"apps": apps}))
        ours: list[Command] = [[PIDONE, str(config)]]
        return [*ours, [self.peer, "start", str(config)]] if self.peer else ours

    @contextlib.contextmanager
    def started(self, command: Command) -> Iterator[subprocess.Popen[bytes]]:
        home = tempfile.mkdtemp(dir=self.folder)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PM2_HOME": home},
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()

    @contextlib.contextmanager
    def running(self, command: Command, *, apps: int, patience: float = 20) -> Iterator[int]:
        """The runtime's pid once its apps, which are called `sleep`, have been executed."""
        with self.started(command) as process:
            deadline = time.monotonic() + patience
            while len(sleeping(process.pid)) < apps:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start {apps} apps")
                time.sleep(0.01)
            yield process.pid

    def until_first_line(self, command: Command) -> float:
        begin = time.monotonic()
        with self.started(command) as process:
            read_until(process, b"first line")
            return (time.monotonic() - begin) * 1e3

    def until_stopped(self, command: Command) -> float:
        as_pid1 = (
            ["unshare", "--fork", "--pid", "--mount-proc", *command] if os.geteuid() == 0 else [*command]
        )
        with self.started(as_pid1) as process:
            read_until(process, b"first line")
            time.sleep(0.5)  # past the start: theirs would lose a signal that comes earlier
            target = children(process.pid)[0] if os.geteuid() == 0 else process.pid
            begin = time.monotonic()
            os.kill(target, signal.SIGTERM)
            process.wait(30)
            return (time.monotonic() - begin) * 1e3


def sleepers(count: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"app{n}",
            "script": "sleep",
            "args": ["600"],
            "interpreter": "none",
            "max_restarts": 100_000,
        }
        for n in range(count)
    ]


def in_turns(rounds: int, tasks: Sequence[Callable[[], float]]) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in tasks]
    for _ in range(rounds):
        for times, task in zip(taken, tasks, strict=True):
            times.append(task())
    return taken


def pair(measured: Sequence[list[float]]) -> tuple[list[float], list[float]]:
    """Ours and the peer's; the latter is empty where there is no peer."""
    return measured[0], measured[1] if len(measured) > 1 else []


def at_most(ours: Sequence[float], peer: Sequence[float], share: float) -> bool | None:
    return statistics.median(ours) <= statistics.median(peer) * share if peer else None


def read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise RuntimeError(f"{process.args!r} ended without saying {text!r}")


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def sleeping(pid: int) -> list[int]:
    """Children that have executed `sleep` and live."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):  # it may have gone meanwhile
            name, _, rest = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
            if name == "sleep" and rest.split()[0] != "Z":
                found.append(child)
    return found
