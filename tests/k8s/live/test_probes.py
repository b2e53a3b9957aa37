"""What probes are about: a dead app is no reason to kill the pod, but no requests go to it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from k8s.live.space import READY_S, Space, install, is_ready, kubectl, state, until

LIVENESS = "/spec/template/spec/containers/0/livenessProbe"
SEVERE = [
    {"op": "replace", "path": f"{LIVENESS}/{key}", "value": 1}
    for key in ("periodSeconds", "failureThreshold")
]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The Node sample; one failed liveness probe, every second, would end the container."""
    folder = tmp_path_factory.mktemp("severe")
    target = {"kind": "Deployment", "name": "backend"}
    space = install("severe", "node", folder, patches=[(target, SEVERE)])
    try:
        space.wait_until_rolled_out()
        space.scale(1)
        yield space
    finally:
        space.delete()


def endpoints(space: Space) -> set[str]:
    """The addresses to which the Service sends requests."""
    slices = space.get("endpointslices", "--selector", "kubernetes.io/service-name=backend")
    found = [
        endpoint for one in slices for endpoint in one["endpoints"] or () if endpoint["conditions"]["ready"]
    ]
    return {address for endpoint in found for address in endpoint["addresses"]}


def liveness(pod: Mapping[str, Any], result: str) -> int:
    """How many liveness probes of a pod had this result, as its kubelet has counted them."""
    told = kubectl("get", "--raw", f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/metrics/probes")
    wanted = {"pod_uid": pod["metadata"]["uid"], "probe_type": "Liveness", "result": result}
    labels = [f'{key}="{value}"' for key, value in wanted.items()]
    counters = [line for line in told.splitlines() if line.startswith("prober_probe_total{")]
    return sum(int(line.split()[-1]) for line in counters if all(label in line for label in labels))


def test_liveness_survives_a_dead_app_and_readiness_does_not(space: Space) -> None:
    """With its only app stopped, a pod leaves the Service and is not restarted; then it returns."""
    (pod,) = space.pods()
    name = pod["metadata"]["name"]
    until(lambda: endpoints(space) == {pod["status"]["podIP"]}, "the Service to know only this pod")
    space.exec(name, "pidone", "stop", "node-api")
    until(lambda: not is_ready(space.get(f"pod/{name}")), "the pod to be not ready")
    until(lambda: not endpoints(space), "the Service to know")
    dead = liveness(pod, "successful")
    until(lambda: liveness(pod, "successful") >= dead + 5, "five more probes")
    assert liveness(pod, "failed") == 0
    assert state(space.get(f"pod/{name}"))["restartCount"] == 0
    space.exec(name, "pidone", "start", "node-api")
    until(lambda: is_ready(space.get(f"pod/{name}")), "the pod to be ready")
    assert state(space.get(f"pod/{name}"))["restartCount"] == 0


def test_a_crash_is_repaired_inside(space: Space) -> None:
    """A killed app process is replaced by pidone, in the same container."""
    (pod,) = space.names()
    before = space.instances(pod, "node-api")[0]["pid"]
    space.exec(pod, "pidone", "signal", "node-api:0", "KILL")
    ends = {"event": "instance.exit", "pid": before, "signal": "SIGKILL"}
    until(lambda: [r for r in space.records(pod) if ends.items() <= r.items()], "the end")
    space.exec(pod, "pidone", "wait", "--ready", "--timeout", str(READY_S))
    assert state(space.get(f"pod/{pod}"))["restartCount"] == 0
    kubectl("--namespace", space.name, "wait", f"pod/{pod}", "--for=condition=Ready", f"--timeout={READY_S}s")
