"""The JSON Schema of ecosystem files, for editors, made from the catalogue.

It says what the TOML, JSON and YAML readers accept, camelCase spellings included. What needs more than a
pattern (whether a user exists, whether a cron expression ever comes true) only they can tell. Draft 7, as the
editors and SchemaStore want it: https://json-schema.org/draft-07/schema
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from pidone.ecosystem import static
from pidone.ecosystem.keys import APP_GROUPS, NOTHING_IN_A_CONTAINER, RUNTIME_GROUP, Key, KeyGroup
from pidone.ecosystem.output.reference import default_of
from pidone.ecosystem.output.text import SCHEMA
from pidone.ecosystem.spec import AppSpec, RuntimeSpec
from pidone.ecosystem.values import checks, fragments, tables
from pidone.record import Record

_APP: Final = {"$ref": "#/definitions/app"}
_SITE: Final = {"$ref": "#/definitions/site"}
_SETS: Final = "^env_(?!(file|from_files)$)"


def json_schema() -> dict[str, object]:
    """The schema of a whole file, in every shape that is read."""
    apps = {
        "description": "What runs.",
        "anyOf": [
            {"type": "array", "items": _APP},
            {"type": "object", "additionalProperties": _APP},
            _APP,
        ],
    }
    whole = {
        "type": "object",
        "properties": {
            "apps": apps,
            "pm2": apps,
            "runtime": _table((RUNTIME_GROUP,), RuntimeSpec),
            "include": {"description": "Files that this one is laid over.", **fragments.NAMES},
            "smoke": {"description": "Checks of `pidone smoke`.", **checks.SMOKE.schema},
            "alerts": {"description": "Conditions over the running apps.", **checks.ALERTS.schema},
            "deploy": {"type": "object", "description": "PM2's; only `deploy.NAME.env` counts."},
            "static": {
                "description": "Folders that are served by HTTP.",
                **fragments.either(_SITE, fragments.listed(_SITE)),
            },
        },
        "anyOf": [
            {"required": ["apps"]},
            {"required": ["pm2"]},
            {"required": ["deploy"]},
            {"required": ["static"]},
            {"required": ["include"]},
        ],
    }
    app: dict[str, Any] = _table(APP_GROUPS, AppSpec)
    ignored = {"description": "Means nothing in a container and is ignored."}
    app["properties"] = {**dict.fromkeys(sorted(NOTHING_IN_A_CONTAINER), ignored), **_properties(app)}
    app["patternProperties"] = {
        **_properties(app, "patternProperties"),
        **{_in_camel_case(name): ignored for name in sorted(NOTHING_IN_A_CONTAINER) if "_" in name},
        _SETS: fragments.or_null({"description": "Laid over `env` by `--env`.", **tables.ENV.schema}),
    }
    # PM2 takes a table for an environment called "file".
    env_file = app["properties"]["env_file"]
    app["properties"]["env_file"] = {**env_file, "anyOf": [*env_file["anyOf"], tables.ENV.schema]}
    site = {
        **app,
        "properties": {
            **app["properties"],
            **{name: fragments.or_null(dict(kind.schema)) for name, kind in static.MEMBERS.items()},
            static.IGNORED: ignored,
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA,
        "title": "pidone ecosystem",
        "anyOf": [whole, {"type": "array", "items": _APP}, _APP],
        "definitions": {"app": {**app, "anyOf": [{"required": [name]} for name in _SCRIPT]}, "site": site},
    }


_SCRIPT: Final = ("script", "exec", "cmd", "command")


def _properties(schema: Mapping[str, object], name: str = "properties") -> Mapping[str, object]:
    found = schema[name]
    assert isinstance(found, Mapping)  # noqa: S101  # for the type checker
    return found


def _table(groups: tuple[KeyGroup, ...], spec: type[Record]) -> dict[str, object]:
    properties: dict[str, object] = {}
    in_camel_case: dict[str, object] = {}
    for key in (key for group in groups for key in group.keys):
        properties[key.name] = _described(key, default_of(key, spec))
        for alias in key.aliases:
            properties[alias] = fragments.or_null(
                {**key.kind.schema, "description": f"The same as `{key.name}`."}
            )
        for name in (key.name, *key.aliases):
            if "_" in name:
                in_camel_case[_in_camel_case(name)] = properties[name]
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": in_camel_case,
        "additionalProperties": False,
    }


def _in_camel_case(name: str) -> str:
    """A pattern for the spellings of a key that have a capital somewhere in place of `_x`."""
    return "^(?=.*[A-Z])" + re.sub("_([a-z])", lambda found: f"(_{found[1]}|{found[1].upper()})", name) + "$"


def _described(key: Key, default: str) -> Mapping[str, object]:
    return fragments.or_null({**key.kind.schema, "description": f"{key.doc} Default: {default}."})
