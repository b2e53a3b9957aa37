"""How many connections end with a process, and what it costs to see that of many."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from harness import spawned

from pidone.init import proctree
from pidone.listen.sockets.cut import OpenConnections


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that nothing is left of."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_those_that_stop_in_one_turn_are_seen_by_one_look(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop of everybody reads /proc once, not once for each."""
    taken: list[int] = []
    real = proctree.snapshot

    def count() -> dict[int, proctree.ProcessInfo]:
        taken.append(1)
        return real()

    alive = proctree.read(os.getpid())
    monkeypatch.setattr(proctree, "snapshot", count)
    monkeypatch.setattr(proctree, "read", lambda _: alive)
    together = OpenConnections(loop)
    nobody = range(2**22 + 1, 2**22 + 301)  # beyond what pid_max can be
    for pid in nobody:
        together.begin(pid, {1})
    assert taken == [1]
    began = loop.time()
    loop.run_until_complete(asyncio.sleep(0.1))
    assert 2 <= len(taken) <= 2 + (loop.time() - began) / 0.05  # and then at most every 50 ms
    assert {together.end(pid) for pid in nobody} == {0}
    before = len(taken)
    loop.run_until_complete(asyncio.sleep(0.1))
    assert len(taken) == before


def test_what_is_open_at_the_end_was_cut(loop: asyncio.AbstractEventLoop) -> None:
    """The connections of the process to these ports, and of nobody else; None where nobody has looked."""
    together = OpenConnections(loop)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {server.getsockname()[1]}
        clients = [socket.create_connection(each.getsockname()) for each in (server, server, other)]
        accepted = [each.accept()[0] for each in (server, server, other)]
        try:
            together.begin(os.getpid(), ports)
            assert together.end(os.getpid()) == 2
            assert together.end(os.getpid()) is None
        finally:
            for sock in (*clients, *accepted):
                sock.close()


SERVER = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
held = [server.accept() for _ in range(3)]
print("held", flush=True)
time.sleep(600)
"""


def test_a_look_after_the_end_changes_nothing(loop: asyncio.AbstractEventLoop) -> None:
    """A process that has ended and is not buried yet has nothing open any more: that is no answer."""
    together = OpenConnections(loop)
    with spawned([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        assert process.stdout.readline() == "held\n"
        together.begin(process.pid, {port})
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        loop.run_until_complete(asyncio.sleep(0.2))
        assert together.end(process.pid) == 3
        for client in clients:
            client.close()
