"""`save`: the ecosystem as it runs now, as TOML: its file, with today's scale and what was stopped."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from runtime.cli.control.client import CommandError
from runtime.cli.options import Socket, client, family
from runtime.errors import ConfigError

_COUNTS: Final = ("instances", "instance", "i")


app = family()


@app.command("save")
def save(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Where to: 0600, replaced in one step; default: stdout."),
    ] = None,
    *,
    socket: Socket = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, which can be started as well.")] = False,
) -> None:
    """Write the running state, scale included, as TOML."""
    runtime = client(socket)
    overview = runtime.get("api")
    if overview["source"] is None:
        raise CommandError("the runtime was started without a file: there is nothing to build on")
    found = document(Path(overview["source"]), runtime.get("api", "apps")["apps"], overview["cpus"])
    text = _as_text(found, as_json=as_json)
    if file is None:
        sys.stdout.write(text)
    else:
        _replace(file, text)


def _as_text(found: Mapping[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    import tomli_w

    return tomli_w.dumps(found)


def document(source: Path, running: Sequence[Mapping[str, Any]], cpus: int) -> dict[str, Any]:
    """The file's apps that still run or rest. Variables are as the file has them."""
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
    whole: dict[str, Any] = _without_none({**found.top, "apps": apps})
    return whole


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
