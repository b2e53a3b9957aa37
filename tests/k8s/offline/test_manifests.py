"""Every overlay builds, fits three releases of Kubernetes, and hangs together."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml
from k8s.offline.schema import problems
from k8s.offline.tools import K8S, OVERLAYS, RELEASES, Object, build, build_edited, compose, overlaid
from k8s.offline.workloads import any_selected, workloads

FOREIGN = {"production": {"Secret/database"}}
"""What an overlay expects to be there already."""
COMPONENTS = (
    "components/postgres",
    "components/redis",
    "components/autoscaling",
    "components/release",
    "components/userns",
    "monitoring",
)
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


def migration(edits: Mapping[str, tuple[str, str]]) -> Object:
    """The Job of a production in which somebody has edited files."""
    objects = build_edited("overlays/production", edits)
    return next(each for each in objects if each["kind"] == "Job")


PRODUCTION = "overlays/production/kustomization.yaml"


def test_a_release_does_not_trip_over_the_one_before() -> None:
    """A Job cannot be changed: what is in another release is in a Job of another name."""
    before = migration({})
    for old, new in (("newTag: 0.1.0", "newTag: 0.2.0"), ("chat@postgres.example.com", "chat@elsewhere")):
        after = migration({PRODUCTION: (old, new)})
        assert after["metadata"]["name"] != before["metadata"]["name"]
        assert after["spec"] != before["spec"]
        assert after["metadata"]["name"].startswith("migrate-")


def test_settings_that_are_not_the_schemas_leave_the_migration_alone() -> None:
    """The same name with the very same content, which the API server takes for no change."""
    quiet = {PRODUCTION: ("CHAT_LOG_LEVEL=warning", "CHAT_LOG_LEVEL=error")}
    assert migration(quiet) == migration({})


@pytest.mark.parametrize("overlay", ["local", "production", "sidecar"])
def test_the_migration_meets_the_database_of_the_pods(overlay: str) -> None:
    """It names it itself, as the ConfigMap of the others has a name that changes."""
    objects = build(f"overlays/{overlay}")
    job = next(each for each in workloads(objects) if each.thing["kind"] == "Job")
    (settings,) = (each["data"] for each in objects if "CHAT_DATABASE_URL" in each.get("data", {}))
    assert job.env("CHAT_DATABASE_URL") == settings["CHAT_DATABASE_URL"]
    assert "envFrom" not in job.main


def test_the_migration_meets_it_under_another_overlay_too() -> None:
    """One that changes the URL names the component again: else the Job looks for the old database."""
    elsewhere = "postgresql+asyncpg://chat@elsewhere/chat"
    objects = overlaid("overlays/production", ["components/release"], [f"CHAT_DATABASE_URL={elsewhere}"])
    job = next(each for each in workloads(objects) if each.thing["kind"] == "Job")
    assert job.env("CHAT_DATABASE_URL") == elsewhere
    assert job.name.count("-") == 1, "one hash"


def test_production_has_one_constraint_per_topology() -> None:
    """Two for zones, of which one only prefers what the other demands, would be one too many."""
    (backend,) = (
        each for each in workloads(build("overlays/production")) if each.name == "Deployment/backend"
    )
    found = {
        each["topologyKey"]: each["whenUnsatisfiable"] for each in backend.pod["topologySpreadConstraints"]
    }
    assert len(found) == len(backend.pod["topologySpreadConstraints"])
    assert found["topology.kubernetes.io/zone"] == "DoNotSchedule"


def test_a_component_gives_every_pod_users_of_its_own() -> None:
    """And only it does: nodes that cannot do that would not start them."""
    assert all(each.pod["hostUsers"] is False for each in workloads(compose(*COMPONENTS)))
    assert not any("hostUsers" in each.pod for each in workloads(build("overlays/production")))


def test_the_autoscaler_looks_at_the_container_that_answers() -> None:
    """Not at the sum with sidecars, and at one that is there."""
    objects = build("overlays/production")
    (scaler,) = (each for each in objects if each["kind"] == "HorizontalPodAutoscaler")
    kinds = {each["type"] for each in scaler["spec"]["metrics"]}
    assert "Resource" not in kinds
    (wanted,) = (
        each["containerResource"] for each in scaler["spec"]["metrics"] if "containerResource" in each
    )
    (backend,) = (each for each in workloads(objects) if each.name == "Deployment/backend")
    assert wanted["container"] == backend.main["name"]
    assert wanted["name"] in backend.main["resources"]["requests"]


@pytest.mark.parametrize("overlay", ["local", "node", "production", "sidecar"])
def test_a_resized_pod_is_not_restarted_and_volumes_are_not_walked(overlay: str) -> None:
    """`instances = "max"` and percent limits follow while it runs; fsGroup is set where it is not yet."""
    for workload in workloads(build(f"overlays/{overlay}")):
        assert workload.pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch", workload.name
        if workload.has_ecosystem:
            policy = {each["resourceName"]: each["restartPolicy"] for each in workload.main["resizePolicy"]}
            assert policy == {"cpu": "NotRequired", "memory": "NotRequired"}, workload.name
