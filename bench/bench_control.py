"""The control side: how fast commands and probes answer, what it weighs, and what watching costs."""

import contextlib
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import peers
from bench.figures import Figure

PIDONE = str(Path(sys.executable).with_name("pidone"))
ROUNDS = 15


def run() -> Iterator[Figure]:
    """Every figure of the issue."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield _ls(folder)
        yield _health(folder)
        yield _readyz(folder)
        yield _weight(folder)
        yield _sampling(folder)


@contextlib.contextmanager
def _running(folder: Path, *, instances: int = 4, control: bool = True) -> Iterator[tuple[int, str, int]]:
    """A runtime with sleepers: its pid, socket and port."""
    file, path = folder / "ecosystem.toml", str(folder / "control.sock")
    file.write_text(
        f'[[apps]]\nname = "a"\nscript = "/bin/sleep"\nargs = "1000"\nready_delay = 0\n'
        f"instances = {instances}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["--socket", path, "--admin", f"127.0.0.1:{port}"] if control else ["--socket", "none"]
    environ = {key: value for key, value in os.environ.items() if key != "PIDONE_SOCKET"}
    process = subprocess.Popen([PIDONE, *words, str(file)], stdout=subprocess.DEVNULL, env=environ)
    try:
        deadline = time.monotonic() + 20
        while control and not _is_ready(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1.0)
        yield process.pid, path, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


def _timed(argv: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def _ls(folder: Path) -> Figure:
    theirs: list[float] = []
    with _running(folder) as (_, path, _):
        env = {"PIDONE_SOCKET": path}
        ours = [_timed([PIDONE, "ls"], env) for _ in range(ROUNDS)]
    pm2 = peers.find("pm2")
    if pm2 is not None:
        home = {"PM2_HOME": str(folder / "pm2")}
        subprocess.run(
            [pm2, "start", "/bin/sleep", "--", "1000"],
            env={**os.environ, **home},
            capture_output=True,
            check=False,
        )
        theirs = [_timed([pm2, "ls"], home) for _ in range(ROUNDS)]
        subprocess.run([pm2, "kill"], env={**os.environ, **home}, capture_output=True, check=False)
    met = statistics.median(ours) <= 60
    return Figure("`ls` answers", "ms", ours, theirs, "pm2", "at most 60", met)


def _health(folder: Path) -> Figure:
    """What an image's HEALTHCHECK runs, beside the shortest program there is."""
    with _running(folder) as (_, path, _):
        env = {"PIDONE_SOCKET": path}
        ours = [_timed([PIDONE, "health"], env) for _ in range(ROUNDS)]
        least = [_timed(["true"], env) for _ in range(ROUNDS)]
    return Figure("`health` answers", "ms", ours, least, "true", "at most 12", statistics.median(ours) <= 12)


def _readyz(folder: Path) -> Figure:
    """Four kept connections, pipelined by a process that does nothing else, so that we measure the server."""
    with _running(folder) as (_, _, port):
        rates = [_rate(port) for _ in range(3)]
    return Figure(
        "/readyz", "requests/s", rates, target="5000 requests/s", met=statistics.median(rates) > 5000
    )


def _rate(port: int, seconds: float = 2.0, depth: int = 16) -> float:
    request = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
    answered, began = 0, time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        while time.perf_counter() - began < seconds:
            client.sendall(request * depth)
            got = 0
            while got < depth:
                got += client.recv(65536).count(b"HTTP/1.1 ")
            answered += got
    return answered / (time.perf_counter() - began)


def _weight(folder: Path) -> Figure:
    with _running(folder, control=False) as (pid, _, _):
        without = _rss(pid)
    with _running(folder) as (pid, path, port):
        for _ in range(20):
            _is_ready(port)
            subprocess.run(
                [PIDONE, "describe", "all"],
                env={**os.environ, "PIDONE_SOCKET": path},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            connection = http.client.HTTPConnection("127.0.0.1", port)
            for target in ("/metrics", "/api/openapi.json", "/"):
                connection.request("GET", target)
                connection.getresponse().read()
            connection.close()
        grown = (_rss(pid) - without) / 1048576
    return Figure("RSS added by the API in use", "MiB", [grown], target="under 4 MiB", met=grown < 4)


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _sampling(folder: Path) -> Figure:
    """Somebody asks for everything once a second, as monit and the dashboard do."""
    with _running(folder, instances=50) as (pid, path, _):
        before, began = _cpu(pid), time.perf_counter()
        while time.perf_counter() - began < 5:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /api/apps HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                while client.recv(65536):
                    pass
            time.sleep(1.0)
        percent = 100 * (_cpu(pid) - before) / (time.perf_counter() - began)
    return Figure(
        "50 instances shown each second", "% of a core", [percent], target="under 1%", met=percent < 1
    )


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
