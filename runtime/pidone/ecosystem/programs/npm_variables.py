"""The variables that npm, pnpm and yarn give the scripts of a package.json, for one that runs without them.

What they are by their own sources: @npmcli/config's set-envs.js, @npmcli/run-script's package-envs.js and
set-path.js; @pnpm/npm-lifecycle; yarn 1's execute-lifecycle-script.js.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pidone.ecosystem.files import read_file
from pidone.masking import is_secret

_LARGEST_BYTES: Final = 4 * 1024 * 1024
_SETTING: Final = r"[a-z][a-z0-9-]*"
_NODE_OPTIONS: Final = "npm_config_node_options"
_ARCHITECTURES: Final = {"x86_64": "x64", "aarch64": "arm64"}
_NODE_GYP: Final = "node_modules/node-gyp/bin/node-gyp.js"
_CALL_IT_RUN: Final = ("11.", "12.")
"""Versions of npm in which `run-script` is only another name of `run`."""
_PACKAGE_FIELDS: Final = ("name", "version", "config", "engines", "bin")


def package_of(folder: Path) -> dict[str, object]:
    """Its package.json; empty if there is none that can be read."""
    try:
        package = json.loads(read_file(folder / "package.json", _LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return package if isinstance(package, dict) else {}


def bin_folders(cwd: Path) -> str:
    """Where commands of packages lie: here and in every folder above, as in the root of a workspace."""
    return ":".join(str(folder / "node_modules/.bin") for folder in (cwd, *cwd.parents))


def variables(
    runner: Path, node: Path | None, package: Mapping[str, object], cwd: Path, env: Mapping[str, str]
) -> dict[str, str]:
    """What `runner` would add to `env` for a script of `package`, which lies in `cwd`."""
    name = runner.name
    root = _workspace(cwd)
    real = Path(os.path.realpath(runner))
    prefix = Path("/usr/local") if node is None else Path(os.path.realpath(node)).parent.parent
    home = Path(env.get("HOME", "/"))
    found = _settings(name, (prefix / "etc/npmrc", home / ".npmrc", (root or cwd) / ".npmrc"), env)
    if name == "npm":
        found = _own(real, prefix, env) | found
    for field in _PACKAGE_FIELDS if name == "npm" else (*_PACKAGE_FIELDS, "scripts"):
        if field in package:
            value = _bin(package) if field == "bin" and name != "pnpm" else package[field]
            found |= _flat(f"npm_package_{field}", value)
    version = _version(name, real, root or cwd)
    agent = [f"{name}/{version}", "linux", _ARCHITECTURES.get(os.uname().machine, os.uname().machine)]
    if node is not None:
        found |= {"npm_node_execpath": str(node), "NODE": str(node)}
        agent[1:1] = _node_version(node)
    if name == "npm":
        agent.append(f"workspaces/{'true' if root else 'false'}")
        found |= {"npm_config_local_prefix": str(root or cwd), "npm_config_npm_version": version}
        found["npm_package_json"] = str(cwd / "package.json")
    else:
        agent.insert(1, "npm/?")
    said = next((value for key, value in env.items() if key.lower() == _NODE_OPTIONS), None)
    if name != "yarn" and (options := said or found.get(_NODE_OPTIONS)):
        found["NODE_OPTIONS"] = options
    if name == "pnpm":
        found["PNPM_SCRIPT_SRC_DIR"] = str(cwd)
        found["npm_config_node_gyp"] = str(real.parent.parent / "dist" / _NODE_GYP)
    if name != "yarn":
        found["npm_command"] = "run" if name == "npm" and version.startswith(_CALL_IT_RUN) else "run-script"
    return found | {
        "INIT_CWD": str(cwd),
        "npm_execpath": str(real),
        "npm_config_user_agent": " ".join(agent),
    }


def _own(npm: Path, prefix: Path, env: Mapping[str, str]) -> dict[str, str]:
    """What npm says of its own places, unless `env` says others."""
    home = env.get("HOME", "/")
    settings = {
        "cache": f"{home}/.npm",
        "userconfig": f"{home}/.npmrc",
        "init_module": f"{home}/.npm-init.js",
        "globalconfig": f"{prefix}/etc/npmrc",
        "global_prefix": str(prefix),
        "prefix": str(prefix),
        "noproxy": env.get("NO_PROXY") or env.get("no_proxy") or "",
        "node_gyp": str(npm.parent.parent / _NODE_GYP),
    }
    said = {name.lower() for name in env}
    editor = env.get("EDITOR") or env.get("VISUAL") or "vi"
    own = {f"npm_config_{name}": value for name, value in settings.items()}
    return {"COLOR": "0", "EDITOR": editor} | {name: own[name] for name in own if name not in said}


def _bin(package: Mapping[str, object]) -> object:
    """`bin` as npm and yarn read it: by name, and without `./`."""
    value = package["bin"]
    if isinstance(value, str):
        value = {str(package.get("name", "")).rpartition("/")[2]: value}
    if not isinstance(value, dict):
        return value
    return {name: os.path.normpath(f"/{path}").lstrip("/") for name, path in value.items()}


def _flat(name: str, value: object) -> dict[str, str]:
    """`npm_package_config_port` and its like, as npm makes them."""
    if isinstance(value, list):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in _flat(f"{name}_{key}", item).items()}
    if value is None or value is False:
        return {name: ""}
    return {name: "true" if value is True else str(value)}


def _workspace(cwd: Path) -> Path | None:
    """The root of the workspace that a package is in."""
    for folder in cwd.parents:
        if os.path.exists(folder / "pnpm-workspace.yaml") or "workspaces" in package_of(folder):
            return folder
    return None


def _settings(runner: str, files: Sequence[Path], env: Mapping[str, str]) -> dict[str, str]:
    """Settings of machine, user and project as variables; what is about registries and logins stays out."""
    settings: dict[str, str] = {}
    for file in files:
        for key, value in _lines_of(file):
            settings[f"npm_config_{key.replace('-', '_')}"] = value
    # Their own variables come before their files.
    said = {name.lower() for name in env if name.lower().startswith("npm_config_")}
    return {name: value for name, value in settings.items() if name not in said or runner == "yarn"}


def _lines_of(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = read_file(path, _LARGEST_BYTES).decode(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and re.fullmatch(_SETTING, key) and not is_secret(key):
            yield key, value.strip("\"'")


def _version(name: str, real: Path, root: Path) -> str:
    """The runner's; corepack runs the one that the project wants."""
    wanted = str(package_of(root).get("packageManager", ""))
    if "corepack" in real.parts and wanted.startswith(f"{name}@"):
        return wanted.partition("@")[2].partition("+")[0]
    packages = (package_of(folder) for folder in real.parents)
    return next((str(package["version"]) for package in packages if "version" in package), "?")


def _node_version(node: Path) -> Iterator[str]:
    """`node/v22.1.0`, by the header file that Node is installed with; nothing is started for it."""
    header = Path(os.path.realpath(node)).parent.parent / "include/node/node_version.h"
    try:
        text = read_file(header, _LARGEST_BYTES).decode(errors="replace")
    except OSError:
        return
    numbers = re.findall(r"#define NODE_(?:MAJOR|MINOR|PATCH)_VERSION (\d+)", text)
    if numbers:
        yield "node/v" + ".".join(numbers)
