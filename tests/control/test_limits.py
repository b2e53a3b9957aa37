"""What the control side takes of the runtime's descriptors, and what it does when there are none."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from control.operated import Operated, UnixHTTP, operated
from control.test_peers import STRANGER, as_user
from harness import DEADLINE_S, PIDONE, PYTHON, Running, alive, eventually, free_port

SLEEPER = """
[[apps]]
name = "api"
script = "/bin/sleep"
args = "1000"
instances = 3
ready_delay = 0
min_uptime = 0
"""
FEW = 200
MANY = 400
_CROWD = """
import socket, sys, time
clients = []
for _ in range(int(sys.argv[2])):
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect(sys.argv[1])
        client.send(b"GET /livez HTT")
    except OSError:
        pass
    clients.append(client)
print("there", flush=True)
time.sleep(1000)
"""


@contextlib.contextmanager
def with_few_descriptors(folder: Path) -> Iterator[Operated]:
    """`ulimit -n 200`, as some base images and old container engines have it."""
    (folder / "ecosystem.toml").write_text(SLEEPER)
    path, port = folder / "control.sock", free_port()
    words = ["--socket", str(path), "--admin", f"127.0.0.1:{port}", str(folder / "ecosystem.toml")]
    with Running(["sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh", PIDONE, *words]) as run:
        run.expect(event="control.listening", count=2)
        run.expect(event="instance.online", count=3)
        yield Operated(run, str(path), port)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def suffers_nothing(it: Operated) -> None:
    """Apps that die are buried and started again; commands and probes are answered."""
    for round_ in range(1, 4):
        pids = {instance["pid"] for instance in it.app("api")["instances"]}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        it.run.expect(event="instance.exit", count=3 * round_)
        eventually(lambda: it.states("api") == ["online"] * 3)
        after = {instance["pid"] for instance in it.app("api")["instances"]}
        assert pids.isdisjoint(after)
        assert all(map(alive, after))
    assert it.command("health").returncode == 0
    assert not it.run.find(event="runtime.error")
    assert len(it.run.find(event="control.error")) <= 1
    assert not it.run.err or "Traceback" not in it.run.err.text()


def test_many_clients_on_tcp_cost_no_app_anything(tmp_path: Path) -> None:
    """400 connections that say nothing, at 200 descriptors: deaths are seen and apps start as ever."""
    with with_few_descriptors(tmp_path) as it, contextlib.ExitStack() as stack:
        for _ in range(MANY):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", it.port))
        suffers_nothing(it)
        assert it.ask("/livez", tcp=True).status == 200


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_many_strangers_on_the_socket_cost_no_app_anything(tmp_path: Path) -> None:
    """They are hung up on as soon as the kernel has told whose they are."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with with_few_descriptors(tmp_path) as it:
        Path(it.socket).chmod(0o666)
        argv = as_user(STRANGER, sys.executable, "-c", _CROWD, it.socket, str(MANY))
        with Running(argv, cwd="/") as crowd:
            crowd.expect_line("there")
            suffers_nothing(it)


