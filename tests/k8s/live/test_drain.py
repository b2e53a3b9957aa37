"""A node that is drained: the budget holds the drain back until others serve."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from k8s.live.client import load
from k8s.live.space import READY_S, Figure, Space, is_ready, kubectl, until

pytestmark = pytest.mark.skipif(os.environ.get("CLUSTER") != "ours", reason="not somebody's own node")


@pytest.fixture
def node(backend: Space) -> Iterator[str]:
    """The node, which may be used again in the end."""
    (name,) = kubectl("get", "nodes", "--output", "jsonpath={.items[*].metadata.name}").split()
    yield name
    kubectl("uncordon", name)


def ready(space: Space) -> list[str]:
    """The names of the pods that serve."""
    return [pod["metadata"]["name"] for pod in space.pods() if is_ready(pod)]


def test_a_drain_waits_for_those_who_take_over(backend: Space, node: str, figure: Figure) -> None:
    """Under load, one pod goes; the next only once there is room for its replacement: no request fails."""
    before = set(backend.names())
    drain = [
        "kubectl",
        "drain",
        node,
        "--pod-selector=app.kubernetes.io/name=backend",
        "--delete-emptydir-data",
        f"--timeout={READY_S}s",
    ]
    with (
        load(backend) as program,
        subprocess.Popen(drain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as draining,
    ):
        assert draining.stdout is not None
        said = ""
        while "disruption budget" not in said:  # one is held back
            said = draining.stdout.readline()
            assert said, f"the drain has ended with {draining.wait()}"
        until(lambda: len(before & set(ready(backend))) == 1, "the other to go")
        kubectl("uncordon", node)  # as if there were another node
        draining.stdout.read()
        assert draining.wait() == 0
        until(lambda: not before & set(backend.names()), "both to be replaced")
        backend.wait_until_rolled_out("deployment/backend")
        report = program.finish()
    figure(f"a drain: {report}")
    assert report["failed"] == 0, report
