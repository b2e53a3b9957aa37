"""Tools from packages that start the Node app as a process of their own, outside of the cluster."""

from pathlib import Path
from typing import Any

import pytest
from clusters.load import Load
from clusters.site import get, node_app, running
from harness import descendants

LAUNCHER = """#!/usr/bin/env node
const child = require('child_process').spawn(process.execPath, process.argv.slice(2), { stdio: 'inherit' });
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(signal ? 1 : code));
"""
APP = """
const server = require('http').createServer((request, response) => response.end(`${process.pid} up`));
server.listen(+process.env.PORT);
process.on('SIGTERM', () => server.close());
"""
SLOW = f"const until = Date.now() + 2500; while (Date.now() < until); {APP}"
"""Longer at work than a process that serves nothing would be waited for."""
BESIDE = """
const cluster = require('cluster'), { fork } = require('child_process');
if (process.argv[2]) require('http').createServer((_, response) => response.end('beside')).listen(0);
else { fork(__filename, ['beside']);
  require('http').createServer((_, response) => response.end(`${process.pid} ${cluster.isWorker}`))
    .listen(+process.env.PORT); }
"""


def tool(folder: Path, text: str) -> str:
    """A command of a package, as npm installs it."""
    script = folder / "node_modules" / "starter" / "cli.js"
    script.parent.mkdir(parents=True)
    script.write_text(text)
    script.chmod(0o755)
    command = folder / "node_modules" / ".bin" / "starter"
    command.parent.mkdir()
    command.symlink_to("../starter/cli.js")
    return str(command)


def launched(folder: Path, node: str, port: int, app: str = APP) -> dict[str, Any]:
    """Two instances of the app behind the launcher."""
    (folder / "app.cjs").write_text(app)
    command = tool(folder, LAUNCHER)
    return node_app(node, port, script=command, args=["app.cjs"], cwd=str(folder), instances=2)


def test_what_it_starts_shares(tmp_path: Path, node: str, port: int) -> None:
    """Ready when the app listens; all answer, and are replaced without a refused connection."""
    with running(tmp_path, launched(tmp_path, node, port)) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}
        with Load(port, keep_alive=False) as load:
            load.more(100)
            assert site.reload()["replaced"] == 2
            load.more(100)
        assert [failure for failure in load.finish() if failure.phase == "connect"] == []
        servers = {pid for main in site.pids() for pid in descendants(main)}
        assert int(get(port).split()[0]) in servers
        assert site.count("instance.not_ready") == 0


def test_both_answer(tmp_path: Path, node: str, port: int) -> None:
    """No second one that finds the port taken."""
    with running(tmp_path, {**launched(tmp_path, node, port), "balance": "spread"}) as site:
        with Load(port, keep_alive=False) as load:
            load.more(100)
        servers = {pid for main in site.pids() for pid in descendants(main)}
        assert {int(body.split()[0]) for body in load.bodies} == servers
        assert len(servers) == len(site.pids()) == site.count("instance.start")


def test_an_app_that_loads_for_long(tmp_path: Path, node: str, port: int) -> None:
    """That the launcher loads no server says nothing of what it has started."""
    with running(tmp_path, launched(tmp_path, node, port, SLOW)) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}


@pytest.mark.parametrize("share", [None, "none"])
def test_a_tool_that_serves_by_itself(tmp_path: Path, node: str, port: int, share: str | None) -> None:
    """It is a cluster worker as ever, and a port of the kernel's choice is its child's own."""
    command = tool(tmp_path, BESIDE)
    keys = {} if share is None else {"share": share}
    app = node_app(node, port, script=command, instances=2, **keys)
    with running(tmp_path, app) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}
        pid, is_worker = get(port).split()
        assert int(pid) in site.pids()
        assert is_worker == "true"
