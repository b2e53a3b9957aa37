"""A ConfigMap that changes: pods that run take it over."""

import json

from k8s.live.client import load
from k8s.live.space import Space, until


def test_an_edited_ecosystem_is_applied_without_new_pods(backend: Space) -> None:
    """With `watch_config`, pods get as many API processes as the ConfigMap says, and fail no request."""
    before = backend.names()
    text = backend.get("configmap/ecosystems")["data"]["api.toml"]
    changed = text.replace('instances = "max"', "instances = 3")
    assert changed != text
    try:
        with load(backend) as program:
            edit(backend, changed)
            for pod in before:
                has(backend, pod, 3)
            report = program.finish()
        assert report["failed"] == 0, report
        assert backend.names() == before
    finally:
        edit(backend, text)
    for pod in before:
        has(backend, pod, 2)


def edit(space: Space, text: str) -> None:
    """Change the ConfigMap in place."""
    patch = json.dumps({"data": {"api.toml": text}})
    space.kubectl("patch", "configmap/ecosystems", "--patch", patch)


def has(space: Space, pod: str, count: int) -> None:
    """Wait until a pod has so many API processes."""
    until(lambda: instances(space, pod) == count, f"{count} processes in {pod}")


def instances(space: Space, pod: str) -> int:
    """How many API processes a pod has, all of them ready."""
    return sum(one["state"] == "online" for one in space.instances(pod, "api"))
