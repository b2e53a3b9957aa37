"""How a container ends, as `kubectl` tells it: exit code, reason and message."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from k8s.live.space import PREFIX, READY_S, Space, state, until

GREEDY = "held = []\nwhile True: held.append(bytearray(8 << 20))"


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    """A namespace as strict as that of the sample."""
    space = Space(f"{PREFIX}ends")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": space.name, "labels": labels}
    Space("default").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield space
    finally:
        space.delete()


def run(space: Space, name: str, *arguments: str) -> None:
    """Start a pod with pidone and these arguments, never to be restarted."""
    container = {
        "name": "pidone",
        "image": os.environ["BACKEND_IMAGE"],
        "args": arguments,
        "resources": {"limits": {"memory": "96Mi", "cpu": "1"}, "requests": {"cpu": "10m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 31_415,  # of no user the image knows
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def ended(space: Space, name: str) -> dict[str, Any]:
    """What the kubelet says of the container once it has ended."""

    def terminated() -> dict[str, Any] | None:
        pod = space.get(f"pod/{name}")
        told = pod["status"].get("containerStatuses") and state(pod)["state"].get("terminated")
        return dict(told) if told else None

    return until(terminated, f"{name} to end")


@pytest.mark.parametrize(
    ("name", "arguments", "code", "reason"),
    [
        ("code", ["--no-autorestart", "--", "sh", "-c", "exit 7"], 7, "app"),
        ("signal", ["--no-autorestart", "--", "python3", "-c", "import os; os.abort()"], 134, "app"),
        ("crashes", ["--", "false"], 75, "gave-up"),
        ("file", ["missing.toml"], 78, "config"),
        ("word", ["--wrong"], 64, "usage"),
    ],
)
def test_the_message_says_why(space: Space, name: str, arguments: list[str], code: int, reason: str) -> None:
    """The container's code is the app's or says what happened; the message has the reason, too."""
    run(space, name, *arguments)
    told = ended(space, name)
    assert (told["exitCode"], told["reason"]) == (code, "Error")
    message = json.loads(told["message"])
    assert (message["code"], message["reason"]) == (code, reason)


def test_an_orderly_stop_is_success(space: Space) -> None:
    """A pod that is asked to go ends with 0: nobody counts it as failed."""
    run(space, "asked", "--", "sleep", "3600")
    space.kubectl("wait", "pod/asked", "--for=condition=Ready", f"--timeout={READY_S}s")
    space.exec("asked", "sh", "-c", "kill 1")
    told = ended(space, "asked")
    assert (told["exitCode"], told["reason"]) == (0, "Completed")
    assert "message" not in told


def test_memory_that_runs_out(space: Space) -> None:
    """`kubectl` shows OOMKilled and 137 when the kernel has ended the only app."""
    run(space, "greedy", "--name", "greedy", "--no-autorestart", "--", "python3", "-c", GREEDY)
    told = ended(space, "greedy")
    assert (told["exitCode"], told["reason"]) == (137, "OOMKilled")
