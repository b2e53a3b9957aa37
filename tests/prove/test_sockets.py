"""What the kernel tells of the sockets of processes, by sock_diag and by its tables in /proc."""

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from harness import spawned

from pidone.cli.trial import leftovers, sockets
from pidone.listen.sockets import diag


@pytest.fixture(params=["sock_diag", "proc"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where it is asked."""

    def refuse(*_: object) -> None:
        raise struct.error

    if request.param == "proc":
        monkeypatch.setattr(diag, "connections", refuse)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_where_a_process_listens_and_whom_it_serves(family: socket.AddressFamily, host: str) -> None:
    """With its address as a person writes it."""
    with socket.socket(family) as listening, socket.socket(family) as client:
        listening.bind((host, 0))
        listening.listen()
        port = listening.getsockname()[1]
        client.connect((host, port))
        accepted, _ = listening.accept()
        with accepted:
            found = [each for each in sockets.of([os.getpid()]) if each.port == port]
    assert sorted(found, key=lambda each: each.listens) == [
        sockets.Tcp(host, port, listens=False),
        sockets.Tcp(host, port, listens=True),
    ]


@pytest.mark.usefixtures("way")
def test_every_address_is_zero() -> None:
    """A process that is gone has none."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        listening.listen()
        port = listening.getsockname()[1]
        [found] = [each for each in sockets.of([os.getpid()]) if each.port == port]
    assert found.host in ("0.0.0.0", "::")
    assert not sockets.of([2**22 + 1])


def test_a_program_of_ours_is_no_stranger() -> None:
    """Only one that does not carry the mark."""
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
    code += "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with spawned(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, leftovers.MARK: "mine"},
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert sockets.stranger([port], "mine") == ""
        assert f"pid {process.pid}" in sockets.stranger([port], "another")
        assert sockets.stranger([], "another") == ""
        process.communicate()


def test_unix_sockets_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that listen, whole where they were bound by a part of it."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as silent:
        listening.bind("app.sock")
        silent.bind(str(tmp_path / "silent.sock"))
        listening.listen()
        assert str(tmp_path / "app.sock") in sockets.unix_paths([os.getpid()])
        assert str(tmp_path / "silent.sock") not in sockets.unix_paths([os.getpid()])
