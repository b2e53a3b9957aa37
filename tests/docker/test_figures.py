"""What is promised in numbers is measured here and printed; a slow machine fails no test."""

import http.client
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from docker.apps import SLEEPER
from docker.containers import Container, Ecosystem
from docker.measured import Report
from docker.stack import CPUS, Stack

from bench.figures import Figure
from docker import stack as stacks

STARTS = 7
CLIENTS, SECONDS, ANSWER_S = 100, 10, 60
WRK = Path(__file__).with_name("wrk.lua")


@pytest.fixture(scope="module")
def stack(stack_env: dict[str, str], figures: Report) -> Iterator[Stack]:
    """A stack of its own, with the time that it took."""
    begun = time.monotonic()
    with stacks.up("measured", stack_env, forget=True) as stack:
        took = time.monotonic() - begun
        figures(Figure("stack: up to healthy", "s", [took], target="< 30 s on two CPUs", met=took < 30))
        yield stack


def moment(text: str) -> float:
    """Seconds of what the engine writes: RFC 3339 with nanoseconds, or without the last zeros of them."""
    return datetime.fromisoformat(text.partition(" ")[0]).timestamp()


def test_a_container_starts_its_app(runtime: str, ecosystem: Ecosystem, figures: Report) -> None:
    """The time from the start of PID 1 to the first line of the app, by the engine's own clock."""
    text = SLEEPER.replace('"sleep"', '"sh"').replace('["3600"]', '["-c", "echo first; sleep 3600"]')
    took = []
    for _ in range(STARTS):
        with Container(runtime, options=ecosystem(text)) as container:
            container.expect(message="first")
            (line,) = [line for line in container.logs("--timestamps") if '"first"' in line]
            took.append(moment(line) - moment(container.state["StartedAt"]))
    median = sorted(took)[STARTS // 2]
    figures(Figure("container: start to the app's first line", "s", took, target="< 0.4 s", met=median < 0.4))


def test_connections_are_spread(stack: Stack) -> None:
    """Of a hundred that stay, none has ten points more or less than its share."""
    met: Counter[int] = Counter()
    port = stack.port("backend", 8000)
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
            clients.callback(client.close)
            client.request("GET", "/")
            answer = client.getresponse()
            answer.read()
            met[int(answer.headers["x-instance"])] += 1
    assert set(met) == set(range(CPUS))
    assert all(abs(count / CLIENTS - 1 / CPUS) < 0.1 for count in met.values()), met


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(
    ("path", "what"),
    [("/", "plain answers"), ("/rooms/hall/messages", "a query of Postgres each")],
    ids=["plain", "query"],
)
def test_a_hundred_clients(stack: Stack, figures: Report, path: str, what: str) -> None:
    """All instances take part, and nothing fails; who answers how many is up to their processors."""
    url = f"http://127.0.0.1:{stack.port('backend', 8000)}{path}"
    # Its own limit of two seconds counts a slow answer as an error.
    patient = ["--timeout", f"{ANSWER_S}s"]
    command = ["wrk", "-t2", f"-c{CLIENTS}", f"-d{SECONDS}s", *patient, "--latency", "-s", str(WRK), url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said["errors"].values()) == {0}, done.stdout
    assert {int(name) for name in said["instances"]} == set(range(CPUS))
    name = f"load: {CLIENTS} clients, GET {path} ({what})"
    figures(Figure(f"{name}, rate", "1/s", [said["requests"] / said["seconds"]]))
    figures(Figure(f"{name}, p95", "ms", [said["p95_ms"]], target="< 100 ms", met=said["p95_ms"] < 100))
