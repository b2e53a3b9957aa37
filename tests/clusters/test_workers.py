"""Node workers of a queue, which never listen, are told apart from servers that listen late."""

from pathlib import Path

from clusters.site import node_app, python_app, running

WORKER = """
require('net').connect(+process.env.PORT, '127.0.0.1').on('error', () => {});
setInterval(() => {}, 1000);
process.on('SIGTERM', () => process.exit(0));
"""
LATE = """
const http = require('http');
const server = http.createServer((request, response) => response.end('up'));
setTimeout(() => server.listen(+process.env.PORT), 2000);
"""
LOADS = """
import { execFile } from 'node:child_process';
const compute = 'const end = Date.now() + 2500; while (Date.now() < end);';
await new Promise((resolve) => execFile(process.execPath, ['-e', compute], resolve));
const { createServer } = await import('node:http');
createServer((request, response) => response.end('up')).listen(+process.env.PORT);
"""
BUSY = """
setInterval(() => { const end = Date.now() + 30; while (Date.now() < end); }, 100);
process.on('SIGTERM', () => process.exit(0));
"""


def script(folder: Path, code: str, suffix: str = ".cjs") -> str:
    """A file with this program."""
    file = folder / f"app{suffix}"
    file.write_text(code)
    return str(file)


def test_a_worker_without_a_port(tmp_path: Path, node: str, port: int) -> None:
    """Nobody waits for it to listen, and a reload replaces it like any other."""
    app = node_app(node, port, script=script(tmp_path, WORKER), instances=2)
    with running(tmp_path, app) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"no server"}
        assert site.reload()["replaced"] == 2
        assert site.count("instance.not_ready") == 0


def test_a_server_that_listens_late(tmp_path: Path, node: str, port: int) -> None:
    """One that waits for its database is not ready before it listens."""
    app = node_app(node, port, script=script(tmp_path, LATE), instances=1)
    with running(tmp_path, app) as site:
        (online,) = site.run.find(event="instance.online")
        assert (online["by"], online["after_s"] >= 2) == ("listening", True)


def test_a_server_that_is_still_being_loaded(tmp_path: Path, node: str, port: int) -> None:
    """Its loop turns while others work for it (a compiler, here a child): it is none that serves nothing."""
    app = node_app(node, port, script=script(tmp_path, LOADS, ".mjs"), instances=1)
    with running(tmp_path, app) as site:
        assert site.run.expect(event="instance.online")["by"] == "listening"


def test_a_worker_that_computes_from_the_start(tmp_path: Path, node: str, port: int) -> None:
    """It is never at rest, and yet nobody waits for ever."""
    app = node_app(node, port, script=script(tmp_path, BUSY), instances=1)
    with running(tmp_path, app) as site:
        assert site.run.expect(event="instance.online")["by"] == "no server"
        assert site.count("instance.not_ready") == 0


def test_a_known_worker_of_python(tmp_path: Path, port: int) -> None:
    """Nobody waits for a worker of Celery and its like to listen, and nobody is warned."""
    file = tmp_path / "dramatiq"
    file.write_text("import time\nprint('works', flush=True)\ntime.sleep(1000)\n")
    app = python_app(
        str(file), "app", port=port, exec_mode="cluster", ready_delay="300ms", listen_timeout="1h"
    )
    with running(tmp_path, app) as site:
        assert site.reload()["replaced"] == 2
        assert site.count("instance.not_ready") == 0
