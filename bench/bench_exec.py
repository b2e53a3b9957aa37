"""`pidone exec` beside tini and dumb-init: start, forwarding, burying, ending, idling, memory.

The methods, so that nobody reads more into the figures than they hold:

* Whole run: posix_spawn() of the init with `true` until wait4() returns, all programs in turn.
* Forwarding: a Python child waits in sigwaitinfo() and writes its clock to a pipe as soon as it returns; the
  figure is that clock minus ours just before kill(). It holds the child's wake-up, the same for all.
* Burying: the init is process 1 of a new PID namespace. A process that has collected the zombies ends, so
  that all are handed over at once. The figure is the time from telling it to end until none is left, as seen
  by the command inside, which watches the number of processes; it holds that process's own end.
* Ending: the command writes its clock to a pipe as its last act; the figure is our clock when the init's end
  is seen, minus that. It holds the command's own exit as well, which is the same for all.
* Idling: the system calls that strace sees, without the one in which the init sleeps all the time.
"""

import contextlib
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench.figures import Figure

_PIDONE = str(Path(sysconfig.get_path("scripts")) / "pidone")
_PYTHON = sys.executable
_INITS = {
    "pidone": [_PIDONE, "exec", "--"],
    "tini": ["tini", "-s", "--"],
    "dumb-init": ["dumb-init", "--"],
}
_RUNS = 40
_SIGNALS = 300
_ZOMBIES = 20_000
_IDLE_S = 10.0
_CLOCK = struct.Struct("d")

_ECHO = """
import os, signal, struct, time
wanted = {signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
os.write(1, b"r")
while True:
    signal.sigwaitinfo(wanted)
    os.write(1, struct.pack("d", time.monotonic()))
"""
_LAST_WORD = "import os, struct, time; os.write(1, struct.pack('d', time.monotonic())); os._exit(0)"

_COLLECT = """
import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os._exit(0)
os.write(1, b"z")  # nobody has buried them: they are ours
os.read(0, 1)
"""
_WATCH = """
import os, subprocess, sys, time
def processes():  # of the whole machine, and cheap: the table itself is listed only at the very end
    with open("/proc/loadavg") as file:
        return int(file.read().split()[3].partition("/")[2])
before = processes()
collector = subprocess.Popen(
    [sys.executable, "-ISc", sys.argv[1], sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
collector.stdout.read(1)
started = time.monotonic()
collector.stdin.close()
while processes() > before + 100 or sum(name.isdigit() for name in os.listdir("/proc")) > 3:
    pass
print((time.monotonic() - started) * 1e3, flush=True)
collector.wait()
"""


def run() -> Iterable[Figure]:
    """All figures; a peer that is not installed is left out."""
    # Installed packages come with bytecode; a checkout may have none.
    subprocess.run([_PYTHON, "-m", "compileall", "-q", "runtime"], check=True, env=_environment())
    inits = {name: argv for name, argv in _INITS.items() if shutil.which(argv[0])}
    yield from _figures("whole run of true", "ms", _rounds(inits, _whole_run, _RUNS), 40, "under 40 ms")
    yield _bare_python()
    yield from _forwarding_figures(inits)
    yield from _figures("command's exit to ours", "ms", _rounds(inits, _ending, _RUNS), 5, "under 5 ms")
    if os.geteuid() == 0:
        burials = _rounds(inits, _burying, 2)
        yield from _figures(f"{_ZOMBIES} zombies buried", "ms", burials, 200, "under 200 ms")
    yield from _figures("resident memory, idle", "MiB", _each(inits, _memory), None, "")
    if shutil.which("strace"):
        yield from _figures(f"system calls in {_IDLE_S:g} s idle", "", _each(inits, _idle_calls), 0, "none")


def _figures(
    name: str, unit: str, values: dict[str, list[float]], limit: float | None, target: str
) -> Iterator[Figure]:
    """Ours beside each peer; the target is given with the first."""
    ours = values["pidone"]
    met = None if limit is None else statistics.median(ours) <= limit
    for peer in [name for name in values if name != "pidone"] or [""]:
        yield Figure(name, unit, ours, values.get(peer, ()), peer, target, met)
        target, met = "", None


