"""Pods that get another size while they run, under load."""

import json
from functools import partial
from typing import Any

from k8s.live.client import load
from k8s.live.space import Figure, Space, state, until

SIZES = (
    ("more CPU", "cpu", "3"),
    ("less CPU", "cpu", "1"),
    ("more memory", "memory", "768Mi"),
    ("less memory", "memory", "512Mi"),
    ("as it was", "cpu", "2"),
)
"""The limits of `backend` are 2 CPUs and 512Mi."""


def resize(space: Space, pod: str, resource: str, limit: str) -> None:
    """Ask for another limit, as `kubectl patch --subresource resize` does (Kubernetes 1.33)."""
    wanted = {"containers": [{"name": "pidone", "resources": {"limits": {resource: limit}}}]}
    patch = json.dumps({"spec": wanted})
    space.kubectl("patch", "pod", pod, "--subresource", "resize", "--patch", patch)


def has_it(space: Space, pod: str, resource: str, limit: str) -> bool:
    """Whether the kubelet says that the container has it, and not only that it shall."""
    found: dict[str, Any] = space.get(f"pod/{pod}")
    actual = state(found).get("resources", {}).get("limits", {})
    return str(actual.get(resource)) == limit


def test_a_resize_loses_no_request_and_restarts_nothing(backend: Space, figure: Figure) -> None:
    """CPU and memory up and down, in every pod, one after another: the container stays, and none fails."""
    pods = backend.names()
    with load(backend) as program:
        for what, resource, limit in SIZES:
            for pod in pods:
                resize(backend, pod, resource, limit)
            for pod in pods:
                until(partial(has_it, backend, pod, resource, limit), f"{what} in {pod}")
        report = program.finish()
    figure(f"resized five times: {report}")
    assert report["failed"] == 0, report
    assert backend.names() == pods
    for each in backend.pods():
        assert state(each)["restartCount"] == 0
        assert state(each)["resources"]["limits"] == {"cpu": "2", "memory": "512Mi"}
