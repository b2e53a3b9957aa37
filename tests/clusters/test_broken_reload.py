"""Reloads that go wrong, or are overtaken by something more important."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from clusters.load import Load
from clusters.site import UNHURRIED, Site, get, listening, node_app, running
from harness import eventually, free_port


@pytest.mark.parametrize(
    ("balance", "how"),
    [
        ("shared", "crash"),
        ("source", "crash"),
        ("spread", "silent"),
    ],
)
def test_broken_code_takes_nothing_down(tmp_path: Path, node: str, port: int, balance: str, how: str) -> None:
    """New code that crashes or never gets ready is called off with an error; the old processes serve on."""
    app = node_app(node, port, balance=balance, script="breakable.cjs")
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        old = site.pids()
        load.more(100)
        limit: dict[str, Any] = {"listen_timeout": 700, "reload_timeout": 700} if how == "silent" else {}
        site.change(**limit, env={"BREAK": how, "GENERATION": "1"})
        failed = site.run.expect(event="app.reload_failed")
        assert failed["replaced"] == 0
        load.more(100)
        assert load.finish() == []
        assert {int(body.split()[0]) for body in load.bodies} <= set(old)
        eventually(lambda: site.pids() == old, "the newcomer to be gone")
        # Once it is repaired, the next reload goes through.
        site.reload(**UNHURRIED, env={"BREAK": ""})
        assert not set(site.pids()) & set(old)


@pytest.mark.parametrize(("old", "new"), [("shared", "source"), ("spread", "shared"), ("source", "spread")])
def test_broken_code_with_another_balance(tmp_path: Path, node: str, port: int, old: str, new: str) -> None:
    """The balance of the old processes counts again: no socket is left open that nobody accepts from."""
    app = node_app(node, port, balance=old, script="breakable.cjs")
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        pids, sockets = site.pids(), listening(port)
        # It counts as ready for as long as it takes to die of its error, which nothing bounds.
        site.change(balance=new, settle_time="1h", env={"BREAK": "late"})
        site.run.expect(event="app.reload_failed")
        eventually(lambda: listening(port) == sockets, f"{sockets} listening sockets")
        load.more(100)
        online = site.count("instance.online")
        os.kill(pids[0], signal.SIGKILL)
        site.run.expect(event="instance.online", count=online + 1)
        load.more(100)
        assert [failure for failure in load.finish() if failure.phase == "connect"] == []
        eventually(lambda: listening(port) == sockets, f"{sockets} listening sockets")
        site.reload(**UNHURRIED, env={"BREAK": ""})


def test_broken_code_with_another_port(tmp_path: Path, node: str, port: int) -> None:
    """The new port is closed again: nobody would ever answer there."""
    other = free_port()
    app = node_app(node, port, script="breakable.cjs", listen=[port])
    with running(tmp_path, app) as site:
        site.change(listen=[other], env={"BREAK": "crash"})
        site.run.expect(event="app.reload_failed")
        eventually(lambda: listening(other) == 0, "the new port to be closed")
        get(port)


def test_scaling_during_a_reload(tmp_path: Path, node: str, port: int) -> None:
    """Who comes while the others are replaced ends up as new as they are, and nothing is lost."""
    with running(tmp_path, node_app(node, port, instances=2)) as site, Load(port, keep_alive=True) as load:
        load.more(100)
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="app.reload")
        site.change(instances=4)
        site.run.expect(event="app.reloaded")
        eventually(lambda: {get(port).split()[1] for _ in range(20)} == {"1"}, "the new generation only")
        eventually(lambda: len(site.pids()) == 4, "four processes")
        load.more(100)
        assert load.finish() == []


def test_deletion_during_a_reload(tmp_path: Path, node: str, port: int) -> None:
    """A file that drops the app while it is being replaced ends old and new, and closes the port."""
    other = node_app(node, 0, name="other", instances=1)
    with running(tmp_path, node_app(node, port), other) as site:
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="instance.start", app="web", count=4)
        del site.apps["web"]
        site.change("other")
        eventually(lambda: site.pids("web") == [], "everything of it to be gone")
        eventually(lambda: listening(port) == 0, "the port to be closed")
        assert len(site.pids("other")) == 1


def test_stop_during_a_reload(tmp_path: Path, node: str, port: int) -> None:
    """A stop wins over the reload in flight: everything ends, also the newcomer, and in order."""
    app = node_app(node, port, script="breakable.cjs")
    site = Site(tmp_path, app)
    with site.run:
        site.start()
        site.change(env={"BREAK": "silent"})
        site.run.expect(event="instance.start", count=4)
        assert site.stop() == 0
        assert site.pids() == []
        assert site.count("instance.kill") == 0


def test_a_newer_reload_waits_for_its_turn(tmp_path: Path, node: str, port: int) -> None:
    """Changes that arrive during a reload are applied after it; the last one is what serves in the end."""
    with running(tmp_path, node_app(node, port)) as site, Load(port, keep_alive=True) as load:
        load.more(100)
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="app.reload")
        for generation in ("2", "3"):
            site.change(env={"GENERATION": generation})
        eventually(lambda: get(port).split()[1] == "3", "the newest generation")
        site.run.expect(event="app.reloaded", count=2)
        eventually(lambda: {get(port).split()[1] for _ in range(10)} == {"3"}, "nobody else")
        assert load.finish() == []


def test_nonsense_file_changes_nothing(tmp_path: Path, node: str, port: int) -> None:
    """A file that cannot be read, or asks for a port that is taken, is refused as a whole."""
    with running(tmp_path, node_app(node, port)) as site:
        old = site.pids()
        (tmp_path / "ecosystem.json").write_text("{")
        site.run.signal(signal.SIGHUP)
        site.run.expect(event="config.rejected")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            site.change(listen=[f"127.0.0.1:{number}"])
            rejected = site.run.expect(event="config.rejected", count=2)
        assert f"{number}: already in use" in rejected["message"]
        assert site.pids() == old
        assert int(get(port).split()[0]) in old
