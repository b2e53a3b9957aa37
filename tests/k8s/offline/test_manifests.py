"""Every overlay builds, fits three releases of Kubernetes, and hangs together."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from k8s.offline.schema import problems
from k8s.offline.tools import K8S, OVERLAYS, RELEASES, Object, build, compose
from k8s.offline.workloads import any_selected, workloads

FOREIGN = {"production": {"Secret/database"}}
"""What an overlay expects to be there already."""
COMPONENTS = ("components/postgres", "components/redis", "components/autoscaling", "monitoring")
"""All that do not change another one: what an overlay of somebody else may be made of."""


@pytest.fixture(params=[*OVERLAYS, "composed"])
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of each overlay."""
    return str(request.param)


@pytest.fixture
def objects(overlay: str) -> tuple[Object, ...]:
    """What it makes."""
    return compose(*COMPONENTS) if overlay == "composed" else build(f"overlays/{overlay}")


def test_it_builds_into_one_namespace(objects: tuple[Object, ...]) -> None:
    """Everything is in the namespace that comes with it, names are unique, no patch is left over."""
    (namespace,) = (each["metadata"]["name"] for each in objects if each["kind"] == "Namespace")
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {
        namespace
    }
    assert "$patch" not in str(objects)


@pytest.mark.parametrize("release", RELEASES)
def test_it_fits_the_schema(objects: tuple[Object, ...], release: str) -> None:
    """Every field is one that this release knows, and of its type."""
    found = {f"{each['kind']}/{each['metadata']['name']}": problems(each, release) for each in objects}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.replicas", "two"),
        ("spec.template.spec.containers.0.livenessProbe.httpGet.prot", "admin"),
        ("spec.template.spec.containers.0.lifecycle.preStop.sleep", {}),
        ("spec.template.spec.terminationGracePeriodSeconds", "30s"),
        ("spec.template.spec.containers.0.resources.limits.memory", ["512Mi"]),
    ],
)
def test_a_mistake_does_not_fit_the_schema(release: str, path: str, value: object) -> None:
    """Wrong types, unknown fields and missing ones are found; the check is not one that takes everything."""
    thing = deepcopy(
        next(each.thing for each in workloads(build("base")) if each.name == "Deployment/backend")
    )
    assert problems(thing, release) == []
    *steps, last = path.split(".")
    place: Any = thing
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value
    assert len(problems(thing, release)) == 1


def test_the_operator_gets_the_rules_that_everybody_gets() -> None:
    """The PrometheusRule has the groups of rules.yaml, and its schema refuses what is not one."""
    (made,) = (each for each in build("overlays/production") if each["kind"] == "PrometheusRule")
    assert made["spec"] == yaml.safe_load((K8S / "monitoring/rules.yaml").read_text())
    wrong = {**made, "spec": {"groups": [{"name": "pidone", "rules": [{"alert": "NoExpression"}]}]}}
    assert len(problems(wrong, RELEASES[-1])) == 1


def test_whatever_a_pod_names_is_there(overlay: str, objects: tuple[Object, ...]) -> None:
    """ConfigMaps, Secrets and service accounts."""
    there = {f"{each['kind']}/{each['metadata']['name']}" for each in objects} | FOREIGN.get(overlay, set())
    for workload in workloads(objects):
        wanted = {f"ServiceAccount/{workload.pod['serviceAccountName']}"}
        for volume in workload.pod.get("volumes", ()):
            wanted |= {f"ConfigMap/{volume['configMap']['name']}"} if "configMap" in volume else set()
            wanted |= {f"Secret/{volume['secret']['secretName']}"} if "secret" in volume else set()
        for container in workload.containers:
            wanted |= {f"ConfigMap/{each['configMapRef']['name']}" for each in container.get("envFrom", ())}
            mounted = {each["name"] for each in container.get("volumeMounts", ())}
            claims = {
                each["metadata"]["name"] for each in workload.thing["spec"].get("volumeClaimTemplates", ())
            }
            assert mounted <= {each["name"] for each in workload.pod.get("volumes", ())} | claims
        assert wanted <= there, workload.name


def test_every_selector_selects_pods(objects: tuple[Object, ...]) -> None:
    """Of services, budgets, policies, monitors, spreads; a workload's own takes exactly its pods."""
    made = list(workloads(objects))
    for thing in objects:
        spec = thing.get("spec", {})
        match thing["kind"]:
            case "Service":
                assert any_selected({"matchLabels": spec["selector"]}, made), thing["metadata"]["name"]
            case "NetworkPolicy":
                assert any_selected(spec["podSelector"], made), thing["metadata"]["name"]
            case "PodDisruptionBudget" | "PodMonitor":
                assert any_selected(spec["selector"], made), thing["metadata"]["name"]
    for workload in made:
        for constraint in workload.pod.get("topologySpreadConstraints", ()):
            assert any_selected(constraint["labelSelector"], [workload])
        if "selector" in workload.thing["spec"]:
            others = [each for each in made if each is not workload]
            assert any_selected(workload.thing["spec"]["selector"], [workload])
            assert not any_selected(workload.thing["spec"]["selector"], others)


def test_every_port_by_name_is_a_port_of_a_container(objects: tuple[Object, ...]) -> None:
    """In services, policies, monitors and probes."""
    made = list(workloads(objects))
    known = {port["name"] for each in made for c in each.containers for port in c.get("ports", ())}
    for thing in objects:
        spec = thing.get("spec", {})
        names = (
            {str(port["targetPort"]) for port in spec.get("ports", ())}
            if thing["kind"] == "Service"
            else set()
        )
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            names |= {port["port"] for port in rule.get("ports", ()) if isinstance(port["port"], str)}
        names |= {each["port"] for each in spec.get("podMetricsEndpoints", ())}
        assert names <= known, thing["metadata"]["name"]
    for workload in made:
        for container in workload.containers:
            own = {port["name"] for port in container.get("ports", ())}
            for kind in ("startup", "readiness", "liveness"):
                probe = container.get(f"{kind}Probe", {})
                assert {probe[way]["port"] for way in ("httpGet", "tcpSocket") if way in probe} <= own
