"""When a program is asked about its socket and when it is ready, and a runtime that is late for that."""

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE, Running, alive, eventually
from listen.fleet import Fleet
from listen.raw import HEAD, raw

from pidone.ecosystem.spec import Listen, Readiness
from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")


def test_a_listed_port_without_listen(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """A socket that came by number listens already: ready when it waits for connections, not before."""
    os.mkfifo(gate := tmp_path / "gate")
    code = "print('began', flush=True); open(path); serve(socket.socket(fileno=3))"
    listed = (Listen(name="web", port=port),)
    member = fleet.start(raw(code, port=port, path=str(gate), share=None, listen=listed))
    assert member.handover.announces
    fleet.eventually(lambda: "began" in member.text(), "it to begin")
    until = time.monotonic() + 0.3
    fleet.eventually(lambda: member.heard("ready") or time.monotonic() > until, "some looks")
    assert member.heard("ready") == []
    gate.open("w").close()
    assert fleet.ready(member) == "listening"


def test_one_that_never_waits_since_clients_do(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """Under load a program of one thread always finds the next client there: who has one is ready."""
    os.mkfifo(gate := tmp_path / "gate")
    code = (
        "print('began', flush=True); open(path); server = socket.socket(fileno=3); server.setblocking(True)\n"
        "server.accept()[0].sendall(b'yours'); kept = server.accept(); print('has', flush=True)\n"
        "while True: pass"
    )
    listed = (Listen(name="web", host="127.0.0.1", port=port),)
    member = fleet.start(raw(code, port=port, path=str(gate), share=None, listen=listed))
    fleet.eventually(lambda: "began" in member.text(), "it to begin")
    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)),
    ):
        gate.open("w").close()
        first.settimeout(DEADLINE_S)
        assert first.recv(10) == b"yours"
        fleet.eventually(lambda: "has" in member.text(), "the second to be accepted")
        assert fleet.ready(member) == "listening"
    member.handover.leave()
    member.signal(9)


WAYS = {
    "select": "serve(server)",
    "accept": "server.setblocking(True); print('waits', flush=True); server.accept()",
    "poll": "p = select.poll(); p.register(server, select.POLLIN); print('waits', flush=True); p.poll()",
    "epoll": "p = select.epoll(); p.register(server, select.EPOLLIN); print('waits', flush=True); p.poll()",
    "epoll of a child": "os.fork() and os.wait(); " + "p = select.epoll(); p.register(server, 1); p.poll()",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_finds_its_socket_listening(fleet: Fleet, port: int, way: str) -> None:
    """HAProxy asks whether it listens already, and then does not: ready when it waits for connections."""
    code = """
server = socket.socket(); server.bind(("127.0.0.1", port))
if not server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
    server.listen(5)
"""
    member = fleet.start(raw(code + WAYS[way], port=port, ready_delay=60.0))
    assert fleet.ready(member) == "listening"


@pytest.mark.parametrize("late", ["server.listen(5); serve(server)", "open(path); time.sleep(60)"])
def test_a_program_that_binds_early(fleet: Fleet, port: int, tmp_path: Path, late: str) -> None:
    """It is ready when it listens, be it long after, and never if it does not."""
    os.mkfifo(gate := tmp_path / "gate")
    code = "server = socket.socket(); server.bind(('127.0.0.1', port)); print('bound', flush=True)\n"
    app = raw(code + "open(path)\n" + late, port=port, path=str(gate), ready_delay=0.01)
    member = fleet.start(app)
    fleet.eventually(lambda: "bound" in member.text(), "it to bind")
    until = time.monotonic() + 0.7
    fleet.eventually(lambda: member.heard("ready") or time.monotonic() > until, "some looks")
    assert member.heard("ready") == []
    if "listen" in late:
        gate.open("w").close()
        assert fleet.ready(member) == "listening"


SLOW = "server = socket.socket(); server.bind(('127.0.0.1', port)); server.listen(5); serve(server)"


def test_a_runtime_that_stands_still(fleet: Fleet, port: int) -> None:
    """While nobody answers the program waits, and goes on as soon as somebody does."""
    member = fleet.start(raw(SLOW, port=port))
    time.sleep(0.5)  # in which the loop does not turn
    assert "serves" not in member.text()
    fleet.ready(member)
    assert fleet.get(port).split()[0] == str(member.pid)


def test_a_busy_runtime_answers_first(fleet: Fleet, port: int) -> None:
    """Work that comes again and again does not keep a program waiting."""
    stop = threading.Event()
    turns = 0  # and not seconds: the machine may have others to run

    def busy() -> None:
        nonlocal turns
        time.sleep(0.02)  # as long as a turn of the runtime may take
        turns += "asks" in member.text()
        if not stop.is_set():
            fleet.loop.call_soon(busy)

    member = fleet.start(raw("print('asks', flush=True); " + SLOW, port=port))
    fleet.loop.call_soon(busy)
    fleet.ready(member)
    stop.set()
    assert turns < 250


def test_the_runtime_is_killed_meanwhile(tmp_path: Path, port: int) -> None:
    """The call that waits fails with ENOSYS; the program decides what becomes of that."""
    said = tmp_path / "said"
    (tmp_path / "app.py").write_text(
        HEAD
        + f"""
while not os.path.exists({str(tmp_path / "go")!r}):
    time.sleep(0.01)
try:
    socket.socket().bind(("127.0.0.1", port))
except OSError as error:
    open({str(said) + ".new"!r}, "w").write(str(error.errno))
    os.rename({str(said) + ".new"!r}, {str(said)!r})
"""
    )
    (tmp_path / "ecosystem.toml").write_text(f"""
[[apps]]
name = "web"
script = "{sys.executable}"
interpreter = "none"
args = ["-I", "-S", "{tmp_path / "app.py"}"]
share = "kernel"
die_with_runtime = false
env = {{ PORT = "{port}" }}
""")
    with Running([PIDONE, str(tmp_path / "ecosystem.toml")]) as run:
        pid = run.expect(event="instance.start")["pid"]
        run.signal(19)
        (tmp_path / "go").touch()

        def waits() -> bool:
            return "seccomp" in Path(f"/proc/{pid}/wchan").read_text() or said.exists()

        with contextlib.suppress(AssertionError):  # a kernel that does not show where a process waits
            eventually(waits, "the call to wait", timeout=2)
        assert not said.exists()
        run.signal(9)
        run.process.wait(10)
        eventually(said.exists, "the error")
        assert said.read_text() == str(errno.ENOSYS)
        eventually(lambda: not alive(pid), "its end")
        os.waitpid(pid, 0)  # as a subreaper this process has adopted it


def test_readiness_by_a_number_that_listens_again(fleet: Fleet, port: int) -> None:
    """gunicorn calls listen() on what it inherits: that is the moment."""
    listed = (Listen(name="web", port=port),)
    code = "time.sleep(0.2); server = socket.socket(fileno=3); server.listen(64); serve(server)"
    app = raw(code, port=port, share=None, listen=listed, ready=Readiness())
    assert fleet.ready(fleet.start(app)) == "listening"
