"""Rolling out a new version under load: nobody notices, or nothing happens."""

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from k8s.live.client import load
from k8s.live.space import READY_S, Figure, Space, until

TIMES = 10
RATE = 200
REQUESTS = int(os.environ.get("REQUESTS", "0"))
"""As long as so many take, for a figure; ten rollouts alone are about 50,000."""

NOWHERE = "CHAT_DATABASE_URL=postgresql+asyncpg://chat@nowhere/chat"


def test_ten_rollouts_lose_no_request(backend: Space, figure: Figure) -> None:
    """`kubectl rollout restart` of three pods, ten times, at 200 requests a second: none fails."""
    backend.scale(3)
    rollouts, began = 0, time.monotonic()
    with load(backend, rate=RATE) as program:
        while rollouts < TIMES or time.monotonic() - began < REQUESTS / RATE:
            rollouts += 1
            before = set(backend.names())
            backend.kubectl("rollout", "restart", "deployment/backend")
            backend.wait_until_rolled_out("deployment/backend")
            assert not before & set(backend.names())
        backend.settle(3)
        report = program.finish()
    figure(f"{rollouts} rollouts of 3 pods: {report}")
    wanted = max(REQUESTS, round(0.9 * RATE * report["seconds"]))
    verdict = "met" if report["sent"] >= wanted else "MISSED"
    figure(f"requests during the rollouts: {report['sent']}, target >= {wanted}: {verdict}")
    assert report["sent"] > 0
    assert report["failed"] == 0, report


@pytest.fixture
def impatient(backend: Space) -> Iterator[Space]:
    """A backend whose rollouts are given up after 12 seconds; what a test breaks is undone."""
    deadline = {"spec": {"progressDeadlineSeconds": 12}}
    backend.kubectl("patch", "deployment/backend", "--patch", json.dumps(deadline))
    yield backend
    backend.kubectl("rollout", "undo", "deployment/backend")
    deadline["spec"]["progressDeadlineSeconds"] = READY_S
    backend.kubectl("patch", "deployment/backend", "--patch", json.dumps(deadline))
    backend.wait_until_rolled_out("deployment/backend")


def available(space: Space) -> int:
    """How many pods of the backend serve."""
    return int(space.get("deployment/backend")["status"].get("availableReplicas", 0))


NO_SUCH_FILE = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["missing.toml"]}]


@pytest.mark.parametrize(
    "breaking",
    [
        ["set", "env", "deployment/backend", NOWHERE],
        ["patch", "deployment/backend", "--type=json", "--patch", json.dumps(NO_SUCH_FILE)],
    ],
    ids=["never ready", "ends at once"],
)
def test_a_broken_version_stops_the_rollout(impatient: Space, breaking: list[str]) -> None:
    """A version that does not get ready takes nobody's place: the old pods stay and answer everything."""
    before = set(impatient.names())
    with load(impatient) as program:
        impatient.kubectl(*breaking)
        status = ["kubectl", "--namespace", impatient.name, "rollout", "status", "deployment/backend"]
        told = subprocess.run(status, capture_output=True, text=True, timeout=READY_S, check=False)
        until(lambda: before < set(impatient.names()), "the pod of the broken version")
        until(lambda: available(impatient) == 2, "both old pods to serve")
        report = program.finish()
    assert told.returncode == 1
    assert "exceeded its progress deadline" in told.stderr
    assert before < set(impatient.names())
    assert report["failed"] == 0, report
