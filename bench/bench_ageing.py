"""A runtime that grows old: restarts, clients and lines of log, and what they leave in it.

As long as asked: AGEING_RESTARTS, AGEING_CONNECTIONS and AGEING_LOG_BYTES (a million, a million, 10^9); by
default a few minutes' worth. The figure is what each costs for good, by the line through the second half of
what was measured meanwhile: modules are loaded and rings are filled in the first.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bench.figures import Figure

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")
RESTARTS: Final = int(os.environ.get("AGEING_RESTARTS", "3000"))
CONNECTIONS: Final = int(os.environ.get("AGEING_CONNECTIONS", "20000"))
LOG_BYTES: Final = int(os.environ.get("AGEING_LOG_BYTES", "200000000"))
SAMPLES: Final = 40
_KIB_PER_SAMPLE: Final = 16.0
"""A slope below a page or four for each fortieth of the whole is the allocator's noise."""
_FLOOD: Final = "import os\nline = b'a line of log, as long as they usually are: %s\\n' % (b'x' * 60)\n"
_LINES: Final = "while True:\n    os.write(1, line * 500)\n"


def run() -> Iterable[Figure]:
    """One runtime for each kind of age."""
    crashing: dict[str, object] = {
        "name": "a",
        "script": "/bin/true",
        "restart_delay": 0,
        "max_restarts": 10**9,
    }
    yield from _age("restarts", crashing, RESTARTS, _restarts)
    quiet: dict[str, object] = {"name": "a", "script": "/bin/sleep", "args": "100000"}
    yield from _age("connections to the control side", quiet, CONNECTIONS, _connections)
    loud: dict[str, object] = {"name": "a", "script": sys.executable, "args": ["-c", _FLOOD + _LINES]}
    yield from _age("log bytes, with followers that come and go", loud, LOG_BYTES, _follow)


def _age(
    what: str, app: dict[str, object], count: int, live: Callable[["_Old", int], None]
) -> Iterable[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        old = _Old(Path(folder), {**app, "interpreter": "none", "ready_delay": 0})
        sizes = []
        try:
            for sample in range(1, SAMPLES + 1):
                live(old, count * sample // SAMPLES)
                sizes.append(old.size())
        finally:
            old.end()
    half = sizes[SAMPLES // 2 :]
    rss, descriptors = (_slope([size[index] for size in half]) for index in (0, 1))
    yield Figure(
        f"RSS that a fortieth of {count:,} {what} costs for good",
        "KiB",
        [rss],
        target=f"0 (at most {_KIB_PER_SAMPLE:g})",
        met=rss <= _KIB_PER_SAMPLE,
    )
    yield Figure(
        f"descriptors that a fortieth of {count:,} {what} costs for good",
        "",
        [descriptors],
        target="0",
        met=descriptors < 1 / SAMPLES,
    )


class _Old:
    """A runtime, its socket, and the bytes of its stdout so far."""

    def __init__(self, folder: Path, app: dict[str, object]) -> None:
        file = folder / "ecosystem.json"
        file.write_text(json.dumps({"apps": [app]}))
        self.socket = str(folder / "s")
        self.out = (folder / "out").open("wb+")
        self.seen = 0
        self._process = subprocess.Popen(
            [PIDONE, "--socket", self.socket, str(file)], stdout=self.out, stdin=subprocess.DEVNULL
        )
        while not self._is_listening():
            time.sleep(0.01)

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def size(self) -> tuple[int, int]:
        """RSS in KiB, and descriptors."""
        proc = Path(f"/proc/{self._process.pid}")
        return int((proc / "status").read_text().split("VmRSS:")[1].split()[0]), len(os.listdir(proc / "fd"))

    def ask(self, path: str, most: int = 1 << 20) -> bytes:
        """One request on a connection of its own; of a stream only its beginning."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.socket)
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while len(answer) < most and (chunk := client.recv(65536)):
                answer += chunk
        return answer

    def count_stdout(self) -> int:
        """Bytes so far; what was counted needs no disk any more."""
        size = os.fstat(self.out.fileno()).st_size
        self.seen += size
        self.out.truncate(0)
        os.lseek(self.out.fileno(), 0, os.SEEK_SET)
        return self.seen

    def end(self) -> None:
        """In order."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self.out.close()


def _restarts(old: _Old, until: int) -> None:
    while True:
        body = old.ask("/api/apps/a").partition(b"\r\n\r\n")[2]
        old.count_stdout()
        if json.loads(body)["apps"][0]["instances"][0]["restarts"] >= until:
            return
        time.sleep(0.05)


def _connections(old: _Old, until: int) -> None:
    while old.seen < until:
        old.ask("/livez")
        old.seen += 1


def _follow(old: _Old, until: int) -> None:
    while old.count_stdout() < until:
        old.ask("/api/events", 1)  # its head; nothing happens
        old.ask("/api/logs?follow=1", 200_000)


def _slope(values: list[int]) -> float:
    """Of the straight line through them, by least squares, for each step."""
    mean_x, mean_y = (len(values) - 1) / 2, sum(values) / len(values)
    over = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values))
    return over / sum((x - mean_x) ** 2 for x in range(len(values)))
