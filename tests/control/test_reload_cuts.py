"""Connections that end with the processes that have them: `reload` says how many."""

import socket
from contextlib import ExitStack
from pathlib import Path

from control.operated import operated
from harness import DEADLINE_S, PYTHON, free_port

KEEPER = """
import os, signal, socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen()
clients = []
def leave(*_):
    for client in clients:
        client.close()
    time.sleep(2)  # so that it is seen without them, on a busy machine too
    os._exit(0)
if "drains" in sys.argv:
    signal.signal(signal.SIGTERM, leave)
while True:
    client, _ = server.accept()
    client.sendall(b"hello")
    clients.append(client)
"""
APP = """
[[apps]]
name = "web"
script = "{python}"
args = ["-I", "-S", "-c", '''{code}''', {more}]
exec_mode = "cluster"
env = {{ PORT = "{port}" }}
settle_time = 0
"""


def connected(port: int, stack: ExitStack) -> socket.socket:
    """A client that has been accepted."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
    assert client.recv(10) == b"hello"
    return client


def test_a_reload_tells_how_many_it_has_cut(tmp_path: Path) -> None:
    """In what the command says, in the records, and in the answer; who hangs up before is not counted."""
    port = free_port()
    text = APP.format(python=PYTHON, code=KEEPER, port=port, more="")
    with operated(tmp_path, text) as it, ExitStack() as stack:
        clients = [connected(port, stack) for _ in range(4)]
        clients.pop().close()
        done = it.command("reload", "web")
        assert done.returncode == 0
        said = "pidone: web: 3 connections were open when the old processes ended, and cut with them\n"
        assert done.stderr == said
        assert it.run.expect(event="instance.exit")["cut"] == 3
        assert it.run.expect(event="app.reloaded")["cut"] == 3
        assert it.app("web")["reload"]["cut"] == 3
        assert all(client.recv(10) == b"" for client in clients)


def test_who_lets_go_of_them_by_itself_cuts_none(tmp_path: Path) -> None:
    """Those that it closes before it ends are its own affair."""
    port = free_port()
    text = APP.format(python=PYTHON, code=KEEPER, port=port, more='"drains"')
    with operated(tmp_path, text) as it, ExitStack() as stack:
        connected(port, stack)
        assert not it.command("reload", "web").stderr
        assert it.run.expect(event="app.reloaded")["cut"] == 0
