"""False alarms of `hang_timeout` on a machine that is asked for three times what it has.

Servers that are busy and progress, with the timeout that they have by themselves; at the end each is made to
stand still, so that a silence before was not that of a detection which looks at nothing. An hour:
`PIDONE_OVERLOAD_S=3600 python -m bench hang`. Busy loops fill up what other work leaves of the overload.
"""

import asyncio
import contextlib
import json
import mmap
import multiprocessing
import os
import random
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.bench_listen import free_port, serving
from bench.figures import Figure

SECONDS = float(os.environ.get("PIDONE_OVERLOAD_S", "60"))
OVERLOAD = 3.0
"""Tasks that want to run for each CPU."""
SLACK = 0.5
"""Beyond it, as the look is a sample."""
WORKERS = 2
PERIOD_S = 0.5
"""Between two requests of one app; each tenth computes for a second of CPU."""
PATIENCE_S = 300.0
"""Of a client: what is looked for is an alarm, not a late answer."""
FOUND_WITHIN_S = 600.0
_LOOK_S = 0.05
_LOOKS = 40
_MOST_HOGS = 16
_NODE = """
require('http').createServer((request, response) => {
  if (request.url === '/hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (request.url === '/busy') for (const begun = process.cpuUsage(); process.cpuUsage(begun).user < 1e6;);
  response.end('up');
}).listen(+process.env.PORT);
"""
_WORK = """
import time
def work(path):
    if path == "/hang":
        time.sleep(6000)
    begun = time.process_time()
    while path == "/busy" and time.process_time() - begun < 1:
        pass
"""
_ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    work(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"up"})
"""
_SYNC = """
import os
from wsgiref.simple_server import make_server
def app(environ, start_response):
    work(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"up"]
make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
"""
_PLAIN = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    client, _ = server.accept()
    words = client.recv(1000).decode().split()
    work(words[1] if words else "")
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nup")
    client.close()
"""


@dataclass
class _Tally:
    """What was asked, and how busy the machine was meanwhile."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    loads: list[float] = field(default_factory=list)
    """Tasks that wanted to run for each CPU, means over a few seconds each."""


def run() -> Iterable[Figure]:
    """One row: alarms. One that does not hang and is told of, or one that hangs and is not, misses it."""
    with tempfile.TemporaryDirectory() as name, _running(Path(name)) as (ports, events):
        tally = asyncio.run(_busy(ports))
        alarms = [record["app"] for record in events("instance.hung")]
        ended = len(events("instance.exit"))
        unseen = asyncio.run(_stand_still(ports, events))
    load, asked = sum(tally.loads) / len(tally.loads), tally.answered.total()
    yield Figure(
        f"false alarms in {SECONDS / 60:g} min at {load:.1f} tasks for each CPU",
        f"of {', '.join(ports)} ({asked} requests, {tally.failed.total()} failed, {ended} exits;"
        f" a real hang afterwards {'not seen of ' + ', '.join(unseen) if unseen else 'seen of each'})",
        [len(alarms)],
        target=f"0, at >= {OVERLOAD:g}",
        met=not alarms and not unseen and not ended and load >= OVERLOAD,
    )


def _apps(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds of heartbeat: IPC, an asyncio loop, one thread that serves, and the queue of a socket."""
    for name, text in (("asgi.py", _ASGI), ("sync.py", _SYNC), ("plain.py", _PLAIN)):
        (folder / name).write_text(_WORK + text)
    (folder / "app.cjs").write_text(_NODE)
    if shutil.which("node") is not None:
        yield "node", {"script": "app.cjs"}
    if find_spec("uvicorn") is not None:
        args = ["-m", "uvicorn", "--no-access-log", "asgi:app", "--port"]
        yield "uvicorn", {"script": sys.executable, "interpreter": "none", "args": args}
    yield "wsgiref", {"script": "sync.py", "interpreter": sys.executable}
    # No shim reaches an isolated interpreter: its port is shared by the kernel, as that of any program.
    args = ["-I", "-S", "plain.py"]
    plain = {"script": sys.executable, "interpreter": "none", "args": args, "share": "kernel"}
    yield "plain", {**plain, "balance": "spread", "hang_timeout": "30s"}


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[tuple[dict[str, int], Callable[[str], list[dict[str, Any]]]]]:
    """The port of each app, and what finds the records of an event so far."""
    ports, apps = {}, []
    for name, keys in _apps(folder):
        ports[name] = free_port()
        args = [*keys.pop("args", ()), *([str(ports[name])] if name == "uvicorn" else [])]
        common = {"name": name, "exec_mode": "cluster", "instances": WORKERS, "cwd": str(folder)}
        apps.append({**common, **keys, "args": args, "env": {"PORT": str(ports[name])}})
    ecosystem, log = folder / "ecosystem.json", folder / "log"
    ecosystem.write_text(json.dumps({"apps": apps}))

    def events(name: str) -> list[dict[str, Any]]:
        lines = log.read_text().splitlines(keepends=True)
        records = (json.loads(line) for line in lines if line.endswith("\n"))
        return [record for record in records if record.get("event") == name]

    command = [str(Path(sysconfig.get_path("scripts")) / "pidone"), str(ecosystem)]
    with log.open("wb") as sink, serving(command, folder, ports["plain"], sink):
        deadline = time.monotonic() + 120
        while len(events("instance.online")) < len(apps) * WORKERS:
            if time.monotonic() > deadline:
                raise TimeoutError("not all of them are online")
            time.sleep(0.1)
        yield ports, events


