"""Whatever kind of socket a program binds, the kernel's question is answered as that kind has it."""

import errno
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from harness import free_port
from listen.fleet import Fleet
from listen.raw import everybody_answers, raw

from pidone.ecosystem.spec import Listen
from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")


def ask_unix(path: str) -> str:
    """Who answers at a path; empty if nobody does."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        try:
            client.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return ""
        client.sendall(b"?")
        return client.recv(1000).decode().rpartition("\n")[2].split()[0]


UNIX = """
def gone(*_):
    os.unlink(path)
    time.sleep(0.3)
    os._exit(0)
signal.signal(signal.SIGTERM, gone)
os.umask(0o117)
try:
    os.unlink(path)
except FileNotFoundError:
    pass
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(5)
serve(server)
"""


def test_unix_path(fleet: Fleet, tmp_path: Path) -> None:
    """Each program removes the file before it binds, and when it stops: clients find it all the same."""
    path = tmp_path / "app.sock"
    members = fleet.start_ready(raw(UNIX, path=str(path)), 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    everybody_answers(fleet, members, lambda: ask_unix(str(path)))
    first, second = members
    first.handover.leave()
    first.signal(15)
    fleet.gone(first)
    assert ask_unix(str(path)) == str(second.pid)
    second.handover.leave()
    second.signal(15)
    fleet.eventually(path.exists, "the file to be there for the next one")
    fleet.gone(second)
    (third,) = fleet.start_ready(first.app)
    assert ask_unix(str(path)) == str(third.pid)
    fleet.broker.close(first.app)
    assert list(tmp_path.glob("*.sock")) + list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("moment", ["link", "chmod"])
def test_a_path_that_is_removed_meanwhile(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another program that begins removes the file while we open it for this one."""
    path = tmp_path / "app.sock"
    usual = getattr(os, moment)
    removed: list[Path] = []

    def removed_first(*arguments: Any, **keys: Any) -> None:
        if not removed:
            removed.append(path)
            path.unlink()
            if moment == "chmod":  # it is held open, and so its mode can be set
                raise FileNotFoundError(errno.ENOENT, "gone")
        usual(*arguments, **keys)

    monkeypatch.setattr(os, moment, removed_first)
    member = fleet.start(raw(UNIX, path=str(path)))
    fleet.ready(member)
    assert removed == [path]
    assert ask_unix(str(path)) == str(member.pid)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_unix_path_of_a_program_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    """A relative path is where the program stands."""
    (tmp_path / "here").mkdir()
    app = raw(
        "os.chdir('here')\npath = 'a.sock'\n" + UNIX.replace("os.umask", "0 and os.umask"), cwd=tmp_path
    )
    members = fleet.start_ready(app.but(ready_delay=0.05), 2)
    everybody_answers(fleet, members, lambda: ask_unix(str(tmp_path / "here" / "a.sock")))


def test_abstract_unix_name(fleet: Fleet) -> None:
    """A name without a file is shared too."""
    name = f"pidone-test-{os.getpid()}-{time.monotonic_ns()}"
    code = (
        "server = socket.socket(socket.AF_UNIX); server.bind('\\0' + path); server.listen(5); serve(server)"
    )
    members = fleet.start_ready(raw(code, path=name), 2)
    everybody_answers(fleet, members, lambda: ask_unix("\0" + name))


UDP = """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
OPTION
server.bind(("127.0.0.1", port))
print("bound", flush=True)
while True:
    data, sender = server.recvfrom(1000)
    server.sendto(b"%d" % os.getpid(), sender)
"""


def test_udp_that_nobody_listed(fleet: Fleet, port: int) -> None:
    """The second one would fail by itself; here both have the port."""
    members = fleet.start_ready(raw(UDP.replace("OPTION", ""), port=port), 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"?", ("127.0.0.1", port))
        assert client.recv(100) in {str(member.pid).encode() for member in members}


