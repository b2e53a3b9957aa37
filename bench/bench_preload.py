"""Workers that are forked from one import (`preload`) against workers that are started: FastAPI on uvicorn.

Memory is PSS, which counts what processes share once: all workers, and the process that they are forked
from. A further worker is one whose predecessor was killed, from its start to its report that it listens.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.bench_listen import CLOSE, WORKERS, free_port, serving
from bench.bench_reload import Load, wrk
from bench.figures import Figure

ROUNDS = 5
"""Workers that are killed in each way, in turns."""
SECONDS = 10
REQUESTS = int(os.environ.get("PIDONE_RELOAD_REQUESTS", "0"))
"""Reload again and again until so many requests were answered: `PIDONE_RELOAD_REQUESTS=1000000`."""
_APP = """
import fastapi
app = fastapi.FastAPI()
@app.get("/")
async def root(): return {"hello": "world"}
"""


def run() -> Iterable[Figure]:
    """Nothing without FastAPI, uvicorn and wrk."""
    if shutil.which("wrk") is None or importlib.util.find_spec("fastapi") is None:
        return
    memory: dict[bool, float] = {}
    further: dict[bool, list[float]] = {}
    for preload in (False, True):
        with _running(preload=preload) as site:
            wrk(site.port, ("-t1", "-c8", "-d2s"), lambda: time.sleep(0.2))
            memory[preload] = sum(map(_pss, site.children())) / 2**20
            further[preload] = [site.kill_one() for _ in range(ROUNDS)]
    share = memory[True] / memory[False]
    yield Figure(
        f"preload: PSS of {WORKERS} workers and what they are forked from",
        "MiB",
        [memory[True]],
        [memory[False]],
        "started",
        f"<= 60 % (is {share:.0%})",
        share <= 0.6,
    )
    ready = statistics.median(further[True])
    yield Figure(
        "preload: a further worker is ready after",
        "ms",
        further[True],
        further[False],
        "started",
        "< 50",
        ready < 50,
    )
    for clients, options in (("close", CLOSE), ("keep-alive", ())):
        with _running(preload=True) as site:
            load = _load(site, options)
            while load.requests < REQUESTS:
                load.add(_load(site, options))
        yield Figure(
            f"preload, {clients} clients: failed requests per reload",
            f"({load.failed} of {load.requests} in {load.reloads} reloads)",
            [load.failed / max(load.reloads, 1)],
            target="0",
            met=load.failed == 0,
        )


def _load(site: "_Site", options: tuple[str, ...]) -> Load:
    return wrk(site.port, ("-t2", "-c32", f"-d{SECONDS}s", "--timeout", "20s", *options), site.reload)


class _Site:
    """A running app, what the runtime has said of it, and what can be done to it."""

    def __init__(self, folder: Path, *, preload: bool) -> None:
        self.port = free_port()
        self.log = folder / "log"
        self.file = folder / "ecosystem.json"
        self.pid = 0
        self._generation = 0
        words = ["-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", str(self.port)]
        self._app = {
            "name": "web",
            "script": sys.executable,
            "interpreter": "none",
            "args": [*words, "api:app"],
            "cwd": str(folder),
            "exec_mode": "cluster",
            "instances": WORKERS,
            "max_restarts": 1000,
            "listen_timeout": "60s",
            "preload": preload,
        }
        (folder / "api.py").write_text(_APP)
        self._write()

    def reload(self) -> None:
        """Replace all workers, by code that is imported anew."""
        done = len(self._events("app.reloaded"))
        self._write()
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for("app.reloaded", done + 1)

    def kill_one(self) -> float:
        """Kill a worker; milliseconds from the start of the next one until it listens."""
        online, pids = (
            len(self._events("instance.online")),
            {e["pid"] for e in self._events("instance.start")},
        )
        os.kill(next(pid for pid in self.children() if pid in pids), signal.SIGKILL)
        self.wait_for("instance.online", online + 1)
        return float(self._events("instance.online")[-1]["after_s"]) * 1000

    def children(self) -> list[int]:
        """What the runtime has started."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [pid for pid in map(int, text.split()) if _pss(pid)]

    def wait_for(self, event: str, count: int, deadline_s: float = 120.0) -> None:
        """Until it has happened so often. Raises TimeoutError."""
        until = time.monotonic() + deadline_s
        while len(self._events(event)) < count:
            if time.monotonic() > until:
                raise TimeoutError(event)
            time.sleep(0.02)

    def _events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines(keepends=True)
        records = (json.loads(line) for line in lines if line.endswith("\n"))
        return [record for record in records if record.get("event") == name]

    def _write(self) -> None:
        self._generation += 1
        env = {"GENERATION": str(self._generation)}
        self.file.write_text(json.dumps({"apps": [{**self._app, "env": env}]}))


@contextlib.contextmanager
def _running(*, preload: bool) -> Iterator[_Site]:
    """All its workers are online."""
    with tempfile.TemporaryDirectory() as name:
        site = _Site(Path(name), preload=preload)
        pidone = str(Path(sysconfig.get_path("scripts")) / "pidone")
        with (
            site.log.open("wb") as sink,
            serving([pidone, str(site.file)], Path(name), site.port, sink) as process,
        ):
            site.pid = process.pid
            site.wait_for("instance.online", WORKERS)
            yield site


def _pss(pid: int) -> int:
    """Bytes; 0 for one that has ended. The runtime's own guard counts as nobody's."""
    try:
        is_python = "uvicorn" in Path(f"/proc/{pid}/cmdline").read_text()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if is_python else []
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
