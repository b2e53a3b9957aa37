"""Unmodified Python servers, two processes each, on one port through the bind() shim."""

import importlib.util
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from harness import free_port
from listen.fleet import Fleet, Member, app_of, python_app

from pidone.ecosystem.spec import AppSpec, Balance, Listen, Readiness

ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = str(os.getpid()).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
WSGI = """
import os
def app(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
BLOCKING = """
import os, socket, sys
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
while True:
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""
SERVERS = {
    "blocking accept": ("socket", [sys.executable, "-c", BLOCKING, "{port}"]),
    "uvicorn uvloop": (
        "uvloop",
        [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--port", "{port}", "asgi:app"],
    ),
    "gunicorn": (
        "gunicorn",
        [sys.executable, "-m", "gunicorn", "--no-control-socket", "-b", "127.0.0.1:{port}", "wsgi:app"],
    ),
    "waitress": ("waitress", [sys.executable, "-m", "waitress", "--listen=127.0.0.1:{port}", "wsgi:app"]),
}


def server(kind: str, port: int, folder: Path, **keys: object) -> AppSpec:
    """One of the servers above; skips where it is not installed."""
    module, argv = SERVERS[kind]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    (folder / "asgi.py").write_text(ASGI)
    (folder / "wsgi.py").write_text(WSGI)
    filled = [word.replace("{port}", str(port)) for word in argv]
    return app_of(*filled, share="python", cwd=str(folder), ready=Readiness(listen=True), **keys)  # type: ignore[arg-type]


def both_answer(fleet: Fleet, port: int, members: list[Member]) -> None:
    """Ask until each has answered."""
    answers = fleet.get_different(port, len(members))
    assert len(answers) == len(members)  # each is one process, its own or one that it started


@pytest.mark.parametrize("kind", list(SERVERS))
def test_two_processes_share(fleet: Fleet, port: int, tmp_path: Path, kind: str) -> None:
    """Both become ready by listening, both answer, no request fails, and both stop on SIGTERM.

    tests/clusters/test_reload.py has more of them, and replaces them under load.
    """
    app = server(kind, port, tmp_path, listen=(Listen(name="web", port=port),))
    members = fleet.start_ready(app, 2)
    assert [member.heard("ready")[0] for member in members] == ["listening", "listening"]
    both_answer(fleet, port, members)
    for member in members:
        member.signal(signal.SIGTERM)
        fleet.gone(member)


def test_drain_leaves_time_for_the_stop(fleet: Fleet) -> None:
    """Where little time is given for a stop, silent clients get a quarter of it."""
    member = fleet.start(python_app("", share="python", kill_timeout=1.6))
    assert member.handover.env["PIDONE_DRAIN_IDLE"] == "0.4"
    fleet.gone(member)


def test_cluster_mode_implies_sharing(fleet: Fleet, port: int) -> None:
    """A Python program in cluster mode shares whatever port it binds, without any configuration."""
    app = python_app(BLOCKING, str(port), cluster=True)
    both_answer(fleet, port, fleet.start_ready(app, 2))


def test_spread_over_python_processes(fleet: Fleet, port: int, unhurried: None) -> None:
    """The shim hands out the socket of the process's own slot."""
    app = python_app(BLOCKING, str(port), share="python", balance=Balance.SPREAD)
    members = fleet.start_ready(app, 2)
    answers = Counter(fleet.get_many(port, 200))
    assert min(answers[str(member.pid)] for member in members) > 50


def test_other_ports_are_left_alone(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """With `listen`, only its ports are shared: others, port 0, UDP and unix sockets stay the program's."""
    code = """
import socket, sys
one = socket.socket(); one.bind(("127.0.0.1", 0)); one.listen()
two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); two.bind(("127.0.0.1", int(sys.argv[1])))
three = socket.socket(socket.AF_UNIX); three.bind(sys.argv[2])
four = socket.socket(); four.bind(("127.0.0.1", int(sys.argv[3])))
for opened in (one, two, three, four):
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0, opened  # ours have it
shared = socket.socket(); shared.bind(("127.0.0.1", int(sys.argv[1])))
assert shared.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
"""
    listen = (Listen(name="web", port=port),)
    other = str(free_port())
    app = python_app(code, str(port), str(tmp_path / "x.sock"), other, share="python", listen=listen)
    member = fleet.start(app)
    assert fleet.gone(member) == 0, member.text()


def test_bind_errors_are_the_kernels(fleet: Fleet, port: int) -> None:
    """What cannot be bound raises what bind() would raise."""
    import socket

    code = """
import errno, socket, sys
for address in (("127.0.0.1", int(sys.argv[1])), ("192.0.2.1", 4000), ("no.such.host.invalid", 4000)):
    try:
        socket.socket().bind(address)
    except socket.gaierror as error:
        print("gaierror")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    with socket.create_server(("127.0.0.1", port)):
        member = fleet.start(python_app(code, str(port), share="python"))
        fleet.gone(member)
    assert member.text().split() == ["EADDRINUSE", "EADDRNOTAVAIL", "gaierror"]


def test_own_sitecustomize_still_runs(fleet: Fleet, port: int, tmp_path: Path) -> None:
    """The image's sitecustomize is not shadowed, and the user's PYTHONPATH still counts."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['CUSTOM'] = 'yes'")
    (tmp_path / "mine.py").write_text("VALUE = 42")
    code = """
import os, sys, sitecustomize, mine
print(os.environ["CUSTOM"], mine.VALUE, sitecustomize.__file__, any("shim" in path for path in sys.path))
"""
    member = fleet.start(python_app(code, share="python", env={"PYTHONPATH": str(tmp_path)}))
    assert fleet.gone(member) == 0, member.text()
    assert member.text().split() == ["yes", "42", str(tmp_path / "sitecustomize.py"), "False"]


def test_grandchildren_of_a_server_see_nothing(fleet: Fleet, port: int) -> None:
    """Once it listens, what the program starts has its PYTHONPATH as the user wrote it, and no shim."""
    code = """
import json, os, socket, subprocess, sys
server = socket.socket(); server.bind(("127.0.0.1", int(sys.argv[1]))); server.listen()
ask = '''
import json, os, socket
print(json.dumps([
    os.environ.get("PYTHONPATH"), "PIDONE_SHARE" in os.environ, hasattr(socket.socket.bind, "__module__"),
]))
'''
print(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout)
"""
    import json

    member = fleet.start(python_app(code, str(port), share="python", env={"PYTHONPATH": "/usr/lib"}))
    assert fleet.gone(member) == 0, member.text()
    assert json.loads(member.text()) == ["/usr/lib", False, False]


def test_through_launchers(fleet: Fleet, port: int) -> None:
    """A shell and a Python launcher in between, as `poetry run`, do not hinder."""
    launcher = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
    argv = ["/bin/sh", "-c", '"$@"; true', "sh", sys.executable, "-c", launcher, BLOCKING, str(port)]
    members = fleet.start_ready(app_of(*argv, share="python"), 2)
    assert len(fleet.get_different(port, 2)) == 2
    for member in members:
        child = int(Path(f"/proc/{member.pid}/task/{member.pid}/children").read_text())
        os.kill(child, signal.SIGKILL)
        fleet.gone(member)


def test_runtime_gone(port: int, tmp_path: Path) -> None:
    """A program whose runtime does not answer binds by itself, at once."""
    from harness import Running

    from pidone.listen.python.share import SHIM

    env = {"PIDONE_SHARE": "@pidone/nobody", "PYTHONPATH": SHIM}
    code = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print('bound')"
    with Running([sys.executable, "-c", code], env=env) as alone:
        assert alone.wait() == 0
        assert alone.out is not None
        assert alone.out.text() == "bound"


def test_shim_is_old_python() -> None:
    """The shim's files are valid in the oldest Python that we promise."""
    import ast

    from pidone.listen.python.share import SHIM

    files = list(Path(SHIM).glob("*.py"))
    assert files
    for file in files:
        ast.parse(file.read_text(), feature_version=(3, 8))


def test_a_connection_that_tls_took_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """wrap_socket() takes the descriptor away from the object that was accepted: it counts as before."""
    import importlib
    import socket

    from pidone.listen.python.share import SHIM

    monkeypatch.syspath_prepend(SHIM)
    sockets = importlib.import_module("pidone_sockets")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        sockets.accepted(accepted)
        with socket.socket(fileno=accepted.detach()) as taken:
            client.sendall(b"request")
            taken.recv(100)
            assert sockets.busy(idle_s=0.0)
        assert not sockets.busy(idle_s=0.0)


def test_a_drain_counts_its_own_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody got any CPU for a while, the clients did not either: they get their turns afterwards."""
    import asyncio
    import importlib
    import itertools

    from pidone.listen.python.share import SHIM

    monkeypatch.syspath_prepend(SHIM)
    drain = importlib.import_module("pidone_asyncio")
    leaps = itertools.count(1)

    class Leaping(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 10.0 * next(leaps)

    looks = itertools.count(1)
    with asyncio.Runner(loop_factory=Leaping) as runner:
        runner.run(drain.until(lambda: next(looks) == 30, 2.0, tls=False))
    assert next(looks) > 30
