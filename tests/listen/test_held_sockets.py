"""What the runtime holds stays as it should be, whatever the processes behind it do to it."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Sequence

import pytest
from harness import DEADLINE_S
from listen.fleet import Fleet, Member, python_app

from pidone.ecosystem.spec import AppSpec, Balance, Listen
from pidone.listen.sockets import relay
from pidone.listen.sockets.address import Address, Kind

SHUTS_DOWN = """
import os, signal, socket, sys, threading
if "LISTEN_FDS" in os.environ:
    server = socket.socket(fileno=3)
else:
    server = socket.socket()
    server.bind(("127.0.0.1", int(os.environ["PORT"])))
    server.listen()
def stop(*_):
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
server.settimeout(0.05)
print("up", flush=True)
while True:
    try:
        client, _ = server.accept()
    except OSError:  # nobody came, or the moment in which the socket did not listen
        continue
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""
"""As Twisted and Sanic: shutdown(2) of a listening socket ends LISTEN for everybody who holds it."""


@pytest.mark.parametrize("balance", Balance)
def test_shutdown_of_an_inherited_socket(fleet: Fleet, port: int, balance: Balance) -> None:
    """The others go on to accept, and so does whoever comes later."""
    app = python_app(SHUTS_DOWN, listen=(Listen(name="web", host="127.0.0.1", port=port),), balance=balance)
    first, second = (fleet.start(app, index) for index in range(2))
    fleet.eventually(lambda: "up" in first.text() and "up" in second.text(), "the programs")
    first.handover.online()
    second.handover.online()
    first.signal(15)
    assert fleet.gone(first) == 0
    fleet.eventually(lambda: fleet.log.of("listen.restored"), "the record")
    first.handover.leave()
    assert set(fleet.get_many(port, 20)) == {str(second.pid)}
    third = fleet.start(app, 0)
    fleet.eventually(lambda: "up" in third.text(), "the program")
    third.handover.online()
    second.signal(15)
    fleet.gone(second)
    assert set(fleet.get_many(port, 20)) == {str(third.pid)}


def shuts_down(port: int, *, by_number: bool) -> AppSpec:
    """An app whose processes do so at their stop, with sockets by number or by the kernel."""
    if by_number:
        return python_app(SHUTS_DOWN, listen=(Listen(name="web", host="127.0.0.1", port=port),))
    return python_app(SHUTS_DOWN, share="kernel", env={"PORT": str(port)})


def start_serving(fleet: Fleet, app: AppSpec, slots: Sequence[int]) -> list[Member]:
    """Processes that are up and online."""
    members = [fleet.start(app, slot) for slot in slots]
    for member in members:
        fleet.eventually(lambda member=member: "up" in member.text(), "the program")  # type: ignore[misc]
        member.handover.online()
    return members


def ends_unseen(member: Member) -> None:
    """It is told to stop and has ended, while the runtime does nothing at all."""
    member.signal(15)
    os.waitid(os.P_PID, member.pid, os.WEXITED | os.WNOWAIT)


def connected(port: int, count: int) -> list[socket.socket]:
    """Clients that are connected, and have asked."""
    clients = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(count)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.setblocking(False)
    return clients


def answers(fleet: Fleet, clients: Sequence[socket.socket]) -> set[str]:
    """By whom they are answered, all of them."""

    async def read(client: socket.socket) -> str:
        with client:
            text = b""
            while chunk := await fleet.loop.sock_recv(client, 1000):
                text += chunk
        return text.rpartition(b"\n")[2].decode()

    return {fleet.run(read(client)) for client in clients}


@pytest.mark.parametrize("by_number", [True, False])
def test_nobody_is_refused_meanwhile(fleet: Fleet, port: int, *, by_number: bool) -> None:
    """Who connects after a process has shut the socket down, and before the runtime hears of it, waits."""
    first, second = start_serving(fleet, shuts_down(port, by_number=by_number), (0, 1))
    ends_unseen(first)
    clients = connected(port, 20)
    assert answers(fleet, clients) == {str(second.pid)}
    assert len(fleet.log.of("listen.own")) == 1


@pytest.mark.parametrize("by_number", [True, False])
def test_each_has_its_own_from_then_on(fleet: Fleet, port: int, *, by_number: bool) -> None:
    """What another one does to its own socket ends nothing that waits for the others, nor the port."""
    app = shuts_down(port, by_number=by_number)
    first, second = start_serving(fleet, app, (0, 1))
    ends_unseen(first)
    fleet.gone(first)
    serving = start_serving(fleet, app, (0, 1))
    second.handover.leave()
    second.signal(15)
    fleet.gone(second)
    assert fleet.get_different(port, 2) == {str(each.pid) for each in serving}
    for slot in (0, 1, 0):
        left = serving.pop(0)
        serving += start_serving(fleet, app, (slot,))
        left.handover.leave()
        ends_unseen(left)
        clients = connected(port, 20)
        assert answers(fleet, clients) <= {str(each.pid) for each in serving}
        fleet.gone(left)
    assert len(fleet.log.of("listen.own")) == 1


def test_what_changes_before_it_is_heard_of(fleet: Fleet, port: int) -> None:
    """Connections dealt out anew while the socket is down, and nobody knows it yet, do not keep it down."""
    first, second = start_serving(fleet, shuts_down(port, by_number=True), (0, 1))
    ends_unseen(first)
    first.handover.leave()
    fleet.eventually(lambda: fleet.log.of("listen.restored") or fleet.log.of("listen.failed"), "a record")
    assert not fleet.log.of("listen.failed")
    assert fleet.get(port) == str(second.pid)


