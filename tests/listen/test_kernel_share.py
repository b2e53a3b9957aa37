"""Unmodified programs in any language share a port: the kernel asks the runtime about their bind()."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import alive, eventually, free_port, state
from listen.fleet import Client, Fleet, Member, app_of, fetch

from pidone.ecosystem.spec import AppSpec, Balance, Listen, Readiness
from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")

GO = """
package main
import ("fmt"; "net/http"; "os")
func main() {
  http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d", os.Getpid()) })
  fmt.Println(http.ListenAndServe(":" + os.Getenv("PORT"), nil))
}
"""
JAVA = """
import com.sun.net.httpserver.*; import java.net.*;
public class App { public static void main(String[] a) throws Exception {
  HttpServer s = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
  s.createContext("/", e -> { byte[] b = ("" + ProcessHandle.current().pid()).getBytes();
    e.sendResponseHeaders(200, b.length); e.getResponseBody().write(b); e.close(); });
  s.start(); } }
"""
RUBY = """
require 'socket'
server = TCPServer.new('0.0.0.0', ENV['PORT'].to_i)
loop do
  client = server.accept
  client.readpartial(1000)
  client.write("HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n#{Process.pid}")
  client.close
end
"""
NGINX = """
daemon off; master_process %s; worker_processes 2; pid %s; error_log stderr;
events {} http { access_log off; server { listen %s; location / { return 200 "$pid"; } } }
"""
PYTHON = """
import os, socket
server = socket.socket()
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen(7)
print("listens", flush=True)
while True:
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""


def tool(name: str) -> str:
    """The path of a program, or a skip."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/local/go/bin:/usr/sbin")
    if found is None:
        pytest.skip(f"no {name} here")
    return found


@pytest.fixture(scope="session")
def go_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server that is linked statically: no library could be put before it."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "app.go").write_text(GO)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([tool("go"), "build", "-o", "app", "app.go"], cwd=folder, env=env, check=True, timeout=300)
    return str(folder / "app")


def kernel_app(*argv: str, port: int, **keys: Any) -> AppSpec:
    """An app that shares by the kernel."""
    return app_of(*argv, share="kernel", env={"PORT": str(port)}, **keys)


def plain_python(code: str, port: int, **keys: Any) -> AppSpec:
    """Python of which nothing is known, nor shimmed."""
    return kernel_app(sys.executable, "-I", "-S", "-c", code, port=port, **keys)


def replaced(fleet: Fleet, old: Member) -> Member:
    """A successor that is ready; the old one is stopped."""
    new = fleet.start(old.app, old.who.index)
    assert fleet.ready(new) == "listening"
    old.handover.leave()
    old.signal(signal.SIGTERM)
    fleet.gone(old)
    return new


def share_and_replace(fleet: Fleet, app: AppSpec, port: int) -> None:
    """Two are ready as soon as they listen, both answer, and both are replaced without a refused request."""
    members = fleet.start_ready(app, 2)
    assert fleet.get_different(port, 2)
    new = [replaced(fleet, member) for member in members]
    assert fleet.get_different(port, 2) == {str(member.pid) for member in new}


@pytest.mark.parametrize("balance", [Balance.SHARED, Balance.SPREAD])
def test_a_static_go_server(fleet: Fleet, port: int, go_server: str, balance: Balance) -> None:
    """Go with its own system calls, IPv6 dual stack and non-blocking sockets."""
    share_and_replace(fleet, kernel_app(go_server, port=port, balance=balance), port)


def test_under_load(fleet: Fleet, port: int, go_server: str) -> None:
    """Clients that connect anew for each request are neither refused nor reset while processes come."""
    (first,) = fleet.start_ready(kernel_app(go_server, port=port))
    clients = [Client(port, keep_alive=False) for _ in range(4)]
    work = [fleet.loop.create_task(client.work()) for client in clients]
    second = fleet.start(first.app, 1)
    fleet.ready(second)
    fleet.eventually(lambda: len({a for client in clients for a in client.answers}) == 2, "answers of both")
    for client in clients:
        client.is_done = True
    for each in work:
        fleet.run(each)


def test_java(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """A JVM, whose sockets are of IPv6 and block when they are bound."""
    java = tool("java")
    (tmp_path / "App.java").write_text(JAVA)
    # Once, and not by each process at its start: that takes fifteen times as long.
    compiler = [java, "-m", "jdk.compiler/com.sun.tools.javac.Main"]
    subprocess.run([*compiler, "App.java"], cwd=tmp_path, check=True, timeout=300)
    share_and_replace(fleet, kernel_app(java, "-cp", str(tmp_path), "App", port=port), port)


def test_ruby(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """A plain blocking accept()."""
    (tmp_path / "app.rb").write_text(RUBY)
    share_and_replace(fleet, kernel_app(tool("ruby"), str(tmp_path / "app.rb"), port=port), port)


def test_php(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """PHP's own server, which shows the address family that it asked for."""
    (tmp_path / "index.php").write_text("<?php echo getmypid();")
    app = kernel_app(tool("php"), "-S", f"0.0.0.0:{port}", "-t", str(tmp_path), port=port)
    share_and_replace(fleet, app, port)


