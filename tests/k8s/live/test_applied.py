"""Each overlay as it is comes up: probes go green, and it answers through its Service."""

from collections.abc import Iterator
from typing import Any

import pytest
from k8s.live.client import load
from k8s.live.space import READY_S, Space, install, is_ready, kubectl, settings, state

CPU = "/spec/template/spec/containers/0/resources/requests/cpu"

EXTERNAL: dict[str, Any] = {
    "components": [
        *("components/postgres", "components/redis", "components/ephemeral"),
        "components/release",  # again: the migration has to meet the database that is named here
    ],
    **settings(
        "CHAT_DATABASE_URL=postgresql+asyncpg://chat@postgres/chat", "CHAT_REDIS_URL=redis://redis:6379/0"
    ),
    "patches": [({"kind": "Deployment"}, [{"op": "replace", "path": CPU, "value": "50m"}])],
}
"""What `production` expects elsewhere, and less CPU: two have to be enough for all that runs here."""

GROUP = "monitoring.coreos.com"
MONITORING = {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}
"""Kinds of the Prometheus operator by their plurals."""

CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sidecar": ("/rooms/hall/messages", 1, settings()),
    "node": ("/", 2, {}),
    "production": ("/rooms/hall/messages", 3, EXTERNAL),
}


@pytest.fixture(scope="module")
def monitors() -> Iterator[None]:
    """The kinds that the Prometheus operator would bring, where it is not, so that its objects are taken."""
    there = kubectl("get", "crd", "--output", "name")
    missing = [plural for plural in MONITORING if f"/{plural}.{GROUP}\n" not in there]
    definitions = [f"crd/{plural}.{GROUP}" for plural in missing]
    if not missing:
        yield
        return
    Space("default").apply(*(definition(plural) for plural in missing))
    try:
        kubectl("wait", *definitions, "--for=condition=Established", f"--timeout={READY_S}s")
        yield
    finally:
        kubectl("delete", *definitions)


def definition(plural: str) -> dict[str, Any]:
    """A kind whose objects may be anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kind = MONITORING[plural]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
            ],
        },
    }


@pytest.fixture(scope="module")
def spaces(
    applied: Space, monitors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Space]]:
    """All the others, each in a namespace of its own."""
    spaces = {}
    try:
        for name, (_, _, more) in CASES.items():
            spaces[name] = install(name, name, tmp_path_factory.mktemp(name), **more)
        yield spaces
    finally:
        for space in spaces.values():
            space.delete()


@pytest.mark.parametrize("overlay", CASES)
def test_every_probe_goes_green(spaces: dict[str, Space], overlay: str) -> None:
    """All pods become ready, none has been restarted, and requests through the Service are answered."""
    space, (path, replicas, _) = spaces[overlay], CASES[overlay]
    space.wait_until_rolled_out()
    space.settle(replicas)  # `production` leaves their number to the autoscaler
    space.wait_until_rolled_out()
    pods = space.pods()
    assert [is_ready(pod) for pod in pods] == [True] * replicas
    assert [state(pod)["restartCount"] for pod in pods] == [0] * replicas
    with load(space, path=path, rate=50) as program:
        report = program.finish()
    assert report["sent"] > 0
    assert report["failed"] == 0, report


def test_the_local_one_too(backend: Space) -> None:
    """Postgres, Redis, migration, background programs and API run, and nothing has been restarted."""
    for pod in backend.get("pods"):
        for container in pod["status"]["containerStatuses"]:
            assert container["restartCount"] == 0, pod["metadata"]["name"]
    chosen = ("job", "--selector", "app.kubernetes.io/name=migrate")
    backend.kubectl("wait", *chosen, "--for=condition=Complete", f"--timeout={READY_S}s")
    (job,) = backend.get(*chosen)
    assert job["status"]["succeeded"] == 1
    with load(backend, rate=50) as program:
        report = program.finish()
    assert report["failed"] == 0, report
