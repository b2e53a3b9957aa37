"""Rolling reloads under load: how many requests fail, and what they do to the slowest percent.

Failures are counted under all the load that wrk can make, reload after reload without a pause. The slowest
percent is compared at a load that leaves CPU free: without any, it measures the queue in front of the
processes, and any process that is started, also one that has nothing to do with them, makes that longer.
"""

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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.bench_listen import CLOSE, WORKERS, free_port, serving
from bench.figures import Figure

SECONDS = 10
ROUNDS = int(os.environ.get("RELOAD_ROUNDS", "15"))
"""Of calm and reload in turns, for the slowest percent."""
ROUND_SECONDS = 4
_THINK = """
function delay() return math.random(4, 12) end
function done(summary, latency, requests)
    for _, percent in pairs({99, 99.9}) do
        print(string.format("latency of %g: %d us", percent, latency:percentile(percent)))
    end
end
"""
"""For wrk: each of its connections waits so many milliseconds between requests; it tells what is slowest."""
REQUESTS = int(os.environ.get("PIDONE_RELOAD_REQUESTS", "0"))
"""Reload again and again until so many requests were answered: `PIDONE_RELOAD_REQUESTS=1000000`."""
APPS = os.environ.get("PIDONE_RELOAD_APPS", "node uvicorn gunicorn").split()
_NODE = (
    "require('http').createServer((request, response) => response.end('hello')).listen(+process.env.PORT);"
)
_ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""
_FLASK = """
import flask, sys
app = flask.Flask(__name__)
app.get("/")(lambda: "hello")
import logging; logging.getLogger("werkzeug").disabled = True
app.run(port=int(sys.argv[1]))
"""
_AIOHTTP = """
import sys
from aiohttp import web
async def root(request): return web.Response(text="hello")
app = web.Application(); app.router.add_get("/", root)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
_WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


def run() -> Iterable[Figure]:
    """Each app with clients that reconnect for every request, and with clients that keep their connection."""
    if shutil.which("wrk") is None or shutil.which("node") is None:
        return
    for app in APPS:
        for clients, options in (("close", CLOSE), ("keep-alive", ())):
            with tempfile.TemporaryDirectory() as name:
                yield from _measure(Path(name), app, clients, options)


def _measure(folder: Path, app: str, clients: str, options: tuple[str, ...]) -> Iterator[Figure]:
    port = free_port()
    name = f"{app}, {clients} clients: "
    think = folder / "think.lua"
    think.write_text(_THINK)
    gentle = ("-t1", "-c16", f"-d{ROUND_SECONDS}s", "-s", str(think), *options)
    calm, reloaded = [], []
    with _pidone(folder, app, port) as reload:
        ours = _load(port, options, reload)
        while ours.requests < REQUESTS:
            ours.add(_load(port, options, reload))
        for _ in range(ROUNDS):
            calm.append(wrk(port, gentle, lambda: time.sleep(0.2)))
            reloaded.append(wrk(port, gentle, reload))
    peer = _pm2(folder, port, options) if app == "node" else None
    yield Figure(
        f"{name}failed requests per reload",
        f"({ours.failed} of {ours.requests} in {ours.reloads} reloads)",
        [ours.failed / max(ours.reloads, 1)],
        [peer.failed / max(peer.reloads, 1)] if peer else (),
        "pm2-runtime" if peer else "",
        "0",
        ours.failed == 0,
    )
    for percent, most in (("99", 1.3), ("99.9", 1.5)):
        busy = [load.latency_ms[percent] for load in reloaded]
        quiet = [load.latency_ms[percent] for load in calm]
        ratio = statistics.median(slow / usual for slow, usual in zip(busy, quiet, strict=True))
        target = f"<= {most} x in the median round (is {ratio:.2f})"
        yield Figure(
            f"{name}p{percent} during reloads", "ms", busy, quiet, "without reloads", target, ratio <= most
        )


class Load:
    """What wrk saw while something was done again and again."""

    def __init__(self, report: str, reloads: int) -> None:
        """Parse wrk's report; a line is missing where there was nothing to report."""
        self.reloads = reloads
        self.requests = int(_number(r"(\d+) requests in", report))
        errors = re.search(r"Socket errors: (.*)", report)
        self.failed = sum(map(int, re.findall(r"\d+", errors[1]))) if errors else 0
        self.refused = int(_number(r"Socket errors: connect (\d+)", report))
        self.failed += int(_number(r"Non-2xx or 3xx responses: (\d+)", report))
        found = re.findall(r"latency of ([\d.]+): (\d+) us", report)
        self.latency_ms = {percent: int(micros) / 1000 for percent, micros in found}

    def add(self, other: "Load") -> None:
        """Count another run too."""
        self.reloads += other.reloads
        self.requests += other.requests
        self.failed += other.failed


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def _load(port: int, options: tuple[str, ...], again: Any) -> Load:
    return wrk(port, ("-t2", "-c32", f"-d{SECONDS}s", *options), again)


