"""One of four workers is killed again and again under load: who fails with it.

Only requests that are in progress in that worker may: at most one for each connection that it has. The oldest
is killed, which has the most of them: those that lose their worker go to the others, and its successor begins
with none. Nobody may be refused, as the port is the runtime's.
"""

import json
import os
import shutil
import signal
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from bench.bench_listen import CLOSE, WORKERS, free_port, serving
from bench.bench_reload import wrk
from bench.beside import children
from bench.figures import Figure

SECONDS: Final = 15
CONNECTIONS: Final = 32
EVERY_S: Final = 0.5
_APP: Final = """
require('http').createServer((request, response) => response.end('hello')).listen(+process.env.PORT);
"""


def run() -> Iterable[Figure]:
    """Clients that reconnect for each request, and clients that keep their connection; half a minute."""
    if shutil.which("wrk") is None or shutil.which("node") is None:
        return
    for clients, options in (("close", CLOSE), ("keep-alive", ())):
        with tempfile.TemporaryDirectory() as name:
            yield from _measure(Path(name), clients, options)


def _measure(folder: Path, clients: str, options: tuple[str, ...]) -> Iterable[Figure]:
    port = free_port()
    (folder / "app.cjs").write_text(_APP)
    app = {"name": "web", "script": str(folder / "app.cjs"), "instances": WORKERS, "exec_mode": "cluster"}
    file = folder / "ecosystem.json"
    file.write_text(json.dumps({"apps": [{**app, "max_restarts": 100_000}]}))
    pidone = str(Path(sysconfig.get_path("scripts")) / "pidone")
    held: list[float] = []
    with serving([pidone, str(file)], folder, port) as process:

        def kill_one() -> None:
            time.sleep(EVERY_S)
            workers = [pid for pid in children(process.pid) if _is_node(pid)]
            if workers:
                os.kill(workers[0], signal.SIGSTOP)
                held.append(_connections(workers[0], port))
                os.kill(workers[0], signal.SIGKILL)

        load = wrk(port, ("-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *options), kill_one)
    per_kill, most = load.failed / len(held), statistics.fmean(held)
    what = f"kill -9 of one of {WORKERS} workers, {clients} clients"
    target = f"at most its {most:.1f} connections"
    yield Figure(f"{what}: failed each time", "", [per_kill], target=target, met=per_kill <= most)
    yield Figure(f"{what}: refused", "", [load.refused], target="0", met=load.refused == 0)


def _connections(pid: int, port: int) -> int:
    """How many clients a process has."""
    open_now = psutil.Process(pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port for each in open_now)


def _is_node(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("node")
    except OSError:
        return False
