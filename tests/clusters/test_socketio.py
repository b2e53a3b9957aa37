"""socket.io over several workers: `balance = "source"` is the sticky session, without a proxy."""

import json
import os
import subprocess
from pathlib import Path

import npm
import pytest
from clusters.site import APPS, node_app, running


@pytest.fixture(scope="session")
def modules() -> str:
    """A node_modules folder with socket.io and its client."""
    return str(npm.modules("socketio", "socket.io@4", "socket.io-client@4"))


def test_long_polling(tmp_path: Path, node: str, port: int, modules: str) -> None:
    """Every client's polls meet the same worker, and the clients are spread over the workers."""
    env = {"NODE_PATH": modules}
    app = node_app(node, port, script="socketio_server.cjs", balance="source", instances=4, env=env)
    with running(tmp_path, app) as site:
        done = subprocess.run(
            [node, str(APPS / "socketio_client.cjs")],
            env={**os.environ, **env, "PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        owners = dict(json.loads(done.stdout))
        assert len(owners) == 16
        assert all(len(pids) == 1 for pids in owners.values())
        assert len({pids[0] for pids in owners.values()}) > 1
        assert {pids[0] for pids in owners.values()} <= set(site.pids())
