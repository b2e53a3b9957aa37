"""Pods may do as little as possible: the restricted standard, and what it does not ask for."""

from copy import deepcopy
from typing import Any

import pytest
from k8s.offline.restricted import violations
from k8s.offline.tools import OVERLAYS, Object, build
from k8s.offline.workloads import Workload, workloads, written

CONTAINER = "containers.0."


def of(source: str) -> list[Workload]:
    """The workloads of an overlay, or of the base as it is written."""
    return [*workloads(written() if source == "base" else build(f"overlays/{source}"))]


def changed(path: str, value: Any) -> Object:
    """The pod of the base with one thing made worse."""
    pod: Object = deepcopy(of("base")[0].pod)
    place: Any = pod
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if value is None:
        del place[last]
    elif last == "+":
        place.append(value)
    else:
        place[last] = value
    return pod


@pytest.mark.parametrize("source", ["base", *OVERLAYS])
def test_every_pod_is_restricted(source: str) -> None:
    """The namespace demands it, so a pod that is not would not come into being."""
    found = {each.name: violations(each.pod) for each in of(source)}
    assert found
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("hostPID", True),
        ("hostIPC", True),
        ("volumes.+", {"name": "node", "hostPath": {"path": "/"}}),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
        ("securityContext.runAsNonRoot", None),
        ("securityContext.runAsNonRoot", False),
        ("securityContext.runAsUser", 0),
        ("securityContext.seccompProfile", None),
        ("securityContext.seccompProfile.type", "Unconfined"),
        ("securityContext.appArmorProfile", {"type": "Unconfined"}),
        ("securityContext.seLinuxOptions", {"type": "spc_t"}),
        ("securityContext.windowsOptions", {"hostProcess": True}),
        (CONTAINER + "securityContext.privileged", True),
        (CONTAINER + "securityContext.allowPrivilegeEscalation", None),
        (CONTAINER + "securityContext.allowPrivilegeEscalation", True),
        (CONTAINER + "securityContext.capabilities.drop", ["KILL"]),
        (CONTAINER + "securityContext.capabilities.add", ["SYS_PTRACE"]),
        (CONTAINER + "securityContext.runAsUser", 0),
        (CONTAINER + "securityContext.seccompProfile", {"type": "Unconfined"}),
        (CONTAINER + "securityContext.procMount", "Unmasked"),
        (CONTAINER + "ports.0.hostPort", 80),
        (CONTAINER + "livenessProbe.httpGet.host", "example.com"),
        (CONTAINER + "lifecycle.preStop", {"httpGet": {"host": "example.com", "port": 80}}),
        ("initContainers", [{"name": "before", "image": "x"}]),
    ],
)
def test_the_check_finds_what_it_is_for(path: str, value: object) -> None:
    """Each rule of the standard, broken once."""
    assert violations(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (CONTAINER + "securityContext.capabilities.add", ["NET_BIND_SERVICE"]),
        (CONTAINER + "securityContext.runAsNonRoot", True),
        ("securityContext.seccompProfile.type", "Localhost"),
        ("securityContext.sysctls", [{"name": "net.ipv4.ping_group_range", "value": "0 1"}]),
    ],
)
def test_the_check_allows_what_the_standard_does(path: str, value: object) -> None:
    """It is not stricter than the real one."""
    assert violations(changed(path, value)) == []


@pytest.mark.parametrize("source", ["base", *OVERLAYS])
def test_nobody_can_write_or_ask_more_than_needed(source: str) -> None:
    """Read-only roots, no API token, no variables about other services, and limits for memory and CPU."""
    for workload in of(source):
        assert workload.pod["automountServiceAccountToken"] is False, workload.name
        assert workload.pod["enableServiceLinks"] is False, workload.name
        for container in workload.containers:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, workload.name
            assert container["imagePullPolicy"] == "IfNotPresent"
            resources = container["resources"]
            assert resources["limits"].keys() == {"cpu", "memory"}
            assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize("source", OVERLAYS)
def test_secrets_are_files(source: str) -> None:
    """No password stands in a variable, in an argument or in a ConfigMap, and no image floats."""
    for workload in of(source):
        for container in workload.containers:
            assert not any("secretKeyRef" in each.get("valueFrom", {}) for each in container.get("env", ()))
            assert not any("secretRef" in each for each in container.get("envFrom", ()))
            assert container["image"].partition(":")[2] not in ("", "latest")
        mounts = [each["secret"] for each in workload.pod.get("volumes", ()) if "secret" in each]
        assert all(each["defaultMode"] == 0o440 for each in mounts)
    maps = [each for each in build(f"overlays/{source}") if each["kind"] == "ConfigMap"]
    assert "not-a-secret" not in str(maps)


@pytest.mark.parametrize("source", OVERLAYS)
def test_the_namespace_demands_the_standard(source: str) -> None:
    """So that a later mistake is refused by the API server and not found by somebody else."""
    (namespace,) = (each for each in build(f"overlays/{source}") if each["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
