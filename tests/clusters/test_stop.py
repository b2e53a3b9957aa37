"""Node workers whose handler closes what they have and leaves the rest to Node end by themselves, with 0."""

import signal
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

import npm
import pytest
from clusters.site import Site, node_app, running

SERVER = """
const server = require('http').createServer((request, response) => response.end(`${process.pid} GENERATION`));
server.listen(+process.env.PORT);
"""
CLOSES = "server.close(() => console.log('CLOSED'));"
HANDLERS = {
    "signal": f"process.on('SIGTERM', () => {CLOSES[:-1]});",
    "once": f"process.once('SIGTERM', () => {CLOSES[:-1]});",
    "with a message listener": f"process.on('message', () => 0); process.on('SIGTERM', () => {CLOSES[:-1]});",
    "with a disconnect listener": f"""
      process.on('disconnect', () => 0);
      process.on('SIGTERM', () => {CLOSES[:-1]});""",
    "flushes and reports": f"""process.on('SIGTERM', async () => {{
      {CLOSES}
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.send({{ flushed: true }});
      console.log('FLUSHED');
    }});""",
}


def script(folder: Path, code: str) -> str:
    """A file with this program."""
    file = folder / "app.cjs"
    file.write_text(code)
    return str(file)


def ends_well(folder: Path, app: dict[str, Any], said: str, *, slots: int = 2) -> None:
    """Reload once, stop: whoever was told to stop says so and ends with 0, unkilled."""
    with running(folder, {**app, "instances": slots, "kill_timeout": 5000}) as site:
        assert site.reload()["replaced"] == slots
        run = site.run
    assert [record["code"] for record in run.find(event="instance.exit")] == [0] * 2 * slots
    assert run.find(event="instance.kill") == []
    assert len(run.find(message=said)) == 2 * slots


@pytest.mark.parametrize("version", npm.EDGES)
def test_closes_its_server(tmp_path: Path, port: int, version: str) -> None:
    """The commonest handler there is."""
    app = node_app(npm.node(version), port, script=script(tmp_path, SERVER + HANDLERS["signal"]))
    ends_well(tmp_path, app, "CLOSED")


@pytest.mark.parametrize("handler", list(HANDLERS)[1:])
def test_other_handlers(tmp_path: Path, node: str, port: int, handler: str) -> None:
    """Nothing more comes over the channel, so listeners for it hold nobody; work in progress does."""
    app = node_app(node, port, script=script(tmp_path, SERVER + HANDLERS[handler]))
    ends_well(tmp_path, app, "FLUSHED" if "FLUSHED" in HANDLERS[handler] else "CLOSED")


def test_stopped_by_message(tmp_path: Path, node: str, port: int) -> None:
    """With `shutdown_with_message` it is the message that lets go, and no other."""
    code = SERVER + f"process.on('message', (text) => {{ if (text === 'shutdown') {CLOSES} }});"
    app = node_app(node, port, script=script(tmp_path, code), shutdown_with_message=True)
    ends_well(tmp_path, app, "CLOSED")


def test_without_a_server(tmp_path: Path, node: str, port: int) -> None:
    """A worker of a queue, which never listened, ends when it has nothing left to do."""
    code = """
      const timer = setInterval(() => {}, 1000);
      process.send('ready');
      process.on('SIGTERM', () => { clearInterval(timer); console.log('CLOSED'); });
    """
    app = node_app(node, port, script=script(tmp_path, code), wait_ready=True)
    ends_well(tmp_path, app, "CLOSED")


def test_told_before_it_has_drained(tmp_path: Path, node: str, port: int) -> None:
    """A drain whose time is over ends in the signal, and the app then ends by itself just the same."""
    code = """
      const server = require('http').createServer(() => {}).listen(+process.env.PORT);
      process.on('SIGTERM', () => { server.close(); server.closeAllConnections(); console.log('CLOSED'); });
    """
    app = node_app(node, port, script=script(tmp_path, code), drain_timeout=300, kill_timeout=5000)
    with socket.socket() as client, running(tmp_path, {**app, "instances": 1}) as site:
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: never answered\r\n\r\n")
    assert site.run.find(event="instance.kill") == []
    assert site.run.find(message="CLOSED")


def test_a_download_may_take_as_long_as_the_drain(tmp_path: Path, node: str, port: int) -> None:
    """Longer than `kill_timeout`, which begins with the signal: the time of the whole stop counts both."""
    code = f"""
      const fs = require('fs');
      const server = require('http').createServer((request, response) => {{
        response.write('BEGUN');
        const look = () => fs.existsSync('{tmp_path}/go') ? response.end('DONE') : setTimeout(look, 50);
        look();
      }}).listen(+process.env.PORT);
      process.on('SIGTERM', () => {{ console.log('TERM'); {CLOSES} }});
    """
    app = node_app(node, port, script=script(tmp_path, code), drain_timeout=60_000, kill_timeout=3000)
    site = Site(tmp_path, {**app, "instances": 1})
    with site.run, socket.socket() as client:
        site.start()
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: slow\r\nConnection: close\r\n\r\n")
        with client.makefile("rb") as answer:
            read_until(answer, b"BEGUN")
            site.run.signal(signal.SIGTERM)
            site.run.expect(event="runtime.stop")
            time.sleep(4.5)  # all that it has where the drain does not count: kill_timeout and a second
            (tmp_path / "go").touch()
            read_until(answer, b"DONE")
        assert site.run.wait() == 0
    assert site.run.find(event="instance.kill") == []
    assert site.run.find(message="TERM")


def read_until(answer: BinaryIO, words: bytes) -> None:
    """Raises AssertionError at the end of the answer."""
    read = b""
    while words not in read:
        line = answer.readline()
        assert line, f"cut after {read!r}"
        read += line
