"""The core beside pm2-runtime: memory, restart, idling, stop; `start` has the start.

Each round measures both programs one after the other, so that both see the same machine. Without pm2-runtime
(PATH or PIDONE_PEERS) our own figures are measured alone.
"""

import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bench.beside import Command, Programs, in_turns, pair, sleepers, sleeping
from bench.figures import Figure
from bench.wakeups import HAVE_STRACE, system_calls

KILLS: Final = 25
STOP_ROUNDS: Final = 5
IDLE_S: Final = 20.0
SETTLE_S: Final = 2.0


def run() -> Iterable[Figure]:
    """Measure everything; about a minute and a half."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        yield bench.memory()
        yield bench.restart()
        yield bench.idle()
        if os.geteuid() == 0:  # PID namespaces
            yield from bench.stop()


class _Bench(Programs):
    def memory(self) -> Figure:
        """The runtime's own RSS with four apps."""

        def rss(command: Command) -> float:
            with self.running(command, apps=4) as pid:
                time.sleep(SETTLE_S)
                return _status_kib(pid, "VmRSS") / 1024

        ours, peer = pair([[rss(command)] for command in self.commands(sleepers(4))])
        met = ours[0] <= 15
        return Figure(
            "RSS of the runtime with four apps", "MiB", ours, peer, "pm2-runtime", "at most 15", met
        )

    def restart(self) -> Figure:
        """From kill -9 to the exec of the next incarnation.

        The observer spins over /proc and sees the exec as the moment in which a new child is called `sleep`;
        one turn takes about 0.1 ms, which is the resolution.
        """

        def delays(command: Command) -> list[float]:
            with self.running(command, apps=1) as pid:
                return [_kill_and_watch(pid) * 1e3 for _ in range(KILLS)]

        ours, peer = pair([delays(command) for command in self.commands(sleepers(1))])
        return Figure(
            "kill -9 to the next incarnation's exec",
            "ms",
            ours,
            peer,
            "pm2-runtime",
            "median at most 2.5",
            met=statistics.median(ours) <= 2.5,
        )

    def idle(self) -> Figure:
        """System calls of the runtime, all threads, while its four apps sleep; any of them is a wake-up."""
        if not HAVE_STRACE:
            return Figure("wake-ups while idle (no strace here: not measured)", "", [float("nan")])
        with contextlib.ExitStack() as stack:
            pids = [
                stack.enter_context(self.running(command, apps=4)) for command in self.commands(sleepers(4))
            ]
            time.sleep(SETTLE_S)
            ours, peer = pair([[calls] for calls in system_calls(pids, IDLE_S)])
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
            "script": str(self.folder / "stoppable.py"),
            "interpreter": self.python,
            "name": "app",
        }
        measured = []
        for args in ([], ["zombie"]):
            commands = self.commands([{**app, "args": args}])
            measured.append(pair(in_turns(STOP_ROUNDS, [partial(self.until_stopped, c) for c in commands])))
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


def _kill_and_watch(runtime: int) -> float:
    """Kill the one app and wait for its successor; seconds in between."""
    time.sleep(0.1)
    [victim] = sleeping(runtime)
    begin = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while True:
        if any(child != victim for child in sleeping(runtime)):
            return time.monotonic() - begin
        if time.monotonic() - begin > 20:
            raise RuntimeError("the app was not restarted")


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {field} of {pid}")
