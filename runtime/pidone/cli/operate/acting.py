"""`start`, `stop`, `reload`, `scale` and the rest: ask for a change, and wait until it has happened."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from pidone.cli.operate import files, gaps, table
from pidone.cli.operate.client import REFUSED, Client, CommandError
from pidone.cli.operate.patterns import expand, target_of
from pidone.cli.operate.settling import act, failure, settle
from pidone.cli.operate.table import harmless
from pidone.cli.options import (
    DASHES,
    Argument,
    CommandSet,
    any_targets_argument,
    json_option,
    no_wait_option,
    socket_option,
    target_argument,
    targets_argument,
    targets_or_files_argument,
    timeout_option,
)
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import ExitCode
from pidone.logs.escape import printable_word

_QUIET: Final = ("reset", "flush", "signal", "delete")
_TIMEOUT: Final[Seconds] = 120.0

app = CommandSet()


def _offer(verb: str, text: str) -> None:
    """A command that asks for a change of some targets and waits until it has happened."""

    @app.command(verb, help=text)
    @targets_argument
    @no_wait_option
    @timeout_option(_TIMEOUT)
    @socket_option
    @json_option
    def command(
        target: Sequence[str], *, no_wait: bool, timeout: Seconds, socket: str | None, as_json: bool
    ) -> int:
        return _change(verb, target, socket, as_json=as_json, timeout=None if no_wait else timeout)


def _offer_with_files(verb: str, text: str) -> None:
    """The same, where a FILE may stand for its apps, and brings what has changed in it."""

    @app.command(verb, help=text)
    @targets_or_files_argument
    @click.option("--env", "env_name", metavar="NAME", help="With a FILE: lay env_NAME over every app's env.")
    @click.option(
        "--only", metavar="NAMES", default="", help="With a FILE: only these apps, comma separated."
    )
    @click.option("--update-env", is_flag=True, help="Lay this command's own variables over the apps'.")
    @no_wait_option
    @timeout_option(_TIMEOUT)
    @socket_option
    @json_option
    def command(
        target: Sequence[str],
        *,
        env_name: str | None,
        only: str,
        update_env: bool,
        no_wait: bool,
        timeout: Seconds,
        socket: str | None,
        as_json: bool,
    ) -> int:
        settings = files.FileSettings(env_name, only.replace(",", " ").split(), update_env)
        runtime = Client.find(socket)
        named = [word for word in target if files.is_file(word)]
        known = expand(runtime, [word for word in target if word not in named])
        # What a FILE means is known when it has been read.
        before = gaps.tell_before(runtime, _apps(runtime, known)) if verb == "reload" else {}
        targets = [each for word in (*named, *known) for each in _laid(runtime, verb, word, settings)]
        code = _told(verb, targets, runtime, as_json=as_json, timeout=None if no_wait else timeout)
        if verb == "reload" and not no_wait:
            gaps.tell_after(_apps(runtime, targets), before)
        return code


def _apps(runtime: Client, targets: Sequence[str]) -> list[dict[str, Any]]:
    return [app for target in targets for app in runtime.get("api", "apps", target)["apps"]]


def _laid(runtime: Client, verb: str, word: str, settings: files.FileSettings) -> list[str]:
    """Ask for it; the apps that it is about, as targets."""
    if files.is_file(word):
        environ = files.told() if settings.update_env else {}
        found = files.apply_file(runtime, verb, word, settings, environ)
        for note in found["notes"]:
            sys.stderr.write(f"pidone: {printable_word(note)}\n")
        return [target_of(app) for app in found["apps"]]
    if settings.env_name is not None or settings.only:
        raise CommandError(f"{word}: --env and --only are for a FILE, which this is not", ExitCode.USAGE)
    if settings.update_env:
        files.apply_environ(runtime, verb, word)
    else:
        act(runtime, word, verb)
    return [word]


def _offer_at_once(verb: str, text: str) -> None:
    """A command that asks for a change of some targets which needs no waiting."""

    @app.command(verb, help=text)
    @targets_argument
    @socket_option
    @json_option
    def command(target: Sequence[str], *, socket: str | None, as_json: bool) -> int:
        return _change(verb, target, socket, as_json=as_json, timeout=None)


_offer(
    "start",
    "Run an ecosystem; beside a running one, start its apps again.\n\n"
    "`pidone start --help` tells how to run one.",
)
_offer("stop", "Stop apps; the runtime stays.")
_offer_with_files(
    "restart",
    "End apps and start them again, all instances at once.\n\nA FILE is read: who differs from what runs gets"
    " its new spec, who is new starts, and apps that it does not name stay.",
)
_offer_with_files(
    "reload",
    "Replace instance by instance, each new one ready before its old one leaves.\n\nAn app that binds its"
    " port itself cannot serve beside its successor: it is down in between, which is said;"
    ' exec_mode = "cluster" or listen = [PORT] avoids it. A FILE is read as by `restart`.',
)
_offer_at_once("delete", "Stop apps and forget them, until the file is read again.")
_offer_at_once("reset", "Count restarts anew.")


@app.command("flush")
@any_targets_argument
@socket_option
@json_option
def flush(target: Sequence[str], *, socket: str | None, as_json: bool) -> int:
    """Forget the log lines that are kept."""
    return _change("flush", target or ["all"], socket, as_json=as_json, timeout=None)


@app.command("reopen")
@socket_option
@json_option
def reopen(*, socket: str | None, as_json: bool) -> None:
    """Open the log files anew, after something else has moved them away."""
    Client.find(socket).post("api", "logs", "reopen")
    print(json.dumps({"reopened": True}) if as_json else "reopened")


@app.command("scale", context_settings=DASHES)
@target_argument
@click.argument("instances", cls=Argument, metavar="N|+N|-N|max", help="max is the CPUs of the container.")
@no_wait_option
@timeout_option(_TIMEOUT)
@socket_option
@json_option
def scale(
    target: str, instances: str, *, no_wait: bool, timeout: Seconds, socket: str | None, as_json: bool
) -> int:
    """Change the number of instances."""
    runtime = Client.find(socket)
    apps = act(runtime, target, "scale", {"instances": instances})
    if no_wait:
        return _report("scale", apps, as_json=as_json)
    apps = [each for app in apps for each in settle(runtime, target_of(app), timeout)]
    return _report("scale", apps, as_json=as_json) or _judge("scale", apps)


@app.command("signal", context_settings=DASHES)
@target_argument
@click.argument("name", cls=Argument, metavar="SIGNAL", help="Name or number.")
@socket_option
@json_option
def signal(target: str, name: str, *, socket: str | None, as_json: bool) -> int:
    """Send a signal to the main processes."""
    body = {"signal": name.removeprefix("-")}  # as kill(1) takes it
    return _report("signal", act(Client.find(socket), target, "signal", body), as_json=as_json)


@app.command("send", context_settings=DASHES)
@target_argument
@click.argument(
    "line",
    cls=Argument,
    metavar="[LINE]",
    required=False,
    help='For stdin; the app needs stdin = "pipe".',
)
@click.option("--message", metavar="JSON", help="An IPC message; what is not JSON is sent as a string.")
@socket_option
@json_option
def send(target: str, line: str | None, *, message: str | None, socket: str | None, as_json: bool) -> int:
    """Write a line to stdin, or with --message send over IPC."""
    if (line is None) == (message is None):
        raise CommandError("send: expected either a LINE or --message", ExitCode.USAGE)
    body = {"line": line} if message is None else {"message": _parsed(message)}
    reply = Client.find(socket).post("api", "apps", target, "send", body=body)
    print(json.dumps(reply) if as_json else f"reached {reply['reached']}")
    return 0


@app.command("trigger", context_settings=DASHES)
@target_argument
@click.argument("action", cls=Argument, help="As the app has named it.")
@click.argument("parameter", cls=Argument, metavar="[PARAMETER]", required=False, help="JSON, or a string.")
@socket_option
@json_option
def trigger(target: str, action: str, parameter: str | None, *, socket: str | None, as_json: bool) -> int:
    """Run an action of the app and print the replies."""
    body: dict[str, object] = {"action": action}
    if parameter is not None:
        body["parameter"] = _parsed(parameter)
    replies = Client.find(socket).post("api", "apps", target, "trigger", body=body)["replies"]
    if as_json:
        print(json.dumps(replies))
    else:
        for reply in harmless(replies):
            text = reply.get("error") or json.dumps(reply.get("return"), ensure_ascii=False)
            print(f"[{reply['app']}:{reply['instance']}] {text}")
    return REFUSED if any("error" in reply for reply in replies) else 0


def _change(
    verb: str, targets: Sequence[str], socket: str | None, *, as_json: bool, timeout: float | None
) -> int:
    """Ask for it and, with a `timeout`, wait until it has happened."""
    runtime = Client.find(socket)
    targets = expand(runtime, targets)
    apps = [app for target in targets for app in act(runtime, target, verb)]
    if timeout is None:
        return _report(verb, apps, as_json=as_json)
    return _told(verb, targets, runtime, as_json=as_json, timeout=timeout)


def _told(verb: str, targets: Sequence[str], runtime: Client, *, as_json: bool, timeout: float | None) -> int:
    """Show what was asked for, with a `timeout` when it has happened."""
    if timeout is None:
        return _report(verb, _apps(runtime, targets), as_json=as_json)
    apps = [app for target in targets for app in settle(runtime, target, timeout)]
    return _report(verb, apps, as_json=as_json) or _judge(verb, apps)


def _report(verb: str, apps: Sequence[dict[str, Any]], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"apps": apps}))
    elif verb not in _QUIET:
        print(table.render(table.HEAD, table.rows(harmless(apps)), right=table.RIGHT))
    return 0


def _judge(verb: str, apps: Sequence[dict[str, Any]]) -> int:
    """0 if everything is as it was asked for; otherwise say what is not."""
    if verb == "stop":
        return 0
    failures = list(filter(None, (failure(verb, app) for app in apps)))
    for line in failures:
        sys.stderr.write(f"pidone: {printable_word(line)}\n")
    return REFUSED if failures else 0


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value
