"""Workers that hang (SIGSTOP for 2 s) or die (kill -9 each second) under load: who has to wait, who fails."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench import overload, stuck
from bench.bench_listen import WORKERS, free_port, serving
from bench.figures import Figure

CLIENTS = 32
PAUSE_S = 0.01
HANG_S = 2.0
KILLS = 5
SLOW_S = 0.3
REACTION_S = 0.05
_APP = """
const body = String(process.pid);
require('http').createServer((request, response) => response.end(body)).listen(+process.env.PORT);
"""


class Seen:
    """What the clients met."""

    def __init__(self) -> None:
        """Nothing so far."""
        self.durations: list[float] = []
        self.refused = 0
        self.failed = 0


def run() -> Iterable[Figure]:
    """Each balance; clients of different addresses, a new connection for each request, and pauses between.

    And those that never come back, which `hang_timeout` is for.
    """
    yield from stuck.run()
    yield from overload.run()
    if shutil.which("node") is None:
        return
    for balance in ("shared", "spread", "source"):
        with _workers(balance) as (port, pids):
            seen = asyncio.run(_under_load(port, partial(_hang, pids)))
        slow = sum(duration > SLOW_S for duration in seen.durations)
        # Those that were in progress in it when it stopped, and for `spread` what came until the reaction.
        allowed = CLIENTS / WORKERS
        if balance == "spread":
            allowed += REACTION_S * CLIENTS / PAUSE_S / WORKERS
        yield Figure(
            f"{balance}: requests > {SLOW_S:g} s while one of {WORKERS} workers hangs {HANG_S:g} s",
            f"of {len(seen.durations)}, slowest {max(seen.durations):.2f} s",
            [slow],
            target="" if balance == "source" else f"<= {allowed:g} (in progress in it)",
            met=None if balance == "source" else slow <= allowed and not seen.failed,
        )
        with _workers(balance) as (port, pids):
            seen = asyncio.run(_under_load(port, partial(_kill, pids)))
        yield Figure(
            f"{balance}: failed per kill -9 of one of {WORKERS} workers",
            f"of {len(seen.durations)} requests, {seen.refused} refused",
            [seen.failed / KILLS],
            target=f"<= {CLIENTS / WORKERS:g} (in progress in it), 0 refused",
            met=seen.failed <= KILLS * CLIENTS / WORKERS and not seen.refused,
        )


@contextlib.contextmanager
def _workers(balance: str) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """A port, and what finds the workers behind it."""
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        (folder / "app.cjs").write_text(_APP)
        app = {"name": "web", "script": str(folder / "app.cjs"), "exec_mode": "cluster", "balance": balance}
        ecosystem = folder / "ecosystem.json"
        ecosystem.write_text(json.dumps({"apps": [{**app, "instances": WORKERS, "max_restarts": 100}]}))
        pidone = str(Path(sysconfig.get_path("scripts")) / "pidone")
        with serving([pidone, str(ecosystem)], folder, port) as process:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            yield port, lambda: [int(pid) for pid in children.read_text().split()]


async def _hang(pids: Callable[[], list[int]]) -> None:
    pid = pids()[0]
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(HANG_S)
    os.kill(pid, signal.SIGCONT)


async def _kill(pids: Callable[[], list[int]]) -> None:
    for _ in range(KILLS):
        os.kill(pids()[0], signal.SIGKILL)
        await asyncio.sleep(1.0)


async def _under_load(port: int, trouble: Callable[[], Awaitable[None]]) -> Seen:
    seen = Seen()
    clients = [asyncio.create_task(_client(port, f"127.0.0.{n + 2}", seen)) for n in range(CLIENTS)]
    await asyncio.sleep(0.5)
    await trouble()
    await asyncio.sleep(0.5)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return seen


async def _client(port: int, address: str, seen: Seen) -> None:
    while True:
        begun = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        except OSError:
            seen.refused += 1
            continue
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            seen.failed += not answer.startswith(b"HTTP/1.1 200")
        except OSError:
            seen.failed += 1
        finally:
            writer.close()
        seen.durations.append(time.monotonic() - begun)
        await asyncio.sleep(PAUSE_S)
