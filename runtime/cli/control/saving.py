"""`save`: the ecosystem as it runs now, as TOML: its file, with today's scale and what was stopped."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runtime.cli.control.client import CommandError
from runtime.cli.control.words import client, guarded, parser
from runtime.errors import ConfigError

_COUNTS: Final = ("instances", "instance", "i")


def run(words: Sequence[str]) -> int:
    """`pidone save`."""
    return guarded(_save, words)


def _save(words: Sequence[str]) -> int:
    made = parser("save", "Write the running state, scale included, as TOML.")
    made.add_argument("file", nargs="?", help="where to (0600, replaced in one step); default: stdout")
    options = made.parse_args(words[1:])
    runtime = client(options)
    source = runtime.get("api")["source"]
    if source is None:
        raise CommandError("the runtime was started without a file: there is nothing to build on")
    text = document(Path(source), runtime.get("api", "apps")["apps"], runtime.get("api")["cpus"])
    if options.file is None:
        sys.stdout.write(text)
        return 0
    _replace(Path(options.file), text)
    return 0


def document(source: Path, running: Sequence[Mapping[str, Any]], cpus: int) -> str:
    """The file's apps that still run or rest, as TOML. Variables are as the file has them."""
    import tomli_w

    from runtime.ecosystem.formats import read

    try:
        found = read(source, env=os.environ, argv=(), cpus=cpus)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    by_name = {app["name"]: app for app in running}
    apps = []
    for app in found.apps:
        state = by_name.get(str(app.get("name") or _default_name(app)))
        if state is None:
            continue
        kept = {key: value for key, value in app.items() if key not in _COUNTS}
        if state["scale"] != 1:
            kept["instances"] = state["scale"]
        if not state["wanted"] and state["state"] != "completed":
            kept["autostart"] = False
        apps.append(kept)
    return tomli_w.dumps(_without_none({**found.top, "apps": apps}))


def _default_name(app: Mapping[str, object]) -> str:
    """PM2's name of an app without one: the script's, without its last suffix."""
    return Path(str(app.get("script", ""))).stem


def _without_none(value: Any) -> Any:
    """TOML has no null; a key without a value is a key that is not there."""
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value if each is not None]
    return value


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
