"""Processes that die or hang: what they had in progress is lost, nothing else."""

import os
import signal
import threading
from pathlib import Path

import pytest
from clusters.load import Load
from clusters.site import connections, get, node_app, paused, python_app, queued, running
from harness import eventually

BALANCES = pytest.mark.parametrize("balance", ["shared", "spread", "source"])
CLIENTS = 16


@pytest.mark.parametrize(("balance", "keep_alive"), [("shared", False), ("spread", True), ("source", False)])
def test_killed_worker(tmp_path: Path, node: str, port: int, balance: str, *, keep_alive: bool) -> None:
    """kill -9 under load fails at most the requests in progress in that process; nobody is refused."""
    app = node_app(node, port, balance=balance)
    with (
        running(tmp_path, app) as site,
        Load(port, keep_alive=keep_alive, clients=CLIENTS) as load,
    ):
        for kill in range(3):
            load.more(200)
            failed = len(load.failures)
            victim = site.pids()[0]
            paused(victim)
            in_progress = connections(port, victim)
            os.kill(victim, signal.SIGKILL)
            site.run.expect(event="instance.online", count=4 + kill)
            load.more(200)
            assert len(load.failures) - failed <= in_progress
        assert [failure for failure in load.finish() if failure.phase == "connect"] == []


@BALANCES
def test_queue_of_a_killed_worker(tmp_path: Path, node: str, port: int, balance: str) -> None:
    """Connections that nobody has accepted yet are served by the successor of the dead process."""
    answers: list[str] = []
    with running(tmp_path, node_app(node, port, balance=balance, instances=1)) as site:
        (hung,) = site.pids()
        paused(hung)
        asking = [threading.Thread(target=lambda: answers.append(get(port))) for _ in range(10)]
        for thread in asking:
            thread.start()
        eventually(lambda: queued(port) == 10, "ten connections in the queue")
        os.kill(hung, signal.SIGKILL)
        for thread in asking:
            thread.join(20)
        # It may have answered before what was said of its start is read.
        successor = site.run.expect(event="instance.start", count=2)["pid"]
        assert answers == [f"{successor} 0"] * 10


def test_queue_of_a_killed_python(tmp_path: Path, port: int) -> None:
    """The same for a Python program that binds by itself."""
    answers: list[str] = []
    app = python_app("flask_app.py", port=port, share="python", instances=1)
    pytest.importorskip("flask")
    with running(tmp_path, app) as site:
        (hung,) = site.pids()
        paused(hung)
        asking = [threading.Thread(target=lambda: answers.append(get(port))) for _ in range(10)]
        for thread in asking:
            thread.start()
        eventually(lambda: queued(port) == 10, "ten connections in the queue")
        os.kill(hung, signal.SIGKILL)
        for thread in asking:
            thread.join(20)
        # It may have answered before what was said of its start is read.
        successor = site.run.expect(event="instance.start", count=2)["pid"]
        assert answers == [f"{successor} 0"] * 10


def test_hanging_worker_shared(tmp_path: Path, node: str, port: int) -> None:
    """With `shared` the others take all new connections while one is stopped."""
    with running(tmp_path, node_app(node, port)) as site:
        hung = site.pids()[1]
        paused(hung)
        try:
            answers = {int(get(port).split()[0]) for _ in range(200)}
        finally:
            os.kill(hung, signal.SIGCONT)
        assert answers <= set(site.pids()) - {hung}


def test_hanging_worker_spread(tmp_path: Path, node: str, port: int) -> None:
    """With `spread` only what was queued before the steering reacted waits for the stopped process."""
    with (
        running(tmp_path, node_app(node, port, balance="spread")) as site,
        Load(port, keep_alive=False, clients=CLIENTS, pause=0.1) as load,
    ):
        load.more(CLIENTS)
        hung = site.pids()[1]
        paused(hung)
        try:
            eventually(lambda: queued(port), "somebody to wait")
            load.more(2 * CLIENTS)
            stuck = queued(port)
            load.more(2 * CLIENTS)
            # What waits for a healthy process waits for a moment only.
            eventually(lambda: queued(port) <= stuck, "nobody to be sent to a slot known to hang")
            assert stuck < CLIENTS
        finally:
            os.kill(hung, signal.SIGCONT)
        assert load.finish() == []


def test_same_client_same_worker(tmp_path: Path, node: str, port: int) -> None:
    """With `source` an address always meets the same process, and its slot again after a crash."""
    addresses = [f"127.0.0.{n}" for n in range(2, 42)]
    with running(tmp_path, node_app(node, port, balance="source")) as site:

        def owners() -> dict[str, int]:
            return {address: int(get(port, source=address).split()[0]) for address in addresses}

        before = owners()
        assert owners() == before
        assert set(before.values()) == set(site.pids())
        victim = site.pids()[0]
        os.kill(victim, signal.SIGKILL)
        site.run.expect(event="instance.online", count=4)
        successor = site.pids()[-1]
        eventually(
            lambda: owners() == {a: successor if pid == victim else pid for a, pid in before.items()},
            "clients of the dead process to be back with its slot",
        )
