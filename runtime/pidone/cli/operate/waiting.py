"""`wait`, `health`, `drain`, `undrain` and `prestop`: for scripts, HEALTHCHECK and Kubernetes' preStop."""

import json
import sys
import time
from typing import Any, Final

import click

from pidone.cli.operate import health as probing
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.suggestions import complete
from pidone.cli.options import (
    TARGETS,
    Argument,
    CommandSet,
    json_option,
    socket_option,
    timeout_option,
)
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import ExitCode
from pidone.logs.escape import printable

_POLL: Final[Seconds] = 0.05
_PRESTOP_DELAY: Final[Seconds] = 5.0
"""Without a `shutdown_delay`: endpoint controllers and kube-proxy usually need less."""
_MOST_PRESTOP: Final[Seconds] = 600.0
_PRESTOP_ANSWER: Final[Seconds] = 2.0

app = CommandSet()


@app.command("wait")
@click.argument(
    "target", cls=Argument, metavar="[TARGET]", default="all", help=TARGETS, shell_complete=complete
)
@click.option("--ready", is_flag=True, expose_value=False, help="Until every instance is ready: the default.")
@click.option("--stopped", is_flag=True, help="Until no process is left.")
@timeout_option(60.0)
@socket_option
@json_option
def wait(target: str, *, stopped: bool, timeout: Seconds, socket: str | None, as_json: bool) -> None:
    """Wait for an app, or for everything."""
    deadline = time.monotonic() + timeout
    while True:
        apps, missing = _missing(socket, target, stopped=stopped)
        if not missing:
            if as_json:
                print(json.dumps({"apps": apps}))
            return
        if time.monotonic() >= deadline:
            raise CommandError(f"not within {timeout:g} s: {missing}", ExitCode.DEADLINE)
        time.sleep(_POLL)


def _missing(socket: str | None, target: str, *, stopped: bool) -> tuple[list[dict[str, Any]], str]:
    """The apps, and what is not yet as it shall be."""
    try:
        apps: list[dict[str, Any]] = Client.find(socket).get("api", "apps", target)["apps"]
    except CommandError as error:  # it may not run yet, or not know the app yet
        return [], str(error)
    late = [
        f"{app['name']}:{instance['index']} {instance['state']}"
        for app in apps
        for instance in app["instances"]
        if not (_is_stopped(instance) if stopped else _is_ready(app, instance))
    ]
    return apps, ", ".join(late)


def _is_ready(app: dict[str, Any], instance: dict[str, Any]) -> bool:
    """As `health` has it: a job may have done its work, or wait for its time."""
    return instance["ready"] or (
        app["ready"] and instance["state"] in ("completed", "stopped", "waiting", "errored")
    )


def _is_stopped(instance: dict[str, Any]) -> bool:
    return instance["pid"] is None and instance["state"] != "backoff"


@app.command("health")
@click.option("--live", is_flag=True, help="Only that the runtime itself answers.")
@timeout_option(probing.TIMEOUT)
@socket_option
@json_option
def health(*, live: bool, timeout: Seconds, socket: str | None, as_json: bool) -> int:
    """Exit with 0 if everything is ready, else with 1: for Docker's HEALTHCHECK."""
    return probing.check(socket, live=live, timeout=timeout, as_json=as_json)


@app.command("undrain")
@socket_option
@json_option
def undrain(*, socket: str | None, as_json: bool) -> None:
    """Be ready again after a drain, if nobody has asked for a stop."""
    overview = Client.find(socket).post("api", "undrain")
    print(json.dumps({"draining": overview["draining"]}) if as_json else "not draining")


@app.command("drain", also=("prestop",))
@click.option("--delay", metavar="S", type=float, help="How long to wait; default: shutdown_delay, or 5.")
@socket_option
@json_option
def drain(*, delay: Seconds | None, socket: str | None, as_json: bool) -> None:
    """Be ready no more while requests still come: for Kubernetes' preStop.

    Whatever happens, this ends in time and with 0: a failed preStop would only cost the grace period.
    """
    began = time.monotonic()
    try:
        runtime = Client(Client.find(socket).path, _PRESTOP_ANSWER)
        overview = runtime.post("api", "drain")
    except CommandError as error:
        sys.stderr.write(f"pidone: {printable(str(error))}\n")
        return
    if delay is None:
        delay = overview["shutdown_delay_s"] or _PRESTOP_DELAY
    time.sleep(max(0.0, min(delay, _MOST_PRESTOP) - (time.monotonic() - began)))
    print(json.dumps({"draining": True}) if as_json else "draining")