def wrk(port: int, options: tuple[str, ...], again: Any) -> Load:
    command = ["wrk", "--latency", *options, f"http://127.0.0.1:{port}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        count = 0
        while wrk.poll() is None:
            again()
            count += 1
        assert wrk.stdout is not None
        return Load(wrk.stdout.read(), count)


@contextlib.contextmanager
def _pidone(folder: Path, kind: str, port: int) -> Iterator[Any]:
    """A running pidone, and a function that reloads all workers and returns when that is done."""
    files = {"app.cjs": _NODE, "asgi.py": _ASGI, "wsgi.py": _WSGI, "flasking.py": _FLASK, "aio.py": _AIOHTTP}
    for file, text in files.items():
        (folder / file).write_text(text)
    address = f"127.0.0.1:{port}"
    python = {
        "uvicorn": [
            "-m",
            "uvicorn",
            "--no-access-log",
            "--log-level",
            "warning",
            "--port",
            str(port),
            "asgi:app",
        ],
        "gunicorn": ["-m", "gunicorn", "--no-control-socket", "-b", address, "wsgi:app"],
        "hypercorn": ["-m", "hypercorn", "--log-level", "warning", "-b", address, "asgi:app"],
        "waitress": ["-m", "waitress", f"--listen={address}", "wsgi:app"],
        "flask": ["flasking.py", str(port)],
        "aiohttp": ["aio.py", str(port)],
    }
    app: dict[str, object] = {"name": "web", "instances": WORKERS, "exec_mode": "cluster", "cwd": str(folder)}
    if kind == "node":
        app |= {"script": str(folder / "app.cjs")}
    else:
        app |= {"script": sys.executable, "interpreter": "none", "args": python[kind], "share": "python"}
    ecosystem, log = folder / "ecosystem.json", folder / "log"
    generation = 0

    def write() -> None:
        nonlocal generation
        generation += 1
        app["env"] = {"PORT": str(port), "GENERATION": str(generation)}
        ecosystem.write_text(json.dumps({"apps": [app]}))

    write()
    pidone = str(Path(sysconfig.get_path("scripts")) / "pidone")
    with log.open("wb") as sink, serving([pidone, str(ecosystem)], folder, port, sink) as process:

        def reload() -> None:
            done = log.read_text().count('"app.reloaded"')
            write()
            process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 60
            while log.read_text().count('"app.reloaded"') == done and time.monotonic() < deadline:
                time.sleep(0.05)

        yield reload


def _pm2(folder: Path, port: int, options: tuple[str, ...]) -> Load | None:
    peers = os.pathsep.join(filter(None, (os.environ.get("PIDONE_PEERS"), os.environ.get("PATH"))))
    runtime, pm2 = (shutil.which(name, path=peers) for name in ("pm2-runtime", "pm2"))
    if runtime is None or pm2 is None:
        return None
    env = {**os.environ, "PM2_HOME": str(folder / "pm2")}
    with serving([runtime, "start", str(folder / "ecosystem.json")], folder, port):
        return _load(
            port,
            options,
            lambda: subprocess.run([pm2, "reload", "web"], env=env, capture_output=True, check=True),
        )
