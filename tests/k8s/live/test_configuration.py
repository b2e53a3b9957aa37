"""A ConfigMap that changes: pods that run take it over."""

import json

from k8s.live.client import load
from k8s.live.space import Space, until

BROKEN = "[runtime"


def test_an_edited_ecosystem_is_applied_without_new_pods(backend: Space) -> None:
    """With `watch_config`, pods get as many processes as the ConfigMap says; a broken one changes nothing."""
    before = backend.names()
    text = backend.get("configmap/ecosystems")["data"]["api.toml"]
    changed = text.replace('instances = "max"', "instances = 3")
    assert changed != text
    started = {pod: pids(backend, pod) for pod in before}
    try:
        with load(backend) as program:
            edit(backend, BROKEN)
            for pod in before:
                refuses(backend, pod)
                assert pids(backend, pod) == started[pod]
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


def refuses(space: Space, pod: str) -> None:
    """Wait until a pod has said that it cannot use the file."""
    until(lambda: [one for one in space.records(pod) if one.get("event") == "config.rejected"], "a refusal")


def pids(space: Space, pod: str) -> list[int]:
    """The API processes of a pod."""
    return [one["pid"] for one in space.instances(pod, "api")]


def instances(space: Space, pod: str) -> int:
    """How many API processes a pod has, all of them ready."""
    return sum(one["state"] == "online" for one in space.instances(pod, "api"))
