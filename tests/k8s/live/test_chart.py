"""The Helm chart on a cluster: what the base shows there, installed, upgraded and taken away by Helm."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.images import REPOSITORY
from k8s.live.client import load
from k8s.live.space import PATIENCE, READY_S, Space, install_components, is_ready, state, until
from k8s.offline import tools

CHART = REPOSITORY / "k8s/chart"
NO_SCHEMAS = "--disable-openapi-validation"
"""For the reason of `space.APPLY`."""
SMALL = {"resources": {"requests": {"cpu": "50m"}}}
"""Two CPUs have to be enough for all that runs here."""


def values() -> dict[str, Any]:
    """Those of an installation of this checkout's images."""
    repository, _, tag = os.environ["BACKEND_IMAGE"].rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "settings": dict([PATIENCE.split("=")]),
        **dict.fromkeys(("backend", "background", "migrate"), SMALL),
    }


def helm(space: Space, *words: str) -> str:
    """Run Helm in a namespace; its output."""
    command = [tools.helm(), "--namespace", space.name, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_S + 30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The values."""
    file = tmp_path_factory.mktemp("values") / "values.json"
    file.write_text(json.dumps(values()))
    return file


@pytest.fixture(scope="module")
def released(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """A release beside its database and bus."""
    folder = tmp_path_factory.mktemp("chart")
    space = install_components(
        "chart", folder, "components/postgres", "components/redis", "components/ephemeral"
    )
    try:
        helm(space, "install", "sample", str(CHART), "--values", str(file), NO_SCHEMAS)
        yield space
    finally:
        space.delete()


def test_it_is_taken_without_a_warning() -> None:
    """`helm lint --strict`."""
    done = subprocess.run(
        [tools.helm(), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


def test_every_probe_goes_green(released: Space) -> None:
    """All pods become ready, the migration is made, none has been restarted, all requests are answered."""
    released.wait_until_rolled_out()
    released.settle(2)
    pods = released.pods()
    assert [(is_ready(pod), state(pod)["restartCount"]) for pod in pods] == [(True, 0)] * 2
    chosen = ("job", "--selector", "app.kubernetes.io/name=migrate")
    released.kubectl("wait", *chosen, "--for=condition=Complete", f"--timeout={READY_S}s")
    with load(released, rate=50) as program:
        report = program.finish()
    assert report["sent"] > 0
    assert report["failed"] == 0, report


def test_a_reload_in_a_pod_is_not_noticed(released: Space) -> None:
    """`pidone reload api`: other processes in the same pod, and no request fails."""
    released.wait_until_rolled_out()
    pod = released.names()[0]
    before = {one["pid"] for one in released.instances(pod, "api")}
    with load(released, rate=50) as program:
        released.exec(pod, "pidone", "reload", "api")
        report = program.finish()
    after = {one["pid"] for one in released.instances(pod, "api") if one["state"] == "online"}
    assert len(after) == len(before)
    assert not after & before
    assert report["failed"] == 0, report


def test_an_upgrade_replaces_the_pods(released: Space, file: Path) -> None:
    """`helm upgrade` with a changed ecosystem: new pods, which have it, and no request fails."""
    released.wait_until_rolled_out()
    before = set(released.names())
    text = released.ecosystem_text()
    assert 'instances = "max"' in text
    changed = file.with_name("api.toml")
    changed.write_text(text.replace('instances = "max"', "instances = 3"))
    words = ["--values", str(file), "--set-file", rf"ecosystems.api\.toml={changed}"]
    with load(released, rate=50) as program:
        helm(released, "upgrade", "sample", str(CHART), *words, NO_SCHEMAS)
        released.wait_until_rolled_out("deployment/backend")
        released.settle(2)
        report = program.finish()
    assert report["failed"] == 0, report
    assert not before & set(released.names())
    for pod in released.names():
        until(lambda pod=pod: len(released.instances(pod, "api")) == 3, "three processes")  # type: ignore[misc]


def test_an_uninstallation_leaves_nothing(released: Space) -> None:
    """`helm uninstall`: a pod ends by itself, its last word is that, and no workload of the release stays."""
    released.wait_until_rolled_out("deployment/backend")
    (pod, *_) = released.names()
    with released.following(pod) as records:
        helm(released, "uninstall", "sample")
        last = list(records)[-1]
    assert (last["event"], last["code"]) == ("runtime.exit", 0)
    until(lambda: not released.get("deployments"), "the deployments to be gone")