def test_udp_sockets_that_share_by_themselves(fleet: Fleet, port: int) -> None:
    """Of SO_REUSEADDR each keeps its own socket: multicast reaches all of those."""
    option = "server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"
    inode = "print(os.fstat(server.fileno()).st_ino, flush=True)"
    code = UDP.replace("OPTION", option).replace("print(", inode + "; print(")
    members = [fleet.start(raw(code, port=port), index) for index in range(2)]
    fleet.eventually(lambda: all("bound" in member.text() for member in members), "both")
    assert members[0].text().split()[0] != members[1].text().split()[0]


def test_port_of_the_kernels_choice(fleet: Fleet) -> None:
    """It is each program's own, and counts as readiness as late as a guess would."""
    code = "server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(5); serve(server)"
    began = time.monotonic()
    members = fleet.start_ready(raw(code, env={"PORT": ""}, ready_delay=0.3).but(env={}), 2)
    assert time.monotonic() - began >= 0.3
    # It is told when the time is over, which says nothing of what has been printed by then.
    fleet.eventually(lambda: all("serves" in member.text() for member in members), "both to serve")
    assert members[0].text() != members[1].text()


DUAL = """
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, WANTED)
server.bind(("::", port))
server.listen(5)
assert server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == WANTED
serve(server)
"""


@pytest.mark.parametrize("v6_only", [0, 1])
def test_both_families_as_the_program_asked(fleet: Fleet, port: int, v6_only: int) -> None:
    """Dual stack where it is wanted, and IPv6 alone where that is."""
    members = fleet.start_ready(raw(DUAL.replace("WANTED", str(v6_only)), port=port), 2)
    everybody_answers(fleet, members, lambda: fleet.get(port, host="::1").split()[0])
    if v6_only:
        with pytest.raises(ConnectionRefusedError):
            fleet.get(port)
    else:
        assert fleet.get(port).split()[0] in {str(member.pid) for member in members}


def test_separate_sockets_of_both_families(fleet: Fleet, port: int) -> None:
    """A program that binds IPv4 and IPv6 apart gets two."""
    code = """
four = socket.socket(); four.bind(("0.0.0.0", port)); four.listen(5)
six = socket.socket(socket.AF_INET6)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); six.bind(("::", port)); six.listen(5)
serve(four, six)
"""
    fleet.start_ready(raw(code, port=port), 2)
    assert (fleet.get(port)[-1], fleet.get(port, host="::1")[-1]) == ("0", "1")


def test_reuseport(fleet: Fleet, port: int) -> None:
    """Several sockets of one program on one port (a worker each) are one and the same."""
    code = """
def one():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("127.0.0.1", port)); server.listen(5)
    return server
serve(one(), one())
"""
    members = fleet.start_ready(raw(code, port=port), 2)
    everybody_answers(fleet, members, lambda: fleet.get(port).split()[0])


def test_several_ports(fleet: Fleet) -> None:
    """All that it names are shared; what is not known for its port does not make it ready."""
    port = free_port(row=2)
    code = """
admin = socket.socket(); admin.bind(("127.0.0.1", port + 1)); admin.listen(5)
time.sleep(0.4)
web = socket.socket(); web.bind(("127.0.0.1", port)); web.listen(5)
serve(web, admin)
"""
    began = time.monotonic()
    members = fleet.start_ready(raw(code, port=port, ready_delay=60.0), 2)
    assert time.monotonic() - began >= 0.4
    for number in (port, port + 1):
        everybody_answers(fleet, members, lambda number=number: fleet.get(number).split()[0])


def test_forked_workers(fleet: Fleet, port: int) -> None:
    """A master that binds, and one whose children bind each for themselves."""
    code = """
def bound():
    server = socket.socket(); server.bind(("127.0.0.1", port)); server.listen(5)
    return server
server = bound() if BEFORE else None
for _ in range(2):
    if os.fork() == 0:
        serve(server or bound())
os.wait()
"""
    for before in ("True", "False"):
        member = fleet.start(raw(code.replace("BEFORE", before), port=port, name=before))
        fleet.ready(member)
        assert len({answer.split()[0] for answer in fleet.get_different(port, 2)}) == 2
        os.killpg(member.pid, 9)
        fleet.gone(member)
        fleet.broker.close(member.app)


