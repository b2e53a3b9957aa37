"""The Helm chart is the base in another form: the same objects, and values that are looked at."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s.offline import tools

from pidone import __version__

CHART = tools.K8S / "chart"
KUBERNETES = "1.36.0"
ITS_OWN_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Helm, without a cluster and without anything of this user's."""
    command = [tools.helm(), *words]
    environ = {**os.environ, "KUBECONFIG": os.devnull}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def rendered(*options: str, kubernetes: str = KUBERNETES) -> list[dict[str, Any]]:
    """The objects of a first release in the namespace of the base."""
    words = ["template", "sample", str(CHART), "--namespace", "pidone", "--kube-version", kubernetes]
    done = run(*words, *options)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, tools.LOADER) if each]


def named(objects: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, without what only one of the two adds.

    Kustomize ends the names of ConfigMaps with a hash of their content, for which the chart has a checksum in
    the pods; the chart ends the name of the Job with the revision; and a chart makes no namespace.
    """
    suffixes = {
        each["metadata"]["name"]: each["metadata"]["name"].rpartition("-")[0]
        for each in objects
        if each["kind"] in ("ConfigMap", "Job") and "-" in each["metadata"]["name"]
    }
    text = json.dumps([each for each in objects if each["kind"] != "Namespace"])
    for name, plain in suffixes.items():
        text = text.replace(f'"{name}"', f'"{plain}"')
    found = {}
    for each in json.loads(text):
        labels: dict[str, str] = each["metadata"].get("labels", {})
        each["metadata"]["labels"] = {key: labels[key] for key in labels if key not in ITS_OWN_LABELS}
        annotations = each.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        annotations.pop("checksum/config", None)
        found[each["kind"], each["metadata"]["name"]] = each
    return found


def test_it_renders_what_the_base_has() -> None:
    """Object by object, but for names that only one of the two makes."""
    ours, base = named(rendered()), named(tools.build("base"))
    assert ours.keys() == base.keys()
    for key, wanted in base.items():
        assert ours[key] == wanted, key


def test_a_linter_finds_nothing() -> None:
    """Not even to warn of."""
    done = run("lint", "--strict", "--kube-version", KUBERNETES, str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_its_version_is_ours() -> None:
    """Of the chart and of what is in it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("replicas=2", "replicas"),
        ("backend.replicas=two", "replicas"),
        ("backend.port=99999", "port"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.digest=latest", "digest"),
        ("settings.A=1", "settings"),
        ("networkPolicy.egressPorts={x}", "egressPorts"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(option: str, complaint: str) -> None:
    """Before anything is rendered."""
    words = ["template", "sample", str(CHART), "--kube-version", KUBERNETES, "--set", option]
    done = run(*words)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_value_has_its_schema() -> None:
    """And nothing is in the schema that the values do not have."""

    def names(value: Any, schema: Mapping[str, Any], path: str = "") -> None:
        if schema.get("additionalProperties") is False and "properties" in schema:
            assert set(value) <= set(schema["properties"]), path
            assert set(schema["properties"]) - set(value) <= {"global"}, path
            for name, each in value.items():
                names(each, schema["properties"][name], f"{path}.{name}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    names(yaml.safe_load((CHART / "values.yaml").read_text()), schema)


def test_what_a_service_does_not_have_is_off() -> None:
    """No worker, no migration, no database: what is left is a Deployment with its Service."""
    off = (
        "background.enabled=false",
        "migrate.enabled=false",
        "databaseSecret=",
        "networkPolicy.enabled=false",
    )
    objects = rendered(*(word for each in off for word in ("--set", each)))
    kinds = sorted(each["kind"] for each in objects)
    assert kinds == [
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ]
    pod = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["volumes"]] == ["ecosystems", "tmp"]
    assert "PASSWORD" not in json.dumps(pod)


def test_pidone_is_told_how_long_a_stop_may_take() -> None:
    """By the numbers that Kubernetes gets."""
    options = ("--set", "backend.terminationGracePeriodSeconds=60", "--set", "backend.preStopSeconds=5")
    pod = next(
        each
        for each in rendered(*options)
        if each["metadata"]["name"] == "backend" and "template" in each["spec"]
    )
    env = {
        each["name"]: each.get("value") for each in pod["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert env["PIDONE_TERMINATION_GRACE"] == "55s"


def test_a_changed_ecosystem_is_a_rollout(tmp_path: Path) -> None:
    """Unless somebody wants the pods to apply it themselves."""

    def checksum(*options: str) -> str | None:
        found = next(each for each in rendered(*options) if each["kind"] == "Deployment")
        annotations: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
        return annotations.get("checksum/config")

    file = tmp_path / "api.toml"
    file.write_text("[runtime]\nadmin = '9615'\n")
    changed = ("--set-file", f"ecosystems.api\\.toml={file}")
    assert checksum() != checksum(*changed)
    assert checksum("--set", "rolloutOnChange=false", *changed) is None
