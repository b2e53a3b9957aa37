"""A first ecosystem for a folder, by what is in it."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.starters.commands import command_keys
from pidone.ecosystem.starters.containers import COMPOSE_FILES, from_compose, from_dockerfile
from pidone.ecosystem.starters.procfile import from_procfile
from pidone.ecosystem.starters.supervisord import from_supervisord

_PORT: Final = 8000
_ANY: Final = "0.0.0.0"  # noqa: S104  # as servers write it
_NODE_MAINS: Final = ("server.js", "index.js", "app.js", "dist/index.js", "dist/server.js", "dist/main.js")
_PYTHON_MAINS: Final = ("main.py", "app.py", "server.py", "asgi.py", "wsgi.py")
_SUPERVISORD: Final = ("supervisord.conf", "etc/supervisord.conf", "supervisor/supervisord.conf")
_BINARIES: Final = ("app", "server", "main")
_NOTHING: Final = "Nothing here says what to run: write script = ... below."


class Starter(NamedTuple):
    """A first ecosystem and what it was made of."""

    tables: Tables
    made_of: str


def starter(folder: Path) -> Starter:
    """Look at a folder. What says most counts: other programs' files come before guesses.

    Raises ConfigError for one of them that cannot be read.
    """
    procfile = folder / "Procfile"
    if os.path.isfile(procfile) and (found := from_procfile(procfile.read_text(errors="replace"))).apps:
        return Starter(found, "Procfile")
    for name in _SUPERVISORD:
        if os.path.isfile(folder / name) and (found := from_supervisord(folder / name)).apps:
            return Starter(found, name)
    if os.path.isfile(folder / "Dockerfile") and (found := from_dockerfile(folder / "Dockerfile")).apps:
        return Starter(found, "Dockerfile")
    for name in COMPOSE_FILES:
        if os.path.isfile(folder / name) and (found := from_compose(folder / name)).apps:
            return Starter(found, name)
    guessed = {
        "package.json": _node(folder),
        "the Python files": _python(folder),
        "go.mod": _go(folder),
        "Gemfile": _ruby(folder),
        "composer.json": _php(folder),
    }
    if apps := {source: app for source, app in guessed.items() if app}:
        return Starter(Tables(apps=tuple(apps.values())), " and ".join(apps))
    return Starter(Tables(apps=({"name": "app"},), remarks=(_NOTHING,)), "nothing that says what to run")


def _go(folder: Path) -> Mapping[str, Any] | None:
    if not os.path.isfile(folder / "go.mod"):
        return None
    module = re.search(r"(?m)^module\s+(\S+)", (folder / "go.mod").read_text(errors="replace"))
    name = module[1].rstrip("/").rpartition("/")[2] if module else folder.resolve().name
    candidates = (*(f"{where}{binary}" for binary in (name, *_BINARIES) for where in ("bin/", "")),)
    binary = next(
        (each for each in candidates if os.access(folder / each, os.X_OK) and os.path.isfile(folder / each)),
        None,
    )
    return (
        {"name": name, "script": f"./{binary}"}
        if binary
        else {"name": name, "script": "go", "args": ["run", "."]}
    )


def _ruby(folder: Path) -> Mapping[str, Any] | None:
    if not os.path.isfile(folder / "Gemfile"):
        return None
    gems = (folder / "Gemfile").read_text(errors="replace")
    name = folder.resolve().name
    if os.path.isfile(folder / "config.ru"):
        server = "puma" if re.search(r"""gem\s+['"]puma""", gems) else "rackup"
        return {"name": name, "script": "bundle", "args": ["exec", server]}
    main = next((main for main in ("app.rb", "main.rb", "server.rb") if os.path.isfile(folder / main)), None)
    return {"name": name, "script": "bundle", "args": ["exec", "ruby", main]} if main else None


def _php(folder: Path) -> Mapping[str, Any] | None:
    if not os.path.isfile(folder / "composer.json"):
        return None
    name = folder.resolve().name
    if os.path.isfile(folder / "artisan"):
        return {
            "name": name,
            "script": "php",
            "args": ["artisan", "serve", f"--host={_ANY}", f"--port={_PORT}"],
        }
    root = next(
        (root for root in ("public", "web", ".") if os.path.isfile(folder / root / "index.php")), None
    )
    return {"name": name, "script": "php", "args": ["-S", f"{_ANY}:{_PORT}", "-t", root]} if root else None


def _node(folder: Path) -> Mapping[str, Any] | None:
    try:
        package = json.loads((folder / "package.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(package, dict):
        return None
    name = str(package.get("name") or folder.resolve().name).rpartition("/")[2]
    scripts = package.get("scripts")
    start = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(start, str):
        words = start.split()
        plain = len(words) == 2 and words[0] == "node" and os.path.isfile(folder / words[1])
        return {"name": name, "script": words[1] if plain else "npm start"}
    mains = [main for main in (package.get("main"), *_NODE_MAINS) if isinstance(main, str)]
    main = next((main for main in mains if os.path.isfile(folder / main)), None)
    return {"name": name, "script": main} if main else None


def _python(folder: Path) -> Mapping[str, Any] | None:
    project = _project(folder)
    name = str(project.get("name") or folder.resolve().name)
    scripts = project.get("scripts")
    if isinstance(scripts, dict) and scripts:
        return {"name": name, "script": next(iter(scripts))}
    django = next(iter(sorted(folder.glob("*/wsgi.py"))), None)
    if django and os.path.isfile(folder / "manage.py"):
        # gunicorn takes the listening socket by itself (LISTEN_FDS)
        return {"name": name, "script": "gunicorn", "args": [f"{django.parent.name}.wsgi"], "listen": [_PORT]}
    main = next((main for main in _PYTHON_MAINS if os.path.isfile(folder / main)), None)
    return {"name": name, **_python_main(folder / main)} if main else None


def _project(folder: Path) -> Mapping[str, Any]:
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text()).get("project", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _python_main(path: Path) -> Mapping[str, Any]:
    """A module that makes an ASGI or WSGI application needs a server, others are programs."""
    text = path.read_text(errors="replace")
    made = re.search(r"(?m)^(\w+)(?:\s*:\s*\w+)?\s*=\s*(FastAPI|Starlette|Flask)\(", text)
    if not made or "__main__" in text:
        return {"script": path.name}
    application = f"{path.stem}:{made[1]}"
    if made[2] == "Flask":
        return {**command_keys(f"gunicorn {application}"), "listen": [_PORT]}
    return {"script": "uvicorn", "args": [application, "--fd", "{fd}"], "listen": [_PORT]}