@pytest.mark.parametrize("listen", ["{port}", "{port} reuseport"])
def test_nginx(fleet: Fleet, port: int, tmp_path: Path, listen: str) -> None:
    """A master whose workers inherit filter and socket."""
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX % ("on", tmp_path / "nginx.pid", listen.format(port=port)))
    members = fleet.start_ready(kernel_app(tool("nginx"), "-c", str(config), port=port), 2)
    assert fleet.get_different(port, 3)
    replaced(fleet, members[0])
    assert fleet.get_different(port, 3)


def test_through_a_shell(fleet: Fleet, port: int) -> None:
    """Launchers in between do no harm."""
    app = kernel_app("/bin/sh", "-c", f'"{sys.executable}" -I -c "$CODE"; exit $?', port=port)
    app = app.but(env={**app.env, "CODE": PYTHON})
    fleet.start_ready(app, 2)
    assert len(fleet.get_different(port, 2)) == 2


LOOKS = """
import fcntl, os, select, socket
port = int(os.environ["PORT"])
server = socket.socket()
server.set_inheritable(True)
server.setblocking(False)
server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50000)
number = server.fileno()
server.bind(("127.0.0.1", port))
again = socket.socket()
again.bind(("127.0.0.1", 0))
again.listen()
assert again.getsockname()[1] != port
local = socket.socket(socket.AF_UNIX)
local.bind("")
assert fcntl.fcntl(server, fcntl.F_GETFD) == 0, "inheritable"
assert fcntl.fcntl(server, fcntl.F_GETFL) & os.O_NONBLOCK
assert server.getsockname() == ("127.0.0.1", port) and server.fileno() == number
assert server.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100000
server.listen(3)
assert fcntl.fcntl(server, fcntl.F_GETFL) & os.O_NONBLOCK, "after listen"
waits = select.epoll()
waits.register(number, select.EPOLLIN)
print("fine", flush=True)
waits.poll()
client, _ = server.accept()
client.recv(1000)
client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nfine")
"""


def test_the_socket_is_as_the_program_made_it(fleet: Fleet, port: int) -> None:
    """Status flags, close-on-exec, number, name and options; what is no TCP port with a number is its own."""
    member = fleet.start(plain_python(LOOKS, port))
    fleet.ready(member)
    fleet.eventually(lambda: "fine" in member.text() or member.exit is not None, "its checks")
    assert "fine" in member.text(), member.text()
    assert fleet.get(port) == "fine"


def test_a_port_that_a_stranger_has(fleet: Fleet, port: int) -> None:
    """The program sees the error that it would have seen."""
    with socket.create_server(("127.0.0.1", port)):
        member = fleet.start(plain_python(PYTHON, port))
        assert fleet.gone(member) == 1
    assert "Address already in use" in member.text()
    assert fleet.log.of("listen.failed")


def test_only_listed_ports(fleet: Fleet) -> None:
    """With `listen`, those are shared and others are not: a second process fails as it would alone."""
    port = free_port(row=2)
    listed = (Listen(name="web", port=port),)
    fleet.start_ready(plain_python(PYTHON, port, listen=listed), 2)
    assert len(fleet.get_different(port, 2)) == 2
    other = (Listen(name="web", port=port + 1),)
    alone = plain_python(PYTHON, port, listen=other, name="alone")
    assert fleet.gone(fleet.start(alone)) == 1


