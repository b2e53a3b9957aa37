"""A namespace of the cluster with one of our overlays in it, looked at through `kubectl`."""

import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from docker.images import REPOSITORY
from harness import eventually

T = TypeVar("T")

READY_S = 600
"""How long anything may take on a slow, busy machine before a test calls it a hang."""
ANSWER_S = 30
"""How long a probe is waited for: that of a pod that has no processor is late, not wrong."""
PREFIX = "pidone-test-"

PATIENCE = "CHAT_DB_PATIENCE=20"
"""For the same reason: that the sample refuses requests when its database is slow is not tried here."""

IMAGES = {
    "pidone-backend": "BACKEND_IMAGE",
    "registry.example.com/pidone-backend": "BACKEND_IMAGE",
    "pidone-node-api": "NODE_API_IMAGE",
    "postgres": "POSTGRES_IMAGE",
    "redis": "REDIS_IMAGE",
}
"""Images of the manifests, and the variables that name what takes their place."""


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = READY_S + 30) -> str:
    """Run the client; its output. Fails with what it said on stderr."""
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{done.args}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}"
    return done.stdout


def until(probe: Callable[[], T | None], what: str) -> T:
    """Ask the cluster until the answer is true, and return it; fail when it takes too long."""
    return eventually(probe, what, READY_S, every=0.25)  # each time a client is started


@dataclass(frozen=True)
class Space:
    """One namespace."""

    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the client in this namespace; its output."""
        return kubectl("--namespace", self.name, *arguments, stdin=stdin)

    def get(self, *what: str) -> Any:
        """An object, or the items of a list."""
        found = json.loads(self.kubectl("get", *what, "--output", "json"))
        return found["items"] if found["kind"] == "List" else found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(*APPLY, stdin=json.dumps({**LIST, "items": objects}))

    def pods(self, name: str = "backend") -> list[dict[str, Any]]:
        """The pods of a deployment that nobody has asked to go, oldest first."""
        pods = self.get("pods", "--selector", f"app.kubernetes.io/name={name}")
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return sorted(staying, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def names(self, name: str = "backend") -> list[str]:
        """The names of those pods."""
        return [pod["metadata"]["name"] for pod in self.pods(name)]

    def exec(self, pod: str, *command: str) -> str:
        """`kubectl exec`; its output."""
        return self.kubectl("exec", pod, "--", *command)

    def instances(self, pod: str, app: str) -> list[dict[str, Any]]:
        """What `pidone ls` in a pod says of an app's processes."""
        apps = json.loads(self.exec(pod, "pidone", "ls", "--json"))["apps"]
        (found,) = [one for one in apps if one["name"] == app]
        return list(found["instances"])

    def records(self, pod: str, *options: str) -> list[dict[str, Any]]:
        """`kubectl logs` as JSON records; anything else fails the test."""
        lines = self.kubectl("logs", pod, *options).splitlines()
        parsed = [json.loads(line) for line in lines]
        assert all(isinstance(record, dict) for record in parsed)
        return parsed

    @contextmanager
    def following(self, pod: str) -> Iterator[Iterator[dict[str, Any]]]:
        """`kubectl logs --follow` as records: those that are written from now until the container's end."""
        command = ["kubectl", "--namespace", self.name, "logs", "--follow", "--tail=1", pod]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            records = map(json.loads, process.stdout)
            try:
                next(records)  # the last of the old ones: it follows
                yield records
            finally:
                process.kill()

    def wait_until_rolled_out(self, *kinds: str) -> None:
        """Every deployment (or what is named) has all its pods, new and ready."""
        for workload in kinds or self._workloads():
            self.kubectl("rollout", "status", workload, f"--timeout={READY_S}s")

    def _workloads(self) -> list[str]:
        return self.kubectl("get", "statefulsets,deployments", "--output", "name").split()

    def wait_until_pods_are_taken(self) -> None:
        """A pod that comes seconds before a controller has given a new namespace its account is refused."""
        command = ["get", "serviceaccount/default", "--ignore-not-found", "--output", "name"]
        until(lambda: self.kubectl(*command), f"the service account of {self.name}")

    def scale(self, replicas: int) -> None:
        """Give the backend so many pods, and wait until they are ready; others may still be leaving."""
        self.kubectl("scale", "deployment/backend", f"--replicas={replicas}")
        self.wait_until_rolled_out("deployment/backend")  # true also before those too many are told to leave
        until(lambda: len(self.names()) == replicas, f"{replicas} pods that stay")

    def settle(self, replicas: int) -> None:
        """Wait until pods on their way out are gone."""
        selector = "app.kubernetes.io/name=backend"
        until(lambda: len(self.get("pods", "--selector", selector)) == replicas, f"{replicas} pods")

    def ecosystem(self, file: str = "api.toml") -> dict[str, Any]:
        """What the pods of the backend are told."""
        return tomllib.loads(self.ecosystem_text(file))

    def ecosystem_text(self, file: str = "api.toml") -> str:
        """The same, as it is in the ConfigMap."""
        volumes = self.get("deployment/backend")["spec"]["template"]["spec"]["volumes"]
        (name,) = [volume["configMap"]["name"] for volume in volumes if volume["name"] == "ecosystems"]
        return str(self.get(f"configmap/{name}")["data"][file])

    def delete(self) -> None:
        """Ask for it to go; what is in it ends in its own time."""
        kubectl("delete", "namespace", self.name, "--wait=false")


