"""Programs that accept nobody any more while somebody waits: the queue of their socket shows it."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
from harness import DEADLINE_S
from listen.fleet import Fleet, app_of, fetch, python_app

from pidone.ecosystem.spec import AppSpec, Balance, ExecMode, Listen
from pidone.listen import needs
from pidone.listen.sockets import diag

ONE_AT_A_TIME = """
import os, socket, sys, time
if len(sys.argv) > 1:
    server = socket.socket(fileno=int(sys.argv[1]))
else:
    server = socket.socket()
    server.bind(("127.0.0.1", int(os.environ["PORT"])))
    server.listen()
while True:
    client, _ = server.accept()
    words = client.recv(1000).split()
    if b"/hang" in words:
        time.sleep(600)
    if b"/slow" in words:
        time.sleep(0.2)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""
PATIENCE_S = 1.2


def watched(port: int, *args: str, balance: Balance = Balance.SHARED, **keys: object) -> AppSpec:
    """It shares its port through the kernel, or has it from `listen`."""
    app = python_app(ONE_AT_A_TIME, *args, env={"PORT": str(port)}, hang_timeout=PATIENCE_S)
    return app.but(balance=balance, exec_mode=ExecMode.CLUSTER, **keys)


@pytest.mark.parametrize("how", ["kernel", "listen"])
def test_one_that_accepts_nobody_is_found(fleet: Fleet, port: int, how: str) -> None:
    """While it works, others wait; nobody was told of any progress but by the queue."""
    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    if how == "kernel":
        (member,) = fleet.start_ready(watched(port, share="kernel"))
    else:
        member = fleet.start(watched(port, "{fd}", share="none", listen=listen))
        member.handover.online()  # what has its socket from the start need not say so
    assert fleet.get(port) == str(member.pid)
    asking = [fleet.loop.create_task(fetch(port, "/hang")) for _ in range(2)]
    fleet.eventually(lambda: member.heard("hung"), "it to be found")
    for task in asking:
        task.cancel()
    with suppress(OSError):
        fleet.run(asyncio.gather(*asking, return_exceptions=True))
    ((why, _),) = member.heard("hung")
    assert "accepted none of those that wait in its queue for 1.2 s: it waits in the kernel" in why


def test_one_that_is_late_with_all_is_not(fleet: Fleet, port: int) -> None:
    """There is always somebody in its queue, and each waits for long; but it goes on."""
    (member,) = fleet.start_ready(watched(port, share="kernel"))

    async def ask() -> None:
        for _ in range(3):
            await fetch(port, "/slow")

    async def many() -> None:
        await asyncio.gather(*(ask() for _ in range(8)))

    fleet.run(many())
    assert not member.heard("hung")


def test_each_has_a_queue_of_its_own(fleet: Fleet, port: int) -> None:
    """With `spread` only the one that hangs is told of; each blocks in accept(), as it would by itself."""
    first, second = fleet.start_ready(watched(port, share="kernel", balance=Balance.SPREAD), 2)
    asking = [fleet.loop.create_task(fetch(port, "/hang"))]
    # The runtime steers around it: those that come before it has its request are the ones that wait.
    asking += [fleet.loop.create_task(fetch(port)) for _ in range(40)]
    fleet.eventually(lambda: first.heard("hung") or second.heard("hung"), "it to be found")
    assert not (first.heard("hung") and second.heard("hung"))
    assert first.exit is None
    assert second.exit is None
    for task in asking:
        task.cancel()
    fleet.run(asyncio.gather(*asking, return_exceptions=True))


@pytest.mark.parametrize(
    ("argv", "keys"),
    [
        (("python3", "-m", "pdb", "app.py"), {"hang_timeout": 5.0}),
        (("app",), {}),
        (("app",), {"hang_timeout": 0.0}),
    ],
)
def test_nobody_looks_unasked(argv: tuple[str, ...], keys: dict[str, Any]) -> None:
    """Only by the key, and never at a program that is started to be debugged."""
    assert needs.backlog_timeout(app_of(*argv, cluster=True, **keys)) is None


HEADER = struct.Struct("=IHHII")


@pytest.mark.parametrize(
    ("answer", "is_seen"),
    [
        (HEADER.pack(HEADER.size, 3, 0, 1, 0), True),  # NLMSG_DONE
        (HEADER.pack(HEADER.size + 20, 2, 0, 1, 0) + struct.pack("=i16x", -2), False),  # no inet_diag here
        (HEADER.pack(HEADER.size + 8, 20, 0, 1, 0) + bytes(8), False),  # cut short
        (HEADER.pack(0, 20, 0, 1, 0), False),  # of no length at all
    ],
    ids=["nobody", "refused", "short", "empty"],
)
def test_what_cannot_be_seen_is_not_an_empty_queue(answer: bytes, *, is_seen: bool) -> None:
    """Nobody waits only if the kernel says so; else a program at work would be taken for one that hangs."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel:
        ours.settimeout(DEADLINE_S)
        kernel.send(answer)
        if is_seen:
            assert list(diag._ask(ours, socket.AF_INET, 80, diag.ESTABLISHED)) == []
        else:
            with pytest.raises((OSError, struct.error)):
                list(diag._ask(ours, socket.AF_INET, 80, diag.ESTABLISHED))
