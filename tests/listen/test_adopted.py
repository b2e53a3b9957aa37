"""Sockets that pidone is started with (LISTEN_FDS) and that `listen = ["fd:NAME"]` gives to apps."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import PIDONE, Running, free_port, opened

from pidone.errors import ListenError
from pidone.init.exitcodes import ExitCode
from pidone.listen.sockets.adopted import Passed, read_passed

START = """
import os, sys
names, *argv = sys.argv[1:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names.split(":"))), LISTEN_FDNAMES=names)
os.execv(argv[0], argv)
"""
"""What a service manager does between its fork and its exec: only there is the pid known."""

SERVE = """
import os, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getpid()} {os.environ['LISTEN_FDNAMES']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

server = HTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""


@contextlib.contextmanager
def given(
    tmp_path: Path, apps: Sequence[dict[str, Any]], names: str, *sockets: socket.socket
) -> Iterator[Running]:
    """Pidone with these sockets at 3, 4, ..."""
    file = tmp_path / "ecosystem.json"
    file.write_text(json.dumps({"apps": apps}))

    def at_their_numbers() -> None:
        copies = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in numbers]
        for target, copy in enumerate(copies, 3):
            os.dup2(copy, target)

    numbers = [each.fileno() for each in sockets]
    argv = [sys.executable, "-c", START, names, PIDONE, "--socket", str(tmp_path / "control"), str(file)]
    with Running(argv, preexec_fn=at_their_numbers, pass_fds=range(3, 3 + len(numbers))) as run:
        yield run


def web(**more: Any) -> dict[str, Any]:
    """A server on descriptor 3."""
    command = {"script": sys.executable, "args": ["-c", SERVE], "interpreter": "none"}
    return {"name": "web", **command, "listen": ["fd:http"], "kill_timeout": "3s", **more}


def answer(port: int) -> str:
    """Who answers, and what the socket is called there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
        return str(response.read().decode())


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket as a manager opens it."""
    with socket.create_server(("127.0.0.1", free_port())) as opened:
        yield opened


def test_by_name(tmp_path: Path, listening: socket.socket) -> None:
    """The app gets the socket of that name, at 3, and none that it has not named."""
    port = listening.getsockname()[1]
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        given(tmp_path, [web()], "admin:http", other, listening) as run,
    ):
        run.expect(event="instance.online")
        assert answer(port).split()[1] == "http"
        pid = int(answer(port).split()[0])
        inodes = opened(pid)
        assert f"socket:[{os.fstat(listening.fileno()).st_ino}]" in inodes
        assert f"socket:[{os.fstat(other.fileno()).st_ino}]" not in inodes
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "its giver goes on"


def test_it_stays_over_reload_restart_and_another_file(tmp_path: Path, listening: socket.socket) -> None:
    """Nobody is refused; gone from the file and back in it, it is the same socket."""
    port = listening.getsockname()[1]
    file = tmp_path / "ecosystem.json"
    with given(tmp_path, [web(instances=2)], "http", listening) as run:
        run.expect(event="instance.online", instance=1)
        before = {answer(port).split()[0] for _ in range(20)}
        for command in ("reload", "restart"):
            with Running([PIDONE, command, "--socket", str(tmp_path / "control"), "web"]) as asked:
                assert asked.wait(60) == 0, asked.err and asked.err.text()
            now = {answer(port).split()[0] for _ in range(20)}
            assert not now & before
            before = now
        for count, apps in enumerate(([], [web()]), 1):
            others = {"name": "idle", "script": "/bin/sleep", "args": ["1000"], "interpreter": "none"}
            file.write_text(json.dumps({"apps": [others, *apps]}))
            run.signal(signal.SIGHUP)
            run.expect(event="config.reload", count=count)
        now = {answer(port).split()[0]}
        assert not now & before


def test_a_port_that_the_app_binds_itself(tmp_path: Path, listening: socket.socket) -> None:
    """Python in cluster mode: bind() of that address is the socket that was passed."""
    port = listening.getsockname()[1]
    binds = SERVE.replace("bind_and_activate=False", "bind_and_activate=True").replace(
        'server = HTTPServer(("127.0.0.1", 0)', f'server = HTTPServer(("127.0.0.1", {port})'
    )
    binds = binds.replace("server.socket = socket.socket(fileno=3)\n", "").replace(
        "os.environ['LISTEN_FDNAMES']", "'own'"
    )
    app = web(args=["-c", binds], share="python", instances=2)
    with given(tmp_path, [app], "http", listening) as run:
        run.expect(event="instance.online", instance=1)
        assert len({answer(port) for _ in range(40)}) >= 1
        assert answer(port).endswith(" own")


def test_one_name_for_two_and_a_number(tmp_path: Path, listening: socket.socket) -> None:
    """Several addresses of one unit have one name; what has none is named by its number."""
    tell = "echo fds $LISTEN_FDS $LISTEN_FDNAMES; exec sleep 1000"
    apps = [
        {**web(script="/bin/sh", args=["-c", tell]), "name": "both"},
        {
            **web(script="/bin/sh", args=["-c", tell]),
            "name": "third",
            "listen": [{"fd": "5", "name": "mine"}],
        },
    ]
    with (
        socket.create_server(("127.0.0.1", 0)) as second,
        socket.socket(socket.AF_UNIX) as path,
    ):
        path.bind(str(tmp_path / "app.sock"))
        path.listen()
        with given(tmp_path, apps, "http:http:", listening, second, path) as run:
            run.expect(message="fds 2 http:http")
            run.expect(message="fds 1 mine")
    assert (tmp_path / "app.sock").exists(), "whoever made it removes it"


def refused(run: Running) -> tuple[str, int]:
    """What is said on stderr, and the exit code."""
    code = run.wait()
    assert run.err is not None
    return run.err.text(), code


def test_unknown_names_and_wrong_kinds(tmp_path: Path, listening: socket.socket) -> None:
    """Said with what there is, before anything starts."""
    with given(tmp_path, [web(listen=["fd:wbe"])], "http", listening) as run:
        said, code = refused(run)
        assert said == 'pidone: web: listen = "fd:wbe": no such socket among those passed: http (3)'
        assert code == ExitCode.CONFIG
    pair = socket.socketpair()
    for wrong, why in (
        (pair[0], "descriptor 3 is a connection (Accept=yes): it has to listen"),
        (socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), "AF_INET SOCK_RAW"),
    ):
        with wrong, given(tmp_path, [web()], "http", wrong) as run:
            said, code = refused(run)
            assert why in said
    pair[1].close()


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "LISTEN_FDS is not set"),
        ({"LISTEN_FDS": "1"}, "LISTEN_PID='' is not this process"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "6"}, "has to exec pidone"),
        ({"LISTEN_FDS": "x", "LISTEN_PID": "7"}, "LISTEN_FDS='x' is not a number"),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "7"}, "is not a number from 1"),
        ({"LISTEN_FDS": "99999999999", "LISTEN_PID": "7"}, "is not a number from 1"),
    ],
)
def test_why_there_are_none(environ: dict[str, str], why: str) -> None:
    """Each way a start can have gone wrong is told apart."""
    with pytest.raises(ListenError, match=why):
        read_passed(environ, 7)


def test_names_are_optional() -> None:
    """More sockets than names, as podman has it: those are known by their numbers."""
    environ = {"LISTEN_FDS": "2", "LISTEN_PID": "7", "LISTEN_FDNAMES": "web"}
    assert read_passed(environ, 7) == (Passed(3, "web"), Passed(4, ""))
