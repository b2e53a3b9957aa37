"""A namespace for single pods that run pidone with what a test says, as strict as that of the sample."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from k8s.live.space import PREFIX, READY_S, Space, state, until

MEMORY = "96Mi"


@contextmanager
def strict_space(name: str) -> Iterator[Space]:
    """A new namespace that takes nothing but restricted pods."""
    space = Space(PREFIX + name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": space.name, "labels": labels}
    Space("default").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        space.wait_until_pods_are_taken()
        yield space
    finally:
        space.delete()


def pod_spec(*arguments: str, ecosystem: str = "", **more: Any) -> dict[str, Any]:
    """A pod with pidone and these arguments, never to be restarted; `more` is of the container.

    `ecosystem` is the name of a ConfigMap whose files are mounted at /etc/pidone.
    """
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    if ecosystem:
        volumes.append({"name": "ecosystem", "configMap": {"name": ecosystem}})
        mounts.append({"name": "ecosystem", "mountPath": "/etc/pidone"})
    container = {
        "name": "pidone",
        "image": os.environ["BACKEND_IMAGE"],
        "args": arguments,
        "resources": {"limits": {"memory": MEMORY, "cpu": "1"}, "requests": {"cpu": "10m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
        **more,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 31_415,  # of no user the image knows
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }


def run(space: Space, name: str, *arguments: str, **more: Any) -> None:
    """Start such a pod."""
    apply(space, name, pod_spec(*arguments, **more))


def run_ecosystem(space: Space, name: str, text: str, **more: Any) -> None:
    """Start such a pod with an ecosystem, and wait until it runs."""
    metadata = {"name": name}
    data = {"ecosystem.toml": text}
    space.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    run(space, name, "/etc/pidone/ecosystem.toml", ecosystem=name, **more)
    has_started(space, name)


def apply(space: Space, name: str, spec: dict[str, Any]) -> None:
    """Make a pod."""
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def has_started(space: Space, name: str) -> None:
    """Wait until a pod's container runs."""
    space.kubectl("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={READY_S}s")


def ended(space: Space, name: str) -> dict[str, Any]:
    """What the kubelet says of the container once it has ended."""

    def terminated() -> dict[str, Any] | None:
        pod = space.get(f"pod/{name}")
        told = pod["status"].get("containerStatuses") and state(pod)["state"].get("terminated")
        return dict(told) if told else None

    return until(terminated, f"{name} to end")


def told(space: Space, name: str, **fields: object) -> dict[str, Any]:
    """The first record with these fields, once it is in the logs."""

    def found() -> list[dict[str, Any]]:
        return [record for record in space.records(name) if fields.items() <= record.items()]

    return until(found, f"{fields} of {name}")[0]
