"""A runtime that grows old: restarts, clients and lines of log, and what they leave in it.

`python -m bench ageing` takes a few seconds' worth. A whole age is asked for by itself:

    python -m bench.bench_ageing --restarts 1000000 --connections 1000000 --bytes 1000000000

Each kind of age has a runtime of its own, and all live side by side. The figure is what a fortieth of it
costs for good: the slope of the straight line through the second half of forty samples, as modules are loaded
and rings are filled in the first. A sample is taken when the apps are stopped and the clients are gone, and a
line is printed for each. Who ends it early (SIGINT, SIGTERM, --limit) gets the figures of the samples so far.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from bench.figures import Figure

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")
SAMPLES: Final = 40
INSTANCES: Final = 16
"""That crash side by side: while one is born, the next is buried."""
CLIENTS: Final = 4
_KIB_PER_SAMPLE: Final = 16.0
"""A slope below a page or four for each fortieth of the whole is the allocator's noise."""
_PATIENCE_S: Final = 120.0
_FLOOD: Final = "import os\nline = b'a line of log, as long as they usually are: %s\\n' % (b'x' * 60)\n"
_LINES: Final = "while True:\n    os.write(1, line * 500)\n"
_CLIENT: Final = """
import socket, sys
path, count = sys.argv[1], int(sys.argv[2])
ask = "GET %s HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n"
live, apps, metrics, half = [(ask % each).encode() for each in ("/livez", "/api/apps", "/metrics", "/livez")]
for number in range(count):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        if number % 32 == 3:  # and hangs up
            client.sendall(half[:20])
            continue
        client.sendall(metrics if number % 256 == 2 else apps if number % 64 == 1 else live)
        while client.recv(65536):
            pass
"""
"""One connection after the other: most ask whether it lives, some for more, some hang up in their request."""
_FOLLOWER: Final = """
import socket, sys
path, size = sys.argv[1], int(sys.argv[2])
while True:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET /api/logs?follow=1 HTTP/1.1\\r\\nhost: localhost\\r\\n\\r\\n")
        seen = 0
        while seen < size and (chunk := client.recv(65536)):
            seen += len(chunk)
"""
"""Follows, reads so much, and is gone; and again."""


@dataclass(frozen=True)
class Age:
    """One kind of it."""

    what: str
    count: int
    app: dict[str, Any]
    live: Callable[["Old", int], None]
    """Has the runtime do so much more of it."""


def run() -> Iterable[Figure]:
    """A few seconds' worth, one after the other."""
    for age in ages(restarts=3000, connections=20_000, log_bytes=200_000_000):
        yield from figures(age, sample(age, threading.Event(), lambda _: None))


def ages(*, restarts: int, connections: int, log_bytes: int) -> list[Age]:
    """As much of each as asked; nothing of what is 0."""
    crashing = {"restart_delay": 0, "max_restarts": 10**9, "instances": INSTANCES}
    loud = {"script": sys.executable, "args": ["-c", _FLOOD + _LINES]}
    kinds = [
        Age("restarts", restarts, crashing, _restart),
        Age(
            "connections to the control side",
            connections,
            {"script": "/bin/sleep", "args": "100000"},
            _connect,
        ),
        Age("log bytes, with followers that come and go", log_bytes, loud, _follow),
    ]
    return [kind for kind in kinds if kind.count]


def sample(age: Age, over: threading.Event, tell: Callable[[str], None]) -> list[tuple[int, int]]:
    """RSS in KiB and descriptors after each fortieth, or of as many as there are until it is `over`."""
    began, sizes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, Old(Path(folder), age.app, over) as old:
        for number in range(1, SAMPLES + 1):
            before, until = time.monotonic(), age.count * number // SAMPLES
            leg = until - age.count * (number - 1) // SAMPLES
            age.live(old, leg)
            if over.is_set():
                break
            passed = time.monotonic() - before
            sizes.append(old.size())
            rss, descriptors = sizes[-1]
            tell(
                f"{until:>13,} {age.what.partition(',')[0]:<32}"
                f"{rss:>7} KiB {descriptors:>4} descriptors {leg / passed:>14,.0f}/s"
                f"{time.monotonic() - began:>7.0f} s"
            )
    return sizes


