"""The core beside pm2-runtime: start, memory, restart, idling, stop.

Each round measures both programs one after the other, so that both see the same machine. Without pm2-runtime
(PATH or PIDONE_PEERS) our own figures are measured alone.
"""

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import peers
from bench.figures import Figure
from bench.wakeups import HAVE_STRACE, system_calls

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")
START_ROUNDS: Final = 9
KILLS: Final = 25
STOP_ROUNDS: Final = 5
IDLE_S: Final = 20.0
SETTLE_S: Final = 2.0

_HELLO: Final = """
import time
print("first line", flush=True)
time.sleep(600)
"""
# Ends by SIGTERM (ours) or SIGINT (theirs); with an argument it also keeps a dead child that it never reaps.
_STOPPABLE: Final = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: os._exit(0))
if sys.argv[1:] and os.fork() == 0:
    os._exit(0)
print("first line", flush=True)
while True:
    signal.pause()
"""

Command = Sequence[str]


def run() -> Iterable[Figure]:
    """Measure everything; about a minute and a half."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        yield bench.first_line()
        yield bench.memory()
        yield bench.restart()
        yield bench.idle()
        if os.geteuid() == 0:  # PID namespaces
            yield from bench.stop()


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._peer = peers.find("pm2-runtime")
        self._python = sys.executable
        (folder / "hello.py").write_text(_HELLO)
        (folder / "stoppable.py").write_text(_STOPPABLE)

    def first_line(self) -> Figure:
        """How much later than without a runtime an app's first line is seen."""
        app = {
            "script": str(self._folder / "hello.py"),
            "interpreter": self._python,
            "name": "hello",
        }
        commands = [[self._python, str(self._folder / "hello.py")], *self._commands([app])]
        plain, *times = _in_turns(START_ROUNDS, [partial(self._until_first_line, c) for c in commands])
        floor = statistics.median(plain)
        ours, peer = _pair([[t - floor for t in taken] for taken in times])
        return Figure(
            "first line of a Python app, overhead over plain Python",
            "ms",
            ours,
            peer,
            "pm2-runtime",
            "at most 1/4 of theirs",
            met=_at_most(ours, peer, 1 / 4),
        )

    def memory(self) -> Figure:
        """The runtime's own RSS with four apps."""

        def rss(command: Command) -> float:
            with self._running(command, apps=4) as pid:
                time.sleep(SETTLE_S)
                return _status_kib(pid, "VmRSS") / 1024

        ours, peer = _pair([[rss(command)] for command in self._commands(_sleepers(4))])
        met = ours[0] <= 20
        return Figure(
            "RSS of the runtime with four apps", "MiB", ours, peer, "pm2-runtime", "at most 20", met
        )

    def restart(self) -> Figure:
        """From kill -9 to the exec of the next incarnation.

        The observer spins over /proc and sees the exec as the moment in which a new child is called `sleep`;
        one turn takes about 0.1 ms, which is the resolution.
        """

        def delays(command: Command) -> list[float]:
            with self._running(command, apps=1) as pid:
                return [_kill_and_watch(pid) * 1e3 for _ in range(KILLS)]

        ours, peer = _pair([delays(command) for command in self._commands(_sleepers(1))])
        return Figure(
            "kill -9 to the next incarnation's exec",
            "ms",
            ours,
            peer,
            "pm2-runtime",
            "median at most 4",
            met=statistics.median(ours) <= 4,
        )

    def idle(self) -> Figure:
        """System calls of the runtime, all threads, while its four apps sleep; any of them is a wake-up."""
        if not HAVE_STRACE:
            return Figure("wake-ups while idle (no strace here: not measured)", "", [float("nan")])
        with contextlib.ExitStack() as stack:
            pids = [
                stack.enter_context(self._running(command, apps=4))
                for command in self._commands(_sleepers(4))
            ]
            time.sleep(SETTLE_S)
            ours, peer = _pair([[calls] for calls in system_calls(pids, IDLE_S)])
        return Figure(
            f"system calls in {IDLE_S:.0f} s of idleness",
            "",
            ours,
            peer,
            "pm2-runtime",
            "none",
            ours == [0.0],
        )

    def stop(self) -> Iterator[Figure]:
        """From SIGTERM to the end of process 1, the app being without and with a child it never reaps."""
        app = {
            "script": str(self._folder / "stoppable.py"),
            "interpreter": self._python,
            "name": "app",
        }
        measured = []
        for args in ([], ["zombie"]):
            commands = self._commands([{**app, "args": args}])
            measured.append(
                _pair(_in_turns(STOP_ROUNDS, [partial(self._until_stopped, c) for c in commands]))
            )
        (without, peer_without), (with_child, peer_with_child) = measured
        yield Figure("stop as PID 1", "ms", without, peer_without, "pm2-runtime")
        # "No slower" has to allow for the noise of a shared machine.
        met = statistics.median(with_child) <= statistics.median(without) * 1.1 + 5
        yield Figure(
            "stop as PID 1, the app has an unreaped child",
            "ms",
            with_child,
            peer_with_child,
            "pm2-runtime",
            "no slower than without",
            met,
        )

    # -- running -----------------------------------------------------------------------------------

    def _commands(self, apps: list[dict[str, Any]]) -> list[Command]:
        """How to run these apps: with us, and with the peer if there is one."""
        config = self._folder / f"{len(list(self._folder.iterdir()))}.json"
        config.write_text(json.dumps({"apps": apps}))
        ours: list[Command] = [[PIDONE, str(config)]]
        return [*ours, [self._peer, "start", str(config)]] if self._peer else ours

    @contextlib.contextmanager
    def _started(self, command: Command) -> Iterator[subprocess.Popen[bytes]]:
        home = tempfile.mkdtemp(dir=self._folder)
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
    def _running(self, command: Command, *, apps: int) -> Iterator[int]:
        """The runtime's pid once its apps, which are called `sleep`, have been executed."""
        with self._started(command) as process:
            deadline = time.monotonic() + 20
            while len(_sleeping(process.pid)) < apps:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start {apps} apps")
                time.sleep(0.01)
            yield process.pid

    def _until_first_line(self, command: Command) -> float:
        begin = time.monotonic()
        with self._started(command) as process:
            _read_until(process, b"first line")
            return (time.monotonic() - begin) * 1e3

    def _until_stopped(self, command: Command) -> float:
        as_pid1 = (
            ["unshare", "--fork", "--pid", "--mount-proc", *command] if os.geteuid() == 0 else [*command]
        )
        with self._started(as_pid1) as process:
            _read_until(process, b"first line")
            time.sleep(0.5)  # past the start: theirs would lose a signal that comes earlier
            target = _children(process.pid)[0] if os.geteuid() == 0 else process.pid
            begin = time.monotonic()
            os.kill(target, signal.SIGTERM)
            process.wait(30)
            return (time.monotonic() - begin) * 1e3