REBINDS = PYTHON.replace(
    "server.listen(7)",
    "server.listen(7); server.close(); server = socket.socket()\n"
    "server.bind(('127.0.0.1', int(os.environ['PORT']))); server.listen(7)",
)


def test_closing_and_binding_again(fleet: Fleet, port: int) -> None:
    """A program that restarts its server gets the socket again."""
    fleet.start_ready(plain_python(REBINDS, port), 2)
    assert len(fleet.get_different(port, 2)) == 2


def test_without_the_runtime(port: int, tmp_path: Path) -> None:
    """If the runtime dies, the call that waits for it fails instead of hanging for ever."""
    code = f"""
import os, sys, time
from pidone.listen.kernel import seccomp
install = seccomp.prepare()
listener = install()
if os.fork() == 0:
    os.close(listener)
    import socket
    try:
        socket.socket().bind(("127.0.0.1", {port}))
    except OSError as error:
        open({str(tmp_path / "said")!r}, "w").write(f"{{error.errno}} {{os.getpid()}}")
    os._exit(0)
import select
select.select([listener], [], [])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    said = eventually(lambda: (tmp_path / "said").exists() and (tmp_path / "said").read_text(), "the error")
    number, pid = map(int, str(said).split())
    assert number == errno.ENOSYS
    os.waitpid(pid, 0)  # as a subreaper this process has adopted it


def test_a_process_that_is_held_before_it_can_be_asked_about(
    fleet: Fleet, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime does not wait for it, and hears of its port when it goes on."""
    prepare = seccomp.prepare

    def prepare_held() -> Callable[[], int]:
        install = prepare()

        def install_held() -> int:
            os.kill(os.getpid(), signal.SIGSTOP)
            return install()

        return install_held

    monkeypatch.setattr(seccomp, "prepare", prepare_held)
    members = [fleet.start(plain_python(PYTHON, port), index) for index in range(2)]
    for member in members:
        eventually(lambda pid=member.pid: state(pid) == "T", "its stop")  # type: ignore[misc]
        member.signal(signal.SIGCONT)
        fleet.ready(member)
    assert fleet.get_different(port, 2) == {str(member.pid) for member in members}


@pytest.mark.parametrize("refusal", [errno.EBUSY, errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EINVAL])
def test_where_the_filter_is_refused(
    fleet: Fleet, port: int, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    """The program runs as it would without; one record says why, and later starts do not try again."""

    def install() -> int:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(seccomp, "prepare", lambda: install)
    app = plain_python(PYTHON, port)
    member = fleet.start(app)
    fleet.eventually(lambda: "listens" in member.text(), "the program")
    assert not member.handover.announces
    assert fleet.get(port) == str(member.pid)
    second = fleet.start(app, 1)
    assert second.handover.before_exec is None
    fleet.gone(second)
    (told,) = fleet.log.of("listen.unshared")
    assert errno.errorcode[refusal] in told


def test_a_second_listener_is_refused_by_the_kernel() -> None:
    """A container whose processes are asked about already says EBUSY, which is what the fall-back is for."""
    code = """
from pidone.listen.kernel import seccomp
seccomp.prepare()()
try:
    seccomp.prepare()()
except OSError as error:
    print(error.errno)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout.strip() == str(errno.EBUSY)


def test_told_to_stop_before_it_binds(fleet: Fleet, port: int) -> None:
    """It gets a socket to which nobody connects."""
    (old,) = fleet.start_ready(plain_python(PYTHON, port))
    late = "import time; print('begins', flush=True); time.sleep(0.5)\n" + PYTHON
    new = fleet.start(plain_python(late, port), 1)
    fleet.eventually(lambda: "begins" in new.text(), "the program")
    new.handover.leave()
    fleet.eventually(lambda: "listens" in new.text(), "its listen()")
    assert set(fleet.get_many(port, 30)) == {str(old.pid)}
    assert not new.heard("ready")
    assert alive(new.pid)


def test_udp(fleet: Fleet, port: int) -> None:
    """A listed port of UDP is shared too, and bind() is the readiness."""
    code = """
import os, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(os.environ["PORT"])))
while True:
    data, sender = server.recvfrom(1000)
    server.sendto(b"%d" % os.getpid(), sender)
