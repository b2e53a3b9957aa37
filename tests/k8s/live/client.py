"""A pod beside the service, and programs of ours in it: clients as a service has them, in any cluster."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from k8s.live.space import PREFIX, READY_S, Space, kubectl

NAMESPACE = f"{PREFIX}client"
"""Not that of the service: its policies let nobody inside call anybody."""

INSIDE = Path(__file__).parent / "inside"


class Program:
    """One of the programs of `inside/`; `with` ends it."""

    def __init__(self, name: str, *arguments: str) -> None:
        """Start it in the pod and wait until it says so."""
        command = ["kubectl", "--namespace", NAMESPACE, "exec", "--stdin", "client", "--"]
        self._process = subprocess.Popen(
            [*command, "python3", f"/programs/{name}.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said()

    def said(self) -> dict[str, Any]:
        """The next line it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it ended with {self._process.wait()}"
        return dict(json.loads(line))

    def finish(self) -> dict[str, Any]:
        """Ask it to end; what it reports."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        report = self.said()
        assert self._process.wait(READY_S) == 0
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


def load(space: Space, *, port: int = 80, path: str = "/rooms/load/messages", rate: int = 200) -> Program:
    """Requests through the Service until `finish`."""
    return Program("load", f"backend.{space.name}", str(port), path, f"--rate={rate}")


@contextmanager
def client() -> Iterator[None]:
    """The pod."""
    programs = {file.name: file.read_text() for file in INSIDE.glob("*.py")}
    space = Space(NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    try:
        space.wait_until_pods_are_taken()
        metadata = {"name": "client"}
        container = {
            "name": "client",
            "image": os.environ["BACKEND_IMAGE"],
            "command": ["sleep", "infinity"],
            "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
        }
        spec = {
            "containers": [container],
            "volumes": [{"name": "programs", "configMap": metadata}],
            "terminationGracePeriodSeconds": 0,
        }
        space.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": programs},
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        )
        space.kubectl("wait", "pod/client", "--for=condition=Ready", f"--timeout={READY_S}s")
        yield
    finally:
        space.delete()
