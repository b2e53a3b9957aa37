"""What the runtime holds stays as it should be, whatever the processes behind it do to it."""

import errno
import socket

import pytest
from listen.fleet import Fleet, python_app

from pidone.ecosystem.spec import Balance, Listen

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
