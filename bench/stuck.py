"""A worker that stands still (`hang_timeout`): how long until it is replaced, and who loses by it.

And what its heartbeat costs an idle worker: CPU per hour, against `hang_timeout = 0`.
"""

import asyncio
import contextlib
import json
import math
import shutil
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.bench_listen import free_port, serving
from bench.figures import Figure

WORKERS = 4
PATIENCE_S = 3.0
SLACK_S = 1.5
"""For the looks (a sixth of the patience each), the dump, and the start of the next one to begin."""
IN_PROGRESS_S = 0.5
"""What the worker has taken by then is lost with it."""
SETTLE_S = 5.0
IDLE_S = 30.0
CLIENTS = 8
_NODE = """
require('http').createServer((request, response) => {
  if (request.url === '/hang') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  response.end('up');
}).listen(+process.env.PORT);
"""
_ASGI = """
import time
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/hang":
        time.sleep(600)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"up"})
"""


def run() -> Iterable[Figure]:
    """Node, and uvicorn."""
    for kind, app in _apps():
        with _running({**app, "hang_timeout": f"{PATIENCE_S:g}s"}) as site:
            found_s, failed, asked = asyncio.run(_hang(site))
        yield Figure(
            f"{kind}: a worker that stands still is found after",
            f"s (hang_timeout {PATIENCE_S:g} s); {failed} of {asked} requests of others failed",
            [found_s],
            target=f"<= {PATIENCE_S + SLACK_S:g}, 0 failed",
            met=found_s <= PATIENCE_S + SLACK_S and not failed,
        )
        used = []
        for patience in (30, 0):
            with _running({**app, "instances": 1, "hang_timeout": f"{patience}s"}) as site:
                (pid,) = (each["pid"] for each in site.events("instance.start"))
                time.sleep(SETTLE_S)
                before = _cpu(pid)
                time.sleep(IDLE_S)
                used.append((_cpu(pid) - before) * 3600 / IDLE_S)
        yield Figure(
            f"{kind}: CPU of an idle worker with a heartbeat of 30 s", "s/h", [used[0]], [used[1]], "without"
        )


@dataclass(frozen=True)
class _Site:
    """A running app, and what the runtime has said of it."""

    port: int
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """Records of one kind so far."""
        lines = self.log.read_text().splitlines(keepends=True)
        records = (json.loads(line) for line in lines if line.endswith("\n"))
        return [record for record in records if record.get("event") == name]

    def wait_for(self, name: str, count: int, deadline_s: float = 60.0) -> None:
        """Until it has happened so often. Raises TimeoutError."""
        until = time.monotonic() + deadline_s
        while len(self.events(name)) < count:
            if time.monotonic() > until:
                raise TimeoutError(name)
            time.sleep(0.05)


def _apps() -> Iterator[tuple[str, dict[str, Any]]]:
    if shutil.which("node") is not None:
        yield "Node", {"script": "app.cjs"}
    with contextlib.suppress(ImportError):
        import uvicorn  # noqa: F401, PLC0415 (only whether it is there)

        args = ["-m", "uvicorn", "--no-access-log", "asgi:app", "--port", "PORT"]
        yield "uvicorn", {"script": sys.executable, "interpreter": "none", "args": args}


@contextlib.contextmanager
def _running(app: dict[str, Any]) -> Iterator[_Site]:
    """All its instances are online."""
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        (folder / "app.cjs").write_text(_NODE)
        (folder / "asgi.py").write_text(_ASGI)
        args = [word.replace("PORT", str(port)) for word in app.get("args", ())]
        common = {"name": "web", "exec_mode": "cluster", "instances": WORKERS, "cwd": name}
        ecosystem = folder / "ecosystem.json"
        ecosystem.write_text(json.dumps({"apps": [{**common, **app, "args": args}]}))
        pidone = str(Path(sysconfig.get_path("scripts")) / "pidone")
        site = _Site(port, folder / "log")
        with site.log.open("wb") as sink, serving([pidone, str(ecosystem)], folder, port, sink):
            site.wait_for("instance.online", int(app.get("instances", WORKERS)))
            yield site


async def _hang(site: _Site) -> tuple[float, int, int]:
    """Seconds until it is found; failed and asked of those who meet the others until the next one serves."""
    stuck = asyncio.create_task(asyncio.to_thread(_get, site.port, "/hang"))
    begun = time.time()
    await asyncio.sleep(IN_PROGRESS_S)
    failed = asked = 0
    while len(site.events("instance.online")) <= WORKERS and time.time() - begun < 10 * PATIENCE_S:
        asking = (asyncio.to_thread(_get, site.port, "/") for _ in range(CLIENTS))
        answers = await asyncio.gather(*asking)
        asked += len(answers)
        failed += answers.count(False)
    await stuck  # it is cut when the one that has it is killed
    told = [record["timestamp"] for record in site.events("instance.hung")]
    found = min((datetime.fromisoformat(each).timestamp() for each in told), default=math.inf)
    return found - begun, failed, asked


def _get(port: int, path: str) -> bool:
    """Whether it is answered."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10 * PATIENCE_S) as answer:
            return bool(answer.read())
    except OSError:
        return False


def _cpu(pid: int) -> float:
    """Seconds that a process has used, by its main thread's clock in nanoseconds (schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
