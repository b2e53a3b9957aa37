"""`ls`, `describe`, `env` and PM2's lists: what is there."""

import json
import sys
from collections.abc import Sequence

import click

from pidone.cli.operate import table
from pidone.cli.operate.client import Client
from pidone.cli.operate.patterns import expand
from pidone.cli.operate.table import harmless
from pidone.cli.options import (
    CommandSet,
    any_targets_argument,
    json_option,
    socket_option,
    target_argument,
)

app = CommandSet()


@app.command("ls", also=("list", "ps", "status"))
@any_targets_argument
@socket_option
@json_option
def ls(target: Sequence[str], *, socket: str | None, as_json: bool) -> None:
    """List apps and their instances. Also: list, ps, status."""
    runtime = Client.find(socket)
    if not as_json and sys.stdout.isatty():
        from pidone.cli.operate import overview

        shown = [runtime.get("api", "apps", each) for each in expand(runtime, target or ["all"])]
        warnings = runtime.get("api").get("warnings", ()) if not target else ()
        print(overview.render(harmless(shown), table.terminal_width(), harmless(list(warnings))))
        return
    if target:
        apps = [app for each in expand(runtime, target) for app in runtime.get("api", "apps", each)["apps"]]
    else:
        apps = runtime.get("api", "apps")["apps"]
    if as_json:
        print(json.dumps({"apps": apps}))
    else:
        print(table.render(table.HEAD, table.rows(harmless(apps)), right=table.RIGHT))


@app.command("describe")
@target_argument
@click.option("--live", is_flag=True, help="Look into each process: threads, files, sockets, PSS.")
@socket_option
@json_option
def describe(target: str, *, live: bool, socket: str | None, as_json: bool) -> None:
    """Tell everything about an app, and what happened to it lately."""
    from pidone.cli.operate import description

    shown = description.ask(Client.find(socket), target, live=live)
    if as_json:
        print(json.dumps(shown))
        return
    shown = harmless(shown)
    width = table.terminal_width() if sys.stdout.isatty() else None
    print("\n\n".join(description.render(shown, each, width) for each in shown["apps"]))


@app.command("env")
@target_argument
@socket_option
@json_option
def env(target: str, *, socket: str | None, as_json: bool) -> None:
    """Print the variables an app starts with; what looks like a secret is masked."""
    shown = Client.find(socket).get("api", "apps", target, "env")
    if as_json:
        print(json.dumps(shown))
        return
    shown = harmless(shown)
    for each in shown["apps"]:
        if len(shown["apps"]) > 1:
            print(f"# {each['name']}")
        for name, value in each["env"].items():
            print(f"{name}={value}")


@app.command("jlist")
@socket_option
@json_option
def jlist(*, socket: str | None, as_json: bool) -> None:
    """Print PM2's process list as JSON, without variables."""
    del as_json  # it is
    from pidone.control.pm2.lists import entries, launched

    found = launched(Client.find(socket).get("api", "apps", "all"))
    print(json.dumps(entries(found), separators=(",", ":")))


@app.command("prettylist")
@socket_option
@json_option
def prettylist(*, socket: str | None, as_json: bool) -> None:
    """Print PM2's process list as Node writes objects, without variables."""
    from pidone.control.pm2.lists import entries, inspect, launched

    shown = entries(launched(Client.find(socket).get("api", "apps", "all")))
    print(json.dumps(shown) if as_json else inspect(harmless(shown)))
