"""`share = "kernel"`: what it costs a start and each connection, how evenly it shares, reloads under load."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.figures import Figure
from pidone.listen.kernel import seccomp

STARTS = 40
ROUNDS = 9
SECONDS = 1
ASKED = 1000
RELOADS = 10
_GO = """
package main
import ("context"; "fmt"; "net/http"; "os"; "os/signal"; "syscall")
func main() {
  server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: http.HandlerFunc(
    func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d", os.Getpid()) })}
  stop := make(chan os.Signal, 1); signal.Notify(stop, syscall.SIGTERM); done := make(chan int)
  go func() { <-stop; server.Shutdown(context.Background()); close(done) }()
  server.ListenAndServe(); <-done
}
"""
_BINDS = """
import os, socket, time
server = socket.socket()
time.sleep(1)  # the runtime's own start is over
began = time.perf_counter()
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen()
print("took", time.perf_counter() - began, flush=True)
time.sleep(1000)
"""
_PIDONE = str(Path(sysconfig.get_path("scripts")) / "pidone")
_WRK = ("wrk", "-t2", "-c32", "-H", "Connection: close")


def run(free_port: Callable[[], int], rate: Callable[..., float]) -> Iterable[Figure]:
    """Rounds in pairs: a busy machine is equally unkind to both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield _start(folder, free_port)
        if shutil.which("wrk") and (server := _go(folder)):
            yield from _new_connections(folder, server, free_port, rate)
            yield _distribution(folder, server, free_port())
            yield _reloads(folder, server, free_port())


def _start(folder: Path, free_port: Callable[[], int]) -> Figure:
    """The filter, and the two calls that wait for an answer, against a start without both."""
    took = {}
    for share in ("kernel", "none"):
        app = {"script": sys.executable, "args": ["-I", "-S", "-c", _BINDS], "share": share}
        took[share] = [_bind_time(folder, {**app, "name": share}, free_port()) for _ in range(STARTS // 4)]
    calls = [shared - own for shared, own in zip(took["kernel"], took["none"], strict=True)]
    filters = [_fork_time(is_asked=True) - _fork_time(is_asked=False) for _ in range(STARTS)]
    extra = 1000 * (statistics.median(calls) + statistics.median(filters))
    return Figure("start overhead of share = kernel", "ms", [extra], target="< 2", met=extra < 2)


def _bind_time(folder: Path, app: Mapping[str, Any], port: int) -> float:
    with _running(folder, app, port, output=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.search(rb"took ([\d.e-]+)", line):
                return float(match[1])
    raise RuntimeError("it did not start")


def _fork_time(*, is_asked: bool) -> float:
    began = time.perf_counter()
    install = seccomp.prepare() if is_asked else None
    pid = os.fork()
    if pid == 0:
        if install is not None:
            install()
        os._exit(0)
    os.waitpid(pid, 0)
    return time.perf_counter() - began


def _new_connections(
    folder: Path, server: str, free_port: Callable[[], int], rate: Callable[..., float]
) -> Iterator[Figure]:
    """One process behind our socket, beside one with a socket of its own: how many, and its CPU for each."""
    ours, own = free_port(), free_port()
    env = {**os.environ, "PORT": str(own)}
    with (
        _running(folder, {"name": "web", "script": server, "exec_mode": "cluster"}, ours),
        subprocess.Popen([server], env=env) as alone,
    ):
        _wait_for(own)
        pid = int(_answer(ours))
        pairs = []
        for turn in range(ROUNDS):
            both = [(ours, pid), (own, alone.pid)]
            measured = {port: _measured(port, each, rate) for port, each in both[:: (-1) ** turn]}
            pairs.append((measured[ours], measured[own]))
        alone.terminate()
    for column, name, unit, least in (
        (0, "new connections/s of a Go server", "1/s", 0.97),
        (1, "new connections of it in a second of its CPU", "1/s", 0.97),
    ):
        ours_s, own_s = ([each[side][column] for each in pairs] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(ours_s, own_s, strict=True))
        target = f">= {least} x (is {ratio:.2f})"
        yield Figure(name, unit, ours_s, own_s, "its own socket", target, ratio >= least)


def _measured(port: int, pid: int, rate: Callable[..., float]) -> tuple[float, float]:
    """Connections in a second, and in a second of the server's CPU."""
    before = _cpu_s(pid)
    found = rate(port, _WRK[3:])
    return found, found * SECONDS / (_cpu_s(pid) - before)


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc_pid_stat(5): utime, stime


def _distribution(folder: Path, server: str, port: int) -> Figure:
    """The greatest distance from an even share of connections that come at once."""
    app = {"name": "web", "script": server, "exec_mode": "cluster", "instances": 2, "balance": "spread"}
    with _running(folder, app, port):
        counts = Counter(asyncio.run(_ask(port)))
    furthest = 100 * max(abs(count / ASKED - 1 / 2) for count in counts.values())
    met = furthest < 10 and len(counts) == 2
    return Figure("furthest from an even share, 2 Go servers", "points", [furthest], target="< 10", met=met)


async def _ask(port: int) -> list[bytes]:
    async def client() -> list[bytes]:
        heard = []
        for _ in range(ASKED // 20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            heard.append((await reader.read()).rpartition(b"\n")[2])
            writer.close()
        return heard

    return [each for heard in await asyncio.gather(*(client() for _ in range(20))) for each in heard]


def _reloads(folder: Path, server: str, port: int) -> Figure:
    """Refused connections over ten reloads under new connections."""
    app = {"name": "web", "script": server, "exec_mode": "cluster", "instances": 2, "settle_time": "100ms"}
    with _running(folder, app, port) as process:
        load = subprocess.Popen([*_WRK, "-d120s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE)
        for _ in range(RELOADS):
            command = [_PIDONE, "reload", "web", "--socket", str(folder / "control.sock")]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        load.send_signal(signal.SIGINT)  # wrk tells what it has seen
        said = load.communicate(timeout=30)[0].decode()
        assert process.poll() is None
    errors = re.search(r"connect (\d+)", said)
    refused = int(errors[1]) if errors else 0
    requests = re.search(r"(\d+) requests in", said)
    name = f"refused in {RELOADS} reloads, {requests[1] if requests else 0} requests"
    return Figure(name, "", [refused], target="0", met=refused == 0 and requests is not None)


def _go(folder: Path) -> str:
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if go is None:
        return ""
    (folder / "app.go").write_text(_GO)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", "app", "app.go"], cwd=folder, env=env, check=True)
    return str(folder / "app")


@contextlib.contextmanager
def _running(
    folder: Path, app: Mapping[str, Any], port: int, *, output: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """A runtime with this app, which listens."""
    file = folder / "ecosystem.json"
    file.write_text(json.dumps({"apps": [{**app, "interpreter": "none", "env": {"PORT": str(port)}}]}))
    env = {**os.environ, "PIDONE_SOCKET": str(folder / "control.sock")}
    sink = subprocess.PIPE if output else subprocess.DEVNULL
    process = subprocess.Popen([_PIDONE, str(file)], env=env, stdout=sink, stderr=subprocess.DEVNULL)
    try:
        if not output:
            _wait_for(port)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _answer(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
        return bytes(answer.read())


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            _answer(port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