"""
    listed = (Listen(name="dns", kind="udp", host="127.0.0.1", port=port),)
    members = fleet.start_ready(plain_python(code, port, listen=listed), 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"?", ("127.0.0.1", port))
        assert client.recv(100) in {str(member.pid).encode() for member in members}


def test_programs_of_32_bits(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """i386 has numbers of its own, and an older way to call."""
    source = tmp_path / "app.c"
    source.write_text(r"""
static int sys(int n, int a, int b, int c) {
  int r; __asm__ volatile ("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory"); return r; }
static int call(int op, int a, int b, int c) { int args[3] = {a, b, c}; return sys(102, op, (int)args, 0); }
void _start(void) {
  int s = sys(359, 2, 1, 0);
  char address[16] = {2, 0, PORT / 256, PORT % 256, 127, 0, 0, 1, 0};
  int r = VARIANT ? call(2, s, (int)address, 16) : sys(361, s, (int)address, 16);
  if (r) sys(1, 2, 0, 0);
  r = VARIANT ? call(4, s, 5, 0) : sys(363, s, 5, 0);
  if (r) sys(1, 3, 0, 0);
  for (;;) { int c = sys(364, s, 0, 0); char b[500]; sys(3, c, (int)b, 500);
    sys(4, c, (int)"HTTP/1.1 200 OK\r\n\r\nVARIANT", 20 + 0); sys(6, c, 0, 0); }
}
""")
    for variant in "01":
        binary = tmp_path / f"app{variant}"
        done = subprocess.run(
            [
                *(tool("gcc"), "-m32", "-O1", "-nostdlib", "-static", "-fno-pie", "-no-pie"),
                *("-fno-stack-protector", f"-DPORT={port}", f"-DVARIANT={variant}"),
                *("-o", str(binary), str(source)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            pytest.skip(f"no 32-bit compiler: {done.stderr[-200:]}")
        member = fleet.start(kernel_app(str(binary), port=port))
        assert fleet.ready(member) == "listening"
        assert fleet.run(fetch(port)) is not None


def test_nobody_is_left(tmp_path: Path) -> None:
    """A listener whose processes have all ended is not waited at: that would block the runtime for ever."""
    code = """
import os, socket
from pidone.listen.kernel import seccomp
ours, theirs = socket.socketpair()
if os.fork() == 0:
    socket.send_fds(theirs, [b"x"], [seccomp.prepare()()])
    os._exit(0)
_, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
os.wait()
try:
    print(seccomp.receive(listener))
except OSError as error:
    print(error.errno)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout.strip() == str(errno.ENOTCONN)


def test_bind_of_what_is_no_socket(fleet: Fleet, port: int) -> None:
    """Nonsense is the kernel's to answer, and costs the runtime no descriptor."""
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in (0, 77, -1):
    libc.bind(number, b"x" * 16, 16)
    print(ctypes.get_errno(), flush=True)
"""
    before = len(os.listdir("/proc/self/fd"))
    member = fleet.start(plain_python(code, port))
    assert fleet.gone(member) == 0
    assert member.text().split() == [str(errno.ENOTSOCK), str(errno.EBADF), str(errno.EBADF)]
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_readiness_without_sharing(fleet: Fleet, port: int) -> None:
    """`ready = "listen"` in fork mode: the program has its own socket, and is ready when it listens there."""
    code = "import socket, time; helper = socket.create_server(('127.0.0.1', 0)); time.sleep(0.3)\n" + PYTHON
    app = app_of(
        sys.executable, "-I", "-S", "-c", code, env={"PORT": str(port)}, ready=Readiness(listen=True)
    )
    member = fleet.start(app)
    assert fleet.ready(member) == "listening"
    assert fleet.get(port) == str(member.pid)
    assert fleet.gone(fleet.start(app, 1)) == 1, "nothing is shared"
