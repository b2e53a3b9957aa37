"""Memory recycling: how soon a leak is replaced, what a leaking cluster's clients notice, what it costs.

PIDONE_BENCH_LEAK_S is how long the cluster is kept under load (default 60 s; the project promises 600).
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.peers import find

LIMIT = 100 << 20
LEAK_S = float(os.environ.get("PIDONE_BENCH_LEAK_S", "60"))
REQUESTS_PER_S = 40
REPLACEMENTS = 5
PEER_PATIENCE_S = 45.0
"""Longer than the peer's 30 s between two looks."""

_LEAK = """
import time
print("up", flush=True)
kept = []
while True:
    kept.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.02)
"""
_SERVER = """
const kept = [];
require('http').createServer((request, response) => {
  kept.push(Buffer.alloc(1 << 20, 1));
  response.end(String(process.pid));
}).listen(PORT, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""


def run() -> Iterable[Figure]:
    """Ours, and the peer's replacement time where it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _replacement(Path(folder))
        yield from _cluster(Path(folder))
        yield _sampling(Path(folder))


# -- one leak ----------------------------------------------------------------------------------------------


def _replacement(folder: Path) -> Iterator[Figure]:
    script = folder / "leak.py"
    script.write_text(_LEAK)
    app: dict[str, Any] = {
        "name": "leak",
        "script": str(script),
        "interpreter": sys.executable,
        "max_memory_restart": "100M",
    }
    lateness, peaks = _watch_replacements([_pidone()], folder, app | {"ready": "log:up"}, REPLACEMENTS)
    peer = find("pm2-runtime")
    theirs: tuple[list[float], list[float]] = ([], [])
    if peer is not None:
        theirs = _watch_replacements([str(peer), "start"], folder, app, 1)
    yield Figure(
        "leak of 50 MB/s, limit of 100 MB: crossing to successor",
        "s",
        lateness,
        theirs[0],
        "pm2-runtime",
        "within 1.5 s",
        met=max(lateness) <= 1.5,
    )
    yield Figure("the same: highest RSS", "MB", peaks, theirs[1], "pm2-runtime")
    # PM2 looks at the main process alone: its time would be for ever.
    below = app | {"script": "/bin/sh", "interpreter": "none", "ready": "log:up"}
    below["args"] = ["-c", f"{sys.executable} {script}; true"]
    lateness, peaks = _watch_replacements([_pidone()], folder, below, REPLACEMENTS)
    yield Figure(
        "the same in a grandchild of pidone", "s", lateness, target="within 1.5 s", met=max(lateness) <= 1.5
    )


def _watch_replacements(
    command: list[str], folder: Path, app: dict[str, Any], count: int
) -> tuple[list[float], list[float]]:
    """Seconds from the crossing of the limit to another process in its place, and each life's highest MB."""
    lateness, peaks = [], []
    with _running([*command, _write(folder, app)], folder) as runtime:
        script = folder / "leak.py"
        current = _wait_for_leak(runtime.pid, script, set())
        seen = {current}
        for _ in range(count):
            crossed, peak = 0.0, 0
            deadline = time.monotonic() + PEER_PATIENCE_S
            while time.monotonic() < deadline:
                size = _rss(current)
                peak = max(peak, size)
                if not crossed and size >= LIMIT:
                    crossed = time.monotonic()
                if not size:
                    crossed = crossed or time.monotonic()  # it was over between two looks of ours
                    break
                time.sleep(0.005)
            current = _wait_for_leak(runtime.pid, script, seen)
            seen.add(current)
            lateness.append(time.monotonic() - crossed)
            peaks.append(peak / 1e6)
    return lateness, peaks


def _wait_for_leak(root: int, script: Path, seen: set[int]) -> int:
    """The pid of a leaking process that is new."""
    deadline = time.monotonic() + PEER_PATIENCE_S
    while time.monotonic() < deadline:
        for pid in _descendants(root):
            if pid not in seen and _command(pid).split("\0")[1:2] == [str(script)]:
                return pid
        time.sleep(0.005)
    raise AssertionError("no process leaks")


# -- a leaking cluster -------------------------------------------------------------------------------------


