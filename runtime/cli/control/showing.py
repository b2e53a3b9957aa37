"""`ls`, `describe` and `env`: what is there."""

import json
from collections.abc import Sequence
from typing import Any

from runtime.cli.control import details, table
from runtime.cli.control.words import client, guarded, parser


def run(words: Sequence[str]) -> int:
    """The command in `words[0]`."""
    return guarded(_COMMANDS.get(words[0], _ls), words)


def _ls(words: Sequence[str]) -> int:
    made = parser(words[0], "List apps and their instances.")
    made.add_argument("target", nargs="*", help="app, app:index, id, namespace or all")
    options = made.parse_args(words[1:])
    runtime = client(options)
    if options.target:
        apps = [app for target in options.target for app in runtime.get("api", "apps", target)["apps"]]
    else:
        apps = runtime.get("api", "apps")["apps"]
    if options.json:
        print(json.dumps({"apps": apps}))
        return 0
    print(table.render(table.HEAD, table.rows(apps), right=table.RIGHT))
    return 0


def _describe(words: Sequence[str]) -> int:
    made = parser(words[0], "Everything about an app.")
    made.add_argument("target", help="app, app:index, id, namespace or all")
    made.add_argument("--live", action="store_true", help="look into each process: files, sockets, PSS")
    options = made.parse_args(words[1:])
    shown = details.ask(client(options), options.target, live=options.live)
    if options.json:
        print(json.dumps(shown))
        return 0
    for app in shown["apps"]:
        print(_description(app, shown.get("args", {}).get(app["name"], [])))
        print(details.render(shown, app))
    for event in shown["events"]:
        print(f"{event['timestamp']}  {event['event']:<22} {_details(event)}")
    return 0


def _description(app: dict[str, Any], argv: list[str]) -> str:
    reload = app["reload"]
    facts = {
        "name": app["name"],
        "namespace": app["namespace"],
        "state": app["state"] + ("" if app["ready"] else ", not ready"),
        "command": " ".join(argv),
        "cwd": app["cwd"],
        "mode": app["exec_mode"],
        "listen": ", ".join(app["listen"]),
        "depends on": ", ".join(f"{each['app']} ({each['condition']})" for each in app["depends_on"]),
        "last reload": "" if reload is None else f"{reload['state']} {reload['message']}".strip(),
    }
    lines = [f"{name:<12} {value}" for name, value in facts.items() if value]
    for instance in app["instances"]:
        if instance["status_text"]:
            lines.append(f"{'status':<12} {instance['index']}: {instance['status_text']}")
        if instance["last_exit"]:
            last = {name: value for name, value in instance["last_exit"].items() if value is not None}
            lines.append(
                f"{'last exit':<12} {instance['index']}: " + ", ".join(f"{k} {v}" for k, v in last.items())
            )
    return "\n".join([*lines, "", table.render(table.HEAD, table.rows([app]), right=table.RIGHT), ""])


def _details(event: dict[str, Any]) -> str:
    known = ("timestamp", "level", "event", "message", "app")
    fields = " ".join(f"{name}={value}" for name, value in event.items() if name not in known)
    return f"{event['message']} {fields}".strip()


def _env(words: Sequence[str]) -> int:
    made = parser(words[0], "The variables an app starts with; what looks like a secret is masked.")
    made.add_argument("target", help="app, app:index, id, namespace or all")
    options = made.parse_args(words[1:])
    shown = client(options).get("api", "apps", options.target, "env")
    if options.json:
        print(json.dumps(shown))
        return 0
    for app in shown["apps"]:
        if len(shown["apps"]) > 1:
            print(f"# {app['name']}")
        for name, value in app["env"].items():
            print(f"{name}={value}")
    return 0


_COMMANDS = {"describe": _describe, "env": _env}
