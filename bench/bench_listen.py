"""An unmodified Node app with four workers, beside other ways to share; then what the kernel shares."""

import contextlib
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from bench import kernel_share
from bench.figures import Figure

WORKERS = 4
ROUNDS = 15
SECONDS = 1
CLOSE = ("-H", "Connection: close")

_APP = """
require('http').createServer((request, response) => response.end('hello')).listen(+process.env.PORT);
"""
_SCHED_NONE = """
const cluster = require('cluster');
cluster.schedulingPolicy = cluster.SCHED_NONE;
if (cluster.isPrimary) for (let n = 0; n < 4; n++) cluster.fork();
else require('./app.cjs');
"""
_FD_APP = """
require('http').createServer((request, response) => response.end('hello')).listen({ fd: 3 });
"""
_FD_PARENT = """
import os, socket, subprocess, sys
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("::", int(os.environ["PORT"])))
server.listen(511)
os.dup2(server.fileno(), 3)
workers = [subprocess.Popen(["node", sys.argv[1]], pass_fds=[3]) for _ in range(4)]
workers[0].wait()
"""


def run() -> Iterable[Figure]:
    """Both kinds."""
    yield from _node()
    yield from kernel_share.run(free_port, _rate)


def _node() -> Iterable[Figure]:
    """All stand ready and are asked in turns of a second: a busy machine is equally unkind to all."""
    if shutil.which("wrk") is None or shutil.which("node") is None:
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for file, text in (
            ("app.cjs", _APP),
            ("none.cjs", _SCHED_NONE),
            ("fd.cjs", _FD_APP),
            ("fd.py", _FD_PARENT),
        ):
            (folder / file).write_text(text)
        commands = _contenders(folder)
        ports = {who: free_port() for who in commands}
        for who, argv in commands.items():
            stack.enter_context(serving(argv, folder, ports[who]))
        for port in ports.values():
            _rate(port, ())  # what they compile at the first requests is not compared
        fresh = _in_turns(ports, CLOSE)
        kept = _in_turns(ports, ())
    yield from _compare("new connections/s of 4 unmodified Node workers", fresh, of_pm2=2.0, of_best=0.95)
    yield from _compare("keep-alive requests/s of 4 unmodified Node workers", kept, of_pm2=0.95, of_best=0.95)


def _in_turns(ports: dict[str, int], options: Sequence[str]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {who: [] for who in ports}
    names = list(ports)
    for turn in range(ROUNDS):
        first = turn % len(names)
        for who in names[first:] + names[:first]:
            rates[who].append(_rate(ports[who], options))
    return rates


def _contenders(folder: Path) -> dict[str, Sequence[str]]:
    ecosystem = folder / "ecosystem.json"
    app = {"name": "web", "script": str(folder / "app.cjs"), "instances": WORKERS, "exec_mode": "cluster"}
    ecosystem.write_text(json.dumps({"apps": [app]}))
    found: dict[str, Sequence[str]] = {
        "pidone": [str(Path(sysconfig.get_path("scripts")) / "pidone"), str(ecosystem)],
        "SCHED_NONE": ["node", str(folder / "none.cjs")],
        "one shared fd": [sys.executable, str(folder / "fd.py"), str(folder / "fd.cjs")],
    }
    peers = os.pathsep.join(filter(None, (os.environ.get("PIDONE_PEERS"), os.environ.get("PATH"))))
    pm2 = shutil.which("pm2-runtime", path=peers)
    if pm2 is not None:
        found["pm2-runtime"] = [pm2, "start", str(ecosystem)]
    return found


def _compare(name: str, rates: dict[str, list[float]], *, of_pm2: float, of_best: float) -> Iterator[Figure]:
    """The median of the ratios of neighbouring turns: the machine was as busy in both."""
    for peer, least in (("pm2-runtime", of_pm2), ("SCHED_NONE", of_best), ("one shared fd", of_best)):
        if peer in rates:
            ratio = statistics.median(a / b for a, b in zip(rates["pidone"], rates[peer], strict=True))
            yield Figure(
                name,
                "1/s",
                rates["pidone"],
                rates[peer],
                peer,
                f">= {least:g} x (is {ratio:.2f})",
                ratio >= least,
            )


def free_port() -> int:
    """A port that nobody listens on, outside the range that clients get theirs from."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def serving(
    argv: Sequence[str], home: Path, port: int, sink: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; its output goes to `sink`."""
    env = {**os.environ, "PORT": str(port), "PM2_HOME": str(home / "pm2"), "PIDONE_SOCKET": "none"}
    process = subprocess.Popen(
        argv,
        env=env,
        stdout=sink or subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port)
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
                break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    time.sleep(1.0)  # until all four are up


def _rate(port: int, options: Sequence[str]) -> float:
    done = subprocess.run(
        ["wrk", "-t2", "-c64", f"-d{SECONDS}s", *options, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if match is None:
        raise RuntimeError(done.stdout)
    return float(match[1])
