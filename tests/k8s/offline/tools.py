"""What these tests need beside Python: kustomize, helm and schemas, kept outside of the repository."""

import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import locked

REPOSITORY = Path(__file__).parents[3]
K8S = REPOSITORY / "k8s"
OVERLAYS = ("local", "node", "production", "sidecar")

RELEASES = ("v1.35.4", "v1.36.3", "v1.37.0")
"""The three latest minor releases of Kubernetes."""
KUSTOMIZE = "v5.8.1"
HELM = "v3.19.0"
OPERATOR = "v0.85.0"
FOREIGN_KINDS = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
"""Of the Prometheus operator, no part of Kubernetes, and their plurals."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidone/k8s"
LOCK = CACHE / "lock"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""With libyaml, where there is one: ten times as fast."""
Object = dict[str, Any]
"""A Kubernetes object."""


@cache
def build(folder: str) -> tuple[Object, ...]:
    """The objects that kustomize makes of a folder below k8s/."""
    return _build(K8S / folder)


@cache
def compose(*components: str) -> tuple[Object, ...]:
    """The objects of an overlay that is nothing but the base and these components."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "k8s"
        shutil.copytree(K8S, copy)
        overlay = copy / "overlays/composed"
        overlay.mkdir()
        plan = {
            "namespace": "composed",
            "resources": ["../../base"],
            "components": [f"../../{name}" for name in components],
        }
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(plan))
        return _build(overlay)


def overlaid(folder: str, components: Sequence[str], settings: Sequence[str]) -> tuple[Object, ...]:
    """The objects of a folder below k8s/ under an overlay of somebody else, with components and settings."""
    with tempfile.TemporaryDirectory() as copied:
        copy = Path(copied) / "k8s"
        shutil.copytree(K8S, copy)
        top = copy / "overlays/top"
        top.mkdir()
        plan = {
            "resources": [f"../../{folder}"],
            "components": [f"../../{name}" for name in components],
            "configMapGenerator": [{"name": "settings", "behavior": "merge", "literals": list(settings)}],
        }
        (top / "kustomization.yaml").write_text(yaml.safe_dump(plan))
        return _build(top)


def build_edited(folder: str, edits: Mapping[str, tuple[str, str]]) -> tuple[Object, ...]:
    """The objects of a folder below k8s/ in which somebody has replaced a text in each of these files."""
    with tempfile.TemporaryDirectory() as copied:
        copy = Path(copied) / "k8s"
        shutil.copytree(K8S, copy)
        for name, (old, new) in edits.items():
            text = (copy / name).read_text()
            assert old in text, name
            (copy / name).write_text(text.replace(old, new))
        return _build(copy / folder)


def _build(folder: Path) -> tuple[Object, ...]:
    done = subprocess.run([*_kustomize(), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, LOADER))


@cache
def definitions(release: str) -> Mapping[str, Any]:
    """The OpenAPI definitions of a release of Kubernetes."""
    file = CACHE / "schemas" / f"{release}.json"
    _provide("k8s.io/kubernetes", release, {"api/openapi-spec/swagger.json": file})
    found: Mapping[str, Any] = json.loads(file.read_text())["definitions"]
    return found


@cache
def foreign(kind: str) -> Mapping[str, Any]:
    """The schema of one of the operator's kinds."""
    folder = "example/prometheus-operator-crd/monitoring.coreos.com_"
    files = {
        f"{folder}{plural}.yaml": CACHE / "schemas" / f"{plural}-{OPERATOR}.yaml"
        for plural in FOREIGN_KINDS.values()
    }
    _provide("github.com/prometheus-operator/prometheus-operator", OPERATOR, files)
    file = files[f"{folder}{FOREIGN_KINDS[kind]}.yaml"]
    (version,) = yaml.load(file.read_text(), LOADER)["spec"]["versions"]
    found: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


@cache
def _kustomize() -> tuple[str, ...]:
    """The command, as it is installed, as the cluster of tests has it, or built."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    ours = CACHE / "bin/kustomize"
    for kubectl in (shutil.which("kubectl"), *map(str, CACHE.glob("*/bin/kubectl"))):
        if kubectl:
            return (kubectl, "kustomize")
    with locked(LOCK):
        if not ours.exists():
            _go(["install", f"sigs.k8s.io/kustomize/kustomize/v5@{KUSTOMIZE}"], GOBIN=str(ours.parent))
    return (str(ours), "build")


@cache
def helm() -> str:
    """The program, as it is installed, or built."""
    if found := shutil.which("helm"):
        return found
    ours = CACHE / "bin/helm"
    with locked(LOCK):
        if not ours.exists():
            _go(["install", f"helm.sh/helm/v3/cmd/helm@{HELM}"], GOBIN=str(ours.parent))
    return str(ours)


def _provide(module: str, version: str, files: Mapping[str, Path]) -> None:
    with locked(LOCK):
        if not all(file.exists() for file in files.values()):
            _unpack(module, version, files)


def _unpack(module: str, version: str, files: Mapping[str, Path]) -> None:
    """Take files out of a Go module, and leave nothing else behind."""
    with tempfile.TemporaryDirectory() as folder:
        said = _go(["mod", "download", "-modcacherw", "-json", f"{module}@{version}"], GOMODCACHE=folder)
        with zipfile.ZipFile(json.loads(said)["Zip"]) as archive:
            for path, file in files.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(".part")
                part.write_bytes(archive.read(f"{module}@{version}/{path}"))
                part.rename(file)


def _go(words: list[str], **env: str) -> str:
    if not shutil.which("go"):
        pytest.skip("neither in the cache nor a Go toolchain to get it with")
    with tempfile.TemporaryDirectory() as folder:  # without a module of its own
        done = subprocess.run(
            ["nice", "go", *words],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", **env},  # no C compiler is needed then
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if done.returncode:
        pytest.skip(f"go {words[0]}: {(done.stderr or done.stdout)[-300:]}")
    return done.stdout