def figures(age: Age, sizes: list[tuple[int, int]]) -> Iterator[Figure]:
    """What the samples say; nothing where there are too few for a line."""
    half = sizes[len(sizes) // 2 :]
    if len(half) < 2:
        return
    rss, descriptors = (_slope([size[index] for size in half]) for index in (0, 1))
    part = f"a fortieth of {age.count:,} {age.what} costs for good"
    if len(sizes) < SAMPLES:
        part += f" (after {len(sizes)})"
    sizes_mib = [size[0] / 1024 for size in half]
    yield Figure(f"RSS in the second half of {age.count:,} {age.what}", "MiB", sizes_mib)
    met = rss <= _KIB_PER_SAMPLE
    yield Figure(f"RSS that {part}", "KiB", [rss], target=f"0 (at most {_KIB_PER_SAMPLE:g})", met=met)
    yield Figure(f"descriptors that {part}", "", [descriptors], target="0", met=descriptors < 1 / SAMPLES)


class Old:
    """A runtime with one app, its socket, and the bytes of its stdout so far."""

    def __init__(self, folder: Path, app: dict[str, Any], over: threading.Event) -> None:
        file, nothing = folder / "ecosystem.json", folder / "nothing"
        nothing.write_bytes(_program_that_ends())
        nothing.chmod(0o755)
        whole = {"name": "a", "script": str(nothing), "interpreter": "none", "ready_delay": 0, **app}
        file.write_text(json.dumps({"apps": [whole]}))
        self.socket = str(folder / "s")
        self.over = over
        self._out = (folder / "out").open("wb+")
        self._process = subprocess.Popen(
            [PIDONE, "--socket", self.socket, str(file)], stdout=self._out, stdin=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        self._wait(self._is_listening, "to listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_PATIENCE_S)
        self._out.close()

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def size(self) -> tuple[int, int]:
        """RSS in KiB and descriptors, while it has nothing to do."""
        self.ask("POST", "/api/apps/a/stop")
        self._wait(lambda: all(each["pid"] is None for each in self.instances()), "to stop its app")
        proc = Path(f"/proc/{self._process.pid}")
        descriptors = [len(os.listdir(proc / "fd"))]

        def is_steady() -> bool:  # who has just hung up is seen in a turn or two
            time.sleep(0.05)
            descriptors.append(len(os.listdir(proc / "fd")))
            return len(descriptors) > 3 and len(set(descriptors[-4:])) == 1

        self._wait(is_steady, "to come to rest")
        rss = int((proc / "status").read_text().split("VmRSS:")[1].split()[0])
        self.ask("POST", "/api/apps/a/start")
        return rss, descriptors[-1]

    def instances(self) -> list[dict[str, Any]]:
        """Of the app."""
        found: list[dict[str, Any]] = self.ask("GET", "/api/apps/a")["apps"][0]["instances"]
        return found

    def ask(self, verb: str, path: str) -> Any:
        """One request on a connection of its own."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PATIENCE_S)
            client.connect(self.socket)
            head = (
                f"{verb} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            client.sendall(head.encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def count_stdout(self) -> int:
        """Bytes since it was last asked; what was counted needs no disk any more."""
        size = os.fstat(self._out.fileno()).st_size
        self._out.truncate(0)
        os.lseek(self._out.fileno(), 0, os.SEEK_SET)
        return size

    @contextlib.contextmanager
    def clients(self, program: str, *arguments: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
        """One for each argument; they are gone afterwards."""
        words = [sys.executable, "-S", "-c", program, self.socket]
        there = [subprocess.Popen([*words, str(argument)]) for argument in arguments]
        try:
            yield there
        finally:
            for client in there:
                client.kill()
                client.wait()

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not is_so():
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"the runtime did not come {what} ({self._process.returncode})")
            time.sleep(0.01)


def _restart(old: Old, more: int) -> None:
    done = latest = 0
    is_first = True
    while done < more and not old.over.wait(0.2):
        restarts = sum(each["restarts"] for each in old.instances())
        done += 0 if is_first else restarts - latest if restarts >= latest else restarts
        latest, is_first = restarts, False
        old.count_stdout()


def _connect(old: Old, more: int) -> None:
    with old.clients(
        _CLIENT, *[more * (each + 1) // CLIENTS - more * each // CLIENTS for each in range(CLIENTS)]
    ) as all_of_them:
        while any(client.poll() is None for client in all_of_them) and not old.over.wait(0.02):
            old.count_stdout()
        if not old.over.is_set() and any(client.returncode for client in all_of_them):
            raise SystemExit("a client was not answered")


def _follow(old: Old, more: int) -> None:
    with old.clients(_FOLLOWER, 1, 200_000, 5_000_000):
        while more > 0 and not old.over.wait(0.01):
            more -= old.count_stdout()


def _slope(values: list[int]) -> float:
    """Of the straight line through them, by least squares, for each step."""
    mean_x, mean_y = (len(values) - 1) / 2, sum(values) / len(values)
    over = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values))
    return over / sum((x - mean_x) ** 2 for x in range(len(values)))


def _program_that_ends() -> bytes:
    """An executable of one system call (elf(5)): what is measured is the runtime, and not a libc's start."""
    exits = {
        "x86_64": (62, b"\xb8\x3c\0\0\0\x31\xff\x0f\x05"),  # mov $60, %eax; xor %edi, %edi; syscall
        "aarch64": (183, b"\xa8\x0b\x80\xd2\0\0\x80\xd2\x01\0\0\xd4"),  # mov x8, 93; mov x0, 0; svc 0
    }
    if os.uname().machine not in exits:
        return b"#!/bin/true\n"
    machine, code = exits[os.uname().machine]
    head, place = 64 + 56, 0x400000
    elf = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    elf += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, place + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = head + len(code)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, place, place, size, size, 0x10000) + code


def _end_after(limit: float, over: threading.Event) -> None:
    over.wait(limit)
    over.set()


def main() -> int:
    """As much as asked, side by side; 1 if a target was missed."""
    parser = argparse.ArgumentParser("python -m bench.bench_ageing", description=__doc__.partition("\n")[0])
    parser.add_argument("--restarts", type=int, default=1_000_000, metavar="N", help="0: none of this kind")
    parser.add_argument("--connections", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, metavar="N")
    parser.add_argument("--limit", type=float, default=threading.TIMEOUT_MAX, metavar="SECONDS")
    asked = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    threading.Thread(target=_end_after, args=(asked.limit, over), daemon=True).start()
    kinds = ages(restarts=asked.restarts, connections=asked.connections, log_bytes=asked.bytes)
    missed = 0
    with ThreadPoolExecutor(max(1, len(kinds))) as side_by_side:
        lives = [
            side_by_side.submit(sample, kind, over, lambda line: print(line, flush=True)) for kind in kinds
        ]
        for kind, life in zip(kinds, lives, strict=True):
            for figure in figures(kind, life.result()):
                print(figure.line(), flush=True)
                missed += figure.met is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