def test_no_rights_are_given_away(root: None, fleet: Fleet, tmp_path: Path) -> None:
    """A port below 1024, and a folder of root's, are refused to another user as they would be without us."""
    low = free_port(range(600, 1024))
    (tmp_path / "closed").mkdir(mode=0o755)
    code = f"""
for make in (lambda: socket.socket().bind(("127.0.0.1", {low})),
             lambda: socket.socket(socket.AF_UNIX).bind({str(tmp_path / "closed/a.sock")!r})):
    try:
        make()
    except OSError as error:
        print(error.errno, flush=True)
"""
    app = raw(code, uid=65534, gid=65534)
    app = app.but(argv=("/usr/bin/python3", *app.argv[1:]))
    tmp_path.chmod(0o755)
    member = fleet.start(app)
    fleet.gone(member)
    assert member.text().split()[0] == str(errno.EACCES), member.text()
    assert member.text().split()[1] in {str(errno.EACCES), str(errno.EPERM)}
    listed = (Listen(name="web", host="127.0.0.1", port=low),)
    member = fleet.start(app.but(listen=listed, name="listed"))
    fleet.gone(member)
    assert len(member.text().split()) == 1, "what is listed is given"


def test_another_network(root: None, fleet: Fleet, port: int) -> None:
    """A child in a network namespace of its own binds there."""
    code = "server = socket.socket(); server.bind(('0.0.0.0', port)); server.listen(5); serve(server)"
    app = raw(code, port=port)
    member = fleet.start(app.but(argv=(shutil.which("unshare") or "", "--net", *app.argv)))
    fleet.eventually(lambda: "serves" in member.text() or member.exit is not None, "it to serve")
    assert "serves" in member.text()
    with pytest.raises(ConnectionRefusedError):
        fleet.get(port)


