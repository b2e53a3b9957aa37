"""`wait`, `health`, `drain` and `prestop`: for scripts, HEALTHCHECK and Kubernetes' preStop."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from runtime.cli.control.client import REFUSED, Client, CommandError
from runtime.cli.control.words import client, guarded, parser
from runtime.init.exitcodes import ExitCode

_POLL_S: Final = 0.05
_PRESTOP_DELAY_S: Final = 5.0
"""Without a `shutdown_delay`: endpoint controllers and kube-proxy usually need less."""
_MOST_PRESTOP_S: Final = 600.0


def run(words: Sequence[str]) -> int:
    """The command in `words[0]`."""
    return guarded(_COMMANDS[words[0]], words)


def _wait(words: Sequence[str]) -> int:
    made = parser("wait", "Wait for an app, or for everything.")
    made.add_argument("target", nargs="?", default="all", help="app, app:index, id, namespace or all")
    made.add_argument("--ready", action="store_true", help="until every instance is ready (the default)")
    made.add_argument("--stopped", action="store_true", help="until no process is left")
    made.add_argument("--timeout", type=float, default=60.0, metavar="S")
    options = made.parse_args(words[1:])
    deadline = time.monotonic() + options.timeout
    state = "no running pidone found"
    while True:
        try:
            apps = client(options).get("api", "apps", options.target)["apps"]
        except CommandError as error:  # it may not run yet, or not know the app yet
            state = str(error)
        else:
            instances = [(app, each) for app in apps for each in app["instances"]]
            waiting = [
                f"{a['name']}:{i['index']} {i['state']}" for a, i in instances if not _is(i, options.stopped)
            ]
            if not waiting:
                if options.json:
                    print(json.dumps({"apps": apps}))
                return 0
            state = ", ".join(waiting)
        if time.monotonic() >= deadline:
            raise CommandError(f"not within {options.timeout:g} s: {state}", ExitCode.DEADLINE)
        time.sleep(_POLL_S)


def _is(instance: dict[str, object], stopped: object) -> bool:
    if stopped:
        return instance["pid"] is None and instance["state"] != "backoff"
    return bool(instance["ready"])


def _health(words: Sequence[str]) -> int:
    made = parser("health", "Exit 0 if everything is ready, else 1: for Docker's HEALTHCHECK.")
    made.add_argument("--live", action="store_true", help="only that the runtime itself answers")
    made.add_argument("--timeout", type=float, default=3.0, metavar="S")
    options = made.parse_args(words[1:])
    try:
        found = Client(client(options).path, options.timeout)
        healthy, text = found.probe("livez" if options.live else "readyz?verbose")
    except CommandError as error:  # Docker reserves every code but 0 and 1
        raise CommandError(str(error), REFUSED) from None
    print(json.dumps({"healthy": healthy, "details": text.splitlines()}) if options.json else text, end="")
    return 0 if healthy else REFUSED


def _drain(words: Sequence[str]) -> int:
    """Whatever happens, this ends in time and with 0: a failed preStop would only cost the grace period."""
    made = parser(
        words[0], "Be ready no more, and wait until nobody sends requests: for Kubernetes' preStop."
    )
    made.add_argument(
        "--delay", type=float, metavar="S", help="how long to wait; default: shutdown_delay, or 5"
    )
    options = made.parse_args(words[1:])
    began = time.monotonic()
    try:
        runtime = Client(client(options).path, 2.0)
        overview = runtime.post("api", "drain")
    except CommandError as error:
        sys.stderr.write(f"pidone: {error}\n")
        return 0
    delay = options.delay if options.delay is not None else overview["shutdown_delay_s"] or _PRESTOP_DELAY_S
    left = min(max(delay, 0.0), _MOST_PRESTOP_S) - (time.monotonic() - began)
    time.sleep(max(0.0, left))
    print(json.dumps({"draining": True}) if options.json else "draining")
    return 0


_COMMANDS: Final = {"wait": _wait, "health": _health, "drain": _drain, "prestop": _drain}
