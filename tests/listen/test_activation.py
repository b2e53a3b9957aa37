"""Sockets of `listen = [...]`: passed by number, bound once, and clear words when that is impossible."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import Running, free_port
from listen.fleet import Fleet, app_of, python_app

from pidone.ecosystem.spec import Balance, Listen, Probe, Readiness
from pidone.errors import ListenError
from pidone.listen.lazy import needs_handover
from pidone.listen.sockets.address import Address, Kind

TELL = """
import json, os, socket, sys, time
numbers = range(3, 3 + int(os.environ["LISTEN_FDS"]))
found = [[os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_FDNAMES"], sys.argv[1:]]]
found += [socket.socket(fileno=number).getsockname() for number in numbers]
print(json.dumps(found), flush=True)
"""


def test_sockets_names_and_pid(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """The child finds its sockets from 3 on, their names, its own pid, and the numbers in its arguments."""
    import json

    listen = (
        Listen(name="web", host="127.0.0.1", port=port),
        Listen(name="stats", kind="udp", host="127.0.0.1", port=port),
        Listen(name="admin", kind="unix", host=str(tmp_path / "admin.sock")),
    )
    member = fleet.start(python_app(TELL, "--fd", "{fd}", "unix={fd:admin}", listen=listen))
    assert fleet.gone(member) == 0, member.text()
    assert json.loads(member.text()) == [
        [True, "web:stats:admin", ["--fd", "3", "unix=5"]],
        ["127.0.0.1", port],
        ["127.0.0.1", port],
        str(tmp_path / "admin.sock"),
    ]


def test_unknown_placeholder(fleet: Fleet, port: int) -> None:
    """A placeholder without a socket of that name is refused before anything starts."""
    listen = (Listen(name="web", port=port),)
    with pytest.raises(ListenError, match=r"app: args: no socket for \{fd:wbe\}; names in `listen`: web"):
        fleet.broker.open(python_app("", "{fd:wbe}", listen=listen))


def test_the_socket_outlives_the_process(fleet: Fleet, port: int) -> None:
    """A connection made while no process runs is accepted by the next one."""
    code = "import socket; c, _ = socket.socket(fileno=3).accept(); c.sendall(b'served')"
    app = python_app(
        code.replace("socket.socket(fileno=3)", "(s := socket.socket(fileno=3), s.setblocking(True))[0]"),
        listen=(Listen(name="web", host="127.0.0.1", port=port),),
    )
    fleet.broker.open(app)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        fleet.gone(fleet.start(app))
        assert client.recv(10) == b"served"


def test_port_in_use_names_the_holder(fleet: Fleet, port: int) -> None:
    """The error says which process has the port."""
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('up', flush=True); "
    with Running([sys.executable, "-c", code + "time.sleep(60)"]) as holder:
        holder.expect_line("up")
        app = python_app("", listen=(Listen(name="web", host="127.0.0.1", port=port),))
        with pytest.raises(
            ListenError, match=rf"tcp:127.0.0.1:{port}: already in use by process {holder.pid} "
        ):
            fleet.broker.open(app)


@pytest.mark.parametrize("balance", list(Balance))
def test_two_apps_claim_one_port(fleet: Fleet, port: int, balance: Balance) -> None:
    """The second app is refused, also where SO_REUSEPORT would have let it in silently."""
    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    first, second = (python_app("", name=name, listen=listen, balance=balance) for name in ("one", "two"))
    fleet.broker.open(first)
    with pytest.raises(ListenError, match="already in use by this runtime"):
        fleet.broker.open(second)
    fleet.broker.close(first)
    fleet.broker.open(second)
    fleet.broker.close(second)


def test_open_follows_the_specification(fleet: Fleet, port: int) -> None:
    """Opening again keeps what is still wanted, opens what is new and closes what is gone."""
    web = Listen(name="web", host="127.0.0.1", port=port)
    old = Listen(name="old", host="127.0.0.2", port=port)
    app = python_app("", listen=(web, old))
    fleet.broker.open(app)
    with socket.create_connection(("127.0.0.1", port)) as kept:
        fleet.broker.open(app.but(listen=(web,)))
        kept.setblocking(False)
        with pytest.raises(BlockingIOError):  # not closed
            kept.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))
    fleet.broker.close(app)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_opening_again_while_a_program_has_bound(fleet: Fleet, port: int) -> None:
    """A port that a Python program took from us is no conflict when the configuration is read again."""
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    app = python_app(code, share="python", listen=(Listen(name="web", port=port),))
    fleet.start_ready(app)
    fleet.broker.open(app)


def test_old_processes_keep_what_the_new_configuration_dropped(fleet: Fleet, port: int) -> None:
    """A socket that is no longer configured is closed when the last process that serves it has ended."""
    old = Listen(name="old", host="127.0.0.2", port=port)
    app = python_app("import time; time.sleep(60)", listen=(old,))
    member = fleet.start(app)
    fleet.broker.open(app.but(listen=()))
    with socket.create_connection(("127.0.0.2", port)):
        pass
    member.signal(9)
    fleet.gone(member)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))


def test_privileged_port_without_rights(root: None) -> None:
    """The message says what is missing."""
    code = """
import os
from pidone.listen.sockets.bind import explain, open_socket
from pidone.listen.sockets.address import Address, Kind
from pidone.listen.lazy import needs_handover
import pidone.listen.sockets.holders
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open_socket(Address(Kind.TCP, "127.0.0.1", 1001), backlog=1)
except OSError as error:
    print(explain(Address(Kind.TCP, "127.0.0.1", 1001), error))
"""
    with Running(["unshare", "--net", sys.executable, "-c", code]) as done:
        done.wait()
        assert done.out is not None
        assert done.err is not None
        assert not done.err.text()
        assert "ports below 1024 need root or CAP_NET_BIND_SERVICE" in done.out.text()


def test_privileged_port_for_an_unprivileged_app(root: None, fleet: Fleet) -> None:
    """The runtime binds a port below 1024 before the process becomes nobody."""
    port = free_port(range(600, 1024))
    code = "import os, socket; print(os.getuid(), socket.socket(fileno=3).getsockname()[1])"
    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    member = fleet.start(app_of("/usr/bin/python3", "-c", code, listen=listen, uid=65534, gid=65534))
    assert fleet.gone(member) == 0, member.text()
    assert member.text().split() == ["65534", str(port)]


def test_stale_unix_socket_is_replaced_and_removed(fleet: Fleet, tmp_path: Path) -> None:
    """A socket file left by an earlier container is no obstacle; one in use is; ours goes when we go."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    app = python_app("", listen=(Listen(name="web", kind="unix", host=str(path)),))
    fleet.broker.open(app)
    with pytest.raises(ListenError, match="already in use by this runtime"):
        fleet.broker.open(app.but(name="other"))
    fleet.broker.close(app)
    assert not path.exists()


def test_increment_var(fleet: Fleet, port: int) -> None:
    """Instance n gets the variable plus n; a value that is no number is an error."""
    app = python_app("import os; print(os.environ['PORT'])", increment_var="PORT", env={"PORT": "4000"})
    members = [fleet.start(app, index) for index in range(3)]
    for member in members:
        fleet.gone(member)
    assert [member.text().strip() for member in members] == ["4000", "4001", "4002"]
    with pytest.raises(ListenError, match=r"increment_var: PORT='http' is not a number"):
        fleet.broker.open(app.but(env={"PORT": "http"}))


@pytest.mark.parametrize(
    ("keys", "is_needed"),
    [
        ({}, False),
        ({"increment_var": "PORT"}, True),
        ({"env": {"WATCHDOG_USEC": "1000000"}}, True),
        ({"listen": (Listen(name="web", port=1),)}, True),
        ({"share": "python"}, True),
        ({"cluster": True}, True),
        ({"ready": Readiness(notify=True)}, True),
        ({"health": Probe(tcp="80")}, True),
        ({"shutdown_with_message": True}, True),
    ],
)
def test_plain_apps_cost_nothing(keys: dict[str, Any], is_needed: bool) -> None:  # noqa: FBT001 (a parameter)
    """Only an app that asks for something of ours makes the runtime load it."""
    assert needs_handover(app_of("/bin/true", **keys)) is is_needed


def test_ready_fd_may_not_collide(fleet: Fleet, port: int) -> None:
    """A notification descriptor among the listening sockets is refused."""
    app = python_app("", listen=(Listen(name="web", port=port),), ready=Readiness(fd=3))
    with pytest.raises(ListenError, match="numbers below 4 are taken"):
        fleet.broker.open(app)


def test_covering() -> None:
    """A wildcard socket of both families serves whoever asks for any address, but not for a certain one."""
    any_address = Address(Kind.TCP, "", 80)
    assert any_address.covers(Address(Kind.TCP, "0.0.0.0", 80))
    assert any_address.covers(Address(Kind.TCP, "::", 80))
    assert not any_address.covers(Address(Kind.TCP, "127.0.0.1", 80))
    assert not any_address.covers(Address(Kind.UDP, "", 80))
    assert not any_address.covers(Address(Kind.TCP, "", 81))
    assert not Address(Kind.TCP).covers(Address(Kind.TCP))
    assert Address(Kind.UNIX, "/a").covers(Address(Kind.UNIX, "/a"))


def test_nothing_leaks(fleet: Fleet, port: int) -> None:
    """After start, end and close the runtime has as many descriptors as before."""
    app = python_app(
        "",
        listen=(Listen(name="web", host="127.0.0.1", port=port),),
        ready=Readiness(ipc=True, notify=True, fd=9),
        share=None,
    )
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        fleet.gone(fleet.start(app))
    fleet.broker.close(app)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