def _rounds(
    inits: dict[str, list[str]], measure: Callable[[list[str]], float], count: int
) -> dict[str, list[float]]:
    """In turn, so that a busy moment of the machine hits everybody."""
    values: dict[str, list[float]] = {name: [] for name in inits}
    for _ in range(count):
        for name, argv in inits.items():
            values[name].append(measure(argv))
    return values


def _each(inits: dict[str, list[str]], measure: Callable[[list[str]], list[float]]) -> dict[str, list[float]]:
    return {name: measure(argv) for name, argv in inits.items()}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _whole_run(argv: list[str]) -> float:
    started = time.monotonic()
    subprocess.run([*argv, "true"], check=True)
    return (time.monotonic() - started) * 1e3


def _bare_python() -> Figure:
    """What of our whole run is the interpreter's own start."""
    bare = _rounds({"pidone": [_PYTHON, "-c", "pass"]}, _run_bare, _RUNS)["pidone"]
    return Figure("  of that, an interpreter that does nothing", "ms", bare)


def _run_bare(argv: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(argv, check=True)
    return (time.monotonic() - started) * 1e3


@contextlib.contextmanager
def _started(argv: list[str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """The init with a command that says one byte when it is ready."""
    with subprocess.Popen(
        [*argv, *command], stdout=subprocess.PIPE, stdin=subprocess.PIPE, bufsize=0
    ) as init:
        assert init.stdout is not None
        init.stdout.read(1)
        try:
            yield init
        finally:
            init.terminate()


def _forwarding_figures(inits: dict[str, list[str]]) -> Iterator[Figure]:
    values = _forwarding(inits)
    limit = 150.0
    if "tini" in values:  # the promise was made where tini takes 70 us; scheduling is most of it
        limit = max(limit, statistics.median(values["tini"]) * 150 / 70)
    yield from _figures("signal forwarded", "us", values, limit, "under 150 us where tini takes 70")


def _forwarding(inits: dict[str, list[str]]) -> dict[str, list[float]]:
    """Microseconds per signal; all inits run side by side and are signalled in turn."""
    values: dict[str, list[float]] = {name: [] for name in inits}
    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(_started(argv, _PYTHON, "-ISc", _ECHO)) for name, argv in inits.items()
        }
        for _ in range(_SIGNALS):
            for name, init in running.items():
                time.sleep(0.002)  # let everybody fall asleep, as they are when a real signal comes
                sent = time.monotonic()
                init.send_signal(signal.SIGUSR1)
                values[name].append((_clock(init) - sent) * 1e6)
    return values


def _ending(argv: list[str]) -> float:
    with subprocess.Popen([*argv, _PYTHON, "-ISc", _LAST_WORD], stdout=subprocess.PIPE, bufsize=0) as init:
        os.waitid(os.P_PID, init.pid, os.WEXITED | os.WNOWAIT)
        ended = time.monotonic()
        return (ended - _clock(init)) * 1e3


def _clock(init: subprocess.Popen[bytes]) -> float:
    """The time that the command has written."""
    assert init.stdout is not None
    return float(_CLOCK.unpack(init.stdout.read(_CLOCK.size))[0])


def _burying(argv: list[str]) -> float:
    """Milliseconds from the end of the zombies' parent until all are gone."""
    namespace = ["unshare", "--fork", "--pid", "--mount-proc"]
    watch = [_PYTHON, "-ISc", _WATCH, _COLLECT, str(_ZOMBIES)]
    return float(subprocess.run([*namespace, *argv, *watch], check=True, capture_output=True).stdout)


def _memory(argv: list[str]) -> list[float]:
    with _started(argv, "sh", "-c", "echo; exec sleep 60") as init:
        time.sleep(0.2)  # let it settle into its wait
        status = Path(f"/proc/{init.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return [int(match[1]) / 1024]


def _idle_calls(argv: list[str]) -> list[float]:
    with _started(argv, "sh", "-c", "echo; exec sleep 600") as init, tempfile.NamedTemporaryFile() as log:
        time.sleep(0.5)
        with subprocess.Popen(["strace", "-qq", "-o", log.name, "-p", str(init.pid)]) as tracer:
            time.sleep(_IDLE_S)
            tracer.send_signal(signal.SIGINT)
        calls = Path(log.name).read_text().splitlines()
        return [float(sum("<detached" not in call for call in calls))]
