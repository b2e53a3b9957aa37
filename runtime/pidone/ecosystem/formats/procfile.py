"""A Procfile (https://devcenter.heroku.com/articles/procfile), as foreman runs it."""

import os
import re
from collections.abc import Iterator
from typing import Any, Final

from pidone.ecosystem.formats.source import Parsed, Source
from pidone.errors import ConfigError

_LINE: Final = r"([A-Za-z0-9_-]+):\s*(.+)"
_RELEASE: Final = "release"
_FIRST_PORT: Final = 5000
_PORTS_APART: Final = 100
"""Each process type gets a hundred ports from foreman's 5000 on: one for each instance."""


def processes(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and command of each process type."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.fullmatch(_LINE, line.strip()):
            yield number, match[1], match[2]


def parse(source: Source) -> Parsed:
    """One app per process type; `release` runs to its end before the others start, as on Heroku.

    Raises:
        ConfigError: there is no process type in it.
    """
    apps: list[dict[str, Any]] = []
    lines: dict[tuple[str | int, ...], int] = {}
    has_release = any(name == _RELEASE for _, name, _ in processes(source.text))
    for number, name, command in processes(source.text):
        lines["apps", len(apps)] = number
        app: dict[str, Any] = {"name": name, "script": command, "increment_var": "PORT"}
        app["env"] = {"PORT": _FIRST_PORT + _PORTS_APART * len(apps)}
        if name == _RELEASE:
            app["autorestart"] = False
        elif has_release:
            app["depends_on"] = {_RELEASE: "completed"}
        if source.path and os.path.isfile(source.path.parent / ".env"):
            app["env_file"] = ".env"
        apps.append(app)
    if not apps:
        raise ConfigError(f"{source.name}: has no line such as `web: node server.js`")
    return Parsed({"apps": apps}, notices=tuple(_ignored(source)), lines=lines)


def _ignored(source: Source) -> Iterator[str]:
    """Lines that foreman, too, passes over without a word."""
    for number, line in enumerate(source.text.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#") and not re.fullmatch(_LINE, text):
            yield f"{source.name}:{number}: is no line such as `web: node server.js`, and is ignored"
