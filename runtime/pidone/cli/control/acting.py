"""`start`, `stop`, `reload`, `scale` and the rest: ask for a change, and wait until it has happened."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from pidone.cli.control import table
from pidone.cli.control.changes import act, failure, settle
from pidone.cli.control.client import REFUSED, CommandError
from pidone.cli.options import (
    DASHES,
    AnyTargets,
    Json,
    NoWait,
    Socket,
    Target,
    Targets,
    Timeout,
    client,
    family,
)
from pidone.init.exitcodes import ExitCode

_QUIET: Final = ("reset", "flush", "signal", "delete")

app = family()


def _offer(verb: str, text: str) -> None:
    """A command that asks for a change of some targets and waits until it has happened."""

    def command(
        target: Targets,
        *,
        no_wait: NoWait = False,
        timeout: Timeout = 120.0,
        socket: Socket = None,
        as_json: Json = False,
    ) -> int:
        return _change(verb, target, socket, as_json=as_json, timeout=None if no_wait else timeout)

    app.command(verb, help=text)(command)


def _offer_at_once(verb: str, text: str) -> None:
    """A command that asks for a change of some targets which needs no waiting."""

    def command(target: Targets, *, socket: Socket = None, as_json: Json = False) -> int:
        return _change(verb, target, socket, as_json=as_json, timeout=None)

    app.command(verb, help=text)(command)


_offer(
    "start",
    "Run an ecosystem; beside a running one, start its apps again.\n\n"
    "`pidone start --help` tells how to run one.",
)
_offer("stop", "Stop apps; the runtime stays.")
_offer("restart", "End apps and start them again, all instances at once.")
_offer("reload", "Replace instance by instance, each new one ready before its old one leaves.")
_offer_at_once("delete", "Stop apps and forget them, until the file is read again.")
_offer_at_once("reset", "Count restarts anew.")


@app.command("flush")
def flush(target: AnyTargets = None, *, socket: Socket = None, as_json: Json = False) -> int:
    """Forget the log lines that are kept."""
    return _change("flush", target or ["all"], socket, as_json=as_json, timeout=None)


@app.command("reopen")
def reopen(*, socket: Socket = None, as_json: Json = False) -> None:
    """Open the log files anew, after something else has moved them away."""
    client(socket).post("api", "logs", "reopen")
    print(json.dumps({"reopened": True}) if as_json else "reopened")


@app.command("scale", context_settings=DASHES)
def scale(
    target: Target,
    instances: Annotated[
        str, typer.Argument(metavar="N|+N|-N|max", help="max is the CPUs of the container.")
    ],
    *,
    no_wait: NoWait = False,
    timeout: Timeout = 120.0,
    socket: Socket = None,
    as_json: Json = False,
) -> int:
    """Change the number of instances."""
    runtime = client(socket)
    apps = act(runtime, target, "scale", {"instances": instances})
    if no_wait:
        return _report("scale", apps, as_json=as_json)
    apps = settle(runtime, target, timeout)
    return _report("scale", apps, as_json=as_json) or _judge("scale", apps)


@app.command("signal", context_settings=DASHES)
def signal(
    target: Target,
    name: Annotated[str, typer.Argument(metavar="SIGNAL", help="Name or number.")],
    *,
    socket: Socket = None,
    as_json: Json = False,
) -> int:
    """Send a signal to the main processes."""
    body = {"signal": name.removeprefix("-")}  # as kill(1) takes it
    return _report("signal", act(client(socket), target, "signal", body), as_json=as_json)


@app.command("send", context_settings=DASHES)
def send(
    target: Target,
    line: Annotated[
        str | None, typer.Argument(metavar="[LINE]", help='For stdin; the app needs stdin = "pipe".')
    ] = None,
    *,
    message: Annotated[
        str | None,
        typer.Option(
            "--message", metavar="JSON", help="An IPC message; what is not JSON is sent as a string."
        ),
    ] = None,
    socket: Socket = None,
    as_json: Json = False,
) -> int:
    """Write a line to stdin, or with --message send over IPC."""
    if (line is None) == (message is None):
        raise CommandError("send: expected either a LINE or --message", ExitCode.USAGE)
    body = {"line": line} if message is None else {"message": _parsed(message)}
    reply = client(socket).post("api", "apps", target, "send", body=body)
    print(json.dumps(reply) if as_json else f"reached {reply['reached']}")
    return 0


@app.command("trigger", context_settings=DASHES)
def trigger(
    target: Target,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="As the app has named it.")],
    parameter: Annotated[str | None, typer.Argument(metavar="[PARAMETER]", help="JSON, or a string.")] = None,
    *,
    socket: Socket = None,
    as_json: Json = False,
) -> int:
    """Run an action of the app and print the replies."""
    body: dict[str, object] = {"action": action}
    if parameter is not None:
        body["parameter"] = _parsed(parameter)
    replies = client(socket).post("api", "apps", target, "trigger", body=body)["replies"]
    if as_json:
        print(json.dumps(replies))
    else:
        for reply in replies:
            text = reply.get("error") or json.dumps(reply.get("return"), ensure_ascii=False)
            print(f"[{reply['app']}:{reply['instance']}] {text}")
    return REFUSED if any("error" in reply for reply in replies) else 0


def _change(
    verb: str, targets: Sequence[str], socket: str | None, *, as_json: bool, timeout: float | None
) -> int:
    """Ask for it and, with a `timeout`, wait until it has happened."""
    runtime = client(socket)
    apps = [app for target in targets for app in act(runtime, target, verb)]
    if timeout is None:
        return _report(verb, apps, as_json=as_json)
    apps = [app for target in targets for app in settle(runtime, target, timeout)]
    return _report(verb, apps, as_json=as_json) or _judge(verb, apps)


def _report(verb: str, apps: Sequence[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"apps": apps}))
    elif verb not in _QUIET:
        print(table.render(table.HEAD, table.rows(apps), right=table.RIGHT))
    return 0


def _judge(verb: str, apps: Sequence[dict[str, Any]]) -> int:
    """0 if everything is as it was asked for; otherwise say what is not."""
    if verb == "stop":
        return 0
    failures = list(filter(None, (failure(verb, app) for app in apps)))
    for line in failures:
        sys.stderr.write(f"pidone: {line}\n")
    return REFUSED if failures else 0


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value