def settings(*literals: str) -> dict[str, Any]:
    """What `install` takes to lay more settings over those of an overlay of the sample."""
    more = {"name": "settings", "behavior": "merge", "literals": [PATIENCE, *literals]}
    return {"configMapGenerator": [more]}


Figure = Callable[[str], None]
"""Shows a number at the end of the run (a fixture)."""

APPLY = ("apply", "--validate=false", "--filename", "-")
"""Whether objects are of their schemas is tried offline. Here kubectl would ask for all schemas first, which
the API makes anew whenever a kind comes or goes; on a busy machine not within the half minute it is given."""
LIST = {"apiVersion": "v1", "kind": "List"}
Patch = tuple[Mapping[str, str], Sequence[Mapping[str, Any]]]
"""Which objects, and what is done to them (JSON Patch)."""


def state(pod: Mapping[str, Any], container: str = "pidone") -> dict[str, Any]:
    """What the kubelet says of a container."""
    (found,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
    return dict(found)


def when(record: Mapping[str, Any]) -> float:
    """A log record's time, in seconds since 1970."""
    return datetime.fromisoformat(record["timestamp"]).timestamp()


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether it is in the Service."""
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def install(
    name: str, overlay: str, folder: Path, *, patches: Sequence[Patch] = (), **more: Sequence[Any]
) -> Space:
    """Apply an overlay in a namespace of its own, with images of this checkout; not waited for.

    `patches` and `more` (`components`, whose paths start at `k8s/`, `configMapGenerator`, ...) go into the
    kustomization laid over it.
    """
    overlays = [f"overlays/{overlay}"]
    return _apply(Space(PREFIX + name), folder, overlays, patches=patches, **more)


def install_components(name: str, folder: Path, *components: str) -> Space:
    """Apply components alone in a namespace of its own, which is as strict as those of the overlays."""
    space = Space(PREFIX + name)
    kubectl("create", "namespace", space.name)
    kubectl("label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted")
    return _apply(space, folder, [], components=components)


def _apply(
    space: Space,
    folder: Path,
    resources: Sequence[str],
    *,
    patches: Sequence[Patch] = (),
    **more: Sequence[Any],
) -> Space:
    folder.mkdir(parents=True, exist_ok=True)
    beside = os.path.relpath(REPOSITORY / "k8s", folder.resolve())
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": space.name,
        "resources": [f"{beside}/{path}" for path in resources],
        "images": [_replacement(image, os.environ[variable]) for image, variable in IMAGES.items()],
        "patches": [{"target": target, "patch": json.dumps(patch)} for target, patch in patches],
        **more,
    }
    content["components"] = [f"{beside}/{path}" for path in more.get("components", ())]
    (folder / "kustomization.yaml").write_text(json.dumps(content))
    objects = list(yaml.safe_load_all(kubectl("kustomize", str(folder))))
    for each in objects:
        unhurried(each)
    kubectl(*APPLY, stdin=json.dumps({**LIST, "items": objects}))
    return space


def unhurried(workload: dict[str, Any]) -> None:
    """Nothing is restarted, taken out of its Service or given up because the machine has no time for it.

    What a probe is answered counts as ever; only how long that takes does not.
    """
    spec = workload.get("spec", {})
    if "progressDeadlineSeconds" in spec:
        spec["progressDeadlineSeconds"] = READY_S
    pod = spec.get("template", {}).get("spec", {})
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        for kind in ("livenessProbe", "readinessProbe"):
            if kind in container:
                container[kind]["timeoutSeconds"] = ANSWER_S
        if "startupProbe" in container:
            container["startupProbe"]["failureThreshold"] = READY_S


def _replacement(image: str, by: str) -> dict[str, str]:
    name, _, tag = by.rpartition(":")
    return {"name": image, "newName": name, "newTag": tag}
