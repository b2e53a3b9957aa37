"""`npm start` and its like, as the command that package.json names.

npm keeps the IPC channel to itself and delays signals, so a plain command is run in its place, with the
variables that npm would set (npm_variables.py).
"""

import json
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from pidone.ecosystem.programs.npm_variables import package_of

RUNNERS: Final = frozenset({"npm", "yarn", "pnpm"})
_RUN: Final = frozenset({"run", "run-script"})
_SHORT: Final = frozenset({"start", "test", "stop", "restart"})
"""Scripts that need no `run` with npm; yarn and pnpm need it for none."""
_SHELL_SYNTAX: Final = r"[;&|<>()`$*?\[\]{}~#!\n\\\"'%]"
_ASSIGNMENT: Final = r"[A-Za-z_][A-Za-z0-9_]*="
_PLUG_AND_PLAY: Final = (".pnp.cjs", ".pnp.js")


class Direct(NamedTuple):
    """The command of a script, ready to be run without its runner."""

    words: tuple[str, ...]
    text: str
    env: dict[str, str]
    package: dict[str, object]


class Indirect(NamedTuple):
    """Why the runner itself has to run."""

    why: str


def direct_command(words: tuple[str, ...], cwd: Path) -> Direct | Indirect:
    """What `npm run x -- --flag` comes to in `cwd`."""
    asked = _script_name(words)
    if asked is None:
        return Indirect(f"{' '.join(words)} is not a plain start or run")
    name, extra = asked
    package = package_of(cwd)
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    text = scripts.get(name)
    if text is None and name == "start" and os.path.exists(cwd / "server.js"):
        text = "node server.js"
    if not isinstance(text, str):
        return Indirect(f"package.json in {cwd} has no script {json.dumps(name)}")
    if words[0] == "yarn" and any(
        os.path.exists(folder / name) for folder in (cwd, *cwd.parents) for name in _PLUG_AND_PLAY
    ):
        return Indirect("the packages are Yarn's Plug'n'Play, which only yarn resolves")
    if f"pre{name}" in scripts or f"post{name}" in scripts:
        return Indirect(f"there is a pre{name} or post{name} script")
    env, command = _leading_assignments(text.split())
    if (
        re.search(_SHELL_SYNTAX, text)
        or not command
        or command[0] in (*RUNNERS, "npx", "cd", "exec", "export")
    ):
        return Indirect(f"its script needs a shell: {text}")
    env |= {"npm_lifecycle_event": name, "npm_lifecycle_script": text}
    if words[0] == "npm" and not _RUN & set(words):
        env["npm_command"] = name
    return Direct((*command, *extra), text, env, package)


def _script_name(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The script and what it gets besides; None if there are options for the runner itself."""
    runner, *rest = words
    if rest and rest[0] == "--":  # `pm2 start npm -- start`
        rest = rest[1:]
    if rest and rest[0] in _RUN:
        rest = rest[1:]
    elif not rest or (runner == "npm" and rest[0] not in _SHORT):
        return None
    if not rest or rest[0].startswith("-"):
        return None
    name, *extra = rest
    if extra and extra[0] == "--":
        return name, tuple(extra[1:])
    if extra and runner == "npm":
        return None  # npm takes options before `--` for itself
    return name, tuple(extra)


def _leading_assignments(words: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """`NODE_ENV=production node x` and `cross-env A=1 node x` as variables and the command."""
    if words and words[0] == "cross-env":
        words = words[1:]
    env: dict[str, str] = {}
    while words and re.match(_ASSIGNMENT, words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    return env, tuple(words)
