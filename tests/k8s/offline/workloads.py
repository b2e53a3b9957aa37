"""Objects seen as what they run: pods, their containers, and the ecosystems in them."""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from k8s.offline.tools import K8S, Object


@dataclass(frozen=True)
class Workload:
    """What makes pods, with everything it is applied together with."""

    thing: Object
    together: tuple[Object, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.thing['kind']}/{self.thing['metadata']['name']}"

    @property
    def template(self) -> Object:
        """Its pods."""
        found: Object = self.thing["spec"]["template"]
        return found

    @property
    def pod(self) -> Object:
        """What its pods are made of."""
        found: Object = self.template["spec"]
        return found

    @property
    def containers(self) -> list[Object]:
        """All of them, sidecars and what runs before too."""
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    @property
    def main(self) -> Object:
        """The container of pidone."""
        return next(container for container in self.containers if container["name"] == "pidone")

    def env(self, name: str) -> str:
        """A variable of pidone's that stands in the manifest."""
        return next(str(each["value"]) for each in self.main["env"] if each["name"] == name)

    @property
    def has_ecosystem(self) -> bool:
        """Whether it runs pidone with one of our files."""
        return any(c["name"] == "pidone" and c["args"][-1].endswith(".toml") for c in self.containers)

    @property
    def ecosystem(self) -> str:
        """The text of the file it names, out of the ConfigMap that is mounted there."""
        folder, _, name = self.main["args"][-1].rpartition("/")
        volume = next(each["name"] for each in self.main["volumeMounts"] if each["mountPath"] == folder)
        source = next(each["configMap"]["name"] for each in self.pod["volumes"] if each["name"] == volume)
        return str(self.find("ConfigMap", source)["data"][name])

    @property
    def settings(self) -> dict[str, Any]:
        """That file, parsed."""
        return tomllib.loads(self.ecosystem)

    def find(self, kind: str, name: str) -> Object:
        """Another object. Raises StopIteration where there is none."""
        return next(
            each for each in self.together if each["kind"] == kind and each["metadata"]["name"] == name
        )


def workloads(objects: Sequence[Object]) -> Iterator[Workload]:
    """Those among some objects."""
    for thing in objects:
        if "template" in thing.get("spec", {}):
            yield Workload(thing, tuple(objects))


def written() -> tuple[Object, ...]:
    """The base as it is written, before kustomize: for where there is none."""
    folder = K8S / "base"
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    objects = [each for file in plan["resources"] for each in yaml.safe_load_all((folder / file).read_text())]
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": entry["name"]},
            "data": {file.rpartition("/")[2]: (folder / file).read_text() for file in entry.get("files", ())},
        }
        for entry in plan["configMapGenerator"]
    ]
    return (*objects, *maps)


def seconds(text: str) -> float:
    """`27s` as a number."""
    return float(text.removesuffix("s"))


def selects(selector: Object, labels: Object) -> bool:
    """Whether a label selector takes these labels."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def any_selected(selector: Object, among: Iterable[Workload]) -> bool:
    """Whether any pods are meant by a selector."""
    return any(selects(selector, each.template["metadata"]["labels"]) for each in among)