def _cluster(folder: Path) -> Iterator[Figure]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = folder / "server.js"
    script.write_text(_SERVER.replace("PORT", str(port)))
    app = {
        "name": "cluster",
        "script": str(script),
        "exec_mode": "cluster",
        "instances": 4,
        "max_memory_restart": "100M",
    }
    log = folder / "cluster.log"
    fresh = _Fresh(log)
    with _running([_pidone(), _write(folder, app)], folder, log), fresh:
        _wait_for_port(port)
        load = asyncio.run(_load(port))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    replaced = [r for r in records if r.get("event") == "instance.memory"]
    slots = {r["instance"] for r in replaced}
    together = _most_at_once(records)
    yield Figure(
        f"leaking cluster of 4, {REQUESTS_PER_S} requests/s for {LEAK_S:g} s: failed",
        f"of {load['sent']}",
        [load["failed"]],
        target="0",
        met=load["failed"] == 0,
    )
    yield Figure("the same: 99.9th percentile of the answers", "ms", [load["slowest"] * 1e3])
    yield Figure(
        "the same: replacements", "", [len(replaced)], target="every instance", met=slots == {0, 1, 2, 3}
    )
    yield Figure("the same: most replacements at once", "", [together], target="1", met=together == 1)
    sizes = [r["rss_bytes"] / 1e6 for r in replaced]
    yield Figure("the same: size at which an instance is replaced", "MB", sizes)
    yield Figure("the same: size of a fresh instance at the first start", "MB", fresh.sizes[:4])
    again = fresh.sizes[4:]
    yield Figure(
        "the same: size of a fresh instance after each replacement",
        "MB",
        again,
        target="back to its start (within 10 MB)",
        met=len(again) >= len(replaced) - 1 and max(again) <= max(fresh.sizes[:4]) + 10,
    )


class _Fresh:
    """Follows the events of a run and measures each instance in the moment it comes online."""

    def __init__(self, log: Path) -> None:
        self.sizes: list[float] = []
        """MB."""
        self._log = log
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        pids: dict[int, int] = {}
        with self._log.open("rb") as log:
            while not self._is_over.is_set():
                line = log.readline()
                if not line.endswith(b"\n"):
                    log.seek(log.tell() - len(line))
                    time.sleep(0.005)
                    continue
                record = json.loads(line)
                if record.get("event") == "instance.start":
                    pids[record["instance"]] = record["pid"]
                elif record.get("event") == "instance.online":
                    self.sizes.append(_rss(pids[record["instance"]]) / 1e6)


async def _load(port: int) -> dict[str, float]:
    """One new connection per request, at a steady pace, whatever the answers take."""
    latencies: list[float] = []
    failed = 0

    async def ask() -> None:
        nonlocal failed
        began = time.monotonic()
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            latencies.append(time.monotonic() - began)
        else:
            failed += 1

    tasks = []
    start = time.monotonic()
    for number in range(int(LEAK_S * REQUESTS_PER_S)):
        await asyncio.sleep(max(0.0, start + number / REQUESTS_PER_S - time.monotonic()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    slowest = statistics.quantiles(latencies, n=1000)[-1]
    return {"sent": len(tasks), "failed": failed, "slowest": slowest}


def _most_at_once(records: list[dict[str, Any]]) -> int:
    most = now = 0
    for record in records:
        if record.get("event") == "app.reload":
            now += 1
        elif record.get("event") in ("app.reloaded", "app.reload_failed"):
            now -= 1
        most = max(most, now)
    return most


# -- the cost ----------------------------------------------------------------------------------------------


def _sampling(folder: Path) -> Figure:
    """CPU time of a whole pidone with 100 limited processes, over ten seconds of doing nothing else."""
    app = {
        "name": "idle",
        "script": "/bin/sleep",
        "interpreter": "none",
        "args": ["1000"],
        "instances": 100,
        "max_memory_restart": "100M",
    }
    with _running([_pidone(), _write(folder, app)], folder) as runtime:
        while len(_descendants(runtime.pid)) < 100:
            time.sleep(0.05)
        time.sleep(2)
        rounds = []
        for _ in range(2):
            before = _cpu_s(runtime.pid)
            time.sleep(5)
            rounds.append((_cpu_s(runtime.pid) - before) / 5 * 100)
    return Figure(
        "pidone that samples 100 processes each second",
        "% of a core",
        rounds,
        target="below 2 %",
        met=max(rounds) < 2,
    )


# -- helpers -----------------------------------------------------------------------------------------------


def _pidone() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "pidone")


def _write(folder: Path, app: dict[str, Any]) -> str:
    path = folder / "bench.config.json"
    path.write_text(json.dumps({"apps": [app]}))
    return str(path)


@contextlib.contextmanager
def _running(command: list[str], folder: Path, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with (log or folder / "log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "PM2_HOME": str(folder / "pm2")})
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if client.recv(100):
                return
        time.sleep(0.05)
    raise AssertionError("the cluster does not listen")


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
