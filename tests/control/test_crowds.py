"""Two hundred clients at once that misbehave, on either side: nobody but they notices."""

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from control.operated import Operated, operated
from harness import DEADLINE_S, PYTHON, eventually

from pidone.control.http.listener import STREAMS

ENOUGH = 200
MIB = 1 << 20
CHUNK = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
TALKERS = f"""
[[apps]]
name = "api"
script = "/bin/sleep"
args = "1000"
instances = 2
ready_delay = 0

[[apps]]
name = "flood"
script = "{PYTHON}"
args = ["-c", "import time\\nwhile True:\\n print('x' * 1000, flush=True); time.sleep(0.0005)"]
ready_delay = 0
"""


def connect(it: Operated, *, tcp: bool) -> socket.socket:
    """One client, with little room for answers."""
    client = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", it.port) if tcp else it.socket)
    client.settimeout(DEADLINE_S)
    return client


Behaviour: TypeAlias = Callable[[list[socket.socket]], None]


@contextlib.contextmanager
def crowd(it: Operated, behaviours: Sequence[Behaviour], *, tcp: bool) -> Iterator[None]:
    """All of them connected at once, each part of them behaving in its way until the block ends."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(it, tcp=tcp)) for _ in range(ENOUGH)]
        threads = [
            threading.Thread(target=behave, args=(clients[number :: len(behaviours)],), daemon=True)
            for number, behave in enumerate(behaviours)
        ]
        for thread in threads:
            thread.start()
        yield
        for client in clients:
            with contextlib.suppress(OSError):  # it was hung up on already
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def drip(clients: list[socket.socket]) -> None:
    """Slowloris: each sends a byte of an endless head every second, until it is hung up on."""
    left = list(clients)
    position = 0
    while left:
        for client in list(left):
            data = CHUNK[position : position + 1] or b"x"
            try:
                client.sendall(data)
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if not client.recv(1000):
                        left.remove(client)
                client.settimeout(DEADLINE_S)
            except OSError:
                left.remove(client)
        position += 1
        time.sleep(1.0)  # this is what the client does, and not a wait for anything


def say(words: Callable[[int], bytes]) -> Behaviour:
    """Each sends its words as far as they are taken, all of them side by side, and never reads."""

    def behave(clients: list[socket.socket]) -> None:
        with selectors.DefaultSelector() as selector:
            left = {}
            for number, client in enumerate(clients):
                client.setblocking(False)
                left[client] = memoryview(words(number))
                selector.register(client, selectors.EVENT_WRITE)
            while left and (ready := selector.select(DEADLINE_S)):
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    client = key.fileobj
                    try:
                        left[client] = left[client][client.send(left[client]) :]
                    except BlockingIOError:
                        continue
                    except OSError:
                        left[client] = left[client][:0]
                    if not left[client]:
                        selector.unregister(client)
                        del left[client]

    return behave


HEAD = b" HTTP/1.1\r\nhost: x\r\n\r\n"
ASK = b"GET /api/openapi.json" + HEAD
KINDS = {
    "slowloris": drip,
    "half a request": say(lambda _: b"POST /api/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"),
    "headers of 1 MB": say(lambda _: CHUNK + b"x: " + b"a" * MIB),
    "followers of events": say(lambda _: b"GET /api/events?lines=200" + HEAD),
    "followers of logs": say(lambda _: b"GET /api/logs?follow=1" + HEAD),
    "answers nobody takes": say(lambda _: ASK * 1000),
    # For some of them the last answer is the one that does not fit any more.
    "last words nobody takes": say(lambda number: ASK * number + CHUNK + b"connection: close\r\n\r\n"),
}


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "unix"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_bad_clients_cost_nothing_but_themselves(tmp_path: Path, kind: str, *, tcp: bool) -> None:
    """Probes, commands and followers are served, apps go on, and what the crowd takes comes back."""
    with operated(tmp_path, TALKERS) as it, undisturbed(it) as look, crowd(it, [KINDS[kind]], tcp=tcp):
        look()
        with connect(it, tcp=tcp) as follower:
            follower.sendall(b"GET /api/logs?follow=1" + HEAD)
            assert follower.recv(12).endswith(b"200")


@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "unix"])
def test_all_kinds_together_are_hung_up_on(tmp_path: Path, *, tcp: bool) -> None:
    """What is not complete or not taken in time is given up, and followers beyond the limit are."""
    with operated(tmp_path, TALKERS) as it, undisturbed(it) as look:
        files = descriptors(it.run.pid)
        with crowd(it, [*KINDS.values()], tcp=tcp):
            look()
            eventually(lambda: descriptors(it.run.pid) <= files + STREAMS, "the others to be hung up on")
            look()


@contextlib.contextmanager
def undisturbed(it: Operated) -> Iterator[Callable[[], None]]:
    """What to call while a crowd is there; afterwards everything is as it was before."""
    pid = it.run.pid
    it.command("ls")
    it.ask("/api/openapi.json", tcp=True)
    lives = [(each["pid"], each["restarts"]) for each in it.app("api")["instances"]]
    memory, files = rss(pid), descriptors(pid)

    def look() -> None:
        for number in range(20):
            assert it.ask("/livez", tcp=number % 2 == 0).status == 200
        assert it.command("ls").returncode == 0
        lines = len(it.run.out or ())
        eventually(lambda: len(it.run.out or ()) > lines + 200, "the app to go on talking")
        assert rss(pid) - memory < 32 * MIB

    yield look
    eventually(lambda: descriptors(pid) <= files, "the descriptors to come back")
    assert [(each["pid"], each["restarts"]) for each in it.app("api")["instances"]] == lives
    assert not it.run.find(event="runtime.error")