def test_what_waits_after_the_last_one(fleet: Fleet, port: int) -> None:
    """One that is replaced by a process which starts after its end leaves the port to that."""
    app = shuts_down(port, by_number=False)
    for _ in range(3):
        member = start_serving(fleet, app, (0,))[0]
        ends_unseen(member)
        clients = connected(port, 3)
        fleet.gone(member)
        successor = start_serving(fleet, app, (0,))[0]
        assert answers(fleet, clients) == {str(successor.pid)}
        successor.signal(9)
        fleet.gone(successor)


def test_shutdown_through_the_shim_is_none(fleet: Fleet, port: int) -> None:
    """A Python program does not even get that far: nothing that waits in the queue is cut."""
    app = python_app(SHUTS_DOWN, share="python", env={"PORT": str(port)})
    first, second = fleet.start_ready(app, 2)
    first.signal(15)
    assert fleet.gone(first) == 0
    assert set(fleet.get_many(port, 20)) == {str(second.pid)}
    assert not fleet.log.of("listen.restored")


OPTIONS = """
import os, socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50000)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 4000)
server.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen()
client, _ = server.accept()
client.recv(1000)
found = [
    client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
    client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
    client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    client.getsockopt(socket.IPPROTO_IP, socket.IP_TOS),
]
client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + repr(found).encode())
"""


def test_options_of_the_program_are_carried_over(fleet: Fleet, port: int) -> None:
    """What was set before bind() holds for the connections of the shared socket."""
    fleet.start_ready(python_app(OPTIONS, share="python", env={"PORT": str(port)}))
    assert fleet.get(port) == "[1, 100000, 77, 1, 4000, 16]"


PLAIN = """
import os, socket
server = socket.socket(fileno=3)
print("blocks", os.get_blocking(3), flush=True)
client, _ = server.accept()
nodelay = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
client.recv(1000)
client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % nodelay)
"""


@pytest.mark.parametrize("balance", Balance)
def test_sockets_are_handed_over_as_systemd_does(fleet: Fleet, port: int, balance: Balance) -> None:
    """Blocking, so that a plain accept() waits; and small answers are not held back (Nagle's algorithm)."""
    app = python_app(PLAIN, listen=(Listen(name="web", host="127.0.0.1", port=port),), balance=balance)
    member = fleet.start(app)
    fleet.eventually(lambda: "blocks True" in member.text(), "the program")
    assert fleet.get(port) != "0"


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\0", None], ids=["nothing", "four bytes", "refused"])
def test_unreadable_queues_are_unknown(
    fleet: Fleet, port: int, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    """Where TCP_INFO is short or refused (emulators, gVisor), stops and balance go on without."""
    real = socket.socket.getsockopt

    def getsockopt(self: socket.socket, level: int, option: int, *size: int) -> int | bytes:
        if (level, option) != (socket.IPPROTO_TCP, socket.TCP_INFO):
            return real(self, level, option, *size)
        if answer is None:
            raise OSError(errno.ENOPROTOOPT, "no such option")
        return answer

    monkeypatch.setattr(socket.socket, "getsockopt", getsockopt)
    app = python_app(SHUTS_DOWN, share="python", balance=Balance.SPREAD, env={"PORT": str(port)})
    first, second = fleet.start_ready(app, 2)
    first.handover.drain()
    fleet.eventually(lambda: first.heard("drained"), "the drain")
    first.signal(15)
    assert fleet.gone(first) == 0
    assert set(fleet.get_many(port, 10)) == {str(second.pid)}
    assert len(fleet.log.of("listen.queue_unknown")) == 1


@pytest.mark.parametrize("resets", ["the server", "the client"])
def test_relayed_connection_that_is_reset(resets: str) -> None:
    """Whoever gets the number of its descriptors next is heard: the listener of a filter, for one.

    The other direction was left waiting on a descriptor that was closed; a loop that takes it for watched
    does not tell the kernel of the next one with that number, whose process then waits in bind() for ever.
    """
    asyncio.run(asyncio.wait_for(_next_is_heard(resets), DEADLINE_S))


async def _next_is_heard(resets: str) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as door:
        outside = socket.create_connection(door.getsockname())
        inside, _ = door.accept()
        inside.setblocking(False)
        numbers = [inside.fileno()]
        relayed = loop.create_task(
            relay.relay(inside, Address(Kind.TCP, "127.0.0.1", server.getsockname()[1]))
        )
        server.setblocking(False)
        accepted, _ = await loop.sock_accept(server)
        numbers.append(next(int(name) for name in os.listdir("/proc/self/fd") if _is_peer(name, accepted)))
        for sender, receiver in ((outside, accepted), (accepted, outside)):  # both directions are waited for
            sender.setblocking(False)
            receiver.setblocking(False)
            await loop.sock_sendall(sender, b"!")
            assert await loop.sock_recv(receiver, 1) == b"!"
        resetting, other = (accepted, outside) if resets == "the server" else (outside, accepted)
        resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        resetting.close()
        await relayed
        other.close()
    for number in numbers:
        await _is_heard(number)


def _is_peer(name: str, accepted: socket.socket) -> bool:
    """Whether a descriptor of ours is the other end of a connection."""
    try:
        is_socket = os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    except FileNotFoundError:  # that of the list itself
        return False
    if not is_socket:
        return False
    with socket.socket(fileno=os.dup(int(name))) as found:
        return bool(found.getsockname() == accepted.getpeername())


async def _is_heard(number: int) -> None:
    """A pipe with this number is watched by the loop."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    os.dup2(0, number)  # so that neither end has it
    read, write = os.pipe()
    try:
        os.dup2(read, number)
        loop.add_reader(number, heard.set)
        os.write(write, b"!")
        await heard.wait()
        loop.remove_reader(number)
    finally:
        for each in (read, write, number):
            os.close(each)
