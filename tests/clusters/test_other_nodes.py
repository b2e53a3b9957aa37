"""Nodes that take less than ours asks of them: their clusters start all the same, and no request is lost."""

from pathlib import Path

import npm
import pytest
from clusters.load import Load
from clusters.site import APPS, node_app, running
from harness import pidone
from writing import ecosystem

OLD = ("8", "10", "12", "16")


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost(tmp_path: Path, port: int, version: str, *, keep_alive: bool) -> None:
    """Clients are told to let go, as by a Node that can close what is idle itself."""
    app = node_app(npm.node(version), port, instances=2)
    with running(tmp_path, app) as site, Load(port, keep_alive=keep_alive) as load:
        load.more(100)
        site.reload()
        load.more(100)
        assert load.finish() == []
        assert site.count("instance.kill") == 0


@pytest.mark.parametrize("version", ["8", "10", "12"])
def test_what_node_does_not_take_keeps_nobody_from_starting(tmp_path: Path, port: int, version: str) -> None:
    """The options by which a worker that hangs tells its stack are left out where they are refused."""
    with running(tmp_path, node_app(npm.node(version), port, instances=1)) as site:
        site.run.expect(event="instance.online")
        told = site.run.find(event="node.no_inspector")
        assert len(told) == (version != "12")


@pytest.mark.parametrize(("version", "option"), [("20", "--experimental-permission"), ("24", "--permission")])
@pytest.mark.parametrize("place", ["node_args", "NODE_OPTIONS"])
def test_the_permission_model(tmp_path: Path, port: int, version: str, option: str, place: str) -> None:
    """What is added to the app may be read; nothing else is allowed in its place."""
    words = f"{option} --allow-fs-read={APPS}/"
    keys = {"node_args": words} if place == "node_args" else {"env": {"NODE_OPTIONS": words}}
    with running(tmp_path, node_app(npm.node(version), port, instances=2, **keys)) as site:
        with Load(port, keep_alive=True) as load:
            load.more(50)
            site.reload()
            load.more(50)
            assert load.finish() == []
        assert site.count("instance.errored") == 0


def test_an_option_of_the_user_that_node_refuses_is_not_ours(tmp_path: Path, port: int) -> None:
    """It ends with the same code, with and without what is added."""
    app = node_app(npm.node("24"), port, instances=1, node_args="--no-such-option", max_restarts=4)
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="instance.errored")
        assert len(run.find(event="instance.exit", code=9)) >= 4
        assert run.find(event="node.no_inspector") == []
