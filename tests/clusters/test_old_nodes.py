"""Nodes that are older than what the drain uses: their clusters start, and no request is lost."""

from pathlib import Path

import npm
import pytest
from clusters.load import Load
from clusters.site import node_app, running

OLD = ("8", "10", "12", "16")


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost(tmp_path: Path, port: int, version: str, *, keep_alive: bool) -> None:
    """Clients are told to let go, as by a Node that can close what is idle itself."""
    app = node_app(npm.node(version), port, instances=2)
    with running(tmp_path, app) as site, Load(port, keep_alive=keep_alive) as load:
        load.more(200)
        site.reload()
        load.more(200)
        assert load.finish() == []
        assert site.count("instance.kill") == 0


@pytest.mark.parametrize("version", ["8", "10", "12"])
def test_what_node_does_not_take_keeps_nobody_from_starting(tmp_path: Path, port: int, version: str) -> None:
    """The options by which a worker that hangs tells its stack are left out where they are refused."""
    with running(tmp_path, node_app(npm.node(version), port, instances=1)) as site:
        site.run.expect(event="instance.online")
        told = site.run.find(event="node.no_inspector")
        assert len(told) == (version != "12")
