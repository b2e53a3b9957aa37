"""Ports that a server opens for one client (passive FTP, a kernel of Jupyter), and its helpers' own."""

import signal
import socket
import sys
from pathlib import Path

import pytest
from harness import free_port
from listen.fleet import Fleet, app_of
from listen.raw import HEAD, everybody_answers

from pidone.ecosystem.spec import AppSpec
from pidone.listen.kernel import seccomp
from pidone.listen.sockets import app_ports, member

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")

SESSIONS = """
kept = []
kind = socket.SOCK_DGRAM if os.environ.get("KIND") == "udp" else socket.SOCK_STREAM
def opened(number):
    session = socket.socket(socket.AF_INET, kind)
    session.bind(("127.0.0.1", number))
    if kind == socket.SOCK_STREAM:
        session.listen()
    return session
def free():
    while True:
        with socket.socket(socket.AF_INET, kind) as look:
            look.bind(("127.0.0.1", 0))
            number = look.getsockname()[1]
        try:
            return opened(number)
        except OSError as error:
            if error.errno != 98:
                raise
def answer(path):
    what, number = path.split("-")
    try:
        if what == "/session":
            for _ in range(int(number)):
                session = free()
                last = session.getsockname()[1]
                session.close()
            return last
        if what == "/keep":
            kept.append(opened(int(number)))
        if what == "/drop":
            kept.clear()
        return os.getpid()
    except OSError as error:
        return error.strerror
helper = free() if "HELPER" in os.environ else None
print("helper", helper and helper.getsockname()[1], flush=True)
server = socket.socket()
server.bind(("127.0.0.1", port))
server.listen(50)
while True:
    if not select.select([server], [], [], 1)[0]:
        continue
    server.setblocking(False)
    try:
        client, _ = server.accept()
    except BlockingIOError:
        continue
    client.setblocking(True)
    path = client.recv(1000).split()[1].decode()
    body = str(answer(path)).encode()
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + body)
    client.close()
"""


def _app(port: int, share: str, **env: str) -> AppSpec:
    options = ("-I", "-S") if share == "kernel" else ()
    return app_of(
        sys.executable, *options, "-c", HEAD + SESSIONS, share=share, env={"PORT": str(port), **env}
    )


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _many(fleet: Fleet, port: int) -> int:
    """More sessions than an app may have ports, one after the other; the last one's port."""
    return [int(fleet.get(port, "/session-5")) for _ in range(4)][-1]


@pytest.fixture(autouse=True)
def few_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app may have fewer than elsewhere: what it takes to have them all is soon done."""
    monkeypatch.setattr(app_ports, "MOST_PORTS", 12)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is online has been so for long."""
    monkeypatch.setattr(member, "SETTLED_S", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("share", ["python", "kernel"])
def test_end_with_their_session(tmp_path: Path, share: str) -> None:
    """However many there were: none is kept, and none is refused."""
    port = free_port()
    with Fleet(tmp_path) as fleet:
        fleet.start_ready(_app(port, share))
        number = _many(fleet, port)
        assert not _is_open(number)
        assert fleet.log.of("listen.failed") == []
        fleet.get(port, f"/keep-{number}")
        assert _is_open(number)
        fleet.get(port, "/drop-0")
        assert not _is_open(number)


@pytest.mark.usefixtures("at_once")
def test_of_datagrams(tmp_path: Path) -> None:
    """A resolver asks from a port of its own each time: what is sent there later is for nobody."""
    port = free_port()
    with Fleet(tmp_path) as fleet:
        fleet.start_ready(_app(port, "kernel", KIND="udp"))
        number = _many(fleet, port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", number))
        assert fleet.log.of("listen.failed") == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("share", ["python", "kernel"])
def test_what_all_have_is_shared_however_late(tmp_path: Path, share: str) -> None:
    """A port that is named, or that others have, is no session's."""
    port, late = free_port(), free_port()
    app = _app(port, share, ADMIN=str(late))
    with Fleet(tmp_path) as fleet:
        fleet.start_ready(app, 2)
        everybody_answers(fleet, fleet.members, lambda: fleet.get(port, f"/keep-{late}"))


@pytest.mark.parametrize("share", ["kernel"])
def test_one_instance_has_one_session_at_a_port(tmp_path: Path, share: str) -> None:
    """Two of its sessions do not get each other's clients, as long as one of them is there."""
    port, number = free_port(), free_port()
    with Fleet(tmp_path) as fleet:
        (only,) = fleet.start_ready(_app(port, share))
        assert fleet.get(port, f"/keep-{number}") == str(only.pid)
        assert fleet.get(port, f"/keep-{number}") == "Address already in use"
        fleet.get(port, "/drop-0")
        assert fleet.get(port, f"/keep-{number}") == str(only.pid)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("share", ["python", "kernel"])
def test_of_a_helper_ends_with_who_has_made_it(tmp_path: Path, share: str) -> None:
    """As soon as another process of the slot works without it."""
    port = free_port()
    app = _app(port, share, HELPER="1")
    with Fleet(tmp_path) as fleet:
        (first,) = fleet.start_ready(app)
        number = int(first.text().split()[1])
        assert _is_open(number)
        for _ in range(2):
            (next_one,) = fleet.start_ready(app)
            first.signal(signal.SIGKILL)
            fleet.gone(first)
            first = next_one
        assert not _is_open(number)
        assert fleet.get(port, "/drop-0") == str(first.pid)


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_more_than_an_app_can_have(tmp_path: Path, share: str) -> None:
    """Then they are its own: what it asks for right after its start is not told from what all shall have."""
    port = free_port()
    with Fleet(tmp_path) as fleet:
        fleet.start_ready(_app(port, share))
        number = _many(fleet, port)
        assert not _is_open(number)


@pytest.mark.parametrize("share", ["python", "kernel"])
@pytest.mark.parametrize("named", [True, False])
def test_a_helper_that_listens_first(tmp_path: Path, share: str, *, named: bool) -> None:
    """It is nowhere that the next process would listen: neither ready by it, nor kept from being ready."""
    port = free_port()
    app = _app(port, share, HELPER="1")
    if not named:
        file = tmp_path / "settings"
        file.write_text(str(port))
        argv = [word.replace('os.environ.get("PORT", 0)', f"open({str(file)!r}).read()") for word in app.argv]
        app = app.but(argv=tuple(argv), env={"HELPER": "1"})
    with Fleet(tmp_path) as fleet:
        for _ in range(3):
            (member,) = fleet.start_ready(app)
            if named:
                assert _is_open(port)
            fleet.eventually(lambda: "helper" in member.text(), "the server")  # noqa: B023
        assert fleet.log.of("listen.elsewhere") == []
