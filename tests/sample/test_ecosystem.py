"""The ecosystem that `make run` starts, under the real command."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import PYTHON, Running, eventually, free_port, pidone
from sample.service import BACKEND, Api, receive, say, wait_counted


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Api]:
    """Everything online, from an empty folder."""
    port = free_port()
    env = {
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",  # as `make run` does: python3 is ours
        "CHAT_DATA": str(tmp_path),
        "CHAT_DB_PATIENCE": "10",
        "CHAT_LISTEN": f"127.0.0.1:{port}",
    }
    with pidone(str(BACKEND / "ecosystem.toml"), env=env) as run:
        cpus = run.expect(event="runtime.start")["cpus"]
        for app, count in (("api", cpus), ("aggregator", 1), ("worker", 1)):
            run.expect(event="instance.online", app=app, count=count)
        yield Api(run, port)


def processes(run: Running, app: str) -> dict[int, int]:
    """The newest process of each instance."""
    return {record["instance"]: record["pid"] for record in run.find(event="instance.start", app=app)}


def test_it_comes_up_in_order_serves_from_every_instance_and_stops(system: Api) -> None:
    """Migration first, then every instance answers on the port it names; Ctrl-C ends all with 0."""
    run = system.process
    migrated = run.expect(event="instance.exit", app="migrate", code=0)
    starts = [r for r in run.find(event="instance.start") if r["app"] != "migrate"]
    assert all(start["timestamp"] >= migrated["timestamp"] for start in starts)
    assert run.expect(app="api", message=f"listening on http://127.0.0.1:{system.port}")
    eventually(lambda: system.request("/ready").status == 200, "the database to answer within a second")

    with system.join("hall", "listener") as listener, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: system.post("hall", f"k{n}"), range(100)))
        assert {answer.status for answer in answers} == {201}
        assert [receive(listener, "message")["seq"] for _ in range(100)] == list(range(1, 101))
    count = len(processes(run, "api"))
    eventually(lambda: len({*answering(system)}) == count, "an answer of each instance within one burst")
    wait_counted(system, "hall", 100)

    run.signal(signal.SIGINT)
    assert run.wait() == 0
    assert all(record["code"] == 0 for record in run.find(event="instance.exit"))


def test_a_killed_instance_is_replaced_and_nothing_acknowledged_is_lost(system: Api) -> None:
    """The port stays open meanwhile, because the runtime owns it."""
    run = system.process
    first, *others = processes(run, "api").values()
    with system.join("hall", "ann") as ann:
        assert say(ann, "k1") == 1
    os.kill(first, signal.SIGKILL)
    with system.join("hall", "ann", after=0) as ann:
        assert receive(ann, "message")["seq"] == 1
    eventually(lambda: processes(run, "api")[0] != first, "a successor")
    assert [*processes(run, "api").values()][1:] == others


def answering(system: Api) -> list[str]:
    """Who answers a burst of requests."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: system.request("/health").instance, range(64)))
