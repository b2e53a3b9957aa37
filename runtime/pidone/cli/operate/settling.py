"""Ask a running pidone for a change, wait until it has happened, and tell whether it worked."""

import time
from typing import Any, Final

from pidone.cli.operate.client import Client, CommandError
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import ExitCode

_POLL: Final[Seconds] = 0.05
_UP: Final = ("online", "completed")


def act(runtime: Client, target: str, verb: str, body: object = None) -> list[dict[str, Any]]:
    """Ask for it; the apps as they are then."""
    apps: list[dict[str, Any]] = runtime.post("api", "apps", target, verb, body=body)["apps"]
    return apps


def settle(runtime: Client, target: str, timeout: Seconds) -> list[dict[str, Any]]:
    """Wait until nothing is under way any more.

    Raises CommandError: with 124 when the time is up, with 1 if a process that has to go cannot be signalled.
    """
    deadline = time.monotonic() + timeout
    while True:
        apps: list[dict[str, Any]] = runtime.get("api", "apps", target)["apps"]
        if all(is_settled(app) for app in apps):
            return apps
        for app in apps:
            if app.get("refused") and not is_settled(app):  # as long as it lives nothing more will happen
                raise CommandError(f"{app['name']} is {app['state']}: {app['refused']}")
        if time.monotonic() > deadline:
            late = ", ".join(f"{app['name']} is {app['state']}" for app in apps if not is_settled(app))
            raise CommandError(f"not done within {timeout:g} s: {late}", ExitCode.DEADLINE)
        time.sleep(_POLL)


def is_settled(app: dict[str, Any]) -> bool:
    """Whether every instance rests, serves, or waits for a restart."""
    return bool(app["settled"])


def failure(verb: str, app: dict[str, Any]) -> str:
    """Why an app is not as it should be; empty if it is. What somebody has stopped before may rest."""
    if verb == "scale" and not app["wanted"]:
        return ""  # so many will run when it is started
    rests = app["wish"]["stopped"] if app["wanted"] else []
    fine = (*_UP, "waiting") if app["next_run"] else _UP  # a job that waits for its time
    down = [each for each in app["instances"] if each["state"] not in fine and each["index"] not in rests]
    reload = app["reload"]
    if verb == "reload" and reload is not None and reload["state"] == "failed":
        kept = "; the old processes stay" if not down else ""
        return f"{app['name']}: {reload['message']}{kept}"
    return ", ".join(
        f"{app['name']}:{each['index']} is {each['state']}"
        + (f" ({each['reason']})" if each["reason"] else "")
        for each in down
    )