async def _busy(ports: dict[str, int]) -> _Tally:
    tally = _Tally()
    with _hogs() as wanted:
        tasks = [asyncio.create_task(_clients(name, port, tally)) for name, port in ports.items()]
        looking = asyncio.create_task(_fill_up(wanted, tally))
        try:
            await asyncio.gather(*tasks)
        finally:
            looking.cancel()
    return tally


async def _clients(name: str, port: int, tally: _Tally) -> None:
    """Ask at a steady rate, whether there was an answer or not; but no more than a worker could ever do."""
    until = time.monotonic() + SECONDS
    few = asyncio.Semaphore(4 * WORKERS)

    async def ask() -> None:
        async with few:
            came = await _get(port, random.choices(["/", "/busy"], [9, 1])[0])
            (tally.answered if came else tally.failed)[name] += 1

    asking: set[asyncio.Task[None]] = set()
    while time.monotonic() < until:
        if not few.locked():
            asking.add(task := asyncio.create_task(ask()))
            task.add_done_callback(asking.discard)
        await asyncio.sleep(PERIOD_S)
    await asyncio.gather(*asking)


async def _stand_still(ports: dict[str, int], events: Callable[[str], list[dict[str, Any]]]) -> list[str]:
    """Those whose hang is not told of."""
    before = len(events("instance.hung"))
    stuck = [asyncio.create_task(_get(port, "/hang")) for port in ports.values() for _ in range(4 * WORKERS)]
    deadline = time.monotonic() + FOUND_WITHIN_S
    unseen = set(ports)
    while unseen and time.monotonic() < deadline:
        unseen = set(ports) - {record["app"] for record in events("instance.hung")[before:]}
        await asyncio.sleep(1)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    return sorted(unseen)


async def _get(port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
                return (await reader.read()).startswith(b"HTTP/1.")
            finally:
                writer.close()
    except OSError:  # a TimeoutError, too
        return False


async def _fill_up(wanted: mmap.mmap, tally: _Tally) -> None:
    """As many busy loops as others leave room for."""
    cpus = os.cpu_count() or 1
    while True:
        seen = 0
        for _ in range(_LOOKS):
            seen += _runnable()
            await asyncio.sleep(_LOOK_S)
        running = seen / _LOOKS
        tally.loads.append(running / cpus)
        missing = round((OVERLOAD + SLACK) * cpus - (running - wanted[0]))
        wanted[0] = min(max(missing, 0), _MOST_HOGS)


def _runnable() -> int:
    """Tasks of the machine that want to run, without this one: proc_loadavg(5)."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1


@contextlib.contextmanager
def _hogs() -> Iterator[mmap.mmap]:
    """Busy loops; how many of them run is the first byte."""
    wanted = mmap.mmap(-1, 1)
    context = multiprocessing.get_context("fork")
    hogs = [context.Process(target=_hog, args=(wanted, number), daemon=True) for number in range(_MOST_HOGS)]
    for hog in hogs:
        hog.start()
    try:
        yield wanted
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()


def _hog(wanted: mmap.mmap, number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    while os.getppid() == parent:
        if number < wanted[0]:
            for _ in range(1_000_000):
                pass
        else:
            time.sleep(0.2)
