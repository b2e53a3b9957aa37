"""Replacements that listen elsewhere than those before them, or only for their helpers, are not ready."""

import socket
from pathlib import Path

import pytest
from clusters.site import get, node_app, python_app, running
from harness import free_port

EVADES = """
const net = require('net'), http = require('http');
const wanted = +process.env.PORT;
const server = http.createServer((request, response) => response.end(`${process.pid} up`));
const probe = LOOK;
probe.on('connect', () => { probe.destroy(); server.listen(NEXT); });
probe.on('error', () => server.listen(wanted));
"""
"""A port on which somebody answers is taken for busy, and another one is chosen."""
UNSEEN = "net.connect(wanted, '127.0.0.2')"
LOOKS = (
    "net.connect(wanted, '127.0.0.1')",
    "net.connect({ port: `${wanted}`, host: 'localhost' })",
    "new net.Socket().connect(wanted)",
    "http.get({ port: wanted, agent: false }).on('response', function () { this.emit('connect'); })",
)


def app_file(folder: Path, code: str) -> str:
    """A file with this program."""
    file = folder / "app.cjs"
    file.write_text(code)
    return str(file)


@pytest.mark.parametrize("other", ["0", "wanted + 1"])
def test_a_reload_to_another_port_fails(tmp_path: Path, node: str, other: str) -> None:
    """It is called off, the old process stays, and the port answers."""
    port = free_port(row=2)
    script = app_file(tmp_path, EVADES.replace("LOOK", UNSEEN).replace("NEXT", other))
    app = node_app(node, port, script=script, instances=1, listen_timeout=2000, reload_timeout=2000)
    with running(tmp_path, app) as site:
        before = get(port)
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="app.reload_failed")
        assert "not on tcp:*:" in site.run.expect(event="listen.elsewhere")["message"]
        assert get(port) == before


@pytest.mark.parametrize("look", LOOKS)
def test_a_program_that_looks_whether_its_port_is_free(
    tmp_path: Path, node: str, port: int, look: str
) -> None:
    """It finds it as free as it would be alone (`serve`); what it asks afterwards is answered."""
    code = EVADES.replace("LOOK", look).replace("NEXT", "0")
    code += "server.on('listening', () => net.connect(wanted, () => console.log('answered')).unref());"
    with running(tmp_path, node_app(node, port, script=app_file(tmp_path, code), instances=2)) as site:
        assert site.reload()["replaced"] == 2
        assert get(port)
        assert site.count("listen.elsewhere") == 0
        site.run.expect(message="answered", count=4)


LOOKS_OF_PYTHON = (
    "socket.socket().connect_ex(('localhost', PORT)) == 0",
    "connects(lambda: socket.create_connection(('127.0.0.1', PORT), 60))",
    "connects(http.client.HTTPConnection('localhost', PORT, timeout=60).connect)",
)
PYTHON = """
import http.client, os, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
PORT = int(os.environ["PORT"])
def connects(how):
    try:
        how()
    except OSError:
        return False
    return True
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
if LOOK:
    sys.exit("busy")
server = HTTPServer(("127.0.0.1", PORT), Answer)
print("answered" if LOOK else "silent", flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize("look", LOOKS_OF_PYTHON, ids=["connect_ex", "socket", "http"])
def test_a_python_program_that_looks_whether_its_port_is_free(tmp_path: Path, port: int, look: str) -> None:
    """The same for Robyn and its like; another service is there for it as ever."""
    app = python_app("-c", PYTHON.replace("LOOK", look), port=port, exec_mode="cluster")
    with running(tmp_path, app) as site:
        assert site.reload()["replaced"] == 2
        assert int(get(port)) in site.pids()
        site.run.expect(message="answered", count=4)
        assert not site.run.find(message="busy")


MEANWHILE = """
import os, pidone_free, socket, time
own = {name: getattr(pidone_free, f"_own_{name}") for name in ("connect", "connect_ex")}
def later(how):
    def instead(sock, address):
        open("asked", "w").close()
        while own["connect_ex"](probe := socket.socket(), address):
            probe.close()
            time.sleep(0.02)
        probe.close()
        return how(sock, address)
    return instead
if os.environ["NODE_APP_INSTANCE"] == "1":
    for name, how in own.items():
        setattr(pidone_free, f"_own_{name}", later(how))
while os.environ["NODE_APP_INSTANCE"] == "0" and not os.path.exists("asked"):
    time.sleep(0.02)
"""
"""The first one listens between the question of the second and its connection."""


@pytest.mark.parametrize("look", LOOKS_OF_PYTHON[:2], ids=["connect_ex", "socket"])
def test_who_begins_to_listen_while_another_one_looks(tmp_path: Path, port: int, look: str) -> None:
    """At the first start nobody has the port when all of them ask."""
    code = MEANWHILE + PYTHON.replace("LOOK", look)
    app = python_app("-c", code, port=port, exec_mode="cluster", cwd=str(tmp_path))
    with running(tmp_path, app) as site:
        site.run.expect(message="answered", count=2)
        assert not site.run.find(message="busy")


@pytest.mark.parametrize(
    "words", [["--redis", "127.0.0.1:{}"], ["--redis-port={}"], ["http://localhost:{}/"]]
)
def test_a_port_of_another_service_is_no_port_of_its_own(
    tmp_path: Path, node: str, port: int, words: list[str]
) -> None:
    """Many connect to a database before they listen; that their arguments name it does not make it theirs."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        there = service.getsockname()[1]
        code = f"""
require('net').connect({there}, '127.0.0.1').on('connect', () => {{
  require('http').createServer((request, response) => response.end('up')).listen(+process.env.PORT);
}});
"""
        args = [word.format(there) for word in words]
        app = node_app(node, port, script=app_file(tmp_path, code), instances=1, args=args)
        with running(tmp_path, app):
            assert get(port) == "up"


def test_a_port_that_the_file_moves(tmp_path: Path, node: str, port: int) -> None:
    """An ecosystem that names another port has it."""
    second = free_port()
    with running(tmp_path, node_app(node, port, instances=2)) as site:
        assert site.reload(env={"PORT": str(second)})["replaced"] == 2
        assert get(second)
        assert site.count("listen.elsewhere") == 0


def test_ports_of_the_instances_own(tmp_path: Path, node: str) -> None:
    """A program that adds its number to the port may go on to do so."""
    port = free_port(row=2)
    code = """
      require('http').createServer((request, response) => response.end('up'))
        .listen(+process.env.PORT + +process.env.NODE_APP_INSTANCE);
    """
    app = node_app(node, port, script=app_file(tmp_path, code), instances=2, listen_timeout=60_000)
    with running(tmp_path, app) as site:
        assert site.reload()["replaced"] == 2
        assert get(port) == get(port + 1) == "up"


def test_a_private_pipe_is_no_readiness(tmp_path: Path, node: str, port: int) -> None:
    """What a launcher listens on for its own helpers says nothing about the app (tsx)."""
    code = f"""
      require('net').createServer().listen(`{tmp_path}/${{process.pid}}.pipe`, () => setTimeout(() => {{
        require('http').createServer((request, response) => response.end('up')).listen(+process.env.PORT);
      }}, 500));
    """
    app = node_app(node, port, script=app_file(tmp_path, code), instances=1)
    with running(tmp_path, app) as site:
        assert site.run.find(event="instance.online")[0]["after_s"] >= 0.5
        assert get(port) == "up"
