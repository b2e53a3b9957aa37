"""Kubernetes' OpenAPI definitions as a strict JSON schema: what the API server would drop is an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft4Validator
from k8s.offline.tools import FOREIGN_KINDS, Object, definitions, foreign

_NUMBERS_TOO = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["string", "number"],
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["string", "integer"],
}
"""Definitions that say "string" and take numbers."""


def problems(thing: Object, release: str) -> list[str]:
    """What is wrong with an object in the eyes of a release, a line each."""
    if thing["kind"] in FOREIGN_KINDS:
        validator = Draft4Validator(closed(foreign(thing["kind"])))
        thing = {**thing, "metadata": {}}
    else:
        validator = _validator(release, thing["apiVersion"], thing["kind"])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(thing)]


@cache
def _validator(release: str, version: str, kind: str) -> Draft4Validator:
    found = definitions(release)
    return Draft4Validator(
        {"$ref": f"#/definitions/{_name_of(version, kind, found)}", "definitions": _all(release)}
    )


@cache
def _all(release: str) -> Mapping[str, Any]:
    found = definitions(release)
    wider = {name: {"type": types} for name, types in _NUMBERS_TOO.items()}
    return {name: closed(definition) for name, definition in {**found, **wider}.items()}


def _name_of(version: str, kind: str, found: Mapping[str, Any]) -> str:
    group, _, number = version.rpartition("/")
    wanted = {"group": group, "version": number, "kind": kind}
    for name, definition in found.items():
        if wanted in definition.get("x-kubernetes-group-version-kind", ()):
            return name
    raise LookupError(f"there is no {kind} in {version}")


def closed(schema: Any) -> Any:
    """The same schema, where a property that is not named is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "x-kubernetes-preserve-unknown-fields" not in made:
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["string", "integer"]
    return made
