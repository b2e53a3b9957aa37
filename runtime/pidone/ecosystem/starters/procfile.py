"""A Procfile (https://devcenter.heroku.com/articles/procfile) as an ecosystem."""

import re
from typing import Any, Final

from pidone.ecosystem.formats.procfile import processes
from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.starters.commands import command_keys

_RELEASE: Final = "release"
_FIRST_PORT: Final = 5000  # foreman's


def from_procfile(text: str) -> Tables:
    """One app per process type; `release` runs to its end before the others start, as on Heroku."""
    apps = [_app(name, command) for _, name, command in processes(text)]
    if any(app["name"] == _RELEASE for app in apps):
        for app in apps:
            if app["name"] == _RELEASE:
                app["autorestart"] = False
            else:
                app["depends_on"] = {_RELEASE: "completed"}
    return Tables(apps=tuple(apps))


def _app(name: str, command: str) -> dict[str, Any]:
    app = {"name": name, **command_keys(command)}
    if re.search(r"\$\{?PORT\b", command):
        app["env"] = {"PORT": f"${{PORT:-{_FIRST_PORT}}}"}
    return app
