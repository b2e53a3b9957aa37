"""`start`, `stop`, `reload`, `scale` and the rest: ask for a change, and wait until it has happened."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from runtime.cli.control import table
from runtime.cli.control.client import REFUSED, Client, CommandError
from runtime.cli.control.words import Parser, client, guarded, parser
from runtime.init.exitcodes import ExitCode

_POLL_S: Final = 0.05
_SETTLED: Final = ("online", "stopped", "errored", "completed", "backoff")
_UP: Final = ("online", "completed")
_VERBS: Final = {
    "start": "Start what does not run.",
    "stop": "Stop; the runtime stays.",
    "restart": "End and start again, all instances at once.",
    "reload": "Replace instance by instance, each new one ready before its old one leaves.",
    "delete": "Stop and forget, until the file is read again.",
    "reset": "Count restarts anew.",
    "flush": "Forget the log lines that are kept.",
}


def run(words: Sequence[str]) -> int:
    """The command in `words[0]`."""
    return guarded(_OTHERS.get(words[0], _verb), words)


def _verb(words: Sequence[str]) -> int:
    verb = words[0]
    made = _with_targets(parser(verb, _VERBS[verb]), many=True)
    options = made.parse_args(words[1:])
    runtime = client(options)
    targets = options.target or ["all"] if verb == "flush" else options.target
    apps = [app for target in targets for app in act(runtime, target, verb)]
    if verb in ("start", "stop", "restart", "reload") and not options.no_wait:
        apps = [app for target in targets for app in settle(runtime, target, options.timeout)]
    return report(verb, apps, options)


def _scale(words: Sequence[str]) -> int:
    # "-1" is a number to us, and would be an option to argparse.
    made = _with_targets(parser("scale", "Change the number of instances."), many=False)
    made.add_argument("instances", help='N, +N, -N or "max" for the CPUs of the container')
    options = made.parse_args(_protect_number(words[1:]))
    runtime = client(options)
    apps = act(runtime, options.target, "scale", {"instances": options.instances.strip()})
    if not options.no_wait:
        apps = settle(runtime, options.target, options.timeout)
    return report("scale", apps, options)


def _signal(words: Sequence[str]) -> int:
    made = _with_targets(parser("signal", "Send a signal to the main processes."), many=False)
    made.add_argument("signal", help="name or number")
    options = made.parse_args(words[1:])
    return report(
        "signal", act(client(options), options.target, "signal", {"signal": options.signal}), options
    )


def _send(words: Sequence[str]) -> int:
    made = _with_targets(
        parser("send", "Write a line to stdin, or with --message send over IPC."), many=False
    )
    made.add_argument("line", nargs="?", help='a line for stdin (the app needs stdin = "pipe")')
    made.add_argument(
        "--message", metavar="JSON", help="an IPC message; what is not JSON is sent as a string"
    )
    options = made.parse_args(words[1:])
    if (options.line is None) == (options.message is None):
        made.error("either a line or --message")
    body = {"line": options.line} if options.message is None else {"message": _json(options.message)}
    reply = client(options).post("api", "apps", options.target, "send", body=body)
    print(json.dumps(reply) if options.json else f"reached {reply['reached']}")
    return 0


def _trigger(words: Sequence[str]) -> int:
    made = _with_targets(parser("trigger", "Run an action of the app and print the replies."), many=False)
    made.add_argument("action")
    made.add_argument("parameter", nargs="?", help="JSON, or a string")
    options = made.parse_args(words[1:])
    body: dict[str, object] = {"action": options.action}
    if options.parameter is not None:
        body["parameter"] = _json(options.parameter)
    replies = client(options).post("api", "apps", options.target, "trigger", body=body)["replies"]
    if options.json:
        print(json.dumps(replies))
    else:
        for reply in replies:
            text = reply.get("error") or json.dumps(reply.get("return"), ensure_ascii=False)
            print(f"[{reply['app']}:{reply['instance']}] {text}")
    return REFUSED if any("error" in reply for reply in replies) else 0


def _with_targets(made: Parser, *, many: bool) -> Parser:
    nargs = "*" if made.prog.endswith("flush") else "+"
    if many:
        made.add_argument("target", nargs=nargs, help="app, app:index, id, namespace or all")
    else:
        made.add_argument("target", help="app, app:index, id, namespace or all")
    made.add_argument("--no-wait", action="store_true", help="do not wait until it has happened")
    made.add_argument("--timeout", type=float, default=120.0, metavar="S", help="wait at most this long")
    return made


def act(runtime: Client, target: str, verb: str, body: object = None) -> list[dict[str, Any]]:
    """Ask for it; the apps as they are then."""
    apps: list[dict[str, Any]] = runtime.post("api", "apps", target, verb, body=body)["apps"]
    return apps


def settle(runtime: Client, target: str, timeout: float) -> list[dict[str, Any]]:
    """Wait until nothing is under way any more. Raises CommandError (124) when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        apps: list[dict[str, Any]] = runtime.get("api", "apps", target)["apps"]
        if all(is_settled(app) for app in apps):
            return apps
        if time.monotonic() > deadline:
            late = ", ".join(f"{app['name']} is {app['state']}" for app in apps if not is_settled(app))
            raise CommandError(f"not done within {timeout:g} s: {late}", ExitCode.DEADLINE)
        time.sleep(_POLL_S)


def is_settled(app: dict[str, Any]) -> bool:
    """Whether every instance rests, serves, or waits for a restart."""
    reload = app["reload"]
    return (
        not app["leaving"]
        and (reload is None or reload["state"] != "running")
        and all(instance["state"] in _SETTLED for instance in app["instances"])
    )


def report(verb: str, apps: list[dict[str, Any]], options: argparse.Namespace) -> int:
    """Print how it stands; 0 if it is as it was asked for."""
    if options.json:
        print(json.dumps({"apps": apps}))
    elif verb not in ("reset", "flush", "signal", "delete"):
        print(table.render(table.HEAD, table.rows(apps), right=table.RIGHT))
    if verb not in ("start", "restart", "reload", "scale") or options.no_wait:
        return 0
    failures = list(filter(None, (failure(verb, app) for app in apps)))
    for line in failures:
        sys.stderr.write(f"pidone: {line}\n")
    return REFUSED if failures else 0


def failure(verb: str, app: dict[str, Any]) -> str:
    """Why an app is not as it should be; empty if it is."""
    reload = app["reload"]
    if verb == "reload" and reload is not None and reload["state"] == "failed":
        return f"{app['name']}: {reload['message']}; the old processes stay"
    down = [f"{app['name']}:{i['index']} is {i['state']}" for i in app["instances"] if i["state"] not in _UP]
    return ", ".join(down)


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _protect_number(words: Sequence[str]) -> list[str]:
    return [f" {word}" if word[:1] == "-" and word[1:].isdigit() else word for word in words]


_OTHERS: Final = {"scale": _scale, "signal": _signal, "send": _send, "trigger": _trigger}
