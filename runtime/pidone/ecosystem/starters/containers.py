"""What a Dockerfile or a compose file says about what runs."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem.formats import yaml12
from pidone.ecosystem.formats.source import Source, load
from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.references import escape
from pidone.ecosystem.starters.commands import command_keys
from pidone.ecosystem.values.tables import parse_environment
from pidone.errors import ConfigError

COMPOSE_FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_INITS: Final = frozenset({"tini", "dumb-init", "docker-init", "s6-svscan", "catatonit"})
_OWN_COPY: Final = '`wait_for = ["tcp://NAME:PORT"]` waits for one'


def from_dockerfile(path: Path) -> Tables:
    """The last ENTRYPOINT and CMD, less an init that wraps them. Raises ConfigError."""
    instructions = _instructions(load(path))
    entrypoint, command = _words(instructions.get("ENTRYPOINT")), _words(instructions.get("CMD"))
    if isinstance(entrypoint, str):
        command = []  # as docker does
    wrapped = entrypoint or command
    words: str | list[str] = (
        [*entrypoint, *command] if isinstance(wrapped, list) and isinstance(command, list) else wrapped
    )
    if isinstance(words, list):
        while words and Path(words[0]).name in (*_INITS, "docker-entrypoint.sh"):
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[1:]
    if not words:
        return Tables(apps=())
    keys = command_keys(words)
    return Tables(apps=({"name": Path(str(keys["script"]).split()[0]).stem, **keys},))


def _instructions(source: Source) -> Mapping[str, str]:
    """The last of each; continued lines are one. Of several stages the last one runs."""
    text = re.sub(r"\\[ \t]*\n", " ", re.sub(r"(?m)^\s*#.*\n", "", source.text))
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.upper() == "FROM":
            found.clear()
        found[name.upper()] = rest.strip()
    return found


def _words(text: str | None) -> str | list[str]:
    """The exec form as a list, the shell form as a text."""
    if not text:
        return []
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            return text
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return [*words]
    return text


def from_compose(path: Path) -> Tables:
    """One app for each service that says a command of its own; the others are named. Raises ConfigError."""
    value = yaml12.parse(load(path)).value
    services = value.get("services") if isinstance(value, Mapping) else None
    if not isinstance(services, Mapping):
        raise ConfigError(f"{path}: has no services")
    apps: dict[str, dict[str, Any]] = {}
    outside: list[str] = []
    for name, service in services.items():
        if isinstance(service, Mapping) and (service.get("command") or service.get("entrypoint")):
            apps[name] = _app(name, service)
        else:
            image = service.get("image") if isinstance(service, Mapping) else None
            outside.append(f"{name} ({f'image {image}' if image else 'what its image runs'})")
    for app in apps.values():
        kept = {on: state for on, state in app.pop("depends_on", {}).items() if on in apps}
        if kept:
            app["depends_on"] = kept
    remarks = (f"Services of their own: {', '.join(outside)}; {_OWN_COPY}.",) if outside else ()
    return Tables(apps=tuple(apps.values()), remarks=remarks)


def _app(name: str, service: Mapping[str, Any]) -> dict[str, Any]:
    words: list[str] | str = []
    for part in (service.get("entrypoint"), service.get("command")):
        if isinstance(part, list):
            words = [*words, *map(str, part)] if isinstance(words, list) else words
        elif part:
            words = str(part) if not words else [*words, *str(part).split()]
    app: dict[str, Any] = {"name": name, **command_keys(words)}
    if environment := service.get("environment"):
        pairs = [str(each).partition("=") for each in environment] if isinstance(environment, list) else []
        env = {key: value for key, equals, value in pairs if equals} or environment
        app["env"] = parse_environment(env) if isinstance(env, Mapping) else {}
    if isinstance(file := service.get("env_file"), str):
        app["env_file"] = file
    depends = service.get("depends_on")
    if isinstance(depends, Mapping):
        app["depends_on"] = {
            on: how.get("condition", "started") for on, how in depends.items() if isinstance(how, Mapping)
        }
    elif isinstance(depends, list):
        app["depends_on"] = dict.fromkeys(map(str, depends), "started")
    if service.get("restart") in ("no", False):
        app["autorestart"] = False
    if grace := service.get("stop_grace_period"):
        app["kill_timeout"] = escape(str(grace))
    return app
