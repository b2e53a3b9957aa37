"""A thousand instances of `sleep` under one runtime: up, asked about, and stopped.

As process 1 of a PID namespace where that is allowed, and as any other process, which has a guard beside it.
The turns of the loop are counted in the runtime itself: from the end of one wait to the begin of the next, of
all phases. Their CPU time is told beside it: on a busy machine a turn also waits for others.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.figures import Figure

INSTANCES: Final = int(os.environ.get("MANY_INSTANCES", "1000"))
ROUNDS: Final = int(os.environ.get("MANY_ROUNDS", "3"))
PATIENCE_S: Final = 120.0
_SCRIPTS: Final = Path(sysconfig.get_path("scripts"))
_PIDONE: Final = str(_SCRIPTS / "pidone")
# What `pidone` becomes, with both loops' waiting measured; a turn above a millisecond is told in a line.
_MEASURED: Final = """
import os, runpy, selectors, sys, time
del sys.argv[0]
told = open(sys.argv.pop(0), "w", buffering=1)
sys.path.insert(0, os.path.dirname(sys.argv[0]))
sys.path += [sys.argv.pop(1)]
began = [0.0, 0.0]
def measured(wait):
    def waiting(*args):
        wall, cpu = time.monotonic() - began[0], time.thread_time() - began[1]
        if began[0] and wall > 0.001:
            told.write("%.6f %.6f %.6f\\n" % (began[0], wall, cpu))
        try:
            return wait(*args)
        finally:
            began[:] = time.monotonic(), time.thread_time()
    return waiting
import pidone.supervise.run.loop
pidone.supervise.run.loop.wait = measured(pidone.supervise.run.loop.wait)
selectors.EpollSelector.select = measured(selectors.EpollSelector.select)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class _Turn:
    began: float
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds."""

    up: float
    ls: float
    stop: float
    turns: Mapping[str, tuple[float, float]]
    """Wall and CPU time of the longest turn of each phase."""
    code: int


def run() -> Iterable[Figure]:
    """About ten seconds for each kind of process, and three rounds of each."""
    prefixes: dict[str, list[str]] = {"beside a guard": []}
    if os.geteuid() == 0:
        prefixes["as process 1"] = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    for kind, prefix in prefixes.items():
        rounds = [_play(prefix) for _ in range(ROUNDS)]
        what = f"{INSTANCES:,} x sleep, {kind}"
        yield _figure(f"{what}: up", [each.up for each in rounds], 3)
        yield _figure(f"{what}: ls", [each.ls for each in rounds], 0.5)
        yield _figure(f"{what}: stop", [each.stop for each in rounds], 3)
        for phase in ("up", "ls", "stop"):
            for index, clock in enumerate(("", ", its CPU time")):
                longest = [each.turns[phase][index] for each in rounds]
                yield _figure(f"{what}: longest turn of {phase}{clock}", longest, 0.05)
        codes = {each.code for each in rounds}
        yield Figure(f"{what}: exit code", "", [max(codes)], target="0", met=codes == {0})


def _figure(name: str, values: list[float], target: float | None) -> Figure:
    promise, met = "", None
    if target is not None:
        promise = f"at most {target * 1e3:g}"
        met = statistics.median(values) <= target
    return Figure(name, "ms", [value * 1e3 for value in values], target=promise, met=met)


def _play(prefix: Sequence[str]) -> _Round:
    app = {
        "name": "many",
        "script": "/bin/sleep",
        "args": ["100000"],
        "interpreter": "none",
        "instances": INSTANCES,
        "exec_mode": "fork",
        "ready_delay": 0,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, path, turns = folder / "ecosystem.json", folder / "s", folder / "turns"
        file.write_text(json.dumps({"apps": [app]}))
        python = ["python", "-I", "-S", "-X", "utf8", "-c", _MEASURED, str(turns)]
        program = [str(_SCRIPTS / python[0]), *python[1:], str(_SCRIPTS / "pidone-direct"), _packages()]
        command = [*prefix, *program, "--socket", str(path), str(file)]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            _until_up(path)
            up_at = time.monotonic()
            ls = _ls(path)
            pid = process.pid if not prefix else _child_of(process.pid)
            asked_at = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            code = process.wait(PATIENCE_S)
            stop = time.monotonic() - asked_at
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        told = [_Turn(*map(float, line.split())) for line in turns.read_text().splitlines()]
    phases = {
        "up": [turn for turn in told if turn.began < up_at],
        "ls": [turn for turn in told if up_at <= turn.began < asked_at],
        "stop": [turn for turn in told if turn.began >= asked_at],
    }
    longest = {
        phase: (max(turn.wall for turn in those), max(turn.cpu for turn in those))
        for phase, those in phases.items()
    }
    return _Round(up_at - began, ls, stop, longest, code)


def _packages() -> str:
    return str(Path(__file__).parent.parent / "runtime")


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _until_up(socket: Path) -> None:
    """All of them run. What is asked costs the runtime a turn as well, so it is asked little."""
    deadline = time.monotonic() + PATIENCE_S
    while not _is_ready(str(socket)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{INSTANCES} instances are not up within {PATIENCE_S:g} s")
        time.sleep(0.05)


def _is_ready(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        if client.connect_ex(path):
            return False
        client.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return b" 200 " in client.recv(4096).partition(b"\r\n")[0]


def _ls(path: Path) -> float:
    """The whole command, as a person waits for it."""
    began = time.monotonic()
    told = subprocess.run([_PIDONE, "ls", "--socket", str(path)], capture_output=True, text=True, check=True)
    took = time.monotonic() - began
    if told.stdout.count("online") < INSTANCES:
        raise ValueError(f"ls does not name all: {told.stdout[-500:]}")
    return took