def _sleepers(count: int) -> list[dict[str, Any]]:
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


def _in_turns(rounds: int, tasks: Sequence[Callable[[], float]]) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in tasks]
    for _ in range(rounds):
        for times, task in zip(taken, tasks, strict=True):
            times.append(task())
    return taken


def _pair(measured: Sequence[list[float]]) -> tuple[list[float], list[float]]:
    """Ours and the peer's; the latter is empty where there is no peer."""
    return measured[0], measured[1] if len(measured) > 1 else []


def _at_most(ours: Sequence[float], peer: Sequence[float], share: float) -> bool | None:
    return statistics.median(ours) <= statistics.median(peer) * share if peer else None


def _read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise RuntimeError(f"{process.args!r} ended without saying {text!r}")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def _sleeping(pid: int) -> list[int]:
    """Children that have executed `sleep` and live."""
    found = []
    for child in _children(pid):
        with contextlib.suppress(OSError):  # it may have gone meanwhile
            name, _, rest = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
            if name == "sleep" and rest.split()[0] != "Z":
                found.append(child)
    return found


def _kill_and_watch(runtime: int) -> float:
    """Kill the one app and wait for its successor; seconds in between."""
    time.sleep(0.1)
    [victim] = _sleeping(runtime)
    begin = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while True:
        if any(child != victim for child in _sleeping(runtime)):
            return time.monotonic() - begin
        if time.monotonic() - begin > 20:
            raise RuntimeError("the app was not restarted")


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {field} of {pid}")