def cpu_s(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_descriptor_for_a_client_it_waits_and_says_so_once(tmp_path: Path) -> None:
    """accept(2) with EMFILE: one record, no busy loop, and clients are served when there is one again."""
    with operated(tmp_path) as it, contextlib.ExitStack() as stack:
        pid = it.run.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        before = cpu_s(pid)

        def is_refused() -> bool:
            """Who asked last may not have been hung up on by then: the first takes his descriptor."""
            stack.enter_context(contextlib.closing(UnixHTTP(it.socket))).connect()
            return bool(it.run.find(event="control.error"))

        eventually(is_refused, "a client without a descriptor", every=0.1)
        client = stack.enter_context(contextlib.closing(UnixHTTP(it.socket)))
        client.request("GET", "/livez")
        record = it.run.expect(event="control.error")
        assert "Too many open files" in record["message"]
        time.sleep(2.5)
        assert len(it.run.find(event="control.error")) == 1
        assert not it.run.err or "Traceback" not in it.run.err.text()
        assert cpu_s(pid) - before < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert client.getresponse().status == 200


def test_the_queue_is_as_long_after_the_first_client_as_before(tmp_path: Path) -> None:
    """300 clients that come at once wait for their turn; nobody is refused."""
    with operated(tmp_path) as it, contextlib.ExitStack() as stack:
        assert it.ask("/livez").status == 200
        it.run.signal(signal.SIGSTOP)
        try:
            for _ in range(300):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(it.socket)
        finally:
            it.run.signal(signal.SIGCONT)
        assert it.ask("/livez").status == 200


def test_a_control_side_that_cannot_be_loaded_says_so_and_does_not_spin(tmp_path: Path) -> None:
    """An upgrade in place takes a module away before the first client: one error, an answer, no busy loop."""
    path = tmp_path / "control.sock"
    with copied(tmp_path, SLEEPER) as run:
        router = tmp_path / "lib" / "pidone" / "control" / "http" / "router.py"
        kept = router.read_text()
        router.unlink()
        before = cpu_s(run.pid)
        for _ in range(3):
            status, body = ask(path)
            assert status == 503
            assert "cannot be loaded" in json.loads(body)["error"]
        time.sleep(1)
        [record] = run.find(event="control.error")
        assert "ModuleNotFoundError" in record["message"]
        assert cpu_s(run.pid) - before < 0.7
        router.write_text(kept)
        eventually(lambda: ask(path)[0] == 200, "the control side to be loaded after all", DEADLINE_S)


def test_what_answers_pm2s_client_is_loaded_when_it_can_be(tmp_path: Path) -> None:
    """The same at its sockets: clients wait, nothing spins, and it is tried again."""
    home = tmp_path / "pm2"
    ecosystem = f"[runtime]\npm2_rpc = true\n{SLEEPER}"
    with (
        copied(tmp_path, ecosystem, env={"PM2_HOME": str(home)}) as run,
        socket.socket(socket.AF_UNIX) as client,
    ):
        run.expect(event="control.listening", address=str(home))
        wire = tmp_path / "lib" / "pidone" / "control" / "pm2" / "wire.py"
        kept = wire.read_text()
        wire.unlink()
        before = cpu_s(run.pid)
        client.settimeout(DEADLINE_S)
        client.connect(str(home / "rpc.sock"))
        request = b'j:{"type":"call","method":"ping","args":[{}]}'
        identity = b"s:1"
        frame = b"".join(len(part).to_bytes(4, "big") + part for part in (request, identity))
        client.sendall(b"\x12" + frame)
        record = run.expect(event="control.error")
        assert "ModuleNotFoundError" in record["message"]
        wire.write_text(kept)
        assert b'"msg": "pong"' in client.recv(4096)
        assert cpu_s(run.pid) - before < 1.5
        assert len(run.find(event="control.error")) == 1


@contextlib.contextmanager
def copied(folder: Path, ecosystem: str, env: "dict[str, str] | None" = None) -> "Iterator[Running]":
    """A runtime of a copy of the package, without bytecode, whose modules may be taken away."""
    shutil.copytree(
        Path(sys.modules["pidone"].__path__[0]),
        folder / "lib" / "pidone",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (folder / "ecosystem.toml").write_text(ecosystem)
    start = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from pidone.cli.main import dispatch; "
        "sys.exit(dispatch(['pidone', *sys.argv[1:]]))"
    )
    words = [str(folder / "lib"), "--socket", str(folder / "control.sock"), str(folder / "ecosystem.toml")]
    with Running([PYTHON, "-B", "-I", "-c", start, *words], cwd=folder, env=env or {}) as run:
        run.expect(event="control.listening", address=str(folder / "control.sock"))
        run.expect(event="instance.online", count=3)
        yield run


def ask(path: Path) -> tuple[int, bytes]:
    """Status and body of the probe."""
    with contextlib.closing(UnixHTTP(str(path))) as client:
        client.request("GET", "/livez")
        answer = client.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--admin", "127.0.0.1:{port}"), "admin = '127.0.0.1:{port}': Address already in use"),
        (("--admin", ":{port}"), "admin = ':{port}': Address already in use"),
        (("--admin", "127.0.0.1:99999"), "expected a port from 0 to 65535"),
        (("--admin", "no.such.host.invalid:80"), "admin = 'no.such.host.invalid:80': "),
        (("--admin", "127.0.0.1:{free}", "--admin-token-file", "/nothing"), "admin_token_file = '/nothing'"),
        (("--admin", "127.0.0.1:{free}", "--admin-token-file", "/dev/null"), "is not a regular file"),
    ],
)
def test_an_admin_address_that_cannot_be_served_ends_the_start(
    tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    """Like any other wrong setting: 78, one line, and nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"port": str(taken.getsockname()[1]), "free": str(free_port())}
        (tmp_path / "ecosystem.toml").write_text(SLEEPER)
        given = [word.format(**ports) for word in words]
        done = subprocess.run(
            [PIDONE, "--socket", "none", *given, str(tmp_path / "ecosystem.toml")],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert (done.returncode, done.stdout) == (78, "")
    assert why.format(**ports) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_client_may_be_the_first_to_need_the_loop(tmp_path: Path) -> None:
    """Whenever it comes: before, while and after asyncio is imported."""
    (tmp_path / "ecosystem.toml").write_text(SLEEPER)
    for round_ in range(6):
        path = tmp_path / f"s{round_}"
        with Running([PIDONE, "--socket", str(path), str(tmp_path / "ecosystem.toml")]) as run:
            eventually(path.exists, every=0.0005)
            time.sleep(0.004 * round_)
            assert eventually(partial(answer, path))[0] == 200
            assert not run.find(event="control.error")
            assert not run.find(event="runtime.error")
            run.signal(signal.SIGTERM)
            assert run.wait() == 0


def answer(path: Path) -> tuple[int, bytes] | None:
    """As `ask`; None where it is bound and does not listen yet."""
    with contextlib.suppress(ConnectionRefusedError):
        return ask(path)
    return None
