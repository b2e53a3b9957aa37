"""Sockets that a program makes for its helpers, at a path of its own each time (multiprocessing, tsx)."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from clusters.site import Site, get, listening, node_app, python_app, running
from harness import DEADLINE_S, eventually

_SERVER = """
import http.server, os, shutil, signal, socket, sys, tempfile
folder = tempfile.mkdtemp(dir=os.environ["FOLDER"])
helper = socket.socket(socket.AF_UNIX)
helper.bind(folder + "/listener")
helper.listen()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
    def log_message(self, *args): pass
def end(*args):
    shutil.rmtree(folder)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def _app(folder: Path, port: int, share: str) -> dict[str, Any]:
    env = {"FOLDER": str(folder), "PORT": str(port)}
    return python_app("-c", _SERVER, port=port, share=share, instances=1, env=env, ready="listen")


def _listeners(folder: Path) -> int:
    """How many sockets listen at paths in there: flag 0x10000 of /proc/net/unix."""
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    return sum(fields[3] == "00010000" and f"{folder}/" in fields[-1] for fields in lines)


def _is_well(site: Site, port: int, folder: Path) -> None:
    eventually(lambda: _listeners(folder) == 1, "the end of the others' sockets")
    assert int(get(port)) in site.pids()
    assert site.count("listen.failed") == 0


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_they_end_with_those_that_have_made_them(tmp_path: Path, port: int, share: str) -> None:
    """The folder that goes with them is missed by nobody."""
    with running(tmp_path, _app(tmp_path, port, share)) as site:
        for _ in range(3):
            site.reload()
        _is_well(site, port, tmp_path)


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_of_those_that_were_killed(tmp_path: Path, port: int, share: str) -> None:
    """Their files stay, and nobody will ask for them again."""
    with running(tmp_path, _app(tmp_path, port, share)) as site:
        for count in range(2, 5):
            (pid,) = site.pids()
            os.kill(pid, signal.SIGKILL)
            site.run.expect(event="instance.online", count=count)
        _is_well(site, port, tmp_path)


@pytest.mark.parametrize("share", ["python", "kernel"])
def test_of_those_that_never_get_ready(tmp_path: Path, port: int, share: str) -> None:
    """There are as many as one app may have ports, and then some; the next one works."""
    marker = tmp_path / "works"
    app = _app(tmp_path, port, share)
    binds = "for i in range(90):\n    s = socket.socket(1); s.bind(f'{folder}/{i}'); s.listen()\n"
    fails = f"{binds}if not os.path.exists({str(marker)!r}): os._exit(1)\n"
    app["args"][1] = _SERVER.replace("class Answer", f"{fails}class Answer")
    app |= {"max_restarts": 100, "max_restart_delay": "50ms"}
    site = Site(tmp_path, app)
    with site.run:
        site.run.expect(event="instance.exit", count=4, timeout=4 * DEADLINE_S)
        marker.touch()
        # Those that fail may have been online before: they listen at their helpers' paths for that long.
        eventually(lambda: listening(port), "a process that serves", timeout=2 * DEADLINE_S)
        assert int(get(port)) in site.pids()
        assert site.stop() == 0


_LOOKS = """
const http = require('http'), net = require('net'), port = Number(process.env.PORT)
const isFree = (host) => new Promise((then) => {
  const server = net.createServer()
  server.once('error', () => then(false)).listen(port, host, () => server.close(() => then(true)))
})
const answer = (_, response) => response.end(String(process.pid))
Promise.all([isFree('0.0.0.0')]).then(async ([first]) => {
  if (!first || !await isFree('::')) { console.log('in use'); process.exit(1) }
  http.createServer(answer).listen(port, '0.0.0.0')
})
"""


def test_a_tool_that_looks_by_each_address_whether_its_port_is_free(
    tmp_path: Path, node: str, port: int
) -> None:
    """What it has closed is ours, and must not be in its own way (Vite)."""
    script = tmp_path / "looks.cjs"
    script.write_text(_LOOKS)
    with running(tmp_path, node_app(node, port, script=str(script), instances=2)) as site:
        assert int(get(port)) in site.pids()
        site.reload()
        assert int(get(port)) in site.pids()
        assert site.count("listen.failed") == 0