FORMS = {
    "v4": "server = socket.socket(); server.bind(('0.0.0.0', port))",
    "v6": "server = socket.socket(socket.AF_INET6); server.bind(('::', port))",
    "loopback": "server = socket.socket(); server.bind(('127.0.0.1', port))",
    "by number": "server = socket.socket(fileno=3)",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cluster", [False, True])
def test_a_listed_port_in_any_form(fleet: Fleet, port: int, form: str, *, cluster: bool) -> None:
    """`listen = [9292]` serves programs that take it by number, and those that bind it as they always do."""
    listed = (Listen(name="web", port=port),)
    code = FORMS[form] + "\nserver.listen(5)\nserve(server)"
    members = fleet.start_ready(raw(code, port=port, share=None, listen=listed, cluster=cluster), 2)
    everybody_answers(fleet, members, lambda: fleet.get(port).split()[0])


def test_a_listed_port_of_a_program_of_ipv4(fleet: Fleet, port: int) -> None:
    """It gets a socket of its own family: nginx has no room for the other's addresses. So do all after it."""
    code = """
server = socket.socket(); server.bind(("0.0.0.0", port)); server.listen(5)
assert server.getsockname() == ("0.0.0.0", port)
copy = socket.socket(fileno=os.dup(server.fileno()))
assert copy.family == socket.AF_INET, copy.family
serve(server)
"""
    app = raw(code, port=port, share=None, listen=(Listen(name="web", port=port),))
    first, second = fleet.start_ready(app, 2)
    everybody_answers(fleet, [first, second], lambda: fleet.get(port).split()[0])
    with pytest.raises(ConnectionRefusedError):
        fleet.get(port, host="::1")
    fleet.broker.open(app)
    first.handover.leave()
    first.signal(9)
    fleet.gone(first)
    third = fleet.start(app)
    fleet.ready(third)
    everybody_answers(fleet, [second, third], lambda: fleet.get(port).split()[0])


BOTH = """
four, six = socket.socket(), socket.socket(socket.AF_INET6)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for server, host in ORDER:
    server.bind((host, port))
for server in (four, six):
    server.listen(5)
    assert socket.socket(fileno=os.dup(server.fileno())).family == server.family
serve(four, six)
"""


@pytest.mark.parametrize("order", ["(four, '0.0.0.0'), (six, '::')", "(six, '::'), (four, '0.0.0.0')"])
@pytest.mark.parametrize("cluster", [False, True])
def test_a_listed_port_that_is_bound_in_two_families(
    fleet: Fleet, port: int, order: str, *, cluster: bool
) -> None:
    """`listen 80; listen [::]:80;` of nginx: a socket of each, whichever comes first."""
    listed = (Listen(name="web", port=port),)
    code = BOTH.replace("ORDER", order)
    app = raw(code, port=port, share=None, listen=listed, cluster=cluster)
    members = fleet.start_ready(app, 2)
    for number, host in enumerate(("127.0.0.1", "::1")):
        everybody_answers(fleet, members, lambda host=host: fleet.get(port, host=host).split()[0])
        assert fleet.get(port, host=host).split()[1] == str(number)
    fleet.broker.open(app.but(listen=()))
    for member in members:
        member.signal(9)
        fleet.gone(member)
    for host in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            fleet.get(port, host=host)


OPTIONS = """
server = socket.socket()
wanted = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5),
    (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 7), (socket.SOL_SOCKET, socket.SO_RCVBUF, 20000),
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 20000), (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33), (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 4000),
    (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000), (socket.IPPROTO_IP, socket.IP_TOS, 16),
    (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
]
for option in wanted:
    server.setsockopt(*option)
before = [server.getsockopt(*option[:2]) for option in wanted]
server.setblocking(BLOCKS)
server.set_inheritable(INHERITS)
server.bind(("127.0.0.1", port))
after = [server.getsockopt(*option[:2]) for option in wanted]
lost = [option for option, was, now in zip(wanted, before, after) if was != now]
flags = os.get_blocking(server.fileno()), os.get_inheritable(server.fileno())
print("lost:", lost, "flags:", *flags, flush=True)
server.listen(5)
time.sleep(60)
"""


@pytest.mark.parametrize(("blocks", "inherits"), [(True, False), (False, True)])
def test_options_and_flags_before_bind(fleet: Fleet, port: int, *, blocks: bool, inherits: bool) -> None:
    """All that the program had set on its own socket is set on ours, in whatever order it came."""
    code = OPTIONS.replace("BLOCKS", str(blocks)).replace("INHERITS", str(inherits))
    member = fleet.start(raw(code, port=port))
    fleet.ready(member)
    assert member.text() == f"lost: [] flags: {blocks} {inherits}\n"


LOOPBACKS = """
four = socket.socket(); four.bind(("127.0.0.1", port)); four.listen(5)
six = socket.socket(socket.AF_INET6); six.bind(("::1", port)); six.listen(5)
serve(four, six)
"""
AGAIN = """
for _ in range(2):
    server = socket.socket(); server.bind(("127.0.0.1", port)); server.listen(5)
    copy = server.detach()
    os.close(copy) if _ == 0 else None
serve(socket.socket(fileno=copy))
"""


@pytest.mark.parametrize(("code", "hosts"), [(LOOPBACKS, ["127.0.0.1", "::1"]), (AGAIN, ["127.0.0.1"])])
def test_programs_that_bind_twice(fleet: Fleet, port: int, code: str, hosts: list[str]) -> None:
    """Both loopback addresses; and one that closes its socket and binds again."""
    members = fleet.start_ready(raw(code, port=port), 2)
    for host in hosts:
        everybody_answers(fleet, members, lambda host=host: fleet.get(port, host=host).split()[0])


def test_a_listed_unix_path_that_its_program_binds(fleet: Fleet, tmp_path: Path) -> None:
    """It is passed by number, and given to a program that removes the file and binds it."""
    path = str(tmp_path / "app.sock")
    listed = (Listen(name="web", kind="unix", host=path),)
    members = fleet.start_ready(raw(UNIX, path=path, share=None, listen=listed), 2)
    everybody_answers(fleet, members, lambda: ask_unix(path))
